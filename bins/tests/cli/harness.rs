//! `hypersphere loss plot`, `loss suggest` and `model eval` as a user meets them.

use crate::{fail, succeed};
use engine::{Params, Tensor};
use losses::{Family, LOSSES};
use nn::{Checkpoint, Metadata, Model, Module, Pass, Scope};
use std::collections::BTreeMap;
use std::path::Path;

/// The texts of a picture that is well-formed.
fn texts(file: &Path) -> Vec<String> {
    let svg = std::fs::read_to_string(file).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    assert!(!svg.contains("NaN"));
    let texts = document.descendants().filter(|n| n.is_text());
    texts.filter_map(|n| Some(n.text()?.to_string())).collect()
}

#[test]
fn losses_are_drawn_over_each_other() {
    let folder = tempfile::tempdir().unwrap();
    succeed(
        folder.path(),
        &[
            "loss",
            "plot",
            "arcface",
            "so-softmax",
            "sphereface2",
            "-o",
            "a.svg",
        ],
    );
    let found = texts(&folder.path().join("a.svg"));
    let has = |text: &str| found.iter().any(|t| t.contains(text));
    // One of the three has no exponents, so that the common panel shows the loss.
    assert!(has("loss") && !has("target logit"), "{found:?}");
    assert!(has("decision regions of two classes") && has("no boundary"));
    succeed(folder.path(), &["loss", "plot", "arcface", "cosface"]);
    let found = texts(&folder.path().join("psi.svg"));
    assert!(
        found.iter().any(|t| t.contains("target logit")),
        "{found:?}"
    );
    succeed(
        folder.path(),
        &["loss", "plot", "supcon", "triplet", "-o", "p.svg"],
    );
    let found = texts(&folder.path().join("p.svg"));
    assert!(found.iter().any(|t| t.contains("cosine of the pair")));
}

/// Every loss has a picture, or says why not.
#[test]
fn every_loss_has_a_picture_or_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let without = ["sml", "ring"];
    for info in LOSSES {
        let command = ["loss", "plot", info.name, "-o", "one.svg"];
        match without.contains(&info.name) {
            true => fail(
                folder.path(),
                &command,
                2,
                &[info.name, "whatever the cosines"],
            ),
            false => drop(succeed(folder.path(), &command)),
        }
    }
    succeed(folder.path(), &["loss", "plot", "sml:form=sample"]);
    assert!(LOSSES.iter().any(|info| info.family == Family::Pair));
    let both = ["loss", "plot", "arcface", "triplet"];
    fail(folder.path(), &both, 2, &["draw the two kinds apart"]);
    fail(
        folder.path(),
        &["loss", "plot", "arcfase"],
        2,
        &["did you mean `arcface`?"],
    );
    fail(
        folder.path(),
        &["loss", "plot", "arcface", "--length", "0"],
        2,
        &["above 0"],
    );
}

#[test]
fn suggestions_end_in_a_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let suggest = |name, classes, dim| {
        let command = ["loss", "suggest", name, "--classes", classes, "--dim", dim];
        succeed(folder.path(), &command)
    };
    let text = suggest("arcface", "10", "2");
    assert!(text.contains("m = 0.31 instead of 0.5"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("hypersphere train RECIPE --embed-dim 2 --loss 'arcface:m=0.31,s="));
    // The command line is one that the program takes.
    let spec = last.split('\'').nth(1).unwrap();
    let train = [
        "train",
        "mnist",
        "--embed-dim",
        "2",
        "--loss",
        spec,
        "--dry-run",
    ];
    assert!(!succeed(folder.path(), &train).contains("cannot be met"));
    let text = suggest("so-softmax", "100", "64");
    assert!(text.contains("orthogonal in 64 dimensions"), "{text}");
    assert!(suggest("supcon", "10", "64").contains("defaults"));
    let one = ["loss", "suggest", "arcface", "--classes", "1"];
    fail(folder.path(), &one, 2, &["from 2"]);
}

/// Deterministic numbers around 0.
fn numbers(shape: &[usize], seed: f64) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| (1.7 * i as f64 + seed).sin())
}

fn write_inputs(folder: &Path, images: &Tensor<f64>, labels: &[i64]) {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes: Vec<u8> = images.data().iter().flat_map(|x| x.to_le_bytes()).collect();
    let input = TensorView::new(Dtype::F64, images.shape().to_vec(), &bytes).unwrap();
    let numbers: Vec<u8> = labels.iter().flat_map(|y| y.to_le_bytes()).collect();
    let labels = TensorView::new(Dtype::I64, vec![labels.len()], &numbers).unwrap();
    let file = safetensors::serialize([("input", input), ("labels", labels)], None).unwrap();
    std::fs::write(folder.join("in.safetensors"), file).unwrap();
}

/// What the program wrote. The file is read as `f64`, whatever it holds.
fn outputs(folder: &Path) -> BTreeMap<String, Tensor<f64>> {
    let file = Checkpoint::<f64>::read(&folder.join("out.safetensors")).unwrap();
    file.tensors.into_iter().collect()
}

fn eval<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let files = ["--input", "in.safetensors", "--output", "out.safetensors"];
    let command = ["model", "eval", model].into_iter().chain(files);
    command.chain(more.iter().copied()).collect()
}

/// The gradients under the names and in the layout of a PyTorch file, against differences of the
/// loss that the program itself computes from that file with one element moved.
#[test]
fn gradients_of_a_pytorch_file_are_those_of_the_loss() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut params = Params::<f64>::new();
    let model = Model::find("resnet20").unwrap();
    let net = model.build(&mut Scope::root(&mut params, 5), [8, 8, 3], None);
    assert_eq!(net.unwrap().embedding_dim, 64);
    let mut weights: BTreeMap<String, Tensor<f64>> = Checkpoint::of(&params, Metadata::new())
        .tensors
        .into_iter()
        .map(|(name, tensor)| match *tensor.shape() {
            [kh, kw, i, o] => (name, numbers(&[o, i, kh, kw], 0.1).map(|x| 0.2 * x)),
            _ => (name, tensor),
        })
        .collect();
    weights.insert("fc.weight".into(), numbers(&[4, 64], 0.7));
    weights.insert("fc.bias".into(), numbers(&[4], 0.2));
    write_inputs(folder, &numbers(&[3, 8, 8, 3], 0.4), &[0, 3, 1]);
    let run = |weights: &BTreeMap<String, Tensor<f64>>| {
        let tensors = weights.clone().into_iter().collect();
        let file = Checkpoint::new(tensors, Metadata::new());
        file.write(&folder.join("w.safetensors")).unwrap();
        succeed(
            folder,
            &eval("resnet20", &["--weights", "w.safetensors", "--grad"]),
        );
        outputs(folder)
    };
    let found = run(&weights);
    assert_eq!(found["output"].shape(), [3, 4].into());
    assert_eq!(found["embedding"].shape(), [3, 64].into());
    assert_eq!(found["grad_input"].shape(), [3, 8, 8, 3].into());
    for (name, at) in [
        ("layer2.0.conv1.weight", 77),
        ("fc.weight", 130),
        ("bn1.weight", 3),
    ] {
        assert_eq!(found[name].shape(), weights[name].shape(), "{name}");
        let original = weights[name].clone();
        let mut loss = |step: f64| {
            let mut moved = original.clone();
            moved.data_mut()[at] += step;
            weights.insert(name.to_string(), moved);
            run(&weights)["loss"].data()[0]
        };
        let h = 1e-5;
        let difference = (loss(h) - loss(-h)) / (2.0 * h);
        loss(0.0);
        let gradient = found[name].data()[at];
        let error = (gradient - difference).abs();
        assert!(
            error < 1e-7 + 1e-6 * gradient.abs(),
            "{name}: {gradient} {difference}"
        );
        assert!(gradient.abs() > 1e-6, "{name}: nothing to see");
    }
}

#[test]
fn without_weights_those_of_the_seed_are_written_and_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let images = numbers(&[2, 14, 14, 1], 0.3);
    write_inputs(folder, &images, &[0, 63]);
    succeed(folder, &eval("vgg-light", &["--seed", "3", "--grad"]));
    let first = outputs(folder);
    let mut params = Params::<f64>::new();
    let net = Model::find("vgg-light").unwrap();
    let net = net
        .build(&mut Scope::root(&mut params, 3), [14, 14, 1], None)
        .unwrap();
    let expected = net.forward(&mut Pass::eval(&params), &engine::Var::constant(images));
    assert_eq!(first["output"].data(), expected.value().data());

    let weights = first.iter().filter_map(|(name, tensor)| {
        Some((name.strip_prefix("weights.")?.to_string(), tensor.clone()))
    });
    let file = Checkpoint::new(weights.collect(), Metadata::new());
    file.write(&folder.join("w.safetensors")).unwrap();
    succeed(
        folder,
        &eval("vgg-light", &["--weights", "w.safetensors", "--grad"]),
    );
    let second = outputs(folder);
    for name in ["output", "loss", "grad_input"] {
        assert_eq!(first[name].data(), second[name].data(), "{name}");
    }
    assert!(!second.keys().any(|name| name.starts_with("weights.")));
    let trained = eval(
        "vgg-light",
        &["--weights", "w.safetensors", "--grad", "--train"],
    );
    succeed(folder, &trained);
    assert_ne!(outputs(folder)["output"].data(), second["output"].data());
}

#[test]
fn what_model_eval_cannot_use_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fail(folder, &eval("vgg-light", &[]), 3, &["in.safetensors"]);
    write_inputs(folder, &numbers(&[2, 14, 14, 1], 0.3), &[0, 64]);
    fail(
        folder,
        &eval("vgg-lite", &[]),
        2,
        &["did you mean `vgg-light`?"],
    );
    fail(
        folder,
        &eval("vgg-light", &["--grad"]),
        3,
        &["labels[1] is 64", "64 classes"],
    );
    fail(
        folder,
        &eval("vgg-light", &["--weights", "in.safetensors"]),
        3,
        &["in.safetensors", "I64"],
    );
    fail(folder, &eval("in.safetensors", &[]), 3, &["in.safetensors"]);
    write_inputs(folder, &numbers(&[2, 14, 14], 0.3), &[0, 1]);
    fail(
        folder,
        &eval("vgg-light", &[]),
        3,
        &["`input`", "[N, H, W, C]"],
    );
    write_inputs(folder, &numbers(&[2, 14, 14, 1], 0.3), &[0]);
    fail(
        folder,
        &eval("vgg-light", &[]),
        3,
        &["1 labels for 2 images"],
    );
}
