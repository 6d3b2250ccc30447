//! Residual networks (He et al. 2016, arXiv:1512.03385).
//!
//! The parameters have the names of torchvision: `layer2.0.conv1.weight`; only a projection is
//! called `shortcut.conv` and `shortcut.bn` where torchvision has `downsample.0` and `.1`.

use super::Family;
use super::chain::Chain;
use super::options::Pooling;
use crate::init::Init;
use crate::layers::{BasicBlock, Bottleneck, Conv2d, Sequential, Shortcut};
use engine::{Float, Shape};

/// A stem, then stages of residual blocks, then the mean of each channel. The first block of
/// every stage but the first halves the image, and every stage doubles the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResNet {
    /// What comes before the blocks.
    pub stem: Stem,
    /// What the stages are made of.
    pub block: Block,
    /// The channels of the stem and of the first stage.
    pub width: usize,
    /// The blocks of each stage.
    pub blocks: &'static [usize],
}

/// The beginning of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stem {
    /// A 3x3 convolution: the size stays.
    Cifar,
    /// A 7x7 convolution with stride 2 and 3x3 max-pooling with stride 2: a quarter of the size.
    ImageNet,
}

/// A kind of residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// [`BasicBlock`].
    Basic(Shortcut),
    /// [`Bottleneck`].
    Bottleneck,
}

impl Family for ResNet {
    fn layers<T: Float>(self, chain: Chain<'_, T>) -> Sequential<T> {
        let mut chain = stem(chain, self.stem, self.width);
        let activation = chain.pieces.relu();
        for (stage, &blocks) in self.blocks.iter().enumerate() {
            let width = self.width << stage;
            let first_stride = match stage {
                0 => 1,
                3 => chain.options.last_stride.unwrap_or(2),
                _ => 2,
            };
            for n in 0..blocks {
                let stride = if n == 0 { first_stride } else { 1 };
                let name = format!("layer{}.{n}", stage + 1);
                chain.stride(stride);
                chain = match self.block {
                    Block::Basic(shortcut) => {
                        let inputs = chain.channels(width);
                        let block = BasicBlock::new(inputs, width).stride(stride);
                        chain.add(name, block.shortcut(shortcut).activation(activation))
                    }
                    Block::Bottleneck => {
                        let inputs = chain.channels(Bottleneck::EXPANSION * width);
                        let block = Bottleneck::new(inputs, width).stride(stride);
                        chain.add(name, block.activation(activation))
                    }
                };
            }
        }
        chain.pooled_embedding(Pooling::Avg)
    }

    fn small(self) -> Self {
        // Projections, and blocks whose shortcut is the identity.
        let blocks: &[usize] = match self.block {
            Block::Basic(_) => &[1, 2],
            Block::Bottleneck => &[2, 1],
        };
        ResNet {
            width: 3,
            blocks,
            ..self
        }
    }
}

impl ResNet {
    /// Whether a file with so many blocks and with tensors of these shapes, in the layout of
    /// PyTorch, is for this network.
    pub fn has_the_layers_of(
        self,
        blocks: &[usize],
        shape: &dyn Fn(&str) -> Option<Shape>,
    ) -> bool {
        let kernel = match self.stem {
            Stem::Cifar => 3,
            Stem::ImageNet => 7,
        };
        let first = shape("conv1.weight");
        blocks == self.blocks
            && first.is_some_and(|s| s[0] == self.width && s.last() == kernel)
            && shape("layer1.0.conv3.weight").is_some() == (self.block == Block::Bottleneck)
            && shape("layer2.0.shortcut.conv.weight").is_none()
                == (self.block == Block::Basic(Shortcut::Pad))
            && shape("prelu.weight").is_none()
    }
}

/// The stem, `conv1` and `bn1`.
fn stem<T: Float>(mut chain: Chain<'_, T>, stem: Stem, width: usize) -> Chain<'_, T> {
    let (_, inputs) = chain.next_convolution(width);
    let conv = |kernel: usize, stride| {
        Conv2d::new(inputs, width, kernel)
            .padding(kernel / 2)
            .stride(stride)
            .bias(false)
            .init(Init::HE_FAN_OUT)
    };
    match stem {
        Stem::Cifar => chain.add("conv1", conv(3, 1)).bn_relu("bn1"),
        Stem::ImageNet => {
            chain.stride(2);
            chain
                .add("conv1", conv(7, 2))
                .bn_relu("bn1")
                .padded_max_pool(3, 2, 1)
        }
    }
}
