//! Several trainings that belong together: one for each loss, each seed, each fold.
//!
//! A series is a folder with a run for each of them. What it was begun with stands in its
//! `series.toml`, so that it can be continued after an interruption like a single run: what is
//! finished is read again, what was interrupted goes on, the rest is begun.

mod found;

use super::runner::Runner;
use crate::cli::Fold;
use crate::cli::train::Train;
use crate::cli::values::{MOST_SEEDS, YEAR};
use crate::config::{Compared, Config, ConfigError};
use crate::files;
use crate::interrupt;
use crate::progress::{Style, show, tell};
use crate::run_dir;
use crate::trainer::Interrupted;
use anyhow::{Context, Result};
use found::Found;
use losses::Spec;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "series.toml";

/// What a series is made of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    /// Seeds for every loss and fold: the configuration's and those after it.
    repeat: u64,
    /// Whether each fold of the data is tested on in turn.
    all_folds: bool,
    /// Seconds within which each run is to end, if it is to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_time_s: Option<f64>,
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

/// Whether this folder holds a series.
pub(super) fn is_series(folder: &Path) -> bool {
    folder.join(FILE).is_file()
}

impl Series {
    /// What the options ask for, if that is more than one run.
    ///
    /// # Errors
    /// [`ConfigError`] if not all of it can be trained.
    pub fn asked(config: &Config, options: &Train) -> Result<Option<Self>> {
        let all_folds = options.changes.fold == Some(Fold::All);
        if config.loss != "all" && options.repeat.is_none() && !all_folds {
            return Ok(None);
        }
        let series = Series {
            repeat: options.repeat.unwrap_or(1),
            all_folds,
            max_time_s: options.max_time.map(|limit| limit.as_secs_f64()),
            config: config.clone(),
        };
        series.check()?;
        Ok(Some(series))
    }

    /// Trains all of it.
    pub fn begin(&self, out: Option<&Path>, runner: &Runner) -> Result<()> {
        if runner.dry_run {
            return self.rehearse(runner);
        }
        let folder = run_dir::claim(out, &self.config)?;
        files::write(&folder.join(FILE), toml::to_string(self)?)?;
        self.run(&folder, runner)
    }

    /// Trains what is missing in a folder where a series was begun.
    ///
    /// # Errors
    /// [`ConfigError`] if its `series.toml` does not describe one that can be trained.
    pub fn resume(folder: &Path, runner: &Runner) -> Result<()> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        let no_series =
            |e: String| ConfigError(format!("{} describes no series: {e}", path.display()));
        let series: Series = toml::from_str(&text).map_err(|e| no_series(e.to_string()))?;
        series.check().map_err(|e| no_series(format!("{e:#}")))?;
        let limit = series.max_time_s.map(Duration::from_secs_f64);
        let runner = Runner {
            max_time: runner.max_time.or(limit),
            ..*runner
        };
        series.run(folder, &runner)
    }

    /// Whether all of it can be trained, as far as that can be told without the data: better now than
    /// after eight of nine losses.
    fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(ConfigError(text).into());
        if !(1..=MOST_SEEDS).contains(&self.repeat) {
            return refuse(format!(
                "`repeat` must be 1 to {MOST_SEEDS}, not {}",
                self.repeat
            ));
        }
        if self.config.seed > i64::MAX as u64 - MOST_SEEDS && self.repeat > 1 {
            return refuse(format!("no seeds are left after {}", self.config.seed));
        }
        if self.max_time_s.is_some_and(|s| !(s > 0.0 && s <= YEAR)) {
            return refuse("`max_time_s` must be above 0, and at most a year".into());
        }
        if self.compares() && self.config.compare.is_empty() {
            return refuse(
                "`loss = \"all\"` needs a list of losses under [[compare]]; the recipes have one"
                    .into(),
            );
        }
        for group in self.groups()? {
            let config = &group.members[0].config;
            let of_loss = || format!("the loss `{}`", config.loss);
            config.validate().with_context(of_loss)?;
            let spec: Spec = config.loss.parse().with_context(of_loss)?;
            if config.sampled_classes < 1.0 {
                spec.check_sampling()?;
            }
            nn::Model::find(&config.model.name)?;
            if config.margin_warmup > 0.0 && !spec.has_margins() {
                let spec = config.loss.clone();
                return Err(losses::Error::NoMargin { spec }.into());
            }
        }
        Ok(())
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
        if !self.compares() {
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
                if self.repeat > 1 || !self.compares() && !self.all_folds {
                    name.push(format!("seed-{}", config.seed));
                }
                let name = name.join("-");
                members.push(Member { name, config });
            }
        }
        Ok(members)
    }

    /// Says what the first run of each group would be, and how many there are.
    fn rehearse(&self, runner: &Runner) -> Result<()> {
        let groups = self.groups()?;
        for group in &groups {
            runner.run(group.members[0].config.clone(), None)?;
        }
        let runs: usize = groups.iter().map(|group| group.members.len()).sum();
        let count = |n: usize, one: &str, more: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {more}"),
        };
        println!(
            "{}: {}, {}, {}",
            count(runs, "such run", "such runs"),
            count(groups.len(), "loss", "losses"),
            count(self.folds()?.len(), "fold", "folds"),
            count(self.repeat as usize, "seed", "seeds")
        );
        Ok(())
    }

    fn run(&self, folder: &Path, runner: &Runner) -> Result<()> {
        let groups = self.groups()?;
        let total: usize = groups.iter().map(|group| group.members.len()).sum();
        let is_limited = runner.max_time.is_some();
        let (mut found, mut done) = (Vec::new(), 0);
        for group in &groups {
            let mut all = Found::none(group);
            for member in &group.members {
                let interrupted = |what: &str| Interrupted {
                    what: format!("{what}; {done} of {total} runs are finished"),
                    run: folder.to_path_buf(),
                };
                if interrupt::is_requested() {
                    return Err(interrupted("interrupted").into());
                }
                if runner.style.tells() {
                    let seed = member.name.replace('-', " ");
                    tell(format_args!(
                        "\n[{}/{total}] {} {seed}",
                        done + 1,
                        member.config.loss
                    ));
                }
                let out = folder.join(&group.folder).join(&member.name);
                let is_drawn = self.compares() && all.wants_embeddings();
                let ended = runner.run_or_continue(member.config.clone(), &out, is_drawn);
                all.add(ended.map_err(|e| match e.downcast::<Interrupted>() {
                    Ok(Interrupted { what, .. }) => interrupted(&what).into(),
                    Err(e) => e,
                })?);
                done += 1;
            }
            if group.members.len() > 1 {
                all.write(&folder.join(&group.folder), is_limited)?;
            }
            found.push(all);
        }
        match (&found[..], runner.style) {
            ([only], Style::Json) => show(json!({ "summary": only.json() })),
            ([only], _) => show(format_args!("\n{}", only.table(is_limited).trim_end())),
            (found, style) => {
                let table = found::table(found, is_limited);
                files::write(&folder.join("comparison.md"), &table)?;
                match style {
                    Style::Json => {
                        let rows: Vec<_> = found.iter().map(Found::json).collect();
                        show(json!({ "comparison": rows }));
                    }
                    _ => show(format_args!("\n{}", table.trim_end())),
                }
                found::draw(&self.config.recipe, found, folder)?;
            }
        }
        if runner.style.tells() {
            show(format_args!("\n{}", folder.display()));
        }
        Ok(())
    }

    /// Whether several losses are compared.
    fn compares(&self) -> bool {
        self.config.loss == "all"
    }
}
