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

use super::conv::Geometry;
use super::tile::{Inner, Outer};
use super::transform::{Map, POINTS, Transform};
use crate::float::Float;
use crate::par::{self, SharedMut};
use crate::pool::Buffer;
use std::ops::Range;

/// Values of a transformed patch.
const VALUES: usize = POINTS * POINTS;

/// Whether the geometry is one this algorithm knows: a square kernel of 3 or 5, stride 1.
pub fn applies(g: &Geometry) -> bool {
    let square = g.kernel == [3, 3] || g.kernel == [5, 5];
    let plain = g.stride == [1, 1] && g.dilation == [1, 1] && g.groups == 1;
    square && plain && g.padding.iter().all(|&p| p < g.kernel[0])
}

/// How images are cut into tiles.
#[derive(Clone, Copy)]
struct Tiling {
    /// Side of the kernel and of an output tile.
    r: usize,
    m: usize,
    n: usize,
    /// The image that patches are cut from, the one that tiles make up, and the first's padding.
    input: [usize; 2],
    output: [usize; 2],
    padding: [usize; 2],
    /// Tiles of an image.
    grid: [usize; 2],
}

impl Tiling {
    fn new(r: usize, n: usize, input: [usize; 2], output: [usize; 2], padding: [usize; 2]) -> Self {
        let m = POINTS + 1 - r;
        Tiling {
            r,
            m,
            n,
            input,
            output,
            padding,
            grid: output.map(|length| length.div_ceil(m)),
        }
    }

    fn forward(g: &Geometry) -> Self {
        Self::new(g.kernel[0], g.n, g.input, g.output, g.padding)
    }

    /// The convolution of the output's gradient with the turned kernel.
    fn backward(g: &Geometry) -> Self {
        let padding = g.padding.map(|p| g.kernel[0] - 1 - p);
        Self::new(g.kernel[0], g.n, g.output, g.input, padding)
    }

    fn tiles(&self) -> usize {
        self.n * self.grid[0] * self.grid[1]
    }

    /// The image of a tile and the pixel it begins at.
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let [rows, columns] = self.grid;
        let (image, rest) = (tile / (rows * columns), tile % (rows * columns));
        (image, [rest / columns * self.m, rest % columns * self.m])
    }

    /// Transforms the patches of `tiles`: to `[values, tiles, channels]`.
    fn reach<T: Float>(&self, x: &[T], channels: usize, tiles: Range<usize>, to: &mut [T]) {
        let first =
            |at: [usize; 2]| std::array::from_fn(|a| at[a] as isize - self.padding[a] as isize);
        self.transform(Map::Reach, x, self.input, channels, tiles, first, to);
    }

    /// Transforms the output tiles `tiles` of `dy`: to `[values, tiles, channels]`.
    fn evaluate<T: Float>(&self, dy: &[T], channels: usize, tiles: Range<usize>, to: &mut [T]) {
        let first = |at: [usize; 2]| at.map(|a| a as isize);
        self.transform(Map::Evaluate, dy, self.output, channels, tiles, first, to);
    }

    /// Applies `map` to the part of `images` that belongs to each tile: from the pixel that
    /// `first` makes of the tile's place, with zeros outside the image.
    #[allow(clippy::too_many_arguments)] // each of the two callers names them all
    fn transform<T: Float>(
        &self,
        map: Map,
        images: &[T],
        size: [usize; 2],
        channels: usize,
        tiles: Range<usize>,
        first: impl Fn([usize; 2]) -> [isize; 2],
        to: &mut [T],
    ) {
        assert_eq!(to.len(), VALUES * tiles.len() * channels);
        let side = if map == Map::Reach { POINTS } else { self.m };
        let [height, width] = size;
        let mut scratch = Buffer::stale(side * side * channels);
        let next = tiles.len() * channels;
        for (t, tile) in tiles.enumerate() {
            let (image, at) = self.place(tile);
            let pixels = &images[image * height * width * channels..][..height * width * channels];
            let first = first(at);
            let inside = (0..2).all(|a| first[a] >= 0 && first[a] as usize + side <= size[a]);
            let (from, row) = if inside {
                let pixel = first[0] as usize * width + first[1] as usize;
                (pixels[pixel * channels..].as_ptr(), width * channels)
            } else {
                copy_patch(pixels, size, channels, first, [side; 2], &mut scratch);
                (scratch.as_ptr(), side * channels)
            };
            // SAFETY: the part lies inside the image or is the scratch; `to` holds every value of
            // every tile, as asserted.
            unsafe {
                T::transform(&Transform {
                    map,
                    n: self.m,
                    from,
                    from_steps: [row, channels],
                    to: to.as_mut_ptr().add(t * channels),
                    to_steps: [POINTS * next, next],
                    to_size: [POINTS; 2],
                    channels,
                    bias: None,
                });
            }
        }
    }

    /// Tiles that a task takes at a time: their transformed values stay in the second-level
    /// cache, as far as enough rows for the products allow.
    fn block(&self, channels: usize) -> usize {
        let fitting = CACHE / (VALUES * channels);
        par::task_size(fitting.clamp(24, 120) / 12 * 12, 1)
    }

    /// `y = x ∗ kernel (+ bias)`, with the kernel's transform `[values, c, o]`.
    fn convolve<T: Float>(
        &self,
        x: &[T],
        c: usize,
        kernel: &[T],
        o: usize,
        bias: Option<&[T]>,
        y: &mut [T],
    ) {
        let kernels = T::kernels();
        let block = self.block(c + o);
        let [height, width] = self.output;
        let y = SharedMut::new(y);
        par::each(self.tiles().div_ceil(block), |task| {
            let tiles = task * block..((task + 1) * block).min(self.tiles());
            let count = tiles.len();
            let mut reached = Buffer::stale(VALUES * count * c);
            self.reach(x, c, tiles.clone(), &mut reached);
            let mut products = Buffer::<T>::stale(VALUES * count * o);
            let rows: Vec<usize> = (0..count).map(|t| t * c).collect();
            let outputs: Vec<usize> = (0..count).map(|t| t * o).collect();
            for value in 0..VALUES {
                for first in (0..o).step_by(kernels.width) {
                    // SAFETY: `reached`, `kernel` and `products` hold `[count, c]`, `[c, o]` and
                    // `[count, o]` for each value.
                    unsafe {
                        kernels.inner(&Inner {
                            a: reached.as_ptr().add(value * count * c),
                            rows: &rows,
                            segments: &[0],
                            length: c,
                            b: kernel.as_ptr().add(value * c * o + first),
                            b_stride: o,
                            c: products.as_mut_ptr().add(value * count * o + first),
                            c_rows: &outputs,
                            columns: kernels.width.min(o - first),
                            add: false,
                        });
                    }
                }
            }
            for (t, tile) in tiles.enumerate() {
                let (image, at) = self.place(tile);
                let pixel = (image * height + at[0]) * width + at[1];
                // SAFETY: tiles do not overlap, and only their part inside the image is written.
                unsafe {
                    T::transform(&Transform {
                        map: Map::Interpolate,
                        n: self.m,
                        from: products.as_ptr().add(t * o),
                        from_steps: [POINTS * count * o, count * o],
                        to: y.start().add(pixel * o),
                        to_steps: [width * o, o],
                        to_size: std::array::from_fn(|a| self.m.min(self.output[a] - at[a])),
                        channels: o,
                        bias,
                    });
                }
            }
        });
    }
}

/// Elements of a task's transformed values.
const CACHE: usize = 192 * 1024;
/// Elements of all transformed values at a time, in the gradient of the kernel: a shared cache.
const SHARED_CACHE: usize = 2 * 1024 * 1024;

/// Copies `size` pixels from `first` on, with zeros outside the image.
fn copy_patch<T: Float>(
    x: &[T],
    [height, width]: [usize; 2],
    channels: usize,
    first: [isize; 2],
    size: [usize; 2],
    to: &mut [T],
) {
    for (i, row) in to
        .chunks_exact_mut(size[1] * channels)
        .take(size[0])
        .enumerate()
    {
        let y = first[0] + i as isize;
        for (j, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let z = first[1] + j as isize;
            if (0..height as isize).contains(&y) && (0..width as isize).contains(&z) {
                let at = (y as usize * width + z as usize) * channels;
                pixel.copy_from_slice(&x[at..at + channels]);
            } else {
                pixel.fill(T::ZERO);
            }
        }
    }
}

/// The kernel's transform `[values, c, o]` of weights `[r, r, c, o]`.
fn transformed_kernel<T: Float>(r: usize, c: usize, o: usize, w: &[T]) -> Buffer<T> {
    let mut to = Buffer::<T>::stale(VALUES * c * o);
    let shared = SharedMut::new(&mut to);
    par::each(c, |i| {
        // SAFETY: each task reads and writes the rows of one input channel.
        unsafe {
            T::transform(&Transform {
                map: Map::Evaluate,
                n: r,
                from: w.as_ptr().add(i * o),
                from_steps: [r * c * o, c * o],
                to: shared.start().add(i * o),
                to_steps: [POINTS * c * o, c * o],
                to_size: [POINTS; 2],
                channels: o,
                bias: None,
            });
        }
    });
    to
}

/// `y = x ∗ w + bias`.
pub fn forward<T: Float>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let kernel = transformed_kernel(g.kernel[0], g.c, g.o, w);
    Tiling::forward(g).convolve(x, g.c, &kernel, g.o, bias, y);
}

/// `dx`, given `dy`.
pub fn grad_input<T: Float>(g: &Geometry, w: &[T], dy: &[T], dx: &mut [T]) {
    // Turned round in both axes, outputs and inputs exchanged.
    let (taps, cells) = (g.kernel[0] * g.kernel[1], g.c * g.o);
    let mut turned = Buffer::stale(w.len());
    par::chunks(&mut turned, cells, |start, to| {
        let from = &w[(taps - 1 - start / cells) * cells..][..cells];
        for (o, row) in to.chunks_exact_mut(g.c).enumerate() {
            for (c, cell) in row.iter_mut().enumerate() {
                *cell = from[c * g.o + o];
            }
        }
    });
    let kernel = transformed_kernel(g.kernel[0], g.o, g.c, &turned);
    Tiling::backward(g).convolve(dy, g.o, &kernel, g.c, None, dx);
}

/// `dw`, given `dy`.
///
/// In the transformed domain the gradient is a sum over tiles of products of the patch and the
/// tile of `dy`. Batches of tiles are transformed by tasks over tiles, then summed by tasks over
/// values: no partial sums to add, and one order.
pub fn grad_weight<T: Float>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let (tiling, kernels) = (Tiling::forward(g), T::kernels());
    let (c, o) = (g.c, g.o);
    let block = tiling.block(c + o);
    let blocks = (SHARED_CACHE / (VALUES * (c + o) * block)).max(2);
    let batch = (blocks * block).min(tiling.tiles());
    let mut sums = Buffer::filled(VALUES * c * o, T::ZERO);
    let mut patches = Buffer::stale(batch.div_ceil(block) * block * VALUES * c);
    let mut tiles_of_dy = Buffer::stale(batch.div_ceil(block) * block * VALUES * o);
    let panels = o.div_ceil(kernels.width);
    for first in (0..tiling.tiles()).step_by(batch.max(1)) {
        let all = first..(first + batch).min(tiling.tiles());
        let (per_c, per_o) = (block * VALUES * c, block * VALUES * o);
        let used = all.len().div_ceil(block);
        let (patches, tiles_of_dy) = (
            &mut patches[..used * per_c],
            &mut tiles_of_dy[..used * per_o],
        );
        let tiles_of = |b: usize| all.start + b * block..(all.start + (b + 1) * block).min(all.end);
        par::chunks2(
            patches,
            per_c,
            tiles_of_dy,
            per_o,
            |b, patches, tiles_of_dy| {
                let tiles = tiles_of(b);
                let count = tiles.len() * VALUES;
                tiling.reach(x, c, tiles.clone(), &mut patches[..count * c]);
                tiling.evaluate(dy, o, tiles, &mut tiles_of_dy[..count * o]);
            },
        );
        let (patches, tiles_of_dy) = (&*patches, &*tiles_of_dy);
        let shared = SharedMut::new(&mut sums);
        par::each(VALUES * panels, |task| {
            let (value, column) = (task / panels, task % panels * kernels.width);
            for b in 0..used {
                let count = tiles_of(b).len();
                let terms: Vec<usize> = (0..count).map(|t| t * c).collect();
                // SAFETY: each task has its own value and columns of the sums.
                unsafe {
                    kernels.outer(&Outer {
                        a: patches.as_ptr().add(b * per_c + value * count * c),
                        terms: &terms,
                        rows: c,
                        b: tiles_of_dy
                            .as_ptr()
                            .add(b * per_o + value * count * o + column),
                        b_stride: o,
                        c: shared.start().add(value * c * o + column),
                        c_stride: o,
                        columns: kernels.width.min(o - column),
                        add: true,
                    });
                }
            }
        });
    }
    let dw = SharedMut::new(dw);
    let (r, cells) = (tiling.r, c * o);
    par::each(c, |i| {
        // SAFETY: each task writes the rows of one input channel.
        unsafe {
            T::transform(&Transform {
                map: Map::Interpolate,
                n: r,
                from: sums.as_ptr().add(i * o),
                from_steps: [POINTS * cells, cells],
                to: dw.start().add(i * o),
                to_steps: [r * cells, cells],
                to_size: [r; 2],
                channels: o,
                bias: None,
            });
        }
    });
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
                assert!(rounded < 1e-4, "{what} of {g:?}: {rounded:.1e} in f32");
            }
        }
    }
}
