//! Every layout is known by its names, and what is no data set is not taken for one.

use super::*;
use crate::formats::list::tests::touch;

fn folder(paths: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    touch(root.path(), paths);
    root
}

const MARKET: [&str; 3] = [
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
];

#[test]
fn every_layout_is_known_by_its_names() {
    let layouts: [(&str, &[&str]); 32] = [
        ("manifest", &["manifest.csv", "a/1.png"]),
        ("mnist", &["train-images-idx3-ubyte.gz"]),
        ("cifar10", &["data_batch_1.bin", "test_batch.bin"]),
        ("cifar10", &["data_batch_1", "test_batch"]),
        ("cifar100", &["train.bin", "test.bin"]),
        ("cifar100", &["train", "test", "meta"]),
        (
            "omniglot",
            &["images_background/a/x", "images_evaluation/a/x"],
        ),
        (
            "cub",
            &["images.txt", "image_class_labels.txt", "images/1/x.jpg"],
        ),
        ("cars", &["cars_annos.mat", "car_ims/000001.jpg"]),
        ("cars", &["names.csv", "anno_train.csv", "anno_test.csv"]),
        (
            "sop",
            &["Ebay_train.txt", "Ebay_test.txt", "bicycle_final/1_0.JPG"],
        ),
        ("in-shop", &["Eval/list_eval_partition.txt"]),
        ("market1501", &MARKET),
        (
            "duke",
            &[
                "bounding_box_train/0001_c2_f0046182.jpg",
                "query/x",
                "bounding_box_test/x",
            ],
        ),
        (
            "cuhk03-labeled",
            &[
                "bounding_box_train/0001_c1_1_000001.png",
                "query/x",
                "bounding_box_test/x",
            ],
        ),
        (
            "cuhk03-labeled",
            &[
                "cuhk03_new_protocol_config_labeled.mat",
                "cuhk03_new_protocol_config_detected.mat",
                "images_labeled/1_001_1_01.png",
            ],
        ),
        (
            "cuhk03-detected",
            &[
                "cuhk03_new_protocol_config_detected.mat",
                "images_detected/1_001_1_01.png",
            ],
        ),
        ("cuhk03-labeled", &["cuhk03_release/cuhk-03.mat"]),
        (
            "cuhk03-labeled-classic",
            &["testsets.mat", "images_labeled/1_001_1_01.png"],
        ),
        (
            "cuhk03-detected-classic",
            &["testsets.mat", "detected/1_001_1_01.png"],
        ),
        ("insightface", &["lfw.bin", "agedb_30.bin", "train.rec"]),
        (
            "veri776",
            &[
                "image_train/0001_c001_00016450_0.jpg",
                "image_query/x",
                "image_test/x",
            ],
        ),
        (
            "vehicleid",
            &["train_test_split/train_list.txt", "image/1.jpg"],
        ),
        ("lfw", &["A_B/A_B_0001.jpg", "C/C_0001.jpg", "C/C_0002.jpg"]),
        ("orl", &["s1/1.pgm", "s10/2.pgm", "README"]),
        ("fsdd", &["recordings/7_jackson_32.wav", "metadata.py"]),
        ("fsdd", &["7_jackson_32.wav", "7_jackson_33.wav"]),
        ("esc50", &["meta/esc50.csv", "audio/1-100032-A-0.wav"]),
        ("esc10", &["meta/esc10.csv", "audio/1-100032-A-0.wav"]),
        (
            "urbansound",
            &["metadata/UrbanSound8K.csv", "audio/fold1/101415-3-0-2.wav"],
        ),
        (
            "speech-commands",
            &[
                "validation_list.txt",
                "testing_list.txt",
                "yes/0a7c2a8d_nohash_0.wav",
            ],
        ),
        ("folder", &["cat/1.jpg", "dog/deep/2.jpg"]),
    ];
    for (name, paths) in layouts {
        let root = folder(paths);
        let guess = guess(root.path()).unwrap();
        assert_eq!((guess.format.name, &*guess.root), (name, root.path()));
        assert!(!guess.reasons.is_empty());
        assert_eq!(format(name).unwrap(), guess.format);
    }
    let unnamed: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
    let known = layouts.map(|(name, _)| name);
    // Never guessed, since the same files make another task.
    let others = ["speech-commands-12"];
    let is_tested = |name: &&str| known.contains(name) || others.contains(name);
    assert!(unnamed.iter().all(is_tested), "a layout without a test");
}

#[test]
fn reasons_are_what_was_seen() {
    let root = folder(&MARKET);
    let reasons = guess(root.path()).unwrap().reasons;
    let folders = "the folders bounding_box_train, query, bounding_box_test";
    assert_eq!(reasons, [folders, "names like 0002_c1s1_000451_03.jpg"]);
}

#[test]
fn a_folder_around_the_data_set_is_seen_through() {
    let inside = MARKET.map(|path| format!("Market-1501-v15.09.15/{path}"));
    let root = folder(&inside.each_ref().map(String::as_str));
    let found = guess(root.path()).unwrap();
    assert_eq!(found.format.name, "market1501");
    assert!(found.root.ends_with("Market-1501-v15.09.15"));
    assert!(
        matches!(found.read(), Ok(Content::Files(survey)) if survey.manifest.entries.len() == 3)
    );
    // Beside a folder that is something else it is a class.
    touch(root.path(), ["another/1.jpg"]);
    assert_eq!(guess(root.path()).unwrap().format.name, "folder");
}

#[test]
fn of_several_data_sets_one_must_be_named() {
    let parts = [
        "bounding_box_train/0001_c1_1_000001.png",
        "query/x",
        "bounding_box_test/x",
    ];
    let root = tempfile::tempdir().unwrap();
    for kind in ["labeled", "detected"] {
        touch(&root.path().join(kind), parts);
        let guess = guess(root.path().join(kind)).unwrap();
        assert_eq!(guess.format.name, format!("cuhk03-{kind}"));
    }
    let message = guess(root.path()).unwrap_err().to_string();
    assert!(
        message.contains("labeled") && message.contains("detected"),
        "{message}"
    );
}

#[test]
fn layouts_are_known_by_other_names_too() {
    for (alias, name) in [("idx", "mnist"), ("cars196", "cars"), ("dukemtmc", "duke")] {
        assert_eq!(format(alias).unwrap().name, name);
    }
    let message = format("dukes").unwrap_err().to_string();
    assert!(message.contains("market1501, duke, "), "{message}");
}

/// The boxes by hand are usual; detected ones beside them have to be asked for.
#[test]
fn of_two_kinds_of_boxes_those_by_hand_are_meant() {
    let images = ["labeled/1_001_1_01.png", "detected/1_001_1_01.png"];
    let root = folder(&[&images[..], &["testsets.mat"]].concat());
    let found = guess(root.path()).unwrap();
    assert_eq!(found.format.name, "cuhk03-labeled-classic");
    let protocols = ["labeled", "detected"].map(|k| format!("cuhk03_new_protocol_config_{k}.mat"));
    let protocols = protocols.each_ref().map(String::as_str);
    let root = folder(&[&images[..], &protocols].concat());
    assert_eq!(guess(root.path()).unwrap().format.name, "cuhk03-labeled");
}

#[test]
fn names_of_no_layout_are_shown_and_not_taken_for_classes() {
    let root = folder(&[
        "bounding_box_train/person7.jpg",
        "query/a.jpg",
        "bounding_box_test/b.jpg",
    ]);
    let message = guess(root.path()).unwrap_err().to_string();
    assert!(
        message.contains("bounding_box_train") && message.contains("b.jpg"),
        "{message}"
    );
    for paths in [&[][..], &["notes.txt"], &["1.jpg"], &["texts/a.txt"]] {
        let message = guess(folder(paths).path()).unwrap_err().to_string();
        assert!(
            message.contains("a folder of images for each class"),
            "{message}"
        );
    }
    let message = guess(folder(&["images.tar.gz"]).path())
        .unwrap_err()
        .to_string();
    assert!(message.contains("unpack images.tar.gz"), "{message}");
    assert!(
        guess("no/such")
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
    assert!(
        format("imagenet")
            .unwrap_err()
            .to_string()
            .contains("market1501")
    );
}

#[test]
fn a_file_may_be_a_manifest() {
    let root = folder(&["list.csv", "data.zip"]);
    let list = root.path().join("list.csv");
    assert_eq!(guess(&list).unwrap().format.name, "manifest");
    std::fs::write(&list, "path,label,split\na.png,a,train\n").unwrap();
    assert!(
        matches!(guess(&list).unwrap().read(), Ok(Content::Files(s)) if s.manifest.entries.len() == 1)
    );
    let pack = root.path().join("lfw.bin");
    std::fs::write(&pack, b"\x80\x03]]\x86.").unwrap();
    assert!(matches!(guess(&pack).unwrap().read(), Ok(Content::Pairs(pack)) if pack.is_empty()));
    let message = guess(root.path().join("data.zip")).unwrap_err().to_string();
    assert!(message.contains("unpack archives"), "{message}");
}
