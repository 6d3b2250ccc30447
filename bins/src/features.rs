//! Embeddings in files: safetensors, NPY, CSV, and the two tables of the embedding projector.
//!
//! | file | vectors | names, labels, classes, cameras, roles | origin |
//! |---|---|---|---|
//! | `.safetensors` | `features [N, D]` | metadata `items` (JSON), `labels`, `cameras`, `is_query`, `is_gallery [N]` | metadata `items` |
//! | `.npy` | `[N, D]`, f32 | beside it in `<stem>.items.csv` | |
//! | `.csv` | columns `e0`, `e1`, … | columns `name`, `label`, `class`, `camera`, `is_query`, `is_gallery` | |
//! | `.tsv`, only written | a row each, no heading | beside it in `<stem>.metadata.tsv` | |
//!
//! The order of the items is kept. What is read may come from anywhere: no size in a header is
//! believed before it is held against the length of the file.

pub mod gallery;
mod npy;
mod table;
mod tensors;

use crate::source::Pair;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Vectors of the same length, with what is known of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// The length of a vector.
    pub dim: usize,
    /// The vectors, one after another.
    pub vectors: Vec<f32>,
    /// The name of each item, such as its file; empty if they have none.
    pub names: Vec<String>,
    /// The label of each item, -1 for none; empty if labels are unknown.
    pub labels: Vec<i64>,
    /// What the labels 0, 1, … are called; empty if unknown.
    pub classes: Vec<String>,
    /// The camera of each item, -1 for none; empty if none is known.
    pub cameras: Vec<i64>,
    /// Whether a retrieval test asks for each item; empty if no item is marked.
    pub is_query: Vec<bool>,
    /// Whether it ranks the item; empty if no item is marked.
    pub is_gallery: Vec<bool>,
    /// What made the vectors, if it is known.
    pub origin: Option<Origin>,
}

/// What vectors were made with, and from which files: enough to embed others like them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The checkpoint of the network.
    pub checkpoint: PathBuf,
    /// The SHA-256 of that file, in hexadecimal digits.
    pub sha256: String,
    /// Whether each vector is the mean of those of an image and its mirror image.
    pub flip: bool,
    /// The folder that names which are relative paths start from.
    pub folder: PathBuf,
}

/// Why features could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `"read"`, `"write"`, `"remove"`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The name of a file does not tell its format.
    #[error("{}: cannot tell the format by the name; expected .safetensors, .npy, .csv or .tsv", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The content is not what the format asks for.
    #[error("{}: {place}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// What is wrong with a file's content, before its name is known.
struct Wrong {
    place: String,
    expected: String,
    found: String,
}

fn wrong(place: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Wrong {
    Wrong {
        place: place.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

#[derive(Clone, Copy)]
enum Format {
    Safetensors,
    Npy,
    Csv,
    Tsv,
}

impl Format {
    fn of(path: &Path) -> Result<Self, FeaturesError> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => Ok(Format::Safetensors),
            Some("npy") => Ok(Format::Npy),
            Some("csv") => Ok(Format::Csv),
            Some("tsv") => Ok(Format::Tsv),
            _ => Err(FeaturesError::Extension { path: path.into() }),
        }
    }
}

impl Features {
    /// The number of items.
    pub fn len(&self) -> usize {
        self.vectors.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the class of an item, if it is known.
    ///
    /// # Panics
    /// If there are labels, but none for such an item.
    pub fn class(&self, item: usize) -> Option<&str> {
        if self.labels.is_empty() {
            return None;
        }
        let label = usize::try_from(self.labels[item]).ok()?;
        let name = self.classes.get(label)?;
        (!name.is_empty()).then_some(name)
    }

    /// Reads a file; its ending says the format.
    ///
    /// # Errors
    /// [`FeaturesError`], which names the file and the place.
    pub fn read(path: &Path) -> Result<Self, FeaturesError> {
        let format = Format::of(path)?;
        let features = match format {
            Format::Safetensors => tensors::decode(&read(path)?),
            Format::Npy => npy::decode(&read(path)?).map(|(dim, vectors)| Features {
                dim,
                vectors,
                ..Features::default()
            }),
            Format::Csv => table::decode(&read(path)?),
            Format::Tsv => {
                let place = "its ending";
                let expected = ".safetensors, .npy or .csv: tables for the projector lack names";
                Err(wrong(place, expected, ".tsv"))
            }
        };
        let mut features = features.map_err(|wrong| of_file(path, wrong))?;
        let beside = items_beside(path);
        if matches!(format, Format::Npy) && beside.exists() {
            let items = table::decode(&read(&beside)?).map_err(|wrong| of_file(&beside, wrong))?;
            features = Features {
                dim: features.dim,
                vectors: features.vectors,
                ..items
            };
            features.check().map_err(|wrong| of_file(&beside, wrong))?;
        }
        features.check().map_err(|wrong| of_file(path, wrong))?;
        Ok(features)
    }

    /// Reads a file, and the pairs of items that it asks to compare: `pairs [P, 2]`, `same [P]` and,
    /// from 0, `fold [P]` of safetensors. There are none in other formats.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with_pairs(path: &Path) -> Result<(Self, Vec<Pair>), FeaturesError> {
        let features = Self::read(path)?;
        let pairs = match Format::of(path)? {
            Format::Safetensors => tensors::pairs(&read(path)?, features.len()),
            _ => Ok(Vec::new()),
        };
        let pairs = pairs.map_err(|wrong| of_file(path, wrong))?;
        Ok((features, pairs))
    }

    /// Whether [`write`](Self::write) knows the format of a file of this name.
    ///
    /// # Errors
    /// [`FeaturesError::Extension`] if it does not.
    pub fn check_name(path: &Path) -> Result<(), FeaturesError> {
        Format::of(path).map(drop)
    }

    /// Writes a file; its ending says the format. Either the old or the new content is there.
    ///
    /// # Errors
    /// [`FeaturesError`].
    ///
    /// # Panics
    /// If the vectors are not all of one length, or there are not as many names, labels, cameras or
    /// marks as vectors, or none.
    pub fn write(&self, path: &Path) -> Result<(), FeaturesError> {
        if let Err(wrong) = self.check() {
            panic!("{}: {}, not {}", wrong.place, wrong.found, wrong.expected);
        }
        match Format::of(path)? {
            Format::Safetensors => write(path, &tensors::encode(self, Vec::new())),
            Format::Npy => {
                let beside = items_beside(path);
                match table::has_columns(self) {
                    true => write(&beside, &table::encode(self, 0))?,
                    // That of another file, which was here before.
                    false => remove(&beside)?,
                }
                write(path, &npy::encode(self.dim, &self.vectors))
            }
            Format::Csv => write(path, &table::encode(self, self.dim)),
            Format::Tsv => {
                let (vectors, metadata) = table::projector(self);
                write(path, vectors.as_bytes())?;
                write(&path.with_extension("metadata.tsv"), metadata.as_bytes())
            }
        }
    }

    /// The parts of a retrieval test, by their names in files.
    fn roles(&self) -> [(&'static str, &[bool]); 2] {
        [
            ("is_query", &self.is_query),
            ("is_gallery", &self.is_gallery),
        ]
    }

    /// Whether everything that is there is there for each vector.
    fn check(&self) -> Result<(), Wrong> {
        let n = self.len();
        if self.vectors.len() != n * self.dim {
            let found = format!("{} numbers", self.vectors.len());
            return Err(wrong(
                "the vectors",
                format!("{} for each", self.dim),
                found,
            ));
        }
        for (what, count) in [
            ("names", self.names.len()),
            ("labels", self.labels.len()),
            ("cameras", self.cameras.len()),
            ("is_query", self.is_query.len()),
            ("is_gallery", self.is_gallery.len()),
        ] {
            if count != 0 && count != n {
                let expected = format!("one for each of {n} vectors");
                return Err(wrong(what, expected, format!("{count}")));
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FeaturesError> {
    std::fs::read(path).map_err(|source| FeaturesError::Io {
        action: "read",
        path: path.into(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FeaturesError> {
    let written = nn::checkpoint::write_atomically(path, |file| file.write_all(bytes));
    written.map_err(|source| FeaturesError::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<(), FeaturesError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FeaturesError::Io {
            action: "remove",
            path: path.into(),
            source,
        }),
        _ => Ok(()),
    }
}

fn of_file(path: &Path, wrong: Wrong) -> FeaturesError {
    FeaturesError::Format {
        path: path.into(),
        place: wrong.place,
        expected: wrong.expected,
        found: wrong.found,
    }
}

/// Where names and labels stand that an NPY file has no place for.
fn items_beside(path: &Path) -> PathBuf {
    path.with_extension("items.csv")
}

/// Little-endian numbers of `SIZE` bytes each.
fn numbers<N, const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> N) -> Vec<N> {
    let (chunks, _) = bytes.as_chunks::<SIZE>();
    chunks.iter().map(|&chunk| number(chunk)).collect()
}

#[cfg(test)]
mod tests;
