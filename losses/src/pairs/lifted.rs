//! Lifted structure: every pair of a class against all negatives of both its members.

use super::{DISTANCE, Measure, Memory, PairLoss, Pairs, log_sum_exp, mean};
use crate::batch::Batch;
use crate::error::Result;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// The mean over the pairs of a class of max(J, 0)²/2, J_ij = d_ij + ln(Σ e^(m − d_ik) +
/// Σ e^(m − d_jl)) over the negatives k of i and l of j.
///
/// The matrix must be of a set of samples with itself.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// The margin.
    pub margin: f64,
}

impl PairLoss for Lifted {
    const NAME: &'static str = "lifted";
    const RANGE: [f64; 2] = [0.05, 1.9];

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let (half, margin, n) = (T::of(0.5), T::of(self.margin), pairs.columns());
        if pairs.rows() != n || !pairs.relation.reflexive {
            return T::ZERO; // without the rows of the columns there is no such term
        }
        // For each sample, the log-sum over its negatives and their shares in it.
        let negatives: Vec<(T, Vec<T>)> = (0..n)
            .map(|i| {
                let z: Vec<T> = pairs
                    .negatives(i)
                    .map(|k| margin - pairs.row(i)[k])
                    .collect();
                log_sum_exp(T::NEG_INFINITY, &z)
            })
            .collect();
        let (mut sum, mut count) = (T::ZERO, 0);
        // What each sample's log-sum gets.
        let mut pulls = vec![T::ZERO; n];
        for i in 0..n {
            for j in pairs.positives(i) {
                let (total, shares) =
                    log_sum_exp(T::NEG_INFINITY, &[negatives[i].0, negatives[j].0]);
                if total == T::NEG_INFINITY {
                    continue; // no negatives
                }
                count += 1;
                let term = (total + pairs.row(i)[j]).max(T::ZERO);
                sum += half * term * term;
                gradient[i * n + j] += term;
                pulls[i] += term * shares[0];
                pulls[j] += term * shares[1];
            }
        }
        for i in 0..n {
            for (k, share) in pairs.negatives(i).zip(&negatives[i].1) {
                gradient[i * n + k] -= pulls[i] * *share;
            }
        }
        mean(&[(sum, count)], gradient)
    }

    fn probes() -> Vec<Self> {
        [1.0, 0.2].map(|margin| Lifted { margin }).into()
    }
}

/// Lifted structure loss.
#[derive(Debug)]
pub struct LiftedStructure {
    lifted: Lifted,
    measure: Measure,
}

impl Loss for LiftedStructure {
    const INFO: LossInfo = LossInfo {
        name: "lifted",
        family: Family::Pair,
        about: "each pair of a class against all negatives of both",
        formula: "L = 1/(2 |P|) sum over pairs (i, j) in P of the same class of max(J_ij, 0)^2\n\
                  J_ij = d_ij + ln( sum_{k: y_k != y_i} e^(margin - d_ik)\n\
                  \x20                + sum_{l: y_l != y_j} e^(margin - d_jl) )",
        parameters: &[
            Parameter::number(
                "margin",
                1.0,
                Range::from(0.0),
                "distance to keep between classes",
            ),
            DISTANCE,
        ],
        presets: &[],
        head: Head::None,
        remarks: "This is the smooth upper bound that the paper optimises, not the hard maximum it bounds.\n\
                  pytorch-metric-learning agrees where every term is positive (it averages over those\n\
                  that are), with its distances on the sphere.",
        source: "Oh Song et al. 2016, Deep metric learning via lifted structured feature embedding, \
                 CVPR, arXiv 1511.06452",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        LiftedStructure {
            lifted: Lifted {
                margin: values.number("margin"),
            },
            measure: Measure::new(values),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let pairs = batch.pairs(self.measure, Memory::NONE)?;
        Ok(Part::only(
            Self::INFO.name,
            pairs.apply(self.lifted.clone())?,
        ))
    }
}
