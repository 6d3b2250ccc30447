//! Where are others like it? Each query ranks the gallery by the cosine.

use super::{Effort, Embedded, add_spread, cluster};
use crate::figures::Figures;
use crate::source::{Items, OneShot};
use anyhow::Result;
use data::metrics::rerank::Rerank;
use data::metrics::retrieval::{Identities, Retrieved, Rule, Ties, evaluate};
use data::metrics::scores::{Embeddings, Pairwise, Scores, Similarity};

/// See [`Protocol::summary`](super::Protocol::summary).
pub const SUMMARY: &[&str] = &[
    "recall_at_1",
    "map_at_r",
    "r_precision",
    "one_shot_error",
    "nmi",
];

/// Ranks that the field reports: 1, 2, 4, 8 for birds and cars, powers of ten for products.
const RANKS: [usize; 7] = [1, 2, 4, 8, 10, 100, 1000];

/// Examples times classes beyond which k-means takes longer than everything else.
const CLUSTERED: usize = 20_000_000;

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct Question {
    /// Places of the queries.
    pub queries: Vec<usize>,
    /// Places of the gallery.
    pub gallery: Vec<usize>,
    /// Whether a query may find itself.
    pub rule: Rule,
    /// Runs of one-shot classification, judged beside.
    pub runs: Vec<OneShot>,
}

impl Question {
    /// What the authors of the data set marked, or each example among all others.
    pub fn of(items: &Items) -> Self {
        let marks = &items.marks;
        let question = Self::new(items.view.len(), &marks.queries, &marks.gallery);
        Question {
            runs: marks.runs.clone(),
            ..question
        }
    }

    /// Queries and gallery among `count` examples, or if one is empty, each example among all
    /// others.
    pub fn new(count: usize, queries: &[usize], gallery: &[usize]) -> Self {
        let all: Vec<usize> = (0..count).collect();
        let (queries, gallery) = match queries.is_empty() || gallery.is_empty() {
            true => (all.as_slice(), all.as_slice()),
            false => (queries, gallery),
        };
        Question {
            rule: match queries == gallery {
                true => Rule::LeaveOneOut,
                false => Rule::Everything,
            },
            queries: queries.to_vec(),
            gallery: gallery.to_vec(),
            runs: Vec::new(),
        }
    }

    /// The gallery in the order of the scores, for each query.
    fn ranked(
        &self,
        scores: &impl Scores,
        queries: &[i64],
        gallery: &[i64],
    ) -> data::Result<Retrieved> {
        let [queries, gallery] = [queries, gallery].map(Identities::without_cameras);
        evaluate(scores, queries, gallery, self.rule, Ties::Stable)
    }
}

/// Recall@K and its kin.
///
/// # Errors
/// If an embedding is not finite.
pub fn judge(question: &Question, found: &Embedded, effort: Effort) -> Result<Figures> {
    let [queries, gallery] = [&question.queries, &question.gallery].map(|at| found.chosen(at));
    let scores = Pairwise::new(queries.rows()?, gallery.rows()?, Similarity::Cosine)?;
    let [ids, others] = [&queries, &gallery].map(|side| side.ids());
    let retrieved = question.ranked(&scores, &ids, &others)?;
    let judged = match question.rule {
        Rule::LeaveOneOut => gallery.labels.len(),
        _ => queries.labels.len() + gallery.labels.len(),
    };
    let mut figures = Figures::of(judged);
    for k in RANKS
        .into_iter()
        .filter(|&k| k < gallery.labels.len().max(2))
    {
        figures.push(format!("recall_at_{k}"), retrieved.recall_at(k));
    }
    figures.push("map_at_r", retrieved.map_at_r());
    figures.push("r_precision", retrieved.r_precision());
    figures.push("map", retrieved.mean_ap());
    if !question.runs.is_empty() {
        figures.push("one_shot_error", one_shot_error(&question.runs, found)?);
    }
    if effort.rerank && question.rule == Rule::Everything {
        let scores = Rerank::default().apply(&scores)?;
        let again = question.ranked(&scores, &ids, &others)?;
        figures.push("reranked_rank_1", again.recall_at(1));
        figures.push("reranked_map", again.mean_ap());
    }
    let classes = gallery.labels.iter().max().map_or(0, |most| most + 1);
    if effort.thorough && gallery.labels.len() * classes <= CLUSTERED {
        cluster::add(&mut figures, &gallery)?;
    }
    add_spread(&mut figures, &gallery)?;
    Ok(figures
        .with("queries", question.queries.len() as f64)
        .with("gallery", question.gallery.len() as f64)
        .with("unmatched", retrieved.unmatched() as f64)
        .with("tied", retrieved.tied() as f64))
}

impl Embedded {
    /// Some of the examples.
    pub(super) fn chosen(&self, at: &[usize]) -> Embedded {
        let row = |&i: &usize| &self.embeddings[i * self.dim..(i + 1) * self.dim];
        Embedded {
            embeddings: at.iter().flat_map(row).copied().collect(),
            labels: at.iter().map(|&i| self.labels[i]).collect(),
            dim: self.dim,
            known: None,
        }
    }

    fn ids(&self) -> Vec<i64> {
        self.labels.iter().map(|&l| l as i64).collect()
    }
}

/// The share of questions over all runs whose nearest training example is not the right one.
fn one_shot_error(runs: &[OneShot], found: &Embedded) -> Result<f64> {
    let (mut wrong, mut asked) = (0usize, 0usize);
    for run in runs {
        let [test, training] = [&run.test, &run.training].map(|at| found.chosen(at));
        let rows = |side: &Embedded| side.embeddings.clone();
        let (test, training) = (rows(&test), rows(&training));
        let scores = Pairwise::new(
            Embeddings::new(&test, found.dim)?,
            Embeddings::new(&training, found.dim)?,
            Similarity::Cosine,
        )?;
        let all = |n: usize| (0..n).collect::<Vec<_>>();
        let block = scores.block(&all(run.test.len()), &all(run.training.len()));
        for (row, &answer) in block
            .data()
            .chunks_exact(run.training.len())
            .zip(&run.answers)
        {
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
            wrong += usize::from(best != Some(answer));
            asked += 1;
        }
    }
    Ok(wrong as f64 / asked as f64)
}
