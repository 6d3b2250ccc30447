//! Proxy-Anchor: each proxy is an anchor with the samples of the batch.

use crate::batch::Batch;
use crate::class::HEAD_LR_MULT;
use crate::error::Result;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::pairs::{Matrix, PairLoss, Pairs, Relation, log_sum_exp};
use crate::values::Values;
use engine::Float;

/// 1/|P⁺| Σ ln(1 + Σ_{x of p} e^(−α (s − δ))) over the proxies with samples in the batch, plus
/// 1/|P| Σ ln(1 + Σ_{x not of p} e^(α (s + δ))) over all. Rows are proxies, columns samples.
#[derive(Clone, Debug)]
pub struct Anchored {
    /// α, the scale.
    pub alpha: f64,
    /// δ, the margin.
    pub delta: f64,
}

impl PairLoss for Anchored {
    const NAME: &'static str = "proxy-anchor";

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let [alpha, delta] = [self.alpha, self.delta].map(T::of);
        let present = (0..pairs.rows()).filter(|&i| pairs.positives(i).next().is_some());
        let one_of = |count: usize| T::ONE / T::of(count.max(1) as f64);
        let (of_present, of_all) = (one_of(present.count()), one_of(pairs.rows()));
        let values = pairs.map_rows(gradient, |i, gradient| {
            let s = pairs.row(i);
            let z: Vec<T> = pairs
                .positives(i)
                .map(|j| -(alpha * (s[j] - delta)))
                .collect();
            let (within, shares) = log_sum_exp(T::ZERO, &z);
            for (j, share) in pairs.positives(i).zip(shares) {
                gradient[j] = -(of_present * alpha * share);
            }
            let z: Vec<T> = pairs.negatives(i).map(|j| alpha * (s[j] + delta)).collect();
            let (between, shares) = log_sum_exp(T::ZERO, &z);
            for (j, share) in pairs.negatives(i).zip(shares) {
                gradient[j] = of_all * alpha * share;
            }
            of_present * within + of_all * between
        });
        values.into_iter().sum()
    }

    fn probes() -> Vec<Self> {
        [(32.0, 0.1), (4.0, 0.3)]
            .map(|(alpha, delta)| Anchored { alpha, delta })
            .into()
    }
}

/// Proxy-Anchor.
#[derive(Debug)]
pub struct ProxyAnchor {
    loss: Anchored,
}

impl Loss for ProxyAnchor {
    const INFO: LossInfo = LossInfo {
        name: "proxy-anchor",
        family: Family::Proxy,
        about: "each proxy against the samples of its class and of the others",
        formula: "L = 1/|P+| sum_{p in P+} ln(1 + sum_{x of class p} e^(-alpha (s_xp - delta)))\n\
                  \x20 + 1/|P|  sum_{p in P}  ln(1 + sum_{x not of p}   e^(alpha (s_xp + delta)))\n\
                  s: cosines;   P+: the proxies of classes in the batch",
        parameters: &[
            Parameter::number("alpha", 32.0, Range::above(0.0), "scale of the cosines"),
            Parameter::number("delta", 0.1, Range::closed(-1.0, 1.0), "margin"),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "The paper trains proxies at 100 times the rate of the network: head_lr_mult=100.\n\
                  pytorch-metric-learning agrees.",
        source: "Kim et al. 2020, Proxy anchor loss for deep metric learning, CVPR, arXiv 2003.13911; \
                 github tjddus9597/Proxy-Anchor-CVPR2020",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        ProxyAnchor {
            loss: Anchored {
                alpha: values.number("alpha"),
                delta: values.number("delta"),
            },
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let proxies = batch.unit_weight()?;
        let matrix = Matrix {
            values: proxies.try_matmul_nt(&batch.unit_embeddings()?)?,
            relation: Relation {
                rows: (0..proxies.shape()[0]).collect(),
                columns: batch.columns().clone(),
                reflexive: false,
            },
        };
        Ok(Part::only(
            Self::INFO.name,
            matrix.apply(self.loss.clone())?,
        ))
    }
}
