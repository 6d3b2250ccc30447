//! Circle loss at pair level: all positives and negatives of an anchor in one expression.

use super::{MEMORY, Measure, Memory, PairLoss, Pairs, log_sum_exp, mean};
use crate::batch::Batch;
use crate::class::circle::{Circle, GAMMA, RELAXATION};
use crate::error::Result;
use crate::frame::{sigmoid, softplus};
use crate::info::{Family, Head, LossInfo, Parameter, Preset, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::Owned;
use crate::values::Values;
use engine::Float;

/// softplus(lse_n γ α_n (s_n − m) + lse_p −γ α_p (s_p − (1 − m))) with the weights of [`Circle`],
/// detached: for each anchor that has both kinds of pairs, or over all pairs of the batch.
#[derive(Clone, Debug)]
pub struct PairCircle {
    /// Scale and relaxation.
    pub circle: Circle,
    /// Whether all pairs of the batch are in one expression.
    pub whole_batch: bool,
}

/// One side of the expression: the elements with their slopes, and their log-sum.
struct Side<T> {
    elements: Vec<(usize, T)>,
    total: T,
    shares: Vec<T>,
}

impl<T: Float> Side<T> {
    /// From places with values and slopes of the exponents.
    fn new(exponents: Vec<(usize, (T, T))>) -> Self {
        let z: Vec<T> = exponents.iter().map(|(_, (value, _))| *value).collect();
        let (total, shares) = log_sum_exp(T::NEG_INFINITY, &z);
        Side {
            elements: exponents
                .into_iter()
                .map(|(at, (_, slope))| (at, slope))
                .collect(),
            total,
            shares,
        }
    }
}

/// The value of two sides, if neither is empty; adds the gradient.
fn compare<T: Float>(within: Side<T>, between: Side<T>, gradient: &mut [T]) -> Option<T> {
    if within.elements.is_empty() || between.elements.is_empty() {
        return None;
    }
    let z = within.total + between.total;
    let weight = sigmoid(z);
    for side in [within, between] {
        for ((at, slope), share) in side.elements.into_iter().zip(side.shares) {
            gradient[at] += weight * share * slope;
        }
    }
    Some(softplus(z))
}

impl PairLoss for PairCircle {
    const NAME: &'static str = "circle-pair";

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let within = |s: T| {
            let (value, slope) = self.circle.within(s);
            (-value, -slope)
        };
        let side = |i: usize, offset: usize, is_within: bool| -> Vec<(usize, (T, T))> {
            let s = pairs.row(i);
            match is_within {
                true => pairs
                    .positives(i)
                    .map(|j| (offset + j, within(s[j])))
                    .collect(),
                false => {
                    let between = |j: usize| (offset + j, self.circle.between(s[j]));
                    pairs.negatives(i).map(between).collect()
                }
            }
        };
        if self.whole_batch {
            let all = |is_within| {
                let rows = 0..pairs.rows();
                rows.flat_map(|i| side(i, i * pairs.columns(), is_within))
                    .collect()
            };
            let (within, between) = (Side::new(all(true)), Side::new(all(false)));
            return compare(within, between, gradient).unwrap_or(T::ZERO);
        }
        let parts = pairs.map_rows(gradient, |i, gradient| {
            let (within, between) = (Side::new(side(i, 0, true)), Side::new(side(i, 0, false)));
            match compare(within, between, gradient) {
                Some(value) => (value, 1),
                None => (T::ZERO, 0),
            }
        });
        mean(&parts, gradient)
    }

    fn probes() -> Vec<Self> {
        let circle = Circle {
            gamma: 16.0,
            m: 0.25,
        };
        let setting = |whole_batch| PairCircle {
            circle: circle.clone(),
            whole_batch,
        };
        [false, true].map(setting).into()
    }
}

/// Circle loss at pair level.
#[derive(Debug)]
pub struct CirclePair {
    loss: PairCircle,
    memory: Memory,
}

impl Loss for CirclePair {
    const INFO: LossInfo = LossInfo {
        name: "circle-pair",
        family: Family::Pair,
        about: "circle loss between samples",
        formula: "L = ln(1 + sum_n e^(gamma alpha_n (s_n - m)) sum_p e^(-gamma alpha_p (s_p - (1 - m))))\n\
                  alpha_n = max(s_n + m, 0),   alpha_p = max(1 + m - s_p, 0),   s: cosines\n\
                  no gradient flows through the alphas\n\
                  form=anchor: mean over the anchors that have both; form=batch: all pairs at once",
        parameters: &[
            Parameter::word(
                "form",
                &["anchor", "batch"],
                "over which pairs the sums run",
            ),
            Parameter::number("gamma", 80.0, Range::above(0.0), GAMMA),
            Parameter {
                default: crate::values::Value::Number(0.4),
                ..RELAXATION
            },
            MEMORY,
        ],
        presets: &[Preset {
            name: "re-id",
            about: "person re-identification in the paper",
            settings: &[("gamma", "128"), ("m", "0.25")],
        }],
        head: Head::None,
        remarks: "The gradient is on purpose not the derivative of the value. The paper writes the loss of\n\
                  one anchor; fast-reid and pytorch-metric-learning take it per anchor (the latter\n\
                  averages over anchors whose loss is not 0), TinyZeaMays/CircleLoss over the batch.",
        source: "Sun et al. 2020, Circle loss: a unified perspective of pair similarity optimization, \
                 CVPR, arXiv 2002.10857",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        CirclePair {
            loss: PairCircle {
                circle: Circle {
                    gamma: values.number("gamma"),
                    m: values.number("m"),
                },
                whole_batch: values.word("form") == "batch",
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
