//! The networks of Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU"
//! (arXiv:2404.00498).

use super::Family;
use super::chain::Chain;
use super::options::Pooling;
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
    fn layers<T: Float>(self, mut chain: Chain<'_, T>) -> Sequential<T> {
        let [h, w, inputs] = chain.shape;
        chain.shape = [h - 1, w - 1, FIRST];
        chain = chain
            .add("conv1", Conv2d::new(inputs, FIRST, 2))
            .add("act1", Activation::Gelu);
        for (group, &width) in self.widths.iter().enumerate() {
            let group = format!("group{}", group + 1);
            let inputs = chain.channels(width);
            let norm = BatchNorm::new(width);
            let norm_act = norm.clone().activation(Activation::Gelu);
            chain = chain
                .add(format!("{group}.conv1"), conv(inputs, width))
                .max_pool(2, 2)
                .add(format!("{group}.bn1"), norm_act.clone());
            let rest = Sequential::new()
                .add("conv2", conv(width, width))
                .add("bn2", norm_act);
            chain = match self.residual {
                false => chain.add(group, rest),
                true => {
                    let branch = rest.add("conv3", conv(width, width)).add("bn3", norm);
                    chain.add(group, Residual::new(branch).activation(Activation::Gelu))
                }
            };
        }
        chain.pooled_embedding(Pooling::Max)
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
