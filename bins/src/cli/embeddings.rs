//! The command line of what is done with a trained network: embed, index, search, verify.

use super::values::{Threads, Threshold, share, whole};
use clap::Args;
use std::path::PathBuf;

pub(super) const EMBED_EXAMPLES: &str = "\
Examples:
  hypersphere embed runs/orl-so-softmax-1 photos/ -o features.safetensors
  hypersphere embed runs/orl-so-softmax-1/ckpt/best.safetensors a.jpg b.jpg -o two.csv --flip
  hypersphere embed net.safetensors list/manifest.csv -o features.npy

Pictures are decoded, cut, scaled and normalised as the checkpoint says, recordings likewise. Their
order is that of the paths, in folders that of the names. A picture's class is the folder it lies
in below PATH (with several PATHs, their last names count too); `hypersphere metrics` judges
features by these classes.

safetensors  `features` [N, D], `labels` [N]; names, classes and what made them in the metadata; of
             manifests that have them `cameras`, `is_query`, `is_gallery` [N], so that
             `hypersphere metrics --protocol reid --features FILE` judges by the manifest's own test
npy          [N, D]; everything else beside it in NAME.items.csv
csv          one table of everything
tsv          the two tables of the TensorFlow projector, the other one NAME.metadata.tsv";

/// `embed`
#[derive(Args, Debug)]
pub struct Embed {
    /// A run directory, or a checkpoint
    #[arg(value_name = "RUN|CHECKPOINT")]
    pub what: PathBuf,
    /// Pictures or recordings, folders of them, or CSV manifests
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// The file to write; its ending says the format: .safetensors, .npy, .csv or .tsv
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Embed mirror images too, and take the mean
    #[arg(long)]
    pub flip: bool,
    /// Of a run, the weights that were best on the validation part instead of the last ones
    #[arg(long)]
    pub best: bool,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
}

pub(super) const INDEX_EXAMPLES: &str = "\
Examples:
  hypersphere index features.safetensors -o gallery.idx
  hypersphere index features.safetensors -o gallery.idx --approximate
  hypersphere index features.npy -o gallery.idx --checkpoint runs/orl-so-softmax-1

A gallery is a safetensors file: rows of length one, names, classes, and the path and hash of the
checkpoint, by which `hypersphere search` embeds what it looks for. Without --approximate every row
is compared; with it the rows are dealt into cells (k-means) and a search looks into the nearest
ones, into as many as reach the recall on rows of the gallery itself. The table shows what others
would reach.";

/// `index`
#[derive(Args, Debug)]
pub struct Index {
    /// Features, as `hypersphere embed` writes them
    #[arg(value_name = "FEATURES")]
    pub features: PathBuf,
    /// The gallery to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Look into some of the rows only, but find this share of the ten nearest
    #[arg(
        long,
        value_name = "RECALL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0.99",
        value_parser = share
    )]
    pub approximate: Option<f64>,
    /// The run or checkpoint that made the features, where they do not say it themselves
    #[arg(long, value_name = "RUN|CHECKPOINT")]
    pub checkpoint: Option<PathBuf>,
    /// Decides where the cells begin
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
}

pub(super) const SEARCH_EXAMPLES: &str = "\
Examples:
  hypersphere search gallery.idx who.jpg
  hypersphere search gallery.idx queries/ -k 5 --html found.html    one page with all pictures in it
  hypersphere search gallery.idx who.jpg --json | jq '.[0].found[0].name'
  hypersphere search gallery.idx photos/s1/1.pgm --others           not the file itself";

/// `search`
#[derive(Args, Debug)]
pub struct Search {
    /// A gallery, as `hypersphere index` writes it
    #[arg(value_name = "GALLERY")]
    pub gallery: PathBuf,
    /// What to look for: pictures or recordings, folders of them, or CSV manifests
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// How many to find for each
    #[arg(short, value_name = "K", default_value_t = 10, value_parser = whole::<1>)]
    pub k: usize,
    /// Compare every row of an approximate gallery too
    #[arg(long)]
    pub exact: bool,
    /// Leave out the file that is looked for, if the gallery has it
    #[arg(long)]
    pub others: bool,
    /// Where the run or checkpoint of the gallery is now [default: where it was]
    #[arg(long, value_name = "RUN|CHECKPOINT")]
    pub checkpoint: Option<PathBuf>,
    /// Write a page that shows queries and neighbours, one file that opens offline
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// The result as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
}

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  hypersphere verify runs/orl-so-softmax-1 a.jpg b.jpg
  hypersphere verify runs/orl-so-softmax-1 a.jpg b.jpg --threshold far=1e-2
  hypersphere verify runs/orl-so-softmax-1 --pairs pairs.csv -o judged.csv
  hypersphere verify runs/faces-arcface-1 --pairs lfw/pairs.txt --threshold 0.42

--threshold
  auto      the cosine at which the calibration of the checkpoint makes both errors equally often
  far=1e-3  that at which it calls this share of different pairs the same: 1e-1, 1e-2, 1e-3 or 1e-4,
            as far as it has pairs enough
  0.42      a cosine
Training measures the calibration on pairs of what it has held out.

--pairs
  .csv      columns `a`, `b` and, where the truth is known, `same` (1 or 0)
  .txt      LFW's pairs.txt; or lines `A B`, or `A B 1` and `A B 0`
Paths start from the folder of the list, or from --data.";

/// `verify`
#[derive(Args, Debug)]
pub struct Verify {
    /// A run directory, or a checkpoint
    #[arg(value_name = "RUN|CHECKPOINT")]
    pub what: PathBuf,
    /// A picture or recording
    #[arg(value_name = "A", required_unless_present = "pairs", requires = "b")]
    pub a: Option<PathBuf>,
    /// Another one
    #[arg(value_name = "B")]
    pub b: Option<PathBuf>,
    /// A list of pairs instead, .csv or .txt
    #[arg(long, value_name = "FILE", conflicts_with = "a")]
    pub pairs: Option<PathBuf>,
    /// The folder that the paths of the list start from [default: that of the list]
    #[arg(long, value_name = "DIR", requires = "pairs")]
    pub data: Option<PathBuf>,
    /// From which cosine two are the same: auto, far=X or a number
    #[arg(long, value_name = "T", default_value = "auto")]
    pub threshold: Threshold,
    /// Of a run, the weights that were best on the validation part instead of the last ones
    #[arg(long)]
    pub best: bool,
    /// Write cosine and verdict of each pair of the list to this file, as CSV
    #[arg(short, long, value_name = "FILE", requires = "pairs")]
    pub output: Option<PathBuf>,
    /// The result as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
}
