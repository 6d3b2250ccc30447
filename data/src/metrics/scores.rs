//! How alike queries and gallery items are, computed a block at a time.

use crate::error::{Error, Result};
use engine::ops::MatMul;
use engine::{Op, Tensor, par};

/// Embeddings as rows of finite numbers: a view, `[len, dim]`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings<'a> {
    values: &'a [f32],
    dim: usize,
}

impl<'a> Embeddings<'a> {
    /// The rows of `values`, each of `dim` numbers.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the values are not whole rows, or one of them is not finite.
    pub fn new(values: &'a [f32], dim: usize) -> Result<Self> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            return Err(Error::invalid(
                "embeddings",
                format!("whole rows of {dim} numbers, at least one each"),
                format!("{} numbers", values.len()),
                "pass the embeddings row after row and their dimension",
            ));
        }
        let bad = par::map_ranges(values.len(), par::CHEAP, |range| {
            let bad = values[range.clone()].iter().position(|v| !v.is_finite());
            bad.map(|i| range.start + i)
        });
        if let Some(i) = bad.into_iter().flatten().next() {
            return Err(Error::invalid(
                format!("embedding {}, number {}", i / dim, i % dim),
                "a finite number",
                values[i],
                "the network that made it has diverged; use an earlier checkpoint",
            ));
        }
        Ok(Embeddings { values, dim })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The numbers in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One embedding.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dim..(index + 1) * self.dim]
    }
}

/// By what two embeddings are compared. Larger is more alike in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Similarity {
    /// The cosine of the angle between them, -1 to 1; 0 if one is the null vector.
    Cosine,
    /// Minus the square of their Euclidean distance.
    Euclidean,
}

/// Scores of queries against gallery items, larger being more alike.
pub trait Scores: Sync {
    /// The number of queries.
    fn queries(&self) -> usize;

    /// The number of gallery items.
    fn gallery(&self) -> usize;

    /// The scores `[queries.len(), gallery.len()]` of some queries against some items, whose
    /// indices ascend. A score depends, to the bit, on its query and its item alone, whatever
    /// else is in the block; it may be infinite but is never a NaN.
    fn block(&self, queries: &[usize], gallery: &[usize]) -> Tensor<f32>;
}

/// Scores that somebody else has computed.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    scores: &'a [f32],
    gallery: usize,
}

impl<'a> Given<'a> {
    /// The scores `[queries, gallery]`, row-major; distances must be negated first.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they are not whole rows or one of them is a NaN.
    pub fn new(scores: &'a [f32], gallery: usize) -> Result<Self> {
        if gallery == 0 || !scores.len().is_multiple_of(gallery) {
            return Err(Error::invalid(
                "a matrix of scores",
                format!("whole rows of {gallery} gallery items, at least one"),
                format!("{} scores", scores.len()),
                "pass one row per query",
            ));
        }
        if let Some(i) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::invalid(
                format!("score of query {}, item {}", i / gallery, i % gallery),
                "a number",
                scores[i],
                "replace it or leave the item out",
            ));
        }
        Ok(Given { scores, gallery })
    }
}

impl Scores for Given<'_> {
    fn queries(&self) -> usize {
        self.scores.len() / self.gallery
    }

    fn gallery(&self) -> usize {
        self.gallery
    }

    fn block(&self, queries: &[usize], gallery: &[usize]) -> Tensor<f32> {
        let of = |&q: &usize| gallery.iter().map(move |&g| (q, g));
        let pairs: Vec<f32> = queries
            .iter()
            .flat_map(of)
            .map(|(q, g)| self.scores[q * self.gallery + g])
            .collect();
        Tensor::new([queries.len(), gallery.len()], &pairs)
    }
}

/// Scores computed from embeddings, by one matrix product a block.
#[derive(Clone, Copy, Debug)]
pub struct Pairwise<'a> {
    queries: Stack<'a>,
    gallery: Stack<'a>,
    similarity: Similarity,
}

impl<'a> Pairwise<'a> {
    /// Queries against a gallery.
    ///
    /// # Errors
    /// [`Error::Invalid`] if their dimensions differ.
    pub fn new(
        queries: Embeddings<'a>,
        gallery: Embeddings<'a>,
        similarity: Similarity,
    ) -> Result<Self> {
        if queries.dim != gallery.dim {
            return Err(Error::invalid(
                "dimension of the gallery's embeddings",
                format!("that of the queries, {}", queries.dim),
                gallery.dim,
                "embed both with one network",
            ));
        }
        Ok(Pairwise {
            queries: Stack([queries, queries.none()]),
            gallery: Stack([gallery, gallery.none()]),
            similarity,
        })
    }

    /// All embeddings against each other.
    pub fn among(embeddings: Embeddings<'a>, similarity: Similarity) -> Self {
        let stack = Stack([embeddings, embeddings.none()]);
        Pairwise {
            queries: stack,
            gallery: stack,
            similarity,
        }
    }

    /// The queries, followed by the gallery, against the same.
    pub(super) fn union(&self) -> Self {
        let all = Stack([self.queries.0[0], self.gallery.0[0]]);
        Pairwise {
            queries: all,
            gallery: all,
            similarity: self.similarity,
        }
    }

    /// What a score is as a distance, 0 or more but for rounding.
    pub(super) fn distance(&self, score: f32) -> f32 {
        match self.similarity {
            Similarity::Cosine => 1.0 - score,
            Similarity::Euclidean => -score,
        }
    }
}

impl Scores for Pairwise<'_> {
    fn queries(&self) -> usize {
        self.queries.len()
    }

    fn gallery(&self) -> usize {
        self.gallery.len()
    }

    fn block(&self, queries: &[usize], gallery: &[usize]) -> Tensor<f32> {
        let unit = self.similarity == Similarity::Cosine;
        let (left, right) = (
            self.queries.gather(queries, unit),
            self.gallery.gather(gallery, unit),
        );
        // An element of the product is the sum over k in a fixed order, wherever it stands.
        let (mut scores, _) = MatMul::NT
            .forward([&left, &right])
            .expect("rows of one dimension");
        if self.similarity == Similarity::Euclidean {
            let (left, right) = (squares(&left), squares(&right));
            let columns = gallery.len().max(1);
            par::chunks(scores.data_mut(), columns, |start, row| {
                let query = left[start / columns];
                for (score, item) in row.iter_mut().zip(&right) {
                    // Overflow can make inf - inf: then nothing is less alike.
                    *score = (2.0 * *score - query - item).max(f32::NEG_INFINITY);
                }
            });
        }
        scores
    }
}

impl<'a> Embeddings<'a> {
    /// No rows of this dimension.
    fn none(&self) -> Embeddings<'a> {
        Embeddings {
            values: &[],
            dim: self.dim,
        }
    }
}

/// Two lists of embeddings, one after the other.
#[derive(Clone, Copy, Debug)]
struct Stack<'a>([Embeddings<'a>; 2]);

impl<'a> Stack<'a> {
    fn len(&self) -> usize {
        self.0[0].len() + self.0[1].len()
    }

    fn row(&self, index: usize) -> &'a [f32] {
        let first = self.0[0].len();
        match index < first {
            true => self.0[0].row(index),
            false => self.0[1].row(index - first),
        }
    }

    /// Some rows as a tensor, of length 1 if `unit`.
    fn gather(&self, rows: &[usize], unit: bool) -> Tensor<f32> {
        let dim = self.0[0].dim;
        let mut out = Tensor::stale([rows.len(), dim]);
        par::chunks(
            out.data_mut(),
            par::task_size(par::CHEAP, dim),
            |start, out| {
                for (out, &row) in out.chunks_exact_mut(dim).zip(&rows[start / dim..]) {
                    match unit {
                        true => unit_length(self.row(row), out),
                        false => out.copy_from_slice(self.row(row)),
                    }
                }
            },
        );
        out
    }
}

/// Writes `x / |x|`, or the null vector as it is.
pub(super) fn unit_length(x: &[f32], out: &mut [f32]) {
    let square: f64 = x.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let scale = if square > 0.0 {
        square.sqrt().recip()
    } else {
        0.0
    };
    for (out, &x) in out.iter_mut().zip(x) {
        *out = (f64::from(x) * scale) as f32;
    }
}

fn squares(rows: &Tensor<f32>) -> Vec<f32> {
    let dim = rows.shape()[1];
    let square = |row: &[f32]| {
        row.iter()
            .map(|&v| f64::from(v) * f64::from(v))
            .sum::<f64>() as f32
    };
    rows.data().chunks_exact(dim).map(square).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use engine::rng::Key;

    pub(in crate::metrics) fn random(rows: usize, dim: usize, name: &str) -> Vec<f32> {
        let mut rng = Key::new(3).named(name).rng();
        (0..rows * dim).map(|_| rng.normal() as f32).collect()
    }

    /// Ties between equal rows, and the evaluation's two looks at a pair, rest on this.
    #[test]
    fn a_score_depends_on_its_pair_alone() {
        for (dim, similarity) in [
            (7, Similarity::Cosine),
            (600, Similarity::Cosine),
            (33, Similarity::Euclidean),
        ] {
            let values = random(150, dim, "pairs");
            let all = Pairwise::among(Embeddings::new(&values, dim).unwrap(), similarity);
            let every: Vec<usize> = (0..150).collect();
            let whole = all.block(&every, &every);
            let (some, others) = ([149, 3, 77], [0, 5, 6, 50, 148]);
            for part in [
                all.block(&some, &others),
                par::with_threads(3, || par::with_smallest_tasks(|| all.block(&some, &others))),
            ] {
                for (i, &q) in some.iter().enumerate() {
                    for (j, &g) in others.iter().enumerate() {
                        let (a, b) = (part.data()[i * 5 + j], whole.data()[q * 150 + g]);
                        assert_eq!(a.to_bits(), b.to_bits(), "{similarity:?} {q} {g}");
                    }
                }
            }
            assert_eq!(
                all.block(&[5], &[9]).item().to_bits(),
                whole.data()[5 * 150 + 9].to_bits()
            );
        }
    }

    #[test]
    fn scores_are_cosines_or_negated_squares_of_distances() {
        let values = [3.0, 4.0, 0.0, 0.0, -4.0, 3.0];
        let rows = Embeddings::new(&values, 2).unwrap();
        let scores = |s| {
            Pairwise::among(rows, s)
                .block(&[0], &[0, 1, 2])
                .data()
                .to_vec()
        };
        for (found, wanted) in scores(Similarity::Cosine).iter().zip([1.0, 0.0, 0.0]) {
            assert!((found - wanted).abs() < 1e-7);
        }
        assert_eq!(scores(Similarity::Euclidean), [0.0, -25.0, -50.0]);
        let huge = [f32::MAX, -f32::MAX];
        let huge = Pairwise::among(Embeddings::new(&huge, 1).unwrap(), Similarity::Euclidean);
        assert_eq!(huge.block(&[0], &[0, 1]).data(), [f32::NEG_INFINITY; 2]);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let message = Embeddings::new(&[0.0, 1.0, f32::NAN, 1.0], 2)
            .unwrap_err()
            .to_string();
        assert!(message.contains("embedding 1, number 0"), "{message}");
        assert!(Embeddings::new(&[0.0; 3], 2).is_err());
        assert!(Embeddings::new(&[], 0).is_err());
        let (two, three) = (&[0.0; 2], &[0.0; 3]);
        let pair = Pairwise::new(
            Embeddings::new(two, 2).unwrap(),
            Embeddings::new(three, 3).unwrap(),
            Similarity::Cosine,
        );
        assert!(
            pair.unwrap_err()
                .to_string()
                .contains("that of the queries, 2")
        );
        assert!(
            Given::new(&[0.0, f32::NAN], 2)
                .unwrap_err()
                .to_string()
                .contains("item 1")
        );
        assert!(Given::new(&[0.0; 3], 2).is_err());
    }
}
