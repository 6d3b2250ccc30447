//! MagFace: a margin that grows with the length of the embedding, which learns to be the quality.

use super::arcface::turned;
use super::{HEAD_LR_MULT, scale};
use crate::advice::{auto_scale, scale_warnings};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Probe, SampleMargin, Softmax};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c, a) = s cos(θ + a) with the margin a of the sample, continued past θ = π − a by
/// s (c − a sin a); Fn(c) = s c.
#[derive(Clone, Debug)]
pub struct AngleOfSample {
    /// The scale.
    pub s: f64,
}

impl SampleMargin for AngleOfSample {
    const NAME: &'static str = "angular margin of the sample";
    fn positive<T: Float>(&self, c: T, a: T) -> [T; 3] {
        let s = T::of(self.s);
        turned(c, a).map(|x| s * x)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> [T; 3] {
        let s = T::of(self.s);
        [s * c, s, T::ZERO]
    }
    fn probes() -> Vec<Probe<Self>> {
        [(64.0, [0.3, 0.8]), (2.0, [-0.1, 0.1])]
            .map(|(s, range)| Probe::within(AngleOfSample { s }, 10.0 * s, range))
            .into()
    }
    fn kinks(&self, a: f64) -> Vec<f64> {
        vec![1.0, -a.cos(), -1.0]
    }
}

/// MagFace.
#[derive(Debug)]
pub struct MagFace {
    margin: AngleOfSample,
    lengths: [f64; 2],
    margins: [f64; 2],
    lambda: f64,
}

impl Loss for MagFace {
    const INFO: LossInfo = LossInfo {
        name: "magface",
        family: Family::Class,
        about: "a margin that grows with the length of the embedding",
        formula: "L = -ln( e^t / ( e^t + sum_{j != y} e^(s c_j) ) ) + lambda (a / u_a^2 + 1 / a)\n\
                  a = clip(|x|, l_a, u_a),   m(a) = l_m + (u_m - l_m) (a - l_a) / (u_a - l_a)\n\
                  t = s cos(theta_y + m(a));   past theta_y + m(a) = pi, t = s (c_y - m(a) sin m(a))",
        parameters: &[
            scale(64.0, |values, classes| {
                auto_scale(classes, values.number("u_m").cos())
            }),
            Parameter::number("l_a", 10.0, Range::above(0.0), "shortest length"),
            Parameter::number("u_a", 110.0, Range::above(0.0), "greatest length"),
            Parameter::angle(
                "l_m",
                0.45,
                Range::below(0.0, 1.5),
                "margin of the shortest",
            )
            .warming_from(|_| Some(0.0)),
            Parameter::angle("u_m", 0.8, Range::below(0.0, 1.5), "margin of the longest")
                .warming_from(|_| Some(0.0)),
            Parameter::number(
                "lambda",
                35.0,
                Range::from(0.0),
                "weight of the pull on lengths",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "The authors' code has an `easy_margin`, on by default, that drops the margin where\n\
                  c_y <= 0, a jump; it is left out. u_a and u_m should exceed l_a and l_m.",
        source: "Meng et al. 2021, MagFace: a universal representation for face recognition and quality \
                 assessment, CVPR, arXiv 2103.06627; github IrvingMeng/MagFace",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        MagFace {
            margin: AngleOfSample {
                s: values.number("s"),
            },
            lengths: ["l_a", "u_a"].map(|key| values.number(key)),
            margins: ["l_m", "u_m"].map(|key| values.number(key)),
            lambda: values.number("lambda"),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let ([la, ua], [lm, um]) = (self.lengths, self.margins);
        let ua = ua.max(la);
        let a = batch.lengths()?.try_clamp(la, ua)?;
        // Equal bounds leave no room, and every margin is the least.
        let slope = if ua > la { (um - lm) / (ua - la) } else { 0.0 };
        let m = a.try_affine(slope, lm - slope * la)?;
        let softmax = batch.sample_loss(
            &batch.cosines()?,
            &m,
            self.margin.clone(),
            Softmax::default(),
        )?;
        let pull = a
            .try_affine(1.0 / (ua * ua), 0.0)?
            .try_add(&a.try_recip()?)?;
        Ok(vec![
            Part {
                name: "magface/softmax",
                weight: 1.0,
                value: softmax,
            },
            Part {
                name: "magface/length",
                weight: self.lambda,
                value: pull,
            },
        ])
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        let mut warnings = scale_warnings(classes, self.margins[1].cos(), self.margin.s);
        for (key, [low, high]) in [("a", self.lengths), ("m", self.margins)] {
            if high <= low {
                warnings.push(format!(
                    "u_{key} = {high} does not exceed l_{key} = {low}, so longer embeddings get no \
                     larger margin"
                ));
            }
        }
        warnings
    }
}
