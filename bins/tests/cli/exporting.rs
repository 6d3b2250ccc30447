//! A trained network leaves the program: as ONNX and for PyTorch.

use crate::training::train;
use crate::{digits, fail, succeed};
use engine::Tensor;
use nn::export::proto::{ModelProto, ValueInfoProto, element};
use nn::{Checkpoint, Metadata};
use prost::Message;

/// A folder with `run/`, trained for one epoch on a few digits.
fn trained(loss: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    digits(folder.path(), 300, 50);
    let more = ["--epochs", "1", "--loss", loss];
    succeed(folder.path(), &train("run", &more));
    folder
}

const CHECKPOINT: &str = "run/ckpt/last.safetensors";

fn model(folder: &tempfile::TempDir, name: &str) -> ModelProto {
    let bytes = std::fs::read(folder.path().join(name)).unwrap();
    ModelProto::decode(bytes.as_slice()).unwrap()
}

fn names(values: &[ValueInfoProto]) -> Vec<&str> {
    values.iter().map(|v| v.name.as_str()).collect()
}

fn element_type(value: &ValueInfoProto) -> i32 {
    value
        .r#type
        .as_ref()
        .unwrap()
        .tensor_type
        .as_ref()
        .unwrap()
        .elem_type
}

#[test]
fn onnx_has_the_preprocessing_and_says_what_goes_in_and_out() {
    let folder = trained("softmax");
    let export = ["model", "export", CHECKPOINT, "-o"];
    let text = succeed(folder.path(), &[&export[..], &["net.onnx"]].concat());
    for part in [
        "input   image [N, 28, 28, 1], bytes from 0 to 255, channels last",
        "output  embedding [N, 64], logits [N, 10]",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let file = model(&folder, "net.onnx");
    let facts: Metadata = file
        .metadata_props
        .iter()
        .map(|p| (p.key.clone(), p.value.clone()))
        .collect();
    assert!(facts["classes"].contains("\"7\"") && facts["loss"].starts_with("softmax"));
    assert!(
        file.doc_string.contains("28 x 28 pixels"),
        "{}",
        file.doc_string
    );
    let graph = file.graph.unwrap();
    assert_eq!(names(&graph.input), ["image"]);
    assert_eq!(names(&graph.output), ["embedding", "logits"]);
    assert_eq!(element_type(&graph.input[0]), element::UINT8);
    let constant = |name: &str| graph.initializer.iter().find(|t| t.name == name);
    let number = |name: &str| {
        let bytes = &constant(name).unwrap().raw_data;
        f32::from_le_bytes(bytes.as_slice().try_into().unwrap())
    };
    let of = |key: &str| facts[key].trim_matches(['[', ']']).parse::<f32>().unwrap();
    let slope = 1.0 / (255.0 * of("std"));
    assert!((number("preprocessing.slope") / slope - 1.0).abs() < 1e-6);
    assert!((number("preprocessing.start") + of("mean") / of("std")).abs() < 1e-6);
    // As trained, not as it began.
    let checkpoint = Checkpoint::<f32>::read(&folder.path().join(CHECKPOINT)).unwrap();
    let trained = |name: &str| {
        let found = checkpoint.tensors.iter().find(|(n, _)| n == name);
        bytemuck::cast_slice::<f32, u8>(found.unwrap().1.data()).to_vec()
    };
    for (name, own) in [
        ("backbone.bn1.running_mean", "backbone.bn1.running_mean"),
        ("backbone.fc.weight", "backbone.fc.weight"),
        ("classes.bias", "head.bias"),
    ] {
        assert_eq!(constant(name).unwrap().raw_data, trained(own), "{name}");
    }

    let text = succeed(
        folder.path(),
        &[&export[..], &["u.onnx", "--unit", "--pixels", "f32-nchw"]].concat(),
    );
    assert!(
        text.contains("image [N, 1, 28, 28], floating-point numbers"),
        "{text}"
    );
    let graph = model(&folder, "u.onnx").graph.unwrap();
    assert_eq!(element_type(&graph.input[0]), element::FLOAT);
    let embedding = graph
        .node
        .iter()
        .find(|n| n.output == ["embedding"])
        .unwrap();
    assert_eq!(embedding.op_type, "Div");
}

#[test]
fn weights_for_pytorch_have_its_layouts() {
    let folder = trained("normface:s=16");
    succeed(
        folder.path(),
        &["model", "export", CHECKPOINT, "-o", "torch.safetensors"],
    );
    let torch = Checkpoint::<f32>::read(&folder.path().join("torch.safetensors")).unwrap();
    assert_eq!(torch.metadata["format"], "pt");
    assert_eq!(torch.metadata["model"], "vgg-light");
    let shape = |name: &str| {
        let found = torch.tensors.iter().find(|(n, _)| n == name);
        found
            .unwrap_or_else(|| panic!("no {name}"))
            .1
            .shape()
            .to_vec()
    };
    assert_eq!(shape("conv2.weight"), [48, 24, 3, 3]);
    assert_eq!(shape("bn1.running_var"), [24]);
    assert_eq!(shape("classifier.weight"), [10, 64]);

    // Logits that are cosines: class weights of length 1.
    succeed(
        folder.path(),
        &["model", "export", CHECKPOINT, "-o", "net.onnx"],
    );
    let graph = model(&folder, "net.onnx").graph.unwrap();
    let weights = graph
        .initializer
        .iter()
        .find(|t| t.name == "classes.weight")
        .unwrap();
    let row = weights.raw_data[..4 * 64].chunks(4);
    let row = row.map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    assert!((row.map(|w| w * w).sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, metadata: &[(&str, &str)]| {
        let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let tensors = vec![("w".to_string(), Tensor::<f32>::zeros([4]))];
        let file = Checkpoint::new(tensors, metadata.collect());
        file.write(&folder.path().join(name)).unwrap();
    };
    let refused = |arguments: &[&str], code, parts: &[&str]| {
        fail(
            folder.path(),
            &[&["model", "export"], arguments].concat(),
            code,
            parts,
        );
    };
    write("bare.safetensors", &[]);
    refused(
        &["bare.safetensors", "-o", "x.pt"],
        2,
        &["x.pt", ".onnx", ".safetensors"],
    );
    refused(
        &["bare.safetensors", "-o", "x.safetensors", "--unit"],
        2,
        &["--unit"],
    );
    refused(
        &["bare.safetensors", "-o", "x.onnx"],
        2,
        &[
            "bare.safetensors: does not say its",
            "ckpt/last.safetensors",
        ],
    );
    refused(
        &["none.safetensors", "-o", "x.onnx"],
        1,
        &["none.safetensors"],
    );
    let facts = |input, dim| {
        [
            ("model", "vgg-light"),
            ("embedding_dim", dim),
            ("loss", "softmax"),
            ("input", input),
            ("classes", "[\"a\", \"b\"]"),
            ("mean", "[0.5]"),
            ("std", "[0.5]"),
        ]
    };
    write("other.safetensors", &facts("[28, 28, 1]", "2"));
    refused(
        &["other.safetensors", "-o", "x.onnx"],
        1,
        &["does not fit the model"],
    );
    // Sizes that would not fit in memory.
    write("wide.safetensors", &facts("[28, 28, 1]", "99999999999999"));
    refused(
        &["wide.safetensors", "-o", "x.onnx"],
        2,
        &["99999999999999"],
    );
    write(
        "large.safetensors",
        &facts("[999999999, 999999999, 1]", "2"),
    );
    refused(&["large.safetensors", "-o", "x.onnx"], 2, &["999999999"]);
    write("colour.safetensors", &facts("[28, 28, 3]", "2"));
    refused(
        &["colour.safetensors", "-o", "x.onnx"],
        2,
        &["1 means", "3 channels"],
    );
    assert!(!folder.path().join("x.onnx").exists());
}
