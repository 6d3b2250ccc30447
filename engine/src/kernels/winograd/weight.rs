//! The gradient of the kernel.
//!
//! In the transformed domain it is a sum over tiles of products of the patch and the tile of `dy`.
//! Batches of tiles are transformed by tasks over tiles, then summed by tasks over values: no
//! partial sums to add, and one order.

use super::layout::Layout;
use super::tiling::Tiling;
use super::{SHARED_CACHE, VALUES};
use crate::float::Float;
use crate::kernels::conv::Geometry;
use crate::kernels::tile::Outer;
use crate::kernels::transform::{Map, POINTS, Transform};
use crate::par::{self, SharedMut};
use crate::pool::Buffer;

/// `dw`, given `dy`.
pub fn grad_weight<T: Float>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let (tiling, kernels) = (Tiling::forward(g), T::kernels());
    let (c, o) = (g.c, g.o);
    if tiling.tiles() == 0 {
        return dw.fill(T::ZERO);
    }
    let block = par::task_size(24, 1);
    let batch = (SHARED_CACHE / (VALUES * (c + o))).max(64).div_ceil(block) * block;
    let batch = batch.min(tiling.tiles());
    let of_x = Layout::rows::<T>(batch, c);
    let of_dy = Layout::panels::<T>(batch, o);
    let of_dw = Layout::rows::<T>(c, o);
    let mut patches = Buffer::<T>::stale(of_x.elements());
    let mut tiles_of_dy = Buffer::<T>::stale(of_dy.elements());
    let mut sums = Buffer::<T>::stale(of_dw.elements());
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
                    add: first > 0,
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
