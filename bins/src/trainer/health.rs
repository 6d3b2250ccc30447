//! How a training is doing, beyond its loss: what each term of the loss does, how the embeddings
//! lie, and what is wrong with that.
//!
//! The figures are those of the last images of an epoch, as they were embedded for their step, so
//! that they cost no forward pass. They need the sums of the epoch and a few small products: far
//! below one step.

use super::{EpochRow, Trainer};
use crate::evaluation::class_weights;
use anyhow::Result;
use data::metrics::Embeddings;
use data::metrics::spread::{Spread, effective_rank};
use engine::Tensor;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Images that are looked at, rounded up to whole batches.
const IMAGES: usize = 1024;

/// Images whose effective rank is measured: its cost grows with the cube of it.
const RANKED: usize = 256;

/// The end of an epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// The embeddings `[N, D]` of the last batches with their labels.
    pub batches: Vec<(Tensor<f32>, Vec<usize>)>,
    /// The features `[N, D]` of the last of them before the neck, if there is one.
    pub before_neck: Option<Tensor<f32>>,
}

impl Sample {
    /// Keeps a batch if it is among the last of the epoch, of which `left` are left with this one.
    pub fn add(
        &mut self,
        embeddings: Tensor<f32>,
        before_neck: Option<Tensor<f32>>,
        labels: &[usize],
        left: usize,
    ) {
        if left <= IMAGES.div_ceil(labels.len().max(1)) {
            self.batches.push((embeddings, labels.to_vec()));
            self.before_neck = before_neck;
        }
    }
}

/// What one term of the loss did in an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The name of the loss, or of its part.
    pub name: String,
    /// Its weight in the sum.
    pub weight: f64,
    /// Its mean value, without the weight.
    pub value: f64,
    /// The norm of its gradient with respect to the embeddings of the last batch, weight included;
    /// of a loss of samples, with respect to the features before the neck if there is one.
    pub gradient: f64,
    /// The same with respect to the class weights and what else the loss has learned.
    pub head_gradient: f64,
}

/// How an epoch left the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The images that were looked at.
    pub images: usize,
    /// The terms of the loss.
    pub terms: Vec<Term>,
    /// The mean norm of the gradient over the steps, before it was clipped.
    pub gradient_norm: f64,
    /// The mean cosine of two images of one class; `None` if no class has two.
    pub cosine_same: Option<f64>,
    /// The mean cosine of images of different classes.
    pub cosine_different: Option<f64>,
    /// The mean angle to the own class weight in degrees; `None` without class weights.
    pub theta_own: Option<f64>,
    /// The effective rank of the embeddings of the last images, at most 256.
    pub effective_rank: Option<f64>,
}

impl Health {
    /// The figures by the names of their columns. Two terms of one name are numbered.
    pub(super) fn figures(&self) -> Vec<(String, Option<f64>)> {
        let mut figures = Vec::new();
        for (i, term) in self.terms.iter().enumerate() {
            let earlier = self.terms[..i].iter().filter(|t| t.name == term.name);
            let name = match earlier.count() {
                0 => format!("term_{}", term.name),
                n => format!("term_{}_{}", term.name, n + 1),
            };
            figures.push((name.clone(), Some(term.value)));
            figures.push((format!("{name}_weight"), Some(term.weight)));
            figures.push((format!("{name}_gradient"), Some(term.gradient)));
        }
        let others = [
            ("gradient_norm", Some(self.gradient_norm)),
            ("train_cosine_same", self.cosine_same),
            ("train_cosine_different", self.cosine_different),
            ("theta_own", self.theta_own),
            ("effective_rank", self.effective_rank),
        ];
        figures.extend(others.map(|(name, value)| (name.to_string(), value)));
        figures
    }

    /// For the end of the line of an epoch: the terms of a sum, the angle, the rank.
    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        if self.terms.len() > 1 {
            let term = |t: &Term| {
                format!(
                    "{}*{} {:.3} (gradient {:.1e})",
                    t.weight, t.name, t.value, t.gradient
                )
            };
            let terms: Vec<String> = self.terms.iter().map(term).collect();
            line += &format!("; {}", terms.join(", "));
        }
        if let Some(theta) = self.theta_own {
            line += &format!("; {theta:.0}° to own class");
        }
        if let Some(rank) = self.effective_rank {
            line += &format!(", rank {rank:.1}");
        }
        line
    }
}

/// Something that is wrong, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `collapse`, `divergence`, `saturated`, `dead`, `stuck` or `opposite`.
    pub kind: String,
    /// The term of the loss that it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub term: Option<String>,
    /// What was found.
    pub what: String,
    /// What to try.
    pub cure: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  try: {}", self.kind, self.what, self.cure)
    }
}

/// What findings need to know of a training beside its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Situation {
    /// Classes of the training; 0 if the loss does not tell them apart.
    pub classes: usize,
    /// Epochs in all.
    pub epochs: u64,
    /// For terms that stay at a known value when all embeddings are alike: name, value, and what
    /// that value is called.
    pub idle: Vec<(String, f64, &'static str)>,
}

impl Trainer {
    /// The figures of the epoch that is about to end; `None` if nothing of it was seen.
    pub(super) fn health(&self) -> Result<Option<Health>> {
        let Some((last, labels_of_last)) = self.sample.batches.last() else {
            return Ok(None);
        };
        let sums = &self.place.sums;
        let before = self.sample.before_neck.as_ref();
        let pulls = (self.criterion).pulls(&self.params, before, last, labels_of_last)?;
        let terms = pulls.iter().zip(&sums.terms).map(|(pull, sum)| Term {
            name: pull.term.name.to_string(),
            weight: pull.term.weight,
            value: sum / sums.images as f64,
            gradient: pull.embeddings,
            head_gradient: pull.head,
        });
        let dim = self.net.embedding_dim;
        let batches = self.sample.batches.iter();
        let values: Vec<f32> = batches
            .clone()
            .flat_map(|(e, _)| e.data())
            .copied()
            .collect();
        let labels: Vec<usize> = batches.flat_map(|(_, l)| l).copied().collect();
        // A loss can be finite where embeddings are not; then there is nothing to measure.
        let Ok(rows) = Embeddings::new(&values, dim) else {
            return Ok(None);
        };
        let spread = Spread::new(rows, &labels);
        let finite = |x: f64| Some(x).filter(|x| x.is_finite());
        let theta = class_weights(&self.params);
        let theta = theta.map(|weights| mean_angle(rows, &weights, &labels));
        Ok(Some(Health {
            images: labels.len(),
            terms: terms.collect(),
            gradient_norm: sums.gradient / sums.steps.max(1) as f64,
            cosine_same: finite(spread.intra.mean),
            cosine_different: finite(spread.inter.mean),
            theta_own: theta.and_then(finite),
            effective_rank: finite(rank_of_last(&values, dim)?),
        }))
    }

    pub(super) fn situation(&self) -> Situation {
        let idle = self.criterion.spec().terms().iter().filter_map(|term| {
            let info = term.info();
            info.parameter("margin").ok()?;
            let is_soft = info.parameter("soft").is_ok() && term.values().flag("soft");
            let (value, called) = match is_soft {
                true => (std::f64::consts::LN_2, "ln 2"),
                false => (term.values().number("margin"), "its margin"),
            };
            Some((info.name.to_string(), value, called))
        });
        Situation {
            classes: match self.classifies {
                true => self.loaders.classes.len(),
                false => 0,
            },
            epochs: self.epochs(),
            idle: idle.collect(),
        }
    }
}

/// The mean angle between embeddings and the weights `[C, D]` of their classes, in degrees.
fn mean_angle(rows: Embeddings<'_>, weights: &Tensor<f32>, labels: &[usize]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y));
        products.sum()
    };
    let angle = |(i, &label): (usize, &usize)| {
        let (x, dim) = (rows.row(i), rows.dim());
        let w = &weights.data()[label * dim..(label + 1) * dim];
        let lengths = (dot(x, x) * dot(w, w)).sqrt();
        (dot(x, w) / lengths.max(f64::MIN_POSITIVE))
            .clamp(-1.0, 1.0)
            .acos()
    };
    let sum: f64 = labels.iter().enumerate().map(angle).sum();
    (sum / labels.len() as f64).to_degrees()
}

/// The effective rank of the last rows. Singular values are those of the transposed rows as well,
/// which is less work where there are more dimensions than rows.
fn rank_of_last(values: &[f32], dim: usize) -> Result<f64> {
    let count = (values.len() / dim).min(RANKED);
    let last = &values[values.len() - count * dim..];
    if dim <= count {
        return Ok(effective_rank(Embeddings::new(last, dim)?));
    }
    let transposed: Vec<f32> = (0..dim * count)
        .map(|i| last[i % count * dim + i / count])
        .collect();
    Ok(effective_rank(Embeddings::new(&transposed, count)?))
}

/// What is wrong after the epoch of `row`. What was already found in one of the earlier `rows` is
/// not told again.
pub(super) fn findings(rows: &[EpochRow], row: &EpochRow, situation: &Situation) -> Vec<Finding> {
    let Some(health) = &row.health else {
        return Vec::new();
    };
    let mut found = Vec::new();
    found.extend(collapse(health, situation));
    found.extend(divergence(rows, row));
    found.extend(stuck(row, health, situation));
    found.extend(opposite(health));
    for (i, term) in health.terms.iter().enumerate() {
        found.extend(idle_term(rows, row, situation, i, term));
    }
    let is_new = |finding: &Finding| {
        let mut earlier = rows.iter().flat_map(|row| &row.findings);
        !earlier.any(|e| (&e.kind, &e.term) == (&finding.kind, &finding.term))
    };
    found.retain(is_new);
    found
}

fn finding(kind: &str, term: Option<&Term>, what: String, cure: &str) -> Finding {
    Finding {
        kind: kind.into(),
        term: term.map(|term| term.name.clone()),
        what,
        cure: cure.into(),
    }
}

/// All embeddings in one direction, whatever their class.
fn collapse(health: &Health, situation: &Situation) -> Option<Finding> {
    let (same, different) = (health.cosine_same?, health.cosine_different?);
    if different < 0.95 || same - different > 0.02 {
        return None;
    }
    let rank = health.effective_rank.unwrap_or(1.0);
    let mut what = format!(
        "the embeddings have collapsed: images of different classes have a mean cosine of \
         {different:.3}, those of one class {same:.3}, and the effective rank is {rank:.1}"
    );
    for term in &health.terms {
        let idle = situation.idle.iter().find(|(name, value, _)| {
            *name == term.name && (term.value - value).abs() <= 0.02 * value.max(0.05)
        });
        if let Some((_, value, called)) = idle {
            what += &format!("; `{}` stands at {called}, {value:.3}", term.name);
        }
    }
    let cure = match situation.idle.is_empty() {
        true => {
            "a smaller `lr`; `clip_norm = 5`; the loss without its margin first; a network with batch \
             normalisation"
        }
        false => {
            "a smaller `lr`; easier mining (`mining=semi-hard` or `all`); a classifier beside the \
             loss of pairs (`softmax + triplet`), or its weights to begin with (`--init`)"
        }
    };
    Some(finding("collapse", None, what, cure))
}

/// Settled where the class weights are furthest. ArcFace's margin on the angle is continued past
/// π − m by a smaller one on the cosine, so a training whose first steps overshoot may stay there: the
/// classes are told apart, but by small differences of cosines near −1.
fn opposite(health: &Health) -> Option<Finding> {
    let theta = health.theta_own.filter(|&theta| theta > 120.0)?;
    let what = format!(
        "the embeddings lie opposite to all class weights, {theta:.0}° from their own on average; \
         margins on the angle have less effect there, and training has settled"
    );
    let cure = "from the start: `margin_warmup = 0.5`, or a margin on the cosine \
                (`cosface`); a smaller `lr` or margin alone does not help";
    Some(finding("opposite", None, what, cure))
}

/// The loss has risen far above its best.
fn divergence(rows: &[EpochRow], row: &EpochRow) -> Option<Finding> {
    let best = rows
        .iter()
        .min_by(|a, b| a.train_loss.total_cmp(&b.train_loss))?;
    let worse = match (best.train_accuracy, row.train_accuracy) {
        // An annealed loss rises with its margin while the accuracy rises, too.
        (Some(best), Some(now)) => now < best - 0.05,
        _ => true,
    };
    if row.train_loss <= 2.0 * best.train_loss || !worse {
        return None;
    }
    let what = format!(
        "the loss has risen from {:.3} (epoch {}) to {:.3}",
        best.train_loss, best.epoch, row.train_loss
    );
    let cure = "a third of the `lr`; `clip_norm = 5`; a schedule with warm-up; a smaller margin or \
                scale";
    Some(finding("divergence", None, what, cure))
}

/// A classifier that stays at chance.
fn stuck(row: &EpochRow, health: &Health, situation: &Situation) -> Option<Finding> {
    let (theta, accuracy) = (health.theta_own?, row.train_accuracy?);
    let chance = 1.0 / situation.classes.max(1) as f64;
    if row.epoch < 2
        || row.step < 200
        || accuracy > (2.0 * chance).min(chance + 0.05)
        || theta < 80.0
    {
        return None;
    }
    let what = format!(
        "nothing is learned: after {} steps the accuracy is {:.1} %, chance {:.1} %, and embeddings \
         stand at {theta:.0}° to their own class weight",
        row.step,
        100.0 * accuracy,
        100.0 * chance
    );
    let cure = "the loss without its margin first (`normface`, or `softmax` and then `--init`); a \
                smaller margin or a larger scale (`hypersphere loss suggest`); another `lr`";
    Some(finding("stuck", None, what, cure))
}

/// A term that pulls at nothing, any more or at all.
fn idle_term(
    rows: &[EpochRow],
    row: &EpochRow,
    situation: &Situation,
    index: usize,
    term: &Term,
) -> Option<Finding> {
    let earlier = rows
        .iter()
        .filter_map(|row| row.health.as_ref()?.terms.get(index));
    let strongest = earlier
        .map(|t| t.gradient + t.head_gradient)
        .fold(0.0, f64::max);
    let pull = term.gradient + term.head_gradient;
    let others = row.health.iter().flat_map(|h| &h.terms);
    let others = others
        .map(|t| t.gradient + t.head_gradient)
        .fold(0.0, f64::max);
    let name = &term.name;
    if strongest > 0.0 {
        // It used to pull: it is satisfied.
        if pull > 1e-3 * strongest || term.value.abs() > 1e-2 || row.epoch == situation.epochs {
            return None;
        }
        let what = format!(
            "`{name}` is saturated: its value is {:.2e}, its gradient {:.4} % of what it was; the \
             training images satisfy its margin and it teaches nothing more",
            term.value,
            100.0 * pull / strongest
        );
        let cure = "a larger margin or harder mining; stronger augmentation; fewer epochs";
        return Some(finding("saturated", Some(term), what, cure));
    }
    if pull == 0.0 {
        let what = format!(
            "`{name}` (weight {}, value {:.3e}) has no gradient: it changes nothing",
            term.weight, term.value
        );
        let cure = "batches with several images of a class (`--pk 16x4`) for a loss of pairs; else \
                    leave the term out";
        return Some(finding("dead", Some(term), what, cure));
    }
    if pull >= 1e-5 * others {
        return None;
    }
    let what = format!(
        "`{name}` (weight {}) pulls with {pull:.1e}, the strongest term with {others:.1e}: it changes \
         next to nothing",
        term.weight
    );
    Some(finding(
        "dead",
        Some(term),
        what,
        "a larger weight, or leave the term out",
    ))
}

#[cfg(test)]
mod tests;
