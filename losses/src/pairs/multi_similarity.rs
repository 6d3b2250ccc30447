//! Multi-similarity loss, with its mining of informative pairs.

use super::{MEMORY, Measure, Memory, PairLoss, Pairs, log_sum_exp, mean};
use crate::batch::Batch;
use crate::error::Result;
use crate::info::{Family, Head, LossInfo, Parameter, Preset, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::Owned;
use crate::values::Values;
use engine::Float;

/// The mean over anchors of ln(1 + Σ e^(−α (s − λ)))/α over positives + ln(1 + Σ e^(β (s − λ)))/β
/// over negatives.
///
/// With mining, negatives count if s > (least positive) − ε, positives if s < (greatest negative)
/// + ε. An anchor without a positive or without a negative keeps none then.
#[derive(Clone, Debug)]
pub struct Similarities {
    /// α, of positives.
    pub alpha: f64,
    /// β, of negatives.
    pub beta: f64,
    /// λ, where similarities divide.
    pub lambda: f64,
    /// ε; `None` for no mining.
    pub epsilon: Option<f64>,
}

impl PairLoss for Similarities {
    const NAME: &'static str = "multi-similarity";

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let [alpha, beta, lambda] = [self.alpha, self.beta, self.lambda].map(T::of);
        let parts = pairs.map_rows(gradient, |i, gradient| {
            let s = pairs.row(i);
            let (mut positives, mut negatives): (Vec<_>, Vec<_>) =
                (pairs.positives(i).collect(), pairs.negatives(i).collect());
            if let Some(epsilon) = self.epsilon.map(T::of) {
                let least = positives.iter().map(|&j| s[j]).reduce(|a, b| a.min(b));
                let greatest = negatives.iter().map(|&j| s[j]).reduce(|a, b| a.max(b));
                positives.retain(|&j| greatest.is_some_and(|g| s[j] < g + epsilon));
                negatives.retain(|&j| least.is_some_and(|l| s[j] > l - epsilon));
            }
            let mut sum = T::ZERO;
            for (kept, scale) in [(positives, -alpha), (negatives, beta)] {
                let z: Vec<T> = kept.iter().map(|&j| scale * (s[j] - lambda)).collect();
                let (total, shares) = log_sum_exp(T::ZERO, &z);
                sum += total / scale.abs();
                for (j, share) in kept.into_iter().zip(shares) {
                    gradient[j] = if scale > T::ZERO { share } else { -share };
                }
            }
            (sum, 1)
        });
        mean(&parts, gradient)
    }

    fn probes() -> Vec<Self> {
        let setting = |(alpha, beta, epsilon)| Similarities {
            alpha,
            beta,
            lambda: 0.5,
            epsilon,
        };
        [
            (2.0, 50.0, None),
            (2.0, 10.0, Some(0.1)),
            (4.0, 40.0, Some(0.5)),
        ]
        .map(setting)
        .into()
    }
}

/// Multi-similarity loss.
#[derive(Debug)]
pub struct MultiSimilarity {
    similarities: Similarities,
    memory: Memory,
}

impl Loss for MultiSimilarity {
    const INFO: LossInfo = LossInfo {
        name: "multi-similarity",
        family: Family::Pair,
        about: "soft hardest positives and negatives of each anchor, with mining",
        formula: "L = mean_i 1/alpha ln(1 + sum_{p in P_i} e^(-alpha (s_ip - lambda)))\n\
                  \x20        + 1/beta  ln(1 + sum_{n in N_i} e^(beta (s_in - lambda))),   s: cosines\n\
                  mining: N_i keeps n with s_in > min_p s_ip - epsilon,\n\
                  \x20       P_i keeps p with s_ip < max_n s_in + epsilon",
        parameters: &[
            Parameter::number("alpha", 2.0, Range::above(0.0), "sharpness for positives"),
            Parameter::number("beta", 50.0, Range::above(0.0), "sharpness for negatives"),
            Parameter::number(
                "lambda",
                0.5,
                Range::closed(-1.0, 1.0),
                "where cosines divide",
            ),
            Parameter::number("epsilon", 0.1, Range::from(0.0), "margin of the mining"),
            Parameter::flag("unmined", "count all pairs"),
            MEMORY,
        ],
        presets: &[Preset {
            name: "code",
            about: "the configuration of the authors' code",
            settings: &[("alpha", "2"), ("beta", "40"), ("lambda", "0.5")],
        }],
        head: Head::None,
        remarks: "The text of the paper has lambda = 1, its code 0.5. pytorch-metric-learning agrees, with\n\
                  its MultiSimilarityMiner or, unmined, without (there anchors are averaged alike).",
        source: "Wang X. et al. 2019, Multi-similarity loss with general pair weighting for deep metric \
                 learning, CVPR, arXiv 1904.06627; github msight-tech/research-ms-loss",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        MultiSimilarity {
            similarities: Similarities {
                alpha: values.number("alpha"),
                beta: values.number("beta"),
                lambda: values.number("lambda"),
                epsilon: (!values.flag("unmined")).then(|| values.number("epsilon")),
            },
            memory: Memory::new(values),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        self.memory.owns()
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let pairs = batch.pairs(Measure::Cosine, self.memory)?;
        Ok(Part::only(
            Self::INFO.name,
            pairs.apply(self.similarities.clone())?,
        ))
    }
}
