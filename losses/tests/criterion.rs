//! Losses as a part of a model, and losses on inputs that break careless ones.

use engine::rng::Key;
use engine::{Float, Params, Tensor, Var};
use losses::{Criterion, Error, LOSSES, NoteKind, Spec, Tensors, evaluate, expected_initial_loss};
use nn::{Pass, Scope};

fn criterion(spec: &str, classes: usize, dim: usize) -> (Criterion<f64>, Params<f64>) {
    let mut params = Params::new();
    let spec: Spec = spec.parse().unwrap();
    let criterion = Criterion::new(&spec, &mut Scope::root(&mut params, 1), classes, dim).unwrap();
    (criterion, params)
}

fn names(params: &Params<f64>) -> Vec<String> {
    let parameters = params
        .iter()
        .map(|(_, p)| format!("{} {}", p.name(), p.shape()));
    let buffers = params
        .buffers()
        .into_iter()
        .map(|(name, b)| format!("{name} {}", b.shape()));
    parameters.chain(buffers).collect()
}

fn embeddings(n: usize, dim: usize) -> Var<f64> {
    let mut rng = Key::new(3).rng();
    Var::leaf(Tensor::from_fn([n, dim], |_| rng.normal()))
}

#[test]
fn what_a_loss_owns_is_part_of_the_model() {
    let owned = |spec| names(&criterion(spec, 10, 4).1);
    assert_eq!(owned("softmax"), ["head.weight [10, 4]", "head.bias [10]"]);
    assert_eq!(owned("cosface"), ["head.weight [10, 4]"]);
    assert_eq!(
        owned("so-softmax + sml + 2*arcface"),
        ["head.weight [10, 4]"]
    );
    assert_eq!(
        owned("so-softmax + 0.1*center"),
        ["head.weight [10, 4]", "head.centers [10, 4]"]
    );
    let both = [
        "head.weight [10, 4]",
        "head.bias [10]",
        "head.angular.weight [10, 4]",
    ];
    assert_eq!(owned("sml + softmax"), both);
}

#[test]
fn the_learning_rate_of_the_class_weights_can_be_set_once() {
    let (_, params) = criterion("sml + cosface:head_lr_mult=10", 5, 4);
    assert_eq!(
        params.param(params.find("head.weight").unwrap()).lr_mult,
        10.0
    );
    let (_, params) = criterion("softmax:head_lr_mult=3 + sml", 5, 4);
    let rates = params.iter().map(|(_, p)| (p.name(), p.lr_mult));
    let expected = [
        ("head.weight", 3.0),
        ("head.bias", 3.0),
        ("head.angular.weight", 1.0),
    ];
    assert_eq!(rates.collect::<Vec<_>>(), expected);
    let spec: Spec = "sml:head_lr_mult=2 + cosface:head_lr_mult=10"
        .parse()
        .unwrap();
    let mut params = Params::<f32>::new();
    let error = Criterion::new(&spec, &mut Scope::root(&mut params, 0), 5, 4)
        .err()
        .unwrap();
    assert!(error.to_string().contains("head_lr_mult=10"), "{error}");
}

#[test]
fn the_sum_is_made_of_its_terms() {
    let (criterion, params) = criterion("0.5*so-softmax + 2*sml-joint:alpha=3 + center", 4, 6);
    let x = embeddings(5, 6);
    let labels = [0, 1, 2, 3, 1];
    let outcome = criterion
        .forward(&mut Pass::train(&params, Key::new(0)), &x, &labels)
        .unwrap();
    let terms: Vec<_> = outcome.terms.iter().map(|t| (t.name, t.weight)).collect();
    let expected = [
        ("so-softmax", 0.5),
        ("sml-joint/softmax", 2.0),
        ("sml-joint/sml", 6.0),
        ("center", 1.0),
    ];
    assert_eq!(terms, expected);
    let sum: f64 = outcome.terms.iter().map(|t| t.weight * t.value).sum();
    approx::assert_relative_eq!(outcome.loss.value().item(), sum, max_relative = 1e-12);
}

/// The prediction is the largest cosine. By Fn, which is even, an opposite class would win.
#[test]
fn predictions_are_free_of_margins() {
    let (criterion, mut params) = criterion("so-softmax", 3, 2);
    let weight = params.find("head.weight").unwrap();
    params.set(
        weight,
        &Tensor::new([3, 2], &[2.0, 0.0, -3.0, 0.0, 0.0, 1.0]),
    );
    let x = Var::constant(Tensor::new([1, 2], &[5.0, 1.0]));
    let pass = Pass::eval(&params);
    let logits = criterion.logits(&pass, &x).unwrap().unwrap();
    let c = 5.0 / 26.0_f64.sqrt();
    for (found, expected) in logits.data().iter().zip([c, -c, c / 5.0]) {
        approx::assert_relative_eq!(*found, expected, max_relative = 1e-12);
    }
    let outcome = criterion
        .forward(&mut Pass::eval(&params), &x, &[1])
        .unwrap();
    assert_eq!(outcome.logits.unwrap().data(), logits.data());
    assert!(
        !outcome.loss.is_tracked(),
        "an evaluation pass keeps nothing"
    );
}

#[test]
fn centres_follow_by_either_rule_in_training_and_not_in_evaluation() {
    let x = Var::constant(Tensor::new([3, 1], &[1.0, 3.0, 8.0]));
    for (rule, expected) in [
        ("paper", [0.5 * 4.0 / 3.0, 0.5 * 8.0 / 2.0, 0.0]),
        ("gradient", [0.5 * 4.0 / 3.0, 0.5 * 8.0 / 3.0, 0.0]),
    ] {
        let (criterion, params) = criterion(&format!("center:rule={rule}"), 3, 1);
        let centers = || params.buffers()[0].1.data().to_vec();
        criterion
            .forward(&mut Pass::eval(&params), &x, &[0, 0, 1])
            .unwrap();
        assert_eq!(centers(), [0.0; 3]);
        let outcome = criterion
            .forward(&mut Pass::train(&params, Key::new(0)), &x, &[0, 0, 1])
            .unwrap();
        assert_eq!(
            outcome.loss.value().item(),
            (1.0 + 9.0 + 64.0) / 6.0,
            "with the centres as they were"
        );
        assert!(outcome.logits.is_none());
        for (found, expected) in centers().iter().zip(expected) {
            approx::assert_relative_eq!(*found, expected, max_relative = 1e-12);
        }
    }
}

#[test]
fn sphereface_is_annealed_by_the_step() {
    let (mut criterion, params) = criterion("sphereface:lambda_min=0", 4, 6);
    let x = embeddings(5, 6);
    let mut loss = |step| {
        criterion.set_step(step);
        let outcome = criterion
            .forward(&mut Pass::eval(&params), &x, &[0, 1, 2, 3, 1])
            .unwrap();
        outcome.loss.value().item()
    };
    assert!(loss(0) < loss(1000) && loss(1000) < loss(1_000_000));
}

#[test]
fn a_label_out_of_range_is_named_with_its_place() {
    let (criterion, params) = criterion("cosface", 4, 6);
    let error = criterion
        .forward(&mut Pass::eval(&params), &embeddings(3, 6), &[0, 4, 1])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "labels[1] is 4; with 4 classes a label is 0 to 3"
    );
    let error = criterion
        .forward(&mut Pass::eval(&params), &embeddings(3, 6), &[0, 1])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 labels for 3 embeddings: there must be one for each"
    );
    let error = criterion
        .forward(&mut Pass::eval(&params), &embeddings(3, 5), &[0, 1, 2])
        .unwrap_err();
    assert!(error.to_string().contains("[3, 5]"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_noted() {
    let notes = |spec: &str, classes, dim| {
        let (_, notes) = spec.parse::<Spec>().unwrap().resolve(classes, dim).unwrap();
        assert!(notes.iter().all(|n| n.kind == NoteKind::Warning));
        notes
            .iter()
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(notes("so-softmax + cosface + arcface:s=30", 10, 64), "");
    let text = notes("so-softmax:preset=sv-repo", 10, 8);
    assert!(
        text.contains("cannot fall below 1.985") && text.contains("orthogonal in 8"),
        "{text}"
    );
    assert!(notes("cosface:s=4", 10, 64).contains("s >="));
}

/// Users take a loss of 33 at the start for a defect.
#[test]
fn the_initial_loss_is_foretold() {
    let expected = |spec: &str, classes, dim| {
        expected_initial_loss(&spec.parse().unwrap(), classes, dim).unwrap()
    };
    approx::assert_abs_diff_eq!(expected("softmax", 10, 128), 10.0_f64.ln(), epsilon = 0.05);
    // s sin m + ln(C−1) = 32.9 at right angles; random angles in 512 dimensions add a few.
    let arcface = expected("arcface", 10, 512);
    assert!((32.0..38.0).contains(&arcface), "{arcface}");
    assert!(expected("cosface:s=64", 10, 512) > 24.0);
}

fn specs() -> Vec<Spec> {
    let forms = [
        "cs-softmax:form=b",
        "cs-softmax:form=c",
        "cs-softmax:form=d",
        "sml:form=sample",
        "sml:form=pair",
        "sml:form=batch",
    ];
    let scales = LOSSES.iter().filter(|info| info.parameter("s").is_ok());
    let scales = scales.flat_map(|info| [1, 512].map(|s| format!("{}:s={s}", info.name)));
    let all = LOSSES
        .iter()
        .map(|info| info.name.to_string())
        .chain(scales)
        .chain(forms.map(str::to_string));
    all.map(|spec| spec.parse().unwrap()).collect()
}

/// Every output of every loss is finite.
fn assert_finite<T: Float>(what: &str, x: &[f64], w: &[f64], dim: usize, labels: &[i64]) {
    let tensor = |x: &[f64]| Tensor::from_fn([x.len() / dim, dim], |i| T::of(x[i]));
    let mut inputs = Tensors::new();
    inputs.insert("embeddings".into(), tensor(x));
    inputs.insert("weight".into(), tensor(w));
    inputs.insert("centers".into(), tensor(w));
    inputs.insert("bias".into(), Tensor::zeros([w.len() / dim]));
    for spec in specs() {
        let out = evaluate(&spec, &inputs, labels).unwrap();
        for (name, tensor) in &out {
            let finite = tensor.data().iter().all(|x| x.is_finite());
            assert!(finite, "{what}, {spec} in {}: {name} {tensor:?}", T::NAME);
        }
        assert!(out["loss"].item() >= T::ZERO, "{what}, {spec}");
    }
}

#[test]
fn edge_cases_stay_finite() {
    let w = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    type Edge = (&'static str, &'static [f64], usize, &'static [i64]);
    let cases: [Edge; 7] = [
        ("two classes", &[0.3, 0.2, -0.5, -0.1, 0.4, 0.2], 2, &[0, 1]),
        ("one sample", &[0.3, 0.2, -0.5], 3, &[2]),
        (
            "one class in the batch",
            &[0.3, 0.2, -0.5, 0.1, -0.9, 0.3],
            3,
            &[1, 1],
        ),
        (
            "a zero embedding",
            &[0.0, 0.0, 0.0, 0.1, -0.9, 0.3],
            3,
            &[0, 1],
        ),
        (
            "identical embeddings",
            &[0.3, 0.2, -0.5, 0.3, 0.2, -0.5],
            3,
            &[0, 1],
        ),
        ("cosine 1", &[7.0, 0.0, 0.0, 0.0, 0.1, 0.0], 3, &[0, 1]),
        ("cosine -1", &[-7.0, 0.0, 0.0, 0.0, -0.1, 0.0], 3, &[0, 1]),
    ];
    for (what, x, classes, labels) in cases {
        let w = &w[..3 * classes];
        assert_finite::<f32>(what, x, w, 3, labels);
        assert_finite::<f64>(what, x, w, 3, labels);
    }
}

#[test]
fn evaluation_explains_bad_input() {
    let spec: Spec = "cosface".parse().unwrap();
    let mut inputs = Tensors::<f32>::new();
    inputs.insert("embeddings".into(), Tensor::zeros([2, 3]));
    let error = evaluate(&spec, &inputs, &[0, 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`cosface` needs a tensor `weight` of shape [C, 3]; there are: embeddings"
    );
    inputs.insert("weight".into(), Tensor::zeros([4, 5]));
    let error = evaluate(&spec, &inputs, &[0, 1]).unwrap_err().to_string();
    assert!(
        error.contains("`weight` has shape [4, 5], expected [C, 3]"),
        "{error}"
    );
    inputs.insert("weight".into(), Tensor::zeros([4, 3]));
    let error = evaluate(&spec, &inputs, &[0, -1]).unwrap_err();
    assert!(matches!(
        error,
        Error::Label {
            position: 1,
            label: -1,
            classes: 4
        }
    ));
}

#[test]
fn values_of_samples_are_weighted_as_the_loss_is() {
    let tensor = |n: usize| Tensor::from_fn([n, 3], |i| (1.7 * i as f64).sin());
    let mut inputs = Tensors::new();
    inputs.insert("embeddings".into(), tensor(4));
    inputs.insert("weight".into(), tensor(3));
    let spec: Spec = "0.5*normface + 3*sml:form=sample".parse().unwrap();
    let out = evaluate(&spec, &inputs, &[0, 1, 2, 1]).unwrap();
    let mean = out["loss_per_sample"].data().iter().sum::<f64>() / 4.0;
    approx::assert_relative_eq!(out["loss"].item(), mean, max_relative = 1e-12);
    let spec: Spec = "normface + sml".parse().unwrap();
    let out = evaluate(&spec, &inputs, &[0, 1, 2, 1]).unwrap();
    assert!(
        !out.contains_key("loss_per_sample"),
        "sml has no values for samples"
    );
}

#[test]
fn every_page_is_complete() {
    for info in LOSSES {
        let page = info.to_string();
        assert!(
            page.contains(info.source) && page.contains("Parameters"),
            "{page}"
        );
        let spec: Spec = info.name.parse().unwrap();
        assert_eq!(
            spec.terms()[0].values().iter().count(),
            info.parameters.len()
        );
        for parameter in info.parameters {
            assert!(
                page.contains(parameter.key) && page.contains(parameter.meaning),
                "{page}"
            );
        }
        for preset in info.presets {
            let spec: Spec = format!("{}:preset={}", info.name, preset.name)
                .parse()
                .unwrap();
            assert_eq!(
                spec.terms()[0].values().iter().count(),
                info.parameters.len()
            );
        }
    }
}
