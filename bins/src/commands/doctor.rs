//! `hypersphere doctor`: what is wrong with a run or with data, and what to do about it.

mod inside;

use crate::cli::data::{Bad, Data, Inspect};
use crate::cli::doctor::Doctor;
use crate::config::{Config, ConfigError};
use crate::trainer::EpochRow;
use crate::weights::Description;
use anyhow::{Result, bail};
use losses::{NoteKind, Spec};
use nn::Checkpoint;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

/// Something is wrong: exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("{problems} problems in {}", path.display())]
pub struct Ill {
    path: PathBuf,
    problems: usize,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// The result is worth little, or is not there.
    Problem,
    /// It could be better.
    Hint,
    /// It was looked at.
    Good,
}

/// What was found in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remark {
    level: Level,
    what: String,
    cure: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Problem => "problem",
            Level::Hint => "hint",
            Level::Good => "good",
        };
        write!(f, "{level:<8} {}", self.what)?;
        match self.cure.as_str() {
            "" => Ok(()),
            cure => write!(f, "\n         try: {cure}"),
        }
    }
}

/// Looks at a run or at data.
///
/// # Errors
/// [`Ill`] if a run has problems; as `data inspect` for data.
pub fn run(options: &Doctor) -> Result<()> {
    let path = &options.what;
    if !path.exists() {
        bail!(ConfigError(format!("{} is not there", path.display())));
    }
    if !path.join("config.toml").is_file() {
        return super::data::run(&Data::Inspect(Inspect {
            path: path.clone(),
            format: None,
            output: None,
            bad: Bad::Error,
            json: false,
        }));
    }
    let remarks = examine(path)?;
    remarks.iter().for_each(|remark| println!("{remark}"));
    let problems = remarks.iter().filter(|r| r.level == Level::Problem).count();
    match problems {
        0 => Ok(()),
        problems => bail!(Ill {
            path: path.clone(),
            problems
        }),
    }
}

fn examine(run: &Path) -> Result<Vec<Remark>> {
    let config = Config::read(&run.join("config.toml"))?;
    let rows = rows(run);
    let mut found = checkpoints(run);
    found.extend(end(run, &rows));
    found.extend(rows.iter().flat_map(|row| {
        row.findings.iter().map(move |finding| Remark {
            level: Level::Problem,
            what: format!("epoch {}: {}: {}", row.epoch, finding.kind, finding.what),
            cure: finding.cure.clone(),
        })
    }));
    found.extend(settings(run, &config, &rows));
    found.extend(speed(&rows));
    found.extend(inside::look(run, &config));
    if found.iter().all(|r| r.level == Level::Good) && !rows.is_empty() {
        let what = format!(
            "{} epochs without collapse, divergence or dead terms",
            rows.len()
        );
        found.push(good(what));
    }
    Ok(found)
}

fn good(what: String) -> Remark {
    Remark {
        level: Level::Good,
        what,
        cure: String::new(),
    }
}

fn remark(level: Level, what: String, cure: &str) -> Remark {
    Remark {
        level,
        what,
        cure: cure.into(),
    }
}

/// The epochs that `events.jsonl` tells of; of one that was done twice, the later.
fn rows(run: &Path) -> Vec<EpochRow> {
    let text = std::fs::read_to_string(run.join("events.jsonl")).unwrap_or_default();
    let mut rows: Vec<EpochRow> = Vec::new();
    for line in text.lines() {
        let Ok(mut event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let row = (event["event"] == "epoch").then(|| serde_json::from_value(event["data"].take()));
        let Some(Ok(row)) = row else { continue };
        let row: EpochRow = row;
        rows.retain(|earlier| earlier.epoch < row.epoch);
        rows.push(row);
    }
    rows
}

/// Reads every file of weights, and so verifies their checksums.
fn checkpoints(run: &Path) -> Vec<Remark> {
    let entries = run.join("ckpt").read_dir().into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|e| e == "safetensors" || e == "state")
    });
    files.sort();
    let mut found = Vec::new();
    for path in &files {
        if let Err(e) = Checkpoint::<f32>::read_some(path, |name| name != "labels") {
            let cure = "hypersphere train --resume, which writes the files of ckpt/ anew";
            found.push(remark(Level::Problem, e.to_string(), cure));
        }
    }
    if found.is_empty() && !files.is_empty() {
        found.push(good(format!("{} checkpoints are whole", files.len())));
    }
    found
}

/// Whether and how the training ended.
fn end(run: &Path, rows: &[EpochRow]) -> Option<Remark> {
    let diverged = run.join("ckpt/diverged.safetensors");
    if let Ok(file) = Checkpoint::<f32>::read_some(&diverged, |_| false) {
        let fact = |key: &str| file.metadata.get(key).map_or("?", String::as_str);
        let what = format!(
            "the training diverged in step {}: {} is not finite; first {}",
            fact("step"),
            fact("found"),
            fact("origin")
        );
        let cure = "a smaller `lr`, `clip_norm = 5`, or a smaller margin or scale";
        return Some(remark(Level::Problem, what, cure));
    }
    if run.join("eval/test.json").is_file() {
        return None;
    }
    let what = format!(
        "the training has not come to its end; {} epochs are done",
        rows.len()
    );
    let cure = format!("hypersphere train --resume {}", run.display());
    Some(remark(Level::Problem, what, &cure))
}

/// What the configuration makes hard.
fn settings(run: &Path, config: &Config, rows: &[EpochRow]) -> Vec<Remark> {
    let mut found = Vec::new();
    if config.batch < 8 {
        let what = format!(
            "`batch` is {}: batch normalisation sees little",
            config.batch
        );
        found.push(remark(Level::Hint, what, "at least 8, better 32"));
    }
    if rows.last().is_some_and(|row| row.validation.is_none()) {
        let what = "nothing was held out, so that nothing can be chosen by it".to_string();
        found.push(remark(
            Level::Hint,
            what,
            "`data.validation`, in images or classes",
        ));
    }
    let path = run.join("ckpt/last.safetensors");
    let description = Checkpoint::<f32>::read_some(&path, |_| false);
    let description = description.map(|file| Description::of(&file.metadata, &path));
    let (Ok(Ok(description)), Ok(spec)) = (description, config.loss.parse::<Spec>()) else {
        return found;
    };
    let (classes, dim) = (description.classes.len(), config.model.embed_dim);
    let Ok((resolved, notes)) = spec.resolve(classes, dim) else {
        return found;
    };
    for note in notes.iter().filter(|note| note.kind == NoteKind::Warning) {
        let cure = format!("hypersphere loss suggest {} --classes {classes}", note.loss);
        found.push(remark(
            Level::Hint,
            format!("{}: {}", note.loss, note.text),
            &cure,
        ));
    }
    for term in resolved.terms() {
        let has_scale = term.info().parameter("s").is_ok();
        let scale = has_scale.then(|| term.values().given("s")).flatten();
        if let Some(s) = scale.filter(|&s| s > 64.0 && classes < 20) {
            let name = term.info().name;
            let what = format!(
                "`{name}` has the scale {s} with {classes} classes: it hardly tells \
                                right from wrong by degrees"
            );
            let cure = format!("hypersphere loss suggest {name} --classes {classes}");
            found.push(remark(Level::Hint, what, &cure));
        }
    }
    let expected = losses::expected_initial_loss(&spec, classes, dim);
    if let (Ok(expected), Some(first)) = (expected, rows.first())
        && first.train_loss > 1.5 * expected + 1.0
    {
        let what = format!(
            "the first epoch had a mean loss of {:.2}; with these settings it begins near {expected:.2}",
            first.train_loss
        );
        found.push(remark(
            Level::Hint,
            what,
            "a smaller `lr`, or a schedule with warm-up",
        ));
    }
    found
}

/// Whether training waited for data.
fn speed(rows: &[EpochRow]) -> Option<Remark> {
    let sum = |f: fn(&EpochRow) -> f64| rows.iter().map(f).sum::<f64>();
    let share = sum(|row| row.waited_s) / sum(|row| row.seconds).max(1e-9);
    if rows.is_empty() || share < 0.2 {
        return None;
    }
    let what = format!(
        "{:.0} % of the time went into waiting for data",
        100.0 * share
    );
    let cure = "a larger `data.memory`; smaller images; `data.cache` for recordings";
    Some(remark(Level::Hint, what, cure))
}
