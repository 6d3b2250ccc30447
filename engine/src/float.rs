//! The two types the engine computes in. Training runs in `f32`; gradient checks run the very
//! same code in `f64`.

use crate::kernels::elementary;
use crate::kernels::simd::Isa;
use crate::kernels::tile::{self, Kernels};
use crate::kernels::transform::{self, Transform};
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// `f32` or `f64`.
pub trait Float:
    bytemuck::Pod
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + 'static
{
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// −∞, the neutral element of the maximum.
    const NEG_INFINITY: Self;

    /// The nearest number of this type.
    fn of(x: f64) -> Self;
    /// The same number as an `f64`.
    fn to_f64(self) -> f64;
    /// The bits, widened to 64, for comparisons that mean "the same bits".
    fn to_bits64(self) -> u64;

    /// eˣ.
    fn exp(self) -> Self;
    /// eˣ − 1, exact near 0.
    fn exp_m1(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// ln(1 + x), exact near 0.
    fn ln_1p(self) -> Self;
    /// √x.
    fn sqrt(self) -> Self;
    /// |x|.
    fn abs(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The sine.
    fn sin(self) -> Self;
    /// The cosine.
    fn cos(self) -> Self;
    /// The angle in `[0, π]` whose cosine is x.
    fn acos(self) -> Self;
    /// The error function 2/√π ∫₀ˣ e^(−t²) dt.
    fn erf(self) -> Self;
    /// xⁿ for a whole number n.
    fn powi(self, n: i32) -> Self;
    /// xʸ.
    fn powf(self, y: Self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Not a number.
    fn is_nan(self) -> bool;

    /// The larger one. Of a number and a NaN it is the NaN, so that a NaN is never hidden.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        let m = if other > self { other } else { self };
        if other.is_nan() { other } else { m }
    }
    /// The smaller one. Of a number and a NaN it is the NaN.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        let m = if other < self { other } else { self };
        if other.is_nan() { other } else { m }
    }

    /// The inner loops of matrix products, for the instruction set in use.
    #[doc(hidden)]
    fn kernels() -> &'static Kernels<Self>;

    /// A transform of Winograd's convolution, for the instruction set in use.
    ///
    /// # Safety
    /// Everything that the steps and sizes reach must be valid.
    #[doc(hidden)]
    unsafe fn transform(transform: &Transform<'_, Self>);
}

macro_rules! float {
    ($t:ident, $exp:path, $erf:path, $kernels:ident) => {
        impl Float for $t {
            const NAME: &'static str = stringify!($t);
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPSILON: Self = $t::EPSILON;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;

            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn to_bits64(self) -> u64 {
                self.to_bits().into()
            }
            #[inline]
            fn kernels() -> &'static Kernels<Self> {
                tile::$kernels(Isa::active())
            }
            #[inline]
            unsafe fn transform(transform: &Transform<'_, Self>) {
                // SAFETY: the active instruction set is available; the rest is the caller's.
                unsafe { transform::$kernels(Isa::active())(transform) }
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            float!(@forward $t: exp_m1 ln ln_1p sqrt abs tanh sin cos acos);
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn powi(self, n: i32) -> Self {
                $t::powi(self, n)
            }
            #[inline(always)]
            fn powf(self, y: Self) -> Self {
                $t::powf(self, y)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
        }
    };
    (@forward $t:ident: $($f:ident)*) => {$(
        #[inline(always)]
        fn $f(self) -> Self {
            $t::$f(self)
        }
    )*};
}
float!(f32, elementary::exp, elementary::erf, for_f32);
float!(f64, f64::exp, libm::erf, for_f64);
