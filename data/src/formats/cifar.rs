//! CIFAR-10 and CIFAR-100: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny
//! Images", 2009. 50,000 training and 10,000 test images of 32 x 32 pixels in colour.
//!
//! The binary form (`cifar-10-batches-bin`, `cifar-100-binary`) and the python form
//! (`cifar-10-batches-py`, `cifar-100-python`) are told apart by their file names. A pickle is
//! read as data: nothing of it is executed.
//!
//! Files may hold fewer images than the official ones, as long as they are whole.

use super::list;
use super::pickle::{Broken, Pickle, Place, Value};
use crate::error::{Error, Result};
use crate::set::ImageSet;
use crate::split::Official;
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// Mean of the training pixels of CIFAR-10 by channel, 1 being white.
pub const MEAN_10: [f32; 3] = [0.4914, 0.4822, 0.4465];
/// Standard deviation of the training pixels of CIFAR-10 by channel.
pub const STD_10: [f32; 3] = [0.2470, 0.2435, 0.2616];
/// Mean of the training pixels of CIFAR-100 by channel, 1 being white.
pub const MEAN_100: [f32; 3] = [0.5071, 0.4865, 0.4409];
/// Standard deviation of the training pixels of CIFAR-100 by channel.
pub const STD_100: [f32; 3] = [0.2673, 0.2564, 0.2762];

/// The labels of CIFAR-100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// The 100 classes: `apple` to `worm`.
    Fine,
    /// The 20 groups of five classes each: `aquatic_mammals` to `vehicles_2`.
    Coarse,
}

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const IMAGE: usize = 3 * PLANE;

/// Reads a folder of CIFAR-10 in either form. The classes are named by `batches.meta.txt` or
/// `batches.meta`, or `0` to `9` where there is neither.
///
/// # Errors
/// [`Error::Missing`] if the folder holds no form of it; [`Error::Io`] and [`Error::Format`] for
/// files that cannot be read or are damaged.
pub fn ten(folder: impl AsRef<Path>) -> Result<Official> {
    let folder = folder.as_ref();
    let batches = ["1", "2", "3", "4", "5"].map(|i| format!("data_batch_{i}"));
    let batches = batches.each_ref().map(String::as_str);
    let form = Form {
        folder,
        classes: 10,
        train: &batches,
        test: "test_batch",
        names: ["batches.meta.txt", "batches.meta"],
        names_key: "label_names",
        labels_key: "labels",
        label: (0, 1),
    };
    form.read()
}

/// Reads a folder of CIFAR-100 in either form, with its fine or its coarse labels. The classes
/// are named by `fine_label_names.txt`, `coarse_label_names.txt` or `meta`, or by their numbers
/// where there is none.
///
/// # Errors
/// As [`ten`].
pub fn hundred(folder: impl AsRef<Path>, labels: Labels) -> Result<Official> {
    let folder = folder.as_ref();
    let form = |classes, names, names_key, labels_key, label| Form {
        folder,
        classes,
        train: &["train"],
        test: "test",
        names: [names, "meta"],
        names_key,
        labels_key,
        label,
    };
    match labels {
        Labels::Fine => {
            let names = "fine_label_names.txt";
            form(100, names, "fine_label_names", "fine_labels", (1, 2)).read()
        }
        Labels::Coarse => {
            let names = "coarse_label_names.txt";
            form(20, names, "coarse_label_names", "coarse_labels", (0, 2)).read()
        }
    }
}

/// What tells the two sets, and their labels, apart.
struct Form<'a> {
    folder: &'a Path,
    classes: usize,
    train: &'a [&'a str],
    test: &'a str,
    /// Where the classes are named, in the binary and in the python form.
    names: [&'a str; 2],
    names_key: &'a str,
    labels_key: &'a str,
    /// The place of the label in front of an image, and the labels there are.
    label: (usize, usize),
}

/// Pixels and labels of one or more files, in the order of the files.
#[derive(Default)]
struct Content {
    pixels: Vec<u8>,
    labels: Vec<usize>,
}

impl Form<'_> {
    fn read(&self) -> Result<Official> {
        let has = |kind: &str| self.folder.join(format!("{}{kind}", self.test)).is_file();
        let (kind, names) = match (has(".bin"), has("")) {
            (true, _) => (".bin", self.names_of_lines()?),
            (false, true) => ("", self.names_of_pickle()?),
            (false, false) => {
                return Err(Error::Missing {
                    folder: self.folder.display().to_string(),
                    wanted: format!("{0}.bin or {0}", self.test),
                    found: "neither".into(),
                    hint: "name the folder that directly holds the batches".into(),
                });
            }
        };
        let part = |part: &str, stems: &[&str]| {
            let mut content = Content::default();
            for stem in stems {
                let path = self.folder.join(format!("{stem}{kind}"));
                let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
                match kind {
                    "" => self.pickle(&path, &bytes, &mut content)?,
                    _ => self.binary(&path, &bytes, &mut content)?,
                }
            }
            let name = format!("{} {part}", self.folder.display());
            let shape = [SIDE, SIDE, 3];
            ImageSet::new(name, shape, content.pixels, content.labels, names.clone())
        };
        Ok(Official {
            train: part("train", self.train)?,
            test: part("test", &[self.test])?,
        })
    }

    /// Records of one or two labels and three planes.
    fn binary(&self, path: &Path, bytes: &[u8], content: &mut Content) -> Result<()> {
        let record = self.label.1 + IMAGE;
        if !bytes.len().is_multiple_of(record) {
            let whole = bytes.len() / record * record;
            let found = format!("{} bytes in the last one", bytes.len() - whole);
            return Err(damaged(
                path,
                whole,
                &format!("records of {record} bytes"),
                &found,
            ));
        }
        for (i, record_bytes) in bytes.chunks_exact(record).enumerate() {
            let label = usize::from(record_bytes[self.label.0]);
            let place = i * record + self.label.0;
            self.push(path, place, label, &record_bytes[self.label.1..], content)?;
        }
        Ok(())
    }

    /// A dictionary of an array `data` `[n, 3072]` and a list of labels.
    fn pickle(&self, path: &Path, bytes: &[u8], content: &mut Content) -> Result<()> {
        let pickle = parsed(path, bytes)?;
        let fields = dictionary(path, &pickle)?;
        let field = |name: &str| {
            let found = field(&pickle, fields, name);
            found.ok_or_else(|| {
                let keys = fields.iter().filter_map(|&(key, _)| text(&pickle[key]));
                let keys: Vec<_> = keys.take(NAMED).collect();
                let expected = format!("a dictionary with {name:?}");
                damaged(path, 0, &expected, &keys.join(", "))
            })
        };
        let wrong = |what: &str| damaged(path, 0, what, "something else");
        let pixels = match pickle.array(field("data")?) {
            Some([_, _, _, Value::Bool(false), Value::Bytes(pixels)]) => pixels,
            Some(_) => return Err(wrong("an array of bytes in rows")),
            None => return Err(wrong("an array \"data\"")),
        };
        let Value::List(labels) = field(self.labels_key)? else {
            return Err(wrong("a list of labels"));
        };
        if pixels.len() != labels.len().saturating_mul(IMAGE) {
            let expected = format!("{IMAGE} bytes for each of {} labels", labels.len());
            return Err(damaged(
                path,
                0,
                &expected,
                &format!("{} bytes", pixels.len()),
            ));
        }
        for (label, image) in labels.iter().zip(pixels.chunks_exact(IMAGE)) {
            let label = match pickle[*label] {
                Value::Whole(label) => usize::try_from(label).ok(),
                _ => None,
            };
            let label = label.ok_or_else(|| wrong("labels that are whole numbers"))?;
            self.push(path, 0, label, image, content)?;
        }
        Ok(())
    }

    /// Adds an image of three planes as one of pixels.
    fn push(
        &self,
        path: &Path,
        place: usize,
        label: usize,
        planes: &[u8],
        content: &mut Content,
    ) -> Result<()> {
        if label >= self.classes {
            let expected = format!("a label below {}", self.classes);
            return Err(damaged(path, place, &expected, &label.to_string()));
        }
        content.labels.push(label);
        let pixel = |i: usize| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]];
        content.pixels.extend((0..PLANE).flat_map(pixel));
        Ok(())
    }

    fn names_of_lines(&self) -> Result<Vec<String>> {
        let path = self.folder.join(self.names[0]);
        if !path.is_file() {
            return Ok(self.numbers());
        }
        let lines = list::lines(&path)?.into_iter();
        self.checked(
            &path,
            lines.map(|(_, line)| line.trim().to_string()).collect(),
        )
    }

    fn names_of_pickle(&self) -> Result<Vec<String>> {
        let path = self.folder.join(self.names[1]);
        if !path.is_file() {
            return Ok(self.numbers());
        }
        let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let pickle = parsed(&path, &bytes)?;
        let names = match field(&pickle, dictionary(&path, &pickle)?, self.names_key) {
            Some(Value::List(names)) => &names[..],
            _ => &[],
        };
        let name = |&at: &Place| text(&pickle[at]).map(Cow::into_owned);
        // One more than are wanted, and no more: all may refer to one long text.
        let names = names.iter().take(self.classes + 1).filter_map(name);
        self.checked(&path, names.collect())
    }

    fn checked(&self, path: &Path, names: Vec<String>) -> Result<Vec<String>> {
        if names.len() != self.classes {
            let expected = format!("the names of {} classes", self.classes);
            let found = match names.len() > self.classes {
                true => "more names".into(),
                false => format!("{} names", names.len()),
            };
            return Err(damaged(path, 0, &expected, &found));
        }
        Ok(names)
    }

    fn numbers(&self) -> Vec<String> {
        (0..self.classes).map(|class| class.to_string()).collect()
    }
}

/// Keys that an error names.
const NAMED: usize = 10;

fn parsed<'a>(path: &Path, bytes: &'a [u8]) -> Result<Pickle<'a>> {
    let broken = |b: Broken| damaged(path, b.offset, "a pickled dictionary", &b.found);
    Pickle::read(bytes).map_err(broken)
}

/// The items of a pickled dictionary.
fn dictionary<'p>(path: &Path, pickle: &'p Pickle<'_>) -> Result<&'p [(Place, Place)]> {
    match pickle.root() {
        Value::Dict(fields) => Ok(fields),
        _ => Err(damaged(path, 0, "a pickled dictionary", "another object")),
    }
}

/// The value of a key; of several, the last one, as python has it.
fn field<'p, 'a>(
    pickle: &'p Pickle<'a>,
    fields: &[(Place, Place)],
    name: &str,
) -> Option<&'p Value<'a>> {
    let is_it = |&&(key, _): &&(Place, Place)| text(&pickle[key]).is_some_and(|key| key == name);
    let (_, value) = fields.iter().rev().find(is_it)?;
    Some(&pickle[*value])
}

/// Text, of whatever python.
fn text<'p>(value: &'p Value<'_>) -> Option<Cow<'p, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Bytes(text) => Some(String::from_utf8_lossy(text)),
        _ => None,
    }
}

fn damaged(path: &Path, offset: usize, expected: &str, found: &str) -> Error {
    Error::Format {
        file: path.display().to_string(),
        offset: offset as u64,
        expected: expected.into(),
        found: found.into(),
        hint: "unpack the archive again".into(),
    }
}

#[cfg(test)]
#[path = "cifar_tests.rs"]
mod tests;
