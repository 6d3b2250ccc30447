//! `data`: made up, inspected, converted.

use crate::{fail, run, succeed};
use std::fs;

#[test]
fn made_up_data_is_known_again_and_becomes_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (kind, format) in [("reid", "market1501"), ("vehicles", "veri776")] {
        let options = [
            "--identities",
            "4",
            "--cameras",
            "3",
            "--images-per-camera",
            "1",
        ];
        let made = [&["data", "synth", kind, "-o", kind], &options[..]].concat();
        let text = succeed(folder, &made);
        assert!(text.contains("training pictures"), "{text}");
        let text = succeed(folder, &["data", "inspect", kind, "--json"]);
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&found["format"], &found["breaks_training"]),
            (&format.into(), &false.into())
        );
        assert_eq!(found["parts"][0]["identities"], 2);
        let csv = format!("{kind}/manifest.csv");
        succeed(folder, &["data", "convert", kind, "-o", &csv]);
        let lines = fs::read_to_string(folder.join(csv))
            .unwrap()
            .lines()
            .count();
        let images = found["parts"].as_array().unwrap().iter();
        let images: u64 = images.map(|part| part["images"].as_u64().unwrap()).sum();
        assert_eq!(lines as u64, images + 1);
    }
    // A folder with something in it is left alone.
    fail(
        folder,
        &["data", "synth", "reid", "-o", "reid"],
        3,
        &["reid", "choose another name"],
    );
    fail(
        folder,
        &["data", "synth", "vehicles", "-o", "x", "--cameras", "21"],
        3,
        &["cameras", "2 to 20"],
    );
}

#[test]
fn inspection_explains_itself_and_ends_with_3_where_training_would_break() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let image = |path: &str, level: u8| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, [b"P5 2 2 255\n".as_slice(), &[level; 4]].concat()).unwrap();
    };
    image("photos/ant/1.pgm", 1);
    image("photos/ant/2.pgm", 2);
    image("photos/bee/1.pgm", 3);
    image("photos/bee/2.pgm", 4);
    let text = succeed(folder, &["data", "inspect", "photos", "-o", "sheet.png"]);
    for part in [
        "a folder for each class",
        "ant/1.pgm",
        "all 2 x 2",
        "4 pictures are grey",
        "no problems",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    assert!(
        fs::read(folder.join("sheet.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
    fs::write(folder.join("photos/bee/3.pgm"), "P5 2").unwrap();
    let outcome = run(folder, &["data", "inspect", "photos"]);
    assert_eq!(outcome.code, Some(3));
    assert!(
        outcome.stdout.contains("photos/bee/3.pgm"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stderr.contains("1 files that cannot be read"),
        "{}",
        outcome.stderr
    );
    succeed(folder, &["data", "inspect", "photos", "--bad", "skip"]);
    fail(
        folder,
        &["data", "inspect", "photos", "--format", "cub"],
        3,
        &["image_class_labels.txt"],
    );
    fail(
        folder,
        &["data", "inspect", "nowhere"],
        3,
        &["nowhere", "cannot be read"],
    );
    fail(
        folder,
        &["data", "inspect", "photos", "--format", "x"],
        3,
        &["one of manifest"],
    );
    assert!(succeed(folder, &["data", "formats"]).contains("market1501"));
}
