//! How the transformed values of many tiles lie in memory.

use super::VALUES;
use crate::float::Float;

/// How 36 matrices `[rows, columns]` lie in memory, one for each value.
///
/// A matrix is cut into panels of `width` columns, and a panel's rows follow each other: a right
/// operand is then read from front to back. With one panel it is plainly row by row.
#[derive(Clone, Copy)]
pub struct Layout {
    pub rows: usize,
    pub columns: usize,
    pub width: usize,
    /// The distance between values.
    pub step: usize,
}

impl Layout {
    /// Row by row.
    pub fn rows<T: Float>(rows: usize, columns: usize) -> Self {
        Self::of::<T>(rows, columns, columns)
    }

    /// In panels as wide as a tile of the products.
    pub fn panels<T: Float>(rows: usize, columns: usize) -> Self {
        Self::of::<T>(rows, columns, T::kernels().width.min(columns))
    }

    pub fn of<T: Float>(rows: usize, columns: usize, width: usize) -> Self {
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
    pub fn elements(&self) -> usize {
        VALUES * self.step
    }

    /// Where an element lies; its neighbours to the right follow, up to the end of the panel.
    pub fn at(&self, value: usize, row: usize, column: usize) -> usize {
        let (panel, inside) = (column / self.width, column % self.width);
        value * self.step + (panel * self.rows + row) * self.width + inside
    }

    pub fn target<T>(self, memory: &mut [T]) -> Target<T> {
        assert!(memory.len() >= self.elements());
        Target {
            start: memory.as_mut_ptr(),
            layout: self,
        }
    }
}

/// Matrices that several tasks write, each its own rows.
pub struct Target<T> {
    pub start: *mut T,
    pub layout: Layout,
}

// SAFETY: whoever shares it promises that no two tasks write the same rows.
unsafe impl<T: Send> Sync for Target<T> {}
