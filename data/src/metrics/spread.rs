//! How embeddings lie on the sphere: near their class, far from others, in how many dimensions.

mod eigen;

use super::scores::Embeddings;
use engine::ops::MatMul;
use engine::{Op, Tensor};

/// Mean and deviation of the cosine over the pairs of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pairs {
    /// How many pairs there are (each counted once).
    pub count: u64,
    /// The mean cosine; NaN without pairs.
    pub mean: f64,
    /// The population deviation; NaN without pairs.
    pub std: f64,
}

/// The cosines between all embeddings of one class, and between all of different classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Pairs within a class: towards 1 in a good embedding.
    pub intra: Pairs,
    /// Pairs of different classes: 0 or a little less in a good embedding, near 1 in one that has
    /// collapsed.
    pub inter: Pairs,
}

impl Spread {
    /// Measures all pairs, exactly and without forming them. With X the rows of length 1, the
    /// cosines of all ordered pairs sum to `|sum of x|²`, and their squares to the squared
    /// Frobenius norm of `XᵀX`; the same holds within each class. So the cost grows with the
    /// number of rows and not with its square.
    ///
    /// Null vectors have cosine 0 to everything.
    ///
    /// # Panics
    /// If there is not one label per row.
    pub fn new(rows: Embeddings<'_>, labels: &[usize]) -> Self {
        assert_eq!(rows.len(), labels.len(), "one label per embedding");
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&i| labels[i]);
        let mut intra = Moments::default();
        for class in order.chunk_by(|&a, &b| labels[a] == labels[b]) {
            intra.add(&Moments::of(rows, class));
        }
        let all = Moments::of(rows, &order);
        Spread {
            intra: intra.pairs(),
            inter: all.without(&intra).pairs(),
        }
    }

    /// d': the distance of the two means in units of the root mean square of the two deviations,
    /// `(intra - inter) / sqrt((σ²intra + σ²inter) / 2)` (decidability, J. Daugman 2000).
    pub fn d_prime(&self) -> f64 {
        let variance = 0.5 * (self.intra.std.powi(2) + self.inter.std.powi(2));
        (self.intra.mean - self.inter.mean) / variance.sqrt()
    }
}

/// Sums over ordered pairs of different rows.
#[derive(Clone, Copy, Default)]
struct Moments {
    pairs: f64,
    sum: f64,
    squares: f64,
}

/// Rows multiplied at a time: as f64 they take 2 MB for 64 dimensions, 16 MB for 512.
const ROWS: usize = 4096;

impl Moments {
    fn of(rows: Embeddings<'_>, which: &[usize]) -> Self {
        let (n, dim) = (which.len(), rows.dim());
        let mut total = vec![0.0; dim];
        let mut diagonal = [0.0, 0.0];
        let mut gram = Tensor::<f64>::zeros([dim, dim]);
        let mut squares = 0.0;
        for part in which.chunks(ROWS) {
            let unit = unit_rows(rows, part);
            for row in unit.data().chunks_exact(dim) {
                let square: f64 = row.iter().map(|v| v * v).sum();
                diagonal[0] += square;
                diagonal[1] += square * square;
                total.iter_mut().zip(row).for_each(|(t, v)| *t += v);
            }
            // A small class has fewer pairs than the matrix of dimensions has elements.
            if n < dim {
                squares = square_sum(&product(MatMul::NT, &unit));
            } else {
                gram.add_assign(&product(MatMul::TN, &unit));
            }
        }
        if n >= dim {
            squares = square_sum(&gram);
        }
        Moments {
            pairs: n as f64 * (n as f64 - 1.0),
            sum: total.iter().map(|t| t * t).sum::<f64>() - diagonal[0],
            squares: squares - diagonal[1],
        }
    }

    fn add(&mut self, other: &Moments) {
        self.pairs += other.pairs;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    fn without(mut self, other: &Moments) -> Self {
        self.add(&Moments {
            pairs: -other.pairs,
            sum: -other.sum,
            squares: -other.squares,
        });
        self
    }

    fn pairs(&self) -> Pairs {
        let pairs = if self.pairs > 0.0 {
            self.pairs
        } else {
            f64::NAN
        };
        let mean = self.sum / pairs;
        let variance = self.squares / pairs - mean * mean;
        Pairs {
            count: (self.pairs / 2.0) as u64,
            mean,
            // Rounding can make it negative; a NaN must stay one.
            std: if variance < 0.0 { 0.0 } else { variance.sqrt() },
        }
    }
}

/// The effective rank: e to the entropy of the singular values, taken as shares of their sum: O.
/// Roy and M. Vetterli, "The Effective Rank", EUSIPCO 2007. From 1, all rows on one line, to
/// `dim`, all directions used alike. The rows are taken as they are, not centred and not
/// normalised. NaN if all are null.
///
/// A value near 1 means collapse. The classes of a good embedding repel each other, so that it
/// rises towards the smaller of `dim` and the number of classes.
pub fn effective_rank(rows: Embeddings<'_>) -> f64 {
    let dim = rows.dim();
    let mut gram = Tensor::<f64>::zeros([dim, dim]);
    let all: Vec<usize> = (0..rows.len()).collect();
    // Scaled, since squares of large numbers overflow; the shares do not see it.
    let largest = all
        .iter()
        .flat_map(|&i| rows.row(i))
        .fold(0.0, |m: f32, v| m.max(v.abs()));
    if largest == 0.0 {
        return f64::NAN;
    }
    for part in all.chunks(ROWS) {
        let scaled = gather(rows, part, |row, out| {
            for (out, &v) in out.iter_mut().zip(row) {
                *out = f64::from(v) / f64::from(largest);
            }
        });
        gram.add_assign(&product(MatMul::TN, &scaled));
    }
    let singular: Vec<f64> = eigen::eigenvalues(gram.data(), dim)
        .iter()
        .map(|v| v.max(0.0).sqrt())
        .collect();
    let sum: f64 = singular.iter().sum();
    let shares = singular.iter().map(|s| s / sum).filter(|&p| p > 0.0);
    shares.map(|p| -p * p.ln()).sum::<f64>().exp()
}

fn unit_rows(rows: Embeddings<'_>, which: &[usize]) -> Tensor<f64> {
    gather(rows, which, |row, out| {
        let length = row
            .iter()
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt();
        let scale = if length > 0.0 { length.recip() } else { 0.0 };
        for (out, &v) in out.iter_mut().zip(row) {
            *out = scale * f64::from(v);
        }
    })
}

fn gather(
    rows: Embeddings<'_>,
    which: &[usize],
    write: impl Fn(&[f32], &mut [f64]),
) -> Tensor<f64> {
    let mut out = Tensor::stale([which.len(), rows.dim()]);
    let slots = out.data_mut().chunks_exact_mut(rows.dim());
    for (slot, &i) in slots.zip(which) {
        write(rows.row(i), slot);
    }
    out
}

/// `X Xᵀ` or `Xᵀ X`.
fn product(op: MatMul, x: &Tensor<f64>) -> Tensor<f64> {
    let (product, _) = op.forward([x, x]).expect("a matrix fits itself");
    product
}

fn square_sum(x: &Tensor<f64>) -> f64 {
    x.data().iter().map(|v| v * v).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::scores::tests::random;
    use approx::assert_abs_diff_eq;
    use engine::par;

    /// Pair by pair.
    fn naive(rows: Embeddings<'_>, labels: &[usize], same: bool) -> Pairs {
        let unit = |i: usize| {
            let row: Vec<f64> = rows.row(i).iter().map(|&v| f64::from(v)).collect();
            let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.into_iter().map(move |v| v / length).collect::<Vec<_>>()
        };
        let mut cosines = Vec::new();
        for i in 0..rows.len() {
            for j in (0..i).filter(|&j| (labels[i] == labels[j]) == same) {
                cosines.push(unit(i).iter().zip(unit(j)).map(|(a, b)| a * b).sum::<f64>());
            }
        }
        let n = cosines.len() as f64;
        let mean = cosines.iter().sum::<f64>() / n;
        let variance = cosines.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / n;
        Pairs {
            count: cosines.len() as u64,
            mean,
            std: variance.sqrt(),
        }
    }

    #[test]
    fn closed_forms_agree_with_pair_by_pair() {
        // Classes both larger and smaller than the dimension, one of a single row.
        let values = random(90, 6, "spread");
        let rows = Embeddings::new(&values, 6).unwrap();
        let labels: Vec<usize> = (0..90).map(|i| [7, 3, 3, 3, 9][i % 5]).collect();
        let labels: Vec<usize> = labels
            .iter()
            .enumerate()
            .map(|(i, &l)| [l, 100 + i / 9][usize::from(i > 60)])
            .collect();
        let spread = Spread::new(rows, &labels);
        for (found, same) in [(spread.intra, true), (spread.inter, false)] {
            let wanted = naive(rows, &labels, same);
            assert_eq!(found.count, wanted.count);
            assert_abs_diff_eq!(found.mean, wanted.mean, epsilon = 1e-13);
            assert_abs_diff_eq!(found.std, wanted.std, epsilon = 1e-12);
        }
        let one = par::with_threads(1, || Spread::new(rows, &labels));
        assert_eq!(one, spread);
    }

    #[test]
    fn d_prime_is_the_gap_in_deviations() {
        let pairs = |mean, std| Pairs {
            count: 1,
            mean,
            std,
        };
        let spread = Spread {
            intra: pairs(0.9, 0.3),
            inter: pairs(0.1, 0.1),
        };
        assert_abs_diff_eq!(spread.d_prime(), 0.8 / 0.05f64.sqrt(), epsilon = 1e-12);
    }

    #[test]
    fn without_pairs_there_is_no_mean() {
        let values = [1.0, 0.0, 0.0, 1.0];
        let rows = Embeddings::new(&values, 2).unwrap();
        let apart = Spread::new(rows, &[0, 1]);
        assert!(apart.intra.mean.is_nan() && apart.intra.std.is_nan());
        assert_eq!((apart.intra.count, apart.inter.count), (0, 1));
        assert_abs_diff_eq!(apart.inter.mean, 0.0);
        assert_abs_diff_eq!(Spread::new(rows, &[0, 0]).intra.std, 0.0);
    }

    #[test]
    fn effective_rank_counts_directions_used_alike() {
        let rank = |values: &[f32], dim| effective_rank(Embeddings::new(values, dim).unwrap());
        assert_abs_diff_eq!(
            rank(&[2.0, 4.0, 1.0, 2.0, -3.0, -6.0], 2),
            1.0,
            epsilon = 1e-6
        );
        let unit: Vec<f32> = (0..25)
            .map(|i| f32::from(u8::from(i % 6 == 0)) * 1e30)
            .collect();
        assert_abs_diff_eq!(rank(&unit, 5), 5.0, epsilon = 1e-9);
        // Singular values 3 and 1: shares 3/4 and 1/4.
        let expected = -(0.75f64.ln() * 0.75 + 0.25f64.ln() * 0.25);
        assert_abs_diff_eq!(
            rank(&[3.0, 0.0, 0.0, 1.0], 2),
            expected.exp(),
            epsilon = 1e-9
        );
        assert!(rank(&[0.0; 4], 2).is_nan());
        assert!(rank(&[], 2).is_nan());
    }
}
