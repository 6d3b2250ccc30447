//! Whether the data keeps up with the training that it is for.

use crate::config::Config;
use crate::dataset::Loaders;
use crate::trainer::Trainer;
use anyhow::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How fast data comes, and how fast it is used.
#[derive(Debug, Serialize)]
pub struct Report {
    /// "images" or "recordings".
    pub items: &'static str,
    /// Training examples.
    pub examples: usize,
    /// Examples in a step.
    pub batch: usize,
    /// Seconds until the first batch could be asked for: tables, headers, what is kept in memory.
    pub reading: f64,
    /// Examples per second that the loader makes in the first epoch while nothing else is done:
    /// decoded, varied, put into batches.
    pub first_epoch: f64,
    /// The same in the second, when files are in the system's memory and features are cached.
    pub next_epoch: f64,
    /// Examples per second in training.
    pub training: f64,
    /// The share of the training's time that it waits for data.
    pub waiting: f64,
}

/// Loads, then trains, each for at most so long.
///
/// # Errors
/// If the data, the network or the loss cannot be had, or the first step already diverges.
pub fn run(config: Config, seconds: Duration) -> Result<Report> {
    let started = Instant::now();
    let loaders = Loaders::new(&config)?;
    let reading = started.elapsed().as_secs_f64();
    let (items, examples) = (loaders.items(), loaders.train.examples().labels().len());
    let first_epoch = rate(&loaders, 0, seconds)?;
    let next_epoch = rate(&loaders, 1, seconds)?;
    let batches = loaders.train.batches().max(1);
    // A trainer measures for a twentieth of the time that a training is given.
    let (pace, loaders) = Trainer::with(config, loaders)?.measure(20 * seconds)?;
    let first = loaders.train.epoch(0).next().transpose()?;
    let batch = first.map_or(examples / batches, |batch| batch.len());
    Ok(Report {
        items,
        examples,
        batch,
        reading,
        first_epoch,
        next_epoch,
        training: batch as f64 / pace.step,
        waiting: pace.waiting / pace.step,
    })
}

/// Examples per second that come when nobody works with them.
fn rate(loaders: &Loaders, epoch: u64, seconds: Duration) -> Result<f64> {
    let started = Instant::now();
    let mut examples = 0;
    for batch in loaders.train.epoch(epoch) {
        examples += batch?.len();
        if started.elapsed() >= seconds {
            break;
        }
    }
    Ok(examples as f64 / started.elapsed().as_secs_f64())
}
