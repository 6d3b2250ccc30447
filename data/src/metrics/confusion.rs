//! Which classes are taken for which.

use super::classification::{argmax, labelled_rows};

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

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    const NAN: f32 = f32::NAN;

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
}
