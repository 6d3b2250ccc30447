//! NumPy's file format, as far as it holds the rows of a matrix.
//!
//! Written out because it is a page: the crates for it bring a parser generator and an assembler
//! along. A file is `\x93NUMPY`, a version, the length of a header, the header (a Python
//! dictionary, padded so that the numbers begin on a multiple of 64), and the numbers.

use super::{Wrong, numbers, wrong};

const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read. NumPy's own limit is 10,000.
const LONGEST: usize = 1 << 16;

/// `[N, dim]` in f32.
pub fn encode(dim: usize, vectors: &[f32]) -> Vec<u8> {
    let rows = vectors.len().checked_div(dim).unwrap_or(0);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    let before = MAGIC.len() + 4;
    let length = (before + header.len() + 1).next_multiple_of(64) - before;
    let mut file = [MAGIC, &[1, 0], &(length as u16).to_le_bytes()].concat();
    file.extend(format!("{header:<width$}\n", width = length - 1).as_bytes());
    file.extend_from_slice(bytemuck::cast_slice(vectors));
    file
}

/// The length of a row, and the rows.
pub fn decode(bytes: &[u8]) -> Result<(usize, Vec<f32>), Wrong> {
    let broken = |expected: &str| wrong("the header", expected, "something else");
    let after = bytes.strip_prefix(MAGIC);
    let after = after.ok_or_else(|| broken("the beginning of an NPY file"))?;
    let (length, after) = match *after {
        [1, 0, a, b, ref rest @ ..] => (usize::from(u16::from_le_bytes([a, b])), rest),
        [2 | 3, 0, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        _ => return Err(broken("version 1, 2 or 3")),
    };
    let split = after.split_at_checked(length).filter(|_| length <= LONGEST);
    let (header, data) = split.ok_or_else(|| broken("a header that the file can hold"))?;
    let header = std::str::from_utf8(header).map_err(|_| broken("text"))?;
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let descr = value("descr").ok_or_else(|| broken("a `descr`"))?;
    if !value("fortran_order").is_some_and(|v| v.starts_with("False")) {
        return Err(wrong("`fortran_order`", "False", "an array by columns"));
    }
    let shape = value("shape").and_then(|v| v.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or_else(|| broken("a `shape`"))?;
    let lengths = shape.split(',').map(|n| n.trim().parse::<usize>().ok());
    let [Some(rows), Some(dim)] = *lengths.collect::<Vec<_>>() else {
        return Err(wrong("`shape`", "(N, D)", format!("({shape})")));
    };
    let is = |descr_: &str| {
        descr
            .strip_prefix(['\'', '"'])
            .is_some_and(|d| d.starts_with(descr_))
    };
    let size = match () {
        () if is("<f4") => 4,
        () if is("<f8") => 8,
        () => return Err(wrong("`descr`", "'<f4' or '<f8'", first_word(descr))),
    };
    let expected = rows.checked_mul(dim).and_then(|n| n.checked_mul(size));
    if expected != Some(data.len()) {
        let expected = format!("{rows} x {dim} numbers of {size} bytes");
        return Err(wrong("the data", expected, format!("{} bytes", data.len())));
    }
    let vectors = match size {
        4 => numbers(data, f32::from_le_bytes),
        _ => numbers(data, |b| f64::from_le_bytes(b) as f32),
    };
    Ok((dim, vectors))
}

fn first_word(text: &str) -> String {
    text.split([',', '}'])
        .next()
        .unwrap_or_default()
        .chars()
        .take(20)
        .collect()
}
