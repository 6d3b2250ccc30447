//! `hypersphere index`: features become a gallery.

use crate::cli::embeddings::Index;
use crate::config::ConfigError;
use crate::embedder::{checkpoint_of, sha256};
use crate::features::gallery::{Gallery, Trial};
use crate::features::{Features, Origin};
use crate::progress::tell;
use anyhow::{Context, Result, bail};

/// Makes a gallery as the options say.
///
/// # Errors
/// If the features cannot be read, or the disk does not take the gallery.
pub fn run(options: &Index) -> Result<()> {
    options.threads.set()?;
    let mut features = Features::read(&options.features)?;
    match (&options.checkpoint, &features.origin) {
        (Some(what), known) => {
            let origin = origin(&checkpoint_of(what, false)?, known.as_ref())?;
            features.origin = Some(origin);
        }
        (None, Some(_)) => {}
        (None, None) => tell(format_args!(
            "warning: {} does not say which network made it; `search` will need --checkpoint",
            options.features.display()
        )),
    }
    let named = match features.names.is_empty() {
        true => "without names",
        false => "with names",
    };
    let (rows, dim) = (features.len(), features.dim);
    let of_file = || format!("{}", options.features.display());
    let mut gallery = Gallery::new(features).with_context(of_file)?;
    if let Some(recall) = options.approximate {
        let (approximate, trials) = gallery.approximate(recall, options.seed)?;
        gallery = approximate;
        let cells = gallery.cells().map_or(0, |cells| cells.count());
        print_trials(cells, &trials);
    }
    gallery.write(&options.output)?;
    println!(
        "{}: {rows} rows of {dim} numbers, {named}; {}",
        options.output.display(),
        match gallery.cells() {
            None => "every row is compared".to_string(),
            Some(cells) => format!("{} of {} cells are searched", cells.probes(), cells.count()),
        }
    );
    Ok(())
}

/// What made the features, said by the user; what the features say themselves must not differ.
fn origin(checkpoint: &std::path::Path, known: Option<&Origin>) -> Result<Origin> {
    let here = std::env::current_dir().context("finding the working directory")?;
    let sha256 = sha256(checkpoint)?;
    if known.is_some_and(|known| known.sha256 != sha256) {
        bail!(ConfigError(format!(
            "{}: is not the network that made the features; leave --checkpoint out, or embed again \
             with this one",
            checkpoint.display()
        )));
    }
    Ok(Origin {
        checkpoint: here.join(checkpoint),
        sha256,
        flip: known.is_some_and(|known| known.flip),
        folder: known.map_or(here, |known| known.folder.clone()),
    })
}

fn print_trials(cells: usize, trials: &[Trial]) {
    println!("{cells} cells");
    println!("  searched  recall@10  rows compared");
    for trial in trials {
        println!(
            "  {:>8}  {:>8.2} %  {:>11.2} %",
            trial.probes,
            100.0 * trial.recall,
            100.0 * trial.compared
        );
    }
}
