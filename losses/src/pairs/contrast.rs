//! Supervised contrast and NT-Xent: a positive must be picked among all others, or among the
//! negatives.

use super::{MEMORY, Measure, Memory, PairLoss, Pairs, log_sum_exp, mean};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{sigmoid, softplus};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::Owned;
use crate::values::Values;
use engine::Float;

/// The mean over anchors with positives of −mean_p (s_p/T − lse_a s_a/T), a over all others.
#[derive(Clone, Debug)]
pub struct SupervisedContrast {
    /// T, the temperature.
    pub temperature: f64,
}

impl PairLoss for SupervisedContrast {
    const NAME: &'static str = "supcon";

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let scale = T::of(1.0 / self.temperature);
        let parts = pairs.map_rows(gradient, |i, gradient| {
            let (s, positives) = (pairs.row(i), pairs.positives(i).count());
            if positives == 0 {
                return (T::ZERO, 0);
            }
            let all = || pairs.positives(i).chain(pairs.negatives(i));
            let z: Vec<T> = all().map(|j| scale * s[j]).collect();
            let (total, shares) = log_sum_exp(T::NEG_INFINITY, &z);
            for (j, share) in all().zip(shares) {
                gradient[j] = scale * share;
            }
            let each = T::ONE / T::of(positives as f64);
            let mut sum = total;
            for j in pairs.positives(i) {
                sum += -(each * scale * s[j]);
                gradient[j] += -(each * scale);
            }
            (sum, 1)
        });
        mean(&parts, gradient)
    }

    fn probes() -> Vec<Self> {
        [0.1, 1.0]
            .map(|temperature| SupervisedContrast { temperature })
            .into()
    }
}

/// The mean over pairs of a class of softplus(lse_n s_n/T − s_p/T), n over the negatives alone.
#[derive(Clone, Debug)]
pub struct PairEntropy {
    /// T, the temperature.
    pub temperature: f64,
}

impl PairLoss for PairEntropy {
    const NAME: &'static str = "nt-xent";

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let scale = T::of(1.0 / self.temperature);
        let parts = pairs.map_rows(gradient, |i, gradient| {
            let s = pairs.row(i);
            let z: Vec<T> = pairs.negatives(i).map(|j| scale * s[j]).collect();
            if z.is_empty() {
                return (T::ZERO, 0);
            }
            let (total, shares) = log_sum_exp(T::NEG_INFINITY, &z);
            let (mut sum, mut count, mut pull) = (T::ZERO, 0, T::ZERO);
            for j in pairs.positives(i) {
                let gap = total - scale * s[j];
                sum += softplus(gap);
                gradient[j] = -(scale * sigmoid(gap));
                pull += sigmoid(gap);
                count += 1;
            }
            for (j, share) in pairs.negatives(i).zip(shares) {
                gradient[j] = scale * pull * share;
            }
            (sum, count)
        });
        mean(&parts, gradient)
    }

    fn probes() -> Vec<Self> {
        [0.1, 1.0]
            .map(|temperature| PairEntropy { temperature })
            .into()
    }
}

const TEMPERATURE: &str = "temperature: small for sharp";

/// Supervised contrastive loss.
#[derive(Debug)]
pub struct SupCon {
    loss: SupervisedContrast,
    memory: Memory,
}

impl Loss for SupCon {
    const INFO: LossInfo = LossInfo {
        name: "supcon",
        family: Family::Pair,
        about: "softmax over all others of the batch, mean over positives outside the logarithm",
        formula: "L = mean_i -1/|P_i| sum_{p in P_i} ln( e^(s_ip/t) / sum_{a != i} e^(s_ia/t) ),   s: cosines\n\
                  the mean is over the anchors i that have positives",
        parameters: &[
            Parameter::number("t", 0.1, Range::above(0.0), TEMPERATURE),
            MEMORY,
        ],
        presets: &[],
        head: Head::None,
        remarks: "The authors' code has t = 0.07 and multiplies by t/0.07. With two views of each image,\n\
                  and the image as its label, it is the loss of SimCLR. pytorch-metric-learning agrees,\n\
                  but gives 0 for a batch of one class.",
        source: "Khosla et al. 2020, Supervised contrastive learning, NeurIPS, arXiv 2004.11362, eq. 2; \
                 github HobbitLong/SupContrast",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        SupCon {
            loss: SupervisedContrast {
                temperature: values.number("t"),
            },
            memory: Memory::new(values),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        self.memory.owns()
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let pairs = batch.pairs(Measure::Cosine, self.memory)?;
        Ok(Part::only(Self::INFO.name, pairs.apply(self.loss.clone())?))
    }
}

/// NT-Xent.
#[derive(Debug)]
pub struct NtXent {
    loss: PairEntropy,
    memory: Memory,
}

impl Loss for NtXent {
    const INFO: LossInfo = LossInfo {
        name: "nt-xent",
        family: Family::Pair,
        about: "softmax of each positive against the negatives (SimCLR)",
        formula: "L = mean over pairs (i, p) of a class of\n\
                  \x20   -ln( e^(s_ip/t) / ( e^(s_ip/t) + sum_{n: y_n != y_i} e^(s_in/t) ) ),   s: cosines",
        parameters: &[
            Parameter::number("t", 0.07, Range::above(0.0), TEMPERATURE),
            MEMORY,
        ],
        presets: &[],
        head: Head::None,
        remarks: "SimCLR has two views of each image, so one positive for each anchor; with more, other\n\
                  positives are left out of the denominator, as in pytorch-metric-learning, which agrees.",
        source: "Sohn 2016; Chen et al. 2020, A simple framework for contrastive learning of visual \
                 representations, ICML, arXiv 2002.05709",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        NtXent {
            loss: PairEntropy {
                temperature: values.number("t"),
            },
            memory: Memory::new(values),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        self.memory.owns()
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let pairs = batch.pairs(Measure::Cosine, self.memory)?;
        Ok(Part::only(Self::INFO.name, pairs.apply(self.loss.clone())?))
    }
}
