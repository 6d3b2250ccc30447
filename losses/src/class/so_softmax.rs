//! SO-softmax: both similarities pulled to goals of their own, by quadratic functions.

use super::HEAD_LR_MULT;
use crate::advice::{auto_so_scale, needed_gap};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe};
use crate::info::{Family, Head, LossInfo, Parameter, Preset, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c) = λp (m² − (1 − c)²), Fn(c) = λn (c² − m²); one-sided: Fn(c) = λn (max(c, 0)² − m²).
///
/// The goal of the positive similarity is 1, that of the negative ones 0, and both exponents are
/// zero at the distance m from their goal. Every exponent difference is convex in the similarities,
/// so the loss is too, and its only stationary point is c_y = 1, c_j = 0, whatever λp and λn are.
#[derive(Clone, Debug)]
pub struct SoMargin {
    /// λp, the scale of the positive similarity.
    pub lambda_p: f64,
    /// λn, the scale of the negative similarities.
    pub lambda_n: f64,
    /// m, the slack around the goals.
    pub m: f64,
    /// Whether negative similarities below 0 count as 0.
    pub one_sided: bool,
}

impl Margin for SoMargin {
    const NAME: &'static str = "so-softmax";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let [lambda, m] = [self.lambda_p, self.m].map(T::of);
        let gap = T::ONE - c;
        (lambda * (m * m - gap * gap), T::of(2.0) * lambda * gap)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let [lambda, m] = [self.lambda_n, self.m].map(T::of);
        let c = if self.one_sided { c.max(T::ZERO) } else { c };
        (lambda * (c * c - m * m), T::of(2.0) * lambda * c)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(lambda_p, lambda_n, m, one_sided): (f64, f64, f64, bool)| {
            let margin = SoMargin {
                lambda_p,
                lambda_n,
                m,
                one_sided,
            };
            Probe::new(margin, 4.0 * lambda_p.max(lambda_n))
        };
        [
            (32.0, 32.0, 0.3, false),
            (2.0, 2.0, 0.3, false),
            (16.0, 48.0, 0.4, true),
            (512.0, 256.0, 0.25, false),
        ]
        .map(probe)
        .into()
    }
    fn kinks(&self) -> Vec<f64> {
        if self.one_sided {
            vec![0.0]
        } else {
            Vec::new()
        }
    }
}

/// The slack at which quadratic functions of these scales ask no more than that the target's cosine be
/// the largest; less slack asks for more.
///
/// A target passes against one other class where λp (1 − c_y)² + λn c_j² < (λp + λn) m², inside an
/// ellipse around (1, 0). It just touches the line c_y = c_j if m² is the least value of
/// (λp (1 − c)² + λn c²) / (λp + λn), which is λp λn / (λp + λn)²: m = 1/2 for equal scales.
pub(crate) fn slack_without_margin([p, n]: [f64; 2]) -> f64 {
    (p * n).sqrt() / (p + n)
}

/// SO-softmax.
#[derive(Debug)]
pub struct SoSoftmax {
    margin: SoMargin,
}

const RECONSTRUCTED: &str = "\
The paper itself could not be read. Its abstract says that positive and negative cosine
similarities are constrained by quadratic transformations that follow from optimisation goals,
and that both are optimised at once. The formula is that of a second-hand implementation: class
SO_Softmax in losses.py of github 10zhou/SV-Softmax, the official code of Chen, Huang, Zhang,
Neural Networks 193 (2026) 108068, which cites the SO-softmax paper. It satisfies every claim
of the abstract.
The defaults are ours: that code has lambda_p = lambda_n = 2, m = 0.3 (preset=sv-repo), with
which the loss cannot fall below ln(1 + (C-1) e^(-(lambda_p+lambda_n) m^2)), 1.985 for ten
classes. `one_sided` is ours too: with more classes than dimensions the goal 0 cannot be
reached by all pairs of classes.";

impl Loss for SoSoftmax {
    const INFO: LossInfo = LossInfo {
        name: "so-softmax",
        family: Family::Class,
        about: "quadratic functions pull the target's cosine to 1 and the others to 0",
        formula: "L = -ln( e^Fp(c_y) / ( e^Fp(c_y) + sum_{j != y} e^Fn(c_j) ) )\n\
                  Fp(c) = lambda_p (m^2 - (1 - c)^2)\n\
                  Fn(c) = lambda_n (c^2 - m^2);   one_sided: lambda_n (max(c, 0)^2 - m^2)\n\
                  least value: ln(1 + (C-1) e^(-(lambda_p + lambda_n) m^2)) at c_y = 1, c_j = 0",
        parameters: &[
            Parameter::number(
                "lambda_p",
                32.0,
                Range::above(0.0),
                "scale of the positive similarity",
            )
            .or_auto(|values, classes| auto_so_scale(values, classes, "lambda_n")),
            Parameter::number(
                "lambda_n",
                32.0,
                Range::above(0.0),
                "scale of the negative similarities",
            )
            .or_auto(|values, classes| auto_so_scale(values, classes, "lambda_p")),
            Parameter::number("m", 0.3, Range::open(0.0, 1.0), "slack around both goals")
                .warming_from(|values| {
                    let (p, n) = (values.given("lambda_p")?, values.given("lambda_n")?);
                    Some(slack_without_margin([p, n]))
                }),
            Parameter::flag("one_sided", "leave negative similarities below 0 alone"),
            HEAD_LR_MULT,
        ],
        presets: &[Preset {
            name: "sv-repo",
            about: "the values in the code of github 10zhou/SV-Softmax",
            settings: &[("lambda_p", "2"), ("lambda_n", "2"), ("m", "0.3")],
        }],
        head: Head::Angular,
        remarks: "",
        source: "Zhang, Yang, Zhang, Cao 2022, SO-softmax loss for discriminable embedding learning \
                 in CNNs, Pattern Recognition 131, 108877, doi 10.1016/j.patcog.2022.108877",
        status: Status::Reconstructed(RECONSTRUCTED),
    };

    fn new(values: &Values) -> Self {
        SoSoftmax {
            margin: SoMargin {
                lambda_p: values.number("lambda_p"),
                lambda_n: values.number("lambda_n"),
                m: values.number("m"),
                one_sided: values.flag("one_sided"),
            },
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let loss = batch.class_softmax(self.margin.clone(), 0.0)?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, dim: usize) -> Vec<String> {
        let mut warnings = Vec::new();
        let gap = (self.margin.lambda_p + self.margin.lambda_n) * self.margin.m * self.margin.m;
        let least = least_loss(classes, gap);
        if gap < needed_gap(classes, 0.9) {
            warnings.push(format!(
                "with {classes} classes the loss cannot fall below {least:.3} (chance is {:.3}): the \
                 target's probability stays under {:.2}; try lambda_p=auto,lambda_n=auto",
                (classes as f64).ln(),
                (-least).exp()
            ));
        }
        if classes > dim && !self.margin.one_sided {
            warnings.push(format!(
                "{classes} classes cannot all be orthogonal in {dim} dimensions, but 0 is the goal of \
                 every negative cosine; take at least {classes} dimensions, or one_sided=true"
            ));
        }
        warnings
    }
}

/// ln(1 + (C − 1) e^−gap), the loss at c_y = 1, c_j = 0, where gap = (λp + λn) m².
pub fn least_loss(classes: usize, gap: f64) -> f64 {
    ((classes as f64 - 1.0) * (-gap).exp()).ln_1p()
}
