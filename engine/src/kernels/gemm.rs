//! Matrix products, spread over the threads by blocks of rows.

use crate::float::Float;
use crate::par;

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

    /// Row and column stride as the product sees them.
    fn strides(&self) -> [usize; 2] {
        if self.transposed {
            [1, self.cols]
        } else {
            [self.cols, 1]
        }
    }
}

/// Multiplications that make a task worth a thread.
const TASK: usize = 1 << 18;

/// `C = A·B`, or `C += A·B` with `add`; `c` is `[m, n]` in row-major order.
///
/// # Panics
/// If the sizes do not fit.
pub fn gemm<T: Float>(a: Matrix<'_, T>, b: Matrix<'_, T>, c: &mut [T], add: bool) {
    let ([m, k], [k2, n]) = (a.size(), b.size());
    assert_eq!(k, k2, "inner sizes of a matrix product");
    assert_eq!((a.data.len(), b.data.len()), (m * k, k * n));
    assert_eq!(c.len(), m * n, "size of the output of a matrix product");
    if n == 0 || m == 0 {
        return;
    }
    // Every task packs B again, so a task has many rows: at least 64, a multiple of the
    // micro-kernel's height.
    let rows = (TASK / (n * k).max(1)).max(64).next_multiple_of(16);
    let rows = par::task_size(rows, 1);
    let ([ars, acs], [brs, bcs]) = (a.strides(), b.strides());
    let beta = if add { T::ONE } else { T::ZERO };
    par::chunks(c, rows * n, |start, c| {
        let row = start / n;
        let m = c.len() / n;
        let signed = |stride: usize| stride as isize;
        // SAFETY: `a` holds the rows `row..row + m` at its strides, `b` and `c` are whole as
        // asserted above, and `c` is a piece that no other task has.
        unsafe {
            T::gemm(
                [m, k, n],
                T::ONE,
                (a.data.as_ptr().add(row * ars), signed(ars), signed(acs)),
                (b.data.as_ptr(), signed(brs), signed(bcs)),
                beta,
                (c.as_mut_ptr(), signed(n), 1),
            );
        }
    });
}
