//! The program trains, is interrupted, continued, refused: on a few hundred images in a folder.

use crate::{Outcome, digits, fail, hypersphere, run, succeed};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A folder to work in, with 400 + 100 training images and 200 test images in `digits/`.
pub fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    digits(folder.path(), 500, 200);
    folder
}

/// `train mnist` on the small folder into `out`, with more options after these.
pub fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = [
        "train",
        "mnist",
        "--data",
        "digits",
        "--set",
        "data.validation=100",
        "--batch",
        "50",
        "--out",
        out,
    ];
    [&usual, more].concat()
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        match path.is_dir() {
            true => files.extend(files_below(&path).iter().map(|f| format!("{name}/{f}"))),
            false => files.push(name),
        }
    }
    files.sort();
    files
}

pub fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Losses that keep several directions for a class, or a distribution, classify by what they keep;
/// there is no angle to "the" class weight, and everything else is as ever.
#[test]
fn losses_with_weights_of_their_own_kind_classify() {
    let folder = workplace();
    for loss in ["subcenter-arcface:s=16,m=0.2", "gaussian", "soft-triple"] {
        let more = ["--epochs", "4", "--lr", "0.02", "--loss", loss];
        let text = succeed(folder.path(), &train("run", &more));
        let accuracy = text.strip_prefix("test accuracy ").unwrap();
        let accuracy: f64 = accuracy.split(' ').next().unwrap().parse().unwrap();
        assert!(accuracy > 15.0, "{loss}: {text}");
        let ending = "(200 images, weights of the last epoch)\n";
        assert!(text.ends_with(ending), "{text}");
        let again = succeed(folder.path(), &["eval", "run"]);
        assert!(again.contains(&format!("{accuracy:.2}")), "{text}{again}");
        succeed(folder.path(), &["report", "run", "-o", "report.html"]);
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    }
}

#[test]
fn a_run_leaves_its_files_and_one_line_on_standard_output() {
    let folder = workplace();
    let arguments = train("run", &["--epochs", "2", "--embed-dim", "2"]);
    let Outcome {
        code,
        stdout,
        stderr,
    } = run(folder.path(), &arguments);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(
        stdout.starts_with("test accuracy ") && stdout.contains("(200 images"),
        "{stdout}"
    );
    assert!(stderr.contains("epoch 2/2"), "{stderr}");

    let out = folder.path().join("run");
    let expected = [
        "ckpt/best.safetensors",
        "ckpt/last.safetensors",
        "ckpt/last.state",
        "ckpt/previous.state",
        "config.toml",
        "env.json",
        "eval/confusion.csv",
        "eval/test.json",
        "events.jsonl",
        "events.out.tfevents",
        "metrics.csv",
        "plots/cosines.svg",
        "plots/curves.svg",
        "plots/embedding.svg",
        "train.log",
    ];
    let mut files = files_below(&out);
    for file in &mut files {
        if file.starts_with("events.out.tfevents.") {
            file.truncate("events.out.tfevents".len());
        }
    }
    assert_eq!(files, expected);
    assert_eq!(read(out.join("metrics.csv")).lines().count(), 3);
    for line in read(out.join("events.jsonl")).lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["event"].is_string(), "{line}");
    }
    let environment: serde_json::Value = serde_json::from_str(&read(out.join("env.json"))).unwrap();
    assert_eq!(environment["data"].as_str().unwrap().len(), 64);
    let test: serde_json::Value = serde_json::from_str(&read(out.join("eval/test.json"))).unwrap();
    let accuracy = test["figures"]["accuracy"].as_f64().unwrap();
    assert!(
        stdout.contains(&format!("{:.2} %", 100.0 * accuracy)),
        "{stdout} {accuracy}"
    );
    let weights = nn::Checkpoint::<f32>::read(&out.join("ckpt/last.safetensors")).unwrap();
    assert_eq!(weights.metadata["model"], "vgg-light");
    assert!(
        weights
            .tensors
            .iter()
            .any(|(name, _)| name == "head.weight")
    );

    // A second run into the same place is refused; the resolved configuration repeats the run.
    fail(
        folder.path(),
        &arguments,
        2,
        &["run holds something already", "--resume"],
    );
    succeed(
        folder.path(),
        &[
            "train",
            "-c",
            "run/config.toml",
            "--out",
            "again",
            "-j",
            "1",
        ],
    );
    let weights = |run: &str| std::fs::read(folder.path().join(run).join("ckpt/last.safetensors"));
    assert!(weights("run").unwrap() == weights("again").unwrap());
}

#[test]
fn progress_as_json_is_json_and_silence_is_silent() {
    let folder = workplace();
    let json = train("json", &["--epochs", "1", "--progress", "json"]);
    let Outcome {
        code,
        stdout,
        stderr,
    } = run(folder.path(), &json);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let objects: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects[0]["epoch"]["epoch"], 1, "{stdout}");
    assert_eq!(objects.last().unwrap()["test"]["images"], 200, "{stdout}");
    let none = train("none", &["--epochs", "1", "--progress", "none"]);
    let Outcome {
        code,
        stdout,
        stderr,
    } = run(folder.path(), &none);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.starts_with("test accuracy") && stdout.lines().count() == 1,
        "{stdout}"
    );
}

#[test]
fn without_a_terminal_a_dashboard_is_plain_lines_and_a_sentence_why() {
    let folder = workplace();
    let command = train("run", &["--epochs", "1", "--progress", "dashboard"]);
    let outcome = run(folder.path(), &command);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stdout.contains('\u{1b}') && outcome.stdout.lines().count() == 1);
    for part in ["standard output is not a terminal", "epoch 1/1: loss "] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
}

#[test]
fn a_run_without_validation_ends_well() {
    let folder = workplace();
    let nothing_held_out = ["--epochs", "1", "--set", "data.validation=0"];
    succeed(folder.path(), &train("blind", &nothing_held_out));
    let blind = files_below(&folder.path().join("blind"));
    assert!(blind.contains(&"plots/curves.svg".into()), "{blind:?}");
    assert!(
        !blind.contains(&"ckpt/best.safetensors".into()),
        "{blind:?}"
    );
}

/// `--loss all`: a run for each loss of the list, a table and a picture.
#[test]
fn a_comparison_has_a_row_and_a_run_for_every_loss() {
    let folder = workplace();
    let [first, second] = ["softmax + 0.01*center", "so-softmax:one_sided=true"];
    let file = format!(
        "base = \"mnist-2d\"\nepochs = 1\nbatch = 50\n[data]\nvalidation = 100\n\
         [model]\nname = \"vgg-light\"\n\
         [[compare]]\nloss = \"{first}\"\n[[compare]]\nloss = \"{second}\"\nembed_dim = 3\n"
    );
    std::fs::write(folder.path().join("two.toml"), file).unwrap();
    let arguments = [
        "train", "-c", "two.toml", "--data", "digits", "--out", "both",
    ];
    let stdout = succeed(folder.path(), &arguments);
    let table = read(folder.path().join("both/comparison.md"));
    assert!(stdout.contains(&table), "{stdout}");
    for (loss, dimensions) in [(first, "2"), (second, "3")] {
        let row = table.lines().find(|row| row.contains(&format!("`{loss}`")));
        let cell = row.and_then(|row| row.split('|').nth(2)).map(str::trim);
        assert_eq!(cell, Some(dimensions), "{table}");
    }
    let files = files_below(&folder.path().join("both"));
    for file in [
        "01-softmax-center/ckpt/last.safetensors",
        "02-so-softmax/plots/embedding.svg",
        "directions.svg",
        "embeddings.svg",
    ] {
        assert!(files.contains(&file.to_string()), "{file}: {files:?}");
    }
}

/// Options with which training diverges.
pub const WILD: [&str; 6] = [
    "--loss",
    "softmax",
    "--lr",
    "1e6",
    "--set",
    "schedule.kind=constant",
];

#[test]
fn divergence_is_explained_and_exits_with_4() {
    let folder = workplace();
    fail(
        folder.path(),
        &train("wild", &WILD),
        4,
        &["training diverged", "step", "First: ", "Try a smaller `lr`"],
    );
    let kept = folder.path().join("wild/ckpt/diverged.safetensors");
    let bytes = std::fs::read(&kept).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("input").unwrap().shape(), [50, 28, 28, 1]);
    assert_eq!(file.tensor("labels").unwrap().shape(), [50]);
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let facts = header.metadata().clone().unwrap();
    assert!(facts["origin"].contains('`'), "{facts:?}");
    assert!(facts["step"].parse::<u64>().unwrap() < 8, "{facts:?}");
    let events = read(folder.path().join("wild/events.jsonl"));
    assert!(events.contains("\"diverged\""), "{events}");
}

#[test]
fn a_changed_configuration_is_refused_unless_overridden() {
    let folder = workplace();
    succeed(folder.path(), &train("run", &["--epochs", "1"]));
    let resume = |more: &[&'static str]| [&["train", "--resume", "run"], more].concat();
    let changed = resume(&["--lr", "0.02", "--epochs", "2"]);
    let parts = ["lr: 0.1 -> 0.02", "epochs: 1 -> 2", "--override"];
    fail(folder.path(), &changed, 2, &parts);
    let rows = || read(folder.path().join("run/metrics.csv")).lines().count() - 1;
    assert_eq!(rows(), 1);

    // More epochs and nothing else need no leave.
    let outcome = run(folder.path(), &resume(&["--epochs", "2"]));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for part in [
        "epochs: 1 -> 2",
        "resumed at step 8 of 16",
        "the learning rate goes on at",
    ] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    let fewer = resume(&["--epochs", "1"]);
    fail(folder.path(), &fewer, 2, &["epochs: 2 -> 1", "--override"]);
    assert_eq!(rows(), 2);
    let config = read(folder.path().join("run/config.toml"));
    assert!(config.contains("epochs = 2"), "{config}");
    // An average that is asked for later begins with the weights there are.
    succeed(
        folder.path(),
        &resume(&["--epochs", "3", "--set", "ema=0.9", "--override"]),
    );
    assert_eq!(rows(), 3);
    // Far fewer steps than were done: the last epoch is done all the same.
    let larger = ["--epochs", "4", "--batch", "200", "--override"];
    succeed(folder.path(), &resume(&larger));
    assert_eq!(rows(), 4);
    // Another network cannot take over the weights.
    let other = resume(&["--embed-dim", "8", "--override"]);
    fail(
        folder.path(),
        &other,
        1,
        &["last.state", "backbone.", "[64]", "[8]"],
    );
    let other = resume(&["--set", "optimizer.kind=adam", "--override"]);
    fail(folder.path(), &other, 1, &["last.state"]);
}

#[test]
fn a_truncated_state_is_an_error_and_no_panic() {
    let folder = workplace();
    succeed(folder.path(), &train("run", &["--epochs", "1"]));
    let state = folder.path().join("run/ckpt/last.state");
    let bytes = std::fs::read(&state).unwrap();
    std::fs::write(&state, &bytes[..bytes.len() / 3]).unwrap();
    let resume = ["train", "--resume", "run"];
    fail(
        folder.path(),
        &resume,
        1,
        &["cannot be resumed", "last.state", "not a valid"],
    );
}

/// Ctrl-C in the middle of an epoch, and on again: the weights of a run that was left alone.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_a_checkpoint_and_resuming_leads_to_the_same_weights() {
    use std::io::{BufRead, BufReader, Read};
    let folder = workplace();
    let options = ["--epochs", "4", "--set", "ema=0.99"];
    succeed(folder.path(), &train("whole", &options));

    let mut child = hypersphere(folder.path(), &train("parts", &options))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    // Once the first epoch is reported, the second is under way.
    let mut line = String::new();
    while !line.starts_with("epoch 1/4:") {
        line.clear();
        assert!(
            stderr.read_line(&mut line).unwrap() > 0,
            "the program ended early"
        );
    }
    let id = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(kill.unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("hypersphere train --resume parts"), "{rest}");
    let file = |run: &str, name: &str| folder.path().join(run).join(name);
    assert!(file("parts", "ckpt/last.state").exists());
    assert!(!file("parts", "eval/test.json").exists());

    let stdout = succeed(folder.path(), &["train", "--resume", "parts"]);
    assert!(stdout.starts_with("test accuracy"), "{stdout}");
    for name in ["ckpt/last.safetensors", "ckpt/best.safetensors"] {
        let [whole, parts] = ["whole", "parts"].map(|run| std::fs::read(file(run, name)).unwrap());
        assert!(whole == parts, "{name} has other bytes after a resume");
    }
    assert_eq!(
        read(file("whole", "eval/test.json")),
        read(file("parts", "eval/test.json"))
    );
}

#[test]
fn the_tutorial_trains() {
    let folder = tempfile::tempdir().unwrap();
    let tutorial = |arguments: &[&str]| -> Outcome {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mnist-tutorial"));
        let output = command.args(arguments).current_dir(folder.path()).output();
        output.unwrap().into()
    };
    let Outcome {
        code,
        stdout,
        stderr,
    } = tutorial(&["1", "4000"]);
    assert_eq!(code, Some(0), "{stderr}");
    let test = stdout.lines().find_map(|l| l.strip_prefix("test   "));
    let accuracy = test.unwrap().split(' ').next().unwrap();
    assert!(accuracy.parse::<f64>().unwrap() > 60.0, "{stdout}");
    let file = folder.path().join("mnist-tutorial.safetensors");
    let weights = nn::Checkpoint::<f32>::read(&file).unwrap();
    assert!(
        weights
            .tensors
            .iter()
            .any(|(name, _)| name == "backbone.fc.weight")
    );

    for (arguments, part) in [
        (["many", ""], "`many`"),
        (["1", "0"], "`0`"),
        (["1", "5"], "batch"),
    ] {
        let Outcome { code, stderr, .. } = tutorial(&arguments);
        assert_eq!(code, Some(1));
        assert!(stderr.contains(part), "{stderr}");
    }
}

/// Training that nobody watches any more goes on to its end, and one whose terminal has gone saves.
#[cfg(unix)]
#[test]
fn a_training_outlives_those_who_watch_it() {
    let folder = workplace();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for style in ["json", "plain"] {
        let options = ["--epochs", "1", "--progress", style];
        let mut command = hypersphere(folder.path(), &train(style, &options));
        let ended = command.stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(ended.code(), Some(0), "{style}");
        assert!(folder.path().join(style).join("eval/test.json").is_file());
    }
}
