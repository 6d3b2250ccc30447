//! Pooling, and the step from images to vectors.

use super::Pair;
use crate::export::{ExportError, Exporter, Operator, Reduction, Value};
use crate::init::Init;
use crate::module::{Build, Module, Pass, Scope};
use engine::ops::Window;
use engine::{Float, ParamId, Var};

macro_rules! without_parameters {
    ($($layer:ty),*) => {$(
        impl<T: Float> Build<T> for $layer {
            type Module = Self;

            fn build(self, _: &mut Scope<'_, T>) -> Self {
                self
            }
        }
    )*};
}
without_parameters!(
    MaxPool2d,
    AvgPool2d,
    GlobalAvgPool,
    GlobalMaxPool,
    MeanMaxPool,
    Flatten
);

/// The largest number of each window and channel: `[N, H, W, C]` to `[N, H', W', C]`, with
/// `H' = ⌊(H + 2·padding − kernel) / stride⌋ + 1`. Padding never wins; of equal numbers the first
/// in row order takes the gradient.
#[derive(Clone, Debug)]
pub struct MaxPool2d {
    window: Window,
}

impl MaxPool2d {
    /// Windows side by side: the stride is the kernel.
    pub fn new(kernel: impl Into<Pair>) -> Self {
        MaxPool2d {
            window: side_by_side(kernel.into()),
        }
    }

    /// The way from one window to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.window.stride = stride.into().0;
        self
    }

    /// How far windows reach over the image on each side, at most half a window.
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.window.padding = padding.into().0;
        self
    }
}

impl<T: Float> Module<T> for MaxPool2d {
    fn forward(&self, _: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        x.max_pool2d(self.window)
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        Ok(to.apply(Operator::MaxPool(self.window), &[x]))
    }
}

/// The mean of each window and channel, sizes as in [`MaxPool2d`]. Padding counts as zeros, as
/// in PyTorch, unless told otherwise.
#[derive(Clone, Debug)]
pub struct AvgPool2d {
    window: Window,
    count_padding: bool,
}

impl AvgPool2d {
    /// Windows side by side: the stride is the kernel.
    pub fn new(kernel: impl Into<Pair>) -> Self {
        AvgPool2d {
            window: side_by_side(kernel.into()),
            count_padding: true,
        }
    }

    /// The way from one window to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.window.stride = stride.into().0;
        self
    }

    /// How far windows reach over the image on each side, at most half a window.
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.window.padding = padding.into().0;
        self
    }

    /// Whether the pixels of the padding count in the divisor.
    pub fn count_padding(mut self, count: bool) -> Self {
        self.count_padding = count;
        self
    }
}

impl<T: Float> Module<T> for AvgPool2d {
    fn forward(&self, _: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        x.avg_pool2d(self.window, self.count_padding)
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let pool = Operator::AvgPool {
            window: self.window,
            count_padding: self.count_padding,
        };
        Ok(to.apply(pool, &[x]))
    }
}

fn side_by_side(Pair(kernel): Pair) -> Window {
    Window {
        kernel,
        stride: kernel,
        padding: [0, 0],
    }
}

/// The mean of each channel: `[N, H, W, C]` to `[N, C]`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool;

impl<T: Float> Module<T> for GlobalAvgPool {
    fn forward(&self, _: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        x.global_avg_pool()
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        Ok(to.apply(Reduction::Mean.over([2, 3]), &[x]))
    }
}

/// The largest number of each channel: `[N, H, W, C]` to `[N, C]`. Of equals the first takes the
/// gradient.
#[derive(Clone, Copy, Debug)]
pub struct GlobalMaxPool;

impl<T: Float> Module<T> for GlobalMaxPool {
    fn forward(&self, _: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        x.max_over(1..3)
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        Ok(to.apply(Reduction::Max.over([2, 3]), &[x]))
    }
}

/// The mean over rows, then the maximum plus the mean over columns: `[N, H, W, C]` to `[N, C]`.
/// Of spectrograms `[N, mel, frames, C]` it takes the mean over the frequencies, and sees both
/// short and lasting sounds (Kong et al. 2020, PANNs, arXiv:1912.10211).
#[derive(Clone, Copy, Debug)]
pub struct MeanMaxPool;

impl<T: Float> Module<T> for MeanMaxPool {
    fn forward(&self, _: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let x = x.mean_over(1..2);
        &x.max_over(1..2) + &x.mean_over(1..2)
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let x = to.apply(Reduction::Mean.over([2]), &[x]);
        let largest = to.apply(Reduction::Max.over([2]), &[x]);
        let mean = to.apply(Reduction::Mean.over([2]), &[x]);
        Ok(to.apply(Operator::Add, &[largest, mean]))
    }
}

/// Generalised mean of each channel, `(mean of max(x, 1e-6)ᵖ)^(1/p)`: `[N, H, W, C]` to `[N, C]`.
/// The mean at p = 1, the maximum at p = ∞. Radenović et al. 2018 (arXiv:1711.02512).
///
/// Parameter: `p [1]`, from 3, learned.
#[derive(Clone, Copy, Debug)]
pub struct GemPool;

impl GemPool {
    /// The least value that is pooled. Powers of 0 have no logarithm.
    const FLOOR: f64 = 1e-6;
}

impl<T: Float> Build<T> for GemPool {
    type Module = GemPoolModule;

    fn build(self, scope: &mut Scope<'_, T>) -> GemPoolModule {
        GemPoolModule {
            p: scope.param("p", [1], Init::Constant(3.0)),
        }
    }
}

/// A [`GemPool`] layer with its parameter.
#[derive(Clone, Debug)]
pub struct GemPoolModule {
    /// `[1]`.
    pub p: ParamId,
}

impl<T: Float> Module<T> for GemPoolModule {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let p = pass.param(self.p);
        let pixels = (x.shape()[1] * x.shape()[2]) as f64;
        // By way of logarithms, x to the p neither overflows nor vanishes.
        let logs = &x.clamp(GemPool::FLOOR, f64::INFINITY).ln() * &p;
        let mean = &logs.logsumexp_over(1..3) - pixels.ln();
        (&mean / &p).exp()
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let [_, _, h, w] = *to.shape(x) else {
            panic!("pixels are pooled, not {}", to.shape(x))
        };
        let p = to.param(self.p);
        let [floor, log_pixels] = [GemPool::FLOOR, ((h * w) as f64).ln()].map(|c| to.scalar(c));
        let x = to.apply(Operator::Max, &[x, floor]);
        let logs = to.apply(Operator::Log, &[x]);
        let logs = to.apply(Operator::Mul, &[logs, p]);
        let sum = to.apply(Reduction::LogSumExp.over([2, 3]), &[logs]);
        let mean = to.apply(Operator::Sub, &[sum, log_pixels]);
        let root = to.apply(Operator::Div, &[mean, p]);
        Ok(to.apply(Operator::Exp, &[root]))
    }
}

/// `[N, …]` to `[N, D]`, in the order of memory: rows, columns, channels.
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl<T: Float> Module<T> for Flatten {
    fn forward(&self, _: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        x.flatten()
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        // Images come with the channels first, but their columns with the channels last.
        let x = match *to.shape(x) {
            [_, _, 1, 1] | [_, _] => x,
            [_, _, _, _] => to.apply(Operator::Transpose(vec![0, 2, 3, 1]), &[x]),
            _ => return Err(to.unsupported::<Self>()),
        };
        Ok(to.apply(Operator::Flatten, &[x]))
    }
}
