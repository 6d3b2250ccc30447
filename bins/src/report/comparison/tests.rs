//! Runs that say no more than they must, compared.

use super::*;
use std::path::Path;

/// A run with these settings, lines of TOML, that says no more than this.
fn run(folder: &Path, name: &str, settings: &str, seed: u64, accuracy: Option<f64>) -> Finished {
    let path = folder.join(name);
    std::fs::create_dir_all(path.join("eval")).unwrap();
    let config = format!("recipe = \"mnist\"\nepochs = 1\nseed = {seed}\n{settings}\n");
    std::fs::write(path.join("config.toml"), config).unwrap();
    let history = "epoch,lr,train_loss,validation_accuracy,seconds\n1,0.1,0.5,0.9,7\n";
    std::fs::write(path.join("metrics.csv"), history).unwrap();
    if let Some(accuracy) = accuracy {
        let json =
            format!(r#"{{"protocol":"classify","figures":{{"images":9,"accuracy":{accuracy}}}}}"#);
        std::fs::write(path.join("eval/test.json"), json).unwrap();
    }
    Finished::read(&path).unwrap()
}

/// Runs of losses and seeds with their accuracies, compared: the text has all of `parts`.
#[track_caller]
fn compared(runs: &[(&str, &str, u64, f64)], parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let runs = runs.iter().map(|&(name, loss, seed, accuracy)| {
        let settings = format!("loss = {loss:?}");
        run(folder.path(), name, &settings, seed, Some(accuracy))
    });
    let text = Comparison::new(runs.collect()).markdown();
    for part in parts {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn runs_are_grouped_by_all_but_their_seed_and_tested_in_pairs() {
    let runs = [
        ("a1", "softmax", 1, 0.90),
        ("b3", "arcface|x", 3, 0.95),
        ("a3", "softmax", 3, 0.93),
        ("b1", "arcface|x", 1, 0.94),
        ("a2", "softmax", 2, 0.91),
        ("b2", "arcface|x", 2, 0.93),
        ("a2-again", "softmax", 2, 0.5),
    ];
    // sd of 90, 93, 91 and of 94, 95, 93; differences by seed 4, 2, 2.
    let parts = [
        "| softmax    | 1, 2, 3 | 3   | 91.33 ± 1.53 |",
        "| arcface\\|x | 1, 2, 3 | 3   | 94.00 ± 1.00 |",
        "arcface|x against softmax: accuracy +2.667 percentage points; n = 3 and 3; paired t-test, t(2) = 4.00, p = 0.057. So few seeds",
        "a2-again repeats a seed",
        "| loss | \"softmax\" | \"arcface\\|x\" |",
    ];
    compared(&runs, &parts);
}

#[test]
fn other_seeds_make_it_welch_and_two_say_nothing() {
    let runs = [
        ("a1", "softmax", 1, 0.90),
        ("a2", "softmax", 2, 0.91),
        ("b1", "arcface", 1, 0.94),
        ("b4", "arcface", 4, 0.95),
        ("c1", "cosface", 1, 0.99),
    ];
    let parts = [
        "n = 2 and 2; Welch's t-test, t(2.0) = 5.66, p = 0.030. n = 2 says nothing",
        "cosface against softmax: accuracy +8.500 percentage points; n = 1 and 2. One seed",
    ];
    compared(&runs, &parts);
}

#[test]
fn runs_that_nest_are_a_ladder() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, settings: &str, seed, accuracy| {
        run(folder.path(), name, settings, seed, Some(accuracy))
    };
    let mut runs = vec![
        of("all", "lr = 0.2\nema = 0.99\n", 1, 0.95),
        of("base-1", "", 1, 0.90),
        of("base-2", "", 2, 0.92),
        of("lr", "lr = 0.2\n", 1, 0.925),
    ];
    runs.rotate_left(1);
    let text = Comparison::new(runs).markdown();
    let (_, ladder) = text.split_once("## Trick ladder\n\n").unwrap();
    let lines: Vec<&str> = ladder.lines().take(5).collect();
    let expected = [
        "| step         | n   | accuracy / % | gain  | gain in all |",
        "|--------------|-----|--------------|-------|-------------|",
        "| from base-1  | 2   | 91.00 ± 1.41 | –     | –           |",
        "| + lr = 0.2   | 1   | 92.50        | +1.50 | +1.50       |",
        "| + ema = 0.99 | 1   | 95.00        | +2.50 | +4.00       |",
    ];
    assert_eq!(lines, expected);
    assert!(ladder.contains("percentage points") && ladder.contains("small gains are chance"));
}

#[test]
fn without_figures_of_the_test_those_of_the_validation_are_shown_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let runs = vec![
        run(folder.path(), "a", "", 1, Some(0.97)),
        run(folder.path(), "b", "", 1, None),
    ];
    let comparison = Comparison::new(runs);
    let text = comparison.markdown();
    assert!(
        text.contains("validation accuracy / %") && text.contains("| 90.00"),
        "{text}"
    );
    assert!(
        !text.contains("97.00") && text.contains("they flatter"),
        "{text}"
    );
    assert!(
        !text.contains("Over seeds") && !text.contains("Differences"),
        "{text}"
    );
    let html = comparison.html().unwrap();
    assert!(html.contains("training loss") && html.contains("<svg"));
}
