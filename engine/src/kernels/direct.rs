//! Convolution as an implicit matrix product.
//!
//! Every output position is a row of a matrix `col` that holds the inputs under the kernel; the
//! weights `[kh·kw·c, o]` are the other operand. `col` never exists. Each task copies the input
//! rows it needs, with their padding, into a *slab* that stays in its core's cache; there, the
//! row of `col` that belongs to a position is made of segments, one per kernel row, at the same
//! offsets from every position. The products' inner loops read along such segments.
//!
//! The same reading serves three purposes. Forward reads the input. The gradient of the input
//! reads the gradient of the output, with the kernel turned round: stride `s` splits it into
//! `s·s` phases, each a stride-1 product with the taps that hit that phase. (No scatter, so no
//! two tasks write the same place, and the sums have one order.) The gradient of the weights is
//! the transposed `col` times the gradient of the output.

use super::conv::Geometry;
use super::gemm::{DEPTH, Panels};
use super::tile::{Inner, Outer};
use crate::float::Float;
use crate::par;
use crate::pool::Buffer;
use std::ops::Range;

impl Geometry {
    /// How forward and the gradient of the weights read the input.
    fn reading(&self) -> Reading {
        let taps = |axis: usize| {
            let offset = |k| (k * self.dilation[axis]) as isize - self.padding[axis] as isize;
            (0..self.kernel[axis]).map(|k| (k, offset(k))).collect()
        };
        Reading {
            source: self.input,
            channels: self.c,
            groups: self.groups,
            grid: self.output,
            step: self.stride,
            taps: [taps(0), taps(1)],
        }
    }

    /// How the gradient of the input reads that of the output, for input positions
    /// `phase + stride·i`.
    fn phase(&self, phase: [usize; 2]) -> Reading {
        let taps = |axis: usize| {
            let stride = self.stride[axis] as isize;
            (0..self.kernel[axis])
                .rev() // offsets then ascend, so that neighbouring taps form segments
                .filter_map(|k| {
                    let reach = (phase[axis] + self.padding[axis]) as isize
                        - (k * self.dilation[axis]) as isize;
                    (reach.rem_euclid(stride) == 0).then_some((k, reach / stride))
                })
                .collect()
        };
        let grid = |axis: usize| (self.input[axis] - phase[axis]).div_ceil(self.stride[axis]);
        Reading {
            source: self.output,
            channels: self.o,
            groups: self.groups,
            grid: [grid(0), grid(1)],
            step: [1, 1],
            taps: [taps(0), taps(1)],
        }
    }

    /// The weights that a phase multiplies with: for each group `[taps·(o/g), c/g]`.
    fn turned<'a, T: Float>(&self, reading: &Reading, w: &'a [T]) -> Vec<Panels<'a, T>> {
        let (cg, og) = (self.c / self.groups, self.o / self.groups);
        let [rows, columns] = &reading.taps;
        let group = |group: usize| {
            Panels::packed(reading.k(), cg, move |out, inputs, k| {
                let (tap, o) = (k / og, group * og + k % og);
                let (ky, kx) = (rows[tap / columns.len()].0, columns[tap % columns.len()].0);
                let w = &w[(ky * self.kernel[1] + kx) * cg * self.o..];
                for (out, c) in out.iter_mut().zip(inputs) {
                    *out = w[c * self.o + o];
                }
            })
        };
        (0..self.groups).map(group).collect()
    }
}

/// Which pixels each position of a grid reads: grid position `[i, j]` and a tap with offsets
/// `[dy, dx]` read the source at `[i·step + dy, j·step + dx]`, or zero outside it.
struct Reading {
    source: [usize; 2],
    channels: usize,
    groups: usize,
    grid: [usize; 2],
    step: [usize; 2],
    /// Index in the kernel and offset of the taps of each axis, offsets ascending.
    taps: [Vec<(usize, isize)>; 2],
}

/// Some rows of the grid, prepared for the inner loops.
struct Slab<'a, T: Float> {
    copied: Option<Buffer<T>>,
    source: &'a [T],
    /// Where each position begins.
    positions: Vec<usize>,
    /// Where each segment of the sum begins, relative to the position; for group 0.
    segments: Vec<usize>,
}

impl<T: Float> Slab<'_, T> {
    fn start(&self) -> *const T {
        self.copied
            .as_ref()
            .map_or(self.source.as_ptr(), |b| b.as_ptr())
    }
}

/// Positions computed at a time: enough to pay for streaming the weights through the cache.
const POSITIONS: usize = 240;

impl Reading {
    fn group(&self) -> usize {
        self.channels / self.groups
    }

    /// The inner size of the product.
    fn k(&self) -> usize {
        self.taps[0].len() * self.taps[1].len() * self.group()
    }

    /// How many grid rows make a task.
    fn rows_of_task(&self) -> usize {
        par::task_size(POSITIONS.div_ceil(self.grid[1].max(1)), 1)
    }

    /// Whether the taps of a kernel row lie side by side in memory and make one segment.
    fn joined(&self) -> bool {
        let columns = &self.taps[1];
        self.groups == 1 && columns.windows(2).all(|t| t[1].1 == t[0].1 + 1)
    }

    /// The length of a segment.
    fn segment(&self) -> usize {
        match self.joined() {
            true => self.taps[1].len() * self.channels,
            false => self.group(),
        }
    }

    /// The pixels that grid rows and columns reach along an axis: the first, and how many.
    fn reach(&self, axis: usize, grid: Range<usize>) -> (isize, usize) {
        let offsets = || self.taps[axis].iter().map(|&(_, offset)| offset);
        let (low, high) = (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0));
        let first = (grid.start * self.step[axis]) as isize + low;
        let last = ((grid.end - 1) * self.step[axis]) as isize + high;
        (first, (last - first + 1) as usize)
    }

    /// Prepares the grid rows `rows`, counted through all images.
    fn slab<'a, T: Float>(&self, source: &'a [T], rows: Range<usize>) -> Slab<'a, T> {
        let [height, width] = self.source;
        let (x0, slab_width) = self.reach(1, 0..self.grid[1]);
        // The rows of each image among them.
        let mut parts = Vec::new();
        let mut row = rows.start;
        while row < rows.end {
            let (n, i) = (row / self.grid[0], row % self.grid[0]);
            let count = (self.grid[0] - i).min(rows.end - row);
            let (y0, slab_height) = self.reach(0, i..i + count);
            parts.push((n, count, y0, slab_height));
            row += count;
        }
        let inside = |first: isize, count: usize, length: usize| {
            first >= 0 && first as usize + count <= length
        };
        let in_place = inside(x0, slab_width, width)
            && parts.iter().all(|&(_, _, y0, h)| inside(y0, h, height));

        let pixel_row = if in_place { width } else { slab_width };
        let mut positions = Vec::with_capacity(rows.len() * self.grid[1]);
        let mut total = 0;
        for &(n, count, y0, slab_height) in &parts {
            // In place, the first pixel of the slab is a pixel of the source.
            let begin = match in_place {
                true => (n * height + y0 as usize) * width + x0 as usize,
                false => total,
            };
            for i in 0..count {
                let row = begin + i * self.step[0] * pixel_row;
                let columns = 0..self.grid[1];
                positions.extend(columns.map(|j| (row + j * self.step[1]) * self.channels));
            }
            total += slab_height * slab_width;
        }
        let copied = (!in_place).then(|| {
            let mut slab = Buffer::stale(total * self.channels);
            let mut out = &mut slab[..];
            for &(n, _, y0, slab_height) in &parts {
                for y in y0..y0 + slab_height as isize {
                    let (now, rest) = out.split_at_mut(slab_width * self.channels);
                    out = rest;
                    let inside = y >= 0 && (y as usize) < height;
                    let start = (n * height + y.max(0) as usize) * width * self.channels;
                    let row = if inside {
                        &source[start..start + width * self.channels]
                    } else {
                        &[]
                    };
                    padded_row(row, x0 * self.channels as isize, now);
                }
            }
            slab
        });
        let (low_y, low_x) = (self.lowest(0), self.lowest(1));
        let mut segments = Vec::new();
        for &(_, dy) in &self.taps[0] {
            let row = (dy - low_y) as usize * pixel_row;
            let columns = if self.joined() {
                &self.taps[1][..1]
            } else {
                &self.taps[1][..]
            };
            for &(_, dx) in columns {
                segments.push((row + (dx - low_x) as usize) * self.channels);
            }
        }
        Slab {
            copied,
            source,
            positions,
            segments,
        }
    }

    fn lowest(&self, axis: usize) -> isize {
        self.taps[axis]
            .iter()
            .map(|&(_, offset)| offset)
            .min()
            .unwrap_or(0)
    }

    /// Adds the products of the slab's positions with the weights of every group to the rows of
    /// `out` that begin at `outputs`, which have `og` channels per group.
    ///
    /// # Safety
    /// The rows must be valid and nobody else may touch them.
    unsafe fn add_products<T: Float>(
        &self,
        slab: &Slab<'_, T>,
        weights: &[Panels<'_, T>],
        og: usize,
        out: *mut T,
        outputs: &[usize],
    ) {
        let kernels = T::kernels();
        let length = self.segment();
        let at_a_time = (DEPTH / length).max(1);
        for (group, weights) in weights.iter().enumerate() {
            for (part, segments) in slab.segments.chunks(at_a_time).enumerate() {
                for panel in 0..weights.count() {
                    let (b, b_stride) = weights.at(panel, part * at_a_time * length);
                    let columns = weights.columns(panel);
                    // SAFETY: positions plus segments stay inside the slab by construction; the
                    // caller vouches for the output.
                    unsafe {
                        kernels.inner(&Inner {
                            a: slab.start().add(group * self.group()),
                            rows: &slab.positions,
                            segments,
                            length,
                            b,
                            b_stride,
                            c: out.add(group * og + columns.start),
                            c_rows: outputs,
                            columns: columns.len(),
                            add: true,
                        });
                    }
                }
            }
        }
    }
}

/// Copies `row` so that `out` begins at its element `first`; zeros where there is none.
pub fn padded_row<T: Float>(row: &[T], first: isize, out: &mut [T]) {
    let before = ((-first).max(0) as usize).min(out.len());
    let from = (first.max(0) as usize).min(row.len());
    let count = (row.len() - from).min(out.len() - before);
    out[..before].fill(T::ZERO);
    out[before..before + count].copy_from_slice(&row[from..from + count]);
    out[before + count..].fill(T::ZERO);
}

/// Fills every pixel with the bias, or with zeros.
fn begin<T: Float>(y: &mut [T], bias: Option<&[T]>) {
    match bias {
        Some(bias) => y
            .chunks_exact_mut(bias.len())
            .for_each(|pixel| pixel.copy_from_slice(bias)),
        None => y.fill(T::ZERO),
    }
}

/// `y = x ∗ w + bias`.
pub fn forward<T: Float>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let reading = g.reading();
    let (k, og) = (reading.k(), g.o / g.groups);
    let weights: Vec<_> = match g.groups {
        1 => vec![Panels::new(w, k, g.o)],
        groups => (0..groups)
            .map(|group| {
                Panels::packed(k, og, move |out, columns, k| {
                    let row = &w[k * g.o + group * og..];
                    out[..columns.len()].copy_from_slice(&row[columns]);
                })
            })
            .collect(),
    };
    let row = g.output[1] * g.o;
    par::chunks(y, (reading.rows_of_task() * row).max(1), |start, y| {
        begin(y, bias);
        let slab = reading.slab(x, start / row..(start + y.len()) / row);
        let outputs: Vec<usize> = (0..slab.positions.len()).map(|i| i * g.o).collect();
        // SAFETY: the outputs are the pixels of this task's piece.
        unsafe { reading.add_products(&slab, &weights, og, y.as_mut_ptr(), &outputs) }
    });
}

/// `dx`, given `dy`.
pub fn grad_input<T: Float>(g: &Geometry, w: &[T], dy: &[T], dx: &mut [T]) {
    let cg = g.c / g.groups;
    let mut phases = Vec::new();
    for py in 0..g.stride[0].min(g.input[0]) {
        for px in 0..g.stride[1].min(g.input[1]) {
            let reading = g.phase([py, px]);
            if reading.k() > 0 {
                let weights = g.turned(&reading, w);
                phases.push(([py, px], reading, weights));
            }
        }
    }
    let row = g.input[1] * g.c;
    if let ([1, 1], [(_, reading, weights)]) = (g.stride, &phases[..]) {
        // The one phase is the whole image, so tasks run through all images.
        return par::chunks(dx, (reading.rows_of_task() * row).max(1), |start, dx| {
            dx.fill(T::ZERO);
            let slab = reading.slab(dy, start / row..(start + dx.len()) / row);
            let outputs: Vec<usize> = (0..slab.positions.len()).map(|i| i * g.c).collect();
            // SAFETY: the outputs are the pixels of this task's piece.
            unsafe { reading.add_products(&slab, weights, cg, dx.as_mut_ptr(), &outputs) }
        });
    }
    par::chunks(dx, (g.input[0] * row).max(1), |start, dx| {
        let image = start / (g.input[0] * row);
        dx.fill(T::ZERO);
        for ([py, px], reading, weights) in &phases {
            let [gh, gw] = reading.grid;
            for first in (0..gh).step_by(reading.rows_of_task()) {
                let rows = first..(first + reading.rows_of_task()).min(gh);
                let slab = reading.slab(dy, image * gh + rows.start..image * gh + rows.end);
                let outputs: Vec<usize> = rows
                    .flat_map(|i| (0..gw).map(move |j| [i, j]))
                    .map(|[i, j]| {
                        let (y, x) = (py + i * g.stride[0], px + j * g.stride[1]);
                        (y * g.input[1] + x) * g.c
                    })
                    .collect();
                // SAFETY: the outputs are pixels of this task's image.
                unsafe { reading.add_products(&slab, weights, cg, dx.as_mut_ptr(), &outputs) }
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
    let reading = g.reading();
    let kernels = T::kernels();
    let og = g.o / g.groups;
    let length = reading.segment();
    for first in rows.clone().step_by(reading.rows_of_task()) {
        let tile = first..(first + reading.rows_of_task()).min(rows.end);
        let slab = reading.slab(x, tile);
        let dy = &dy[first * g.output[1] * g.o..];
        for group in 0..g.groups {
            for (s, &segment) in slab.segments.iter().enumerate() {
                for column in (0..og).step_by(kernels.width) {
                    // SAFETY: positions plus segments stay inside the slab by construction; `dy`
                    // has a row for each position, `dw` one for each element of a segment.
                    unsafe {
                        kernels.outer(&Outer {
                            a: slab.start().add(segment + group * reading.group()),
                            terms: &slab.positions,
                            rows: length,
                            b: dy.as_ptr().add(group * og + column),
                            b_stride: g.o,
                            c: dw.as_mut_ptr().add(s * length * g.o + group * og + column),
                            c_stride: g.o,
                            columns: kernels.width.min(og - column),
                            add: true,
                        });
                    }
                }
            }
        }
    }
}
