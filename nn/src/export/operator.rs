//! The operators that exported networks consist of.

use engine::Shape;
use engine::ops::{Conv2d, Window};

/// A function of tensors, in the sense and with the order of operands of the ONNX operator of the
/// same name where there is one. Images are `[N, C, H, W]`; smaller operands are broadcast.
#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// Bytes as floating-point numbers.
    ToFloat,
    /// Of images, a weight `[out, in/groups, kh, kw]` and, if there is a third operand, a bias
    /// `[out]`.
    Conv(Conv2d),
    /// `y = γ (x − μ) / √(σ² + ε) + β` along axis 1 of x, of `[x, γ, β, μ, σ²]`.
    BatchNorm {
        /// ε.
        epsilon: f64,
    },
    /// `x Wᵀ + b` of rows, W `[out, in]` and, if there is a third operand, b `[out]`.
    Linear,
    /// The largest number of each window; padding never wins.
    MaxPool(Window),
    /// The mean of each window.
    AvgPool {
        /// The windows.
        window: Window,
        /// Whether padding counts in the divisor.
        count_padding: bool,
    },
    /// All numbers along some axes, made one.
    Reduce {
        /// How.
        how: Reduction,
        /// The axes.
        axes: Vec<usize>,
        /// Whether the axes stay, with length 1.
        keep: bool,
    },
    /// max(x, 0).
    Relu,
    /// x where positive, else a fixed slope times x.
    LeakyRelu {
        /// The slope.
        slope: f64,
    },
    /// x where positive, else the second operand times x.
    PRelu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// ln(1 + eˣ).
    Softplus,
    /// The error function, 2/√π ∫₀ˣ exp(−t²) dt.
    Erf,
    /// eˣ.
    Exp,
    /// The natural logarithm.
    Log,
    /// The sum of two.
    Add,
    /// The first less the second.
    Sub,
    /// The product of two.
    Mul,
    /// The first divided by the second.
    Div,
    /// The larger of two.
    Max,
    /// Axes in another order: axis `i` of the result is this one of the operand.
    Transpose(Vec<usize>),
    /// All axes but the first made one, in their order.
    Flatten,
    /// Another shape with as many numbers, here for a batch of one.
    Reshape(Shape),
    /// Zeros before and after an axis.
    Pad {
        /// The axis.
        axis: usize,
        /// How many before,
        before: usize,
        /// and how many after.
        after: usize,
    },
}

/// How many numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The mean.
    Mean,
    /// The largest.
    Max,
    /// ln Σ eˣ.
    LogSumExp,
    /// √(Σ x²).
    Norm,
}

impl Reduction {
    /// Along these axes, which vanish.
    pub fn over<const N: usize>(self, axes: [usize; N]) -> Operator {
        Operator::Reduce {
            how: self,
            axes: axes.to_vec(),
            keep: false,
        }
    }
}

impl Operator {
    /// The name, which for one node of ONNX is the operator's there.
    pub fn name(&self) -> &'static str {
        match self {
            Operator::ToFloat => "Cast",
            Operator::Conv(_) => "Conv",
            Operator::BatchNorm { .. } => "BatchNormalization",
            Operator::Linear => "Gemm",
            Operator::MaxPool(_) => "MaxPool",
            Operator::AvgPool { .. } => "AveragePool",
            Operator::Reduce { how, .. } => match how {
                Reduction::Mean => "ReduceMean",
                Reduction::Max => "ReduceMax",
                Reduction::LogSumExp => "ReduceLogSumExp",
                Reduction::Norm => "ReduceL2",
            },
            Operator::Relu => "Relu",
            Operator::LeakyRelu { .. } => "LeakyRelu",
            Operator::PRelu => "PRelu",
            Operator::Sigmoid => "Sigmoid",
            Operator::Tanh => "Tanh",
            Operator::Softplus => "Softplus",
            Operator::Erf => "Erf",
            Operator::Exp => "Exp",
            Operator::Log => "Log",
            Operator::Add => "Add",
            Operator::Sub => "Sub",
            Operator::Mul => "Mul",
            Operator::Div => "Div",
            Operator::Max => "Max",
            Operator::Transpose(_) => "Transpose",
            Operator::Flatten => "Flatten",
            Operator::Reshape(_) => "Reshape",
            Operator::Pad { .. } => "Pad",
        }
    }

    /// The shape of the result.
    ///
    /// # Panics
    /// If the operator does not take operands of these shapes.
    pub(super) fn output(&self, x: &[Shape]) -> Shape {
        let refuse = || -> ! { panic!("{} does not take shapes {x:?}", self.name()) };
        let fits = |fits: bool| if fits { Some(()) } else { None };
        let shape = match (self, x) {
            (Operator::Conv(conv), [x, weight, bias @ ..]) => {
                let image = windowed(*x, weight, conv.stride, conv.padding, conv.dilation);
                let outputs = weight[0];
                fits(x.rank() == 4 && x[1] == weight[1] * conv.groups)
                    .and_then(|()| fits(bias.iter().all(|b| **b == [outputs])))
                    .and(image)
                    .map(|[h, w]| [x[0], outputs, h, w].into())
            }
            (Operator::BatchNorm { .. }, [x, params @ ..]) => {
                fits(params.len() == 4 && params.iter().all(|p| **p == [x[1]])).map(|()| *x)
            }
            (Operator::Linear, [x, weight, bias @ ..]) => {
                let sound = x.rank() == 2 && weight.rank() == 2 && x[1] == weight[1];
                fits(sound && bias.iter().all(|b| **b == [weight[0]]))
                    .map(|()| [x[0], weight[0]].into())
            }
            (Operator::MaxPool(window) | Operator::AvgPool { window, .. }, [x]) => {
                let kernel = [1, 1, window.kernel[0], window.kernel[1]].into();
                windowed(*x, &kernel, window.stride, window.padding, [1, 1])
                    .map(|[h, w]| [x[0], x[1], h, w].into())
            }
            (Operator::Reduce { axes, keep, .. }, [x]) => {
                let lengths = x.iter().enumerate();
                let lengths = lengths.filter_map(|(axis, &n)| match axes.contains(&axis) {
                    true => keep.then_some(1),
                    false => Some(n),
                });
                fits(axes.iter().all(|&axis| axis < x.rank())).map(|()| lengths.collect())
            }
            (
                Operator::Add | Operator::Sub | Operator::Mul | Operator::Div | Operator::Max,
                [a, b],
            ) => a.broadcast(b),
            (Operator::PRelu, [x, slope]) => x.broadcast(slope).filter(|shape| shape == x),
            (Operator::Transpose(order), [x]) => {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                fits(sorted.iter().copied().eq(0..x.rank()))
                    .map(|()| order.iter().map(|&axis| x[axis]).collect())
            }
            (Operator::Flatten, [x]) => Some([x[0], x.elements() / x[0]].into()),
            (Operator::Reshape(shape), [x]) => {
                fits(shape.elements() == x.elements()).map(|()| *shape)
            }
            (
                Operator::Pad {
                    axis,
                    before,
                    after,
                },
                [x],
            ) => fits(*axis < x.rank()).map(|()| x.with(*axis, before + x[*axis] + after)),
            (
                Operator::ToFloat
                | Operator::Relu
                | Operator::LeakyRelu { .. }
                | Operator::Sigmoid
                | Operator::Tanh
                | Operator::Softplus
                | Operator::Erf
                | Operator::Exp
                | Operator::Log,
                [x],
            ) => Some(*x),
            _ => None,
        };
        shape.unwrap_or_else(|| refuse())
    }
}

/// Height and width of what windows over an image give: a kernel `[.., .., kh, kw]` at every place
/// where it fits.
fn windowed(
    x: Shape,
    kernel: &Shape,
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
) -> Option<[usize; 2]> {
    let [_, _, h, w] = *x else { return None };
    let [_, _, kh, kw] = **kernel else {
        return None;
    };
    let places = |axis: usize, n: usize, k: usize| {
        let room = n + 2 * padding[axis];
        let reach = dilation[axis] * (k - 1) + 1;
        Some(room.checked_sub(reach)? / stride[axis] + 1)
    };
    Some([places(0, h, kh)?, places(1, w, kw)?])
}
