//! The k-fold accuracy of LFW and its kin.

use super::check;
use crate::error::{Error, Result};

/// The thresholds that a fold may choose from.
#[derive(Clone, Copy, Debug)]
pub enum Thresholds<'a> {
    /// Half-way between any two neighbouring scores of the other folds, and beyond both ends: no
    /// threshold does better on them.
    All,
    /// These, in this order. facenet and insightface take squared distances 0 to 4 in steps of
    /// 0.01, which are cosines `1 - d / 2`, and accept pairs strictly nearer than the threshold.
    Grid(&'a [f64]),
}

/// Accuracies of the folds.
#[derive(Clone, Debug, PartialEq)]
pub struct Folds {
    /// The share of right answers in each fold, by the threshold that the others chose.
    pub accuracies: Vec<f64>,
    /// The threshold of each fold: a pair whose score is above it is called the same.
    pub thresholds: Vec<f64>,
}

impl Folds {
    /// The mean accuracy.
    pub fn mean(&self) -> f64 {
        self.accuracies.iter().sum::<f64>() / self.accuracies.len() as f64
    }

    /// The standard error of the mean, as LFW asks for: the sample deviation (with n - 1) over
    /// the square root of the number of folds.
    pub fn standard_error(&self) -> f64 {
        let n = self.accuracies.len() as f64;
        self.deviation() / (n - 1.0).sqrt()
    }

    /// The population deviation of the folds (with n), which insightface prints behind the mean:
    /// with ten folds 3 times the standard error.
    pub fn deviation(&self) -> f64 {
        let (n, mean) = (self.accuracies.len() as f64, self.mean());
        let squares = self.accuracies.iter().map(|a| (a - mean).powi(2));
        (squares.sum::<f64>() / n).sqrt()
    }
}

/// The accuracy in each fold by the threshold that is best on all the others (of several, the
/// highest, or the first of a grid): G. Huang et al., "Labeled Faces in the Wild", 2007, view 2.
///
/// `folds[i]` is the fold of pair `i`, from 0. It belongs to the pair: leaving out a pair whose
/// image cannot be read does not move the others.
///
/// # Errors
/// [`Error::Invalid`] if a score is not finite, pairs of one kind are missing, there are fewer than two
/// folds, a fold below the highest has no pair, or a grid is empty.
///
/// # Panics
/// If scores, answers and folds differ in number.
pub fn cross_validated(
    scores: &[f32],
    same: &[bool],
    folds: &[usize],
    thresholds: Thresholds<'_>,
) -> Result<Folds> {
    check(scores, same)?;
    assert_eq!(scores.len(), folds.len(), "one fold per pair");
    // More folds than pairs cannot all be filled; knowing that bounds what is allocated.
    let highest = folds.iter().max().copied().unwrap_or(0).min(scores.len());
    let mut sizes = vec![0usize; highest + 1];
    folds.iter().for_each(|&fold| sizes[fold.min(highest)] += 1);
    let problem = match sizes.iter().position(|&n| n == 0) {
        Some(empty) => Some(format!("no pair in fold {empty} of {}", sizes.len())),
        None => (highest == 0).then(|| "one fold".to_string()),
    };
    if let Some(problem) = problem {
        return Err(Error::invalid(
            "folds of the pairs",
            "two or more, numbered from 0, none of them empty",
            problem,
            "number the folds 0, 1, 2 and so on; LFW has ten",
        ));
    }
    if matches!(thresholds, Thresholds::Grid([])) {
        return Err(Error::invalid(
            "grid of thresholds",
            "at least one",
            "none",
            "use Thresholds::All",
        ));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let chosen = (0..sizes.len()).map(|fold| {
        let others = order.iter().filter(|&&i| folds[i] != fold);
        let others: Vec<(f64, bool)> = others.map(|&i| (f64::from(scores[i]), same[i])).collect();
        let threshold = match thresholds {
            Thresholds::All => best_of_all(&others),
            Thresholds::Grid(grid) => best_of(&others, grid),
        };
        let right = |i: &usize| (f64::from(scores[*i]) > threshold) == same[*i];
        let pairs = order.iter().filter(|&&i| folds[i] == fold);
        let right = pairs.filter(|&i| right(i)).count();
        (right as f64 / sizes[fold] as f64, threshold)
    });
    let (accuracies, thresholds) = chosen.unzip();
    Ok(Folds {
        accuracies,
        thresholds,
    })
}

/// The highest of the best thresholds for pairs by falling score.
fn best_of_all(pairs: &[(f64, bool)]) -> f64 {
    // More pairs right than with a threshold above all of them.
    let (mut gain, mut most, mut best) = (0i64, 0, f64::INFINITY);
    for (i, &(score, same)) in pairs.iter().enumerate() {
        gain += if same { 1 } else { -1 };
        let next = pairs.get(i + 1).map_or(f64::NEG_INFINITY, |p| p.0);
        if next < score && gain > most {
            most = gain;
            // Below the lowest score there is minus infinity, which stays it.
            best = 0.5 * (score + next);
        }
    }
    best
}

fn best_of(pairs: &[(f64, bool)], grid: &[f64]) -> f64 {
    let right = |&t: &f64| pairs.iter().filter(|p| (p.0 > t) == p.1).count();
    let counts: Vec<usize> = grid.iter().map(right).collect();
    let better = |best: usize, i: usize| if counts[i] > counts[best] { i } else { best };
    grid[(0..grid.len()).fold(0, better)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use engine::rng::Key;

    #[test]
    fn the_other_folds_choose_the_threshold() {
        // Fold 0 is told apart between 2 and 3, fold 1 between 6 and 7.
        let scores = [3.0, 2.0, 7.0, 6.0];
        let same = [true, false, true, false];
        let found = cross_validated(&scores, &same, &[0, 0, 1, 1], Thresholds::All).unwrap();
        assert_eq!(found.thresholds, [6.5, 2.5]);
        assert_eq!(found.accuracies, [0.5, 0.5]);
        assert_eq!((found.mean(), found.standard_error()), (0.5, 0.0));
    }

    #[test]
    fn the_standard_error_is_that_of_the_mean() {
        let folds = Folds {
            accuracies: vec![0.9, 0.8, 1.0, 0.9],
            thresholds: vec![0.0; 4],
        };
        // Sample variance 0.02 / 3, over 4 folds.
        assert_abs_diff_eq!(
            folds.standard_error(),
            (0.02f64 / 3.0 / 4.0).sqrt(),
            epsilon = 1e-15
        );
        assert_abs_diff_eq!(folds.deviation(), (0.02f64 / 4.0).sqrt(), epsilon = 1e-15);
    }

    #[test]
    fn no_grid_beats_all_thresholds_and_the_first_of_equals_wins() {
        let mut rng = Key::new(2).rng();
        let mut pairs: Vec<(f64, bool)> = (0..200)
            .map(|_| {
                let same = rng.chance(0.5);
                (
                    (3.0 * (rng.normal() + f64::from(u8::from(same)))).round(),
                    same,
                )
            })
            .collect();
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let right = |t: f64| pairs.iter().filter(|p| (p.0 > t) == p.1).count();
        let best = best_of_all(&pairs);
        let grid: Vec<f64> = (-200..200).map(|i| f64::from(i) / 10.0).collect();
        assert!(grid.iter().all(|&t| right(t) <= right(best)));
        assert_eq!(right(best_of(&pairs, &grid)), right(best));
        let falling: Vec<f64> = grid.iter().rev().copied().collect();
        assert!(best_of(&pairs, &falling) >= best_of(&pairs, &grid));
        // Nothing is better than to accept nothing, or everything.
        assert_eq!(best_of_all(&[(1.0, false), (0.0, true)]), f64::INFINITY);
        assert_eq!(best_of_all(&[(1.0, true), (0.0, true)]), f64::NEG_INFINITY);
    }

    #[test]
    fn folds_must_be_there() {
        let check = |folds: &[usize], thresholds| {
            let found = cross_validated(&[1.0, 2.0, 3.0], &[true, false, true], folds, thresholds);
            found.map(|_| ()).map_err(|e| e.to_string())
        };
        assert!(check(&[0, 1, 1], Thresholds::All).is_ok());
        assert!(
            check(&[0, 0, 0], Thresholds::All)
                .unwrap_err()
                .contains("found one fold")
        );
        assert!(
            check(&[0, 2, 2], Thresholds::All)
                .unwrap_err()
                .contains("no pair in fold 1")
        );
        assert!(check(&[0, 1, usize::MAX], Thresholds::All).is_err());
        assert!(check(&[0, 1, 1], Thresholds::Grid(&[])).is_err());
    }
}
