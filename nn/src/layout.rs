//! The order of elements in weights of PyTorch.

use engine::{Float, Shape, Tensor};

/// How the elements of a weight are ordered in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As here.
    Same,
    /// `[out, in, kh, kw]` for `[kh, kw, in, out]`.
    Convolution,
    /// `[out, channels · pixels]` for `[out, pixels · channels]`.
    OfImage {
        /// The number of channels.
        channels: usize,
    },
}

impl Layout {
    /// The shape in PyTorch of what has `shape` here.
    pub fn in_torch(self, shape: Shape) -> Shape {
        match (self, &*shape) {
            (Layout::Convolution, &[kh, kw, inputs, outputs]) => [outputs, inputs, kh, kw].into(),
            _ => shape,
        }
    }

    /// A tensor of PyTorch in the order of this project, where it has `shape`.
    pub fn imported<T: Float>(self, tensor: &Tensor<T>, shape: Shape) -> Tensor<T> {
        let from = tensor.data();
        match self {
            Layout::Same => tensor.clone(),
            _ => Tensor::from_fn(shape, |i| from[self.place(shape, i)]),
        }
    }

    /// A tensor of this project in the order of PyTorch.
    pub fn exported<T: Float>(self, tensor: &Tensor<T>) -> Tensor<T> {
        if self == Layout::Same {
            return tensor.clone();
        }
        let shape = tensor.shape();
        let mut torch = Tensor::stale(self.in_torch(shape));
        let to = torch.data_mut();
        for (i, &element) in tensor.data().iter().enumerate() {
            to[self.place(shape, i)] = element;
        }
        torch
    }

    /// Where PyTorch has element `i` of a tensor that has `shape` here.
    fn place(self, shape: Shape, i: usize) -> usize {
        match (self, &*shape) {
            (Layout::Convolution, &[kh, kw, inputs, outputs]) => {
                let (o, i) = (i % outputs, i / outputs);
                let (c, tap) = (i % inputs, i / inputs);
                (o * inputs + c) * kh * kw + tap
            }
            (Layout::OfImage { channels }, &[_, inputs]) => {
                let (o, i) = (i / inputs, i % inputs);
                let (c, pixel) = (i % channels, i / channels);
                o * inputs + c * (inputs / channels) + pixel
            }
            _ => i,
        }
    }
}
