//! The layers. Images are `[N, H, W, C]`, vectors `[N, D]`.
//!
//! Each type here is a description ([`Build`](crate::Build)): `Conv2d::new(1, 24, 3).padding(1)`
//! says what the layer is, and `build` gives it parameters in a [`Scope`](crate::Scope).
//! [`Sequential`] strings descriptions together.

mod activation;
mod conv;
mod dropout;
mod gate;
mod linear;
mod norm;
mod pool;
mod residual;
mod sequential;

pub use activation::{Activation, PRelu, PReluModule};
pub use conv::{Conv2d, Conv2dModule, Pair};
pub use dropout::Dropout;
pub use gate::{ChannelGate, ChannelGateModule};
pub use linear::{Linear, LinearModule};
pub use norm::{BatchNorm, BatchNormModule};
pub use pool::{
    AvgPool2d, Flatten, GemPool, GemPoolModule, GlobalAvgPool, GlobalMaxPool, MaxPool2d,
    MeanMaxPool,
};
pub use residual::{BasicBlock, Bottleneck, Residual, ResidualModule, Shortcut};
pub use sequential::{Sequential, SequentialModule};

#[cfg(test)]
mod tests;
