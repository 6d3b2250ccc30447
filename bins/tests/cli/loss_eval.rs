//! `hypersphere loss eval` as a third party uses it: tensors in, tensors out, compared with
//! PyTorch's values.

use crate::{fail, succeed};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::path::Path;

const F64: &[u8] = include_bytes!("../../../tests/golden/losses_f64.safetensors");
const F32: &[u8] = include_bytes!("../../../tests/golden/losses_f32.safetensors");
const CASE: &str = "arcface/0";
const SPEC: &str = "arcface:s=30,m=0.5";

fn numbers(view: &TensorView<'_>) -> Vec<f64> {
    match view.dtype() {
        Dtype::F32 => {
            let numbers = view.data().chunks_exact(4);
            let number = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap()).into();
            numbers.map(number).collect()
        }
        Dtype::F64 => {
            let numbers = view.data().chunks_exact(8);
            let number = |b: &[u8]| f64::from_le_bytes(b.try_into().unwrap());
            numbers.map(number).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn write<'a>(file: &Path, tensors: impl IntoIterator<Item = (&'a str, TensorView<'a>)>) {
    std::fs::write(file, serialize(tensors, None).unwrap()).unwrap();
}

fn eval<'a>(spec: &'a str, input: &'a str) -> [&'a str; 7] {
    let [eval, output] = ["eval", "out.safetensors"];
    ["loss", eval, spec, "--input", input, "--output", output]
}

#[test]
fn values_and_gradients_of_a_file_agree_with_pytorch_in_its_own_type() {
    let folder = tempfile::tempdir().unwrap();
    for (golden, dtype, tolerance) in [(F64, Dtype::F64, 1e-10), (F32, Dtype::F32, 2e-5)] {
        let golden = SafeTensors::deserialize(golden).unwrap();
        let at = |name: &str| golden.tensor(&format!("{CASE}/{name}")).unwrap();
        let inputs = ["embeddings", "weight", "labels"].map(|name| (name, at(name)));
        write(&folder.path().join("in.safetensors"), inputs);
        let printed = succeed(folder.path(), &eval(SPEC, "in.safetensors"));
        assert!(printed.contains("out.safetensors"), "{printed}");

        let bytes = std::fs::read(folder.path().join("out.safetensors")).unwrap();
        let found = SafeTensors::deserialize(&bytes).unwrap();
        for name in ["loss", "loss_per_sample", "grad_embeddings", "grad_weight"] {
            let (found, expected) = (found.tensor(name).unwrap(), at(name));
            assert_eq!(found.dtype(), dtype, "{name}");
            if name != "loss" {
                assert_eq!(found.shape(), expected.shape(), "{name}");
            }
            let (found, expected) = (numbers(&found), numbers(&expected));
            assert_eq!(found.len(), expected.len(), "{name}");
            let largest = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            for (f, e) in found.iter().zip(&expected) {
                assert!((f - e).abs() <= tolerance * largest, "{name}: {f} {e}");
            }
        }
        // The logits are cosines: no margin, no scale.
        let (rows, classes) = (at("embeddings").shape()[0], at("weight").shape()[0]);
        let logits = found.tensor("logits").unwrap();
        assert_eq!(logits.shape(), [rows, classes]);
        assert!(numbers(&logits).iter().all(|c| c.abs() <= 1.0 + 1e-6));
    }
}

#[test]
fn inputs_that_do_not_fit_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let golden = SafeTensors::deserialize(F64).unwrap();
    let single = SafeTensors::deserialize(F32).unwrap();
    let at = |name: &str| golden.tensor(&format!("{CASE}/{name}")).unwrap();
    let [embeddings, weight, labels] = ["embeddings", "weight", "labels"].map(at);
    let [rows, dim, classes] = [
        embeddings.shape()[0],
        embeddings.shape()[1],
        weight.shape()[0],
    ];
    let input = folder.path().join("in.safetensors");
    let refused = |code, parts: &[&str]| {
        fail(folder.path(), &eval(SPEC, "in.safetensors"), code, parts);
        assert!(!folder.path().join("out.safetensors").exists());
    };
    refused(3, &["in.safetensors"]);
    std::fs::write(&input, "no tensors at all").unwrap();
    refused(3, &["in.safetensors", "safetensors file"]);
    write(&input, [("weight", weight.clone())]);
    refused(3, &["in.safetensors", "`embeddings` [N, D]"]);
    write(&input, [("embeddings", embeddings.clone())]);
    refused(3, &["in.safetensors", "`labels` [N]"]);

    let with = |weight: TensorView<'_>, labels: TensorView<'_>| {
        let tensors = [
            ("embeddings", embeddings.clone()),
            ("weight", weight),
            ("labels", labels),
        ];
        std::fs::write(&input, serialize(tensors, None).unwrap()).unwrap();
    };
    with(
        single.tensor(&format!("{CASE}/weight")).unwrap(),
        labels.clone(),
    );
    refused(3, &["`weight`", "F32", "F64"]);
    with(labels.clone(), labels.clone());
    refused(3, &["`weight`", "I64"]);
    with(embeddings.clone(), embeddings.clone());
    refused(3, &["`labels`", "F64", "I64"]);

    let narrow = vec![1; classes * (dim - 1) * 8];
    let narrow = TensorView::new(Dtype::F64, vec![classes, dim - 1], &narrow).unwrap();
    with(narrow, labels.clone());
    refused(3, &["`weight`", &format!("{}", dim - 1)]);
    let numbers: Vec<u8> = (0..rows as i64).flat_map(i64::to_le_bytes).collect();
    let large = TensorView::new(Dtype::I64, vec![rows], &numbers).unwrap();
    with(weight.clone(), large);
    refused(3, &["label", &format!("{classes}")]);
    let few = TensorView::new(Dtype::I64, vec![1], &[0; 8]).unwrap();
    with(weight.clone(), few);
    refused(3, &["labels"]);

    write(
        &input,
        [
            ("embeddings", embeddings.clone()),
            ("labels", labels.clone()),
        ],
    );
    refused(3, &["weight", "arcface"]);
    let unknown = eval("arcfase", "in.safetensors");
    fail(folder.path(), &unknown, 2, &["did you mean `arcface`?"]);
}
