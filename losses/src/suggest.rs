//! Scale and margin of a loss for a task, with the reasoning.

use crate::advice::{Note, largest_margin, room};
use crate::criterion::expected_initial_loss;
use crate::error::Result;
use crate::spec::Spec;

/// Settings of a loss for so many classes and dimensions.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// The settings.
    pub spec: Spec,
    /// Why the margins are what they are.
    pub margins: Vec<String>,
    /// Why the scales are what they are, and what will not work all the same.
    pub notes: Vec<Note>,
    /// The loss to expect at the start of training; `None` for tasks whose class weights would take
    /// more than some hundred megabytes to find out.
    pub initial_loss: Option<f64>,
}

/// A margin takes at most this part of the room there is, so that the embeddings of a class may
/// spread around its weight.
const PART: f64 = 0.5;
/// The largest class weights that the initial loss is computed with, in elements.
const LARGEST: usize = 1 << 26;

/// Chooses the parameters of the loss called `name`: its margins from the room that the classes
/// have ([`widest_angle`](crate::widest_angle)), then its scale by the rule that `auto` follows.
///
/// ```
/// let suggestion = losses::suggest("arcface", 10, 2)?;
/// assert_eq!(suggestion.spec.to_string(), "arcface:m=0.31,s=9");
/// # Ok::<(), losses::Error>(())
/// ```
///
/// # Errors
/// [`Error::UnknownLoss`](crate::Error::UnknownLoss), or
/// [`Error::TooFewClasses`](crate::Error::TooFewClasses).
pub fn suggest(name: &str, classes: usize, dim: usize) -> Result<Suggestion> {
    let mut spec = Spec::automatic(name)?;
    let (info, values) = (spec.terms()[0].info(), spec.terms()[0].values());
    let mut margins = Vec::new();
    for p in info.parameters {
        let (Some(by), Some(default)) = (p.separation, values.given(p.key)) else {
            continue;
        };
        let largest = largest_margin(by(&values), classes.max(2), dim);
        let room = room(classes.max(2), dim);
        if default <= PART * largest {
            margins.push(format!(
                "{} = {default}, the default: {room}, so margins up to {largest:.3} could be met",
                p.key
            ));
            continue;
        }
        let chosen = (100.0 * PART * largest).floor() / 100.0;
        margins.push(format!(
            "{} = {chosen} instead of {default}: {room}, so no margin above {largest:.3} could be \
             met, and half of it lets the embeddings of a class spread",
            p.key
        ));
        spec = spec.with(p.key, chosen);
    }
    let (spec, notes) = spec.resolve(classes, dim)?;
    let is_small = classes.checked_mul(dim).is_some_and(|n| n <= LARGEST);
    let initial_loss = is_small.then(|| expected_initial_loss(&spec, classes, dim));
    Ok(Suggestion {
        spec,
        margins,
        notes,
        initial_loss: initial_loss.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::LOSSES;

    #[test]
    fn margins_keep_within_the_room_there_is() {
        let plane = suggest("cosface", 10, 2).unwrap();
        assert!(
            plane.spec.to_string().starts_with("cosface:m=0.09"),
            "{}",
            plane.spec
        );
        assert!(
            plane.margins[0].contains("36.0 degrees"),
            "{:?}",
            plane.margins
        );
        assert!(plane.notes.len() == 1, "{:?}", plane.notes);
        let space = suggest("cosface", 10, 64).unwrap();
        assert_eq!(space.spec.terms()[0].values().number("m"), 0.35);
        assert!(space.margins[0].contains("1.111"), "{:?}", space.margins);
    }

    #[test]
    fn what_has_no_room_is_warned_of() {
        let spec: Spec = "arcface:s=16,m=0.7".parse().unwrap();
        let warnings = |dim| {
            let (_, notes) = spec.resolve(10, dim).unwrap();
            notes.iter().map(Note::to_string).collect::<String>()
        };
        assert!(
            warnings(2).contains("m = 0.7 cannot be met"),
            "{}",
            warnings(2)
        );
        assert!(!warnings(64).contains("cannot be met"));
    }

    #[test]
    fn every_loss_has_a_suggestion_that_can_be_read_back() {
        for info in LOSSES {
            for (classes, dim) in [(2, 2), (10, 2), (100, 64), (5000, 16)] {
                let found = suggest(info.name, classes, dim).unwrap();
                let again: Spec = found.spec.to_string().parse().unwrap();
                assert_eq!(again, found.spec, "{}", info.name);
                let initial = found.initial_loss.unwrap();
                assert!(initial.is_finite(), "{}: {initial}", info.name);
            }
        }
        assert!(suggest("softmax", 1, 2).is_err());
        assert!(
            suggest("cosface", 1 << 20, 512)
                .unwrap()
                .initial_loss
                .is_none()
        );
    }
}
