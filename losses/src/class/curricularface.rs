//! CurricularFace: ArcFace with hard negatives that count for more as training proceeds.

use super::arcface::turned;
use super::{HEAD_LR_MULT, angle_margin, angle_scale, scale};
use crate::advice::scale_warnings;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned};
use crate::values::Values;
use engine::Float;

/// Fp(c) = s cos(θ + m) as in ArcFace; Fn(c) = s c (t + c) for a negative that exceeds
/// cos(θ_y + m), else s c.
#[derive(Clone, Debug)]
pub struct Curricular {
    /// The scale.
    pub s: f64,
    /// The margin, in radians.
    pub m: f64,
    /// The stage of the curriculum, a running mean of target cosines.
    pub t: f64,
}

impl Curricular {
    /// cos(θ + m) for every θ.
    fn threshold<T: Float>(&self, c: T) -> T {
        let [cos, sin] = [self.m.cos(), self.m.sin()].map(T::of);
        let sine = ((T::ONE - c) * (T::ONE + c)).max(T::ZERO).sqrt();
        c * cos - sine * sin
    }
}

impl Margin for Curricular {
    const NAME: &'static str = "curricularface";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let s = T::of(self.s);
        let [value, slope, _] = turned(c, T::of(self.m));
        (s * value, s * slope)
    }
    fn negative<T: Float>(&self, c: T, target: T) -> (T, T) {
        let [s, t] = [self.s, self.t].map(T::of);
        if c <= self.threshold(target) {
            return (s * c, s);
        }
        (s * c * (t + c), s * (t + c + c))
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m, t)| Probe::new(Curricular { s, m, t }, 10.0 * s);
        [(64.0, 0.5, 0.0), (30.0, 0.3, 0.6)].map(probe).into()
    }
    fn kinks(&self) -> Vec<f64> {
        vec![1.0, -self.m.cos(), -1.0]
    }
    fn boundary(&self, target: f64) -> Option<f64> {
        Some(self.threshold(target))
    }
}

/// Where the stage is.
const STAGE: &str = "curricularface.t";

/// CurricularFace.
#[derive(Debug)]
pub struct CurricularFace {
    s: f64,
    m: f64,
    rate: f64,
}

impl Loss for CurricularFace {
    const INFO: LossInfo = LossInfo {
        name: "curricularface",
        family: Family::Class,
        about: "ArcFace whose hard negatives weigh more as training proceeds",
        formula: "L = -ln( e^u / ( e^u + sum_{j != y} e^(s h_j) ) ),   u as the target of arcface\n\
                  h_j = c_j (t + c_j) if c_j > cos(theta_y + m), else c_j\n\
                  t starts at 0 (head.curricularface.t); before each training step,\n\
                  t <- rate mean(c_y) + (1 - rate) t;   no gradient flows through t",
        parameters: &[
            scale(64.0, angle_scale),
            angle_margin(0.5),
            Parameter::number("rate", 0.01, Range::closed(0.0, 1.0), "rate of t"),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "The threshold is cos(theta_y + m) for every angle, as in the authors' code; the target\n\
                  continues with s (c_y - m sin m) past theta_y = pi - m.",
        source: "Huang et al. 2020, CurricularFace: adaptive curriculum learning loss, CVPR, \
                 arXiv 2004.00288; github HuangYG123/CurricularFace",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        CurricularFace {
            s: values.number("s"),
            m: values.number("m"),
            rate: values.number("rate"),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        vec![Owned::state(STAGE, &[Axis::Of(1)], 0.0)]
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let c = batch.cosines()?;
        let t = batch.advance(STAGE, |t| {
            let classes = c.shape()[1];
            let targets = c.value().data().chunks(classes).zip(&**batch.columns());
            let sum: T = targets.map(|(row, &y)| row[y]).sum();
            let mean = sum / T::of(batch.labels().len().max(1) as f64);
            let rate = T::of(self.rate);
            t.map(|t| rate * mean + (T::ONE - rate) * t)
        });
        let margin = Curricular {
            s: self.s,
            m: self.m,
            t: t.item().to_f64(),
        };
        let loss = batch.class_softmax(margin, 0.0)?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, self.m.cos(), self.s)
    }
}
