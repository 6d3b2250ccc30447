//! Initial values of parameters.

use engine::rng::Key;
use engine::{Float, Shape, Tensor};

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element this number.
    Constant(f64),
    /// Normal with this standard deviation.
    Normal(f64),
}

impl Init {
    /// The initial tensor, a function of the shape and the key.
    pub fn tensor<T: Float>(self, shape: Shape, key: Key) -> Tensor<T> {
        let mut rng = key.rng();
        match self {
            Init::Constant(value) => Tensor::full(shape, T::of(value)),
            Init::Normal(std) => Tensor::from_fn(shape, |_| T::of(std * rng.normal())),
        }
    }
}
