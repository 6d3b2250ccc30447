//! The state of a training on disk: what an exact resume needs, and what saves it from accidents.
//!
//! Three things protect a run against a power cut or a kill at any moment. Every file is written
//! beside its place and renamed, so that it is whole or absent. The state before the last one is
//! kept: a state that was damaged later (its checksum tells) sets the run back by one save. And
//! nothing in the other files is needed to go on: the weights are in the state, too, and the
//! tables are written anew from it.

use super::health::Sample;
use super::{EpochRow, Trainer};
use crate::config::Config;
use crate::dataset::Loaders;
use crate::run_dir::RunDir;
use crate::weights;
use anyhow::{Context, Result, anyhow};
use engine::{Params, Tensor};
use nn::{Checkpoint, CheckpointError, Ema, Metadata};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// Where training is, and what an exact resume needs beside the tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Batches of it that are done.
    pub batch: usize,
    /// Steps in all.
    pub step: u64,
    /// Sums over the epoch so far.
    pub sums: Sums,
    /// The best figure of the validation so far.
    pub best: f64,
    /// Updates of the average of the weights.
    pub ema_updates: u64,
}

/// What an epoch adds up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sums {
    pub images: usize,
    pub steps: u64,
    /// Over the images.
    pub loss: f64,
    /// Over the images.
    pub correct: f64,
    /// The norm of the gradient, over the steps.
    pub gradient: f64,
    /// The value of each term of the loss, over the images.
    pub terms: Vec<f64>,
}

/// The name of the features of the last batch before the neck.
const BEFORE_NECK: &str = "before_neck";

/// A state that was read.
struct State {
    file: Checkpoint<f32>,
    place: Place,
    rows: Vec<EpochRow>,
    sample: Sample,
}

impl State {
    fn read(path: &Path) -> Result<Self> {
        let mut file = Checkpoint::<f32>::read(path)?;
        let text = |key: &str| file.metadata.get(key).map(String::as_str);
        let (place, rows) = text("place")
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| anyhow!("{}: does not say where training was", path.display()))?;
        let labels: Vec<Vec<usize>> = text("sample")
            .map_or(Ok(Vec::new()), serde_json::from_str)
            .with_context(|| format!("{}: its `sample`", path.display()))?;
        let before_neck = file
            .tensors
            .iter()
            .position(|(name, _)| name == BEFORE_NECK);
        let before_neck = before_neck.map(|at| file.tensors.remove(at).1);
        let is_sample = |(name, _): &(String, _)| name.starts_with("sample/");
        let (sample, rest) = file.tensors.into_iter().partition(is_sample);
        file.tensors = rest;
        let sample: Vec<(String, Tensor<f32>)> = sample;
        let sample = Sample {
            batches: sample.into_iter().map(|(_, t)| t).zip(labels).collect(),
            before_neck,
        };
        Ok(State {
            file,
            place,
            rows,
            sample,
        })
    }

    /// The tensors under `prefix` as a checkpoint of its own, whose errors still name the file.
    fn part(&self, prefix: &str) -> Checkpoint<f32> {
        let tensors = self.file.tensors.iter();
        let named = tensors
            .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_string(), t.clone())));
        let mut part = self.file.clone();
        part.tensors = named.collect();
        part
    }
}

/// The last good state of a run, and a note if it is not the last one; `None` if there is none yet.
fn last_good(run: &RunDir) -> Result<Option<(State, Option<String>)>> {
    let missing = |e: &anyhow::Error| match e.downcast_ref() {
        Some(CheckpointError::Io { source, .. }) => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    };
    let mut damage: Option<anyhow::Error> = None;
    for path in [run.last_state(), run.previous_state()] {
        match State::read(&path) {
            Ok(state) => {
                let note = damage.map(|e| {
                    let step = state.place.step;
                    format!("{e:#}\n  going on from {}, step {step}", path.display())
                });
                return Ok(Some((state, note)));
            }
            Err(e) if missing(&e) => {}
            Err(e) => damage = damage.or(Some(e)),
        }
    }
    match damage {
        None => Ok(None),
        Some(e) => Err(e.context(format!(
            "{0} cannot be resumed, and there is no earlier state; repeat the run with\n  \
             hypersphere train -c {0}/config.toml --out ANOTHER",
            run.path().display()
        ))),
    }
}

impl Trainer {
    /// Continues where the run in `run` was interrupted. A damaged state is set aside, and the one
    /// before it taken; a run that was stopped before its first checkpoint begins anew. Either is
    /// told by [`note`](Self::note).
    ///
    /// # Errors
    /// If no state can be used, or it is of another network.
    pub fn resume(config: Config, run: &RunDir) -> Result<Self> {
        let Some((state, note)) = last_good(run)? else {
            let mut trainer = Trainer::new(config)?;
            let note = "there is no checkpoint yet: beginning with the first step";
            trainer.note = Some(note.into());
            return Ok(trainer);
        };
        let loaders = Loaders::new(&config)?;
        let mut trainer = Trainer::random(config, loaders)?;
        let (model, average) = (state.part("model/"), state.part("average/"));
        trainer.place = state.place.clone();
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
            .load_state(&trainer.params, &state.part("optimizer/").tensors)
            .with_context(|| format!("{} cannot be resumed", run.last_state().display()))?;
        // If an evaluation comes before the next step, it has the margin of the last one.
        let last = trainer.place.step.saturating_sub(1);
        trainer.criterion.set_step(last);
        (trainer.rows, trainer.sample) = (state.rows, state.sample);
        if note.is_some() {
            // Out of the way, or the next save would put it in the place of the good one.
            run.set_aside(&run.last_state())?;
        }
        trainer.note = note;
        Ok(trainer)
    }

    /// What the user should know of how training was resumed.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Writes the weights and the state. The weights come first: a state that is newer than the
    /// weights beside it would resume to the same end, but the other order would not hurt either,
    /// since the state holds its own weights.
    pub(super) fn save(&mut self, run: &RunDir, is_best: bool) -> Result<()> {
        let metadata = self.metadata();
        self.with_final_weights(|trainer| {
            let weights = Checkpoint::of(&trainer.params, metadata);
            weights.write(&run.last_weights())?;
            if is_best {
                weights.write(&run.best_weights())?;
            }
            Ok::<(), CheckpointError>(())
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
        // Tensors are stored by name, so the numbers have the same width.
        let sample = self.sample.batches.iter().enumerate();
        tensors.extend(sample.map(|(i, (e, _))| (format!("sample/{i:06}"), e.clone())));
        let before = self.sample.before_neck.iter();
        tensors.extend(before.map(|features| (BEFORE_NECK.into(), features.clone())));
        let labels: Vec<_> = self.sample.batches.iter().map(|(_, l)| l).collect();
        let metadata = [
            ("place", serde_json::to_string(&(&self.place, &self.rows))?),
            ("sample", serde_json::to_string(&labels)?),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_string(), value));
        let state = Checkpoint::new(tensors, Metadata::from(metadata));
        let (last, previous) = (run.last_state(), run.previous_state());
        if last.exists() {
            std::fs::rename(&last, &previous)
                .with_context(|| format!("keeping {} as {}", last.display(), previous.display()))?;
        }
        state.write(&last)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Whether it is time to save in the middle of an epoch.
    pub(super) fn is_save_due(&self) -> bool {
        self.saved.elapsed().as_secs_f64() >= 60.0 * self.config.save_minutes
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
