//! `hypersphere report`: a run as one HTML file.

use crate::cli::report::Report;
use crate::config::ConfigError;
use crate::report::{self, finished::Finished, tested::Tested};
use anyhow::{Context, Result};
use std::io::Write;

/// Writes the report.
///
/// # Errors
/// If this is no run, its data was named but cannot be read, or the file cannot be written.
pub fn run(options: &Report) -> Result<()> {
    if let Some(threads) = options.threads {
        engine::par::set_threads(threads.max(1)).map_err(|e| ConfigError(e.to_string()))?;
    }
    let run = Finished::read(&options.run)?;
    let tested = Tested::new(&run, options.data.as_deref(), options.samples);
    let html = match &tested {
        Ok(tested) => report::html(&run, Ok(tested))?,
        // Whoever names the data wants to see it.
        Err(_) if options.data.is_some() => return tested.map(drop),
        Err(why) => {
            let why = format!("{why:#}");
            eprintln!("note    without charts and pictures of the test part: {why}");
            report::html(&run, Err(&why))?
        }
    };
    let path = match &options.output {
        Some(path) => path.clone(),
        None => options.run.join("report.html"),
    };
    nn::checkpoint::write_atomically(&path, |file| file.write_all(html.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
