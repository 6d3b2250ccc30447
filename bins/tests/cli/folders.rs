//! Somebody's own pictures: trained on, judged, and weights of other programs beside them.

use crate::{Outcome, fail, run, succeed};
use engine::{Params, Tensor};
use nn::{Checkpoint, Metadata, Scope};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use std::path::Path;

/// Three classes of stripes, `each` pictures of 16 x 16 of each.
fn photos(folder: &Path, each: usize) {
    for class in 0..3 {
        let of_class = folder.join(["lines", "rows", "slopes"][class]);
        std::fs::create_dir_all(&of_class).unwrap();
        for i in 0..each {
            let mut bytes = b"P6 16 16 255\n".to_vec();
            for p in 0..256 {
                let (x, y) = (p % 16, p / 16);
                let along = [x, y, x + y][class];
                let value = (along % 4 * 60 + (p * 31 + i * 17) % 40) as u8;
                bytes.extend([value, value / 2, 255 - value]);
            }
            std::fs::write(of_class.join(format!("{i}.ppm")), bytes).unwrap();
        }
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_folder_is_enough_and_what_was_chosen_is_told() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("photos"), 20);
    let arguments = ["train", "photos/", "--epochs", "8", "--out", "run"];
    let Outcome {
        code,
        stdout,
        stderr,
    } = run(folder.path(), &arguments);
    assert_eq!(code, Some(0), "{stderr}");
    for part in [
        "chosen  read as `folder`, because of images in folders, such as lines/0.ppm, and 2 more folders",
        "task `classify`: 3 classes with about 20 images each",
        "6 images held out to choose by, 6 more to test on",
        "network `vgg-light`",
        "note    the data set has no test part",
    ] {
        assert!(stderr.contains(part), "`{part}` is missing in: {stderr}");
    }
    assert!(stdout.starts_with("test accuracy 100.00 %"), "{stdout}");

    // The run again by `eval`, the last weights and the best; mirror images are others.
    let report = json(&folder.path().join("run/eval/test.json"));
    succeed(folder.path(), &["eval", "run", "-o", "again.json"]);
    let again = json(&folder.path().join("again.json"));
    assert_eq!(again["figures"], report["figures"]);
    succeed(folder.path(), &["eval", "run", "--flip", "-o", "flip.json"]);
    let flipped = json(&folder.path().join("flip.json"));
    assert_ne!(flipped["figures"]["loss"], report["figures"]["loss"]);
    let best = succeed(
        folder.path(),
        &["eval", "run", "--best", "--part", "validation"],
    );
    assert!(best.contains("best.safetensors on 6 examples"), "{best}");

    // Other pictures of the same classes, and of others.
    photos(&folder.path().join("more"), 4);
    let more = ["eval", "run", "--data", "more", "-o", "more.json"];
    succeed(folder.path(), &more);
    assert_eq!(
        json(&folder.path().join("more.json"))["figures"]["images"],
        12
    );
    std::fs::rename(
        folder.path().join("more/rows"),
        folder.path().join("more/dots"),
    )
    .unwrap();
    fail(
        folder.path(),
        &more[..4],
        3,
        &["class `dots`", "--protocol retrieve"],
    );
    let retrieve = [&more[..4], &["--protocol", "retrieve"]].concat();
    assert!(succeed(folder.path(), &retrieve).contains("Recall@1"));
    fail(
        folder.path(),
        &["eval", "run", "--protocol", "reid"],
        2,
        &["--data"],
    );
    fail(folder.path(), &["eval", "more"], 2, &["no run directory"]);
}

#[test]
fn a_dry_run_tells_cost_and_first_loss() {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("photos"), 20);
    let arguments = [
        "train",
        "photos/",
        "--dry-run",
        "--loss",
        "arcface:s=64,m=0.5",
    ];
    let text = succeed(folder.path(), &arguments);
    let number = |before: &str| -> f64 {
        let rest = text
            .split(before)
            .nth(1)
            .unwrap_or_else(|| panic!("{before}: {text}"));
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        rest[..end.unwrap_or(rest.len())]
            .trim_end_matches('.')
            .parse()
            .unwrap()
    };
    let (expected, found) = (
        number("first loss to expect: about"),
        number("first loss found:"),
    );
    assert!((expected / found - 1.0).abs() < 0.5, "{expected} {found}");
    assert!(
        number("memory  about") > 1.0 && number("time    ") > 0.0,
        "{text}"
    );
    for part in ["size = [", "multiply-adds", "s a step here and now"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

/// The weights of `net` as PyTorch has them, with a classifier of ten classes.
fn torch_file(path: &Path) {
    let mut params = Params::<f32>::new();
    let root = &mut Scope::root(&mut params, 5);
    nn::Model::find("resnet20")
        .unwrap()
        .build(root, [32, 32, 3], None)
        .unwrap();
    let own = Checkpoint::of(&params, Metadata::new());
    let mut tensors: Vec<(String, Tensor<f32>)> = Vec::new();
    for (name, t) in own.tensors {
        let t = match *t.shape() {
            [kh, kw, inputs, outputs] => Tensor::from_fn([outputs, inputs, kh, kw], |i| {
                let (x, i) = (i % kw, i / kw);
                let (y, i) = (i % kh, i / kh);
                let (c, o) = (i % inputs, i / inputs);
                t.data()[((y * kw + x) * inputs + c) * outputs + o]
            }),
            _ => t,
        };
        tensors.push((format!("module.{name}"), t));
    }
    let weight = Tensor::from_fn([10, 64], |i| (i as f32).sin());
    tensors.push(("module.linear.weight".into(), weight));
    tensors.push((
        "module.linear.bias".into(),
        Tensor::from_fn([10], |i| i as f32),
    ));
    Checkpoint::new(tensors, Metadata::new())
        .write(path)
        .unwrap();
}

#[test]
fn weights_of_another_program_are_imported_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    torch_file(&folder.path().join("torch.safetensors"));
    let import = [
        "model",
        "import",
        "torch.safetensors",
        "--as",
        "resnet20",
        "-o",
        "own.safetensors",
    ];
    let text = succeed(folder.path(), &import);
    assert!(
        text.contains("269722 parameters") && text.contains("10 classes"),
        "{text}"
    );
    let own = Checkpoint::<f32>::read(&folder.path().join("own.safetensors")).unwrap();
    let of = |name: &str| {
        own.tensors
            .iter()
            .find(|(n, _)| n == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(
        of("head.weight").data()[..3],
        [0.0, 1.0_f32.sin(), 2.0_f32.sin()]
    );
    assert_eq!(of("head.bias").data()[9], 9.0);
    assert_eq!(of("backbone.conv1.weight").shape(), [3, 3, 3, 16].into());

    // Ten CIFAR images: classes are known by their numbers.
    let cifar = folder.path().join("cifar");
    std::fs::create_dir(&cifar).unwrap();
    let record = |i: usize| std::iter::once(i as u8).chain((0..3072).map(move |p| (p * i) as u8));
    let images: Vec<u8> = (0..10).flat_map(record).collect();
    let batches = (1..=5).map(|n| format!("data_batch_{n}.bin"));
    for file in batches.chain(["test_batch.bin".into()]) {
        std::fs::write(cifar.join(file), &images).unwrap();
    }
    let text = succeed(
        folder.path(),
        &["eval", "own.safetensors", "--data", "cifar"],
    );
    assert!(
        text.contains("accuracy") && text.contains("on 10 examples, classify"),
        "{text}"
    );
    fail(
        folder.path(),
        &["eval", "own.safetensors"],
        2,
        &["belongs to no run", "--data"],
    );
    fail(
        folder.path(),
        &["eval", "torch.safetensors", "--data", "cifar"],
        2,
        &["model import"],
    );
    let wrong = [
        "model",
        "import",
        "torch.safetensors",
        "--as",
        "resnet32",
        "-o",
        "no.safetensors",
    ];
    let Outcome { code, stderr, .. } = run(folder.path(), &wrong);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("resnet20"), "{stderr}");
}

/// Features on a circle: five classes, three items each, of three cameras.
fn features(path: &Path, extra: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let values: Vec<u8> = (0..15)
        .flat_map(|i| {
            let angle = (i / 3) as f32 * 1.25 + (i % 3) as f32 * 0.1;
            [angle.cos(), angle.sin()].map(f32::to_le_bytes).concat()
        })
        .collect();
    let whole = |f: fn(i64) -> i64| {
        (0..15)
            .flat_map(|i| f(i).to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let (labels, cameras) = (whole(|i| 100 + i / 3), whole(|i| i % 3));
    let mut views = vec![
        (
            "features",
            TensorView::new(Dtype::F32, vec![15, 2], &values).unwrap(),
        ),
        (
            "labels",
            TensorView::new(Dtype::I64, vec![15], &labels).unwrap(),
        ),
        (
            "cameras",
            TensorView::new(Dtype::I64, vec![15], &cameras).unwrap(),
        ),
    ];
    for (name, dtype, shape, bytes) in extra {
        views.retain(|(other, _)| other != name);
        views.push((name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    }
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn features_of_anybody_are_judged_by_every_protocol() {
    let folder = tempfile::tempdir().unwrap();
    features(&folder.path().join("f.safetensors"), &[]);
    let judge = |protocol: &str, files: &[&str]| {
        let output = ["-o", "out.json", "--protocol", protocol];
        succeed(folder.path(), &[&["metrics"], &output[..], files].concat());
        json(&folder.path().join("out.json"))["figures"].clone()
    };
    let one = ["--features", "f.safetensors"];
    let both = ["--query", "f.safetensors", "--gallery", "f.safetensors"];
    let retrieve = judge("retrieve", &one);
    assert_eq!(
        (&retrieve["recall_at_1"], &retrieve["map_at_r"]),
        (&1.0.into(), &1.0.into())
    );
    assert!(retrieve["nmi"].as_f64().unwrap() > 0.8, "{retrieve}");
    let reid = judge("reid", &both);
    // Each query drops itself, the only one of its identity and camera.
    assert_eq!(
        (&reid["map"], &reid["dropped"]),
        (&1.0.into(), &15.0.into())
    );
    assert_eq!(
        judge("reid", &[&both[..], &["--rerank"]].concat())["reranked_map"],
        1.0
    );
    assert_eq!(judge("cluster", &one)["classes"], 5.0);
    let verify = judge("verify", &one);
    assert_eq!(
        (&verify["auc"], &verify["pairs"]),
        (&1.0.into(), &30.0.into())
    );

    // Pairs of one's own, all said to be the same but the last.
    let whole = |n: &[i64]| n.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let pairs = [
        (
            "pairs",
            Dtype::I64,
            vec![4, 2],
            whole(&[0, 1, 3, 4, 0, 3, 0, 4]),
        ),
        ("same", Dtype::U8, vec![4], vec![1, 1, 1, 0]),
        ("fold", Dtype::I64, vec![4], whole(&[0, 1, 0, 1])),
    ];
    features(&folder.path().join("f.safetensors"), &pairs);
    let verify = judge("verify", &one);
    assert_eq!(
        (&verify["pairs"], &verify["negatives"]),
        (&4.0.into(), &1.0.into())
    );

    // What does not fit is named.
    let lame = [
        ("pairs", Dtype::I64, vec![1, 2], whole(&[0, 15])),
        ("same", Dtype::U8, vec![1], vec![1]),
    ];
    features(&folder.path().join("f.safetensors"), &lame);
    let arguments = [
        "metrics",
        "--protocol",
        "verify",
        "--features",
        "f.safetensors",
    ];
    fail(folder.path(), &arguments, 3, &["f.safetensors", "pair 0"]);
    features(
        &folder.path().join("f.safetensors"),
        &[("labels", Dtype::I64, vec![1], whole(&[1]))],
    );
    fail(
        folder.path(),
        &arguments,
        3,
        &["f.safetensors", "labels", "15"],
    );
    let classify = [
        "metrics",
        "--protocol",
        "classify",
        "--features",
        "f.safetensors",
    ];
    fail(folder.path(), &classify, 3, &["labels"]);
}
