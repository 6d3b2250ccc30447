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

/// How often each class was taken for each other, over any number of batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[label, prediction]`, the last column being "nothing".
    counts: Vec<u64>,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Self {
        Confusion {
            classes,
            counts: vec![0; classes * (classes + 1)],
        }
    }

    /// Counts the rows of `scores`, `[labels.len(), classes]`.
    ///
    /// # Panics
    /// If the sizes do not fit or a label is not below the number of classes.
    pub fn add(&mut self, scores: &[f32], labels: &[usize]) {
        for (row, label) in labelled_rows(scores, self.classes, labels) {
            let predicted = argmax(row).unwrap_or(self.classes);
            self.counts[label * (self.classes + 1) + predicted] += 1;
        }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many images of class `label` were taken for class `predicted`.
    ///
    /// # Panics
    /// If either is not below the number of classes.
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        assert!(
            predicted < self.classes,
            "class {predicted} of {}",
            self.classes
        );
        self.row(label)[predicted]
    }

    /// How many images were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share of images that were taken for what they are; NaN if none were counted.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.count(c, c)).sum();
        right as f64 / self.total() as f64
    }

    /// The share of the images of `class` that were recognised; NaN if there were none.
    ///
    /// # Panics
    /// If `class` is not below the number of classes.
    pub fn recall(&self, class: usize) -> f64 {
        self.count(class, class) as f64 / self.row(class).iter().sum::<u64>() as f64
    }

    /// The share of the images taken for `class` that are of it; NaN if there were none.
    ///
    /// # Panics
    /// If `class` is not below the number of classes.
    pub fn precision(&self, class: usize) -> f64 {
        let taken: u64 = (0..self.classes)
            .map(|label| self.count(label, class))
            .sum();
        self.count(class, class) as f64 / taken as f64
    }

    /// The mistakes as `(label, predicted, count)`, the most frequent first.
    pub fn mistakes(&self) -> Vec<(usize, usize, u64)> {
        let pairs = (0..self.classes).flat_map(|l| (0..self.classes).map(move |p| (l, p)));
        let mut mistakes: Vec<_> = pairs
            .filter(|(label, predicted)| label != predicted)
            .map(|(label, predicted)| (label, predicted, self.count(label, predicted)))
            .filter(|&(_, _, count)| count > 0)
            .collect();
        mistakes.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
        mistakes
    }

    fn row(&self, label: usize) -> &[u64] {
        let width = self.classes + 1;
        &self.counts[label * width..(label + 1) * width]
    }
}

fn argmax(row: &[f32]) -> Option<usize> {
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

fn labelled_rows<'a>(
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
    fn confusion_adds_up_over_batches() {
        let mut confusion = Confusion::new(3);
        confusion.add(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], &[0, 0]);
        confusion.add(&[0.0, 1.0, 0.0, 0.0, 1.0, 0.0, NAN, 0.0, 0.0], &[2, 2, 1]);
        assert_eq!(confusion.total(), 5);
        assert_eq!(confusion.count(0, 1), 1);
        assert_eq!(confusion.mistakes(), [(2, 1, 2), (0, 1, 1)]);
        assert_abs_diff_eq!(confusion.accuracy(), 0.2);
        assert_abs_diff_eq!(confusion.recall(0), 0.5);
        assert_abs_diff_eq!(confusion.recall(1), 0.0);
        assert_abs_diff_eq!(confusion.precision(0), 1.0);
        assert_abs_diff_eq!(confusion.precision(1), 0.0);
        assert!(confusion.precision(2).is_nan());
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
