//! Packs of face pairs: the `.bin` files that insightface verifies by (`lfw.bin`, `cfp_fp.bin`,
//! `agedb_30.bin`, `calfw.bin`, `cplfw.bin`).
//!
//! A pack is a pickle of two lists: encoded images, of which numbers `2i` and `2i + 1` are pair
//! `i`, and whether the pairs show one person each. A pickle is read as data: nothing of it is
//! executed, and what it would have python construct is refused where it is not an array of bytes.

use super::list;
use crate::decode::{self, Picture};
use crate::error::{Error, Result};
use crate::files::{Frame, Unreadable};
use crate::set::ImageSet;
use engine::par;
use serde_pickle::{DeOptions, Value};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

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
    pub images: Vec<Vec<u8>>,
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
        return Err(damaged(path, "a pack of at most 2 GiB", "more"));
    }
    let options = DeOptions::new().replace_unresolved_globals();
    let value = serde_pickle::value_from_slice(&bytes, options)
        .map_err(|e| damaged(path, "a pickle of two lists", &e.to_string()))?;
    let lists = match value {
        Value::Tuple(parts) | Value::List(parts) => <[Value; 2]>::try_from(parts).ok(),
        _ => None,
    };
    let Some([Value::List(images), Value::List(same)]) = lists else {
        return Err(damaged(path, "a pickle of two lists", "another object"));
    };
    if images.len() != 2 * same.len() {
        let expected = format!("two images for each of {} pairs", same.len());
        return Err(damaged(
            path,
            &expected,
            &format!("{} images", images.len()),
        ));
    }
    let image = |(i, value)| {
        let image = encoded(value);
        image.ok_or_else(|| {
            damaged(
                path,
                "an encoded image",
                &format!("something else as number {i}"),
            )
        })
    };
    let verdict = |(i, value): (usize, &Value)| match value {
        Value::Bool(same) => Ok(*same),
        Value::I64(number @ 0..=1) => Ok(*number == 1),
        _ => Err(damaged(
            path,
            "True or False",
            &format!("something else for pair {i}"),
        )),
    };
    Ok(Pack {
        name: path.display().to_string(),
        images: images
            .into_iter()
            .enumerate()
            .map(image)
            .collect::<Result<_>>()?,
        same: same
            .iter()
            .enumerate()
            .map(verdict)
            .collect::<Result<_>>()?,
    })
}

fn encoded(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        // numpy: (version, shape, type, in columns, bytes). One axis, or its bytes are no file.
        Value::Tuple(state) => match <[Value; 5]>::try_from(state).ok()? {
            [_, Value::Tuple(shape), _, _, Value::Bytes(bytes)] if shape.len() == 1 => Some(bytes),
            _ => None,
        },
        _ => None,
    }
}

fn damaged(path: &Path, expected: &str, found: &str) -> Error {
    Error::Format {
        file: path.display().to_string(),
        offset: 0,
        expected: expected.into(),
        found: found.into(),
        hint: "use the file as insightface published it".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageFormat, Luma};
    use proptest::prelude::*;
    use std::fs;

    fn png(level: u8) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = GrayImage::from_pixel(2, 3, Luma([level]));
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// `pickle.dumps((images, same), protocol=2)`, with python 3's `bytes` (`true`), which protocol
    /// 3 has, or python 2's strings.
    fn pickled(images: &[Vec<u8>], same: &[bool], python3: bool) -> Vec<u8> {
        let mut out = vec![0x80, if python3 { 3 } else { 2 }];
        out.extend(b"](");
        for image in images {
            out.push(if python3 { b'B' } else { b'T' });
            out.extend((image.len() as u32).to_le_bytes());
            out.extend(image);
        }
        out.extend(b"e](");
        same.iter()
            .for_each(|&s| out.push(if s { 0x88 } else { 0x89 }));
        out.extend(b"e\x86.");
        out
    }

    fn parsed(bytes: &[u8]) -> std::result::Result<Pack, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lfw.bin");
        fs::write(&path, bytes).unwrap();
        read(path).map_err(|e| e.to_string())
    }

    #[test]
    fn pairs_of_both_pythons_are_read() {
        let images: Vec<Vec<u8>> = (0..4).map(|i| png(10 * i)).collect();
        for python3 in [true, false] {
            let pack = parsed(&pickled(&images, &[true, false], python3)).unwrap();
            assert_eq!(
                (&pack.images, &pack.same[..]),
                (&images, &[true, false][..])
            );
            let picture = pack.decode(3, 1).unwrap();
            assert_eq!((picture.shape(), picture.pixels()[0]), ([3, 2, 1], 30));
        }
        let broken = parsed(&pickled(&[vec![1], vec![2]], &[true], true)).unwrap();
        let message = broken.decode(1, 3).unwrap_err().to_string();
        assert!(
            message.contains("lfw.bin, image 1: not a readable image"),
            "{message}"
        );
    }

    #[test]
    fn arrays_and_numbers_stand_for_bytes_and_truths() {
        let image = png(77);
        let array = [
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01".to_vec(),
            vec![b'M', image.len() as u8, (image.len() >> 8) as u8, 0x85],
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89B".to_vec(),
            (image.len() as u32).to_le_bytes().to_vec(),
            image.clone(),
            b"tb".to_vec(),
        ];
        let bytes = [
            b"\x80\x03](".to_vec(),
            array.concat(),
            array.concat(),
            b"e]K\x00a\x86.".to_vec(),
        ];
        let pack = parsed(&bytes.concat()).unwrap();
        assert_eq!(
            (pack.images, pack.same),
            (vec![image.clone(), image], vec![false])
        );
    }

    #[test]
    fn packs_are_loaded_in_one_shape_and_labelled_by_pair() {
        let wide = |level: u8| {
            let mut bytes = Cursor::new(Vec::new());
            let halves = |x, _| Luma([if x < 2 { level } else { 255 }]);
            let image = GrayImage::from_fn(4, 2, halves);
            image.write_to(&mut bytes, ImageFormat::Png).unwrap();
            bytes.into_inner()
        };
        let mut pack = Pack {
            name: "pack".into(),
            images: (0..600).map(|i| wide((i % 200) as u8)).collect(),
            same: (0..300).map(|pair| pair % 2 == 0).collect(),
        };
        let shape = [2, 2, 1];
        let load = |pack: &Pack, frame, how| pack.load(shape, frame, how);
        let (set, numbers, bad) = load(&pack, Frame::Centre(1.0), Unreadable::Refuse).unwrap();
        assert!(bad.is_empty() && numbers.iter().copied().eq(0..600));
        assert_eq!(set.labels()[..7], [0, 0, 1, 2, 3, 3, 4]);
        assert_eq!(set.classes()[..5], ["0", "1a", "1b", "2", "3a"]);
        // The middle of number 301, beyond the first block, is half its level, half white.
        assert_eq!(set.image(301), [101, 255, 101, 255]);
        let (set, ..) = load(&pack, Frame::Centre(0.5), Unreadable::Refuse).unwrap();
        assert_eq!(set.len(), 600);

        pack.images[1] = vec![7];
        let message = load(&pack, Frame::Stretch, Unreadable::Refuse)
            .unwrap_err()
            .to_string();
        assert!(message.contains("pack, image 1"), "{message}");
        let (set, numbers, bad) = load(&pack, Frame::Stretch, Unreadable::Skip).unwrap();
        assert_eq!((set.len(), bad.len(), &numbers[..2]), (599, 1, &[0, 2][..]));
        assert_eq!(set.labels()[..4], [0, 1, 2, 3]);
        assert!(load(&pack, Frame::Centre(0.0), Unreadable::Skip).is_err());
    }

    #[test]
    fn a_folder_stands_for_its_packs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let message = |result: Result<Pack>| result.unwrap_err().to_string();
        assert!(message(read_only(folder)).contains("files like lfw.bin"));
        let whole = pickled(&[png(1), png(2)], &[true], true);
        for name in ["lfw.bin", "train.rec"] {
            fs::write(folder.join(name), &whole).unwrap();
        }
        assert_eq!(read_only(folder).unwrap().len(), 1);
        assert_eq!(read_only(folder.join("lfw.bin")).unwrap().len(), 1);
        fs::write(folder.join("cfp_fp.bin"), &whole).unwrap();
        let both = ["cfp_fp.bin", "lfw.bin"].map(|name| folder.join(name));
        assert_eq!(find(folder).unwrap(), both);
        let text = message(read_only(folder));
        assert!(
            text.contains("cfp_fp.bin") && text.contains("name the file"),
            "{text}"
        );
    }

    #[test]
    fn folds_are_those_of_scikit_learn() {
        let sizes = |pairs: usize| {
            let pack = Pack {
                name: String::new(),
                images: Vec::new(),
                same: vec![true; pairs],
            };
            let mut sizes = vec![0; FOLDS];
            let folds: Vec<usize> = (0..pairs).map(|p| pack.fold(p)).collect();
            assert!(folds.is_sorted());
            folds.iter().for_each(|&f| sizes[f] += 1);
            sizes
        };
        assert_eq!(sizes(6000), [600; 10]);
        // KFold(10).split(range(23))
        assert_eq!(sizes(23), [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(sizes(3), [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn other_pickles_and_damage_are_named() {
        let one = [png(1), png(2)];
        let whole = pickled(&one, &[true], true);
        for (bytes, part) in [
            (whole[..whole.len() - 9].to_vec(), "a pickle of two lists"),
            (b"\x80\x03]q\x00.".to_vec(), "found another object"),
            (
                pickled(&one, &[true, true], true),
                "two images for each of 2 pairs",
            ),
            (b"\x80\x03](K\x01K\x02e]\x88a\x86.".to_vec(), "number 0"),
            (
                b"\x80\x03](C\x01aC\x01be]K\x05a\x86.".to_vec(),
                "for pair 0",
            ),
            // What would call a function is data, and no list.
            (
                b"\x80\x03cos\nsystem\nX\x02\x00\x00\x00ls\x85R.".to_vec(),
                "two lists",
            ),
        ] {
            let message = parsed(&bytes).unwrap_err();
            assert!(
                message.contains("lfw.bin") && message.contains(part),
                "{message}"
            );
        }
        assert!(
            read("no/such.bin")
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }

    proptest! {
        #[test]
        fn no_pack_makes_the_reader_panic(at in 0usize..200, byte: u8, cut in 0usize..200) {
            let mut bytes = pickled(&[png(1), png(2)], &[true], true);
            let at = at % bytes.len();
            bytes[at] = byte;
            let keep = bytes.len() - cut % bytes.len();
            bytes.truncate(keep);
            if let Ok(pack) = parsed(&bytes) {
                (0..pack.images.len()).for_each(|i| drop(pack.decode(i, 3)));
            }
        }
    }
}
