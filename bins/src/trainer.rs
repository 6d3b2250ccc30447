//! Training: the loop, its checkpoints, and the exact way back into an interrupted run.

mod divergence;
mod health;
mod pace;
mod row;
mod state;

pub use divergence::Diverged;
pub use health::{Finding, Health, Term};
pub use pace::{Pace, Rehearsal};
pub use row::EpochRow;

use crate::calibration::Calibration;
use crate::config::Config;
use crate::dataset::Loaders;
use crate::evaluation::{self, Evaluation};
use crate::interrupt;
use crate::progress::{Progress, Step, Style, Training};
use crate::protocol::Effort;
use crate::run_dir::RunDir;
use crate::tensorboard::EventFile;
use crate::weights;
use anyhow::Result;
use data::{Batch, metrics};
use divergence::NotFinite;
use engine::rng::Key;
use engine::{Params, Tensor, Var};
use health::Sample;
use losses::{Criterion, Spec};
use nn::{Backbone, Ema, Features, Optimizer, Pass, Scope};
use state::Place;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Training was interrupted and can be continued: exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("{what}; continue with\n  hypersphere train --resume {}", run.display())]
pub struct Interrupted {
    /// Why it ended, and where.
    pub what: String,
    /// The folder of the run or the series.
    pub run: PathBuf,
}

/// A network in training.
pub struct Trainer {
    config: Config,
    loaders: Loaders,
    net: Backbone<f32>,
    criterion: Criterion<f32>,
    params: Params<f32>,
    optimizer: Box<dyn Optimizer<f32>>,
    ema: Option<Ema<f32>>,
    place: Place,
    /// The end of the epoch so far, to look at.
    sample: Sample,
    /// One for each complete epoch.
    rows: Vec<EpochRow>,
    /// When to stop, wherever training is.
    deadline: Option<Instant>,
    /// When the state was last saved.
    saved: Instant,
    note: Option<String>,
    key: Key,
    /// Whether the loss knows classes, so that there is an accuracy.
    classifies: bool,
    /// That of the weights as they are, if it has been measured.
    calibration: Option<Calibration>,
}

impl Trainer {
    /// A fresh network for a configuration.
    ///
    /// # Errors
    /// If the data, the network or the loss cannot be had.
    pub fn new(config: Config) -> Result<Self> {
        let loaders = Loaders::new(&config)?;
        Self::with(config, loaders)
    }

    /// A fresh network for a configuration whose data has been read.
    ///
    /// # Errors
    /// If the network or the loss cannot be had.
    pub fn with(config: Config, loaders: Loaders) -> Result<Self> {
        let mut trainer = Self::random(config, loaders)?;
        if let Some(path) = &trainer.config.init {
            weights::begin_with(path, &trainer.net, &mut trainer.params)?;
            trainer.ema = trainer.fresh_average();
        }
        Ok(trainer)
    }

    /// With the weights that the seed draws.
    fn random(config: Config, loaders: Loaders) -> Result<Self> {
        let spec: Spec = config.loss.parse()?;
        let mut params = Params::new();
        let mut root = Scope::root(&mut params, config.seed);
        let net = nn::Model::find(&config.model.name)?;
        let options = config.model.options();
        let net = net.build_with(&mut root.child("backbone"), loaders.shape, &options)?;
        let classes = loaders.classes.len();
        let criterion = Criterion::new(&spec, &mut root, classes, net.embedding_dim)?;
        let classifies = criterion.classifies(&params)?;
        if !classifies && !loaders.protocol.is_open() {
            // Better now than at the first evaluation.
            return Err(evaluation::cannot_classify().into());
        }
        nn::optim::exclude_vectors_from_decay(&mut params);
        let mut trainer = Trainer {
            optimizer: config.optimizer.build(),
            key: Key::new(config.seed).named("train"),
            loaders,
            net,
            criterion,
            params,
            ema: None,
            place: Place::default(),
            sample: Sample::default(),
            rows: Vec::new(),
            deadline: None,
            saved: Instant::now(),
            note: None,
            classifies,
            calibration: None,
            config,
        };
        trainer.ema = trainer.fresh_average();
        if trainer.config.sampled_classes < 1.0 {
            let share = trainer.config.sampled_classes;
            trainer.criterion.sample_classes(share)?;
        }
        if trainer.config.margin_warmup > 0.0 {
            let steps = trainer.config.margin_warmup * trainer.steps() as f64;
            trainer.criterion.warm_margins(steps.round() as u64)?;
        }
        Ok(trainer)
    }

    fn fresh_average(&self) -> Option<Ema<f32>> {
        let decay = self.config.ema;
        (decay > 0.0).then(|| Ema::new(&self.params, decay, true))
    }

    /// The network, for its summary.
    pub fn net(&self) -> &Backbone<f32> {
        &self.net
    }

    /// The loss, for its notes.
    pub fn criterion(&self) -> &Criterion<f32> {
        &self.criterion
    }

    /// The parameters.
    pub fn params(&self) -> &Params<f32> {
        &self.params
    }

    /// The data.
    pub fn loaders(&self) -> &Loaders {
        &self.loaders
    }

    /// Passes over the training examples, the last of which may be cut short.
    pub fn epochs(&self) -> u64 {
        match self.config.steps {
            0 => self.config.epochs,
            steps => steps.div_ceil(self.loaders.train.batches() as u64),
        }
    }

    /// Steps of the whole training.
    pub fn steps(&self) -> u64 {
        match self.config.steps {
            0 => self.config.epochs * self.loaders.train.batches() as u64,
            steps => steps,
        }
    }

    /// Steps of an epoch.
    fn steps_in(&self, epoch: u64) -> usize {
        let whole = self.loaders.train.batches();
        match self.config.steps {
            0 => whole,
            steps => whole.min(steps.saturating_sub(epoch * whole as u64) as usize),
        }
    }

    /// Stops at this time, as Ctrl-C would, if training has not come to its end by then.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// From which cosine two are the same, if the weights as they are have been measured.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// Steps done.
    pub fn step_count(&self) -> u64 {
        self.place.step
    }

    /// The learning rate of a step, counted from 0.
    pub fn lr(&self, step: u64) -> f64 {
        self.config.lr * self.config.schedule.at(step, self.steps())
    }

    /// Trains to the end, and leaves the last and the best weights in `run`. Returns the rows of
    /// all epochs, those before a resume included.
    ///
    /// # Errors
    /// [`Diverged`], [`Interrupted`], or if data cannot be read or files not written.
    pub fn train(&mut self, run: &mut RunDir, style: Style) -> Result<Vec<EpochRow>> {
        let epochs = self.epochs();
        let mut progress = Progress::new(style, self.shown(run), &self.rows);
        let mut events = EventFile::create(run.path(), self.place.step)?;
        while self.place.epoch < epochs {
            let (row, is_best) = self.epoch(run, &mut progress, &mut events)?;
            let mut lines = vec![row.line(epochs, self.loaders.protocol, self.loaders.items())];
            lines.extend(
                row.findings
                    .iter()
                    .map(|finding| format!("warning: {finding}")),
            );
            progress.epoch(&row, &lines);
            lines.iter().try_for_each(|line| run.log(line))?;
            run.event("epoch", &row)?;
            events.scalars(row.step, &row.scalars())?;
            self.rows.push(row);
            run.write("metrics.csv", EpochRow::table(&self.rows).as_bytes())?;
            self.save(run, is_best)?;
        }
        Ok(self.rows.clone())
    }

    /// What those who watch should know of the training.
    fn shown(&self, run: &RunDir) -> Training {
        Training {
            run: run.path().display().to_string(),
            recipe: self.config.recipe.clone(),
            loss: self.criterion.spec().to_string(),
            items: self.loaders.items(),
            protocol: self.loaders.protocol,
            steps: self.steps(),
            done: self.place.step,
        }
    }

    /// One epoch, or the rest of one.
    fn epoch(
        &mut self,
        run: &mut RunDir,
        progress: &mut Progress,
        events: &mut EventFile,
    ) -> Result<(EpochRow, bool)> {
        let started = Instant::now();
        let (epoch, epochs, total) = (self.place.epoch, self.epochs(), self.steps());
        let mut batches = self.loaders.train.epoch_from(epoch, self.place.batch);
        let seen_before = self.place.sums.images;
        let end = self.steps_in(epoch);
        while self.place.batch < end {
            let Some(batch) = batches.next() else { break };
            let batch = batch?;
            let lr = self.lr(self.place.step);
            let loss_before = self.place.sums.loss;
            if let Err(problem) = self.step(&batch, lr)? {
                return Err(self.post_mortem(problem, &batch, lr, run)?.into());
            }
            self.place.batch = batches.position();
            self.place.step += 1;
            let loss = (self.place.sums.loss - loss_before) / batch.len() as f64;
            events.step(self.place.step, total, loss, lr)?;
            let (sums, accuracy) = (&self.place.sums, self.accuracy());
            let step = Step {
                epoch: epoch + 1,
                epochs,
                epoch_step: self.place.batch as u64,
                epoch_steps: end as u64,
                step: self.place.step,
                steps: total,
                loss: sums.loss / sums.images as f64,
                step_loss: loss,
                accuracy,
            };
            // Before anything is shown: whoever asks for the end may have taken the terminal away.
            if let Some(reason) = self.reason_to_stop() {
                self.save(run, false)?;
                run.log(&format!("{reason} after step {}", self.place.step))?;
                return Err(Interrupted {
                    what: format!("{reason} after step {} of {total}", self.place.step),
                    run: run.path().to_path_buf(),
                }
                .into());
            }
            progress.step(step, batch.len());
            if self.is_save_due() {
                self.save(run, false)?;
            }
        }
        let waited = batches.waited().as_secs_f64();
        let training = started.elapsed().as_secs_f64();
        let train_accuracy = self.accuracy();
        let health = self.health()?;
        let sums = std::mem::take(&mut self.place.sums);
        self.sample = Sample::default();
        self.place.batch = 0;
        self.place.epoch += 1;
        let judged = self.judge(Part::Validation)?;
        let protocol = self.loaders.protocol;
        let calibrate = |judged: &Evaluation| Calibration::of_validation(&judged.found, protocol);
        self.calibration = judged.as_ref().and_then(calibrate);
        let validation = judged.map(|judged| judged.figures);
        let figure = validation.as_ref();
        let figure = figure.and_then(|v| self.loaders.protocol.headline(v));
        let is_best = figure.is_some_and(|(_, value)| value > self.place.best);
        if let (true, Some((_, value))) = (is_best, figure) {
            self.place.best = value;
        }
        let mut row = EpochRow {
            epoch: epoch + 1,
            step: self.place.step,
            lr: self.lr(self.place.step - 1),
            train_loss: sums.loss / sums.images as f64,
            train_accuracy,
            validation,
            health,
            findings: Vec::new(),
            images_per_second: (sums.images - seen_before) as f64 / training,
            waited_s: waited,
            seconds: started.elapsed().as_secs_f64(),
        };
        row.findings = health::findings(&self.rows, &row, &self.situation());
        Ok((row, is_best))
    }

    /// Why training should stop where it is.
    fn reason_to_stop(&self) -> Option<&'static str> {
        // After the last step there is nothing to stop.
        let late = self.deadline.is_some_and(|at| Instant::now() >= at);
        let late = late && self.place.step < self.steps();
        match interrupt::is_requested() {
            true => Some("interrupted"),
            false => late.then_some("time is up"),
        }
    }

    /// Forward, backward, update. If a number is not finite, the parameters are not updated.
    fn step(&mut self, batch: &Batch, lr: f64) -> Result<Result<(), NotFinite>> {
        let outcome = self.forward(batch)?;
        let loss = f64::from(outcome.loss.value().item());
        if !loss.is_finite() {
            return Ok(Err(NotFinite::Loss));
        }
        let images = batch.len() as f64;
        let sums = &mut self.place.sums;
        if let Some(logits) = &outcome.logits {
            let classes = logits.shape().last();
            let share = metrics::accuracy(logits.data(), classes, &outcome.columns);
            sums.correct += share * images;
        }
        sums.images += batch.len();
        sums.steps += 1;
        sums.loss += loss * images;
        sums.terms.resize(outcome.terms.len(), 0.0);
        for (sum, value) in sums.terms.iter_mut().zip(&outcome.terms) {
            *sum += value * images;
        }
        // The graph is used up before the parameters are written.
        outcome.loss.backward_into(&mut self.params)?;
        let embeddings = outcome.features.embedding.value().clone();
        let before_neck = outcome.features.before_neck.as_ref();
        let before_neck = before_neck.map(|features| features.value().clone());
        drop(outcome);
        let norm = match self.config.clip_norm {
            0.0 => nn::grad_norm(&self.params),
            most => nn::clip_grad_norm(&mut self.params, most),
        };
        if !norm.is_finite() {
            return Ok(Err(NotFinite::Gradient));
        }
        self.place.sums.gradient += norm;
        let left = self
            .steps_in(self.place.epoch)
            .saturating_sub(self.place.batch);
        self.sample
            .add(embeddings, before_neck, &batch.labels, left);
        self.optimizer.step(&mut self.params, lr);
        self.calibration = None;
        if let Some(ema) = &mut self.ema {
            ema.update(&self.params);
        }
        Ok(Ok(()))
    }

    /// The loss of a batch in training.
    fn forward(&mut self, batch: &Batch) -> Result<Forward> {
        let step = self.place.step;
        self.criterion.set_step(step);
        let mut pass = Pass::train(&self.params, self.key.at(step));
        let images = Var::constant(Tensor::new(batch.shape, &batch.images));
        let found = self.net.features(&mut pass, &images);
        let before = found.before_neck.as_ref();
        let of = |labels: &[usize], pass: &mut Pass<'_, f32>| {
            (self.criterion).forward_around_neck(pass, before, &found.embedding, labels)
        };
        let outcome = of(&batch.labels, &mut pass)?;
        let mut forward = Forward {
            terms: outcome.terms.iter().map(|term| term.value).collect(),
            loss: outcome.loss,
            logits: outcome.logits,
            columns: outcome.columns,
            features: found.clone(),
        };
        if let Some(mixed) = &batch.mixed {
            let share = f64::from(mixed.share);
            let other = of(&mixed.labels, &mut pass)?;
            forward.loss = forward.loss * share + other.loss * (1.0 - share);
            for (value, other) in forward.terms.iter_mut().zip(&other.terms) {
                *value = *value * share + other.value * (1.0 - share);
            }
        }
        Ok(forward)
    }

    /// The share of the epoch's images so far that the margin-free logits got right; `None` where
    /// there are no class weights.
    fn accuracy(&self) -> Option<f64> {
        let sums = &self.place.sums;
        self.classifies.then(|| sums.correct / sums.images as f64)
    }

    /// Judges the weights that are saved: the average, if there is one. `None` if there is no such
    /// part.
    ///
    /// # Errors
    /// If data cannot be read.
    pub fn judge(&mut self, part: Part) -> Result<Option<Evaluation>> {
        self.with_final_weights(|trainer| {
            let judged = match part {
                Part::Validation => trainer.loaders.validation.as_ref(),
                Part::Test => Some(&trainer.loaders.test),
            };
            let effort = Effort {
                thorough: part == Part::Test,
                ..Effort::default()
            };
            let model = evaluation::Model {
                net: &trainer.net,
                criterion: &trainer.criterion,
                params: &trainer.params,
            };
            let found = judged.map(|judged| model.judge(judged, Default::default(), effort));
            found.transpose()
        })
    }

    fn with_final_weights<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        let mut ema = self.ema.take();
        if let Some(ema) = &mut ema {
            ema.swap(&mut self.params);
        }
        let result = f(self);
        if let Some(ema) = &mut ema {
            ema.swap(&mut self.params);
        }
        self.ema = ema;
        result
    }
}

/// What a forward pass makes of a batch.
struct Forward {
    loss: Var<f32>,
    /// The value of each term of the loss, without its weight.
    terms: Vec<f64>,
    logits: Option<Tensor<f32>>,
    /// The column of each sample's class in the logits.
    columns: Arc<[usize]>,
    features: Features<f32>,
}

/// A part of the data to judge on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Held out of the training images; choices may be made by it.
    Validation,
    /// The official test images; nothing is chosen by them.
    Test,
}
