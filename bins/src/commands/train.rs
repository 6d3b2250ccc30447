//! `hypersphere train`: from a recipe to a trained embedding.

use super::runner::Runner;
use super::series::{self, Series};
use crate::choose::{Choice, choose};
use crate::cli::train::Train;
use crate::config::{Config, ConfigError, Layers, RECIPES};
use crate::interrupt;
use crate::progress::{Style, tell};
use crate::run_dir;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Trains as the options say.
///
/// # Errors
/// Those of the configuration, the data, the training and the disk.
pub fn run(options: Train) -> Result<()> {
    options.threads.set()?;
    interrupt::catch()?;
    let style = options.progress.unwrap_or_else(Style::fitting).possible();
    let runner = Runner {
        max_time: options.max_time,
        dry_run: options.dry_run,
        style,
    };
    if let Some(path) = &options.resume {
        return match series::is_series(path) {
            true => resume_series(path, &options, &runner),
            false => runner.resume(changed(path, &options)?, path).map(drop),
        };
    }
    let Some(config) = configuration(&options)? else {
        print_recipes();
        return Ok(());
    };
    let out = options.out.as_deref();
    match Series::asked(&config, &options)? {
        Some(series) => series.begin(out, &runner),
        None => runner.run(config, out).map(drop),
    }
}

/// Continues a series; its runs are what they were begun with.
fn resume_series(path: &Path, options: &Train, runner: &Runner) -> Result<()> {
    let mut asked = Layers::default();
    options.changes.layer(&mut asked)?;
    if !asked.is_empty() {
        bail!(ConfigError(format!(
            "{} is a series of runs, and goes on as it was begun; leave the options out, or resume \
             one of its runs",
            path.display()
        )));
    }
    Series::resume(path, runner)
}

fn print_recipes() {
    println!("Recipes:");
    for recipe in RECIPES {
        println!("  hypersphere train {:<15} {}", recipe.name, recipe.about());
        for line in recipe.needs() {
            println!("{:35}{line}", "");
        }
    }
    println!("\n`hypersphere train --help` has the options and examples.");
}

/// The layers that the command line asks for, merged; `None` if it asks for nothing.
fn configuration(options: &Train) -> Result<Option<Config>> {
    let mut layers = match (&options.recipe, &options.config) {
        (None, None) => {
            let mut asked = Layers::default();
            options.changes.layer(&mut asked)?;
            if asked.is_empty() && options.out.is_none() && !options.dry_run {
                return Ok(None);
            }
            bail!(ConfigError(
                "these options change a recipe; name it first, as in `hypersphere train mnist`"
                    .into()
            ));
        }
        (Some(recipe), _) => begun(
            recipe,
            options.progress.unwrap_or_else(Style::fitting).tells(),
        )?,
        (None, Some(_)) => Layers::default(),
    };
    if let Some(path) = &options.config {
        layers.add_file(path)?;
    }
    options.changes.layer(&mut layers)?;
    layers.resolve().map(Some)
}

/// The configuration that a recipe is, or that is chosen for a folder; the reasons are told if so
/// wanted.
///
/// # Errors
/// If there is no such recipe, or the folder has nothing to train on.
pub fn begun(recipe: &str, tells: bool) -> Result<Layers> {
    if !is_path(recipe) {
        return Layers::recipe(recipe);
    }
    let Choice { layers, reasons } = choose(Path::new(recipe))?;
    if tells {
        let chosen = reasons.iter().map(|line| format!("chosen  {line}"));
        chosen.for_each(tell);
    }
    Ok(layers)
}

/// Whether this is a path and no recipe's name: the folder `mnist/` is, `mnist` is not.
fn is_path(recipe: &str) -> bool {
    let known = RECIPES.iter().any(|r| r.name == recipe);
    recipe.contains(std::path::MAIN_SEPARATOR) || !known && Path::new(recipe).exists()
}

/// The configuration that a run is to be continued with: its own, changed as the options say.
///
/// # Errors
/// [`ConfigError`] if the run is none, or the change is more than an extension and not allowed.
fn changed(path: &Path, options: &Train) -> Result<Config> {
    let file = path.join(run_dir::CONFIG);
    let old =
        Config::read(&file).with_context(|| format!("{} is no run directory", path.display()))?;
    let mut layers = Layers::default();
    layers.add_file(&file)?;
    options.changes.layer(&mut layers)?;
    let config = layers.resolve()?;
    let differences = old.differences(&config);
    let is_extension = |(key, ..): &(String, String, String)| match key.as_str() {
        "epochs" => config.epochs > old.epochs,
        // Whole epochs instead of a number of steps.
        "steps" => config.steps == 0 && config.epochs >= old.epochs,
        _ => false,
    };
    if !differences.iter().all(is_extension) && !options.r#override {
        let lines: Vec<_> = differences
            .iter()
            .map(|(key, old, new)| format!("  {key}: {old} -> {new}"))
            .collect();
        bail!(ConfigError(format!(
            "the run was started with another configuration:\n{}\nadd --override to continue with \
             the new values",
            lines.join("\n")
        )));
    }
    Ok(config)
}
