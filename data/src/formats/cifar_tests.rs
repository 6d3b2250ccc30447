//! Tests of CIFAR's two forms, on files written as python 2 wrote them.

use super::*;
use proptest::prelude::*;

/// Three planes, the red one counting upwards, green all 7, blue all `seed`.
fn planes(seed: u8) -> Vec<u8> {
    let red = (0..PLANE).map(|i| (i % 251) as u8);
    red.chain(std::iter::repeat_n(7, PLANE))
        .chain(std::iter::repeat_n(seed, PLANE))
        .collect()
}

fn binary(labels: &[&[u8]]) -> Vec<u8> {
    let record = |(i, labels): (usize, &&[u8])| [labels.to_vec(), planes(i as u8)].concat();
    labels.iter().enumerate().flat_map(record).collect()
}

/// A dictionary of protocol 2 with the array under `data` and one list of small numbers.
fn pickled(key: &str, labels: &[u8]) -> Vec<u8> {
    let string = |text: &str| [&[b'U', text.len() as u8], text.as_bytes()].concat();
    let pixels: Vec<u8> = (0..labels.len()).flat_map(|i| planes(i as u8)).collect();
    let mut out = b"\x80\x02}(".to_vec();
    out.extend([string("batch_label"), string("a batch")].concat());
    out.extend([string(key), b"](".to_vec()].concat());
    labels.iter().for_each(|&label| out.extend([b'K', label]));
    out.push(b'e');
    out.extend(string("data"));
    out.extend(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R");
    out.extend(b"(K\x01K");
    out.push(labels.len() as u8);
    out.extend(b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R");
    out.extend(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    out.extend((pixels.len() as u32).to_le_bytes());
    out.extend(pixels);
    out.extend(b"tbu.");
    out
}

/// A dictionary of one list of texts.
fn pickled_names(key: &str, names: &[String]) -> Vec<u8> {
    let string = |text: &str| [&[b'U', text.len() as u8], text.as_bytes()].concat();
    let mut out = [b"\x80\x02}".to_vec(), string(key), b"](".to_vec()].concat();
    names.iter().for_each(|name| out.extend(string(name)));
    out.extend(b"es.");
    out
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("class {i}")).collect()
}

fn looks_right(set: &ImageSet, labels: &[usize]) {
    assert_eq!((set.shape(), set.labels()), ([32, 32, 3], labels));
    for i in 0..labels.len() {
        assert_eq!(set.image(i)[..6], [0, 7, i as u8, 1, 7, i as u8]);
        assert_eq!(set.image(i)[IMAGE - 3..], [(1023 % 251) as u8, 7, i as u8]);
    }
}

#[test]
fn the_binary_form_of_ten() {
    let lines = names(10).join("\n") + "\n\n";
    let one = binary(&[&[3]]);
    let mut files: Vec<(String, &[u8])> = Vec::new();
    let first = binary(&[&[6], &[9]]);
    files.push(("data_batch_1.bin".into(), &first));
    (2..=5).for_each(|i| files.push((format!("data_batch_{i}.bin"), &one)));
    files.push(("test_batch.bin".into(), &one));
    files.push(("batches.meta.txt".into(), lines.as_bytes()));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), *b)).collect();
    let read = ten(folder(&files).path()).unwrap();
    assert_eq!(read.train.labels(), [6, 9, 3, 3, 3, 3]);
    looks_right(&read.test, &[3]);
    assert_eq!(read.test.classes(), names(10));
}

#[test]
fn the_binary_form_of_a_hundred_has_two_labels() {
    let records = binary(&[&[4, 99], &[19, 0]]);
    let folder = folder(&[("train.bin", &records), ("test.bin", &records)]);
    let read = hundred(folder.path(), Labels::Fine).unwrap();
    looks_right(&read.train, &[99, 0]);
    assert_eq!(read.train.classes().len(), 100);
    let read = hundred(folder.path(), Labels::Coarse).unwrap();
    looks_right(&read.test, &[4, 19]);
    assert_eq!(read.test.classes()[19], "19");
}

#[test]
fn the_python_form() {
    let fine = pickled("fine_labels", &[99, 3]);
    let meta = pickled_names("fine_label_names", &names(100));
    let folder = folder(&[("train", &fine), ("test", &fine), ("meta", &meta)]);
    let read = hundred(folder.path(), Labels::Fine).unwrap();
    looks_right(&read.train, &[99, 3]);
    assert_eq!(read.train.classes(), names(100));
    let message = hundred(folder.path(), Labels::Coarse)
        .unwrap_err()
        .to_string();
    assert!(message.contains("the names of 20 classes"), "{message}");
}

/// A text that many names and keys refer to is no more memory than there are classes.
#[test]
fn one_long_name_for_all_is_no_list_of_classes() {
    let fine = pickled("fine_labels", &[99, 3]);
    let mut meta = [&b"\x80\x02}U\x10fine_label_names](T"[..], &[0, 0, 1, 0]].concat();
    meta.extend([b'x'; 1 << 16]);
    meta.extend(b"q\x00");
    (0..1 << 15).for_each(|_| meta.extend(b"h\x00"));
    meta.extend(b"es.");
    let folder = folder(&[("train", &fine), ("test", &fine), ("meta", &meta)]);
    let error = hundred(folder.path(), Labels::Fine).unwrap_err();
    assert!(error.to_string().contains("found more names"), "{error}");
}

#[test]
fn damage_is_named_with_its_place() {
    let good = binary(&[&[4, 99], &[19, 0]]);
    let message = |train: &[u8]| {
        let folder = folder(&[("train.bin", train), ("test.bin", &good)]);
        hundred(folder.path(), Labels::Fine)
            .unwrap_err()
            .to_string()
    };
    let cut = message(&good[..good.len() - 1]);
    assert!(
        cut.contains("train.bin, byte 3074") && cut.contains("3073 bytes"),
        "{cut}"
    );
    let label = message(&binary(&[&[4, 99], &[4, 100]]));
    assert!(
        label.contains("byte 3075: expected a label below 100, found 100"),
        "{label}"
    );
    let message = ten(folder(&[]).path()).unwrap_err().to_string();
    assert!(
        message.contains("test_batch.bin or test_batch"),
        "{message}"
    );
    let partial = folder(&[("test_batch.bin", &good)]);
    assert!(
        ten(partial.path())
            .unwrap_err()
            .to_string()
            .contains("data_batch_1.bin")
    );
}

#[test]
fn pickles_that_are_something_else_are_refused() {
    let good = pickled("fine_labels", &[1]);
    let message = |train: &[u8]| {
        let folder = folder(&[("train", train), ("test", &good)]);
        hundred(folder.path(), Labels::Fine)
            .unwrap_err()
            .to_string()
    };
    // A call of os.system is data, and not the data looked for.
    let command = message(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.");
    assert!(
        command.contains("expected a pickled dictionary"),
        "{command}"
    );
    assert!(message(b"").contains("a pickled dictionary"));
    assert!(message(b"\x80\x02}.").contains("a dictionary with \"data\""));
    // An array column by column is not rows of images.
    let mut columns = good.clone();
    let place = columns.windows(3).position(|w| w == b"b\x89T").unwrap();
    columns[place + 1] = 0x88;
    assert!(message(&columns).contains("an array of bytes in rows"));
    // More labels than images, and a length that no file has.
    let mut long = good.clone();
    let place = long.windows(2).position(|w| w == b"K\x01").unwrap();
    long.splice(place..place, *b"K\x01");
    assert!(message(&long).contains("bytes for each of 2 labels"));
    assert!(message(b"\x80\x02}U\x04dataT\xff\xff\xff\x7fabc").contains("a pickled dictionary"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_pickle_makes_the_reader_panic(
        changes in prop::collection::vec((0usize..150, any::<u8>()), 1..6),
        cut in 0usize..200,
    ) {
        let mut bytes = pickled("fine_labels", &[1]);
        changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
        let path = Path::new("memory");
        for bytes in [&bytes[..], &bytes[..cut]] {
            if let Ok(pickle) = parsed(path, bytes) {
                let _ = dictionary(path, &pickle);
            }
        }
    }
}
