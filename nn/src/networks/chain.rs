//! A network under construction.

use super::options::{ModelOptions, Pooling};
use crate::layers::{
    Activation, AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, GemPool, GlobalAvgPool,
    GlobalMaxPool, Linear, MaxPool2d, MeanMaxPool, PRelu, Sequential,
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

impl Pieces {
    /// What stands for a ReLU.
    pub fn relu(self) -> Activation {
        match self {
            Pieces::Published => Activation::Relu,
            Pieces::Smooth => Activation::Gelu,
        }
    }

    /// Appends a PReLU with a slope per channel.
    pub fn prelu<T: Float>(
        self,
        layers: Sequential<T>,
        name: impl Into<String>,
        channels: usize,
    ) -> Sequential<T> {
        match self {
            Pieces::Published => layers.add(name, PRelu::new(channels)),
            Pieces::Smooth => layers.add(name, Activation::Gelu),
        }
    }
}

/// Layers one after another, with the shape of the image between them.
pub(super) struct Chain<'a, T: Float> {
    /// The layers so far.
    pub layers: Sequential<T>,
    /// Height, width and channels of what they give.
    pub shape: [usize; 3],
    /// The length of the embeddings to end in.
    pub dim: usize,
    /// The user's choices.
    pub options: &'a ModelOptions,
    /// What to build of.
    pub pieces: Pieces,
    convolutions: usize,
    pools: usize,
}

impl<'a, T: Float> Chain<'a, T> {
    /// No layers yet.
    pub fn new(input: [usize; 3], dim: usize, options: &'a ModelOptions, pieces: Pieces) -> Self {
        Chain {
            layers: Sequential::new(),
            shape: input,
            dim,
            options,
            pieces,
            convolutions: 0,
            pools: 0,
        }
    }

    /// Appends a layer that leaves the shape as it is, or whose shape nobody asks for.
    pub fn add(mut self, name: impl Into<String>, layer: impl Build<T> + 'static) -> Self {
        self.layers = self.layers.add(name, layer);
        self
    }

    /// Goes on with `channels` channels; returns how many there were.
    pub fn channels(&mut self, channels: usize) -> usize {
        std::mem::replace(&mut self.shape[2], channels)
    }

    /// Goes on with images made smaller by a padded convolution with this stride.
    pub fn stride(&mut self, stride: usize) {
        let [h, w, c] = self.shape;
        self.shape = [h.div_ceil(stride), w.div_ceil(stride), c];
    }

    /// Starts the next convolution: its number, and the channels that go into it. `outputs`
    /// come out.
    pub fn next_convolution(&mut self, outputs: usize) -> (usize, usize) {
        self.convolutions += 1;
        (self.convolutions, self.channels(outputs))
    }

    /// Appends `conv<n>` without bias, `bn<n>` and a ReLU, which keep the size of the image.
    pub fn conv_bn_relu(mut self, outputs: usize, kernel: usize) -> Self {
        let (n, inputs) = self.next_convolution(outputs);
        let conv = Conv2d::new(inputs, outputs, kernel).padding(kernel / 2);
        self.add(format!("conv{n}"), conv.bias(false))
            .bn_relu(format!("bn{n}"))
    }

    /// Appends batch normalisation with a ReLU.
    pub fn bn_relu(self, name: impl Into<String>) -> Self {
        let norm = BatchNorm::new(self.shape[2]).activation(self.pieces.relu());
        self.add(name, norm)
    }

    /// Appends a PReLU with a slope per channel.
    pub fn prelu(mut self, name: impl Into<String>) -> Self {
        self.layers = self.pieces.prelu(self.layers, name, self.shape[2]);
        self
    }

    /// Appends max-pooling without padding, called `pool<n>`.
    pub fn max_pool(self, kernel: usize, stride: usize) -> Self {
        self.padded_max_pool(kernel, stride, 0)
    }

    /// Appends max-pooling called `pool<n>`.
    pub fn padded_max_pool(mut self, kernel: usize, stride: usize, padding: usize) -> Self {
        let name = self.next_pool(kernel, stride, padding);
        let (max, mean) = (MaxPool2d::new(kernel), AvgPool2d::new(kernel));
        match self.pieces {
            Pieces::Published => self.add(name, max.stride(stride).padding(padding)),
            Pieces::Smooth => self.add(name, mean.stride(stride).padding(padding)),
        }
    }

    /// Appends the means of windows side by side, called `pool<n>`.
    pub fn mean_pool(mut self, kernel: usize) -> Self {
        let name = self.next_pool(kernel, kernel, 0);
        self.add(name, AvgPool2d::new(kernel))
    }

    fn next_pool(&mut self, kernel: usize, stride: usize, padding: usize) -> String {
        self.pools += 1;
        let [h, w, c] = self.shape;
        let pooled = |n| (n + 2 * padding - kernel) / stride + 1;
        self.shape = [pooled(h), pooled(w), c];
        format!("pool{}", self.pools)
    }

    /// Appends the pooling of whole images, `own` unless the user chose another.
    pub fn pool(mut self, own: Pooling) -> Self {
        let pooling = self.options.pooling.unwrap_or(own);
        self.shape = [1, 1, self.shape[2]];
        let chain = match (pooling, self.pieces) {
            (Pooling::Avg, _) => self.add("pool", GlobalAvgPool),
            (Pooling::Gem, _) => self.add("pool", GemPool),
            (Pooling::Max | Pooling::MeanMax, Pieces::Smooth) => self.add("pool", GlobalAvgPool),
            (Pooling::Max, Pieces::Published) => self.add("pool", GlobalMaxPool),
            (Pooling::MeanMax, Pieces::Published) => self.add("pool", MeanMaxPool),
        };
        chain.dropout()
    }

    /// Appends the dropout that the user asked for, in front of the embedding.
    pub fn dropout(self) -> Self {
        match self.options.dropout {
            0.0 => self,
            p => self.add("drop", Dropout::new(p)),
        }
    }

    /// Makes vectors of the images: ends in `fc`, to which `describe` gives bias and initial
    /// values, and returns the layers.
    pub fn flat_embedding(self, describe: impl FnOnce(Linear) -> Linear) -> Self {
        let fc = Linear::new(self.shape.iter().product(), self.dim);
        self.add("flatten", Flatten)
            .dropout()
            .add("fc", describe(fc))
    }

    /// Ends in pooling. The pooled channels are the embedding; to one of another length lead a
    /// linear layer and batch normalisation.
    pub fn pooled_embedding(self, own: Pooling) -> Sequential<T> {
        let (channels, dim) = (self.shape[2], self.dim);
        let chain = self.pool(own);
        if channels == dim {
            return chain.layers;
        }
        chain
            .add("fc", Linear::new(channels, dim).bias(false))
            .add("bn", BatchNorm::new(dim))
            .layers
    }
}
