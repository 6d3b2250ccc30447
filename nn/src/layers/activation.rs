//! Activations: functions of single numbers.

use crate::export::{ExportError, Exporter, Operator, Value};
use crate::init::Init;
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, ParamId, Var};
use std::f64::consts::FRAC_1_SQRT_2;

/// A fixed function of each element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x where positive, else this slope times x.
    LeakyRelu(f64),
    /// x Φ(x), Φ being the normal distribution function.
    Gelu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// ln(1 + eˣ).
    Softplus,
}

impl<T: Float> Module<T> for Activation {
    fn forward(&self, _: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        match *self {
            Activation::Relu => x.relu(),
            Activation::LeakyRelu(slope) => x.leaky_relu(slope),
            Activation::Gelu => x.gelu(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Tanh => x.tanh(),
            Activation::Softplus => x.softplus(),
        }
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let operator = match *self {
            Activation::Relu => Operator::Relu,
            Activation::LeakyRelu(slope) => Operator::LeakyRelu { slope },
            Activation::Sigmoid => Operator::Sigmoid,
            Activation::Tanh => Operator::Tanh,
            Activation::Softplus => Operator::Softplus,
            Activation::Gelu => {
                // x/2 · (1 + erf(x/√2))
                let [half, one, narrow] = [0.5, 1.0, FRAC_1_SQRT_2].map(|c| to.scalar(c));
                let y = to.apply(Operator::Mul, &[x, narrow]);
                let y = to.apply(Operator::Erf, &[y]);
                let y = to.apply(Operator::Add, &[y, one]);
                let x = to.apply(Operator::Mul, &[x, half]);
                return Ok(to.apply(Operator::Mul, &[x, y]));
            }
        };
        Ok(to.apply(operator, &[x]))
    }
}

impl<T: Float> Build<T> for Activation {
    type Module = Self;

    fn build(self, _: &mut Scope<'_, T>) -> Self {
        self
    }
}

/// `x` where positive, else `a · x` with a learned slope: one per channel (the last axis), or one
/// in all. He et al. 2015, arXiv:1502.01852.
///
/// Parameter: `weight [C]` or `[1]`, from 0.25. The paper trains it without weight decay; see
/// [`exclude_vectors_from_decay`](crate::optim::exclude_vectors_from_decay).
#[derive(Clone, Debug)]
pub struct PRelu {
    slopes: usize,
    initial: f64,
}

impl PRelu {
    /// A slope for each of `channels` channels.
    pub fn new(channels: usize) -> Self {
        PRelu {
            slopes: channels,
            initial: 0.25,
        }
    }

    /// One slope for all channels.
    pub fn shared() -> Self {
        Self::new(1)
    }

    /// The slopes at the start.
    pub fn initial(mut self, slope: f64) -> Self {
        self.initial = slope;
        self
    }
}

impl<T: Float> Build<T> for PRelu {
    type Module = PReluModule;

    fn build(self, scope: &mut Scope<'_, T>) -> PReluModule {
        let weight = scope.param("weight", [self.slopes], Init::Constant(self.initial));
        PReluModule { weight }
    }
}

/// A [`PRelu`] layer with its parameter.
#[derive(Clone, Debug)]
pub struct PReluModule {
    /// `[C]` or `[1]`.
    pub weight: ParamId,
}

impl<T: Float> Module<T> for PReluModule {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        x.prelu(&pass.param(self.weight))
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let slope = to.channel_param(self.weight, x);
        Ok(to.apply(Operator::PRelu, &[x, slope]))
    }
}
