//! The residual block.

use super::{Activation, BatchNorm, BatchNormModule, Conv2d, Conv2dModule};
use crate::init::Init;
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, Var};

/// The basic block of ResNet-18 and -34 (He et al. 2016, arXiv:1512.03385):
/// `[N, H, W, in]` to `[N, ⌈H/stride⌉, ⌈W/stride⌉, out]`.
///
/// ```text
/// y = act(bn2(conv2(act(bn1(conv1(x))))) + shortcut(x))
/// ```
///
/// `conv1` (with the stride) and `conv2` are 3x3 with padding 1, without bias. The shortcut is
/// the identity, or, where the shape changes, a 1x1 convolution with the stride and batch
/// normalisation (`shortcut.conv`, `shortcut.bn`).
#[derive(Clone, Debug)]
pub struct BasicBlock {
    inputs: usize,
    outputs: usize,
    stride: usize,
    activation: Activation,
}

impl BasicBlock {
    /// From `inputs` channels to `outputs`, with stride 1 and ReLU.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        BasicBlock {
            inputs,
            outputs,
            stride: 1,
            activation: Activation::Relu,
        }
    }

    /// The stride of the first convolution and of the shortcut.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// What takes the place of both ReLUs.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
}

impl<T: Float> Build<T> for BasicBlock {
    type Module = BasicBlockModule;

    fn build(self, scope: &mut Scope<'_, T>) -> BasicBlockModule {
        let conv = |inputs, kernel: usize, stride| {
            Conv2d::new(inputs, self.outputs, kernel)
                .padding(kernel / 2)
                .stride(stride)
                .bias(false)
                .init(Init::HE_FAN_OUT)
        };
        let fused = self.activation == Activation::Relu;
        let norm = BatchNorm::new(self.outputs);
        let first = if fused {
            norm.clone().relu()
        } else {
            norm.clone()
        };
        let changes = self.stride != 1 || self.inputs != self.outputs;
        BasicBlockModule {
            conv1: conv(self.inputs, 3, self.stride).build(&mut scope.child("conv1")),
            bn1: first.build(&mut scope.child("bn1")),
            conv2: conv(self.outputs, 3, 1).build(&mut scope.child("conv2")),
            bn2: norm.clone().build(&mut scope.child("bn2")),
            shortcut: changes.then(|| {
                let mut scope = scope.child("shortcut");
                let conv = conv(self.inputs, 1, self.stride).build(&mut scope.child("conv"));
                (conv, norm.build(&mut scope.child("bn")))
            }),
            activation: self.activation,
        }
    }
}

/// A [`BasicBlock`] with its parameters.
#[derive(Clone, Debug)]
pub struct BasicBlockModule {
    conv1: Conv2dModule,
    bn1: BatchNormModule,
    conv2: Conv2dModule,
    bn2: BatchNormModule,
    shortcut: Option<(Conv2dModule, BatchNormModule)>,
    activation: Activation,
}

impl<T: Float> Module<T> for BasicBlockModule {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let y = pass.layer("conv1", &self.conv1, x);
        let mut y = pass.layer("bn1", &self.bn1, &y);
        // The ReLU is part of bn1.
        if self.activation != Activation::Relu {
            y = self.activation.forward(pass, &y);
        }
        let y = pass.layer("conv2", &self.conv2, &y);
        let y = pass.layer("bn2", &self.bn2, &y);
        let sum = match &self.shortcut {
            None => &y + x,
            Some((conv, bn)) => {
                let x = pass.layer("shortcut.conv", conv, x);
                &y + &pass.layer("shortcut.bn", bn, &x)
            }
        };
        self.activation.forward(pass, &sum)
    }
}
