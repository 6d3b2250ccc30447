//! At which elements of a parameter a gradient has arrived.

use std::ops::Range;
use std::sync::Arc;

/// Where a gradient has arrived since gradients were last forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Nowhere,
    /// At these rows along axis 0, which rise.
    At(Arc<[usize]>),
    Everywhere,
}

impl Arrived {
    /// Notes that one arrives at `rows`, or everywhere.
    pub fn add(&mut self, rows: Option<&Arc<[usize]>>) {
        *self = match (&*self, rows) {
            (Arrived::Everywhere, _) | (_, None) => Arrived::Everywhere,
            (Arrived::Nowhere, Some(new)) => Arrived::At(new.clone()),
            (Arrived::At(old), Some(new)) if old == new => return,
            (Arrived::At(old), Some(new)) => {
                let mut both: Vec<usize> = old.iter().chain(&**new).copied().collect();
                both.sort_unstable();
                both.dedup();
                Arrived::At(both.into())
            }
        };
    }

    /// The parts of `piece` at which one has arrived, counted from its start, where rows have so
    /// many elements.
    pub fn within(&self, piece: Range<usize>, width: usize) -> impl Iterator<Item = Range<usize>> {
        let rows: Option<&[usize]> = match self {
            Arrived::Nowhere => Some(&[]),
            Arrived::At(rows) => Some(rows),
            Arrived::Everywhere => None,
        };
        sources(rows, piece, width).map(|(at, _)| at)
    }
}

/// Where elements of `piece`, counted from its start, come from in a tensor that consists of `rows`
/// with so many elements, or of all rows.
pub(super) fn sources(
    rows: Option<&[usize]>,
    piece: Range<usize>,
    width: usize,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let start = piece.start;
    let whole = rows.is_none().then(|| (0..piece.len(), piece.clone()));
    let rows = rows.unwrap_or_default();
    let first = rows.partition_point(|&row| (row + 1) * width <= piece.start);
    let parts = (first..rows.len())
        .map(move |k| (k, rows[k] * width))
        .take_while(move |&(_, from)| from < piece.end)
        .map(move |(k, from)| {
            let (left, right) = (from.max(piece.start), (from + width).min(piece.end));
            let offset = k * width;
            (
                left - start..right - start,
                offset + left - from..offset + right - from,
            )
        });
    whole.into_iter().chain(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_may_begin_and_end_within_rows() {
        let rows = Arrived::At([1, 2, 5].into());
        let within = |piece| rows.within(piece, 4).collect::<Vec<_>>();
        assert_eq!(within(0..24), [4..8, 8..12, 20..24]);
        assert_eq!(within(6..21), [0..2, 2..6, 14..15]);
        assert_eq!(within(12..20), []);
        let sources = |piece| sources(Some(&[1, 2, 5]), piece, 4).collect::<Vec<_>>();
        assert_eq!(sources(6..21), [(0..2, 2..4), (2..6, 4..8), (14..15, 8..9)]);
        assert_eq!(Arrived::Nowhere.within(0..9, 3).count(), 0);
        let mut everywhere = Arrived::Everywhere.within(3..9, 2);
        assert_eq!((everywhere.next(), everywhere.next()), (Some(0..6), None));
    }
}
