//! Where did another camera see it? Person and vehicle re-identification.
//!
//! The rule is Market-1501's: for a query, gallery images of its identity by its own camera, and
//! junk, take no rank. Where no camera is known, each image is looked for among all others.
//! VehicleID and the classic protocol of CUHK03 draw galleries with one image of each identity.

use super::{Effort, Embedded, add_spread};
use crate::figures::Figures;
use crate::source::{DataError, Drawing, Items};
use anyhow::{Result, bail};
use data::Examples;
use data::metrics::rerank::Rerank;
use data::metrics::retrieval::{
    Identities, JUNK, JUNK_LABEL, MeanCurve, Retrieved, Rule, Ties, evaluate_places,
    single_gallery_shot, vehicle_id,
};
use data::metrics::scores::{Pairwise, Scores, Similarity};
use std::collections::BTreeSet;

/// See [`Protocol::summary`](super::Protocol::summary).
pub const SUMMARY: &[&str] = &[
    "map",
    "rank_1",
    "rank_5",
    "rank_10",
    "map_trapezoid",
    "minp",
    "reranked_map",
    "reranked_rank_1",
];

/// Drawings of a gallery.
const DRAWINGS: usize = 10;
/// Ranks that are reported of drawn galleries; those of CUHK03 are small enough for 20.
const DRAWN_RANKS: [usize; 4] = [1, 5, 10, 20];

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct Question {
    /// Places of the queries.
    pub queries: Vec<usize>,
    /// Places of the gallery.
    pub gallery: Vec<usize>,
    /// The identity of every example.
    pub ids: Vec<i64>,
    /// The camera of every example; empty if none is known.
    pub cameras: Vec<u32>,
    /// Which gallery items a query is ranked against.
    pub rule: Rule,
    /// Whether galleries are drawn.
    pub drawing: Drawing,
}

impl Question {
    /// What the authors of the data set marked; or else, where there are cameras, the first image
    /// of each identity by each camera is looked for among all.
    ///
    /// # Errors
    /// If nothing can be found: no identity was seen by two cameras.
    pub fn of(items: &Items) -> Result<Self> {
        let view = &items.view;
        let id = |&label: &usize| match items.classes[label].as_str() {
            JUNK_LABEL => JUNK,
            _ => label as i64 + 1,
        };
        let ids: Vec<i64> = view.labels().iter().map(id).collect();
        let cameras = view.cameras().to_vec();
        let marks = &items.marks;
        let question = Self::new(ids, cameras, &marks.queries, &marks.gallery);
        if question.queries.is_empty() {
            bail!(DataError(format!(
                "{} images of {} identities: expected one that two cameras saw, found none; judge \
                 them with `--protocol retrieve`, or hold out more classes",
                view.len(),
                items.classes.len()
            )));
        }
        Ok(Question {
            drawing: marks.drawing.clone(),
            ..question
        })
    }

    /// Queries and gallery among examples of these identities and cameras (empty if they are not
    /// known), or if one is empty, what can be asked of all.
    pub fn new(ids: Vec<i64>, cameras: Vec<u32>, queries: &[usize], gallery: &[usize]) -> Self {
        let all: Vec<usize> = (0..ids.len()).collect();
        let marked = !queries.is_empty() && !gallery.is_empty();
        let several = cameras.iter().collect::<BTreeSet<_>>().len() > 1;
        let (queries, gallery, rule) = match (marked, cameras.is_empty()) {
            (true, false) => (queries.to_vec(), gallery.to_vec(), Rule::CrossCamera),
            (true, true) => (queries.to_vec(), gallery.to_vec(), Rule::Everything),
            (false, _) if several => (first_by_camera(&ids, &cameras), all, Rule::CrossCamera),
            (false, _) => (all.clone(), all, Rule::LeaveOneOut),
        };
        Question {
            queries,
            gallery,
            ids,
            cameras,
            rule,
            drawing: Drawing::Nothing,
        }
    }
}

/// The first image of each identity by each camera, for identities that two cameras saw.
fn first_by_camera(ids: &[i64], cameras: &[u32]) -> Vec<usize> {
    let sightings: BTreeSet<(i64, u32)> =
        ids.iter().copied().zip(cameras.iter().copied()).collect();
    let by_others = |id: i64, camera: u32| {
        let mut of_id = sightings.range((id, 0)..=(id, u32::MAX));
        of_id.any(|&(_, other)| other != camera)
    };
    let mut seen = BTreeSet::new();
    let is_first = |&i: &usize| {
        ids[i] != JUNK && by_others(ids[i], cameras[i]) && seen.insert((ids[i], cameras[i]))
    };
    (0..ids.len()).filter(is_first).collect()
}

/// Both mAP, CMC, mINP; the CMC alone where galleries are drawn.
///
/// # Errors
/// If an embedding is not finite.
pub fn judge(question: &Question, found: &Embedded, effort: Effort) -> Result<Figures> {
    let mut figures = Figures::of(found.labels.len());
    match &question.drawing {
        Drawing::Nothing => {}
        Drawing::PerIdentity => {
            let scores = Pairwise::among(found.rows()?, Similarity::Cosine);
            let mean = vehicle_id(&scores, &question.ids, DRAWINGS, 10, 0)?;
            add_drawn(&mut figures, &[mean]);
            add_spread(&mut figures, found)?;
            return Ok(figures);
        }
        Drawing::PerQuery(splits) => {
            let curves = splits.iter().filter(|(_, places)| !places.is_empty());
            let curves = curves.map(|(number, places)| {
                // A split draws alone what it draws among all.
                shots(question, found, places, u64::from(*number))
            });
            let curves: Vec<MeanCurve> = curves.collect::<Result<_>>()?;
            add_drawn(&mut figures, &curves);
            add_spread(&mut figures, found)?;
            return Ok(figures.with("splits", curves.len() as f64));
        }
    }
    let [queries, gallery] = [&question.queries, &question.gallery].map(|at| found.chosen(at));
    let scores = Pairwise::new(queries.rows()?, gallery.rows()?, Similarity::Cosine)?;
    let plain = ranked(question, &scores)?;
    for k in [1, 5, 10] {
        figures.push(format!("rank_{k}"), plain.recall_at(k));
    }
    figures.push("map", plain.mean_ap());
    figures.push("map_trapezoid", plain.mean_ap_trapezoid());
    figures.push("minp", plain.mean_inp());
    if effort.rerank {
        let again = ranked(question, &Rerank::default().apply(&scores)?)?;
        for k in [1, 5, 10] {
            figures.push(format!("reranked_rank_{k}"), again.recall_at(k));
        }
        figures.push("reranked_map", again.mean_ap());
    }
    // Junk and distractors are nobody in particular: only who is looked for has others to be near.
    let wanted: BTreeSet<i64> = question.queries.iter().map(|&i| question.ids[i]).collect();
    let known = (0..question.ids.len()).filter(|&i| wanted.contains(&question.ids[i]));
    add_spread(&mut figures, &found.chosen(&known.collect::<Vec<_>>()))?;
    Ok(figures
        .with("queries", question.queries.len() as f64)
        .with("gallery", question.gallery.len() as f64)
        .with("unmatched", plain.unmatched() as f64)
        .with("tied", plain.tied() as f64)
        .with("dropped", plain.dropped() as f64))
}

/// The single-gallery-shot CMC among some of the examples.
fn shots(question: &Question, found: &Embedded, places: &[usize], seed: u64) -> Result<MeanCurve> {
    let chosen = found.chosen(places);
    let scores = Pairwise::among(chosen.rows()?, Similarity::Cosine);
    let ids: Vec<i64> = places.iter().map(|&i| question.ids[i]).collect();
    let cameras: Vec<u32> = places.iter().map(|&i| question.cameras[i]).collect();
    let all = Identities {
        ids: &ids,
        cameras: &cameras,
    };
    let most = DRAWN_RANKS[DRAWN_RANKS.len() - 1];
    Ok(single_gallery_shot(
        &scores, all, all, DRAWINGS, most, seed,
    )?)
}

/// The mean of curves, as far as they go, and the queries without a match in all of them. A split
/// without any match has no curve.
fn add_drawn(figures: &mut Figures, curves: &[MeanCurve]) {
    for k in DRAWN_RANKS {
        let reached = curves.iter().filter_map(|curve| curve.cmc.get(k - 1));
        let reached = reached.filter(|share| share.is_finite());
        let (sum, count) = reached.fold((0.0, 0), |(sum, n), share| (sum + share, n + 1));
        if count > 0 {
            figures.push(format!("rank_{k}"), sum / f64::from(count));
        }
    }
    let unmatched: usize = curves.iter().map(|curve| curve.unmatched).sum();
    figures.push("unmatched", unmatched as f64);
}

fn ranked(question: &Question, scores: &impl Scores) -> Result<Retrieved> {
    let Question {
        queries,
        gallery,
        ids,
        cameras,
        rule,
        ..
    } = question;
    let all = Identities { ids, cameras };
    Ok(evaluate_places(
        scores,
        all,
        [queries, gallery],
        *rule,
        Ties::Stable,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the first split everybody looks like themselves, in the second rather like anybody else.
    #[test]
    fn drawn_galleries_are_averaged_over_the_splits() {
        let ids = vec![1, 1, 2, 2, 3, 3, 4, 4];
        let looks = [1i8, 1, 2, 2, 3, -3, 4, -4];
        let part = |look: i8, axis: i8| match look.abs() == axis {
            true => f32::from(look.signum()),
            false => 0.0,
        };
        let row = |&look: &i8| (1..=4).map(move |axis| part(look, axis));
        let found = Embedded {
            embeddings: looks.iter().flat_map(row).collect(),
            dim: 4,
            labels: ids.iter().map(|&id| id as usize - 1).collect(),
            known: None,
        };
        let question = Question {
            drawing: Drawing::PerQuery(vec![
                (1, vec![0, 1, 2, 3]),
                (2, vec![4, 5, 6, 7]),
                (3, Vec::new()),
                // Two people, seen once each: nothing can be found.
                (4, vec![0, 2]),
            ]),
            ..Question::new(ids, vec![1, 2, 1, 2, 1, 2, 1, 2], &[], &[])
        };
        let figures = judge(&question, &found, Effort::default()).unwrap();
        let shares = ["rank_1", "rank_5", "rank_20", "map"].map(|key| figures.get(key));
        assert_eq!(shares, [Some(0.5), Some(1.0), Some(1.0), None]);
        let counts = ["splits", "unmatched"].map(|key| figures.get(key));
        assert_eq!(counts, [Some(3.0), Some(2.0)]);
    }

    #[test]
    fn queries_are_the_first_sightings_that_another_camera_can_answer() {
        let ids = [3, 3, 3, 3, 4, 4, JUNK, JUNK];
        let cameras = [1, 1, 2, 2, 1, 1, 1, 2];
        assert_eq!(first_by_camera(&ids, &cameras), [0, 2]);
    }
}
