//! The gradient of the kernel.
//!
//! In the transformed domain it is a sum over tiles of products of the patch and the tile of `dy`:
//! 36 matrices of sums, `[c, o]`. If they are small, tasks take parts of the tiles, each with sums
//! of its own, and nothing transformed leaves the second-level cache. If not, batches of tiles are
//! transformed by tasks over tiles and summed by tasks over values: no partial sums to add.

use super::layout::{Layout, Target};
use super::tiling::{Images, Tiling};
use super::{SHARED_CACHE, TASKS, VALUES};
use crate::float::Float;
use crate::kernels::conv::Geometry;
use crate::kernels::tile::Outer;
use crate::kernels::transform::{Map, POINTS, Transform};
use crate::par::{self, SharedMut};
use crate::pool::Buffer;
use std::ops::Range;

/// Tiles transformed at a time.
const BLOCK: usize = 24;
/// Elements of sums that stay in a task's second-level cache, beside two blocks of values.
const SMALL_SUMS: usize = 160 * 1024;
/// The fewest tiles that are worth sums of their own.
const SMALLEST_PART: usize = 4 * BLOCK;

/// `dw`, given `dy`.
pub fn grad_weight<T: Float>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let problem = Problem {
        tiling: Tiling::forward(g),
        x: g.images(x),
        dy: g.gradients(dy),
        of_dw: Layout::rows::<T>(g.c, g.o),
    };
    let parts = match problem.tiling.tiles() {
        0 => return dw.fill(T::ZERO),
        _ if problem.of_dw.elements() <= SMALL_SUMS => problem.sums_of_parts(),
        _ => vec![problem.sums_of_all()],
    };
    interpolate(g, &parts, problem.of_dw, dw);
}

/// Adds the parts in order, and transforms the sums back.
fn interpolate<T: Float>(g: &Geometry, parts: &[Buffer<T>], of_dw: Layout, dw: &mut [T]) {
    let (dw, r, o) = (SharedMut::new(dw), g.kernel[0], g.o);
    let cells = g.c * o;
    par::each(g.c, |i| {
        let mut sums = Buffer::<T>::stale(VALUES * o);
        for (value, sums) in sums.chunks_exact_mut(o).enumerate() {
            let row = of_dw.at(value, i, 0)..of_dw.at(value, i, 0) + o;
            sums.copy_from_slice(&parts[0][row.clone()]);
            for part in &parts[1..] {
                let terms = &part[row.clone()];
                sums.iter_mut().zip(terms).for_each(|(sum, x)| *sum += *x);
            }
        }
        // SAFETY: each task writes the rows of one input channel.
        unsafe {
            T::transform(&Transform {
                map: Map::Interpolate,
                n: r,
                count: 1,
                from_next: 0,
                to_next: 0,
                from: sums.as_ptr(),
                from_steps: [POINTS * o, o],
                to: dw.start().add(i * o),
                to_steps: [r * cells, cells],
                to_size: [r; 2],
                channels: o,
                bias: None,
            });
        }
    });
}

/// What is summed.
struct Problem<'a, T> {
    tiling: Tiling,
    x: Images<'a, T>,
    dy: Images<'a, T>,
    of_dw: Layout,
}

impl<T: Float> Problem<'_, T> {
    /// The sums over each part of the tiles; the parts depend on the shape alone.
    fn sums_of_parts(&self) -> Vec<Buffer<T>> {
        let part = self.tiling.tiles().div_ceil(TASKS).max(SMALLEST_PART);
        par::map_ranges(self.tiling.tiles(), par::task_size(part, 1), |part| {
            let batch = Batch::new(self, BLOCK.min(part.len()));
            let mut sums = Buffer::stale(self.of_dw.elements());
            for first in part.clone().step_by(BLOCK) {
                let tiles = first..(first + BLOCK).min(part.end);
                let (rows, add) = (tiles.len(), first > part.start);
                batch.transform(self, tiles, 0);
                for product in 0..batch.products() {
                    // SAFETY: the sums belong to this task.
                    unsafe { batch.multiply(product, rows, self.of_dw, sums.as_mut_ptr(), add) };
                }
            }
            sums
        })
    }

    /// The sums over all tiles.
    fn sums_of_all(&self) -> Buffer<T> {
        let block = par::task_size(BLOCK, 1);
        let channels = self.x.channels + self.dy.channels;
        let batch = (SHARED_CACHE / (VALUES * channels)).max(64).div_ceil(block) * block;
        let mut sums = Buffer::stale(self.of_dw.elements());
        let tiles = 0..self.tiling.tiles();
        let batch = Batch::new(self, batch.min(tiles.len()));
        for first in tiles.clone().step_by(batch.rows.len()) {
            let all = first..(first + batch.rows.len()).min(tiles.end);
            par::each(all.len().div_ceil(block), |task| {
                let row = task * block;
                batch.transform(self, first + row..(first + row + block).min(all.end), row);
            });
            let shared = SharedMut::new(&mut sums);
            par::each(batch.products(), |product| {
                // SAFETY: each product has its own value and columns of the sums.
                unsafe {
                    batch.multiply(product, all.len(), self.of_dw, shared.start(), first > 0)
                };
            });
        }
        sums
    }
}

/// The transformed values of some tiles.
struct Batch<T: Float> {
    /// What the targets point into.
    _memory: [Buffer<T>; 2],
    of_x: Target<T>,
    of_dy: Target<T>,
    /// Where the patch of each tile begins in a matrix.
    rows: Vec<usize>,
}

impl<T: Float> Batch<T> {
    /// Room for `tiles` tiles.
    fn new(problem: &Problem<'_, T>, tiles: usize) -> Self {
        let (c, o) = (problem.x.channels, problem.dy.channels);
        let of_x = Layout::rows::<T>(tiles, c);
        let of_dy = Layout::panels::<T>(tiles, o);
        let mut memory = [of_x, of_dy].map(|layout| Buffer::stale(layout.elements()));
        let [x, dy] = &mut memory;
        Batch {
            of_x: of_x.target(x),
            of_dy: of_dy.target(dy),
            rows: (0..tiles).map(|tile| tile * c).collect(),
            _memory: memory,
        }
    }

    /// Transforms `tiles`, into the rows from `row` on, which no other task may use.
    fn transform(&self, problem: &Problem<'_, T>, tiles: Range<usize>, row: usize) {
        let Problem { tiling, x, dy, .. } = problem;
        tiling.reach(*x, tiles.clone(), &self.of_x, row);
        tiling.evaluate(*dy, tiles, &self.of_dy, row);
    }

    /// The number of products: one for each value and panel of output channels.
    fn products(&self) -> usize {
        let layout = self.of_dy.layout;
        VALUES * layout.columns.div_ceil(layout.width)
    }

    /// One product over the first `rows` rows, added to the sums or instead of them.
    ///
    /// # Safety
    /// `sums` must be laid out as `of_dw` says, and nobody else may touch the product's columns.
    unsafe fn multiply(&self, product: usize, rows: usize, of_dw: Layout, sums: *mut T, add: bool) {
        let (of_x, of_dy) = (self.of_x.layout, self.of_dy.layout);
        let panels = of_dy.columns.div_ceil(of_dy.width);
        let (value, column) = (product / panels, product % panels * of_dy.width);
        // SAFETY: the matrices of a value lie as their layouts say.
        unsafe {
            T::kernels().outer(&Outer {
                a: self.of_x.start.add(of_x.at(value, 0, 0)),
                terms: &self.rows[..rows],
                rows: of_x.columns,
                b: self.of_dy.start.add(of_dy.at(value, 0, column)),
                b_stride: of_dy.width,
                c: sums.add(of_dw.at(value, 0, column)),
                c_stride: of_dw.columns,
                columns: of_dy.width.min(of_dy.columns - column),
                add,
            });
        }
    }
}
