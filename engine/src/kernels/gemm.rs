//! Matrix products, spread over the threads by blocks of the output.

use super::tile::{Inner, Kernels, Outer};
use crate::float::Float;
use crate::par;
use crate::pool::Buffer;
use std::ops::Range;

/// A matrix operand: its elements in row-major order of `[rows, cols]`, used as is or transposed.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    /// The elements.
    pub data: &'a [T],
    /// Rows as stored.
    pub rows: usize,
    /// Columns as stored.
    pub cols: usize,
    /// Whether the product uses the transpose.
    pub transposed: bool,
}

impl<T> Matrix<'_, T> {
    /// Rows and columns as the product sees them.
    fn size(&self) -> [usize; 2] {
        if self.transposed {
            [self.cols, self.rows]
        } else {
            [self.rows, self.cols]
        }
    }
}

/// The right operand of products: `[k, n]`, cut into panels of as many columns as a tile has.
/// Packed, a panel's rows follow each other in memory; in place, they are `n` apart.
pub struct Panels<'a, T: Float> {
    source: Source<'a, T>,
    k: usize,
    n: usize,
    width: usize,
}

enum Source<'a, T: Float> {
    Packed(Buffer<T>),
    InPlace(&'a [T]),
}

/// Elements that make packing worth a thread.
const PACK_TASK: usize = 1 << 16;

impl<'a, T: Float> Panels<'a, T> {
    /// The panels of a row-major `[k, n]`. It is packed if it has more than one panel.
    pub fn new(b: &'a [T], k: usize, n: usize) -> Self {
        let width = T::kernels().width;
        if n <= width {
            let source = Source::InPlace(b);
            return Panels {
                source,
                k,
                n,
                width,
            };
        }
        Self::packed(k, n, |panel, columns, k| {
            let row = &b[k * n + columns.start..k * n + columns.end];
            panel[..row.len()].copy_from_slice(row);
        })
    }

    /// The panels of the transpose of a row-major `[n, k]`.
    pub fn transposed(b: &[T], k: usize, n: usize) -> Self {
        Self::packed(k, n, |panel, columns, at| {
            for (p, j) in panel.iter_mut().zip(columns) {
                *p = b[j * k + at];
            }
        })
    }

    /// Packs `[k, n]` of which `row(out, columns, k)` writes the columns of row `k`.
    pub fn packed(
        k: usize,
        n: usize,
        row: impl Fn(&mut [T], Range<usize>, usize) + Sync + Send,
    ) -> Self {
        let width = T::kernels().width;
        let panels = n.div_ceil(width);
        let mut buffer = Buffer::stale(panels * k * width);
        let size = par::task_size(PACK_TASK, width);
        par::chunks(&mut buffer, size, |start, piece| {
            for (r, out) in piece.chunks_exact_mut(width).enumerate() {
                let r = start / width + r;
                let columns = r / k * width..((r / k + 1) * width).min(n);
                out[columns.len()..].fill(T::ZERO);
                row(out, columns, r % k);
            }
        });
        Panels {
            source: Source::Packed(buffer),
            k,
            n,
            width,
        }
    }

    /// The number of panels.
    pub fn count(&self) -> usize {
        self.n.div_ceil(self.width)
    }

    /// The columns of a panel.
    pub fn columns(&self, panel: usize) -> Range<usize> {
        panel * self.width..((panel + 1) * self.width).min(self.n)
    }

    /// The address of row `k` of a panel, and the distance between rows.
    pub fn at(&self, panel: usize, k: usize) -> (*const T, usize) {
        let (data, start, stride) = match &self.source {
            Source::Packed(buffer) => (&buffer[..], (panel * self.k + k) * self.width, self.width),
            Source::InPlace(data) => (*data, k * self.n + panel * self.width, self.n),
        };
        (data[start..].as_ptr(), stride)
    }
}

/// Terms of a sum taken at a time: a panel's rows for them stay in the second-level cache.
pub const DEPTH: usize = 512;
/// Rows of the output computed at a time: their part of the left operand stays there too.
const ROWS: usize = 120;
/// Multiplications that make a task worth a thread.
const TASK: usize = 1 << 20;

/// `C = A·B`; `c` is `[m, n]` in row-major order.
///
/// # Panics
/// If the sizes do not fit.
pub fn gemm<T: Float>(a: Matrix<'_, T>, b: Matrix<'_, T>, c: &mut [T]) {
    let ([m, k], [k2, n]) = (a.size(), b.size());
    assert_eq!(k, k2, "inner sizes of a matrix product");
    assert_eq!((a.data.len(), b.data.len()), (m * k, k * n));
    assert_eq!(c.len(), m * n, "size of the output of a matrix product");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        return c.fill(T::ZERO);
    }
    let panels = match b.transposed {
        true => Panels::transposed(b.data, k, n),
        false => Panels::new(b.data, k, n),
    };
    let kernels = T::kernels();
    // Blocks of rows, and of panels where the rows alone give too few tasks.
    let rows = par::task_size((TASK / (n * k)).clamp(ROWS, 8 * ROWS), 1).min(m);
    let groups = match m.div_ceil(rows) {
        blocks if blocks >= 8 => 1,
        _ => par::task_size((n * rows * k).div_ceil(TASK), 1).clamp(1, panels.count()),
    };
    let per_group = panels.count().div_ceil(groups);
    let groups = panels.count().div_ceil(per_group);
    let out = par::SharedMut::new(c);
    par::each(m.div_ceil(rows) * groups, |task| {
        let (block, group) = (task / groups, task % groups);
        let rows = block * rows..((block + 1) * rows).min(m);
        let panel_range = group * per_group..((group + 1) * per_group).min(panels.count());
        // SAFETY: tasks write disjoint blocks of rows and columns of `c`; the operands are whole,
        // as asserted above.
        unsafe {
            block_product(
                kernels,
                a,
                [m, k, n],
                rows,
                &panels,
                panel_range,
                out.start(),
            )
        }
    });
}

/// The product of some rows with some panels.
///
/// # Safety
/// `c` must be valid for `[m, n]` elements, and nobody else may touch the block.
unsafe fn block_product<T: Float>(
    kernels: &Kernels<T>,
    a: Matrix<'_, T>,
    [m, k, n]: [usize; 3],
    rows: Range<usize>,
    panels: &Panels<'_, T>,
    range: Range<usize>,
    c: *mut T,
) {
    for first in rows.clone().step_by(ROWS) {
        let block = first..(first + ROWS).min(rows.end);
        let starts: Vec<usize> = block.clone().map(|i| i * k).collect();
        let outputs: Vec<usize> = block.clone().map(|i| i * n).collect();
        for depth in (0..k).step_by(DEPTH) {
            let length = DEPTH.min(k - depth);
            let terms: Vec<usize> = match a.transposed {
                true => (depth..depth + length).map(|l| l * m + first).collect(),
                false => Vec::new(),
            };
            for panel in range.clone() {
                let (b, b_stride) = panels.at(panel, depth);
                let columns = panels.columns(panel);
                // SAFETY: offsets stay inside the operands, whose sizes `gemm` asserts.
                unsafe {
                    let c = c.add(columns.start);
                    if a.transposed {
                        kernels.outer(&Outer {
                            a: a.data.as_ptr(),
                            terms: &terms,
                            rows: block.len(),
                            b,
                            b_stride,
                            c: c.add(first * n),
                            c_stride: n,
                            columns: columns.len(),
                            add: depth > 0,
                        });
                    } else {
                        kernels.inner(&Inner {
                            a: a.data.as_ptr(),
                            rows: &starts,
                            segments: &[depth],
                            length,
                            b,
                            b_stride,
                            c,
                            c_rows: &outputs,
                            columns: columns.len(),
                            add: depth > 0,
                        });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Isa;
    use crate::kernels::tile;
    use crate::rng::Key;

    fn random(n: usize, name: &str) -> Vec<f64> {
        let mut rng = Key::new(1).named(name).rng();
        (0..n).map(|_| rng.normal()).collect()
    }

    /// Every size off the tiles' edges, every transposition, against an independent library.
    #[test]
    fn products_agree_with_matrixmultiply() {
        let sizes = [1, 2, 5, 15, 16, 17, 31, 33, 63, 65, 127, 130];
        for (t, &m) in sizes.iter().enumerate() {
            for (u, &n) in sizes.iter().enumerate() {
                for k in [sizes[(t + u) % sizes.len()], 600] {
                    let (x, y) = (random(m * k, "x"), random(k * n, "y"));
                    for transposed in [[false, false], [false, true], [true, false], [true, true]] {
                        let [ta, tb] = transposed;
                        let matrix = |data, [rows, cols]: [usize; 2], transposed| match transposed {
                            true => Matrix {
                                data,
                                rows: cols,
                                cols: rows,
                                transposed,
                            },
                            false => Matrix {
                                data,
                                rows,
                                cols,
                                transposed,
                            },
                        };
                        let (a, b) = (matrix(&x[..], [m, k], ta), matrix(&y[..], [k, n], tb));
                        let mut c = vec![f64::NAN; m * n];
                        gemm(a, b, &mut c);
                        let stride = |t: bool, rows, cols| if t { (1, rows) } else { (cols, 1) };
                        let (ar, ac) = stride(ta, m as isize, k as isize);
                        let (br, bc) = stride(tb, k as isize, n as isize);
                        let mut expected = vec![0.0; m * n];
                        // SAFETY: the strides are those of the operands made above.
                        unsafe {
                            matrixmultiply::dgemm(
                                m,
                                k,
                                n,
                                1.0,
                                x.as_ptr(),
                                ar,
                                ac,
                                y.as_ptr(),
                                br,
                                bc,
                                0.0,
                                expected.as_mut_ptr(),
                                n as isize,
                                1,
                            );
                        }
                        for (i, (c, e)) in c.iter().zip(&expected).enumerate() {
                            assert!(
                                (c - e).abs() < 1e-10,
                                "{m}x{k}x{n} {transposed:?} at {i}: {c} {e}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// Both loops of every instruction set this machine has, against the definition.
    #[test]
    fn every_instruction_set_agrees() {
        let (m, k) = (29, 70);
        let (x, y) = (random(m * k, "a"), random(k * 64, "b"));
        let run = |isa, columns: usize| {
            let kernels = tile::for_f64(isa);
            let columns = columns.min(kernels.width);
            let rows: Vec<usize> = (0..m).map(|i| i * k).collect();
            let c_rows: Vec<usize> = (0..m).map(|i| i * columns).collect();
            let terms: Vec<usize> = (0..k).map(|l| l * m).collect();
            let mut c = vec![1.0; 2 * m * columns];
            let (inner, outer) = c.split_at_mut(m * columns);
            let inner = Inner {
                a: x.as_ptr(),
                rows: &rows,
                segments: &[0, 35],
                length: 35,
                b: y.as_ptr(),
                b_stride: 64,
                c: inner.as_mut_ptr(),
                c_rows: &c_rows,
                columns,
                add: true,
            };
            let outer = Outer {
                a: x.as_ptr(),
                terms: &terms,
                rows: m,
                b: y.as_ptr(),
                b_stride: 64,
                c: outer.as_mut_ptr(),
                c_stride: columns,
                columns,
                add: true,
            };
            // SAFETY: sizes as made above.
            unsafe {
                kernels.inner(&inner);
                kernels.outer(&outer);
            }
            c
        };
        for isa in Isa::ALL {
            for columns in 1..=32 {
                if !isa.is_available() || columns > tile::for_f64(isa).width {
                    continue;
                }
                let wide = run(isa, columns);
                for (i, w) in wide.iter().enumerate() {
                    let (half, i) = (i / (m * columns), i % (m * columns));
                    let (row, column) = (i / columns, i % columns);
                    let term = |l: usize| match half {
                        0 => x[row * k + l] * y[l * 64 + column],
                        _ => x[l * m + row] * y[l * 64 + column],
                    };
                    let expected = 1.0 + (0..k).map(term).sum::<f64>();
                    assert!(
                        (w - expected).abs() < 1e-11,
                        "{isa:?} {columns}: {w} {expected}"
                    );
                }
            }
        }
    }
}
