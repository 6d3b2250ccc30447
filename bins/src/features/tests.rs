use super::*;
use safetensors::tensor::{Dtype, TensorView};

fn features() -> Features {
    Features {
        dim: 3,
        vectors: vec![0.1, -2.5e-8, 3e7, 1.0 / 3.0, 0.0, -1.0],
        names: vec!["a \"cat\", asleep.png".into(), "b/дог.png".into()],
        labels: vec![1, -1],
        classes: vec!["dog".into(), "cat".into()],
        cameras: vec![6, -1],
        is_query: vec![true, false],
        is_gallery: vec![false, true],
        origin: Some(Origin {
            checkpoint: "/runs/1/last.safetensors".into(),
            sha256: "a0".into(),
            flip: true,
            folder: "/photos".into(),
        }),
    }
}

#[test]
fn what_is_written_is_read_again_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["f.safetensors", "f.npy", "f.csv"] {
        let path = folder.path().join(name);
        let mut all = features();
        all.write(&path).unwrap();
        let found = Features::read(&path).unwrap();
        // Tables name the classes of items alone, and no item is a dog.
        if name != "f.safetensors" {
            all.classes[0] = String::new();
            all.origin = None;
        }
        assert_eq!(found, all, "{name}");
        let bytes = std::fs::read(&path).unwrap();
        features().write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the same bytes again");

        let bare = Features {
            names: vec![],
            labels: vec![],
            classes: vec![],
            cameras: vec![],
            is_query: vec![],
            is_gallery: vec![],
            origin: None,
            ..features()
        };
        let path = folder.path().join(format!("bare-{name}"));
        bare.write(&path).unwrap();
        assert_eq!(Features::read(&path).unwrap(), bare, "{name}");
    }
    assert!(!folder.path().join("bare-f.items.csv").exists());
}

#[test]
fn what_stands_beside_an_npy_file_is_never_that_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.npy");
    features().write(&path).unwrap();
    let marked = Features {
        dim: 3,
        vectors: vec![1.0; 6],
        is_query: vec![true, false],
        is_gallery: vec![false, true],
        ..Features::default()
    };
    let bare = Features {
        is_query: vec![],
        is_gallery: vec![],
        ..marked.clone()
    };
    for features in [marked, bare] {
        features.write(&path).unwrap();
        assert_eq!(Features::read(&path).unwrap(), features);
    }
    assert!(!folder.path().join("f.items.csv").exists());
    // Marks by other programs are often numbers.
    let table = "label,is_query,e0\n0,1,0.5\n0,0,0.5\n";
    std::fs::write(folder.path().join("f.csv"), table).unwrap();
    let found = Features::read(&folder.path().join("f.csv")).unwrap();
    assert_eq!(found.is_query, [true, false]);
}

#[test]
fn whole_numbers_and_pairs_of_other_programs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    let floats = [0u8; 16];
    let whole: Vec<u8> = [0i32, 1, 1, 2]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    let read = |pairs: &[usize]| {
        let view =
            |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        let tensors = [
            ("features", view(Dtype::F32, &[4, 1], &floats)),
            ("labels", view(Dtype::I32, &[4], &whole)),
            ("is_query", view(Dtype::U8, &[4], &[1, 0, 0, 2])),
            ("pairs", view(Dtype::I32, pairs, &whole)),
            ("same", view(Dtype::BOOL, &[2], &[1, 0])),
        ];
        std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
        Features::read_with_pairs(&path).map_err(|e| e.to_string())
    };
    let (features, pairs) = read(&[2, 2]).unwrap();
    assert_eq!(features.labels, [0, 1, 1, 2]);
    assert_eq!(features.is_query, [true, false, false, true]);
    let found: Vec<_> = pairs.iter().map(|p| (p.places, p.same, p.fold)).collect();
    assert_eq!(found, [([0, 1], true, 0), ([1, 2], false, 0)]);
    for shape in [&[4][..], &[1, 4], &[4, 1]] {
        let message = read(shape).unwrap_err();
        assert!(message.contains("the shape [P, 2]"), "{message}");
    }
}

#[test]
fn an_npy_file_is_what_numpy_writes() {
    let bytes = npy::encode(2, &[1.0, -2.0]);
    // numpy.save of numpy.array([[1, -2]], "<f4")
    let mut expected = b"\x93NUMPY\x01\x00v\x00".to_vec();
    expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }");
    expected.resize(127, b' ');
    expected.extend(b"\n\x00\x00\x80\x3f\x00\x00\x00\xc0");
    assert_eq!(bytes, expected);
}

#[test]
fn tables_and_the_projector_are_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    features().write(&folder.path().join("f.csv")).unwrap();
    let expected = "name,label,class,camera,is_query,is_gallery,e0,e1,e2\n\
                    \"a \"\"cat\"\", asleep.png\",1,cat,6,true,false,0.1,-0.000000025,30000000\n\
                    b/дог.png,-1,,-1,false,true,0.33333334,0,-1\n";
    assert_eq!(text("f.csv"), expected);

    let mut tabbed = features();
    tabbed.names[0] = "a\tb\nc".into();
    tabbed.write(&folder.path().join("f.tsv")).unwrap();
    assert_eq!(
        text("f.metadata.tsv"),
        "name\tlabel\tclass\tcamera\tis_query\tis_gallery\n\
         a b c\t1\tcat\t6\ttrue\tfalse\nb/дог.png\t-1\t\t-1\tfalse\ttrue\n"
    );
    let vectors = "0.1\t-0.000000025\t30000000\n0.33333334\t0\t-1\n";
    assert_eq!(text("f.tsv"), vectors);
    tabbed.labels.clear();
    tabbed.cameras.clear();
    tabbed.is_query.clear();
    tabbed.is_gallery.clear();
    tabbed.write(&folder.path().join("f.tsv")).unwrap();
    assert_eq!(
        text("f.metadata.tsv"),
        "a b c\nb/дог.png\n",
        "one column has no heading"
    );
    let error = Features::read(&folder.path().join("f.tsv")).unwrap_err();
    assert!(error.to_string().contains("lack names"), "{error}");
}

#[track_caller]
fn refused(name: &str, content: &[u8], parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let error = Features::read(&path).unwrap_err().to_string();
    for part in [name].iter().chain(parts) {
        assert!(error.contains(part), "`{part}` is missing in: {error}");
    }
}

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u32).to_le_bytes();
    [&b"\x93NUMPY\x02\x00"[..], &length, header.as_bytes(), data].concat()
}

#[test]
fn hostile_files_are_refused_with_the_place() {
    refused("f.txt", b"", &[".safetensors, .npy, .csv or .tsv"]);
    refused(
        "f.csv",
        b"name,e0\nx,1\ny,zwei\n",
        &["line 3", "`e0`", "`zwei`"],
    );
    refused("f.csv", b"name,e0\nx,1\ny,1,2\n", &["line 3"]);
    refused("f.csv", b"label,e0\n1.5,1\n", &["line 2", "whole number"]);
    refused(
        "f.csv",
        b"label,class,e0\n99999999999,x,1\n",
        &["line 2", "`label`"],
    );
    refused("f.csv", b"camera,e0\nnorth,1\n", &["line 2", "`camera`"]);
    refused("f.csv", b"is_query,e0\n2,1\n", &["line 2", "true or false"]);
    refused("f.npy", b"PK", &["NPY"]);
    refused(
        "f.npy",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        &["that the file can hold"],
    );
    let header =
        |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let huge = header("(9223372036854775807, 9223372036854775807)");
    refused("f.npy", &npy(&huge, &[0; 8]), &["the data", "8 bytes"]);
    refused(
        "f.npy",
        &npy(&header("(2, 2)"), &[0; 15]),
        &["2 x 2", "15 bytes"],
    );
    refused("f.npy", &npy(&header("(4,)"), &[0; 16]), &["(N, D)"]);
    let by_columns = header("(1, 2)").replace("False", "True");
    refused("f.npy", &npy(&by_columns, &[0; 8]), &["fortran_order"]);
    let whole = header("(1, 2)").replace("<f4", "<i4");
    refused("f.npy", &npy(&whole, &[0; 8]), &["`descr`", "<i4"]);
    refused("f.safetensors", &[0xff; 16], &["the header"]);

    let features = features();
    let tensors = |shape: Vec<usize>, name: &'static str| {
        let bytes: &[u8] = bytemuck::cast_slice(&features.vectors);
        let view = TensorView::new(Dtype::F32, shape, bytes).unwrap();
        safetensors::serialize([(name, view)], None).unwrap()
    };
    refused(
        "f.safetensors",
        &tensors(vec![6], "features"),
        &["[N, D]", "[6]"],
    );
    refused(
        "f.safetensors",
        &tensors(vec![2, 3], "other"),
        &["`features`", "other"],
    );

    // Names for three items beside two vectors.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.npy");
    features.write(&path).unwrap();
    std::fs::write(folder.path().join("f.items.csv"), "name\na\nb\nc\n").unwrap();
    let error = Features::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("f.items.csv: names") && error.contains("found 3"),
        "{error}"
    );
}

/// Any prefix and any single changed byte of good files: an error or other numbers, no panic.
#[test]
fn damaged_files_are_no_surprise() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["f.safetensors", "f.npy", "f.csv"] {
        let path = folder.path().join(name);
        features().write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let decode = |bytes: &[u8]| match name {
            "f.safetensors" => tensors::decode(bytes).and_then(|f| f.check()).is_ok(),
            "f.npy" => npy::decode(bytes).is_ok(),
            _ => table::decode(bytes).and_then(|f| f.check()).is_ok(),
        };
        assert!(decode(&bytes));
        let whole = (0..bytes.len()).filter(|&n| decode(&bytes[..n])).count();
        assert!(
            name == "f.csv" || whole == 0,
            "{name}: {whole} prefixes pass"
        );
        for i in 0..bytes.len() {
            for byte in [0, 0x7f, 0xff, b'9', b'('] {
                let mut damaged = bytes.clone();
                damaged[i] = byte;
                decode(&damaged);
            }
        }
    }
}
