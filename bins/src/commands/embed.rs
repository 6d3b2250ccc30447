//! `hypersphere embed`: files become embeddings.

use crate::cli::embeddings::Embed;
use crate::embedder::{Embedder, Item, Outcome, checkpoint_of};
use crate::features::Features;
use crate::progress::tell;
use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Embeds as the options say.
///
/// # Errors
/// If the checkpoint is none, nothing can be embedded, or the disk does not take the result.
pub fn run(options: &Embed) -> Result<()> {
    options.threads.set()?;
    // Better now than after an hour.
    Features::check_name(&options.output)?;
    let checkpoint = checkpoint_of(&options.what, options.best)?;
    let embedder = Embedder::open(&checkpoint, options.flip)?;
    let items = embedder.items(&options.paths)?;
    let outcome = embed(&embedder, &items)?;
    outcome.features.write(&options.output)?;
    let Features { dim, classes, .. } = &outcome.features;
    let of_classes = match classes.len() {
        0 => String::new(),
        n => format!(" of {n} classes"),
    };
    println!(
        "{}: {} embeddings of {dim} numbers{of_classes}, by {}",
        options.output.display(),
        outcome.features.len(),
        checkpoint.display()
    );
    Ok(())
}

/// Files left out that are named one by one.
const NAMED: usize = 20;

/// Embeds under a bar on the terminal, and warns of files that cannot be read.
pub(super) fn embed(embedder: &Embedder, items: &[Item]) -> Result<Outcome> {
    let look = ProgressStyle::with_template("{bar:28.cyan/blue} {pos}/{len}  {eta} left");
    let look = look.expect("a valid template").progress_chars("━━╌");
    // Hidden where there is no terminal.
    let bar = ProgressBar::with_draw_target(Some(items.len() as u64), ProgressDrawTarget::stderr())
        .with_style(look);
    let outcome = embedder.embed(items, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let outcome = outcome?;
    let skipped = &outcome.skipped;
    for error in skipped.iter().take(NAMED) {
        tell(format_args!("warning: left out {error}"));
    }
    if let Some(more) = skipped.len().checked_sub(NAMED + 1) {
        tell(format_args!("warning: and {} more", more + 1));
    }
    if !skipped.is_empty() {
        let (left, all) = (skipped.len(), items.len());
        tell(format_args!("warning: {left} of {all} files left out"));
    }
    Ok(outcome)
}
