//! `hypersphere loss`: the losses, on paper and on numbers.

use crate::cli::Loss;
use anyhow::{Context, Result, bail};
use engine::{Float, Tensor};
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
    println!("{:<12} {:<14} {:<38} parameters", "name", "status", "about");
    for info in LOSSES {
        let keys: Vec<_> = info.parameters.iter().map(|p| p.key).collect();
        println!(
            "{:<12} {:<14} {:<38} {}",
            info.name,
            status(info),
            info.about,
            keys.join(" ")
        );
        println!("{:12} {:14} {}", "", "", info.source);
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
    let bytes = std::fs::read(input).with_context(|| format!("reading {}", input.display()))?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{} is no safetensors file", input.display()))?;
    let embeddings = file
        .tensor("embeddings")
        .with_context(|| format!("{} has no `embeddings` [N, D]", input.display()))?;
    let labels = labels(&file).with_context(|| format!("in {}", input.display()))?;
    match embeddings.dtype() {
        Dtype::F32 => eval_in::<f32>(spec, &file, &labels, output),
        Dtype::F64 => eval_in::<f64>(spec, &file, &labels, output),
        other => bail!(
            "{}: `embeddings` holds {other:?}; expected F32 or F64",
            input.display()
        ),
    }
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

fn eval_in<T: Float>(
    spec: &Spec,
    file: &SafeTensors<'_>,
    labels: &[i64],
    output: &Path,
) -> Result<()> {
    let mut inputs = Tensors::<T>::new();
    for (name, view) in file.iter().filter(|(name, _)| *name != "labels") {
        if view.dtype()
            != (if size_of::<T>() == 4 {
                Dtype::F32
            } else {
                Dtype::F64
            })
        {
            bail!(
                "`{name}` holds {:?}, but `embeddings` {}; one type is needed throughout",
                view.dtype(),
                T::NAME.to_uppercase()
            );
        }
        let bytes = view.data().chunks_exact(size_of::<T>());
        let numbers: Vec<T> = bytes.map(bytemuck::pod_read_unaligned).collect();
        inputs.insert(name.to_string(), Tensor::try_new(view.shape(), &numbers)?);
    }
    let mut out = evaluate(spec, &inputs, labels)?;
    if let Some(loss) = out.get_mut("loss") {
        *loss = loss.reshape([1]);
    }
    let loss = out.get("loss").map(|loss| loss.item().to_f64());
    let metadata = Metadata::from([("loss".to_string(), spec.to_string())]);
    Checkpoint::new(out.into_iter().collect(), metadata).write(output)?;
    println!(
        "loss {:.9}  written to {}",
        loss.unwrap_or(f64::NAN),
        output.display()
    );
    Ok(())
}
