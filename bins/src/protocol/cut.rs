//! From a data set to the parts of a training.

use super::{Exam, Protocol};
use crate::config::{Config, ConfigError};
use crate::source::{Items, Marks, Source, View};
use anyhow::{Result, bail};
use data::{Examples, hold_out};
use engine::rng::Key;

/// What a training needs.
pub struct Parts {
    /// What gradients see; labels are places in `classes`.
    pub train: View,
    /// The classes of the training.
    pub classes: Vec<String>,
    /// What choices are made by; `None` if nothing is held out.
    pub validation: Option<Exam>,
    /// What is reported.
    pub test: Exam,
    /// A hash of the training examples.
    pub fingerprint: String,
    /// What a user should know of how it was cut.
    pub notes: Vec<String>,
}

/// How data is cut does not move with the seed of the run, or seeds could not be compared.
const SEED: u64 = 0;

impl Protocol {
    /// Cuts a data set as the configuration says.
    ///
    /// A data set without a test part gets one: as much as the validation part has, held out by
    /// the same rule.
    ///
    /// # Errors
    /// If there is not enough to hold out, or nothing to test on.
    pub fn cut(self, source: Source, config: &Config) -> Result<Parts> {
        let Source {
            mut train,
            validation,
            test,
            mixed,
            mut notes,
            ..
        } = source;
        let count = config.data.validation;
        let test = match test {
            Some(test) => test,
            None if count == 0 => bail!(ConfigError(
                "the data set has no test part, and `data.validation = 0` holds nothing out to \
                 make one of; set it to what validation and test shall have each"
                    .into()
            )),
            None => {
                notes.push(format!(
                    "the data set has no test part: {count} {} are held out for it, as many again \
                     for validation",
                    self.unit()
                ));
                let (rest, held) = self.hold_out(&train, count, "test")?;
                train = rest;
                held
            }
        };
        let validation = match (validation, count) {
            (Some(official), _) => Some(official),
            (None, 0) => None,
            (None, count) => {
                let (rest, held) = self.hold_out(&train, count, "validation")?;
                train = rest;
                Some(held)
            }
        };
        let train = limited(train, config.data.limit, mixed);
        let classes = train.classes;
        let exam = |items: Items| self.exam(items, &classes);
        let (validation, test) = (validation.map(exam).transpose()?, exam(test)?);
        Ok(Parts {
            fingerprint: (train.fingerprint)(train.view.rows()),
            train: train.view,
            validation,
            test,
            notes,
            classes,
        })
    }

    /// What `data.validation` counts.
    pub fn unit(self) -> &'static str {
        match self.is_open() {
            true => "classes",
            false => "images",
        }
    }

    fn hold_out(self, items: &Items, count: usize, purpose: &str) -> Result<(Items, Items)> {
        match self.is_open() {
            false => {
                let name = format!("the training set for the {purpose}");
                let labels = items.view.labels();
                // Another stream for the test, which may be cut from the same labels.
                let seed = SEED + u64::from(purpose == "test");
                let [rest, held] = hold_out(&name, labels, count, seed)
                    .map_err(|e| ConfigError(format!("`data.validation`: {e}")))?;
                Ok((items.select(&rest), items.select(&held)))
            }
            true => hold_out_classes(items, count, purpose),
        }
    }
}

/// Cuts by classes: `count` of those with two images or more, drawn at random, are held out. The
/// labels of both parts are numbered anew.
fn hold_out_classes(items: &Items, count: usize, purpose: &str) -> Result<(Items, Items)> {
    let labels = items.view.labels();
    let mut sizes = vec![0usize; items.classes.len()];
    labels.iter().for_each(|&label| sizes[label] += 1);
    let mut candidates: Vec<usize> = (0..sizes.len()).filter(|&c| sizes[c] >= 2).collect();
    let most = candidates.len().saturating_sub(2);
    if count > most {
        bail!(ConfigError(format!(
            "`data.validation` is {count}, but of {} classes at most {most} can be held out for the \
             {purpose}: they need two images each, and two classes must be left to train on",
            sizes.len()
        )));
    }
    Key::new(SEED)
        .named("hold out classes")
        .named(purpose)
        .rng()
        .shuffle(&mut candidates);
    let mut held = vec![false; sizes.len()];
    candidates[..count].iter().for_each(|&c| held[c] = true);
    let part = |wanted: bool| {
        let rows: Vec<usize> = (0..labels.len())
            .filter(|&i| held[labels[i]] == wanted)
            .collect();
        items.select(&rows).compact()
    };
    Ok((part(false), part(true)))
}

/// The first `limit` examples, if that is not 0; where the order is by class, examples evenly
/// spread over it.
fn limited(items: Items, limit: usize, mixed: bool) -> Items {
    let all = items.view.len();
    match limit {
        0 => items,
        limit => {
            let count = limit.min(all);
            let row = |i| if mixed { i } else { i * all / count };
            items.select(&(0..count).map(row).collect::<Vec<_>>())
        }
    }
}

impl Items {
    /// Some of the examples. What was marked is left behind: it belongs to the whole.
    fn select(&self, rows: &[usize]) -> Items {
        Items {
            view: self.view.select(rows),
            classes: self.classes.clone(),
            marks: Marks::default(),
            fingerprint: self.fingerprint.clone(),
        }
    }

    /// Classes that occur, numbered in the same order without gaps.
    fn compact(self) -> Items {
        let mut occurs = vec![false; self.classes.len()];
        self.view.labels().iter().for_each(|&l| occurs[l] = true);
        let kept: Vec<usize> = (0..occurs.len()).filter(|&c| occurs[c]).collect();
        let number = |label: &usize| kept.partition_point(|&c| c < *label);
        let labels = self.view.labels().iter().map(number).collect();
        Items {
            classes: kept.iter().map(|&c| self.classes[c].clone()).collect(),
            view: self.view.relabelled(labels),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{ImageSet, Images, Normalise};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    /// Ten classes of four images each and one of a single image.
    fn items() -> Items {
        let labels: Vec<usize> = (0..41).map(|i| i / 4).collect();
        let classes: Vec<String> = (0..11).map(|c| format!("class {c}")).collect();
        let set = ImageSet::new("set", [1, 1, 1], vec![0; 41], labels, classes.clone()).unwrap();
        let images = Images::new(set, Normalise::unit(1)).unwrap();
        Items {
            view: View::new(Arc::new(images), (0..41).collect()),
            classes,
            marks: Marks::default(),
            fingerprint: Arc::new(|_| String::new()),
        }
    }

    #[test]
    fn held_out_classes_are_in_no_other_part_and_labels_have_no_gaps() {
        let (rest, held) = hold_out_classes(&items(), 3, "validation").unwrap();
        assert_eq!((rest.classes.len(), held.classes.len()), (8, 3));
        assert_eq!((rest.view.len(), held.view.len()), (29, 12));
        let names = |items: &Items| items.classes.iter().cloned().collect::<BTreeSet<_>>();
        assert!(names(&rest).is_disjoint(&names(&held)));
        for part in [&rest, &held] {
            for (i, &row) in part.view.rows().iter().enumerate() {
                let label = part.view.labels()[i];
                assert_eq!(part.classes[label], format!("class {}", row / 4));
                assert_eq!(part.view.cameras()[i] as usize, row);
            }
        }
        // A single image cannot be found again.
        assert!(!held.classes.contains(&"class 10".to_string()));
        let (_, test) = hold_out_classes(&items(), 3, "test").unwrap();
        assert_ne!(names(&held), names(&test));
    }

    #[test]
    fn too_many_classes_are_a_mistake_of_the_configuration() {
        let error = hold_out_classes(&items(), 9, "validation").err().unwrap();
        assert!(error.is::<ConfigError>());
        assert!(error.to_string().contains("at most 8"), "{error}");
    }

    #[test]
    fn a_limit_takes_the_first_of_a_mixed_order_and_spreads_over_one_by_class() {
        let rows = |mixed| limited(items(), 4, mixed).view.rows().to_vec();
        assert_eq!(rows(true), [0, 1, 2, 3]);
        assert_eq!(rows(false), [0, 10, 20, 30]);
    }
}
