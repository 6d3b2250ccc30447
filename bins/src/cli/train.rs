//! The command line of training.

use super::values::{Fold, MOST_SEEDS, Threads, pk, time};
use crate::config::{ConfigError, Layers};
use crate::progress::Style;
use crate::protocol::Protocol;
use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Value;

pub(super) const EXAMPLES: &str = "\
Examples:
  hypersphere train mnist                          99.5 % in a few minutes, no download
  hypersphere train mnist --loss arcface:s=16,m=0.3
  hypersphere train mnist --loss 'so-softmax + 0.01*center' --epochs 10 --seed 2
  hypersphere train mnist --loss all               every loss, and a table
  hypersphere train mnist --data fashion-mnist/    any folder of four IDX files
  hypersphere train omniglot --data omniglot/      a recipe that needs data says which
  hypersphere train market1501 --data Market-1501-v15.09.15/ --pk 16x4
  hypersphere train my_photos/                     any folder: a class in each of its folders
  hypersphere train mnist-2d                       the papers' toy figure, as SVG
  hypersphere train mnist --progress dashboard     curves, figures and findings, live
  hypersphere train mnist --max-time 10m           the schedule ends within ten minutes
  hypersphere train mnist --repeat 5               five seeds: mean and deviation
  hypersphere train mnist --loss all --repeat 3    every loss three times, and a table
  hypersphere train esc10 --data ESC-50/ --fold all    cross-validation
  hypersphere train --resume runs/mnist-so-softmax-1
  hypersphere train --resume runs/mnist-so-softmax-1 --epochs 12   and train on
  hypersphere train -c runs/mnist-so-softmax-1/config.toml   the same run again";

/// `train`
#[derive(Args, Debug)]
pub struct Train {
    /// The recipe to begin with, or a folder of images: its data set is recognised, the rest chosen
    pub recipe: Option<String>,
    /// A configuration file (TOML), over the recipe if both are given
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What of the configuration is to be otherwise.
    #[command(flatten)]
    pub changes: Changes,
    /// Where to put the run, instead of runs/RECIPE-LOSS-N
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
    /// Continue an interrupted run, or series of runs, exactly as if it had not been interrupted
    #[arg(long, value_name = "RUN",
          conflicts_with_all = ["recipe", "config", "out", "init", "fold"])]
    pub resume: Option<PathBuf>,
    /// End each run within this time, such as 45s, 30m or 1.5h: speed is measured, and if need be the
    /// schedule is made to end earlier; the resolved configuration has the number of steps
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub max_time: Option<Duration>,
    /// Train N times, with this seed and those after it, and report mean and deviation
    #[arg(long, value_name = "N", conflicts_with = "resume",
          value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    pub repeat: Option<u64>,
    /// Allow --resume with a changed configuration; more --epochs alone need no leave
    #[arg(long, requires = "resume")]
    pub r#override: bool,
    /// Show the resolved configuration, the network and the reasoning, and stop
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// How progress is shown [default: bar on a terminal, plain elsewhere]
    #[arg(long, value_name = "HOW")]
    pub progress: Option<Style>,
}

/// The options that change a configuration.
#[derive(Args, Debug)]
pub struct Changes {
    /// The folder of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Its layout: mnist, cifar10, folder, manifest, market1501 … [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// How the data is cut and judged [default: as usual with the layout]
    #[arg(long, value_name = "HOW")]
    pub protocol: Option<Protocol>,
    /// The loss, as NAME:key=value,… with weights and sums; `all` compares every loss
    #[arg(long, value_name = "SPEC")]
    pub loss: Option<String>,
    /// The network
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Numbers in an embedding
    #[arg(long, value_name = "D")]
    pub embed_dim: Option<usize>,
    /// Passes over the training images
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Images per step
    #[arg(short, long, value_name = "N")]
    pub batch: Option<usize>,
    /// Batches of P classes with K images each
    #[arg(long, value_name = "PxK", conflicts_with = "batch", value_parser = pk)]
    pub pk: Option<(usize, usize)>,
    /// The highest learning rate of the schedule
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// Decides initial weights, order, augmentation and dropout
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Weights to begin with: a checkpoint, or a safetensors file with PyTorch's names
    #[arg(long, value_name = "WEIGHTS")]
    pub init: Option<PathBuf>,
    /// The fold to test on, from 1, of data in folds; `all` tests on each in turn
    #[arg(long, value_name = "K|all")]
    pub fold: Option<Fold>,
    /// Any key of the configuration, such as optimizer.momentum=0.8
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Changes {
    /// Adds what is asked for to a configuration, `--set` last.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is of another type or cannot be written down.
    pub(crate) fn layer(&self, layers: &mut Layers) -> Result<()> {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        // What is larger is too large for any of these settings.
        let whole = |number: Option<u64>| {
            number.map(|number| Value::from(i64::try_from(number).unwrap_or(i64::MAX)))
        };
        let fold = match self.fold {
            Some(Fold::One(fold)) => Some(u64::from(fold)),
            Some(Fold::All) | None => None,
        };
        let options = [
            ("data.folder", path(self.data.as_deref())?),
            ("data.format", text(&self.format)),
            ("data.fold", whole(fold)),
            ("protocol", self.protocol.map(|p| Value::from(p.name()))),
            ("init", path(self.init.as_deref())?),
            ("loss", text(&self.loss)),
            ("model.name", text(&self.model)),
            ("model.embed_dim", whole(self.embed_dim.map(|n| n as u64))),
            ("epochs", whole(self.epochs)),
            // What the epochs were cut to before does not hold for the new ones.
            ("steps", self.epochs.map(|_| Value::from(0))),
            ("batch", whole(self.batch.map(|n| n as u64))),
            ("lr", self.lr.map(Value::from)),
            ("seed", whole(self.seed)),
        ];
        for (key, value) in options {
            if let Some(value) = value {
                layers.add_option(key, value)?;
            }
        }
        if let Some((p, k)) = self.pk {
            // Together: a sampler of this kind is none without its numbers.
            layers.add_assignment(&format!("sampler={{kind=\"pk\",p={p},k={k}}}"))?;
        }
        self.set.iter().try_for_each(|s| layers.add_assignment(s))
    }
}

/// A path as it stands in a configuration, which is text.
fn path(path: Option<&Path>) -> Result<Option<Value>> {
    match path.map(|path| (path, path.to_str())) {
        None => Ok(None),
        Some((_, Some(text))) => Ok(Some(Value::from(text))),
        Some((path, None)) => bail!(ConfigError(format!(
            "{}: a configuration is UTF-8, and this path is not; rename the folder, or link to it",
            path.display()
        ))),
    }
}
