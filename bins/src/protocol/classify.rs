//! Which class is it? The classes are those of the training; the class weights decide.

use super::{Embedded, Exam, Question};
use crate::figures::Figures;
use crate::source::{DataError, Items};
use anyhow::{Result, bail};
use data::Examples;
use data::metrics::{Calibration, accuracy, mean_cosines, top_k_accuracy};

/// See [`Protocol::summary`](super::Protocol::summary).
pub const SUMMARY: &[&str] = &["accuracy", "cosine_own", "cosine_others"];

/// The usual number of bins of the calibration error.
const BINS: usize = 15;

/// Images whose classes are among `known`, under the labels they have there. Known classes whose
/// names are the numbers from 0 stand for as many others in their order.
///
/// # Errors
/// If one is of another class.
pub fn exam(items: Items, known: &[String]) -> Result<Exam> {
    // Imported weights often know their classes by number only.
    let numbered =
        |classes: &[String]| classes.iter().enumerate().all(|(i, c)| *c == i.to_string());
    let by_number = known.len() == items.classes.len() && numbered(known);
    let place = |(i, class): (usize, &String)| match by_number {
        true => Some(i),
        false => known.iter().position(|k| k == class),
    };
    let places: Vec<Option<usize>> = items.classes.iter().enumerate().map(place).collect();
    let labels = items.view.labels().iter();
    let Some(labels) = labels.map(|&l| places[l]).collect::<Option<Vec<usize>>>() else {
        let stranger = items.view.labels().iter().find(|&&l| places[l].is_none());
        bail!(DataError(format!(
            "class `{}` is tested but was not trained on; test other classes with `--protocol \
             retrieve` or `verify`, or add images of it for training",
            stranger.map_or("", |&l| items.classes[l].as_str())
        )));
    };
    Ok(Exam {
        view: items.view.relabelled(labels),
        classes: known.to_vec(),
        question: Question::Classify,
    })
}

/// Accuracy and what belongs to it.
pub fn judge(found: &Embedded) -> Figures {
    let labels = &found.labels;
    let figures = Figures::of(labels.len());
    let Some(known) = &found.known else {
        return figures;
    };
    let classes = known.logits.len() / labels.len().max(1);
    let mut figures = figures
        .with("loss", known.loss)
        .with("accuracy", accuracy(&known.logits, classes, labels));
    if !known.cosines.is_empty() {
        let mean = mean_cosines(&known.cosines, classes.max(1), labels);
        figures.push("cosine_own", mean.own);
        figures.push("cosine_others", mean.others);
    }
    if classes > 5 {
        figures.push("top_5", top_k_accuracy(&known.logits, classes, labels, 5));
    }
    let scaled: Vec<f32> = known.logits.iter().map(|l| l * known.scale).collect();
    let calibration = Calibration::new(&scaled, classes, labels, BINS);
    figures.with("calibration_error", calibration.expected_error())
}
