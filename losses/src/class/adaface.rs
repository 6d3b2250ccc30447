//! AdaFace: a margin that follows the quality of a sample, read from the length of its embedding.

use super::{HEAD_LR_MULT, cosine_scale, scale};
use crate::advice::scale_warnings;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Probe, SampleMargin, Softmax};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned};
use crate::values::Values;
use engine::{Float, Tensor, Var};
use std::f64::consts::PI;

/// Fp(c, z) = s (cos(θ − m z) − m − m z) with the quality z, Fn(c) = s c. The turned angle is kept
/// within [1e-3, π − 1e-3], where the first summand has no slope.
#[derive(Clone, Debug)]
pub struct Adaptive {
    /// The scale.
    pub s: f64,
    /// The margin.
    pub m: f64,
}

/// How far the turned angle stays from 0 and π, and what is added to the deviation of lengths.
const EPSILON: f64 = 1e-3;
/// The smallest sine that is divided by.
const SMALLEST_SINE: f64 = 1e-6;

impl SampleMargin for Adaptive {
    const NAME: &'static str = "adaface";
    fn positive<T: Float>(&self, c: T, z: T) -> [T; 3] {
        let [s, m] = [self.s, self.m].map(T::of);
        let c = c.max(-T::ONE).min(T::ONE);
        let (theta, turn) = (c.acos(), m * z);
        let phi = theta - turn;
        let limits = [EPSILON, PI - EPSILON].map(T::of);
        let kept = phi.max(limits[0]).min(limits[1]);
        let value = s * (kept.cos() - m - turn);
        if kept != phi {
            return [value, T::ZERO, -(s * m)];
        }
        let (sine, sine_phi) = (theta.sin(), phi.sin());
        let slope = if sine > T::of(SMALLEST_SINE) {
            sine_phi / sine
        } else {
            T::ONE
        };
        [value, s * slope, s * m * (sine_phi - T::ONE)]
    }
    fn negative<T: Float>(&self, c: T, _: T) -> [T; 3] {
        let s = T::of(self.s);
        [s * c, s, T::ZERO]
    }
    fn probes() -> Vec<Probe<Self>> {
        [(64.0, 0.4), (2.0, 0.3)]
            .map(|(s, m)| Probe::within(Adaptive { s, m }, 10.0 * s, [-1.0, 0.9]))
            .into()
    }
    fn kinks(&self, z: f64) -> Vec<f64> {
        let limits = [EPSILON, PI - EPSILON].map(|limit| limit + self.m * z);
        let inside = limits.into_iter().filter(|theta| (0.0..PI).contains(theta));
        inside.map(f64::cos).chain([1.0, -1.0]).collect()
    }
}

/// Where mean and deviation of the lengths are.
const MEAN: &str = "adaface.mean";
const DEVIATION: &str = "adaface.deviation";

/// Mean and deviation of lengths, the latter that of a sample (with N − 1); `None` for a batch of
/// one.
fn statistics(lengths: &[f64]) -> (f64, Option<f64>) {
    let n = lengths.len() as f64;
    let mean = lengths.iter().sum::<f64>() / n;
    let squares: f64 = lengths.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()))
}

/// AdaFace.
#[derive(Debug)]
pub struct AdaFace {
    margin: Adaptive,
    h: f64,
    rate: f64,
}

impl Loss for AdaFace {
    const INFO: LossInfo = LossInfo {
        name: "adaface",
        family: Family::Class,
        about: "hard samples of good quality count more, hard ones of bad quality less",
        formula: "L = -ln( e^t / ( e^t + sum_{j != y} e^(s c_j) ) )\n\
                  t = s (cos(theta_y - m z) - m - m z),   theta_y - m z kept in [1e-3, pi - 1e-3]\n\
                  z = clip(h (l - mean) / (deviation + 1e-3), -1, 1),   l = clip(|x|, 0.001, 100)\n\
                  mean and deviation of l start at 20 and 100 (head.adaface.mean, .deviation); before\n\
                  each training step they move towards those of the batch by the part `rate`\n\
                  no gradient flows through z",
        parameters: &[
            scale(64.0, cosine_scale),
            Parameter::number("m", 0.4, Range::below(0.0, 1.0), "margin")
                .warming_from(|_| Some(0.0)),
            Parameter::number("h", 0.333, Range::above(0.0), "how widely qualities spread"),
            Parameter::number(
                "rate",
                0.01,
                Range::closed(0.0, 1.0),
                "rate of the statistics",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "The authors' code also keeps every cosine within 1 - 1e-3, which stops the gradient of\n\
                  samples on their class weight; here none is stopped. Its module has rate 1 (t_alpha)\n\
                  by default, its training arguments 0.01. A batch of one sample has no deviation and\n\
                  moves the mean alone.",
        source: "Kim et al. 2022, AdaFace: quality adaptive margin for face recognition, CVPR, \
                 arXiv 2204.00964; github mk-minchul/AdaFace",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        AdaFace {
            margin: Adaptive {
                s: values.number("s"),
                m: values.number("m"),
            },
            h: values.number("h"),
            rate: values.number("rate"),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        vec![
            Owned::state(MEAN, &[Axis::Of(1)], 20.0),
            Owned::state(DEVIATION, &[Axis::Of(1)], 100.0),
        ]
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let n = batch.labels().len();
        let z = batch.held("adaface.z", [n], || {
            let lengths: Vec<f64> = lengths(batch.embeddings().value());
            let (mean, deviation) = statistics(&lengths);
            let step = |name, new: Option<f64>| {
                let next = |old: T| match new {
                    Some(new) => T::of((1.0 - self.rate) * old.to_f64() + self.rate * new),
                    None => old,
                };
                batch.advance(name, |old| old.map(next)).item().to_f64()
            };
            let mean = step(MEAN, (n > 0).then_some(mean));
            let deviation = step(DEVIATION, deviation);
            Tensor::from_fn([n], |i| {
                T::of((self.h * (lengths[i] - mean) / (deviation + EPSILON)).clamp(-1.0, 1.0))
            })
        })?;
        let (c, z) = (batch.cosines()?, Var::constant(z));
        let loss = batch.sample_loss(&c, &z, self.margin.clone(), Softmax::default())?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, 1.0 - self.margin.m, self.margin.s)
    }
}

/// The lengths of embeddings `[N, D]`, kept within 0.001 and 100.
fn lengths<T: Float>(x: &Tensor<T>) -> Vec<f64> {
    let square = |row: &[T]| row.iter().map(|x| x.to_f64().powi(2)).sum::<f64>();
    let rows = x.data().chunks(x.shape().last().max(1));
    rows.map(|row| square(row).sqrt().clamp(0.001, 100.0))
        .collect()
}
