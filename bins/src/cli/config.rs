//! `hypersphere config`

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `config`
#[derive(Subcommand, Debug)]
pub enum Config {
    /// Write a file to begin with, a recipe's with its comments, for `train -c`
    #[command(after_help = "Example:\n  hypersphere config init mnist -o my.toml")]
    Init(Init),
    /// Show a configuration with everything resolved
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Show),
    /// Show the keys in which two configurations differ; exit code 1 if there are any
    #[command(after_help = "Example:\n  hypersphere config diff mnist runs/mnist-so-softmax-1")]
    Diff {
        /// A recipe, a file, or a run
        a: String,
        /// Another
        b: String,
    },
    /// Check files: keys, types, ranges, losses, networks
    #[command(after_help = "Example:\n  hypersphere config validate experiments/*.toml")]
    Validate {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

const SHOW_EXAMPLES: &str = "\
Examples:
  hypersphere config show mnist --set lr=0.05
  hypersphere config show my.toml
  hypersphere config show runs/mnist-so-softmax-1";

/// `config init`
#[derive(Args, Debug)]
pub struct Init {
    /// The recipe to begin with
    #[arg(default_value = "mnist")]
    pub recipe: String,
    /// The file to write; printed if absent
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `config show`
#[derive(Args, Debug)]
pub struct Show {
    /// A recipe, a file, or a run
    #[arg(value_name = "RECIPE|FILE|RUN")]
    pub what: String,
    /// Any key, over what is there
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}
