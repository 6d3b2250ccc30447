//! Tests of the IDX reader: what it reads, what it refuses and with which words.

use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;

fn encode(code: u8, dims: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, dims.len() as u8];
    dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
    bytes.extend(content);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn images(bytes: &[u8]) -> Result<Images> {
    Source::new("x", bytes)?.images()
}

fn labels(bytes: &[u8]) -> Result<Vec<u8>> {
    Source::new("x", bytes)?.labels(10)
}

/// The message, which must hold every one of `parts`.
fn says<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let message = result.unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn plain_and_packed_content_read_the_same() {
    let file = encode(8, &[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let read = images(&file).unwrap();
    assert_eq!((read.count, read.height, read.width), (2, 2, 3));
    assert_eq!(read.pixels, (1..=12).collect::<Vec<u8>>());
    assert_eq!(images(&gzip(&file)).unwrap(), read);
    assert_eq!(labels(&encode(8, &[3], &[0, 9, 5])).unwrap(), [0, 9, 5]);
    // A gzip file may consist of several members.
    let members = [gzip(&file[..9]), gzip(&file[9..])].concat();
    assert_eq!(images(&members).unwrap(), read);
}

#[test]
fn headers_of_every_element_type_are_understood() {
    let kinds = [
        (0x08, Element::U8, 1),
        (0x09, Element::I8, 1),
        (0x0B, Element::I16, 2),
        (0x0C, Element::I32, 4),
        (0x0D, Element::F32, 4),
        (0x0E, Element::F64, 8),
    ];
    for (code, element, size) in kinds {
        let bytes = encode(code, &[7, 300], &[]);
        let header = Source::new("x", &bytes[..]).unwrap().header().unwrap();
        assert_eq!((header.element, &header.dims[..]), (element, &[7, 300][..]));
        assert_eq!(header.content_bytes(), Some(2100 * size));
    }
    says(
        images(&encode(0x0D, &[1, 1, 1], &[0; 4])),
        &[
            "expected images (magic 00000803)",
            "found F32 elements in 3 dimensions",
        ],
    );
}

#[test]
fn short_files_say_where_they_end() {
    says(images(&[]), &["x, byte 0:", "after 0 of them", "cut short"]);
    says(
        images(&[0, 0, 8]),
        &["byte 3:", "4 bytes of an IDX magic number"],
    );
    says(
        images(&encode(8, &[2, 2], &[])[..9]),
        &["byte 9:", "2 dimensions"],
    );
    says(
        images(&encode(8, &[2, 2, 2], &[0; 7])),
        &["byte 23:", "2 x 2 x 2 = 8 bytes", "after 7 of them"],
    );
}

#[test]
fn long_and_mistaken_files_are_refused() {
    says(
        images(&encode(8, &[2, 2, 2], &[0; 9])),
        &["byte 24:", "end of the file after 2 x 2 x 2", "more bytes"],
    );
    says(
        images(&encode(8, &[2], &[0; 2])),
        &[
            "byte 0:",
            "expected images",
            "found labels (magic 00000801)",
            "exchanged",
        ],
    );
    says(
        labels(&encode(8, &[1, 1, 1], &[0])),
        &[
            "expected labels (magic 00000801)",
            "found images (magic 00000803)",
        ],
    );
    says(
        images(b"\x89PNG\r\n"),
        &[
            "byte 0:",
            "IDX magic number",
            "found 89 50 4e 47",
            "no IDX file",
        ],
    );
    says(
        labels(&encode(8, &[3], &[0, 10, 1])),
        &["byte 9:", "below 10", "found 10"],
    );
    says(
        images(&encode(8, &[0, 28, 28], &[])),
        &["byte 4:", "at least one image"],
    );
    says(
        images(&encode(8, &[1, 28, 0], &[])),
        &["byte 12:", "at least one column"],
    );
}

#[test]
fn images_and_labels_must_be_as_many() {
    let (images, labels) = (encode(8, &[2, 1, 1], &[0; 2]), encode(8, &[3], &[0; 3]));
    let set = labelled(
        "set",
        Source::new("a", &images[..]).unwrap(),
        Source::new("b", &labels[..]).unwrap(),
        vec!["zero".into()],
    );
    says(
        set,
        &["b, byte 4:", "2 labels, one per image of a", "found 3"],
    );
}

#[test]
fn a_header_that_promises_the_world_costs_nothing() {
    let too_much = |dims| {
        says(
            images(&encode(8, dims, &[0; 5])),
            &["byte 4:", "at most 4294967296 bytes"],
        )
    };
    too_much(&[u32::MAX, u32::MAX, u32::MAX]);
    too_much(&[1 << 22, 1 << 5, (1 << 5) + 1]);
    // Within the limit, but not there: memory follows the five bytes that arrive.
    says(
        images(&encode(8, &[1 << 22, 1 << 5, 1 << 5], &[0; 5])),
        &["byte 21:", "= 4294967296 bytes", "after 5 of them"],
    );
}

#[test]
fn a_gzip_bomb_is_not_unpacked_beyond_its_header() {
    struct Counted<R>(R, std::rc::Rc<std::cell::Cell<usize>>);
    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.read(buffer)?;
            self.1.set(self.1.get() + n);
            Ok(n)
        }
    }
    let mut content = encode(8, &[1, 2, 2], &[]);
    content.resize(64 << 20, 0);
    let bomb = gzip(&content);
    let consumed = std::rc::Rc::new(std::cell::Cell::new(0));
    let source = Source::new("bomb", Counted(&bomb[..], consumed.clone())).unwrap();
    says(
        source.images(),
        &["bomb (unpacked), byte 20:", "more bytes"],
    );
    assert!(
        consumed.get() < bomb.len() / 4,
        "{} of {}",
        consumed.get(),
        bomb.len()
    );
}

#[test]
fn damaged_gzip_is_recognised() {
    let file = encode(
        8,
        &[10, 10, 10],
        &(0..1000).map(|i| (i % 255) as u8).collect::<Vec<_>>(),
    );
    let packed = gzip(&file);
    says(
        images(&packed[..packed.len() - 9]),
        &["x (unpacked)", "sound gzip data", "damaged"],
    );
    says(
        images(&packed[..5]),
        &["x (unpacked), byte 0:", "sound gzip data"],
    );
    let mut wrong_checksum = packed.clone();
    let crc = packed.len() - 8;
    wrong_checksum[crc] ^= 1;
    says(images(&wrong_checksum), &["byte 1016:", "sound gzip data"]);
    says(
        images(&[&packed[..], b"junk"].concat()),
        &["sound gzip data"],
    );
}

#[test]
fn a_missing_file_is_named() {
    says(
        Source::open(Path::new("no/such-file")).map(|_| ()),
        &["no/such-file: cannot be read"],
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = images(&bytes);
        let _ = labels(&bytes);
        let _ = images(&[&[0x1f, 0x8b, 8, 0][..], &bytes].concat());
        let _ = images(&gzip(&bytes));
    }

    #[test]
    fn no_header_makes_it_panic(
        code in 7u8..16, dims in prop::collection::vec(any::<u32>(), 0..5), content in prop::collection::vec(any::<u8>(), 0..50)
    ) {
        let bytes = encode(code, &dims, &content);
        let _ = images(&bytes);
        let _ = labels(&gzip(&bytes));
    }

    #[test]
    fn a_flipped_byte_is_an_error_or_sound_content(at in 0usize..80, flip in 1u8..=255, packed: bool) {
        let mut bytes = encode(8, &[4, 4, 4], &[7; 64]);
        if packed {
            bytes = gzip(&bytes);
        }
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(read) = images(&bytes) {
            prop_assert_eq!(read.pixels.len(), read.count * read.height * read.width);
        }
    }

    #[test]
    fn what_is_written_is_read(count in 1u32..5, height in 1u32..5, width in 1u32..5, fill: u8, packed: bool) {
        let content = vec![fill; (count * height * width) as usize];
        let bytes = encode(8, &[count, height, width], &content);
        let read = images(&if packed { gzip(&bytes) } else { bytes }).unwrap();
        prop_assert_eq!(read.pixels, content);
    }
}
