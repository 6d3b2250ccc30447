//! ArcFace: a margin on the target's angle, with its true derivative.

use super::{HEAD_LR_MULT, SMOOTHING, SPREAD, Smoothing, angle_margin, angle_scale, scale};
use crate::advice::scale_warnings;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe};
use crate::info::{Family, Head, LossInfo, Parameter, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(c) = s cos(θ + m) = s (c cos m − sin θ sin m) with θ = acos c, as far as θ ≤ π − m;
/// beyond, where cos(θ + m) would rise again, s (c − m sin m). Fn(c) = s c.
///
/// The derivative of Fp is s sin(θ + m)/sin θ = s (cos m + c sin m / sin θ). It has a pole at
/// θ = 0, which the derivative of the cosine, proportional to sin θ, takes away again. Below
/// sin θ = 1e-6 the sine counts as the constant 1e-6. Widespread code passes back s instead of
/// this derivative: see [`StraightArcFace`].
#[derive(Clone, Debug)]
pub struct ArcFace {
    /// The scale.
    pub s: f64,
    /// The margin, in radians.
    pub m: f64,
}

/// The smallest sine that is divided by.
const SMALLEST_SINE: f64 = 1e-6;

/// cos(θ + m) with θ = acos c, and its derivatives with respect to c and to m; past θ = π − m,
/// where it would rise again, c − m sin m.
pub(crate) fn turned<T: Float>(c: T, m: T) -> [T; 3] {
    let (cos, sin) = (m.cos(), m.sin());
    if m > T::ZERO && c < -cos {
        return [c - m * sin, T::ONE, -(sin + m * cos)];
    }
    // (1 − c)(1 + c) keeps the digits that 1 − c² loses near 1.
    let sine = ((T::ONE - c) * (T::ONE + c)).max(T::ZERO).sqrt();
    let smallest = T::of(SMALLEST_SINE);
    let slope = if sine > smallest {
        cos + c * sin / sine
    } else {
        cos
    };
    let sine = sine.max(smallest);
    [c * cos - sine * sin, slope, -(sine * cos + c * sin)]
}

impl Margin for ArcFace {
    const NAME: &'static str = "arcface";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let s = T::of(self.s);
        let [value, slope, _] = turned(c, T::of(self.m));
        (s * value, s * slope)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m)| Probe::new(ArcFace { s, m }, 10.0 * s);
        [(30.0, 0.5), (1.0, 0.1), (64.0, 0.3), (512.0, 0.5)]
            .map(probe)
            .into()
    }
    fn kinks(&self) -> Vec<f64> {
        vec![1.0, -self.m.cos(), -1.0]
    }
}

/// ArcFace as widespread code has it: Fp(c) = s cos(θ + m) for every θ, with the slope s of a
/// plain cosine in place of the derivative.
///
/// The angle is taken, turned and brought back where gradients are not recorded, so what is
/// differentiated is the identity. The pull on a sample is then independent of the margin but for
/// the probabilities.
#[derive(Clone, Debug)]
pub struct StraightArcFace {
    /// The scale.
    pub s: f64,
    /// The margin, in radians.
    pub m: f64,
}

impl Margin for StraightArcFace {
    const NAME: &'static str = "arcface straight";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let [s, cos, sin] = [self.s, self.m.cos(), self.m.sin()].map(T::of);
        let sine = ((T::ONE - c) * (T::ONE + c)).max(T::ZERO).sqrt();
        (s * (c * cos - sine * sin), s)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        vec![Probe::new(StraightArcFace { s: 30.0, m: 0.5 }, 300.0)]
    }
    fn kinks(&self) -> Vec<f64> {
        vec![1.0, -1.0]
    }
}

/// ArcFace with label smoothing.
#[derive(Debug)]
pub struct ArcFaceLoss {
    margin: ArcFace,
    straight: bool,
    smoothing: Smoothing,
}

impl Loss for ArcFaceLoss {
    const INFO: LossInfo = LossInfo {
        name: "arcface",
        family: Family::Class,
        about: "scaled cosines with a margin on the target's angle",
        formula: "L = -ln( e^t / ( e^t + sum_{j != y} e^(s c_j) ) )\n\
                  t = s cos(theta_y + m);   past theta_y + m = pi, t = s (c_y - m sin m)\n\
                  gradient=exact: the derivative, s sin(theta + m) / sin(theta)\n\
                  gradient=straight: t = s cos(theta_y + m) for every angle, differentiated as s c_y",
        parameters: &[
            scale(64.0, angle_scale),
            angle_margin(0.5),
            Parameter::word(
                "gradient",
                &["exact", "straight"],
                "the derivative, or that of a plain cosine",
            ),
            SMOOTHING,
            SPREAD,
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "insightface (recognition/arcface_torch) computes the margin where no gradients are\n\
                  recorded and so passes back s instead of the derivative, and lets cos(theta + m)\n\
                  rise again past theta = pi - m; gradient=straight is that. It is a surrogate: it\n\
                  fails the comparison with finite differences, and a test sees to it.\n\
                  pytorch-metric-learning takes the margin in degrees.",
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
            straight: values.word("gradient") == "straight",
            smoothing: Smoothing::new(values),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let smoothing = self.smoothing.epsilon(batch.cosines()?.shape()[1]);
        let ArcFace { s, m } = self.margin;
        let loss = match self.straight {
            true => batch.class_softmax(StraightArcFace { s, m }, smoothing)?,
            false => batch.class_softmax(ArcFace { s, m }, smoothing)?,
        };
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
            let (value, slope) = margin.positive(theta.cos());
            approx::assert_relative_eq!(value, 30.0 * (theta + 0.5).cos(), max_relative = 1e-12);
            let expected = 30.0 * (theta + 0.5).sin() / theta.sin();
            approx::assert_relative_eq!(slope, expected, max_relative = 1e-10);
        }
        let (value, slope) = margin.positive(-0.95_f64);
        assert_eq!((value, slope), (30.0 * (-0.95 - 0.5 * 0.5_f64.sin()), 30.0));
    }

    #[test]
    fn the_poles_are_finite() {
        for c in [1.0_f32, -1.0, 1.000_000_1, -1.000_000_1] {
            let (value, slope) = ArcFace { s: 64.0, m: 0.5 }.positive(c);
            assert!(
                value.is_finite() && slope.abs() <= 64.0,
                "{c}: {value} {slope}"
            );
        }
    }
}
