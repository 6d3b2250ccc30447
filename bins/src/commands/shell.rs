//! `hypersphere completions` and `hypersphere man`: what the command line says of itself, for
//! shells and for readers.

use crate::cli::Cli;
use crate::cli::shell::{Completions, Man};
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::io::{ErrorKind, Write};

/// Prints a completion script.
///
/// # Errors
/// If standard output does not take it.
pub fn completions(options: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        options.shell,
        &mut Cli::command(),
        "hypersphere",
        &mut script,
    );
    print(&script)
}

/// Prints the manual page of the program, or writes those of all commands.
///
/// # Errors
/// If standard output or the disk does not take them.
pub fn man(options: &Man) -> Result<()> {
    let Some(folder) = &options.output else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return print(&page);
    };
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| format!("writing into {}", folder.display()))?;
    println!("the pages are in {}", folder.display());
    Ok(())
}

/// A reader that has seen enough, such as `head`, is no failure.
fn print(text: &[u8]) -> Result<()> {
    match std::io::stdout().write_all(text) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e).context("writing"),
        _ => Ok(()),
    }
}
