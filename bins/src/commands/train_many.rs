//! Several trainings that belong together: one for each loss, each seed, each fold.

use super::train::One;
use crate::cli::Fold;
use crate::cli::train::Train;
use crate::config::{Config, ConfigError};
use crate::evaluation::Evaluation;
use crate::figures;
use crate::pictures::Embedding;
use crate::plot::{self, Features};
use crate::progress::Style;
use crate::report::significance::{deviation, mean};
use crate::run_dir;
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::io::Write;
use std::path::Path;

impl One {
    fn announce(&self, number: usize, of: usize, what: &str) {
        if self.style.tells() {
            eprintln!("\n[{number}/{of}] {what}");
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    nn::checkpoint::write_atomically(&path, |file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// The same training with other seeds and on other folds: a run for each in a common folder, with
/// a table of mean and deviation.
pub(super) fn repeats(config: &Config, options: &Train, one: &One) -> Result<()> {
    let folds = match options.fold {
        Some(Fold::All) => (1..=folds(config)?).map(Some).collect(),
        _ => vec![None],
    };
    let seeds: Vec<u64> = (0..options.repeat.unwrap_or(1))
        .map(|i| config.seed.saturating_add(i))
        .collect();
    let runs: Vec<(u64, Option<u32>)> = folds
        .iter()
        .flat_map(|&fold| seeds.iter().map(move |&seed| (seed, fold)))
        .collect();
    let folder = (!one.dry_run).then(|| run_dir::claim(options.out.as_deref(), config));
    let folder = folder.transpose()?;
    let mut found = Vec::new();
    for (i, &(seed, fold)) in runs.iter().enumerate() {
        let mut config = config.clone();
        config.seed = seed;
        config.data.fold = fold.or(config.data.fold);
        let mut name = Vec::new();
        name.extend(fold.map(|fold| format!("fold-{fold}")));
        if fold.is_none() || seeds.len() > 1 {
            name.push(format!("seed-{seed}"));
        }
        let name = name.join("-");
        one.announce(i + 1, runs.len(), &name.replace('-', " "));
        let out = folder.as_ref().map(|folder| folder.join(&name));
        match one.run(config, out.as_deref())? {
            Some(evaluation) => found.push((name, evaluation)),
            // All of them would say the same.
            None => {
                println!(
                    "{} such runs: {} folds, {} seeds",
                    runs.len(),
                    folds.len(),
                    seeds.len()
                );
                return Ok(());
            }
        }
    }
    let folder = folder.expect("runs were made in it");
    let summary = Summary::of(config, &found);
    let table = summary.table();
    write(&folder, "summary.md", &table)?;
    write(
        &folder,
        "summary.json",
        &(serde_json::to_string_pretty(&summary.json())? + "\n"),
    )?;
    match one.style {
        Style::Json => println!("{}", json!({ "summary": summary.json() })),
        _ => print!("\n{table}\n{}\n", folder.display()),
    }
    Ok(())
}

/// The number of folds of the data.
fn folds(config: &Config) -> Result<u32> {
    let format = config.data.format;
    let folds = format.folds().ok_or_else(|| {
        ConfigError(format!(
            "`--fold` is for data in folds to train on (esc10, esc50, urbansound); `{}` has none. The \
             ten folds of pairs to verify are all judged in every run",
            format.info().name
        ))
    });
    Ok(folds?)
}

/// What several runs found, figure by figure.
struct Summary {
    runs: Vec<String>,
    title: String,
    /// The names of figures with the value of every run.
    figures: Vec<(String, Vec<f64>)>,
}

impl Summary {
    fn of(config: &Config, found: &[(String, Evaluation)]) -> Self {
        let first = found.first().map(|(_, e)| &e.figures);
        let keys = first.into_iter().flat_map(|figures| figures.iter());
        let values = |key: &str| -> Vec<f64> {
            let value = |(_, e): &(String, Evaluation)| e.figures.get(key).unwrap_or(f64::NAN);
            found.iter().map(value).collect()
        };
        let figures = keys
            .map(|(key, _)| (key.to_string(), values(key)))
            .collect();
        Summary {
            runs: found.iter().map(|(name, _)| name.clone()).collect(),
            title: format!("{}, {} epochs", config.loss, config.epochs),
            figures,
        }
    }

    /// As Markdown: a row for each figure, the deviation being that of single runs.
    fn table(&self) -> String {
        let mut table = format!(
            "{}; {} runs, weights of the last epoch\n\n| test | mean | deviation | smallest | largest |\n\
             |---|---|---|---|---|\n",
            self.title,
            self.runs.len()
        );
        for (key, values) in &self.figures {
            let (mean, deviation) = (mean(values), deviation(values).unwrap_or(f64::NAN));
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
        let figure = |(key, values): &(String, Vec<f64>)| {
            let (mean, deviation) = (mean(values), deviation(values).unwrap_or(f64::NAN));
            let value = json!({ "mean": mean, "deviation": deviation, "values": values });
            (key.clone(), value)
        };
        let figures: serde_json::Map<_, _> = self.figures.iter().map(figure).collect();
        json!({ "runs": self.runs, "part": "test", "figures": figures })
    }
}

/// Every loss of the configuration's comparison, one run each, with a table and a picture.
pub(super) fn losses(config: &Config, out: Option<&Path>, one: &One) -> Result<()> {
    if config.compare.is_empty() {
        bail!(ConfigError(
            "`loss = \"all\"` needs a list of losses under [[compare]]; the recipes have one"
                .into()
        ));
    }
    let folder = run_dir::claim(out, config)?;
    let (mut found, total) = (Vec::new(), config.compare.len());
    for (i, compared) in config.compare.iter().enumerate() {
        let mut config = config.clone();
        config.loss.clone_from(&compared.loss);
        config.compare.clear();
        if let Some(dim) = compared.embed_dim {
            config.model.embed_dim = dim;
        }
        one.announce(i + 1, total, &compared.loss);
        let out = folder.join(format!("{:02}-{}", i + 1, run_dir::slug(&compared.loss)));
        if let Some(evaluation) = one.run(config.clone(), Some(&out))? {
            found.push((config, evaluation));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let table = table(&found);
    print!("\n{table}");
    write(&folder, "comparison.md", &table)?;
    let titles: Vec<String> = found.iter().map(|(c, _)| panel_title(&c.loss)).collect();
    for (name, features) in [
        ("embeddings", Features::Raw),
        ("directions", Features::Unit),
    ] {
        let panels: Vec<_> = titles
            .iter()
            .zip(&found)
            .filter_map(|(title, (_, e))| Embedding::new(title, e, config.protocol()))
            .collect();
        if panels.is_empty() {
            break;
        }
        let panels: Vec<_> = panels.iter().map(|p| p.panel(features)).collect();
        let title = format!("{}: {name}", config.recipe);
        write(
            &folder,
            &format!("{name}.svg"),
            &plot::grid(&title, 4, &panels)?,
        )?;
    }
    println!("\n{}", folder.display());
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
fn table(found: &[(Config, Evaluation)]) -> String {
    let Some((config, first)) = found.first() else {
        return String::new();
    };
    let keys = config.protocol().summary().iter();
    let keys: Vec<&str> = keys
        .copied()
        .filter(|k| first.figures.get(k).is_some())
        .collect();
    let mut table = String::from("| loss | dimensions |");
    for key in &keys {
        let unit = if figures::is_percent(key) { " / %" } else { "" };
        table += &format!(" {}{unit} |", figures::label(key));
    }
    table += &format!("\n|---|---|{}\n", "---|".repeat(keys.len()));
    for (config, evaluation) in found {
        table += &format!("| `{}` | {} |", config.loss, config.model.embed_dim);
        for key in &keys {
            let value = evaluation.figures.get(key).unwrap_or(f64::NAN);
            table += &format!(" {} |", figures::shown(key, value).trim_end_matches(" %"));
        }
        table.push('\n');
    }
    table += &format!(
        "\nSeed {}, {} epochs, {} test examples, weights of the last epoch. One run each: small \
         differences are chance.\n",
        config.seed, config.epochs, first.figures.images
    );
    table
}
