//! Daily use of `train`: what it finds wrong, how long it may take, how often it is repeated.

use crate::training::{read, train, workplace};
use crate::{fail, run, succeed};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path.to_path_buf())).unwrap()
}

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
    let doctor = run(folder.path(), &["doctor", "run"]);
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.stdout.contains(": collapse: "), "{}", doctor.stdout);
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

#[test]
fn repeats_are_runs_of_their_own_with_mean_and_deviation() {
    let folder = workplace();
    let three = ["--epochs", "1", "--repeat", "3", "--seed", "5"];
    let stdout = succeed(folder.path(), &train("all", &three));
    let out = folder.path().join("all");
    assert!(stdout.contains(&read(out.join("summary.md"))), "{stdout}");
    let summary = json(&out.join("summary.json"));
    let found = &summary["figures"]["accuracy"];
    let mut values = Vec::new();
    for (i, seed) in (5..8).enumerate() {
        let test = json(&out.join(format!("seed-{seed}/eval/test.json")));
        let accuracy = test["figures"]["accuracy"].as_f64().unwrap();
        assert_eq!(found["values"][i], accuracy);
        values.push(accuracy);
    }
    let mean = values.iter().sum::<f64>() / 3.0;
    assert!((found["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!(
        found["deviation"].as_f64().unwrap() > 0.0,
        "seeds differ: {values:?}"
    );
    // Each is the run that its seed makes alone.
    succeed(
        folder.path(),
        &train("alone", &["--epochs", "1", "--seed", "6"]),
    );
    let weights = |run: &str| std::fs::read(folder.path().join(run).join("ckpt/last.safetensors"));
    assert!(weights("all/seed-6").unwrap() == weights("alone").unwrap());
    fail(
        folder.path(),
        &train("f", &["--fold", "all"]),
        2,
        &["`mnist` has none", "esc10"],
    );
}

/// Losses times seeds: a table with deviations, and a series that was cut off ends as it would have.
#[test]
fn a_series_of_losses_and_seeds_can_be_continued() {
    let folder = workplace();
    let losses = ["softmax", "so-softmax:m=0.3"];
    let compared = losses.map(|loss| format!("[[compare]]\nloss = \"{loss}\"\n"));
    let text = format!("epochs = 1\nloss = \"all\"\n{}", compared.concat());
    std::fs::write(folder.path().join("two.toml"), text).unwrap();
    let options = ["-c", "two.toml", "--repeat", "2"];
    let stdout = succeed(folder.path(), &train("both", &options));
    let out = folder.path().join("both");
    let table = read(out.join("comparison.md"));
    assert!(stdout.contains(&table), "{stdout}");
    for loss in losses {
        let row = table.lines().find(|row| row.contains(&format!("`{loss}`")));
        assert!(row.is_some_and(|row| row.contains(" ± ")), "{table}");
    }
    let runs = [
        "01-softmax/seed-1",
        "01-softmax/seed-2",
        "02-so-softmax/seed-1",
        "02-so-softmax/seed-2",
    ];
    let weights = |runs: &[&str]| -> Vec<Vec<u8>> {
        let file = |run: &&str| out.join(run).join("ckpt/last.safetensors");
        runs.iter()
            .map(|run| std::fs::read(file(run)).unwrap())
            .collect()
    };
    let summary = || read(out.join("02-so-softmax/summary.md"));
    let (whole, summed) = (weights(&runs), summary());

    // One was killed between two states, one before its first checkpoint, one was not begun.
    let killed = out.join(runs[1]);
    std::fs::remove_file(killed.join("eval/test.json")).unwrap();
    std::fs::rename(
        killed.join("ckpt/last.state"),
        killed.join("ckpt/previous.state"),
    )
    .unwrap();
    let begun = read(killed.join("train.log"));
    std::fs::remove_file(out.join(runs[2]).join("eval/test.json")).unwrap();
    std::fs::remove_dir_all(out.join(runs[2]).join("ckpt")).unwrap();
    std::fs::remove_dir_all(out.join(runs[3])).unwrap();
    // Of a finished one nothing but its figures is read.
    std::fs::remove_dir_all(out.join(runs[0]).join("ckpt")).unwrap();
    std::fs::remove_file(out.join("comparison.md")).unwrap();
    let log = read(out.join(runs[0]).join("train.log"));
    let changed = ["train", "--resume", "both", "--epochs", "3"];
    fail(
        folder.path(),
        &changed,
        2,
        &["a series of runs", "as it was begun"],
    );
    succeed(folder.path(), &["train", "--resume", "both"]);
    assert_eq!(read(out.join("comparison.md")), table);
    assert_eq!(summary(), summed);
    assert!(weights(&runs[1..]) == whole[1..]);
    // Nothing of what was there was thrown away.
    assert!(read(killed.join("train.log")).starts_with(&begun));
    // What was finished was not touched.
    assert_eq!(read(out.join(runs[0]).join("train.log")), log);
}

/// A finished run whose last state was damaged later: its figures are read, or made anew to the same
/// bits where a picture is drawn, and never those of an earlier state.
#[test]
fn a_damaged_state_does_not_change_what_a_series_found() {
    let folder = workplace();
    let compared =
        "[[compare]]\nloss = \"softmax\"\nembed_dim = 2\n[[compare]]\nloss = \"normface\"\n";
    std::fs::write(
        folder.path().join("two.toml"),
        format!("epochs = 2\nloss = \"all\"\n{compared}"),
    )
    .unwrap();
    succeed(folder.path(), &train("both", &["-c", "two.toml"]));
    let out = folder.path().join("both");
    let files = [
        "comparison.md",
        "embeddings.svg",
        "01-softmax/eval/test.json",
    ];
    let found = files.map(|name| read(out.join(name)));
    for run in ["01-softmax", "02-normface"] {
        let state = out.join(run).join("ckpt/last.state");
        let mut bytes = std::fs::read(&state).unwrap();
        let at = bytes.len() - 30;
        bytes[at] ^= 0x10;
        std::fs::write(&state, bytes).unwrap();
    }
    let outcome = run(folder.path(), &["train", "--resume", "both"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(
        outcome.stderr.matches("last.state is damaged").count(),
        1,
        "{}",
        outcome.stderr
    );
    assert_eq!(files.map(|name| read(out.join(name))), found);
}

/// What a file says of a series is held against the same rules as the command line.
#[test]
fn a_series_that_cannot_be_trained_is_refused_before_its_first_run() {
    let folder = workplace();
    std::fs::create_dir(folder.path().join("series")).unwrap();
    let file = folder.path().join("series/series.toml");
    let resume = ["train", "--resume", "series"];
    let usual = "all_folds = false\nrepeat = 2\n[config]\nloss = \"all\"\nmargin_warmup = 0.5\n";
    let last = |loss: &str| {
        format!(
            "{usual}[[config.compare]]\nloss = \"arcface\"\n[[config.compare]]\nloss = \"{loss}\"\n"
        )
    };
    for (text, parts) in [
        (
            last("cosface").replace("repeat = 2", "repeat = 0"),
            ["`repeat` must be 1 to 1000", ""],
        ),
        (
            last("cosface").replace("= 2", "= 1000000000000000"),
            ["`repeat` must be", ""],
        ),
        (
            last("cosface").replace("repeat", "max_time_s = nan\nrepeat"),
            ["`max_time_s`", ""],
        ),
        (last("cosfase"), ["`cosfase`", "did you mean `cosface`?"]),
        (last("softmax"), ["`softmax` has no margin", ""]),
        (
            last("cosface\"\nembed_dim = 0 #"),
            ["`model.embed_dim` must be at least 1", ""],
        ),
        (usual.into(), ["needs a list of losses", "[[compare]]"]),
    ] {
        std::fs::write(&file, &text).unwrap();
        fail(
            folder.path(),
            &resume,
            2,
            &[&["series.toml describes no series"], &parts[..]].concat(),
        );
    }
    let begun = file.parent().unwrap().read_dir().unwrap().count();
    assert_eq!(begun, 1, "nothing was trained");
}

/// The limit is that of the series, and what it cut the epochs to is what is said.
#[test]
fn a_series_keeps_its_limit_of_time_and_says_what_was_trained() {
    let folder = workplace();
    let limited = ["--epochs", "100000", "--max-time", "5s", "--repeat", "2"];
    let outcome = run(folder.path(), &train("all", &limited));
    let out = folder.path().join("all");
    assert!(read(out.join("series.toml")).contains("max_time_s = 5.0"));
    if outcome.code == Some(130) {
        // On a machine that has become slower.
        assert_eq!(
            outcome.stderr.matches("train --resume all").count(),
            1,
            "{}",
            outcome.stderr
        );
        return;
    }
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let epochs = ["seed-1", "seed-2"].map(|run| {
        let config = read(out.join(run).join("config.toml"));
        let line = config
            .lines()
            .find_map(|line| line.strip_prefix("epochs = "));
        line.unwrap().parse::<u64>().unwrap()
    });
    let expected = match epochs {
        [a, b] if a == b => format!("{a} epochs (--max-time)"),
        [a, b] => format!("{} to {} epochs (--max-time)", a.min(b), a.max(b)),
    };
    let summary = read(out.join("summary.md"));
    assert!(summary.contains(&expected), "{expected}: {summary}");
    // Resumed, it has the same limit without being told.
    std::fs::remove_dir_all(out.join("seed-2")).unwrap();
    let outcome = run(folder.path(), &["train", "--resume", "all"]);
    assert!(
        outcome.stderr.contains("steps fit into 5 s"),
        "{}",
        outcome.stderr
    );
}

/// Two clips of two kinds of sounds in each of five folds, half a second at 8 kHz.
fn sounds(root: &Path) {
    const SAMPLES: u32 = 4_000;
    let mut table = "filename,fold,target,category,esc10,src_file,take\n".to_string();
    std::fs::create_dir_all(root.join("audio")).unwrap();
    std::fs::create_dir_all(root.join("meta")).unwrap();
    for (fold, target, take) in
        (1..=5).flat_map(|f| [(f, 0, 'A'), (f, 1, 'A'), (f, 0, 'B'), (f, 1, 'B')])
    {
        let name = format!("{fold}-1000-{take}-{target}.wav");
        let kind = ["dog", "rain"][target];
        table += &format!("{name},{fold},{target},{kind},True,1000,{take}\n");
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36 + 2 * SAMPLES).to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        bytes.extend(8_000u32.to_le_bytes());
        bytes.extend(16_000u32.to_le_bytes());
        bytes.extend(b"\x02\0\x10\0data");
        bytes.extend((2 * SAMPLES).to_le_bytes());
        for i in 0..SAMPLES {
            let hz = 300.0 + 900.0 * target as f64 + 11.0 * f64::from(fold);
            let level = 8e3 * (std::f64::consts::TAU * hz * f64::from(i) / 8e3).sin();
            bytes.extend((level as i16).to_le_bytes());
        }
        std::fs::write(root.join("audio").join(name), bytes).unwrap();
    }
    std::fs::write(root.join("meta/esc50.csv"), table).unwrap();
}

#[test]
fn every_fold_is_tested_on_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    sounds(&folder.path().join("esc"));
    let arguments = [
        "train",
        "esc10",
        "--data",
        "esc",
        "--epochs",
        "1",
        "--batch",
        "4",
        "--out",
        "cross",
        "--set",
        "data.rate=8000",
        "--set",
        "data.seconds=0.5",
    ];
    let stdout = succeed(
        folder.path(),
        &[&arguments[..], &["--fold", "all"]].concat(),
    );
    assert!(stdout.contains("5 runs"), "{stdout}");
    let mut tested = 0.0;
    for fold in 1..=5 {
        let out = folder.path().join(format!("cross/fold-{fold}"));
        let config = read(out.join("config.toml"));
        assert!(config.contains(&format!("fold = {fold}\n")), "{config}");
        tested += json(&out.join("eval/test.json"))["figures"]["images"]
            .as_f64()
            .unwrap();
    }
    assert_eq!(tested, 20.0, "every clip is tested once");
    let summary = json(&folder.path().join("cross/summary.json"));
    assert_eq!(summary["runs"][4], "fold-5");
    let mut one = arguments.to_vec();
    one[9] = "one";
    succeed(folder.path(), &[&one[..], &["--fold", "3"]].concat());
    let weights = |run: &str| std::fs::read(folder.path().join(run).join("ckpt/last.safetensors"));
    assert!(weights("one").unwrap() == weights("cross/fold-3").unwrap());
    one[9] = "none";
    fail(
        folder.path(),
        &[&one[..], &["--fold", "some"]].concat(),
        2,
        &["or `all`"],
    );
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
    let outcome = run(folder.path(), &["doctor", "run"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    for part in [
        "problem  the preprocessing is not that of the images",
        "-0.42",
        "leave `data.mean`",
    ] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
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

    let weights = folder.path().join("run/ckpt/best.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    std::fs::remove_file(folder.path().join("run/eval/test.json")).unwrap();
    let outcome = run(folder.path(), &["doctor", "run"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    for part in [
        "best.safetensors is damaged",
        "not come to its end",
        "train --resume run",
    ] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
    assert!(
        outcome.stderr.contains("2 problems in run"),
        "{}",
        outcome.stderr
    );

    let wild = [
        "--loss",
        "softmax",
        "--lr",
        "1e6",
        "--set",
        "schedule.kind=constant",
    ];
    let outcome = run(folder.path(), &train("wild", &wild));
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
    let outcome = run(folder.path(), &["doctor", "wild"]);
    assert!(
        outcome.stdout.contains("the training diverged in step"),
        "{}",
        outcome.stdout
    );
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
