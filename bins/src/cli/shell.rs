//! `hypersphere completions` and `hypersphere man`

use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  hypersphere completions bash > ~/.local/share/bash-completion/completions/hypersphere
  hypersphere completions zsh > ~/.zfunc/_hypersphere      with `fpath+=~/.zfunc` in ~/.zshrc
  hypersphere completions fish > ~/.config/fish/completions/hypersphere.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  hypersphere man | man -l -
  hypersphere man -o ~/.local/share/man/man1      then: man hypersphere-train";

/// `completions`
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// `man`
#[derive(Args, Debug)]
pub struct Man {
    /// A folder to write a page for every command into
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}
