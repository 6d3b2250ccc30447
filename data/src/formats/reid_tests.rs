//! Tests of the re-identification layouts: names as published, and what comes of them.

use super::*;
use crate::formats::list::tests::{paths, touch, write};
use crate::metrics::retrieval::{Identities, Rule, Ties, evaluate_places};
use crate::metrics::scores::Given;

#[test]
fn names_as_published() {
    assert_eq!(market("0002_c1s1_000451_03.jpg"), Some(("0002", 1)));
    assert_eq!(market("-1_c3s2_000401_03.jpg"), Some(("-1", 3)));
    assert_eq!(market("0000_c6s4_002202_01.jpg"), Some(("0000", 6)));
    assert_eq!(market("1501_c6s4_001902_00.jpg.jpg"), Some(("1501", 6)));
    assert_eq!(duke("0005_c2_f0046985.jpg"), Some(("0005", 2)));
    assert_eq!(cuhk03("0768_c2_6_006512.png"), Some(("0768", 2)));
    assert_eq!(veri("0776_c016_00085020_0.jpg"), Some(("0776", 16)));
    let parsers = [market, duke, cuhk03, veri];
    for bad in [
        "",
        "x.jpg",
        "0002.jpg",
        "0002_c.jpg",
        "0002_c9.jpg",
        "-2_c1s1_000401_03.jpg",
        "0002_c7s1_000451_03.jpg",
    ] {
        assert!(parsers.iter().all(|parse| parse(bad).is_none()), "{bad}");
    }
    assert_eq!(duke("0005_c9_f0046985.jpg"), None);
    assert_eq!(cuhk03("0001_c3_1_000001.png"), None);
    assert_eq!(veri("0776_c021_00085020_0.jpg"), None);
    assert_eq!(veri("0776_c16_00085020_0.jpg"), None);
}

/// The parent folder looks like a name, which must not matter.
#[test]
fn folders_become_splits_queries_and_gallery() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().join("9999_c2s1_000001_01.jpg");
    touch(
        &root,
        [
            "bounding_box_train/0002_c1s1_000451_03.jpg",
            "bounding_box_train/Thumbs.db",
            "bounding_box_test/-1_c1s1_000401_03.jpg",
            "bounding_box_test/0000_c2s1_000301_00.jpg",
            "bounding_box_test/0001_c2s1_000301_00.jpg",
            "query/0001_c1s1_001051_00.jpg",
        ],
    );
    let survey = read(&MARKET_1501, &root).unwrap();
    assert_eq!(survey.ignored, 1);
    let found: Vec<usize> = survey.counts.iter().map(|c| c.found).collect();
    assert_eq!(found, [1, 1, 1, 1, 3, 1, 1]);
    let official: Vec<usize> = survey.counts.iter().map(|c| c.official).collect();
    assert_eq!(official, [12_936, 751, 3_368, 750, 19_732, 3_819, 2_798]);
    let manifest = survey.manifest;
    assert_eq!(
        manifest.entries[0].path,
        "bounding_box_train/0002_c1s1_000451_03.jpg"
    );
    let test = manifest.evaluation().unwrap();
    assert_eq!(test.rule, Rule::CrossCamera);
    assert_eq!((test.queries, test.gallery), (vec![1], vec![2, 3, 4]));
    assert_eq!(
        (test.ids, test.cameras),
        (vec![2, 1, -1, 0, 1], vec![1, 1, 1, 2, 2])
    );
    let partial = read(&MARKET_1501, &root)
        .unwrap()
        .strict()
        .unwrap_err()
        .to_string();
    assert!(
        partial.contains("12936 training images") && partial.contains("1 training images"),
        "{partial}"
    );

    touch(&root, ["query/photo.jpg"]);
    let message = read(&MARKET_1501, &root).unwrap_err().to_string();
    assert!(
        message.contains("query/photo.jpg") && message.contains("0001_c1s1_000151_01.jpg"),
        "{message}"
    );
    let message = read(&VERI_776, &root).unwrap_err().to_string();
    assert!(message.contains("image_train: cannot be read"), "{message}");
}

#[test]
fn every_layout_reads_its_own_names() {
    for layout in [
        MARKET_1501,
        DUKE_MTMC,
        CUHK03_LABELED,
        CUHK03_DETECTED,
        VERI_776,
    ] {
        let root = tempfile::tempdir().unwrap();
        for folder in layout.folders {
            touch(root.path(), [&format!("{folder}/{}", layout.pattern)]);
        }
        let survey = read(&layout, root.path()).unwrap();
        assert_eq!(survey.manifest.entries.len(), 3, "{}", layout.name);
        assert!(
            survey.counts.iter().all(|c| c.found <= 1 && c.official > 1),
            "{}",
            layout.name
        );
        assert_eq!(survey.counts[0].found, 1);
    }
}

#[test]
fn vehicle_lists() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "train_test_split/train_list.txt",
        "0000002 9\n0000001 7\n",
    );
    write(
        root.path(),
        "train_test_split/test_list_800.txt",
        "0000003 5\n0000004 5\n\n",
    );
    let survey = vehicle_id(root.path(), 800).unwrap();
    let paths = paths(&survey);
    assert_eq!(
        paths,
        [
            "image/0000001.jpg",
            "image/0000002.jpg",
            "image/0000003.jpg",
            "image/0000004.jpg"
        ]
    );
    assert_eq!(
        (survey.counts[0].official, survey.counts[0].found),
        (800, 1)
    );
    write(
        root.path(),
        "train_test_split/test_list_800.txt",
        "0000003 5\n../x 5\n",
    );
    let message = vehicle_id(root.path(), 800).unwrap_err().to_string();
    assert!(message.contains("test_list_800.txt, line 2"), "{message}");
}

/// On a small copy, the index files leave out and find what the rule does.
#[test]
fn veris_index_files_say_what_the_rule_says() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let test = [
        "0001_c001_00000001_0.jpg",
        "0001_c002_00000002_0.jpg",
        "0002_c001_00000003_0.jpg",
        "0002_c003_00000004_0.jpg",
        "0002_c003_00000005_0.jpg",
    ];
    let query = [
        "0001_c001_00000009_0.jpg",
        "0002_c003_00000009_0.jpg",
        "0002_c007_00000009_0.jpg",
    ];
    let paths = |folder: &str, names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{folder}/{name}"))
            .collect()
    };
    for path in [paths("image_test", &test), paths("image_query", &query)].concat() {
        touch(root, [&path]);
    }
    touch(root, ["image_train/0003_c001_00000001_0.jpg"]);
    write(root, "name_test.txt", &test.join("\n"));
    write(root, "gt_index.txt", "2 \n3 \n3 4 5 \n");
    write(root, "jk_index.txt", "1 \n4 5 \n\n");
    assert_eq!(names(root.join("name_test.txt")).unwrap(), test);
    let matches = veri_index(root.join("gt_index.txt")).unwrap();
    let junk = veri_index(root.join("jk_index.txt")).unwrap();
    assert_eq!((matches.len(), junk.len()), (3, 3));

    let protocol = read(&VERI_776, root)
        .unwrap()
        .manifest
        .evaluation()
        .unwrap();
    let all = Identities {
        ids: &protocol.ids,
        cameras: &protocol.cameras,
    };
    let places = [&*protocol.queries, &*protocol.gallery];
    let scores = Given::new(&[0.0; 15], 5).unwrap();
    let found = evaluate_places(&scores, all, places, protocol.rule, Ties::Stable).unwrap();
    for (outcome, (matches, junk)) in found.queries.iter().zip(matches.iter().zip(&junk)) {
        assert_eq!(outcome.dropped, junk.len());
        assert_eq!(outcome.figures.unwrap().relevant, matches.len());
    }
    write(root, "gt_index.txt", "2\n0\n");
    let message = veri_index(root.join("gt_index.txt"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("line 2: expected whole numbers from 1"),
        "{message}"
    );
}
