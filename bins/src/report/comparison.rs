//! Runs side by side: their figures, where their configurations differ, means over seeds, and
//! whether a difference is more than luck.

mod ladder;

use super::curves::{Panel, draw, scaled};
use super::finished::Finished;
use super::markdown;
use super::page::{Page, paragraph, table};
use super::significance::{TTest, holm, mean, shown_p};
use crate::config::Config;
use crate::figures::{self, Figures, NONE};
use crate::plot::Scale;
use crate::progress::short;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Lines of a chart that can be told apart.
const LINES: usize = 10;

/// Several runs.
pub struct Comparison {
    runs: Vec<Finished>,
    /// What the runs are called: their folders, or their paths where those are the same.
    names: Vec<String>,
    source: Source,
    groups: Vec<Group>,
}

/// Which figures are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// Those of the test part, at the end of the run.
    Test,
    /// Of the last epoch, where not every run has any of the test part.
    Validation,
}

/// A table with a heading above and remarks below.
struct Part {
    id: &'static str,
    heading: &'static str,
    rows: Vec<Vec<String>>,
    remarks: Vec<String>,
}

/// Runs that differ in nothing but their seed.
struct Group {
    name: String,
    /// Places of the runs, one for each seed, by seed.
    members: BTreeMap<u64, usize>,
    /// Runs with a seed that another one has already.
    repeated: Vec<usize>,
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
        let source = match runs.iter().all(|run| run.test().is_some()) {
            true => Source::Test,
            false => Source::Validation,
        };
        Comparison {
            groups: grouped(&runs),
            runs,
            names,
            source,
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

    /// The figures of a run, and the epoch they are of if it is one of the training.
    fn figures(&self, run: &Finished) -> Figures {
        match (self.source, run.test()) {
            (Source::Test, Some(test)) => test.figures.clone(),
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

    /// The figures that a protocol of one of the runs puts in its summary, and that a run has.
    fn keys(&self) -> Vec<&'static str> {
        let mut keys: Vec<&'static str> = Vec::new();
        for run in &self.runs {
            let figures = self.figures(run);
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
        let part = match self.source {
            Source::Test => "test",
            Source::Validation => "validation",
        };
        let head = ["run", "loss", "seed", "epochs", "parameters", "time"].map(String::from);
        let titles = keys
            .iter()
            .map(|key| format!("{part} {}", figures::title(key)));
        let mut rows = vec![head.into_iter().chain(titles).collect()];
        for (name, run) in self.names.iter().zip(&self.runs) {
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
            let figures = self.figures(run);
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
        let mut out = vec![match self.source {
            Source::Test => {
                "Figures of the test part by the weights of the last epoch; it selected \
                             nothing."
                    .to_string()
            }
            Source::Validation => "Figures of the validation part after the last epoch: not every \
                                   run has figures of the test part. If choices were made by it, \
                                   they flatter."
                .to_string(),
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
        let configs = self.groups.iter().filter_map(|group| {
            let run = *group.members.values().next()?;
            Some(unseeded(&self.runs[run].config))
        });
        let rungs = ladder::ladder(&configs.collect::<Vec<_>>());
        let (Some(rungs), Some(key)) = (rungs, self.keys().first().copied()) else {
            return (Vec::new(), Vec::new());
        };
        let (factor, unit) = match figures::is_percent(key) {
            true => (100.0, ", in percentage points"),
            false => (1.0, ""),
        };
        let title = figures::title(key);
        let mut rows = vec![
            ["step", "n", &title, "gain", "gain in all"]
                .map(String::from)
                .to_vec(),
        ];
        let means: Vec<f64> = rungs
            .iter()
            .map(|rung| mean(&self.values(&self.groups[rung.place], key)))
            .collect();
        for (i, rung) in rungs.iter().enumerate() {
            let group = &self.groups[rung.place];
            let values = self.values(group, key);
            let step = match rung.change.as_str() {
                "" => format!(
                    "from {}",
                    self.names[group.members.values().next().copied().unwrap_or(0)]
                ),
                change => change.to_string(),
            };
            let gain = |from: Option<&f64>| {
                let gain = from
                    .map(|from| factor * (means[i] - from))
                    .filter(|g| g.is_finite());
                gain.map_or(NONE.into(), |gain| format!("{gain:+.2}"))
            };
            let before = i.checked_sub(1).and_then(|i| means.get(i));
            rows.push(vec![
                step,
                values.len().to_string(),
                figures::spread(key, &values),
                gain(before),
                gain(before.and(means.first())),
            ]);
        }
        let mut remarks = vec![format!(
            "Gains over the row above and over the first{unit}."
        )];
        if rungs
            .iter()
            .any(|rung| self.groups[rung.place].members.len() < 3)
        {
            remarks.push("With fewer than three seeds a row, small gains are chance.".into());
        }
        (rows, remarks)
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
        remarks.extend(self.verdicts());
        (rows, remarks)
    }

    /// A figure of each member that has it.
    fn values(&self, group: &Group, key: &str) -> Vec<f64> {
        let of = |&run: &usize| self.figures(&self.runs[run]).get(key);
        group.members.values().filter_map(of).collect()
    }

    /// Each group against the first, by the figure that counts.
    fn verdicts(&self) -> Vec<String> {
        let (Some((first, others)), Some(key)) =
            (self.groups.split_first(), self.keys().first().copied())
        else {
            return Vec::new();
        };
        let base = self.values(first, key);
        let factor = if figures::is_percent(key) { 100.0 } else { 1.0 };
        let tests: Vec<(&Group, Vec<f64>, Option<TTest>)> = others
            .iter()
            .map(|group| {
                let values = self.values(group, key);
                let same_seeds = first.members.keys().eq(group.members.keys());
                let test = match same_seeds && base.len() == values.len() {
                    true => TTest::paired(&base, &values),
                    false => TTest::welch(&base, &values),
                };
                (group, values, test)
            })
            .collect();
        let found: Vec<f64> = tests
            .iter()
            .filter_map(|(.., test)| Some(test.as_ref()?.p))
            .collect();
        let mut corrected = holm(&found).into_iter();
        let mut out = Vec::new();
        for (group, values, test) in &tests {
            let difference = factor * (mean(values) - mean(&base));
            let unit = if factor > 1.0 {
                " percentage points"
            } else {
                ""
            };
            let mut line = format!(
                "{} against {}: {} {difference:+.3}{unit}; n = {} and {}",
                group.name,
                first.name,
                figures::label(key),
                values.len(),
                base.len()
            );
            let least = values.len().min(base.len());
            match test {
                Some(test) => {
                    let p = corrected.next().unwrap_or(test.p);
                    line += &format!("; {test}");
                    if found.len() > 1 {
                        line += &format!(
                            " ({} corrected for {} comparisons)",
                            shown_p(p),
                            found.len()
                        );
                    }
                    line += &format!(". {}", verdict(least, p));
                }
                None => line += &format!(". {}", untested(least)),
            }
            out.push(line);
        }
        out
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

/// What a test means. There is no number of seeds from which on it is the truth.
fn verdict(seeds: usize, p: f64) -> &'static str {
    match (seeds, p < 0.05) {
        (..=2, _) => {
            "n = 2 says nothing: two numbers may lie close or apart by chance. Train more seeds."
        }
        (_, true) => "Such a difference is seldom chance.",
        (3..5, false) => "So few seeds show only large differences.",
        (_, false) => "That may well be chance; nor does it show that there is no difference.",
    }
}

fn untested(seeds: usize) -> &'static str {
    match seeds {
        0 | 1 => {
            "One seed has no deviation, so this may be chance. Train both with the same seeds, three or more."
        }
        _ => "Without any deviation there is nothing to test.",
    }
}

/// The configuration that runs have in common which differ in their seed alone.
fn unseeded(config: &Config) -> Config {
    Config {
        seed: 0,
        ..config.clone()
    }
}

/// Runs whose configurations are equal but for the seed, in the order of their first runs.
fn grouped(runs: &[Finished]) -> Vec<Group> {
    let mut found: Vec<(Config, Vec<usize>)> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let config = unseeded(&run.config);
        match found.iter_mut().find(|(other, _)| *other == config) {
            Some((_, members)) => members.push(i),
            None => found.push((config, vec![i])),
        }
    }
    let (keys, values) = differing(&found.iter().map(|(config, _)| config).collect::<Vec<_>>());
    let name = |values: &BTreeMap<String, String>, config: &Config| match keys.as_slice() {
        [] => config.loss.clone(),
        [only] if only == "loss" => config.loss.clone(),
        keys => {
            let shown = keys.iter().map(|key| format!("{key} = {}", values[key]));
            shown.collect::<Vec<_>>().join(", ")
        }
    };
    let groups = found
        .iter()
        .zip(&values)
        .map(|((config, members), values)| {
            let mut group = Group {
                name: name(values, config),
                members: BTreeMap::new(),
                repeated: Vec::new(),
            };
            for &run in members {
                match group.members.contains_key(&runs[run].config.seed) {
                    true => group.repeated.push(run),
                    false => drop(group.members.insert(runs[run].config.seed, run)),
                }
            }
            group
        });
    groups.collect()
}

/// The keys that do not have the same value everywhere, and their values in each configuration.
fn differing(configs: &[&Config]) -> (Vec<String>, Vec<BTreeMap<String, String>>) {
    let Some((first, others)) = configs.split_first() else {
        return (Vec::new(), Vec::new());
    };
    let found: Vec<_> = others
        .iter()
        .map(|other| first.differences(other))
        .collect();
    let of_first: BTreeMap<String, String> = found
        .iter()
        .flatten()
        .map(|(key, mine, _)| (key.clone(), mine.clone()))
        .collect();
    let theirs = found.into_iter().map(|differences| {
        let mut values = of_first.clone();
        values.extend(
            differences
                .into_iter()
                .map(|(key, _, theirs)| (key, theirs)),
        );
        values
    });
    let values = std::iter::once(of_first.clone()).chain(theirs).collect();
    (of_first.into_keys().collect(), values)
}

#[cfg(test)]
mod tests;
