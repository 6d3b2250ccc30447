//! D-softmax: within a class and between classes are two separate objectives.

use super::HEAD_LR_MULT;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Decoupled, Margin, Probe};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c) = s (c − d), Fn(c) = s c, decoupled.
#[derive(Clone, Debug)]
pub struct Dissected {
    /// The scale.
    pub s: f64,
    /// d, the target cosine at which the pull within a class has halved.
    pub d: f64,
}

impl Margin for Dissected {
    const NAME: &'static str = "d-softmax";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let s = T::of(self.s);
        (s * (c - T::of(self.d)), s)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, d)| Probe::new(Dissected { s, d }, s);
        [(30.0, 0.9), (1.0, 0.5), (512.0, 0.8)].map(probe).into()
    }
}

/// D-softmax.
#[derive(Debug)]
pub struct DSoftmax {
    margin: Dissected,
}

impl Loss for DSoftmax {
    const INFO: LossInfo = LossInfo {
        name: "d-softmax",
        family: Family::Class,
        about: "separate terms within and between classes, no competition",
        formula: "L = ln(1 + e^(s (d - c_y))) + ln(1 + sum_{j != y} e^(s c_j))",
        parameters: &[
            Parameter::number("s", 30.0, Range::above(0.0), "scale of the cosines"),
            Parameter::number(
                "d",
                0.9,
                Range::closed(-1.0, 1.0),
                "target cosine where the pull has halved",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "An older implementation takes s d in place of e^(s d) for the constant of the first\n\
                  term; the one of openvino mmaction2 is right. The paper also samples the negatives of\n\
                  the second term (D-softmax-B, -K) to save time; all are used here.",
        source: "He et al. 2020, Softmax dissection: towards understanding intra- and inter-class \
                 objective for embedding learning, AAAI, arXiv 1908.01281",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        DSoftmax {
            margin: Dissected {
                s: values.number("s"),
                d: values.number("d"),
            },
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let form = Decoupled { weight: 1.0 };
        let loss = batch.class_loss(&batch.cosines()?, self.margin.clone(), form)?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
