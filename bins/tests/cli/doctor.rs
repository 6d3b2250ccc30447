//! `hypersphere doctor` on runs that are well, damaged, unfinished or diverged.

use crate::training::{WILD, train, workplace};
use crate::{assert_has, fail, run, succeed};
use std::path::Path;

/// `doctor`, which must find problems and say all of `parts`.
#[track_caller]
pub fn diagnosed(folder: &Path, what: &str, parts: &[&str]) {
    let outcome = run(folder, &["doctor", what]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert_has(&outcome.stdout, parts);
    let problems = outcome.stdout.matches("problem  ").count();
    let counted = format!("{problems} problems in {what}");
    assert_has(&outcome.stderr, &[&counted]);
}

/// Not at the training images, of which there are more.
#[test]
fn the_doctor_looks_at_what_was_tested_on() {
    let folder = tempfile::tempdir().unwrap();
    let mnist = ::data::mnist::embedded();
    for (root, set, count) in [("own", &mnist.train, 80), ("other", &mnist.test, 30)] {
        for i in 0..count {
            let class = folder.path().join(format!("{root}/{}", set.labels()[i]));
            std::fs::create_dir_all(&class).unwrap();
            let picture = [b"P5 28 28 255\n", set.image(i)].concat();
            std::fs::write(class.join(format!("{i}.pgm")), picture).unwrap();
        }
    }
    let train = [
        "train", "own", "--epochs", "1", "--batch", "8", "--out", "run",
    ];
    let other = "data.test={format=\"folder\",folder=\"other\"}";
    let settings = ["--set", "data.size=[28,28]", "--set", other];
    succeed(folder.path(), &[&train[..], &settings].concat());
    let text = run(folder.path(), &["doctor", "run"]).stdout;
    assert_has(&text, &["30 test examples fit"]);
}

/// As if 255 had been taken for 1 when mean and deviation were measured.
#[test]
fn the_doctor_finds_preprocessing_of_other_images_and_data_that_has_gone() {
    let folder = workplace();
    let wrong = [
        "--epochs",
        "1",
        "--set",
        "data.mean=[33.3]",
        "--set",
        "data.std=[78.6]",
    ];
    succeed(folder.path(), &train("run", &wrong));
    diagnosed(
        folder.path(),
        "run",
        &[
            "problem  the preprocessing is not that of the images",
            "-0.42",
            "leave `data.mean`",
        ],
    );
    std::fs::remove_dir_all(folder.path().join("digits")).unwrap();
    let text = run(folder.path(), &["doctor", "run"]).stdout;
    assert!(
        text.contains("hint     what the network sees could not be looked at"),
        "{text}"
    );
}

#[test]
fn the_doctor_finds_what_was_damaged_and_what_is_unfinished() {
    let folder = workplace();
    succeed(folder.path(), &train("run", &["--epochs", "1"]));
    let text = succeed(folder.path(), &["doctor", "run"]);
    assert!(text.contains("good     3 checkpoints are whole"), "{text}");
    assert!(!text.contains("problem"), "{text}");
    assert!(
        text.contains("200 test examples fit the preprocessing"),
        "{text}"
    );

    // Whole, but not to be used.
    let last = folder.path().join("run/ckpt/last.safetensors");
    let whole = std::fs::read(&last).unwrap();
    let mut other = nn::Checkpoint::<f32>::read(&last).unwrap();
    other.metadata.insert("model".into(), "vgg-heavy".into());
    other.write(&last).unwrap();
    diagnosed(
        folder.path(),
        "run",
        &["problem  the weights cannot be used: ", "vgg-heavy"],
    );
    std::fs::write(&last, whole).unwrap();

    let weights = folder.path().join("run/ckpt/best.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    std::fs::remove_file(folder.path().join("run/eval/test.json")).unwrap();
    diagnosed(
        folder.path(),
        "run",
        &[
            "best.safetensors is damaged",
            "not come to its end",
            "train --resume run",
        ],
    );

    let outcome = run(folder.path(), &train("wild", &WILD));
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
    diagnosed(folder.path(), "wild", &["the training diverged in step"]);
    fail(
        folder.path(),
        &["doctor", "nowhere"],
        2,
        &["nowhere is not there"],
    );
    // What is no run is data.
    let text = succeed(folder.path(), &["doctor", "digits"]);
    assert!(text.contains("images"), "{text}");
}
