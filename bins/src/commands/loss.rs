//! `hypersphere loss`: the losses, on paper and on numbers.

use super::exchange;
use crate::cli::Loss;
use anyhow::{Context, Result, bail};
use engine::Float;
use losses::{LOSSES, LossInfo, Spec, Status, Tensors, evaluate};
use nn::{Checkpoint, Metadata};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// Lists, shows, draws, suggests or evaluates losses.
///
/// # Errors
/// If there is no such loss, or the tensors do not fit.
pub fn run(command: &Loss) -> Result<()> {
    match command {
        Loss::List => list(),
        Loss::Show { name } => println!("{}", losses::find(name)?),
        Loss::Plot(options) => return super::loss_plot::run(options),
        Loss::Suggest(options) => super::loss_suggest::run(options)?,
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
        "{:<name$} {:<9} {:<14} {:<about$} parameters",
        "name", "family", "status", "about"
    );
    for info in LOSSES {
        let keys: Vec<_> = info.parameters.iter().map(|p| p.key).collect();
        println!(
            "{:<name$} {:<9} {:<14} {:<about$} {}",
            info.name,
            info.family,
            status(info),
            info.about,
            keys.join(" ")
        );
        println!("{:name$} {:9} {:14} {}", "", "", "", info.source);
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
    let results = exchange::read(input, |file| results(spec, file))?;
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

fn results(spec: &Spec, file: &SafeTensors<'_>) -> Result<Results> {
    let embeddings = file
        .tensor("embeddings")
        .context("there is no `embeddings` [N, D]")?;
    let labels = exchange::labels(file)?.context("there is no `labels` [N] (i64)")?;
    Ok(match embeddings.dtype() {
        Dtype::F32 => Results::Single(evaluate(spec, &inputs(file, Dtype::F32)?, &labels)?),
        Dtype::F64 => Results::Double(evaluate(spec, &inputs(file, Dtype::F64)?, &labels)?),
        other => bail!("`embeddings` holds {other:?}; expected F32 or F64"),
    })
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
        inputs.insert(name.to_string(), exchange::tensor(name, &view)?);
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
