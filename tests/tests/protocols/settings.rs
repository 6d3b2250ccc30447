//! What settings do, and what is said of those that make no sense.

use crate::{SMALL, config};
use hypersphere::config::ConfigError;
use hypersphere::progress::Style;
use hypersphere::source::DataError;
use hypersphere::trainer::Trainer;
use hypersphere_tests::layouts;
use hypersphere_tests::runs::{start, turn};

#[test]
fn files_that_are_decoded_on_demand_give_the_same_weights_as_memory() {
    let _turn = turn();
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
    let _turn = turn();
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
