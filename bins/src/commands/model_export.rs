//! `hypersphere model export`: a trained network for PyTorch and for ONNX runtimes.

use crate::cli::ModelExport;
use crate::config::ConfigError;
use crate::files;
use crate::weights::{Description, Trained};
use anyhow::{Result, bail};
use engine::Tensor;
use losses::Head;
use nn::export::{Exporter, Graph, Operator, Value, onnx};
use nn::{Checkpoint, Module};

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

/// The class weights that predictions are made by, with their bias if they have one. Losses
/// of cosines come first, as in [`Criterion::logits`].
fn class_weights(trained: &Trained) -> Option<(Head, Tensor<f32>, Option<Tensor<f32>>)> {
    let has = |wanted: fn(Head) -> bool| {
        let mut heads = trained
            .criterion
            .spec()
            .terms()
            .iter()
            .map(|term| term.info().head);
        heads.any(wanted)
    };
    let value = |name: &str| Some(trained.params.value(trained.params.find(name).ok()?));
    if has(|head| head == Head::Angular) {
        let weight = value("head.angular.weight").or_else(|| value("head.weight"))?;
        return Some((Head::Angular, weight, None));
    }
    has(Head::is_linear).then_some(())?;
    Some((Head::Linear, value("head.weight")?, value("head.bias")))
}

/// What was written, in lines for the user.
type Report = Vec<String>;

fn torch_file(trained: &Trained, options: &ModelExport) -> Result<Report> {
    let classifier = class_weights(trained);
    let classifier = classifier.map(|(_, weight, bias)| (weight, bias));
    let tensors = trained.net.to_torch(&trained.params, classifier)?;
    let line = format!(
        "{}: {} tensors of `{}` with the names and layouts of PyTorch",
        options.output.display(),
        tensors.len(),
        trained.net.name
    );
    let mut metadata = trained.description.metadata();
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
    let mut metadata = trained.description.metadata();
    metadata.insert("pixels".into(), pixels.about().into());
    metadata.insert("unit".into(), options.unit.to_string());
    let bytes = onnx::file(&graph, &metadata, &description)?;
    let path = &options.output;
    files::write(path, &bytes)?;
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
            trained.criterion.spec()
        ));
    }
    Ok(report)
}

/// The network with what is done to the pixels before and to the embedding behind; and whether
/// it has logits.
fn graph(trained: &Trained, options: &ModelExport) -> Result<(Graph, bool)> {
    let Trained { net, params, .. } = trained;
    let Description { mean, std, .. } = &trained.description;
    if trained.description.sound.is_some() {
        bail!(ConfigError(format!(
            "{}: is for sound; ONNX files of networks for pictures alone can be written, as log-mel \
             spectrograms are made outside the network",
            options.checkpoint.display()
        )));
    }
    let mut to = Exporter::new(params);
    let pixels = options.pixels.unwrap_or_default();
    let image = to.image(net.input, pixels.layout(), mean, std);
    let embedding = net.export(&mut to, image)?;
    let classifier = class_weights(trained);
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
