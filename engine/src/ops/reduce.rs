//! Reductions over neighbouring axes.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::kernels::reduce;
use crate::op::Op;
use crate::par;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::ops::{Range, RangeInclusive};

/// Neighbouring axes `first..end`: `2.into()`, `(0..3).into()`, `(1..=2).into()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes {
    first: usize,
    end: usize,
}

impl Axes {
    /// Every axis.
    pub const ALL: Axes = Axes {
        first: 0,
        end: usize::MAX,
    };

    /// Reads `shape` as `[outer, n, inner]` around these axes, and gives the shape without them.
    pub(super) fn of(self, op: &'static str, shape: Shape) -> Result<([usize; 3], Shape)> {
        let end = if self == Self::ALL {
            shape.rank()
        } else {
            self.end
        };
        if self.first > end || end > shape.rank() {
            let reason = format!("there are no axes {}..{}", self.first, self.end);
            return Err(BadOperands::new(op, reason)
                .operand("input", "", shape)
                .into());
        }
        let (before, after) = (&shape[..self.first], &shape[end..]);
        let n = shape[self.first..end].iter().product();
        let around = [before.iter().product(), n, after.iter().product()];
        Ok((around, before.iter().chain(after).copied().collect()))
    }
}

impl From<usize> for Axes {
    fn from(axis: usize) -> Self {
        (axis..axis + 1).into()
    }
}

impl From<Range<usize>> for Axes {
    fn from(axes: Range<usize>) -> Self {
        Axes {
            first: axes.start,
            end: axes.end,
        }
    }
}

impl From<RangeInclusive<usize>> for Axes {
    fn from(axes: RangeInclusive<usize>) -> Self {
        (*axes.start()..axes.end() + 1).into()
    }
}

/// The inverse of a sum: `out[o, k, i] = f(x[o, i])`.
fn spread<T: Float>(
    x: &Tensor<T>,
    [_, n, inner]: [usize; 3],
    shape: Shape,
    f: impl Fn(T) -> T + Sync + Send,
) -> Tensor<T> {
    let mut out = Tensor::stale(shape);
    let x = x.data();
    let size = par::task_size(par::CHEAP, inner);
    par::chunks(out.data_mut(), size, |start, piece| {
        for (r, row) in piece.chunks_mut(inner).enumerate() {
            let o = (start / inner + r) / n;
            for (y, &x) in row.iter_mut().zip(&x[o * inner..]) {
                *y = f(x);
            }
        }
    });
    out
}

/// Reductions are checked on all axes, the first, the last, several in the middle, and one long
/// enough to be cut into parts.
pub(super) fn cases<O>(
    g: &mut Gen,
    make: impl Fn(Axes) -> O,
    mut input: impl FnMut(&mut Gen, Shape) -> Tensor<f64>,
) -> Vec<Case<O, 1>> {
    let cases: [(&[usize], Axes); 7] = [
        (&[3, 5], Axes::ALL),
        (&[], Axes::ALL),
        (&[4, 3], 0.into()),
        (&[4, 17], 1.into()),
        (&[2, 3, 2, 5], (1..3).into()),
        (&[2, 3, 4], (0..=1).into()),
        (&[1, 1], 0.into()),
    ];
    let case = |&(shape, axes): &(&[usize], Axes)| {
        let shape = Shape::from(shape);
        Case::new(format!("{shape} {axes:?}"), make(axes), [input(g, shape)])
    };
    cases.iter().map(case).collect()
}

/// y = Σ x over the axes;  dx = dy, repeated
#[derive(Clone, Debug)]
pub struct Sum {
    /// What to sum over.
    pub axes: Axes,
}
impl Op<1> for Sum {
    const NAME: &'static str = "sum";
    type Saved<T: Float> = ([usize; 3], Shape);

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let (around, shape) = self.axes.of(Self::NAME, x.shape())?;
        Ok((reduce::sum(x, around).reshape(shape), (around, x.shape())))
    }

    fn backward<T: Float>(
        &self,
        (around, shape): Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        [Some(spread(&dy, around, shape, |dy| dy))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        cases(g, |axes| Sum { axes }, |g, s| g.normal(s))
    }
}

/// y = Σ x / n over the axes;  dx = dy/n, repeated
#[derive(Clone, Debug)]
pub struct Mean {
    /// What to average over.
    pub axes: Axes,
}
impl Op<1> for Mean {
    const NAME: &'static str = "mean";
    type Saved<T: Float> = ([usize; 3], Shape);

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let (around, shape) = self.axes.of(Self::NAME, x.shape())?;
        let count = T::of(around[1] as f64);
        let mean = reduce::sum(x, around).reshape(shape).map(|s| s / count);
        Ok((mean, (around, x.shape())))
    }

    fn backward<T: Float>(
        &self,
        (around, shape): Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let count = T::of(around[1] as f64);
        [Some(spread(&dy, around, shape, |dy| dy / count))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        cases(g, |axes| Mean { axes }, |g, s| g.normal(s))
    }
}
