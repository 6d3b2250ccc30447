//! An interrupted run, continued, ends with the bits of one that was not interrupted.

use hypersphere::config::{Config, Layers};
use hypersphere::progress::Style;
use hypersphere::run_dir::RunDir;
use hypersphere::trainer::Trainer;
use hypersphere_tests::runs::{start, train_in_pieces, turn};
use std::path::Path;

/// Two epochs of four steps, with everything that a run remembers from step to step: momentum,
/// an average of the weights, a loss that is annealed and class centres that move.
fn config(changes: &[&str]) -> Config {
    let mut layers = Layers::recipe("mnist").unwrap();
    let usual = [
        "epochs=2",
        "batch=128",
        "seed=3",
        "lr=0.05",
        "ema=0.99",
        "clip_norm=5.0",
        "loss=sphereface + 0.01*center",
        "data.limit=600",
        "data.validation=300",
        "model.embed_dim=16",
    ];
    for change in usual.iter().chain(changes) {
        layers.add_assignment(change).unwrap();
    }
    layers.resolve().unwrap()
}

/// `metrics.csv` without the columns that are about time.
fn figures(folder: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let mut rows = text
        .lines()
        .map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let about_time = ["images_per_second", "waited_s", "seconds"];
    assert!(about_time.iter().all(|t| header.iter().any(|h| h == t)));
    let kept = |row: Vec<String>| {
        let named = header.iter().zip(row);
        let figures = named.filter(|(name, _)| !about_time.contains(&name.as_str()));
        figures.map(|(name, x)| format!("{name} {x}")).collect()
    };
    rows.map(kept).collect()
}

fn assert_same_end(a: &Path, b: &Path) {
    assert_eq!(figures(a), figures(b));
    for file in ["ckpt/last.safetensors", "ckpt/best.safetensors"] {
        let [x, y] = [a, b].map(|folder| std::fs::read(folder.join(file)).unwrap());
        assert!(x == y, "{file} has other bytes after a resume");
    }
}

#[test]
fn a_run_interrupted_after_every_step_ends_with_the_same_bits() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    let config = config(&[]);
    let (mut run, mut trainer) = start(&whole, &config);
    assert_eq!(trainer.steps(), 8);
    trainer.train(&mut run, Style::None).unwrap();
    assert_eq!(figures(&whole).len(), 2);
    train_in_pieces(&pieces, &config);
    assert_same_end(&whole, &pieces);
}

#[test]
fn adam_without_an_average_resumes_too() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    let config = config(&[
        "optimizer.kind=adamw",
        "lr=0.002",
        "ema=0",
        "loss=so-softmax",
        "epochs=1",
    ]);
    let (mut run, mut trainer) = start(&whole, &config);
    trainer.train(&mut run, Style::None).unwrap();
    train_in_pieces(&pieces, &config);
    assert_same_end(&whole, &pieces);
}

#[test]
fn a_damaged_state_is_an_error_that_names_the_file() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let config = config(&["epochs=1"]);
    let (mut run, mut trainer) = start(folder.path(), &config);
    let message = |run: &RunDir| {
        let error = Trainer::resume(config.clone(), run).err();
        format!("{:#}", error.expect("no trainer comes of this"))
    };
    // Nothing was saved yet: the run begins anew.
    let anew = Trainer::resume(config.clone(), &run).unwrap();
    assert_eq!(anew.step_count(), 0);
    assert!(anew.note().unwrap().contains("no checkpoint yet"));

    trainer.train(&mut run, Style::None).unwrap();
    let path = run.last_state();
    let good = std::fs::read(&path).unwrap();
    let halves = [0, 7, 8, 100, good.len() / 2, good.len() - 1];
    for length in halves {
        std::fs::write(&path, &good[..length]).unwrap();
        let message = message(&run);
        assert!(message.contains("last.state"), "{length} bytes: {message}");
    }
    // The weights are a safetensors file too, but do not say where training was.
    std::fs::copy(run.last_weights(), &path).unwrap();
    assert!(message(&run).contains("does not say where training was"));
    std::fs::write(&path, good).unwrap();
    assert!(Trainer::resume(config.clone(), &run).is_ok());
}

#[test]
fn a_damaged_state_falls_back_to_the_one_before_it() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [whole, hurt] = ["whole", "hurt"].map(|name| folder.path().join(name));
    let config = config(&[]);
    let (mut run, mut trainer) = start(&whole, &config);
    trainer.train(&mut run, Style::None).unwrap();

    let (mut run, mut trainer) = start(&hurt, &config);
    trainer.train(&mut run, Style::None).unwrap();
    let path = run.last_state();
    let mut bytes = std::fs::read(&path).unwrap();
    // One bit of a weight, which is a number before and after.
    let at = bytes.len() - 1_001;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut trainer = Trainer::resume(config.clone(), &run).unwrap();
    assert_eq!(trainer.step_count(), 4, "the end of the first epoch");
    let note = trainer.note().unwrap();
    for part in [
        "last.state is damaged",
        "going on from",
        "previous.state, step 4",
    ] {
        assert!(note.contains(part), "{note}");
    }
    assert!(hurt.join("ckpt/last.state.damaged").exists() && !path.exists());
    trainer.train(&mut run, Style::None).unwrap();
    assert_same_end(&whole, &hurt);
}

/// The classes that a step compares with follow from its number, too, and the others wait with
/// their momentum.
#[test]
fn sampled_classes_resume_too() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    let config = config(&["loss=arcface:s=16", "sampled_classes=0.3"]);
    let (mut run, mut trainer) = start(&whole, &config);
    assert_eq!(trainer.criterion().classes_compared(), 3);
    trainer.train(&mut run, Style::None).unwrap();
    train_in_pieces(&pieces, &config);
    assert_same_end(&whole, &pieces);
}

/// The margin of a step follows from its number alone.
#[test]
fn margins_that_rise_resume_too() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    let config = config(&["loss=cosface:s=16,m=0.5", "margin_warmup=1", "epochs=1"]);
    let (mut run, mut trainer) = start(&whole, &config);
    let margin = |step| trainer.criterion().spec_at(step).to_string();
    let margins = [0, 1, 2, 3, 4].map(margin);
    let expected = ["0", "0.125", "0.25", "0.375", "0.5"].map(|m| format!("cosface:s=16,m={m}"));
    assert_eq!(margins, expected);
    trainer.train(&mut run, Style::None).unwrap();
    train_in_pieces(&pieces, &config);
    assert_same_end(&whole, &pieces);
}
