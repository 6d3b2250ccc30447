//! `hypersphere model eval`: a network and its gradients as a pure function of given tensors, for
//! comparison with other implementations.

use super::exchange;
use crate::cli::ModelEval;
use crate::config::ConfigError;
use crate::source::DataError;
use anyhow::{Context, Result, anyhow, bail};
use engine::rng::Key;
use engine::{Float, ParamId, Params, Tensor, Var};
use losses::{Criterion, Spec};
use nn::{Backbone, Checkpoint, Metadata, Model, Module, Origin, Pass, Scope};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// The contract is in the command's help.
///
/// # Errors
/// If there is no such network, or weights and tensors do not fit.
pub fn run(options: &ModelEval) -> Result<()> {
    match exchange::read(&options.input, inputs)? {
        (Images::Single(images), labels) => eval(options, images, labels),
        (Images::Double(images), labels) => eval(options, images, labels),
    }
}

/// Images in the type of the file.
enum Images {
    Single(Tensor<f32>),
    Double(Tensor<f64>),
}

fn inputs(file: &SafeTensors<'_>) -> Result<(Images, Option<Vec<i64>>)> {
    let view = file
        .tensor("input")
        .context("there is no `input` [N, H, W, C]")?;
    if view.shape().len() != 4 || view.shape().contains(&0) {
        let found = view.shape();
        bail!("`input` has shape {found:?}; expected [N, H, W, C] with no axis of length 0");
    }
    let images = match view.dtype() {
        Dtype::F32 => Images::Single(exchange::tensor("input", &view)?),
        Dtype::F64 => Images::Double(exchange::tensor("input", &view)?),
        other => bail!("`input` holds {other:?}; expected F32 or F64"),
    };
    let labels = exchange::labels(file)?;
    let (samples, found) = (view.shape()[0], labels.as_ref().map(Vec::len));
    if let Some(found) = found.filter(|&found| found != samples) {
        bail!("there are {found} labels for {samples} images");
    }
    Ok((images, labels))
}

/// A network with its weights and what stands behind its embedding.
struct Network<T: Float> {
    params: Params<T>,
    net: Backbone<T>,
    head: Head<T>,
    /// What parameters are called in the weights file, and their layout there, where those are
    /// other ones than here.
    origins: Vec<Origin>,
}

/// What makes an output of an embedding.
enum Head<T: Float> {
    /// Nothing: the embedding is the output.
    None,
    /// A linear layer, with its name in the weights file.
    Linear {
        key: String,
        weight: ParamId,
        bias: Option<ParamId>,
    },
    /// The margin-free logits of the loss that the network was trained with.
    Loss(Box<Criterion<T>>),
}

fn eval<T: Float>(options: &ModelEval, images: Tensor<T>, labels: Option<Vec<i64>>) -> Result<()> {
    let [_, h, w, c] = [0, 1, 2, 3].map(|axis| images.shape()[axis]);
    let mut network = match Path::new(&options.model) {
        path if path.is_file() => checkpoint::<T>(options, path, [h, w, c])?,
        _ => listed::<T>(options, [h, w, c])?,
    };
    let mut out = Vec::new();
    if options.weights.is_none() && !Path::new(&options.model).is_file() {
        let made = Checkpoint::of(&network.params, Metadata::new()).tensors;
        out.extend(made.into_iter().map(|(k, x)| (format!("weights.{k}"), x)));
    }
    let x = match options.grad {
        true => Var::leaf(images),
        false => Var::constant(images),
    };
    let (embedding, output) = network.forward(&x, options)?;
    out.push(("embedding".to_string(), embedding.value().clone()));
    out.push(("output".to_string(), output.value().clone()));
    let mut summary = format!("output {}", output.shape());
    if options.grad {
        let labels = checked(labels, output.shape()[1])
            .map_err(|e| DataError(format!("{}: {e:#}", options.input.display())))?;
        let loss = output.try_cross_entropy(labels, 0.0)?.mean();
        let gradients = loss.backward_into(&mut network.params)?;
        let dx = gradients.of(&x).cloned();
        out.push((
            "grad_input".to_string(),
            dx.unwrap_or_else(|| Tensor::zeros(x.shape())),
        ));
        out.push(("loss".to_string(), loss.value().reshape([1])));
        summary += &format!(", loss {:.9}", loss.value().item().to_f64());
        out.extend(network.gradients());
    }
    let about = Metadata::from([("model".to_string(), network.net.name.to_string())]);
    Checkpoint::new(out, about).write(&options.output)?;
    println!(
        "{}: {summary}  written to {}",
        network.net.name,
        options.output.display()
    );
    Ok(())
}

/// A weights file that cannot be used is a fault of the data; the error names the file.
fn unusable(error: impl std::fmt::Display) -> DataError {
    DataError(error.to_string())
}

/// Labels that are classes.
fn checked(labels: Option<Vec<i64>>, classes: usize) -> Result<Vec<usize>> {
    let labels = labels.context("--grad needs `labels` [N] (i64)")?;
    let class = |(i, &label): (usize, &i64)| {
        let y = usize::try_from(label).ok().filter(|&y| y < classes);
        y.ok_or_else(|| {
            anyhow!("labels[{i}] is {label}, but the output has {classes} classes, counted from 0")
        })
    };
    labels.iter().enumerate().map(class).collect()
}

/// A network of the list, with the weights of a file or those of the seed.
fn listed<T: Float>(options: &ModelEval, input: [usize; 3]) -> Result<Network<T>> {
    let model = Model::find(&options.model)?;
    let mut params = Params::new();
    let mut root = Scope::root(&mut params, options.seed);
    let net = model.build(&mut root, input, options.embed_dim)?;
    let mut network = Network {
        params,
        net,
        head: Head::None,
        origins: Vec::new(),
    };
    let Some(path) = &options.weights else {
        return Ok(network);
    };
    match network.net.import(path, &mut network.params) {
        Ok(imported) => {
            network.origins = imported.origins;
            if let Some(classifier) = imported.classifier {
                let (weight, bias) = (classifier.weight, classifier.bias);
                network.set_head(&classifier.key, weight, bias)?;
            }
            Ok(network)
        }
        // Perhaps they have the names that the network has here.
        Err(foreign) => {
            let mut own = Checkpoint::<T>::read(path).map_err(unusable)?;
            let mut take = |name: &str| {
                let at = own.tensors.iter().position(|(key, _)| key == name)?;
                Some(own.tensors.swap_remove(at).1)
            };
            let head = (take("head.weight"), take("head.bias"));
            let loaded = own.load_into(&mut network.params);
            loaded.map_err(|e| match foreign {
                nn::ImportError::Unsupported { .. } => unusable(e),
                foreign => unusable(foreign),
            })?;
            if let (Some(weight), bias) = head {
                network.set_head("head", weight, bias)?;
            }
            Ok(network)
        }
    }
}

/// The weights file of a training run, which says what network and loss it belongs to.
fn checkpoint<T: Float>(options: &ModelEval, path: &Path, input: [usize; 3]) -> Result<Network<T>> {
    if options.weights.is_some() || options.embed_dim.is_some() {
        bail!(ConfigError(format!(
            "{} is a file and has weights and dimensions of its own; --weights and --embed-dim are \
             for a network of `hypersphere model list`",
            path.display()
        )));
    }
    let file = Checkpoint::<T>::read(path).map_err(unusable)?;
    let about = |key: &str| {
        file.metadata.get(key).ok_or_else(|| {
            DataError(format!(
                "{}: does not say its `{key}`, as the weights file of a training run does; name \
                 the network and give the file with --weights",
                path.display()
            ))
        })
    };
    let unreadable = |key: &str| DataError(format!("{}: `{key}` is unreadable", path.display()));
    let dim: usize = about("embedding_dim")?
        .parse()
        .map_err(|_| unreadable("embedding_dim"))?;
    let classes: Vec<String> =
        serde_json::from_str(about("classes")?).map_err(|_| unreadable("classes"))?;
    let spec: Spec = about("loss")?.parse()?;
    let mut params = Params::new();
    let mut root = Scope::root(&mut params, options.seed);
    let model = Model::find(about("model")?)?;
    let net = model.build(&mut root.child("backbone"), input, Some(dim))?;
    let criterion = Criterion::new(&spec, &mut root, classes.len(), dim)?;
    file.load_into(&mut params).map_err(unusable)?;
    Ok(Network {
        params,
        net,
        head: Head::Loss(Box::new(criterion)),
        origins: Vec::new(),
    })
}

impl<T: Float> Network<T> {
    fn set_head(&mut self, key: &str, weight: Tensor<T>, bias: Option<Tensor<T>>) -> Result<()> {
        let (shape, dim) = (weight.shape(), self.net.embedding_dim);
        if shape.rank() != 2 || shape[1] != dim {
            bail!(DataError(format!(
                "the classifier `{key}.weight` has shape {shape}, but embeddings have {dim} \
                 dimensions; expected [classes, {dim}]"
            )));
        }
        if let Some(found) = bias
            .as_ref()
            .map(Tensor::shape)
            .filter(|b| **b != [shape[0]])
        {
            bail!(DataError(format!(
                "the classifier `{key}.bias` has shape {found}; expected [{}]",
                shape[0]
            )));
        }
        let params = &mut self.params;
        self.head = Head::Linear {
            key: key.to_string(),
            weight: params.add("classifier.weight", weight),
            bias: bias.map(|bias| params.add("classifier.bias", bias)),
        };
        Ok(())
    }

    /// The embedding and the output.
    fn forward(&self, x: &Var<T>, options: &ModelEval) -> Result<(Var<T>, Var<T>)> {
        let mut pass = match options.train {
            true => Pass::train(&self.params, Key::new(options.seed)),
            false if options.grad => Pass::eval(&self.params).tracked(),
            false => Pass::eval(&self.params),
        };
        let embedding = self.net.forward(&mut pass, x);
        let output = match &self.head {
            Head::None => embedding.clone(),
            Head::Linear { weight, bias, .. } => {
                let products = embedding.try_matmul_nt(&pass.param(*weight))?;
                match bias {
                    Some(bias) => products.try_add(&pass.param(*bias))?,
                    None => products,
                }
            }
            Head::Loss(criterion) => {
                let logits = criterion.tracked_logits(&pass, &embedding)?;
                logits.unwrap_or_else(|| embedding.clone())
            }
        };
        Ok((embedding, output))
    }

    /// The gradient of every parameter, as in the weights file.
    fn gradients(&self) -> Vec<(String, Tensor<T>)> {
        let trainable = self.params.iter().filter(|(_, p)| p.trainable);
        let gradient = |(id, p): (ParamId, &engine::Param<T>)| {
            let gradient = self.params.whole_grad(id);
            if let Some(origin) = self.origins.iter().find(|o| o.id == id) {
                return (origin.key.clone(), origin.in_file(&gradient));
            }
            match &self.head {
                Head::Linear { key, weight, .. } if *weight == id => {
                    (format!("{key}.weight"), gradient)
                }
                Head::Linear { key, bias, .. } if *bias == Some(id) => {
                    (format!("{key}.bias"), gradient)
                }
                _ => (p.name().to_string(), gradient),
            }
        };
        trainable.map(gradient).collect()
    }
}
