//! The command line.

use crate::progress::Style;
use clap::{Args, Parser, Subcommand, ValueEnum};
use nn::export::{Element, Order, Pixels};
use std::path::PathBuf;

/// Trains, judges and shows discriminative embeddings on a CPU.
#[derive(Parser, Debug)]
#[command(name = "hypersphere", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed (a gradient check, a disk), 2 usage or \
                        configuration, 3 data, 4 diverged, 130 interrupted after a clean checkpoint."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Train a network; without a recipe, list the recipes
    #[command(after_help = TRAIN_EXAMPLES)]
    Train(Box<Train>),
    /// Check every derivative against finite differences, and the rest of the contract
    #[command(after_help = GRADCHECK_EXAMPLES)]
    Gradcheck(Gradcheck),
    /// Measure the processor, single operations, and whole training steps
    #[command(subcommand, after_help = BENCH_EXAMPLES)]
    Bench(Bench),
    /// List, explain and evaluate losses
    #[command(subcommand)]
    Loss(Loss),
    /// List, summarise and export networks
    #[command(subcommand)]
    Model(Model),
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  hypersphere train mnist                          99.5 % in a few minutes, no download
  hypersphere train mnist --loss arcface:s=16,m=0.3
  hypersphere train mnist --loss 'so-softmax + 0.01*center' --epochs 10 --seed 2
  hypersphere train mnist --loss all               every loss, and a table
  hypersphere train mnist --data fashion-mnist/    any folder of four IDX files
  hypersphere train mnist-2d                       the papers' toy figure, as SVG
  hypersphere train --resume runs/mnist-so-softmax-1
  hypersphere train -c runs/mnist-so-softmax-1/config.toml   the same run again";

const GRADCHECK_EXAMPLES: &str = "\
Examples:
  hypersphere gradcheck                 everything
  hypersphere gradcheck losses          a part: ops, layers, losses or models
  hypersphere gradcheck conv2d arcface  by name";

const BENCH_EXAMPLES: &str = "\
Examples:
  hypersphere bench peak                    multiply-adds and memory, by threads
  hypersphere bench ops conv2d              every convolution: time, GF/s, algorithm
  hypersphere bench step                    six networks, and where the time goes
  hypersphere bench step vgg -j 1,2,4 -b 32,128,512 --json";

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

/// `train`
#[derive(Args, Debug)]
pub struct Train {
    /// The recipe to begin with
    pub recipe: Option<String>,
    /// A configuration file (TOML), over the recipe if both are given
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A folder of IDX files instead of the MNIST inside the program
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where to put the run, instead of runs/RECIPE-LOSS-N
    #[arg(long, value_name = "DIR")]
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
    /// Continue an interrupted run, exactly as if it had not been interrupted
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "config", "out"])]
    pub resume: Option<PathBuf>,
    /// Allow --resume with a changed configuration
    #[arg(long, requires = "resume")]
    pub r#override: bool,
    /// Show the resolved configuration, the network and the reasoning, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// How progress is shown [default: bar on a terminal, plain elsewhere]
    #[arg(long, value_name = "HOW")]
    pub progress: Option<Style>,
}

/// `gradcheck`
#[derive(Args, Debug)]
pub struct Gradcheck {
    /// ops, layers, losses, models, or names; everything if absent
    pub what: Vec<String>,
    /// Another seed makes other random cases
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `loss`
#[derive(Subcommand, Debug)]
pub enum Loss {
    /// Every loss: name, family, parameters, source, known or reconstructed
    List,
    /// Formula, parameters with defaults and ranges, source, and how sure we are of it
    Show {
        /// The loss
        name: String,
    },
    /// Value and gradients on given tensors, to compare with another implementation
    #[command(after_help = EVAL_CONTRACT)]
    Eval {
        /// The loss, as NAME:key=value,…
        spec: String,
        /// A safetensors file with the inputs
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// The safetensors file to write
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
}

const EVAL_CONTRACT: &str = "\
Input tensors, in f32 or f64 (computed in that type):
  embeddings [N, D], labels [N] (i64), for class-level losses weight [C, D], and
  bias [C] or centers [C, D] where the loss has them.
Output tensors:
  loss [1] (the mean), loss_per_sample [N] where defined, grad_embeddings [N, D],
  grad_weight [C, D], grad_bias, logits [N, C] (margin-free).";

/// `model`
#[derive(Subcommand, Debug)]
pub enum Model {
    /// Every network: name, input, what it is for
    List,
    /// Layers, output shapes, parameters and multiply-adds
    Summary {
        /// The network
        name: String,
        /// Numbers in an embedding
        #[arg(long, default_value_t = 64)]
        embed_dim: usize,
    },
    /// A trained network for PyTorch or for ONNX runtimes
    #[command(after_help = EXPORT_CONTRACT)]
    Export(ModelExport),
}

const EXPORT_CONTRACT: &str = "\
Examples:
  hypersphere model export runs/mnist-so-softmax-1/ckpt/best.safetensors -o net.onnx --unit
  hypersphere model export runs/mnist-so-softmax-1/ckpt/best.safetensors -o torch.safetensors

safetensors  weights with PyTorch's names and layouts: those of torchvision, of the common CIFAR
             programs and of insightface where the network is theirs, else those of this program.
onnx         the network with its preprocessing: input `image`; outputs `embedding` [N, D] and,
             where the loss has class weights, `logits` [N, C] without margin. Images must have
             the size of the training. Classes, mean, deviation and loss are in the metadata.";

/// `model export`
#[derive(Args, Debug)]
pub struct ModelExport {
    /// A checkpoint of a training run
    pub checkpoint: PathBuf,
    /// The file to write; its ending says the format: .onnx or .safetensors
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Divide embeddings by their length (ONNX)
    #[arg(long)]
    pub unit: bool,
    /// How images are given (ONNX) [default: u8-nhwc]
    #[arg(long, value_name = "HOW")]
    pub pixels: Option<PixelKind>,
}

/// How an exported network is given its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PixelKind {
    /// Bytes from 0 to 255, channels last, as image files are decoded
    #[default]
    U8Nhwc,
    /// Bytes from 0 to 255, channels first
    U8Nchw,
    /// Floating-point numbers from 0 to 1, channels last
    F32Nhwc,
    /// Floating-point numbers from 0 to 1, channels first, as in PyTorch
    F32Nchw,
}

impl PixelKind {
    /// In the exporter's terms.
    pub fn layout(self) -> Pixels {
        let (element, order) = match self {
            PixelKind::U8Nhwc => (Element::U8, Order::ChannelsLast),
            PixelKind::U8Nchw => (Element::U8, Order::ChannelsFirst),
            PixelKind::F32Nhwc => (Element::F32, Order::ChannelsLast),
            PixelKind::F32Nchw => (Element::F32, Order::ChannelsFirst),
        };
        Pixels { element, order }
    }

    /// In words.
    pub fn about(self) -> &'static str {
        match self {
            PixelKind::U8Nhwc => "bytes from 0 to 255, channels last",
            PixelKind::U8Nchw => "bytes from 0 to 255, channels first",
            PixelKind::F32Nhwc => "floating-point numbers from 0 to 1, channels last",
            PixelKind::F32Nchw => "floating-point numbers from 0 to 1, channels first",
        }
    }
}
