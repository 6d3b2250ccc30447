//! Other arrangements of the same elements: reshape, permute, concat, slice, pad.
//!
//! Two copies serve the last three: [`take`] reads a range of an axis, [`join`] writes pieces one
//! after the other along an axis. The gradient of each is the other.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::op::{Op, Registered};
use crate::par;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::var::{Var, apply};
use std::ops::Range;

/// The same elements, in the same order, under another shape. Free.
#[derive(Clone, Debug)]
pub struct Reshape {
    /// The new shape.
    pub shape: Shape,
}

impl Reshape {
    /// Keeps axis 0 and makes one axis of the rest: `[N, H, W, C]` becomes `[N, H·W·C]`.
    pub(super) fn flat(shape: Shape) -> Self {
        let first = shape.first().copied().unwrap_or(1);
        let rest = shape.iter().skip(1).product();
        Reshape {
            shape: [first, rest].into(),
        }
    }
}

impl Op<1> for Reshape {
    const NAME: &'static str = "reshape";
    type Saved<T: Float> = Shape;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Shape)> {
        let (old, new) = (x.shape(), self.shape);
        if old.elements() != new.elements() {
            let (found, asked) = (old.elements(), new.elements());
            let reason = format!("{found} elements do not fill {new}, which has {asked}");
            return Err(BadOperands::new(Self::NAME, reason)
                .operand("input", "", old)
                .into());
        }
        Ok((x.reshape(new), old))
    }

    fn backward<T: Float>(
        &self,
        old: Shape,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        [Some(dy.reshape(old))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let cases: [(&[usize], &[usize]); 3] =
            [(&[3, 4], &[2, 6]), (&[5], &[1, 5, 1]), (&[1], &[])];
        let case = |&(old, new): &(&[usize], &[usize])| {
            let op = Reshape { shape: new.into() };
            Case::new(format!("{old:?} to {new:?}"), op, [g.normal(old)])
        };
        cases.iter().map(case).collect()
    }
}

/// Axis `i` of the output is axis `order[i]` of the input. The gradient is permuted back.
#[derive(Clone, Debug)]
pub struct Permute {
    /// Every axis of the input once.
    pub order: Vec<usize>,
}
impl Op<1> for Permute {
    const NAME: &'static str = "permute";
    type Saved<T: Float> = ();

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, ())> {
        let mut sorted = self.order.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..x.shape().rank()) {
            let reason = format!("{:?} does not name every axis once", self.order);
            return Err(BadOperands::new(Self::NAME, reason)
                .operand("input", "", x.shape())
                .into());
        }
        Ok((permuted(x, &self.order), ()))
    }

    fn backward<T: Float>(&self, (): (), dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let mut back = vec![0; self.order.len()];
        for (i, &axis) in self.order.iter().enumerate() {
            back[axis] = i;
        }
        [Some(permuted(&dy, &back))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let cases: [(&[usize], &[usize]); 8] = [
            (&[3, 5], &[1, 0]),
            (&[17, 33], &[1, 0]),
            (&[2, 3, 4, 5], &[0, 3, 1, 2]),
            (&[2, 3, 4, 5], &[0, 2, 3, 1]),
            (&[3, 4, 5], &[1, 0, 2]),
            (&[3, 4, 5], &[2, 1, 0]),
            (&[2, 1, 3, 1], &[3, 2, 1, 0]),
            (&[4], &[0]),
        ];
        let case = |&(shape, order): &(&[usize], &[usize])| {
            let op = Permute {
                order: order.into(),
            };
            Case::new(format!("{shape:?} by {order:?}"), op, [g.normal(shape)])
        };
        cases.iter().map(case).collect()
    }
}

/// Elements along the last axis of the output that are copied before the next row is begun. The
/// rows after the first one read from the same cache lines.
const STRIP: usize = 64;

fn permuted<T: Float>(x: &Tensor<T>, order: &[usize]) -> Tensor<T> {
    let shape = x.shape();
    // Length and distance in the input of every axis of the output; axes that stay together are
    // one, and those of length 1 are none.
    let mut axes: Vec<[usize; 2]> = Vec::new();
    for &axis in order {
        let [_, n, stride] = shape.around(axis);
        match axes.last_mut() {
            _ if n == 1 => {}
            Some([len, last]) if *last == n * stride => [*len, *last] = [*len * n, stride],
            _ => axes.push([n, stride]),
        }
    }
    let [n, stride] = axes.pop().unwrap_or([1, 1]);
    let row_start = |mut row: usize| {
        let mut at = 0;
        for &[len, stride] in axes.iter().rev() {
            at += row % len * stride;
            row /= len;
        }
        at
    };
    let mut out = Tensor::stale(order.iter().map(|&axis| shape[axis]).collect::<Shape>());
    let x = x.data();
    par::chunks(
        out.data_mut(),
        par::task_size(par::CHEAP, n),
        |start, piece| {
            let first = start / n;
            if stride == 1 {
                for (r, out) in piece.chunks_mut(n).enumerate() {
                    out.copy_from_slice(&x[row_start(first + r)..][..n]);
                }
                return;
            }
            for strip in (0..n).step_by(STRIP) {
                let end = (strip + STRIP).min(n);
                for (r, out) in piece.chunks_mut(n).enumerate() {
                    let x = x[row_start(first + r) + strip * stride..]
                        .iter()
                        .step_by(stride);
                    for (out, &x) in out[strip..end].iter_mut().zip(x) {
                        *out = x;
                    }
                }
            }
        },
    );
    out
}

/// A range of an axis.
fn take<T: Float>(x: &Tensor<T>, axis: usize, range: Range<usize>) -> Tensor<T> {
    let [_, n, inner] = x.shape().around(axis);
    let mut out = Tensor::stale(x.shape().with(axis, range.len()));
    let (from, to) = (n * inner, range.len() * inner);
    let x = x.data();
    par::chunks(
        out.data_mut(),
        par::task_size(par::CHEAP, to),
        |start, piece| {
            for (r, out) in piece.chunks_mut(to).enumerate() {
                out.copy_from_slice(&x[(start / to + r) * from + range.start * inner..][..to]);
            }
        },
    );
    out
}

/// A part of an axis.
enum Piece<'a, T: Float> {
    Zeros(usize),
    Of(&'a Tensor<T>),
}

/// A tensor of `shape` whose `axis` is made up of these pieces.
fn join<T: Float>(shape: Shape, axis: usize, pieces: &[Piece<'_, T>]) -> Tensor<T> {
    let [_, n, inner] = shape.around(axis);
    let mut out = Tensor::stale(shape);
    let block = n * inner;
    par::chunks(
        out.data_mut(),
        par::task_size(par::CHEAP, block),
        |start, chunk| {
            for (r, mut out) in chunk.chunks_mut(block).enumerate() {
                for piece in pieces {
                    let part;
                    match piece {
                        Piece::Zeros(n) => {
                            (part, out) = out.split_at_mut(n * inner);
                            part.fill(T::ZERO);
                        }
                        Piece::Of(x) => {
                            let size = x.shape()[axis] * inner;
                            (part, out) = out.split_at_mut(size);
                            part.copy_from_slice(&x.data()[(start / block + r) * size..][..size]);
                        }
                    }
                }
            }
        },
    );
    out
}

/// The operands one after the other along an axis; each gets its part of the gradient.
#[derive(Clone, Debug)]
pub struct Concat {
    /// The axis along which the operands may differ in length.
    pub axis: usize,
}
impl<const N: usize> Op<N> for Concat {
    const NAME: &'static str = "concat";
    /// The length of each operand along the axis.
    type Saved<T: Float> = [usize; N];

    fn forward<T: Float>(&self, x: [&Tensor<T>; N]) -> Result<(Tensor<T>, [usize; N])> {
        let axis = self.axis;
        let shapes = x.map(Tensor::shape);
        let fits = |s: &Shape| {
            axis < s.rank()
                && s.rank() == shapes[0].rank()
                && s.with(axis, 0) == shapes[0].with(axis, 0)
        };
        if !shapes.iter().all(fits) {
            let reason = format!("the shapes must be equal but for axis {axis}");
            let bad = BadOperands::new(<Self as Op<N>>::NAME, reason);
            let bad = shapes
                .iter()
                .fold(bad, |bad, &s| bad.operand("part", "", s));
            return Err(bad.into());
        }
        let lengths = shapes.map(|s| s[axis]);
        let shape = shapes[0].with(axis, lengths.iter().sum());
        Ok((join(shape, axis, &x.map(Piece::Of)), lengths))
    }

    fn backward<T: Float>(
        &self,
        lengths: [usize; N],
        dy: Tensor<T>,
        need: [bool; N],
    ) -> [Option<Tensor<T>>; N] {
        std::array::from_fn(|i| {
            let start = lengths[..i].iter().sum();
            need[i].then(|| take(&dy, self.axis, start..start + lengths[i]))
        })
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, N>> {
        let cases: [(&[usize], usize); 5] = [
            (&[3], 0),
            (&[2, 3, 4], 0),
            (&[2, 3, 4], 1),
            (&[3, 17], 1),
            (&[1, 1, 1, 1], 3),
        ];
        let case = |&(shape, axis): &(&[usize], usize)| {
            let shape = Shape::from(shape);
            let part = |i| g.normal(shape.with(axis, shape[axis] + i));
            let name = format!("{N} of {shape} at {axis}");
            Case::new(name, Concat { axis }, std::array::from_fn(part))
        };
        cases.iter().map(case).collect()
    }
}

impl<T: Float> Var<T> {
    /// The parts one after the other along `axis`; all other axes must be equal.
    ///
    /// # Panics
    /// If the parts do not fit together; the message has their shapes.
    #[track_caller]
    pub fn concat<const N: usize>(parts: [&Var<T>; N], axis: usize) -> Var<T>
    where
        Concat: Registered<N>,
    {
        match Self::try_concat(parts, axis) {
            Ok(y) => y,
            Err(e) => panic!("{e}"),
        }
    }

    /// [`concat`](Var::concat) that returns its error.
    ///
    /// # Errors
    /// If the parts do not fit together.
    pub fn try_concat<const N: usize>(parts: [&Var<T>; N], axis: usize) -> Result<Var<T>>
    where
        Concat: Registered<N>,
    {
        apply(Concat { axis }, parts)
    }
}

/// A range of an axis. The gradient of what lies outside is 0.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// The indices along it.
    pub range: Range<usize>,
}
impl Op<1> for Slice {
    const NAME: &'static str = "slice";
    type Saved<T: Float> = Shape;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Shape)> {
        let Slice { axis, range } = self;
        let fits = x.shape().get(*axis).is_some_and(|&n| range.end <= n);
        if !fits || range.start > range.end {
            let reason = format!("there is no range {range:?} of axis {axis}");
            return Err(BadOperands::new(Self::NAME, reason)
                .operand("input", "", x.shape())
                .into());
        }
        Ok((take(x, *axis, range.clone()), x.shape()))
    }

    fn backward<T: Float>(
        &self,
        shape: Shape,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let Range { start, end } = self.range;
        let after = shape[self.axis] - end;
        let pieces = [Piece::Zeros(start), Piece::Of(&dy), Piece::Zeros(after)];
        [Some(join(shape, self.axis, &pieces))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let cases: [(&[usize], usize, Range<usize>); 5] = [
            (&[7], 0, 2..5),
            (&[4, 3], 0, 1..2),
            (&[3, 17], 1, 0..15),
            (&[2, 5, 3], 1, 2..5),
            (&[2, 3], 1, 0..3),
        ];
        let case = |(shape, axis, range): &(&[usize], usize, Range<usize>)| {
            let (axis, range) = (*axis, range.clone());
            let name = format!("{shape:?} at {axis}, {range:?}");
            Case::new(name, Slice { axis, range }, [g.normal(*shape)])
        };
        cases.iter().map(case).collect()
    }
}

/// Zeros before and after, along an axis. They take their part of the gradient with them.
#[derive(Clone, Debug)]
pub struct Pad {
    /// The axis.
    pub axis: usize,
    /// Zeros in front.
    pub before: usize,
    /// Zeros behind.
    pub after: usize,
}
impl Op<1> for Pad {
    const NAME: &'static str = "pad";
    type Saved<T: Float> = usize;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, usize)> {
        let &Pad {
            axis,
            before,
            after,
        } = self;
        let Some(&n) = x.shape().get(axis) else {
            return Err(
                BadOperands::new(Self::NAME, format!("there is no axis {axis}"))
                    .operand("input", "", x.shape())
                    .into(),
            );
        };
        let shape = x.shape().with(axis, before + n + after);
        let pieces = [Piece::Zeros(before), Piece::Of(x), Piece::Zeros(after)];
        Ok((join(shape, axis, &pieces), n))
    }

    fn backward<T: Float>(&self, n: usize, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(take(&dy, self.axis, self.before..self.before + n))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let cases: [(&[usize], [usize; 3]); 4] = [
            (&[5], [0, 2, 1]),
            (&[3, 17], [1, 1, 0]),
            (&[2, 3, 4], [1, 0, 2]),
            (&[2, 3], [0, 0, 0]),
        ];
        let case = |&(shape, [axis, before, after]): &(&[usize], [usize; 3])| {
            let op = Pad {
                axis,
                before,
                after,
            };
            Case::new(format!("{shape:?} {op:?}"), op, [g.normal(shape)])
        };
        cases.iter().map(case).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(shape: impl Into<Shape>) -> Var<f64> {
        Var::leaf(Tensor::from_fn(shape, |i| i as f64))
    }

    #[test]
    fn permuting_agrees_with_indexing() {
        let lengths = [2, 3, 70, 4];
        let strides = [3 * 70 * 4, 70 * 4, 4, 1];
        let x = counted(lengths);
        for code in 0..256 {
            let order: Vec<usize> = (0..4).map(|i| code >> (2 * i) & 3).collect();
            let Ok(y) = x.try_permute(&order) else {
                assert!((0..4).any(|axis| !order.contains(&axis)));
                continue;
            };
            for (i, &found) in y.value().data().iter().enumerate() {
                let (mut rest, mut at) = (i, 0);
                for &axis in order.iter().rev() {
                    at += rest % lengths[axis] * strides[axis];
                    rest /= lengths[axis];
                }
                assert_eq!(found, at as f64, "{order:?} at {i}");
            }
        }
    }

    #[test]
    fn flatten_keeps_the_first_axis() {
        assert_eq!(counted([2, 3, 4, 5]).flatten().shape(), [2, 60].into());
        assert_eq!(counted([0, 3, 4]).flatten().shape(), [0, 12].into());
        assert_eq!(counted([7]).flatten().shape(), [7, 1].into());
    }

    #[test]
    fn concat_and_slice_are_inverse() {
        let (a, b, c) = (counted([2, 1]), counted([2, 2]), counted([2, 3]));
        let y = Var::concat([&a, &b, &c], 1);
        let rows = [0.0, 0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 3.0, 4.0, 5.0];
        assert_eq!(y.value().data(), &rows);
        assert_eq!(y.slice(1, 1..3).value().data(), b.value().data());
        let padded = b.pad(1, 1, 3).value().data().to_vec();
        assert_eq!(padded[..6], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn empty_parts_are_allowed() {
        let (none, some) = (counted([2, 0]), counted([2, 2]));
        let y = Var::concat([&none, &some], 1);
        assert_eq!(y.value().data(), some.value().data());
        let gradients = (&y.slice(1, 1..1).sum() + &y.sum()).backward();
        assert_eq!(gradients.of(&none).unwrap().elements(), 0);
        assert_eq!(gradients.of(&some).unwrap().data(), &[1.0; 4]);
    }

    #[test]
    fn what_does_not_fit_is_explained() {
        let x = counted([2, 3]);
        let text = |y: Result<Var<f64>>| y.unwrap_err().to_string();
        assert!(text(x.try_reshape([4, 2])).contains("6 elements do not fill [4, 2]"));
        assert!(text(x.try_permute(&[0, 0])).contains("[0, 0]"));
        assert!(text(x.try_slice(1, 2..4)).contains("2..4 of axis 1"));
        assert!(text(x.try_pad(2, 1, 1)).contains("no axis 2"));
        let e = text(Var::try_concat([&x, &counted([3, 3])], 1));
        assert!(e.contains("but for axis 1") && e.contains("[3, 3]"), "{e}");
        assert!(text(Var::try_concat([&x, &counted([2])], 1)).contains("[2]"));
    }
}
