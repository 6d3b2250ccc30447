//! How images are cut into tiles, and the way of tiles into the transformed values and back.

use super::layout::{Layout, Target};
use crate::float::Float;
use crate::kernels::conv::Geometry;
use crate::kernels::direct::padded_row;
use crate::kernels::transform::{Map, POINTS, Transform};
use crate::pool::Buffer;
use std::ops::Range;

/// How images are cut into tiles.
#[derive(Clone, Copy)]
pub struct Tiling {
    /// Side of the kernel and of an output tile.
    pub r: usize,
    pub m: usize,
    pub n: usize,
    /// The image that tiles make up.
    pub output: [usize; 2],
    /// The zeros around the image that patches are cut from.
    pub padding: [usize; 2],
    /// Tiles of an image.
    pub grid: [usize; 2],
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

    pub fn forward(g: &Geometry) -> Self {
        Self::new(g.kernel[0], g.n, g.output, g.padding)
    }

    /// The convolution of the output's gradient with the turned kernel.
    pub fn backward(g: &Geometry) -> Self {
        let padding = g.padding.map(|p| g.kernel[0] - 1 - p);
        Self::new(g.kernel[0], g.n, g.input, padding)
    }

    pub fn tiles(&self) -> usize {
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
    pub fn reach<T: Float>(
        &self,
        x: Images<'_, T>,
        tiles: Range<usize>,
        to: &Target<T>,
        row: usize,
    ) {
        let padding = self.padding.map(|p| p as isize);
        self.transform(Map::Reach, x, padding, tiles, to, row);
    }

    /// Transforms the output tiles `tiles` of `dy` into the rows of `to` from `row` on.
    pub fn evaluate<T: Float>(
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
    pub unsafe fn interpolate<T: Float>(
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
}

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
pub struct Images<'a, T> {
    pub data: &'a [T],
    pub size: [usize; 2],
    pub channels: usize,
}

impl Geometry {
    pub fn images<'a, T>(&self, x: &'a [T]) -> Images<'a, T> {
        Images {
            data: x,
            size: self.input,
            channels: self.c,
        }
    }

    pub fn gradients<'a, T>(&self, dy: &'a [T]) -> Images<'a, T> {
        Images {
            data: dy,
            size: self.output,
            channels: self.o,
        }
    }
}

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
