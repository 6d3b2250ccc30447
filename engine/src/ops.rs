//! The operations. One file per family; in each, the formula, forward, backward and the cases it
//! is checked with stand side by side.
//!
//! This page is the registry. A line makes the operation callable as a method of [`Var`] (and,
//! with `try_`, as one that returns its error) and enters it into [`OPERATIONS`], the table
//! behind the gradient check.

mod activation;
mod arithmetic;
mod conv;
mod distance;
mod dropout;
mod index;
mod matmul;
mod norm;
mod pointwise;
mod pool2d;
mod reduce;
mod shape;
mod softmax;

pub use activation::{AddRelu, PRelu};
pub use arithmetic::{Add, Div, Mul, Pointwise2, Sub};
pub use conv::{Algorithm, Conv2d, Pass};
pub use distance::{L2Normalize, PairwiseCosine, PairwiseDistance, RowNorms};
pub use dropout::Dropout;
pub use index::{Pick, Rows};
pub use matmul::MatMul;
pub use norm::{BatchNorm, BatchNormSaved, RunningStats};
pub use pointwise::{
    Abs, Affine, Clamp, Exp, Gelu, LeakyRelu, Ln, Pointwise, Reads, Recip, Relu, Sigmoid, Softplus,
    Sqrt, Square, Tanh,
};
pub use pool2d::{AvgPool2d, MaxPool2d, Window};
pub use reduce::{Axes, LogSumExp, Max, Mean, Sum};
pub use shape::{Concat, Pad, Permute, Reshape, Slice};
pub use softmax::{CrossEntropy, LogSoftmax, Softmax};

use crate::error::Result;
use crate::float::Float;
use crate::rng::Key;
use crate::shape::Shape;
use crate::var::{Var, apply};
use std::ops::Range;
use std::sync::Arc;

/// Registers operations and makes their methods:
/// `Operation[arity] { method try_method (self, inputs; arguments) = constructor; }`.
macro_rules! operations {
    ($($op:ty [$n:tt] {$(
        $(#[$doc:meta])*
        $method:ident $try_method:ident
        ($this:ident $(, $input:ident)* $(; $($arg:ident: $type:ty),+)?) = $make:expr;
    )*})*) => {
        impl<T: Float> Var<T> {$($(
            $(#[$doc])*
            ///
            /// # Panics
            /// If the operands do not fit together; the message has their shapes.
            #[track_caller]
            pub fn $method(&$this $(, $input: &Var<T>)* $($(, $arg: $type)+)?) -> Var<T> {
                match $this.$try_method($($input,)* $($($arg,)+)?) {
                    Ok(y) => y,
                    Err(e) => panic!("{e}"),
                }
            }

            #[doc = concat!("[`", stringify!($method), "`](Var::", stringify!($method), ") that returns its error.")]
            ///
            /// # Errors
            /// If the operands do not fit together.
            pub fn $try_method(&$this $(, $input: &Var<T>)* $($(, $arg: $type)+)?) -> Result<Var<T>> {
                apply::<T, $op, $n>($make, [$this $(, $input)*])
            }
        )*)*}
        crate::register! {
            /// Every operation of the engine.
            pub static OPERATIONS = [$($op[$n]),*];
        }
    };
}

operations! {
    Add[2] {
        /// Sum, with broadcasting. Also `&a + &b`.
        add try_add (self, other) = Add;
    }
    Sub[2] {
        /// Difference, with broadcasting. Also `&a - &b`.
        sub try_sub (self, other) = Sub;
    }
    Mul[2] {
        /// Product of elements, with broadcasting. Also `&a * &b`.
        mul try_mul (self, other) = Mul;
    }
    Div[2] {
        /// Quotient, with broadcasting. Also `&a / &b`.
        div try_div (self, other) = Div;
    }
    PRelu[2] {
        /// x where positive, else slope · x, with a slope per channel, `[C]`, or one for all.
        prelu try_prelu (self, slope) = PRelu;
    }
    AddRelu[2] {
        /// `max(self + other, 0)` of one shape: the end of a residual block.
        add_relu try_add_relu (self, other) = AddRelu;
    }
    Affine[1] {
        /// `scale · x + shift`. Also `&x * 2.0`, `&x + 1.0`, `1.0 - &x`, `-&x`.
        affine try_affine (self; scale: f64, shift: f64) = Affine { scale, shift };
    }
    Recip[1] {
        /// `1 / x`.
        recip try_recip (self) = Recip;
    }
    Exp[1] {
        /// eˣ.
        exp try_exp (self) = Exp;
    }
    Ln[1] {
        /// The natural logarithm.
        ln try_ln (self) = Ln;
    }
    Sqrt[1] {
        /// √x.
        sqrt try_sqrt (self) = Sqrt;
    }
    Square[1] {
        /// x².
        square try_square (self) = Square;
    }
    Abs[1] {
        /// |x|, with gradient 0 at 0.
        abs try_abs (self) = Abs;
    }
    Relu[1] {
        /// max(x, 0), with gradient 0 at 0.
        relu try_relu (self) = Relu;
    }
    LeakyRelu[1] {
        /// x where positive, else slope · x.
        leaky_relu try_leaky_relu (self; slope: f64) = LeakyRelu { slope };
    }
    Gelu[1] {
        /// x Φ(x), Φ being the normal distribution function (the exact form, by erf).
        gelu try_gelu (self) = Gelu;
    }
    Sigmoid[1] {
        /// 1 / (1 + e⁻ˣ).
        sigmoid try_sigmoid (self) = Sigmoid;
    }
    Tanh[1] {
        /// The hyperbolic tangent.
        tanh try_tanh (self) = Tanh;
    }
    Softplus[1] {
        /// ln(1 + eˣ), without overflow.
        softplus try_softplus (self) = Softplus;
    }
    Clamp[1] {
        /// x limited to `[low, high]`, with gradient 1 on the bounds.
        clamp try_clamp (self; low: f64, high: f64) = Clamp { low, high };
    }
    Conv2d[2] {} // `Var::conv2d` stands beside the operation: its bias is optional
    Conv2d[3] {}
    BatchNorm[3] {
        /// Normalises every channel (the last axis) over all other axes, then scales and shifts
        /// it by `gamma` and `beta`, both `[C]`.
        batch_norm try_batch_norm (self, gamma, beta; settings: BatchNorm) = settings;
    }
    Sum[1] {
        /// The sum of all elements, a single number.
        sum try_sum (self) = Sum { axes: Axes::ALL };
        /// The sum over neighbouring axes, which vanish from the shape: `x.sum_over(0..3)`.
        sum_over try_sum_over (self; axes: impl Into<Axes>) = Sum { axes: axes.into() };
    }
    Mean[1] {
        /// The mean of all elements, a single number.
        mean try_mean (self) = Mean { axes: Axes::ALL };
        /// The mean over neighbouring axes, which vanish from the shape.
        mean_over try_mean_over (self; axes: impl Into<Axes>) = Mean { axes: axes.into() };
        /// The mean over the pixels of images `[N, H, W, C]`: `[N, C]`.
        global_avg_pool try_global_avg_pool (self) = Mean { axes: (1..3).into() };
    }
    Max[1] {
        /// The largest element over neighbouring axes, which vanish from the shape. The gradient
        /// goes to the first one of equals.
        max_over try_max_over (self; axes: impl Into<Axes>) = Max { axes: axes.into() };
    }
    LogSumExp[1] {
        /// ln Σ eˣ over neighbouring axes, which vanish from the shape, without overflow.
        logsumexp_over try_logsumexp_over (self; axes: impl Into<Axes>)
            = LogSumExp { axes: axes.into() };
    }
    MatMul[2] {
        /// `A·B` of `[m, k]` and `[k, n]`.
        matmul try_matmul (self, other) = MatMul::NN;
        /// `A·Bᵀ` of `[m, k]` and `[n, k]`: the product of a linear layer, and all pairwise dot
        /// products of two sets of rows.
        matmul_nt try_matmul_nt (self, other) = MatMul::NT;
        /// `Aᵀ·B` of `[k, m]` and `[k, n]`.
        matmul_tn try_matmul_tn (self, other) = MatMul::TN;
    }
    Softmax[1] {
        /// eˣ / Σ eˣ over the last axis.
        softmax try_softmax (self) = Softmax;
    }
    LogSoftmax[1] {
        /// x − ln Σ eˣ over the last axis.
        log_softmax try_log_softmax (self) = LogSoftmax;
    }
    CrossEntropy[1] {
        /// The cross-entropy of each row of logits `[N, C]` with its label: losses `[N]`.
        /// `smoothing`, in `[0, 1]`, is the part of the target spread evenly over all classes.
        cross_entropy try_cross_entropy (self; labels: impl Into<Arc<[usize]>>, smoothing: f64)
            = CrossEntropy { labels: labels.into(), smoothing };
    }
    L2Normalize[1] {
        /// Every row (along the last axis) divided by its length |x|, or by 1e-12 if that is larger.
        l2_normalize try_l2_normalize (self) = L2Normalize;
    }
    RowNorms[1] {
        /// The length |x| of every row, of the shape without the last axis.
        row_norms try_row_norms (self) = RowNorms;
    }
    PairwiseCosine[2] {
        /// The cosines `[N, C]` of the angles between the rows of `[N, D]` and of `[C, D]`.
        pairwise_cosine try_pairwise_cosine (self, other) = PairwiseCosine;
    }
    PairwiseDistance[2] {
        /// The Euclidean distances `[N, C]` between the rows of `[N, D]` and of `[C, D]`; exactly
        /// 0, with gradient 0, for equal rows.
        pairwise_distance try_pairwise_distance (self, other)
            = PairwiseDistance { squared: false };
        /// The squared Euclidean distances `[N, C]` between the rows of `[N, D]` and of `[C, D]`.
        pairwise_squared_distance try_pairwise_squared_distance (self, other)
            = PairwiseDistance { squared: true };
    }
    MaxPool2d[1] {
        /// The largest element of every window of images `[N, H, W, C]`. The gradient goes to the
        /// first one of equals; padding never wins.
        max_pool2d try_max_pool2d (self; window: Window) = MaxPool2d { window };
    }
    AvgPool2d[1] {
        /// The mean of every window of images `[N, H, W, C]`; padding counts as zeros, or not.
        avg_pool2d try_avg_pool2d (self; window: Window, count_padding: bool)
            = AvgPool2d { window, count_padding };
    }
    Reshape[1] {
        /// The same elements under another shape. Free.
        reshape try_reshape (self; shape: impl Into<Shape>) = Reshape { shape: shape.into() };
        /// Keeps axis 0 and makes one axis of the rest: `[N, H, W, C]` becomes `[N, H·W·C]`.
        flatten try_flatten (self) = Reshape::flat(self.shape());
    }
    Permute[1] {
        /// The axes in another order: axis `i` of the result is axis `order[i]` of this.
        permute try_permute (self; order: &[usize]) = Permute { order: order.to_vec() };
    }
    Concat[2] {} // `Var::concat` stands beside the operation: it takes an array
    Concat[3] {}
    Concat[4] {}
    Slice[1] {
        /// A range of an axis.
        slice try_slice (self; axis: usize, range: Range<usize>) = Slice { axis, range };
    }
    Pad[1] {
        /// Zeros before and after, along an axis.
        pad try_pad (self; axis: usize, before: usize, after: usize)
            = Pad { axis, before, after };
    }
    Rows[1] {
        /// The rows along axis 0 at these indices, in their order; a row may come repeatedly.
        rows try_rows (self; indices: impl Into<Arc<[usize]>>) = Rows { indices: indices.into() };
    }
    Pick[1] {
        /// One element of each row of `[N, C]`, at its label: `[N]`.
        pick try_pick (self; labels: impl Into<Arc<[usize]>>) = Pick { labels: labels.into() };
    }
    Dropout[1] {
        /// Each element 0 with probability `p`, in `[0, 1)`, else divided by `1 − p`. The mask is
        /// a function of the key and the position: take another key for every layer and step.
        dropout try_dropout (self; p: f64, key: Key) = Dropout { p, key };
    }
}
