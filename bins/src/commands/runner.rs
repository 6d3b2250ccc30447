//! One run: begun, continued, or found to be finished.

use crate::config::{Config, ConfigError};
use crate::dataset::Loaders;
use crate::evaluation::{self, Evaluation};
use crate::figures::{self, Figures};
use crate::pictures;
use crate::progress::{Style, short, show, tell};
use crate::protocol::Protocol;
use crate::report::finished::Judgement;
use crate::run_dir::{self, Environment, RunDir};
use crate::trainer::{Part, Trainer};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::time::{Duration, Instant};

/// How runs are made.
#[derive(Clone, Copy)]
pub(super) struct Runner {
    /// When each should end at the latest.
    pub max_time: Option<Duration>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// How progress is shown.
    pub style: Style,
}

/// What came of a run.
pub(super) struct Ended {
    /// What it was trained with: with fewer steps than were asked for, if the time was short.
    pub config: Config,
    /// What was found on the test part.
    pub figures: Figures,
    /// The embeddings of the test part; of a run that was finished before only if they were asked
    /// for.
    pub evaluation: Option<Evaluation>,
}

impl Runner {
    /// One run, from nothing. Returns what came of it, unless it was only asked what would be done.
    pub fn run(&self, mut config: Config, out: Option<&Path>) -> Result<Option<Ended>> {
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
        let evaluation = finish(&mut trainer, &mut run, self.style)?;
        Ok(Some(Ended::with(config, evaluation)))
    }

    /// Continues a run in its directory, with the same configuration or another.
    pub fn resume(&self, config: Config, path: &Path) -> Result<Ended> {
        let old = Config::read(&path.join(run_dir::CONFIG))?;
        let run = RunDir::resume(path)?;
        let trainer = Trainer::resume(config.clone(), &run)?;
        self.go_on(config, trainer, run, &old)
    }

    /// One run of a series: from the start, or from where it was interrupted. Of a finished one the
    /// figures are read, and if it `is_drawn`, its test part is embedded again.
    pub fn run_or_continue(&self, config: Config, path: &Path, is_drawn: bool) -> Result<Ended> {
        let file = path.join(run_dir::CONFIG);
        if !file.is_file() {
            let ended = self.run(config, Some(path))?;
            return Ok(ended.expect("a run that is no rehearsal ends with a test"));
        }
        let config = Config::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let judged = Judgement::read(&path.join(run_dir::TEST)).ok();
        if let (Some(Judgement { figures, .. }), false) = (&judged, is_drawn) {
            let figures = figures.clone();
            return Ok(Ended {
                config,
                figures,
                evaluation: None,
            });
        }
        let run = RunDir::resume(path)?;
        let mut trainer = Trainer::resume(config.clone(), &run)?;
        // With a note, the weights are others than those whose figures there are.
        let is_whole = trainer.step_count() >= trainer.steps() && trainer.note().is_none();
        if let (Some(Judgement { figures, .. }), true) = (judged, is_whole) {
            return Ok(Ended {
                config,
                figures,
                evaluation: trainer.judge(Part::Test)?,
            });
        }
        let old = config.clone();
        self.go_on(config, trainer, run, &old)
    }

    /// Continues a run that has had the configuration `old` so far.
    fn go_on(
        &self,
        config: Config,
        mut trainer: Trainer,
        mut run: RunDir,
        old: &Config,
    ) -> Result<Ended> {
        if let Some(limit) = self.max_time {
            trainer.set_deadline(Instant::now() + limit);
        }
        if let Some(note) = trainer.note() {
            say(&mut run, self.style, &format!("note    {note}"))?;
        }
        let differences = old.differences(&config);
        for (key, old, new) in &differences {
            let line = format!("changed {key}: {old} -> {new}");
            say(&mut run, self.style, &line)?;
        }
        let (step, steps) = (trainer.step_count(), trainer.steps());
        if step < steps {
            // These figures are of other weights than there will be.
            run.remove(run_dir::TEST)?;
        }
        if !differences.is_empty() {
            run.write(run_dir::CONFIG, config.to_text().as_bytes())?;
            let margins = match config.margin_warmup > 0.0 {
                true => ", and the margins with it",
                false => "",
            };
            let line = format!(
                "note    the schedule is that of {steps} steps from the start: the learning rate goes \
                 on at {:.3e}{margins}",
                trainer.lr(step)
            );
            say(&mut run, self.style, &line)?;
        }
        let line = format!("resumed at step {step} of {steps}");
        say(&mut run, self.style, &line)?;
        let evaluation = finish(&mut trainer, &mut run, self.style)?;
        Ok(Ended::with(config, evaluation))
    }
}

impl Ended {
    fn with(config: Config, evaluation: Evaluation) -> Self {
        Ended {
            config,
            figures: evaluation.figures.clone(),
            evaluation: Some(evaluation),
        }
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
    let within = short(limit.as_secs_f64());
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
    let time = |steps: u64| short(rehearsal.step * steps as f64);
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
    let compared = criterion.classes_compared();
    if compared < classes {
        lines.push(format!(
            "each step compares with {compared} of the {classes} classes, drawn at random"
        ));
    }
    let dim = trainer.net().embedding_dim;
    let expected = losses::expected_initial_loss(&criterion.spec_at(0), compared, dim)?;
    lines.push(format!("first loss to expect: about {expected:.2}"));
    Ok(lines)
}

fn say(run: &mut RunDir, style: Style, line: &str) -> Result<()> {
    if style.tells() {
        tell(line);
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
    run.event("test", figures)?;
    let title = trainer.criterion().spec().to_string();
    pictures::write(run, &title, &rows, &test, protocol)?;
    if let Some(confusion) = evaluation::confusion(&test) {
        run.write("eval/confusion.csv", confusion.as_bytes())?;
    }
    let summary = format!(
        "{} {items}/s; {} from start to end; {}",
        rows.last().map_or(0.0, |r| r.images_per_second).round(),
        short(started.elapsed().as_secs_f64()),
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
    // Last of all: it is the mark of a finished run.
    run.write_json(
        run_dir::TEST,
        serde_json::json!({
            "part": "test",
            "protocol": protocol.name(),
            "weights": "last epoch",
            "selected_on": "nothing",
            "figures": figures,
        }),
    )?;
    match style {
        Style::Json => show(serde_json::json!({ "test": figures })),
        _ => show(line),
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
    let others = match figures.line(&others) {
        none if none.is_empty() => none,
        others => format!("; {others}"),
    };
    format!(
        "test {} {}  ({} {items}, weights of the last epoch{others})",
        figures::label(key),
        figures::shown(key, value),
        figures.images,
    )
}
