//! MV-softmax: negatives that come closer than the target with its margin count for more.

use super::arcface::turned;
use super::{HEAD_LR_MULT, scale};
use crate::advice::{auto_scale, scale_warnings};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Separation, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c) = s (c − m) or s cos(θ + m); Fn(c) = s ((t + 1) c + t) or s (c + t) for a negative that
/// exceeds Fp(c_y)/s, else s c.
#[derive(Clone, Debug)]
pub struct MisClassified {
    /// The scale.
    pub s: f64,
    /// The margin: of cosines, or an angle in radians.
    pub m: f64,
    /// By how much hard negatives are raised.
    pub t: f64,
    /// Whether the margin is one of angles.
    pub angular: bool,
    /// Whether harder negatives are raised more: (t + 1) c + t in place of c + t.
    pub adaptive: bool,
}

impl MisClassified {
    /// Fp/s and its derivative.
    fn target<T: Float>(&self, c: T) -> (T, T) {
        let m = T::of(self.m);
        match self.angular {
            true => {
                let [value, slope, _] = turned(c, m);
                (value, slope)
            }
            false => (c - m, T::ONE),
        }
    }
}

impl Margin for MisClassified {
    const NAME: &'static str = "mv-softmax";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let (value, slope) = self.target(c);
        let s = T::of(self.s);
        (s * value, s * slope)
    }
    fn negative<T: Float>(&self, c: T, target: T) -> (T, T) {
        let [s, t] = [self.s, self.t].map(T::of);
        if c <= self.target(target).0 {
            return (s * c, s);
        }
        match self.adaptive {
            true => (s * ((t + T::ONE) * c + t), s * (t + T::ONE)),
            false => (s * (c + t), s),
        }
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m, angular, adaptive)| {
            let margin = MisClassified {
                s,
                m,
                t: 0.2,
                angular,
                adaptive,
            };
            Probe::new(margin, if angular { 10.0 * s } else { 1.2 * s })
        };
        [
            (32.0, 0.35, false, true),
            (32.0, 0.35, false, false),
            (30.0, 0.5, true, true),
            (1.0, 0.3, true, false),
        ]
        .map(probe)
        .into()
    }
    fn kinks(&self) -> Vec<f64> {
        match self.angular {
            true => vec![1.0, -self.m.cos(), -1.0],
            false => Vec::new(),
        }
    }
    fn boundary(&self, target: f64) -> Option<f64> {
        Some(self.target(target).0)
    }
}

/// MV-softmax.
#[derive(Debug)]
pub struct MvSoftmax {
    margin: MisClassified,
}

impl Loss for MvSoftmax {
    const INFO: LossInfo = LossInfo {
        name: "mv-softmax",
        family: Family::Class,
        about: "hard negatives are raised; margin on cosine or angle",
        formula: "L = -ln( e^(s f) / ( e^(s f) + sum_{j != y} e^(s h_j) ) )\n\
                  target=cosine: f = c_y - m;   target=angle: f = cos(theta_y + m) as in arcface\n\
                  form=adaptive: h_j = (t + 1) c_j + t if c_j > f, else c_j\n\
                  form=fixed:    h_j = c_j + t         if c_j > f, else c_j",
        parameters: &[
            scale(32.0, |values, classes| auto_scale(classes, at_one(values))),
            Parameter::angle(
                "m",
                0.35,
                Range::below(0.0, 1.5),
                "margin of the target, radians or a difference of cosines",
            )
            .separating(|values| match values.word("target") {
                "cosine" => Separation::Cosine,
                _ => Separation::Angle,
            }),
            Parameter::number(
                "t",
                0.2,
                Range::from(0.0),
                "by how much hard negatives are raised",
            ),
            Parameter::word("target", &["cosine", "angle"], "what the margin is of"),
            Parameter::word(
                "form",
                &["adaptive", "fixed"],
                "how hard negatives are raised",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "Which negatives are hard is decided without a gradient. FaceX-Zoo writes t as\n\
                  mv_weight = 1.12 and raises to mv_weight c + mv_weight - 1, that is t = 0.12.",
        source: "Wang X. et al. 2020, Mis-classified vector guided softmax loss for face recognition, \
                 AAAI, arXiv 1912.00833; github xiaoboCASIA/SV-X-Softmax",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        MvSoftmax {
            margin: MisClassified {
                s: values.number("s"),
                m: values.number("m"),
                t: values.number("t"),
                angular: values.word("target") == "angle",
                adaptive: values.word("form") == "adaptive",
            },
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let loss = batch.class_softmax(self.margin.clone(), 0.0)?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, self.margin.target(1.0).0, self.margin.s)
    }
}

/// Fp(1)/s.
fn at_one(values: &Values) -> f64 {
    let m = values.number("m");
    match values.word("target") {
        "angle" => m.cos(),
        _ => 1.0 - m,
    }
}
