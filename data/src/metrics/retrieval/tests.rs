//! Tests of the evaluation against the plain one, which sorts the whole list of each query.

use super::*;
use crate::metrics::scores::{Embeddings, Given, Pairwise, Similarity, tests::random};
use approx::assert_abs_diff_eq;
use engine::rng::Key;

fn given(
    scores: &[f32],
    queries: Identities<'_>,
    gallery: Identities<'_>,
    rule: Rule,
    ties: Ties,
) -> Retrieved {
    let scores = Given::new(scores, gallery.ids.len()).unwrap();
    evaluate(&scores, queries, gallery, rule, ties).unwrap()
}

/// Market-1501's rule, word by word.
fn naive(
    scores: &impl Scores,
    queries: Identities<'_>,
    gallery: Identities<'_>,
) -> Vec<Option<Vec<usize>>> {
    let items: Vec<usize> = (0..gallery.ids.len()).collect();
    let of = |q: usize| {
        let row = scores.block(&[q], &items);
        let mut order = items.clone();
        order.retain(|&g| {
            let junk = gallery.ids[g] == -1;
            let same_camera =
                gallery.ids[g] == queries.ids[q] && gallery.cameras[g] == queries.cameras[q];
            !(junk || same_camera)
        });
        order.sort_by(|&a, &b| row.data()[b].total_cmp(&row.data()[a]));
        let hits = (1..)
            .zip(&order)
            .filter(|&(_, &g)| gallery.ids[g] == queries.ids[q]);
        let ranks: Vec<usize> = hits.map(|(rank, _)| rank).collect();
        (!ranks.is_empty()).then_some(ranks)
    };
    (0..queries.ids.len()).map(of).collect()
}

#[test]
fn blocks_rank_as_sorting_does_on_any_number_of_threads() {
    // More queries and items than a block holds, and many equal scores.
    let (n, m) = (QUERIES + 40, ITEMS + 300);
    let mut rng = Key::new(4).rng();
    let mut people = |n: usize, junk: bool| -> (Vec<i64>, Vec<u32>) {
        let lowest = if junk { -1 } else { 1 };
        let id = |x: usize| x as i64 + lowest;
        (0..n)
            .map(|_| (id(rng.below(60)), rng.below(3) as u32))
            .unzip()
    };
    let ((q_ids, q_cameras), (g_ids, g_cameras)) = (people(n, false), people(m, true));
    let queries = Identities {
        ids: &q_ids,
        cameras: &q_cameras,
    };
    let gallery = Identities {
        ids: &g_ids,
        cameras: &g_cameras,
    };
    let coarse = |rows, name| -> Vec<f32> {
        random(rows, 3, name)
            .iter()
            .map(|v| (2.0 * v).round())
            .collect()
    };
    let (q, g) = (coarse(n, "queries"), coarse(m, "gallery"));
    let (q, g) = (
        Embeddings::new(&q, 3).unwrap(),
        Embeddings::new(&g, 3).unwrap(),
    );
    let scores = Pairwise::new(q, g, Similarity::Euclidean).unwrap();

    let evaluate = || evaluate(&scores, queries, gallery, Rule::CrossCamera, Ties::Stable).unwrap();
    let found = evaluate();
    let ranks = naive(&scores, queries, gallery);
    for (found, ranks) in found.queries.iter().zip(&ranks) {
        assert_eq!(found.figures, ranks.as_deref().and_then(Figures::of));
        assert_eq!(found.ranked + found.dropped, m);
    }
    assert!(found.tied() > n / 2, "{}", found.tied());
    assert_eq!(par::with_threads(1, evaluate), found);
    assert_eq!(
        par::with_threads(3, || par::with_smallest_tasks(evaluate)),
        found
    );
}

#[test]
fn junk_and_the_own_camera_take_no_rank_but_distractors_do() {
    let queries = Identities {
        ids: &[5],
        cameras: &[1],
    };
    let gallery = Identities {
        ids: &[-1, 5, 0, 6, 5, 7],
        cameras: &[2, 1, 2, 1, 2, 3],
    };
    let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
    let found = given(&scores, queries, gallery, Rule::CrossCamera, Ties::Stable);
    let outcome = found.queries[0];
    // The distractor and person 6, seen by the query's camera, come first.
    assert_eq!(outcome.figures.unwrap().first, 3);
    assert_eq!((outcome.ranked, outcome.dropped), (4, 2));
    assert_eq!(found.dropped(), 2);
    // Without the rule, the picture by the own camera is second, behind what is junk there.
    let found = given(&scores, queries, gallery, Rule::Everything, Ties::Stable);
    assert_eq!(found.queries[0].figures.unwrap().first, 2);
}

#[test]
fn leave_one_out_goes_by_index() {
    let ids = Identities::without_cameras(&[1, 1, 2, 2]);
    // Item 1 is more alike to item 0 than item 0 is to itself.
    let scores = [
        0.5, 0.9, 0.1, 0.2, // finds 1 first
        0.9, 1.0, 0.8, 0.7, // finds 0 first
        0.1, 0.8, 1.0, 0.2, // finds 3 second
        0.2, 0.7, 0.6, 0.1, // finds 2 second
    ];
    let found = given(&scores, ids, ids, Rule::LeaveOneOut, Ties::Stable);
    assert_eq!(found.cmc(3), [0.5, 1.0, 1.0]);
    let error = evaluate(
        &Given::new(&scores, 4).unwrap(),
        ids,
        Identities::without_cameras(&[1, 1, 2, 3]),
        Rule::LeaveOneOut,
        Ties::Stable,
    );
    assert!(error.unwrap_err().to_string().contains("Rule::Everything"));
}

#[test]
fn ties_are_stable_counted_and_can_be_held_against_the_query() {
    let queries = Identities::without_cameras(&[1, 1]);
    let gallery = Identities::without_cameras(&[2, 1, 2, 1]);
    // All alike; then a tie among those that are not relevant, which does not matter.
    let scores = [0.5, 0.5, 0.5, 0.5, 0.5, 0.9, 0.5, 0.8];
    let first = |ties| {
        let found = given(&scores, queries, gallery, Rule::Everything, ties);
        assert_eq!((found.queries[0].ties, found.queries[1].ties), (2, 0));
        assert_eq!(found.tied(), 1);
        found.queries[0].figures.unwrap().first
    };
    assert_eq!(first(Ties::Stable), 2);
    assert_eq!(first(Ties::Pessimistic), 3);
}

#[test]
fn queries_without_a_match_are_counted_and_left_out_of_means() {
    let queries = Identities::without_cameras(&[1, 9]);
    let gallery = Identities::without_cameras(&[2, 1]);
    let found = given(
        &[0.9, 0.8, 0.1, 0.2],
        queries,
        gallery,
        Rule::Everything,
        Ties::Stable,
    );
    assert_eq!(found.unmatched(), 1);
    assert_abs_diff_eq!(found.mean_ap(), 0.5);
    assert_abs_diff_eq!(found.mean_ap_trapezoid(), 0.25);
    assert!(
        found
            .to_string()
            .contains("2 queries, 1 without a match, 0 with ties")
    );
    let nobody = Identities::without_cameras(&[]);
    let none = given(&[], nobody, gallery, Rule::Everything, Ties::Stable);
    assert!(none.queries.is_empty() && none.mean_ap().is_nan());
}

#[test]
fn labels_must_be_one_for_each_item() {
    let scores = Given::new(&[0.0; 6], 3).unwrap();
    let ids = Identities::without_cameras;
    let check = |q, g, rule| {
        let result = evaluate(&scores, q, g, rule, Ties::Stable);
        result.map(|_| ()).map_err(|e| e.to_string())
    };
    assert!(check(ids(&[1, 2]), ids(&[1, 2, 3]), Rule::Everything).is_ok());
    let message = check(ids(&[1, 2]), ids(&[1, 2]), Rule::Everything).unwrap_err();
    assert!(message.contains("identities of the gallery"), "{message}");
    let message = check(ids(&[1, 2]), ids(&[1, 2, 3]), Rule::CrossCamera).unwrap_err();
    assert!(message.contains("cameras of the queries"), "{message}");
}

/// One class of everything: the relevant items of a few queries already exceed what is held.
#[test]
fn blocks_of_queries_shrink_as_relevant_items_grow() {
    let (queries, gallery) = (vec![3; 10], vec![3; 1 << 20]);
    let (queries, gallery) = (
        Identities::without_cameras(&queries),
        Identities::without_cameras(&gallery),
    );
    struct Nothing;
    impl Scores for Nothing {
        fn queries(&self) -> usize {
            10
        }
        fn gallery(&self) -> usize {
            1 << 20
        }
        fn block(&self, _: &[usize], _: &[usize]) -> engine::Tensor<f32> {
            unreachable!("nothing is scored to cut blocks")
        }
    }
    let judge = Judge::new(&Nothing, queries, gallery, Rule::Everything).unwrap();
    let order: Vec<usize> = (0..10).collect();
    assert_eq!(judge.blocks(&order), [0..4, 4..8, 8..10]);
}
