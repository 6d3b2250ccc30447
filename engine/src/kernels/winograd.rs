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

use super::conv::{Geometry, Pass};
use super::direct::padded_row;
use super::gemm::DEPTH;
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

impl Geometry {
    fn images<'a, T>(&self, x: &'a [T]) -> Images<'a, T> {
        Images {
            data: x,
            size: self.input,
            channels: self.c,
        }
    }

    fn gradients<'a, T>(&self, dy: &'a [T]) -> Images<'a, T> {
        Images {
            data: dy,
            size: self.output,
            channels: self.o,
        }
    }
}

/// How images are cut into tiles.
#[derive(Clone, Copy)]
struct Tiling {
    /// Side of the kernel and of an output tile.
    r: usize,
    m: usize,
    n: usize,
    /// The image that tiles make up.
    output: [usize; 2],
    /// The zeros around the image that patches are cut from.
    padding: [usize; 2],
    /// Tiles of an image.
    grid: [usize; 2],
}

impl Tiling {
    fn new(r: usize, n: usize, output: [usize; 2], padding: [usize; 2]) -> Self {
        let m = POINTS + 1 - r;
        Tiling {
            r,
            m,
            n,
            output,
            padding,
            grid: output.map(|length| length.div_ceil(m)),
        }
    }

    fn forward(g: &Geometry) -> Self {
        Self::new(g.kernel[0], g.n, g.output, g.padding)
    }

    /// The convolution of the output's gradient with the turned kernel.
    fn backward(g: &Geometry) -> Self {
        let padding = g.padding.map(|p| g.kernel[0] - 1 - p);
        Self::new(g.kernel[0], g.n, g.input, padding)
    }

    fn tiles(&self) -> usize {
        self.n * self.grid[0] * self.grid[1]
    }

    /// Cuts `tiles` into runs of neighbours in a row.
    fn runs(&self, tiles: Range<usize>) -> impl Iterator<Item = Run> {
        let [rows, columns] = self.grid;
        let mut next = tiles.start;
        std::iter::from_fn(move || {
            let (row, column) = (next / columns, next % columns);
            let count = (columns - column).min(tiles.end - next);
            let run = Run {
                first: next - tiles.start,
                count,
                image: row / rows,
                at: [row % rows * self.m, column * self.m],
            };
            next += count;
            (count > 0).then_some(run)
        })
    }

    /// Splits a run into the tiles that reach over the left edge of the image, those inside, and
    /// those that reach over the right edge, so that few must be copied; one that reaches over the
    /// upper or lower edge stays whole.
    fn split(
        &self,
        run: Run,
        before: [isize; 2],
        side: usize,
        size: [usize; 2],
    ) -> impl Iterator<Item = Run> {
        let top = run.at[0] as isize - before[0];
        let vertical = top >= 0 && top as usize + side <= size[0];
        let left = run.at[1] as isize - before[1];
        let m = self.m as isize;
        // The first tile that begins inside, and the first that ends outside.
        let begins = ((-left).max(0) + m - 1) / m;
        let ends = (size[1] as isize - side as isize - left).div_euclid(m) + 1;
        let begins = (begins as usize).min(run.count);
        let ends = (ends.max(0) as usize).clamp(begins, run.count);
        let cuts = match vertical {
            true => [0, begins, ends, run.count],
            false => [0, 0, 0, run.count],
        };
        let parts = [0, 1, 2].map(|part| Run {
            first: run.first + cuts[part],
            count: cuts[part + 1] - cuts[part],
            image: run.image,
            at: [run.at[0], run.at[1] + cuts[part] * self.m],
        });
        parts.into_iter().filter(|part| part.count > 0)
    }

    /// Transforms the patches of `tiles` into the rows of `to` from `row` on.
    fn reach<T: Float>(&self, x: Images<'_, T>, tiles: Range<usize>, to: &Target<T>, row: usize) {
        let padding = self.padding.map(|p| p as isize);
        self.transform(Map::Reach, x, padding, tiles, to, row);
    }

    /// Transforms the output tiles `tiles` of `dy` into the rows of `to` from `row` on.
    fn evaluate<T: Float>(
        &self,
        dy: Images<'_, T>,
        tiles: Range<usize>,
        to: &Target<T>,
        row: usize,
    ) {
        self.transform(Map::Evaluate, dy, [0, 0], tiles, to, row);
    }

    /// Applies `map` to the part of the images that belongs to each tile: from `before` pixels
    /// before the tile's place on, with zeros outside the image.
    fn transform<T: Float>(
        &self,
        map: Map,
        images: Images<'_, T>,
        before: [isize; 2],
        tiles: Range<usize>,
        to: &Target<T>,
        first_row: usize,
    ) {
        assert!(first_row + tiles.len() <= to.layout.rows && images.channels == to.layout.columns);
        let side = if map == Map::Reach { POINTS } else { self.m };
        let Images {
            data,
            size,
            channels,
        } = images;
        let mut copy = Buffer::stale(side * (self.grid[1] * self.m + side) * channels);
        for run in self
            .runs(tiles)
            .flat_map(|run| self.split(run, before, side, size))
        {
            let first: [isize; 2] = std::array::from_fn(|a| run.at[a] as isize - before[a]);
            let band = [side, (run.count - 1) * self.m + side];
            let inside = |a: usize| first[a] >= 0 && first[a] as usize + band[a] <= size[a];
            let pixels = &data[run.image * size[0] * size[1] * channels..];
            let (from, row) = if inside(0) && inside(1) {
                let pixel = first[0] as usize * size[1] + first[1] as usize;
                (pixels[pixel * channels..].as_ptr(), size[1] * channels)
            } else {
                copy_band(pixels, size, channels, first, band, &mut copy);
                (copy.as_ptr(), band[1] * channels)
            };
            let Layout { width, step, .. } = to.layout;
            for column in (0..channels).step_by(width) {
                // SAFETY: the band lies inside the image or is the copy; the target has these
                // rows, as asserted, and its maker promises that nobody else writes them.
                unsafe {
                    T::transform(&Transform {
                        map,
                        n: self.m,
                        count: run.count,
                        from: from.add(column),
                        from_steps: [row, channels],
                        from_next: self.m * channels,
                        to: to.start.add(to.layout.at(0, first_row + run.first, column)),
                        to_steps: [POINTS * step, step],
                        to_next: width,
                        to_size: [POINTS; 2],
                        channels: width.min(channels - column),
                        bias: None,
                    });
                }
            }
        }
    }

    /// Transforms the products of `tiles`, `[tiles, columns]` for each value, back into the channels `columns` of the `o` channels of `y`.
    ///
    /// # Safety
    /// `y` must hold all images, and nobody else may touch the tiles.
    unsafe fn interpolate<T: Float>(
        &self,
        (products, layout): (&[T], Layout),
        tiles: Range<usize>,
        columns: Range<usize>,
        o: usize,
        bias: Option<&[T]>,
        y: *mut T,
    ) {
        let channels = columns.len();
        assert!(products.len() >= layout.elements() && layout.rows >= tiles.len());
        let step = layout.step;
        let [height, width] = self.output;
        for run in self.runs(tiles) {
            let [rows, last] = std::array::from_fn(|a| {
                let tiles = if a == 1 { run.count - 1 } else { 0 };
                self.m.min(self.output[a] - (run.at[a] + tiles * self.m))
            });
            let pixel = (run.image * height + run.at[0]) * width + run.at[1];
            // The last tile of a row may be cut narrower than its neighbours.
            for (skip, count, columns_of_tile) in
                [(0, run.count - 1, self.m), (run.count - 1, 1, last)]
            {
                // SAFETY: tiles do not overlap, and only their part inside the image is written.
                unsafe {
                    T::transform(&Transform {
                        map: Map::Interpolate,
                        n: self.m,
                        count,
                        from: products.as_ptr().add((run.first + skip) * channels),
                        from_steps: [POINTS * step, step],
                        from_next: channels,
                        to: y.add((pixel + skip * self.m) * o + columns.start),
                        to_steps: [width * o, o],
                        to_next: self.m * o,
                        to_size: [rows, columns_of_tile],
                        channels,
                        bias: bias.map(|bias| &bias[columns.clone()]),
                    });
                }
            }
        }
    }

    /// Tiles that a task takes at a time: their transformed values stay in the second-level
    /// cache, as far as enough rows for the products allow.
    fn block(&self, channels: usize) -> usize {
        let fitting = CACHE / (VALUES * channels);
        par::task_size(fitting.clamp(24, 120) / 12 * 12, 1)
    }

    /// `y = x ∗ kernel (+ bias)`, with the kernel's [transform](transformed_kernel) to `o`
    /// channels.
    fn convolve<T: Float>(
        &self,
        x: Images<'_, T>,
        (kernel, of_kernel): (&[T], Layout),
        bias: Option<&[T]>,
        y: &mut [T],
    ) {
        let (kernels, c, o) = (T::kernels(), x.channels, of_kernel.columns);
        let block = self.block(c + o).min(self.tiles().max(1));
        let blocks = self.tiles().div_ceil(block);
        // Few blocks are cut by output channels too, at the price of transforming the input
        // once for each part.
        let panels = o.div_ceil(of_kernel.width);
        let parts = TASKS.div_ceil(blocks.max(1)).min(panels);
        let part = panels.div_ceil(parts) * of_kernel.width;
        let parts = o.div_ceil(part);
        let y = SharedMut::new(y);
        par::each(blocks * parts, |task| {
            let (at, columns) = (task / parts * block, task % parts * part);
            let tiles = at..(at + block).min(self.tiles());
            let columns = columns..(columns + part).min(o);
            let of_x = Layout::rows::<T>(tiles.len(), c);
            let of_y = Layout::rows::<T>(tiles.len(), columns.len());
            let mut reached = Buffer::stale(of_x.elements());
            let mut products = Buffer::<T>::stale(of_y.elements());
            self.reach(x, tiles.clone(), &of_x.target(&mut reached), 0);
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
            unsafe { self.interpolate((&products, of_y), tiles, columns, o, bias, y.start()) }
        });
    }
}

/// How 36 matrices `[rows, columns]` lie in memory, one for each value.
///
/// A matrix is cut into panels of `width` columns, and a panel's rows follow each other: a right
/// operand is then read from front to back. With one panel it is plainly row by row.
#[derive(Clone, Copy)]
struct Layout {
    rows: usize,
    columns: usize,
    width: usize,
    /// The distance between values.
    step: usize,
}

impl Layout {
    /// Row by row.
    fn rows<T: Float>(rows: usize, columns: usize) -> Self {
        Self::of::<T>(rows, columns, columns)
    }

    /// In panels as wide as a tile of the products.
    fn panels<T: Float>(rows: usize, columns: usize) -> Self {
        Self::of::<T>(rows, columns, T::kernels().width.min(columns))
    }

    fn of<T: Float>(rows: usize, columns: usize, width: usize) -> Self {
        let elements = columns.div_ceil(width) * width * rows;
        // Whole cache lines, an odd number of them: a power of two would map the same element of
        // all 36 values to one set of the first-level cache, which holds eight.
        let line = 64 / size_of::<T>();
        let step = (elements.div_ceil(line) | 1) * line;
        Layout {
            rows,
            columns,
            width,
            step,
        }
    }

    /// What all values take.
    fn elements(&self) -> usize {
        VALUES * self.step
    }

    /// Where an element lies; its neighbours to the right follow, up to the end of the panel.
    fn at(&self, value: usize, row: usize, column: usize) -> usize {
        let (panel, inside) = (column / self.width, column % self.width);
        value * self.step + (panel * self.rows + row) * self.width + inside
    }

    fn target<T>(self, memory: &mut [T]) -> Target<T> {
        assert!(memory.len() >= self.elements());
        Target {
            start: memory.as_mut_ptr(),
            layout: self,
        }
    }
}

/// Matrices that several tasks write, each its own rows.
struct Target<T> {
    start: *mut T,
    layout: Layout,
}

// SAFETY: whoever shares it promises that no two tasks write the same rows.
unsafe impl<T: Send> Sync for Target<T> {}

/// Neighbouring tiles of a row.
struct Run {
    /// The index of the first among the tiles that were cut into runs.
    first: usize,
    count: usize,
    image: usize,
    /// The pixel that the first begins at.
    at: [usize; 2],
}

/// Images `[n, height, width, channels]`.
#[derive(Clone, Copy)]
struct Images<'a, T> {
    data: &'a [T],
    size: [usize; 2],
    channels: usize,
}

/// Elements of a task's transformed values.
const CACHE: usize = 256 * 1024;
/// Elements of all transformed values at a time, in the gradient of the kernel: a shared cache.
const SHARED_CACHE: usize = 2 * 1024 * 1024;
/// Tasks that keep a large machine busy.
const TASKS: usize = 16;

/// Copies `size` pixels from `first` on, with zeros outside the image.
fn copy_band<T: Float>(
    x: &[T],
    [height, width]: [usize; 2],
    channels: usize,
    first: [isize; 2],
    size: [usize; 2],
    to: &mut [T],
) {
    let row = size[1] * channels;
    for (i, to) in to.chunks_exact_mut(row).take(size[0]).enumerate() {
        let y = first[0] + i as isize;
        if (0..height as isize).contains(&y) {
            let x = &x[y as usize * width * channels..][..width * channels];
            padded_row(x, first[1] * channels as isize, to);
        } else {
            to.fill(T::ZERO);
        }
    }
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
    Tiling::forward(g).convolve(g.images(x), (&kernel, layout), bias, y);
}

/// `dx`, given `dy`.
pub fn grad_input<T: Float>(g: &Geometry, w: &[T], dy: &[T], dx: &mut [T]) {
    let (kernel, layout) = transformed_kernel(g.kernel[0], g.o, g.c, &turned(g, w));
    Tiling::backward(g).convolve(g.gradients(dy), (&kernel, layout), None, dx);
}

/// The weights turned round in both axes, outputs and inputs exchanged: `[r, r, o, c]`.
fn turned<T: Float>(g: &Geometry, w: &[T]) -> Buffer<T> {
    /// Rows written at a time: a cache line of each row read.
    const ROWS: usize = 16;
    let (taps, cells) = (g.kernel[0] * g.kernel[1], g.c * g.o);
    let mut turned = Buffer::stale(w.len());
    par::chunks(&mut turned, cells, |start, to| {
        let from = &w[(taps - 1 - start / cells) * cells..][..cells];
        for (block, rows) in to.chunks_mut(ROWS * g.c).enumerate() {
            for (c, from) in from.chunks_exact(g.o).enumerate() {
                let from = &from[block * ROWS..];
                for (row, &x) in rows.chunks_exact_mut(g.c).zip(from) {
                    row[c] = x;
                }
            }
        }
    });
    turned
}

/// `dw`, given `dy`.
///
/// In the transformed domain the gradient is a sum over tiles of products of the patch and the
/// tile of `dy`. Batches of tiles are transformed by tasks over tiles, then summed by tasks over
/// values: no partial sums to add, and one order.
pub fn grad_weight<T: Float>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let (tiling, kernels) = (Tiling::forward(g), T::kernels());
    let (c, o) = (g.c, g.o);
    let block = par::task_size(24, 1);
    let batch = (SHARED_CACHE / (VALUES * (c + o))).max(64).div_ceil(block) * block;
    let batch = batch.min(tiling.tiles().max(1));
    let of_x = Layout::rows::<T>(batch, c);
    let of_dy = Layout::panels::<T>(batch, o);
    let of_dw = Layout::rows::<T>(c, o);
    let mut patches = Buffer::<T>::stale(of_x.elements());
    let mut tiles_of_dy = Buffer::<T>::stale(of_dy.elements());
    let mut sums = Buffer::filled(of_dw.elements(), T::ZERO);
    for first in (0..tiling.tiles()).step_by(batch) {
        let all = first..(first + batch).min(tiling.tiles());
        let (to_x, to_dy) = (of_x.target(&mut patches), of_dy.target(&mut tiles_of_dy));
        par::each(all.len().div_ceil(block), |task| {
            let row = task * block;
            let tiles = first + row..(first + row + block).min(all.end);
            tiling.reach(g.images(x), tiles.clone(), &to_x, row);
            tiling.evaluate(g.gradients(dy), tiles, &to_dy, row);
        });
        let terms: Vec<usize> = (0..all.len()).map(|t| t * c).collect();
        let shared = SharedMut::new(&mut sums);
        let panels = o.div_ceil(of_dy.width);
        par::each(VALUES * panels, |task| {
            let (value, column) = (task / panels, task % panels * of_dy.width);
            // SAFETY: each task has its own value and columns of the sums.
            unsafe {
                kernels.outer(&Outer {
                    a: patches.as_ptr().add(of_x.at(value, 0, 0)),
                    terms: &terms,
                    rows: c,
                    b: tiles_of_dy.as_ptr().add(of_dy.at(value, 0, column)),
                    b_stride: of_dy.width,
                    c: shared.start().add(of_dw.at(value, 0, column)),
                    c_stride: o,
                    columns: of_dy.width.min(o - column),
                    add: true,
                });
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
                count: 1,
                from_next: 0,
                to_next: 0,
                from: sums.as_ptr().add(of_dw.at(0, i, 0)),
                from_steps: [POINTS * of_dw.step, of_dw.step],
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
