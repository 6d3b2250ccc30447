//! CosFace, also known as AM-softmax: a margin on the target's cosine.

use super::{HEAD_LR_MULT, SMOOTHING, SPREAD, Smoothing, cosine_margin, cosine_scale, scale};
use crate::advice::scale_warnings;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe};
use crate::info::{Family, Head, LossInfo, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c) = s (c − m), Fn(c) = s c.
#[derive(Clone, Debug)]
pub struct CosFace {
    /// The scale.
    pub s: f64,
    /// The margin.
    pub m: f64,
}

impl Margin for CosFace {
    const NAME: &'static str = "cosface";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let s = T::of(self.s);
        (s * (c - T::of(self.m)), s)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m)| Probe::new(CosFace { s, m }, s);
        [(30.0, 0.35), (1.0, 0.1), (64.0, 0.4), (512.0, 0.35)]
            .map(probe)
            .into()
    }
}

/// CosFace with label smoothing.
#[derive(Debug)]
pub struct CosFaceLoss {
    margin: CosFace,
    smoothing: Smoothing,
}

impl Loss for CosFaceLoss {
    const INFO: LossInfo = LossInfo {
        name: "cosface",
        family: Family::Class,
        about: "scaled cosines with a margin on the target's cosine (AM-softmax)",
        formula: "L = -ln( e^(s (c_y - m)) / ( e^(s (c_y - m)) + sum_{j != y} e^(s c_j) ) )",
        parameters: &[
            scale(30.0, cosine_scale),
            cosine_margin(0.35),
            SMOOTHING,
            SPREAD,
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "",
        source: "Wang F. et al. 2018, Additive margin softmax, IEEE SPL, arXiv 1801.05599 \
                 (s=30, m=0.35); Wang H. et al. 2018, CosFace, CVPR, arXiv 1801.09414 (s=64, m=0.35)",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        CosFaceLoss {
            margin: CosFace {
                s: values.number("s"),
                m: values.number("m"),
            },
            smoothing: Smoothing::new(values),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let smoothing = self.smoothing.epsilon(batch.cosines()?.shape()[1]);
        let loss = batch.class_softmax(self.margin.clone(), smoothing)?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, 1.0 - self.margin.m, self.margin.s)
    }
}
