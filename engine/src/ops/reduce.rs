//! Reductions over neighbouring axes.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::kernels::reduce;
use crate::op::Op;
use crate::par;
use crate::pool::Buffer;
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

/// y = max x over the axes;  dx = dy at the first maximum, 0 elsewhere
///
/// A NaN counts as the largest number, so that it is not hidden.
#[derive(Clone, Debug)]
pub struct Max {
    /// What to take the maximum over.
    pub axes: Axes,
}
impl Op<1> for Max {
    const NAME: &'static str = "max";
    /// Where along the axes each maximum is.
    type Saved<T: Float> = (Buffer<usize>, [usize; 3], Shape);

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let (around @ [_, n, inner], shape) = self.axes.of(Self::NAME, x.shape())?;
        if n == 0 {
            return Err(BadOperands::new(Self::NAME, "nothing has no maximum")
                .operand("input", "", x.shape())
                .into());
        }
        let y = reduce::max(x, around);
        let mut first = Buffer::filled(y.elements(), 0);
        let (values, maxima) = (x.data(), y.data());
        let size = par::task_size(par::CHEAP.div_ceil(n), inner);
        par::chunks(&mut first, size, |start, piece| {
            for (r, first) in piece.chunks_mut(inner).enumerate() {
                let o = start / inner + r;
                let maxima = &maxima[o * inner..][..inner];
                // From the last one to the first, so that the first one is what remains.
                for k in (0..n).rev() {
                    let row = &values[(o * n + k) * inner..][..inner];
                    for ((first, &x), &max) in first.iter_mut().zip(row).zip(maxima) {
                        if x == max || x.is_nan() {
                            *first = k;
                        }
                    }
                }
            }
        });
        Ok((y.reshape(shape), (first, around, x.shape())))
    }

    fn backward<T: Float>(
        &self,
        (first, [_, n, inner], shape): Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let mut dx = Tensor::stale(shape);
        let dy = dy.data();
        let block = n * inner;
        let size = par::task_size(par::CHEAP, block);
        par::chunks(dx.data_mut(), size, |start, piece| {
            piece.fill(T::ZERO);
            for (r, dx) in piece.chunks_mut(block).enumerate() {
                let o = start / block + r;
                for i in 0..inner {
                    dx[first[o * inner + i] * inner + i] = dy[o * inner + i];
                }
            }
        });
        [Some(dx)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        cases(g, |axes| Max { axes }, |g, s| g.distinct(s))
    }
}

/// y = ln Σ eˣ over the axes;  dx = eˣ⁻ʸ dy
///
/// Computed around the maximum, so that nothing overflows.
#[derive(Clone, Debug)]
pub struct LogSumExp {
    /// What to sum over.
    pub axes: Axes,
}
impl Op<1> for LogSumExp {
    const NAME: &'static str = "logsumexp";
    /// The exponentials, and their sums.
    type Saved<T: Float> = ([Tensor<T>; 2], [usize; 3]);

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let (around, shape) = self.axes.of(Self::NAME, x.shape())?;
        // An infinite maximum says the sum already; to subtract it would make a NaN.
        let finite = |m: T| if m.is_finite() { m } else { T::ZERO };
        let mut y = reduce::max(x, around).map(finite);
        let mut exps = spread(&y, around, x.shape(), |m| m);
        exps.zip_assign(x, |m, x| (x - m).exp());
        let sums = reduce::sum(&exps, around);
        y.zip_assign(&sums, |m, s| m + s.ln());
        Ok((y.reshape(shape), ([exps, sums], around)))
    }

    fn backward<T: Float>(
        &self,
        ([exps, sums], around): Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let mut dy = dy.reshape(sums.shape());
        dy.zip_assign(&sums, |dy, s| dy / s);
        let mut dx = spread(&dy, around, exps.shape(), |dy| dy);
        dx.zip_assign(&exps, |dy, e| dy * e);
        [Some(dx)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let mut cases = cases(g, |axes| LogSumExp { axes }, |g, s| g.normal(s));
        let large = g.normal([3, 5]).map(|x| 100.0 * x + 1000.0);
        let axes = 1.into();
        cases.push(Case::new("large", LogSumExp { axes }, [large]));
        cases
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tensor, Var};

    #[test]
    fn of_equal_elements_the_first_is_the_maximum() {
        let x = Var::leaf(Tensor::new([2, 3], &[1.0, 4.0, 4.0, 2.0, 2.0, -1.0_f64]));
        let rows = x.max_over(1);
        assert_eq!(rows.value().data(), &[4.0, 2.0]);
        let dx = rows.sum().backward();
        assert_eq!(dx.of(&x).unwrap().data(), &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);

        let x = Var::leaf(Tensor::new([3, 2], &[1.0, 5.0, 3.0, 5.0, 3.0, 0.0_f64]));
        let columns = x.max_over(0);
        assert_eq!(columns.value().data(), &[3.0, 5.0]);
        let dx = columns.sum().backward();
        assert_eq!(dx.of(&x).unwrap().data(), &[0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_maximum_shows_a_nan_and_sends_the_gradient_there() {
        let x = Var::leaf(Tensor::new([4], &[1.0, f32::NAN, 3.0, f32::NAN]));
        let max = x.max_over(0);
        assert!(max.value().item().is_nan());
        assert_eq!(max.backward().of(&x).unwrap().data(), &[0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_maximum_of_nothing_is_an_error() {
        let e = Var::<f32>::constant(Tensor::zeros([2, 0])).try_max_over(1);
        assert!(e.unwrap_err().to_string().contains("[2, 0]"));
    }

    #[test]
    fn logsumexp_neither_overflows_nor_trips_over_infinity() {
        let inf = f32::INFINITY;
        let rows = [1000.0, 1000.0, -1e4, -1e4, -inf, -inf, inf, 0.0];
        let y = Var::constant(Tensor::new([4, 2], &rows)).logsumexp_over(1);
        let ln2 = 2_f32.ln();
        assert_eq!(y.value().data(), &[1000.0 + ln2, -1e4 + ln2, -inf, inf]);
    }
}
