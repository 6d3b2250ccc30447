//! The command line of `data`.

use super::values::Threads;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `data`
#[derive(Subcommand, Debug)]
pub enum Data {
    /// Say what a folder holds, and what is wrong with it
    #[command(after_help = INSPECT_HELP)]
    Inspect(Inspect),
    /// Make a CSV manifest of any format
    #[command(after_help = CONVERT_HELP)]
    Convert(Convert),
    /// Draw people or vehicles seen by several cameras
    #[command(after_help = SYNTH_HELP)]
    Synth(Synth),
    /// List the formats that are known
    Formats,
}

const INSPECT_HELP: &str = "\
Examples:
  hypersphere data inspect photos/
  hypersphere data inspect Market-1501/ -o sheet.png
  hypersphere data inspect photos/ --bad skip --json

Exit code 3 if something is wrong that breaks training.";

const CONVERT_HELP: &str = "\
Examples:
  hypersphere data convert Market-1501/ -o Market-1501/manifest.csv
  hypersphere data convert cifar-10-batches-bin/ -o cifar10.csv     its images as PNG beside it
  hypersphere data convert CUB_200_2011/ -o elsewhere/cub.csv --copy";

const SYNTH_HELP: &str = "\
Examples:
  hypersphere data synth reid -o people
  hypersphere data synth vehicles -o vehicles --identities 400 --difficulty hard
  hypersphere data inspect people -o people.png

People come in Market-1501's layout, vehicles in VeRi-776's. The same options make the same
bytes, whatever the number of threads.";

/// `data inspect`
#[derive(Args, Debug)]
pub struct Inspect {
    /// The folder, or a CSV manifest
    pub path: PathBuf,
    /// The format, instead of a guess; `data formats` lists them
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// Write a contact sheet, a PNG file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What files are that cannot be read
    #[arg(long, value_name = "POLICY", default_value = "error")]
    pub bad: Bad,
    /// The result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// A policy for files that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bad {
    /// They break training
    Error,
    /// They are counted and left out
    Skip,
}

/// `data convert`
#[derive(Args, Debug)]
pub struct Convert {
    /// The folder, or a CSV manifest
    pub path: PathBuf,
    /// The manifest to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// The format, instead of a guess; `data formats` lists them
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// Copy the files beside the manifest
    #[arg(long)]
    pub copy: bool,
}

/// `data synth`
#[derive(Args, Debug)]
pub struct Synth {
    /// What is seen
    pub kind: SynthKind,
    /// The folder to write, which must be new
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// People or vehicles, half of them for the test
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub identities: usize,
    /// Cameras [default: 6, or 8 for vehicles]
    #[arg(long, value_name = "C")]
    pub cameras: Option<usize>,
    /// Pictures of an identity by a camera, on average
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub images_per_camera: usize,
    /// Another seed makes other figures, cameras and pictures
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How hard it is to tell who is who
    #[arg(long, default_value = "normal")]
    pub difficulty: SynthDifficulty,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SynthKind {
    /// People, as in Market-1501
    Reid,
    /// Vehicles, as in VeRi-776
    Vehicles,
}

/// How hard it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SynthDifficulty {
    /// Nobody shares clothes or colours on purpose
    Easy,
    /// Three look alike at first sight
    Normal,
    /// Six look alike, and cameras differ widely
    Hard,
}
