//! Tensors that come from other programs, in safetensors files.

use crate::source::DataError;
use anyhow::{Context, Result, bail};
use engine::{Float, MAX_RANK, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::path::Path;

/// What `f` makes of a file. Whatever it finds wrong is an error in the data, which names the file.
pub(super) fn read<R>(path: &Path, f: impl FnOnce(&SafeTensors<'_>) -> Result<R>) -> Result<R> {
    let read = || {
        let bytes = std::fs::read(path)?;
        let file = SafeTensors::deserialize(&bytes).context("this is no safetensors file")?;
        f(&file)
    };
    let unusable = |e: anyhow::Error| DataError(format!("{}: {e:#}", path.display()));
    Ok(read().map_err(unusable)?)
}

/// `labels` `[N]`, if the file has them.
pub(super) fn labels(file: &SafeTensors<'_>) -> Result<Option<Vec<i64>>> {
    let Ok(view) = file.tensor("labels") else {
        return Ok(None);
    };
    if view.dtype() != Dtype::I64 {
        bail!("`labels` holds {:?}; expected I64", view.dtype());
    }
    let numbers = view.data().chunks_exact(8);
    Ok(Some(
        numbers
            .map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes")))
            .collect(),
    ))
}

/// A tensor that holds numbers of type `T`.
pub(super) fn tensor<T: Float>(name: &str, view: &TensorView<'_>) -> Result<Tensor<T>> {
    if view.shape().len() > MAX_RANK {
        let axes = view.shape().len();
        bail!("`{name}` has {axes} axes; at most {MAX_RANK} are known");
    }
    let bytes = view.data().chunks_exact(size_of::<T>());
    let numbers: Vec<T> = bytes.map(bytemuck::pod_read_unaligned).collect();
    Ok(Tensor::try_new(view.shape(), &numbers)?)
}
