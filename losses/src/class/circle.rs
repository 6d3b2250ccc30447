//! Circle loss at class level: each similarity is weighted by how far it is from its optimum.

use super::HEAD_LR_MULT;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe};
use crate::info::{Family, Head, LossInfo, Parameter, Preset, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c) = γ α (c − (1 − m)) with α = max(1 + m − c, 0), Fn(c) = γ α (c − m) with
/// α = max(c + m, 0). The weights α are detached: the slopes are γ α, not the derivatives.
#[derive(Clone, Debug)]
pub struct Circle {
    /// γ, the scale.
    pub gamma: f64,
    /// The relaxation.
    pub m: f64,
}

impl Circle {
    /// Value and slope at a similarity within a class.
    pub(crate) fn within<T: Float>(&self, c: T) -> (T, T) {
        let [gamma, m] = [self.gamma, self.m].map(T::of);
        let slope = gamma * (T::ONE + m - c).max(T::ZERO);
        (slope * (c - (T::ONE - m)), slope)
    }

    /// Value and slope at a similarity between classes.
    pub(crate) fn between<T: Float>(&self, c: T) -> (T, T) {
        let [gamma, m] = [self.gamma, self.m].map(T::of);
        let slope = gamma * (c + m).max(T::ZERO);
        (slope * (c - m), slope)
    }
}

impl Margin for Circle {
    const NAME: &'static str = "circle";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        self.within(c)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        self.between(c)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(gamma, m)| Probe::new(Circle { gamma, m }, 2.0 * gamma);
        [(256.0, 0.25), (16.0, 0.4)].map(probe).into()
    }
    fn kinks(&self) -> Vec<f64> {
        vec![-self.m]
    }
}

/// The parameters of both levels.
pub(crate) const GAMMA: &str = "scale; the loss sees differences of gamma m^2";
pub(crate) const RELAXATION: Parameter = Parameter::number(
    "m",
    0.25,
    Range::open(0.0, 1.0),
    "relaxation: similarities shall exceed 1 - m within a class and stay below m between",
)
// As SO-softmax with equal scales.
.warming_from(|_| Some(0.5));

/// Circle loss at class level.
#[derive(Debug)]
pub struct CircleLoss {
    margin: Circle,
}

impl Loss for CircleLoss {
    const INFO: LossInfo = LossInfo {
        name: "circle",
        family: Family::Class,
        about: "each cosine weighted by its distance from its optimum",
        formula: "L = -ln( e^t / ( e^t + sum_{j != y} e^n_j ) )\n\
                  t   = gamma alpha_y (c_y - (1 - m)),   alpha_y = max(1 + m - c_y, 0)\n\
                  n_j = gamma alpha_j (c_j - m),         alpha_j = max(c_j + m, 0)\n\
                  no gradient flows through the alphas",
        parameters: &[
            Parameter::number("gamma", 256.0, Range::above(0.0), GAMMA),
            RELAXATION,
            HEAD_LR_MULT,
        ],
        presets: &[
            Preset {
                name: "re-id",
                about: "person re-identification in the paper",
                settings: &[("gamma", "128"), ("m", "0.25")],
            },
            Preset {
                name: "fast-reid",
                about: "CircleSoftmax in the code of fast-reid",
                settings: &[("gamma", "64"), ("m", "0.35")],
            },
        ],
        head: Head::Angular,
        remarks: "The gradient is on purpose not the derivative of the value, so this loss is a surrogate.\n\
                  Without the stop it is so-softmax with lambda_p = lambda_n = gamma, as long as no\n\
                  weight is cut off at 0. Between samples it is circle-pair.",
        source: "Sun et al. 2020, Circle loss: a unified perspective of pair similarity optimization, \
                 CVPR, arXiv 2002.10857",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        CircleLoss {
            margin: Circle {
                gamma: values.number("gamma"),
                m: values.number("m"),
            },
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let loss = batch.class_softmax(self.margin.clone(), 0.0)?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
