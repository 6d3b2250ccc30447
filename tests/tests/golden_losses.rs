//! Every loss against PyTorch: value, values per sample and every gradient, in both types.
//! What the files hold is described in `tests/golden/README.md`.

use engine::{Float, Tensor};
use losses::{LOSSES, Spec, Tensors, evaluate};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeSet;

const F64: [&[u8]; 2] = [
    include_bytes!("../golden/losses_f64.safetensors"),
    include_bytes!("../golden/losses_pairs_f64.safetensors"),
];
const F32: [&[u8]; 2] = [
    include_bytes!("../golden/losses_f32.safetensors"),
    include_bytes!("../golden/losses_pairs_f32.safetensors"),
];

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

/// Whether a tensor of a case is a result; the others are inputs.
fn is_output(name: &str) -> bool {
    let starts = ["loss", "grad_", "new_"];
    starts.iter().any(|start| name.starts_with(start))
}

/// Compares every result of every case; returns how many. With `--nocapture` it prints the largest
/// difference of each case.
fn compare<T: Float>(file: &[u8], tolerance: f64) -> usize {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let mut compared = 0;
    for [key, spec] in cases(file) {
        let spec: Spec = spec.parse().unwrap();
        let start = format!("{key}/");
        let of_case = tensors
            .iter()
            .filter_map(|(name, view)| Some((name.strip_prefix(&start)?.to_string(), view)));
        let (expected, inputs): (Vec<_>, Vec<_>) = of_case.partition(|(name, _)| is_output(name));
        let mut given = Tensors::<T>::new();
        let mut classes = Vec::new();
        for (name, view) in inputs {
            match &*name {
                "labels" => classes = labels(&view),
                _ => drop(given.insert(name, tensor(&view))),
            }
        }
        let mut found = evaluate(&spec, &given, &classes).unwrap();
        found.remove("logits");
        let names: BTreeSet<_> = expected.iter().map(|(name, _)| name).collect();
        assert_eq!(names, found.keys().collect(), "{key} {spec}");
        let mut worst: f64 = 0.0;
        for (name, view) in &expected {
            let error = difference(&found[name], &tensor::<T>(view));
            assert!(
                error <= tolerance,
                "{key} {spec}: {name} differs by {error:.1e}"
            );
            worst = worst.max(error);
            compared += 1;
        }
        println!("{} {worst:.0e} {spec}", T::NAME);
    }
    compared
}

#[test]
fn losses_agree_with_pytorch_in_f64() {
    let compared: usize = F64.iter().map(|file| compare::<f64>(file, 1e-10)).sum();
    assert!(compared > 500, "{compared} tensors compared");
}

#[test]
fn losses_agree_with_pytorch_in_f32() {
    let compared: usize = F32.iter().map(|file| compare::<f32>(file, 2e-5)).sum();
    assert!(compared > 500, "{compared} tensors compared");
}

#[test]
fn every_loss_has_golden_values() {
    let specs = F64.into_iter().flat_map(cases);
    let specs = specs.map(|[_, spec]| spec.parse::<Spec>().unwrap());
    let covered: BTreeSet<_> = specs.map(|spec| spec.terms()[0].info().name).collect();
    let all: BTreeSet<_> = LOSSES.iter().map(|info| info.name).collect();
    assert_eq!(covered, all);
}
