//! Training: the loop, its checkpoints, and the exact way back into an interrupted run.

use crate::config::Config;
use crate::dataset::Loaders;
use crate::evaluation::{Evaluation, Figures, class_weights, evaluate};
use crate::progress::{Progress, Step, Style};
use crate::run_dir::RunDir;
use anyhow::{Context, Result, anyhow};
use data::{Batch, metrics};
use engine::rng::Key;
use engine::{Params, Tensor, Var};
use losses::{Criterion, Spec};
use nn::{Backbone, Checkpoint, Ema, Metadata, Module, Optimizer, Pass, Scope};
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
    /// The best validation accuracy so far.
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

/// A row of `metrics.csv`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
    /// The learning rate of the last step.
    pub lr: f64,
    /// Mean training loss of the epoch, while it changed.
    pub train_loss: f64,
    /// Training accuracy of the epoch on the varied images, while the network changed.
    pub train_accuracy: f64,
    /// The held-out images, after the epoch.
    pub validation: Option<Figures>,
    /// Training images per second.
    pub images_per_second: f64,
    /// Seconds that steps waited for data.
    pub waited_s: f64,
    /// Seconds of the epoch, evaluation included.
    pub seconds: f64,
}

impl EpochRow {
    const HEADER: &str = "epoch,step,lr,train_loss,train_accuracy,validation_loss,\
                          validation_accuracy,cosine_own,cosine_others,images_per_second,\
                          waited_s,seconds";

    fn csv(&self) -> String {
        let v =
            |f: fn(&Figures) -> f64| self.validation.map_or(String::new(), |v| f(&v).to_string());
        [
            self.epoch.to_string(),
            self.step.to_string(),
            self.lr.to_string(),
            self.train_loss.to_string(),
            self.train_accuracy.to_string(),
            v(|f| f.loss),
            v(|f| f.accuracy),
            v(|f| f.cosine_own),
            v(|f| f.cosine_others),
            format!("{:.1}", self.images_per_second),
            format!("{:.3}", self.waited_s),
            format!("{:.2}", self.seconds),
        ]
        .join(",")
    }

    fn line(&self, epochs: u64) -> String {
        let mut line = format!(
            "epoch {}/{epochs}: loss {:.4}, accuracy {:.2} %",
            self.epoch,
            self.train_loss,
            100.0 * self.train_accuracy
        );
        if let Some(v) = &self.validation {
            line += &format!(
                "; validation {:.2} %, cosine own {:.3}, others {:.3}",
                100.0 * v.accuracy,
                v.cosine_own,
                v.cosine_others
            );
        }
        line + &format!(
            "; {:.0} images/s, {:.1} s",
            self.images_per_second, self.seconds
        )
    }
}

impl Trainer {
    /// A fresh network for a configuration.
    ///
    /// # Errors
    /// If the data, the network or the loss cannot be had.
    pub fn new(config: Config) -> Result<Self> {
        let loaders = Loaders::new(&config)?;
        let spec: Spec = config.loss.parse()?;
        let mut params = Params::new();
        let mut root = Scope::root(&mut params, config.seed);
        let dim = Some(config.model.embed_dim);
        let net = nn::Model::find(&config.model.name)?;
        let net = net.build(&mut root.child("backbone"), loaders.shape, dim)?;
        let classes = loaders.classes.len();
        let criterion = Criterion::new(&spec, &mut root, classes, net.embedding_dim)?;
        // Better now than at the first evaluation.
        class_weights(&params)?;
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
        let mut trainer = Trainer::new(config)?;
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

    /// Steps of the whole training.
    pub fn steps(&self) -> u64 {
        self.config.epochs * self.loaders.train.batches() as u64
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
            progress.line(&row.line(self.config.epochs));
            progress.json(&serde_json::json!({ "epoch": row }));
            run.log(&row.line(self.config.epochs))?;
            run.event("epoch", row)?;
            self.rows.push(row);
            let lines = self.rows.iter().map(EpochRow::csv);
            let csv: Vec<_> = std::iter::once(EpochRow::HEADER.into())
                .chain(lines)
                .collect();
            run.write("metrics.csv", (csv.join("\n") + "\n").as_bytes())?;
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
            let sums = &self.place.sums;
            let step = Step {
                epoch: epoch + 1,
                epochs: self.config.epochs,
                step: self.place.step,
                steps: total,
                loss: sums.loss / sums.images as f64,
                accuracy: sums.correct / sums.images as f64,
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
        let sums = std::mem::take(&mut self.place.sums);
        self.place.batch = 0;
        self.place.epoch += 1;
        let validation = match self.loaders.validation.examples().labels() {
            [] => None,
            _ => Some(self.judge(Part::Validation)?.figures),
        };
        let is_best = validation.is_some_and(|v| v.accuracy > self.place.best);
        if let (true, Some(v)) = (is_best, validation) {
            self.place.best = v.accuracy;
        }
        let row = EpochRow {
            epoch: epoch + 1,
            step: self.place.step,
            lr: self.lr(self.place.step - 1),
            train_loss: sums.loss / sums.images as f64,
            train_accuracy: sums.correct / sums.images as f64,
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
            let embeddings = self.net.forward(&mut pass, &images);
            self.criterion
                .forward(&mut pass, &embeddings, &batch.labels)?
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

    /// Judges the weights that are saved: the average, if there is one.
    ///
    /// # Errors
    /// If data cannot be read.
    pub fn judge(&mut self, part: Part) -> Result<Evaluation> {
        self.with_final_weights(|trainer| {
            let loader = match part {
                Part::Validation => &trainer.loaders.validation,
                Part::Test => &trainer.loaders.test,
            };
            evaluate(&trainer.net, &trainer.criterion, &trainer.params, loader)
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
        let normalise = &self.loaders.normalise;
        let json = |value: serde_json::Value| value.to_string();
        Metadata::from(
            [
                (
                    "program",
                    format!("hypersphere {}", env!("CARGO_PKG_VERSION")),
                ),
                ("model", self.net.name.to_string()),
                ("embedding_dim", self.net.embedding_dim.to_string()),
                ("loss", format!("{:#}", self.criterion.spec())),
                ("input", json(serde_json::json!(self.net.input))),
                ("classes", json(serde_json::json!(self.loaders.classes))),
                ("mean", json(serde_json::json!(normalise.mean()))),
                ("std", json(serde_json::json!(normalise.std()))),
                ("epoch", self.place.epoch.to_string()),
                ("step", self.place.step.to_string()),
            ]
            .map(|(key, value)| (key.to_string(), value)),
        )
    }
}

/// A part of the data to judge on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Held out of the training images; choices may be made by it.
    Validation,
    /// The official test images; nothing is chosen by them.
    Test,
}
