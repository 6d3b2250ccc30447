//! Figures of classification: pure functions of scores and labels.
//!
//! Scores are `[n, classes]`, row-major: margin-free logits or cosines. A margin belongs to the
//! loss; accuracy measured with it is too low. A row that holds a NaN predicts nothing and counts
//! as wrong, so a network that diverged scores zero and not the share of class 0.

/// The class with the largest score in each row, the lowest of several; `None` for a row that
/// holds a NaN.
///
/// # Panics
/// If `scores` is not whole rows of `classes`.
pub fn predictions(scores: &[f32], classes: usize) -> Vec<Option<usize>> {
    rows(scores, classes).map(argmax).collect()
}

/// The share of rows whose largest score belongs to the label, from 0 to 1; NaN without rows.
///
/// # Panics
/// If `scores` is not `[labels.len(), classes]`.
pub fn accuracy(scores: &[f32], classes: usize, labels: &[usize]) -> f64 {
    let pairs = labelled_rows(scores, classes, labels);
    let right = pairs
        .filter(|&(row, label)| argmax(row) == Some(label))
        .count();
    right as f64 / labels.len() as f64
}

/// The share of rows in which fewer than `k` classes score as high as the label's, from 0 to 1;
/// NaN without rows. Among equal scores the lower class comes first, so that with `k` = 1 this is
/// [`accuracy`]. A row that holds a NaN counts as wrong.
///
/// # Panics
/// If `scores` is not `[labels.len(), classes]`.
pub fn top_k_accuracy(scores: &[f32], classes: usize, labels: &[usize], k: usize) -> f64 {
    let right = labelled_rows(scores, classes, labels)
        .filter(|&(row, label)| {
            let before = |(class, &score): (usize, &f32)| {
                score > row[label] || (score == row[label] && class < label)
            };
            !row.iter().any(|s| s.is_nan())
                && row.iter().enumerate().filter(|&x| before(x)).count() < k
        })
        .count();
    right as f64 / labels.len() as f64
}

/// The mean cosine of embeddings to the weight of their own class, and to the other classes'.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanCosines {
    /// Over the images, the cosine to the own class: towards 1 in a good embedding.
    pub own: f64,
    /// Over the images and all other classes: -1/(classes-1) where classes repel each other as
    /// far as they can, 0 where they are orthogonal.
    pub others: f64,
}

/// Averages the cosines `[labels.len(), classes]` between embeddings and class weights. NaN
/// without rows; `others` is NaN with a single class.
///
/// # Panics
/// If the sizes do not fit or a label is not below `classes`.
pub fn mean_cosines(cosines: &[f32], classes: usize, labels: &[usize]) -> MeanCosines {
    let (mut own, mut all) = (0.0, 0.0);
    for (row, label) in labelled_rows(cosines, classes, labels) {
        own += f64::from(row[label]);
        all += row.iter().map(|&c| f64::from(c)).sum::<f64>();
    }
    let images = labels.len() as f64;
    MeanCosines {
        own: own / images,
        others: (all - own) / (images * (classes as f64 - 1.0)),
    }
}

pub(super) fn argmax(row: &[f32]) -> Option<usize> {
    if row.iter().any(|score| score.is_nan()) {
        return None;
    }
    // Strictly greater: the first of equal scores stays.
    (0..row.len()).reduce(|best, i| if row[i] > row[best] { i } else { best })
}

fn rows(scores: &[f32], classes: usize) -> std::slice::ChunksExact<'_, f32> {
    assert!(
        classes > 0 && scores.len().is_multiple_of(classes),
        "{} scores are not rows of {classes} classes",
        scores.len()
    );
    scores.chunks_exact(classes)
}

pub(super) fn labelled_rows<'a>(
    scores: &'a [f32],
    classes: usize,
    labels: &'a [usize],
) -> impl Iterator<Item = (&'a [f32], usize)> {
    let rows = rows(scores, classes);
    assert_eq!(rows.len(), labels.len(), "one label per row of scores");
    rows.zip(labels.iter().map(move |&label| {
        assert!(label < classes, "label {label} of {classes} classes");
        label
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    const NAN: f32 = f32::NAN;

    #[test]
    fn the_largest_score_wins_the_first_of_ties_and_never_beside_a_nan() {
        let scores = [
            0.1,
            0.9,
            0.0,
            2.0,
            2.0,
            1.0,
            5.0,
            NAN,
            0.0,
            -3.0,
            -2.0,
            f32::NEG_INFINITY,
        ];
        assert_eq!(predictions(&scores, 3), [Some(1), Some(0), None, Some(1)]);
        assert_eq!(accuracy(&scores, 3, &[1, 0, 0, 2]), 0.5);
        assert!(accuracy(&[], 3, &[]).is_nan());
    }

    #[test]
    fn the_label_among_the_first_k() {
        let scores = [0.5, 0.9, 0.5, 3.0, NAN, 1.0];
        let top = |k, labels: &[usize]| top_k_accuracy(&scores, 3, labels, k);
        assert_eq!(top(1, &[1, 0]), accuracy(&scores, 3, &[1, 0]));
        // Of the two classes at 0.5 the lower one is second, the other third.
        assert_eq!(top(2, &[0, 0]), 0.5);
        assert_eq!(top(2, &[2, 0]), 0.0);
        assert_eq!(top(3, &[2, 0]), 0.5);
        assert_eq!(top(0, &[1, 0]), 0.0);
        assert!(top_k_accuracy(&[], 3, &[], 1).is_nan());
    }

    #[test]
    fn cosines_are_averaged_apart() {
        // Own: 0.9 and 0.7. Others: 0.1, -0.3, 0.5, 0.1.
        let cosines = [0.9, 0.1, -0.3, 0.5, 0.1, 0.7];
        let mean = mean_cosines(&cosines, 3, &[0, 2]);
        assert_abs_diff_eq!(mean.own, 0.8, epsilon = 1e-7);
        assert_abs_diff_eq!(mean.others, 0.1, epsilon = 1e-7);
    }

    #[test]
    #[should_panic(expected = "one label per row")]
    fn labels_must_match_the_rows() {
        accuracy(&[0.0; 6], 3, &[0, 1, 2]);
    }

    #[test]
    #[should_panic(expected = "label 3 of 3 classes")]
    fn labels_must_be_classes() {
        mean_cosines(&[0.0; 3], 3, &[3]);
    }
}
