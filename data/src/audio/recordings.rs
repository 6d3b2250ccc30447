//! Labelled recordings: in their files until they are asked for, or in memory.

use super::resample::resample;
use super::wave::{self, RATES};
use crate::error::{Error, Result};
use crate::files::Unreadable;
use crate::manifest::{Manifest, Split};
use engine::par;
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Labelled recordings at one sample rate, each as long as it is.
///
/// Cloning it and taking a [`subset`](Recordings::subset) share the list, and the samples if they
/// are in memory.
#[derive(Clone)]
pub struct Recordings {
    list: Arc<List>,
    /// Places in the list.
    rows: Arc<[usize]>,
    labels: Arc<[usize]>,
}

struct List {
    name: String,
    rate: u32,
    /// Each file, and its part in seconds if not all of it counts.
    files: Vec<(PathBuf, Option<[f64; 2]>)>,
    /// Indices into the manifest's entries.
    origins: Vec<usize>,
    classes: Vec<String>,
    /// The samples of each file, if they are in memory.
    waves: Option<Vec<Vec<f32>>>,
}

impl Recordings {
    /// Some entries of a manifest, at `rate` Hz. Their classes are the labels that occur among
    /// all entries of the manifest, in byte order, so that labels mean the same in every part of
    /// it. No file is opened.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the rate is not one of [`RATES`].
    ///
    /// # Panics
    /// If an index is not one of the manifest.
    pub fn new(manifest: &Manifest, indices: &[usize], rate: u32) -> Result<Self> {
        if !RATES.contains(&rate) {
            return Err(Error::invalid(
                format!("sample rate of {}", manifest.name),
                format!("{} to {} Hz", RATES.start(), RATES.end()),
                rate,
                "16000 suits speech, 32000 or 44100 other sounds",
            ));
        }
        let all: Vec<usize> = (0..manifest.entries.len()).collect();
        let classes = manifest.classes(&all);
        let class = |&i: &usize| {
            let label = &manifest.entries[i].label;
            classes
                .binary_search(label)
                .expect("the classes are those of the entries")
        };
        let labels = indices.iter().map(class).collect();
        let file = |&i: &usize| (manifest.path(i), manifest.entries[i].clip);
        Ok(Recordings {
            rows: (0..indices.len()).collect(),
            labels,
            list: Arc::new(List {
                name: manifest.name.clone(),
                rate,
                files: indices.iter().map(file).collect(),
                origins: indices.to_vec(),
                classes,
                waves: None,
            }),
        })
    }

    /// What messages call the set.
    pub fn name(&self) -> &str {
        &self.list.name
    }

    /// The number of recordings.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no recording at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sample rate in Hz.
    pub fn rate(&self) -> u32 {
        self.list.rate
    }

    /// The class of each recording, an index into [`classes`](Self::classes).
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The names of the classes; a subset keeps all of them.
    pub fn classes(&self) -> &[String] {
        &self.list.classes
    }

    /// The number of recordings of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes().len()];
        self.labels.iter().for_each(|&label| counts[label] += 1);
        counts
    }

    /// The file of a recording.
    ///
    /// # Panics
    /// If there is no such recording.
    pub fn path(&self, index: usize) -> &Path {
        &self.list.files[self.rows[index]].0
    }

    /// The part of its file that a recording is, `[start, duration]` in seconds, if not all of it.
    ///
    /// # Panics
    /// If there is no such recording.
    pub fn clip(&self, index: usize) -> Option<[f64; 2]> {
        self.list.files[self.rows[index]].1
    }

    /// The entry of the manifest that a recording is, whatever the number of subsets in between.
    ///
    /// # Panics
    /// If there is no such recording.
    pub fn origin(&self, index: usize) -> usize {
        self.list.origins[self.rows[index]]
    }

    /// The recordings at `indices`, in that order. An index may come twice.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Recordings {
        Recordings {
            list: Arc::clone(&self.list),
            rows: indices.iter().map(|&i| self.rows[i]).collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
        }
    }

    /// The samples of a recording, at [`rate`](Self::rate) and of one channel, -1 to 1.
    ///
    /// # Errors
    /// As [`wave::open`]; [`Error::Invalid`] if there is no sample in it, or in the part of it
    /// that counts.
    ///
    /// # Panics
    /// If there is no such recording.
    pub fn samples(&self, index: usize) -> Result<Cow<'_, [f32]>> {
        let row = self.rows[index];
        if let Some(waves) = &self.list.waves {
            return Ok(Cow::Borrowed(&waves[row]));
        }
        let (path, clip) = &self.list.files[row];
        let whole = wave::open(path)?;
        let seconds = whole.seconds();
        let part = match clip {
            Some(clip) => whole.part(*clip),
            None => whole,
        };
        if part.samples.is_empty() {
            let start = clip.map_or(0.0, |[start, _]| start);
            return Err(Error::invalid(
                format!("recording {}", path.display()),
                format!("sound from second {start} on"),
                format!("{seconds} s"),
                "correct the start, or leave the recording out",
            ));
        }
        Ok(Cow::Owned(resample(&part.samples, part.rate, self.rate())))
    }

    /// Reads every recording once, and returns the set without those that cannot be read, and why
    /// they cannot. What would otherwise stop a training after hours is known before it starts.
    ///
    /// # Errors
    /// With [`Unreadable::Refuse`], the first error in the order of the set.
    pub fn checked(&self, unreadable: Unreadable) -> Result<(Recordings, Vec<Error>)> {
        let (good, bad) = unreadable.check(self.len(), |i| self.samples(i).map(drop))?;
        Ok((self.subset(&good), bad))
    }

    /// Reads every recording into memory, on all threads: for sets that fit, four bytes to the
    /// sample.
    ///
    /// # Errors
    /// The first recording, in the order of the set, that cannot be read.
    pub fn load(&self) -> Result<Recordings> {
        let waves = par::map(self.len(), |i| self.samples(i).map(Cow::into_owned));
        let waves = waves.into_iter().collect::<Result<Vec<_>>>()?;
        let list = List {
            name: self.list.name.clone(),
            rate: self.list.rate,
            files: self
                .rows
                .iter()
                .map(|&r| self.list.files[r].clone())
                .collect(),
            origins: self.rows.iter().map(|&r| self.list.origins[r]).collect(),
            classes: self.list.classes.clone(),
            waves: Some(waves),
        };
        Ok(Recordings {
            rows: (0..self.len()).collect(),
            labels: Arc::clone(&self.labels),
            list: Arc::new(list),
        })
    }
}

impl fmt::Debug for Recordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({} recordings at {} Hz, {} classes)",
            self.name(),
            self.len(),
            self.rate(),
            self.classes().len()
        )
    }
}

/// What to train on, what to choose by, what to report: of recordings, or of their spectrograms.
#[derive(Clone, Debug)]
pub struct Parts<S = Recordings> {
    /// What gradients may see.
    pub train: S,
    /// What choices (best epoch, settings) are made by.
    pub validation: S,
    /// What the final figure is measured on, once.
    pub test: S,
}

impl<S> Parts<S> {
    /// The same of each part.
    ///
    /// # Errors
    /// The first that `f` returns.
    pub fn try_map<R>(&self, f: impl Fn(&S) -> Result<R>) -> Result<Parts<R>> {
        Ok(Parts {
            train: f(&self.train)?,
            validation: f(&self.validation)?,
            test: f(&self.test)?,
        })
    }
}

impl Parts {
    /// The parts as the entries of a manifest have it, at `rate` Hz.
    ///
    /// # Errors
    /// As [`Recordings::new`].
    pub fn of(manifest: &Manifest, rate: u32) -> Result<Self> {
        let part = |split| Recordings::new(manifest, &manifest.split(split), rate);
        Ok(Parts {
            train: part(Split::Train)?,
            validation: part(Split::Validation)?,
            test: part(Split::Test)?,
        })
    }

    /// Moves `count` recordings of the training part to the validation part, by the rule of
    /// [`ImageSet::hold_out`](crate::ImageSet::hold_out). For data sets that come without one.
    ///
    /// # Errors
    /// As there; [`Error::Invalid`] if there is a validation part already.
    pub fn hold_out(&self, count: usize, seed: u64) -> Result<Self> {
        if !self.validation.is_empty() {
            return Err(Error::invalid(
                format!("validation part of {}", self.train.name()),
                "none, so that one can be held out",
                format!("{} recordings", self.validation.len()),
                "use the one there is",
            ));
        }
        let (train, validation) = self.train.hold_out(count, seed)?;
        Ok(Parts {
            train,
            validation,
            test: self.test.clone(),
        })
    }
}
