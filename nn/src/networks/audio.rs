//! Networks for log-mel spectrograms `[N, mel, frames, 1]`, after Kong et al. 2020, PANNs
//! (arXiv:1912.10211).

use super::Family;
use super::chain::Chain;
use super::options::Pooling;
use crate::export::{ExportError, Exporter, Operator, Value};
use crate::init::{Distribution, Init};
use crate::layers::{BatchNorm, BatchNormModule, Conv2d, Dropout, Sequential};
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, Var};

/// Every mel band normalised by itself, four stages of convolutions with batch normalisation and
/// ReLU, each stage followed by 2x2 mean-pooling and dropout of 0.2, then the mean over the
/// frequencies, the maximum plus the mean over time, and a linear layer. For the published `width`
/// of 64:
///
/// ```text
/// CNN6   64 | 128 | 256 | 512            of 5x5
/// CNN10  64 64 | 128 128 | 256 256 | 512 512   of 3x3
/// ```
///
/// The published networks have a dropout of 0.5 in front of the linear layer, which is the
/// option `dropout` here, and a ReLU behind it. That is left out, because losses on the angle need
/// the whole sphere, not only its positive part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AudioCnn {
    /// The channels of the first stage, doubled in each later one.
    pub width: usize,
    /// The convolutions of a stage.
    pub convolutions: usize,
    /// Their size.
    pub kernel: usize,
    /// The number of stages.
    pub stages: usize,
}

impl Family for AudioCnn {
    fn layers<T: Float>(self, mut chain: Chain<'_, T>) -> Sequential<T> {
        let bands = chain.shape[0];
        chain = chain.add("bn0", BandNorm(BatchNorm::new(bands)));
        for stage in 0..self.stages {
            for _ in 0..self.convolutions {
                let width = self.width << stage;
                let (n, inputs) = chain.next_convolution(width);
                let conv = Conv2d::new(inputs, width, self.kernel)
                    .padding(self.kernel / 2)
                    .bias(false)
                    .init(XAVIER);
                chain = chain
                    .add(format!("conv{n}"), conv)
                    .bn_relu(format!("bn{n}"));
            }
            chain = chain
                .mean_pool(2)
                .add(format!("drop{}", stage + 1), Dropout::new(0.2));
        }
        chain
            .pool(Pooling::MeanMax)
            .flat_embedding(|fc| fc.init(XAVIER))
            .layers
    }

    fn small(self) -> Self {
        AudioCnn {
            width: 3,
            stages: 2,
            ..self
        }
    }
}

const XAVIER: Init = Init::Xavier {
    gain: 1.0,
    distribution: Distribution::Uniform,
};

/// Batch normalisation of the rows of images, as if they were channels.
struct BandNorm(BatchNorm);

impl<T: Float> Build<T> for BandNorm {
    type Module = BandNormModule;

    fn build(self, scope: &mut Scope<'_, T>) -> BandNormModule {
        BandNormModule(self.0.build(scope))
    }
}

struct BandNormModule(BatchNormModule);

impl<T: Float> Module<T> for BandNormModule {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let y = self.0.forward(pass, &x.permute(&[0, 2, 3, 1]));
        y.permute(&[0, 3, 1, 2])
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        // Rows and channels change places.
        let swap = || Operator::Transpose(vec![0, 2, 1, 3]);
        let bands = to.apply(swap(), &[x]);
        let y = self.0.export(to, bands)?;
        Ok(to.apply(swap(), &[y]))
    }
}
