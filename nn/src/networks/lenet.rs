//! LeNet++.

use super::Family;
use super::chain::Chain;
use crate::init::{Distribution, Fan, Init};
use crate::layers::{Conv2d, Sequential};
use engine::Float;

/// 5x5 convolutions with PReLU, for the published `width` of 32:
///
/// ```text
/// 32 32 | pool | 64 64 | pool | 128 128 | pool | fc
/// ```
///
/// Max-pooling is 2x2 and drops an odd last row, where the authors' framework kept it. Some
/// versions put a PReLU behind the embedding too; here it stays linear, so that it can point in
/// every direction alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeNetPlusPlus {
    /// The channels of the first stage, doubled in each later one.
    pub width: usize,
}

impl Family for LeNetPlusPlus {
    fn layers<T: Float>(self, mut chain: Chain<'_, T>) -> Sequential<T> {
        for channels in [self.width, 2 * self.width, 4 * self.width] {
            chain = conv(conv(chain, channels), channels).max_pool(2, 2);
        }
        let init = Init::Xavier {
            gain: 1.0,
            distribution: Distribution::Normal,
        };
        chain.flat_embedding(|fc| fc.init(init)).layers
    }

    fn small(self) -> Self {
        LeNetPlusPlus { width: 4 }
    }
}

fn conv<T: Float>(mut chain: Chain<'_, T>, channels: usize) -> Chain<'_, T> {
    let (n, inputs) = chain.next_convolution(channels);
    let init = Init::Kaiming {
        fan: Fan::In,
        slope: 0.25,
        distribution: Distribution::Normal,
    };
    let layer = Conv2d::new(inputs, channels, 5).padding(2).init(init);
    chain
        .add(format!("conv{n}"), layer)
        .prelu(format!("prelu{n}"))
}
