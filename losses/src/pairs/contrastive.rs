//! Contrastive loss: pairs of a class are drawn together, others pushed beyond a margin.

use super::{DISTANCE, MEMORY, Measure, Memory, PairLoss, Pairs, mean};
use crate::batch::Batch;
use crate::error::Result;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::Owned;
use crate::values::Values;
use engine::Float;

/// The mean over all pairs of d²/2 within a class and max(m − d, 0)²/2 between classes.
#[derive(Clone, Debug)]
pub struct Contrast {
    /// The margin.
    pub margin: f64,
}

impl PairLoss for Contrast {
    const NAME: &'static str = "contrastive";
    const RANGE: [f64; 2] = [0.05, 1.9];

    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T {
        let [half, margin] = [0.5, self.margin].map(T::of);
        let parts = pairs.map_rows(gradient, |i, gradient| {
            let (d, mut sum, mut count) = (pairs.row(i), T::ZERO, 0);
            for j in pairs.positives(i) {
                sum += half * d[j] * d[j];
                gradient[j] = d[j];
                count += 1;
            }
            for j in pairs.negatives(i) {
                let gap = (margin - d[j]).max(T::ZERO);
                sum += half * gap * gap;
                gradient[j] = -gap;
                count += 1;
            }
            (sum, count)
        });
        mean(&parts, gradient)
    }

    fn probes() -> Vec<Self> {
        [1.0, 0.5].map(|margin| Contrast { margin }).into()
    }
}

/// Contrastive loss.
#[derive(Debug)]
pub struct Contrastive {
    contrast: Contrast,
    measure: Measure,
    memory: Memory,
}

impl Loss for Contrastive {
    const INFO: LossInfo = LossInfo {
        name: "contrastive",
        family: Family::Pair,
        about: "squared distance within a class, squared violation of a margin between",
        formula: "L = mean over pairs i != j of   d_ij^2 / 2               if y_i = y_j\n\
                  \x20                             max(margin - d_ij, 0)^2 / 2   otherwise",
        parameters: &[
            Parameter::number(
                "margin",
                1.0,
                Range::above(0.0),
                "distance to keep between classes",
            ),
            DISTANCE,
            MEMORY,
        ],
        presets: &[],
        head: Head::None,
        remarks: "pytorch-metric-learning has distances in place of half their squares, on the unit\n\
                  sphere, and adds the mean over pairs within to the mean over pairs between classes,\n\
                  each over the pairs that are not 0.",
        source: "Hadsell, Chopra, LeCun 2006, Dimensionality reduction by learning an invariant mapping, \
                 CVPR; memory: Wang X. et al. 2020, Cross-batch memory for embedding learning, CVPR, \
                 arXiv 1912.06798",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        Contrastive {
            contrast: Contrast {
                margin: values.number("margin"),
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
            pairs.apply(self.contrast.clone())?,
        ))
    }
}
