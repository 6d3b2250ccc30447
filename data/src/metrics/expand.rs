//! Query expansion: a second search, with the mean of a query and what it found first.

use super::scores::{Embeddings, Pairwise, Similarity, unit_length};
use super::search::{Itself, nearest};
use crate::error::{Error, Result};
use engine::par;

/// Moves each row of `rows` towards its `k` nearest rows of `gallery` by cosine, and returns them
/// with length 1, `[rows.len(), dim]`: the mean of the row and its neighbours (all of length 1),
/// each neighbour weighted by its cosine, cut at 0, to the power of `alpha`.
///
/// With `alpha` = 0 this is the average query expansion of O. Chum et al., "Total Recall", ICCV
/// 2007; with 3 the weighted one of F. Radenović et al., "Fine-tuning CNN Image Retrieval with No
/// Human Annotation", TPAMI 2019. With the gallery in the place of the rows it is database-side
/// augmentation; [`Itself::Skip`] then keeps a row from being its own neighbour.
///
/// # Errors
/// [`Error::Invalid`] if the dimensions differ or `alpha` is not 0 or more.
///
/// # Panics
/// If the gallery has 2³² rows or more.
pub fn expand(
    rows: Embeddings<'_>,
    gallery: Embeddings<'_>,
    k: usize,
    alpha: f32,
    itself: Itself,
) -> Result<Vec<f32>> {
    if !(alpha >= 0.0 && alpha.is_finite()) {
        return Err(Error::invalid(
            "alpha of query expansion",
            "0 (plain average) or more",
            alpha,
            "3 is usual",
        ));
    }
    let scores = Pairwise::new(rows, gallery, Similarity::Cosine)?;
    let neighbours = nearest(&scores, k, itself);
    let dim = rows.dim();
    let mut out = vec![0.0; rows.len() * dim];
    par::chunks(&mut out, dim, |start, out| {
        let row = start / dim;
        let mut unit = vec![0.0; dim];
        unit_length(rows.row(row), &mut unit);
        let mut sum = unit.clone();
        for &(cosine, item) in neighbours.of(row) {
            unit_length(gallery.row(item as usize), &mut unit);
            let weight = cosine.max(0.0).powf(alpha);
            sum.iter_mut()
                .zip(&unit)
                .for_each(|(s, u)| *s += weight * u);
        }
        unit_length(&sum, out);
    });
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_pull_with_the_power_of_their_cosine() {
        let query = [2.0, 0.0];
        // Cosines 0.8, 0.6 and -1.
        let gallery = [0.6, 0.8, 8.0, 6.0, -1.0, 0.0];
        let [query, gallery] = [&query[..], &gallery].map(|rows| Embeddings::new(rows, 2).unwrap());
        let expanded = |k, alpha| expand(query, gallery, k, alpha, Itself::Keep).unwrap();
        let near = |found: &[f32], [x, y]: [f32; 2]| {
            let length = x.hypot(y);
            assert!((found[0] - x / length).abs() < 1e-6, "{found:?}");
            assert!((found[1] - y / length).abs() < 1e-6, "{found:?}");
        };
        near(&expanded(0, 0.0), [1.0, 0.0]);
        near(&expanded(1, 0.0), [1.8, 0.6]);
        near(&expanded(2, 0.0), [2.4, 1.4]);
        near(&expanded(2, 1.0), [1.0 + 0.64 + 0.36, 0.48 + 0.48]);
        // What points away does not pull.
        assert_eq!(expanded(3, 3.0), expanded(2, 3.0));
        assert!(expand(query, gallery, 1, -1.0, Itself::Keep).is_err());
        assert!(expand(query, gallery, 1, f32::NAN, Itself::Keep).is_err());
    }

    #[test]
    fn a_gallery_expands_itself() {
        let rows = [1.0, 0.0, 0.0, 1.0];
        let rows = Embeddings::new(&rows, 2).unwrap();
        assert_eq!(
            expand(rows, rows, 1, 0.0, Itself::Keep).unwrap(),
            [1.0, 0.0, 0.0, 1.0]
        );
        let both = expand(rows, rows, 1, 0.0, Itself::Skip).unwrap();
        assert!(both.iter().all(|v| (v - 0.5f32.sqrt()).abs() < 1e-6));
    }
}
