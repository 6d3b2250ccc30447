//! Protocols: how a data set is cut into what is trained on, chosen by and reported, and how a
//! network is judged on the last two.
//!
//! | protocol | question | classes of the test | the figure |
//! |---|---|---|---|
//! | [`classify`] | which class is it? | those of the training | accuracy |
//! | [`verify`] | are these two the same? | others | 10-fold accuracy |
//! | [`retrieve`] | where are others like it? | others | Recall@1 |
//! | [`reid`] | where did another camera see it? | others | mAP |
//! | [`cluster`] | do the classes fall apart by themselves? | others | NMI |
//!
//! Each is a file here: what is asked of some examples, a `Question` where labels do not say all, and
//! `judge`, which turns embeddings into figures. Everything else (embedding, training, run
//! directories) is the same for all.
//!
//! Choices are made by a validation part only: held-out images where the classes stay the same,
//! held-out *classes* where the test is about new ones. The test part selects nothing.

pub mod classify;
pub mod cluster;
mod cut;
pub mod reid;
pub mod retrieve;
pub mod verify;

pub use cut::Parts;

use crate::figures::Figures;
use crate::source::{Items, View};
use anyhow::Result;
use clap::ValueEnum;
use data::metrics::{Embeddings, spread::Spread};
use serde::{Deserialize, Serialize};

/// A way to cut and to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The class of an image, among those of the training.
    Classify,
    /// Same or different, for pairs of unseen classes.
    Verify,
    /// Others of the same, unseen class.
    Retrieve,
    /// The same identity under another camera.
    Reid,
    /// Unseen classes as clusters.
    Cluster,
}

/// Examples, and what is asked of them.
pub struct Exam {
    /// The examples.
    pub view: View,
    /// The names of their classes.
    pub classes: Vec<String>,
    /// What is asked.
    pub question: Question,
}

/// What is asked; places are those of the exam's examples.
#[derive(Clone, Debug)]
pub enum Question {
    /// Which class?
    Classify,
    /// Same or different?
    Verify(verify::Question),
    /// Where are others like it?
    Retrieve(retrieve::Question),
    /// Where did another camera see it?
    Reid(reid::Question),
    /// Which belong together?
    Cluster,
}

/// What a network made of the examples of an exam.
#[derive(Clone, Debug, Default)]
pub struct Embedded {
    /// `[N, D]`.
    pub embeddings: Vec<f32>,
    /// D.
    pub dim: usize,
    /// The class of each example.
    pub labels: Vec<usize>,
    /// What was computed with the class weights; only where the classes are those of the training.
    pub known: Option<KnownClasses>,
}

/// What the class weights of the training make of examples.
#[derive(Clone, Debug, Default)]
pub struct KnownClasses {
    /// The mean loss, margins included; NaN where it could not be computed.
    pub loss: f64,
    /// The margin-free logits `[N, C]`.
    pub logits: Vec<f32>,
    /// The cosines to the class weights, `[N, C]`; empty where classes have no weight each.
    pub cosines: Vec<f32>,
    /// The class weights, `[C, D]`; empty, too.
    pub weights: Vec<f32>,
    /// What cosines must be multiplied by to be as sure as the loss takes them to be.
    pub scale: f32,
}

/// How thoroughly to judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    /// Figures that take long as well: clusterings. Once at the end, not after each epoch.
    pub thorough: bool,
    /// Rank by k-reciprocal neighbours as well.
    pub rerank: bool,
}

impl Protocol {
    /// Whether the test is about classes that training has not seen.
    pub fn is_open(self) -> bool {
        self != Protocol::Classify
    }

    /// The figure that choices are made by, and the others for one line, the most telling first.
    pub fn summary(self) -> &'static [&'static str] {
        match self {
            Protocol::Classify => classify::SUMMARY,
            Protocol::Verify => verify::SUMMARY,
            Protocol::Retrieve => retrieve::SUMMARY,
            Protocol::Reid => reid::SUMMARY,
            Protocol::Cluster => cluster::SUMMARY,
        }
    }

    /// The figure that choices are made by, larger being better: the first of the
    /// [`summary`](Self::summary) that was measured.
    pub fn headline(self, figures: &Figures) -> Option<(&'static str, f64)> {
        let mut keys = self.summary().iter();
        keys.find_map(|&key| Some((key, figures.get(key)?)))
    }

    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Classify => "classify",
            Protocol::Verify => "verify",
            Protocol::Retrieve => "retrieve",
            Protocol::Reid => "reid",
            Protocol::Cluster => "cluster",
        }
    }

    /// What is asked of some examples: what their authors laid down, or else what their labels
    /// and cameras allow. `known` are the classes of the training.
    ///
    /// # Errors
    /// If the examples cannot be judged so.
    pub fn exam(self, items: Items, known: &[String]) -> Result<Exam> {
        let question = match self {
            Protocol::Classify => return classify::exam(items, known),
            Protocol::Verify => Question::Verify(verify::Question::of(&items)?),
            Protocol::Retrieve => Question::Retrieve(retrieve::Question::of(&items)),
            Protocol::Reid => Question::Reid(reid::Question::of(&items)?),
            Protocol::Cluster => Question::Cluster,
        };
        Ok(Exam {
            view: items.view,
            classes: items.classes,
            question,
        })
    }
}

impl Question {
    /// The figures of embeddings.
    ///
    /// # Errors
    /// If they cannot be judged: a number is not finite, nothing can be compared.
    pub fn judge(&self, found: &Embedded, effort: Effort) -> Result<Figures> {
        match self {
            Question::Classify => Ok(classify::judge(found)),
            Question::Verify(question) => verify::judge(question, found),
            Question::Retrieve(question) => retrieve::judge(question, found, effort),
            Question::Reid(question) => reid::judge(question, found, effort),
            Question::Cluster => cluster::judge(found),
        }
    }
}

impl KnownClasses {
    /// The cosines to the weight of the own class, and those to all others.
    pub fn by_own(&self, labels: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        let classes = self.cosines.len() / labels.len().max(1);
        for (row, &label) in self.cosines.chunks_exact(classes.max(1)).zip(labels) {
            for (class, &cosine) in row.iter().enumerate() {
                match class == label {
                    true => own.push(cosine),
                    false => others.push(cosine),
                }
            }
        }
        (own, others)
    }
}

impl Embedded {
    fn rows(&self) -> Result<Embeddings<'_>> {
        Ok(Embeddings::new(&self.embeddings, self.dim)?)
    }
}

/// Adds how alike embeddings of one class, and of different ones, are.
fn add_spread(figures: &mut Figures, found: &Embedded) -> Result<()> {
    let spread = Spread::new(found.rows()?, &found.labels);
    figures.push("cosine_same", spread.intra.mean);
    figures.push("cosine_different", spread.inter.mean);
    Ok(())
}
