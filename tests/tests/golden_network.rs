//! A small convolutional network against PyTorch: logits, loss, every gradient, the running
//! statistics, ten steps of SGD, and what the network says afterwards in evaluation.
//!
//! `golden/README.md` has the network and the meaning of the keys.

use engine::rng::Key;
use engine::{Float, Params, Tensor, Var};
use nn::layers::{BatchNorm, Conv2d, Flatten, Linear, MaxPool2d, PRelu, SequentialModule};
use nn::{Build, Module, Optimizer, Pass, Scope, Sequential, Sgd};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// A file of golden values.
struct Golden<T: Float> {
    tensors: BTreeMap<String, Tensor<T>>,
    labels: Vec<usize>,
}

impl<T: Float> Golden<T> {
    fn read(file: &str) -> Self {
        let path = format!("{}/golden/{file}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let (mut tensors, mut labels) = (BTreeMap::new(), Vec::new());
        for (key, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
            let (shape, data) = (view.shape(), view.data());
            let of = |i: usize, size: usize| &data[i * size..(i + 1) * size];
            let number = |i| match view.dtype() {
                Dtype::F32 => f64::from(f32::from_le_bytes(of(i, 4).try_into().unwrap())),
                Dtype::F64 => f64::from_le_bytes(of(i, 8).try_into().unwrap()),
                Dtype::I64 => i64::from_le_bytes(of(i, 8).try_into().unwrap()) as f64,
                other => panic!("{key} is {other:?}"),
            };
            let n = shape.iter().product::<usize>();
            match key {
                "labels" => labels = (0..n).map(|i| number(i) as usize).collect(),
                _ => {
                    let tensor = Tensor::from_fn(shape, |i| T::of(number(i)));
                    tensors.insert(key.to_string(), tensor);
                }
            }
        }
        Golden { tensors, labels }
    }

    fn get(&self, key: &str) -> &Tensor<T> {
        self.tensors
            .get(key)
            .unwrap_or_else(|| panic!("no `{key}` in the file"))
    }

    /// The keys under `prefix/`, without the prefix.
    fn under(&self, prefix: &str) -> Vec<&str> {
        let strip = |key: &'_ String| key.strip_prefix(prefix)?.strip_prefix('/').map(str::len);
        let names = self.tensors.keys().filter_map(|key| {
            let length = strip(key)?;
            Some(&key[key.len() - length..])
        });
        names.collect()
    }

    /// Compares with the golden tensor, relative to its largest element, but at least to `floor`.
    fn assert_close(&self, key: &str, found: &[T], tolerance: f64, floor: f64) {
        let expected = self.get(key).data();
        assert_eq!(found.len(), expected.len(), "{key}");
        let largest = expected.iter().fold(floor, |m, x| m.max(x.to_f64().abs()));
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            let error = (f.to_f64() - e.to_f64()).abs() / largest;
            assert!(
                error <= tolerance,
                "{} {key}[{i}]: found {f}, PyTorch has {e} (relative error {error:.1e})",
                T::NAME
            );
        }
    }
}

fn network<T: Float>(scope: &mut Scope<'_, T>) -> SequentialModule<T> {
    Sequential::new()
        .add("conv1", Conv2d::new(2, 6, 3).padding(1).bias(false))
        .add("bn1", BatchNorm::new(6).relu())
        .add("conv2", Conv2d::new(6, 8, 3).stride(2).padding(1))
        .add("prelu", PRelu::new(8))
        .add("dw", Conv2d::new(8, 8, 3).padding(1).groups(8).bias(false))
        .add("bn2", BatchNorm::new(8).relu())
        .add("pool", MaxPool2d::new(2))
        .add("flatten", Flatten)
        .add("fc1", Linear::new(72, 7))
        .add("bn3", BatchNorm::new(7).relu())
        .add("fc2", Linear::new(7, 5))
        .build(scope)
}

/// Compares everything: the first step to `first`, what ten steps lead to to `later`.
fn compare<T: Float>(file: &str, first: f64, later: f64) {
    let golden = Golden::<T>::read(file);
    let mut params = Params::new();
    let net = network(&mut Scope::root(&mut params, 0));

    let names = golden.under("param");
    assert_eq!(names.len(), params.iter().count());
    for name in names {
        let id = params.find(name).unwrap();
        params.set(id, golden.get(&format!("param/{name}")));
    }
    let statistics = golden.under("buffer");
    assert_eq!(statistics.len(), params.buffers().len());
    for name in statistics {
        let id = params.find_buffer(name).unwrap();
        params.set_buffer(id, golden.get(&format!("buffer/{name}")).clone());
    }

    let input = golden.get("input");
    let mut optimizer = Sgd::new(0.9, false, 5e-4);
    let mut losses = Vec::new();
    for step in 0..10 {
        let x = Var::leaf(input.clone());
        let logits = net.forward(&mut Pass::train(&params, Key::new(step)), &x);
        let loss = logits.cross_entropy(golden.labels.clone(), 0.1).mean();
        losses.push(loss.value().item());
        let gradients = loss.backward_into(&mut params).unwrap();
        if step == 0 {
            golden.assert_close("logits", logits.value().data(), first, 0.0);
            golden.assert_close("loss", loss.value().data(), first, 0.0);
            golden.assert_close("grad/input", gradients.of(&x).unwrap().data(), first, 0.0);
            for (id, p) in params.iter() {
                // Batch normalisation behind it makes the gradient of fc1's bias 0 but for
                // rounding, so it has no size of its own to compare with.
                let floor = if p.name() == "fc1.bias" { 1.0 } else { 0.0 };
                let key = format!("grad/{}", p.name());
                golden.assert_close(&key, params.grad(id), first, floor);
            }
            for (name, value) in params.buffers() {
                golden.assert_close(&format!("buffer_after/{name}"), value.data(), first, 0.0);
            }
        }
        drop((logits, loss));
        optimizer.step(&mut params, 0.1);
    }

    golden.assert_close("losses", &losses, later, 0.0);
    for (id, p) in params.iter() {
        let key = format!("final/{}", p.name());
        golden.assert_close(&key, params.value(id).data(), later, 0.0);
    }
    for (name, value) in params.buffers() {
        golden.assert_close(&format!("final/{name}"), value.data(), later, 0.0);
    }
    let x = Var::constant(input.clone());
    let logits = net.forward(&mut Pass::eval(&params), &x);
    golden.assert_close("eval_logits", logits.value().data(), later, 0.0);
}

#[test]
fn in_f64_the_network_is_that_of_pytorch_to_nine_digits() {
    compare::<f64>("network_f64.safetensors", 1e-9, 1e-9);
}

#[test]
fn in_f32_the_network_is_that_of_pytorch_to_rounding() {
    compare::<f32>("network_f32.safetensors", 1e-5, 1e-4);
}
