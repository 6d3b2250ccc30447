//! Training: the loop, its checkpoints, and the exact way back into an interrupted run.

mod row;

pub use row::EpochRow;

use crate::calibration::Calibration;
use crate::config::{Config, ConfigError};
use crate::dataset::Loaders;
use crate::evaluation::{self, Evaluation, class_weights};
use crate::progress::{Progress, Step, Style};
use crate::protocol::Effort;
use crate::run_dir::RunDir;
use crate::weights;
use anyhow::{Context, Result, anyhow};
use data::{Batch, metrics};
use engine::rng::Key;
use engine::{Params, Tensor, Var};
use losses::{Criterion, Spec};
use nn::{Backbone, Checkpoint, Ema, Metadata, Optimizer, Pass, Scope};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Training stopped because the loss is no number any more: exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Diverged(String);

/// Training was interrupted and can be continued: exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Interrupted(String);

/// Set by Ctrl-C; the loop looks at it after every step.
pub static INTERRUPT: AtomicBool = AtomicBool::new(false);

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
    /// One for each complete epoch.
    rows: Vec<EpochRow>,
    key: Key,
    /// Whether the loss has class weights, so that there is an accuracy.
    classifies: bool,
    /// That of the weights as they are, if it has been measured.
    calibration: Option<Calibration>,
}

/// Where training is, and what an exact resume needs beside the tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    /// The epoch, from 0.
    epoch: u64,
    /// Batches of it that are done.
    batch: usize,
    /// Steps in all.
    step: u64,
    /// Sums over the images of the epoch so far.
    sums: Sums,
    /// The best figure of the validation so far.
    best: f64,
    /// Updates of the average of the weights.
    ema_updates: u64,
}

/// What an epoch adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    images: usize,
    loss: f64,
    correct: f64,
}

impl Trainer {
    /// A fresh network for a configuration.
    ///
    /// # Errors
    /// If the data, the network or the loss cannot be had.
    pub fn new(config: Config) -> Result<Self> {
        let mut trainer = Self::random(config)?;
        if let Some(path) = &trainer.config.init {
            weights::begin_with(path, &trainer.net, &mut trainer.params)?;
            trainer.ema = trainer.fresh_average();
        }
        Ok(trainer)
    }

    /// With the weights that the seed draws.
    fn random(config: Config) -> Result<Self> {
        let loaders = Loaders::new(&config)?;
        let spec: Spec = config.loss.parse()?;
        let mut params = Params::new();
        let mut root = Scope::root(&mut params, config.seed);
        let net = nn::Model::find(&config.model.name)?;
        let options = config.model.options();
        let net = net.build_with(&mut root.child("backbone"), loaders.shape, &options)?;
        let classes = loaders.classes.len();
        let criterion = Criterion::new(&spec, &mut root, classes, net.embedding_dim)?;
        let classifies = class_weights(&params);
        if !loaders.protocol.is_open() {
            // Better now than at the first evaluation.
            classifies.as_ref().map_err(|e| ConfigError(e.0.clone()))?;
        }
        let classifies = classifies.is_ok();
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
            rows: Vec::new(),
            classifies,
            calibration: None,
            config,
        };
        trainer.ema = trainer.fresh_average();
        Ok(trainer)
    }

    /// Continues where the run in `run` was interrupted.
    ///
    /// # Errors
    /// If the state is missing, damaged or of another network.
    pub fn resume(config: Config, run: &RunDir) -> Result<Self> {
        let mut trainer = Trainer::random(config)?;
        let path = run.last_state();
        let state = Checkpoint::<f32>::read(&path)
            .with_context(|| format!("{} cannot be resumed", run.path().display()))?;
        (trainer.place, trainer.rows) = state
            .metadata
            .get("place")
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| anyhow!("{}: does not say where training was", path.display()))?;
        // A part of the state as a checkpoint of its own, whose errors still name the file.
        let part = |prefix: &str| {
            let tensors = state.tensors.iter();
            let named = tensors
                .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_string(), t.clone())));
            let mut part = state.clone();
            part.tensors = named.collect();
            part
        };
        let (model, average) = (part("model/"), part("average/"));
        if let (Some(ema), false) = (&mut trainer.ema, average.tensors.is_empty()) {
            ema.swap(&mut trainer.params);
            average.load_into(&mut trainer.params)?;
            ema.swap(&mut trainer.params);
            ema.set_updates(trainer.place.ema_updates);
        }
        model.load_into(&mut trainer.params)?;
        if average.tensors.is_empty() {
            // An average that is asked for only now begins with the weights there are.
            trainer.ema = trainer.fresh_average();
        }
        trainer
            .optimizer
            .load_state(&trainer.params, &part("optimizer/").tensors)
            .with_context(|| format!("{} cannot be resumed", path.display()))?;
        // If an evaluation comes before the next step, it has the margin of the last one.
        let last = trainer.place.step.saturating_sub(1);
        trainer.criterion.set_step(last);
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

    /// Passes over the training examples.
    pub fn epochs(&self) -> u64 {
        self.config.epochs
    }

    /// Steps of the whole training.
    pub fn steps(&self) -> u64 {
        self.config.epochs * self.loaders.train.batches() as u64
    }

    /// Does two steps on the first images of the first batch, as many as a second or so allows, and
    /// tells what a whole step takes and what the first loss was. The trainer is used up: its
    /// weights are no longer those of the start.
    ///
    /// # Errors
    /// If data cannot be read, or the first step already diverges.
    pub fn rehearse(mut self) -> Result<Rehearsal> {
        /// Multiply-adds of a forward pass that every processor does in well under a second.
        const WORK: usize = 10_000_000_000;
        let per_image = self.net.summary(&self.params).multiply_adds().max(1);
        let Some(batch) = self.loaders.train.epoch(0).next() else {
            return Ok(Rehearsal::default());
        };
        let mut batch = batch?;
        let whole = batch.len();
        // Batch-norm needs two.
        let part = (WORK / per_image).clamp(2, whole.max(2)).min(whole);
        batch.images.truncate(batch.images.len() / whole * part);
        batch.labels.truncate(part);
        batch.indices.truncate(part);
        batch.shape[0] = part;
        batch.mixed = None;
        self.step(&batch, 0.0)?;
        let first_loss = self.place.sums.loss / self.place.sums.images as f64;
        // The first step prepares what the others reuse.
        let started = Instant::now();
        self.step(&batch, 0.0)?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Rehearsal {
            step: seconds * whole as f64 / part as f64,
            first_loss,
        })
    }

    /// Bytes that training needs at a time, data aside: parameters, gradients and moments; and
    /// activations with their gradients, by the outputs of all layers.
    pub fn memory(&self) -> [usize; 2] {
        let moments = self.optimizer.state(&self.params);
        let moments: usize = moments.iter().map(|(_, t)| t.data().len()).sum();
        let copies = 2 + usize::from(self.ema.is_some());
        let outputs = self.net.summary(&self.params).rows;
        let outputs: usize = outputs.iter().map(|row| row.output.elements()).sum();
        let size = size_of::<f32>();
        [
            size * (copies * self.params.count() + moments),
            2 * size * outputs * self.config.batch,
        ]
    }

    /// From which cosine two are the same, if the weights as they are have been measured.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// Steps done.
    pub fn step_count(&self) -> u64 {
        self.place.step
    }

    /// The learning rate of a step.
    fn lr(&self, step: u64) -> f64 {
        self.config.lr * self.config.schedule.at(step, self.steps())
    }

    /// Trains to the end, and leaves the last and the best weights in `run`. Returns the rows of
    /// all epochs, those before a resume included.
    ///
    /// # Errors
    /// [`Diverged`], [`Interrupted`], or if data cannot be read or files not written.
    pub fn train(&mut self, run: &mut RunDir, style: Style) -> Result<Vec<EpochRow>> {
        let steps = self.steps();
        let mut progress = Progress::new(style, steps, self.place.step);
        while self.place.epoch < self.config.epochs {
            let (row, is_best) = self.epoch(run, &mut progress)?;
            let line = row.line(self.config.epochs, self.loaders.protocol);
            progress.line(&line);
            progress.json(&serde_json::json!({ "epoch": row }));
            run.log(&line)?;
            run.event("epoch", &row)?;
            self.rows.push(row);
            run.write("metrics.csv", EpochRow::table(&self.rows).as_bytes())?;
            self.save(run, is_best)?;
        }
        progress.finish();
        Ok(self.rows.clone())
    }

    /// One epoch, or the rest of one.
    fn epoch(&mut self, run: &mut RunDir, progress: &mut Progress) -> Result<(EpochRow, bool)> {
        let started = Instant::now();
        let (epoch, total) = (self.place.epoch, self.steps());
        let mut batches = self.loaders.train.epoch_from(epoch, self.place.batch);
        let seen_before = self.place.sums.images;
        while let Some(batch) = batches.next() {
            let batch = batch?;
            let lr = self.lr(self.place.step);
            self.step(&batch, lr)?;
            self.place.batch = batches.position();
            self.place.step += 1;
            let (sums, accuracy) = (&self.place.sums, self.accuracy());
            let step = Step {
                epoch: epoch + 1,
                epochs: self.config.epochs,
                step: self.place.step,
                steps: total,
                loss: sums.loss / sums.images as f64,
                accuracy,
            };
            progress.step(step, batch.len());
            if INTERRUPT.load(Ordering::Relaxed) {
                progress.finish();
                self.save(run, false)?;
                run.log(&format!("interrupted after step {}", self.place.step))?;
                return Err(Interrupted(format!(
                    "interrupted after step {} of {total}; continue with\n  \
                     hypersphere train --resume {}",
                    self.place.step,
                    run.path().display()
                ))
                .into());
            }
        }
        let waited = batches.waited().as_secs_f64();
        let training = started.elapsed().as_secs_f64();
        let train_accuracy = self.accuracy();
        let sums = std::mem::take(&mut self.place.sums);
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
        let row = EpochRow {
            epoch: epoch + 1,
            step: self.place.step,
            lr: self.lr(self.place.step - 1),
            train_loss: sums.loss / sums.images as f64,
            train_accuracy,
            validation,
            images_per_second: (sums.images - seen_before) as f64 / training,
            waited_s: waited,
            seconds: started.elapsed().as_secs_f64(),
        };
        Ok((row, is_best))
    }

    /// Forward, backward, update.
    fn step(&mut self, batch: &Batch, lr: f64) -> Result<()> {
        let step = self.place.step;
        self.criterion.set_step(step);
        let outcome = {
            let mut pass = Pass::train(&self.params, self.key.at(step));
            let images = Var::constant(Tensor::new(batch.shape, &batch.images));
            let found = self.net.features(&mut pass, &images);
            let of = |labels: &[usize], pass: &mut Pass<'_, f32>| {
                let before = found.before_neck.as_ref();
                (self.criterion).forward_around_neck(pass, before, &found.embedding, labels)
            };
            let mut outcome = of(&batch.labels, &mut pass)?;
            if let Some(mixed) = &batch.mixed {
                let other = of(&mixed.labels, &mut pass)?.loss;
                let share = f64::from(mixed.share);
                outcome.loss = outcome.loss * share + other * (1.0 - share);
            }
            outcome
        };
        let loss = f64::from(outcome.loss.value().item());
        if !loss.is_finite() {
            return Err(self.diverged("the loss", step, lr).into());
        }
        if let Some(logits) = &outcome.logits {
            let classes = logits.shape().last();
            let share = metrics::accuracy(logits.data(), classes, &batch.labels);
            self.place.sums.correct += share * batch.len() as f64;
        }
        self.place.sums.images += batch.len();
        self.place.sums.loss += loss * batch.len() as f64;
        // The graph is used up before the parameters are written.
        outcome.loss.backward_into(&mut self.params)?;
        drop(outcome);
        let norm = match self.config.clip_norm {
            0.0 => 0.0,
            most => nn::clip_grad_norm(&mut self.params, most),
        };
        if !norm.is_finite() {
            return Err(self.diverged("the gradient", step, lr).into());
        }
        self.optimizer.step(&mut self.params, lr);
        self.calibration = None;
        if let Some(ema) = &mut self.ema {
            ema.update(&self.params);
        }
        Ok(())
    }

    fn diverged(&self, what: &str, step: u64, lr: f64) -> Diverged {
        let broken = self.params.iter().find_map(|(id, param)| {
            let value = self.params.value(id);
            let finite = value.data().iter().all(|x| x.is_finite());
            (!finite).then(|| {
                format!(
                    " `{}` is the first parameter with such a value.",
                    param.name()
                )
            })
        });
        Diverged(format!(
            "training diverged: {what} of step {step} is not a finite number (learning rate {lr:.3e}).{}\n  \
             Try a smaller `lr`, `clip_norm = 5`, or a smaller margin or scale.{}",
            broken.unwrap_or_default(),
            match self.place.epoch {
                0 => "",
                _ => " The weights of the last complete epoch are kept.",
            }
        ))
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

    /// Writes the weights and the state. The weights come first: a state that is newer than the
    /// weights beside it would resume to the same end, but the other order would not hurt either,
    /// since the state holds its own weights.
    fn save(&mut self, run: &RunDir, is_best: bool) -> Result<()> {
        let metadata = self.metadata();
        self.with_final_weights(|trainer| {
            let weights = Checkpoint::of(&trainer.params, metadata);
            weights.write(&run.last_weights())?;
            if is_best {
                weights.write(&run.best_weights())?;
            }
            Ok::<(), nn::CheckpointError>(())
        })?;
        self.place.ema_updates = self.ema.as_ref().map_or(0, Ema::updates);
        let named = |prefix: &str, tensors: Vec<(String, Tensor<f32>)>| {
            let prefixed = tensors
                .into_iter()
                .map(|(name, t)| (format!("{prefix}/{name}"), t));
            prefixed.collect::<Vec<_>>()
        };
        let model = |params: &Params<f32>| Checkpoint::of(params, Metadata::new()).tensors;
        let mut tensors = named("model", model(&self.params));
        tensors.extend(named("optimizer", self.optimizer.state(&self.params)));
        if let Some(mut ema) = self.ema.take() {
            ema.swap(&mut self.params);
            tensors.extend(named("average", model(&self.params)));
            ema.swap(&mut self.params);
            self.ema = Some(ema);
        }
        let place = serde_json::to_string(&(&self.place, &self.rows))?;
        let state = Checkpoint::new(tensors, Metadata::from([("place".into(), place)]));
        state.write(&run.last_state())?;
        Ok(())
    }

    /// What a user of the weights needs to know.
    fn metadata(&self) -> Metadata {
        let description = weights::Description {
            model: self.net.name.into(),
            options: self.config.model.options(),
            input: self.net.input,
            loss: format!("{:#}", self.criterion.spec()),
            classes: self.loaders.classes.clone(),
            mean: self.loaders.normalise.mean().to_vec(),
            std: self.loaders.normalise.std().to_vec(),
            centre: self.config.data.centre,
            sound: self.loaders.sound,
            calibration: self.calibration.clone(),
        };
        let mut metadata = description.metadata();
        let mut more = |key: &str, value: String| drop(metadata.insert(key.into(), value));
        more("protocol", self.loaders.protocol.name().into());
        more("epoch", self.place.epoch.to_string());
        more("step", self.place.step.to_string());
        metadata
    }
}

/// What two steps tell before a training.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rehearsal {
    /// Seconds of a step.
    pub step: f64,
    /// The loss of the first step.
    pub first_loss: f64,
}

/// A part of the data to judge on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Held out of the training images; choices may be made by it.
    Validation,
    /// The official test images; nothing is chosen by them.
    Test,
}
