//! Recordings from end to end: a tiny data set is written as WAV files, trained on for a few steps,
//! judged, judged again from its files, and resumed to the same bits.

use hypersphere::choose::choose;
use hypersphere::cli::Eval;
use hypersphere::config::{Config, ConfigError, Layers};
use hypersphere::embedder::Embedder;
use hypersphere::progress::Style;
use hypersphere::protocol::Protocol;
use hypersphere::trainer::{Part, Trainer};
use hypersphere_tests::runs::{judged, options, resumes_to_the_same_bits, start};
use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

/// A WAV file of 16 bits at 8 kHz: a tone that belongs to the digit, a little off.
fn recording(path: &Path, digit: usize, number: usize) {
    const RATE: u32 = 8_000;
    let hz = 300.0 * (digit + 1) as f64 + 7.0 * number as f64;
    let samples = RATE / 4 + 100 * number as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + 2 * samples).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(RATE.to_le_bytes());
    bytes.extend((2 * RATE).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((2 * samples).to_le_bytes());
    for i in 0..samples {
        let level = 8e3 * (TAU * hz * f64::from(i) / f64::from(RATE)).sin();
        bytes.extend((level as i16).to_le_bytes());
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Three digits of one speaker, twelve recordings of each, of which five are the test.
fn fsdd(root: &Path) {
    for digit in 0..3 {
        for number in 0..12 {
            let name = format!("recordings/{digit}_theo_{number}.wav");
            recording(&root.join(name), digit, number);
        }
    }
}

fn layers(root: &Path, settings: &[&str]) -> Layers {
    let mut layers = Layers::recipe("fsdd").unwrap();
    let folder = format!("data.folder={:?}", root.display().to_string());
    let usual = [
        "epochs=2",
        "batch=5",
        "lr=0.05",
        "loss=softmax",
        "model.embed_dim=16",
        "data.seconds=0.5",
        "data.validation=6",
        &folder,
    ];
    for setting in usual.iter().chain(settings) {
        layers.add_assignment(setting).unwrap();
    }
    layers
}

fn config(root: &Path, settings: &[&str]) -> Config {
    layers(root, settings).resolve().unwrap()
}

#[test]
fn spoken_digits_are_trained_judged_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let [data, whole] = ["data", "run"].map(|name| folder.path().join(name));
    fsdd(&data);
    let noise = "data.augment={preset=\"speech\",noise=0.5,mixup=0.2}";
    let config = config(&data, &[noise]);
    let (mut run, mut trainer) = start(&whole, &config);
    let loaders = trainer.loaders();
    assert_eq!(loaders.protocol, Protocol::Classify);
    assert_eq!(loaders.shape, [40, 51, 1]);
    assert_eq!(loaders.classes, ["0", "1", "2"]);
    let held = loaders.validation.as_ref().map_or(0, |v| v.len());
    let train = loaders.train.examples().labels().len();
    assert_eq!([train, held, loaders.test.len()], [15, 6, 15]);
    trainer.train(&mut run, Style::None).unwrap();
    let test = trainer.judge(Part::Test).unwrap().unwrap();
    assert!(test.figures.get("accuracy").is_some());

    // The weights judge the files as the run did; alone, too, by what they say of their features,
    // which are not the usual ones.
    let found = serde_json::to_value(&test.figures).unwrap();
    assert_eq!(judged(options(whole.clone())), found);
    let lonely = folder.path().join("lonely.safetensors");
    fs::copy(run.last_weights(), &lonely).unwrap();
    let alone = Eval {
        data: Some(data.clone()),
        ..options(lonely.clone())
    };
    assert_eq!(judged(alone), found);

    // Nor do the embeddings of the files depend on who asks for them.
    let embedder = Embedder::open(&lonely, false).unwrap();
    let items = embedder.items(std::slice::from_ref(&data)).unwrap();
    let all = embedder.embed(&items, |_| {}).unwrap().features;
    assert_eq!(all.len(), 36);
    let mut rows = all.vectors.chunks_exact(16);
    for own in test.found.embeddings.chunks_exact(16) {
        assert!(
            rows.any(|row| row == own),
            "no such vector, or out of order"
        );
    }
    assert!(
        Embedder::open(&lonely, true).is_err(),
        "sound has no mirror"
    );

    resumes_to_the_same_bits(folder.path(), &config);
}

#[test]
fn where_recordings_are_kept_changes_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fsdd(&data);
    let cache = folder.path().join("cache");
    let cached = format!("data.cache={:?}", cache.display().to_string());
    let first_batch = |settings: &[&str]| {
        let trainer = Trainer::new(config(&data, settings)).unwrap();
        let loaders = trainer.loaders();
        let mut values = vec![0.0; loaders.shape.iter().product()];
        let examples = loaders.train.examples();
        let key = engine::rng::Key::new(1);
        examples.write(3, Some(key), &mut values).unwrap();
        (
            values,
            loaders.fingerprint.clone(),
            loaders.normalise.clone(),
        )
    };
    let memory = first_batch(&[]);
    assert_eq!(first_batch(&["data.memory=0"]), memory);
    assert_eq!(first_batch(&["data.memory=0", &cached]), memory);
    assert!(cache.is_dir());
    // Read from the cache.
    assert_eq!(first_batch(&["data.memory=0", &cached]), memory);
}

#[test]
fn a_folder_of_digits_is_known_and_settings_for_pictures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fsdd(&data);
    let choice = choose(&data).unwrap();
    let config = choice.layers.resolve().unwrap();
    assert_eq!(config.data.format.info().name, "fsdd");
    assert_eq!(config.model.name, "audio-cnn10-light");
    assert_eq!(config.data.validation, 2, "{:?}", choice.reasons);

    let refused = |setting: &str| {
        let error = layers(&data, &[setting]).resolve().unwrap_err();
        assert!(error.is::<ConfigError>());
        error.to_string()
    };
    assert!(refused("data.augment=reid").contains("varies pictures"));
    assert!(refused("data.size=[32]").contains("`data.size` is for pictures"));
    assert!(refused("data.fold=2").contains("in folds"));
    // A file that is no recording, and what is left without it.
    fs::write(data.join("recordings/1_theo_7.wav"), "no sound").unwrap();
    let error = Trainer::new(self::config(&data, &[])).err().unwrap();
    assert!(error.to_string().contains("1_theo_7.wav"), "{error:#}");
    let trainer = Trainer::new(self::config(&data, &["data.unreadable=skip"])).unwrap();
    let notes = &trainer.loaders().notes;
    assert!(
        notes.iter().any(|n| n.contains("1 files left out")),
        "{notes:?}"
    );
}
