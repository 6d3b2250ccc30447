//! Several trainings that belong together: one for each loss, each seed, each fold.
//!
//! A series is a folder with a run for each of them. What it was begun with stands in its
//! `series.toml`, so that it can be continued after an interruption like a single run: what is
//! finished is read again, what was interrupted goes on, the rest is begun.

use super::train::One;
use crate::cli::Fold;
use crate::cli::train::Train;
use crate::config::{Compared, Config, ConfigError};
use crate::evaluation::Evaluation;
use crate::figures;
use crate::pictures::Embedding;
use crate::plot::{self, Features};
use crate::progress::Style;
use crate::report::significance::{deviation, mean};
use crate::run_dir::{self, RunDir};
use crate::trainer::{Interrupted, Part, Trainer};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::Write;
use std::path::Path;

const FILE: &str = "series.toml";

/// What a series is made of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    /// Seeds for every loss and fold: the configuration's and those after it.
    repeat: u64,
    /// Whether each fold of the data is tested on in turn.
    all_folds: bool,
    /// What all runs have in common; with the loss `all`, every one that it compares is trained.
    config: Config,
}

/// One training of a series.
struct Member {
    /// Its name within its group, such as `fold-1-seed-2`; empty where the group is one run.
    name: String,
    config: Config,
}

/// The trainings that differ in nothing but seed and fold.
struct Group {
    /// Its folder within the series'; empty where there is no other group.
    folder: String,
    members: Vec<Member>,
}

/// What the members of a group found on the test part, those that were run.
struct Found {
    config: Config,
    runs: Vec<String>,
    evaluations: Vec<Evaluation>,
}

/// Whether this folder holds a series.
pub(super) fn is_series(folder: &Path) -> bool {
    folder.join(FILE).is_file()
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    nn::checkpoint::write_atomically(&path, |file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

impl Series {
    /// What the options ask for, if that is more than one run.
    ///
    /// # Errors
    /// [`ConfigError`] if there is nothing to compare, or no folds.
    pub fn asked(config: &Config, options: &Train) -> Result<Option<Self>> {
        let all_folds = options.fold == Some(Fold::All);
        if config.loss != "all" && options.repeat.is_none() && !all_folds {
            return Ok(None);
        }
        if config.loss == "all" && config.compare.is_empty() {
            bail!(ConfigError(
                "`loss = \"all\"` needs a list of losses under [[compare]]; the recipes have one"
                    .into()
            ));
        }
        let series = Series {
            repeat: options.repeat.unwrap_or(1),
            all_folds,
            config: config.clone(),
        };
        series.folds()?;
        Ok(Some(series))
    }

    /// Trains all of it.
    pub fn begin(&self, out: Option<&Path>, one: &One) -> Result<()> {
        if one.dry_run {
            return self.rehearse(one);
        }
        let folder = run_dir::claim(out, &self.config)?;
        write(&folder, FILE, &toml::to_string(self)?)?;
        self.run(&folder, one)
    }

    /// Trains what is missing in a folder where a series was begun.
    ///
    /// # Errors
    /// [`ConfigError`] if its `series.toml` does not describe one.
    pub fn resume(folder: &Path, one: &One) -> Result<()> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        let series: Series = toml::from_str(&text)
            .map_err(|e| ConfigError(format!("{} describes no series: {e}", path.display())))?;
        series.run(folder, one)
    }

    /// The folds to test on.
    fn folds(&self) -> Result<Vec<Option<u32>>> {
        if !self.all_folds {
            return Ok(vec![self.config.data.fold]);
        }
        let format = self.config.data.format;
        let folds = format.folds().ok_or_else(|| {
            ConfigError(format!(
                "`--fold` is for data in folds to train on (esc10, esc50, urbansound, \
                 cuhk03-labeled-classic, cuhk03-detected-classic); `{}` has none. The ten folds of \
                 pairs to verify are all judged in every run",
                format.info().name
            ))
        })?;
        Ok((1..=folds).map(Some).collect())
    }

    fn groups(&self) -> Result<Vec<Group>> {
        let mut common = self.config.clone();
        let compared = std::mem::take(&mut common.compare);
        if self.config.loss != "all" {
            common.compare.clone_from(&self.config.compare);
            let members = self.members(&common)?;
            let folder = String::new();
            return Ok(vec![Group { folder, members }]);
        }
        let group = |(i, compared): (usize, &Compared)| {
            let mut config = common.clone();
            config.loss.clone_from(&compared.loss);
            config.model.embed_dim = compared.embed_dim.unwrap_or(config.model.embed_dim);
            Ok(Group {
                folder: format!("{:02}-{}", i + 1, run_dir::slug(&compared.loss)),
                members: self.members(&config)?,
            })
        };
        compared.iter().enumerate().map(group).collect()
    }

    fn members(&self, config: &Config) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for fold in self.folds()? {
            for i in 0..self.repeat {
                let mut config = config.clone();
                config.seed = config.seed.saturating_add(i);
                config.data.fold = fold;
                let mut name = Vec::new();
                if self.all_folds {
                    name.extend(fold.map(|fold| format!("fold-{fold}")));
                }
                if self.repeat > 1 || self.config.loss != "all" && !self.all_folds {
                    name.push(format!("seed-{}", config.seed));
                }
                let name = name.join("-");
                members.push(Member { name, config });
            }
        }
        Ok(members)
    }

    /// Says what the first run of each group would be, and how many there are.
    fn rehearse(&self, one: &One) -> Result<()> {
        let groups = self.groups()?;
        for group in &groups {
            one.run(group.members[0].config.clone(), None)?;
        }
        println!(
            "{} such runs: {} losses, {} folds, {} seeds",
            groups
                .iter()
                .map(|group| group.members.len())
                .sum::<usize>(),
            groups.len(),
            self.folds()?.len(),
            self.repeat
        );
        Ok(())
    }

    fn run(&self, folder: &Path, one: &One) -> Result<()> {
        let groups = self.groups()?;
        let total: usize = groups.iter().map(|group| group.members.len()).sum();
        let (mut found, mut number) = (Vec::new(), 0);
        for group in &groups {
            let mut all = Found::none(group);
            for member in &group.members {
                number += 1;
                if one.style.tells() {
                    let seed = member.name.replace('-', " ");
                    eprintln!("\n[{number}/{total}] {} {seed}", member.config.loss);
                }
                let out = folder.join(&group.folder).join(&member.name);
                match one.run_or_continue(member.config.clone(), &out) {
                    Ok(evaluation) => all.evaluations.push(evaluation),
                    Err(e) if e.is::<Interrupted>() => {
                        eprintln!(
                            "{} of {total} runs are finished; continue all of them with \
                             hypersphere train --resume {}",
                            number - 1,
                            folder.display()
                        );
                        return Err(e);
                    }
                    Err(e) => return Err(e),
                }
            }
            if all.runs.len() > 1 {
                all.write(&folder.join(&group.folder))?;
            }
            found.push(all);
        }
        match (&found[..], one.style) {
            ([only], Style::Json) => println!("{}", json!({ "summary": only.json() })),
            ([only], _) => print!("\n{}", only.table()),
            _ => compare(&self.config, &found, folder, one.style)?,
        }
        if one.style != Style::Json {
            println!("\n{}", folder.display());
        }
        Ok(())
    }
}

impl One {
    /// One run of a series: from the start, or from where it was interrupted. A finished one is
    /// judged again and nothing else.
    fn run_or_continue(&self, config: Config, path: &Path) -> Result<Evaluation> {
        if !path.join("ckpt/last.state").is_file() {
            // Killed before its first checkpoint: what it wrote says nothing yet.
            if path.join("config.toml").is_file() {
                std::fs::remove_dir_all(path)
                    .with_context(|| format!("beginning {} again", path.display()))?;
            }
            let found = self.run(config, Some(path))?;
            return Ok(found.expect("a run that is no rehearsal ends with a test"));
        }
        let file = path.join("config.toml");
        let begun = Config::read(&file).with_context(|| format!("reading {}", file.display()))?;
        if !path.join("eval/test.json").is_file() {
            return self.resume(begun, path);
        }
        let mut trainer = Trainer::resume(begun, &RunDir::resume(path)?)?;
        Ok(trainer.judge(Part::Test)?.expect("there is a test part"))
    }
}

impl Found {
    fn none(group: &Group) -> Self {
        Found {
            config: group.members[0].config.clone(),
            runs: group.members.iter().map(|m| m.name.clone()).collect(),
            evaluations: Vec::new(),
        }
    }

    /// What every run found of a figure; NaN where it found none.
    fn values(&self, key: &str) -> Vec<f64> {
        let value = |e: &Evaluation| e.figures.get(key).unwrap_or(f64::NAN);
        self.evaluations.iter().map(value).collect()
    }

    /// The names of figures with the values of every run.
    fn figures(&self) -> Vec<(&str, Vec<f64>)> {
        let first = self.evaluations.first().map(|e| &e.figures);
        let keys = first.into_iter().flat_map(|figures| figures.iter());
        keys.map(|(key, _)| (key, self.values(key))).collect()
    }

    fn write(&self, folder: &Path) -> Result<()> {
        write(folder, "summary.md", &self.table())?;
        let text = serde_json::to_string_pretty(&self.json())? + "\n";
        write(folder, "summary.json", &text)
    }

    /// As Markdown: a row for each figure, the deviation being that of single runs.
    fn table(&self) -> String {
        let mut table = format!(
            "{}, {} epochs; {} runs, weights of the last epoch\n\n\
             | test | mean | deviation | smallest | largest |\n|---|---|---|---|---|\n",
            self.config.loss,
            self.config.epochs,
            self.runs.len()
        );
        for (key, values) in self.figures() {
            let (mean, deviation) = (mean(&values), deviation(&values).unwrap_or(f64::NAN));
            let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let shown = [mean, deviation, smallest, largest].map(|v| match v.is_finite() {
                true => figures::shown(key, v),
                false => "-".into(),
            });
            table += &format!("| {} | {} |\n", figures::label(key), shown.join(" | "));
        }
        table
    }

    fn json(&self) -> serde_json::Value {
        let figure = |(key, values): (&str, Vec<f64>)| {
            let (mean, deviation) = (mean(&values), deviation(&values).unwrap_or(f64::NAN));
            let value = json!({ "mean": mean, "deviation": deviation, "values": values });
            (key.to_string(), value)
        };
        let figures: serde_json::Map<_, _> = self.figures().into_iter().map(figure).collect();
        json!({ "loss": self.config.loss, "runs": self.runs, "part": "test", "figures": figures })
    }

    /// A figure in a cell: `99.24`, or with its deviation over the runs `99.24 ± 0.05`.
    fn cell(&self, key: &str) -> String {
        let values = self.values(key);
        let shown = |value| {
            figures::shown(key, value)
                .trim_end_matches(" %")
                .to_string()
        };
        match deviation(&values) {
            Some(deviation) => format!("{} ± {}", shown(mean(&values)), shown(deviation)),
            None => shown(mean(&values)),
        }
    }
}

/// A table and pictures of several losses.
fn compare(config: &Config, found: &[Found], folder: &Path, style: Style) -> Result<()> {
    let table = table(found);
    write(folder, "comparison.md", &table)?;
    match style {
        Style::Json => {
            let rows: Vec<_> = found.iter().map(Found::json).collect();
            println!("{}", json!({ "comparison": rows }));
        }
        _ => print!("\n{table}"),
    }
    let titles: Vec<String> = found.iter().map(|f| panel_title(&f.config.loss)).collect();
    for (name, features) in [
        ("embeddings", Features::Raw),
        ("directions", Features::Unit),
    ] {
        // The first run of each: the others differ by chance.
        let panels: Vec<_> = titles
            .iter()
            .zip(found)
            .filter_map(|(title, f)| Embedding::new(title, &f.evaluations[0], f.config.protocol()))
            .collect();
        if panels.is_empty() {
            break;
        }
        let panels: Vec<_> = panels.iter().map(|p| p.panel(features)).collect();
        let title = format!("{}: {name}", config.recipe);
        let picture = plot::grid(&title, 4, &panels)?;
        write(folder, &format!("{name}.svg"), &picture)?;
    }
    Ok(())
}

/// The loss as the heading of a small panel: its parameters only where there is room for them.
fn panel_title(loss: &str) -> String {
    const ROOM: usize = 26;
    match loss.chars().count() {
        0..=ROOM => loss.to_string(),
        _ => run_dir::slug(loss),
    }
}

/// The comparison as a Markdown table.
fn table(found: &[Found]) -> String {
    let Some(first) = found.first() else {
        return String::new();
    };
    let measured = &first.evaluations[0].figures;
    let keys = first.config.protocol().summary().iter().copied();
    let keys: Vec<&str> = keys.filter(|key| measured.get(key).is_some()).collect();
    let mut table = String::from("| loss | dimensions |");
    for key in &keys {
        let unit = if figures::is_percent(key) { " / %" } else { "" };
        table += &format!(" {}{unit} |", figures::label(key));
    }
    table += &format!("\n|---|---|{}\n", "---|".repeat(keys.len()));
    for row in found {
        table += &format!("| `{}` | {} |", row.config.loss, row.config.model.embed_dim);
        for key in &keys {
            table += &format!(" {} |", row.cell(key));
        }
        table.push('\n');
    }
    let runs = match &first.runs[..] {
        [_] => format!(
            "Seed {}. One run each: small differences are chance.",
            first.config.seed
        ),
        runs => format!(
            "Mean and deviation of {} runs: {}.",
            runs.len(),
            runs.join(", ").replace('-', " ")
        ),
    };
    table += &format!(
        "\n{} epochs, {} test examples, weights of the last epoch. {runs}\n",
        first.config.epochs, measured.images
    );
    table
}
