//! Sums and maxima, of slices and over the middle axis of `[outer, n, inner]`.

use super::simd::per_isa;
use crate::float::Float;
use crate::par;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Running results of one fold over a slice: they vectorise, and their sum rounds less than one.
const LANES: usize = 8;

/// Joins the running results, always in the same order.
#[inline(always)]
fn join<T: Float>([a, b, c, d, e, f, g, h]: [T; LANES], fold: impl Fn(T, T) -> T) -> T {
    let quarters = [fold(a, e), fold(c, g), fold(b, f), fold(d, h)];
    fold(
        fold(quarters[0], quarters[1]),
        fold(quarters[2], quarters[3]),
    )
}

/// All elements folded into one number; `init` is the neutral element.
#[inline(always)]
fn fold_slice<T: Float>(x: &[T], init: T, fold: impl Fn(T, T) -> T) -> T {
    let mut lanes = [init; LANES];
    let blocks = x.chunks_exact(LANES);
    let rest = blocks.remainder().iter().copied().fold(init, &fold);
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = fold(*lane, x);
        }
    }
    fold(join(lanes, &fold), rest)
}

/// The sum of a slice.
pub fn sum_slice<T: Float>(x: &[T]) -> T {
    fold_slice(x, T::ZERO, |a, b| a + b)
}

/// The largest element of a slice; NaN if there is one, −∞ if there is nothing.
pub fn max_slice<T: Float>(x: &[T]) -> T {
    fold_slice(x, T::NEG_INFINITY, T::max)
}

/// Brings numbers to their exponentials relative to the largest, `x ← e^(x − max)`, so that none
/// overflows, and returns that largest and the sum of the exponentials.
pub fn exponentiate<T: Float>(x: &mut [T]) -> [T; 2] {
    let max = max_slice(x);
    exponentials(x, max);
    [max, sum_slice(x)]
}

per_isa! {
    /// `x ← e^(x − max)`
    fn exponentials<T: Float>(x: &mut [T], max: T) {
        for x in x {
            *x = (*x - max).exp();
        }
    }
}

/// `Σ f(a, b)` over two slices of one length.
#[inline(always)]
pub fn sum_pairs<T: Float>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    debug_assert_eq!(a.len(), b.len());
    let mut lanes = [T::ZERO; LANES];
    let (blocks_a, blocks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = blocks_a.remainder().iter().zip(blocks_b.remainder());
    let rest: T = rest.map(|(&a, &b)| f(a, b)).sum();
    for (a, b) in blocks_a.zip(blocks_b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(a, b);
        }
    }
    join(lanes, |a, b| a + b) + rest
}

/// The dot product of two slices of one length.
pub fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    sum_pairs(a, b, |a, b| a * b)
}

/// `out[o, i] = Σ_k x[o, k, i]`, of shape `[outer, inner]`.
pub fn sum<T: Float>(x: &Tensor<T>, around: [usize; 3]) -> Tensor<T> {
    fold(x, around, T::ZERO, |a, b| a + b)
}

/// `out[o, i] = max_k x[o, k, i]`, of shape `[outer, inner]`, with the rules of [`max_slice`].
pub fn max<T: Float>(x: &Tensor<T>, around: [usize; 3]) -> Tensor<T> {
    fold(x, around, T::NEG_INFINITY, T::max)
}

/// Folds the middle axis.
///
/// A long axis is cut into parts whose results are joined in order, which spreads the work over
/// the threads and keeps the rounding errors of sums small.
fn fold<T: Float>(
    x: &Tensor<T>,
    [outer, n, inner]: [usize; 3],
    init: T,
    fold: impl Fn(T, T) -> T + Sync + Send,
) -> Tensor<T> {
    let data = x.data();
    let mut out = Tensor::full(Shape::from([outer, inner]), init);
    if data.is_empty() {
        return out;
    }
    // Rows of the middle axis that make a task.
    let rows = par::task_size((par::CHEAP / inner).clamp(1, 4096), 1);
    let parts = n.div_ceil(rows);
    let fold_row = |out: &mut [T], row: &[T]| {
        for (o, &x) in out.iter_mut().zip(row) {
            *o = fold(*o, x);
        }
    };
    let partial = |o: usize, part: usize, out: &mut [T]| {
        let rows = part * rows..((part + 1) * rows).min(n);
        let block = &data[(o * n + rows.start) * inner..(o * n + rows.end) * inner];
        match out {
            [out] => *out = fold_slice(block, init, &fold),
            _ => {
                out.copy_from_slice(&block[..inner]);
                for row in block[inner..].chunks_exact(inner) {
                    fold_row(out, row);
                }
            }
        }
    };
    if parts == 1 {
        let size = par::task_size(par::CHEAP.div_ceil(n), inner);
        par::chunks(out.data_mut(), size, |start, piece| {
            for (i, out) in piece.chunks_mut(inner).enumerate() {
                partial(start / inner + i, 0, out);
            }
        });
        return out;
    }
    let mut partials = Tensor::<T>::stale([outer * parts, inner]);
    par::chunks(partials.data_mut(), inner, |start, out| {
        let i = start / inner;
        partial(i / parts, i % parts, out);
    });
    let partials = partials.data().chunks_exact(parts * inner);
    for (out, partials) in out.data_mut().chunks_mut(inner).zip(partials) {
        for partial in partials.chunks_exact(inner) {
            fold_row(out, partial);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_axes_are_summed_like_short_ones() {
        for [outer, n, inner] in [[1, 100_000, 1], [3, 5_000, 7], [50, 3, 1000], [2, 1, 3]] {
            let x = Tensor::from_fn([outer, n, inner], |i| ((i * 37) % 101) as f64 - 50.0);
            let found = sum(&x, [outer, n, inner]);
            for (i, &y) in found.data().iter().enumerate() {
                let (o, i) = (i / inner, i % inner);
                let expected: f64 = (0..n).map(|k| x.data()[(o * n + k) * inner + i]).sum();
                assert_eq!(y, expected, "[{outer}, {n}, {inner}] at {o}, {i}");
            }
        }
    }

    #[test]
    fn slices_are_folded_to_their_last_element() {
        for n in [0, 1, 7, 8, 9, 31, 33] {
            let x: Vec<f64> = (0..n).map(f64::from).collect();
            let squares: f64 = x.iter().map(|x| x * x).sum();
            assert_eq!(sum_slice(&x), x.iter().sum());
            assert_eq!(dot(&x, &x), squares);
            assert_eq!(max_slice(&x), x.last().copied().unwrap_or(-f64::INFINITY));
            let nan = |i| [&x[..i], &[f64::NAN], &x[i..]].concat();
            assert!((0..x.len()).all(|i| max_slice(&nan(i)).is_nan()));
        }
    }
}
