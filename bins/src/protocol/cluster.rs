//! Do the classes fall apart by themselves? k-means with as many clusters as classes.

use super::{Embedded, add_spread};
use crate::figures::Figures;
use anyhow::Result;
use data::metrics::clustering::{
    adjusted_mutual_information, kmeans, normalised_mutual_information,
};
use std::collections::BTreeSet;

/// See [`Protocol::summary`](super::Protocol::summary).
pub const SUMMARY: &[&str] = &["nmi", "ami", "cosine_same", "cosine_different"];

/// Rounds of k-means, as in faiss, which the literature uses.
const ROUNDS: usize = 20;

/// The clusters and the classes compared.
///
/// # Errors
/// If an embedding is not finite.
pub fn judge(found: &Embedded) -> Result<Figures> {
    let mut figures = Figures::of(found.labels.len());
    add(&mut figures, found)?;
    let classes = assigned(found)?.1;
    figures.push("classes", classes as f64);
    add_spread(&mut figures, found)?;
    Ok(figures)
}

/// Adds NMI and AMI.
pub(super) fn add(figures: &mut Figures, found: &Embedded) -> Result<()> {
    let (clusters, _) = assigned(found)?;
    let labels = &found.labels;
    figures.push("nmi", normalised_mutual_information(&clusters, labels));
    figures.push("ami", adjusted_mutual_information(&clusters, labels));
    Ok(())
}

/// The cluster of each row, and their number.
fn assigned(found: &Embedded) -> Result<(Vec<usize>, usize)> {
    let classes = found.labels.iter().collect::<BTreeSet<_>>().len();
    Ok((kmeans(found.rows()?, classes, ROUNDS, 0)?, classes))
}
