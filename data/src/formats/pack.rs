//! Packs of face pairs: the `.bin` files that insightface verifies by (`lfw.bin`, `cfp_fp.bin`,
//! `agedb_30.bin`, `calfw.bin`, `cplfw.bin`).
//!
//! A pack is a pickle of two lists: encoded images, of which numbers `2i` and `2i + 1` are pair
//! `i`, and whether the pairs show one person each. A pickle is read as data: nothing of it is
//! executed, and what it would have python construct is refused where it is not an array of bytes.

use crate::decode::{self, Picture};
use crate::error::{Error, Result};
use serde_pickle::{DeOptions, Value};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

/// The largest pack, in bytes. The official ones have 60 to 110 MB.
pub const LARGEST: u64 = 2 << 30;

/// Folds of the protocol.
const FOLDS: usize = 10;

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
