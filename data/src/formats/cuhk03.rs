//! CUHK03 (W. Li et al., "DeepReID", CVPR 2014) in the forms in which it is passed on.
//!
//! | protocol | what the folder holds |
//! |---|---|
//! | [`new_protocol`], 767 / 700 people | Market-1501's folders, or a folder `labeled` or `detected` with them |
//! | | `cuhk03_new_protocol_config_labeled.mat` or `…_detected.mat`, and the images |
//! | [`classic`], 1,367 / 100 people, 20 times | `testsets.mat`, and the images |
//!
//! The images are named like `1_001_1_01.png` (pair of cameras, person, view, number) and lie in
//! `images_labeled`, `labeled` or `cuhk03_labeled`, or `detected` instead, or in the folder itself.
//!
//! The original `cuhk-03.mat` is of MATLAB 7.3, which is HDF5 and not read here. torchreid and
//! `save_img.m` of CUHK03-NP take the images out of it. The splits of the classic protocol come out
//! by MATLAB's `save('testsets.mat', 'testsets', '-v7')`, or in python by
//!
//! ```python
//! import h5py, numpy, scipy.io
//! file = h5py.File("cuhk-03.mat")
//! sets = numpy.empty((20, 1), object)
//! sets[:, 0] = [file[cell][()].T for cell in file["testsets"][0]]
//! scipy.io.savemat("testsets.mat", {"testsets": sets})
//! ```

use super::list::{self, Scan};
use super::mat::{self, Value};
use super::reid::{self, CUHK03_DETECTED, CUHK03_LABELED, Layout};
use crate::error::{Error, Result};
use crate::manifest::{Entry, Manifest, Split, Survey, stays_inside};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How people were cut out of the pictures of the cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boxes {
    /// By hand.
    Labeled,
    /// By a detector.
    Detected,
}

/// The splits of the classic protocol.
const SPLITS: &str = "testsets.mat";

impl Boxes {
    fn word(self) -> &'static str {
        match self {
            Boxes::Labeled => "labeled",
            Boxes::Detected => "detected",
        }
    }

    fn layout(self) -> &'static Layout {
        match self {
            Boxes::Labeled => &CUHK03_LABELED,
            Boxes::Detected => &CUHK03_DETECTED,
        }
    }

    /// All images, those in no part of the new protocol as well.
    fn images(self) -> usize {
        match self {
            Boxes::Labeled => 14_096,
            Boxes::Detected => 14_097,
        }
    }

    /// The file of the new protocol.
    pub(super) fn config(self) -> String {
        format!("cuhk03_new_protocol_config_{}.mat", self.word())
    }

    /// The folder, from the root, that holds images with names of their own.
    fn folder(self, root: &Path) -> Result<Option<String>> {
        let word = self.word();
        let names = [
            format!("images_{word}"),
            word.to_string(),
            format!("cuhk03_{word}"),
            String::new(),
        ];
        for folder in names {
            if !root.join(&folder).is_dir() {
                continue;
            }
            let found = list::images(root, &folder, false)?;
            let first = found.images.first();
            if first.is_some_and(|path| parse(list::basename(path)).is_some()) {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }

    /// What speaks for the new protocol by its own files.
    pub(super) fn signs(self, root: &Path) -> Option<Vec<String>> {
        let config = self.config();
        let is_there = root.join(&config).is_file();
        is_there.then(|| vec![format!("the file {config}")])
    }

    /// What speaks for the classic protocol.
    pub(super) fn classic_signs(self, root: &Path) -> Option<Vec<String>> {
        if !root.join(SPLITS).is_file() {
            return None;
        }
        let folder = self.folder(root).ok()??;
        let images = match folder.as_str() {
            "" => "images like 1_001_1_01.png".to_string(),
            _ => format!("images like 1_001_1_01.png in {folder}"),
        };
        Some(vec![format!("the file {SPLITS}"), images])
    }

    /// What to do where the images or their folders are missing.
    fn missing(self, root: &Path, expected: String) -> Error {
        let word = self.word();
        let (found, hint) = match original(root) {
            Some(path) => (
                format!(
                    "{}, of MATLAB 7.3 (HDF5), which is not read",
                    path.display()
                ),
                format!(
                    "take the images out of it first, as torchreid or save_img.m of CUHK03-NP do: \
                     images_{word}/1_001_1_01.png and so on"
                ),
            ),
            None => (
                "something else".into(),
                "name the folder that directly holds them".into(),
            ),
        };
        Error::invalid(
            format!("CUHK03 ({word}) in {}", root.display()),
            expected,
            found,
            hint,
        )
    }
}

/// The original file.
pub(super) fn original(root: &Path) -> Option<PathBuf> {
    let places = ["cuhk-03.mat", "cuhk03_release/cuhk-03.mat"];
    let places = places.map(|name| root.join(name));
    places.into_iter().find(|path| path.is_file())
}

/// Reads the new protocol (Z. Zhong et al., CVPR 2017) in whatever form it is there. The rule is
/// [`Rule::CrossCamera`](crate::metrics::retrieval::Rule::CrossCamera).
///
/// # Errors
/// [`Error::Io`] if something cannot be read; [`Error::Format`] if the file of the protocol is
/// damaged; [`Error::Invalid`] if its lists do not fit each other, an image of a copy is named
/// differently, or there is nothing of CUHK03.
pub fn new_protocol(boxes: Boxes, root: impl AsRef<Path>) -> Result<Survey> {
    let root = root.as_ref();
    let layout = boxes.layout();
    for copy in [root.to_path_buf(), root.join(boxes.word())] {
        if layout.folders().iter().all(|f| copy.join(f).is_dir()) {
            return reid::read(layout, copy);
        }
    }
    let config = root.join(boxes.config());
    if !config.is_file() {
        let expected = format!(
            "Market-1501's folders, or {} beside the images",
            boxes.config()
        );
        return Err(boxes.missing(root, expected));
    }
    let mut entries = of_config(&config)?;
    let folder = boxes.folder(root)?.ok_or_else(|| {
        let expected = format!("images like images_{}/1_001_1_01.png", boxes.word());
        boxes.missing(root, expected)
    })?;
    for entry in &mut entries {
        entry.path = list::join(&folder, &entry.path);
    }
    Ok(layout.survey(root, entries, 0))
}

/// What the file of the new protocol says of each image: who, which camera, what for. Images in no
/// part of the protocol are left out.
fn of_config(config: &Path) -> Result<Vec<Entry>> {
    let variables = mat::read(config)?;
    let bad = |found: &str| {
        Error::invalid(
            format!("protocol in {}", config.display()),
            "filelist, labels, camId, train_idx, query_idx and gallery_idx that fit each other",
            found,
            "use the file as its authors published it",
        )
    };
    let Some(Value::Cells(names)) = variables.get("filelist") else {
        return Err(bad("no list of files"));
    };
    let names: Option<Vec<&str>> = names.iter().map(Value::text).collect();
    let names = names.ok_or_else(|| bad("a file without a name"))?;
    if let Some(name) = names.iter().find(|name| !stays_inside(name)) {
        return Err(bad(&format!(
            "the file {name:?}, which leads out of the folder"
        )));
    }
    let whole = |name: &str| {
        let list = variables.get(name).and_then(Value::whole);
        list.ok_or_else(|| bad(&format!("no whole numbers {name}")))
    };
    let (labels, cameras) = (whole("labels")?, whole("camId")?);
    if labels.len() != names.len() || cameras.len() != names.len() {
        return Err(bad(&format!(
            "{} files, {} labels, {} cameras",
            names.len(),
            labels.len(),
            cameras.len()
        )));
    }
    let mut entries = Vec::new();
    for (role, part) in ["train_idx", "query_idx", "gallery_idx"]
        .into_iter()
        .enumerate()
    {
        for index in whole(part)? {
            let i = index.checked_sub(1).filter(|&i| i < names.len());
            let i = i.ok_or_else(|| bad(&format!("{index} in {part}")))?;
            let camera = u32::try_from(cameras[i]).map_err(|_| bad("a camera above 2³²"))?;
            let split = if role == 0 { Split::Train } else { Split::Test };
            entries.push(Entry {
                camera: Some(camera),
                is_query: role == 1,
                is_gallery: role == 2,
                ..Entry::new(names[i], format!("{:04}", labels[i]), split)
            });
        }
    }
    Ok(entries)
}

/// The classic protocol: 20 splits into some 1,367 people for training and 100 for the test, who
/// are queries and gallery at once. The rule is
/// [`single_gallery_shot`](crate::metrics::retrieval::single_gallery_shot), averaged over the
/// splits.
#[derive(Clone, Debug, PartialEq)]
pub struct Classic {
    name: String,
    root: PathBuf,
    /// The images; a camera is the view, a label is like `1_001`.
    images: Vec<Entry>,
    /// The labels of the test of each split.
    tests: Vec<BTreeSet<String>>,
    official: usize,
    ignored: usize,
}

/// Reads the classic protocol: the images, and `testsets.mat` with the variable of that name.
///
/// # Errors
/// [`Error::Io`] if something cannot be read; [`Error::Format`] if the file is of another version
/// or damaged; [`Error::Invalid`] if one of them is not there, for an image that is named
/// differently, or for a split that is not two columns of numbers, or names people of whom there is
/// no image.
pub fn classic(boxes: Boxes, root: impl AsRef<Path>) -> Result<Classic> {
    let root = root.as_ref();
    let config = root.join(SPLITS);
    let folder = boxes.folder(root)?.ok_or_else(|| {
        let word = boxes.word();
        let expected = format!("images like images_{word}/1_001_1_01.png, and {SPLITS}");
        boxes.missing(root, expected)
    })?;
    if !config.is_file() {
        return Err(Error::invalid(
            format!("classic protocol of CUHK03 in {}", root.display()),
            format!("{SPLITS} beside the images"),
            "the images alone",
            "in MATLAB: load('cuhk-03.mat', 'testsets'), then save('testsets.mat', 'testsets', '-v7')",
        ));
    }
    let listing = list::images(root, &folder, false)?;
    let (mut images, mut people) = (Vec::new(), BTreeSet::new());
    for path in &listing.images {
        let name = parse(list::basename(path));
        let (person, view) = name.ok_or_else(|| list::bad_name(path, "1_001_1_01.png"))?;
        people.insert(label(person));
        images.push(Entry {
            camera: Some(view),
            ..Entry::new(path, label(person), Split::Train)
        });
    }
    Ok(Classic {
        name: format!("CUHK03 {}, classic", boxes.word()),
        root: root.into(),
        images,
        tests: tests(&config, &people)?,
        official: boxes.images(),
        ignored: listing.ignored,
    })
}

/// The people of the tests.
fn tests(config: &Path, people: &BTreeSet<String>) -> Result<Vec<BTreeSet<String>>> {
    let bad = |found: &str| {
        Error::invalid(
            format!("splits in {}", config.display()),
            "cells \"testsets\" of two columns: pair of cameras and person",
            found,
            "save the variable as MATLAB has it, with -v7",
        )
    };
    let variables = mat::read(config)?;
    let Some(Value::Cells(splits)) = variables.get("testsets") else {
        return Err(bad("no such cells"));
    };
    let test = |(number, split): (usize, &Value)| {
        let numbers = split.whole().filter(|n| n.len().is_multiple_of(2));
        let numbers = numbers.filter(|n| !n.is_empty());
        let numbers = numbers.ok_or_else(|| bad(&format!("another shape in cell {number}")))?;
        let (pairs, persons) = numbers.split_at(numbers.len() / 2);
        let both = pairs.iter().zip(persons);
        let test: BTreeSet<String> = both.map(|(&a, &b)| label([a, b])).collect();
        match test.difference(people).next() {
            None => Ok(test),
            Some(label) => Err(bad(&format!(
                "person {label} in cell {number}, of whom there is no image"
            ))),
        }
    };
    (1..).zip(splits).map(test).collect()
}

impl Classic {
    /// The labels of the people who are tested, split by split.
    pub fn tests(&self) -> &[BTreeSet<String>] {
        &self.tests
    }

    /// The list of one split, from 1: its people are for the test, all others for training.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such split.
    pub fn split(&self, number: u32) -> Result<Survey> {
        let test = (number as usize).checked_sub(1);
        let test = test.and_then(|i| self.tests.get(i)).ok_or_else(|| {
            Error::invalid(
                format!("split of {}", self.name),
                format!("1 to {}", self.tests.len()),
                number,
                "they are numbered as in the file",
            )
        })?;
        Ok(self.survey(format!("{} split {number}", self.name), test))
    }

    /// The list for networks that have learnt elsewhere: who is in the test of any split is for
    /// testing.
    pub fn all(&self) -> Survey {
        let anybody = self.tests.iter().flatten().cloned().collect();
        self.survey(format!("{} splits", self.name), &anybody)
    }

    fn survey(&self, name: String, test: &BTreeSet<String>) -> Survey {
        let entry = |image: &Entry| {
            let is_test = test.contains(&image.label);
            Entry {
                split: if is_test { Split::Test } else { Split::Train },
                is_query: is_test,
                is_gallery: is_test,
                ..image.clone()
            }
        };
        let labels: BTreeSet<&String> = self.images.iter().map(|e| &e.label).collect();
        let fewest = self.tests.iter().map(BTreeSet::len).min();
        Survey {
            counts: vec![
                list::count("images", self.official, self.images.len()),
                list::count("people", 1_467, labels.len()),
                list::count("splits", 20, self.tests.len()),
                list::count("test people of a split", 100, fewest.unwrap_or(0)),
            ],
            manifest: Manifest {
                name,
                root: self.root.clone(),
                entries: self.images.iter().map(entry).collect(),
            },
            ignored: self.ignored,
        }
    }
}

fn label<N: std::fmt::Display>([pair, person]: [N; 2]) -> String {
    format!("{pair}_{person:03}")
}

/// `1_001_1_01`: person as pair of cameras and number, and view.
fn parse(name: &str) -> Option<([usize; 2], u32)> {
    let mut scan = Scan(name);
    let pair = scan.number(1, 1).filter(|p| (1..=5).contains(p))?;
    scan.literal("_")?;
    let person = scan.number(3, 3)?;
    scan.literal("_")?;
    let view = scan.number(1, 1).filter(|v| (1..=2).contains(v))?;
    scan.literal("_")?;
    scan.digits(2, 2)?;
    let found = ([pair as usize, person as usize], view);
    scan.0.starts_with('.').then_some(found)
}

#[cfg(test)]
#[path = "cuhk03_tests.rs"]
mod tests;
