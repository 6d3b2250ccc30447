//! P2SGrad: cosines as probabilities, a squared error without any parameter.

use super::HEAD_LR_MULT;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe, Separable};
use crate::info::{Family, Head, LossInfo, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c) = (1 − c)²/2, Fn(c) = c²/2, as terms of a sum.
#[derive(Clone, Debug)]
pub struct SquaredError;

impl Margin for SquaredError {
    const NAME: &'static str = "p2sgrad";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let gap = c - T::ONE;
        (T::of(0.5) * gap * gap, gap)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        (T::of(0.5) * c * c, c)
    }
    fn probes() -> Vec<Probe<Self>> {
        vec![Probe::new(SquaredError, 2.0)]
    }
}

/// P2SGrad.
#[derive(Debug)]
pub struct P2sGrad;

impl Loss for P2sGrad {
    const INFO: LossInfo = LossInfo {
        name: "p2sgrad",
        family: Family::Class,
        about: "squared error of the cosines, no parameters to tune",
        formula: "L = 1/2 sum_j (c_j - [j = y])^2,   so dL/dc_j = c_j - [j = y]",
        parameters: &[HEAD_LR_MULT],
        presets: &[],
        head: Head::Angular,
        remarks: "The paper gives the gradient, not a loss; this is the loss that has it.\n\
                  pytorch-metric-learning takes the mean over classes in place of half their sum, which\n\
                  is 2/C times this.",
        source: "Zhang et al. 2019, P2SGrad: refined gradients for optimizing deep face models, CVPR, \
                 arXiv 1905.02479",
        status: Status::Known,
    };

    fn new(_: &Values) -> Self {
        P2sGrad
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let loss = batch.class_loss(&batch.cosines()?, SquaredError, Separable)?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
