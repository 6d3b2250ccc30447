//! Faces: trained on one set, chosen by another, verified on a third.

use crate::config;
use hypersphere::cli::Eval;
use hypersphere::config::{ConfigError, Layers};
use hypersphere::progress::Style;
use hypersphere::protocol::Protocol;
use hypersphere::trainer::{Part, Trainer};
use hypersphere_tests::layouts;
use hypersphere_tests::runs::{judged, options, other, start, turn};
use std::fs;

#[test]
fn faces_are_trained_on_one_set_chosen_by_another_and_verified_on_a_third() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [faces, lfw, out] = ["faces", "lfw", "run"].map(|name| folder.path().join(name));
    layouts::folder(&faces, "", 8, 5);
    layouts::lfw(&lfw);
    let test = other("test", &lfw, "lfw");
    let choose = other("choose", &lfw, "lfw-view1");
    let settings = [
        "data.size=[16]",
        "data.validation=2",
        test.as_str(),
        choose.as_str(),
    ];
    let (mut run, mut trainer) = start(&out, &config(&faces, "folder", &settings));
    assert_eq!(trainer.loaders().protocol, Protocol::Verify);
    // Nothing is held out: view 1 takes the place of the validation part.
    assert_eq!(trainer.loaders().classes.len(), 8);
    let rows = trainer.train(&mut run, Style::None).unwrap();
    let watched = rows[0].validation.as_ref().unwrap();
    assert_eq!((watched.get("pairs"), watched.images), (Some(4.0), 14));
    assert!(watched.get("accuracy").is_some());
    let test = trainer.judge(Part::Test).unwrap().unwrap();
    assert_eq!(
        (test.figures.get("pairs"), test.figures.images),
        (Some(8.0), 8)
    );
    assert!(test.figures.get("standard_error").is_some());

    // View 1 of a checkpoint: the threshold is of one list, the figures of the other.
    let found = judged(Eval {
        data: Some(lfw.clone()),
        format: Some("lfw-view1".into()),
        ..options(run.last_weights())
    });
    assert_eq!(found["accuracy"], watched.get("accuracy").unwrap());
    assert_eq!(
        (&found["pairs"], &found["negatives"]),
        (&4.0.into(), &2.0.into())
    );
    assert!(found["standard_error"].is_null() && !found["threshold"].is_null());

    // Its people are a training set of their own.
    let own = config(
        &lfw,
        "lfw-view1",
        &["data.size=[16]", "data.validation=0", "batch=4"],
    );
    let own = Trainer::new(own).unwrap();
    assert_eq!(own.loaders().classes, ["Name_0", "Name_1", "Name_2"]);
    assert_eq!(own.loaders().test.len(), 14);

    // View 2 selects nothing, in whatever form.
    for (folder, format) in [
        (&lfw, "lfw"),
        (&folder.path().join("lfw.bin"), "insightface"),
    ] {
        let mut layers = Layers::default();
        let choose = other("choose", folder, format);
        layers.add_assignment(&choose).unwrap();
        let error = layers.resolve().unwrap_err();
        assert!(error.is::<ConfigError>() && error.to_string().contains("`lfw-view1`"));
    }
}

#[test]
fn pairs_of_lfw_whose_images_are_missing_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let [faces, lfw] = ["faces", "lfw"].map(|name| folder.path().join(name));
    layouts::folder(&faces, "", 8, 5);
    layouts::lfw(&lfw);
    let loaders = || {
        let lfw = other("test", &lfw, "lfw");
        let config = config(
            &faces,
            "folder",
            &["data.size=[16]", "data.validation=2", &lfw],
        );
        hypersphere::dataset::Loaders::new(&config)
    };
    let has = |part: &str| {
        loaders()
            .unwrap()
            .notes
            .iter()
            .any(|note| note.contains(part))
    };
    assert!(!has("left out"));
    fs::remove_file(lfw.join("Name_1/Name_1_0003.jpg")).unwrap();
    assert!(has("1 of 8 pairs left out"));
    fs::write(lfw.join("pairs.txt"), "1 1\nX 1 2\nX 1 Y 1\n").unwrap();
    let error = loaders().err().unwrap().to_string();
    assert!(error.contains("X/X_0001.jpg"), "{error}");
    fs::remove_file(lfw.join("pairs.txt")).unwrap();
    assert!(has("the figures are not those of LFW"));
}

#[test]
fn packs_of_pairs_are_judged_alone_and_in_folders() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [faces, packs, out] = ["faces", "packs", "run"].map(|name| folder.path().join(name));
    layouts::folder(&faces, "", 8, 5);
    for name in ["lfw.bin", "agedb_30.bin"] {
        layouts::pack(&packs.join(name));
    }
    let test = other("test", &packs.join("lfw.bin"), "insightface");
    let settings = ["data.size=[16]", "data.validation=2", test.as_str()];
    let (mut run, mut trainer) = start(&out, &config(&faces, "folder", &settings));
    trainer.train(&mut run, Style::None).unwrap();
    let test = trainer.judge(Part::Test).unwrap().unwrap().figures;
    assert_eq!(
        (test.get("pairs"), test.get("negatives")),
        (Some(20.0), Some(10.0))
    );
    // Nothing is said of people, whom a pack does not know.
    assert_eq!(test.get("cosine_same"), None);
    let within = |key: &str| (0.0..=1.0).contains(&test.get(key).unwrap());
    assert!(
        ["accuracy", "insightface_accuracy", "insightface_deviation"]
            .into_iter()
            .all(within)
    );

    let eval = |data, flip| {
        let data = Some(data);
        judged(Eval {
            data,
            flip,
            ..options(run.last_weights())
        })
    };
    let test = serde_json::to_value(&test).unwrap();
    assert_eq!(eval(packs.join("lfw.bin"), false), test);
    let both = eval(packs.clone(), false);
    assert_eq!((&both["lfw"], &both["agedb_30"]), (&test, &test));
    assert_ne!(eval(packs.join("lfw.bin"), true), test);

    // Two are no one test; and there is nothing to train on.
    let several = other("test", &packs, "insightface");
    let settings = ["data.size=[16]", "data.validation=2", several.as_str()];
    let error = Trainer::new(config(&faces, "folder", &settings))
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("name the file that is meant"),
        "{error}"
    );
    let error = hypersphere::choose::choose(&packs).err().unwrap();
    assert!(error.to_string().contains("hypersphere eval"), "{error}");
}
