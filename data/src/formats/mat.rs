//! MATLAB's `.mat` files of version 5 to 7, as far as lists of images need them: numbers, texts,
//! cells and structures; compressed or not; little endian.
//!
//! Sizes in the file are held against what is there before anything is read by them.

use crate::error::{Error, Result};
use flate2::read::ZlibDecoder;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// A variable, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Numbers of any type, column by column.
    Numbers(Vec<f64>),
    /// A line of characters.
    Text(String),
    /// Any values, column by column.
    Cells(Vec<Value>),
    /// Structures with the same fields.
    Structures(Vec<HashMap<String, Value>>),
}

const HEADER: usize = 128;
/// The most that a compressed variable may unpack to.
const LARGEST: u64 = 256 << 20;
/// The most cells and structures within each other.
const DEEPEST: usize = 16;

// Types of elements.
const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;

// Classes of arrays.
const CELL: u8 = 1;
const STRUCTURE: u8 = 2;
const CHARACTERS: u8 = 4;

/// Reads all variables of a file.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::Format`] if it is of another version or damaged.
pub(super) fn read(path: &Path) -> Result<HashMap<String, Value>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    variables(&bytes).map_err(|problem| Error::Format {
        file: path.display().to_string(),
        offset: problem.offset as u64,
        expected: problem.expected.into(),
        found: problem.found,
        hint: "use the file as its authors published it, or save it again with -v7".into(),
    })
}

/// What is wrong, and where. Within a compressed variable the place is that of the variable.
struct Problem {
    offset: usize,
    expected: &'static str,
    found: String,
}

/// What comes of reading version 5.
type Read5<T> = std::result::Result<T, Problem>;

fn variables(bytes: &[u8]) -> Read5<HashMap<String, Value>> {
    let problem = |offset, expected, found: &str| Problem {
        offset,
        expected,
        found: found.into(),
    };
    let version = match bytes.get(HEADER - 4..HEADER) {
        Some(version) => version,
        None => {
            return Err(problem(
                0,
                "a MATLAB file",
                &format!("{} bytes", bytes.len()),
            ));
        }
    };
    if version != [0, 1, b'I', b'M'] {
        // The block in front of HDF5 takes 512 bytes.
        let found = match bytes.get(512..516) {
            Some(b"\x89HDF") => "version 7.3, which is HDF5",
            _ => "another version or byte order",
        };
        return Err(problem(
            HEADER - 4,
            "version 5 in little-endian order",
            found,
        ));
    }
    let mut found = HashMap::new();
    let mut cursor = Cursor {
        bytes,
        at: HEADER,
        fixed: None,
    };
    while cursor.at < bytes.len() {
        let start = cursor.at;
        let (kind, content) = cursor.element()?;
        let variable = match kind {
            COMPRESSED => {
                let mut unpacked = Vec::new();
                let read = ZlibDecoder::new(content)
                    .take(LARGEST + 1)
                    .read_to_end(&mut unpacked);
                if let Err(error) = read {
                    return Err(problem(start, "a compressed variable", &error.to_string()));
                }
                if unpacked.len() as u64 > LARGEST {
                    return Err(problem(start, "a variable below 256 MB", "a larger one"));
                }
                let mut inner = Cursor {
                    bytes: &unpacked,
                    at: 0,
                    fixed: Some(start),
                };
                let (kind, content) = inner.element()?;
                inner.matrix(kind, content, 0)?
            }
            kind => cursor.matrix(kind, content, 0)?,
        };
        found.insert(variable.0, variable.1);
    }
    Ok(found)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The place to name in messages, if not the cursor's own.
    fixed: Option<usize>,
}

impl<'a> Cursor<'a> {
    fn problem<T>(&self, expected: &'static str, found: impl Into<String>) -> Read5<T> {
        Err(Problem {
            offset: self.fixed.unwrap_or(self.at),
            expected,
            found: found.into(),
        })
    }

    fn word(&mut self) -> Read5<u32> {
        match self.bytes.get(self.at..self.at + 4) {
            Some(word) => {
                self.at += 4;
                Ok(u32::from_le_bytes(word.try_into().expect("four bytes")))
            }
            None => self.problem("the start of an element", "the end of the file"),
        }
    }

    /// The type and the content of the element that comes next.
    fn element(&mut self) -> Read5<(u32, &'a [u8])> {
        let first = self.word()?;
        // A small element has its size in the upper half and its content in the second word.
        let (kind, size, padded) = match first >> 16 {
            0 => {
                let size = self.word()? as usize;
                (
                    first,
                    size,
                    if first == COMPRESSED {
                        size
                    } else {
                        size.next_multiple_of(8)
                    },
                )
            }
            size => (first & 0xffff, size as usize, 4),
        };
        let rest = self.bytes.len() - self.at;
        if size > rest || size > padded {
            return self.problem(
                "the whole of an element",
                format!("{size} bytes, of which {rest} are there"),
            );
        }
        let content = &self.bytes[self.at..self.at + size];
        // The last element of some files lacks its padding.
        self.at += padded.min(rest);
        Ok((kind, content))
    }

    /// The name and value of an array.
    fn matrix(&self, kind: u32, content: &'a [u8], depth: usize) -> Read5<(String, Value)> {
        if kind != MATRIX {
            return self.problem("an array", format!("an element of type {kind}"));
        }
        if depth > DEEPEST {
            return self.problem("cells at most 16 deep", "deeper ones");
        }
        // An empty cell.
        if content.is_empty() {
            return Ok((String::new(), Value::Numbers(Vec::new())));
        }
        let mut inside = Cursor {
            bytes: content,
            at: 0,
            fixed: Some(self.fixed.unwrap_or(self.at)),
        };
        let (_, flags) = inside.element()?;
        let class = flags.first().copied().unwrap_or(0);
        let (_, sides) = inside.element()?;
        let sides = sides
            .chunks_exact(4)
            .map(|s| u32::from_le_bytes(s.try_into().expect("four")) as usize);
        let elements = sides
            .clone()
            .try_fold(1usize, |n, side| n.checked_mul(side));
        // An array in a cell takes 8 bytes at least, a number one: more elements than bytes are
        // not there.
        let elements = match elements.filter(|&n| n <= content.len()) {
            Some(elements) => elements,
            None => return inside.problem("as many elements as the sides say", "fewer bytes"),
        };
        let (_, name) = inside.element()?;
        let value = match class {
            CELL => {
                let cells = (0..elements).map(|_| inside.nested(depth));
                Value::Cells(cells.collect::<Read5<_>>()?)
            }
            STRUCTURE => Value::Structures(inside.structures(elements, depth)?),
            CHARACTERS => Value::Text(inside.text()?),
            6..=15 => Value::Numbers(inside.numbers()?),
            other => {
                return inside.problem(
                    "numbers, text, cells or structures",
                    format!("class {other}"),
                );
            }
        };
        Ok((plain(name), value))
    }

    fn nested(&mut self, depth: usize) -> Read5<Value> {
        let (kind, content) = self.element()?;
        Ok(self.matrix(kind, content, depth + 1)?.1)
    }

    fn structures(&mut self, elements: usize, depth: usize) -> Read5<Vec<HashMap<String, Value>>> {
        let (_, width) = self.element()?;
        let width = match width.try_into().map(u32::from_le_bytes) {
            Ok(width) if width > 0 => width as usize,
            _ => return self.problem("the width of field names", "another element"),
        };
        let (_, names) = self.element()?;
        let names: Vec<String> = names.chunks(width).map(plain).collect();
        let structure = |_| {
            let field = |name: &String| Ok((name.clone(), self.nested(depth)?));
            names.iter().map(field).collect()
        };
        (0..elements).map(structure).collect()
    }

    fn text(&mut self) -> Read5<String> {
        let (kind, content) = self.element()?;
        match kind {
            1 | 2 | 16 => Ok(String::from_utf8_lossy(content).into_owned()),
            4 | 17 => {
                let units = content
                    .chunks_exact(2)
                    .map(|u| u16::from_le_bytes([u[0], u[1]]));
                Ok(char::decode_utf16(units)
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect())
            }
            other => self.problem("characters", format!("an element of type {other}")),
        }
    }

    /// Numbers, stored in the smallest type that holds them.
    fn numbers(&mut self) -> Read5<Vec<f64>> {
        fn each<const N: usize>(content: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
            let chunks = content.chunks_exact(N);
            chunks
                .map(|c| number(c.try_into().expect("N bytes")))
                .collect()
        }
        let (kind, content) = self.element()?;
        Ok(match kind {
            1 => each(content, |b| f64::from(i8::from_le_bytes(b))),
            2 => each(content, |b| f64::from(u8::from_le_bytes(b))),
            3 => each(content, |b| f64::from(i16::from_le_bytes(b))),
            4 => each(content, |b| f64::from(u16::from_le_bytes(b))),
            5 => each(content, |b| f64::from(i32::from_le_bytes(b))),
            6 => each(content, |b| f64::from(u32::from_le_bytes(b))),
            7 => each(content, |b| f64::from(f32::from_le_bytes(b))),
            9 => each(content, f64::from_le_bytes),
            other => return self.problem("numbers", format!("an element of type {other}")),
        })
    }
}

/// A name up to its first null byte.
fn plain(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl Value {
    /// Numbers that are indices, labels and the like.
    pub(super) fn whole(&self) -> Option<Vec<usize>> {
        let Value::Numbers(numbers) = self else {
            return None;
        };
        let whole = |&x: &f64| (x >= 0.0 && x.fract() == 0.0 && x < 1e15).then_some(x as usize);
        numbers.iter().map(whole).collect()
    }

    /// One number.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Numbers(numbers) => match numbers[..] {
                [number] => Some(number),
                _ => None,
            },
            _ => None,
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "mat_tests.rs"]
pub(super) mod tests;
