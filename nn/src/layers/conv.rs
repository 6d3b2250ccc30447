//! The convolutional layer.

use crate::export::{ExportError, Exporter, Operator, Value};
use crate::init::Init;
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, ParamId, Var, ops};

/// Two sizes, `[vertical, horizontal]`; one number stands for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(both: usize) -> Self {
        Pair([both; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Self {
        Pair(pair)
    }
}

/// Convolution of `[N, H, W, in]` to `[N, H', W', out]`, with
/// `H' = ⌊(H + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1`; see [`ops::Conv2d`].
///
/// Parameters: `weight [kh, kw, in/groups, out]`, from [`Init::HE`] unless set, and
/// `bias [out]`, from 0.
#[derive(Clone, Debug)]
pub struct Conv2d {
    inputs: usize,
    outputs: usize,
    kernel: [usize; 2],
    settings: ops::Conv2d,
    bias: bool,
    init: Init,
}

impl Conv2d {
    /// From `inputs` channels to `outputs`: stride 1, no padding, no dilation, one group, with a
    /// bias.
    pub fn new(inputs: usize, outputs: usize, kernel: impl Into<Pair>) -> Self {
        Conv2d {
            inputs,
            outputs,
            kernel: kernel.into().0,
            settings: ops::Conv2d::default(),
            bias: true,
            init: Init::HE,
        }
    }

    /// Steps between neighbouring outputs.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.settings.stride = stride.into().0;
        self
    }

    /// Zeros added on each side.
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.settings.padding = padding.into().0;
        self
    }

    /// Steps between neighbouring taps of the kernel.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.settings.dilation = dilation.into().0;
        self
    }

    /// Groups of channels that do not mix; as many as input channels make it depthwise.
    pub fn groups(mut self, groups: usize) -> Self {
        self.settings.groups = groups;
        self
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

impl<T: Float> Build<T> for Conv2d {
    type Module = Conv2dModule;

    fn build(self, scope: &mut Scope<'_, T>) -> Conv2dModule {
        let [kh, kw] = self.kernel;
        let groups = self.settings.groups;
        let (inputs, outputs) = (self.inputs, self.outputs);
        assert!(
            groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups),
            "a convolution from {inputs} to {outputs} channels cannot have {groups} groups"
        );
        let zero = Init::Constant(0.0);
        let shape = [kh, kw, inputs / groups, outputs];
        Conv2dModule {
            weight: scope.param("weight", shape, self.init),
            bias: self.bias.then(|| scope.param("bias", [outputs], zero)),
            settings: self.settings,
        }
    }
}

/// A [`Conv2d`] layer with its parameters.
#[derive(Clone, Debug)]
pub struct Conv2dModule {
    /// `[kh, kw, in/groups, out]`.
    pub weight: ParamId,
    /// `[out]`.
    pub bias: Option<ParamId>,
    settings: ops::Conv2d,
}

impl<T: Float> Module<T> for Conv2dModule {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let bias = self.bias.map(|id| pass.param(id));
        x.conv2d(&pass.param(self.weight), bias.as_ref(), self.settings)
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let mut operands = vec![x, to.kernel(self.weight)];
        operands.extend(self.bias.map(|id| to.param(id)));
        Ok(to.apply(Operator::Conv(self.settings), &operands))
    }
}
