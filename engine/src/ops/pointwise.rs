//! Functions of one number, applied to every element.

use crate::error::Result;
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::kernels::simd::per_isa;
use crate::op::Op;
use crate::par;
use crate::tensor::Tensor;
use std::f64::consts::{FRAC_1_SQRT_2, TAU};
use std::fmt::Debug;

/// What the derivative is computed from: whichever is at hand for free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The input.
    X,
    /// The output.
    Y,
}

/// A function of one number and its derivative. Every one is an [`Op`].
pub trait Pointwise: Clone + Debug + Send + Sync + 'static {
    /// The name in tables and error messages.
    const NAME: &'static str;
    /// What [`df`](Pointwise::df) is given.
    const READS: Reads;
    /// The function.
    fn f<T: Float>(&self, x: T) -> T;
    /// The derivative, from the input or the output as [`READS`](Pointwise::READS) says.
    fn df<T: Float>(&self, v: T) -> T;
    /// Inputs that the derivative is checked on.
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>>;
}

impl<P: Pointwise> Op<1> for P {
    const NAME: &'static str = P::NAME;
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        let mut y = Tensor::stale(x.shape());
        par::chunks(y.data_mut(), par::task_size(par::CHEAP, 1), |start, y| {
            apply(self, &x.data()[start..start + y.len()], y);
        });
        let saved = match P::READS {
            Reads::X => x.clone(),
            Reads::Y => y.clone(),
        };
        Ok((y, saved))
    }

    fn backward<T: Float>(
        &self,
        saved: Tensor<T>,
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        par::chunks(dy.data_mut(), par::task_size(par::CHEAP, 1), |start, dy| {
            apply_derivative(self, &saved.data()[start..start + dy.len()], dy);
        });
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        P::cases(g)
    }
}

per_isa! {
    fn apply<P: Pointwise, T: Float>(p: &P, x: &[T], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = p.f(x);
        }
    }
}

per_isa! {
    fn apply_derivative<P: Pointwise, T: Float>(p: &P, v: &[T], dy: &mut [T]) {
        for (dy, &v) in dy.iter_mut().zip(v) {
            *dy *= p.df(v);
        }
    }
}

/// The shapes that functions of one number are checked on; they have no layout to get wrong.
const SHAPES: &[&[usize]] = &[&[], &[7], &[3, 17], &[2, 3, 1, 5]];

/// y = scale·x + shift;  dy/dx = scale
#[derive(Clone, Debug)]
pub struct Affine {
    /// The factor.
    pub scale: f64,
    /// The summand.
    pub shift: f64,
}
impl Pointwise for Affine {
    const NAME: &'static str = "affine";
    const READS: Reads = Reads::X;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        T::of(self.scale) * x + T::of(self.shift)
    }
    #[inline(always)]
    fn df<T: Float>(&self, _: T) -> T {
        T::of(self.scale)
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let op = Affine {
            scale: -1.7,
            shift: 0.4,
        };
        g.shapes(op, SHAPES, |g, s| g.normal(s))
    }
}

/// y = 1/x;  dy/dx = −y²
#[derive(Clone, Debug)]
pub struct Recip;
impl Pointwise for Recip {
    const NAME: &'static str = "recip";
    const READS: Reads = Reads::Y;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        T::ONE / x
    }
    #[inline(always)]
    fn df<T: Float>(&self, y: T) -> T {
        -(y * y)
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Recip, SHAPES, |g, s| g.away_from(&[0.0], 0.5, s))
    }
}

/// y = eˣ;  dy/dx = y
#[derive(Clone, Debug)]
pub struct Exp;
impl Pointwise for Exp {
    const NAME: &'static str = "exp";
    const READS: Reads = Reads::Y;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x.exp()
    }
    #[inline(always)]
    fn df<T: Float>(&self, y: T) -> T {
        y
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Exp, SHAPES, |g, s| g.normal(s))
    }
}

/// y = ln x;  dy/dx = 1/x
#[derive(Clone, Debug)]
pub struct Ln;
impl Pointwise for Ln {
    const NAME: &'static str = "ln";
    const READS: Reads = Reads::X;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x.ln()
    }
    #[inline(always)]
    fn df<T: Float>(&self, x: T) -> T {
        T::ONE / x
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Ln, SHAPES, |g, s| g.uniform(s, 0.3, 4.0))
    }
}

/// y = √x;  dy/dx = 1/(2y)
#[derive(Clone, Debug)]
pub struct Sqrt;
impl Pointwise for Sqrt {
    const NAME: &'static str = "sqrt";
    const READS: Reads = Reads::Y;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x.sqrt()
    }
    #[inline(always)]
    fn df<T: Float>(&self, y: T) -> T {
        T::of(0.5) / y
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Sqrt, SHAPES, |g, s| g.uniform(s, 0.3, 4.0))
    }
}

/// y = x²;  dy/dx = 2x
#[derive(Clone, Debug)]
pub struct Square;
impl Pointwise for Square {
    const NAME: &'static str = "square";
    const READS: Reads = Reads::X;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x * x
    }
    #[inline(always)]
    fn df<T: Float>(&self, x: T) -> T {
        x + x
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Square, SHAPES, |g, s| g.normal(s))
    }
}

/// y = |x|;  dy/dx = sign x, 0 at 0
#[derive(Clone, Debug)]
pub struct Abs;
impl Pointwise for Abs {
    const NAME: &'static str = "abs";
    const READS: Reads = Reads::X;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x.abs()
    }
    #[inline(always)]
    fn df<T: Float>(&self, x: T) -> T {
        if x > T::ZERO {
            T::ONE
        } else if x < T::ZERO {
            -T::ONE
        } else {
            T::ZERO
        }
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Abs, SHAPES, |g, s| g.away_from(&[0.0], 0.1, s))
    }
}

/// y = max(x, 0);  dy/dx = \[y > 0\]
#[derive(Clone, Debug)]
pub struct Relu;
impl Pointwise for Relu {
    const NAME: &'static str = "relu";
    const READS: Reads = Reads::Y;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x.max(T::ZERO)
    }
    #[inline(always)]
    fn df<T: Float>(&self, y: T) -> T {
        if y > T::ZERO { T::ONE } else { T::ZERO }
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Relu, SHAPES, |g, s| g.away_from(&[0.0], 0.1, s))
    }
}

/// y = x if x > 0, else slope·x;  dy/dx = 1 or slope
#[derive(Clone, Debug)]
pub struct LeakyRelu {
    /// The slope of the negative half.
    pub slope: f64,
}
impl Pointwise for LeakyRelu {
    const NAME: &'static str = "leaky_relu";
    const READS: Reads = Reads::X;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        if x > T::ZERO {
            x
        } else {
            T::of(self.slope) * x
        }
    }
    #[inline(always)]
    fn df<T: Float>(&self, x: T) -> T {
        if x > T::ZERO {
            T::ONE
        } else {
            T::of(self.slope)
        }
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let op = LeakyRelu { slope: 0.1 };
        g.shapes(op, SHAPES, |g, s| g.away_from(&[0.0], 0.1, s))
    }
}

/// y = x Φ(x);  dy/dx = Φ(x) + x φ(x), with the normal distribution Φ and its density φ
/// (Hendrycks and Gimpel 2016)
#[derive(Clone, Debug)]
pub struct Gelu;
impl Gelu {
    #[inline(always)]
    fn phi<T: Float>(x: T) -> T {
        T::of(0.5) * (T::ONE + (x * T::of(FRAC_1_SQRT_2)).erf())
    }
}
impl Pointwise for Gelu {
    const NAME: &'static str = "gelu";
    const READS: Reads = Reads::X;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x * Self::phi(x)
    }
    #[inline(always)]
    fn df<T: Float>(&self, x: T) -> T {
        let density = (T::of(-0.5) * x * x).exp() * T::of(1.0 / TAU.sqrt());
        Self::phi(x) + x * density
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Gelu, SHAPES, |g, s| g.normal(s))
    }
}

/// y = 1/(1 + e⁻ˣ);  dy/dx = y (1 − y)
#[derive(Clone, Debug)]
pub struct Sigmoid;
/// Never takes the exponential of a positive number, so it cannot overflow.
#[inline(always)]
pub(crate) fn sigmoid<T: Float>(x: T) -> T {
    let e = (-x.abs()).exp();
    let numerator = if x >= T::ZERO { T::ONE } else { e };
    numerator / (T::ONE + e)
}
impl Pointwise for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const READS: Reads = Reads::Y;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        sigmoid(x)
    }
    #[inline(always)]
    fn df<T: Float>(&self, y: T) -> T {
        y * (T::ONE - y)
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Sigmoid, SHAPES, |g, s| g.normal(s))
    }
}

/// y = tanh x;  dy/dx = 1 − y²
#[derive(Clone, Debug)]
pub struct Tanh;
impl Pointwise for Tanh {
    const NAME: &'static str = "tanh";
    const READS: Reads = Reads::Y;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x.tanh()
    }
    #[inline(always)]
    fn df<T: Float>(&self, y: T) -> T {
        T::ONE - y * y
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Tanh, SHAPES, |g, s| g.normal(s))
    }
}

/// y = ln(1 + eˣ);  dy/dx = sigmoid(x)
#[derive(Clone, Debug)]
pub struct Softplus;
/// max(x, 0) + ln(1 + e^(−|x|)), which neither overflows nor loses small values.
#[inline(always)]
pub(crate) fn softplus<T: Float>(x: T) -> T {
    x.max(T::ZERO) + (-x.abs()).exp().ln_1p()
}
impl Pointwise for Softplus {
    const NAME: &'static str = "softplus";
    const READS: Reads = Reads::X;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        softplus(x)
    }
    #[inline(always)]
    fn df<T: Float>(&self, x: T) -> T {
        sigmoid(x)
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Softplus, SHAPES, |g, s| g.normal(s))
    }
}

/// y = min(max(x, low), high);  dy/dx = \[low ≤ x ≤ high\]
#[derive(Clone, Debug)]
pub struct Clamp {
    /// The least value.
    pub low: f64,
    /// The greatest value.
    pub high: f64,
}
impl Pointwise for Clamp {
    const NAME: &'static str = "clamp";
    const READS: Reads = Reads::X;
    #[inline(always)]
    fn f<T: Float>(&self, x: T) -> T {
        x.max(T::of(self.low)).min(T::of(self.high))
    }
    #[inline(always)]
    fn df<T: Float>(&self, x: T) -> T {
        let inside = x >= T::of(self.low) && x <= T::of(self.high);
        if inside { T::ONE } else { T::ZERO }
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let op = Clamp {
            low: -0.5,
            high: 0.8,
        };
        g.shapes(op, SHAPES, |g, s| g.away_from(&[-0.5, 0.8], 0.05, s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The subgradients that PyTorch takes where the function has a kink.
    #[test]
    fn kinks_follow_pytorch() {
        assert_eq!(Relu.df(0.0_f32), 0.0);
        assert_eq!(Abs.df(0.0_f32), 0.0);
        assert_eq!(LeakyRelu { slope: 0.1 }.df(0.0_f64), 0.1);
        let clamp = Clamp {
            low: -1.0,
            high: 1.0,
        };
        assert_eq!((clamp.df(-1.0_f64), clamp.df(1.0_f64)), (1.0, 1.0));
    }

    #[test]
    fn extreme_inputs_stay_finite() {
        for x in [-1e4_f32, -100.0, 100.0, 1e4] {
            assert!(softplus(x).is_finite() && sigmoid(x).is_finite());
            assert!(Softplus.df(x).is_finite() && Gelu.f(x).is_finite() && Gelu.df(x).is_finite());
        }
        assert_eq!(softplus(1e4_f32), 1e4);
        assert!(softplus(-80.0_f64) > 0.0, "small values are not lost");
    }

    #[test]
    fn a_nan_is_not_hidden() {
        assert!(Relu.f(f32::NAN).is_nan());
        let clamp = Clamp {
            low: -1.0,
            high: 1.0,
        };
        assert!(clamp.f(f64::NAN).is_nan());
    }
}
