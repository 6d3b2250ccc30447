//! Convolution with fewer multiplications (Winograd 1980; Lavin and Gray 2015).
//!
//! Kernels of 3x3 and 5x5 with stride 1. The input is cut into overlapping patches of 6x6 pixels,
//! one for each `m` by `m` tile of the output, `m = 7 − r`. Patches and kernel go through
//! [transforms](super::transform) into 36 values per channel; there, the convolution is 36
//! independent matrix products over the channels, and the results are transformed back.
//!
//! Tiles are numbered through all images, so that small images fill the products as well as
//! large ones. The gradient of the input is the same computation with the kernel turned round.
//! The gradient of the kernel sums over tiles in the transformed domain and uses the same
//! transforms in other roles.
//!
//! [`tiling`] has the tiles, [`layout`] how their values lie in memory, [`weight`] the gradient of the
//! kernel; here are the convolution and the choice.

mod layout;
mod tiling;
mod weight;

use super::conv::{Geometry, Pass};
use super::gemm::DEPTH;
use super::tile::Inner;
use super::transform::{Map, POINTS, Transform};
use crate::float::Float;
use crate::par::{self, SharedMut};
use crate::pool::Buffer;
use layout::Layout;
use tiling::{Images, Tiling};
pub use weight::grad_weight;

/// Values of a transformed patch.
const VALUES: usize = POINTS * POINTS;

/// Whether the geometry is one this algorithm knows: a square kernel of 3 or 5, stride 1.
pub fn applies(g: &Geometry) -> bool {
    let square = g.kernel == [3, 3] || g.kernel == [5, 5];
    let plain = g.stride == [1, 1] && g.dilation == [1, 1] && g.groups == 1;
    square && plain && g.padding.iter().all(|&p| p < g.kernel[0])
}

/// Whether it is the faster way, where it applies.
///
/// It saves multiplications, `m² r² / 36` of them less what tiles waste at the edges, and adds
/// transforms, whose price is shared by the channels of the other side.
pub fn pays(g: &Geometry, pass: Pass) -> bool {
    let tiling = match pass {
        Pass::GradInput => Tiling::backward(g),
        Pass::Forward | Pass::GradWeight => Tiling::forward(g),
    };
    let outputs = g.n * tiling.output[0] * tiling.output[1];
    let multiplications = |outputs: usize, each: usize| (outputs * each) as f64;
    let saved = multiplications(outputs, tiling.r * tiling.r)
        / multiplications(tiling.tiles(), VALUES).max(1.0);
    let channels = match pass {
        Pass::Forward | Pass::GradInput => 16,
        Pass::GradWeight => 24,
    };
    saved >= 1.5 && g.c.min(g.o) >= channels
}

/// Elements of a task's transformed values.
const CACHE: usize = 256 * 1024;
/// Elements of all transformed values at a time, in the gradient of the kernel: a shared cache.
const SHARED_CACHE: usize = 2 * 1024 * 1024;
/// Tasks that keep a large machine busy.
const TASKS: usize = 16;

/// Tiles that a task takes at a time: their transformed values stay in the second-level
/// cache, as far as enough rows for the products allow.
fn block(channels: usize) -> usize {
    let fitting = CACHE / (VALUES * channels);
    par::task_size(fitting.clamp(24, 120) / 12 * 12, 1)
}

/// `y = x ∗ kernel (+ bias)`, with the kernel's [transform](transformed_kernel) to `o`
/// channels.
fn convolve<T: Float>(
    tiling: &Tiling,
    x: Images<'_, T>,
    (kernel, of_kernel): (&[T], Layout),
    bias: Option<&[T]>,
    y: &mut [T],
) {
    let (kernels, c, o) = (T::kernels(), x.channels, of_kernel.columns);
    let block = block(c + o).min(tiling.tiles().max(1));
    let blocks = tiling.tiles().div_ceil(block);
    // Few blocks are cut by output channels too, at the price of transforming the input
    // once for each part.
    let panels = o.div_ceil(of_kernel.width);
    let parts = TASKS.div_ceil(blocks.max(1)).min(panels);
    let part = panels.div_ceil(parts) * of_kernel.width;
    let parts = o.div_ceil(part);
    let y = SharedMut::new(y);
    par::each(blocks * parts, |task| {
        let (at, columns) = (task / parts * block, task % parts * part);
        let tiles = at..(at + block).min(tiling.tiles());
        let columns = columns..(columns + part).min(o);
        let of_x = Layout::rows::<T>(tiles.len(), c);
        let of_y = Layout::rows::<T>(tiles.len(), columns.len());
        let mut reached = Buffer::stale(of_x.elements());
        let mut products = Buffer::<T>::stale(of_y.elements());
        tiling.reach(x, tiles.clone(), &of_x.target(&mut reached), 0);
        let rows: Vec<usize> = (0..tiles.len()).map(|t| t * c).collect();
        let outputs: Vec<usize> = (0..tiles.len()).map(|t| t * columns.len()).collect();
        for value in 0..VALUES {
            for first in columns.clone().step_by(of_kernel.width) {
                for depth in (0..c).step_by(DEPTH) {
                    // SAFETY: the three matrices of each value lie as their layouts say.
                    unsafe {
                        let to = of_y.at(value, 0, first - columns.start);
                        kernels.inner(&Inner {
                            a: reached.as_ptr().add(of_x.at(value, 0, 0)),
                            rows: &rows,
                            segments: &[depth],
                            length: DEPTH.min(c - depth),
                            b: kernel.as_ptr().add(of_kernel.at(value, depth, first)),
                            b_stride: of_kernel.width,
                            c: products.as_mut_ptr().add(to),
                            c_rows: &outputs,
                            columns: of_kernel.width.min(columns.end - first),
                            add: depth > 0,
                        });
                    }
                }
            }
        }
        // SAFETY: each task has its own tiles and columns of `y`.
        unsafe { tiling.interpolate((&products, of_y), tiles, columns, o, bias, y.start()) }
    });
}

/// The transform of weights `[r, r, c, o]`: a matrix `[c, o]` for each value.
fn transformed_kernel<T: Float>(r: usize, c: usize, o: usize, w: &[T]) -> (Buffer<T>, Layout) {
    let layout = Layout::panels::<T>(c, o);
    let Layout { width, step, .. } = layout;
    let mut to = Buffer::<T>::stale(layout.elements());
    let shared = SharedMut::new(&mut to);
    par::each(c, |i| {
        for column in (0..o).step_by(width) {
            // SAFETY: each task reads and writes the rows of one input channel.
            unsafe {
                T::transform(&Transform {
                    map: Map::Evaluate,
                    n: r,
                    count: 1,
                    from_next: 0,
                    to_next: 0,
                    from: w.as_ptr().add(i * o + column),
                    from_steps: [r * c * o, c * o],
                    to: shared.start().add(layout.at(0, i, column)),
                    to_steps: [POINTS * step, step],
                    to_size: [POINTS; 2],
                    channels: width.min(o - column),
                    bias: None,
                });
            }
        }
    });
    (to, layout)
}

/// `y = x ∗ w + bias`.
pub fn forward<T: Float>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let (kernel, layout) = transformed_kernel(g.kernel[0], g.c, g.o, w);
    convolve(&Tiling::forward(g), g.images(x), (&kernel, layout), bias, y);
}

/// `dx`, given `dy`.
pub fn grad_input<T: Float>(g: &Geometry, w: &[T], dy: &[T], dx: &mut [T]) {
    let (kernel, layout) = transformed_kernel(g.kernel[0], g.o, g.c, &turned(g, w));
    convolve(
        &Tiling::backward(g),
        g.gradients(dy),
        (&kernel, layout),
        None,
        dx,
    );
}

/// The weights turned round in both axes, outputs and inputs exchanged: `[r, r, o, c]`.
fn turned<T: Float>(g: &Geometry, w: &[T]) -> Buffer<T> {
    let (taps, cells) = (g.kernel[0] * g.kernel[1], g.c * g.o);
    let mut turned = Buffer::stale(w.len());
    par::chunks(&mut turned, cells, |start, to| {
        let from = &w[(taps - 1 - start / cells) * cells..][..cells];
        transpose(from, [g.c, g.o], to);
    });
    turned
}

/// `to[j, i] = from[i, j]` for a matrix of this size.
///
/// Rows of many channels are a power of two of bytes apart, and so share sets of the caches. A
/// block is therefore read by pieces of several cache lines, which the processor sees coming, put
/// together beside, and written a line at a time.
fn transpose<T: Float>(from: &[T], [rows, columns]: [usize; 2], to: &mut [T]) {
    const HIGH: usize = 16;
    const WIDE: usize = 64;
    let mut block = [[T::ZERO; HIGH]; WIDE];
    for column in (0..columns).step_by(WIDE) {
        let width = WIDE.min(columns - column);
        for row in (0..rows).step_by(HIGH) {
            let height = HIGH.min(rows - row);
            for i in 0..height {
                let from = &from[(row + i) * columns + column..][..width];
                for (line, &x) in block.iter_mut().zip(from) {
                    line[i] = x;
                }
            }
            for (j, line) in block.iter().take(width).enumerate() {
                to[(column + j) * rows + row..][..height].copy_from_slice(&line[..height]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::direct;
    use crate::rng::Key;

    /// Both kernels, every padding, sizes that tiles cut and sizes that they fit, channels off
    /// the vector width, and one image smaller than a patch.
    fn geometries() -> Vec<Geometry> {
        let mut all = Vec::new();
        for (r, padding) in [(3, 0), (3, 1), (3, 2), (5, 0), (5, 2), (5, 4)] {
            for (n, [h, w], [c, o]) in [
                (2, [8, 8], [16, 16]),
                (3, [7, 9], [3, 17]),
                (1, [14, 5], [33, 2]),
                (5, [5, 5], [4, 70]),
            ] {
                all.push(Geometry {
                    n,
                    input: [h, w],
                    output: [h, w].map(|length| length + 2 * padding + 1 - r),
                    c,
                    o,
                    kernel: [r, r],
                    stride: [1, 1],
                    padding: [padding; 2],
                    dilation: [1, 1],
                    groups: 1,
                });
            }
        }
        all
    }

    fn random<T: Float>(n: usize, name: &str, scale: f64) -> Vec<T> {
        let mut rng = Key::new(2).named(name).rng();
        (0..n).map(|_| T::of(scale * rng.normal())).collect()
    }

    /// The largest difference, relative to the largest value.
    fn error<A: Float, B: Float>(found: &[A], expected: &[B]) -> f64 {
        let pairs = found
            .iter()
            .zip(expected)
            .map(|(a, b)| (a.to_f64(), b.to_f64()));
        let (gap, size) = pairs.fold((0.0, 0.0), |(gap, size): (f64, f64), (a, b)| {
            (gap.max((a - b).abs()), size.max(b.abs()))
        });
        gap / size
    }

    /// Value, dx and dw of one way, in one type.
    fn all<T: Float>(g: &Geometry, winograd: bool) -> [Vec<T>; 3] {
        let outputs = g.n * g.output[0] * g.output[1] * g.o;
        let inputs = g.n * g.input[0] * g.input[1] * g.c;
        let weights = g.kernel[0] * g.kernel[1] * g.c * g.o;
        // Realistic: pixels after a ReLU, weights scaled by their fan.
        let x: Vec<T> = random::<T>(inputs, "x", 1.0)
            .iter()
            .map(|x| x.max(T::ZERO))
            .collect();
        let scale = (2.0 / (weights / g.o) as f64).sqrt();
        let (w, dy) = (
            random::<T>(weights, "w", scale),
            random::<T>(outputs, "dy", 1.0),
        );
        let bias = random::<T>(g.o, "bias", 1.0);
        let [mut y, mut dx, mut dw] = [outputs, inputs, weights].map(|n| vec![T::ZERO; n]);
        if winograd {
            forward(g, &x, &w, Some(&bias), &mut y);
            grad_input(g, &w, &dy, &mut dx);
            grad_weight(g, &x, &dy, &mut dw);
        } else {
            direct::forward(g, &x, &w, Some(&bias), &mut y);
            direct::grad_input(g, &w, &dy, &mut dx);
            direct::add_grad_weight(g, &x, &dy, 0..g.n * g.output[0], &mut dw);
        }
        [y, dx, dw]
    }

    #[test]
    fn fewer_multiplications_give_the_same_convolution() {
        let mut worst = [[0.0f64; 3]; 2];
        for g in geometries() {
            assert!(applies(&g) || g.padding[0] >= g.kernel[0]);
            let expected = all::<f64>(&g, false);
            let double = all::<f64>(&g, true);
            let single = all::<f32>(&g, true);
            for (i, what) in ["y", "dx", "dw"].into_iter().enumerate() {
                let (exact, rounded) = (
                    error(&double[i], &expected[i]),
                    error(&single[i], &expected[i]),
                );
                assert!(exact < 1e-12, "{what} of {g:?}: {exact:.1e} in f64");
                assert!(rounded < 1e-5, "{what} of {g:?}: {rounded:.1e} in f32");
                let worst = &mut worst[usize::from(g.kernel[0] == 5)][i];
                *worst = worst.max(rounded);
            }
        }
        for (r, [y, dx, dw]) in [3, 5].into_iter().zip(worst) {
            println!("{r}x{r}: worst relative error in f32: y {y:.1e}, dx {dx:.1e}, dw {dw:.1e}");
        }
    }
}
