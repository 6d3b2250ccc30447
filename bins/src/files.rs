//! Files are written as a whole: either the old or the new content is there, never half of one.

use anyhow::{Context, Result};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Writes a file.
///
/// # Errors
/// If the disk does not take it; the error names the file.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    nn::checkpoint::write_atomically(path, |file| file.write_all(content.as_ref()))
        .with_context(|| format!("writing {}", path.display()))
}

/// Writes a value as JSON, on lines of its own.
///
/// # Errors
/// As [`write()`], and if the value cannot be JSON.
pub fn write_json(path: &Path, value: impl Serialize) -> Result<()> {
    write(path, serde_json::to_string_pretty(&value)? + "\n")
}
