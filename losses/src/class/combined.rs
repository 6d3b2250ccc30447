//! The combined margin: a factor and a summand on the angle, and a summand on the cosine.

use super::{HEAD_LR_MULT, scale};
use crate::advice::{auto_scale, scale_warnings};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe};
use crate::info::{Family, Head, LossInfo, Parameter, Preset, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;
use std::f64::consts::{FRAC_PI_2, PI};

/// Fp(c) = s (ψ(m1 θ + m2) − m3), Fn(c) = s c, with ψ(φ) = (−1)^k cos φ − 2k for φ in
/// [kπ, (k+1)π], which is cos φ up to π and keeps falling beyond, with a continuous derivative.
#[derive(Clone, Debug)]
pub struct Combined {
    /// The scale.
    pub s: f64,
    /// The factor on the angle.
    pub m1: f64,
    /// The summand on the angle, in radians.
    pub m2: f64,
    /// The summand on the cosine.
    pub m3: f64,
}

/// The smallest sine that is divided by.
const SMALLEST_SINE: f64 = 1e-6;

impl Combined {
    /// ψ(m1 θ + m2) − m3 and its derivative with respect to c.
    fn exponent<T: Float>(&self, c: T) -> (T, T) {
        let [m1, m2, m3] = [self.m1, self.m2, self.m3].map(T::of);
        let c = c.max(-T::ONE).min(T::ONE);
        let theta = c.acos();
        let phi = m1 * theta + m2;
        let k = (phi.to_f64() / PI).floor().max(0.0);
        let sign = if k % 2.0 == 0.0 { T::ONE } else { -T::ONE };
        let sine = theta.sin();
        let slope = if sine > T::of(SMALLEST_SINE) {
            sign * m1 * phi.sin() / sine
        } else {
            // sin(m1 θ)/sin θ tends to m1; the pole that m2 adds vanishes in the derivative of
            // the cosine itself.
            sign * m1 * m1 * phi.cos() * if c < T::ZERO { -T::ONE } else { T::ONE }
        };
        (sign * phi.cos() - T::of(2.0 * k) - m3, slope)
    }
}

impl Margin for Combined {
    const NAME: &'static str = "combined";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let s = T::of(self.s);
        let (value, slope) = self.exponent(c);
        (s * value, s * slope)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m1, m2, m3)| Probe::new(Combined { s, m1, m2, m3 }, 16.0 * s * m1 * m1);
        [
            (64.0, 1.0, 0.5, 0.0),
            (30.0, 0.9, 0.4, 0.15),
            (1.0, 4.0, 0.0, 0.0),
            (16.0, 1.35, 0.2, 0.1),
        ]
        .map(probe)
        .into()
    }
    fn kinks(&self) -> Vec<f64> {
        let breakpoints = (1..20).map(|k| (f64::from(k) * PI - self.m2) / self.m1);
        let inside = breakpoints.filter(|theta| *theta < PI).map(f64::cos);
        inside.chain([1.0, -1.0]).collect()
    }
}

/// The combined margin.
#[derive(Debug)]
pub struct CombinedLoss {
    margin: Combined,
}

impl Loss for CombinedLoss {
    const INFO: LossInfo = LossInfo {
        name: "combined",
        family: Family::Class,
        about: "all three margins at once: cos(m1 theta + m2) - m3",
        formula: "L = -ln( e^t / ( e^t + sum_{j != y} e^(s c_j) ) )\n\
                  t = s (psi(m1 theta_y + m2) - m3)\n\
                  psi(phi) = (-1)^k cos(phi) - 2k   for phi in [k pi, (k+1) pi]",
        parameters: &[
            scale(64.0, |values, classes| auto_scale(classes, at_one(values))),
            Parameter::number(
                "m1",
                1.0,
                Range::closed(0.5, 10.0),
                "factor on the target's angle",
            )
            .warming_from(|_| Some(1.0)),
            Parameter::angle(
                "m2",
                0.3,
                Range::closed(0.0, FRAC_PI_2),
                "margin, added to the target's angle",
            )
            .warming_from(|_| Some(0.0)),
            Parameter::number(
                "m3",
                0.2,
                Range::below(0.0, 2.0),
                "margin, subtracted from the target's cosine",
            )
            .warming_from(|_| Some(0.0)),
            HEAD_LR_MULT,
        ],
        presets: &[
            Preset {
                name: "arcface",
                about: "ArcFace up to theta = pi - m",
                settings: &[("m1", "1"), ("m2", "0.5"), ("m3", "0")],
            },
            Preset {
                name: "cosface",
                about: "CosFace",
                settings: &[("m1", "1"), ("m2", "0"), ("m3", "0.4")],
            },
            Preset {
                name: "sphereface",
                about: "SphereFace with a scale in place of the length",
                settings: &[("m1", "1.35"), ("m2", "0"), ("m3", "0")],
            },
        ],
        head: Head::Angular,
        remarks: "insightface's CombinedMarginLoss takes m1 = 1, m3 = 0 or else uses m3 alone: it has no\n\
                  combination. Past m1 theta + m2 = pi its cosine rises again; here psi keeps falling,\n\
                  as in SphereFace, where ArcFace continues with s (c - m sin m).\n\
                  The defaults of m2 and m3 are the CM2 of the ArcFace paper: (1, 0.3, 0.2).",
        source: "Deng et al. 2019, ArcFace, CVPR, arXiv 1801.07698, eq. 4",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        CombinedLoss {
            margin: Combined {
                s: values.number("s"),
                m1: values.number("m1"),
                m2: values.number("m2"),
                m3: values.number("m3"),
            },
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let loss = batch.class_softmax(self.margin.clone(), 0.0)?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        let Combined { s, m2, m3, .. } = self.margin;
        scale_warnings(classes, m2.cos() - m3, s)
    }
}

/// Fp(1)/s.
fn at_one(values: &Values) -> f64 {
    values.number("m2").cos() - values.number("m3")
}
