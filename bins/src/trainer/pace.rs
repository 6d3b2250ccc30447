//! What a training will cost, measured before it begins.

use super::Trainer;
use super::divergence::Diverged;
use crate::dataset::{Judged, Loaders};
use anyhow::Result;
use data::Batch;
use engine::{Tensor, Var};
use nn::{Module, Pass};
use std::time::{Duration, Instant};

/// What two steps tell before a training.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rehearsal {
    /// Seconds of a step.
    pub step: f64,
    /// The loss of the first step.
    pub first_loss: f64,
}

/// How fast a training goes here and now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Seconds of a step, waiting for data included.
    pub step: f64,
    /// Those of them that are spent waiting for data.
    pub waiting: f64,
    /// Seconds of the evaluation after each epoch.
    pub validation: f64,
    /// Seconds of the evaluation at the end.
    pub test: f64,
    /// Steps of an epoch.
    pub steps_of_epoch: u64,
}

impl Pace {
    /// The share of the time that is planned with: the speed varies, and files are to be written.
    const PLANNED: f64 = 0.9;

    /// The most steps that fit into a time with their evaluations; 0 if not even one does.
    pub fn steps_within(&self, time: Duration) -> u64 {
        let epoch = self.steps_of_epoch.max(1) as f64;
        let left = Self::PLANNED * time.as_secs_f64() - self.test - self.validation;
        let per_step = self.step + self.validation / epoch;
        (left / per_step.max(1e-9)).max(0.0) as u64
    }
}

impl Trainer {
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
        self.rehearse_step(&batch)?;
        let first_loss = self.place.sums.loss / self.place.sums.images as f64;
        // The first step prepares what the others reuse.
        let started = Instant::now();
        self.rehearse_step(&batch)?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Rehearsal {
            step: seconds * whole as f64 / part as f64,
            first_loss,
        })
    }

    fn rehearse_step(&mut self, batch: &Batch) -> Result<()> {
        Ok(self.step(batch, 0.0)?.map_err(Diverged::from)?)
    }

    /// Measures the speed on the first batches, for at most a twentieth of `limit` or so. The
    /// trainer is used up, as by [`rehearse`](Self::rehearse); its data is given back.
    ///
    /// # Errors
    /// As [`rehearse`](Self::rehearse).
    pub fn measure(mut self, limit: Duration) -> Result<(Pace, Loaders)> {
        const ENOUGH: Duration = Duration::from_secs(20);
        let enough = (limit / 20).min(ENOUGH);
        let mut batches = self.loaders.train.epoch(0);
        let (mut steps, mut seconds, mut per_image) = (0, 0.0, 0.0);
        let mut waited_first = Duration::ZERO;
        let started = Instant::now();
        loop {
            let before = Instant::now();
            let Some(batch) = batches.next() else { break };
            let batch = batch?;
            self.rehearse_step(&batch)?;
            if steps > 0 {
                seconds += before.elapsed().as_secs_f64();
            } else {
                // The first step prepares what the others reuse; its time is worth nothing, and is
                // taken only if there is no other.
                per_image = self.seconds_to_embed(&batch);
                waited_first = batches.waited();
            }
            steps += 1;
            if steps > 1 && started.elapsed() >= enough {
                break;
            }
        }
        if steps == 1 {
            seconds = started.elapsed().as_secs_f64();
        }
        let counted = f64::from((steps - 1).max(1));
        let waiting = (batches.waited() - waited_first).as_secs_f64() / counted;
        drop(batches);
        let judged = |part: &Judged| per_image * part.len() as f64;
        let pace = Pace {
            step: seconds / counted,
            waiting,
            validation: self.loaders.validation.as_ref().map_or(0.0, judged),
            test: judged(&self.loaders.test),
            steps_of_epoch: self.loaders.train.batches() as u64,
        };
        Ok((pace, self.loaders))
    }

    /// Seconds that evaluation takes for an image.
    fn seconds_to_embed(&self, batch: &Batch) -> f64 {
        let started = Instant::now();
        let images = Var::constant(Tensor::new(batch.shape, &batch.images));
        let embeddings = self.net.forward(&mut Pass::eval(&self.params), &images);
        drop(embeddings);
        started.elapsed().as_secs_f64() / batch.len() as f64
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fill_the_planned_time_and_not_more() {
        let pace = Pace {
            step: 0.1,
            waiting: 0.0,
            validation: 2.0,
            test: 5.0,
            steps_of_epoch: 100,
        };
        let time = Duration::from_secs(600);
        let steps = pace.steps_within(time);
        let cost = |steps: u64| 0.1 * steps as f64 + 2.0 * steps.div_ceil(100) as f64 + 5.0;
        assert!(cost(steps) <= 0.9 * 600.0, "{steps}");
        assert!(cost(steps + 50) > 0.9 * 600.0, "{steps}");
        assert_eq!(pace.steps_within(Duration::from_secs(7)), 0);
    }
}
