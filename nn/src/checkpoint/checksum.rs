//! The checksum of a file: the CRC-32C of all its bytes, the checksum's own eight digits taken as
//! zeros.

use std::ops::Range;

/// The key of the metadata that holds the checksum.
pub(super) const KEY: &str = "crc32c";

/// What stands for the checksum while it is computed.
pub(super) const ZEROS: &str = "00000000";

/// Where the digits are in a header as it is written here. Within a text of JSON the quotes would
/// be escaped, so nothing else looks like it.
pub(super) fn place(header: &[u8]) -> Option<Range<usize>> {
    let key = format!("\"{KEY}\":\"");
    let found = header.windows(key.len()).position(|w| w == key.as_bytes());
    let start = found? + key.len();
    (start + ZEROS.len() <= header.len()).then_some(start..start + ZEROS.len())
}

/// The checksum of parts, one behind the other.
pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let sum = parts.into_iter().fold(0, crc32c::crc32c_append);
    format!("{sum:08x}")
}

/// The checksum of a file whose header has `size` bytes.
pub(super) fn of_file(bytes: &[u8], size: usize) -> String {
    match place(&bytes[8..8 + size]) {
        None => of([bytes]),
        Some(place) => {
            let (before, rest) = bytes.split_at(8 + place.start);
            of([before, ZEROS.as_bytes(), &rest[place.len()..]])
        }
    }
}
