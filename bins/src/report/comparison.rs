//! Runs side by side: their figures, where their configurations differ, means over seeds, and
//! whether a difference is more than luck.

mod groups;
mod ladder;
mod verdicts;

use super::curves::{Panel, draw, scaled};
use super::finished::Finished;
use super::markdown;
use super::page::{Page, paragraph, table};
use crate::figures::{self, Figures, NONE};
use crate::plot::Scale;
use crate::progress::short;
use anyhow::Result;
use groups::{Group, differing, grouped};
use std::collections::BTreeSet;

/// Lines of a chart that can be told apart.
const LINES: usize = 10;

/// Several runs.
pub struct Comparison {
    runs: Vec<Finished>,
    /// What the runs are called: their folders, or their paths where those are the same.
    names: Vec<String>,
    figured: Figured,
    /// The figures of each run.
    figures: Vec<Figures>,
    groups: Vec<Group>,
}

/// Which figures are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figured {
    /// Those of the test part, at the end of the run.
    Test,
    /// Of the last epoch, where not every run has any of the test part.
    Validation,
}

impl Figured {
    /// The figures of a run.
    fn of(self, run: &Finished) -> Figures {
        match (self, run.test()) {
            (Figured::Test, Some(test)) => test.figures.clone(),
            _ => {
                let mut figures = Figures::of(0);
                for &key in run.config.protocol().summary() {
                    let bare = run.history.column(key).filter(|column| !column.is_empty());
                    let column = run.history.validation(key).or(bare);
                    if let Some(&(_, value)) = column.as_ref().and_then(|column| column.last()) {
                        figures.push(key, value);
                    }
                }
                figures
            }
        }
    }
}

/// A table with a heading above and remarks below.
struct Part {
    id: &'static str,
    heading: &'static str,
    rows: Vec<Vec<String>>,
    remarks: Vec<String>,
}

impl Comparison {
    /// Compares runs, in this order; what cannot be compared is left out, and said.
    pub fn new(runs: Vec<Finished>) -> Self {
        let mut names: Vec<String> = runs.iter().map(Finished::name).collect();
        if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
            names = runs
                .iter()
                .map(|run| run.path.display().to_string())
                .collect();
        }
        let figured = match runs.iter().all(|run| run.test().is_some()) {
            true => Figured::Test,
            false => Figured::Validation,
        };
        Comparison {
            groups: grouped(&runs),
            figures: runs.iter().map(|run| figured.of(run)).collect(),
            runs,
            names,
            figured,
        }
    }

    /// As Markdown, to be read in a terminal as well.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for part in self.parts().iter().filter(|part| !part.rows.is_empty()) {
            if !out.is_empty() {
                out += &format!("\n## {}\n\n", part.heading);
            }
            out += &markdown::table(&part.rows);
            for remark in &part.remarks {
                out += &format!("\n{remark}\n");
            }
        }
        out
    }

    /// As one HTML file, with the curves over each other.
    ///
    /// # Errors
    /// If the curves cannot be drawn.
    pub fn html(&self) -> Result<String> {
        let lead = paragraph(&self.names.join(", "));
        let mut page = Page::new(&format!("{} runs side by side", self.runs.len()), lead);
        for part in self.parts() {
            let remarks: String = part.remarks.iter().map(|text| paragraph(text)).collect();
            page.section(part.id, part.heading, table(&part.rows) + &remarks);
        }
        page.section("curves", "Curves", self.curves()?);
        let settings = self.names.iter().zip(&self.runs);
        let settings = settings.map(|(name, run)| super::page::folded(name, &run.config.to_text()));
        page.section("settings", "Settings", settings.collect());
        Ok(page.finish())
    }

    /// The parts that are text; what has nothing to show has no rows.
    fn parts(&self) -> [Part; 4] {
        let (groups, verdicts) = self.seeds();
        let (rungs, warnings) = self.ladder();
        let part = |id, heading, rows, remarks| Part {
            id,
            heading,
            rows,
            remarks,
        };
        [
            part("runs", "Runs", self.table(), self.remarks()),
            part("differences", "Differences", self.differences(), Vec::new()),
            part("ladder", "Trick ladder", rungs, warnings),
            part("seeds", "Over seeds", groups, verdicts),
        ]
    }

    /// The figures that a protocol of one of the runs puts in its summary, and that a run has.
    fn keys(&self) -> Vec<&'static str> {
        let mut keys: Vec<&'static str> = Vec::new();
        for (run, figures) in self.runs.iter().zip(&self.figures) {
            for &key in run.config.protocol().summary() {
                if figures.get(key).is_some() && !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    fn table(&self) -> Vec<Vec<String>> {
        let keys = self.keys();
        let part = match self.figured {
            Figured::Test => "test",
            Figured::Validation => "validation",
        };
        let head = ["run", "loss", "seed", "epochs", "parameters", "time"].map(String::from);
        let titles = keys
            .iter()
            .map(|key| format!("{part} {}", figures::title(key)));
        let mut rows = vec![head.into_iter().chain(titles).collect()];
        for (i, (name, run)) in self.names.iter().zip(&self.runs).enumerate() {
            let or_none = |text: Option<String>| text.unwrap_or(NONE.into());
            let (done, planned) = (run.history.epochs() as u64, run.config.epochs);
            let mut row = vec![
                name.clone(),
                run.config.loss.clone(),
                run.config.seed.to_string(),
                match done == planned {
                    true => done.to_string(),
                    false => format!("{done} of {planned}"),
                },
                or_none(run.parameters.map(|n| n.to_string())),
                or_none(run.seconds().map(short)),
            ];
            let figures = &self.figures[i];
            row.extend(
                keys.iter()
                    .map(|key| or_none(figures.get(key).map(|v| figures::bare(key, v)))),
            );
            rows.push(row);
        }
        rows
    }

    /// What to know before believing the table.
    fn remarks(&self) -> Vec<String> {
        let mut out = vec![match self.figured {
            Figured::Test => {
                "Figures of the test part by the weights of the last epoch; it selected \
                             nothing."
                    .to_string()
            }
            Figured::Validation => {
                "Figures of the validation part after the last epoch: not every \
                                   run has figures of the test part. If choices were made by it, \
                                   they flatter."
                    .to_string()
            }
        }];
        let distinct = |values: BTreeSet<String>| values.len() > 1;
        if distinct(
            self.runs
                .iter()
                .map(|run| run.config.protocol().name().into())
                .collect(),
        ) {
            out.push(
                "The runs are judged by different protocols: their figures do not compare.".into(),
            );
        }
        let print = |run: &Finished| {
            let data = run.environment.iter().find(|(key, _)| key == "data");
            data.map(|(_, print)| print.clone())
        };
        if distinct(self.runs.iter().filter_map(print).collect()) {
            out.push("The runs were trained on different examples (`data` in env.json).".into());
        }
        let unfinished = |run: &&Finished| (run.history.epochs() as u64) < run.config.epochs;
        if self.runs.iter().any(|run| unfinished(&run)) {
            out.push("Not every run has completed its epochs.".into());
        }
        out
    }

    /// The keys in which configurations differ, with the value of each run.
    fn differences(&self) -> Vec<Vec<String>> {
        let (keys, values) =
            differing(&self.runs.iter().map(|run| &run.config).collect::<Vec<_>>());
        if keys.is_empty() {
            return Vec::new();
        }
        let head = std::iter::once("key".to_string()).chain(self.names.iter().cloned());
        let row = |key: &String| {
            let cells = values.iter().map(|of_run| of_run[key].clone());
            std::iter::once(key.clone()).chain(cells).collect()
        };
        std::iter::once(head.collect())
            .chain(keys.iter().map(row))
            .collect()
    }

    /// What each change is worth, where each group makes one more than the one before; empty where
    /// groups do not nest like that.
    fn ladder(&self) -> (Vec<Vec<String>>, Vec<String>) {
        let Some(&key) = self.keys().first() else {
            return (Vec::new(), Vec::new());
        };
        ladder::rows(&self.groups, &self.names, key, &self.all_values(key))
    }

    /// Means over seeds, and each group against the first; empty if no two runs differ by their
    /// seed alone.
    fn seeds(&self) -> (Vec<Vec<String>>, Vec<String>) {
        if self.groups.iter().all(|group| group.members.len() < 2) {
            return (Vec::new(), Vec::new());
        }
        let keys = self.keys();
        let head = ["runs", "seeds", "n"].map(String::from).into_iter();
        let head = head.chain(keys.iter().map(|key| figures::title(key)));
        let mut rows = vec![head.collect::<Vec<_>>()];
        for group in &self.groups {
            let seeds: Vec<String> = group.members.keys().map(u64::to_string).collect();
            let mut row = vec![
                group.name.clone(),
                seeds.join(", "),
                seeds.len().to_string(),
            ];
            row.extend(
                keys.iter()
                    .map(|key| figures::spread(key, &self.values(group, key))),
            );
            rows.push(row);
        }
        let mut remarks = vec!["Mean ± standard deviation over the seeds.".to_string()];
        for &run in self.groups.iter().flat_map(|group| &group.repeated) {
            remarks.push(format!(
                "{} repeats a seed of its group and is left out here.",
                self.names[run]
            ));
        }
        if let Some(key) = keys.first() {
            remarks.extend(verdicts::verdicts(&self.groups, key, &self.all_values(key)));
        }
        (rows, remarks)
    }

    /// A figure of each group's members that have it.
    fn all_values(&self, key: &str) -> Vec<Vec<f64>> {
        self.groups
            .iter()
            .map(|group| self.values(group, key))
            .collect()
    }

    /// A figure of each member that has it.
    fn values(&self, group: &Group, key: &str) -> Vec<f64> {
        let of = |&run: &usize| self.figures[run].get(key);
        group.members.values().filter_map(of).collect()
    }

    fn curves(&self) -> Result<String> {
        let of = |column: &str, key: &str| {
            let runs = self.names.iter().zip(&self.runs);
            let lines = runs.filter_map(|(name, run)| {
                Some((name.clone(), scaled(run.history.column(column)?, key)))
            });
            lines.collect::<Vec<_>>()
        };
        let headlines: BTreeSet<&str> = self
            .runs
            .iter()
            .map(|run| run.config.protocol().summary()[0])
            .collect();
        let mut panels = vec![
            Panel::new("training loss", Scale::Log, of("train_loss", "loss")),
            Panel::new("validation loss", Scale::Log, of("validation_loss", "loss")),
            Panel::new(
                "training accuracy without margins / %",
                Scale::Linear,
                of("train_accuracy", "accuracy"),
            ),
        ];
        for key in headlines {
            let title = format!("validation {}", figures::title(key));
            panels.push(Panel::new(
                title,
                Scale::Linear,
                of(&format!("validation_{key}"), key),
            ));
        }
        panels.push(Panel::new("learning rate", Scale::Linear, of("lr", "lr")));
        let caption = match self.runs.len() > LINES {
            true => {
                "The ten colours start again after each ten runs. Losses of different kinds \
                     have different scales."
            }
            false => "Losses of different kinds have different scales.",
        };
        draw(&panels, caption)
    }
}

/// What differences of a figure are multiplied by, and the unit they have then.
fn in_points(key: &str) -> (f64, &'static str) {
    match figures::is_percent(key) {
        true => (100.0, " percentage points"),
        false => (1.0, ""),
    }
}

#[cfg(test)]
mod tests;
