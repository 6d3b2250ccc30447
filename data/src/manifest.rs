//! The one list that every set of files becomes: which file, of what, for what.
//!
//! A manifest is a CSV file that lies beside its images and that anybody can write:
//!
//! ```csv
//! path,label,split,camera,is_query,is_gallery
//! train/0002_c1s1_000451_03.jpg,0002,train,1,,
//! query/0001_c1s1_001051_00.jpg,0001,test,1,true,
//! gallery/0001_c2s1_000301_00.jpg,0001,test,2,,true
//! ```
//!
//! | column | content | where it is missing |
//! |---|---|---|
//! | `path` | the file, from the manifest's folder, with `/` | required |
//! | `label` | class or identity; `-1` is junk in a gallery | required |
//! | `split` | `train`, `validation` or `test` | required |
//! | `camera` | who saw it, a whole number | unknown |
//! | `is_query`, `is_gallery` | `true` or `false`: its part in a retrieval test | `false`; see [`Manifest::evaluation`] |
//! | `fold` | of cross-validation, from 0 | none |
//! | `x1`, `y1`, `x2`, `y2` | the part of the picture that counts, in pixels, edges right and below not included | all of it |
//! | `start`, `duration` | the part of the recording that counts, in seconds | all of it |
//!
//! Columns may come in any order, and all but the first three may be left out or empty. Other
//! columns are an error, so that a slip of the pen is not a missing camera.

mod table;

pub(crate) use table::stays_inside;

use crate::decode::Area;
use crate::error::{Error, Result};
use crate::metrics::retrieval::{JUNK, JUNK_LABEL, Rule};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// What gradients may see.
    Train,
    /// What choices are made by.
    Validation,
    /// What the final figure is measured on.
    Test,
}

/// One file, or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The file, from the manifest's folder, with `/` between names.
    pub path: String,
    /// Its class or identity.
    pub label: String,
    /// What it is for.
    pub split: Split,
    /// The camera that saw it.
    pub camera: Option<u32>,
    /// Whether a retrieval test asks for it.
    pub is_query: bool,
    /// Whether a retrieval test ranks it.
    pub is_gallery: bool,
    /// Its fold in cross-validation, from 0.
    pub fold: Option<u32>,
    /// The part of the picture that counts.
    pub area: Option<Area>,
    /// The part of the recording that counts, `[start, duration]` in seconds.
    pub clip: Option<[f64; 2]>,
}

impl Entry {
    /// A whole file of which no more is known.
    pub fn new(path: impl Into<String>, label: impl Into<String>, split: Split) -> Self {
        Entry {
            path: path.into(),
            label: label.into(),
            split,
            camera: None,
            is_query: false,
            is_gallery: false,
            fold: None,
            area: None,
            clip: None,
        }
    }
}

/// A list of files with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What messages call it.
    pub name: String,
    /// The folder that paths start from.
    pub root: PathBuf,
    /// The files.
    pub entries: Vec<Entry>,
}

/// What a retrieval test compares, made by [`Manifest::evaluation`]: indices into the entries of
/// the manifest, and who is on each entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The entries that are asked for.
    pub queries: Vec<usize>,
    /// The entries that are ranked.
    pub gallery: Vec<usize>,
    /// The identity of every entry of the manifest; -1 is junk.
    pub ids: Vec<i64>,
    /// The camera of every entry of the manifest; empty if none is known.
    pub cameras: Vec<u32>,
    /// Which gallery items a query is ranked against.
    pub rule: Rule,
}

impl Manifest {
    /// Reads a CSV file; its paths start from its own folder.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Line`] for a line that breaks the rules above
    /// or whose path leaves the folder.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        table::read(path.as_ref())
    }

    /// Reads a CSV file, or `manifest.csv` in a folder.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match path.is_dir() {
            true => Self::read(path.join("manifest.csv")),
            false => Self::read(path),
        }
    }

    /// Writes the list as a CSV file, with the columns that are used. Reading it gives the same
    /// entries back.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        table::write(self, path.as_ref())
    }

    /// The whole path of an entry.
    ///
    /// # Panics
    /// If there is no such entry.
    pub fn path(&self, index: usize) -> PathBuf {
        self.root.join(&self.entries[index].path)
    }

    /// The entries of a split, as indices.
    pub fn split(&self, split: Split) -> Vec<usize> {
        self.indices(|entry| entry.split == split)
    }

    /// The entries for which `wanted` holds, as indices.
    pub fn indices(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<usize> {
        let all = 0..self.entries.len();
        all.filter(|&i| wanted(&self.entries[i])).collect()
    }

    /// The different labels of some entries, in byte order.
    ///
    /// # Panics
    /// If an index is not one of the list.
    pub fn classes(&self, indices: &[usize]) -> Vec<String> {
        let labels: BTreeSet<&String> = indices.iter().map(|&i| &self.entries[i].label).collect();
        labels.into_iter().cloned().collect()
    }

    /// The retrieval test of the list.
    ///
    /// Entries marked as query or gallery make it, under [`Rule::CrossCamera`] if all of them
    /// have a camera and [`Rule::Everything`] if none has. Where nothing is marked, every entry
    /// of the test split is looked for among the others ([`Rule::LeaveOneOut`]).
    ///
    /// Labels that are all whole numbers are identities as they are; others are numbered from 1
    /// in byte order, but for `-1`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no query or no gallery, or if some of the marked entries
    /// have a camera and some have none.
    pub fn evaluation(&self) -> Result<Evaluation> {
        let marked = self.indices(|e| e.is_query || e.is_gallery);
        let (queries, gallery) = match marked.is_empty() {
            true => (self.split(Split::Test), self.split(Split::Test)),
            false => (self.indices(|e| e.is_query), self.indices(|e| e.is_gallery)),
        };
        for (side, found) in [("queries", &queries), ("gallery", &gallery)] {
            if found.is_empty() {
                return Err(Error::invalid(
                    format!("{side} of {}", self.name),
                    "at least one entry",
                    "none",
                    "mark entries in the columns is_query and is_gallery, or give some the split \
                     test",
                ));
            }
        }
        let without = |i: &&usize| self.entries[**i].camera.is_none();
        let blind = marked.iter().filter(without).count();
        let rule = match blind {
            _ if marked.is_empty() => Rule::LeaveOneOut,
            0 => Rule::CrossCamera,
            n if n == marked.len() => Rule::Everything,
            n => {
                return Err(Error::invalid(
                    format!("cameras of {}", self.name),
                    "one for each query and gallery entry, or none at all",
                    format!("none for {n} of {}", marked.len()),
                    "fill the column camera, or leave it out",
                ));
            }
        };
        let cameras = self.entries.iter().map(|e| e.camera.unwrap_or(0));
        Ok(Evaluation {
            queries,
            gallery,
            ids: self.ids(),
            cameras: match rule {
                Rule::CrossCamera => cameras.collect(),
                _ => Vec::new(),
            },
            rule,
        })
    }

    fn ids(&self) -> Vec<i64> {
        let numbers = self.entries.iter().map(|e| e.label.parse::<i64>().ok());
        if let Some(numbers) = numbers.collect() {
            return numbers;
        }
        let all: Vec<usize> = (0..self.entries.len()).collect();
        let classes = self.classes(&all);
        let id = |entry: &Entry| match entry.label.as_str() {
            JUNK_LABEL => JUNK,
            label => classes.partition_point(|c| c.as_str() < label) as i64 + 1,
        };
        self.entries.iter().map(id).collect()
    }
}

/// A number that the authors of a data set state, and the one that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What is counted.
    pub what: String,
    /// The stated number.
    pub official: usize,
    /// The number found.
    pub found: usize,
}

/// What a folder holds, read as a certain data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// The list of its files.
    pub manifest: Manifest,
    /// The official table of the data set, as far as there is one.
    pub counts: Vec<Count>,
    /// Files that were passed over because they are no images (`Thumbs.db`, `readme.txt`).
    pub ignored: usize,
}

impl Survey {
    /// The list, if every count is the official one.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the counts that differ.
    pub fn strict(self) -> Result<Manifest> {
        let wrong: Vec<&Count> = self
            .counts
            .iter()
            .filter(|c| c.found != c.official)
            .collect();
        if wrong.is_empty() {
            return Ok(self.manifest);
        }
        let list = |number: fn(&Count) -> usize| {
            let counts = wrong.iter().map(|c| format!("{} {}", number(c), c.what));
            counts.collect::<Vec<_>>().join(", ")
        };
        Err(Error::invalid(
            format!("files of {}", self.manifest.name),
            list(|c| c.official),
            list(|c| c.found),
            "unpack the data set again, or allow it to be partial",
        ))
    }
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
