//! Convolution with one input and one output channel per group: no product to speak of, so it is
//! computed directly, vectorised over the channels.

use super::conv::Geometry;
use crate::float::Float;
use crate::par;
use std::ops::Range;

/// The pixels of one axis that a position meets: `(tap, index)` for every tap inside the image.
fn forward_taps(g: &Geometry, axis: usize, at: usize) -> impl Iterator<Item = (usize, usize)> {
    let (start, padding) = (at * g.stride[axis], g.padding[axis]);
    let (dilation, length) = (g.dilation[axis], g.input[axis]);
    (0..g.kernel[axis]).filter_map(move |k| {
        let index = (start + k * dilation).checked_sub(padding)?;
        (index < length).then_some((k, index))
    })
}

/// The output positions of one axis that an input position reaches, with the tap that does it.
fn backward_taps(g: &Geometry, axis: usize, at: usize) -> impl Iterator<Item = (usize, usize)> {
    let (reach, stride) = (at + g.padding[axis], g.stride[axis]);
    let (dilation, length) = (g.dilation[axis], g.output[axis]);
    (0..g.kernel[axis]).filter_map(move |k| {
        let position = reach.checked_sub(k * dilation)?;
        (position % stride == 0 && position / stride < length).then_some((k, position / stride))
    })
}

/// `y = x ∗ w + bias`.
pub fn forward<T: Float>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let row = g.output[1] * g.o;
    let size = par::task_size(par::CHEAP.div_ceil(g.kernel[0] * g.kernel[1]), row);
    par::chunks(y, size.max(1), |start, y| {
        for (r, y) in y.chunks_exact_mut(row).enumerate() {
            let r = start / row + r;
            let x = image(x, r / g.output[0], g.input, g.c);
            for (j, pixel) in y.chunks_exact_mut(g.c).enumerate() {
                match bias {
                    Some(bias) => pixel.copy_from_slice(bias),
                    None => pixel.fill(T::ZERO),
                }
                for (ky, iy) in forward_taps(g, 0, r % g.output[0]) {
                    for (kx, ix) in forward_taps(g, 1, j) {
                        let x = &x[(iy * g.input[1] + ix) * g.c..][..g.c];
                        multiply_add(pixel, x, tap(g, w, ky, kx));
                    }
                }
            }
        }
    });
}

/// `dx`, given `dy`.
pub fn grad_input<T: Float>(g: &Geometry, w: &[T], dy: &[T], dx: &mut [T]) {
    let row = g.input[1] * g.c;
    let size = par::task_size(par::CHEAP.div_ceil(g.kernel[0] * g.kernel[1]), row);
    par::chunks(dx, size.max(1), |start, dx| {
        for (r, dx) in dx.chunks_exact_mut(row).enumerate() {
            let r = start / row + r;
            let dy = image(dy, r / g.input[0], g.output, g.o);
            for (j, pixel) in dx.chunks_exact_mut(g.c).enumerate() {
                pixel.fill(T::ZERO);
                for (ky, oy) in backward_taps(g, 0, r % g.input[0]) {
                    for (kx, ox) in backward_taps(g, 1, j) {
                        let dy = &dy[(oy * g.output[1] + ox) * g.o..][..g.o];
                        multiply_add(pixel, dy, tap(g, w, ky, kx));
                    }
                }
            }
        }
    });
}

/// Adds to `dw` what the output rows `rows`, counted through all images, contribute.
pub fn add_grad_weight<T: Float>(
    g: &Geometry,
    x: &[T],
    dy: &[T],
    rows: Range<usize>,
    dw: &mut [T],
) {
    for r in rows {
        let x = image(x, r / g.output[0], g.input, g.c);
        let dy = &dy[r * g.output[1] * g.o..][..g.output[1] * g.o];
        for (j, dy) in dy.chunks_exact(g.o).enumerate() {
            for (ky, iy) in forward_taps(g, 0, r % g.output[0]) {
                for (kx, ix) in forward_taps(g, 1, j) {
                    let x = &x[(iy * g.input[1] + ix) * g.c..][..g.c];
                    let dw = &mut dw[(ky * g.kernel[1] + kx) * g.c..][..g.c];
                    multiply_add(dw, x, dy);
                }
            }
        }
    }
}

fn image<T>(all: &[T], n: usize, [h, w]: [usize; 2], channels: usize) -> &[T] {
    let size = h * w * channels;
    &all[n * size..(n + 1) * size]
}

fn tap<'a, T>(g: &Geometry, w: &'a [T], ky: usize, kx: usize) -> &'a [T] {
    &w[(ky * g.kernel[1] + kx) * g.c..][..g.c]
}

#[inline]
fn multiply_add<T: Float>(sum: &mut [T], a: &[T], b: &[T]) {
    for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}
