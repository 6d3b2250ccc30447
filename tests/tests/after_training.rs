//! What a user does with a trained network, from end to end: a tiny training, then `embed`,
//! `index`, `search` and `verify` by their own files, held against the definitions.

use hypersphere::config::{Config, ConfigError, Layers};
use hypersphere::features::Features;
use hypersphere::features::gallery::Gallery;
use hypersphere::interrupt;
use hypersphere::progress::Style;
use hypersphere::run_dir::{Environment, RunDir};
use hypersphere::trainer::{Interrupted, Part, Trainer};
use hypersphere::weights::Trained;
use hypersphere_tests::runs::{program, turn};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A picture of 16 x 16 that belongs to `class` by its stripes and to nobody else by its noise.
fn picture(path: &Path, class: usize, number: usize) {
    let mut bytes = b"P6 16 16 255\n".to_vec();
    let noise = |i: usize| (i * 7919 + class * 104_729 + number * 1_299_709) % 61;
    for i in 0..256 * 3 {
        let (x, y, c) = (i / 3 % 16, i / 3 / 16, i % 3);
        let stripe = ((x * (1 + class % 4) + y * (class / 4) + 5 * c) % 16) * 12;
        bytes.push((stripe + noise(i)) as u8);
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Eight classes of six pictures.
fn photos(root: &Path) {
    for class in 0..8 {
        for i in 0..6 {
            picture(&root.join(format!("class{class}/{i}.ppm")), class, i);
        }
    }
}

fn config(data: &Path, settings: &[&str]) -> Config {
    let mut layers = Layers::default();
    let folder = format!("data.folder={:?}", data.display().to_string());
    let usual = [
        "epochs=10",
        "batch=12",
        "lr=0.05",
        "loss=cosface:s=16,m=0.1",
        "model.name=vgg-light",
        "model.embed_dim=16",
        "data.format=folder",
        "data.size=[16]",
        "data.validation=16",
        &folder,
    ];
    for setting in usual.iter().chain(settings) {
        layers.add_assignment(setting).unwrap();
    }
    layers.resolve().unwrap()
}

/// A training in `folder/run` on pictures in `folder/photos`.
fn start(folder: &Path, settings: &[&str]) -> (RunDir, Trainer) {
    let data = folder.join("photos");
    photos(&data);
    let config = config(&data, settings);
    let environment = Environment::here(config.seed, String::new());
    let run = RunDir::create(Some(&folder.join("run")), &config, &environment).unwrap();
    (run, Trainer::new(config).unwrap())
}

/// The same, done.
fn trained(folder: &Path, settings: &[&str]) -> (RunDir, Trainer) {
    let _turn = turn();
    let (mut run, mut trainer) = start(folder, settings);
    trainer.train(&mut run, Style::None).unwrap();
    (run, trainer)
}

#[track_caller]
fn refused(arguments: &[&str], parts: &[&str]) -> anyhow::Error {
    let error = program(arguments).expect_err("an error");
    let text = format!("{error:#}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    error
}

fn text(path: PathBuf) -> String {
    path.to_str().unwrap().to_string()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn pictures_are_embedded_as_the_evaluation_embeds_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(folder.path().join(name));
    let (run, mut trainer) = trained(folder.path(), &["data.centre=0.8"]);
    let run = text(run.path().into());
    let [photos, all] = ["photos", "all.safetensors"].map(at);
    program(&["embed", &run, &photos, "-o", &all]).unwrap();
    let found = Features::read(Path::new(&all)).unwrap();

    // Sorted, named, and of the classes of their folders.
    assert_eq!((found.len(), found.dim, found.classes.len()), (48, 16, 8));
    assert_eq!(found.names[7], format!("{photos}/class1/1.ppm"));
    assert_eq!(found.class(7), Some("class1"));
    // The held-out pictures have the vectors that the training's own evaluation found.
    let judged = trainer.judge(Part::Validation).unwrap();
    let judged = judged.unwrap().found;
    assert_eq!(judged.labels.len(), 16);
    let mut rows = found.vectors.chunks_exact(16);
    for own in judged.embeddings.chunks_exact(16) {
        assert!(
            rows.any(|row| row == own),
            "no such vector, or out of order"
        );
    }

    // One by one, in the order named, and in every format.
    let [one, two] = [40, 3].map(|i| found.names[i].clone());
    for name in ["two.safetensors", "two.npy", "two.csv"] {
        let path = at(name);
        program(&["embed", &run, &one, &two, "-o", &path]).unwrap();
        let pair = Features::read(Path::new(&path)).unwrap();
        assert_eq!(pair.names, [one.clone(), two.clone()]);
        assert!(pair.labels.is_empty());
        let rows = [40, 3].map(|i| &found.vectors[16 * i..16 * i + 16]);
        assert!(pair.vectors == rows.concat(), "{name}");
    }
    // A mirror image that is its own has the same mean.
    let flipped = at("flipped.csv");
    program(&["embed", &run, &one, "-o", &flipped, "--flip"]).unwrap();
    let flipped = Features::read(Path::new(&flipped)).unwrap();
    assert!(cosine(&flipped.vectors, &found.vectors[640..656]) < 0.999_99);

    // What cannot be read is left out; alone it is an error. So is a name of no format.
    fs::write(folder.path().join("photos/class0/2.ppm"), "no picture").unwrap();
    program(&["embed", &run, &photos, "-o", &all]).unwrap();
    let fewer = Features::read(Path::new(&all)).unwrap();
    assert_eq!(fewer.len(), 47);
    assert!(fewer.vectors[32..] == found.vectors[48..]);
    let broken = at("photos/class0/2.ppm");
    refused(
        &["embed", &run, &broken, "-o", &all],
        &["class0/2.ppm", "not a readable image"],
    );
    refused(
        &["embed", &run, &photos, "-o", &at("x.txt")],
        &["x.txt", ".safetensors"],
    );
    refused(
        &["embed", &run, &at("run"), "-o", &all],
        &["expected pictures", "found none"],
    );

    // A manifest names its own classes.
    let list = at("list.csv");
    fs::write(
        &list,
        "path,label,split\nphotos/class3/1.ppm,zebra,test\nphotos/class1/0.ppm,-1,test\n",
    )
    .unwrap();
    program(&["embed", &run, &list, "-o", &all]).unwrap();
    let listed = Features::read(Path::new(&all)).unwrap();
    assert_eq!(
        (listed.labels, listed.classes),
        (vec![0, -1], vec!["zebra".to_string()])
    );
    assert!(listed.vectors[..16] == found.vectors[16 * 19..16 * 20]);
}

#[test]
fn a_gallery_finds_the_nearest_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(folder.path().join(name));
    let (run, _) = trained(folder.path(), &[]);
    let checkpoint = run.last_weights();
    let run = text(run.path().into());
    let [photos, features, idx, page] =
        ["photos", "f.safetensors", "gallery.idx", "found.html"].map(at);
    program(&["embed", &run, &photos, "-o", &features, "--flip"]).unwrap();
    program(&["index", &features, "-o", &idx]).unwrap();

    // Searching needs no more than the gallery and a picture.
    let query = at("photos/class5/2.ppm");
    program(&[
        "search", &idx, &query, "-k", "4", "--others", "--html", &page,
    ])
    .unwrap();
    let found = Features::read(Path::new(&features)).unwrap();
    let row = |i: usize| &found.vectors[16 * i..16 * i + 16];
    let own = 5 * 6 + 2;
    let mut others: Vec<f32> = (0..48)
        .filter(|&i| i != own)
        .map(|i| cosine(row(own), row(i)))
        .collect();
    others.sort_by(|a, b| b.total_cmp(a));
    let html = fs::read_to_string(&page).unwrap();
    let between = |text: &str, start: &str, end: &str| {
        let (_, rest) = text.split_once(start).expect(start);
        rest.split_once(end).expect(end).0.to_string()
    };
    let start = between(&html, "Names start from ", ".</p>");
    let listed: Vec<&str> = html.split("<li").skip(1).collect();
    assert_eq!(listed.len(), 4);
    for (place, item) in listed.iter().enumerate() {
        let name = start.clone() + &between(item, "<br/>", "<");
        let found = found.names.iter().position(|n| *n == name);
        let found = found.expect("a name of the gallery");
        // Of nearly equal ones, which comes first is rounding.
        let wanted = others[place];
        assert!(found != own && (cosine(row(own), row(found)) - wanted).abs() < 1e-5);
        assert!(
            item.contains(&format!("{}. {wanted:.3}", place + 1)),
            "{item}"
        );
    }
    assert_eq!(
        html.matches("src=\"data:image/jpeg").count(),
        5,
        "with the query"
    );
    let gallery = Gallery::read(Path::new(&idx)).unwrap();
    let found = gallery.search(row(own), 1, false).unwrap();
    assert_eq!(found[0][0].1 as usize, own, "without --others, itself");

    // Too few for cells; features that do not say what made them.
    refused(
        &["index", &features, "-o", &idx, "--approximate"],
        &["256 rows or more, found 48"],
    );
    let [table, blind] = ["f.csv", "blind.idx"].map(at);
    program(&["embed", &run, &photos, "-o", &table]).unwrap();
    program(&["index", &table, "-o", &blind]).unwrap();
    refused(&["search", &blind, &query], &["blind.idx", "--checkpoint"]);
    program(&["search", &blind, &query, "--checkpoint", &run]).unwrap();
    program(&["index", &table, "-o", &blind, "--checkpoint", &run]).unwrap();
    program(&["search", &blind, &query]).unwrap();

    // A checkpoint that moved is asked for; another one in its place is not taken for it.
    let moved = folder.path().join("moved.safetensors");
    fs::rename(&checkpoint, &moved).unwrap();
    let error = refused(
        &["search", &idx, &query],
        &["last.safetensors", "is not there"],
    );
    assert!(error.is::<ConfigError>());
    let moved = text(moved);
    program(&["search", &idx, &query, "--checkpoint", &moved]).unwrap();
    let mut other = fs::read(&moved).unwrap();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&checkpoint, other).unwrap();
    refused(
        &["search", &idx, &query],
        &["SHA-256", "`embed` and `index` again"],
    );
}

#[test]
fn pairs_are_verified_at_the_threshold_that_training_has_measured() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(folder.path().join(name));
    // Whole classes are held out.
    let settings = ["protocol=verify", "data.validation=3"];
    let (run, mut trainer) = trained(folder.path(), &settings);
    let last = Trained::read(&run.last_weights()).unwrap();
    let known = last.description.calibration.clone().expect("a calibration");
    assert_eq!((known.examples, known.same, known.different), (18, 45, 108));
    assert!(known.source.contains("unseen classes"));
    assert_eq!(
        known.at.len(),
        2,
        "108 different pairs show one error in a hundred"
    );
    assert_eq!(
        last.description.metadata()["calibration"]
            .matches("threshold")
            .count(),
        3
    );

    // The stored rates are those of the embeddings that the training held out.
    let judged = trainer.judge(Part::Validation).unwrap();
    let judged = judged.unwrap().found;
    let row = |i: usize| &judged.embeddings[16 * i..16 * i + 16];
    let mut accepted = 0;
    for a in 0..18 {
        for b in a + 1..18 {
            let is_different = judged.labels[a] != judged.labels[b];
            accepted +=
                usize::from(is_different && cosine(row(a), row(b)) >= known.at[0].threshold - 1e-6);
        }
    }
    assert!((9..=10).contains(&accepted), "{accepted} of 108 at FAR 0.1");

    // A list with the truth: the program's figures against counting.
    let run_path = text(run.path().into());
    let mut list = String::from("a,b,same\n");
    for class in 0..8 {
        for i in 0..5 {
            list += &format!("class{class}/{i}.ppm,class{class}/{}.ppm,1\n", i + 1);
            list += &format!("class{class}/{i}.ppm,class{}/{i}.ppm,0\n", (class + 1) % 8);
        }
    }
    list += "class0/0.ppm,class0/gone.ppm,1\n";
    let [pairs, judged] = ["photos/pairs.csv", "judged.csv"].map(at);
    fs::write(&pairs, list).unwrap();
    for (asked, threshold) in [
        ("auto", known.equal.threshold),
        ("far=1e-1", known.at[0].threshold),
        ("far=0.01", known.at[1].threshold),
        ("0.25", 0.25),
    ] {
        let options = [
            "verify",
            &run_path,
            "--pairs",
            &pairs,
            "--threshold",
            asked,
            "-o",
            &judged,
        ];
        program(&options).unwrap();
        let table = fs::read_to_string(&judged).unwrap();
        assert_eq!(
            table.lines().count(),
            81,
            "the pair with a missing file is left out"
        );
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let cosine: f32 = fields[2].parse().unwrap();
            assert_eq!(fields[3] == "same", cosine >= threshold, "{asked}: {line}");
        }
    }
    let [a, b] = ["photos/class2/0.ppm", "photos/class2/1.ppm"].map(at);
    program(&["verify", &run_path, &a, &b]).unwrap();

    // What cannot be answered.
    let far = ["verify", &run_path, &a, &b, "--threshold", "far=1e-3"];
    refused(
        &far,
        &["FAR 0.001", "far=0.1, far=0.01", "108 different pairs"],
    );
    refused(&["verify", &run_path, &a, &at("gone.ppm")], &["gone.ppm"]);
    refused(&["verify", &run_path, &a], &["<B>"]);
    refused(
        &["verify", &run_path, &a, &b, "--threshold", "high"],
        &["auto, far=1e-3 or a cosine"],
    );

    // Files from before calibrations are read, and say what to do.
    let mut file = nn::Checkpoint::<f32>::read(&run.last_weights()).unwrap();
    file.metadata.remove("calibration");
    let old = folder.path().join("old.safetensors");
    file.write(&old).unwrap();
    let old = text(old);
    refused(
        &["verify", &old, &a, &b],
        &["old.safetensors", "no calibration", "--threshold 0.4"],
    );
    program(&["verify", &old, &a, &b, "--threshold", "0.4"]).unwrap();
}

/// Steps after the last evaluation make other weights, which nobody has measured.
#[test]
fn weights_from_within_an_epoch_have_no_calibration() {
    let folder = tempfile::tempdir().unwrap();
    let (mut run, mut trainer) = start(folder.path(), &["epochs=100000"]);
    let _turn = turn();
    let epochs = folder.path().join("run/metrics.csv");
    let watcher = std::thread::spawn(move || {
        while !epochs.exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        interrupt::request();
    });
    let error = trainer.train(&mut run, Style::None).err();
    watcher.join().unwrap();
    interrupt::withdraw();
    assert!(error.expect("an interruption").is::<Interrupted>());
    let calibration = |weights: PathBuf| Trained::read(&weights).unwrap().description.calibration;
    assert!(calibration(run.last_weights()).is_none());
    let known = calibration(run.best_weights()).expect("measured after its epoch");
    assert!(known.source.contains("of the classes of the training"));
}
