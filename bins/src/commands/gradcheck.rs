//! `hypersphere gradcheck`: every derivative against finite differences, as a table.

use crate::cli::Gradcheck;
use crate::config::{ConfigError, did_you_mean};
use anyhow::{Result, bail};
use engine::gradcheck::{Options, Table};
use std::io;

/// Operations, layers, losses and networks.
fn table() -> Table {
    let mut table = Table::new()
        .operations("ops", engine::OPERATIONS)
        .operations("losses", losses::OPERATIONS);
    for layer in nn::LAYERS {
        table = table.with("layers", layer.name, |seed| layer.check(seed));
    }
    for loss in losses::CHECKS {
        table = table.with("losses", loss.spec, |seed| loss.run(seed));
    }
    for network in nn::NETWORKS {
        table = table.with("models", network.name, |seed| network.check(seed));
    }
    table
}

/// Checks what was asked for and prints the table.
///
/// # Errors
/// If a derivative is wrong, or nothing is called that.
pub fn run(options: &Gradcheck) -> Result<()> {
    let table = table();
    let names = table.names();
    if let Some(word) = options.what.iter().find(|w| !names.contains(&w.as_str())) {
        bail!(ConfigError(format!(
            "nothing is called `{word}`{}; `hypersphere gradcheck` lists everything",
            did_you_mean(word, names.into_iter())
        )));
    }
    let options = Options {
        what: options.what.clone(),
        seed: options.seed,
        json: options.json,
    };
    let summary = table.run(&options, &mut io::stdout().lock())?;
    match summary.failed() {
        0 => Ok(()),
        n => bail!("{n} of {} fail the gradient check", summary.passed() + n),
    }
}
