//! The command line of training.

use super::values::{Fold, pk, time};
use crate::progress::Style;
use crate::protocol::Protocol;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The folder of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Its layout: mnist, cifar10, folder, manifest, market1501 … [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// How the data is cut and judged [default: as usual with the layout]
    #[arg(long, value_name = "HOW")]
    pub protocol: Option<Protocol>,
    /// Where to put the run, instead of runs/RECIPE-LOSS-N
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
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
    /// Threads; the result does not depend on them
    #[arg(short = 'j', long, value_name = "N")]
    pub threads: Option<usize>,
    /// Any key of the configuration, such as optimizer.momentum=0.8
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Weights to begin with: a checkpoint, or a safetensors file with PyTorch's names
    #[arg(long, value_name = "WEIGHTS", conflicts_with = "resume")]
    pub init: Option<PathBuf>,
    /// Continue an interrupted run, or series of runs, exactly as if it had not been interrupted
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "config", "out"])]
    pub resume: Option<PathBuf>,
    /// End each run within this time, such as 45s, 30m or 1.5h: speed is measured, and if need be the
    /// schedule is made to end earlier; the resolved configuration has the number of steps
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub max_time: Option<Duration>,
    /// The fold to test on, from 1, of data in folds; `all` tests on each in turn
    #[arg(long, value_name = "K|all", conflicts_with = "resume")]
    pub fold: Option<Fold>,
    /// Train N times, with this seed and those after it, and report mean and deviation
    #[arg(long, value_name = "N", conflicts_with = "resume",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub repeat: Option<u64>,
    /// Allow --resume with a changed configuration; more --epochs alone need no leave
    #[arg(long, requires = "resume")]
    pub r#override: bool,
    /// Show the resolved configuration, the network and the reasoning, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// How progress is shown [default: bar on a terminal, plain elsewhere]
    #[arg(long, value_name = "HOW")]
    pub progress: Option<Style>,
}
