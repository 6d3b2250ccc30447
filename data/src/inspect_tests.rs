//! What inspection finds, on folders in which it was hidden.

use super::*;
use crate::formats;
use image::{Rgb, RgbImage};
use std::fs;

/// A picture of one colour.
fn paint(root: &Path, path: &str, [width, height]: [u32; 2], colour: [u8; 3]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(width, height, Rgb(colour))
        .save(path)
        .unwrap();
}

fn guessed(root: &Path) -> Content {
    formats::guess(root).unwrap().read().unwrap()
}

fn found(inspection: &Inspection) -> Vec<(Severity, &str)> {
    let problems = inspection.problems.iter();
    problems.map(|p| (p.severity, p.what.as_str())).collect()
}

#[test]
fn a_sound_folder_has_counts_sizes_and_colours() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (i, path) in ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]
        .iter()
        .enumerate()
    {
        paint(root, path, [4 + 2 * i as u32, 8], [255, i as u8, 0]);
    }
    paint(root, "dog/3.png", [20, 10], [51; 3]);
    let inspection = inspect(&guessed(root), Task::Classification, Unreadable::Refuse);
    assert_eq!(found(&inspection), []);
    let train = PartCount {
        part: "train",
        images: 5,
        identities: 2,
        cameras: 0,
    };
    assert_eq!((inspection.parts, inspection.readable), (vec![train], 5));
    let sizes = inspection.sizes.unwrap();
    assert_eq!(
        (sizes.smallest, sizes.median, sizes.largest),
        ([4, 8], [8, 8], [20, 10])
    );
    assert_eq!(sizes.different, 5);
    let colours = inspection.colours.unwrap();
    // 224 pixels of full red and 200 of a fifth.
    let red = (224.0 + 0.2 * 200.0) / 424.0;
    assert!((colours.mean[0] - red).abs() < 1e-9);
    let square: f64 = (224.0 + 0.04 * 200.0) / 424.0;
    assert!((colours.deviation[0] - (square - red * red).sqrt()).abs() < 1e-9);
    assert_eq!(colours.grey, 1);
}

#[test]
fn damaged_files_break_training_or_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for path in ["a/1.png", "a/2.png", "b/1.png", "b/2.png"] {
        paint(
            root,
            path,
            [9, 9],
            [path.len() as u8, path.as_bytes()[0], path.as_bytes()[2]],
        );
    }
    let whole = fs::read(root.join("b/2.png")).unwrap();
    fs::write(root.join("b/2.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(root.join("b/3.png"), "no picture").unwrap();
    let content = guessed(root);
    let refused = inspect(&content, Task::Classification, Unreadable::Refuse);
    assert!(refused.is_broken());
    assert_eq!(
        found(&refused)[0],
        (Severity::Breaks, "2 files that cannot be read")
    );
    assert!(refused.problems[0].examples[0].contains("b/2.png: not a readable image"));
    let skipped = inspect(&content, Task::Classification, Unreadable::Skip);
    assert!(!skipped.is_broken());
    // What is left of class b is one picture.
    let single = "1 identities with a single training image: batches of P x K repeat it";
    let notes = [
        (Severity::Note, "2 files that cannot be read"),
        (Severity::Note, single),
    ];
    assert_eq!((found(&skipped), skipped.readable), (notes.to_vec(), 3));
}

#[test]
fn identities_and_files_on_both_sides_are_found() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let at = |i: u8| [i * 20, 100, 50];
    paint(
        root,
        "bounding_box_train/0001_c1s1_000001_01.jpg",
        [8, 16],
        at(1),
    );
    paint(
        root,
        "bounding_box_train/0001_c2s1_000002_01.jpg",
        [8, 16],
        at(2),
    );
    paint(
        root,
        "bounding_box_train/0002_c2s1_000003_01.jpg",
        [8, 16],
        at(3),
    );
    // Somebody of training, seen by one camera only.
    paint(root, "query/0002_c1s1_000004_00.jpg", [8, 16], at(4));
    paint(root, "query/0003_c1s1_000005_00.jpg", [8, 16], at(5));
    paint(
        root,
        "bounding_box_test/0002_c1s1_000006_01.jpg",
        [8, 16],
        at(6),
    );
    // A training picture under another name.
    paint(
        root,
        "bounding_box_test/0003_c2s1_000007_01.jpg",
        [8, 16],
        at(1),
    );
    let Content::Files(survey) = guessed(root) else {
        panic!("a list of files");
    };
    let content = Content::Files(survey);
    let inspection = inspect(&content, Task::ReIdentification, Unreadable::Refuse);
    assert_eq!(
        found(&inspection),
        [
            (
                Severity::Misleads,
                "1 identities in training and in the test"
            ),
            (Severity::Misleads, "1 files in more than one split"),
            (
                Severity::Note,
                "1 identities with a single training image: batches of P x K repeat it"
            ),
            (
                Severity::Note,
                "1 queries without anything to find, which count in no figure"
            ),
        ]
    );
    let examples: Vec<&str> = inspection
        .problems
        .iter()
        .map(|p| p.examples[0].as_str())
        .collect();
    let copy =
        "bounding_box_test/0003_c2s1_000007_01.jpg = bounding_box_train/0001_c1s1_000001_01.jpg";
    assert_eq!(
        examples,
        ["0002", copy, "0002", "query/0002_c1s1_000004_00.jpg"]
    );
    assert!(!inspection.is_broken());
    let names: Vec<_> = inspection
        .parts
        .iter()
        .map(|p| (p.part, p.images, p.cameras))
        .collect();
    assert_eq!(names, [("train", 3, 2), ("query", 2, 1), ("gallery", 2, 2)]);
    assert_eq!(inspection.counts[0].official, 12_936);
}

#[test]
fn what_cannot_be_trained_is_said() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    paint(root, "train/a/1.png", [4, 4], [1; 3]);
    paint(root, "train/a/2.png", [4, 4], [1; 3]);
    paint(root, "test/b/1.png", [4, 4], [2; 3]);
    let inspection = inspect(&guessed(root), Task::Classification, Unreadable::Refuse);
    assert_eq!(
        found(&inspection),
        [
            (Severity::Breaks, "a single class to train on"),
            (
                Severity::Breaks,
                "1 classes of the test that training has not"
            ),
            (Severity::Note, "1 files that are there more than once"),
        ]
    );
    let retrieval = inspect(&guessed(root), Task::Retrieval, Unreadable::Refuse);
    assert_eq!(
        found(&retrieval).len(),
        2,
        "other classes are the point of it"
    );
}

fn in_memory() -> Official {
    let set = |name, pixels: &[u8], labels: &[usize]| {
        let classes = vec!["a".to_string(), "b".to_string()];
        ImageSet::new(name, [1, 2, 1], pixels.to_vec(), labels.to_vec(), classes).unwrap()
    };
    Official {
        train: set("x train", &[1, 2, 3, 4, 1, 2], &[0, 0, 0]),
        test: set("x test", &[3, 4, 5, 6], &[0, 1]),
    }
}

#[test]
fn pictures_in_memory_are_inspected_too() {
    let content = Content::Pictures {
        official: in_memory(),
        counts: Vec::new(),
    };
    let inspection = inspect(&content, Task::Classification, Unreadable::Refuse);
    assert_eq!(
        found(&inspection),
        [
            (Severity::Breaks, "1 classes without an image in train"),
            (Severity::Misleads, "1 images in more than one split"),
            (Severity::Note, "1 images that are there more than once"),
        ]
    );
    assert_eq!(inspection.problems[1].examples, ["train 1 = test 0"]);
    assert_eq!(inspection.colours.unwrap().grey, 5);
    assert_eq!(sheet(&content, 3, 2).dimensions(), (2 * 3 + 1, 2 + 1));
}

#[test]
fn a_sheet_shows_rows_of_identities() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (path, colour) in [
        ("a/1.png", 10),
        ("a/2.png", 20),
        ("b/1.png", 30),
        ("c/1.png", 40),
    ] {
        paint(root, path, [2, 4], [colour; 3]);
    }
    fs::write(root.join("c/1.png"), "damaged").unwrap();
    let sheet = sheet(&guessed(root), 3, 2);
    // Cells of 56 x 112 pixels, one apart.
    assert_eq!(sheet.dimensions(), (2 * 57 + 1, 3 * 113 + 1));
    let at = |column: u32, row: u32| sheet.get_pixel(column * 57 + 5, row * 113 + 5).0[0];
    assert_eq!([at(0, 0), at(1, 0), at(0, 1)], [10, 20, 30]);
    assert_eq!(sheet.get_pixel(1, 2 * 113 + 1).0, [0; 3]);
}

#[test]
fn packs_of_pairs_are_inspected() {
    let mut whole = Vec::new();
    let image = RgbImage::from_pixel(3, 2, Rgb([9, 8, 7]));
    image
        .write_to(&mut Cursor::new(&mut whole), image::ImageFormat::Png)
        .unwrap();
    let pack = Pack {
        name: "pack".into(),
        images: [&whole, &whole, &whole, &vec![1]]
            .map(|image| image[..].into())
            .to_vec(),
        same: vec![true, false],
    };
    let content = Content::Pairs(pack);
    let inspection = inspect(&content, Task::Verification, Unreadable::Refuse);
    assert_eq!(
        found(&inspection),
        [(Severity::Breaks, "1 images that cannot be read")]
    );
    assert_eq!(
        (inspection.parts[0].part, inspection.parts[0].images),
        ("same", 2)
    );
    assert_eq!(sheet(&content, 1, 4).dimensions(), (4 * 4 + 1, 3 + 1));
}
