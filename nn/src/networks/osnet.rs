//! OSNet (Zhou et al. 2019, arXiv:1905.00953), without instance normalisation.

use super::Family;
use super::chain::Chain;
use super::options::Pooling;
use crate::export::{ExportError, Exporter, Operator, Value};
use crate::init::Init;
use crate::layers::{
    Activation, BatchNorm, ChannelGate, ChannelGateModule, Conv2d, Residual, Sequential,
    SequentialModule, Shortcut,
};
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, Var};

/// The stem of ResNet-50, three stages of omni-scale blocks with 1x1 convolutions and
/// mean-pooling between them, a 1x1 convolution, the mean of each channel, and the embedding: a
/// linear layer with batch normalisation.
///
/// The published network has one more ReLU behind the embedding. It is left out, because losses
/// on the angle need the whole sphere, not only its positive part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OsNet {
    /// The channels of the stem and of the stages.
    pub widths: &'static [usize],
    /// The blocks of a stage.
    pub blocks: usize,
    /// A stream of a block has this fraction of its channels,
    pub bottleneck: usize,
    /// and the hidden layer of its gate this fraction of those.
    pub gate: usize,
}

impl OsNet {
    /// Of the published depth with these channels.
    pub const fn of(widths: &'static [usize; 4]) -> Self {
        OsNet {
            widths,
            blocks: 2,
            bottleneck: 4,
            gate: 16,
        }
    }
}

impl Family for OsNet {
    fn layers<T: Float>(self, mut chain: Chain<'_, T>) -> Sequential<T> {
        let (&stem, stages) = self.widths.split_first().expect("there is a stem");
        let (n, inputs) = chain.next_convolution(stem);
        let first = Conv2d::new(inputs, stem, 7).padding(3).stride(2);
        chain = chain
            .add(format!("conv{n}"), first.bias(false).init(Init::HE_FAN_OUT))
            .bn_relu("bn1");
        chain.stride(2);
        chain = chain.padded_max_pool(3, 2, 1);
        for (stage, &width) in stages.iter().enumerate() {
            for n in 0..self.blocks {
                let inputs = chain.channels(width);
                let block = self.block(inputs, width, chain.pieces.relu());
                chain = chain.add(format!("layer{}.{n}", stage + 1), block);
            }
            chain = chain.conv_bn_relu(width, 1);
            if stage + 1 < stages.len() {
                chain = chain.mean_pool(2);
            }
        }
        let dim = chain.dim;
        chain
            .pool(Pooling::Avg)
            .flat_embedding(|fc| fc.bias(false))
            .add("bn", BatchNorm::new(dim))
            .layers
    }

    fn small(self) -> Self {
        OsNet {
            widths: &[3, 4],
            blocks: 1,
            bottleneck: 2,
            gate: 1,
        }
    }
}

impl OsNet {
    /// ```text
    /// y = relu(bn3(conv3(streams(relu(bn1(conv1(x)))))) + shortcut(x))
    /// ```
    fn block<T: Float>(self, inputs: usize, outputs: usize, relu: Activation) -> Residual<T> {
        let channels = outputs / self.bottleneck;
        let streams = Streams {
            channels,
            hidden: (channels / self.gate).max(1),
            relu,
        };
        let branch = Sequential::new()
            .add("conv1", pointwise(inputs, channels))
            .add("bn1", BatchNorm::new(channels).activation(relu))
            .add("streams", streams)
            .add("conv3", pointwise(channels, outputs))
            .add("bn3", BatchNorm::new(outputs));
        Residual::new(branch)
            .shortcut(Shortcut::Projection.layers(inputs, outputs, 1))
            .activation(relu)
    }
}

/// Four streams of one to four light convolutions, which see 3x3 to 9x9 pixels; the sum of what
/// one gate, shared by all, lets through. A light convolution is a 1x1 and a depthwise 3x3
/// convolution, batch normalisation and ReLU.
struct Streams {
    channels: usize,
    hidden: usize,
    relu: Activation,
}

impl<T: Float> Build<T> for Streams {
    type Module = StreamsModule<T>;

    fn build(self, scope: &mut Scope<'_, T>) -> StreamsModule<T> {
        let Streams {
            channels,
            hidden,
            relu,
        } = self;
        let streams = ["a", "b", "c", "d"].map(String::from);
        let streams = streams.into_iter().enumerate().map(|(more, name)| {
            let mut layers = Sequential::new();
            for n in 1..more + 2 {
                let depthwise = Conv2d::new(channels, channels, 3)
                    .padding(1)
                    .groups(channels);
                layers = layers
                    .add(format!("conv{n}"), pointwise(channels, channels))
                    .add(
                        format!("dw{n}"),
                        depthwise.bias(false).init(Init::HE_FAN_OUT),
                    )
                    .add(format!("bn{n}"), BatchNorm::new(channels).activation(relu));
            }
            let module = layers.build(&mut scope.child(&name));
            (name, module)
        });
        let streams = streams.collect();
        let gate = ChannelGate::new(channels, hidden).activation(relu);
        StreamsModule {
            streams,
            gate: gate.build(&mut scope.child("gate")),
        }
    }
}

struct StreamsModule<T: Float> {
    streams: Vec<(String, SequentialModule<T>)>,
    gate: ChannelGateModule,
}

impl<T: Float> Module<T> for StreamsModule<T> {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let gated = |pass: &mut Pass<'_, T>, (name, stream): &(String, SequentialModule<T>)| {
            let y = pass.layer(name, stream, x);
            pass.layer("gate", &self.gate, &y)
        };
        let (first, others) = self.streams.split_first().expect("there are four");
        let mut sum = gated(pass, first);
        for stream in others {
            sum = &sum + &gated(pass, stream);
        }
        sum
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let mut gated = |(name, stream): &(String, SequentialModule<T>)| {
            let y = to.layer(name, stream, x)?;
            to.layer("gate", &self.gate, y)
        };
        let gated: Vec<Value> = self
            .streams
            .iter()
            .map(&mut gated)
            .collect::<Result<_, _>>()?;
        let sum = gated
            .into_iter()
            .reduce(|sum, y| to.apply(Operator::Add, &[sum, y]));
        Ok(sum.expect("there are four"))
    }
}

fn pointwise(inputs: usize, outputs: usize) -> Conv2d {
    Conv2d::new(inputs, outputs, 1)
        .bias(false)
        .init(Init::HE_FAN_OUT)
}
