//! Wide residual networks (Zagoruyko and Komodakis 2016, arXiv:1605.07146).

use super::Family;
use super::chain::Chain;
use super::options::Pooling;
use crate::init::Init;
use crate::layers::{BatchNorm, Conv2d, Residual, Sequential};
use engine::Float;

/// A 3x3 convolution with `width` channels, three stages of residual blocks with
/// `width · factor` channels and twice as many in each later stage, batch normalisation, ReLU and
/// the mean of each channel. In a block the normalisation comes first:
///
/// ```text
/// y = conv2(relu(bn2(conv1(relu(bn1(x)))))) + x
/// ```
///
/// Where the channels change, the shortcut is a 1x1 convolution of `relu(bn1(x))`. The dropout
/// inside of blocks, which the authors found to matter little beside augmentation, is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WideResNet {
    /// The channels of the first convolution.
    pub width: usize,
    /// How many times wider the blocks are.
    pub factor: usize,
    /// The blocks of a stage: (depth - 4) / 6.
    pub blocks: usize,
}

impl Family for WideResNet {
    fn layers<T: Float>(self, mut chain: Chain<'_, T>) -> Sequential<T> {
        let inputs = chain.channels(self.width);
        chain = chain.add("conv1", conv(inputs, self.width, 3, 1));
        let relu = chain.pieces.relu();
        for stage in 0..3 {
            let width = (self.width * self.factor) << stage;
            for n in 0..self.blocks {
                let stride = if stage > 0 && n == 0 { 2 } else { 1 };
                let name = format!("layer{}.{n}", stage + 1);
                let inputs = chain.channels(width);
                let rest = |first: Sequential<T>| {
                    first
                        .add("conv1", conv(inputs, width, 3, stride))
                        .add("bn2", BatchNorm::new(width).activation(relu))
                        .add("conv2", conv(width, width, 3, 1))
                };
                let norm = BatchNorm::new(inputs).activation(relu);
                chain = if inputs == width && stride == 1 {
                    let branch = rest(Sequential::new().add("bn1", norm));
                    chain.add(name, Residual::new(branch))
                } else {
                    let shortcut = Sequential::new().add("conv", conv(inputs, width, 1, stride));
                    let block = Residual::new(rest(Sequential::new())).shortcut(Some(shortcut));
                    chain.add(format!("{name}.bn1"), norm).add(name, block)
                };
            }
        }
        chain.bn_relu("bn1").pooled_embedding(Pooling::Avg)
    }

    fn small(self) -> Self {
        WideResNet {
            width: 2,
            factor: 1,
            blocks: 1,
        }
    }
}

fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d::new(inputs, outputs, kernel)
        .padding(kernel / 2)
        .stride(stride)
        .bias(false)
        .init(Init::HE_FAN_OUT)
}
