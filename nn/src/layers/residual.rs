//! Residual blocks (He et al. 2016, arXiv:1512.03385): a branch beside a shortcut.

use super::{Activation, BatchNorm, Conv2d, Sequential, SequentialModule};
use crate::export::{ExportError, Exporter, Operator, Value};
use crate::init::Init;
use crate::module::{Build, Module, Pass, Scope};
use engine::ops::Window;
use engine::{Float, Var};

/// `y = act(branch(x) + shortcut(x))`.
///
/// The parameters of the branch are called `<layer>.<parameter>`, those of the shortcut
/// `shortcut.<layer>.<parameter>`.
///
/// ```
/// use engine::{Params, Tensor, Var};
/// use nn::layers::{Activation, Linear, Residual};
/// use nn::{Build, Module, Pass, Scope, Sequential};
/// let mut params = Params::<f32>::new();
/// let branch = Sequential::new()
///     .add("fc1", Linear::new(4, 16))
///     .add("act", Activation::Relu)
///     .add("fc2", Linear::new(16, 4));
/// let block = Residual::new(branch)
///     .activation(Activation::Relu)
///     .build(&mut Scope::root(&mut params, 0));
/// let x = Var::constant(Tensor::zeros([2, 4]));
/// assert_eq!(block.forward(&mut Pass::eval(&params), &x).shape(), [2, 4].into());
/// ```
pub struct Residual<T: Float> {
    branch: Sequential<T>,
    shortcut: Option<Sequential<T>>,
    activation: Option<Activation>,
}

impl<T: Float> Residual<T> {
    /// `branch(x) + x`.
    pub fn new(branch: Sequential<T>) -> Self {
        Residual {
            branch,
            shortcut: None,
            activation: None,
        }
    }

    /// What stands beside the branch instead of the identity; `None` is the identity.
    pub fn shortcut(mut self, shortcut: Option<Sequential<T>>) -> Self {
        self.shortcut = shortcut;
        self
    }

    /// What the sum goes through; nothing unless set.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }
}

impl<T: Float> Build<T> for Residual<T> {
    type Module = ResidualModule<T>;

    fn build(self, scope: &mut Scope<'_, T>) -> ResidualModule<T> {
        ResidualModule {
            branch: self.branch.build(scope),
            shortcut: self.shortcut.map(|s| s.build(&mut scope.child("shortcut"))),
            activation: self.activation,
        }
    }
}

/// A [`Residual`] block with its parameters.
pub struct ResidualModule<T: Float> {
    branch: SequentialModule<T>,
    shortcut: Option<SequentialModule<T>>,
    activation: Option<Activation>,
}

impl<T: Float> Module<T> for ResidualModule<T> {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let y = self.branch.forward(pass, x);
        let skipped = match &self.shortcut {
            None => x.clone(),
            Some(shortcut) => pass.layer("shortcut", shortcut, x),
        };
        activated_sum(self.activation, pass, &y, &skipped)
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let y = self.branch.export(to, x)?;
        let skipped = match &self.shortcut {
            None => x,
            Some(shortcut) => to.layer("shortcut", shortcut, x)?,
        };
        let sum = to.apply(Operator::Add, &[y, skipped]);
        match self.activation {
            None => Ok(sum),
            Some(activation) => activation.export(to, sum),
        }
    }
}

/// `act(a + b)`, in which every residual block ends.
fn activated_sum<T: Float>(
    activation: Option<Activation>,
    pass: &mut Pass<'_, T>,
    a: &Var<T>,
    b: &Var<T>,
) -> Var<T> {
    match activation {
        Some(Activation::Relu) => a.add_relu(b),
        Some(activation) => activation.forward(pass, &(a + b)),
        None => a + b,
    }
}

/// The shortcut of a block that changes the shape of its input (section 3.3 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// A 1x1 convolution with the stride, then batch normalisation (`shortcut.conv`,
    /// `shortcut.bn`). The paper's option B.
    Projection,
    /// Every stride-th pixel of every stride-th row, with as many channels of zeros on both
    /// sides as there are channels to add: no parameters. The paper's option A.
    Pad,
}

impl Shortcut {
    /// From `inputs` channels to `outputs`; `None` is the identity.
    ///
    /// # Panics
    /// If [`Pad`](Shortcut::Pad) is to remove channels.
    pub fn layers<T: Float>(
        self,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Option<Sequential<T>> {
        if stride == 1 && inputs == outputs {
            return None;
        }
        let layers = Sequential::new();
        Some(match self {
            Shortcut::Projection => layers
                .add("conv", conv(inputs, outputs, 1, stride))
                .add("bn", BatchNorm::new(outputs)),
            Shortcut::Pad => {
                assert!(
                    outputs >= inputs,
                    "a shortcut without parameters cannot go from {inputs} to {outputs} channels"
                );
                let before = (outputs - inputs) / 2;
                let after = outputs - inputs - before;
                let pad = Subsample {
                    stride,
                    before,
                    after,
                };
                layers.add("pad", pad)
            }
        })
    }
}

/// The shortcut without parameters.
#[derive(Clone, Copy, Debug)]
struct Subsample {
    stride: usize,
    before: usize,
    after: usize,
}

impl<T: Float> Build<T> for Subsample {
    type Module = Self;

    fn build(self, _: &mut Scope<'_, T>) -> Self {
        self
    }
}

impl<T: Float> Module<T> for Subsample {
    fn forward(&self, _: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        // Windows of one pixel pick every stride-th one.
        x.avg_pool2d(Window::square(1, self.stride, 0), true)
            .pad(3, self.before, self.after)
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let pick = Operator::AvgPool {
            window: Window::square(1, self.stride, 0),
            count_padding: true,
        };
        let picked = to.apply(pick, &[x]);
        let pad = Operator::Pad {
            axis: 1,
            before: self.before,
            after: self.after,
        };
        Ok(to.apply(pad, &[picked]))
    }
}

/// The basic block of ResNet-18 and -34 (He et al. 2016, arXiv:1512.03385):
/// `[N, H, W, in]` to `[N, ⌈H/stride⌉, ⌈W/stride⌉, out]`.
///
/// ```text
/// y = act(bn2(conv2(act(bn1(conv1(x))))) + shortcut(x))
/// ```
///
/// `conv1` (with the stride) and `conv2` are 3x3 with padding 1, without bias. The shortcut is
/// the identity or, where the shape changes, a [`Shortcut`].
#[derive(Clone, Debug)]
pub struct BasicBlock {
    inputs: usize,
    outputs: usize,
    stride: usize,
    shortcut: Shortcut,
    activation: Activation,
}

impl BasicBlock {
    /// From `inputs` channels to `outputs`, with stride 1, a projection where one is needed, and
    /// ReLU.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        BasicBlock {
            inputs,
            outputs,
            stride: 1,
            shortcut: Shortcut::Projection,
            activation: Activation::Relu,
        }
    }

    /// The stride of the first convolution and of the shortcut.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// The shortcut where the shape changes.
    pub fn shortcut(mut self, shortcut: Shortcut) -> Self {
        self.shortcut = shortcut;
        self
    }

    /// What takes the place of both ReLUs.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
}

impl<T: Float> Build<T> for BasicBlock {
    type Module = ResidualModule<T>;

    fn build(self, scope: &mut Scope<'_, T>) -> ResidualModule<T> {
        let BasicBlock {
            inputs,
            outputs,
            stride,
            activation,
            ..
        } = self;
        let branch = Sequential::new()
            .add("conv1", conv(inputs, outputs, 3, stride))
            .add("bn1", BatchNorm::new(outputs).activation(activation))
            .add("conv2", conv(outputs, outputs, 3, 1))
            .add("bn2", BatchNorm::new(outputs));
        Residual::new(branch)
            .shortcut(self.shortcut.layers(inputs, outputs, stride))
            .activation(activation)
            .build(scope)
    }
}

/// The bottleneck block of ResNet-50 (He et al. 2016, arXiv:1512.03385):
/// `[N, H, W, in]` to `[N, ⌈H/stride⌉, ⌈W/stride⌉, 4·width]`.
///
/// ```text
/// y = act(bn3(conv3(act(bn2(conv2(act(bn1(conv1(x)))))))) + shortcut(x))
/// ```
///
/// `conv1` and `conv3` are 1x1, `conv2` is 3x3 with padding 1 and, as in torchvision, has the
/// stride; the paper has it in `conv1`. No convolution has a bias. The shortcut is the identity
/// or, where the shape changes, a [`Shortcut::Projection`].
#[derive(Clone, Debug)]
pub struct Bottleneck {
    inputs: usize,
    width: usize,
    stride: usize,
    activation: Activation,
}

impl Bottleneck {
    /// How many times more channels leave the block than `conv2` has.
    pub const EXPANSION: usize = 4;

    /// From `inputs` channels over `width` to `4·width`, with stride 1 and ReLU.
    pub fn new(inputs: usize, width: usize) -> Self {
        Bottleneck {
            inputs,
            width,
            stride: 1,
            activation: Activation::Relu,
        }
    }

    /// The stride of the second convolution and of the shortcut.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// What takes the place of all three ReLUs.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
}

impl<T: Float> Build<T> for Bottleneck {
    type Module = ResidualModule<T>;

    fn build(self, scope: &mut Scope<'_, T>) -> ResidualModule<T> {
        let Bottleneck {
            inputs,
            width,
            stride,
            activation,
        } = self;
        let outputs = Self::EXPANSION * width;
        let norm = BatchNorm::new(width).activation(activation);
        let branch = Sequential::new()
            .add("conv1", conv(inputs, width, 1, 1))
            .add("bn1", norm.clone())
            .add("conv2", conv(width, width, 3, stride))
            .add("bn2", norm)
            .add("conv3", conv(width, outputs, 1, 1))
            .add("bn3", BatchNorm::new(outputs));
        Residual::new(branch)
            .shortcut(Shortcut::Projection.layers(inputs, outputs, stride))
            .activation(activation)
            .build(scope)
    }
}

/// A convolution that keeps the size but for the stride, to be followed by a normalisation.
fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d::new(inputs, outputs, kernel)
        .padding(kernel / 2)
        .stride(stride)
        .bias(false)
        .init(Init::HE_FAN_OUT)
}
