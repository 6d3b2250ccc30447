//! Tests of CUHK03 in each of its forms.

use super::*;
use crate::formats::Content;
use crate::formats::list::tests::{refused, touch};
use crate::formats::mat::tests::{file, numbers, text};
use crate::metrics::retrieval::Rule;

const NAMES: [&str; 4] = [
    "1_001_1_01.png",
    "1_001_2_06.png",
    "2_003_1_02.png",
    "2_003_2_07.png",
];

/// The file of the new protocol: one image to train on, one query, one in the gallery.
fn config(root: &Path, boxes: Boxes, train: f64, labels: &[f64]) {
    let variables = [
        ("filelist", Value::Cells(NAMES.map(text).to_vec())),
        ("labels", numbers(labels)),
        ("camId", numbers(&[1.0, 2.0, 1.0, 2.0])),
        ("train_idx", numbers(&[train])),
        ("query_idx", numbers(&[3.0])),
        ("gallery_idx", numbers(&[4.0])),
    ];
    std::fs::write(root.join(boxes.config()), file(&variables)).unwrap();
}

#[test]
fn the_new_protocol_from_its_own_file() {
    for folder in ["images_detected/", "detected/", "cuhk03_detected/", ""] {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        touch(root, NAMES.map(|n| format!("{folder}{n}")));
        config(root, Boxes::Detected, 2.0, &[1.0, 1.0, 846.0, 846.0]);
        let survey = new_protocol(Boxes::Detected, root).unwrap();
        let entries = &survey.manifest.entries;
        assert_eq!(
            (entries[0].path.as_str(), entries[0].label.as_str()),
            (&*format!("{folder}1_001_2_06.png"), "0001")
        );
        assert!((0..3).all(|i| survey.manifest.path(i).is_file()));
        assert_eq!((entries[0].camera, entries[1].camera), (Some(2), Some(1)));
        assert!(entries[1].is_query && entries[2].is_gallery && entries.len() == 3);
        assert_eq!(survey.counts[4], list::count("gallery images", 5_332, 1));
        let test = survey.manifest.evaluation().unwrap();
        let ids = vec![1, 846, 846];
        assert_eq!((test.rule, test.ids), (Rule::CrossCamera, ids));
        // Those of the other kind are another data set.
        let other = new_protocol(Boxes::Labeled, root);
        refused(other, &["cuhk03_new_protocol_config_labeled.mat"]);
    }
}

#[test]
fn copies_are_found_in_the_folder_and_below_it() {
    let root = tempfile::tempdir().unwrap();
    let copy = [
        "bounding_box_train/0001_c1_1_000001.png",
        "query/0002_c1_1_000001.png",
        "bounding_box_test/0002_c2_1_000001.png",
    ];
    for kind in ["labeled", "detected"] {
        touch(&root.path().join(kind), copy);
    }
    touch(root.path(), ["detected/query/0003_c1_1_000001.png"]);
    let images = |boxes, folder: &str| {
        let survey = new_protocol(boxes, root.path().join(folder)).unwrap();
        survey.manifest.entries.len()
    };
    assert_eq!(
        (images(Boxes::Labeled, ""), images(Boxes::Detected, "")),
        (3, 4)
    );
    // A folder that is one of the two is what it is said to be.
    assert_eq!(images(Boxes::Labeled, "detected"), 4);
}

#[test]
fn lists_that_do_not_fit_and_what_is_missing_are_named() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let read = || new_protocol(Boxes::Labeled, root);
    refused(read(), &["Market-1501's folders", "found something else"]);
    config(root, Boxes::Labeled, 1.0, &[1.0; 4]);
    refused(read(), &["images_labeled/1_001_1_01.png"]);
    touch(root, ["images_labeled/1_001_1_01.png"]);
    assert!(read().is_ok());
    config(root, Boxes::Labeled, 5.0, &[1.0; 4]);
    refused(read(), &["5 in train_idx"]);
    config(root, Boxes::Labeled, 1.0, &[1.0; 3]);
    refused(read(), &["4 files, 3 labels"]);
    let name = Value::Cells(vec![text("../1_001_1_01.png")]);
    let path = root.join(Boxes::Labeled.config());
    std::fs::write(path, file(&[("filelist", name)])).unwrap();
    refused(read(), &["../1_001_1_01.png", "leads out of the folder"]);
}

#[test]
fn the_original_file_is_known_and_what_to_do_is_said() {
    for place in ["", "cuhk03_release"] {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(place);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cuhk-03.mat"), "MATLAB 7.3 MAT-file").unwrap();
        let parts = [
            "cuhk-03.mat",
            "HDF5",
            "torchreid",
            "images_labeled/1_001_1_01.png",
        ];
        refused(new_protocol(Boxes::Labeled, root.path()), &parts);
        refused(classic(Boxes::Labeled, root.path()), &parts);
    }
}

#[test]
fn the_classic_splits() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    touch(
        root,
        [
            "images_labeled/1_001_1_01.png",
            "images_labeled/1_001_2_06.png",
            "images_labeled/1_002_1_01.png",
            "images_labeled/3_001_1_01.png",
            "images_labeled/5_001_1_01.png",
            "images_labeled/5_001_2_06.png",
        ],
    );
    let without = classic(Boxes::Labeled, root);
    refused(without, &["testsets.mat beside", "save('testsets.mat'"]);
    let nothing = classic(Boxes::Detected, root);
    refused(
        nothing,
        &["images_detected/1_001_1_01.png", "something else"],
    );
    let read = |splits: &[&[f64]]| {
        let cells = splits.iter().map(|s| numbers(s)).collect();
        let bytes = file(&[("testsets", Value::Cells(cells))]);
        std::fs::write(root.join("testsets.mat"), bytes).unwrap();
        classic(Boxes::Labeled, root)
    };
    // Columns: the pairs of cameras, then the people.
    let splits = read(&[&[1.0, 1.0, 1.0, 2.0], &[5.0, 1.0]]).unwrap();
    let test = |survey: &Survey| {
        let entries = survey.manifest.entries.iter();
        let test = entries.filter(|e| e.is_query && e.is_gallery && e.split == Split::Test);
        test.map(|e| (e.label.clone(), e.camera.unwrap()))
            .collect::<Vec<_>>()
    };
    let seen = |people: &[(&str, u32)]| -> Vec<(String, u32)> {
        people
            .iter()
            .map(|&(label, view)| (label.into(), view))
            .collect()
    };
    let one = splits.split(1).unwrap();
    // What is inspected and converted is one test, never the union of all.
    let usual = crate::formats::format("cuhk03-labeled-classic").unwrap();
    match usual.read(root).unwrap() {
        Content::Files(survey) => assert_eq!(survey, one),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        test(&one),
        seen(&[("1_001", 1), ("1_001", 2), ("1_002", 1)])
    );
    let two = splits.split(2).unwrap();
    assert_eq!(test(&two), seen(&[("5_001", 1), ("5_001", 2)]));
    assert_eq!(two.manifest.split(Split::Train).len(), 4);
    assert_eq!(two.manifest.evaluation().unwrap().rule, Rule::CrossCamera);
    assert_eq!((test(&splits.all()).len(), splits.tests().len()), (5, 2));
    let counts: Vec<_> = one.counts.iter().map(|c| (c.official, c.found)).collect();
    assert_eq!(counts, [(14_096, 6), (1_467, 4), (20, 2), (100, 1)]);
    for number in [0, 3] {
        refused(
            splits.split(number),
            &["1 to 2", &format!("found {number}")],
        );
    }
    for (split, part) in [
        (&[1.0, 1.0, 3.0][..], "another shape in cell 1"),
        (&[], "another shape in cell 1"),
        (&[1.5, 1.0], "another shape in cell 1"),
        (&[2.0, 1.0], "person 2_001 in cell 1"),
    ] {
        refused(read(&[split]), &["testsets.mat", part]);
    }
    std::fs::write(root.join("testsets.mat"), file(&[("x", numbers(&[1.0]))])).unwrap();
    refused(classic(Boxes::Labeled, root), &["no such cells"]);
    touch(root, ["images_labeled/6_001_1_01.png"]);
    refused(read(&[&[5.0, 1.0]]), &["6_001_1_01.png"]);
}
