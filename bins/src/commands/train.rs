//! `hypersphere train`: from a recipe to a trained embedding.

use super::train_many::{self, Series};
use crate::choose::{Choice, choose};
use crate::cli::Fold;
use crate::cli::train::Train;
use crate::config::{Config, ConfigError, Layers, RECIPES};
use crate::dataset::Loaders;
use crate::evaluation::{self, Evaluation};
use crate::figures::{self, Figures};
use crate::interrupt;
use crate::pictures;
use crate::progress::{Style, short};
use crate::protocol::Protocol;
use crate::run_dir::{Environment, RunDir};
use crate::trainer::{Part, Trainer};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::time::{Duration, Instant};

/// Trains as the options say.
///
/// # Errors
/// Those of the configuration, the data, the training and the disk.
pub fn run(options: Train) -> Result<()> {
    if let Some(threads) = options.threads {
        if threads == 0 {
            bail!(ConfigError("-j needs at least one thread".into()));
        }
        engine::par::set_threads(threads).map_err(|e| ConfigError(e.to_string()))?;
    }
    interrupt::catch()?;
    let style = options.progress.unwrap_or_else(Style::fitting).possible();
    let one = One {
        max_time: options.max_time,
        dry_run: options.dry_run,
        style,
    };
    if let Some(path) = &options.resume {
        return match train_many::is_series(path) {
            true => resume_series(path, &options, &one),
            false => one.resume(changed(path, &options)?, path).map(drop),
        };
    }
    let Some(config) = configuration(&options)? else {
        print_recipes();
        return Ok(());
    };
    let out = options.out.as_deref();
    match Series::asked(&config, &options)? {
        Some(series) => series.begin(out, &one),
        None => one.run(config, out).map(drop),
    }
}

/// Continues a series; its runs are what they were begun with.
fn resume_series(path: &Path, options: &Train, one: &One) -> Result<()> {
    let mut asked = Layers::default();
    add_options(&mut asked, options)?;
    if !asked.is_empty() {
        bail!(ConfigError(format!(
            "{} is a series of runs, and goes on as it was begun; leave the options out, or resume \
             one of its runs",
            path.display()
        )));
    }
    Series::resume(path, one)
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
            add_options(&mut asked, options)?;
            if asked.is_empty() && options.out.is_none() && !options.dry_run {
                return Ok(None);
            }
            bail!(ConfigError(
                "these options change a recipe; name it first, as in `hypersphere train mnist`"
                    .into()
            ));
        }
        (Some(recipe), _) if is_path(recipe) => {
            let Choice { layers, reasons } = choose(Path::new(recipe))?;
            if options.progress.unwrap_or_else(Style::fitting) != Style::None {
                reasons.iter().for_each(|line| eprintln!("chosen  {line}"));
            }
            layers
        }
        (Some(recipe), _) => Layers::recipe(recipe)?,
        (None, Some(_)) => Layers::default(),
    };
    if let Some(path) = &options.config {
        layers.add_file(path)?;
    }
    add_options(&mut layers, options)?;
    layers.resolve().map(Some)
}

/// Whether this is a path and no recipe's name: the folder `mnist/` is, `mnist` is not.
fn is_path(recipe: &str) -> bool {
    let known = RECIPES.iter().any(|r| r.name == recipe);
    recipe.contains(std::path::MAIN_SEPARATOR) || !known && Path::new(recipe).exists()
}

fn add_options(layers: &mut Layers, options: &Train) -> Result<()> {
    if let Some(data) = &options.data {
        layers.add_option("data.folder", data.display().to_string())?;
    }
    let texts = [
        ("data.format", options.format.clone()),
        ("protocol", options.protocol.map(|p| p.name().to_string())),
        (
            "init",
            options.init.as_ref().map(|p| p.display().to_string()),
        ),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            layers.add_option(key, text)?;
        }
    }
    if let Some((p, k)) = options.pk {
        // Together: a sampler of this kind is none without its numbers.
        layers.add_assignment(&format!("sampler={{kind=\"pk\",p={p},k={k}}}"))?;
    }
    if let Some(loss) = &options.loss {
        layers.add_option("loss", loss.as_str())?;
    }
    if let Some(model) = &options.model {
        layers.add_option("model.name", model.as_str())?;
    }
    if options.epochs.is_some() {
        // What the epochs were cut to before does not hold for the new ones.
        layers.add_option("steps", 0)?;
    }
    if let Some(Fold::One(fold)) = options.fold {
        layers.add_option("data.fold", i64::from(fold))?;
    }
    let whole = [
        ("model.embed_dim", options.embed_dim.map(|n| n as i64)),
        ("epochs", options.epochs.map(|n| n as i64)),
        ("batch", options.batch.map(|n| n as i64)),
        ("seed", options.seed.map(|n| n as i64)),
    ];
    for (key, value) in whole {
        if let Some(value) = value {
            layers.add_option(key, value)?;
        }
    }
    if let Some(lr) = options.lr {
        layers.add_option("lr", lr)?;
    }
    options
        .set
        .iter()
        .try_for_each(|s| layers.add_assignment(s))
}

/// How a run is made.
pub(super) struct One {
    /// When it should end at the latest.
    pub max_time: Option<Duration>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// How progress is shown.
    pub style: Style,
}

impl One {
    /// One run, from nothing. Returns what was found on the test images, unless it was only asked
    /// what would be done.
    pub fn run(&self, mut config: Config, out: Option<&Path>) -> Result<Option<Evaluation>> {
        let started = Instant::now();
        let (loaders, fitted) = match self.max_time {
            Some(limit) => fit(&mut config, limit).map(|(loaders, line)| (loaders, Some(line)))?,
            None => (Loaders::new(&config)?, None),
        };
        let mut trainer = Trainer::with(config.clone(), loaders)?;
        let mut lines = introduction(&trainer, &config)?;
        lines.extend(fitted);
        if self.dry_run {
            print!("{}", config.to_text());
            println!("\n{}", trainer.net().summary(trainer.params()));
            lines.iter().for_each(|l| println!("{l}"));
            return rehearsal(trainer).map(|()| None);
        }
        if let Some(limit) = self.max_time {
            trainer.set_deadline(started + limit);
        }
        let environment = Environment::here(config.seed, trainer.loaders().fingerprint.clone());
        let mut run = RunDir::create(out, &config, &environment)?;
        for line in lines {
            say(&mut run, self.style, &line)?;
        }
        finish(&mut trainer, &mut run, self.style).map(Some)
    }

    /// Continues a run in its directory, with the same configuration or another.
    pub fn resume(&self, config: Config, path: &Path) -> Result<Evaluation> {
        let old = Config::read(&path.join("config.toml"))?;
        let differences = old.differences(&config);
        let mut run = RunDir::resume(path)?;
        let mut trainer = Trainer::resume(config.clone(), &run)?;
        if let Some(limit) = self.max_time {
            trainer.set_deadline(Instant::now() + limit);
        }
        if let Some(note) = trainer.note() {
            say(&mut run, self.style, &format!("note    {note}"))?;
        }
        for (key, old, new) in &differences {
            let line = format!("changed {key}: {old} -> {new}");
            say(&mut run, self.style, &line)?;
        }
        let (step, steps) = (trainer.step_count(), trainer.steps());
        if !differences.is_empty() {
            run.write("config.toml", config.to_text().as_bytes())?;
            let line = format!(
                "note    the schedule is that of {steps} steps from the start: the learning rate goes \
                 on at {:.3e}",
                trainer.lr(step)
            );
            say(&mut run, self.style, &line)?;
        }
        let line = format!("resumed at step {step} of {steps}");
        say(&mut run, self.style, &line)?;
        finish(&mut trainer, &mut run, self.style)
    }
}

/// Measures the speed, and if need be makes the schedule end earlier so that all is done within
/// `limit`. Gives back the data, and says what was found.
fn fit(config: &mut Config, limit: Duration) -> Result<(Loaders, String)> {
    let started = Instant::now();
    let trainer = Trainer::new(config.clone())?;
    let wanted = trainer.steps();
    let (pace, loaders) = trainer.measure(limit)?;
    let left = limit.saturating_sub(started.elapsed());
    let possible = pace.steps_within(left);
    let within = short(limit);
    if possible == 0 {
        bail!(ConfigError(format!(
            "--max-time {within} is too short: a step takes {:.2} s here and now, evaluation {:.0} s",
            pace.step,
            pace.validation + pace.test
        )));
    }
    if possible >= wanted {
        let line = format!(
            "time    {:.3} s a step here and now: all {wanted} steps fit into {within}",
            pace.step
        );
        return Ok((loaders, line));
    }
    config.steps = possible;
    config.epochs = possible.div_ceil(pace.steps_of_epoch);
    let line = format!(
        "time    {:.3} s a step here and now: {possible} of {wanted} steps fit into {within}, {:.1} \
         epochs; the schedule ends there",
        pace.step,
        possible as f64 / pace.steps_of_epoch as f64
    );
    Ok((loaders, line))
}

/// What the training would cost, by its first steps.
fn rehearsal(trainer: Trainer) -> Result<()> {
    let [weights, activations] = trainer
        .memory()
        .map(|bytes| bytes as f64 / f64::from(1 << 20));
    let (steps, epochs) = (trainer.steps(), trainer.epochs());
    println!(
        "memory  about {:.0} MB beside the data: {weights:.0} MB for weights, gradients and moments, \
         {activations:.0} MB for activations",
        weights + activations
    );
    let rehearsal = trainer.rehearse()?;
    let time = |steps: u64| short(Duration::from_secs_f64(rehearsal.step * steps as f64));
    println!("first loss found: {:.2}", rehearsal.first_loss);
    println!(
        "time    {:.3} s a step here and now: {} an epoch, {} for {steps} steps, evaluation not \
         counted",
        rehearsal.step,
        time(steps / epochs),
        time(steps)
    );
    Ok(())
}

/// What is about to happen, and why it was chosen so.
fn introduction(trainer: &Trainer, config: &Config) -> Result<Vec<String>> {
    let (criterion, loaders) = (trainer.criterion(), trainer.loaders());
    let (classes, items) = (loaders.classes.len(), loaders.items());
    let mut lines = vec![
        format!("loss    {:#}", criterion.spec()),
        format!(
            "model   {}, embedding of {}, {} parameters; {} threads",
            trainer.net().name,
            trainer.net().embedding_dim,
            trainer.params().count(),
            engine::par::threads()
        ),
        format!(
            "data    {} training {items} of {classes} classes ({}), {} held out, {} test; {} steps of {}",
            loaders.train.examples().labels().len(),
            config.data.augment.describe(),
            loaders.validation.as_ref().map_or(0, |v| v.len()),
            loaders.test.len(),
            trainer.steps(),
            config.batch
        ),
        format!(
            "judged  {}: {}",
            loaders.protocol.name(),
            figures::label(loaders.protocol.summary()[0])
        ),
    ];
    lines.extend(loaders.notes.iter().map(|note| format!("note    {note}")));
    lines.extend(
        criterion
            .notes()
            .iter()
            .map(|note| format!("note    {note}")),
    );
    if config.margin_warmup > 0.0 {
        let share = 100.0 * config.margin_warmup;
        lines.push(format!(
            "margins rise from none over the first {share:.0} % of the steps"
        ));
    }
    let expected =
        losses::expected_initial_loss(&criterion.spec_at(0), classes, trainer.net().embedding_dim)?;
    lines.push(format!("first loss to expect: about {expected:.2}"));
    Ok(lines)
}

fn say(run: &mut RunDir, style: Style, line: &str) -> Result<()> {
    if style.tells() {
        eprintln!("{line}");
    }
    run.log(line)
}

/// Trains to the end, judges, draws.
fn finish(trainer: &mut Trainer, run: &mut RunDir, style: Style) -> Result<Evaluation> {
    let started = Instant::now();
    let rows = trainer.train(run, style)?;
    let test = trainer.judge(Part::Test)?.expect("there is a test part");
    let (protocol, items) = (trainer.loaders().protocol, trainer.loaders().items());
    let figures = &test.figures;
    run.write_json(
        "eval/test.json",
        serde_json::json!({ "part": "test", "protocol": protocol.name(), "weights": "last epoch", "selected_on": "nothing", "figures": figures }),
    )?;
    run.event("test", figures)?;
    let title = trainer.criterion().spec().to_string();
    pictures::write(run, &title, &rows, &test, protocol)?;
    if let Some(confusion) = evaluation::confusion(&test) {
        run.write("eval/confusion.csv", confusion.as_bytes())?;
    }
    let summary = format!(
        "{} {items}/s; {} from start to end; {}",
        rows.last().map_or(0.0, |r| r.images_per_second).round(),
        short(started.elapsed()),
        run.path().display()
    );
    say(run, style, &summary)?;
    if let (Some(known), true) = (trainer.calibration(), protocol.is_open()) {
        let (cosine, rate) = (known.equal.threshold, 100.0 * known.equal.rate);
        let line = format!("same from a cosine of {cosine:.3}: EER {rate:.2} % on {known}");
        say(run, style, &line)?;
    }
    let line = result_line(figures, protocol, items);
    run.log(&line)?;
    match style {
        Style::Json => println!("{}", serde_json::json!({ "test": figures })),
        _ => println!("{line}"),
    }
    Ok(test)
}

/// The figure that counts, and the others in brackets.
fn result_line(figures: &Figures, protocol: Protocol, items: &str) -> String {
    let Some((key, value)) = protocol.headline(figures) else {
        return "nothing was tested".into();
    };
    let others: Vec<&str> = protocol
        .summary()
        .iter()
        .copied()
        .filter(|k| *k != key)
        .collect();
    format!(
        "test {} {}  ({} {items}, weights of the last epoch; {})",
        figures::label(key),
        figures::shown(key, value),
        figures.images,
        figures.line(&others)
    )
}

/// The configuration that a run is to be continued with: its own, changed as the options say.
///
/// # Errors
/// [`ConfigError`] if the run is none, or the change is more than an extension and not allowed.
fn changed(path: &Path, options: &Train) -> Result<Config> {
    let file = path.join("config.toml");
    let old =
        Config::read(&file).with_context(|| format!("{} is no run directory", path.display()))?;
    let mut layers = Layers::default();
    layers.add_file(&file)?;
    add_options(&mut layers, options)?;
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
