//! Training runs of tests: started, judged anew, and interrupted wherever possible.

use clap::Parser;
use hypersphere::cli::{Cli, Command, Eval, EvalPart, Threads};
use hypersphere::commands::{embed, eval, index, metrics, search, verify};
use hypersphere::config::Config;
use hypersphere::interrupt;
use hypersphere::progress::Style;
use hypersphere::run_dir::{Environment, RunDir};
use hypersphere::trainer::{Interrupted, Trainer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for the other tests of this process that train: an interruption belongs to the process, so
/// they take turns.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run directory and its trainer, before the first step.
pub fn start(run: &Path, config: &Config) -> (RunDir, Trainer) {
    let environment = Environment::here(config.seed, String::new());
    let run = RunDir::create(Some(run), config, &environment).unwrap();
    (run, Trainer::new(config.clone()).unwrap())
}

/// `eval` of a run or a checkpoint without any option.
pub fn options(what: PathBuf) -> Eval {
    Eval {
        what,
        data: None,
        format: None,
        protocol: None,
        part: EvalPart::Test,
        best: false,
        flip: false,
        rerank: false,
        threads: Threads::default(),
        output: None,
    }
}

/// The figures that `eval` writes.
pub fn judged(options: Eval) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("figures.json");
    let options = Eval {
        output: Some(output.clone()),
        ..options
    };
    eval::run(&options).unwrap();
    let text = fs::read_to_string(output).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["figures"].clone()
}

/// What the program does with a trained network and these arguments.
pub fn program(arguments: &[&str]) -> anyhow::Result<()> {
    let words = ["hypersphere"].iter().chain(arguments);
    match Cli::try_parse_from(words)?.command {
        Command::Embed(options) => embed::run(&options),
        Command::Index(options) => index::run(&options),
        Command::Search(options) => search::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Metrics(options) => metrics::run(&options),
        other => panic!("{other:?} needs no trained network"),
    }
}

/// A setting that names another data set, `key` being `test` or `choose`.
pub fn other(key: &str, folder: &Path, format: &str) -> String {
    let folder = folder.display().to_string();
    format!("data.{key}={{folder={folder:?},format=\"{format}\"}}")
}

/// Trains one step at a time: every step ends in an interruption, and a new trainer that knows
/// nothing but the files does the next. The end of an epoch is among the places. Returns the number
/// of steps.
///
/// Nothing else may train in this process meanwhile: see [`turn`].
pub fn train_in_pieces(folder: &Path, config: &Config) -> u64 {
    let (mut run, mut trainer) = start(folder, config);
    let steps = trainer.steps();
    for step in 1..=steps {
        interrupt::request();
        let error = trainer.train(&mut run, Style::None).err();
        interrupt::withdraw();
        let error = error.expect("the run is interrupted");
        assert!(error.is::<Interrupted>(), "{error:#}");
        assert!(error.to_string().contains("--resume"), "{error}");
        run = RunDir::open(folder).unwrap();
        trainer = Trainer::resume(config.clone(), &run).unwrap();
        assert_eq!(trainer.step_count(), step);
    }
    trainer.train(&mut run, Style::None).unwrap();
    steps
}

/// Trains once as a whole and once [in pieces](train_in_pieces), both in `folder`, and asserts that
/// the weights have the same bits. Returns the number of steps.
pub fn resumes_to_the_same_bits(folder: &Path, config: &Config) -> u64 {
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.join(name));
    let (mut run, mut trainer) = start(&whole, config);
    trainer.train(&mut run, Style::None).unwrap();
    let steps = train_in_pieces(&pieces, config);
    let weights = |run: &Path| fs::read(run.join("ckpt/last.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&pieces), "a resumed run differs");
    steps
}
