//! The residual networks of face recognition, as in insightface.
//!
//! The parameters have the names of insightface: `layer2.0.bn1.weight`; only a projection is
//! called `shortcut.conv` and `shortcut.bn` where insightface has `downsample.0` and `.1`.

use super::Family;
use super::chain::{Chain, Pieces};
use crate::init::Init;
use crate::layers::{BatchNorm, Conv2d, Residual, Sequential, Shortcut};
use engine::{Float, Shape};

/// Deng et al. 2019, ArcFace (arXiv:1801.07698), section 3.1: a 3x3 stem with PReLU, stages of
/// blocks of which each halves the image and the later ones double the channels, then
///
/// ```text
/// BN | dropout | fc with bias | BN
/// ```
///
/// The last scale is fixed at 1. A block is
///
/// ```text
/// y = bn3(conv2(prelu(bn2(conv1(bn1(x)))))) + shortcut(x)
/// ```
///
/// with the stride in `conv2` and nothing behind the sum ("IR").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IResNet {
    /// The channels of the stem and of the first stage.
    pub width: usize,
    /// The blocks of each stage.
    pub blocks: &'static [usize],
}

impl Family for IResNet {
    fn layers<T: Float>(self, mut chain: Chain<'_, T>) -> Sequential<T> {
        let inputs = chain.channels(self.width);
        chain = chain
            .add("conv1", conv(inputs, self.width, 1))
            .add("bn1", BatchNorm::new(self.width))
            .prelu("prelu");
        for (stage, &blocks) in self.blocks.iter().enumerate() {
            let width = self.width << stage;
            for n in 0..blocks {
                let stride = if n == 0 { 2 } else { 1 };
                chain.stride(stride);
                let inputs = chain.channels(width);
                let block = block(chain.pieces, inputs, width, stride);
                chain = chain.add(format!("layer{}.{n}", stage + 1), block);
            }
        }
        let norm = BatchNorm::new(chain.shape[2]);
        let features = BatchNorm::new(chain.dim).fixed_scale();
        chain
            .add("bn2", norm)
            .flat_embedding(|fc| fc.init(Init::PYTORCH))
            .add("features", features)
            .layers
    }

    fn small(self) -> Self {
        IResNet {
            width: 2,
            blocks: &[1, 2],
        }
    }
}

impl IResNet {
    /// Whether a file with so many blocks and with tensors of these shapes, in the layout of
    /// PyTorch, is for this network.
    pub fn has_the_layers_of(
        self,
        blocks: &[usize],
        shape: &dyn Fn(&str) -> Option<Shape>,
    ) -> bool {
        blocks == self.blocks && shape("prelu.weight") == Some([self.width].into())
    }
}

fn block<T: Float>(pieces: Pieces, inputs: usize, outputs: usize, stride: usize) -> Residual<T> {
    let branch = Sequential::new()
        .add("bn1", BatchNorm::new(inputs))
        .add("conv1", conv(inputs, outputs, 1))
        .add("bn2", BatchNorm::new(outputs));
    let branch = pieces
        .prelu(branch, "prelu", outputs)
        .add("conv2", conv(outputs, outputs, stride))
        .add("bn3", BatchNorm::new(outputs));
    Residual::new(branch).shortcut(Shortcut::Projection.layers(inputs, outputs, stride))
}

fn conv(inputs: usize, outputs: usize, stride: usize) -> Conv2d {
    Conv2d::new(inputs, outputs, 3)
        .padding(1)
        .stride(stride)
        .bias(false)
        .init(Init::Normal(0.1))
}
