//! `hypersphere model export`: a trained network for PyTorch and for ONNX runtimes.

use crate::cli::ModelExport;
use crate::config::ConfigError;
use anyhow::{Context, Result, bail};
use engine::{Params, Tensor};
use losses::{Criterion, Head, Spec};
use nn::export::{Exporter, Graph, Operator, Value, onnx};
use nn::import::Classifier;
use nn::networks::ModelOptions;
use nn::{Backbone, Checkpoint, Metadata, Module, Scope};
use serde::de::DeserializeOwned;
use std::io::Write;
use std::path::Path;

/// Writes the file that the options ask for.
///
/// # Errors
/// If the checkpoint is none of this program, or the file cannot be written.
pub fn run(options: &ModelExport) -> Result<()> {
    let output = &options.output;
    let extension = output.extension().and_then(|e| e.to_str());
    let export = match extension {
        Some("onnx") => onnx_file,
        Some("safetensors") if options.unit || options.pixels.is_some() => {
            bail!(ConfigError(
                "--unit and --pixels are for ONNX; a safetensors file has weights alone".into()
            ));
        }
        Some("safetensors") => torch_file,
        _ => bail!(ConfigError(format!(
            "{}: cannot tell the format by the name; expected one that ends in .onnx, or in \
             .safetensors for PyTorch",
            output.display()
        ))),
    };
    let trained = Trained::read(&options.checkpoint)?;
    for line in export(&trained, options)? {
        println!("{line}");
    }
    Ok(())
}

/// The most pixels along a side of an image, and the most channels.
const LARGEST: usize = 1 << 13;

/// A network read from a checkpoint.
struct Trained {
    net: Backbone<f32>,
    params: Params<f32>,
    spec: Spec,
    mean: Vec<f32>,
    std: Vec<f32>,
    metadata: Metadata,
}

impl Trained {
    fn read(path: &Path) -> Result<Self> {
        let file = Checkpoint::<f32>::read(path)?;
        let metadata = Fields {
            metadata: &file.metadata,
            path,
        };
        let options = match file.metadata.contains_key("options") {
            true => metadata.value("options")?,
            // Older checkpoints are of networks as published but for the embedding.
            false => ModelOptions {
                embedding_dim: Some(metadata.value("embedding_dim")?),
                ..ModelOptions::default()
            },
        };
        let input: [usize; 3] = metadata.value("input")?;
        let (mean, std): (Vec<f32>, Vec<f32>) = (metadata.value("mean")?, metadata.value("std")?);
        data::Normalise::new(&mean, &std)?;
        if mean.len() != input[2] {
            bail!(ConfigError(format!(
                "{}: has {} means for images of {} channels",
                path.display(),
                mean.len(),
                input[2]
            )));
        }
        // The network is built before its weights are looked at, so no size may be out of reach.
        let numbers: usize = file.tensors.iter().map(|(_, t)| t.elements()).sum();
        let dim = options.embedding_dim.unwrap_or(0);
        if dim > numbers || input.iter().any(|&n| n > LARGEST) {
            let found = format!("an embedding of {dim} for images of {input:?}");
            bail!(metadata.refusal(format!("it cannot be that of {found}")));
        }
        let classes: Vec<String> = metadata.value("classes")?;
        let spec: Spec = metadata.text("loss")?.parse()?;

        let mut params = Params::new();
        let mut root = Scope::root(&mut params, 0);
        let model = nn::Model::find(metadata.text("model")?)?;
        let net = model.build_with(&mut root.child("backbone"), input, &options)?;
        // Adds the parameters that the loss owns; a loss wants two classes at least.
        Criterion::new(&spec, &mut root, classes.len().max(2), net.embedding_dim)?;
        file.load_into(&mut params)?;
        Ok(Trained {
            net,
            params,
            spec,
            mean,
            std,
            metadata: file.metadata,
        })
    }

    /// The class weights that predictions are made by, with their bias if they have one. Losses
    /// of cosines come first, as in [`Criterion::logits`].
    fn class_weights(&self) -> Option<(Head, Tensor<f32>, Option<Tensor<f32>>)> {
        let has = |wanted: fn(Head) -> bool| {
            let mut heads = self.spec.terms().iter().map(|term| term.info().head);
            heads.any(wanted)
        };
        let value = |name: &str| Some(self.params.value(self.params.find(name).ok()?));
        if has(|head| head == Head::Angular) {
            let weight = value("head.angular.weight").or_else(|| value("head.weight"))?;
            return Some((Head::Angular, weight, None));
        }
        has(Head::is_linear).then_some(())?;
        Some((Head::Linear, value("head.weight")?, value("head.bias")))
    }
}

/// What a checkpoint says of itself.
struct Fields<'a> {
    metadata: &'a Metadata,
    path: &'a Path,
}

impl Fields<'_> {
    fn text(&self, key: &str) -> Result<&str> {
        let text = self.metadata.get(key).map(String::as_str);
        text.with_context(|| self.refusal(format!("does not say its `{key}`")))
    }

    fn value<V: DeserializeOwned>(&self, key: &str) -> Result<V> {
        let value = serde_json::from_str(self.text(key)?);
        value.map_err(|e| {
            self.refusal(format!("its `{key}` cannot be read: {e}"))
                .into()
        })
    }

    fn refusal(&self, reason: String) -> ConfigError {
        ConfigError(format!(
            "{}: {reason}\n  is it the checkpoint of a training run, such as \
             runs/NAME/ckpt/last.safetensors?",
            self.path.display()
        ))
    }
}

/// What was written, in lines for the user.
type Report = Vec<String>;

fn torch_file(trained: &Trained, options: &ModelExport) -> Result<Report> {
    let classifier = trained.class_weights();
    let classifier = classifier.map(|(_, weight, bias)| Classifier { weight, bias });
    let tensors = trained.net.to_torch(&trained.params, classifier)?;
    let line = format!(
        "{}: {} tensors of `{}` with the names and layouts of PyTorch",
        options.output.display(),
        tensors.len(),
        trained.net.name
    );
    let mut metadata = trained.metadata.clone();
    // By which PyTorch's programs know whose tensors these are.
    metadata.insert("format".into(), "pt".into());
    Checkpoint::new(tensors, metadata).write(&options.output)?;
    Ok(vec![line])
}

fn onnx_file(trained: &Trained, options: &ModelExport) -> Result<Report> {
    let (graph, has_logits) = graph(trained, options)?;
    let described = |info: &nn::export::ValueInfo| {
        let axes = info.shape[1..].iter().map(|n| format!(", {n}"));
        format!("{} [N{}]", info.name, axes.collect::<String>())
    };
    let outputs = graph.values.iter().filter(|v| v.is_output);
    let outputs: Vec<_> = outputs.map(described).collect();
    let input = &graph.values[0];
    let pixels = options.pixels.unwrap_or_default();
    let [height, width, channels] = trained.net.input;
    let description = format!(
        "Input: {}, {}; images of {height} x {width} pixels{}. Mean and deviation of the training \
         are applied inside. Output: {}.{}",
        described(input),
        pixels.about(),
        if channels == 3 {
            ", red, green, blue"
        } else {
            ""
        },
        outputs.join(", "),
        match options.unit {
            true => " Embeddings have length 1.",
            false => " Embeddings are compared by their cosine.",
        },
    );
    let mut metadata = trained.metadata.clone();
    metadata.insert("pixels".into(), pixels.about().into());
    metadata.insert("unit".into(), options.unit.to_string());
    let bytes = onnx::file(&graph, &metadata, &description)?;
    let path = &options.output;
    nn::checkpoint::write_atomically(path, |file| file.write_all(&bytes))
        .with_context(|| format!("writing {}", path.display()))?;
    let mut report = vec![
        format!(
            "{}: `{}`, opset {}",
            path.display(),
            trained.net.name,
            onnx::OPSET
        ),
        format!("input   {}, {}", described(input), pixels.about()),
        format!("output  {}", outputs.join(", ")),
    ];
    if !has_logits {
        report.push(format!(
            "no `logits`: {} has no class weights that are compared by cosine or inner product",
            trained.spec
        ));
    }
    Ok(report)
}

/// The network with what is done to the pixels before and to the embedding behind; and whether
/// it has logits.
fn graph(trained: &Trained, options: &ModelExport) -> Result<(Graph, bool)> {
    let Trained {
        net,
        params,
        mean,
        std,
        ..
    } = trained;
    let mut to = Exporter::new(params);
    let pixels = options.pixels.unwrap_or_default();
    let image = to.image(net.input, pixels.layout(), mean, std);
    let embedding = net.export(&mut to, image)?;
    let classifier = trained.class_weights();
    let is_angular = matches!(classifier, Some((Head::Angular, ..)));
    let unit: Option<Value> = (options.unit || is_angular).then(|| to.unit(embedding));
    let logits = classifier.map(|(_, weight, bias)| {
        let (x, weight) = match unit.filter(|_| is_angular) {
            Some(unit) => (unit, unit_rows(&weight)),
            None => (embedding, weight),
        };
        let mut operands = vec![x, to.constant("classes.weight", weight)];
        operands.extend(bias.map(|bias| to.constant("classes.bias", bias)));
        to.apply(Operator::Linear, &operands)
    });
    let unit = unit.filter(|_| options.unit);
    to.output("embedding", unit.unwrap_or(embedding));
    if let Some(logits) = logits {
        to.output("logits", logits);
    }
    Ok((to.finish(), logits.is_some()))
}

/// The directions of class weights `[C, D]`.
fn unit_rows(weight: &Tensor<f32>) -> Tensor<f32> {
    engine::Var::constant(weight.clone())
        .l2_normalize()
        .value()
        .clone()
}
