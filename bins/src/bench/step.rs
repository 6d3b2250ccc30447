//! Whole training steps of known networks: forward, backward, update, on data in memory.

use super::timing::{Times, measure};
use anyhow::{Context, Result};
use engine::profile::{Direction, Recording};
use engine::rng::Key;
use engine::{Params, Tensor, Var, par, pool};
use losses::{Criterion, Spec};
use nn::networks::Model;
use nn::{Module, OptimizerConfig, Pass, Scope};
use serde::Serialize;
use std::time::Instant;

/// A network with the batch it is measured on. The same six, with the same batches, loss and
/// optimizer, are in `tests/bench/torch_step.py`.
pub struct Network {
    /// The name in `bench step`.
    pub name: &'static str,
    /// The name among the [models](nn::networks::MODELS).
    pub model: &'static str,
    /// Images per step.
    pub batch: usize,
    /// Height, width, channels.
    pub image: [usize; 3],
    /// Classes of the head.
    pub classes: usize,
}

/// The networks of `bench step`.
pub static NETWORKS: &[Network] = &[
    network("lenet", "lenet++", 128, [28, 28, 1], 10),
    network("vgg", "vgg-mnist-64", 128, [28, 28, 1], 10),
    network("resnet20", "resnet20-b", 128, [32, 32, 3], 10),
    network("airbench", "airbench94", 256, [32, 32, 3], 10),
    network("resnet18", "resnet18-cifar", 64, [32, 32, 3], 10),
    network("resnet50", "resnet50", 16, [256, 128, 3], 751),
];

const fn network(
    name: &'static str,
    model: &'static str,
    batch: usize,
    image: [usize; 3],
    classes: usize,
) -> Network {
    Network {
        name,
        model,
        batch,
        image,
        classes,
    }
}

/// What to measure.
pub struct Setting<'a> {
    /// The network.
    pub network: &'a Network,
    /// Images per step.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Classes of the head.
    pub classes: usize,
    /// The share of them that a step compares with.
    pub sampled_classes: f64,
    /// The loss.
    pub loss: &'a Spec,
    /// How long to measure, at least.
    pub seconds: f64,
}

/// What a step costs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The network.
    pub network: &'static str,
    /// Images per step.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Classes of the head.
    pub classes: usize,
    /// With how many of them a step compares.
    pub compared: usize,
    /// The loss.
    pub loss: String,
    /// Seconds of a step.
    pub seconds: Times,
    /// Images per second, at the median.
    pub images_per_second: f64,
    /// Floating-point operations of a step by the definition of convolution: two for each
    /// multiply-add, three products for each layer but the first, which needs no gradient of
    /// its input. What Winograd saves is not taken off.
    pub flops: f64,
    /// The most memory in use by tensors at one time, in bytes.
    pub peak_bytes: usize,
    /// The most memory the process held so far, in bytes, where the system tells it.
    pub process_bytes: Option<u64>,
    /// Memory that the measured steps asked of the system, in requests: 0 once the pool is warm.
    pub allocations: u64,
    /// The loss after the last step, to see that the work was done.
    pub last_loss: f64,
    /// Where the time of a step went.
    pub parts: Vec<Part>,
}

/// The time of an operation in a step.
#[derive(Debug, Serialize)]
pub struct Part {
    /// Its name, or `update` for the optimizer, or `other` for what is between operations.
    pub op: String,
    /// `forward`, `backward`, or nothing.
    pub direction: &'static str,
    /// Calls in a step.
    pub calls: f64,
    /// Seconds in a step.
    pub seconds: f64,
}

/// Steps that are not timed: the pool and the caches fill.
const WARM_UP: usize = 3;
/// Steps whose time is split by operation.
const PROFILED: u32 = 3;

/// Trains on random images for a while.
///
/// # Errors
/// If the network or the loss cannot be built.
pub fn run(setting: &Setting) -> Result<Report> {
    par::with_threads(setting.threads, || run_here(setting))
}

fn run_here(setting: &Setting) -> Result<Report> {
    let Setting {
        network,
        batch,
        classes,
        ..
    } = *setting;
    let mut params = Params::<f32>::new();
    let mut root = Scope::root(&mut params, 0);
    let model = Model::find(network.model)?;
    let net = model.build(&mut root.child("backbone"), network.image, None)?;
    let mut criterion = Criterion::new(setting.loss, &mut root, classes, net.embedding_dim)?;
    if setting.sampled_classes < 1.0 {
        criterion.sample_classes(setting.sampled_classes)?;
    }
    let mut optimizer = OptimizerConfig::Sgd {
        momentum: 0.9,
        nesterov: false,
        weight_decay: 5e-4,
    }
    .build();

    let mut rng = Key::new(0).named("bench").rng();
    let [h, w, c] = network.image;
    let images = Tensor::from_fn([batch, h, w, c], |_| rng.normal() as f32);
    let images = Var::constant(images);
    let labels: Vec<usize> = (0..batch).map(|i| i % classes.min(10)).collect();
    let key = Key::new(0).named("train");
    let (mut step, mut last_loss, mut updating) = (0, 0.0, 0.0);
    let mut train = |updating: &mut f64| -> Result<()> {
        criterion.set_step(step);
        let mut pass = Pass::train(&params, key.at(step));
        let embeddings = net.forward(&mut pass, &images);
        let outcome = criterion.forward(&mut pass, &embeddings, &labels)?;
        last_loss = f64::from(outcome.loss.value().item());
        outcome.loss.backward_into(&mut params)?;
        drop((outcome, embeddings));
        let start = Instant::now();
        optimizer.step(&mut params, 0.01);
        *updating += start.elapsed().as_secs_f64();
        step += 1;
        Ok(())
    };
    pool::trim();
    for _ in 0..WARM_UP {
        train(&mut 0.0).with_context(|| format!("a step of {}", network.name))?;
    }
    let before = pool::stats();
    let mut failed = Ok(());
    let seconds = measure(0, 5, setting.seconds, || {
        if let Err(e) = train(&mut 0.0) {
            failed = Err(e);
        }
    });
    failed?;
    let after = pool::stats();

    let recording = Recording::start();
    let start = Instant::now();
    for _ in 0..PROFILED {
        train(&mut updating)?;
    }
    let whole = start.elapsed().as_secs_f64();
    let per_step = |x: f64| x / f64::from(PROFILED);
    let mut parts: Vec<Part> = (recording.stop().into_iter())
        .map(|row| Part {
            op: row.op.to_string(),
            direction: match row.direction {
                Direction::Forward => "forward",
                Direction::Backward => "backward",
            },
            calls: per_step(row.calls as f64),
            seconds: per_step(row.time.as_secs_f64()),
        })
        .collect();
    let known = parts.iter().map(|part| part.seconds).sum::<f64>() + per_step(updating);
    for (op, seconds) in [
        ("update", per_step(updating)),
        ("other", per_step(whole) - known),
    ] {
        parts.push(Part {
            op: op.into(),
            direction: "",
            calls: 1.0,
            seconds,
        });
    }
    parts.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));

    let summary = net.summary(&params);
    let first = summary
        .rows
        .iter()
        .map(|r| r.multiply_adds)
        .find(|&n| n > 0);
    let head = net.embedding_dim * criterion.classes_compared();
    let products = 3 * (summary.multiply_adds() + head) - first.unwrap_or(0);
    Ok(Report {
        network: network.name,
        batch,
        threads: setting.threads,
        classes,
        compared: criterion.classes_compared(),
        loss: setting.loss.to_string(),
        seconds,
        images_per_second: batch as f64 / seconds.median,
        flops: 2.0 * (products * batch) as f64,
        peak_bytes: after.peak,
        process_bytes: process_peak(),
        allocations: (after.requests - after.hits) - (before.requests - before.hits),
        last_loss,
        parts,
    })
}

/// The most memory this process has held, on systems that keep count.
fn process_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}
