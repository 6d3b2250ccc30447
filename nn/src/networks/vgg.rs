//! VGG-like networks for small images: every convolution is 3x3 with padding 1, followed by batch
//! normalisation and ReLU; the embedding is a linear layer followed by batch normalisation.
//!
//! The published network has one more ReLU behind the embedding. It is left out, because losses
//! on the angle need the whole sphere, not only its positive part.

use super::{Chain, Pieces};
use crate::layers::{Activation, BatchNorm, Conv2d, Flatten, Linear, Sequential};
use engine::Float;

/// `64 | 64 64 64 | pool | 128 128 128 | pool | 256 256 256 | pool | fc + BN`, pooling 2x2.
pub(super) fn mnist<T: Float>(chain: Chain<T>, dim: usize) -> Sequential<T> {
    let mut chain = conv(chain, 64);
    for channels in [64, 128, 256] {
        for _ in 0..3 {
            chain = conv(chain, channels);
        }
        chain = chain.max_pool(2, 2);
    }
    embedding(chain, dim)
}

/// `24 | pool | 48 48 | pool | 96 96 | pool | fc + BN`; the first two pools are 2x2, the last one
/// 3x3 with stride 2, which covers the 7x7 pixels that are left of MNIST.
pub(super) fn light<T: Float>(chain: Chain<T>, dim: usize) -> Sequential<T> {
    let chain = conv(chain, 24).max_pool(2, 2);
    let chain = conv(conv(chain, 48), 48).max_pool(2, 2);
    let chain = conv(conv(chain, 96), 96).max_pool(3, 2);
    embedding(chain, dim)
}

fn conv<T: Float>(mut chain: Chain<T>, channels: usize) -> Chain<T> {
    let (n, inputs, channels) = chain.next_convolution(channels);
    let layer = Conv2d::new(inputs, channels, 3).padding(1).bias(false);
    let chain = chain.add(format!("conv{n}"), layer);
    let norm = BatchNorm::new(channels);
    match chain.pieces {
        Pieces::Published => chain.add(format!("bn{n}"), norm.relu()),
        Pieces::Smooth => chain
            .add(format!("bn{n}"), norm)
            .add(format!("act{n}"), Activation::Gelu),
    }
}

fn embedding<T: Float>(chain: Chain<T>, dim: usize) -> Sequential<T> {
    let inputs = chain.shape.iter().product();
    chain
        .add("flatten", Flatten)
        .add("fc", Linear::new(inputs, dim).bias(false))
        .add("bn", BatchNorm::new(dim))
        .layers
}
