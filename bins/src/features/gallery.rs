//! Embeddings to be searched, in a file.
//!
//! A gallery is a safetensors file of [`Features`] whose rows have length one. An approximate
//! gallery has its [`Cells`] in three more tensors:
//!
//! | tensor | |
//! |---|---|
//! | `features [N, D]`, `labels [N]` | as in a file of features |
//! | `centres [C, D]` | the direction of each cell |
//! | `cells [N]` | the cell of each row |
//! | `probes [1]` | the cells that a search looks into |

mod cells;

pub use cells::{Cells, Trial};

use super::tensors::{self, view, whole_numbers};
use super::{Features, FeaturesError, Wrong, numbers, of_file, read, write, wrong};
use anyhow::Result;
use data::metrics::search::{Itself, nearest};
use data::metrics::{Embeddings, Similarity, scores::Pairwise};
use safetensors::tensor::{Dtype, SafeTensors};
use std::path::Path;

/// Embeddings that can be searched.
#[derive(Clone, Debug, PartialEq)]
pub struct Gallery {
    /// The rows, each of length one (or null), with what is known of them.
    features: Features,
    /// The cells that they are dealt into, if not all of them are to be compared.
    cells: Option<Cells>,
}

impl Gallery {
    /// A gallery in which every row is compared.
    ///
    /// # Errors
    /// If there are no rows, or a number is not finite.
    pub fn new(mut features: Features) -> Result<Self> {
        Embeddings::new(&features.vectors, features.dim)?;
        let dim = features.dim;
        features
            .vectors
            .chunks_exact_mut(dim)
            .for_each(cells::normalise);
        Ok(Gallery {
            features,
            cells: None,
        })
    }

    /// The same gallery, of which a search looks into some cells only: into as many as found
    /// `recall` of the ten nearest rows in a trial. Tells what was tried.
    ///
    /// # Errors
    /// If the rows are too few to be dealt into cells.
    pub fn approximate(self, recall: f64, seed: u64) -> Result<(Self, Vec<Trial>)> {
        let (cells, trials) = Cells::new(self.rows(), recall, seed)?;
        let gallery = Gallery {
            cells: Some(cells),
            ..self
        };
        Ok((gallery, trials))
    }

    /// The rows with their names and labels.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The cells, if the gallery is approximate.
    pub fn cells(&self) -> Option<&Cells> {
        self.cells.as_ref()
    }

    fn rows(&self) -> Embeddings<'_> {
        let features = &self.features;
        Embeddings::new(&features.vectors, features.dim).expect("checked when it was made")
    }

    /// The `k` rows that are most like each query `[Q, D]`, as `(cosine, row)`, the most alike
    /// first and of equal ones the first in the gallery; `exact` compares every row of an
    /// approximate gallery, too.
    ///
    /// # Errors
    /// If queries are of another dimension, or not finite.
    pub fn search(&self, queries: &[f32], k: usize, exact: bool) -> Result<Vec<Vec<(f32, u32)>>> {
        let queries = Embeddings::new(queries, self.features.dim)?;
        if let (Some(cells), false) = (&self.cells, exact) {
            return Ok(cells.search(self.rows(), queries, k, cells.probes()));
        }
        let scores = Pairwise::new(queries, self.rows(), Similarity::Cosine)?;
        let found = nearest(&scores, k, Itself::Keep);
        Ok((0..found.len()).map(|q| found.of(q).to_vec()).collect())
    }

    /// Writes the file. Either the old or the new content is there.
    ///
    /// # Errors
    /// [`FeaturesError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), FeaturesError> {
        let Some(cells) = &self.cells else {
            return write(path, &tensors::encode(&self.features, Vec::new()));
        };
        let dim = self.features.dim;
        let of_rows: Vec<i64> = cells.of_rows().iter().map(|&cell| cell as i64).collect();
        let probes = [cells.probes() as i64];
        let centres = cells.centres();
        let shape = vec![centres.len() / dim, dim];
        let more = vec![
            (
                "centres",
                view(Dtype::F32, shape, bytemuck::cast_slice(centres)),
            ),
            (
                "cells",
                view(
                    Dtype::I64,
                    vec![of_rows.len()],
                    bytemuck::cast_slice(&of_rows),
                ),
            ),
            (
                "probes",
                view(Dtype::I64, vec![1], bytemuck::cast_slice(&probes)),
            ),
        ];
        write(path, &tensors::encode(&self.features, more))
    }

    /// Reads a file, whatever its ending.
    ///
    /// # Errors
    /// [`FeaturesError`], which names the file and the place.
    pub fn read(path: &Path) -> Result<Self, FeaturesError> {
        let bytes = read(path)?;
        decoded(&bytes).map_err(|wrong| of_file(path, wrong))
    }
}

fn decoded(bytes: &[u8]) -> Result<Gallery, Wrong> {
    let features = tensors::decode(bytes)?;
    features.check()?;
    let dim = features.dim;
    let count = features.len();
    let mut gallery = Gallery::new(features)
        .map_err(|e| wrong("`features`", "rows of finite numbers", e.to_string()))?;
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| wrong("the header", "that of a safetensors file", e.to_string()))?;
    let Ok(centres) = file.tensor("centres") else {
        return Ok(gallery);
    };
    let found = format!("{:?} {:?}", centres.dtype(), centres.shape());
    let cells = match (centres.dtype(), centres.shape()) {
        (Dtype::F32, &[cells, width]) if cells > 0 && width == dim => cells,
        _ => return Err(wrong("`centres`", format!("F32 [C, {dim}]"), found)),
    };
    let centres: Vec<f32> = numbers(centres.data(), f32::from_le_bytes);
    if centres.iter().any(|x| !x.is_finite()) {
        return Err(wrong("`centres`", "finite numbers", "others"));
    }
    let within = |name: &str, least: usize, most: usize, wanted: usize| {
        let values = whole_numbers(&file, name)?.unwrap_or_default();
        let place = format!("`{name}`");
        if values.len() != wanted {
            let expected = format!("{wanted} numbers");
            return Err(wrong(place, expected, values.len().to_string()));
        }
        let number = |value: i64| {
            let number = usize::try_from(value).ok();
            let number = number.filter(|number| (least..=most).contains(number));
            let expected = || format!("numbers from {least} to {most}");
            number.ok_or_else(|| wrong(place.clone(), expected(), value.to_string()))
        };
        values
            .into_iter()
            .map(number)
            .collect::<Result<Vec<_>, _>>()
    };
    let of_rows = within("cells", 0, cells - 1, count)?;
    let probes = within("probes", 1, cells, 1)?[0];
    gallery.cells = Some(Cells::from_parts(centres, of_rows, probes, cells));
    Ok(gallery)
}

#[cfg(test)]
mod tests;
