//! Whether a network is as sure as it is right.

use super::classification::{argmax, labelled_rows};

/// Rows whose confidence lies in one range.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many.
    pub count: usize,
    /// The mean confidence, 0 to 1; NaN without rows.
    pub confidence: f64,
    /// The share of rows that are right, 0 to 1; NaN without rows.
    pub accuracy: f64,
}

/// Confidence against accuracy, in bins of equal width: C. Guo et al., "On Calibration of Modern
/// Neural Networks", ICML 2017.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Bin `i` holds the confidences in `(i / bins, (i + 1) / bins]`.
    pub bins: Vec<Bin>,
}

impl Calibration {
    /// Sorts rows of logits, `[labels.len(), classes]`, into `bins` bins (15 is usual). The
    /// confidence is the largest softmax probability; cosines must be multiplied by the scale of
    /// the loss first. A row that holds a NaN makes the errors NaN: a network that diverged must
    /// not look calibrated.
    ///
    /// # Panics
    /// If the sizes do not fit, a label is not below the number of classes or `bins` is zero.
    pub fn new(logits: &[f32], classes: usize, labels: &[usize], bins: usize) -> Self {
        assert!(bins > 0, "no bins");
        let mut sums = vec![(0usize, 0.0, 0usize); bins];
        for (row, label) in labelled_rows(logits, classes, labels) {
            let (best, confidence) = match argmax(row) {
                Some(best) => (Some(best), largest_probability(row, row[best])),
                None => (None, f64::NAN),
            };
            // Closed on the right, as Guo et al. define it; a NaN lands in bin 0.
            let bin = (confidence * bins as f64).ceil() as usize;
            let (count, sum, right) = &mut sums[bin.clamp(1, bins) - 1];
            *count += 1;
            *sum += confidence;
            *right += usize::from(best == Some(label));
        }
        let bins = sums.into_iter().map(|(count, sum, right)| Bin {
            count,
            confidence: sum / count as f64,
            accuracy: right as f64 / count as f64,
        });
        Calibration {
            bins: bins.collect(),
        }
    }

    /// The expected calibration error: the mean of |accuracy - confidence| over the bins, weighted
    /// by their rows. NaN without rows.
    pub fn expected_error(&self) -> f64 {
        let rows: usize = self.bins.iter().map(|bin| bin.count).sum();
        let gaps = self.gaps().map(|(bin, gap)| bin.count as f64 * gap);
        gaps.sum::<f64>() / rows as f64
    }

    /// The maximum calibration error: the largest |accuracy - confidence| of a bin; NaN if one
    /// is.
    pub fn largest_error(&self) -> f64 {
        let larger = |most: f64, (_, gap): (&Bin, f64)| match gap.is_nan() {
            true => gap,
            false if gap > most => gap,
            false => most,
        };
        self.gaps().fold(0.0, larger)
    }

    fn gaps(&self) -> impl Iterator<Item = (&Bin, f64)> {
        let filled = self.bins.iter().filter(|bin| bin.count > 0);
        filled.map(|bin| (bin, (bin.accuracy - bin.confidence).abs()))
    }
}

fn largest_probability(logits: &[f32], largest: f32) -> f64 {
    let terms = logits.iter().map(|&x| f64::from(x - largest).exp());
    1.0 / terms.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// Two classes with the first one `p` likely.
    fn logits(p: f64) -> [f32; 2] {
        [(p / (1.0 - p)).ln() as f32, 0.0]
    }

    #[test]
    fn confidence_is_held_against_accuracy_bin_by_bin() {
        // Four rows at 0.75 of which two are right, one at 0.95 that is right.
        let scores = [logits(0.75); 4].concat();
        let scores = [scores, logits(0.95).to_vec()].concat();
        let calibration = Calibration::new(&scores, 2, &[0, 0, 1, 1, 0], 10);
        assert_eq!(calibration.bins[7].count, 4);
        assert_abs_diff_eq!(calibration.bins[7].accuracy, 0.5);
        assert_abs_diff_eq!(
            calibration.expected_error(),
            (4.0 * 0.25 + 0.05) / 5.0,
            epsilon = 1e-7
        );
        assert_abs_diff_eq!(calibration.largest_error(), 0.25, epsilon = 1e-7);
    }

    #[test]
    fn an_edge_belongs_to_the_bin_below() {
        // Equal logits: exactly 1/2.
        let calibration = Calibration::new(&[0.0, 0.0], 2, &[0], 2);
        assert_eq!(calibration.bins[0].count, 1);
    }

    #[test]
    fn a_nan_shows() {
        let calibration = Calibration::new(&[f32::NAN, 0.0, 5.0, 0.0], 2, &[0, 0], 15);
        assert!(calibration.expected_error().is_nan());
        assert!(calibration.largest_error().is_nan());
        assert!(Calibration::new(&[], 2, &[], 15).expected_error().is_nan());
    }
}
