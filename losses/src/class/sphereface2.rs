//! SphereFace2: a binary classification for each class, of an adjusted cosine.

use super::HEAD_LR_MULT;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Probe, SampleMargin, Separable, sigmoid, softplus};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::Owned;
use crate::values::Values;
use engine::Float;

/// The terms of SphereFace2-C, with the bias b as the number of the sample:
/// Fp(c) = λ/r softplus(−(r (g(c) − m) + b)), Fn(c) = (1 − λ)/r softplus(r (g(c) + m) + b),
/// g(c) = 2 ((c + 1)/2)^t − 1.
#[derive(Clone, Debug)]
pub struct BinaryTerms {
    /// The scale.
    pub r: f64,
    /// The margin.
    pub m: f64,
    /// The exponent of the adjustment g.
    pub t: f64,
    /// λ, the weight of the positive term.
    pub lambda: f64,
}

impl BinaryTerms {
    /// g and its derivative.
    fn adjusted<T: Float>(&self, c: T) -> (T, T) {
        let [t, half, two] = [self.t, 0.5, 2.0].map(T::of);
        let x = ((c + T::ONE) * half).max(T::ZERO);
        (two * x.powf(t) - T::ONE, t * x.powf(t - T::ONE))
    }

    /// The bias at which positive and negative terms pull at it equally when all cosines are 0.
    ///
    /// With z = λ / ((1 − λ)(C − 1)), a = r (g(0) − m), a' = r (g(0) + m) and B = e^b it solves
    /// z / (1 + e^a B) = e^a' B / (1 + e^a' B).
    pub fn balanced_bias(&self, classes: usize) -> f64 {
        let z = self.lambda / ((1.0 - self.lambda) * (classes as f64 - 1.0));
        let (g, _) = self.adjusted(0.0_f64);
        let [positive, negative] = [g - self.m, g + self.m].map(|g| self.r * g);
        let root = ((1.0 - z).powi(2) + 4.0 * z * (positive - negative).exp()).sqrt();
        // Two forms of the same root; each is taken where it does not cancel.
        if z < 1.0 {
            (2.0 * z).ln() - negative - (1.0 - z + root).ln()
        } else {
            ((z - 1.0 + root) / 2.0).ln() - positive
        }
    }
}

impl SampleMargin for BinaryTerms {
    const NAME: &'static str = "sphereface2";
    fn positive<T: Float>(&self, c: T, b: T) -> [T; 3] {
        let [r, m, weight] = [self.r, self.m, self.lambda / self.r].map(T::of);
        let (g, slope) = self.adjusted(c);
        let z = -(r * (g - m) + b);
        let dz = weight * sigmoid(z);
        [weight * softplus(z), -(dz * r * slope), -dz]
    }
    fn negative<T: Float>(&self, c: T, b: T) -> [T; 3] {
        let [r, m, weight] = [self.r, self.m, (1.0 - self.lambda) / self.r].map(T::of);
        let (g, slope) = self.adjusted(c);
        let z = r * (g + m) + b;
        let dz = weight * sigmoid(z);
        [weight * softplus(z), dz * r * slope, dz]
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(r, m, t, lambda)| {
            Probe::within(BinaryTerms { r, m, t, lambda }, 3.0 * r, [-4.0, 4.0])
        };
        [
            (40.0, 0.4, 3.0, 0.7),
            (4.0, 0.2, 1.0, 0.5),
            (64.0, 0.5, 3.0, 0.8),
        ]
        .map(probe)
        .into()
    }
}

/// Where the bias is.
const BIAS: &str = "sphereface2.b";

/// SphereFace2.
#[derive(Debug)]
pub struct SphereFace2 {
    terms: BinaryTerms,
}

impl Loss for SphereFace2 {
    const INFO: LossInfo = LossInfo {
        name: "sphereface2",
        family: Family::Class,
        about: "one binary classification per class, of adjusted cosines (form C)",
        formula: "L = lambda/r ln(1 + e^-(r (g(c_y) - m) + b))\n\
                  \x20   + (1 - lambda)/r sum_{j != y} ln(1 + e^(r (g(c_j) + m) + b))\n\
                  g(c) = 2 ((c + 1)/2)^t - 1;   b is learned (head.sphereface2.b)\n\
                  b starts where its gradient is 0 at c = 0",
        parameters: &[
            Parameter::number(
                "r",
                40.0,
                Range::above(0.0),
                "scale of the adjusted cosines",
            ),
            Parameter::number(
                "m",
                0.4,
                Range::below(0.0, 1.0),
                "margin on adjusted cosines",
            )
            .warming_from(|_| Some(0.0)),
            Parameter::number("t", 3.0, Range::from(1.0), "exponent of the adjustment"),
            Parameter::number(
                "lambda",
                0.7,
                Range::open(0.0, 1.0),
                "weight of the positive term",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "The authors' code (opensphere) passes gradients through g as if it were the identity\n\
                  and multiplies the loss by lw = 50 (write 50*sphereface2); here the gradient is the\n\
                  derivative. For millions of identities they take r=64, lambda=0.8, m=0.5.",
        source: "Wen et al. 2022, SphereFace2: binary classification is all you need for deep face \
                 recognition, ICLR, arXiv 2108.01513; defaults of github ydwen/opensphere",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        SphereFace2 {
            terms: BinaryTerms {
                r: values.number("r"),
                m: values.number("m"),
                t: values.number("t"),
                lambda: values.number("lambda"),
            },
        }
    }

    fn owns(&self, classes: usize, _: usize) -> Vec<Owned> {
        vec![Owned::number(BIAS, self.terms.balanced_bias(classes))]
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let b = batch.for_each_sample(batch.owned(BIAS))?;
        let loss = batch.sample_loss(&batch.cosines()?, &b, self.terms.clone(), Separable)?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bias_starts_in_balance() {
        for (lambda, classes) in [(0.7, 10), (0.5, 2), (0.8, 1000), (0.95, 3)] {
            let (r, m, t) = (40.0, 0.4, 3.0);
            let terms = BinaryTerms { r, m, t, lambda };
            let b = terms.balanced_bias(classes);
            let pull =
                terms.positive(0.0, b)[2] + (classes as f64 - 1.0) * terms.negative(0.0, b)[2];
            approx::assert_abs_diff_eq!(pull, 0.0, epsilon = 1e-12);
        }
    }
}
