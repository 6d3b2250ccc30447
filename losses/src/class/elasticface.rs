//! ElasticFace: margins drawn anew for each sample and step.

use super::magface::AngleOfSample;
use super::{HEAD_LR_MULT, scale};
use crate::advice::{auto_scale, scale_warnings};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Probe, SampleMargin, Softmax};
use crate::info::{Family, Head, LossInfo, Parameter, Preset, Range, Separation, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::{Float, Tensor, Var};

/// Fp(c, a) = s (c − a) with the margin a of the sample, Fn(c) = s c.
#[derive(Clone, Debug)]
pub struct CosineOfSample {
    /// The scale.
    pub s: f64,
}

impl SampleMargin for CosineOfSample {
    const NAME: &'static str = "cosine margin of the sample";
    fn positive<T: Float>(&self, c: T, a: T) -> [T; 3] {
        let s = T::of(self.s);
        [s * (c - a), s, -s]
    }
    fn negative<T: Float>(&self, c: T, _: T) -> [T; 3] {
        let s = T::of(self.s);
        [s * c, s, T::ZERO]
    }
    fn probes() -> Vec<Probe<Self>> {
        [64.0, 2.0]
            .map(|s| Probe::within(CosineOfSample { s }, s, [0.2, 0.5]))
            .into()
    }
}

/// ElasticFace.
#[derive(Debug)]
pub struct ElasticFace {
    s: f64,
    m: f64,
    sigma: f64,
    angular: bool,
    sorted: bool,
}

impl ElasticFace {
    /// The margins of a batch, drawn, or all m in evaluation.
    fn margins<T: Float>(&self, batch: &Batch<'_, T>, cosines: &Var<T>) -> Tensor<T> {
        let n = batch.labels().len();
        let Some(key) = batch.key() else {
            return Tensor::full([n], T::of(self.m));
        };
        let mut rng = key.named("elasticface").rng();
        let mut margins: Vec<f64> = (0..n).map(|_| self.m + self.sigma * rng.normal()).collect();
        if self.sorted {
            // The closer a sample is to its class, the smaller its margin.
            let c = cosines.value().data();
            let target = |i: usize| c[i * cosines.shape()[1] + batch.columns()[i]].to_f64();
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| target(b).total_cmp(&target(a)));
            margins.sort_by(f64::total_cmp);
            let drawn = std::mem::replace(&mut margins, vec![0.0; n]);
            for (i, margin) in order.into_iter().zip(drawn) {
                margins[i] = margin;
            }
        }
        Tensor::from_fn([n], |i| T::of(margins[i]))
    }
}

impl Loss for ElasticFace {
    const INFO: LossInfo = LossInfo {
        name: "elasticface",
        family: Family::Class,
        about: "ArcFace or CosFace with margins drawn for each sample",
        formula: "L = -ln( e^t / ( e^t + sum_{j != y} e^(s c_j) ) ),   m_i ~ Normal(m, sigma)\n\
                  form=arc: t = s cos(theta_y + m_i) as in arcface;   form=cos: t = s (c_y - m_i)\n\
                  sorted (\"+\"): the batch's margins are dealt out so that a sample closer to its\n\
                  \x20            class has a smaller one\n\
                  in evaluation m_i = m",
        parameters: &[
            scale(64.0, |values, classes| auto_scale(classes, at_one(values))),
            Parameter::angle(
                "m",
                0.5,
                Range::below(0.0, 1.5),
                "mean of the margins, radians or a difference of cosines",
            )
            .separating(|values| match values.word("form") {
                "cos" => Separation::Cosine,
                _ => Separation::Angle,
            }),
            Parameter::number("sigma", 0.05, Range::from(0.0), "deviation of the margins"),
            Parameter::word(
                "form",
                &["arc", "cos"],
                "margin on the angle, or on the cosine",
            ),
            Parameter::flag(
                "sorted",
                "larger margins for samples farther from their class",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[
            Preset {
                name: "arc-plus",
                about: "ElasticFace-Arc+",
                settings: &[("m", "0.5"), ("sigma", "0.0175"), ("sorted", "true")],
            },
            Preset {
                name: "cos",
                about: "ElasticFace-Cos",
                settings: &[("form", "cos"), ("m", "0.35"), ("sigma", "0.05")],
            },
            Preset {
                name: "cos-plus",
                about: "ElasticFace-Cos+",
                settings: &[
                    ("form", "cos"),
                    ("m", "0.35"),
                    ("sigma", "0.02"),
                    ("sorted", "true"),
                ],
            },
        ],
        head: Head::Angular,
        remarks: "Margins come from the key of the step, so a run can be repeated. `loss eval` takes them\n\
                  from a tensor `elasticface.margins` [N] if there is one. The authors' code lets\n\
                  cos(theta + m_i) rise again past pi.",
        source: "Boutros et al. 2022, ElasticFace: elastic margin loss for deep face recognition, CVPR \
                 workshops, arXiv 2109.09416; github fdbtrs/ElasticFace",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        ElasticFace {
            s: values.number("s"),
            m: values.number("m"),
            sigma: values.number("sigma"),
            angular: values.word("form") == "arc",
            sorted: values.flag("sorted"),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let (c, s) = (batch.cosines()?, self.s);
        let n = batch.labels().len();
        let margins = batch.held("elasticface.margins", [n], || self.margins(batch, &c))?;
        let m = Var::constant(margins);
        let loss = match self.angular {
            true => batch.sample_loss(&c, &m, AngleOfSample { s }, Softmax::default())?,
            false => batch.sample_loss(&c, &m, CosineOfSample { s }, Softmax::default())?,
        };
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        let at_one = if self.angular {
            self.m.cos()
        } else {
            1.0 - self.m
        };
        scale_warnings(classes, at_one, self.s)
    }
}

/// Fp(1)/s at the mean margin.
fn at_one(values: &Values) -> f64 {
    let m = values.number("m");
    match values.word("form") {
        "arc" => m.cos(),
        _ => 1.0 - m,
    }
}
