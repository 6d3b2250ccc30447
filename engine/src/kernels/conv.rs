//! Convolution as an implicit matrix product.
//!
//! Every output position is a row of a matrix `col` that holds the inputs under the kernel; the
//! weights `[kh·kw·c, o]` are the other operand. `col` never exists as a whole: each task gathers
//! the rows it needs into a buffer that stays in its core's cache.
//!
//! The same gather serves three purposes. Forward reads the input. The gradient of the input
//! reads the gradient of the output, with the kernel turned round: stride `s` splits it into
//! `s·s` phases, each a stride-1 product with the taps that hit that phase. (No scatter, so no
//! two tasks write the same place, and the sums have one order.) The gradient of the weights is
//! the transposed `col` times the gradient of the output.

use super::depthwise;
use crate::float::Float;
use crate::par;
use crate::pool::Buffer;
use std::ops::Range;

/// The sizes of a convolution: images `[n, h, w, c]`, weights `[kh, kw, c/groups, o]`.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Images.
    pub n: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Channels of the input.
    pub c: usize,
    /// Channels of the output.
    pub o: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps between neighbouring outputs.
    pub stride: [usize; 2],
    /// Zeros added before and after each axis.
    pub padding: [usize; 2],
    /// Steps between neighbouring taps.
    pub dilation: [usize; 2],
    /// Groups of channels that do not mix.
    pub groups: usize,
}

impl Geometry {
    /// One input and one output channel per group.
    fn is_depthwise(&self) -> bool {
        self.groups == self.c && self.groups == self.o
    }

    /// The gather of forward and of the gradient of the weights.
    fn gather(&self) -> Gather {
        let offset = |axis: usize, k: usize| {
            (k * self.dilation[axis]) as isize - self.padding[axis] as isize
        };
        let rows = (0..self.kernel[0]).map(|ky| offset(0, ky));
        let columns: Vec<isize> = (0..self.kernel[1]).map(|kx| offset(1, kx)).collect();
        Gather::new(
            self.input,
            self.c,
            self.c / self.groups,
            self.output,
            self.stride,
            rows.flat_map(|dy| columns.iter().map(move |&dx| [dy, dx])),
        )
    }

    /// The gathers of the gradient of the input, one per phase.
    fn phases(&self) -> Vec<Phase> {
        // The taps that reach input positions congruent to `phase`, and where they read.
        let taps = |axis: usize, phase: usize| -> Vec<(usize, isize)> {
            let stride = self.stride[axis] as isize;
            (0..self.kernel[axis])
                .rev() // offsets then ascend, so that neighbouring taps form runs
                .filter_map(|k| {
                    let reach =
                        (phase + self.padding[axis]) as isize - (k * self.dilation[axis]) as isize;
                    (reach.rem_euclid(stride) == 0).then_some((k, reach / stride))
                })
                .collect()
        };
        let mut phases = Vec::new();
        for py in 0..self.stride[0].min(self.input[0]) {
            for px in 0..self.stride[1].min(self.input[1]) {
                let (rows, columns) = (taps(0, py), taps(1, px));
                let grid = [
                    (self.input[0] - py).div_ceil(self.stride[0]),
                    (self.input[1] - px).div_ceil(self.stride[1]),
                ];
                let both = || {
                    let columns = &columns;
                    rows.iter()
                        .flat_map(move |&y| columns.iter().map(move |&x| (y, x)))
                };
                phases.push(Phase {
                    origin: [py, px],
                    taps: both()
                        .map(|((ky, _), (kx, _))| ky * self.kernel[1] + kx)
                        .collect(),
                    gather: Gather::new(
                        self.output,
                        self.o,
                        self.o / self.groups,
                        grid,
                        [1, 1],
                        both().map(|((_, dy), (_, dx))| [dy, dx]),
                    ),
                });
            }
        }
        phases
    }
}

/// The part of the gradient of the input at positions `origin + stride·i`.
struct Phase {
    origin: [usize; 2],
    /// The taps of the kernel that reach it, in the order the gather reads them.
    taps: Vec<usize>,
    gather: Gather,
}

impl Phase {
    /// The weights of the phase: for each group a matrix `[taps·(o/g), c/g]`.
    fn weights<T: Float>(&self, g: &Geometry, w: &[T]) -> Buffer<T> {
        let (cg, og) = (g.c / g.groups, g.o / g.groups);
        let mut out = Buffer::stale(g.groups * self.taps.len() * og * cg);
        let mut cells = out.iter_mut();
        for group in 0..g.groups {
            for &tap in &self.taps {
                for o in group * og..(group + 1) * og {
                    for (c, cell) in cells.by_ref().take(cg).enumerate() {
                        *cell = w[(tap * cg + c) * g.o + o];
                    }
                }
            }
        }
        out
    }
}

/// Neighbouring taps of one kernel row, whose pixels lie side by side in memory.
struct Run {
    dy: isize,
    dx: isize,
    pixels: usize,
}

/// Which pixels each position of a grid reads: grid position `[i, j]` and tap `[dy, dx]` read
/// the source at `[i·step + dy, j·step + dx]`, or zero outside it.
struct Gather {
    source: [usize; 2],
    /// Channels of a source pixel, and how many of them one group reads.
    stride: usize,
    channels: usize,
    grid: [usize; 2],
    step: [usize; 2],
    runs: Vec<Run>,
    taps: usize,
}

impl Gather {
    fn new(
        source: [usize; 2],
        stride: usize,
        channels: usize,
        grid: [usize; 2],
        step: [usize; 2],
        taps: impl Iterator<Item = [isize; 2]>,
    ) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut count = 0;
        for [dy, dx] in taps {
            count += 1;
            match runs.last_mut() {
                Some(run)
                    if channels == stride && run.dy == dy && run.dx + run.pixels as isize == dx =>
                {
                    run.pixels += 1;
                }
                _ => runs.push(Run { dy, dx, pixels: 1 }),
            }
        }
        Gather {
            source,
            stride,
            channels,
            grid,
            step,
            runs,
            taps: count,
        }
    }

    /// The inner size of the product.
    fn k(&self) -> usize {
        self.taps * self.channels
    }

    /// Whether `col` is the source itself, as for a 1x1 kernel of stride 1.
    fn is_identity(&self) -> bool {
        let at_origin = matches!(self.runs[..], [Run { dy: 0, dx: 0, .. }]);
        self.taps == 1 && at_origin && self.step == [1, 1] && self.grid == self.source
    }

    /// How many grid rows make a tile: enough positions to pay for packing the weights, few
    /// enough for the tile to stay in the cache.
    fn tile(&self) -> usize {
        let positions = (CACHE / self.k().max(1)).clamp(64, 1024);
        par::task_size(positions.div_ceil(self.grid[1].max(1)), 1)
    }

    /// Calls `f` with the first element and the row stride of the rows of `col` that belong to
    /// `rows` (counted through all images) and `group`.
    fn col<T: Float, R>(
        &self,
        source: &[T],
        rows: Range<usize>,
        group: usize,
        scratch: &mut Option<Buffer<T>>,
        f: impl FnOnce(&[T], usize) -> R,
    ) -> R {
        if self.is_identity() {
            let pixel = rows.start * self.grid[1];
            return f(
                &source[pixel * self.stride + group * self.channels..],
                self.stride,
            );
        }
        let k = self.k();
        let needed = rows.len() * self.grid[1] * k;
        let col = scratch.get_or_insert_with(|| Buffer::stale(needed));
        let image = self.source[0] * self.source[1] * self.stride;
        let mut positions = col[..needed].chunks_exact_mut(k.max(1));
        for row in rows {
            let (n, i) = (row / self.grid[0], row % self.grid[0]);
            let source = &source[n * image..(n + 1) * image];
            for j in 0..self.grid[1] {
                let Some(out) = positions.next() else { break };
                self.position(source, group, [i * self.step[0], j * self.step[1]], out);
            }
        }
        f(&col[..needed], k)
    }

    /// Fills one row of `col`.
    #[inline]
    fn position<T: Float>(&self, source: &[T], group: usize, at: [usize; 2], mut out: &mut [T]) {
        let [height, width] = self.source;
        for run in &self.runs {
            let (now, rest) = out.split_at_mut(run.pixels * self.channels);
            out = rest;
            let y = at[0] as isize + run.dy;
            if y < 0 || y >= height as isize {
                now.fill(T::ZERO);
                continue;
            }
            // The pixels of the run that lie inside the image.
            let x = at[1] as isize + run.dx;
            let first = (-x).clamp(0, run.pixels as isize) as usize;
            let end = (width as isize - x).clamp(first as isize, run.pixels as isize) as usize;
            now[..first * self.channels].fill(T::ZERO);
            now[end * self.channels..].fill(T::ZERO);
            if first < end {
                let pixel = y as usize * width + (x + first as isize) as usize;
                let from = pixel * self.stride + group * self.channels;
                let length = (end - first) * self.channels;
                now[first * self.channels..end * self.channels]
                    .copy_from_slice(&source[from..from + length]);
            }
        }
    }
}

/// Elements of a tile of `col`: half of a typical second-level cache, in `f32`.
const CACHE: usize = 128 * 1024;

/// `C[m, n] += A[m, k]·B[k, n]`, all row-major with a row stride.
fn accumulate<T: Float>(
    [m, k, n]: [usize; 3],
    (a, a_stride, a_transposed): (&[T], usize, bool),
    (b, b_stride): (&[T], usize),
    (c, c_stride): (&mut [T], usize),
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let (rows, columns) = if a_transposed { (k, m) } else { (m, k) };
    assert!((rows - 1) * a_stride + columns <= a.len());
    assert!((k - 1) * b_stride + n <= b.len() && (m - 1) * c_stride + n <= c.len());
    let stride = a_stride as isize;
    let (a_row, a_column) = if a_transposed {
        (1, stride)
    } else {
        (stride, 1)
    };
    // SAFETY: the assertions bound what the sizes and strides reach; `c` is borrowed mutably.
    unsafe {
        T::gemm(
            [m, k, n],
            T::ONE,
            (a.as_ptr(), a_row, a_column),
            (b.as_ptr(), b_stride as isize, 1),
            T::ONE,
            (c.as_mut_ptr(), c_stride as isize, 1),
        );
    }
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
    if g.is_depthwise() {
        return depthwise::forward(g, x, w, bias, y);
    }
    let gather = g.gather();
    let og = g.o / g.groups;
    let row = g.output[1] * g.o;
    par::chunks(y, (gather.tile() * row).max(1), |start, y| {
        begin(y, bias);
        let rows = start / row..(start + y.len()) / row;
        let m = rows.len() * g.output[1];
        let mut scratch = None;
        for group in 0..g.groups {
            gather.col(x, rows.clone(), group, &mut scratch, |col, stride| {
                let y = (&mut y[group * og..], g.o);
                accumulate(
                    [m, gather.k(), og],
                    (col, stride, false),
                    (&w[group * og..], g.o),
                    y,
                );
            });
        }
    });
}

/// `dx`, given `dy`.
pub fn grad_input<T: Float>(g: &Geometry, w: &[T], dy: &[T], dx: &mut [T]) {
    if g.is_depthwise() {
        return depthwise::grad_input(g, w, dy, dx);
    }
    let phases: Vec<_> = g
        .phases()
        .into_iter()
        .map(|phase| (phase.weights(g, w), phase))
        .collect();
    let (cg, row) = (g.c / g.groups, g.input[1] * g.c);
    let add_product = |(weights, phase): &(Buffer<T>, Phase), rows: Range<usize>, out: &mut [T]| {
        let gather = &phase.gather;
        let (k, m) = (gather.k(), rows.len() * gather.grid[1]);
        let mut scratch = None;
        for group in 0..g.groups {
            let weights = &weights[group * k * cg..];
            gather.col(dy, rows.clone(), group, &mut scratch, |col, stride| {
                let out = (&mut out[group * cg..], g.c);
                accumulate([m, k, cg], (col, stride, false), (weights, cg), out);
            });
        }
    };
    if let [phase] = &phases[..] {
        // Stride 1: the phase is the whole image, so tiles go through all images.
        par::chunks(dx, (phase.1.gather.tile() * row).max(1), |start, dx| {
            dx.fill(T::ZERO);
            add_product(phase, start / row..(start + dx.len()) / row, dx);
        });
        return;
    }
    par::chunks(dx, (g.input[0] * row).max(1), |start, dx| {
        let image = start / (g.input[0] * row);
        dx.fill(T::ZERO);
        for phase @ (_, Phase { origin, gather, .. }) in &phases {
            if gather.k() == 0 {
                continue; // no tap reaches this phase
            }
            let [gh, gw] = gather.grid;
            let mut part = Buffer::filled(gh * gw * g.c, T::ZERO);
            add_product(phase, image * gh..(image + 1) * gh, &mut part);
            for (position, pixel) in part.chunks_exact(g.c).enumerate() {
                let y = origin[0] + g.stride[0] * (position / gw);
                let x = origin[1] + g.stride[1] * (position % gw);
                dx[(y * g.input[1] + x) * g.c..][..g.c].copy_from_slice(pixel);
            }
        }
    });
}

/// The largest number of partial sums of the gradient of the weights: more threads than this
/// find no work, fewer would serialise a large machine.
const PARTS: usize = 16;

/// `dw`, given `dy`.
pub fn grad_weight<T: Float>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let rows = g.n * g.output[0];
    let part = |rows: Range<usize>, dw: &mut [T]| match g.is_depthwise() {
        true => depthwise::add_grad_weight(g, x, dy, rows, dw),
        false => add_grad_weight(g, x, dy, rows, dw),
    };
    // Parts of at least a tile of rows; their number depends on the shape alone.
    let size = g.gather().tile().max(rows.div_ceil(PARTS));
    let mut partials = par::map_ranges(rows, size, |rows| {
        let mut partial = Buffer::filled(dw.len(), T::ZERO);
        part(rows, &mut partial);
        partial
    })
    .into_iter();
    match partials.next() {
        Some(first) => dw.copy_from_slice(&first),
        None => dw.fill(T::ZERO),
    }
    for partial in partials {
        for (sum, &term) in dw.iter_mut().zip(partial.iter()) {
            *sum += term;
        }
    }
}

fn add_grad_weight<T: Float>(g: &Geometry, x: &[T], dy: &[T], rows: Range<usize>, dw: &mut [T]) {
    let gather = g.gather();
    let og = g.o / g.groups;
    let mut scratch = None;
    for first in rows.clone().step_by(gather.tile()) {
        let tile = first..(first + gather.tile()).min(rows.end);
        let m = tile.len() * g.output[1];
        let dy = &dy[first * g.output[1] * g.o..];
        for group in 0..g.groups {
            gather.col(x, tile.clone(), group, &mut scratch, |col, stride| {
                let dw = (&mut dw[group * og..], g.o);
                accumulate(
                    [gather.k(), m, og],
                    (col, stride, true),
                    (&dy[group * og..], g.o),
                    dw,
                );
            });
        }
    }
}
