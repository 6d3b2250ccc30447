//! Several trainings that belong together: of seeds, losses and folds.

use crate::training::{read, train, workplace};
use crate::{fail, run, succeed};
use serde_json::Value;
use std::path::Path;

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path.to_path_buf())).unwrap()
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
    let arguments = |out: &'static str, fold: &'static str| {
        [
            ["train", "esc10", "--data", "esc"],
            ["--epochs", "1", "--batch", "4"],
            ["--out", out, "--fold", fold],
            ["--set", "data.rate=8000", "--set", "data.seconds=0.5"],
        ]
        .concat()
    };
    let stdout = succeed(folder.path(), &arguments("cross", "all"));
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
    succeed(folder.path(), &arguments("one", "3"));
    let weights = |run: &str| std::fs::read(folder.path().join(run).join("ckpt/last.safetensors"));
    assert!(weights("one").unwrap() == weights("cross/fold-3").unwrap());
    fail(folder.path(), &arguments("none", "some"), 2, &["or `all`"]);
}
