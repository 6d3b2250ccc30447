//! Daily use of `train`: what it finds wrong, and how long it may take.

use crate::doctor::diagnosed;
use crate::training::{read, train, workplace};
use crate::{fail, run, succeed};
use std::path::Path;
use std::time::Instant;

/// A row of `metrics.csv` by the names of its columns.
fn row(run: &Path, number: usize) -> Vec<(String, String)> {
    let table = read(run.join("metrics.csv"));
    let mut lines = table.lines();
    let header = lines.next().unwrap().split(',');
    let cells = lines.nth(number).unwrap().split(',');
    header
        .zip(cells)
        .map(|(h, c)| (h.into(), c.into()))
        .collect()
}

fn number(row: &[(String, String)], name: &str) -> f64 {
    let cell = row.iter().find(|(n, _)| n == name);
    let cell = cell.unwrap_or_else(|| panic!("{name} is missing in {row:?}"));
    cell.1.parse().unwrap_or_else(|_| panic!("{cell:?}"))
}

#[test]
fn every_epoch_tells_what_terms_and_embeddings_do() {
    let folder = workplace();
    let two = ["--epochs", "2", "--loss", "so-softmax + 0.01*center"];
    let outcome = run(folder.path(), &train("run", &two));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("° to own class"),
        "{}",
        outcome.stderr
    );
    let out = folder.path().join("run");
    let last = row(&out, 1);
    let terms = ["so-softmax", "center"].map(|term| {
        assert!(number(&last, &format!("term_{term}_gradient")) > 0.0);
        number(&last, &format!("term_{term}")) * number(&last, &format!("term_{term}_weight"))
    });
    // The terms add up to the loss.
    let loss = number(&last, "train_loss");
    assert!(
        (terms[0] + terms[1] - loss).abs() < 1e-4 * loss,
        "{terms:?} {loss}"
    );
    let theta = number(&last, "theta_own");
    assert!((10.0..100.0).contains(&theta), "{theta}");
    let [same, different] =
        ["same", "different"].map(|kind| number(&last, &format!("train_cosine_{kind}")));
    assert!(same > different, "{same} {different}");
    let rank = number(&last, "effective_rank");
    assert!((1.0..64.0).contains(&rank), "{rank}");
    assert!(number(&last, "gradient_norm") > 0.0);
    let events = read(out.join("events.jsonl"));
    assert!(events.contains("\"effective_rank\""), "{events}");
}

/// A network without batch normalisation at a rate that is too high for it.
#[test]
fn a_collapse_is_found_and_explained_once() {
    let folder = workplace();
    let wild = ["--epochs", "3", "--model", "lenet++-light", "--lr", "0.2"];
    let outcome = run(folder.path(), &train("run", &wild));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let told = outcome.stderr.matches("warning: collapse: ").count();
    assert_eq!(told, 1, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("try: a smaller `lr`"),
        "{}",
        outcome.stderr
    );
    diagnosed(folder.path(), "run", &[": collapse: "]);
}

/// In a batch of two images of two classes there is no triplet.
#[test]
fn a_term_without_gradient_is_found_and_explained_once() {
    let folder = workplace();
    let pairs = [
        "--epochs",
        "2",
        "--loss",
        "softmax + triplet",
        "--set",
        "batch=2",
        "--set",
        "data.limit=20",
    ];
    let mut arguments = train("run", &pairs);
    arguments.retain(|a| !["--batch", "50"].contains(a));
    let outcome = run(folder.path(), &arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let told = outcome.stderr.matches("warning: dead: `triplet`").count();
    assert_eq!(told, 1, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("try: batches with several images"),
        "{}",
        outcome.stderr
    );
    let out = folder.path().join("run");
    assert!(read(out.join("train.log")).contains("warning: dead: `triplet`"));
    assert_eq!(number(&row(&out, 0), "term_triplet_gradient"), 0.0);
    assert!(read(out.join("events.jsonl")).contains("\"kind\":\"dead\""));
}

#[test]
fn a_limit_of_time_fits_the_schedule_and_the_configuration_repeats_it() {
    let folder = workplace();
    let limit = ["--epochs", "100000", "--max-time", "10s"];
    let started = Instant::now();
    let outcome = run(folder.path(), &train("run", &limit));
    let seconds = started.elapsed().as_secs_f64();
    assert!(
        outcome.stderr.contains("steps fit into 10 s"),
        "{}",
        outcome.stderr
    );
    assert!(seconds < 20.0, "{seconds}");
    if outcome.code != Some(0) {
        // On a machine that has become slower the time is up before the end, and then it ends, too.
        assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("time is up after step"),
            "{}",
            outcome.stderr
        );
        succeed(folder.path(), &["train", "--resume", "run"]);
    }
    let out = folder.path().join("run");
    let config = read(out.join("config.toml"));
    let steps = config.lines().find_map(|l| l.strip_prefix("steps = "));
    let steps: u64 = steps.unwrap_or_else(|| panic!("{config}")).parse().unwrap();
    let rows = read(out.join("metrics.csv")).lines().count() - 1;
    let last = row(&out, rows - 1);
    assert_eq!(number(&last, "step"), steps as f64);
    // 8 steps make an epoch.
    assert_eq!(rows as u64, steps.div_ceil(8));
    assert!(config.contains(&format!("epochs = {rows}")), "{config}");
    // The schedule has come to its end.
    assert!(number(&last, "lr") < 1e-3 * 0.1, "{last:?}");

    // A run of so few steps as a file repeats exactly what was fitted.
    let few = ["--set", "steps=11"];
    succeed(folder.path(), &train("few", &few));
    let copy = ["train", "-c", "few/config.toml", "--out", "copy"];
    succeed(folder.path(), &copy);
    let weights = |run: &str| std::fs::read(folder.path().join(run).join("ckpt/last.safetensors"));
    assert!(weights("few").unwrap() == weights("copy").unwrap());
    let rows = ["few", "copy"].map(|run| row(&folder.path().join(run), 1));
    assert_eq!(rows.map(|row| number(&row, "step")), [11.0, 11.0]);

    fail(
        folder.path(),
        &train("never", &["--max-time", "0.001s"]),
        2,
        &["too short"],
    );
    fail(
        folder.path(),
        &train("never", &["--max-time", "soon"]),
        2,
        &["30m"],
    );
}
