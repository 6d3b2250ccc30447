//! The loops of batch normalisation, over rows of `c` channels.

use crate::float::Float;
use crate::par;
use crate::tensor::Tensor;

/// Rows of a task: what fits into a second-level cache, since a task reads its rows twice.
fn task_rows(c: usize) -> usize {
    par::task_size((par::CHEAP / c.max(1)).clamp(1, 4096), 1)
}

/// Mean and biased variance of each channel.
///
/// Each task takes the mean of its rows and then, from the cache, the squares around that mean;
/// the tasks are combined in order by Chan's formula. One pass over memory, and no difference of
/// large numbers.
pub fn statistics<T: Float>(x: &[T], c: usize) -> (Tensor<T>, Tensor<T>) {
    let rows = x.len() / c;
    let parts = par::map_ranges(rows, task_rows(c), |rows| {
        let x = &x[rows.start * c..rows.end * c];
        let count = T::of(rows.len() as f64);
        let (mut mean, mut squares) = (vec![T::ZERO; c], vec![T::ZERO; c]);
        for row in x.chunks_exact(c) {
            for (mean, &x) in mean.iter_mut().zip(row) {
                *mean += x;
            }
        }
        mean.iter_mut().for_each(|mean| *mean /= count);
        for row in x.chunks_exact(c) {
            for ((squares, &mean), &x) in squares.iter_mut().zip(&mean).zip(row) {
                *squares += (x - mean) * (x - mean);
            }
        }
        (rows.len() as f64, mean, squares)
    });
    let mut seen = 0.0;
    let (mut mean, mut squares) = (Tensor::zeros([c]), Tensor::<T>::zeros([c]));
    let (m, s) = (mean.data_mut(), squares.data_mut());
    for (count, part_mean, part_squares) in parts {
        let total = seen + count;
        let (share, cross) = (T::of(count / total), T::of(seen * count / total));
        for i in 0..c {
            let gap: T = part_mean[i] - m[i];
            m[i] += gap * share;
            s[i] += part_squares[i] + gap * gap * cross;
        }
        seen = total;
    }
    let variance = squares.map(|s| s / T::of(seen));
    (mean, variance)
}

/// `y = x·scale + shift` per channel, then max(·, 0) with `relu`.
pub fn scale_shift<T: Float>(x: &[T], scale: &[T], shift: &[T], relu: bool, y: &mut [T]) {
    let c = scale.len();
    par::chunks(y, par::task_size(par::CHEAP, c), |start, y| {
        let x = &x[start..start + y.len()];
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                *y = x * scale + shift;
            }
            if relu {
                y.iter_mut().for_each(|y| *y = y.max(T::ZERO));
            }
        }
    });
}

/// `Σ dy` and `Σ dy (x − mean)` of each channel.
pub fn gradient_sums<T: Float>(x: &[T], mean: &[T], dy: &[T], c: usize) -> (Tensor<T>, Tensor<T>) {
    let parts = par::map_ranges(dy.len() / c, task_rows(c), |rows| {
        let span = rows.start * c..rows.end * c;
        let (mut sum, mut moment) = (vec![T::ZERO; c], vec![T::ZERO; c]);
        for (x, dy) in x[span.clone()]
            .chunks_exact(c)
            .zip(dy[span].chunks_exact(c))
        {
            for i in 0..c {
                sum[i] += dy[i];
                moment[i] += dy[i] * (x[i] - mean[i]);
            }
        }
        (sum, moment)
    });
    let (mut sum, mut moment) = (Tensor::zeros([c]), Tensor::zeros([c]));
    let (s, m) = (sum.data_mut(), moment.data_mut());
    for (part_sum, part_moment) in parts {
        for i in 0..c {
            s[i] += part_sum[i];
            m[i] += part_moment[i];
        }
    }
    (sum, moment)
}

/// `dx = scale (dy − from_sum − (x − mean) from_moment)` per channel, in place over `dy`.
pub fn grad_input<T: Float>(
    x: &[T],
    [mean, scale, from_sum, from_moment]: [&[T]; 4],
    dy: &mut [T],
) {
    let c = mean.len();
    par::chunks(dy, par::task_size(par::CHEAP, c), |start, dy| {
        let x = &x[start..start + dy.len()];
        for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for i in 0..c {
                dy[i] = scale[i] * (dy[i] - from_sum[i] - (x[i] - mean[i]) * from_moment[i]);
            }
        }
    });
}
