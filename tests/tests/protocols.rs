//! Every layout and every protocol from end to end: a tiny data set is written, trained on for a
//! few steps, judged, and judged again from its files with the same result.

use clap::Parser;
use hypersphere::cli::{Cli, Command, Eval};
use hypersphere::commands;
use hypersphere::config::{Config, ConfigError, Layers};
use hypersphere::features::Features;
use hypersphere::progress::Style;
use hypersphere::protocol::Protocol;
use hypersphere::source::DataError;
use hypersphere::trainer::{Part, Trainer};
use hypersphere_tests::layouts;
use hypersphere_tests::runs::{judged, options, resumes_to_the_same_bits, start};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// An interruption belongs to the process, so trainings take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A layout, how it is written, and what is asked of it.
struct Case {
    format: &'static str,
    write: fn(&Path),
    settings: &'static [&'static str],
    protocol: Protocol,
    /// Images in train, validation and test.
    images: [usize; 3],
    /// Figures that must have been found.
    figures: &'static [&'static str],
}

const SMALL: &[&str] = &["data.size=[16,16]", "data.validation=2"];
const REID: &[&str] = &[
    "map",
    "map_trapezoid",
    "rank_1",
    "minp",
    "dropped",
    "unmatched",
];
const RETRIEVE: &[&str] = &["recall_at_1", "map_at_r", "r_precision", "nmi", "queries"];

const CASES: &[Case] = &[
    Case {
        format: "folder",
        write: |root| {
            layouts::folder(root, "train", 4, 10);
            layouts::folder(root, "test", 4, 3);
        },
        settings: &["data.size=[16]", "data.validation=8"],
        protocol: Protocol::Classify,
        images: [32, 8, 12],
        figures: &["accuracy", "loss", "calibration_error", "cosine_own"],
    },
    Case {
        format: "cifar10",
        write: layouts::cifar10,
        settings: &["data.validation=20"],
        protocol: Protocol::Classify,
        images: [90, 20, 20],
        figures: &["accuracy", "top_5"],
    },
    Case {
        format: "manifest",
        write: layouts::manifest,
        settings: SMALL,
        protocol: Protocol::Classify,
        images: [24, 8, 8],
        figures: &["accuracy"],
    },
    Case {
        format: "omniglot",
        write: layouts::omniglot,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        // Twelve of the test images belong to the one-shot runs.
        images: [36, 12, 36],
        figures: &["recall_at_1", "map_at_r", "one_shot_error"],
    },
    Case {
        format: "orl",
        write: layouts::orl,
        settings: SMALL,
        protocol: Protocol::Verify,
        images: [84, 6, 12],
        figures: &["accuracy", "auc", "eer", "tar_at_far_0.1", "pairs"],
    },
    Case {
        format: "market1501",
        write: layouts::market,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 26],
        figures: REID,
    },
    Case {
        format: "duke",
        write: layouts::duke,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "cuhk03-labeled",
        write: layouts::cuhk03,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "cuhk03-labeled",
        write: layouts::cuhk03_protocol,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "veri776",
        write: layouts::veri,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "vehicleid",
        write: layouts::vehicle_id,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [24, 8, 16],
        figures: &["rank_1", "rank_5"],
    },
    Case {
        format: "cub",
        write: layouts::cub,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        images: [30, 10, 20],
        figures: RETRIEVE,
    },
    Case {
        format: "sop",
        write: layouts::sop,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        images: [30, 10, 20],
        figures: RETRIEVE,
    },
    Case {
        format: "in-shop",
        write: layouts::in_shop,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        images: [30, 10, 20],
        figures: RETRIEVE,
    },
];

/// A small network and short steps, with more settings after these.
fn config(root: &Path, format: &str, settings: &[&str]) -> Config {
    let mut layers = Layers::default();
    let usual = [
        "epochs=1",
        "batch=12",
        "lr=0.05",
        "loss=cosface:s=16,m=0.1",
        "model.name=vgg-light",
        "model.embed_dim=16",
        "data.augment={preset=\"shift\",flip=0.5,erase=0.3}",
    ];
    let folder = format!("data.folder={:?}", root.display().to_string());
    let format = format!("data.format={format}");
    let data = [folder.as_str(), format.as_str()];
    for setting in usual.iter().chain(&data).chain(settings) {
        layers.add_assignment(setting).unwrap();
    }
    layers.resolve().unwrap()
}

#[test]
fn every_layout_trains_and_its_protocol_judges_it() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let (data, out) = (folder.path().join("data"), folder.path().join("run"));
        (case.write)(&data);
        let config = config(&data, case.format, case.settings);
        let (mut run, mut trainer) = start(&out, &config);
        let loaders = trainer.loaders();
        assert_eq!(loaders.protocol, case.protocol, "{}", case.format);
        let validation = loaders.validation.as_ref().map_or(0, |v| v.len());
        let train = loaders.train.examples().labels().len();
        let images = [train, validation, loaders.test.len()];
        assert_eq!(images, case.images, "{}", case.format);

        let rows = trainer.train(&mut run, Style::None).unwrap();
        let watched = rows[0].validation.as_ref().unwrap();
        let (headline, value) = case.protocol.headline(watched).unwrap();
        assert!(
            (0.0..=1.0).contains(&value),
            "{}: {headline} {value}",
            case.format
        );
        let table = fs::read_to_string(out.join("metrics.csv")).unwrap();
        assert!(table.contains(&format!("validation_{headline}")), "{table}");

        let test = trainer.judge(Part::Test).unwrap().unwrap();
        for figure in case.figures {
            let value = test.figures.get(figure);
            assert!(
                value.is_some_and(f64::is_finite),
                "{}: {figure} {value:?}",
                case.format
            );
        }
        // The weights in the file, on data read anew, find the same to the last bit.
        let again = judged(options(out.clone()));
        assert_eq!(
            again,
            serde_json::to_value(&test.figures).unwrap(),
            "{}",
            case.format
        );
        // And so does the file without its run, on a folder whose layout it has to recognise.
        let lonely = folder.path().join("lonely.safetensors");
        fs::copy(run.last_weights(), &lonely).unwrap();
        let again = judged(Eval {
            data: Some(data),
            protocol: Some(case.protocol),
            format: (case.format == "folder").then(|| case.format.into()),
            ..options(lonely)
        });
        assert_eq!(
            again,
            serde_json::to_value(&test.figures).unwrap(),
            "{}",
            case.format
        );
    }
}

#[test]
fn faces_are_trained_on_one_set_chosen_by_another_and_verified_on_a_third() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let [faces, lfw, out] = ["faces", "lfw", "run"].map(|name| folder.path().join(name));
    layouts::folder(&faces, "", 8, 5);
    layouts::lfw(&lfw);
    let view = |key, format| {
        let folder = lfw.display().to_string();
        format!("data.{key}={{folder={folder:?},format=\"{format}\"}}")
    };
    let (test, choose) = (view("test", "lfw"), view("choose", "lfw-view1"));
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

    // View 2 selects nothing.
    let mut layers = Layers::default();
    layers.add_assignment(&view("choose", "lfw")).unwrap();
    let error = layers.resolve().unwrap_err();
    assert!(error.is::<ConfigError>() && error.to_string().contains("`lfw-view1`"));
}

#[test]
fn pairs_of_lfw_whose_images_are_missing_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let [faces, lfw] = ["faces", "lfw"].map(|name| folder.path().join(name));
    layouts::folder(&faces, "", 8, 5);
    layouts::lfw(&lfw);
    let loaders = || {
        let lfw = lfw.display().to_string();
        let lfw = format!("data.test={{folder={lfw:?},format=\"lfw\"}}");
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
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let [faces, packs, out] = ["faces", "packs", "run"].map(|name| folder.path().join(name));
    layouts::folder(&faces, "", 8, 5);
    for name in ["lfw.bin", "agedb_30.bin"] {
        layouts::pack(&packs.join(name));
    }
    let one = packs.join("lfw.bin").display().to_string();
    let test = format!("data.test={{folder={one:?},format=\"insightface\"}}");
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
    let several = format!(
        "data.test={{folder={:?},format=\"insightface\"}}",
        packs.display().to_string()
    );
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

#[test]
fn classic_splits_are_trained_on_one_by_one_and_judged_together() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let [data, out] = ["data", "run"].map(|name| folder.path().join(name));
    layouts::cuhk03_classic(&data);
    let format = "cuhk03-labeled-classic";
    let settings = [SMALL, &["data.fold=2"]].concat();
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
    assert_eq!(
        all,
        eval(data.clone()),
        "drawings are a function of the split"
    );
    let single = |fold: u32| {
        let fold = format!("data.fold={fold}");
        let settings = [SMALL, &[fold.as_str()]].concat();
        let trainer = Trainer::new(config(&data, format, &settings)).unwrap();
        trainer.loaders().test.len()
    };
    assert_eq!([1, 2, 3].map(single), [18; 3]);
    let settings = [SMALL, &["data.fold=4"]].concat();
    let error = Trainer::new(config(&data, format, &settings))
        .err()
        .unwrap();
    assert!(error.to_string().contains("1 to 3"), "{error}");
}

#[test]
fn a_manifest_is_embedded_with_its_test_and_metrics_judge_it_as_eval_does() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
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
    hypersphere(&["embed", &run, &list, "-o", &path("f.safetensors")]).unwrap();
    let metrics = || -> anyhow::Result<serde_json::Value> {
        let (features, figures) = (path("f.safetensors"), path("figures.json"));
        let to = ["--features", &features, "-o", &figures];
        hypersphere(&[&["metrics", "--protocol", "reid"][..], &to].concat())?;
        let text = fs::read_to_string(&figures)?;
        Ok(serde_json::from_str::<serde_json::Value>(&text)?["figures"].clone())
    };
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
    features.cameras[query] = 1;
    features.is_gallery.fill(false);
    features.write(&at("f.safetensors")).unwrap();
    let error = metrics().unwrap_err().to_string();
    assert!(
        error.contains("only one of `is_query` and `is_gallery`"),
        "{error}"
    );
}

/// The program's `embed` and `metrics`.
fn hypersphere(arguments: &[&str]) -> anyhow::Result<()> {
    let cli = Cli::parse_from([&["hypersphere"], arguments].concat());
    match &cli.command {
        Command::Embed(options) => commands::embed::run(options),
        Command::Metrics(options) => commands::metrics::run(options),
        other => panic!("{other:?}"),
    }
}

/// PxK with cameras, everything varied, an average of the weights: interrupted after every step.
#[test]
fn a_run_of_pxk_batches_resumes_to_the_same_bits() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
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

#[test]
fn files_that_are_decoded_on_demand_give_the_same_weights_as_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    layouts::folder(&data, "train", 4, 10);
    layouts::folder(&data, "test", 4, 3);
    let weights = [0, 100].map(|megabytes| {
        let out = folder.path().join(megabytes.to_string());
        let memory = format!("data.memory={megabytes}");
        let stated = ["data.mean=[0.4,0.4,0.4]", "data.std=[0.3,0.3,0.3]"];
        let settings = [
            &["data.size=[16]", "data.validation=8", &memory],
            &stated[..],
        ]
        .concat();
        let (mut run, mut trainer) = start(&out, &config(&data, "folder", &settings));
        trainer.train(&mut run, Style::None).unwrap();
        let weights = nn::Checkpoint::<f32>::read(&run.last_weights()).unwrap();
        let values = |(name, t): (String, engine::Tensor<f32>)| (name, t.data().to_vec());
        weights.tensors.into_iter().map(values).collect::<Vec<_>>()
    });
    assert!(weights[0] == weights[1]);
}

#[test]
fn a_network_begins_with_the_weights_of_another_run() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let [data, out] = ["data", "run"].map(|name| folder.path().join(name));
    layouts::cub(&data);
    let first = config(&data, "cub", SMALL);
    let (mut run, mut trainer) = start(&out, &first);
    trainer.train(&mut run, Style::None).unwrap();
    let init = format!("init={:?}", run.last_weights().display().to_string());
    // Other classes: the network is taken over, the class weights are not.
    let settings = ["data.size=[16,16]", "data.validation=3", init.as_str()];
    let second = Trainer::new(config(&data, "cub", &settings)).unwrap();
    let value = |trainer: &Trainer, name| {
        let params = trainer.params();
        params.value(params.find(name).unwrap()).data().to_vec()
    };
    let same = |name| value(&trainer, name) == value(&second, name);
    assert!(same("backbone.conv1.weight") && same("backbone.fc.weight"));
    assert_ne!(
        value(&trainer, "head.weight").len(),
        value(&second, "head.weight").len()
    );
    let other = ["model.embed_dim=8", init.as_str()];
    let error = Trainer::new(config(&data, "cub", &[SMALL, &other].concat())).err();
    let error = error.expect("another network");
    assert!(error.is::<ConfigError>() && format!("{error:#}").contains("backbone.fc.weight"));
}

#[test]
fn mistakes_are_told_apart_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    layouts::cub(&data);
    let message = |format: &str, settings: &[&str]| {
        let error = Trainer::new(config(&data, format, settings))
            .err()
            .expect("an error");
        (error.is::<ConfigError>(), format!("{error:#}"))
    };
    let refused = |format, settings, configuration, parts: &[&str]| {
        let (is_configuration, text) = message(format, settings);
        assert_eq!(is_configuration, configuration, "{text}");
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
    };
    // Too much held out, classes and images.
    refused(
        "cub",
        &["data.size=[16]", "data.validation=9"],
        true,
        &["`data.validation` is 9", "at most 6"],
    );
    let images = ["data.size=[16]", "protocol=classify", "data.validation=40"];
    refused("cub", &images, true, &["data.validation", "at most 32"]);
    // Classes of the test that training does not know.
    let classify = ["data.size=[16]", "protocol=classify", "data.validation=8"];
    refused(
        "cub",
        &classify,
        false,
        &["tested but was not trained on", "--protocol retrieve"],
    );
    // Batches that cannot be made.
    let pk = [
        "data.size=[16]",
        "data.validation=2",
        "sampler={kind=\"pk\",p=7,k=2}",
    ];
    refused(
        "cub",
        &pk,
        true,
        &["[sampler]", "expected 7 or more, found 6"],
    );
    let blind = [
        "data.size=[16]",
        "data.validation=2",
        "sampler={kind=\"pk\",p=2,k=2,camera_aware=true}",
    ];
    refused("cub", &blind, true, &["[sampler]", "cameras"]);
    // Data of another layout, a folder that is not there.
    refused("sop", SMALL, false, &["Ebay_train.txt"]);
    let elsewhere = config(&folder.path().join("nowhere"), "orl", SMALL);
    let error = Trainer::new(elsewhere).err().unwrap();
    assert!(error.is::<DataError>());
    assert!(error.to_string().contains("s1/1.pgm"), "{error}");
    // A set that has a size of its own.
    refused(
        "cifar10",
        &["data.size=[16]"],
        true,
        &["a size of their own"],
    );
    // Only something to test on.
    let faces = folder.path().join("lfw");
    layouts::lfw(&faces);
    let error = Trainer::new(config(&faces, "lfw", SMALL)).err().unwrap();
    assert!(
        error.is::<ConfigError>() && error.to_string().contains("[data.test]"),
        "{error}"
    );
}

#[test]
fn unreadable_files_are_refused_or_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    layouts::cub(&data);
    layouts::write(data.join("images/001.Bird/0.jpg"), "no picture");
    let error = Trainer::new(config(&data, "cub", SMALL)).err().unwrap();
    assert!(error.to_string().contains("001.Bird/0.jpg"), "{error}");
    let skip = [SMALL, &["data.unreadable=skip"]].concat();
    let trainer = Trainer::new(config(&data, "cub", &skip)).unwrap();
    let notes = &trainer.loaders().notes;
    assert!(
        notes.iter().any(|note| note.contains("1 files left out")),
        "{notes:?}"
    );
}
