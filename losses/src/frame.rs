//! The generalized softmax: one piece of code behind every loss that compares classes.
//!
//! With c_j the similarity of a sample to class j and y its class, these losses are
//!
//! ```text
//! L = −ln( e^Fp(c_y) / ( e^Fp(c_y) + Σ_{j≠y} e^Fn(c_j) ) )
//!   = softplus( lse_{j≠y} Fn(c_j) − Fp(c_y) )                      lse = ln Σ exp
//!
//! ∂L/∂c_y = −(1 − p_y) Fp'(c_y)        ∂L/∂c_j = p_j Fn'(c_j)
//! ```
//!
//! and differ in the two functions alone. A [`Margin`] is that pair with its derivatives;
//! [`ClassSoftmax`] makes it an operation. The second line is the one computed: it neither
//! overflows at scale 512 nor loses a loss of 1e-20 to rounding.
//!
//! | loss | Fp(c) | Fn(c) |
//! |---|---|---|
//! | softmax (on logits z) | z | z |
//! | NormFace, AdaCos | s c | s c |
//! | CosFace | s (c − m) | s c |
//! | ArcFace | s cos(θ + m) | s c |
//! | combined margin | s (ψ(m1 θ + m2) − m3) | s c |
//! | MV-softmax | as CosFace or ArcFace | s ((t + 1) c + t) or s (c + t) if c is hard, else s c |
//! | CurricularFace | s cos(θ + m) | s c (t + c) if c is hard, else s c |
//! | Circle | γ α (c − 1 + m), α = \[1 + m − c\]₊ detached | γ α (c − m), α = \[c + m\]₊ detached |
//! | CS-softmax | s (c − m) | λ s c |
//! | SO-softmax | λp (m² − (1 − c)²) | λn (c² − m²) |
//!
//! A [`SampleMargin`] is a pair that knows one more number a of its sample, and the gradient
//! reaches that number too:
//!
//! | loss | a | Fp(c, a) | Fn(c, a) |
//! |---|---|---|---|
//! | SphereFace | the length of x | a ψ(θ) | a c |
//! | NormFace, learned | the scale | a c | a c |
//! | MagFace, ElasticFace-Arc | the margin | s cos(θ + a) | s c |
//! | ElasticFace-Cos | the margin | s (c − a) | s c |
//! | AdaFace | the quality z | s (cos(θ − m a) − m − m a) | s c |
//! | L-softmax, Gaussian mixture | the target's exponent | a | c |
//!
//! How the two functions make a loss is a [`Form`]. Beside [`Softmax`] there are
//! [`Decoupled`], where positive and negatives do not compete, [`Separable`], where no two
//! similarities do, and [`Ratio`], whose denominator lacks the target.

mod cases;
mod form;
mod op;

pub use cases::Probe;
pub use form::{Decoupled, Form, Ratio, Row, Separable, Softmax};
pub(crate) use form::{sigmoid, softplus};
pub use op::{ClassLoss, ClassSoftmax};
pub(crate) use op::{label_fault, scale_rows};

use engine::Float;
use engine::op::Registered;
use std::fmt::Debug;

/// The pair of functions that makes a class-level loss, each with its derivative.
///
/// If the second number of a pair is the derivative of the first, the loss is exact and belongs in
/// [`OPERATIONS`](crate::OPERATIONS). A loss that stops a gradient on purpose returns another
/// number there; it belongs in [`SURROGATES`](crate::SURROGATES), whose members are *expected* to
/// fail the comparison with finite differences.
pub trait Margin: Clone + Debug + Send + Sync + 'static {
    /// The name in tables and error messages.
    const NAME: &'static str;

    /// Fp and its derivative, at the similarity `c` of a sample to its own class.
    fn positive<T: Float>(&self, c: T) -> (T, T);

    /// Fn and its derivative, at the similarity `c` of a sample to another class. `target`, the
    /// similarity to its own class, is *detached*: what Fn makes of it gets no derivative.
    fn negative<T: Float>(&self, c: T, target: T) -> (T, T);

    /// Settings to check the derivatives with.
    fn probes() -> Vec<Probe<Self>>;

    /// Similarities where a derivative jumps or has a pole.
    fn kinks(&self) -> Vec<f64> {
        Vec::new()
    }

    /// The similarity from which on a negative counts as a hard one, given the target's.
    fn boundary(&self, _target: f64) -> Option<f64> {
        None
    }
}

/// A pair of functions of the similarity and of one more number `a` of the sample. Each returns
/// its value and the derivatives with respect to the similarity and to `a`.
pub trait SampleMargin: Clone + Debug + Send + Sync + 'static {
    /// The name in tables and error messages.
    const NAME: &'static str;

    /// Fp, ∂Fp/∂c, ∂Fp/∂a, at the similarity `c` of a sample to its own class.
    fn positive<T: Float>(&self, c: T, a: T) -> [T; 3];

    /// Fn, ∂Fn/∂c, ∂Fn/∂a, at the similarity `c` of a sample to another class.
    fn negative<T: Float>(&self, c: T, a: T) -> [T; 3];

    /// Settings to check the derivatives with, each with the range of `a`.
    fn probes() -> Vec<Probe<Self>>;

    /// Similarities where a derivative jumps or has a pole, given `a`.
    fn kinks(&self, _a: f64) -> Vec<f64> {
        Vec::new()
    }
}

/// A margin whose exponents are all multiplied by the number of the sample, `a F(c)`: the length
/// of the embedding in SphereFace, the learned scale in NormFace.
#[derive(Clone, Debug)]
pub struct Radial<M>(pub M);

impl<M: Margin> SampleMargin for Radial<M> {
    const NAME: &'static str = M::NAME;

    fn positive<T: Float>(&self, c: T, a: T) -> [T; 3] {
        let (f, slope) = self.0.positive(c);
        [a * f, a * slope, f]
    }

    fn negative<T: Float>(&self, c: T, a: T) -> [T; 3] {
        // A radial margin has no hard negatives, so what stands for the target does not matter.
        let (f, slope) = self.0.negative(c, T::ZERO);
        [a * f, a * slope, f]
    }

    fn probes() -> Vec<Probe<Self>> {
        let radial = |probe: Probe<M>| Probe {
            margin: Radial(probe.margin),
            steepness: probe.steepness,
            range: [0.5, 1.5],
        };
        M::probes().into_iter().map(radial).collect()
    }

    fn kinks(&self, _: f64) -> Vec<f64> {
        self.0.kinks()
    }
}

/// The target's exponent is the number of the sample, computed elsewhere; the others are the
/// similarities as they are: Fp = a, Fn = c.
#[derive(Clone, Debug)]
pub struct GivenTarget;

impl SampleMargin for GivenTarget {
    const NAME: &'static str = "given target";

    fn positive<T: Float>(&self, _: T, a: T) -> [T; 3] {
        [a, T::ZERO, T::ONE]
    }

    fn negative<T: Float>(&self, c: T, _: T) -> [T; 3] {
        [c, T::ONE, T::ZERO]
    }

    fn probes() -> Vec<Probe<Self>> {
        vec![Probe::within(GivenTarget, 1.0, [-2.0, 2.0])]
    }
}

/// Says that a margin is in a table in the form `F` with `N` inputs, and hence checked.
/// Implemented by [`register_margins!`](crate::register_margins) alone; applying a margin asks
/// for it.
pub trait Entered<F, const N: usize> {}

impl<M: Entered<F, N>, F: Form, const N: usize> Registered<N> for ClassLoss<M, F> where
    Self: engine::Op<N>
{
}

/// Enters margins into a table of [`Entry`](engine::op::Entry)s, whose checks they then pass or
/// fail, and thereby lets them be applied.
///
/// `register_margins! { pub static MINE = [Softmax[1] CosFace, Softmax[2] Radial<SpherePsi>]; }`;
/// the words before a margin are its [`Form`](crate::frame::Form) and the number of inputs: 1 for
/// a [`Margin`](crate::frame::Margin), 2 for a [`SampleMargin`](crate::frame::SampleMargin).
#[macro_export]
macro_rules! register_margins {
    ($(#[$doc:meta])* $vis:vis static $table:ident =
        [$($form:ident [$n:literal] $margin:ty),* $(,)?];) => {
        $($crate::register_margins!(@mark $form [$n] $margin);)*
        $(#[$doc])*
        $vis static $table: &[engine::op::Entry] =
            &[$($crate::register_margins!(@entry $form [$n] $margin)),*];
    };
    (@entry Op [$n:literal] $op:ty) => {
        engine::op::Entry::of::<$op, $n>()
    };
    (@entry $form:ident [$n:literal] $margin:ty) => {
        engine::op::Entry::of::<$crate::frame::ClassLoss<$margin, $crate::frame::$form>, $n>()
    };
    (@mark Op [$n:literal] $op:ty) => {
        impl engine::op::Registered<$n> for $op {}
    };
    (@mark $form:ident [$n:literal] $margin:ty) => {
        impl $crate::frame::Entered<$crate::frame::$form, $n> for $margin {}
    };
}
