//! NormFace: softmax of scaled cosines.

use super::softmax::Identity;
use super::{HEAD_LR_MULT, SMOOTHING, SPREAD, Smoothing, scale};
use crate::advice::{auto_scale, scale_warnings};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe, Radial, Softmax};
use crate::info::{Family, Head, LossInfo, Parameter, Status};
use crate::loss::{Loss, Part};
use crate::owned::Owned;
use crate::values::Values;
use engine::Float;

/// Fp(c) = Fn(c) = s c.
#[derive(Clone, Debug)]
pub struct NormFace {
    /// The scale.
    pub s: f64,
}

impl Margin for NormFace {
    const NAME: &'static str = "normface";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |s| Probe::new(NormFace { s }, s);
        [1.0, 16.0, 64.0, 512.0].map(probe).into()
    }
}

/// Where the learned scale is.
const SCALE: &str = "normface.s";
/// Below which the learned scale counts as this, as in the authors' code.
const LEAST_SCALE: f64 = 0.01;

/// NormFace with label smoothing, its scale fixed or learned.
#[derive(Debug)]
pub struct NormFaceLoss {
    margin: NormFace,
    learned: bool,
    smoothing: Smoothing,
}

impl Loss for NormFaceLoss {
    const INFO: LossInfo = LossInfo {
        name: "normface",
        family: Family::Class,
        about: "cross-entropy of scaled cosines, no margin",
        formula: "L = -ln( e^(s c_y) / sum_j e^(s c_j) )",
        parameters: &[
            scale(16.0, |_, classes| auto_scale(classes, 1.0)),
            Parameter::flag(
                "learned",
                "learn the scale, starting at s, as head.normface.s",
            ),
            SMOOTHING,
            SPREAD,
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "",
        source: "Wang et al. 2017, NormFace: L2 hypersphere embedding for face verification, ACM MM, \
                 arXiv 1704.06369",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        NormFaceLoss {
            margin: NormFace {
                s: values.number("s"),
            },
            learned: values.flag("learned"),
            smoothing: Smoothing::new(values),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        let scale = self.learned.then(|| Owned::number(SCALE, self.margin.s));
        scale.into_iter().collect()
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let c = batch.cosines()?;
        let form = Softmax {
            smoothing: self.smoothing.epsilon(c.shape()[1]),
        };
        let loss = if self.learned {
            let s = batch.owned(SCALE).try_clamp(LEAST_SCALE, f64::INFINITY)?;
            let s = batch.for_each_sample(&s)?;
            batch.sample_loss(&c, &s, Radial(Identity), form)?
        } else {
            batch.class_loss(&c, self.margin.clone(), form)?
        };
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, 1.0, self.margin.s)
    }
}
