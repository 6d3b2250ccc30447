//! Are these two the same? Pairs are called the same if their cosine is above a threshold.

use super::{Embedded, add_spread};
use crate::figures::Figures;
use crate::source::{DataError, Folding, Items, Pair};
use anyhow::{Result, bail};
use data::Examples;
use data::metrics::verification::{Roc, Thresholds, cross_validated};
use engine::par;
use engine::rng::{Key, Rng};

/// See [`Protocol::summary`](super::Protocol::summary).
pub const SUMMARY: &[&str] = &["accuracy", "auc", "eer", "tar_at_far_0.01"];

/// False-accept rates that are reported.
const FARS: [&str; 3] = ["0.1", "0.01", "0.001"];
/// Pairs of either kind that are drawn where nobody has laid them down, as many as in LFW.
const DRAWN: usize = 3_000;
/// Folds that they are dealt into.
const FOLDS: usize = 10;

/// The pairs.
#[derive(Clone, Debug)]
pub struct Question {
    /// Those of all folds.
    pub pairs: Vec<Pair>,
    /// What the folds are for.
    pub folding: Folding,
}

impl Question {
    /// The pairs that the authors of the data set laid down, or else pairs drawn from the labels.
    ///
    /// # Errors
    /// If the labels give no pairs of both kinds.
    pub fn of(items: &Items) -> Result<Self> {
        if !items.marks.pairs.is_empty() {
            return Ok(Question {
                pairs: items.marks.pairs.clone(),
                folding: items.marks.folding,
            });
        }
        Self::drawn(items.view.labels())
    }

    /// Pairs of examples with these labels: 3,000 of one class, or all where there are fewer, and
    /// as many of different classes, dealt into ten folds. A function of the labels.
    ///
    /// # Errors
    /// If there are no two examples of one class, or only one class.
    pub fn drawn(labels: &[usize]) -> Result<Self> {
        let mut members = vec![Vec::new(); labels.iter().max().map_or(0, |&most| most + 1)];
        for (i, &label) in labels.iter().enumerate() {
            members[label].push(i);
        }
        let key = Key::new(0).named("pairs");
        let same = relatives(&members, &mut key.named("same").rng());
        let occupied = members.iter().filter(|class| !class.is_empty()).count();
        if same.is_empty() || occupied < 2 {
            bail!(DataError(format!(
                "pairs of {} images: expected two classes or more and two images of one of them, \
                 found {occupied} classes",
                labels.len()
            )));
        }
        let mut rng = key.named("different").rng();
        let different = (0..same.len()).map(|_| strangers(labels, &mut rng));
        let different: Vec<[usize; 2]> = different.collect();
        let folds = FOLDS.min(same.len());
        let dealt = |pairs: Vec<[usize; 2]>, same| {
            let pairs = pairs.into_iter().enumerate();
            pairs.map(move |(i, places)| Pair {
                places,
                same,
                fold: i % folds,
            })
        };
        Ok(Question {
            pairs: dealt(same, true).chain(dealt(different, false)).collect(),
            folding: Folding::Crossed,
        })
    }

    /// Whether figures are about a pair: about all, but for those that only choose a threshold.
    pub fn tests(&self, pair: &Pair) -> bool {
        self.folding != Folding::Chosen || pair.fold > 0
    }
}

/// Pairs of one class, each class with the members given: all pairs in random order where they are
/// few, and otherwise so many drawn with replacement, all equally likely.
fn relatives(members: &[Vec<usize>], rng: &mut Rng) -> Vec<[usize; 2]> {
    let pairs = |class: &Vec<usize>| class.len() * class.len().saturating_sub(1) / 2;
    // How many pairs the classes up to this one have.
    let mut sum = 0;
    let ends: Vec<usize> = members
        .iter()
        .map(|class| {
            sum += pairs(class);
            sum
        })
        .collect();
    if sum > 10 * DRAWN {
        let draw = |_| {
            let number = rng.below(sum);
            let class = &members[ends.partition_point(|&end| end <= number)];
            let (a, b) = (rng.below(class.len()), rng.below(class.len() - 1));
            // Any but the first.
            let b = b + usize::from(b >= a);
            [class[a].min(class[b]), class[a].max(class[b])]
        };
        return (0..DRAWN).map(draw).collect();
    }
    let mut all = Vec::with_capacity(sum);
    for class in members {
        for (k, &a) in class.iter().enumerate() {
            all.extend(class[k + 1..].iter().map(|&b| [a, b]));
        }
    }
    rng.shuffle(&mut all);
    all.truncate(DRAWN);
    all
}

/// Two examples of different classes.
fn strangers(labels: &[usize], rng: &mut Rng) -> [usize; 2] {
    loop {
        let [a, b] = [rng.below(labels.len()), rng.below(labels.len())];
        if labels[a] != labels[b] {
            return [a.min(b), a.max(b)];
        }
    }
}

/// Accuracy by the rule of the folds; AUC, EER and TAR@FAR of the pairs that are tested.
///
/// # Errors
/// If an embedding is not finite, or pairs of one kind are missing.
pub fn judge(question: &Question, found: &Embedded) -> Result<Figures> {
    found.rows()?; // every number is finite
    let pairs = &question.pairs;
    let row = |i: usize| &found.embeddings[i * found.dim..(i + 1) * found.dim];
    let scores = par::map(pairs.len(), |i| {
        let [a, b] = pairs[i].places;
        cosine(row(a), row(b))
    });
    let mut figures = Figures::of(found.labels.len());
    add_accuracy(&mut figures, question, &scores)?;
    let tested = pairs.iter().zip(scores).filter(|(p, _)| question.tests(p));
    let (same, scores): (Vec<bool>, Vec<f32>) = tested.map(|(p, score)| (p.same, score)).unzip();
    let roc = Roc::new(&scores, &same)?;
    figures.push("auc", roc.auc());
    figures.push("eer", roc.equal_error_rate());
    for far in FARS {
        let wanted = far.parse().expect("a number");
        figures.push(format!("tar_at_far_{far}"), roc.tar_at_far(wanted).tar);
    }
    let mut figures = figures
        .with("pairs", same.len() as f64)
        .with("negatives", roc.negatives() as f64);
    if question.folding != Folding::Packed {
        add_spread(&mut figures, found)?;
    }
    Ok(figures)
}

/// What is right by thresholds that other pairs have chosen; nothing if there is one fold.
fn add_accuracy(figures: &mut Figures, question: &Question, scores: &[f32]) -> Result<()> {
    let pairs = &question.pairs;
    let same: Vec<bool> = pairs.iter().map(|pair| pair.same).collect();
    let folds: Vec<usize> = pairs.iter().map(|pair| pair.fold).collect();
    if folds.iter().all(|&fold| fold == 0) {
        return Ok(());
    }
    let found = cross_validated(scores, &same, &folds, Thresholds::All)?;
    // Of two folds, the second by the threshold of the first.
    if question.folding == Folding::Chosen {
        figures.push("accuracy", found.accuracies[1]);
        figures.push("threshold", found.thresholds[1]);
        return Ok(());
    }
    figures.push("accuracy", found.mean());
    figures.push("standard_error", found.standard_error());
    if question.folding == Folding::Packed {
        // Squared distances 0 to 4 in steps of 0.01, as cosines.
        let grid: Vec<f64> = (0..400).map(|i| 1.0 - 0.005 * f64::from(i)).collect();
        let found = cross_validated(scores, &same, &folds, Thresholds::Grid(&grid))?;
        figures.push("insightface_accuracy", found.mean());
        figures.push("insightface_deviation", found.deviation());
    }
    Ok(())
}

/// The cosine of the angle between two vectors; 0 if one is null.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y));
        products.sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    match lengths > 0.0 {
        true => (dot(a, b) / lengths) as f32,
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of these cosines, in these folds, with what is said of them.
    fn judged(folding: Folding, pairs: &[(f32, bool, usize)]) -> Figures {
        let row = |&(cosine, ..): &(f32, bool, usize)| [cosine, (1.0 - cosine * cosine).sqrt()];
        let found = Embedded {
            embeddings: [vec![1.0, 0.0], pairs.iter().flat_map(row).collect()].concat(),
            dim: 2,
            labels: (0..=pairs.len()).collect(),
            ..Embedded::default()
        };
        let pair = |(i, &(_, same, fold)): (usize, &(f32, bool, usize))| Pair {
            places: [0, i + 1],
            same,
            fold,
        };
        let pairs = pairs.iter().enumerate().map(pair).collect();
        judge(&Question { pairs, folding }, &found).unwrap()
    }

    #[test]
    fn of_view_1_one_list_chooses_and_the_other_is_tested() {
        let choosing = [
            (0.95, true, 0),
            (0.9, true, 0),
            (0.7, false, 0),
            (0.87, false, 0),
        ];
        let tested = [
            (0.92, true, 1),
            (0.75, true, 1),
            (0.1, false, 1),
            (0.6, false, 1),
        ];
        let found = judged(Folding::Chosen, &[choosing, tested].concat());
        assert_eq!(found.get("accuracy"), Some(0.75));
        assert!((found.get("threshold").unwrap() - 0.885).abs() < 1e-6);
        assert_eq!(
            (found.get("pairs"), found.get("negatives")),
            (Some(4.0), Some(2.0))
        );
        // 0.87 is above 0.75, but in the other list.
        assert_eq!(found.get("auc"), Some(1.0));
        let crossed = judged(Folding::Crossed, &[choosing, tested].concat());
        assert!(crossed.get("auc").unwrap() < 1.0);
        assert_eq!(crossed.get("pairs"), Some(8.0));
    }

    #[test]
    fn insightfaces_steps_are_coarser_than_any_threshold() {
        let fold = |fold| [(0.9996, true, fold), (0.9994, false, fold)];
        let near = [fold(0), fold(1)].concat();
        let found = judged(Folding::Packed, &near);
        assert_eq!(found.get("accuracy"), Some(1.0));
        assert_eq!(found.get("insightface_accuracy"), Some(0.5));
        assert_eq!(found.get("insightface_deviation"), Some(0.0));
        assert_eq!(
            judged(Folding::Crossed, &near).get("insightface_accuracy"),
            None
        );
    }

    #[test]
    fn drawn_pairs_are_of_both_kinds_in_all_folds_and_what_they_say() {
        let labels: Vec<usize> = (0..60).map(|i| i / 6).collect();
        let pairs = Question::drawn(&labels).unwrap().pairs;
        assert_eq!(pairs.len(), 2 * 10 * 15);
        for fold in 0..FOLDS {
            for same in [true, false] {
                let count = pairs.iter().filter(|p| p.fold == fold && p.same == same);
                assert_eq!(count.count(), 15);
            }
        }
        for Pair {
            places: [a, b],
            same,
            ..
        } in pairs
        {
            assert!(a < b);
            assert_eq!(labels[a] == labels[b], same);
        }
        // Far too many to write down: 499,500 in each of two classes.
        let labels: Vec<usize> = (0..2000).map(|i| i % 2).collect();
        let pairs = Question::drawn(&labels).unwrap().pairs;
        assert_eq!(pairs.len(), 2 * DRAWN);
        for Pair {
            places: [a, b],
            same,
            ..
        } in pairs
        {
            assert!(a < b);
            assert_eq!(labels[a] == labels[b], same);
        }
        assert!(Question::drawn(&[0, 0]).is_err());
        assert!(Question::drawn(&[0, 1]).is_err());
    }
}
