//! The networks of Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU"
//! (arXiv:2404.00498).

use super::Family;
use super::chain::Chain;
use crate::layers::{Activation, BatchNorm, Conv2d, Residual, Sequential};
use engine::Float;

/// A 2x2 convolution with GELU, then three groups, then the maximum of each channel. A group is
///
/// ```text
/// conv 3x3 | max-pool 2x2 | BN | GELU | conv 3x3 | BN | GELU
/// ```
///
/// and, with `residual`, ends in `GELU(x + BN(conv(GELU(BN(conv(x))))))` instead.
///
/// Not as published, where the tricks serve a training of a few seconds: the first layer starts
/// like any other and is trained, where the authors compute it from the data (whitening) and keep
/// it fixed; batch normalisation has a learned scale and the usual momentum; convolutions start
/// from random weights, not from the identity. The maximum is that of the whole image, which is
/// the authors' 3x3 window for images of 32x32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AirBench {
    /// The channels of the groups.
    pub widths: &'static [usize],
    /// Whether groups have a third convolution and a shortcut.
    pub residual: bool,
}

/// The eigenvectors of 2x2 patches of three channels, and their negatives.
const FIRST: usize = 24;

impl Family for AirBench {
    fn layers<T: Float>(self, mut chain: Chain<T>) -> Sequential<T> {
        let inputs = std::mem::replace(&mut chain.shape[2], FIRST);
        chain.shape = chain.shape.map(|n| n - 1);
        chain.shape[2] = FIRST;
        chain = chain
            .add("conv1", Conv2d::new(inputs, FIRST, 2))
            .add("act1", Activation::Gelu);
        for (group, &width) in self.widths.iter().enumerate() {
            let name = |layer: &str| format!("group{}.{layer}", group + 1);
            let inputs = std::mem::replace(&mut chain.shape[2], width);
            chain = chain
                .add(name("conv1"), conv(inputs, width))
                .max_pool(2, 2)
                .add(name("bn1"), BatchNorm::new(width))
                .add(name("act1"), Activation::Gelu);
            let second = Sequential::new()
                .add("conv2", conv(width, width))
                .add("bn2", BatchNorm::new(width));
            chain = if self.residual {
                let branch = second
                    .add("act2", Activation::Gelu)
                    .add("conv3", conv(width, width))
                    .add("bn3", BatchNorm::new(width));
                let block = Residual::new(branch).activation(Activation::Gelu);
                chain.add(format!("group{}", group + 1), block)
            } else {
                chain
                    .add(format!("group{}", group + 1), second)
                    .add(name("act2"), Activation::Gelu)
            };
        }
        chain.max_embedding()
    }

    fn small(self) -> Self {
        AirBench {
            widths: &[4, 6],
            ..self
        }
    }
}

fn conv(inputs: usize, outputs: usize) -> Conv2d {
    Conv2d::new(inputs, outputs, 3).padding(1).bias(false)
}
