//! What a run directory says of a run.

use crate::config::{Config, ConfigError};
use crate::figures::Figures;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A run, as its directory tells of it. Only the configuration has to be there: of a run that was
/// interrupted, or of which only the logs were kept, the rest is empty.
pub struct Finished {
    /// The directory.
    pub path: PathBuf,
    /// The resolved configuration.
    pub config: Config,
    /// `env.json` as names and texts.
    pub environment: Vec<(String, String)>,
    /// `metrics.csv`.
    pub history: History,
    /// What `eval/` holds, the run's own final figures first.
    pub judged: Vec<Judgement>,
    /// Learned numbers, as `train.log` says.
    pub parameters: Option<u64>,
}

/// Figures of a part of the data, with what they were found by.
#[derive(Clone, Debug, Deserialize)]
pub struct Judgement {
    /// The name of the file.
    #[serde(skip)]
    pub file: String,
    /// `test` or `validation`; none for other data.
    #[serde(default)]
    pub part: Option<String>,
    /// Other data than the run's own.
    #[serde(default)]
    pub data: Option<String>,
    /// Which weights.
    #[serde(default)]
    pub weights: Option<String>,
    /// What the weights were chosen by; only known of the run's own final figures.
    #[serde(default)]
    pub selected_on: Option<String>,
    /// The protocol.
    pub protocol: String,
    /// Whether mirror images were embedded, too.
    #[serde(default)]
    pub flip: bool,
    /// The figures.
    pub figures: Figures,
}

impl Judgement {
    /// Reads a file of figures.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let judgement = serde_json::from_value::<Judgement>(json(path)?);
        let judgement = judgement.with_context(|| format!("reading {}", path.display()))?;
        let name = path.file_name().unwrap_or_default();
        Ok(Judgement {
            file: name.to_string_lossy().into_owned(),
            ..judgement
        })
    }
}

impl Finished {
    /// Reads a run directory, and writes nothing to it.
    ///
    /// # Errors
    /// [`ConfigError`] if it is none; or if one of its files is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.join("config.toml");
        if !file.is_file() {
            bail!(ConfigError(format!(
                "{} is no run directory: it has no config.toml",
                path.display()
            )));
        }
        let log = std::fs::read_to_string(path.join("train.log")).unwrap_or_default();
        Ok(Finished {
            config: Config::read(&file)?,
            environment: environment(&path.join("env.json"))?,
            history: History::read(&path.join("metrics.csv"))?,
            judged: judgements(&path.join("eval"))?,
            parameters: parameters(&log),
            path: path.to_path_buf(),
        })
    }

    /// The last part of the path: what the run is called.
    pub fn name(&self) -> String {
        // `.` and `..` have no name of their own.
        let path = self.path.canonicalize().unwrap_or(self.path.clone());
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// The run's own final figures.
    pub fn test(&self) -> Option<&Judgement> {
        self.judged.iter().find(|judged| judged.file == TEST)
    }

    /// Seconds of all epochs, evaluation included.
    pub fn seconds(&self) -> Option<f64> {
        let column = self.history.column("seconds")?;
        let sum = column.iter().map(|(_, seconds)| seconds).sum::<f64>();
        (!column.is_empty()).then_some(sum)
    }

    /// The epoch whose weights `ckpt/best.safetensors` holds, with the figure of the validation
    /// that chose it.
    pub fn best(&self) -> Option<Best> {
        let keys = self.config.protocol().summary().iter();
        let mut columns = keys.filter_map(|&key| Some((key, self.history.validation(key)?)));
        let (key, column) = columns.next()?;
        // Of equal figures the first: a later epoch must be better to be chosen.
        let best = column
            .into_iter()
            .filter(|(_, value)| !value.is_nan())
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(epoch, value)| Best { key, epoch, value })
    }
}

/// The best epoch by the validation part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The figure that chose.
    pub key: &'static str,
    /// The epoch, from 1.
    pub epoch: f64,
    /// Its figure.
    pub value: f64,
}

/// The file with the run's own final figures.
const TEST: &str = "test.json";

/// `metrics.csv`: a row of numbers for each epoch, under the names in the first line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    names: Vec<String>,
    /// NaN where a cell is empty.
    rows: Vec<Vec<f64>>,
}

impl History {
    /// Reads the file; a run that ended before its first epoch has none.
    ///
    /// # Errors
    /// If a cell holds something other than a number, or a row has too few or too many.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Ok(History::default());
        }
        let mut reader = csv::Reader::from_path(path).context("reading metrics.csv")?;
        let of_file = |e: csv::Error| ConfigError(format!("{}: {e}", path.display()));
        let names = reader.headers().map_err(of_file)?;
        let names: Vec<String> = names.iter().map(str::to_string).collect();
        let mut rows = Vec::new();
        for (i, record) in reader.records().enumerate() {
            let record = record.map_err(of_file)?;
            let number = |(cell, name): (&str, &String)| match cell.trim() {
                "" => Ok(f64::NAN),
                text => text.parse::<f64>().map_err(|_| {
                    ConfigError(format!(
                        "{}: row {}, column `{name}`: expected a number, found `{text}`",
                        path.display(),
                        i + 2
                    ))
                }),
            };
            let row: Result<Vec<f64>, _> = record.iter().zip(&names).map(number).collect();
            rows.push(row?);
        }
        Ok(History { names, rows })
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Epochs that were completed.
    pub fn epochs(&self) -> usize {
        self.rows.len()
    }

    /// A column over the epochs, without empty cells; none if there is no such column.
    pub fn column(&self, name: &str) -> Option<Vec<(f64, f64)>> {
        let place = |name: &str| self.names.iter().position(|n| n == name);
        let (epoch, column) = (place("epoch")?, place(name)?);
        let rows = self.rows.iter().map(|row| (row[epoch], row[column]));
        Some(rows.filter(|(_, value)| !value.is_nan()).collect())
    }

    /// A figure of the validation over the epochs.
    pub fn validation(&self, key: &str) -> Option<Vec<(f64, f64)>> {
        let column = self.column(&format!("validation_{key}"));
        column.filter(|column| !column.is_empty())
    }
}

/// An object of texts, numbers and lists as names and texts.
fn environment(path: &Path) -> Result<Vec<(String, String)>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let Value::Object(object) = json(path)? else {
        bail!(ConfigError(format!(
            "{}: expected an object",
            path.display()
        )));
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let shown = |value: &Value| match value {
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(" "),
        value => text(value),
    };
    let entries = object.iter();
    Ok(entries
        .map(|(key, value)| (key.clone(), shown(value)))
        .collect())
}

/// The figures in every JSON file that has some, by name, the run's own first.
fn judgements(folder: &Path) -> Result<Vec<Judgement>> {
    let mut files: Vec<PathBuf> = match folder.read_dir() {
        Ok(entries) => entries.filter_map(|e| Some(e.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|file| file.extension().is_some_and(|e| e == "json"));
    files.sort_by_key(|file| (!file.ends_with(TEST), file.clone()));
    let mut found = Vec::new();
    for file in files {
        // Whatever else somebody has put there is none of ours.
        let Ok(judgement) = serde_json::from_value::<Judgement>(json(&file)?) else {
            continue;
        };
        let name = file.file_name().unwrap_or_default();
        found.push(Judgement {
            file: name.to_string_lossy().into_owned(),
            ..judgement
        });
    }
    Ok(found)
}

fn json(path: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let value = serde_json::from_str(&text);
    value.map_err(|e| ConfigError(format!("{}: {e}", path.display())).into())
}

/// From the line `model   vgg-light, embedding of 64, 176138 parameters; 2 threads`.
fn parameters(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.starts_with("model "))?;
    let before = line.split_once(" parameters")?.0;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_tells_what_it_has_and_misses_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
        assert!(Finished::read(path).err().unwrap().is::<ConfigError>());
        write("config.toml", "recipe = \"mnist\"\nepochs = 3");
        let run = Finished::read(path).unwrap();
        assert!(run.environment.is_empty() && run.judged.is_empty());
        assert_eq!(
            (run.parameters, run.seconds(), run.best()),
            (None, None, None)
        );

        write(
            "metrics.csv",
            "epoch,train_loss,validation_accuracy,seconds\n1,2.5,0.5,1\n2,1,,1\n3,0.5,0.75,2\n4,0.4,0.75,1\n",
        );
        write(
            "train.log",
            "loss    softmax\nmodel   lenet, embedding of 8, 1234 parameters; 2 threads\n",
        );
        write(
            "env.json",
            r#"{"seed": 7, "command": ["hypersphere", "train"], "cpu": "x"}"#,
        );
        std::fs::create_dir(path.join("eval")).unwrap();
        write(
            "eval/again.json",
            r#"{"protocol": "retrieve", "data": "d", "figures": {"images": 3, "map": 0.25}}"#,
        );
        write(
            "eval/test.json",
            r#"{"protocol": "classify", "selected_on": "nothing", "figures": {"images": 9}}"#,
        );
        write("eval/other.json", r#"{"something": "else"}"#);
        let run = Finished::read(path).unwrap();
        let best = Best {
            key: "accuracy",
            epoch: 3.0,
            value: 0.75,
        };
        assert_eq!(run.best(), Some(best), "the first of equal ones");
        assert_eq!((run.parameters, run.seconds()), (Some(1234), Some(5.0)));
        let files: Vec<&str> = run.judged.iter().map(|j| j.file.as_str()).collect();
        assert_eq!(files, ["test.json", "again.json"]);
        assert_eq!(run.test().unwrap().selected_on.as_deref(), Some("nothing"));
        assert_eq!(run.judged[1].figures.get("map"), Some(0.25));
        let command = ("command".to_string(), "hypersphere train".to_string());
        assert!(run.environment.contains(&command));

        write("metrics.csv", "epoch,train_loss\n1,many\n");
        let error = Finished::read(path).err().unwrap().to_string();
        for part in ["metrics.csv", "row 2", "`train_loss`", "`many`"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }
}
