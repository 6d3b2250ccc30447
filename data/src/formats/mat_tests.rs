//! Tests of the reader of `.mat` files, and the writer that they and their neighbours use.

use super::*;
use flate2::{Compression, write::ZlibEncoder};
use proptest::prelude::*;
use std::io::Write;

fn element(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut out = match content.len() {
        n @ 1..=4 => (kind | (n as u32) << 16).to_le_bytes().to_vec(),
        n => [kind.to_le_bytes(), (n as u32).to_le_bytes()].concat(),
    };
    out.extend(content);
    while !out.len().is_multiple_of(8) {
        out.push(0);
    }
    out
}

fn matrix(name: &str, value: &Value) -> Vec<u8> {
    let (class, elements, content) = match value {
        Value::Numbers(numbers) => {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            (6, numbers.len(), element(9, &bytes))
        }
        Value::Text(text) => {
            let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            (CHARACTERS, text.len(), element(4, &units))
        }
        Value::Cells(cells) => (
            CELL,
            cells.len(),
            cells.iter().flat_map(|cell| matrix("", cell)).collect(),
        ),
        Value::Structures(all) => {
            let mut names: Vec<&String> = all.first().map_or(Vec::new(), |s| s.keys().collect());
            names.sort();
            let padded = names.iter().flat_map(|n| {
                let mut name = n.as_bytes().to_vec();
                name.resize(32, 0);
                name
            });
            let head = [
                element(5, &32u32.to_le_bytes()),
                element(1, &padded.collect::<Vec<_>>()),
            ];
            let fields = all
                .iter()
                .flat_map(|s| names.iter().flat_map(|n| matrix("", &s[*n])));
            (
                STRUCTURE,
                all.len(),
                [head.concat(), fields.collect()].concat(),
            )
        }
    };
    let sides = [1u32.to_le_bytes(), (elements as u32).to_le_bytes()].concat();
    let flags = [[class, 0, 0, 0], [0; 4]].concat();
    let parts = [
        element(6, &flags),
        element(5, &sides),
        element(1, name.as_bytes()),
        content,
    ];
    element(MATRIX, &parts.concat())
}

/// A file of these variables, each compressed.
pub(in crate::formats) fn file(variables: &[(&str, Value)]) -> Vec<u8> {
    let mut out = header();
    for (name, value) in variables {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&matrix(name, value)).unwrap();
        let packed = zlib.finish().unwrap();
        out.extend(COMPRESSED.to_le_bytes());
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(packed);
    }
    out
}

fn header() -> Vec<u8> {
    let mut out = vec![b' '; HEADER];
    out[HEADER - 4..].copy_from_slice(&[0, 1, b'I', b'M']);
    out
}

pub(in crate::formats) fn numbers(values: &[f64]) -> Value {
    Value::Numbers(values.to_vec())
}

pub(in crate::formats) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn some() -> Vec<(&'static str, Value)> {
    let structure = |path: &str, class| {
        HashMap::from([
            ("path".into(), text(path)),
            ("class".into(), numbers(&[class])),
        ])
    };
    vec![
        ("labels", numbers(&[1.0, 2.0, 700.0])),
        (
            "names",
            Value::Cells(vec![text("a_1.png"), text("ü"), numbers(&[])]),
        ),
        (
            "annotations",
            Value::Structures(vec![structure("x/1.jpg", 3.0), structure("x/2.jpg", 4.0)]),
        ),
    ]
}

fn found(bytes: &[u8]) -> std::result::Result<HashMap<String, Value>, String> {
    variables(bytes).map_err(|p| {
        format!(
            "byte {}: expected {}, found {}",
            p.offset, p.expected, p.found
        )
    })
}

#[test]
fn what_is_written_is_read_compressed_or_not() {
    let expected: HashMap<String, Value> = some().into_iter().map(|(n, v)| (n.into(), v)).collect();
    assert_eq!(found(&file(&some())).unwrap(), expected);
    let mut plain = header();
    some()
        .iter()
        .for_each(|(name, value)| plain.extend(matrix(name, value)));
    assert_eq!(found(&plain).unwrap(), expected);
}

#[test]
fn numbers_come_in_any_type() {
    let mut inside = [
        element(6, &[[6, 0, 0, 0], [0; 4]].concat()),
        element(5, &[1u32.to_le_bytes(), 2u32.to_le_bytes()].concat()),
        element(1, b"x"),
    ]
    .concat();
    let start = inside.len();
    for (kind, bytes, expected) in [
        (1, vec![0xff, 2], vec![-1.0, 2.0]),
        (2, vec![255, 2], vec![255.0, 2.0]),
        (4, vec![0, 1, 2, 0], vec![256.0, 2.0]),
        (7, 1.5f32.to_le_bytes().repeat(2), vec![1.5, 1.5]),
    ] {
        inside.truncate(start);
        inside.extend(element(kind, &bytes));
        let bytes = [header(), element(MATRIX, &inside)].concat();
        assert_eq!(found(&bytes).unwrap()["x"], Value::Numbers(expected));
    }
}

#[test]
fn other_files_and_damaged_ones_are_refused() {
    assert!(found(b"short").unwrap_err().contains("a MATLAB file"));
    let mut other = file(&some());
    other[HEADER - 3] = 2;
    assert!(found(&other).unwrap_err().contains("another version"));
    other.resize(512, 0);
    other.extend(b"\x89HDF\r\n");
    assert!(found(&other).unwrap_err().contains("7.3, which is HDF5"));
    let good = file(&some());
    assert!(
        found(&good[..good.len() - 9])
            .unwrap_err()
            .contains("the whole of an element")
    );
    // More cells than there are bytes.
    let mut many = [header(), matrix("names", &Value::Cells(vec![text("a")]))].concat();
    let side = HEADER + 8 + 16 + 8 + 4;
    many[side..side + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(found(&many).unwrap_err().contains("fewer bytes"));
    // Cells in cells in cells.
    let mut deep = text("a");
    (0..40).for_each(|_| deep = Value::Cells(vec![deep.clone()]));
    assert!(
        found(&file(&[("x", deep)]))
            .unwrap_err()
            .contains("16 deep")
    );
}

#[test]
fn values_are_asked_for_as_what_they_should_be() {
    assert_eq!(numbers(&[1.0, 7.0]).whole(), Some(vec![1, 7]));
    for odd in [-1.0, 0.5, f64::NAN, f64::INFINITY] {
        assert_eq!(numbers(&[odd]).whole(), None);
    }
    assert_eq!(
        (numbers(&[2.5]).number(), numbers(&[1.0, 2.0]).number()),
        (Some(2.5), None)
    );
    assert_eq!(
        (text("a").text(), text("a").whole(), numbers(&[]).text()),
        (Some("a"), None, None)
    );
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = header();
        some().iter().for_each(|(name, value)| bytes.extend(matrix(name, value)));
        for (at, byte) in changes {
            let at = HEADER + at.index(bytes.len() - HEADER);
            bytes[at] = byte;
        }
        let _ = variables(&bytes);
        let _ = variables(&bytes[..keep.index(bytes.len())]);
    }
}
