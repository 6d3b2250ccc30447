//! `hypersphere doctor`

use clap::Args;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  hypersphere doctor runs/mnist-arcface-1     damaged files, divergence, collapse, dead terms, settings
  hypersphere doctor photos/                  as `data inspect`: unreadable files, duplicates, lonely classes

Exit code 1 if a run has problems, 3 if data breaks training.";

/// `doctor`
#[derive(Args, Debug)]
pub struct Doctor {
    /// A run directory, or a folder of data
    #[arg(value_name = "RUN|DATA")]
    pub what: PathBuf,
}
