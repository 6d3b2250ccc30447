//! Packs of face pairs: the `.bin` files that insightface verifies by (`lfw.bin`, `cfp_fp.bin`,
//! `agedb_30.bin`, `calfw.bin`, `cplfw.bin`).
//!
//! A pack is a pickle of two lists: encoded images, of which numbers `2i` and `2i + 1` are pair
//! `i`, and whether the pairs show one person each. A pickle is read as data: nothing of it is
//! executed, and what it would have python construct is refused where it is not an array of bytes.

use super::list;
use super::pickle::{Pickle, Place, Value};
use crate::decode::{self, Picture};
use crate::error::{Error, Result};
use crate::files::{Frame, Unreadable};
use crate::set::ImageSet;
use engine::par;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest pack, in bytes. The official ones have 60 to 110 MB.
pub const LARGEST: u64 = 2 << 30;

/// Folds of the protocol.
const FOLDS: usize = 10;
/// Images that are decoded at a time.
const BLOCK: usize = 256;

/// The packs that are published, by which a folder of them is known.
const PUBLISHED: [&str; 8] = [
    "agedb_30.bin",
    "calfw.bin",
    "cfp_ff.bin",
    "cfp_fp.bin",
    "cplfw.bin",
    "lfw.bin",
    "sllfw.bin",
    "vgg2_fp.bin",
];

/// Pairs of encoded images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// What messages call it.
    pub name: String,
    /// Encoded images, JPEG or PNG as a rule: two for each pair.
    pub images: Vec<Arc<[u8]>>,
    /// Whether the images of each pair show one person.
    pub same: Vec<bool>,
}

impl Pack {
    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.same.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.same.is_empty()
    }

    /// The fold of a pair, from 0: ten of them, each of consecutive pairs, the first ones larger by
    /// one where ten does not divide their number (scikit-learn's `KFold(10)`, which insightface
    /// uses).
    pub fn fold(&self, pair: usize) -> usize {
        let (size, larger) = (self.len() / FOLDS, self.len() % FOLDS);
        let boundary = larger * (size + 1);
        match pair < boundary {
            true => pair / (size + 1),
            false => larger + (pair - boundary) / size.max(1),
        }
    }

    /// What tells an image from those of other pairs: `17`, or where the pair shows two people,
    /// `17a` and `17b`. Who they are is not known; somebody may well be in several pairs.
    pub fn label(&self, image: usize) -> String {
        let pair = image / 2;
        match (self.same[pair], image % 2) {
            (true, _) => format!("{pair}"),
            (false, 0) => format!("{pair}a"),
            (false, _) => format!("{pair}b"),
        }
    }

    /// Decodes everything into memory, `[height, width, channels]` each, on all threads. Returns
    /// the images that can be read under their [`label`](Self::label)s, the number of each in the
    /// pack, and why the others cannot be.
    ///
    /// # Errors
    /// With [`Unreadable::Refuse`], the first one; [`Error::Invalid`] if the shape or the frame
    /// makes no sense.
    pub fn load(
        &self,
        shape: [usize; 3],
        frame: Frame,
        unreadable: Unreadable,
    ) -> Result<(ImageSet, Vec<usize>, Vec<Error>)> {
        frame.check(&self.name, shape)?;
        let [height, width, channels] = shape;
        let shown = |i: usize| {
            let picture = self.decode(i, channels)?;
            let part = frame.part(picture.area(), [height, width]);
            Ok(picture.resized(part, [height, width]).into_pixels())
        };
        let (mut pixels, mut labels, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut numbers, mut bad) = (Vec::new(), Vec::new());
        for start in (0..self.images.len()).step_by(BLOCK) {
            let block = BLOCK.min(self.images.len() - start);
            for (i, image) in (start..).zip(par::map(block, |i| shown(start + i))) {
                match (image, unreadable) {
                    (Ok(image), _) => pixels.extend(image),
                    (Err(error), Unreadable::Refuse) => return Err(error),
                    (Err(error), Unreadable::Skip) => {
                        bad.push(error);
                        continue;
                    }
                }
                let label = self.label(i);
                if classes.last() != Some(&label) {
                    classes.push(label);
                }
                labels.push(classes.len() - 1);
                numbers.push(i);
            }
        }
        let set = ImageSet::new(self.name.as_str(), shape, pixels, labels, classes)?;
        Ok((set, numbers, bad))
    }

    /// Decodes an image with `channels` channels.
    ///
    /// # Errors
    /// [`Error::Picture`] if it cannot be decoded.
    ///
    /// # Panics
    /// If there is no such image, or `channels` is neither 1 nor 3.
    pub fn decode(&self, image: usize, channels: usize) -> Result<Picture> {
        let name = format!("{}, image {image}", self.name);
        decode::read(Cursor::new(&self.images[image]), &name, channels)
    }
}

/// The packs that a path stands for: a file for itself, a folder for the files in it that end in
/// `.bin`, by name.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read; [`Error::Invalid`] if there is no such file in it.
pub fn find(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = list::entries(path, "")?.into_iter();
    let packs = entries.filter(|(name, is_folder)| !is_folder && name.ends_with(".bin"));
    let packs: Vec<PathBuf> = packs.map(|(name, _)| path.join(name)).collect();
    match packs.is_empty() {
        false => Ok(packs),
        true => Err(Error::invalid(
            format!("packs in {}", path.display()),
            "files like lfw.bin",
            "none",
            "name the folder that directly holds them",
        )),
    }
}

/// Reads the pack that a path stands for: the file, or the only pack in the folder.
///
/// # Errors
/// As [`find`] and [`read`]; [`Error::Invalid`] if there are several.
pub fn read_only(path: impl AsRef<Path>) -> Result<Pack> {
    let path = path.as_ref();
    match find(path)?.as_slice() {
        [pack] => read(pack),
        several => {
            let name = |pack: &PathBuf| pack.display().to_string();
            Err(Error::invalid(
                format!("packs in {}", path.display()),
                "one",
                several.iter().map(name).collect::<Vec<_>>().join(", "),
                "name the file that is meant",
            ))
        }
    }
}

/// Whether a file is one of those that are published, by its name.
pub(super) fn is_published(name: &str) -> bool {
    PUBLISHED.contains(&name)
}

/// Reads a pack. Images may be bytes, or numpy arrays of bytes; python 2 and 3 may have written
/// them.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is not two such lists that fit
/// each other, or larger than [`LARGEST`].
pub fn read(path: impl AsRef<Path>) -> Result<Pack> {
    let path = path.as_ref();
    let io = |e| Error::io(path, e);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(damaged(path, 0, "a pack of at most 2 GiB", "more"));
    }
    let pickle = Pickle::read(&bytes).map_err(|broken| {
        let expected = "a pickle of two lists";
        damaged(path, broken.offset, expected, &broken.found)
    })?;
    let lists = match pickle.root() {
        Value::Tuple(parts) | Value::List(parts) => <[Place; 2]>::try_from(&parts[..]).ok(),
        _ => None,
    };
    let lists = lists.map(|lists| lists.map(|at| &pickle[at]));
    let Some([Value::List(images), Value::List(same)]) = lists else {
        return Err(damaged(path, 0, "a pickle of two lists", "another object"));
    };
    if images.len() != 2 * same.len() {
        let expected = format!("two images for each of {} pairs", same.len());
        let found = format!("{} images", images.len());
        return Err(damaged(path, 0, &expected, &found));
    }
    // An image that the pickle refers to in several pairs is there once.
    let mut known: HashMap<Place, Arc<[u8]>> = HashMap::new();
    let image = |(i, at): (usize, &Place)| {
        if let Some(image) = known.get(at) {
            return Ok(image.clone());
        }
        let image = encoded(&pickle, *at).ok_or_else(|| {
            let found = format!("something else as number {i}");
            damaged(path, 0, "an encoded image", &found)
        })?;
        let image: Arc<[u8]> = image.into();
        known.insert(*at, image.clone());
        Ok(image)
    };
    let images = images.iter().enumerate().map(image);
    let images = images.collect::<Result<_>>()?;
    let verdict = |(i, at): (usize, &Place)| match pickle[*at] {
        Value::Bool(same) => Ok(same),
        Value::Whole(number @ 0..=1) => Ok(number == 1),
        _ => {
            let found = format!("something else for pair {i}");
            Err(damaged(path, 0, "True or False", &found))
        }
    };
    let same = same.iter().enumerate().map(verdict);
    Ok(Pack {
        name: path.display().to_string(),
        images,
        same: same.collect::<Result<_>>()?,
    })
}

fn encoded<'p>(pickle: &'p Pickle<'_>, at: Place) -> Option<&'p [u8]> {
    match &pickle[at] {
        Value::Bytes(bytes) => Some(bytes),
        // One axis, or its bytes are no file.
        array => match pickle.array(array)? {
            [_, Value::Tuple(shape), _, _, Value::Bytes(bytes)] if shape.len() == 1 => Some(bytes),
            _ => None,
        },
    }
}

fn damaged(path: &Path, offset: usize, expected: &str, found: &str) -> Error {
    Error::Format {
        file: path.display().to_string(),
        offset: offset as u64,
        expected: expected.into(),
        found: found.into(),
        hint: "use the file as insightface published it".into(),
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
