//! VGG-like networks for small images: every convolution is 3x3 with padding 1, followed by batch
//! normalisation and ReLU; the embedding is a linear layer followed by batch normalisation.
//!
//! The published networks have one more ReLU behind the embedding. It is left out, because losses
//! on the angle need the whole sphere, not only its positive part.

use super::Family;
use super::chain::Chain;
use crate::layers::{BatchNorm, Sequential};
use engine::Float;

/// The networks of Liu et al. 2016 (L-Softmax), table 1:
/// one convolution, then three stages, each followed by 2x2 max-pooling, then the embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vgg {
    /// The convolutions of a stage.
    pub convolutions: usize,
    /// The channels of the stages; the convolution before them has those of the first.
    pub widths: [usize; 3],
}

impl Family for Vgg {
    fn layers<T: Float>(self, chain: Chain<'_, T>) -> Sequential<T> {
        let mut chain = chain.conv_bn_relu(self.widths[0], 3);
        for width in self.widths {
            for _ in 0..self.convolutions {
                chain = chain.conv_bn_relu(width, 3);
            }
            chain = chain.max_pool(2, 2);
        }
        embedding(chain)
    }

    fn small(self) -> Self {
        Vgg {
            convolutions: 1,
            widths: [4, 6, 8],
        }
    }
}

/// For the published `width` of 24:
///
/// ```text
/// 24 | pool | 48 48 | pool | 96 96 | pool | fc + BN
/// ```
///
/// The first two pools are 2x2, the last one 3x3 with stride 2, which covers the 7x7 pixels that
/// are left of MNIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Light {
    /// The channels of the first stage, doubled in each later one.
    pub width: usize,
}

impl Family for Light {
    fn layers<T: Float>(self, chain: Chain<'_, T>) -> Sequential<T> {
        let [a, b, c] = [1, 2, 4].map(|n| n * self.width);
        let chain = chain.conv_bn_relu(a, 3).max_pool(2, 2);
        let chain = chain.conv_bn_relu(b, 3).conv_bn_relu(b, 3).max_pool(2, 2);
        let chain = chain.conv_bn_relu(c, 3).conv_bn_relu(c, 3).max_pool(3, 2);
        embedding(chain)
    }

    fn small(self) -> Self {
        Light { width: 3 }
    }
}

fn embedding<T: Float>(chain: Chain<'_, T>) -> Sequential<T> {
    let dim = chain.dim;
    chain
        .flat_embedding(|fc| fc.bias(false))
        .add("bn", BatchNorm::new(dim))
        .layers
}
