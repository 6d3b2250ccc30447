//! A loss seen as a function of two cosines: what `loss plot` draws.

use crate::batch::{Batch, Heads, Setting};
use crate::criterion::{build, parts, total};
use crate::error::Result;
use crate::info::{Family, Head};
use crate::loss::AnyLoss;
use crate::owned::{Axis, Held, Owned, OwnedKind};
use crate::spec::Spec;
use engine::rng::Key;
use engine::{Shape, Tensor, Var};
use nn::Init;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter::repeat;
use std::rc::Rc;

/// A spec in a situation that two cosines describe.
///
/// ```
/// use losses::Profile;
/// let profile = Profile::new(&"cosface:s=30,m=0.35".parse()?, 2, 1.0)?;
/// let at = profile.of_classes(0.9, 0.2)?;
/// let [target, other] = at.exponents.unwrap();
/// assert!((target - 30.0 * (0.9 - 0.35)).abs() < 1e-12 && (other - 30.0 * 0.2).abs() < 1e-12);
/// assert!(at.by_own < 0.0 && at.by_other > 0.0); // it wants 0.9 larger and 0.2 smaller
/// # Ok::<(), losses::Error>(())
/// ```
pub struct Profile {
    spec: Spec,
    classes: usize,
    length: f64,
    losses: Vec<(f64, Box<dyn AnyLoss<f64>>)>,
    owned: Vec<Owned>,
}

/// The loss and its derivatives at two cosines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// The loss.
    pub loss: f64,
    /// The derivative with respect to the first cosine: of what belongs together. What a loss
    /// passes back on purpose in place of it, if it does so.
    pub by_own: f64,
    /// The derivative with respect to the second cosine: of what does not. The sum over all others
    /// where there are several.
    pub by_other: f64,
    /// Fp(c_y) and Fn(c_j), where the loss is a [`frame`](crate::frame) of exponents.
    pub exponents: Option<[f64; 2]>,
    /// By how much the sample is on its class's side of the decision boundary between the two
    /// classes; negative if the loss would rather see it on the other. `None` without exponents.
    pub lead: Option<f64>,
}

/// What the frame tells of the first sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub exponents: [f64; 2],
    pub lead: f64,
}

/// Filled by the first frame of a batch.
pub(crate) type Watch = RefCell<Option<Seen>>;

impl Profile {
    /// The spec for so many classes, on embeddings of this length. Class weights that are compared
    /// by inner products have length 1; centres and means are as long as the embeddings. State is
    /// as at the start of training; nothing is drawn at random.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`](crate::Error::TooFewClasses).
    pub fn new(spec: &Spec, classes: usize, length: f64) -> Result<Self> {
        let (spec, _) = spec.resolve(classes, DIM)?;
        let losses = build::<f64>(&spec);
        let owned = losses.iter().flat_map(|(_, loss)| loss.owns(classes, DIM));
        Ok(Profile {
            owned: owned.collect(),
            losses,
            spec,
            classes,
            length,
        })
    }

    /// The spec with everything decided.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The length of the embeddings.
    pub fn length(&self) -> f64 {
        self.length
    }

    /// Whether the loss compares samples with each other, and hence is seen by
    /// [`of_pairs`](Profile::of_pairs) and not by [`of_classes`](Profile::of_classes).
    pub fn is_of_pairs(&self) -> bool {
        let mut terms = self.spec.terms().iter();
        terms.all(|term| term.info().family == Family::Pair)
    }

    /// One embedding at cosine `own` to the weight of its class and at cosine `other` to those of
    /// all other classes.
    ///
    /// # Errors
    /// Those of the loss.
    pub fn of_classes(&self, own: f64, other: f64) -> Result<Response> {
        let sine = |c: f64| (1.0 - c * c).max(0.0).sqrt();
        let (sin_own, sin_other) = (sine(own), sine(other));
        // The embedding lies along the first axis, so that its gradient along the second is that
        // of `own` and along the third that of `other`.
        let directions = [[own, sin_own, 0.0], [other, 0.0, sin_other]];
        let x = [self.length, 0.0, 0.0];
        let (loss, g, seen) = self.run(&x, &[0], &directions)?;
        Ok(Response {
            loss,
            by_own: self.length * g[1] / sin_own,
            by_other: self.length * g[2] / sin_other,
            exponents: seen.map(|seen| seen.exponents),
            lead: seen.map(|seen| seen.lead),
        })
    }

    /// Two embeddings of one class at cosine `own`, and one of another class at cosine `other` to
    /// both; `None` where three vectors cannot have these cosines.
    ///
    /// # Errors
    /// Those of the loss.
    pub fn of_pairs(&self, own: f64, other: f64) -> Result<Option<Response>> {
        // The two stand at ±half of their angle from the first axis: (p, ±q, 0).
        let (p, q) = (((1.0 + own) / 2.0).sqrt(), ((1.0 - own) / 2.0).sqrt());
        let (n, rest) = (other / p, 1.0 - (other / p).powi(2));
        if !(rest > 0.0 && p > 0.0 && q > 0.0) {
            return Ok(None);
        }
        let r = rest.sqrt();
        let unit = [p, q, 0.0, p, -q, 0.0, n, 0.0, r];
        let directions = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let x = unit.map(|x| self.length * x);
        let (loss, g, _) = self.run(&x, &[0, 0, 1], &directions)?;
        let along = |d: [f64; 9]| d.iter().zip(&g).map(|(d, g)| self.length * d * g).sum();
        // The derivatives of the nine numbers by the two cosines.
        let (dp, dq) = (1.0 / (4.0 * p), -1.0 / (4.0 * q));
        let dn = -n / p * dp;
        Ok(Some(Response {
            loss,
            by_own: along([dp, dq, 0.0, dp, -dq, 0.0, dn, 0.0, -n / r * dn]),
            by_other: along([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0 / p, 0.0, -n / (p * r)]),
            exponents: None,
            lead: None,
        }))
    }

    /// The loss of embeddings, its gradient, and what the frame saw. The first direction is that of
    /// the class 0, the second that of all others.
    fn run(
        &self,
        x: &[f64],
        labels: &[usize],
        directions: &[[f64; DIM]; 2],
    ) -> Result<(f64, Vec<f64>, Option<Seen>)> {
        let rows = |classes: usize, per_class: usize, length: f64| {
            let of_class = per_class * DIM;
            Tensor::from_fn([classes, per_class, DIM], |i| {
                length * directions[usize::from(i >= of_class)][i % DIM]
            })
        };
        let weight = || Var::constant(rows(self.classes, 1, 1.0).reshape([self.classes, DIM]));
        let is = |head: fn(Head) -> bool| self.spec.terms().iter().any(|t| head(t.info().head));
        let owned = self.owned.iter().map(|it| {
            let shape = it.shape(self.classes, DIM);
            // What is learned and begins at one value is no direction: variances, biases.
            let begins_alike = matches!(it.init, Init::Constant(_));
            let is_weights = it.axes.first() == Some(&Axis::Classes)
                && it.axes.last() == Some(&Axis::Dim)
                && (it.kind == OwnedKind::State || !begins_alike);
            let value = match is_weights {
                true => {
                    let per_class = shape.elements() / (self.classes * DIM);
                    rows(self.classes, per_class, self.length).reshape(shape)
                }
                false => it.init.tensor(shape, Key::new(0)),
            };
            (it.name, Var::constant(value))
        });
        let watch = Rc::new(Watch::default());
        let setting = Setting {
            heads: Heads {
                linear: is(Head::is_linear).then(|| {
                    let bias = Var::constant(Tensor::zeros([self.classes]));
                    (weight(), Some(bias))
                }),
                angular: is(|head| head == Head::Angular).then(weight),
                owned: owned.collect::<BTreeMap<_, _>>(),
            },
            step: 0,
            training: None,
            held: Rc::new(Held::given(BTreeMap::new())),
            watch: Some(watch.clone()),
        };
        let shape = Shape::from([labels.len(), DIM]);
        let embeddings = Var::leaf(Tensor::new(shape, x));
        let batch = Batch::new(&embeddings, labels, &setting)?;
        let loss = total(&parts(&self.losses, repeat(&batch))?);
        let gradients = loss.try_backward()?;
        let gradient = gradients.of(&embeddings);
        let gradient = gradient.map_or_else(|| vec![0.0; x.len()], |g| g.data().to_vec());
        Ok((loss.value().item(), gradient, watch.take()))
    }
}

/// Three directions: of the embedding, and from there to its class and to the others.
const DIM: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn profile(spec: &str, classes: usize, length: f64) -> Profile {
        Profile::new(&spec.parse().unwrap(), classes, length).unwrap()
    }

    /// Four-point differences of the loss.
    fn differences(f: impl Fn(f64, f64) -> f64, own: f64, other: f64) -> [f64; 2] {
        let h = 1e-4;
        let slope = |f: &dyn Fn(f64) -> f64| {
            (f(-2.0 * h) - 8.0 * f(-h) + 8.0 * f(h) - f(2.0 * h)) / (12.0 * h)
        };
        [slope(&|d| f(own + d, other)), slope(&|d| f(own, other + d))]
    }

    /// The derivatives of a profile against differences of its own loss.
    fn checked(spec: &str, tolerance: f64, at: impl Fn(f64, f64) -> Response) {
        for [own, other] in [[0.7, 0.1], [0.3, 0.45], [-0.2, 0.3], [0.85, -0.35]] {
            let expected = differences(|own, other| at(own, other).loss, own, other);
            let point = at(own, other);
            for (found, expected) in [point.by_own, point.by_other].into_iter().zip(expected) {
                let gap = (found - expected).abs();
                assert!(
                    gap <= 1e-9 + tolerance * expected.abs(),
                    "{spec} at {own}, {other}: {found} instead of {expected}"
                );
            }
        }
    }

    #[test]
    fn the_derivatives_are_those_of_the_loss_in_the_cosines() {
        for spec in [
            "softmax",
            "sphereface:m=3,lambda=0",
            "cosface:s=8",
            "arcface:s=8",
            "so-softmax:lambda_p=8,lambda_n=5",
            "gaussian",
            "subcenter-arcface:s=8",
            "proxy-anchor:alpha=4",
            "sml:form=sample",
            "sphereface2:r=4",
        ] {
            let profile = profile(spec, 5, 2.0);
            checked(spec, 1e-7, |own, other| {
                profile.of_classes(own, other).unwrap()
            });
        }
        for spec in [
            "supcon",
            "triplet:soft=true",
            "multi-similarity:beta=5",
            "n-pair",
        ] {
            let profile = profile(spec, 2, 1.5);
            checked(spec, 1e-6, |own, other| {
                profile.of_pairs(own, other).unwrap().unwrap()
            });
        }
    }

    #[test]
    fn exponents_are_those_of_the_papers() {
        let exponents = |spec: &str, own, other| {
            let at = profile(spec, 4, 3.0).of_classes(own, other).unwrap();
            at.exponents.unwrap()
        };
        let (own, other) = (0.4_f64, -0.3);
        let near = |found: [f64; 2], expected: [f64; 2]| {
            for (found, expected) in found.into_iter().zip(expected) {
                assert_relative_eq!(found, expected, max_relative = 1e-12);
            }
        };
        let angle = (own.acos() + 0.5).cos();
        near(
            exponents("arcface:s=16,m=0.5", own, other),
            [16.0 * angle, 16.0 * other],
        );
        near(exponents("softmax", own, other), [3.0 * own, 3.0 * other]);
        near(
            exponents("so-softmax:lambda_p=8,lambda_n=5,m=0.3", own, other),
            [8.0 * (0.09 - 0.36), 5.0 * (0.09 - 0.09)],
        );
        // d-softmax judges the two apart: its boundary is crossed by either alone.
        let at = profile("d-softmax:s=10,d=0.5", 4, 1.0);
        assert!(at.of_classes(0.6, -0.1).unwrap().lead.unwrap() > 0.0);
        assert!(at.of_classes(0.4, -0.1).unwrap().lead.unwrap() < 0.0);
        assert!(at.of_classes(0.6, 0.1).unwrap().lead.unwrap() < 0.0);
        let none = profile("p2sgrad", 4, 1.0).of_classes(own, other).unwrap();
        assert!(none.lead.is_none());
    }

    #[test]
    fn impossible_triples_are_left_out() {
        let profile = profile("triplet", 2, 1.0);
        assert!(profile.is_of_pairs());
        // Opposite vectors: what is near to one is far from the other.
        assert!(profile.of_pairs(-0.9, 0.5).unwrap().is_none());
        assert!(profile.of_pairs(0.9, 0.5).unwrap().is_some());
    }
}
