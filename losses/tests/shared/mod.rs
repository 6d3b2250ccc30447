//! The tensors a loss needs, so that tests can run over the whole table.

use engine::{Float, Params, Tensor};
use losses::{Criterion, Kind, LOSSES, Spec, Tensors};
use nn::Scope;

/// Scales that are not called `s` or `r`.
const SCALES: [(&str, &str); 10] = [
    ("circle", "gamma"),
    ("circle-pair", "gamma"),
    ("cs-softmax", "lambda"),
    ("gaussian", "alpha"),
    ("multi-similarity", "beta"),
    ("proxy-anchor", "alpha"),
    ("proxy-nca", "scale"),
    ("so-softmax", "lambda_n"),
    ("so-softmax", "lambda_p"),
    ("soft-triple", "lambda"),
];

/// Every loss with its defaults, with each of its words, flags and presets, and at scale 1 and 512.
pub fn specs() -> Vec<Spec> {
    let mut specs = Vec::new();
    for info in LOSSES {
        specs.push(info.name.to_string());
        for parameter in info.parameters {
            let key = parameter.key;
            let values: Vec<String> = match parameter.kind {
                Kind::Word(words) => words.iter().map(|w| w.to_string()).collect(),
                Kind::Flag => vec!["true".into()],
                _ if SCALES.contains(&(info.name, key)) || ["s", "r"].contains(&key) => {
                    vec!["1".into(), "512".into()]
                }
                _ if key == "memory" => vec!["4".into()],
                _ => continue,
            };
            specs.extend(values.iter().map(|v| format!("{}:{key}={v}", info.name)));
        }
        let presets = info.presets.iter().map(|p| p.name);
        specs.extend(presets.map(|preset| format!("{}:preset={preset}", info.name)));
    }
    specs.iter().map(|spec| spec.parse().unwrap()).collect()
}

/// What a model with this loss has under `head`, as it begins.
pub fn begun<T: Float>(spec: &Spec, classes: usize, dim: usize) -> Tensors<T> {
    let mut params = Params::<T>::new();
    Criterion::new(spec, &mut Scope::root(&mut params, 3), classes, dim).unwrap();
    let learned: Vec<_> = params
        .iter()
        .map(|(id, p)| (p.name().to_string(), params.value(id)))
        .collect();
    let all = learned.into_iter().chain(params.buffers());
    all.map(|(name, value)| (name.strip_prefix("head.").unwrap().to_string(), value))
        .collect()
}

/// The same with `weight` in every place of class weights, and with embeddings.
pub fn inputs<T: Float>(
    spec: &Spec,
    classes: usize,
    dim: usize,
    x: &[f64],
    weight: &[f64],
) -> Tensors<T> {
    let mut inputs = begun::<T>(spec, classes, dim);
    for (name, value) in &mut inputs {
        let shape = value.shape();
        let is_weights = ["weight", "centers", "means"]
            .iter()
            .any(|end| name.ends_with(end));
        *value = match *shape {
            [c, d] if is_weights && c * d == weight.len() => {
                Tensor::from_fn(shape, |i| T::of(weight[i]))
            }
            // Each class has the same weight several times.
            [_, k, d] => Tensor::from_fn(shape, |i| T::of(weight[i / (k * d) * d + i % d])),
            _ => continue,
        };
    }
    let x = Tensor::from_fn([x.len() / dim, dim], |i| T::of(x[i]));
    inputs.insert("embeddings".into(), x);
    inputs
}
