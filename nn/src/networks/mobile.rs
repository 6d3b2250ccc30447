//! MobileFaceNet (Chen et al. 2018, arXiv:1804.07573).

use super::Family;
use super::chain::Chain;
use crate::layers::{BatchNorm, Conv2d, Residual, Sequential};
use engine::Float;

/// Table 1 of the paper, for the published `width` of 64: a 3x3 convolution with stride 2, a
/// depthwise one, inverted bottlenecks (Sandler et al. 2018, arXiv:1801.04381), a 1x1 convolution
/// to eight times the width, and, in place of pooling, a depthwise convolution over the whole
/// image, so that its middle may count for more than its border. Batch normalisation follows
/// every layer, PReLU all but those called linear; the embedding is linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MobileFaceNet {
    /// The channels of the first stage.
    pub width: usize,
    /// The rows of the table.
    pub rows: &'static [Bottlenecks],
}

/// A row of the table: bottlenecks of which the first has the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bottlenecks {
    /// How many times more channels the depthwise convolution has than go into the block.
    pub expansion: usize,
    /// The channels that come out, in widths.
    pub widths: usize,
    /// The number of blocks.
    pub blocks: usize,
    /// The stride of the first one.
    pub stride: usize,
}

impl MobileFaceNet {
    /// As published.
    pub const PUBLISHED: Self = MobileFaceNet {
        width: 64,
        rows: &[
            row(2, 1, 5, 2),
            row(4, 2, 1, 2),
            row(2, 2, 6, 1),
            row(4, 2, 1, 2),
            row(2, 2, 2, 1),
        ],
    };
}

const fn row(expansion: usize, widths: usize, blocks: usize, stride: usize) -> Bottlenecks {
    Bottlenecks {
        expansion,
        widths,
        blocks,
        stride,
    }
}

impl Family for MobileFaceNet {
    fn layers<T: Float>(self, mut chain: Chain<'_, T>) -> Sequential<T> {
        let width = self.width;
        let inputs = chain.channels(width);
        chain.stride(2);
        let first = Conv2d::new(inputs, width, 3).padding(1).stride(2);
        chain = chain
            .add("conv1", first.bias(false))
            .add("bn1", BatchNorm::new(width))
            .prelu("prelu1")
            .add("dw1", depthwise(width, 1))
            .add("bn2", BatchNorm::new(width))
            .prelu("prelu2");
        for (number, row) in self.rows.iter().enumerate() {
            for n in 0..row.blocks {
                let stride = if n == 0 { row.stride } else { 1 };
                chain = bottleneck(
                    chain,
                    format!("layer{}.{n}", number + 1),
                    row,
                    width,
                    stride,
                );
            }
        }
        let inputs = chain.channels(8 * width);
        chain = chain
            .add("conv2", pointwise(inputs, 8 * width))
            .add("bn3", BatchNorm::new(8 * width))
            .prelu("prelu3");
        let [h, w, channels] = chain.shape;
        let global = Conv2d::new(channels, channels, [h, w]).groups(channels);
        chain.shape = [1, 1, channels];
        let dim = chain.dim;
        chain
            .add("gdconv", global.bias(false))
            .add("bn4", BatchNorm::new(channels))
            .flat_embedding(|fc| fc.bias(false))
            .add("bn5", BatchNorm::new(dim))
            .layers
    }

    fn small(self) -> Self {
        MobileFaceNet {
            width: 3,
            rows: &const { [row(2, 1, 2, 2)] },
        }
    }
}

/// 1x1 to more channels, 3x3 depthwise, 1x1 to fewer without an activation, and the input where
/// it has the same shape.
fn bottleneck<'a, T: Float>(
    mut chain: Chain<'a, T>,
    name: String,
    row: &Bottlenecks,
    width: usize,
    stride: usize,
) -> Chain<'a, T> {
    let outputs = row.widths * width;
    chain.stride(stride);
    let inputs = chain.channels(outputs);
    let (hidden, pieces) = (row.expansion * inputs, chain.pieces);
    let layers = Sequential::new()
        .add("conv1", pointwise(inputs, hidden))
        .add("bn1", BatchNorm::new(hidden));
    let layers = pieces
        .prelu(layers, "prelu1", hidden)
        .add("dw", depthwise(hidden, stride))
        .add("bn2", BatchNorm::new(hidden));
    let layers = pieces
        .prelu(layers, "prelu2", hidden)
        .add("conv2", pointwise(hidden, outputs))
        .add("bn3", BatchNorm::new(outputs));
    if stride == 1 && inputs == outputs {
        chain.add(name, Residual::new(layers))
    } else {
        chain.add(name, layers)
    }
}

fn pointwise(inputs: usize, outputs: usize) -> Conv2d {
    Conv2d::new(inputs, outputs, 1).bias(false)
}

fn depthwise(channels: usize, stride: usize) -> Conv2d {
    Conv2d::new(channels, channels, 3)
        .padding(1)
        .stride(stride)
        .groups(channels)
        .bias(false)
}
