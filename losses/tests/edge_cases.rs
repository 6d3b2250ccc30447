//! Every loss of the table, in every form, on inputs that break careless ones. A new loss is
//! covered by being in the table.

mod shared;

use engine::Float;
use losses::{Error, Head, evaluate};
use shared::{inputs, specs};

const DIM: usize = 3;
const WEIGHT: [f64; 9] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];

/// These have values below 0: a density may exceed 1, and a softmax may lack its target.
const SIGNED: [&str; 2] = ["gaussian", "proxy-nca"];

fn assert_sound<T: Float>(what: &str, x: &[f64], classes: usize, labels: &[i64]) {
    for spec in specs() {
        let inputs = inputs::<T>(&spec, classes, DIM, x, &WEIGHT[..DIM * classes]);
        let out =
            evaluate(&spec, &inputs, labels).unwrap_or_else(|e| panic!("{what}, {spec}: {e}"));
        for (name, tensor) in &out {
            // A gradient grows with the scale and with 1/|x|, which is 10 at most here.
            let sound = tensor.data().iter().all(|x| x.to_f64().abs() < 1e6);
            assert!(sound, "{what}, {spec} in {}: {name} {tensor:?}", T::NAME);
        }
        let is_signed = SIGNED.contains(&spec.terms()[0].info().name);
        assert!(
            out["loss"].item() >= T::ZERO || is_signed,
            "{what}, {spec}: {:?}",
            out["loss"]
        );
    }
}

#[test]
fn every_output_is_finite_and_of_a_sound_size() {
    type Edge = (&'static str, &'static [f64], usize, &'static [i64]);
    let cases: [Edge; 9] = [
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
            &[0.0, 0.0, 0.0, 0.1, -0.9, 0.3, 0.2, 0.2, 0.5],
            3,
            &[0, 1, 0],
        ),
        (
            "identical embeddings of two classes",
            &[0.3, 0.2, -0.5, 0.3, 0.2, -0.5],
            3,
            &[0, 1],
        ),
        (
            "identical embeddings of one class",
            &[0.3, 0.2, -0.5, 0.3, 0.2, -0.5, -0.3, 0.8, 0.1],
            3,
            &[0, 0, 1],
        ),
        (
            "cosine 1",
            &[7.0, 0.0, 0.0, 0.0, 0.1, 0.0, 9.0, 0.0, 0.0],
            3,
            &[0, 1, 0],
        ),
        (
            "cosine -1",
            &[-7.0, 0.0, 0.0, 0.0, -0.1, 0.0, 7.0, 0.0, 0.0],
            3,
            &[0, 1, 0],
        ),
        (
            "every pair of places",
            &[
                0.3, 0.2, -0.5, 0.1, 0.9, 0.3, -0.3, 0.2, 0.1, 0.8, 0.1, 0.1, 0.2, -0.4, 0.3, 0.5,
                0.5, 0.1,
            ],
            3,
            &[0, 1, 2, 0, 1, 2],
        ),
    ];
    for (what, x, classes, labels) in cases {
        assert_sound::<f32>(what, x, classes, labels);
        assert_sound::<f64>(what, x, classes, labels);
    }
}

/// The place and the value of a label without a class are named; a loss of pairs has no classes.
#[test]
fn a_label_out_of_range_is_named_by_every_loss() {
    let x = [0.3, 0.2, -0.5, 0.1, -0.9, 0.3];
    for spec in specs() {
        let inputs = inputs::<f64>(&spec, 3, DIM, &x, &WEIGHT);
        let has_classes = spec.terms()[0].info().head != Head::None
            || inputs
                .values()
                .any(|t| t.shape().rank() > 1 && t.shape()[0] == 3);
        let bad = if has_classes { 3 } else { -1 };
        let error = evaluate(&spec, &inputs, &[1, bad]).unwrap_err();
        let is_named = matches!(error, Error::Label { position: 1, label, .. } if label == bad);
        assert!(is_named, "{spec}: {error}");
        let error = evaluate(&spec, &inputs, &[1]).unwrap_err();
        assert_eq!(
            error,
            Error::LabelCount {
                labels: 1,
                samples: 2
            },
            "{spec}"
        );
    }
}
