//! Gates on channels.

use super::{Activation, Linear, LinearModule};
use crate::export::{ExportError, Exporter, Operator, Reduction, Value};
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, Var};

/// Multiplies every channel of `[N, H, W, C]` by a number between 0 and 1 that depends on the
/// whole image: `x · sigmoid(fc2(act(fc1(mean of x))))`, "squeeze and excitation"
/// (Hu et al. 2018, arXiv:1709.01507).
///
/// Parameters: those of the linear layers `fc1` (C to the hidden size) and `fc2` (back to C), with
/// biases.
#[derive(Clone, Copy, Debug)]
pub struct ChannelGate {
    channels: usize,
    hidden: usize,
    activation: Activation,
}

impl ChannelGate {
    /// For `channels` channels, with `hidden` numbers between the linear layers and ReLU.
    pub fn new(channels: usize, hidden: usize) -> Self {
        ChannelGate {
            channels,
            hidden,
            activation: Activation::Relu,
        }
    }

    /// What takes the place of the ReLU.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
}

impl<T: Float> Build<T> for ChannelGate {
    type Module = ChannelGateModule;

    fn build(self, scope: &mut Scope<'_, T>) -> ChannelGateModule {
        let (channels, hidden) = (self.channels, self.hidden);
        ChannelGateModule {
            fc1: Linear::new(channels, hidden).build(&mut scope.child("fc1")),
            fc2: Linear::new(hidden, channels).build(&mut scope.child("fc2")),
            activation: self.activation,
        }
    }
}

/// A [`ChannelGate`] with its parameters.
#[derive(Clone, Debug)]
pub struct ChannelGateModule {
    fc1: LinearModule,
    fc2: LinearModule,
    activation: Activation,
}

impl<T: Float> Module<T> for ChannelGateModule {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let hidden = pass.layer("fc1", &self.fc1, &x.global_avg_pool());
        let hidden = self.activation.forward(pass, &hidden);
        let gate = pass.layer("fc2", &self.fc2, &hidden).sigmoid();
        let [n, c] = *gate.shape() else {
            unreachable!("a linear layer gives [N, C]")
        };
        x * &gate.reshape([n, 1, 1, c])
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let channels = to.shape(x)[1];
        let mean = to.apply(Reduction::Mean.over([2, 3]), &[x]);
        let hidden = to.layer("fc1", &self.fc1, mean)?;
        let hidden = self.activation.export(to, hidden)?;
        let gate = to.layer("fc2", &self.fc2, hidden)?;
        let gate = to.apply(Operator::Sigmoid, &[gate]);
        let gate = to.apply(Operator::Reshape([1, channels, 1, 1].into()), &[gate]);
        Ok(to.apply(Operator::Mul, &[x, gate]))
    }
}
