//! Sums, over the middle axis of `[outer, n, inner]`.

use crate::float::Float;
use crate::par;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// The sum of a slice with eight running sums, which vectorise and round less than one.
pub fn sum_slice<T: Float>(x: &[T]) -> T {
    let mut lanes = [T::ZERO; 8];
    let blocks = x.chunks_exact(8);
    let rest = blocks.remainder().iter().copied().sum::<T>();
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane += x;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h)) + rest
}

/// `out[o, i] = Σ_k x[o, k, i]`, of shape `[outer, inner]`.
///
/// A long axis is cut into parts whose sums are added in order, which spreads the work over the
/// threads and keeps rounding errors small.
pub fn sum<T: Float>(x: &Tensor<T>, [outer, n, inner]: [usize; 3]) -> Tensor<T> {
    let data = x.data();
    let shape = Shape::from([outer, inner]);
    let mut out = Tensor::zeros(shape);
    if data.is_empty() {
        return out;
    }
    // Rows of the middle axis that make a task.
    let rows = par::task_size((par::CHEAP / inner).clamp(1, 4096), 1);
    let parts = n.div_ceil(rows);
    let partial = |o: usize, part: usize, out: &mut [T]| {
        let rows = part * rows..((part + 1) * rows).min(n);
        let block = &data[(o * n + rows.start) * inner..(o * n + rows.end) * inner];
        match out {
            [out] => *out = sum_slice(block),
            _ => {
                out.copy_from_slice(&block[..inner]);
                for row in block[inner..].chunks_exact(inner) {
                    for (o, &x) in out.iter_mut().zip(row) {
                        *o += x;
                    }
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
            for (o, &x) in out.iter_mut().zip(partial) {
                *o += x;
            }
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
}
