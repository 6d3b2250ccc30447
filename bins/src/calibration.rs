//! From which cosine two embeddings are of one class: thresholds measured on pairs of what a
//! training has held out. A checkpoint carries them, so that whoever uses it need not guess.

use crate::protocol::{Embedded, Protocol};
use data::metrics::scores::{Pairwise, Scores};
use data::metrics::verification::Roc;
use data::metrics::{Embeddings, Similarity};
use engine::rng::Key;
use serde::{Deserialize, Serialize};
use std::fmt;

/// False-accept rates that thresholds are stored for.
const FARS: [f64; 4] = [1e-1, 1e-2, 1e-3, 1e-4];
/// Examples whose pairs are counted: half a million pairs resolve the smallest rate.
const EXAMPLES: usize = 1_000;

/// Thresholds on the cosine, and what they were measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What the pairs are of: `held-out examples of unseen classes`.
    pub source: String,
    /// Pictures or recordings that they are of.
    pub examples: usize,
    /// Pairs of one class.
    pub same: usize,
    /// Pairs of different classes.
    pub different: usize,
    /// Where both errors are equally frequent.
    pub equal: EqualError,
    /// By falling false-accept rate, as far as there are pairs enough to see one error.
    pub at: Vec<AtFar>,
}

/// The threshold at which as many same pairs are refused as different ones accepted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EqualError {
    /// The share of either, 0 to 1.
    pub rate: f64,
    /// Pairs of at least this cosine are called the same.
    pub threshold: f32,
}

/// The threshold that a false-accept rate allows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtFar {
    /// The share of different pairs that may be accepted, 0 to 1.
    pub far: f64,
    /// The share of same pairs that are.
    pub tar: f64,
    /// Pairs of at least this cosine are called the same.
    pub threshold: f32,
}

impl Calibration {
    /// Measures all pairs of a part that the training has held out; of more than a thousand
    /// examples, those of a thousand. `None` if it has no pairs of both kinds, or its embeddings
    /// are not finite. A function of the embeddings.
    pub fn of_validation(found: &Embedded, protocol: Protocol) -> Option<Self> {
        let source = match protocol.is_open() {
            true => "held-out examples of unseen classes",
            false => "held-out examples of the classes of the training",
        };
        let rows = Embeddings::new(&found.embeddings, found.dim).ok()?;
        let mut chosen: Vec<usize> = (0..rows.len()).collect();
        if chosen.len() > EXAMPLES {
            chosen = Key::new(0)
                .named("calibration")
                .rng()
                .permutation(rows.len());
            chosen.truncate(EXAMPLES);
            chosen.sort_unstable();
        }
        let cosines = Pairwise::among(rows, Similarity::Cosine).block(&chosen, &chosen);
        let n = chosen.len();
        let pairs = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        let pair = |(a, b): (usize, usize)| {
            let same = found.labels[chosen[a]] == found.labels[chosen[b]];
            (cosines.data()[a * n + b], same)
        };
        let (cosines, same): (Vec<f32>, Vec<bool>) = pairs.map(pair).unzip();
        let roc = Roc::new(&cosines, &same).ok()?;
        Some(Self::of_roc(&roc, source.into(), n))
    }

    /// The thresholds of a curve.
    pub fn of_roc(roc: &Roc, source: String, examples: usize) -> Self {
        let at = FARS.map(|far| (far, roc.tar_at_far(far)));
        let seen = at
            .iter()
            .filter(|(_, at)| at.resolved() && at.threshold.is_finite());
        Calibration {
            source,
            examples,
            same: roc.positives(),
            different: roc.negatives(),
            equal: EqualError {
                rate: roc.equal_error_rate(),
                threshold: roc.equal_error_threshold(),
            },
            at: seen
                .map(|&(far, at)| AtFar {
                    far,
                    tar: at.tar,
                    threshold: at.threshold,
                })
                .collect(),
        }
    }

    /// The threshold for a false-accept rate, if there is one for it.
    pub fn at(&self, far: f64) -> Option<&AtFar> {
        let same = |at: &&AtFar| (at.far - far).abs() <= 1e-9 * far;
        self.at.iter().find(same)
    }

    /// What false-accept rate a threshold stands for, in words: `FAR between 0.01 and 0.001`.
    pub fn far_of(&self, threshold: f32) -> String {
        // By falling rate the thresholds rise.
        let passed = self.at.partition_point(|at| at.threshold <= threshold);
        let rate = |place: usize| self.at.get(place).map(|at| at.far);
        match (passed.checked_sub(1).and_then(rate), rate(passed)) {
            (None, None) => "FAR unknown".into(),
            (None, Some(least)) => format!("FAR above {least}"),
            (Some(most), None) => format!("FAR at most {most}"),
            (Some(most), Some(least)) => format!("FAR between {most} and {least}"),
        }
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calibration {
            source,
            examples,
            same,
            different,
            ..
        } = self;
        write!(
            f,
            "{same} same and {different} different pairs of {examples} {source}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: usize, classes: usize) -> Embedded {
        let mut rng = Key::new(4).rng();
        let centres: Vec<f64> = (0..classes * 8).map(|_| rng.normal()).collect();
        let labels: Vec<usize> = (0..count).map(|i| i % classes).collect();
        let row = |&label: &usize| -> Vec<f32> {
            let centre = &centres[label * 8..label * 8 + 8];
            let noisy = centre.iter().map(|c| (c + 0.8 * rng.normal()) as f32);
            noisy.collect()
        };
        Embedded {
            embeddings: labels.iter().flat_map(row).collect(),
            dim: 8,
            labels,
            known: None,
        }
    }

    /// Every threshold does to the pairs what it says, by the definition.
    #[test]
    fn thresholds_accept_the_share_they_stand_for() {
        let found = found(200, 10);
        let calibration = Calibration::of_validation(&found, Protocol::Verify).unwrap();
        let (mut same, mut different) = (Vec::new(), Vec::new());
        for a in 0..200 {
            for b in a + 1..200 {
                let row = |i: usize| &found.embeddings[8 * i..8 * i + 8];
                let cosine = crate::protocol::verify::cosine(row(a), row(b));
                let of_class = found.labels[a] == found.labels[b];
                if of_class { &mut same } else { &mut different }.push(cosine);
            }
        }
        let counts = (calibration.same, calibration.different);
        assert_eq!(counts, (same.len(), different.len()));
        let share = |of: &[f32], least: f32| {
            let accepted = of.iter().filter(|&&c| c >= least - 1e-6).count();
            accepted as f64 / of.len() as f64
        };
        // 18,000 different pairs: one in ten thousand is seen.
        let fars: Vec<f64> = calibration.at.iter().map(|at| at.far).collect();
        assert_eq!(fars, FARS);
        for at in &calibration.at {
            let far = share(&different, at.threshold);
            assert!(
                far <= at.far + 1e-9 && far > 0.9 * at.far - 1e-4,
                "{at:?} {far}"
            );
            assert!((share(&same, at.threshold) - at.tar).abs() < 1e-3);
        }
        let EqualError { rate, threshold } = calibration.equal;
        assert!(rate > 0.01, "too easy");
        assert!((share(&different, threshold) - rate).abs() < 2e-3);
        assert!((1.0 - share(&same, threshold) - rate).abs() < 2e-3);
        let text = serde_json::to_string(&calibration).unwrap();
        assert_eq!(
            serde_json::from_str::<Calibration>(&text).unwrap(),
            calibration
        );
    }

    #[test]
    fn only_rates_that_can_be_seen_are_stored() {
        // 9 same and 27 different pairs: one error in 27 is less than 0.1, more than 0.01.
        let few = Calibration::of_validation(&found(9, 3), Protocol::Classify).unwrap();
        assert_eq!((few.same, few.different), (9, 27));
        assert_eq!(few.at.len(), 1);
        assert!(few.at(0.1).is_some() && few.at(0.01).is_none());
        assert!(few.to_string().contains("9 same and 27 different pairs"));
        let threshold = few.at[0].threshold;
        assert_eq!(few.far_of(threshold), "FAR at most 0.1");
        assert_eq!(few.far_of(threshold - 0.01), "FAR above 0.1");
        // One class, no same pairs, and a network that has diverged.
        assert!(Calibration::of_validation(&found(5, 1), Protocol::Verify).is_none());
        assert!(Calibration::of_validation(&found(5, 5), Protocol::Verify).is_none());
        let mut broken = found(9, 3);
        broken.embeddings[7] = f32::NAN;
        assert!(Calibration::of_validation(&broken, Protocol::Verify).is_none());
    }

    #[test]
    fn of_many_examples_some_are_chosen() {
        let many = Calibration::of_validation(&found(1_500, 30), Protocol::Verify).unwrap();
        assert_eq!(many.examples, EXAMPLES);
        assert_eq!(many.same + many.different, EXAMPLES * (EXAMPLES - 1) / 2);
        let [a, b] = [many.at[1].threshold, many.at[2].threshold];
        let between = many.far_of((a + b) / 2.0);
        assert_eq!(between, "FAR between 0.01 and 0.001");
    }
}
