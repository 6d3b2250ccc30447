//! The fully connected layer.

use crate::export::{ExportError, Exporter, Operator, Value};
use crate::init::Init;
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, ParamId, Var};

/// `y = x Wᵀ + b` of rows: `[N, in]` to `[N, out]`.
///
/// Parameters: `weight [out, in]`, from [`Init::HE`] unless set, and `bias [out]`, from 0.
#[derive(Clone, Debug)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
    bias: bool,
    init: Init,
}

impl Linear {
    /// From `inputs` numbers to `outputs`, with a bias.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Linear {
            inputs,
            outputs,
            bias: true,
            init: Init::HE,
        }
    }

    /// Whether there is a bias. A layer before batch normalisation needs none.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// How the weight begins.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }
}

impl<T: Float> Build<T> for Linear {
    type Module = LinearModule;

    fn build(self, scope: &mut Scope<'_, T>) -> LinearModule {
        let zero = Init::Constant(0.0);
        let weight = scope.param("weight", [self.outputs, self.inputs], self.init);
        let bias = self.bias.then(|| scope.param("bias", [self.outputs], zero));
        LinearModule { weight, bias }
    }
}

/// A [`Linear`] layer with its parameters.
#[derive(Clone, Debug)]
pub struct LinearModule {
    /// `[out, in]`.
    pub weight: ParamId,
    /// `[out]`.
    pub bias: Option<ParamId>,
}

impl<T: Float> Module<T> for LinearModule {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let y = x.matmul_nt(&pass.param(self.weight));
        match self.bias {
            Some(bias) => &y + &pass.param(bias),
            None => y,
        }
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let mut operands = vec![x, to.param(self.weight)];
        operands.extend(self.bias.map(|id| to.param(id)));
        Ok(to.apply(Operator::Linear, &operands))
    }
}
