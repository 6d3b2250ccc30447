//! What can be wrong with data, as data: the place, what was expected, what was found, what to do.

use std::io;
use std::path::Path;

/// The result of everything in this crate that reads or checks.
pub type Result<T> = std::result::Result<T, Error>;

/// Why data could not be read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{file}: cannot be read: {source}")]
    Io {
        /// The file, as the user named it.
        file: String,
        /// The system's reason.
        source: io::Error,
    },

    /// A file was read, and its content breaks the rules of its format.
    #[error("{file}, byte {offset}: expected {expected}, found {found}; {hint}")]
    Format {
        /// The file, as the user named it; "(unpacked)" is added where the content was compressed.
        file: String,
        /// Where, in bytes from the start of the (unpacked) content.
        offset: u64,
        /// What the format asks for at this place.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        hint: String,
    },

    /// A line of a text file breaks the rules of its format.
    #[error("{file}, line {line}: expected {expected}, found {found}; {hint}")]
    Line {
        /// The file, as the user named it.
        file: String,
        /// Where, counted from 1.
        line: u64,
        /// What the format asks for at this place.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        hint: String,
    },

    /// An image file cannot be decoded.
    #[error("{file}: not a readable image: {reason}; {hint}")]
    Picture {
        /// The file, as the user named it.
        file: String,
        /// What the decoder says.
        reason: String,
        /// What to do about it.
        hint: String,
    },

    /// A folder lacks a file of the data set.
    #[error("{folder}: expected a file {wanted}, found {found}; {hint}")]
    Missing {
        /// The folder, as the user named it.
        folder: String,
        /// The file names that would have served.
        wanted: String,
        /// What the folder holds instead.
        found: String,
        /// What to do about it.
        hint: String,
    },

    /// A setting or an argument does not fit the data.
    #[error("{what}: expected {expected}, found {found}; {hint}")]
    Invalid {
        /// The setting.
        what: String,
        /// The values that would do.
        expected: String,
        /// The value given.
        found: String,
        /// What to do about it.
        hint: String,
    },
}

impl Error {
    pub(crate) fn io(file: &Path, source: io::Error) -> Self {
        Error::Io {
            file: file.display().to_string(),
            source,
        }
    }

    pub(crate) fn invalid(
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl ToString,
        hint: impl Into<String>,
    ) -> Self {
        Error::Invalid {
            what: what.into(),
            expected: expected.into(),
            found: found.to_string(),
            hint: hint.into(),
        }
    }
}
