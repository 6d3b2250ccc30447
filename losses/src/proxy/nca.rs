//! Proxy-NCA: each sample picks its proxy by distance.

use crate::batch::Batch;
use crate::class::HEAD_LR_MULT;
use crate::error::Result;
use crate::frame::{Margin, Probe, Ratio, Softmax};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c) = Fn(c) = −s (2 − 2c), minus s times the squared distance of points on the unit sphere.
#[derive(Clone, Debug)]
pub struct SquaredDistance {
    /// The scale.
    pub s: f64,
}

impl Margin for SquaredDistance {
    const NAME: &'static str = "proxy-nca";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let slope = T::of(2.0 * self.s);
        (slope * (c - T::ONE), slope)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        self.positive(c)
    }
    fn probes() -> Vec<Probe<Self>> {
        [1.0, 9.0]
            .map(|s| Probe::new(SquaredDistance { s }, 2.0 * s))
            .into()
    }
}

/// Proxy-NCA.
#[derive(Debug)]
pub struct ProxyNca {
    distance: SquaredDistance,
    in_denominator: bool,
}

impl Loss for ProxyNca {
    const INFO: LossInfo = LossInfo {
        name: "proxy-nca",
        family: Family::Proxy,
        about: "softmax over squared distances to the proxies of the classes",
        formula: "d_j = scale |x/|x| - p_j/|p_j||^2\n\
                  form=paper:  L = -ln( e^-d_y / sum_{j != y} e^-d_j )\n\
                  form=common: L = -ln( e^-d_y / sum_j e^-d_j )",
        parameters: &[
            Parameter::word(
                "form",
                &["paper", "common"],
                "whether the denominator lacks the target",
            ),
            Parameter::number(
                "scale",
                1.0,
                Range::above(0.0),
                "factor on squared distances",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "The paper's loss has no lower bound at 0. Most code, dichotomies/proxy-nca and\n\
                  pytorch-metric-learning among it, keeps the target in the denominator; form=common is\n\
                  then normface with s = 2 scale. dichotomies scales points by 3, that is scale=9.",
        source: "Movshovitz-Attias et al. 2017, No fuss distance metric learning using proxies, ICCV, \
                 arXiv 1703.07464",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        ProxyNca {
            distance: SquaredDistance {
                s: values.number("scale"),
            },
            in_denominator: values.word("form") == "common",
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let (c, margin) = (batch.cosines()?, self.distance.clone());
        let loss = match self.in_denominator {
            true => batch.class_loss(&c, margin, Softmax::default())?,
            false => batch.class_loss(&c, margin, Ratio)?,
        };
        Ok(Part::only(Self::INFO.name, loss))
    }
}
