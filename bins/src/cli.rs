//! The command line.

pub mod bench;
pub mod config;
pub mod data;
pub mod doctor;
pub mod embeddings;
pub mod report;
pub mod shell;
pub mod train;
pub(crate) mod values;

pub use values::{Fold, Threads};
use values::{length, size, whole};

use crate::protocol::Protocol;
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
    #[command(after_help = train::EXAMPLES)]
    Train(Box<train::Train>),
    /// Judge a trained network on the test part of its data, or on other data
    #[command(after_help = EVAL_EXAMPLES)]
    Eval(Eval),
    /// Turn pictures or recordings into embeddings
    #[command(after_help = embeddings::EMBED_EXAMPLES)]
    Embed(embeddings::Embed),
    /// Make a gallery of embeddings that can be searched
    #[command(after_help = embeddings::INDEX_EXAMPLES)]
    Index(embeddings::Index),
    /// Find the pictures of a gallery that are most like others
    #[command(after_help = embeddings::SEARCH_EXAMPLES)]
    Search(embeddings::Search),
    /// Say whether two pictures show the same
    #[command(after_help = embeddings::VERIFY_EXAMPLES)]
    Verify(embeddings::Verify),
    /// Judge embeddings that something else has computed
    #[command(after_help = METRICS_CONTRACT)]
    Metrics(Metrics),
    /// Show a run as one HTML file: curves, errors, galleries, a map of the embeddings
    #[command(after_help = report::REPORT_EXAMPLES)]
    Report(report::Report),
    /// Put runs side by side: figures, differences, means over seeds with a test
    #[command(after_help = report::COMPARE_EXAMPLES)]
    Compare(report::Compare),
    /// Check every derivative against finite differences, and the rest of the contract
    #[command(after_help = GRADCHECK_EXAMPLES)]
    Gradcheck(Gradcheck),
    /// Measure the processor, single operations, and whole training steps
    #[command(subcommand, after_help = bench::EXAMPLES)]
    Bench(bench::Bench),
    /// List, explain, draw and evaluate losses, and choose their settings
    #[command(subcommand)]
    Loss(Loss),
    /// List, summarise and export networks
    #[command(subcommand)]
    Model(Model),
    /// Inspect, convert and make data sets
    #[command(subcommand)]
    Data(data::Data),
    /// Find what is wrong with a run or with data
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Doctor),
    /// Begin, show, compare and check configurations
    #[command(subcommand)]
    Config(config::Config),
    /// Print what a shell needs to complete commands
    #[command(after_help = shell::COMPLETIONS_EXAMPLES)]
    Completions(shell::Completions),
    /// Print the manual page, or write one for every command
    #[command(after_help = shell::MAN_EXAMPLES)]
    Man(shell::Man),
}

const GRADCHECK_EXAMPLES: &str = "\
Examples:
  hypersphere gradcheck                 everything
  hypersphere gradcheck losses          a part: ops, layers, losses or models
  hypersphere gradcheck conv2d arcface  by name";

const EVAL_EXAMPLES: &str = "\
Examples:
  hypersphere eval runs/omniglot-so-softmax-1              again what the run reported, and more
  hypersphere eval runs/market1501-cosface-1 --flip --rerank -o strong.json
  hypersphere eval runs/orl-arcface-1/ckpt/best.safetensors --data lfw/             view 2 of LFW
  hypersphere eval runs/orl-arcface-1 --data lfw/ --format lfw-view1               for choices
  hypersphere eval runs/orl-arcface-1 --data faces_emore/ --flip                   lfw.bin, cfp_fp.bin …
  hypersphere eval resnet20.safetensors --data cifar-10-batches-bin/   after `model import`

Packs of insightface (.bin), a line for each of several: ten folds in the order of the file.
`accuracy` takes any threshold, with the standard error of the mean, as LFW's rule has it.
`accuracy (insightface)` takes squared distances from 0 to 4 in steps of 0.01, with the deviation of
the folds. insightface always adds the embedding of the mirror image, as --flip does.";

/// `eval`
#[derive(Args, Debug)]
pub struct Eval {
    /// A run directory, or a checkpoint
    #[arg(value_name = "RUN|CHECKPOINT")]
    pub what: PathBuf,
    /// Other data than that of the run: its test part, or all of it if it has no parts; a folder,
    /// a CSV manifest, or a pack of pairs
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// The layout of --data [default: recognised]
    #[arg(long, value_name = "NAME", requires = "data")]
    pub format: Option<String>,
    /// How to judge [default: as in the run, or as usual with the layout]
    #[arg(long, value_name = "HOW")]
    pub protocol: Option<Protocol>,
    /// Which part of the run's data
    #[arg(
        long,
        value_name = "PART",
        default_value = "test",
        conflicts_with = "data"
    )]
    pub part: EvalPart,
    /// Of a run, the weights that were best on the validation part instead of the last ones
    #[arg(long)]
    pub best: bool,
    /// Embed mirror images too, and take the mean
    #[arg(long)]
    pub flip: bool,
    /// Rank by k-reciprocal neighbours as well
    #[arg(long)]
    pub rerank: bool,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
    /// Write the figures to this file as JSON
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A part of a run's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EvalPart {
    /// What nothing was chosen by.
    Test,
    /// What was held out of the training.
    Validation,
}

const METRICS_CONTRACT: &str = "\
Files are those of `hypersphere embed`, .safetensors, .npy or .csv. Tensors of safetensors:
  features [N, D] (f32 or f64), labels [N] (whole numbers; -1 is junk in a gallery),
  optional cameras [N] (-1 where none is known and none is asked for); in --features, for a test
  of some items is_query [N], is_gallery [N], for pairs pairs [P, 2], same [P], fold [P].
`hypersphere embed` writes all but pairs of a manifest. Without queries and a gallery, every item of
--features is looked for among the others (reid: the first of each identity by each camera). Without
pairs, 3,000 of each kind are drawn.";

/// `metrics`
#[derive(Args, Debug)]
pub struct Metrics {
    /// How to judge
    #[arg(long, value_name = "HOW")]
    pub protocol: Protocol,
    /// Features of everything
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "query",
        conflicts_with = "query"
    )]
    pub features: Option<PathBuf>,
    /// Features of the queries
    #[arg(long, value_name = "FILE", requires = "gallery")]
    pub query: Option<PathBuf>,
    /// Features of the gallery
    #[arg(long, value_name = "FILE", requires = "query")]
    pub gallery: Option<PathBuf>,
    /// Rank by k-reciprocal neighbours as well
    #[arg(long)]
    pub rerank: bool,
    /// Write the figures to this file as JSON
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
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
    /// Target logit, gradient and decision regions, as SVG
    #[command(after_help = PLOT_EXAMPLES)]
    Plot(LossPlot),
    /// Scale and margin for a number of classes and dimensions, with the reasoning
    Suggest(LossSuggest),
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

const PLOT_EXAMPLES: &str = "\
A loss that compares a sample with classes: its target logit over the angle, its pull on the
target, the size of its gradient over (c_y, c_n) with the line where both are even, and the regions
of two classes. A loss that compares samples with each other: its value and its gradient for a
pair and a stranger.

Examples:
  hypersphere loss plot arcface cosface so-softmax -o psi.svg
  hypersphere loss plot sphereface:m=4,lambda=0 --length 1
  hypersphere loss plot triplet supcon -o pairs.svg";

/// `loss plot`
#[derive(Args, Debug)]
pub struct LossPlot {
    /// Losses, as NAME or NAME:key=value,…; several are drawn over each other in the first panels
    #[arg(required = true, value_name = "SPEC")]
    pub specs: Vec<String>,
    /// The SVG file to write
    #[arg(short, long, value_name = "FILE", default_value = "psi.svg")]
    pub output: PathBuf,
    /// The number of classes, of which all others are at the same cosine
    #[arg(long, value_name = "C", default_value_t = 10, value_parser = whole::<2>)]
    pub classes: usize,
    /// The length of embeddings, for losses to which it matters [default: 16, for pairs 1]
    #[arg(long, value_name = "L", value_parser = length)]
    pub length: Option<f64>,
}

/// `loss suggest`
#[derive(Args, Debug)]
pub struct LossSuggest {
    /// The loss
    pub name: String,
    /// The number of classes
    #[arg(long, value_name = "C", value_parser = whole::<2>)]
    pub classes: usize,
    /// Numbers in an embedding
    #[arg(long, value_name = "D", default_value_t = 64, value_parser = whole::<1>)]
    pub dim: usize,
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
        /// Numbers in an embedding [default: the network's own]
        #[arg(long, value_name = "D")]
        embed_dim: Option<usize>,
        /// Height and width of images, as 224 or 256x128 [default: usual with the network]
        #[arg(long, value_name = "HxW", value_parser = size)]
        size: Option<[usize; 2]>,
        /// Channels of images [default: usual with the network]
        #[arg(long, value_name = "C")]
        channels: Option<usize>,
        /// How the last pixels become one vector: avg, max, gem or mean-max
        #[arg(long, value_name = "HOW")]
        pooling: Option<String>,
        /// The stride of the last stage of a residual network, 1 or 2
        #[arg(long, value_name = "N")]
        last_stride: Option<usize>,
        /// End with batch normalisation without shift
        #[arg(long)]
        neck: bool,
    },
    /// Make weights of another program a checkpoint of this one
    Import {
        /// A safetensors file with the names of PyTorch
        weights: PathBuf,
        /// The network they are for
        #[arg(long = "as", value_name = "NAME")]
        model: String,
        /// The checkpoint to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Height and width of images [default: usual with the network]
        #[arg(long, value_name = "HxW", value_parser = size)]
        size: Option<[usize; 2]>,
        /// The names of the classes, one a line; numbers if absent
        #[arg(long, value_name = "FILE")]
        classes: Option<PathBuf>,
        /// Mean of each channel in its training, 255 being 1 [default: ImageNet's]
        #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
        mean: Vec<f32>,
        /// Standard deviation of each channel in its training [default: ImageNet's]
        #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
        std: Vec<f32>,
    },
    /// Outputs and gradients on given tensors, to compare with another implementation
    #[command(after_help = MODEL_EVAL_CONTRACT)]
    Eval(ModelEval),
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

/// `model eval`
#[derive(Args, Debug)]
pub struct ModelEval {
    /// A network of `model list`, or the weights file of a training run
    pub model: String,
    /// Weights for a network of the list: with its own names, or with those of PyTorch
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// A safetensors file with the inputs
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Also the mean cross-entropy of `output` and every gradient; needs `labels`
    #[arg(long)]
    pub grad: bool,
    /// As in training: batch normalisation with the statistics of the batch
    #[arg(long)]
    pub train: bool,
    /// Numbers in an embedding, for a network of the list [default: as published]
    #[arg(long, value_name = "D")]
    pub embed_dim: Option<usize>,
    /// Decides the weights where none are given, and dropout
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

const MODEL_EVAL_CONTRACT: &str = "\
Input tensors, in f32 or f64 (computed in that type):
  input [N, H, W, C], normalised as the weights expect it, and labels [N] (i64) for --grad.
Output tensors:
  embedding [N, D], and output [N, K]: what the classifier behind the embedding says, if the
  weights have one (`fc`, `linear` or `classifier` in a file of PyTorch, `head` in one of this
  program), else the embedding itself.
  With --grad also loss [1], the mean cross-entropy of output; grad_input [N, H, W, C]; and the
  gradient of every parameter under the name and in the layout that it has in the weights file.
  Without weights, those that --seed makes are written, too, as weights.NAME.

Examples:
  hypersphere model eval resnet18 --weights resnet18.safetensors --input x.safetensors --output y.safetensors
  hypersphere model eval runs/mnist-so-softmax-1/ckpt/last.safetensors --input x.safetensors --output y.safetensors --grad";
