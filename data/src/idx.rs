//! The IDX format of MNIST and its relatives, plain or gzip-compressed.
//!
//! All numbers are big-endian: two zero bytes, the element type, the number of dimensions, one
//! `u32` per dimension, then the elements, the last dimension fastest. Images are `u8` with three
//! dimensions (magic `00000803`), labels `u8` with one (magic `00000801`). Whether a file is
//! compressed is seen from its first two bytes, never from its name.
//!
//! A header is a claim. Memory grows with the bytes that really arrive, reading stops one byte
//! after what the header promised, and a promise above [`LARGEST`] is refused outright.

use crate::error::{Error, Result};
use crate::set::ImageSet;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest content that is read, in bytes: 4 GiB, almost a hundred times MNIST.
pub const LARGEST: u64 = 4 << 30;

/// The type of the elements of an IDX file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Unsigned bytes, code 08.
    U8,
    /// Signed bytes, code 09.
    I8,
    /// Signed 16-bit integers, code 0B.
    I16,
    /// Signed 32-bit integers, code 0C.
    I32,
    /// 32-bit floating point, code 0D.
    F32,
    /// 64-bit floating point, code 0E.
    F64,
}

impl Element {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x08 => Element::U8,
            0x09 => Element::I8,
            0x0B => Element::I16,
            0x0C => Element::I32,
            0x0D => Element::F32,
            0x0E => Element::F64,
            _ => return None,
        })
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Element::U8 | Element::I8 => 1,
            Element::I16 => 2,
            Element::I32 | Element::F32 => 4,
            Element::F64 => 8,
        }
    }
}

/// What an IDX file claims to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type of the elements.
    pub element: Element,
    /// The length of each dimension, the slowest first.
    pub dims: Vec<u32>,
}

impl Header {
    /// Bytes of the elements, or `None` where that number does not fit.
    pub fn content_bytes(&self) -> Option<u64> {
        let size = self.element.size() as u64;
        self.dims
            .iter()
            .try_fold(size, |n, &dim| n.checked_mul(u64::from(dim)))
    }
}

/// Grey images as an IDX file holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The number of images.
    pub count: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// `[count, height, width]`, row-major; 0 is the background.
    pub pixels: Vec<u8>,
}

/// An IDX file being read: a name for messages, and bytes that were unpacked if need be.
pub struct Source<'a> {
    file: String,
    offset: u64,
    reader: Box<dyn Read + 'a>,
}

impl Source<'static> {
    /// Opens a file, plain or gzip.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        match File::open(path) {
            Ok(opened) => Source::new(file, io::BufReader::with_capacity(1 << 16, opened)),
            Err(source) => Err(Error::Io { file, source }),
        }
    }
}

impl<'a> Source<'a> {
    /// Reads from anything, plain or gzip; `file` is what messages call it.
    ///
    /// # Errors
    /// [`Error::Io`] if the first two bytes cannot be read.
    pub fn new(file: impl Into<String>, mut reader: impl Read + 'a) -> Result<Self> {
        let file = file.into();
        let mut start = Vec::new();
        if let Err(source) = reader.by_ref().take(2).read_to_end(&mut start) {
            return Err(Error::Io { file, source });
        }
        let packed = start == [0x1f, 0x8b];
        let whole = io::Cursor::new(start).chain(reader);
        Ok(if packed {
            Source {
                file: format!("{file} (unpacked)"),
                offset: 0,
                reader: Box::new(MultiGzDecoder::new(whole)),
            }
        } else {
            Source {
                file,
                offset: 0,
                reader: Box::new(whole),
            }
        })
    }

    /// Reads the header, of any element type, and leaves the source at the first element.
    ///
    /// # Errors
    /// [`Error::Format`] if it is cut short or is no IDX header, [`Error::Io`] if reading fails.
    pub fn header(&mut self) -> Result<Header> {
        const HINT: &str = "this is no IDX file, or it is damaged";
        let magic = self.exactly(4, "the 4 bytes of an IDX magic number")?;
        let element = Element::from_code(magic[2]);
        let (&[0, 0, _, rank @ 1..=255], Some(element)) = (&magic[..], element) else {
            return Err(self.wrong(
                0,
                "an IDX magic number (00 00, type 08 09 0b 0c 0d or 0e, at least one dimension)",
                hex(&magic),
                HINT,
            ));
        };
        let dims = self.exactly(
            4 * u64::from(rank),
            &format!("{rank} dimensions of 4 bytes"),
        )?;
        let dims = dims
            .chunks_exact(4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        Ok(Header { element, dims })
    }

    /// Reads a file of grey images to its end.
    ///
    /// # Errors
    /// [`Error::Format`] if it holds something else, no image, or fewer or more bytes than its
    /// header says; [`Error::Io`] if reading fails.
    pub fn images(mut self) -> Result<Images> {
        let header = self.header()?;
        let &[count, height, width] = self.expect(&header, 3, "images")? else {
            unreachable!("three dimensions were asked for");
        };
        if let Some(axis) = header.dims.iter().position(|&dim| dim == 0) {
            return Err(self.wrong(
                4 + 4 * axis as u64,
                format!("at least one {}", ["image", "row", "column"][axis]),
                "0",
                "the file is empty or damaged; fetch it again",
            ));
        }
        Ok(Images {
            count: count as usize,
            height: height as usize,
            width: width as usize,
            pixels: self.content(&header)?,
        })
    }

    /// Reads a file of labels to its end; each must be below `classes`.
    ///
    /// # Errors
    /// [`Error::Format`] if it holds something else, a label out of range, or fewer or more bytes
    /// than its header says; [`Error::Io`] if reading fails.
    pub fn labels(mut self, classes: usize) -> Result<Vec<u8>> {
        let header = self.header()?;
        self.expect(&header, 1, "labels")?;
        let start = self.offset;
        let labels = self.content(&header)?;
        match labels
            .iter()
            .position(|&label| usize::from(label) >= classes)
        {
            None => Ok(labels),
            Some(i) => Err(self.wrong(
                start + i as u64,
                format!("a label below {classes}"),
                labels[i],
                "the file is damaged or belongs to a data set with other classes",
            )),
        }
    }

    /// The dimensions, if the header is one of bytes with `rank` dimensions.
    fn expect<'h>(&self, header: &'h Header, rank: usize, what: &str) -> Result<&'h [u32]> {
        if header.element == Element::U8 && header.dims.len() == rank {
            return Ok(&header.dims);
        }
        let found = match (header.element, header.dims.len()) {
            (Element::U8, 1) => "labels (magic 00000801)".to_string(),
            (Element::U8, 3) => "images (magic 00000803)".to_string(),
            (element, rank) => format!("{element:?} elements in {rank} dimensions"),
        };
        Err(self.wrong(
            0,
            format!("{what} (magic {:08x})", 0x0800 + rank),
            found,
            "check that the files of images and of labels were not exchanged",
        ))
    }

    /// All elements, as bytes, and the certainty that nothing follows them.
    fn content(&mut self, header: &Header) -> Result<Vec<u8>> {
        let sizes = header.dims.iter().map(u32::to_string).collect::<Vec<_>>();
        let sizes = sizes.join(" x ");
        let promised = match header.content_bytes() {
            Some(bytes) if bytes <= LARGEST => bytes,
            _ => {
                return Err(self.wrong(
                    4,
                    format!("dimensions of at most {LARGEST} bytes in all"),
                    sizes,
                    "the header is damaged, or the file has to be cut into smaller ones",
                ));
            }
        };
        let content = self.exactly(promised, &format!("{sizes} = {promised} bytes of content"))?;
        // Asking for one more byte also makes the gzip decoder check its checksum.
        match self.at_most(1)?[..] {
            [] => Ok(content),
            _ => Err(self.wrong(
                self.offset - 1,
                format!("the end of the file after {sizes} elements"),
                "more bytes",
                "the header and the content do not belong together; fetch the file again",
            )),
        }
    }

    fn exactly(&mut self, bytes: u64, what: &str) -> Result<Vec<u8>> {
        let read = self.at_most(bytes)?;
        if read.len() as u64 == bytes {
            return Ok(read);
        }
        Err(self.wrong(
            self.offset,
            what,
            format!("the end of the file after {} of them", read.len()),
            "the file is cut short; fetch it again",
        ))
    }

    /// Up to `bytes` bytes. The memory grows with what arrives, not with what is asked for.
    fn at_most(&mut self, bytes: u64) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        let outcome = self.reader.by_ref().take(bytes).read_to_end(&mut read);
        self.offset += read.len() as u64;
        match outcome {
            Ok(_) => Ok(read),
            Err(e) => Err(match e.kind() {
                // The kinds that the gzip decoder reports bad content with.
                io::ErrorKind::InvalidData
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::UnexpectedEof => self.wrong(
                    self.offset,
                    "sound gzip data to the end",
                    e,
                    "the compressed file is damaged or cut short; fetch it again",
                ),
                _ => Error::Io {
                    file: self.file.clone(),
                    source: e,
                },
            }),
        }
    }

    fn wrong(
        &self,
        offset: u64,
        expected: impl Into<String>,
        found: impl ToString,
        hint: &str,
    ) -> Error {
        Error::Format {
            file: self.file.clone(),
            offset,
            expected: expected.into(),
            found: found.to_string(),
            hint: hint.to_string(),
        }
    }
}

/// Reads a file of images and the file of their labels as a labelled set.
///
/// # Errors
/// As [`Source::images`] and [`Source::labels`], and [`Error::Format`] if their counts differ.
pub fn labelled(
    name: impl Into<String>,
    images: Source<'_>,
    labels: Source<'_>,
    classes: Vec<String>,
) -> Result<ImageSet> {
    let (images_file, labels_file) = (images.file.clone(), labels.file.clone());
    let images = images.images()?;
    let labels = labels.labels(classes.len())?;
    if labels.len() != images.count {
        return Err(Error::Format {
            file: labels_file,
            offset: 4,
            expected: format!("{} labels, one per image of {images_file}", images.count),
            found: labels.len().to_string(),
            hint: "take both files from the same part of the same data set".into(),
        });
    }
    ImageSet::new(
        name,
        [images.height, images.width, 1],
        images.pixels,
        labels.into_iter().map(usize::from).collect(),
        classes,
    )
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    digits.join(" ")
}

#[cfg(test)]
#[path = "idx_tests.rs"]
mod tests;
