//! Gradient checks of whole losses: from the embeddings and the class weights through the cosines
//! to the value.

use crate::batch::{Batch, Heads};
use crate::criterion::{build, parts, total};
use crate::info::Head;
use crate::spec::Spec;
use engine::gradcheck::{Gen, Report, check_function};
use engine::{Tensor, Var};

/// A loss whose gradient is checked, with its settings.
pub struct Check {
    /// The spec; also the name in the report.
    pub spec: &'static str,
    /// Whether the gradient of the class weights is the derivative. It is not in form c of
    /// `cs-softmax`, which is checked with fixed weights.
    pub weights: bool,
    /// Cosines where the loss has a kink, which random cosines keep away from.
    kinks: &'static [f64],
    /// The standard deviation of the elements of embeddings: large where angles matter, so that the
    /// steps turn them little; small where inner products do.
    spread: f64,
}

const fn smooth(spec: &'static str) -> Check {
    kinked(spec, &[])
}

const fn kinked(spec: &'static str, kinks: &'static [f64]) -> Check {
    Check {
        spec,
        weights: true,
        kinks,
        spread: 8.0,
    }
}

const fn linear(spec: &'static str) -> Check {
    Check {
        spread: 1.0,
        ..kinked(spec, &[])
    }
}

/// One or more settings of every loss.
pub static CHECKS: &[Check] = &[
    linear("softmax"),
    linear("softmax:smoothing=0.1"),
    smooth("normface:s=16"),
    smooth("normface:s=30,smoothing=0.1"),
    smooth("sphereface:m=1,lambda=0"),
    kinked("sphereface:m=2,lambda=0", &[0.0]),
    kinked("sphereface:m=3,lambda=5", &[0.5, -0.5]),
    kinked(
        "sphereface",
        &[0.707_106_781_186_547_5, 0.0, -0.707_106_781_186_547_5],
    ),
    smooth("cosface:s=30,m=0.35"),
    kinked("arcface:s=30,m=0.5", &[-0.877_582_561_890_372_8, 1.0, -1.0]),
    kinked(
        "arcface:s=16,m=30deg,smoothing=0.1",
        &[-0.866_025_403_784_438_6, 1.0, -1.0],
    ),
    smooth("so-softmax"),
    smooth("so-softmax:preset=sv-repo"),
    kinked("so-softmax:one_sided=true", &[0.0]),
    smooth("cs-softmax:form=a"),
    smooth("cs-softmax:form=b"),
    Check {
        weights: false,
        ..smooth("cs-softmax:form=c")
    },
    smooth("cs-softmax:form=d"),
    smooth("sml:form=class"),
    smooth("sml:form=sample,kappa=4"),
    smooth("sml:form=pair"),
    smooth("sml:form=batch,kappa=4"),
    smooth("sml-joint"),
    smooth("center"),
    linear("softmax + 0.1*normface:s=4 + 0.5*center"),
];

const SAMPLES: usize = 5;
const CLASSES: usize = 4;
const DIM: usize = 6;
/// The least distance between two cosines, and of a cosine from a kink: several times what the
/// steps of the finite differences move them by.
const CLEARANCE: f64 = 2e-3;

impl Check {
    /// Checks the gradients on inputs drawn from `seed`.
    ///
    /// # Panics
    /// If the spec is no valid one.
    pub fn run(&self, seed: u64) -> Report {
        let spec: Spec = self.spec.parse().unwrap_or_else(|e| panic!("{e}"));
        let losses = build::<f64>(&spec);
        let uses = |head: Head| spec.terms().iter().any(|t| t.info().head == head);
        let (x, weight, labels) = self.inputs(seed);
        let mut g = Gen::new(seed, "heads");
        let names = [
            (Head::Linear, "weight"),
            (Head::Linear, "bias"),
            (Head::Angular, "weight"),
            (Head::Centers, "centers"),
        ];
        let mut inputs = vec![x];
        for (head, name) in names
            .into_iter()
            .filter(|(head, _)| self.weights && uses(*head))
        {
            inputs.push(match (head, name) {
                (Head::Angular, _) => weight.clone(),
                (_, "bias") => g.normal([CLASSES]),
                _ => g.normal([CLASSES, DIM]).map(|w| 0.5 * w),
            });
        }
        check_function(self.spec, &inputs, &|inputs| {
            let mut inputs = inputs.iter().cloned();
            let mut next = || inputs.next().expect("one for each name");
            let embeddings = next();
            let mut take = |head| (self.weights && uses(head)).then(&mut next);
            let linear_weight = take(Head::Linear);
            let bias = take(Head::Linear);
            let angular = take(Head::Angular);
            let heads = Heads {
                linear: linear_weight.zip(bias),
                angular: angular.or_else(|| Some(Var::constant(weight.clone()))),
                centers: take(Head::Centers),
            };
            let batch = Batch::new(&embeddings, &labels, &heads, 0).expect("shapes fit");
            total(&parts(&losses, &batch).expect("shapes and labels fit"))
        })
    }

    /// Embeddings, class weights and labels whose cosines, also those among embeddings and among
    /// weights, keep clear of kinks and ties.
    fn inputs(&self, seed: u64) -> (Tensor<f64>, Tensor<f64>, Vec<usize>) {
        let mut g = Gen::new(seed, self.spec);
        loop {
            let points = g.normal([SAMPLES + CLASSES, DIM]).map(|x| self.spread * x);
            let unit = Var::constant(points.clone()).l2_normalize();
            let gram = unit.matmul_nt(&unit);
            let n = SAMPLES + CLASSES;
            let pairs = (0..n).flat_map(|a| (0..a).map(move |b| a * n + b));
            let mut marks: Vec<f64> = pairs.map(|at| gram.value().data()[at]).collect();
            marks.extend(self.kinks);
            marks.sort_by(f64::total_cmp);
            if marks.windows(2).all(|pair| pair[1] - pair[0] > CLEARANCE) {
                let (x, w) = points.data().split_at(SAMPLES * DIM);
                let labels = g.labels(SAMPLES, CLASSES);
                return (
                    Tensor::new([SAMPLES, DIM], x),
                    Tensor::new([CLASSES, DIM], w),
                    labels,
                );
            }
        }
    }
}
