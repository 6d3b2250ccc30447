//! Person and vehicle re-identification: identities and cameras in file names.
//!
//! | layout | training | query | gallery | a name |
//! |---|---|---|---|---|
//! | [`MARKET_1501`] | `bounding_box_train` | `query` | `bounding_box_test` | `0001_c1s1_000151_01.jpg` |
//! | [`DUKE_MTMC`] | `bounding_box_train` | `query` | `bounding_box_test` | `0001_c2_f0046182.jpg` |
//! | [`CUHK03_LABELED`], [`CUHK03_DETECTED`] | `bounding_box_train` | `query` | `bounding_box_test` | `0001_c1_1_000001.png` |
//! | [`VERI_776`] | `image_train` | `image_query` | `image_test` | `0001_c001_00016450_0.jpg` |
//!
//! The rule of all four is [`Rule::CrossCamera`](crate::metrics::retrieval::Rule::CrossCamera).
//! CUHK03 is the new protocol of 767 training and 700 test identities, in the copy with
//! Market-1501's folders; its other forms are those of [`cuhk03`](super::cuhk03). [`vehicle_id`] has
//! no cameras and a rule of its own.

use super::list::{self, Scan};
use crate::error::{Error, Result};
use crate::manifest::{Count, Entry, Manifest, Split, Survey, stays_inside};
use crate::metrics::retrieval::JUNK_LABEL;
use std::collections::BTreeSet;
use std::path::Path;

/// A layout of three folders.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    name: &'static str,
    /// Training, query, gallery.
    folders: [&'static str; 3],
    /// Takes identity and camera from a name.
    parse: fn(&str) -> Option<(&str, u32)>,
    pattern: &'static str,
    counts: &'static [(&'static str, usize, Counted)],
}

/// Counts entries for the official table.
type Counted = fn(&[Entry]) -> usize;

const MARKET_FOLDERS: [&str; 3] = ["bounding_box_train", "query", "bounding_box_test"];

/// Market-1501: L. Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. Six
/// cameras; junk has identity -1, distractors 0000.
pub const MARKET_1501: Layout = Layout {
    name: "Market-1501",
    folders: MARKET_FOLDERS,
    parse: market,
    pattern: "0001_c1s1_000151_01.jpg",
    counts: &[
        ("training images", 12_936, |e| images(e, train)),
        ("training identities", 751, |e| identities(e, train)),
        ("query images", 3_368, |e| images(e, query)),
        ("query identities", 750, |e| identities(e, query)),
        ("gallery images", 19_732, |e| images(e, gallery)),
        ("junk images", 3_819, |e| {
            images(e, |e| gallery(e) && e.label == JUNK_LABEL)
        }),
        ("distractors", 2_798, |e| {
            images(e, |e| gallery(e) && e.label == "0000")
        }),
    ],
};

/// DukeMTMC-reID: E. Ristani et al., ECCV workshops 2016, and Z. Zheng et al., ICCV 2017. Eight
/// cameras. Its authors have withdrawn it; the layout lives on.
pub const DUKE_MTMC: Layout = Layout {
    name: "DukeMTMC-reID",
    folders: MARKET_FOLDERS,
    parse: duke,
    pattern: "0001_c2_f0046182.jpg",
    counts: &[
        ("training images", 16_522, |e| images(e, train)),
        ("training identities", 702, |e| identities(e, train)),
        ("query images", 2_228, |e| images(e, query)),
        ("query identities", 702, |e| identities(e, query)),
        ("gallery images", 17_661, |e| images(e, gallery)),
        ("gallery identities", 1_110, |e| identities(e, gallery)),
    ],
};

/// CUHK03, boxes drawn by hand: W. Li et al., "DeepReID", CVPR 2014; protocol of Z. Zhong et al.,
/// CVPR 2017.
pub const CUHK03_LABELED: Layout = Layout {
    name: "CUHK03 labeled",
    folders: MARKET_FOLDERS,
    parse: cuhk03,
    pattern: "0001_c1_1_000001.png",
    counts: &[
        ("training images", 7_368, |e| images(e, train)),
        ("training identities", 767, |e| identities(e, train)),
        ("query images", 1_400, |e| images(e, query)),
        ("query identities", 700, |e| identities(e, query)),
        ("gallery images", 5_328, |e| images(e, gallery)),
    ],
};

/// CUHK03, boxes found by a detector.
pub const CUHK03_DETECTED: Layout = Layout {
    name: "CUHK03 detected",
    counts: &[
        ("training images", 7_365, |e| images(e, train)),
        ("training identities", 767, |e| identities(e, train)),
        ("query images", 1_400, |e| images(e, query)),
        ("query identities", 700, |e| identities(e, query)),
        ("gallery images", 5_332, |e| images(e, gallery)),
    ],
    ..CUHK03_LABELED
};

/// VeRi-776: X. Liu et al., "A Deep Learning-Based Approach to Progressive Vehicle
/// Re-identification for Urban Surveillance", ECCV 2016. Twenty cameras. Some copies hold slightly
/// fewer training images.
pub const VERI_776: Layout = Layout {
    name: "VeRi-776",
    folders: ["image_train", "image_query", "image_test"],
    parse: veri,
    pattern: "0001_c001_00016450_0.jpg",
    counts: &[
        ("training images", 37_778, |e| images(e, train)),
        ("training vehicles", 576, |e| identities(e, train)),
        ("query images", 1_678, |e| images(e, query)),
        ("query vehicles", 200, |e| identities(e, query)),
        ("gallery images", 11_579, |e| images(e, gallery)),
        ("gallery vehicles", 200, |e| identities(e, gallery)),
    ],
};

fn images(entries: &[Entry], wanted: impl Fn(&Entry) -> bool) -> usize {
    entries.iter().filter(|e| wanted(e)).count()
}

fn identities(entries: &[Entry], wanted: impl Fn(&Entry) -> bool) -> usize {
    let wanted = entries.iter().filter(|e| wanted(e));
    wanted
        .map(|e| e.label.as_str())
        .collect::<BTreeSet<_>>()
        .len()
}

fn train(entry: &Entry) -> bool {
    entry.split == Split::Train
}

fn query(entry: &Entry) -> bool {
    entry.is_query
}

fn gallery(entry: &Entry) -> bool {
    entry.is_gallery
}

/// `0001_c1s1_000151_01`, with four more digits in some copies' training names.
fn market(name: &str) -> Option<(&str, u32)> {
    let mut scan = Scan(name);
    let identity = scan.identity(4, 4)?;
    scan.literal("_c")?;
    let camera = scan.number(1, 1).filter(|c| (1..=6).contains(c))?;
    scan.literal("s")?;
    scan.digits(1, 1)?;
    scan.literal("_")?;
    scan.digits(6, 6)?;
    scan.literal("_")?;
    scan.digits(2, 2)?;
    scan.0.starts_with('.').then_some((identity, camera))
}

/// `0001_c2_f0046182`.
fn duke(name: &str) -> Option<(&str, u32)> {
    let mut scan = Scan(name);
    let identity = scan.digits(4, 4)?;
    scan.literal("_c")?;
    let camera = scan.number(1, 1).filter(|c| (1..=8).contains(c))?;
    scan.literal("_f")?;
    scan.digits(7, 7)?;
    scan.0.starts_with('.').then_some((identity, camera))
}

/// `0001_c1_` and anything.
fn cuhk03(name: &str) -> Option<(&str, u32)> {
    let mut scan = Scan(name);
    let identity = scan.identity(1, 4)?;
    scan.literal("_c")?;
    let camera = scan.number(1, 1).filter(|c| (1..=2).contains(c))?;
    scan.0.starts_with(['_', '.']).then_some((identity, camera))
}

/// `0001_c001_00016450_0`: vehicle, camera, time, number.
fn veri(name: &str) -> Option<(&str, u32)> {
    let mut scan = Scan(name);
    let identity = scan.digits(4, 4)?;
    scan.literal("_c")?;
    let camera = scan.number(3, 3).filter(|c| (1..=20).contains(c))?;
    scan.literal("_")?;
    scan.digits(8, 8)?;
    scan.literal("_")?;
    scan.digits(1, 9)?;
    scan.0.starts_with('.').then_some((identity, camera))
}

/// Reads a data set of one of the layouts, for example `reid::read(&MARKET_1501, root)`. Labels
/// are the identities as the names spell them; cameras count from 1, as in the names.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read;
/// [`Error::Invalid`] for an image that is named differently.
pub fn read(layout: &Layout, root: impl AsRef<Path>) -> Result<Survey> {
    let root = root.as_ref();
    let (mut entries, mut ignored) = (Vec::new(), 0);
    for (role, folder) in layout.folders.into_iter().enumerate() {
        let found = list::images(root, folder, false)?;
        ignored += found.ignored;
        for path in found.images {
            let name = (layout.parse)(list::basename(&path));
            let (identity, camera) = name.ok_or_else(|| list::bad_name(&path, layout.pattern))?;
            let split = if role == 0 { Split::Train } else { Split::Test };
            let identity = identity.to_string();
            entries.push(Entry {
                camera: Some(camera),
                is_query: role == 1,
                is_gallery: role == 2,
                ..Entry::new(path, identity, split)
            });
        }
    }
    Ok(layout.survey(root, entries, ignored))
}

impl Layout {
    /// Training, query, gallery.
    pub(super) fn folders(&self) -> &[&'static str] {
        &self.folders
    }

    /// Whether an image may be named so.
    pub(super) fn fits(&self, name: &str) -> bool {
        (self.parse)(name).is_some()
    }

    /// A list with the official table.
    pub(super) fn survey(&self, root: &Path, entries: Vec<Entry>, ignored: usize) -> Survey {
        let count = |(what, official, found): &(&str, usize, Counted)| -> Count {
            list::count(what, *official, found(&entries))
        };
        Survey {
            counts: self.counts.iter().map(count).collect(),
            manifest: Manifest {
                name: self.name.into(),
                root: root.into(),
                entries,
            },
            ignored,
        }
    }
}

/// Reads PKU VehicleID (H. Liu et al., "Deep Relative Distance Learning", CVPR 2016) with one of
/// its test lists, of 800, 1600 or 2400 vehicles: `train_test_split/train_list.txt` and
/// `test_list_800.txt`, whose lines are an image and its vehicle, and `image/0000001.jpg`.
///
/// There are no cameras. The rule is
/// [`vehicle_id`](crate::metrics::retrieval::vehicle_id): one image of each test vehicle is drawn
/// for the gallery, ten times.
///
/// # Errors
/// [`Error::Io`] if a list cannot be read; [`Error::Line`]
/// for a line that is not two numbers.
pub fn vehicle_id(root: impl AsRef<Path>, vehicles: usize) -> Result<Survey> {
    let root = root.as_ref();
    let mut entries = Vec::new();
    for (list, split) in [
        ("train_list.txt".to_string(), Split::Train),
        (format!("test_list_{vehicles}.txt"), Split::Test),
    ] {
        let path = root.join("train_test_split").join(list);
        for (number, line) in list::lines(&path)? {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [image, vehicle] if is_number(image) && is_number(vehicle) => {
                    entries.push(Entry::new(format!("image/{image}.jpg"), vehicle, split));
                }
                _ => return Err(list::bad_line(&path, number, "0000001 5", &line)),
            }
        }
    }
    entries.sort_by(|a, b| (a.split, &a.path).cmp(&(b.split, &b.path)));
    let found = identities(&entries, |e| e.split == Split::Test);
    Ok(Survey {
        manifest: Manifest {
            name: format!("VehicleID, {vehicles} test vehicles"),
            root: root.into(),
            entries,
        },
        counts: vec![list::count("test vehicles", vehicles, found)],
        ignored: 0,
    })
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// Reads one of VeRi-776's files `gt_index.txt` and `jk_index.txt`: for each query, in the order
/// of `name_query.txt`, the places in `name_test.txt`, from 0, of the images that are its true
/// matches (same vehicle, other camera) or junk (same vehicle, same camera).
///
/// They say what
/// [`Rule::CrossCamera`](crate::metrics::retrieval::Rule::CrossCamera) says; reading them serves
/// to check that a copy is whole.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Line`]
/// for a line of anything but numbers from 1.
pub fn veri_index(path: impl AsRef<Path>) -> Result<Vec<Vec<usize>>> {
    let path = path.as_ref();
    let text = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let text = String::from_utf8_lossy(&text);
    let place = |word: &str| word.parse::<usize>().ok().and_then(|i| i.checked_sub(1));
    let row = |(number, line): (u64, &str)| {
        let places = line.split_whitespace().map(place).collect::<Option<_>>();
        places.ok_or_else(|| list::bad_line(path, number, "whole numbers from 1", line))
    };
    // A query without junk has an empty line, which counts.
    (1..).zip(text.lines()).map(row).collect()
}

/// Reads a list of names, one a line, such as VeRi-776's `name_test.txt`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Line`]
/// for a name that leads out of its folder.
pub fn names(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let path = path.as_ref();
    let name = |(number, line): (u64, String)| match line.trim() {
        name if stays_inside(name) => Ok(name.to_string()),
        name => Err(list::bad_line(path, number, "the name of an image", name)),
    };
    list::lines(path)?.into_iter().map(name).collect()
}

#[cfg(test)]
#[path = "reid_tests.rs"]
mod tests;
