//! Re-ranking with k-reciprocal encoding: Z. Zhong et al., "Re-ranking Person Re-identification
//! with k-reciprocal Encoding", CVPR 2017, in memory that grows with the number of items.
//!
//! Two images that count each other among their nearest are likely of one identity. Every image
//! gets a sparse vector over such *k-reciprocal* neighbours, and the Jaccard distance of these
//! vectors is mixed with the distance of the embeddings.
//!
//! The authors' code keeps several matrices of (queries + gallery)²: 25 GB and more for
//! Market-1501 with its distractors. Here only the `k1 + 1` nearest neighbours of each image and
//! the sparse vectors are kept, some 1 to 2 kB an image at the usual settings. What follows from
//! them agrees with the authors' code:
//!
//! - Distances are squared and divided by the largest of their row before they are mixed.
//! - An image counts among its own neighbours, so `k1 + 1` of them are looked at.
//! - The final distance is `(1 - lambda) Jaccard + lambda distance`. Pairs that share no
//!   neighbour have Jaccard distance 1.

use super::scores::{Pairwise, Scores};
use super::search::{Itself, Neighbours, scan};
use crate::error::{Error, Result};
use engine::{Tensor, par};

/// How to re-rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rerank {
    /// Neighbours that may be reciprocal.
    pub k1: usize,
    /// Neighbours whose vectors are averaged; 1 is none but itself.
    pub k2: usize,
    /// The share of the embeddings' own distance, 0 to 1.
    pub lambda: f32,
}

impl Default for Rerank {
    /// The authors' settings for Market-1501.
    fn default() -> Self {
        Rerank {
            k1: 20,
            k2: 6,
            lambda: 0.3,
        }
    }
}

/// Scores after re-ranking: minus the final distance, -1 to 0 but for rounding.
#[derive(Clone, Debug)]
pub struct Reranked<'a> {
    scores: Pairwise<'a>,
    lambda: f32,
    /// One over the largest distance from each query to any image.
    scale: Vec<f32>,
    /// For each query, gallery items in order and 1 minus their Jaccard distance, where not 0.
    shared: Vec<Sparse>,
}

/// The elements of a vector that are not zero, by ascending index.
type Sparse = Vec<(u32, f32)>;

impl Rerank {
    /// Compares all queries and gallery items with each other, and re-ranks.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `k1` or `k2` is 0, `k2` above `k1 + 1`, or `lambda` not in 0 to 1, or
    /// if squared distances overflow.
    ///
    /// # Panics
    /// If there are 2³² images or more.
    pub fn apply<'a>(&self, scores: &Pairwise<'a>) -> Result<Reranked<'a>> {
        self.check()?;
        let all = scores.union();
        let (neighbours, lowest) = scan(&all, self.k1 + 1, Itself::Keep);
        if lowest.contains(&f32::NEG_INFINITY) {
            return Err(Error::invalid(
                "distances to re-rank by",
                "squares that f32 can hold, below 3e38",
                "larger ones",
                "normalise the embeddings, or compare them by their cosine",
            ));
        }
        // Where all images are one point every distance is 0, and so is its share.
        let scale: Vec<f32> = lowest
            .iter()
            .map(|&score| match all.distance(score) {
                largest if largest > 0.0 => largest.recip(),
                _ => 0.0,
            })
            .collect();
        let encoded = par::map(neighbours.len(), |i| {
            encode(&all, &neighbours, i, self.k1, scale[i])
        });
        let averaged = par::map(neighbours.len(), |i| {
            let near = neighbours.of(i).iter().take(self.k2);
            average(near.map(|&(_, j)| encoded[j as usize].as_slice()))
        });
        drop(encoded);
        let (queries, gallery) = averaged.split_at(scores.queries());
        let inverted = Inverted::new(gallery, neighbours.len());
        Ok(Reranked {
            scores: *scores,
            lambda: self.lambda,
            scale: scale[..queries.len()].to_vec(),
            shared: par::map(queries.len(), |q| inverted.shared(&queries[q])),
        })
    }

    fn check(&self) -> Result<()> {
        let settings = [
            ("k1", self.k1 > 0, "1 or more", self.k1.to_string()),
            (
                "k2",
                (1..=self.k1.saturating_add(1)).contains(&self.k2),
                "1 to k1 + 1",
                self.k2.to_string(),
            ),
            (
                "lambda",
                (0.0..=1.0).contains(&self.lambda),
                "0 to 1",
                self.lambda.to_string(),
            ),
        ];
        for (name, good, expected, found) in settings {
            if !good {
                return Err(Error::invalid(
                    format!("re-ranking {name:?}"),
                    expected,
                    found,
                    "k1 = 20, k2 = 6 and lambda = 0.3 are usual",
                ));
            }
        }
        Ok(())
    }
}

impl Scores for Reranked<'_> {
    fn queries(&self) -> usize {
        self.scores.queries()
    }

    fn gallery(&self) -> usize {
        self.scores.gallery()
    }

    fn block(&self, queries: &[usize], gallery: &[usize]) -> Tensor<f32> {
        let mut block = self.scores.block(queries, gallery);
        let columns = gallery.len().max(1);
        par::chunks(block.data_mut(), columns, |start, row| {
            let query = queries[start / columns];
            let near = self.lambda * self.scale[query];
            for score in row.iter_mut() {
                *score = -(1.0 - self.lambda) - near * self.scores.distance(*score);
            }
            // Both lists ascend: one walk along them finds what they have in common.
            let mut shared = self.shared[query].iter().peekable();
            for (score, &item) in row.iter_mut().zip(gallery) {
                while shared.next_if(|s| (s.0 as usize) < item).is_some() {}
                if let Some(&(_, part)) = shared.next_if(|s| s.0 as usize == item) {
                    *score += (1.0 - self.lambda) * part;
                }
            }
        });
        block
    }
}

/// The images that are among the nearest `k + 1` of `i` and have it among theirs.
fn reciprocal(neighbours: &Neighbours, i: usize, k: usize) -> Vec<u32> {
    let near = |i: usize| neighbours.of(i).iter().take(k + 1).map(|&(_, j)| j);
    let mutual = |&j: &u32| near(j as usize).any(|back| back as usize == i);
    let mut found: Vec<u32> = near(i).filter(mutual).collect();
    found.sort_unstable();
    found
}

/// The vector of image `i`: its k-reciprocal neighbours, and those of the half as near around each
/// of them that mostly agree, each with exp(-distance), summing to 1.
fn encode(all: &Pairwise<'_>, neighbours: &Neighbours, i: usize, k1: usize, scale: f32) -> Sparse {
    let own = reciprocal(neighbours, i, k1);
    // As numpy rounds.
    let half = (k1 as f64 / 2.0).round_ties_even() as usize;
    let mut members = own.clone();
    for &candidate in &own {
        let theirs = reciprocal(neighbours, candidate as usize, half);
        let common = theirs.iter().filter(|j| own.binary_search(j).is_ok());
        if 3 * common.count() > 2 * theirs.len() {
            members.extend(theirs);
        }
    }
    members.sort_unstable();
    members.dedup();
    let indices: Vec<usize> = members.iter().map(|&j| j as usize).collect();
    let scores = all.block(&[i], &indices);
    let weight = |&score: &f32| (-scale * all.distance(score)).exp();
    let weights: Vec<f32> = scores.data().iter().map(weight).collect();
    let sum: f32 = weights.iter().sum();
    members
        .into_iter()
        .zip(weights.iter().map(|w| w / sum))
        .collect()
}

/// The mean of some vectors.
fn average<'a>(vectors: impl Iterator<Item = &'a [(u32, f32)]>) -> Sparse {
    let mut count = 0;
    let mut all: Sparse = Vec::new();
    for vector in vectors {
        count += 1;
        all.extend_from_slice(vector);
    }
    // A stable sort keeps the order of the sums, and so their bits.
    all.sort_by_key(|&(j, _)| j);
    let sums = all.chunk_by(|a, b| a.0 == b.0);
    sums.map(|same| {
        (
            same[0].0,
            same.iter().map(|s| s.1).sum::<f32>() / count as f32,
        )
    })
    .collect()
}

/// Sparse vectors by element: which gallery items have it, and how much of it.
struct Inverted {
    /// `entries[starts[j]..starts[j + 1]]` have element `j`.
    starts: Vec<usize>,
    entries: Sparse,
}

impl Inverted {
    fn new(vectors: &[Sparse], elements: usize) -> Self {
        let mut starts = vec![0; elements + 1];
        for &(j, _) in vectors.iter().flatten() {
            starts[j as usize + 1] += 1;
        }
        for j in 0..elements {
            starts[j + 1] += starts[j];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); starts[elements]];
        for (item, vector) in (0..).zip(vectors) {
            for &(j, weight) in vector {
                entries[next[j as usize]] = (item, weight);
                next[j as usize] += 1;
            }
        }
        Inverted { starts, entries }
    }

    /// The items that share an element with `vector`, and 1 minus their Jaccard distance. Vectors
    /// sum to 1: with `m` the sum of the smaller elements, that of the larger is `2 - m`.
    fn shared(&self, vector: &[(u32, f32)]) -> Sparse {
        let mut smaller: Sparse = Vec::new();
        for &(j, weight) in vector {
            let entries = &self.entries[self.starts[j as usize]..self.starts[j as usize + 1]];
            smaller.extend(entries.iter().map(|&(item, w)| (item, w.min(weight))));
        }
        smaller.sort_by_key(|&(item, _)| item);
        let sums = smaller.chunk_by(|a, b| a.0 == b.0);
        let shared = sums.map(|same| {
            let m: f32 = same.iter().map(|s| s.1).sum();
            (same[0].0, m / (2.0 - m))
        });
        shared.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::scores::{Embeddings, Similarity, tests::random};

    fn pair<'a>(q: &'a [f32], g: &'a [f32], dim: usize) -> Pairwise<'a> {
        let [q, g] = [q, g].map(|rows| Embeddings::new(rows, dim).unwrap());
        Pairwise::new(q, g, Similarity::Cosine).unwrap()
    }

    fn whole(scores: &impl Scores) -> Vec<f32> {
        let queries: Vec<usize> = (0..scores.queries()).collect();
        let gallery: Vec<usize> = (0..scores.gallery()).collect();
        scores.block(&queries, &gallery).data().to_vec()
    }

    #[test]
    fn threads_and_blocks_change_nothing() {
        let (q, g) = (random(9, 5, "q"), random(50, 5, "g"));
        let scores = pair(&q, &g, 5);
        let settings = Rerank {
            k1: 6,
            k2: 3,
            lambda: 0.3,
        };
        let all = whole(&settings.apply(&scores).unwrap());
        let alone = par::with_threads(1, || whole(&settings.apply(&scores).unwrap()));
        assert_eq!(all, alone);
        let some = settings
            .apply(&scores)
            .unwrap()
            .block(&[7], &[3, 20, 21, 49]);
        assert_eq!(some.data(), [3, 20, 21, 49].map(|g| all[7 * 50 + g]));
    }

    #[test]
    fn lambda_one_keeps_the_order_of_the_embeddings() {
        let (q, g) = (random(4, 5, "q"), random(30, 5, "g"));
        let scores = pair(&q, &g, 5);
        let settings = Rerank {
            lambda: 1.0,
            ..Rerank::default()
        };
        let (before, after) = (whole(&scores), whole(&settings.apply(&scores).unwrap()));
        for (before, after) in before.chunks(30).zip(after.chunks(30)) {
            let order = |row: &[f32]| {
                let mut order: Vec<usize> = (0..30).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
                order
            };
            assert_eq!(order(before), order(after));
        }
    }

    /// Two clusters of four and a query between them, on the side of the second by a hair but
    /// surrounded by two companions that are of the first.
    #[test]
    fn company_decides() {
        let at = |degrees: f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        let query = at(30.0);
        let gallery = [
            0.0, 4.0, 8.0, 12.0, 20.0, 26.0, 33.0, 50.0, 54.0, 58.0, 62.0,
        ]
        .map(at);
        let gallery = gallery.as_flattened();
        let scores = pair(&query, gallery, 2);
        let settings = Rerank {
            k1: 3,
            k2: 1,
            lambda: 0.0,
        };
        let after = whole(&settings.apply(&scores).unwrap());
        // Nobody far away counts the query's company among its nearest: Jaccard distance 1.
        assert_eq!(after[0], -1.0);
        assert_eq!(after[10], -1.0);
        assert!(after[5] > -0.7, "{after:?}");
    }

    #[test]
    fn settings_out_of_range_and_images_that_are_all_one() {
        let ones = [1.0; 20];
        let scores = pair(&ones[..4], &ones[4..], 2);
        let refused = |settings: Rerank| settings.apply(&scores).unwrap_err().to_string();
        let usual = Rerank::default();
        assert!(refused(Rerank { k1: 0, ..usual }).contains("\"k1\""));
        assert!(refused(Rerank { k2: 22, ..usual }).contains("\"k2\""));
        assert!(refused(Rerank { k2: 0, ..usual }).contains("\"k2\""));
        assert!(
            refused(Rerank {
                lambda: f32::NAN,
                ..usual
            })
            .contains("\"lambda\"")
        );
        let far = [1e30, -1e30];
        let [q, g] = [&far[..1], &far[1..]].map(|rows| Embeddings::new(rows, 1).unwrap());
        let apart = Pairwise::new(q, g, Similarity::Euclidean).unwrap();
        let message = usual.apply(&apart).unwrap_err().to_string();
        assert!(message.contains("normalise the embeddings"), "{message}");
        let all = whole(&usual.apply(&scores).unwrap());
        assert!(all.iter().all(|s| s.is_finite()), "{all:?}");
    }
}
