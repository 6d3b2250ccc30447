//! Every loss against PyTorch: value, values per sample and every gradient, in both types.
//! What the files hold is described in `tests/golden/README.md`.

use engine::{Float, Tensor};
use losses::{LOSSES, Spec, Tensors, evaluate};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeSet;

const F64: &[u8] = include_bytes!("../golden/losses_f64.safetensors");
const F32: &[u8] = include_bytes!("../golden/losses_f32.safetensors");

/// The key and the spec of every case.
fn cases(file: &[u8]) -> Vec<[String; 2]> {
    let (_, metadata) = SafeTensors::read_metadata(file).unwrap();
    let about = metadata.metadata().as_ref().unwrap();
    let cases: Value = serde_json::from_str(&about["cases"]).unwrap();
    let text = |case: &Value, name| case[name].as_str().unwrap().to_string();
    let case = |case| [text(case, "key"), text(case, "spec")];
    cases.as_array().unwrap().iter().map(case).collect()
}

fn tensor<T: Float>(view: &TensorView<'_>) -> Tensor<T> {
    let element = |b: &[u8]| match view.dtype() {
        Dtype::F32 => f32::from_le_bytes(b.try_into().unwrap()).into(),
        _ => f64::from_le_bytes(b.try_into().unwrap()),
    };
    let elements: Vec<T> = view
        .data()
        .chunks_exact(size_of::<T>())
        .map(|b| T::of(element(b)))
        .collect();
    Tensor::new(view.shape(), &elements)
}

fn labels(view: &TensorView<'_>) -> Vec<i64> {
    let label = |b: &[u8]| i64::from_le_bytes(b.try_into().unwrap());
    view.data().chunks_exact(8).map(label).collect()
}

/// The largest difference, relative to the largest element.
fn difference<T: Float>(found: &Tensor<T>, expected: &Tensor<T>) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let pairs = || found.data().iter().zip(expected.data());
    let largest = pairs().fold(0.0, |m: f64, (_, e)| m.max(e.to_f64().abs()));
    let gaps = pairs().map(|(f, e)| (f.to_f64() - e.to_f64()).abs());
    gaps.fold(0.0, |m, gap| if gap <= m { m } else { gap }) / largest.max(1e-30)
}

const OUTPUTS: [&str; 7] = [
    "loss",
    "loss_per_sample",
    "grad_embeddings",
    "grad_weight",
    "grad_bias",
    "grad_centers",
    "center_delta",
];

fn compare<T: Float>(file: &[u8], tolerance: f64) {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let mut compared = 0;
    for [key, spec] in cases(file) {
        let at = |name: &str| tensors.tensor(&format!("{key}/{name}")).ok();
        let spec: Spec = spec.parse().unwrap();
        let inputs: Tensors<T> = ["embeddings", "weight", "bias", "centers"]
            .into_iter()
            .filter_map(|name| Some((name.to_string(), tensor(&at(name)?))))
            .collect();
        let found = evaluate(&spec, &inputs, &labels(&at("labels").unwrap())).unwrap();
        for name in OUTPUTS {
            let expected = at(name).map(|view| tensor::<T>(&view));
            assert_eq!(
                expected.is_some(),
                found.contains_key(name),
                "{key} {spec}: {name}"
            );
            if let Some(expected) = expected {
                let error = difference(&found[name], &expected);
                assert!(
                    error <= tolerance,
                    "{key} {spec}: {name} differs by {error:.1e}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared} tensors compared");
}

#[test]
fn losses_agree_with_pytorch_in_f64() {
    compare::<f64>(F64, 1e-10);
}

#[test]
fn losses_agree_with_pytorch_in_f32() {
    compare::<f32>(F32, 2e-5);
}

#[test]
fn every_loss_has_golden_values() {
    let specs = cases(F64)
        .into_iter()
        .map(|[_, spec]| spec.parse::<Spec>().unwrap());
    let covered: BTreeSet<_> = specs.map(|spec| spec.terms()[0].info().name).collect();
    let all: BTreeSet<_> = LOSSES.iter().map(|info| info.name).collect();
    assert_eq!(covered, all);
}
