//! The nearest gallery items of every query, exactly.

use super::scores::Scores;
use engine::par;

// Small in unit tests, where several blocks should not take long; `tests/large_gallery.rs` goes
// through those of the size that is used.

/// Queries looked at together: enough to fill a matrix product.
pub(super) const QUERIES: usize = if cfg!(test) { 32 } else { 512 };
/// Gallery items looked at together: a block of scores is 16 MB.
pub(super) const ITEMS: usize = if cfg!(test) { 512 } else { 8192 };

/// Whether a query is itself in the gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Itself {
    /// It is another image, or may be found.
    Keep,
    /// Queries and gallery are the same items: query `i` does not find item `i`.
    Skip,
}

/// The nearest items of each query, nearest first; of equal scores the lower index first.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    items: Vec<Vec<(f32, u32)>>,
}

impl Neighbours {
    /// The number of queries.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no queries.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The neighbours of a query as `(score, gallery index)`.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn of(&self, query: usize) -> &[(f32, u32)] {
        &self.items[query]
    }
}

/// Finds the `k` nearest items of every query, or all where there are fewer. Memory: `k` pairs
/// per query and one block of scores.
///
/// # Panics
/// If the gallery has 2³² items or more.
pub fn nearest(scores: &impl Scores, k: usize, itself: Itself) -> Neighbours {
    scan(scores, k, itself).0
}

/// [`nearest`], with the lowest score of each query.
pub(super) fn scan(scores: &impl Scores, k: usize, itself: Itself) -> (Neighbours, Vec<f32>) {
    let items = scores.gallery();
    assert!(
        u32::try_from(items).is_ok(),
        "{items} gallery items are too many"
    );
    let all: Vec<usize> = (0..scores.queries()).collect();
    let mut found = Vec::with_capacity(all.len());
    for queries in all.chunks(QUERIES) {
        let mut best: Vec<Best> = queries.iter().map(|_| Best::default()).collect();
        for start in (0..items).step_by(ITEMS) {
            let block: Vec<usize> = (start..(start + ITEMS).min(items)).collect();
            let part = scores.block(queries, &block);
            par::chunks(&mut best, 1, |i, best| {
                let row = &part.data()[i * block.len()..(i + 1) * block.len()];
                let skip = (itself == Itself::Skip).then_some(queries[i]);
                best[0].offer(row, start, skip, k);
            });
        }
        found.extend(best.into_iter().map(|best| best.finish(k)));
    }
    let (items, lowest) = found.into_iter().unzip();
    (Neighbours { items }, lowest)
}

/// The best items so far, and some more, which are cut off when there are twice as many.
struct Best {
    items: Vec<(f32, u32)>,
    /// Below it, an item is not among the best.
    bar: f32,
    lowest: f32,
}

impl Default for Best {
    fn default() -> Self {
        Best {
            items: Vec::new(),
            bar: f32::NEG_INFINITY,
            lowest: f32::INFINITY,
        }
    }
}

impl Best {
    fn offer(&mut self, row: &[f32], start: usize, skip: Option<usize>, k: usize) {
        for (i, &score) in row.iter().enumerate() {
            self.lowest = self.lowest.min(score);
            if score < self.bar || skip == Some(start + i) {
                continue;
            }
            self.items.push((score, (start + i) as u32));
            if self.items.len() >= 2 * k + 16 {
                self.cut(k);
            }
        }
    }

    fn cut(&mut self, k: usize) {
        if k > 0 && self.items.len() > k {
            self.items.select_nth_unstable_by(k - 1, before);
            self.bar = self.items[k - 1].0;
        }
        self.items.truncate(k);
    }

    fn finish(mut self, k: usize) -> (Vec<(f32, u32)>, f32) {
        self.cut(k);
        self.items.sort_unstable_by(before);
        (self.items, self.lowest)
    }
}

/// The order of a ranked list: by descending score, equal ones by index.
fn before(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    let by_score = b.0.partial_cmp(&a.0).expect("scores are never NaN");
    by_score.then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::scores::{Embeddings, Given, Pairwise, Similarity, tests::random};

    /// Sorting everything, which needs the whole matrix.
    fn naive(scores: &impl Scores, k: usize, itself: Itself) -> Vec<Vec<(f32, u32)>> {
        let items: Vec<usize> = (0..scores.gallery()).collect();
        let rank = |q| {
            let block = scores.block(&[q], &items);
            let row = block.data().iter().copied().zip(0u32..);
            let mut row: Vec<_> = row
                .filter(|&(_, i)| itself == Itself::Keep || i as usize != q)
                .collect();
            row.sort_by(|a, b| b.0.total_cmp(&a.0));
            row.truncate(k);
            row
        };
        (0..scores.queries()).map(rank).collect()
    }

    #[test]
    fn blocks_find_what_sorting_finds_on_any_number_of_threads() {
        // More queries and items than a block holds; many scores are equal.
        let values: Vec<f32> = random(ITEMS + 700, 2, "search")
            .iter()
            .map(|v| (9.0 * v).round())
            .collect();
        let items = Embeddings::new(&values, 2).unwrap();
        let few = Embeddings::new(&values[..2 * (QUERIES + 3)], 2).unwrap();
        let scores = Pairwise::new(few, items, Similarity::Euclidean).unwrap();
        for (k, itself) in [(1, Itself::Keep), (5, Itself::Skip), (70, Itself::Keep)] {
            let found = nearest(&scores, k, itself);
            assert_eq!(found.items, naive(&scores, k, itself));
            assert_eq!(par::with_threads(1, || nearest(&scores, k, itself)), found);
        }
    }

    #[test]
    fn all_of_a_small_gallery_and_none_of_none() {
        let matrix = [0.5, 0.5, f32::NEG_INFINITY, 2.0, 3.0, 1.0];
        let scores = Given::new(&matrix, 3).unwrap();
        let found = nearest(&scores, 9, Itself::Keep);
        assert_eq!(found.of(0), [(0.5, 0), (0.5, 1), (f32::NEG_INFINITY, 2)]);
        assert_eq!(
            nearest(&scores, 9, Itself::Skip).of(1),
            [(2.0, 0), (1.0, 2)]
        );
        assert!(nearest(&scores, 0, Itself::Keep).of(0).is_empty());
        assert_eq!(scan(&scores, 1, Itself::Keep).1, [f32::NEG_INFINITY, 1.0]);
    }
}
