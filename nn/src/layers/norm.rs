//! Batch normalisation with its running statistics.

use super::Activation;
use crate::export::{ExportError, Exporter, Operator, Value};
use crate::init::Init;
use crate::module::{Build, Module, Pass, Scope};
use engine::ops::{self, RunningStats};
use engine::{BufferId, Float, ParamId, Tensor, Var, apply_and_look};

/// Normalises each channel, the last axis of `[N, C]` or `[N, H, W, C]`, then scales and shifts
/// it: `y = γ (x − μ) / √(σ² + ε) + β`, optionally followed by an activation.
///
/// In training μ and σ² are the mean and the biased variance of the batch, and the running
/// statistics move towards them: `running ← (1 − momentum) running + momentum · batch`, where the
/// running variance takes in the unbiased variance, as in PyTorch. In evaluation the running
/// statistics are used.
///
/// Parameters: `weight [C]` (γ), from 1, and `bias [C]` (β), from 0. Buffers: `running_mean [C]`,
/// from 0, and `running_var [C]`, from 1.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    channels: usize,
    momentum: f64,
    epsilon: f64,
    activation: Option<Activation>,
    fixed_scale: bool,
    fixed_shift: bool,
}

impl BatchNorm {
    /// For `channels` channels, with momentum 0.1 and ε = 1e-5, without an activation.
    pub fn new(channels: usize) -> Self {
        BatchNorm {
            channels,
            momentum: 0.1,
            epsilon: 1e-5,
            activation: None,
            fixed_scale: false,
            fixed_shift: false,
        }
    }

    /// Follows the normalisation with a ReLU in the same pass over memory.
    pub fn relu(self) -> Self {
        self.activation(Activation::Relu)
    }

    /// Follows the normalisation with an activation; a ReLU costs no further pass over memory.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Keeps γ at 1: it is not trained.
    pub fn fixed_scale(mut self) -> Self {
        self.fixed_scale = true;
        self
    }

    /// Keeps β at 0: it is not trained. Between an embedding and its classifier this is the
    /// "BNNeck" of Luo et al. 2019 (arXiv:1903.07071), who train the classifier, without bias, on
    /// what comes out of it and losses of distances on what goes in.
    pub fn fixed_shift(mut self) -> Self {
        self.fixed_shift = true;
        self
    }

    /// The weight of a batch in the running statistics.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// The number added to the variance.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl<T: Float> Build<T> for BatchNorm {
    type Module = BatchNormModule;

    fn build(self, scope: &mut Scope<'_, T>) -> BatchNormModule {
        let c = [self.channels];
        let weight = scope.param("weight", c, Init::Constant(1.0));
        let bias = scope.param("bias", c, Init::Constant(0.0));
        scope.params().param_mut(weight).trainable = !self.fixed_scale;
        scope.params().param_mut(bias).trainable = !self.fixed_shift;
        BatchNormModule {
            weight,
            bias,
            running_mean: scope.buffer("running_mean", Tensor::zeros(c)),
            running_var: scope.buffer("running_var", Tensor::full(c, T::ONE)),
            settings: self,
        }
    }
}

/// A [`BatchNorm`] layer with its parameters and buffers, all of shape `[C]`.
#[derive(Clone, Debug)]
pub struct BatchNormModule {
    /// γ.
    pub weight: ParamId,
    /// β.
    pub bias: ParamId,
    /// The running mean.
    pub running_mean: BufferId,
    /// The running variance.
    pub running_var: BufferId,
    settings: BatchNorm,
}

impl<T: Float> Module<T> for BatchNormModule {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let params = pass.params();
        let fixed = |id| -> Vec<f64> {
            let buffer = params.buffer(id);
            buffer.data().iter().map(|x| x.to_f64()).collect()
        };
        let op = ops::BatchNorm {
            epsilon: self.settings.epsilon,
            relu: self.settings.activation == Some(Activation::Relu),
            running: (!pass.is_training()).then(|| RunningStats {
                mean: fixed(self.running_mean).into(),
                variance: fixed(self.running_var).into(),
            }),
        };
        let operands = [x, &pass.param(self.weight), &pass.param(self.bias)];
        let update = |id, batch: &Tensor<T>, correction: f64| {
            let keep = T::of(1.0 - self.settings.momentum);
            let take = T::of(self.settings.momentum * correction);
            let mut running = params.buffer(id);
            running.zip_assign(batch, |r, b| keep * r + take * b);
            params.set_buffer(id, running);
        };
        let y = apply_and_look(op, operands, |saved: &ops::BatchNormSaved<T>| {
            if pass.is_training() {
                let rows = saved.rows as f64;
                update(self.running_mean, &saved.mean, 1.0);
                update(self.running_var, &saved.variance, rows / (rows - 1.0));
            }
        });
        let y = y.unwrap_or_else(|e| panic!("{e}"));
        match self.settings.activation {
            None | Some(Activation::Relu) => y,
            Some(other) => other.forward(pass, &y),
        }
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let epsilon = self.settings.epsilon;
        let [scale, shift] = [self.weight, self.bias].map(|id| to.param(id));
        let [mean, variance] = [self.running_mean, self.running_var].map(|id| to.buffer(id));
        let operands = [x, scale, shift, mean, variance];
        let y = to.apply(Operator::BatchNorm { epsilon }, &operands);
        match self.settings.activation {
            None => Ok(y),
            Some(activation) => activation.export(to, y),
        }
    }
}
