use super::*;

fn term(name: &str, value: f64, gradient: f64) -> Term {
    Term {
        name: name.into(),
        weight: 1.0,
        value,
        gradient,
        head_gradient: 0.0,
    }
}

/// A healthy epoch.
fn row(epoch: u64, terms: &[Term]) -> EpochRow {
    EpochRow {
        epoch,
        step: 100 * epoch,
        lr: 0.1,
        train_loss: 1.0,
        train_accuracy: Some(0.8),
        validation: None,
        health: Some(Health {
            images: 100,
            terms: terms.to_vec(),
            gradient_norm: 1.0,
            cosine_same: Some(0.7),
            cosine_different: Some(0.1),
            theta_own: Some(50.0),
            effective_rank: Some(9.0),
        }),
        findings: Vec::new(),
        images_per_second: 1.0,
        waited_s: 0.0,
        seconds: 1.0,
    }
}

fn situation() -> Situation {
    Situation {
        classes: 10,
        epochs: 10,
        idle: vec![("triplet".into(), 0.3, "its margin")],
    }
}

fn kinds(rows: &[EpochRow], row: &EpochRow) -> Vec<String> {
    let found = findings(rows, row, &situation());
    assert!(found.iter().all(|f| f.cure.len() > 10), "{found:?}");
    found.into_iter().map(|f| f.kind).collect()
}

#[test]
fn a_healthy_training_is_left_alone() {
    let usual = [term("softmax", 1.0, 0.3), term("center", 5.0, 0.1)];
    let mut rows = Vec::new();
    for epoch in 1..=10 {
        // Towards the end the loss is small, and so are gradients.
        let shrink = 1.0 / epoch as f64;
        let terms = usual
            .clone()
            .map(|t| term(&t.name, t.value * shrink, t.gradient * shrink));
        let row = row(epoch, &terms);
        assert_eq!(kinds(&rows, &row), Vec::<String>::new());
        rows.push(row);
    }
}

#[test]
fn collapse_is_told_once_and_with_the_margin_where_the_loss_stands() {
    let mut bad = row(1, &[term("triplet", 0.2995, 0.01)]);
    let health = bad.health.as_mut().unwrap();
    (health.cosine_same, health.cosine_different) = (Some(0.999), Some(0.998));
    let found = findings(&[], &bad, &situation());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, "collapse");
    for part in [
        "effective rank is 9.0",
        "`triplet` stands at its margin, 0.300",
    ] {
        assert!(found[0].what.contains(part), "{}", found[0].what);
    }
    assert!(
        found[0].to_string().contains("\n  try: a smaller `lr`"),
        "{}",
        found[0]
    );
    bad.findings = found;
    assert_eq!(kinds(&[bad.clone()], &bad), Vec::<String>::new());
    // Alike within a class and different across classes is what training is for.
    bad.health.as_mut().unwrap().cosine_different = Some(0.5);
    bad.findings.clear();
    assert_eq!(kinds(&[], &bad), Vec::<String>::new());
}

#[test]
fn a_loss_that_rises_while_the_accuracy_falls_diverges() {
    let terms = [term("softmax", 1.0, 0.3)];
    let mut worse = row(2, &terms);
    (worse.train_loss, worse.train_accuracy) = (2.5, Some(0.4));
    assert_eq!(kinds(&[row(1, &terms)], &worse), ["divergence"]);
    worse.train_accuracy = Some(0.85);
    assert_eq!(
        kinds(&[row(1, &terms)], &worse),
        Vec::<String>::new(),
        "annealed"
    );
}

#[test]
fn terms_without_effect_are_told_apart() {
    let strong = term("softmax", 1.0, 0.3);
    let dead = row(1, &[strong.clone(), term("triplet", 0.0, 0.0)]);
    assert_eq!(kinds(&[], &dead), ["dead"]);
    let drowned = row(1, &[strong.clone(), term("center", 40.0, 1e-9)]);
    assert_eq!(kinds(&[], &drowned), ["dead"]);
    // What pulled once and has reached its aim is something else.
    let before = row(1, &[strong.clone(), term("triplet", 0.2, 0.1)]);
    let satisfied = row(2, &[strong.clone(), term("triplet", 0.0, 0.0)]);
    assert_eq!(
        kinds(std::slice::from_ref(&before), &satisfied),
        ["saturated"]
    );
    let mut last = satisfied;
    last.epoch = 10;
    assert_eq!(
        kinds(&[before], &last),
        Vec::<String>::new(),
        "there is nothing left to do"
    );
}

#[test]
fn chance_after_many_steps_is_stuck() {
    let mut bad = row(3, &[term("arcface", 30.0, 0.3)]);
    bad.train_accuracy = Some(0.11);
    bad.health.as_mut().unwrap().theta_own = Some(95.0);
    assert_eq!(kinds(&[], &bad), ["stuck"]);
    bad.step = 100;
    assert_eq!(kinds(&[], &bad), Vec::<String>::new(), "too early to tell");
}

/// ArcFace with s = 30 and m = 0.5 did so on spoken digits, with 153°, from each of three seeds.
#[test]
fn embeddings_opposite_to_their_classes_are_told() {
    let mut bad = row(1, &[term("arcface", 14.6, 0.3)]);
    bad.health.as_mut().unwrap().theta_own = Some(153.0);
    assert_eq!(kinds(&[], &bad), ["opposite"]);
    // Fresh weights are at right angles to everything.
    bad.health.as_mut().unwrap().theta_own = Some(93.0);
    assert_eq!(kinds(&[], &bad), Vec::<String>::new());
}

#[test]
fn the_rank_is_that_of_the_rows_whichever_are_more() {
    // Two directions used alike by three rows of five dimensions, and by eight of two.
    let wide: Vec<f32> = (0..4 * 5)
        .map(|i| f32::from(i % 5 == (i / 5) % 2))
        .collect();
    assert!((rank_of_last(&wide, 5).unwrap() - 2.0).abs() < 1e-5);
    let tall: Vec<f32> = (0..8 * 2)
        .map(|i| f32::from(i % 2 == (i / 2) % 2))
        .collect();
    assert!((rank_of_last(&tall, 2).unwrap() - 2.0).abs() < 1e-5);
    // Only the last rows count: the first 100 point elsewhere.
    let mut many = [0.0, 0.0, 1.0].repeat(100);
    many.extend([1.0, 0.0, 0.0].repeat(RANKED));
    assert!((rank_of_last(&many, 3).unwrap() - 1.0).abs() < 1e-5);
}

#[test]
fn the_angle_to_the_own_class_is_in_degrees() {
    let weights = Tensor::new([2, 2], &[2.0, 0.0, 0.0, 3.0_f32]);
    let rows = [5.0, 0.0, 1.0, 1.0_f32];
    let rows = Embeddings::new(&rows, 2).unwrap();
    assert!((mean_angle(rows, &weights, &[0, 0]) - 22.5).abs() < 1e-5);
    assert!((mean_angle(rows, &weights, &[1, 1]) - 67.5).abs() < 1e-5);
}

#[test]
fn only_the_last_batches_are_kept() {
    let mut sample = Sample::default();
    for left in (1..=100).rev() {
        let before = Tensor::full([100, 2], left as f32);
        sample.add(Tensor::zeros([100, 2]), Some(before), &[left; 100], left);
    }
    let firsts: Vec<usize> = (sample.batches.iter())
        .map(|(_, labels)| labels[0])
        .collect();
    assert_eq!(firsts, (1..=11).rev().collect::<Vec<_>>());
    assert_eq!(sample.before_neck.unwrap().data()[0], 1.0);
}
