//! The shape of a tensor, and the rules of broadcasting.

use std::fmt;
use std::ops::Deref;

/// The most axes a tensor can have.
pub const MAX_RANK: usize = 6;

/// The lengths of a tensor's axes, outermost first. The last axis is contiguous in memory.
///
/// Dereferences to a slice, so `shape[0]`, `shape.iter()` and patterns work.
///
/// ```
/// use engine::Shape;
/// let s = Shape::from([8, 28, 28, 1]);
/// assert_eq!((s.rank(), s.elements()), (4, 6272));
/// assert_eq!(Shape::from([3, 1]).broadcast(&[4].into()), Some([3, 4].into()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    lengths: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The shape of a single number: no axes, one element.
    pub const SCALAR: Shape = Shape {
        lengths: [0; MAX_RANK],
        rank: 0,
    };

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.iter().product()
    }

    /// The length of the last axis; 1 for a single number.
    pub fn last(&self) -> usize {
        self.iter().copied().last().unwrap_or(1)
    }

    /// The number of rows when all but the last axis are flattened into one.
    pub fn rows(&self) -> usize {
        self[..self.rank.saturating_sub(1)].iter().product()
    }

    /// Reads the shape as `[outer, axis, inner]`, flattening what lies before and after `axis`.
    ///
    /// # Panics
    /// If there is no such axis.
    pub fn around(&self, axis: usize) -> [usize; 3] {
        [
            self[..axis].iter().product(),
            self[axis],
            self[axis + 1..].iter().product(),
        ]
    }

    /// The same shape with the length of one axis changed.
    ///
    /// # Panics
    /// If there is no such axis.
    pub fn with(mut self, axis: usize, length: usize) -> Shape {
        assert!(axis < self.rank, "axis {axis} of shape {self}");
        self.lengths[axis] = length;
        self
    }

    /// The shape without one axis.
    ///
    /// # Panics
    /// If there is no such axis.
    pub fn without(self, axis: usize) -> Shape {
        assert!(axis < self.rank, "axis {axis} of shape {self}");
        self.iter()
            .enumerate()
            .filter(|&(i, _)| i != axis)
            .map(|(_, &n)| n)
            .collect()
    }

    /// The common shape of two operands under NumPy's rule: axes are aligned at the last one, and
    /// an axis of length 1 (or a missing one) is repeated to fit. `None` if they do not fit.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank.max(other.rank);
        let axis = |s: &Shape, i: usize| (i + s.rank).checked_sub(rank).map_or(1, |j| s[j]);
        let mut out = Shape {
            lengths: [0; MAX_RANK],
            rank,
        };
        for i in 0..rank {
            out.lengths[i] = match (axis(self, i), axis(other, i)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(out)
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.lengths[..self.rank]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(lengths: [usize; N]) -> Self {
        lengths.as_slice().into()
    }
}

impl From<&[usize]> for Shape {
    fn from(lengths: &[usize]) -> Self {
        lengths.iter().copied().collect()
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(lengths: I) -> Self {
        let mut shape = Shape::SCALAR;
        for n in lengths {
            assert!(
                shape.rank < MAX_RANK,
                "a tensor has at most {MAX_RANK} axes"
            );
            shape.lengths[shape.rank] = n;
            shape.rank += 1;
        }
        shape
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(s: &[usize]) -> Shape {
        s.into()
    }

    #[test]
    fn broadcasting_follows_numpy() {
        type Axes = &'static [usize];
        let cases: [(Axes, Axes, Option<Axes>); 7] = [
            (&[3, 4], &[3, 4], Some(&[3, 4])),
            (&[3, 4], &[4], Some(&[3, 4])),
            (&[3, 1], &[1, 4], Some(&[3, 4])),
            (&[], &[2, 2], Some(&[2, 2])),
            (&[2, 1, 5], &[7, 1], Some(&[2, 7, 5])),
            (&[3, 4], &[3], None),
            (&[0, 4], &[1], Some(&[0, 4])),
        ];
        for (a, b, out) in cases {
            assert_eq!(shape(a).broadcast(&shape(b)), out.map(shape), "{a:?} {b:?}");
            assert_eq!(shape(b).broadcast(&shape(a)), out.map(shape), "{b:?} {a:?}");
        }
    }

    #[test]
    fn views_of_a_shape() {
        let s = shape(&[2, 3, 4, 5]);
        assert_eq!(s.around(1), [2, 3, 20]);
        assert_eq!(s.without(2), shape(&[2, 3, 5]));
        assert_eq!((s.rows(), s.last()), (24, 5));
        assert_eq!((Shape::SCALAR.rows(), Shape::SCALAR.elements()), (1, 1));
        assert_eq!(s.to_string(), "[2, 3, 4, 5]");
    }
}
