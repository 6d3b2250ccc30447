//! The parts of a classification data set: what to train on, what to choose by, what to report.
//!
//! Choosing the best epoch on the test set is the field's most common sin. Here the official
//! training part is cut once, and the test part stays apart until the final figure.

use crate::audio::Recordings;
use crate::error::{Error, Result};
use crate::examples::Pictures;
use crate::files::FileSet;
use crate::set::ImageSet;
use engine::rng::Key;

/// A data set as its authors published it.
#[derive(Clone, Debug)]
pub struct Official {
    /// The official training part.
    pub train: ImageSet,
    /// The official test part.
    pub test: ImageSet,
}

/// A data set as training uses it, made by [`Official::hold_out`].
#[derive(Clone, Debug)]
pub struct Parts {
    /// What gradients may see.
    pub train: ImageSet,
    /// What choices (best epoch, settings) are made by: a part of the official training set.
    pub validation: ImageSet,
    /// What the final figure is measured on, once.
    pub test: ImageSet,
}

impl Official {
    /// Holds `validation` images of the training part back, by the rule of
    /// [`ImageSet::hold_out`]; with 0, everything is trained on and nothing can be chosen.
    ///
    /// # Errors
    /// As [`ImageSet::hold_out`].
    pub fn hold_out(&self, validation: usize, seed: u64) -> Result<Parts> {
        let (train, validation) = self.train.hold_out(validation, seed)?;
        Ok(Parts {
            train,
            validation,
            test: self.test.clone(),
        })
    }
}

impl ImageSet {
    /// Cuts the set in two, `(rest, held out)`: exactly `count` images are held out, drawn at
    /// random within each class, the classes in proportion to their sizes (largest remainder).
    /// Every class that occurs keeps an image in the rest. A function of the labels, `count` and
    /// `seed`; both parts keep the order of the set.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `count` leaves less than one image per class.
    pub fn hold_out(&self, count: usize, seed: u64) -> Result<(ImageSet, ImageSet)> {
        let [rest, held] = hold_out(self.name(), self.labels(), count, seed)?;
        Ok((self.subset(&rest), self.subset(&held)))
    }
}

impl FileSet {
    /// Cuts the set in two, `(rest, held out)`, by the rule of [`ImageSet::hold_out`].
    ///
    /// # Errors
    /// As [`ImageSet::hold_out`].
    pub fn hold_out(&self, count: usize, seed: u64) -> Result<(FileSet, FileSet)> {
        let [rest, held] = hold_out(self.name(), self.labels(), count, seed)?;
        Ok((self.subset(&rest), self.subset(&held)))
    }
}

impl Recordings {
    /// Cuts the set in two, `(rest, held out)`, by the rule of [`ImageSet::hold_out`].
    ///
    /// # Errors
    /// As [`ImageSet::hold_out`].
    pub fn hold_out(&self, count: usize, seed: u64) -> Result<(Recordings, Recordings)> {
        let [rest, held] = hold_out(self.name(), self.labels(), count, seed)?;
        Ok((self.subset(&rest), self.subset(&held)))
    }
}

/// The indices of the rest and of `count` examples with these labels that are held out, by the rule
/// of [`ImageSet::hold_out`]; `name` is what an error calls the set.
///
/// # Errors
/// As [`ImageSet::hold_out`].
pub fn hold_out(name: &str, labels: &[usize], count: usize, seed: u64) -> Result<[Vec<usize>; 2]> {
    let mut members = vec![Vec::new(); labels.iter().max().map_or(0, |&most| most + 1)];
    for (i, &label) in labels.iter().enumerate() {
        members[label].push(i);
    }
    let counts: Vec<usize> = members.iter().map(Vec::len).collect();
    let spare: usize = counts.iter().map(|n| n.saturating_sub(1)).sum();
    if count > spare {
        return Err(Error::invalid(
            format!("number to hold out of {name}"),
            format!(
                "at most {spare} of {}, so that every class keeps one",
                labels.len()
            ),
            count,
            "hold out fewer",
        ));
    }
    let mut held = vec![false; labels.len()];
    let key = Key::new(seed).named("hold out");
    for (class, quota) in proportional(&counts, count).into_iter().enumerate() {
        key.at(class as u64).rng().shuffle(&mut members[class]);
        members[class][..quota].iter().for_each(|&i| held[i] = true);
    }
    Ok([false, true].map(|wanted| (0..labels.len()).filter(|&i| held[i] == wanted).collect()))
}

/// Shares `total` among classes in proportion to `counts`, at most `count - 1` for each.
/// The remainders are handed out one by one, the largest first, ties to the lower class.
fn proportional(counts: &[usize], total: usize) -> Vec<usize> {
    let all = counts.iter().sum::<usize>().max(1) as u128;
    let share = |n: usize| n as u128 * total as u128;
    let cap = |n: usize| n.saturating_sub(1);
    let mut quotas: Vec<usize> = counts
        .iter()
        .map(|&n| ((share(n) / all) as usize).min(cap(n)))
        .collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(share(counts[class]) % all));
    let mut left = total - quotas.iter().sum::<usize>();
    while left > 0 {
        for &class in &by_remainder {
            if left > 0 && quotas[class] < cap(counts[class]) {
                quotas[class] += 1;
                left -= 1;
            }
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::tests::counting;
    use proptest::prelude::*;

    #[test]
    fn the_parts_are_disjoint_complete_stratified_and_follow_the_seed() {
        let set = counting(1000, [1, 1, 1], 10);
        let (rest, held) = set.hold_out(203, 5).unwrap();
        let origins = |s: &ImageSet| (0..s.len()).map(|i| s.origin(i)).collect::<Vec<_>>();
        let mut all = [origins(&rest), origins(&held)].concat();
        assert!(origins(&held).is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert_eq!(
            held.class_counts(),
            [21, 21, 21, 20, 20, 20, 20, 20, 20, 20]
        );

        assert_eq!(origins(&held), origins(&set.hold_out(203, 5).unwrap().1));
        assert_ne!(origins(&held), origins(&set.hold_out(203, 6).unwrap().1));
        // Images of class c are 10 i + c: each class draws its own, and not its first.
        let drawn = |c| {
            origins(&held)
                .into_iter()
                .filter(move |o| o % 10 == c)
                .map(|o| o / 10)
        };
        assert!(!drawn(3).eq(drawn(4)));
        assert!(!drawn(3).eq(0..20));
    }

    #[test]
    fn holding_out_nothing_or_too_much() {
        let set = counting(20, [1, 1, 1], 10);
        let (rest, held) = set.hold_out(0, 1).unwrap();
        assert_eq!((rest.len(), held.len()), (20, 0));
        assert!(set.hold_out(10, 1).is_ok());
        let message = set.hold_out(11, 1).unwrap_err().to_string();
        assert!(
            message.contains("at most 10 of 20") && message.contains("found 11"),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn shares_add_up_and_leave_one(counts in prop::collection::vec(0usize..50, 1..20), part in 0.0..1.0) {
            let spare: usize = counts.iter().map(|n| n.saturating_sub(1)).sum();
            let total = (spare as f64 * part) as usize;
            let quotas = proportional(&counts, total);
            prop_assert_eq!(quotas.iter().sum::<usize>(), total);
            prop_assert!(quotas.iter().zip(&counts).all(|(&q, &n)| q == 0 || q < n));
        }
    }
}
