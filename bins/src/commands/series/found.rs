//! What the runs of a series found: tables and pictures of it.

use super::Group;
use crate::commands::runner::Ended;
use crate::config::Config;
use crate::evaluation::Evaluation;
use crate::figures::{self, Figures};
use crate::files;
use crate::pictures::Embedding;
use crate::plot::{self, Features};
use crate::report::markdown;
use crate::report::significance::{deviation, mean};
use crate::run_dir;
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;

/// What the members of a group found on the test part.
pub(super) struct Found {
    pub config: Config,
    runs: Vec<String>,
    /// Those of each run.
    figures: Vec<Figures>,
    /// The epochs of each run, which may be fewer than were asked for.
    epochs: Vec<u64>,
    /// The embeddings of the first run, if they can be drawn: the others differ by chance.
    drawn: Option<Evaluation>,
}

impl Found {
    pub fn none(group: &Group) -> Self {
        Found {
            config: group.members[0].config.clone(),
            runs: group.members.iter().map(|m| m.name.clone()).collect(),
            figures: Vec::new(),
            epochs: Vec::new(),
            drawn: None,
        }
    }

    /// Whether the embeddings of the next run are to be drawn.
    pub fn wants_embeddings(&self) -> bool {
        self.figures.is_empty() && (2..=3).contains(&self.config.model.embed_dim)
    }

    /// What came of the next run.
    pub fn add(&mut self, ended: Ended) {
        if self.wants_embeddings() {
            self.drawn = ended.evaluation;
        }
        self.figures.push(ended.figures);
        self.epochs.push(ended.config.epochs);
    }

    /// What every run found of a figure; NaN where it found none.
    fn values(&self, key: &str) -> Vec<f64> {
        let value = |figures: &Figures| figures.get(key).unwrap_or(f64::NAN);
        self.figures.iter().map(value).collect()
    }

    /// The names of figures with the values of every run.
    fn figures(&self) -> Vec<(&str, Vec<f64>)> {
        let keys = self.figures.first().into_iter().flat_map(Figures::iter);
        keys.map(|(key, _)| (key, self.values(key))).collect()
    }

    /// Writes `summary.md` and `summary.json`.
    pub fn write(&self, folder: &Path, is_limited: bool) -> Result<()> {
        files::write(&folder.join("summary.md"), self.table(is_limited))?;
        files::write_json(&folder.join("summary.json"), self.json())
    }

    /// As Markdown: a row for each figure, the deviation being that of single runs.
    pub fn table(&self, is_limited: bool) -> String {
        let mut rows = vec![["test", "mean", "deviation", "smallest", "largest"].map(String::from)];
        for (key, values) in self.figures() {
            let (mean, deviation) = (mean(&values), deviation(&values).unwrap_or(f64::NAN));
            let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let [mean, deviation, smallest, largest] =
                [mean, deviation, smallest, largest].map(|v| match v.is_finite() {
                    true => figures::shown(key, v),
                    false => figures::NONE.into(),
                });
            rows.push([figures::label(key), mean, deviation, smallest, largest]);
        }
        let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
        format!(
            "{}, {}; {} runs, weights of the last epoch\n\n{}",
            self.config.loss,
            epochs(&self.epochs, is_limited),
            self.runs.len(),
            markdown::table(&rows)
        )
    }

    pub fn json(&self) -> Value {
        let figure = |(key, values): (&str, Vec<f64>)| {
            let (mean, deviation) = (mean(&values), deviation(&values).unwrap_or(f64::NAN));
            let value = json!({ "mean": mean, "deviation": deviation, "values": values });
            (key.to_string(), value)
        };
        let figures: serde_json::Map<_, _> = self.figures().into_iter().map(figure).collect();
        json!({ "loss": self.config.loss, "runs": self.runs, "part": "test", "figures": figures })
    }
}

/// `6 epochs`, or what runs were cut to where the time was limited: `3 to 5 epochs (--max-time)`.
fn epochs(of_runs: &[u64], is_limited: bool) -> String {
    let least = of_runs.iter().min().copied().unwrap_or(0);
    let most = of_runs.iter().max().copied().unwrap_or(0);
    let count = match least == most {
        true => least.to_string(),
        false => format!("{least} to {most}"),
    };
    let limit = if is_limited { " (--max-time)" } else { "" };
    format!("{count} epochs{limit}")
}

/// The losses side by side, as a Markdown table.
pub(super) fn table(found: &[Found], is_limited: bool) -> String {
    let Some((first, measured)) = found.first().and_then(|f| Some((f, f.figures.first()?))) else {
        return String::new();
    };
    let keys = first.config.protocol().summary().iter().copied();
    let keys: Vec<&str> = keys.filter(|key| measured.get(key).is_some()).collect();
    let head = ["loss", "dimensions"].map(String::from).into_iter();
    let mut rows = vec![
        head.chain(keys.iter().map(|key| figures::title(key)))
            .collect(),
    ];
    for row in found {
        let config = &row.config;
        let mut cells = vec![
            format!("`{}`", config.loss),
            config.model.embed_dim.to_string(),
        ];
        cells.extend(
            keys.iter()
                .map(|key| figures::spread(key, &row.values(key))),
        );
        rows.push(cells);
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
    let of_runs: Vec<u64> = found.iter().flat_map(|f| f.epochs.clone()).collect();
    format!(
        "{}\n{}, {} test examples, weights of the last epoch. {runs}\n",
        markdown::table(&rows),
        epochs(&of_runs, is_limited),
        measured.images
    )
}

/// Draws the embeddings of all losses that have two or three dimensions, if any has.
pub(super) fn draw(recipe: &str, found: &[Found], folder: &Path) -> Result<()> {
    let titles: Vec<String> = found.iter().map(|f| panel_title(&f.config.loss)).collect();
    let drawn = titles
        .iter()
        .zip(found)
        .filter_map(|(title, f)| Embedding::new(title, f.drawn.as_ref()?, f.config.protocol()));
    let drawn: Vec<_> = drawn.collect();
    if drawn.is_empty() {
        return Ok(());
    }
    for (name, features) in [
        ("embeddings", Features::Raw),
        ("directions", Features::Unit),
    ] {
        let panels: Vec<_> = drawn.iter().map(|p| p.panel(features)).collect();
        let picture = plot::grid(&format!("{recipe}: {name}"), 4, &panels)?;
        files::write(&folder.join(format!("{name}.svg")), picture)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_those_that_were_trained() {
        assert_eq!(epochs(&[6, 6], false), "6 epochs");
        assert_eq!(epochs(&[6, 6], true), "6 epochs (--max-time)");
        assert_eq!(epochs(&[5, 3, 4], true), "3 to 5 epochs (--max-time)");
    }
}
