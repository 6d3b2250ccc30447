//! Makes a checkpoint to export, with what the network computes for some images:
//!
//! ```text
//! cargo run --release -p hypersphere-tests --example export_sample             lists the networks
//! cargo run --release -p hypersphere-tests --example export_sample NAME DIR
//! ```
//!
//! writes `DIR/checkpoint.safetensors`, with random weights and running statistics, and
//! `DIR/reference.safetensors` with `image` (from 0 to 255), `embedding` and `logits`. The scripts
//! in `tests/export` hold exported files against them.

use engine::rng::{Key, Rng};
use engine::{Params, Tensor, Var};
use losses::{Criterion, Spec};
use nn::{Checkpoint, MODELS, Metadata, Model, Module, Pass, Scope};
use std::error::Error;
use std::path::Path;

const IMAGES: usize = 3;
const CLASSES: usize = 11;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => MODELS.iter().for_each(|model| println!("{}", model.name)),
        [name, folder] => sample(Model::find(name)?, Path::new(folder))?,
        _ => return Err("expected a network and a folder, or nothing".into()),
    }
    Ok(())
}

fn sample(model: &Model, folder: &Path) -> Result<(), Box<dyn Error>> {
    let input = usual_input(model.name);
    let [height, width, channels] = input;
    // By turns cosines, with class weights alone, and inner products with a bias.
    let position = MODELS.iter().position(|other| other.name == model.name);
    let loss: Spec = ["normface:s=16", "softmax"][position.unwrap_or(0) % 2].parse()?;
    let mut params = Params::<f32>::new();
    let mut root = Scope::root(&mut params, 1);
    let net = model.build(&mut root.child("backbone"), input, None)?;
    let criterion = Criterion::new(&loss, &mut root, CLASSES, net.embedding_dim)?;
    scatter(&mut params);

    let (mean, std) = (
        &[0.49f32, 0.46, 0.42][..channels],
        &[0.25f32, 0.23, 0.28][..channels],
    );
    let mut rng = Key::new(2).named("images").rng();
    let shape = [IMAGES, height, width, channels];
    let image = Tensor::from_fn(shape, |_| rng.below(256) as f32);
    let normal = |i: usize| (image.data()[i] / 255.0 - mean[i % channels]) / std[i % channels];
    let pass = &mut Pass::eval(&params);
    let embedding = net.forward(pass, &Var::constant(Tensor::from_fn(shape, normal)));
    let logits = criterion
        .logits(pass, &embedding)?
        .ok_or("both losses have logits")?;

    let classes: Vec<String> = (0..CLASSES).map(|c| c.to_string()).collect();
    let metadata = [
        ("model", model.name.to_string()),
        ("embedding_dim", net.embedding_dim.to_string()),
        ("loss", format!("{:#}", criterion.spec())),
        ("input", serde_json::to_string(&input)?),
        ("classes", serde_json::to_string(&classes)?),
        ("mean", serde_json::to_string(mean)?),
        ("std", serde_json::to_string(std)?),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_string(), value));
    std::fs::create_dir_all(folder)?;
    let checkpoint = Checkpoint::of(&params, metadata.into());
    checkpoint.write(&folder.join("checkpoint.safetensors"))?;
    let embedding = embedding.value().clone();
    let reference = [
        ("image", image),
        ("embedding", embedding),
        ("logits", logits),
    ];
    let reference = reference.map(|(name, tensor)| (name.to_string(), tensor));
    let reference = Checkpoint::new(reference.into(), Metadata::new());
    reference.write(&folder.join("reference.safetensors"))?;
    Ok(())
}

/// Height, width and channels that a network is usually given.
fn usual_input(model: &str) -> [usize; 3] {
    let begins = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
    match model {
        "resnet18" | "resnet34" | "resnet50" => [224, 224, 3],
        _ if begins(&["iresnet", "mobilefacenet"]) => [112, 112, 3],
        _ if begins(&["osnet"]) => [256, 128, 3],
        _ if begins(&["audio"]) => [64, 100, 1],
        _ if begins(&["lenet", "vgg-mnist", "vgg-light"]) => [28, 28, 1],
        _ => [32, 32, 3],
    }
}

/// Moves scales, shifts, slopes and running statistics away from where they begin: a mistake in
/// what is 0 or 1 could not be seen.
fn scatter(params: &mut Params<f32>) {
    let each = |value: &Tensor<f32>, f: &mut dyn FnMut(f32) -> f32| {
        Tensor::from_fn(value.shape(), |i| f(value.data()[i]))
    };
    let rng = |name: &str| -> Rng { Key::new(3).named(name).rng() };
    let vectors = params.iter().filter(|(_, p)| p.shape().rank() == 1);
    let vectors: Vec<_> = vectors.map(|(id, p)| (id, p.name().to_string())).collect();
    for (id, name) in vectors {
        let mut rng = rng(&name);
        let value = each(&params.value(id), &mut |x| x + 0.1 * rng.normal() as f32);
        params.set(id, &value);
    }
    // Convolutions that keep the size of numbers, or a hundred of them leave the range of f32.
    let kernels = params.iter().filter(|(_, p)| p.shape().rank() == 4);
    let kernels: Vec<_> = kernels.map(|(id, _)| id).collect();
    for id in kernels {
        let value = params.value(id);
        let squares: f32 = value.data().iter().map(|w| w * w).sum();
        let wanted = 2.0 * value.shape().last() as f32;
        params.set(id, &value.map(|w| w * (wanted / squares).sqrt()));
    }
    for (name, value) in params.buffers() {
        let mut rng = rng(&name);
        let value = match name.ends_with("running_var") {
            true => each(&value, &mut |_| rng.range(0.5, 2.0) as f32),
            false => each(&value, &mut |_| 0.2 * rng.normal() as f32),
        };
        let id = params.find_buffer(&name).expect("it was listed");
        params.set_buffer(id, value);
    }
}
