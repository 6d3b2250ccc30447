//! Losses as a part of a model, and losses on inputs that break careless ones.

use engine::rng::Key;
use engine::{Params, Tensor, Var};
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
fn what_a_loss_owns_alone_has_its_name() {
    let owned = |spec| names(&criterion(spec, 10, 4).1);
    assert_eq!(
        owned("normface:learned=true"),
        ["head.weight [10, 4]", "head.normface.s [1]"]
    );
    assert_eq!(
        owned("subcenter-arcface:k=2"),
        ["head.subcenter-arcface.weight [10, 2, 4]"]
    );
    assert_eq!(
        owned("l-softmax"),
        ["head.weight [10, 4]"],
        "without a bias"
    );
    assert_eq!(
        owned("triplet:memory=8 + multi-similarity:memory=8"),
        [
            "head.memory.embeddings [8, 4]",
            "head.memory.labels [8]",
            "head.memory.next [1]"
        ],
        "two losses share a memory"
    );
    let (_, params) = criterion("margin + soft-triple:head_lr_mult=100", 10, 4);
    let settings = params.iter().map(|(_, p)| (p.name(), p.lr_mult, p.decay));
    let expected = [
        ("head.margin.beta", 1.0, false),
        ("head.soft-triple.weight", 100.0, true),
    ];
    assert_eq!(settings.collect::<Vec<_>>(), expected);
}

/// Every loss with state, by the table: it moves in training and stays in evaluation.
#[test]
fn state_moves_in_training_alone() {
    let mut with_state = 0;
    for info in LOSSES {
        let memory = info.parameter("memory").is_ok();
        let spec = format!("{}{}", info.name, if memory { ":memory=8" } else { "" });
        let (criterion, params) = criterion(&spec, 4, 6);
        let (x, labels) = (embeddings(5, 6), [0, 1, 2, 0, 1]);
        let state = || {
            params
                .buffers()
                .into_iter()
                .map(|(_, x)| x.bits())
                .collect::<Vec<_>>()
        };
        let before = state();
        criterion
            .forward(&mut Pass::eval(&params), &x, &labels)
            .unwrap();
        assert_eq!(before, state(), "{spec} in evaluation");
        criterion
            .forward(&mut Pass::train(&params, Key::new(0)), &x, &labels)
            .unwrap();
        for (before, after) in before.iter().zip(state()) {
            assert_ne!(*before, after, "{spec} in training");
            with_state += 1;
        }
    }
    assert!(with_state > 10, "{with_state}");
}

#[test]
fn the_radius_of_ring_loss_starts_at_the_first_batch_alone() {
    let (criterion, params) = criterion("ring", 4, 2);
    let train = |x: &[f64]| {
        let x = Var::leaf(Tensor::new([2, 2], x));
        let pass = &mut Pass::train(&params, Key::new(0));
        criterion
            .forward(pass, &x, &[0, 1])
            .unwrap()
            .loss
            .value()
            .item()
    };
    assert_eq!(
        train(&[3.0, 4.0, 0.0, 7.0]),
        0.5,
        "lengths 5 and 7, radius 6"
    );
    assert_eq!(
        train(&[6.0, 8.0, 0.0, 6.0]),
        4.0,
        "lengths 10 and 6, the same radius"
    );
}

/// Two batches: the second is compared with the first as it was.
#[test]
fn memory_holds_past_batches() {
    let (criterion, params) = criterion("contrastive:memory=3", 4, 1);
    let train = |x: &[f64], labels: &[usize]| {
        let x = Var::leaf(Tensor::new([x.len(), 1], x));
        let pass = &mut Pass::train(&params, Key::new(0));
        criterion
            .forward(pass, &x, labels)
            .unwrap()
            .loss
            .value()
            .item()
    };
    assert_eq!(train(&[0.0, 2.0], &[0, 0]), 2.0, "nothing past yet");
    // One sample, of class 0, with those of before at distances 3 and 1.
    assert_eq!(train(&[3.0], &[0]), (4.5 + 0.5) / 2.0);
    // The three places now hold 0, 2 and 3.
    approx::assert_relative_eq!(train(&[2.0], &[0]), (2.0 + 0.0 + 0.5) / 3.0);
    // 2 has taken the place of 0; another class within the margin of 1.
    approx::assert_relative_eq!(train(&[2.5], &[1]), (0.125 * 3.0) / 3.0);
}

#[test]
fn drawn_margins_are_those_of_the_step() {
    let (elastic, params) = criterion("elasticface:s=16", 4, 6);
    let x = embeddings(5, 6);
    let loss = |pass: &mut Pass<'_, f64>| {
        let outcome = elastic.forward(pass, &x, &[0, 1, 2, 3, 1]).unwrap();
        outcome.loss.value().item()
    };
    let train = |step| loss(&mut Pass::train(&params, Key::new(7).at(step)));
    assert_eq!(train(0), train(0));
    assert_ne!(train(0), train(1));
    // In evaluation the margins are all the mean, as in arcface on the same weights.
    let arcface = criterion("arcface:s=16", 4, 6);
    assert_eq!(arcface.1.values(), params.values());
    let outcome = arcface
        .0
        .forward(&mut Pass::eval(&arcface.1), &x, &[0, 1, 2, 3, 1]);
    assert_eq!(
        loss(&mut Pass::eval(&params)),
        outcome.unwrap().loss.value().item()
    );
}

/// In the "+" form a sample nearer to its class has a smaller margin.
#[test]
fn sorted_margins_grow_with_the_angle() {
    let spec: Spec = "elasticface:s=1,sorted=true,sigma=0.2".parse().unwrap();
    let angles = [0.2_f64, 1.4, 0.8];
    let x: Vec<f64> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
    let mut inputs = Tensors::new();
    inputs.insert("embeddings".into(), Tensor::new([3, 2], &x));
    inputs.insert("weight".into(), Tensor::new([2, 2], &[1.0, 0.0, -1.0, 0.0]));
    let out = evaluate(&spec, &inputs, &[0, 0, 0]).unwrap();
    // s cos(theta + m) from the loss of two classes: l = ln(1 + e^(s c_2 - t)).
    let margin = |i: usize| {
        let t = -angles[i].cos() - (out["loss_per_sample"].data()[i].exp_m1()).ln();
        t.acos() - angles[i]
    };
    assert!(margin(0) < margin(2) && margin(2) < margin(1));
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
/// Triplets and centres before the neck, class weights and what is on their sphere behind it.
#[test]
fn losses_of_samples_are_those_before_the_neck() {
    let labels = [0, 0, 1, 1, 2];
    let embeddings = embeddings(5, 3);
    let before = Var::leaf(embeddings.value().map(|x| 3.0 * x + x * x));
    let value = |spec: &str, before: Option<&Var<f64>>| {
        let (criterion, params) = criterion(spec, 3, 3);
        let pass = &mut Pass::train(&params, Key::new(1));
        let outcome = criterion.forward_around_neck(pass, before, &embeddings, &labels);
        outcome.unwrap().loss.value().item()
    };
    for (spec, is_of_samples) in [
        ("triplet", true),
        ("center", true),
        ("softmax", false),
        ("sml", false),
    ] {
        let [with, without] = [Some(&before), None].map(|before| value(spec, before));
        assert_eq!(with != without, is_of_samples, "{spec}: {with} {without}");
    }
    let sum = value("cosface", Some(&before)) + 0.5 * value("triplet", Some(&before));
    let found = value("cosface + 0.5*triplet", Some(&before));
    assert!((found - sum).abs() < 1e-12, "{found} {sum}");
}

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

/// A draw of the wrong shape is not passed over in silence, and labels alone allocate nothing.
#[test]
fn evaluation_refuses_what_does_not_fit_a_loss() {
    let tensor = |shape: [usize; 2]| Tensor::from_fn(shape, |i| (1.7 * i as f64).sin());
    let mut inputs = Tensors::from([("embeddings".to_string(), tensor([2, 3]))]);
    let center: Spec = "center".parse().unwrap();
    let error = evaluate(&center, &inputs, &[0, i64::MAX]).unwrap_err();
    assert!(
        error.to_string().contains("needs a tensor `centers`"),
        "{error}"
    );
    inputs.insert("weight".into(), tensor([4, 3]));
    inputs.insert("elasticface.margins".into(), tensor([3, 1]));
    let elastic: Spec = "elasticface".parse().unwrap();
    let error = evaluate(&elastic, &inputs, &[0, 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the tensor `elasticface.margins` has shape [3, 1], expected [2]"
    );
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
            page.contains(info.source) && page.contains(info.formula.lines().next().unwrap()),
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
