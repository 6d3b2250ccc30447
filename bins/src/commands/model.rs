//! `hypersphere model`: the networks.

use crate::cli::Model;
use crate::commands::model_export;
use crate::config::ConfigError;
use crate::weights::{Description, Trained};
use anyhow::Result;
use engine::{Params, Tensor};
use nn::import::Classifier;
use nn::networks::ModelOptions;
use nn::{Checkpoint, MODELS, Scope};
use std::path::Path;

/// Lists the networks, shows, evaluates or exports one, or imports weights.
///
/// # Errors
/// If there is no network of that name, the weights are for another, or it cannot be exported.
pub fn run(command: &Model) -> Result<()> {
    match command {
        Model::List => {
            for model in MODELS {
                println!(
                    "{:<15} {}\n{:15} {}\n",
                    model.name, model.description, "", model.source
                );
            }
        }
        Model::Summary {
            name,
            embed_dim,
            size,
            channels,
            pooling,
            last_stride,
            neck,
        } => {
            let [height, width, usual_channels] = usual_input(name);
            let [height, width] = size.unwrap_or([height, width]);
            let pooling = pooling.as_ref().map(|how| {
                serde_json::from_value(serde_json::json!(how))
                    .map_err(|e| ConfigError(format!("--pooling: {e}")))
            });
            let options = ModelOptions {
                embedding_dim: *embed_dim,
                pooling: pooling.transpose()?,
                last_stride: *last_stride,
                neck: *neck,
                ..ModelOptions::default()
            };
            let mut params = Params::<f32>::new();
            let mut root = Scope::root(&mut params, 0);
            let scope = &mut root.child("backbone");
            let input = [height, width, channels.unwrap_or(usual_channels)];
            let net = nn::Model::find(name)?.build_with(scope, input, &options)?;
            println!("{}", net.summary(&params));
            println!("for images of {height} x {width} x {}", input[2]);
        }
        Model::Eval(options) => super::model_eval::run(options)?,
        Model::Import {
            weights,
            model,
            output,
            size,
            classes,
            mean,
            std,
        } => return import(weights, model, output, *size, classes.as_deref(), mean, std),
        Model::Export(options) => model_export::run(options)?,
    }
    Ok(())
}

/// Height, width and channels that a network is usually given.
pub fn usual_input(model: &str) -> [usize; 3] {
    match model {
        "resnet18" | "resnet34" | "resnet50" => [224, 224, 3],
        name if name.starts_with("iresnet") || name == "mobilefacenet" => [112, 112, 3],
        name if name.starts_with("osnet") => [256, 128, 3],
        name if name.starts_with("audio") => [96, 64, 1],
        name if name.starts_with("lenet") || name.starts_with("vgg-mnist") => [28, 28, 1],
        "vgg-light" => [28, 28, 1],
        _ => [32, 32, 3],
    }
}

/// ImageNet's mean and deviation, which torchvision and most CIFAR programs normalise by.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn import(
    weights: &Path,
    model: &str,
    output: &Path,
    size: Option<[usize; 2]>,
    names: Option<&Path>,
    mean: &[f32],
    std: &[f32],
) -> Result<()> {
    let [height, width, channels] = usual_input(model);
    let [height, width] = size.unwrap_or([height, width]);
    let input = [height, width, channels];
    // First alone, to see what classifier there is.
    let mut params = Params::<f32>::new();
    let root = &mut Scope::root(&mut params, 0);
    let net = nn::Model::find(model)?.build(root, input, None)?;
    let imported = net.import(weights, &mut params)?;
    let classes = class_names(names, imported.classifier.as_ref())?;
    let of = |given: &[f32], usual: [f32; 3]| match given {
        [] => usual.to_vec(),
        given => given.to_vec(),
    };
    let mut trained = Trained::blank(Description {
        model: model.into(),
        options: ModelOptions {
            embedding_dim: Some(net.embedding_dim),
            ..ModelOptions::default()
        },
        input,
        // Without a classifier, a loss that owns none.
        loss: match imported.classifier {
            Some(_) => "softmax".into(),
            None => "triplet".into(),
        },
        classes,
        mean: of(mean, MEAN),
        std: of(std, STD),
        centre: None,
        sound: None,
        calibration: None,
    })?;
    trained.net.import(weights, &mut trained.params)?;
    if let Some(Classifier { weight, bias, .. }) = &imported.classifier {
        let id = trained.params.find("head.weight")?;
        trained.params.set(id, weight);
        let id = trained.params.find("head.bias")?;
        let none = Tensor::zeros(trained.params.param(id).shape());
        trained.params.set(id, bias.as_ref().unwrap_or(&none));
    }
    let metadata = trained.description.metadata();
    Checkpoint::of(&trained.params, metadata).write(output)?;
    println!(
        "{}: {} parameters, embedding of {}, {} classes",
        output.display(),
        trained.params.count(),
        trained.net.embedding_dim,
        trained.description.classes.len()
    );
    if !imported.kept.is_empty() {
        println!(
            "not in the file, left at random: {}",
            imported.kept.join(", ")
        );
    }
    Ok(())
}

/// The names of the classes, one a line; numbers where no file is named.
fn class_names(path: Option<&Path>, classifier: Option<&Classifier<f32>>) -> Result<Vec<String>> {
    let count = classifier.map_or(0, |c| c.weight.shape()[0]);
    let Some(path) = path else {
        return Ok((0..count).map(|c| c.to_string()).collect());
    };
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError(format!("{}: {e}", path.display())))?;
    let names: Vec<String> = text
        .lines()
        .map(|line| line.trim().to_string())
        .filter(|line| !line.is_empty())
        .collect();
    if names.len() != count {
        return Err(ConfigError(format!(
            "{} names {} classes, but the weights have {count}",
            path.display(),
            names.len()
        ))
        .into());
    }
    Ok(names)
}
