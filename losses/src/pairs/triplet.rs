//! Triplet loss: an anchor shall be nearer to its own class than to others, by a margin.

use super::{DISTANCE, MEMORY, Measure, Memory, PairLoss, Pairs, mean};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{sigmoid, softplus};
use crate::info::{Family, Head, LossInfo, Parameter, Preset, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::Owned;
use crate::values::Values;
use engine::Float;

/// Which triplets of anchor, positive and negative count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// All whose term is positive.
    All,
    /// For each anchor its farthest positive and its nearest negative.
    Hard,
    /// For each anchor and positive the nearest negative that is farther than the positive, or
    /// the farthest one if none is.
    SemiHard,
}

/// The mean over the selected triplets of max(d_ap − d_an + margin, 0), or ln(1 + e^(d_ap − d_an))
/// without a margin.
#[derive(Clone, Debug)]
pub struct Triplets {
    /// Which triplets.
    pub mining: Mining,
    /// The margin; `None` for the soft one.
    pub margin: Option<f64>,
}

impl Triplets {
    /// The term of a triplet and its slope with respect to d_ap − d_an.
    fn term<T: Float>(&self, gap: T) -> (T, T) {
        match self.margin {
            None => (softplus(gap), sigmoid(gap)),
            Some(margin) => {
                let violation = gap + T::of(margin);
                match violation > T::ZERO {
                    true => (violation, T::ONE),
                    false => (T::ZERO, T::ZERO),
                }
            }
        }
    }
}

/// The first of the smallest elements.
fn first_smallest<T: Float>(
    among: impl Iterator<Item = usize>,
    value: impl Fn(usize) -> T,
) -> Option<usize> {
    let mut best: Option<usize> = None;
    for j in among {
        if best.is_none_or(|b| value(j) < value(b)) {
            best = Some(j);
        }
    }
    best
}

impl PairLoss for Triplets {
    const NAME: &'static str = "triplet";
    const RANGE: [f64; 2] = [0.05, 1.9];

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let parts = pairs.map_rows(gradient, |i, gradient| {
            let (d, mut sum, mut count) = (pairs.row(i), T::ZERO, 0);
            let mut add = |p: usize, n: usize, count_zeros: bool| {
                let (term, slope) = self.term(d[p] - d[n]);
                if term > T::ZERO || count_zeros {
                    sum += term;
                    count += 1;
                    gradient[p] += slope;
                    gradient[n] -= slope;
                }
            };
            match self.mining {
                Mining::All => {
                    for p in pairs.positives(i) {
                        pairs.negatives(i).for_each(|n| add(p, n, false));
                    }
                }
                Mining::Hard => {
                    let farthest = first_smallest(pairs.positives(i), |j| -d[j]);
                    let nearest = first_smallest(pairs.negatives(i), |j| d[j]);
                    if let (Some(p), Some(n)) = (farthest, nearest) {
                        add(p, n, true);
                    }
                }
                Mining::SemiHard => {
                    for p in pairs.positives(i) {
                        let farther = pairs.negatives(i).filter(|&n| d[n] > d[p]);
                        let semi_hard = first_smallest(farther, |j| d[j]);
                        let farthest = || first_smallest(pairs.negatives(i), |j| -d[j]);
                        if let Some(n) = semi_hard.or_else(farthest) {
                            add(p, n, true);
                        }
                    }
                }
            }
            (sum, count)
        });
        mean(&parts, gradient)
    }

    fn probes() -> Vec<Self> {
        let minings = [Mining::All, Mining::Hard, Mining::SemiHard];
        let settings = minings
            .into_iter()
            .flat_map(|mining| [None, Some(0.3)].map(|margin| Triplets { mining, margin }));
        settings.collect()
    }
}

/// Triplet loss.
#[derive(Debug)]
pub struct Triplet {
    triplets: Triplets,
    measure: Measure,
    memory: Memory,
}

impl Loss for Triplet {
    const INFO: LossInfo = LossInfo {
        name: "triplet",
        family: Family::Pair,
        about: "nearer to one's own class than to others, by a margin",
        formula: "L = mean over triplets (a, p, n) of max(d_ap - d_an + margin, 0)\n\
                  soft: ln(1 + e^(d_ap - d_an)) in place of the margin\n\
                  mining=hard:      for each a the farthest p and the nearest n\n\
                  mining=semi-hard: for each a, p the nearest n with d_an > d_ap, else the farthest n\n\
                  mining=all:       all triplets whose term is positive",
        parameters: &[
            Parameter::word(
                "mining",
                &["hard", "semi-hard", "all"],
                "which triplets count",
            ),
            Parameter::number("margin", 0.3, Range::from(0.0), "by how much nearer"),
            Parameter::flag("soft", "softplus in place of the margin"),
            DISTANCE,
            MEMORY,
        ],
        presets: &[Preset {
            name: "facenet",
            about: "FaceNet: semi-hard negatives, squared distances on the sphere",
            settings: &[
                ("mining", "semi-hard"),
                ("margin", "0.2"),
                ("distance", "unit-squared"),
            ],
        }],
        head: Head::None,
        remarks: "Anchors without a positive or a negative do not count. With the default mining and\n\
                  distance it is the triplet loss of reid-strong-baseline (margin 0.3). With mining=all\n\
                  it is pytorch-metric-learning's TripletMarginLoss (there margin 0.05, on the sphere).",
        source: "Schroff et al. 2015, FaceNet, CVPR, arXiv 1503.03832; Hermans et al. 2017, In defense \
                 of the triplet loss, arXiv 1703.07737 (hard, all, soft)",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        Triplet {
            triplets: Triplets {
                mining: match values.word("mining") {
                    "semi-hard" => Mining::SemiHard,
                    "all" => Mining::All,
                    _ => Mining::Hard,
                },
                margin: (!values.flag("soft")).then(|| values.number("margin")),
            },
            measure: Measure::new(values),
            memory: Memory::new(values),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        self.memory.owns()
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let pairs = batch.pairs(self.measure, self.memory)?;
        Ok(Part::only(
            Self::INFO.name,
            pairs.apply(self.triplets.clone())?,
        ))
    }
}
