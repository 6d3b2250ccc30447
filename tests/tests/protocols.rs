//! Every layout and every protocol from end to end: a tiny data set is written, trained on for a
//! few steps, judged, and judged again from its files with the same result.

use hypersphere::cli::{Eval, EvalPart};
use hypersphere::commands::eval;
use hypersphere::config::{Config, ConfigError, Layers};
use hypersphere::progress::Style;
use hypersphere::protocol::Protocol;
use hypersphere::run_dir::{Environment, RunDir};
use hypersphere::source::DataError;
use hypersphere::trainer::{INTERRUPT, Interrupted, Part, Trainer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// `INTERRUPT` belongs to the process, so trainings take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A picture of 16 x 16 that belongs to `class` by its stripes and to nobody else by its noise.
/// The content is told from the first bytes, so any name will do.
fn picture(path: &Path, class: usize, number: usize, channels: usize) {
    let kind = if channels == 1 { "P5" } else { "P6" };
    let mut bytes = format!("{kind} 16 16 255\n").into_bytes();
    let noise = |i: usize| (i * 7919 + class * 104_729 + number * 1_299_709) % 61;
    for i in 0..256 * channels {
        let (x, y, c) = (i / channels % 16, i / channels / 16, i % channels);
        let stripe = ((x * (1 + class % 4) + y * (class / 4) + 5 * c) % 16) * 12;
        bytes.push((stripe + noise(i)) as u8);
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn write(path: PathBuf, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// `classes` folders with `each` images.
fn folder(root: &Path, part: &str, classes: usize, each: usize) {
    for class in 0..classes {
        for i in 0..each {
            picture(
                &root.join(part).join(format!("class{class}/{i}.ppm")),
                class,
                i,
                3,
            );
        }
    }
}

fn omniglot(root: &Path) {
    for (part, classes) in [("images_background", 0..8), ("images_evaluation", 8..12)] {
        for class in classes {
            for i in 0..6 {
                let name = format!("{part}/Greek/character{class:02}/{class:04}_{i:02}.png");
                picture(&root.join(name), class, i, 1);
            }
        }
    }
    for run in ["run01", "run02"] {
        let mut list = String::new();
        for item in 1..4 {
            let [test, training] =
                [("test/item", 7), ("training/class", 8)].map(|(stem, number)| {
                    let name = format!("{run}/{stem}{item:02}.png");
                    picture(&root.join("all_runs").join(&name), item + 8, number, 1);
                    name
                });
            list += &format!("{test} {training}\n");
        }
        write(root.join(format!("all_runs/{run}/class_labels.txt")), list);
    }
}

fn orl(root: &Path) {
    for person in 1..=34 {
        for i in 1..=3 {
            picture(&root.join(format!("s{person}/{i}.pgm")), person, i, 1);
        }
    }
}

fn lfw(root: &Path) {
    let mut pairs = String::from("2\t2\n");
    for person in 0..4 {
        for i in 1..=3 {
            let name = format!("Name_{person}/Name_{person}_{i:04}.jpg");
            picture(&root.join(name), 20 + person, i, 3);
        }
    }
    for fold in 0..2 {
        pairs += &format!("Name_{fold}\t1\t2\nName_{fold}\t1\t3\n");
        pairs += "Name_0\t1\tName_2\t1\nName_1\t2\tName_3\t3\n";
    }
    write(root.join("pairs.txt"), pairs);
}

/// Identities seen by two cameras, three times each; `name` spells (identity, camera, number).
fn reid(root: &Path, folders: [&str; 3], name: fn(usize, usize, usize) -> String) {
    for id in 1..=12 {
        let train = id <= 8;
        for camera in 1..=2 {
            for i in 0..3 {
                let folder = match (train, i) {
                    (true, _) => folders[0],
                    (false, 0) => folders[1],
                    (false, _) => folders[2],
                };
                let path = root.join(folder).join(name(id, camera, i));
                picture(&path, id, camera * 8 + i, 3);
            }
        }
    }
}

fn market_folders() -> [&'static str; 3] {
    ["bounding_box_train", "query", "bounding_box_test"]
}

fn market(root: &Path) {
    reid(root, market_folders(), |id, camera, i| {
        format!("{id:04}_c{camera}s1_{i:06}_01.jpg")
    });
    // Junk and a distractor.
    picture(
        &root.join("bounding_box_test/-1_c1s1_000009_01.jpg"),
        9,
        50,
        3,
    );
    picture(
        &root.join("bounding_box_test/0000_c2s1_000009_01.jpg"),
        3,
        51,
        3,
    );
}

fn duke(root: &Path) {
    reid(root, market_folders(), |id, camera, i| {
        format!("{id:04}_c{camera}_f{i:07}.jpg")
    });
}

fn cuhk03(root: &Path) {
    reid(root, market_folders(), |id, camera, i| {
        format!("{id:04}_c{camera}_1_{i:06}.png")
    });
}

fn veri(root: &Path) {
    let folders = ["image_train", "image_query", "image_test"];
    reid(root, folders, |id, camera, i| {
        format!("{id:04}_c{camera:03}_{i:08}_0.jpg")
    });
}

fn vehicle_id(root: &Path) {
    let (mut train, mut test) = (String::new(), String::new());
    for id in 0..12 {
        for i in 0..4 {
            let image = 4 * id + i;
            picture(&root.join(format!("image/{image:07}.jpg")), id, i, 3);
            *(if id < 8 { &mut train } else { &mut test }) += &format!("{image:07} {id}\n");
        }
    }
    write(root.join("train_test_split/train_list.txt"), train);
    write(root.join("train_test_split/test_list_800.txt"), test);
}

fn cub(root: &Path) {
    let (mut images, mut labels) = (String::new(), String::new());
    let mut number = 0;
    for class in (1..=8).chain(101..=104) {
        for i in 0..5 {
            number += 1;
            let path = format!("{class:03}.Bird/{i}.jpg");
            picture(&root.join("images").join(&path), class, i, 3);
            images += &format!("{number} {path}\n");
            labels += &format!("{number} {class}\n");
        }
    }
    write(root.join("images.txt"), images);
    write(root.join("image_class_labels.txt"), labels);
}

fn sop(root: &Path) {
    for (list, classes) in [("Ebay_train.txt", 1..=8), ("Ebay_test.txt", 9..=12)] {
        let mut text = String::from("image_id class_id super_class_id path\n");
        for class in classes {
            for i in 0..5 {
                let path = format!("bicycle_final/{class}_{i}.JPG");
                picture(&root.join(&path), class, i, 3);
                text += &format!("{i} {class} 1 {path}\n");
            }
        }
        write(root.join(list), text);
    }
}

fn in_shop(root: &Path) {
    let mut lines = Vec::new();
    for item in 1..=12 {
        for i in 0..5 {
            let path = format!("img/WOMEN/id_{item:08}/{i}.jpg");
            picture(&root.join(&path), item, i, 3);
            let role = match (item <= 8, i) {
                (true, _) => "train",
                (false, 0) => "query",
                (false, _) => "gallery",
            };
            lines.push(format!("{path} id_{item:08} {role}\n"));
        }
    }
    let head = format!("{}\nimage_name item_id evaluation_status\n", lines.len());
    write(
        root.join("Eval/list_eval_partition.txt"),
        head + &lines.concat(),
    );
}

fn manifest(root: &Path) {
    let mut text = String::from("path,label,split\n");
    for class in 0..4 {
        for i in 0..10 {
            let path = format!("all/{class}_{i}.ppm");
            picture(&root.join(&path), class, i, 3);
            let split = ["train", "train", "train", "validation", "test"][i % 5];
            text += &format!("{path},label {class},{split}\n");
        }
    }
    write(root.join("manifest.csv"), text);
}

fn cifar10(root: &Path) {
    for (file, count) in [
        ("data_batch_1.bin", 40),
        ("data_batch_2.bin", 40),
        ("data_batch_3.bin", 10),
        ("data_batch_4.bin", 10),
        ("data_batch_5.bin", 10),
        ("test_batch.bin", 20),
    ] {
        let record = |i: usize| {
            let class = i % 10;
            let pixel = move |p: usize| (p * (1 + class) % 199 + i % 50) as u8;
            std::iter::once(class as u8).chain((0..3072).map(pixel))
        };
        write(
            root.join(file),
            (0..count).flat_map(record).collect::<Vec<u8>>(),
        );
    }
}

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
            folder(root, "train", 4, 10);
            folder(root, "test", 4, 3);
        },
        settings: &["data.size=[16]", "data.validation=8"],
        protocol: Protocol::Classify,
        images: [32, 8, 12],
        figures: &["accuracy", "loss", "calibration_error", "cosine_own"],
    },
    Case {
        format: "cifar10",
        write: cifar10,
        settings: &["data.validation=20"],
        protocol: Protocol::Classify,
        images: [90, 20, 20],
        figures: &["accuracy", "top_5"],
    },
    Case {
        format: "manifest",
        write: manifest,
        settings: SMALL,
        protocol: Protocol::Classify,
        images: [24, 8, 8],
        figures: &["accuracy"],
    },
    Case {
        format: "omniglot",
        write: omniglot,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        // Twelve of the test images belong to the one-shot runs.
        images: [36, 12, 36],
        figures: &["recall_at_1", "map_at_r", "one_shot_error"],
    },
    Case {
        format: "orl",
        write: orl,
        settings: SMALL,
        protocol: Protocol::Verify,
        images: [84, 6, 12],
        figures: &["accuracy", "auc", "eer", "tar_at_far_0.1", "pairs"],
    },
    Case {
        format: "market1501",
        write: market,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 26],
        figures: REID,
    },
    Case {
        format: "duke",
        write: duke,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "cuhk03-labeled",
        write: cuhk03,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "veri776",
        write: veri,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "vehicleid",
        write: vehicle_id,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [24, 8, 16],
        figures: &["rank_1", "rank_5"],
    },
    Case {
        format: "cub",
        write: cub,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        images: [30, 10, 20],
        figures: RETRIEVE,
    },
    Case {
        format: "sop",
        write: sop,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        images: [30, 10, 20],
        figures: RETRIEVE,
    },
    Case {
        format: "in-shop",
        write: in_shop,
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

fn start(run: &Path, config: &Config) -> (RunDir, Trainer) {
    let environment = Environment::here(config.seed, String::new());
    let trainer = Trainer::new(config.clone()).unwrap();
    (
        RunDir::create(Some(run), config, &environment).unwrap(),
        trainer,
    )
}

fn judge_again(run: &Path, options: Eval) -> Value {
    let output = run.join("again.json");
    eval::run(&Eval {
        output: Some(output.clone()),
        ..options
    })
    .unwrap();
    let text = fs::read_to_string(output).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["figures"].clone()
}

fn options(what: PathBuf) -> Eval {
    Eval {
        what,
        data: None,
        format: None,
        protocol: None,
        part: EvalPart::Test,
        best: false,
        flip: false,
        rerank: false,
        threads: None,
        output: None,
    }
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
        let again = judge_again(&out, options(out.clone()));
        assert_eq!(
            again,
            serde_json::to_value(&test.figures).unwrap(),
            "{}",
            case.format
        );
        // And so does the file without its run, on a folder whose layout it has to recognise.
        let lonely = folder.path().join("lonely.safetensors");
        fs::copy(run.last_weights(), &lonely).unwrap();
        let again = judge_again(
            &out,
            Eval {
                data: Some(data),
                protocol: Some(case.protocol),
                format: (case.format == "folder").then(|| case.format.into()),
                ..options(lonely)
            },
        );
        assert_eq!(
            again,
            serde_json::to_value(&test.figures).unwrap(),
            "{}",
            case.format
        );
    }
}

#[test]
fn faces_are_trained_on_one_set_and_verified_on_another() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let [faces, test, out] = ["faces", "lfw", "run"].map(|name| folder.path().join(name));
    self::folder(&faces, "", 8, 5);
    lfw(&test);
    let lfw = format!(
        "data.test={{folder={:?},format=\"lfw\"}}",
        test.display().to_string()
    );
    let settings = ["data.size=[16]", "data.validation=2", lfw.as_str()];
    let (mut run, mut trainer) = start(&out, &config(&faces, "folder", &settings));
    assert_eq!(trainer.loaders().protocol, Protocol::Verify);
    assert_eq!(trainer.loaders().classes.len(), 6);
    trainer.train(&mut run, Style::None).unwrap();
    let test = trainer.judge(Part::Test).unwrap().unwrap();
    assert_eq!(
        (test.figures.get("pairs"), test.figures.images),
        (Some(8.0), 12)
    );
    assert!(test.figures.get("accuracy").is_some());
}

/// PxK with cameras, everything varied, an average of the weights: interrupted after every step.
#[test]
fn a_run_of_pxk_batches_resumes_to_the_same_bits() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    market(&data);
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
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    let (mut run, mut trainer) = start(&whole, &config);
    assert!(trainer.steps() >= 8, "{}", trainer.steps());
    trainer.train(&mut run, Style::None).unwrap();

    let (mut run, mut trainer) = start(&pieces, &config);
    for step in 1..=trainer.steps() {
        INTERRUPT.store(true, Ordering::Relaxed);
        let error = trainer.train(&mut run, Style::None).err();
        INTERRUPT.store(false, Ordering::Relaxed);
        assert!(error.expect("an interruption").is::<Interrupted>());
        run = RunDir::open(&pieces).unwrap();
        trainer = Trainer::resume(config.clone(), &run).unwrap();
        assert_eq!(trainer.step_count(), step);
    }
    trainer.train(&mut run, Style::None).unwrap();
    let weights = |run: &Path| fs::read(run.join("ckpt/last.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&pieces));
}

#[test]
fn files_that_are_decoded_on_demand_give_the_same_weights_as_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    self::folder(&data, "train", 4, 10);
    self::folder(&data, "test", 4, 3);
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
    cub(&data);
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
    cub(&data);
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
    lfw(&faces);
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
    cub(&data);
    write(data.join("images/001.Bird/0.jpg"), "no picture");
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
