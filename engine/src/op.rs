//! What an operation is, and how one is registered.
//!
//! An operation is a small struct that implements [`Op`]: forward, and directly below it backward,
//! and the cases it is checked with. [`register!`](crate::register) then makes it callable and
//! enters it into a table of [`Entry`]s. An operation that is not registered cannot be applied,
//! so nothing unchecked can be called.

use crate::error::Result;
use crate::float::Float;
use crate::gradcheck::{self, Case, Gen, Report, Subject};
use crate::tensor::Tensor;
use std::fmt::Debug;

/// A differentiable function of `N` tensors.
///
/// Arguments that are not differentiated (a stride, labels, a probability) are fields of the
/// struct. The same code serves `f32` and `f64`.
///
/// ```
/// use engine::gradcheck::{Case, Gen};
/// use engine::{Float, Op, Result, Tensor, Var, apply, register};
///
/// /// y = k x²;  dy/dx = 2 k x
/// #[derive(Clone, Debug)]
/// struct ScaledSquare { k: f64 }
///
/// impl Op<1> for ScaledSquare {
///     const NAME: &'static str = "scaled_square";
///     type Saved<T: Float> = Tensor<T>;
///
///     fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
///         let k = T::of(self.k);
///         Ok((x.map(|x| k * x * x), x.clone()))
///     }
///
///     fn backward<T: Float>(&self, x: Tensor<T>, mut dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
///         let two_k = T::of(2.0 * self.k);
///         dy.zip_assign(&x, |dy, x| dy * two_k * x);
///         [Some(dy)]
///     }
///
///     fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
///         vec![Case::new("3x5", ScaledSquare { k: 0.7 }, [g.normal([3, 5])])]
///     }
/// }
///
/// register! { pub static MINE = [ScaledSquare[1]]; }
///
/// let x = Var::leaf(Tensor::new([2], &[1.0, 3.0_f32]));
/// let y = apply(ScaledSquare { k: 0.5 }, [&x]).unwrap();
/// assert_eq!(y.sum().backward().of(&x).unwrap().data(), &[1.0, 3.0]);
/// assert!(MINE[0].check(0).passed());
/// ```
pub trait Op<const N: usize>: Clone + Debug + Send + Sync + 'static {
    /// The name in tables and error messages.
    const NAME: &'static str;

    /// Exactly what backward reads, and nothing else. Dropped at once where nothing is tracked.
    type Saved<T: Float>: Send;

    /// The value, and what backward will read.
    ///
    /// # Errors
    /// [`BadOperands`](crate::error::BadOperands) if the operands do not fit together.
    fn forward<T: Float>(&self, x: [&Tensor<T>; N]) -> Result<(Tensor<T>, Self::Saved<T>)>;

    /// The gradients with respect to the inputs, given `dy`, the gradient with respect to the
    /// output: `Some` exactly where `need` says so. Everything arrives by value, so backward may
    /// work in place and buffers return to the pool as they are used up.
    fn backward<T: Float>(
        &self,
        saved: Self::Saved<T>,
        dy: Tensor<T>,
        need: [bool; N],
    ) -> [Option<Tensor<T>>; N];

    /// Inputs that the derivative is checked on. There is no default: an operation without cases
    /// does not compile.
    fn cases(g: &mut Gen) -> Vec<Case<Self, N>>;
}

/// Says that an operation is in a table, and hence checked. Implemented by
/// [`register!`](crate::register) alone; [`apply`](crate::apply) asks for it.
pub trait Registered<const N: usize>: Op<N> {}

/// An operation in a table: its name, its arity, and its checks.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The operation's name.
    pub name: &'static str,
    /// The number of inputs that are differentiated.
    pub arity: usize,
    cases: fn(u64) -> Vec<Box<dyn Subject + Sync>>,
}

impl Entry {
    /// The entry of an operation.
    pub const fn of<O: Op<N>, const N: usize>() -> Self {
        Entry {
            name: O::NAME,
            arity: N,
            cases: gradcheck::subjects::<O, N>,
        }
    }

    /// Runs every check on every case made from `seed`.
    pub fn check(&self, seed: u64) -> Report {
        gradcheck::check(self.name, &(self.cases)(seed), seed)
    }

    /// Breaks the operation's backward on purpose, in several ways, and returns the ways that
    /// the checks did not notice. Empty, if the checks have teeth.
    pub fn surviving_mutants(&self, seed: u64) -> Vec<gradcheck::Survivor> {
        gradcheck::survivors(self.name, self.arity, &(self.cases)(seed), seed)
    }
}

/// Enters operations into a table of [`Entry`]s and thereby makes them callable.
///
/// `register! { pub static OPERATIONS = [Relu[1], MatMul[2]]; }`; the number is the arity.
#[macro_export]
macro_rules! register {
    ($(#[$doc:meta])* $vis:vis static $table:ident = [$($op:ty [$n:literal]),* $(,)?];) => {
        $(impl $crate::op::Registered<$n> for $op {})*
        $(#[$doc])*
        $vis static $table: &[$crate::op::Entry] = &[$($crate::op::Entry::of::<$op, $n>()),*];
    };
}
