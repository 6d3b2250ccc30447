//! Retrieval and re-identification: how early a ranked gallery shows what a query looks for.
//!
//! An item is *relevant* to a query if both have one identity. Which items are ranked at all is
//! the [`Rule`] of the data set. Equal scores are counted, because a figure that depends on how
//! they are broken says nothing: embeddings that have collapsed to one point tie everything, and
//! a list that happens to begin with the right identity would look perfect.
//!
//! ```
//! use data::metrics::retrieval::{Identities, Rule, Ties, evaluate};
//! use data::metrics::scores::{Embeddings, Pairwise, Similarity};
//!
//! # fn main() -> data::Result<()> {
//! // Person 7 is seen twice by camera 1 and once by camera 2, person 8 by camera 2.
//! let query = Embeddings::new(&[1.0, 0.0], 2)?;
//! let gallery = Embeddings::new(&[1.0, 0.0, 0.0, 1.0, 0.8, 0.6], 2)?;
//! let scores = Pairwise::new(query, gallery, Similarity::Cosine)?;
//! let found = evaluate(
//!     &scores,
//!     Identities { ids: &[7], cameras: &[1] },
//!     Identities { ids: &[7, 8, 7], cameras: &[1, 2, 2] },
//!     Rule::CrossCamera,
//!     Ties::Stable,
//! )?;
//! assert_eq!(found.recall_at(1), 1.0); // the picture of camera 1 is out, that of camera 2 is first
//! assert_eq!(found.queries[0].dropped, 1);
//! # Ok(())
//! # }
//! ```
//!
//! A gallery is scored twice against each block of queries: once its relevant items, whose scores
//! are kept and sorted, and once everything, of which is only counted how much comes before each
//! of them. So nothing of the size of queries times gallery is ever in memory.

mod sampled;

pub use sampled::{MeanCurve, one_image_per_id, single_gallery_shot, vehicle_id};

use super::ranking;
use super::scores::Scores;
use super::search::{ITEMS, QUERIES};
use crate::error::{Error, Result};
use engine::par;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// The identity of junk in Market-1501 and its kin: neither right nor wrong, never ranked. (Their
/// distractors, identity 0, need no rule: they are ranked, and nobody asks for them.)
pub const JUNK: i64 = -1;
/// How junk is labelled in names of files and in manifests.
pub const JUNK_LABEL: &str = "-1";

/// Who is on each image, and who took it.
#[derive(Clone, Copy, Debug)]
pub struct Identities<'a> {
    /// The identity, or class, of each item.
    pub ids: &'a [i64],
    /// The camera of each item. Only [`Rule::CrossCamera`] asks for it; empty elsewhere.
    pub cameras: &'a [u32],
}

impl<'a> Identities<'a> {
    /// Items of which no camera is known.
    pub fn without_cameras(ids: &'a [i64]) -> Self {
        Identities { ids, cameras: &[] }
    }
}

/// Which gallery items a query is ranked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All of them: In-shop, VehicleID, Omniglot's runs.
    Everything,
    /// Queries and gallery are the same items, and query `i` is ranked against all but item `i`:
    /// CUB-200-2011, Cars196, Stanford Online Products. Item `i` is left out by its index: with
    /// duplicates in the set it need not be the first one found.
    LeaveOneOut,
    /// Person and vehicle re-identification (Market-1501, DukeMTMC-reID, CUHK03's new protocol,
    /// VeRi-776): items of the query's identity seen by the query's camera are left out, and so
    /// is [`JUNK`]. They take no rank. Another identity seen by the query's camera stays.
    CrossCamera,
}

/// How equal scores are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// By index in the gallery, as a stable sort does.
    Stable,
    /// What is relevant comes after everything as alike: the worst that can be said.
    Pessimistic,
}

/// What one query found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Gallery items that were ranked.
    pub ranked: usize,
    /// Gallery items that the rule left out.
    pub dropped: usize,
    /// Items ranked that are not relevant and yet exactly as alike as one that is.
    pub ties: usize,
    /// The figures; `None` if no ranked item is relevant.
    pub figures: Option<Figures>,
}

/// The figures of one query with at least one relevant item, as [`ranking`] defines them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Relevant items: R.
    pub relevant: usize,
    /// The rank of the first one, from 1.
    pub first: usize,
    /// [`ranking::average_precision`].
    pub average_precision: f64,
    /// [`ranking::average_precision_trapezoid`].
    pub average_precision_trapezoid: f64,
    /// [`ranking::average_precision_at_r`].
    pub average_precision_at_r: f64,
    /// [`ranking::r_precision`].
    pub r_precision: f64,
    /// [`ranking::inverse_negative_penalty`].
    pub inverse_negative_penalty: f64,
}

impl Figures {
    fn of(ranks: &[usize]) -> Option<Figures> {
        Some(Figures {
            relevant: ranks.len(),
            first: *ranks.first()?,
            average_precision: ranking::average_precision(ranks),
            average_precision_trapezoid: ranking::average_precision_trapezoid(ranks),
            average_precision_at_r: ranking::average_precision_at_r(ranks),
            r_precision: ranking::r_precision(ranks),
            inverse_negative_penalty: ranking::inverse_negative_penalty(ranks),
        })
    }
}

/// What all queries found.
///
/// Means are over the queries that have a relevant item, as torchreid and
/// pytorch-metric-learning take them; [`unmatched`](Self::unmatched) counts the others. Without
/// any such query they are NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieved {
    /// One outcome for each query, in order.
    pub queries: Vec<Outcome>,
}

impl Retrieved {
    /// Recall@K, which is also the CMC at rank K: the share of queries whose first relevant item
    /// is among the first `k`.
    pub fn recall_at(&self, k: usize) -> f64 {
        self.mean(|f| f64::from(u8::from(f.first <= k)))
    }

    /// The cumulative match characteristic: Recall@1 to Recall@`ranks`.
    pub fn cmc(&self, ranks: usize) -> Vec<f64> {
        (1..=ranks).map(|k| self.recall_at(k)).collect()
    }

    /// mAP by the precision at each hit: torchreid, fast-reid, reid-strong-baseline.
    pub fn mean_ap(&self) -> f64 {
        self.mean(|f| f.average_precision)
    }

    /// mAP by trapezoids: the official code of Market-1501 and VeRi-776.
    pub fn mean_ap_trapezoid(&self) -> f64 {
        self.mean(|f| f.average_precision_trapezoid)
    }

    /// MAP@R.
    pub fn map_at_r(&self) -> f64 {
        self.mean(|f| f.average_precision_at_r)
    }

    /// Mean R-precision.
    pub fn r_precision(&self) -> f64 {
        self.mean(|f| f.r_precision)
    }

    /// mINP.
    pub fn mean_inp(&self) -> f64 {
        self.mean(|f| f.inverse_negative_penalty)
    }

    /// Queries without any relevant item, which count in no mean. Many of them where there should
    /// be none mean that cameras or identities were read wrongly.
    pub fn unmatched(&self) -> usize {
        let matched = self.queries.iter().filter(|q| q.figures.is_some());
        self.queries.len() - matched.count()
    }

    /// Queries for which an item that is not relevant is exactly as alike as one that is: their
    /// figures depend on how ties are broken.
    pub fn tied(&self) -> usize {
        self.queries.iter().filter(|q| q.ties > 0).count()
    }

    /// Gallery items left out by the rule, summed over the queries.
    pub fn dropped(&self) -> usize {
        self.queries.iter().map(|q| q.dropped).sum()
    }

    fn mean(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        let figures = self.queries.iter().filter_map(|q| q.figures.as_ref());
        let (sum, count) = figures.fold((0.0, 0usize), |(s, n), f| (s + figure(f), n + 1));
        sum / count as f64
    }
}

impl fmt::Display for Retrieved {
    /// The figures in percent, both definitions of mAP, and what to know before believing them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |x: f64| 100.0 * x;
        for k in [1, 5, 10, 20] {
            writeln!(f, "rank-{k:<3} {:6.2} %", percent(self.recall_at(k)))?;
        }
        for (name, value) in [
            ("mAP, precision at hits", self.mean_ap()),
            ("mAP, trapezoid", self.mean_ap_trapezoid()),
            ("mINP", self.mean_inp()),
            ("MAP@R", self.map_at_r()),
            ("R-precision", self.r_precision()),
        ] {
            writeln!(f, "{:6.2} %  {name}", percent(value))?;
        }
        write!(
            f,
            "{} queries, {} without a match, {} with ties; {} items left out",
            self.queries.len(),
            self.unmatched(),
            self.tied(),
            self.dropped()
        )
    }
}

/// [`evaluate`] where queries and gallery are places in one list of identities and cameras; the
/// cameras may be empty.
///
/// # Errors
/// As [`evaluate`].
///
/// # Panics
/// If a place is not one of the list.
pub fn evaluate_places(
    scores: &impl Scores,
    all: Identities<'_>,
    [queries, gallery]: [&[usize]; 2],
    rule: Rule,
    ties: Ties,
) -> Result<Retrieved> {
    let [queries, gallery] = [queries, gallery].map(|at| {
        let ids: Vec<i64> = at.iter().map(|&i| all.ids[i]).collect();
        let cameras = at.iter().filter_map(|&i| all.cameras.get(i).copied());
        (ids, cameras.collect::<Vec<u32>>())
    });
    let [queries, gallery] = [&queries, &gallery].map(|(ids, cameras)| Identities { ids, cameras });
    evaluate(scores, queries, gallery, rule, ties)
}

/// Ranks the gallery for every query and tells how early the relevant items come.
///
/// Memory: one block of scores (16 MB), the scores of the relevant items of a few hundred
/// queries, and an [`Outcome`] for each query.
///
/// # Errors
/// [`Error::Invalid`] if identities or cameras are not one for each item, or if under
/// [`Rule::LeaveOneOut`] queries and gallery are not the same items.
pub fn evaluate(
    scores: &impl Scores,
    queries: Identities<'_>,
    gallery: Identities<'_>,
    rule: Rule,
    ties: Ties,
) -> Result<Retrieved> {
    let judge = Judge::new(scores, queries, gallery, rule)?;
    let mut by_id: Vec<usize> = (0..queries.ids.len()).collect();
    by_id.sort_by_key(|&q| queries.ids[q]);

    let mut outcomes = vec![None; by_id.len()];
    for range in judge.blocks(&by_id) {
        let block = &by_id[range];
        let mut hunts = judge.relevant(scores, block);
        for start in (0..gallery.ids.len()).step_by(ITEMS) {
            let items: Vec<usize> = (start..(start + ITEMS).min(gallery.ids.len())).collect();
            let part = scores.block(block, &items);
            par::chunks(&mut hunts, 1, |i, hunt| {
                let row = &part.data()[i * items.len()..(i + 1) * items.len()];
                hunt[0].pass(row, start, &judge, ties);
            });
        }
        for hunt in hunts {
            outcomes[hunt.query] = Some(hunt.outcome(judge.dropped(hunt.query), gallery.ids.len()));
        }
    }
    let queries = outcomes
        .into_iter()
        .map(|o| o.expect("every query is in a block"));
    Ok(Retrieved {
        queries: queries.collect(),
    })
}

/// Who is relevant to whom, and who is left out.
struct Judge<'a> {
    queries: Identities<'a>,
    gallery: Identities<'a>,
    rule: Rule,
    /// The gallery items of each identity.
    members: HashMap<i64, Vec<usize>>,
}

#[derive(PartialEq)]
enum Verdict {
    Relevant,
    Other,
    Dropped,
}

impl<'a> Judge<'a> {
    fn new(
        scores: &impl Scores,
        queries: Identities<'a>,
        gallery: Identities<'a>,
        rule: Rule,
    ) -> Result<Self> {
        let sides = [
            ("queries", queries, scores.queries()),
            ("gallery", gallery, scores.gallery()),
        ];
        for (side, labels, items) in sides {
            one_each(
                &format!("identities of the {side}"),
                labels.ids.len(),
                items,
            )?;
            if rule == Rule::CrossCamera {
                one_each(
                    &format!("cameras of the {side}"),
                    labels.cameras.len(),
                    items,
                )?;
            }
        }
        if rule == Rule::LeaveOneOut && queries.ids != gallery.ids {
            return Err(Error::invalid(
                "queries of a leave-one-out evaluation",
                "the items of the gallery",
                "others",
                "use Rule::Everything for a gallery of its own",
            ));
        }
        let mut members: HashMap<i64, Vec<usize>> = HashMap::new();
        for (item, &id) in gallery.ids.iter().enumerate() {
            members.entry(id).or_default().push(item);
        }
        Ok(Judge {
            queries,
            gallery,
            rule,
            members,
        })
    }

    fn verdict(&self, query: usize, item: usize) -> Verdict {
        let same = self.queries.ids[query] == self.gallery.ids[item];
        let dropped = match self.rule {
            Rule::Everything => false,
            Rule::LeaveOneOut => query == item,
            Rule::CrossCamera => {
                self.gallery.ids[item] == JUNK
                    || same && self.queries.cameras[query] == self.gallery.cameras[item]
            }
        };
        match (dropped, same) {
            (true, _) => Verdict::Dropped,
            (false, true) => Verdict::Relevant,
            (false, false) => Verdict::Other,
        }
    }

    fn members(&self, id: i64) -> &[usize] {
        self.members.get(&id).map_or(&[], Vec::as_slice)
    }

    /// How many items the rule leaves out.
    fn dropped(&self, query: usize) -> usize {
        let id = self.queries.ids[query];
        match self.rule {
            Rule::Everything => 0,
            Rule::LeaveOneOut => 1,
            Rule::CrossCamera => {
                let own = self.members(id).iter();
                let own = own.filter(|&&item| self.verdict(query, item) == Verdict::Dropped);
                let junk = if id == JUNK {
                    0
                } else {
                    self.members(JUNK).len()
                };
                own.count() + junk
            }
        }
    }

    /// Cuts the queries, sorted by identity, where a block has enough of them or they have more
    /// relevant items than should be in memory at once.
    fn blocks(&self, by_id: &[usize]) -> Vec<Range<usize>> {
        const RELEVANT: usize = 1 << 22;
        let (mut blocks, mut start, mut held) = (Vec::new(), 0, 0);
        for (i, &query) in by_id.iter().enumerate() {
            let more = self.members(self.queries.ids[query]).len();
            if i > start && (i - start >= QUERIES || held + more > RELEVANT) {
                blocks.push(start..i);
                (start, held) = (i, 0);
            }
            held += more;
        }
        blocks.extend((start < by_id.len()).then_some(start..by_id.len()));
        blocks
    }

    /// A hunt for each query, with its relevant items scored and sorted.
    fn relevant(&self, scores: &impl Scores, block: &[usize]) -> Vec<Hunt> {
        let mut hunts: Vec<Hunt> = block.iter().map(|&query| Hunt::new(query)).collect();
        let mut ids: Vec<i64> = block.iter().map(|&q| self.queries.ids[q]).collect();
        ids.dedup();
        let mut wanted: Vec<usize> = ids
            .iter()
            .flat_map(|&id| self.members(id))
            .copied()
            .collect();
        wanted.sort_unstable();
        for items in wanted.chunks(ITEMS) {
            let part = scores.block(block, items);
            par::chunks(&mut hunts, 1, |i, hunt| {
                let row = &part.data()[i * items.len()..(i + 1) * items.len()];
                for (&item, &score) in items.iter().zip(row) {
                    if self.verdict(hunt[0].query, item) == Verdict::Relevant {
                        hunt[0].relevant.push((score, item));
                    }
                }
            });
        }
        par::chunks(&mut hunts, 1, |_, hunt| hunt[0].sort());
        hunts
    }
}

fn one_each(what: &str, found: usize, items: usize) -> Result<()> {
    if found == items {
        return Ok(());
    }
    Err(Error::invalid(
        what,
        format!("one for each of the {items} items"),
        found,
        "pass them in the order of the embeddings",
    ))
}

/// One query on its way along the gallery.
struct Hunt {
    query: usize,
    /// Scores and indices of the relevant items, in the order of the ranked list.
    relevant: Vec<(f32, usize)>,
    /// How many other items come just before each of them.
    others: Vec<usize>,
    ties: usize,
}

impl Hunt {
    fn new(query: usize) -> Self {
        Hunt {
            query,
            relevant: Vec::new(),
            others: Vec::new(),
            ties: 0,
        }
    }

    fn sort(&mut self) {
        self.relevant.sort_unstable_by(|a, b| {
            let by_score = b.0.partial_cmp(&a.0).expect("scores are never NaN");
            by_score.then(a.1.cmp(&b.1))
        });
        self.others = vec![0; self.relevant.len()];
    }

    /// Looks at a row of scores, the first of which is item `start`.
    fn pass(&mut self, row: &[f32], start: usize, judge: &Judge<'_>, ties: Ties) {
        // Most items are less alike than all relevant ones, and change nothing.
        let Some(&(least, _)) = self.relevant.last() else {
            return;
        };
        for (i, &score) in row.iter().enumerate() {
            if score >= least && judge.verdict(self.query, start + i) == Verdict::Other {
                self.place(score, start + i, ties);
            }
        }
    }

    /// Counts an item that is not relevant.
    fn place(&mut self, score: f32, item: usize, ties: Ties) {
        let better = self.relevant.partition_point(|r| r.0 > score);
        // Two more searches, rather than a walk: where embeddings have collapsed all are equal.
        let rest = &self.relevant[better..];
        let equal = match rest.first() {
            Some(first) if first.0 == score => &rest[..rest.partition_point(|r| r.0 == score)],
            _ => &[],
        };
        self.ties += usize::from(!equal.is_empty());
        let place = match ties {
            Ties::Pessimistic => better,
            Ties::Stable => better + equal.partition_point(|r| r.1 < item),
        };
        if let Some(others) = self.others.get_mut(place) {
            *others += 1;
        }
    }

    fn outcome(&self, dropped: usize, gallery: usize) -> Outcome {
        let mut before = 0;
        let ranks = self.others.iter().enumerate().map(|(hits, others)| {
            before += others;
            hits + 1 + before
        });
        let ranks: Vec<usize> = ranks.collect();
        Outcome {
            ranked: gallery - dropped,
            dropped,
            ties: self.ties,
            figures: Figures::of(&ranks),
        }
    }
}

#[cfg(test)]
#[path = "retrieval/tests.rs"]
mod tests;
