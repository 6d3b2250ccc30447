//! `hypersphere loss`: the losses, on paper and on numbers.

use crate::cli::Loss;
use crate::source::DataError;
use anyhow::{Context, Result, bail};
use engine::{Float, MAX_RANK, Tensor};
use losses::{LOSSES, LossInfo, Spec, Status, Tensors, evaluate};
use nn::{Checkpoint, Metadata};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// Lists, shows or evaluates losses.
///
/// # Errors
/// If there is no such loss, or the tensors do not fit.
pub fn run(command: &Loss) -> Result<()> {
    match command {
        Loss::List => list(),
        Loss::Show { name } => println!("{}", losses::find(name)?),
        Loss::Eval {
            spec,
            input,
            output,
        } => return eval(&spec.parse()?, input, output),
    }
    Ok(())
}

fn list() {
    let width = |text: fn(&LossInfo) -> &str| LOSSES.iter().map(|l| text(l).chars().count()).max();
    let (name, about) = (width(|l| l.name), width(|l| l.about));
    let (name, about) = (name.unwrap_or(0), about.unwrap_or(0));
    println!(
        "{:<name$} {:<14} {:<about$} parameters",
        "name", "status", "about"
    );
    for info in LOSSES {
        let keys: Vec<_> = info.parameters.iter().map(|p| p.key).collect();
        println!(
            "{:<name$} {:<14} {:<about$} {}",
            info.name,
            status(info),
            info.about,
            keys.join(" ")
        );
        println!("{:name$} {:14} {}", "", "", info.source);
    }
    println!("\n`hypersphere loss show NAME` has the formula, the defaults and the ranges.");
}

fn status(info: &LossInfo) -> &'static str {
    match info.status {
        Status::Known => "known",
        Status::Reconstructed { .. } => "reconstructed",
    }
}

/// The contract is in the command's help.
fn eval(spec: &Spec, input: &Path, output: &Path) -> Result<()> {
    let unusable = |e: anyhow::Error| DataError(format!("{}: {e:#}", input.display()));
    let bytes = std::fs::read(input).map_err(|e| unusable(e.into()))?;
    let results = results(spec, &bytes).map_err(unusable)?;
    let metadata = Metadata::from([("loss".to_string(), format!("{spec:#}"))]);
    let loss = match results {
        Results::Single(tensors) => write(tensors, metadata, output)?,
        Results::Double(tensors) => write(tensors, metadata, output)?,
    };
    println!("loss {loss:.9}  written to {}", output.display());
    Ok(())
}

/// Results in the type of the inputs.
enum Results {
    Single(Tensors<f32>),
    Double(Tensors<f64>),
}

fn results(spec: &Spec, bytes: &[u8]) -> Result<Results> {
    let file = SafeTensors::deserialize(bytes).context("this is no safetensors file")?;
    let embeddings = file
        .tensor("embeddings")
        .context("there is no `embeddings` [N, D]")?;
    let labels = labels(&file)?;
    Ok(match embeddings.dtype() {
        Dtype::F32 => Results::Single(evaluate(spec, &inputs(&file, Dtype::F32)?, &labels)?),
        Dtype::F64 => Results::Double(evaluate(spec, &inputs(&file, Dtype::F64)?, &labels)?),
        other => bail!("`embeddings` holds {other:?}; expected F32 or F64"),
    })
}

fn labels(file: &SafeTensors<'_>) -> Result<Vec<i64>> {
    let view = file
        .tensor("labels")
        .context("there is no `labels` [N] (i64)")?;
    if view.dtype() != Dtype::I64 {
        bail!("`labels` holds {:?}; expected I64", view.dtype());
    }
    let numbers = view.data().chunks_exact(8);
    Ok(numbers
        .map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes")))
        .collect())
}

/// All tensors but the labels, which must hold `dtype`, the type `T`.
fn inputs<T: Float>(file: &SafeTensors<'_>, dtype: Dtype) -> Result<Tensors<T>> {
    let mut inputs = Tensors::new();
    for (name, view) in file.iter().filter(|(name, _)| *name != "labels") {
        if view.dtype() != dtype {
            bail!(
                "`{name}` holds {:?}, but `embeddings` {dtype:?}; one type is needed throughout",
                view.dtype()
            );
        }
        if view.shape().len() > MAX_RANK {
            let axes = view.shape().len();
            bail!("`{name}` has {axes} axes; no loss takes more than two");
        }
        let bytes = view.data().chunks_exact(size_of::<T>());
        let numbers: Vec<T> = bytes.map(bytemuck::pod_read_unaligned).collect();
        inputs.insert(name.to_string(), Tensor::try_new(view.shape(), &numbers)?);
    }
    Ok(inputs)
}

/// Writes the results and returns the loss.
fn write<T: Float>(mut results: Tensors<T>, metadata: Metadata, output: &Path) -> Result<f64> {
    let mut value = f64::NAN;
    if let Some(loss) = results.get_mut("loss") {
        value = loss.item().to_f64();
        *loss = loss.reshape([1]); // a number of no axes is unusual in these files
    }
    Checkpoint::new(results.into_iter().collect(), metadata).write(output)?;
    Ok(value)
}
