//! Gradient checks of whole losses: from the embeddings and the class weights through the cosines
//! to the value.

use crate::batch::{Batch, Heads, Setting};
use crate::criterion::{build, parts, total};
use crate::info::Head;
use crate::owned::{Held, OwnedKind};
use crate::spec::Spec;
use engine::gradcheck::{Gen, Report, check_function};
use engine::rng::Key;
use engine::{Tensor, Var};
use std::collections::BTreeMap;
use std::iter::repeat;
use std::rc::Rc;

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
    linear("softmax:smoothing=0.2,spread=others"),
    linear("focal"),
    linear("focal:gamma=0.5,alpha=0.25"),
    linear("virtual-softmax"),
    linear("l-softmax:m=2,lambda=0"),
    linear("l-softmax:m=3,lambda=5"),
    linear("l-softmax"),
    smooth("sphereface:m=1,lambda=0"),
    kinked("sphereface:m=2,lambda=0", &[0.0]),
    kinked("sphereface:m=3,lambda=5", &[0.5, -0.5]),
    kinked(
        "sphereface",
        &[0.707_106_781_186_547_5, 0.0, -0.707_106_781_186_547_5],
    ),
    smooth("sphereface2"),
    smooth("sphereface2:r=8,t=1,lambda=0.5"),
    smooth("normface:s=16"),
    smooth("normface:s=30,smoothing=0.1"),
    smooth("normface:s=8,learned=true"),
    smooth("cosface:s=30,m=0.35"),
    kinked("arcface:s=30,m=0.5", &[-0.877_582_561_890_372_8, 1.0, -1.0]),
    kinked(
        "arcface:s=16,m=30deg,smoothing=0.1",
        &[-0.866_025_403_784_438_6, 1.0, -1.0],
    ),
    kinked("combined:s=30", &[-0.955_336_489_125_606, 1.0, -1.0]),
    kinked(
        "combined:s=16,preset=sphereface",
        &[-0.686_241_637_868_716_1, 1.0, -1.0],
    ),
    smooth("subcenter-arcface:s=30,m=0.3"),
    smooth("adacos"),
    smooth("adacos:form=fixed"),
    smooth("mv-softmax"),
    smooth("mv-softmax:form=fixed,target=angle,s=16"),
    smooth("mv-softmax:form=adaptive,target=cosine,s=16"),
    smooth("curricularface:s=16,rate=0.5"),
    smooth("adaface:s=30,rate=1"),
    smooth("magface:s=30"),
    smooth("elasticface:s=30"),
    smooth("elasticface:s=30,preset=arc-plus"),
    smooth("elasticface:s=16,form=cos,sorted=true"),
    smooth("d-softmax"),
    smooth("p2sgrad"),
    linear("gaussian"),
    linear("gaussian:alpha=0.5,lambda=1"),
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
    linear("contrastive:margin=4"),
    linear("contrastive:distance=squared,margin=20"),
    linear("contrastive:distance=unit,margin=1.5"),
    linear("contrastive:distance=unit-squared,margin=3"),
    linear("triplet"),
    linear("triplet:soft=true"),
    linear("triplet:mining=all,margin=1"),
    linear("triplet:distance=squared"),
    linear("triplet:mining=semi-hard,distance=unit"),
    linear("triplet:preset=facenet"),
    linear("lifted"),
    linear("lifted:margin=0.5,distance=unit"),
    linear("lifted:distance=squared"),
    linear("lifted:distance=unit-squared"),
    linear("n-pair"),
    smooth("multi-similarity:beta=10"),
    smooth("multi-similarity:beta=10,unmined=true"),
    smooth("supcon"),
    smooth("nt-xent:t=0.5"),
    smooth("margin"),
    smooth("margin:boundaries=class,sampling=all,nu=0.3"),
    smooth("proxy-nca:scale=4"),
    smooth("proxy-nca:form=common"),
    smooth("proxy-anchor"),
    smooth("soft-triple:k=3"),
    smooth("center"),
    smooth("ring"),
    linear("softmax + 0.1*normface:s=4 + 0.5*center"),
];

/// Losses that stop a gradient by their definition: the comparison must fail on each, which a test
/// sees to.
pub static SURROGATE_CHECKS: &[Check] = &[
    smooth("arcface:s=16,gradient=straight"),
    smooth("circle:gamma=16"),
    smooth("circle-pair:gamma=16"),
    smooth("circle-pair:gamma=16,form=batch"),
    smooth("cs-softmax:form=c"),
];

const SAMPLES: usize = 5;
const CLASSES: usize = 4;
const DIM: usize = 6;
/// The least distance between two cosines, and of a cosine from a kink: several times what the
/// steps of the finite differences move them by.
const CLEARANCE: f64 = 2e-3;

impl Check {
    /// Checks the gradients on inputs drawn from `seed`: those of the embeddings, the class weights
    /// and everything that is learned. What the loss draws, selects or detaches by its definition
    /// ([`Batch::held`]) is held fixed.
    ///
    /// # Panics
    /// If the spec is no valid one.
    pub fn run(&self, seed: u64) -> Report {
        let spec: Spec = self.spec.parse().unwrap_or_else(|e| panic!("{e}"));
        let (spec, _) = spec.resolve(CLASSES, DIM).unwrap_or_else(|e| panic!("{e}"));
        let losses = build::<f64>(&spec);
        let heads: Vec<Head> = spec.terms().iter().map(|t| t.info().head).collect();
        let (x, weight, labels) = self.inputs(seed);
        let mut g = Gen::new(seed, "heads");
        let mut inputs = vec![x];
        let mut names = Vec::new();
        let mut add = |name: &'static str, value: Tensor<f64>| {
            names.push(name);
            inputs.push(value);
        };
        let has_linear = heads.iter().any(|head| head.is_linear());
        if self.weights && has_linear {
            add("weight", g.normal([CLASSES, DIM]).map(|w| 0.5 * w));
        }
        if self.weights && heads.contains(&Head::Linear) {
            add("bias", g.normal([CLASSES]));
        }
        if self.weights && heads.contains(&Head::Angular) {
            add("angular.weight", weight.clone());
        }
        let mut state = BTreeMap::new();
        for it in losses.iter().flat_map(|(_, loss)| loss.owns(CLASSES, DIM)) {
            let begun = it
                .init
                .tensor(it.shape(CLASSES, DIM), Key::new(seed).named(it.name));
            // Weights compared by direction are as long as the embeddings.
            let length = match it.kind {
                OwnedKind::Learned { decay: true } => self.spread * (DIM as f64).sqrt(),
                _ => 1.0,
            };
            match it.kind {
                OwnedKind::State => drop(state.insert(it.name, Var::constant(begun))),
                // Off the initial values, whose zeros and ones hide mistakes.
                OwnedKind::Learned { .. } => {
                    let mut value = g.normal(begun.shape());
                    value.zip_assign(&begun, |noise, x| length * x + 0.1 * noise);
                    add(it.name, value);
                }
            }
        }
        let held = Rc::new(Held::keeping());
        let heads = |leaves: &[Var<f64>]| {
            let mut given: BTreeMap<_, _> =
                names.iter().copied().zip(leaves.iter().cloned()).collect();
            let bias = given.remove("bias");
            let fixed = || Var::constant(weight.clone());
            Heads {
                linear: given.remove("weight").map(|weight| (weight, bias)),
                angular: Some(given.remove("angular.weight").unwrap_or_else(fixed)),
                owned: given.into_iter().chain(state.clone()).collect(),
            }
        };
        check_function(self.spec, &inputs, &|inputs| {
            let setting = Setting {
                heads: heads(&inputs[1..]),
                step: 0,
                training: Some(Key::new(seed)),
                held: held.clone(),
                watch: None,
            };
            let batch = Batch::new(&inputs[0], &labels, &setting).expect("shapes fit");
            total(&parts(&losses, repeat(&batch)).expect("shapes and labels fit"))
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
