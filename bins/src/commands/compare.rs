//! `hypersphere compare`: runs side by side.

use crate::cli::report::Compare;
use crate::config::ConfigError;
use crate::files;
use crate::report::{comparison::Comparison, finished::Finished};
use anyhow::{Result, bail};
use std::path::Path;

/// Prints the comparison, and writes it where it was asked to.
///
/// # Errors
/// If one of them is no run, or the file cannot be written.
pub fn run(options: &Compare) -> Result<()> {
    let ending = |path: &Path| path.extension().map(|e| e.to_string_lossy().into_owned());
    let format = options.output.as_deref().map(|path| (path, ending(path)));
    if let Some((path, ending)) = &format
        && !matches!(ending.as_deref(), Some("md" | "html"))
    {
        bail!(ConfigError(format!(
            "{}: the ending says the format; expected .md or .html",
            path.display()
        )));
    }
    let runs = options.runs.iter().map(|run| Finished::read(run));
    let comparison = Comparison::new(runs.collect::<Result<_>>()?);
    let markdown = comparison.markdown();
    print!("{markdown}");
    let Some((path, ending)) = format else {
        return Ok(());
    };
    let text = match ending.as_deref() {
        Some("html") => comparison.html()?,
        _ => markdown,
    };
    files::write(path, text)
}
