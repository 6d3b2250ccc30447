//! ArcFace: a margin on the target's angle, with its true derivative.

use super::{HEAD_LR_MULT, SMOOTHING, scale};
use crate::advice::{auto_scale, scale_warnings};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe, Target};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status, Values};
use crate::loss::{Loss, Part};
use engine::Float;
use std::f64::consts::FRAC_PI_2;

/// Fp(c) = s cos(θ + m) = s (c cos m − sin θ sin m) with θ = acos c, as far as θ ≤ π − m;
/// beyond, where cos(θ + m) would rise again, s (c − m sin m). Fn(c) = s c.
///
/// The derivative of Fp is s sin(θ + m)/sin θ = s (cos m + c sin m / sin θ). It has a pole at
/// θ = 0, which the derivative of the cosine, proportional to sin θ, takes away again. Below
/// sin θ = 1e-6 the sine counts as the constant 1e-6. Widespread code passes back s instead of
/// this derivative.
#[derive(Clone, Debug)]
pub struct ArcFace {
    /// The scale.
    pub s: f64,
    /// The margin, in radians.
    pub m: f64,
}

/// The smallest sine that is divided by.
const SMALLEST_SINE: f64 = 1e-6;

impl Margin for ArcFace {
    const NAME: &'static str = "arcface";
    fn positive<T: Float>(&self, c: T, _: usize) -> (T, T) {
        let [s, cos, sin] = [self.s, self.m.cos(), self.m.sin()].map(T::of);
        if c < -cos {
            return (s * (c - T::of(self.m) * sin), s);
        }
        // (1 − c)(1 + c) keeps the digits that 1 − c² loses near 1.
        let sine = ((T::ONE - c) * (T::ONE + c)).max(T::ZERO).sqrt();
        let smallest = T::of(SMALLEST_SINE);
        let slope = if sine > smallest {
            cos + c * sin / sine
        } else {
            cos
        };
        (s * (c * cos - sine.max(smallest) * sin), s * slope)
    }
    fn negative<T: Float>(&self, c: T, _: Target<T>) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m): (f64, f64)| Probe {
            margin: ArcFace { s, m },
            steepness: 10.0 * s,
            kinks: vec![1.0, -m.cos(), -1.0],
        };
        [(30.0, 0.5), (1.0, 0.1), (64.0, 0.3), (512.0, 0.5)]
            .map(probe)
            .into()
    }
}

/// ArcFace with label smoothing.
#[derive(Debug)]
pub struct ArcFaceLoss {
    margin: ArcFace,
    smoothing: f64,
}

impl Loss for ArcFaceLoss {
    const INFO: LossInfo = LossInfo {
        name: "arcface",
        family: Family::Class,
        about: "scaled cosines with a margin on the target's angle",
        formula: "L = -ln( e^t / ( e^t + sum_{j != y} e^(s c_j) ) )\n\
                  t = s cos(theta_y + m);   past theta_y + m = pi, t = s (c_y - m sin m)\n\
                  The gradient is the true one, sin(theta + m) / sin(theta).",
        parameters: &[
            scale(64.0, |values, classes| {
                auto_scale(classes, values.number("m").cos())
            }),
            Parameter::angle(
                "m",
                0.5,
                Range::closed(0.0, FRAC_PI_2),
                "margin, added to the target's angle",
            ),
            SMOOTHING,
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        source: "Deng et al. 2019, ArcFace: additive angular margin loss for deep face recognition, \
                 CVPR, arXiv 1801.07698",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        ArcFaceLoss {
            margin: ArcFace {
                s: values.number("s"),
                m: values.number("m"),
            },
            smoothing: values.number("smoothing"),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let loss = batch.class_softmax(self.margin.clone(), self.smoothing)?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, self.margin.m.cos(), self.margin.s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the angle itself, as the paper writes it.
    #[test]
    fn value_and_slope_are_those_of_the_angle() {
        let margin = ArcFace { s: 30.0, m: 0.5 };
        for theta in [0.01_f64, 0.3, 1.0, 2.0, std::f64::consts::PI - 0.51] {
            let (value, slope) = margin.positive(theta.cos(), 0);
            approx::assert_relative_eq!(value, 30.0 * (theta + 0.5).cos(), max_relative = 1e-12);
            let expected = 30.0 * (theta + 0.5).sin() / theta.sin();
            approx::assert_relative_eq!(slope, expected, max_relative = 1e-10);
        }
        let (value, slope) = margin.positive(-0.95_f64, 0);
        assert_eq!((value, slope), (30.0 * (-0.95 - 0.5 * 0.5_f64.sin()), 30.0));
    }

    #[test]
    fn the_poles_are_finite() {
        for c in [1.0_f32, -1.0, 1.000_000_1, -1.000_000_1] {
            let (value, slope) = ArcFace { s: 64.0, m: 0.5 }.positive(c, 0);
            assert!(
                value.is_finite() && slope.abs() <= 64.0,
                "{c}: {value} {slope}"
            );
        }
    }
}
