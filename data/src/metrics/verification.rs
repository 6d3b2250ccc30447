//! Same or different: pairs of images judged by one number.
//!
//! A pair is accepted, that is called the same, if its score is at least the threshold. Scores
//! are similarities: larger is more alike. Distances must be negated first.
//!
//! | term | meaning here |
//! |---|---|
//! | TAR, TPR, recall | the share of the same pairs that are accepted |
//! | FAR, FPR, FMR | the share of the different pairs that are accepted |
//! | FRR, FNMR | 1 - TAR |
//!
//! ```
//! use data::metrics::verification::Roc;
//! # fn main() -> data::Result<()> {
//! let roc = Roc::new(&[0.9, 0.8, 0.7, 0.3, 0.2], &[true, true, false, true, false])?;
//! assert_eq!(roc.auc(), 5.0 / 6.0);
//! let at = roc.tar_at_far(0.5);
//! assert_eq!((at.tar, at.far, at.threshold, at.negatives), (1.0, 0.5, 0.3, 2));
//! # Ok(())
//! # }
//! ```

mod folds;

pub use folds::{Folds, Thresholds, cross_validated};

use crate::error::{Error, Result};

/// The receiver operating characteristic: what is accepted at every threshold that matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    points: Vec<Point>,
    positives: usize,
    negatives: usize,
}

/// One threshold and what it accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// A pair is accepted if its score is at least this; infinite at the first point.
    pub threshold: f32,
    /// Same pairs accepted.
    pub same: usize,
    /// Different pairs accepted.
    pub different: usize,
}

/// The true-accept rate that a false-accept rate allows; see [`Roc::tar_at_far`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TarAtFar {
    /// The FAR asked for.
    pub wanted: f64,
    /// The FAR at the threshold, at most the one asked for.
    pub far: f64,
    /// The TAR at the threshold.
    pub tar: f64,
    /// Pairs with at least this score are accepted; infinite if none may be.
    pub threshold: f32,
    /// Different pairs in all: FAR comes in steps of one over this.
    pub negatives: usize,
}

impl TarAtFar {
    /// Whether there are enough different pairs to see the FAR asked for: with fewer than one
    /// over it, no error was allowed at all.
    pub fn resolved(&self) -> bool {
        allowed(self.wanted, self.negatives) >= 1
    }
}

impl Roc {
    /// The curve of pairs with these scores, of which `same[i]` tells whether they are.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a score is not finite or one of the kinds of pairs is missing.
    ///
    /// # Panics
    /// If scores and answers differ in number.
    pub fn new(scores: &[f32], same: &[bool]) -> Result<Self> {
        check(scores, same)?;
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut last = Point {
            threshold: f32::INFINITY,
            same: 0,
            different: 0,
        };
        let mut points = vec![last];
        // Equal scores are accepted together: no threshold tells them apart.
        for group in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let positives = group.iter().filter(|&&i| same[i]).count();
            last = Point {
                threshold: scores[group[0]],
                same: last.same + positives,
                different: last.different + group.len() - positives,
            };
            points.push(last);
        }
        Ok(Roc {
            points,
            positives: last.same,
            negatives: last.different,
        })
    }

    /// The points by falling threshold, from "nothing is accepted" to "everything is". Between
    /// two of them the set of accepted pairs does not change.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The same pairs in all.
    pub fn positives(&self) -> usize {
        self.positives
    }

    /// The different pairs in all.
    pub fn negatives(&self) -> usize {
        self.negatives
    }

    /// The true-accept rate at a point.
    pub fn tar(&self, point: &Point) -> f64 {
        point.same as f64 / self.positives as f64
    }

    /// The false-accept rate at a point.
    pub fn far(&self, point: &Point) -> f64 {
        point.different as f64 / self.negatives as f64
    }

    /// The area under the curve: the probability that a same pair scores higher than a different
    /// one, equal scores counting one half.
    pub fn auc(&self) -> f64 {
        let twice = self.points.windows(2).map(|step| {
            let width = step[1].different - step[0].different;
            width as u128 * (step[0].same + step[1].same) as u128
        });
        let pairs = self.positives as f64 * self.negatives as f64;
        twice.sum::<u128>() as f64 / (2.0 * pairs)
    }

    /// The equal error rate: where the curve, its points joined by straight lines, has FAR = FRR.
    pub fn equal_error_rate(&self) -> f64 {
        let gap = |p: &Point| self.far(p) - (1.0 - self.tar(p));
        // The first point has gap -1, the last 1.
        let i = self.points.partition_point(|p| gap(p) < 0.0);
        let (before, after) = (&self.points[i - 1], &self.points[i]);
        let part = -gap(before) / (gap(after) - gap(before));
        self.far(before) + part * (self.far(after) - self.far(before))
    }

    /// From which score on pairs are called the same at the equal error rate: at the first
    /// threshold that accepts as large a share of the different pairs as it refuses of the same
    /// ones. Down to the next score nothing changes, so it is the middle between the two.
    pub fn equal_error_threshold(&self) -> f32 {
        // Shares of whole numbers, compared without rounding.
        let accepts_less = |p: &Point| {
            let accepted = p.different as u128 * self.positives as u128;
            accepted < (self.positives - p.same) as u128 * self.negatives as u128
        };
        let balanced = self.points.partition_point(accepts_less);
        let here = self.points[balanced].threshold;
        let next = self.points.get(balanced + 1);
        next.map_or(here, |next| (here + next.threshold) / 2.0)
    }

    /// The largest TAR whose FAR is at most `far`. Nothing is interpolated or rounded to the
    /// nearest point, so the figure holds for a threshold that exists; other codes report up to
    /// what the next point would give.
    pub fn tar_at_far(&self, far: f64) -> TarAtFar {
        let allowed = allowed(far, self.negatives);
        let end = self.points.partition_point(|p| p.different <= allowed);
        let point = &self.points[end.max(1) - 1];
        TarAtFar {
            wanted: far,
            far: self.far(point),
            tar: self.tar(point),
            threshold: point.threshold,
            negatives: self.negatives,
        }
    }
}

/// The different pairs that a FAR lets pass. 0.29 of 100 is 29, although the product in floating
/// point falls short of it.
fn allowed(far: f64, negatives: usize) -> usize {
    (far * negatives as f64 * (1.0 + 1e-12)) as usize
}

fn check(scores: &[f32], same: &[bool]) -> Result<()> {
    assert_eq!(scores.len(), same.len(), "one answer per score");
    if let Some(i) = scores.iter().position(|s| !s.is_finite()) {
        return Err(Error::invalid(
            format!("score of pair {i}"),
            "a finite number",
            scores[i],
            "look for the embedding that is not finite",
        ));
    }
    for (kind, wanted) in [("same", true), ("different", false)] {
        if !same.contains(&wanted) {
            return Err(Error::invalid(
                format!("pairs that are {kind}"),
                "at least one",
                "none",
                "verification needs pairs of both kinds",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use engine::rng::Key;

    fn random(n: usize) -> (Vec<f32>, Vec<bool>) {
        let mut rng = Key::new(8).rng();
        let pair = |_| {
            let same = rng.chance(0.4);
            // Rounded, so that many are equal.
            let score = (4.0 * (rng.normal() + f64::from(u8::from(same)))).round();
            (score as f32, same)
        };
        (0..n).map(pair).unzip()
    }

    #[test]
    fn the_area_is_the_probability_to_be_ranked_right() {
        let (scores, same) = random(400);
        let roc = Roc::new(&scores, &same).unwrap();
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (i, _) in same.iter().enumerate().filter(|(_, s)| **s) {
            for (j, _) in same.iter().enumerate().filter(|(_, s)| !**s) {
                pairs += 1.0;
                sum += match scores[i].partial_cmp(&scores[j]).unwrap() {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        assert_abs_diff_eq!(roc.auc(), sum / pairs, epsilon = 1e-12);
    }

    #[test]
    fn every_point_accepts_what_its_threshold_says() {
        let (scores, same) = random(300);
        let roc = Roc::new(&scores, &same).unwrap();
        for point in roc.points() {
            let accepted = |wanted: bool| {
                let pairs = scores.iter().zip(&same);
                pairs
                    .filter(|(s, w)| **w == wanted && **s >= point.threshold)
                    .count()
            };
            assert_eq!(
                (point.same, point.different),
                (accepted(true), accepted(false))
            );
        }
        let last = roc.points().last().unwrap();
        assert_eq!((roc.tar(last), roc.far(last)), (1.0, 1.0));
    }

    #[test]
    fn tar_at_far_never_exceeds_the_far() {
        // 10 different pairs at 1..=10, same pairs at 5.5 and 9.5.
        let scores: Vec<f32> = (1..=10).map(|s| s as f32).chain([5.5, 9.5]).collect();
        let same: Vec<bool> = (0..12).map(|i| i >= 10).collect();
        let roc = Roc::new(&scores, &same).unwrap();
        let at = |far| {
            let found = roc.tar_at_far(far);
            (found.tar, found.far, found.threshold)
        };
        assert_eq!(at(0.0), (0.0, 0.0, f32::INFINITY));
        assert_eq!(at(0.1), (0.5, 0.1, 9.5));
        assert_eq!(at(0.49), (0.5, 0.4, 7.0));
        assert_eq!(at(0.5), (1.0, 0.5, 5.5));
        assert_eq!(at(1.0), (1.0, 1.0, 1.0));
        assert!(roc.tar_at_far(0.1).resolved() && !roc.tar_at_far(0.09).resolved());
        assert_eq!(allowed(1e-3, 3000), 3);
        // In floating point 28.999999999999996.
        assert_eq!(allowed(0.29, 100), 29);
    }

    #[test]
    fn the_equal_error_rate_lies_between_the_points() {
        let eer =
            |scores: &[f32], same: &[bool]| Roc::new(scores, same).unwrap().equal_error_rate();
        assert_eq!(eer(&[2.0, 1.0], &[true, false]), 0.0);
        assert_eq!(eer(&[1.0, 2.0], &[true, false]), 1.0);
        assert_eq!(eer(&[1.0, 1.0], &[true, false]), 0.5);
        // FRR 1/2 and FAR 0 after the first, FRR 1/2 and FAR 1 after the second: the line between
        // them meets FAR = FRR at 1/2.
        assert_eq!(eer(&[3.0, 2.0, 1.0], &[true, false, true]), 0.5);
        // From (FAR 0, FRR 2/3) straight to (1/2, 0): 2/3 - 4/3 f = f at f = 2/7.
        let scores = [3.0, 2.0, 2.0, 2.0, 1.0];
        let found = eer(&scores, &[true, true, true, false, false]);
        assert_abs_diff_eq!(found, 2.0 / 7.0, epsilon = 1e-15);
    }

    #[test]
    fn the_threshold_lies_where_both_errors_are_equal() {
        let scores = [0.9, 0.8, 0.6, 0.5, 0.3, 0.1];
        let same = [true, true, false, true, false, false];
        let roc = Roc::new(&scores, &same).unwrap();
        // Below 0.6 one of three different is accepted, above 0.5 one of three same refused.
        assert_abs_diff_eq!(roc.equal_error_threshold(), 0.55, epsilon = 1e-6);
        assert_abs_diff_eq!(roc.equal_error_rate(), 1.0 / 3.0, epsilon = 1e-9);
        let last = Roc::new(&[1.0, 2.0], &[true, false]).unwrap();
        assert_eq!(last.equal_error_threshold(), 1.5);
    }

    #[test]
    fn pairs_of_one_kind_and_nans_are_refused() {
        let message =
            |scores: &[f32], same: &[bool]| Roc::new(scores, same).unwrap_err().to_string();
        assert!(message(&[1.0, 2.0], &[true, true]).contains("pairs that are different"));
        assert!(message(&[1.0, 2.0], &[false, false]).contains("pairs that are same"));
        assert!(message(&[1.0, f32::NAN], &[true, false]).contains("score of pair 1"));
    }
}
