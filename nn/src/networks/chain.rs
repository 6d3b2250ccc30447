//! A network under construction.

use crate::layers::{
    Activation, AvgPool2d, BatchNorm, Conv2d, GlobalAvgPool, GlobalMaxPool, Linear, MaxPool2d,
    Sequential,
};
use crate::module::Build;
use engine::Float;

/// What the networks are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// As in the paper.
    Published,
    /// For the gradient check: GELU for ReLU and PReLU, means for maxima, so no kinks. Among
    /// thousands of activations some always lie within a finite difference of a kink, where the
    /// difference is no derivative. The pieces with kinks are checked one by one, away from them.
    Smooth,
}

/// Layers one after another, with the shape of the image between them.
pub(super) struct Chain<T: Float> {
    /// The layers so far.
    pub layers: Sequential<T>,
    /// Height, width and channels of what they give.
    pub shape: [usize; 3],
    /// The length of the embeddings to end in.
    pub dim: usize,
    convolutions: usize,
    pools: usize,
    pieces: Pieces,
}

impl<T: Float> Chain<T> {
    /// No layers yet.
    pub fn new(input: [usize; 3], dim: usize, pieces: Pieces) -> Self {
        Chain {
            layers: Sequential::new(),
            shape: input,
            dim,
            convolutions: 0,
            pools: 0,
            pieces,
        }
    }

    /// Appends a layer that leaves the shape as it is, or whose shape nobody asks for.
    pub fn add(mut self, name: impl Into<String>, layer: impl Build<T> + 'static) -> Self {
        self.layers = self.layers.add(name, layer);
        self
    }

    /// Starts the next convolution: its number, and the channels that go into it. `outputs`
    /// come out.
    pub fn next_convolution(&mut self, outputs: usize) -> (usize, usize) {
        self.convolutions += 1;
        let inputs = std::mem::replace(&mut self.shape[2], outputs);
        (self.convolutions, inputs)
    }

    /// Appends `conv<n>` without bias, `bn<n>` and a ReLU, which keep the size of the image.
    pub fn conv_bn_relu(mut self, outputs: usize, kernel: usize) -> Self {
        let (n, inputs) = self.next_convolution(outputs);
        let conv = Conv2d::new(inputs, outputs, kernel);
        self.add(format!("conv{n}"), conv.padding(kernel / 2).bias(false))
            .bn_relu(format!("{n}"))
    }

    /// Appends `bn<n>` and a ReLU, which is part of the normalisation.
    pub fn bn_relu(self, n: String) -> Self {
        let norm = BatchNorm::new(self.shape[2]);
        match self.pieces {
            Pieces::Published => self.add(format!("bn{n}"), norm.relu()),
            Pieces::Smooth => self
                .add(format!("bn{n}"), norm)
                .add(format!("act{n}"), Activation::Gelu),
        }
    }

    /// Appends an activation with a kink.
    pub fn activation(self, name: String, published: impl Build<T> + 'static) -> Self {
        match self.pieces {
            Pieces::Published => self.add(name, published),
            Pieces::Smooth => self.add(name, Activation::Gelu),
        }
    }

    /// What stands for a ReLU.
    pub fn relu(&self) -> Activation {
        match self.pieces {
            Pieces::Published => Activation::Relu,
            Pieces::Smooth => Activation::Gelu,
        }
    }

    /// Appends max-pooling without padding, called `pool<n>`.
    pub fn max_pool(self, kernel: usize, stride: usize) -> Self {
        self.padded_max_pool(kernel, stride, 0)
    }

    /// Appends max-pooling called `pool<n>`.
    pub fn padded_max_pool(mut self, kernel: usize, stride: usize, padding: usize) -> Self {
        self.pools += 1;
        let name = format!("pool{}", self.pools);
        let [h, w, c] = self.shape;
        let pooled = |n| (n + 2 * padding - kernel) / stride + 1;
        self.shape = [pooled(h), pooled(w), c];
        let (max, mean) = (MaxPool2d::new(kernel), AvgPool2d::new(kernel));
        match self.pieces {
            Pieces::Published => self.add(name, max.stride(stride).padding(padding)),
            Pieces::Smooth => self.add(name, mean.stride(stride).padding(padding)),
        }
    }

    /// Ends in the mean of each channel.
    pub fn mean_embedding(self) -> Sequential<T> {
        self.add("pool", GlobalAvgPool).head()
    }

    /// Ends in the maximum of each channel.
    pub fn max_embedding(self) -> Sequential<T> {
        match self.pieces {
            Pieces::Published => self.add("pool", GlobalMaxPool).head(),
            Pieces::Smooth => self.mean_embedding(),
        }
    }

    /// The pooled channels are the embedding, unless another length is asked for.
    fn head(self) -> Sequential<T> {
        let (channels, dim) = (self.shape[2], self.dim);
        if channels == dim {
            return self.layers;
        }
        self.layers
            .add("fc", Linear::new(channels, dim).bias(false))
            .add("bn", BatchNorm::new(dim))
    }
}
