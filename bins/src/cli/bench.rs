//! The command line of measurements.

use super::train::Changes;
use super::values::Threads;
use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "\
Examples:
  hypersphere bench peak                    multiply-adds and memory, by threads
  hypersphere bench ops conv2d              every convolution: time, GF/s, algorithm
  hypersphere bench step                    six networks, and where the time goes
  hypersphere bench step vgg -j 1,2,4 -b 32,128,512 --json
  hypersphere bench data cifar10 --data cifar-10/    does the training wait for images?
  hypersphere bench step vgg --classes 10,1000,100000 --loss arcface";

/// `bench`
#[derive(Subcommand, Debug)]
pub enum Bench {
    /// Multiply-adds and memory bandwidth, by threads
    Peak {
        /// The result as JSON on standard output
        #[arg(long)]
        json: bool,
    },
    /// Single operations on the shapes they have in real networks
    Ops(BenchOps),
    /// Training steps: forward, backward and update on data in memory
    Step(BenchStep),
    /// Whether the data keeps up with the training: decoding, augmentation, batches
    Data(BenchData),
}

/// `bench data`
#[derive(Args, Debug)]
pub struct BenchData {
    /// A recipe, or a folder of images, as of `train`
    pub recipe: String,
    /// What of the configuration is to be otherwise.
    #[command(flatten)]
    pub changes: Changes,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
    /// How long to measure each, at most
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub seconds: f64,
    /// The result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `bench ops`
#[derive(Args, Debug)]
pub struct BenchOps {
    /// Parts of names, such as conv2d or `loss arcface`; everything if absent
    pub what: Vec<String>,
    /// How long to measure each, at least
    #[arg(long, value_name = "S", default_value_t = 0.3)]
    pub seconds: f64,
    /// The result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `bench step`
#[derive(Args, Debug)]
pub struct BenchStep {
    /// lenet, vgg, resnet20, airbench, resnet18, resnet50; all if absent
    pub networks: Vec<String>,
    /// Images per step, instead of each network's own; several make a curve
    #[arg(short, long, value_name = "N", value_delimiter = ',')]
    pub batch: Vec<usize>,
    /// Threads; several make a curve
    #[arg(short = 'j', long, value_name = "N", value_delimiter = ',')]
    pub threads: Vec<usize>,
    /// Classes of the head, instead of each network's own; several make a curve
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub classes: Vec<usize>,
    /// The share of the classes that a step compares with, as `sampled_classes` in training
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub sampled_classes: f64,
    /// The loss
    #[arg(long, value_name = "SPEC", default_value = "softmax")]
    pub loss: String,
    /// How long to measure each, at least
    #[arg(long, value_name = "S", default_value_t = 4.0)]
    pub seconds: f64,
    /// The result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}
