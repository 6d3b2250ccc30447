//! NormFace: softmax of scaled cosines.

use super::{HEAD_LR_MULT, SMOOTHING, scale};
use crate::advice::{auto_scale, scale_warnings};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe, Target};
use crate::info::{Family, Head, LossInfo, Status, Values};
use crate::loss::{Loss, Part};
use engine::Float;

/// Fp(c) = Fn(c) = s c.
#[derive(Clone, Debug)]
pub struct NormFace {
    /// The scale.
    pub s: f64,
}

impl Margin for NormFace {
    const NAME: &'static str = "normface";
    fn positive<T: Float>(&self, c: T, _: usize) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn negative<T: Float>(&self, c: T, _: Target<T>) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |s| Probe::smooth(NormFace { s }, s);
        [1.0, 16.0, 64.0, 512.0].map(probe).into()
    }
}

/// NormFace with label smoothing.
#[derive(Debug)]
pub struct NormFaceLoss {
    margin: NormFace,
    smoothing: f64,
}

impl Loss for NormFaceLoss {
    const INFO: LossInfo = LossInfo {
        name: "normface",
        family: Family::Class,
        about: "cross-entropy of scaled cosines, no margin",
        formula: "L = -ln( e^(s c_y) / sum_j e^(s c_j) )",
        parameters: &[
            scale(16.0, |_, classes| auto_scale(classes, 1.0)),
            SMOOTHING,
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        source: "Wang et al. 2017, NormFace: L2 hypersphere embedding for face verification, ACM MM, \
                 arXiv 1704.06369",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        NormFaceLoss {
            margin: NormFace {
                s: values.number("s"),
            },
            smoothing: values.number("smoothing"),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let loss = batch.class_softmax(self.margin.clone(), self.smoothing)?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, 1.0, self.margin.s)
    }
}
