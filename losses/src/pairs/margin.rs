//! Margin loss with distance-weighted sampling of negatives and a learned boundary.

use super::{MEMORY, Matrix, Measure, Memory, PairLoss, Pairs, Relation, mean};
use crate::batch::Batch;
use crate::error::Result;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned, OwnedKind};
use crate::values::Values;
use engine::rng::{Key, Rng};
use engine::{Float, Tensor, Var};
use nn::Init;
use std::sync::Arc;

/// The mean over active pairs of max(α + e, 0) within a class and max(α − e, 0) between classes,
/// where e = d − β is how far a distance exceeds the boundary.
///
/// A pair is active if its term is not 0.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// α, half the width of the band around the boundary.
    pub alpha: f64,
    /// How often each pair between classes counts, row by row; `None` for all once. Pairs within
    /// a class count once.
    pub counts: Option<Arc<[u32]>>,
}

impl PairLoss for Boundary {
    const NAME: &'static str = "margin";
    const RANGE: [f64; 2] = [-0.9, 0.7];

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let (alpha, columns) = (T::of(self.alpha), pairs.columns());
        let parts = pairs.map_rows(gradient, |i, gradient| {
            let (e, mut sum, mut active) = (pairs.row(i), T::ZERO, 0);
            let mut add = |j: usize, sign: T, count: u32| {
                let term = alpha + sign * e[j];
                if term > T::ZERO && count > 0 {
                    let times = T::of(f64::from(count));
                    sum += times * term;
                    gradient[j] = times * sign;
                    active += count as usize;
                }
            };
            pairs.positives(i).for_each(|j| add(j, T::ONE, 1));
            for j in pairs.negatives(i) {
                // Cases to check with have counts for the widest matrix.
                let count = self
                    .counts
                    .as_ref()
                    .map_or(1, |counts| counts[i * columns + j]);
                add(j, -T::ONE, count);
            }
            (sum, active)
        });
        mean(&parts, gradient)
    }

    fn probes() -> Vec<Self> {
        let counts: Vec<u32> = (0..64).map(|i| i % 3).collect();
        vec![
            Boundary {
                alpha: 0.2,
                counts: None,
            },
            Boundary {
                alpha: 0.4,
                counts: Some(counts.into()),
            },
        ]
    }
}

/// Where the boundaries are.
const BETA: &str = "margin.beta";
/// Below which distances count as this, so that no weight is enormous.
const CUTOFF: f64 = 0.5;
/// Beyond which negatives are not drawn, because they would have no loss.
const FARTHEST: f64 = 1.4;

/// ln of the density of distances between random points of the unit sphere in `dim` dimensions,
/// up to a constant: d^(dim−2) (1 − d²/4)^((dim−3)/2).
fn log_density(d: f64, dim: usize) -> f64 {
    let dim = dim as f64;
    (dim - 2.0) * d.ln() + (dim - 3.0) / 2.0 * (1.0 - d * d / 4.0).max(1e-8).ln()
}

/// For every row, as many draws of a negative as it has positives, with probabilities inversely
/// proportional to the density at its distance. Returns how often each pair was drawn, row by row.
///
/// A row whose negatives are all farther than 1.4 draws them evenly.
pub fn distance_weighted_draws(d: &[f64], relation: &Relation, dim: usize, key: Key) -> Vec<u32> {
    let columns = relation.columns.len();
    let mut counts = vec![0; d.len()];
    let pairs = Pairs {
        matrix: d,
        relation,
    };
    for i in 0..pairs.rows() {
        let negatives: Vec<usize> = pairs.negatives(i).collect();
        if negatives.is_empty() {
            continue;
        }
        let d = pairs.row(i);
        let near = |&&j: &&usize| d[j] < FARTHEST;
        let mut drawn: Vec<usize> = negatives.iter().filter(near).copied().collect();
        let log_weights: Vec<f64> = match drawn.is_empty() {
            true => {
                drawn.clone_from(&negatives);
                vec![0.0; negatives.len()]
            }
            false => drawn
                .iter()
                .map(|&j| -log_density(d[j].max(CUTOFF), dim))
                .collect(),
        };
        let greatest = log_weights.iter().fold(f64::NEG_INFINITY, |m, &w| m.max(w));
        let weights: Vec<f64> = log_weights.iter().map(|w| (w - greatest).exp()).collect();
        let mut rng = key.at(i as u64).rng();
        for _ in pairs.positives(i) {
            counts[i * columns + drawn[draw(&weights, &mut rng)]] += 1;
        }
    }
    counts
}

/// An index with a probability proportional to its weight.
fn draw(weights: &[f64], rng: &mut Rng) -> usize {
    let mut rest = rng.uniform() * weights.iter().sum::<f64>();
    for (i, weight) in weights.iter().enumerate() {
        rest -= weight;
        if rest < 0.0 {
            return i;
        }
    }
    weights.len() - 1
}

/// Margin loss.
#[derive(Debug)]
pub struct MarginLoss {
    alpha: f64,
    beta: f64,
    nu: f64,
    per_class: bool,
    sampled: bool,
    memory: Memory,
}

impl MarginLoss {
    /// How often each pair between classes counts.
    fn counts<T: Float>(
        &self,
        batch: &Batch<'_, T>,
        pairs: &Matrix<T>,
    ) -> Result<Option<Arc<[u32]>>> {
        let Some(key) = batch.key().filter(|_| self.sampled) else {
            return Ok(None);
        };
        let key = key.named("margin");
        let shape = pairs.values.shape();
        let drawn = batch.held("margin.negatives", shape, || {
            let d: Vec<f64> = pairs
                .values
                .value()
                .data()
                .iter()
                .map(|d| d.to_f64())
                .collect();
            let dim = batch.embeddings().shape()[1];
            let counts = distance_weighted_draws(&d, &pairs.relation, dim, key);
            Tensor::from_fn(shape, |i| T::of(f64::from(counts[i])))
        })?;
        let counts = drawn.data().iter().map(|count| count.to_f64() as u32);
        Ok(Some(counts.collect()))
    }
}

impl Loss for MarginLoss {
    const INFO: LossInfo = LossInfo {
        name: "margin",
        family: Family::Pair,
        about: "a learned boundary between distances within and between classes",
        formula: "L = sum_{(i,j)} max(alpha + y_ij (d_ij - beta), 0) / (number of terms > 0) + nu beta\n\
                  y_ij = 1 within a class, -1 between;   d: distances on the unit sphere\n\
                  all pairs within; between, for each anchor as many as it has positives, drawn with\n\
                  probability ~ 1 / q(max(d, 0.5)) from those with d < 1.4\n\
                  q(d) = d^(D-2) (1 - d^2/4)^((D-3)/2)\n\
                  beta is learned (head.margin.beta): one, or one for each class of anchors",
        parameters: &[
            Parameter::number("alpha", 0.2, Range::from(0.0), "half the width of the band"),
            Parameter::number("beta", 1.2, Range::above(0.0), "boundary at the start"),
            Parameter::number("nu", 0.0, Range::from(0.0), "weight of beta"),
            Parameter::word(
                "boundaries",
                &["one", "class"],
                "one beta, or one for each class",
            ),
            Parameter::word(
                "sampling",
                &["distance", "all"],
                "which pairs between classes count",
            ),
            MEMORY,
        ],
        presets: &[],
        head: Head::None,
        remarks: "Draws come from the key of the step, so a run can be repeated; in evaluation all pairs\n\
                  count. `loss eval` takes how often each pair was drawn from a tensor\n\
                  `margin.negatives` [N, N] if there is one. pytorch-metric-learning forms triplets,\n\
                  in which a pair within a class counts once for each of its negatives.",
        source: "Wu et al. 2017, Sampling matters in deep embedding learning, ICCV, arXiv 1706.07567",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        MarginLoss {
            alpha: values.number("alpha"),
            beta: values.number("beta"),
            nu: values.number("nu"),
            per_class: values.word("boundaries") == "class",
            sampled: values.word("sampling") == "distance",
            memory: Memory::new(values),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        let axis = if self.per_class {
            Axis::Classes
        } else {
            Axis::Of(1)
        };
        let beta = Owned {
            name: BETA,
            axes: vec![axis],
            init: Init::Constant(self.beta),
            kind: OwnedKind::Learned { decay: false },
        };
        [beta].into_iter().chain(self.memory.owns()).collect()
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let mut pairs = batch.pairs(Measure::Unit, self.memory)?;
        let loss = Boundary {
            alpha: self.alpha,
            counts: self.counts(batch, &pairs)?,
        };
        let beta = batch.owned(BETA);
        let beta: Var<T> = match self.per_class {
            true => beta.try_rows(batch.labels().clone())?,
            false => batch.for_each_sample(beta)?,
        };
        let n = batch.labels().len();
        pairs.values = pairs.values.try_sub(&beta.try_reshape([n, 1])?)?;
        Ok(vec![
            Part {
                name: "margin/pairs",
                weight: 1.0,
                value: pairs.apply(loss)?,
            },
            Part {
                name: "margin/boundary",
                weight: self.nu,
                value: beta.try_mean()?,
            },
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_as_many_as_positives_and_favour_rare_distances() {
        let labels: Arc<[usize]> = [0, 0, 1, 1, 1].into();
        let relation = Relation::among(&labels);
        // In 16 dimensions a distance of 0.6 is far rarer than one of 1.3; 1.6 is too far.
        let row = [0.0, 0.3, 0.6, 1.3, 1.6];
        let d: Vec<f64> = (0..5).flat_map(|_| row).collect();
        let mut totals = [0; 5];
        for seed in 0..200 {
            let counts = distance_weighted_draws(&d, &relation, 16, Key::new(seed));
            assert_eq!(counts[..5].iter().sum::<u32>(), 1, "one positive");
            assert_eq!(counts[10..15].iter().sum::<u32>(), 2, "two positives");
            for (total, count) in totals.iter_mut().zip(&counts[..5]) {
                *total += count;
            }
        }
        assert_eq!(totals[0] + totals[1] + totals[4], 0);
        assert!(totals[2] > 190, "{totals:?}");
    }
}
