//! The loops of batch normalisation, over rows of `c` channels.

use super::simd::per_isa;
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
        let (mut mean, mut squares) = (vec![T::ZERO; c], vec![T::ZERO; c]);
        add_rows(x, &mut mean);
        let count = T::of(rows.len() as f64);
        mean.iter_mut().for_each(|mean| *mean /= count);
        add_squares(x, &mean, &mut squares);
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

/// Rows added up before they are added to the sums: a quarter of the traffic on these.
const TOGETHER: usize = 4;

per_isa! {
    /// Adds all rows to `sums`.
    fn add_rows<T: Float>(x: &[T], sums: &mut [T]) {
        let c = sums.len();
        let blocks = x.chunks_exact(TOGETHER * c);
        for row in blocks.remainder().chunks_exact(c) {
            for i in 0..c {
                sums[i] += row[i];
            }
        }
        for block in blocks {
            let (front, back) = block.split_at(2 * c);
            let ((a, b), (d, e)) = (front.split_at(c), back.split_at(c));
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum += (a[i] + b[i]) + (d[i] + e[i]);
            }
        }
    }
}

per_isa! {
    /// Adds the squares of all rows less `mean` to `sums`.
    fn add_squares<T: Float>(x: &[T], mean: &[T], sums: &mut [T]) {
        let c = sums.len();
        let blocks = x.chunks_exact(TOGETHER * c);
        for row in blocks.remainder().chunks_exact(c) {
            for i in 0..c {
                sums[i] += (row[i] - mean[i]) * (row[i] - mean[i]);
            }
        }
        for block in blocks {
            let (front, back) = block.split_at(2 * c);
            let ((a, b), (d, e)) = (front.split_at(c), back.split_at(c));
            for i in 0..c {
                let [a, b, d, e] = [a[i] - mean[i], b[i] - mean[i], d[i] - mean[i], e[i] - mean[i]];
                sums[i] += (a * a + b * b) + (d * d + e * e);
            }
        }
    }
}

/// `y = x·scale + shift` per channel, then max(·, 0) with `relu`.
pub fn scale_shift<T: Float>(x: &[T], scale: &[T], shift: &[T], relu: bool, y: &mut [T]) {
    par::chunks(y, par::task_size(par::CHEAP, scale.len()), |start, y| {
        let x = &x[start..start + y.len()];
        match relu {
            true => scale_shift_relu_rows(x, scale, shift, y),
            false => scale_shift_rows(x, scale, shift, y),
        }
    });
}

per_isa! {
    fn scale_shift_rows<T: Float>(x: &[T], scale: &[T], shift: &[T], y: &mut [T]) {
        let c = scale.len();
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                *y = x * scale + shift;
            }
        }
    }
}

per_isa! {
    fn scale_shift_relu_rows<T: Float>(x: &[T], scale: &[T], shift: &[T], y: &mut [T]) {
        let c = scale.len();
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                *y = (x * scale + shift).max(T::ZERO);
            }
        }
    }
}

/// Where a ReLU let the output through: recomputed from the input, bit by bit as forward did,
/// instead of read from the output.
#[derive(Clone, Copy)]
pub struct Mask<'a, T> {
    /// Of forward.
    pub scale: &'a [T],
    /// Of forward.
    pub shift: &'a [T],
}

/// `Σ g` and `Σ g (x − mean)` of each channel; `g` is `dy` under the mask.
pub fn gradient_sums<T: Float>(
    x: &[T],
    mean: &[T],
    mask: Option<Mask<'_, T>>,
    dy: &[T],
) -> (Tensor<T>, Tensor<T>) {
    let c = mean.len();
    let parts = par::map_ranges(dy.len() / c, task_rows(c), |rows| {
        let span = rows.start * c..rows.end * c;
        let (x, dy) = (&x[span.clone()], &dy[span]);
        let (mut sum, mut moment) = (vec![T::ZERO; c], vec![T::ZERO; c]);
        match mask {
            Some(mask) => add_masked_moments(x, mean, mask, dy, &mut sum, &mut moment),
            None => add_moments(x, mean, dy, &mut sum, &mut moment),
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

per_isa! {
    fn add_moments<T: Float>(x: &[T], mean: &[T], dy: &[T], sum: &mut [T], moment: &mut [T]) {
        let c = mean.len();
        let (sum, moment) = (&mut sum[..c], &mut moment[..c]);
        for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact(c)) {
            for i in 0..c {
                sum[i] += dy[i];
                moment[i] += dy[i] * (x[i] - mean[i]);
            }
        }
    }
}

per_isa! {
    fn add_masked_moments<T: Float>(
        x: &[T],
        mean: &[T],
        mask: Mask<'_, T>,
        dy: &[T],
        sum: &mut [T],
        moment: &mut [T],
    ) {
        let c = mean.len();
        let (sum, moment) = (&mut sum[..c], &mut moment[..c]);
        let (scale, shift) = (&mask.scale[..c], &mask.shift[..c]);
        for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact(c)) {
            for i in 0..c {
                let passed = x[i] * scale[i] + shift[i] > T::ZERO;
                let g = if passed { dy[i] } else { T::ZERO };
                sum[i] += g;
                moment[i] += g * (x[i] - mean[i]);
            }
        }
    }
}

/// Per channel, what [`grad_input`] computes with.
#[derive(Clone, Copy)]
pub struct Affine<'a, T> {
    /// Factor of `g`.
    pub of_g: &'a [T],
    /// Factor of `x`.
    pub of_x: &'a [T],
    /// Summand.
    pub constant: &'a [T],
}

/// `dx = g·of_g + x·of_x + constant` per channel, in place over `dy`; `g` is `dy` under the mask.
pub fn grad_input<T: Float>(
    x: &[T],
    affine: Affine<'_, T>,
    mask: Option<Mask<'_, T>>,
    dy: &mut [T],
) {
    par::chunks(
        dy,
        par::task_size(par::CHEAP, affine.of_g.len()),
        |start, dy| {
            let x = &x[start..start + dy.len()];
            match mask {
                Some(mask) => grad_masked_rows(x, affine, mask, dy),
                None => grad_rows(x, affine, dy),
            }
        },
    );
}

per_isa! {
    fn grad_rows<T: Float>(x: &[T], affine: Affine<'_, T>, dy: &mut [T]) {
        let c = affine.of_g.len();
        let (of_x, constant) = (&affine.of_x[..c], &affine.constant[..c]);
        for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for i in 0..c {
                dy[i] = dy[i] * affine.of_g[i] + (x[i] * of_x[i] + constant[i]);
            }
        }
    }
}

per_isa! {
    fn grad_masked_rows<T: Float>(
        x: &[T],
        affine: Affine<'_, T>,
        mask: Mask<'_, T>,
        dy: &mut [T],
    ) {
        let c = affine.of_g.len();
        let (of_x, constant) = (&affine.of_x[..c], &affine.constant[..c]);
        let (scale, shift) = (&mask.scale[..c], &mask.shift[..c]);
        for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for i in 0..c {
                let passed = x[i] * scale[i] + shift[i] > T::ZERO;
                let g = if passed { dy[i] } else { T::ZERO };
                dy[i] = g * affine.of_g[i] + (x[i] * of_x[i] + constant[i]);
            }
        }
    }
}
