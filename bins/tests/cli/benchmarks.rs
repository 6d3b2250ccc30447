//! `hypersphere bench`: that it measures what it says, not how fast it is.

use crate::training::workplace;
use crate::{fail, succeed};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn steps_make_curves_over_batches_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let step = ["bench", "step", "lenet", "-b", "4,8", "--classes", "10,40"];
    let more = ["--loss", "arcface", "--sampled-classes", "0.25"];
    let options = ["--seconds", "0", "-j", "1", "--json"];
    let found = json(&succeed(at, &[&step[..], &more, &options].concat()));
    let results = found["results"].as_array().unwrap();
    let of = |key: &str| -> Vec<u64> { results.iter().map(|r| r[key].as_u64().unwrap()).collect() };
    assert_eq!(of("batch"), [4, 4, 8, 8]);
    assert_eq!(of("classes"), [10, 40, 10, 40]);
    assert_eq!(of("compared"), [3, 10, 3, 10]);
    for result in results {
        assert!(result["seconds"]["median"].as_f64().unwrap() > 0.0);
        assert!(result["last_loss"].as_f64().unwrap().is_finite());
        let update = result["parts"].as_array().unwrap();
        assert!(update.iter().any(|part| part["op"] == "update"));
    }
    fail(at, &["bench", "step", "vg"], 2, &["did you mean `vgg`"]);
    let none = ["bench", "step", "vgg", "--sampled-classes", "0"];
    fail(at, &none, 2, &["--sampled-classes 0", "above 0"]);
    let one = ["bench", "step", "vgg", "--classes", "1"];
    fail(at, &one, 2, &["--classes 1", "two classes or more"]);
}

#[test]
fn operations_are_chosen_by_parts_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let found = ["bench", "ops", "matmul 63x", "--seconds", "0", "--json"];
    let found = json(&succeed(folder.path(), &found));
    let results = found["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    let passes = results[0]["rows"].as_array().unwrap().iter();
    let passes: Vec<&str> = passes.map(|row| row["pass"].as_str().unwrap()).collect();
    assert_eq!(passes, ["forward", "dA", "dB"]);
}

#[test]
fn the_way_of_the_data_is_measured() {
    let folder = workplace();
    let data = [
        "bench", "data", "mnist", "--data", "digits", "--batch", "50",
    ];
    let more = ["--set", "data.validation=100", "--seconds", "0.2"];
    let found = json(&succeed(
        folder.path(),
        &[&data[..], &more, &["--json"]].concat(),
    ));
    assert_eq!(
        (found["examples"].as_u64(), found["batch"].as_u64()),
        (Some(400), Some(50))
    );
    for key in ["reading", "first_epoch", "next_epoch", "training"] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key}: {found}");
    }
    assert!(
        (0.0..=1.0).contains(&found["waiting"].as_f64().unwrap()),
        "{found}"
    );
    let text = succeed(folder.path(), &[&data[..], &more].concat());
    assert!(text.contains("400 training images, 50 in a step"), "{text}");
    fail(folder.path(), &["bench", "data", "mnits"], 2, &["mnist"]);
    let negative = ["bench", "data", "mnist", "--seconds=-1"];
    fail(folder.path(), &negative, 2, &["--seconds -1"]);
}
