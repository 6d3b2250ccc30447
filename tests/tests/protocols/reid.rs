//! Re-identification: the classic splits of CUHK03, manifests, batches of identities.

use crate::{SMALL, config};
use hypersphere::cli::Eval;
use hypersphere::features::Features;
use hypersphere::progress::Style;
use hypersphere::trainer::{Part, Trainer};
use hypersphere_tests::layouts;
use hypersphere_tests::runs::{
    judged, options, other, program, resumes_to_the_same_bits, start, turn,
};
use std::fs;

#[test]
fn classic_splits_are_trained_on_one_by_one_and_judged_together() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [data, out] = ["data", "run"].map(|name| folder.path().join(name));
    layouts::cuhk03_classic(&data);
    let format = "cuhk03-labeled-classic";
    // The same for all splits.
    let stated = ["data.mean=[0.4,0.4,0.4]", "data.std=[0.3,0.3,0.3]"];
    let settings = [SMALL, &stated, &["data.fold=2"]].concat();
    let (mut run, mut trainer) = start(&out, &config(&data, format, &settings));
    let parts = trainer.loaders();
    assert_eq!(
        (parts.train.examples().labels().len(), parts.test.len()),
        (42, 18)
    );
    assert_eq!(parts.test.classes, ["1_004", "1_006", "2_005"]);
    trainer.train(&mut run, Style::None).unwrap();
    let one = trainer.judge(Part::Test).unwrap().unwrap().figures;
    assert_eq!(
        (one.get("splits"), one.get("unmatched")),
        (Some(1.0), Some(0.0))
    );
    assert!(one.get("rank_1").unwrap() <= one.get("rank_5").unwrap());
    assert_eq!((one.get("rank_20"), one.get("map")), (Some(1.0), None));
    assert_eq!(judged(options(out)), serde_json::to_value(&one).unwrap());

    // A network from elsewhere is judged on every split; where it stands alone is known by names.
    let lonely = folder.path().join("lonely.safetensors");
    fs::copy(run.last_weights(), &lonely).unwrap();
    let eval = |data| {
        judged(Eval {
            data: Some(data),
            ..options(lonely.clone())
        })
    };
    let all = eval(data.clone());
    assert_eq!((&all["splits"], &all["images"]), (&3.0.into(), &54.into()));
    // A split draws alone what it draws among all.
    let single = |fold: u32| {
        let fold = format!("data.fold={fold}");
        let folder = tempfile::tempdir().unwrap();
        let init = format!("init={:?}", lonely.display().to_string());
        let settings = [SMALL, &stated, &[&fold, &init]].concat();
        let (_, mut trainer) = start(
            &folder.path().join("run"),
            &config(&data, format, &settings),
        );
        trainer.judge(Part::Test).unwrap().unwrap().figures
    };
    let singles = [1, 2, 3].map(single);
    for rank in ["rank_1", "rank_5"] {
        let mean = singles.iter().map(|s| s.get(rank).unwrap()).sum::<f64>() / 3.0;
        assert!((mean - all[rank].as_f64().unwrap()).abs() < 1e-9, "{rank}");
    }
    let settings = [SMALL, &["data.fold=4"]].concat();
    let error = Trainer::new(config(&data, format, &settings))
        .err()
        .unwrap();
    assert!(error.to_string().contains("1 to 3"), "{error}");
}

/// Who is trained on with one kind of boxes is not tested with the other.
#[test]
fn the_other_boxes_are_tested_by_the_split_that_was_trained_on() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [labeled, detected] = ["labeled", "detected"].map(|name| folder.path().join(name));
    layouts::cuhk03_classic(&labeled);
    layouts::cuhk03_classic(&detected);
    fs::rename(
        detected.join("images_labeled"),
        detected.join("images_detected"),
    )
    .unwrap();
    let test = other("test", &detected, "cuhk03-detected-classic");
    let parts = |fold: &[&str]| {
        let settings = [SMALL, fold, &[test.as_str()]].concat();
        let config = config(&labeled, "cuhk03-labeled-classic", &settings);
        hypersphere::dataset::Loaders::new(&config).unwrap()
    };
    assert_eq!(
        parts(&["data.fold=2"]).test.classes,
        ["1_004", "1_006", "2_005"]
    );
    // The first is usual.
    for parts in [parts(&[]), parts(&["data.fold=1"])] {
        assert_eq!(parts.test.classes, ["1_002", "2_001", "2_003"]);
    }
    let out = folder.path().join("run");
    let config = config(&labeled, "cuhk03-labeled-classic", SMALL);
    let (mut run, mut trainer) = start(&out, &config);
    trainer.train(&mut run, Style::None).unwrap();
    for data in [&labeled, &detected] {
        let found = judged(Eval {
            data: Some(data.clone()),
            ..options(out.clone())
        });
        assert_eq!(
            (&found["splits"], &found["images"]),
            (&1.0.into(), &18.into())
        );
    }
}

/// What is not tested on is not decoded.
#[test]
fn broken_training_images_do_not_matter_to_a_test() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let [data, other_data, out] = ["data", "other", "run"].map(|name| folder.path().join(name));
    layouts::market(&data);
    layouts::market(&other_data);
    let train = fs::read_dir(other_data.join("bounding_box_train")).unwrap();
    for image in train {
        fs::write(image.unwrap().path(), "no picture").unwrap();
    }
    let test = other("test", &other_data, "market1501");
    let settings = [SMALL, &[test.as_str()]].concat();
    let (mut run, mut trainer) = start(&out, &config(&data, "market1501", &settings));
    trainer.train(&mut run, Style::None).unwrap();
    let test = trainer.judge(Part::Test).unwrap().unwrap().figures;
    let found = judged(Eval {
        data: Some(other_data.clone()),
        ..options(run.last_weights())
    });
    assert_eq!(found, serde_json::to_value(&test).unwrap());
    // To be trained on, they have to be whole.
    let error = Trainer::new(config(&other_data, "market1501", SMALL))
        .err()
        .unwrap();
    assert!(error.to_string().contains("bounding_box_train"), "{error}");
}

#[test]
fn a_manifest_is_embedded_with_its_test_and_metrics_judge_it_as_eval_does() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    layouts::market(&at("data"));
    let (mut run, mut trainer) = start(&at("run"), &config(&at("data"), "market1501", SMALL));
    trainer.train(&mut run, Style::None).unwrap();
    let test = trainer.judge(Part::Test).unwrap().unwrap().figures;

    let content = data::formats::guess(at("data")).unwrap().read().unwrap();
    let list = at("data/manifest.csv");
    data::formats::convert(&content, &list, false).unwrap();
    let path = |name: &str| at(name).display().to_string();
    let [run, list] = [path("run"), list.display().to_string()];
    program(&["embed", &run, &list, "-o", &path("f.safetensors")]).unwrap();
    let judged_by = |protocol: &str| -> anyhow::Result<serde_json::Value> {
        let (features, figures) = (path("f.safetensors"), path("figures.json"));
        let to = ["--features", &features, "-o", &figures];
        program(&[&["metrics", "--protocol", protocol][..], &to].concat())?;
        let text = fs::read_to_string(&figures)?;
        Ok(serde_json::from_str::<serde_json::Value>(&text)?["figures"].clone())
    };
    let metrics = || judged_by("reid");
    let found = metrics().unwrap();
    for key in [
        "map",
        "rank_1",
        "minp",
        "queries",
        "gallery",
        "dropped",
        "unmatched",
    ] {
        let (ours, theirs) = (test.get(key).unwrap(), found[key].as_f64().unwrap());
        assert!((ours - theirs).abs() < 1e-6, "{key}: {ours} {theirs}");
    }

    // Training entries need no camera, those of the test do.
    let mut features = Features::read(&at("f.safetensors")).unwrap();
    let query = features.is_query.iter().position(|&is| is).unwrap();
    let train = (0..features.len()).find(|&i| !features.is_query[i] && !features.is_gallery[i]);
    features.cameras[train.unwrap()] = -1;
    features.write(&at("f.safetensors")).unwrap();
    assert_eq!(metrics().unwrap(), found);
    features.cameras[query] = -1;
    features.write(&at("f.safetensors")).unwrap();
    let error = metrics().unwrap_err().to_string();
    assert!(error.contains(&format!("item {query}")), "{error}");
    // Who asks for no cameras does not need them.
    assert!(judged_by("retrieve").unwrap()["recall_at_1"].is_f64());
    features.cameras[query] = 1;
    features.is_gallery.fill(false);
    features.write(&at("f.safetensors")).unwrap();
    let error = metrics().unwrap_err().to_string();
    assert!(
        error.contains("only one of `is_query` and `is_gallery`"),
        "{error}"
    );
}

/// PxK with cameras, everything varied, an average of the weights: interrupted after every step.
#[test]
fn a_run_of_pxk_batches_resumes_to_the_same_bits() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    layouts::market(&data);
    let settings = [
        "epochs=2",
        "data.size=[16,16]",
        "data.validation=2",
        "data.augment={preset=\"vehicles\",shift=2,mixup=0.2,rand_augment=[1,0.2]}",
        "sampler={kind=\"pk\",p=3,k=2,camera_aware=true}",
        "loss=softmax + triplet:margin=0.3",
        "model.neck=true",
        "model.dropout=0.1",
        "ema=0.9",
    ];
    let config = config(&data, "market1501", &settings);
    assert_eq!(config.batch, 6);
    assert!(resumes_to_the_same_bits(folder.path(), &config) >= 8);
}
