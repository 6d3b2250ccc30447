//! Functions of two numbers, with broadcasting, and the operators `+ - * /` on references.

use super::pointwise::Affine;
use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::kernels::broadcast::{sum_to, zip_into};
use crate::op::Op;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::var::{Var, apply};
use std::fmt::Debug;
use std::ops;

/// A function of two numbers and its partial derivatives. Every one is an [`Op`] that broadcasts;
/// the gradients of repeated operands are summed here, so no function thinks of it.
pub trait Pointwise2: Clone + Debug + Send + Sync + 'static {
    /// The name in tables and error messages.
    const NAME: &'static str;
    /// Whether the partial derivatives depend on the operands. If not, nothing is kept for
    /// backward and they are called with zeros.
    const READS: bool;
    /// The function.
    fn f<T: Float>(&self, a: T, b: T) -> T;
    /// ∂f/∂a.
    fn da<T: Float>(&self, a: T, b: T) -> T;
    /// ∂f/∂b.
    fn db<T: Float>(&self, a: T, b: T) -> T;
    /// Inputs that the derivatives are checked on.
    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>>;
}

impl<P: Pointwise2> Op<2> for P {
    const NAME: &'static str = P::NAME;
    type Saved<T: Float> = ([Shape; 2], Option<[Tensor<T>; 2]>);

    fn forward<T: Float>(&self, [a, b]: [&Tensor<T>; 2]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let Some(shape) = a.shape().broadcast(&b.shape()) else {
            return Err(BadOperands::new(P::NAME, "the shapes do not broadcast")
                .operand("left", "", a.shape())
                .operand("right", "", b.shape())
                .hint("axes are aligned at the last one; each pair must be equal or hold a 1")
                .into());
        };
        let mut y = Tensor::stale(shape);
        zip_into(&mut y, a, b, |_, a, b| self.f(a, b));
        let operands = P::READS.then(|| [a.clone(), b.clone()]);
        Ok((y, ([a.shape(), b.shape()], operands)))
    }

    fn backward<T: Float>(
        &self,
        (shapes, operands): Self::Saved<T>,
        dy: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        let partial = |mut dx: Tensor<T>, df: fn(&P, T, T) -> T, shape: Shape| {
            match &operands {
                Some([a, b]) => zip_into(&mut dx, a, b, |dy, a, b| dy * df(self, a, b)),
                None => match df(self, T::ZERO, T::ZERO) {
                    factor if factor == T::ONE => {}
                    factor => dx = dx.map(|dy| dy * factor),
                },
            }
            sum_to(dx, shape)
        };
        let da = need[0].then(|| partial(dy.clone(), P::da, shapes[0]));
        let db = need[1].then(|| partial(dy, P::db, shapes[1]));
        [da, db]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        P::cases(g)
    }
}

/// Every way of broadcasting: none, a row, a column, a number, both sides, axes in the middle.
const SHAPES: &[[&[usize]; 2]] = &[
    [&[5], &[5]],
    [&[3, 17], &[17]],
    [&[3, 5], &[3, 1]],
    [&[], &[2, 3]],
    [&[4, 1], &[1, 3]],
    [&[2, 3, 2, 5], &[3, 1, 5]],
    [&[1], &[1]],
];

fn cases<O: Clone>(
    g: &mut Gen,
    op: O,
    mut input: impl FnMut(&mut Gen, usize, Shape) -> Tensor<f64>,
) -> Vec<Case<O, 2>> {
    let case = |&[a, b]: &[&[usize]; 2]| {
        let (a, b) = (Shape::from(a), Shape::from(b));
        let inputs = [input(g, 0, a), input(g, 1, b)];
        Case::new(format!("{a} and {b}"), op.clone(), inputs)
    };
    SHAPES.iter().map(case).collect()
}

/// y = a + b;  ∂y/∂a = 1, ∂y/∂b = 1
#[derive(Clone, Debug)]
pub struct Add;
impl Pointwise2 for Add {
    const NAME: &'static str = "add";
    const READS: bool = false;
    fn f<T: Float>(&self, a: T, b: T) -> T {
        a + b
    }
    fn da<T: Float>(&self, _: T, _: T) -> T {
        T::ONE
    }
    fn db<T: Float>(&self, _: T, _: T) -> T {
        T::ONE
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        cases(g, Add, |g, _, s| g.normal(s))
    }
}

/// y = a − b;  ∂y/∂a = 1, ∂y/∂b = −1
#[derive(Clone, Debug)]
pub struct Sub;
impl Pointwise2 for Sub {
    const NAME: &'static str = "sub";
    const READS: bool = false;
    fn f<T: Float>(&self, a: T, b: T) -> T {
        a - b
    }
    fn da<T: Float>(&self, _: T, _: T) -> T {
        T::ONE
    }
    fn db<T: Float>(&self, _: T, _: T) -> T {
        -T::ONE
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        cases(g, Sub, |g, _, s| g.normal(s))
    }
}

/// y = a b;  ∂y/∂a = b, ∂y/∂b = a
#[derive(Clone, Debug)]
pub struct Mul;
impl Pointwise2 for Mul {
    const NAME: &'static str = "mul";
    const READS: bool = true;
    fn f<T: Float>(&self, a: T, b: T) -> T {
        a * b
    }
    fn da<T: Float>(&self, _: T, b: T) -> T {
        b
    }
    fn db<T: Float>(&self, a: T, _: T) -> T {
        a
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        cases(g, Mul, |g, _, s| g.normal(s))
    }
}

/// y = a / b;  ∂y/∂a = 1/b, ∂y/∂b = −a/b²
#[derive(Clone, Debug)]
pub struct Div;
impl Pointwise2 for Div {
    const NAME: &'static str = "div";
    const READS: bool = true;
    fn f<T: Float>(&self, a: T, b: T) -> T {
        a / b
    }
    fn da<T: Float>(&self, _: T, b: T) -> T {
        T::ONE / b
    }
    fn db<T: Float>(&self, a: T, b: T) -> T {
        -(a / (b * b))
    }
    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        cases(g, Div, |g, operand, s| match operand {
            0 => g.normal(s),
            _ => g.away_from(&[0.0], 0.5, s),
        })
    }
}

/// `&a + &b`, `a + &b`, … and the same with a number on either side.
macro_rules! operator {
    ($trait:ident $method:ident, $op:expr, |$k:ident| right: [$rs:expr, $rt:expr]) => {
        operator!(@pair $trait $method $op; Var<T>, Var<T>; Var<T>, &Var<T>; &Var<T>, Var<T>; &Var<T>, &Var<T>);
        operator!(@number $trait $method [$k $rs, $rt]; Var<T>; &Var<T>);
    };
    (@pair $trait:ident $method:ident $op:expr; $($a:ty, $b:ty);*) => {$(
        impl<T: Float> ops::$trait<$b> for $a {
            type Output = Var<T>;
            #[track_caller]
            fn $method(self, other: $b) -> Var<T> {
                apply($op, [&self, &other]).unwrap_or_else(|e| panic!("{e}"))
            }
        }
    )*};
    (@number $trait:ident $method:ident [$k:ident $scale:expr, $shift:expr]; $($a:ty);*) => {$(
        impl<T: Float> ops::$trait<f64> for $a {
            type Output = Var<T>;
            fn $method(self, $k: f64) -> Var<T> {
                self.affine($scale, $shift)
            }
        }
    )*};
}
operator!(Add add, Add, |k| right: [1.0, k]);
operator!(Sub sub, Sub, |k| right: [1.0, -k]);
operator!(Mul mul, Mul, |k| right: [k, 0.0]);
operator!(Div div, Div, |k| right: [1.0 / k, 0.0]);

macro_rules! number_first {
    ($($a:ty),*) => {$(
        impl<T: Float> ops::Add<$a> for f64 {
            type Output = Var<T>;
            fn add(self, x: $a) -> Var<T> {
                x.affine(1.0, self)
            }
        }
        impl<T: Float> ops::Sub<$a> for f64 {
            type Output = Var<T>;
            fn sub(self, x: $a) -> Var<T> {
                x.affine(-1.0, self)
            }
        }
        impl<T: Float> ops::Mul<$a> for f64 {
            type Output = Var<T>;
            fn mul(self, x: $a) -> Var<T> {
                x.affine(self, 0.0)
            }
        }
        impl<T: Float> ops::Div<$a> for f64 {
            type Output = Var<T>;
            fn div(self, x: $a) -> Var<T> {
                x.recip().affine(self, 0.0)
            }
        }
        impl<T: Float> ops::Neg for $a {
            type Output = Var<T>;
            fn neg(self) -> Var<T> {
                let negation = Affine { scale: -1.0, shift: 0.0 };
                apply(negation, [&self]).expect("defined for every shape")
            }
        }
    )*};
}
number_first!(Var<T>, &Var<T>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_read_like_mathematics() {
        let x = Var::leaf(Tensor::new([2], &[2.0, -3.0_f64]));
        let w = Var::leaf(Tensor::new([2], &[0.5, 4.0]));
        let b = Var::leaf(Tensor::scalar(1.0));
        let y = &x * &w + &b;
        assert_eq!(y.value().data(), &[2.0, -11.0]);
        let z = (1.0 - 2.0 / (&x + 1.0)) * 3.0 - &y / 2.0 - (-&b);
        assert_eq!(z.value().data(), &[1.0 - 1.0 + 1.0, 6.0 + 5.5 + 1.0]);
        assert_eq!(y.sum().backward().of(&b).unwrap().item(), 2.0);
    }

    #[test]
    fn shapes_that_do_not_broadcast_are_an_error_that_names_them() {
        let a = Var::constant(Tensor::<f32>::zeros([3, 4]));
        let b = Var::constant(Tensor::zeros([3]));
        let e = a.try_mul(&b).unwrap_err().to_string();
        assert!(
            e.contains("mul") && e.contains("[3, 4]") && e.contains("[3]"),
            "{e}"
        );
    }
}
