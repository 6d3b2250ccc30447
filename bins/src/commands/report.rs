//! `hypersphere report`: a run as one HTML file.

use crate::cli::report::Report;
use crate::files;
use crate::progress::tell;
use crate::report::{self, finished::Finished, tested::Tested};
use anyhow::Result;

/// Writes the report.
///
/// # Errors
/// If this is no run, its data was named but cannot be read, or the file cannot be written.
pub fn run(options: &Report) -> Result<()> {
    options.threads.set()?;
    let run = Finished::read(&options.run)?;
    let tested = Tested::new(&run, options.data.as_deref(), options.samples);
    let html = match &tested {
        Ok(tested) => report::html(&run, Ok(tested))?,
        // Whoever names the data wants to see it.
        Err(_) if options.data.is_some() => return tested.map(drop),
        Err(why) => {
            let why = format!("{why:#}");
            tell(format_args!(
                "note    without charts and pictures of the test part: {why}"
            ));
            report::html(&run, Err(&why))?
        }
    };
    let path = match &options.output {
        Some(path) => path.clone(),
        None => options.run.join("report.html"),
    };
    files::write(&path, html)?;
    println!("{}", path.display());
    Ok(())
}
