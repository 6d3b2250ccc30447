//! `hypersphere report` and `hypersphere compare`.

use super::values::Threads;
use clap::Args;
use std::path::PathBuf;

/// What `report --help` ends with.
pub const REPORT_EXAMPLES: &str = "\
The test part is shown to the network once more, for the charts and the pictures; the figures at
the top are those that the run itself has left. Without weights or data, only curves and figures.

Examples:
  hypersphere report runs/mnist-so-softmax-1                  writes report.html into the run
  hypersphere report runs/orl-cosface-1 -o orl.html
  hypersphere report runs/market1501-cosface-1 --data /elsewhere/Market-1501 --samples 2000";

/// `report`
#[derive(Args, Debug)]
pub struct Report {
    /// A run directory
    pub run: PathBuf,
    /// The HTML file to write [default: RUN/report.html]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where the run's data set is now, if it has moved
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Test examples to embed for charts and pictures, about; the report says which
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = samples)]
    pub samples: usize,
    /// How many threads work.
    #[command(flatten)]
    pub threads: Threads,
}

fn samples(text: &str) -> Result<usize, String> {
    let samples = text.parse().ok().filter(|&samples| samples >= 10);
    samples.ok_or_else(|| "expected a whole number from 10".into())
}

/// What `compare --help` ends with.
pub const COMPARE_EXAMPLES: &str = "\
Runs that differ in nothing but their seed are one group: its mean and deviation are shown, and
each group is held against the first one by a t-test, paired where both have the same seeds.

Examples:
  hypersphere compare runs/mnist-*                            a table on the terminal
  hypersphere compare runs/a-1 runs/a-2 runs/b-1 runs/b-2 -o table.md
  hypersphere compare runs/mnist-softmax-* runs/mnist-arcface-* -o curves.html";

/// `compare`
#[derive(Args, Debug)]
pub struct Compare {
    /// Run directories; what is compared with comes first
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Also write to this file; its ending says the format: .md, or .html with the curves
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
