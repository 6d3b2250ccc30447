//! Figures of merit against scikit-learn, pytorch-metric-learning and plain transcriptions of the
//! field's rules; see `golden/README.md`.

use data::metrics::clustering::{adjusted_mutual_information, normalised_mutual_information};
use data::metrics::ranking;
use data::metrics::rerank::Rerank;
use data::metrics::retrieval::{Identities, Retrieved, Rule, Ties, evaluate, single_gallery_shot};
use data::metrics::scores::{Embeddings, Given, Pairwise, Scores, Similarity};
use data::metrics::spread::{Spread, effective_rank};
use data::metrics::verification::{Roc, Thresholds, cross_validated};
use data::metrics::{Calibration, Confusion, top_k_accuracy};
use safetensors::SafeTensors;

static FILE: &[u8] = include_bytes!("../golden/metrics.safetensors");

/// The elements of a tensor of the file, made from their bytes.
fn read<T, const SIZE: usize>(name: &str, f: fn([u8; SIZE]) -> T) -> Vec<T> {
    let file = SafeTensors::deserialize(FILE).expect("a safetensors file");
    let tensor = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let elements = tensor.data().chunks_exact(SIZE);
    elements
        .map(|bytes| f(bytes.try_into().expect("a whole element")))
        .collect()
}

fn f32s(name: &str) -> Vec<f32> {
    read(name, f32::from_le_bytes)
}

fn f64s(name: &str) -> Vec<f64> {
    read(name, f64::from_le_bytes)
}

fn i64s(name: &str) -> Vec<i64> {
    read(name, i64::from_le_bytes)
}

fn number(name: &str) -> f64 {
    match f64s(name)[..] {
        [value] => value,
        _ => panic!("{name} is not one number"),
    }
}

fn labels(name: &str) -> Vec<usize> {
    i64s(name).into_iter().map(|l| l as usize).collect()
}

#[track_caller]
fn close(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= tolerance,
            "element {i}: {found} instead of {wanted}"
        );
    }
}

/// The table of definitions that disagree, and the figures as the documents print them.
#[test]
fn one_list_has_six_figures() {
    let ranks = labels("table/ranks");
    let found = [
        ranking::average_precision(&ranks),
        ranking::average_precision_trapezoid(&ranks),
        ranking::average_precision_at_r(&ranks),
        ranking::average_precision_of_found(&ranks, 5),
        ranking::r_precision(&ranks),
        ranking::inverse_negative_penalty(&ranks),
    ];
    close(&found, &f64s("table/values"), 1e-15);
    let printed = [0.830357, 0.811012, 0.687500, 0.916667, 0.750000, 0.571429];
    close(&found, &printed, 5e-7);
}

/// The people and cameras of the re-identification case.
struct Reid {
    query: Vec<f32>,
    gallery: Vec<f32>,
    ids: [Vec<i64>; 2],
    cameras: [Vec<u32>; 2],
}

impl Reid {
    fn read() -> Self {
        let cameras = |name| i64s(name).into_iter().map(|c| c as u32).collect();
        Reid {
            query: f32s("reid/query"),
            gallery: f32s("reid/gallery"),
            ids: [i64s("reid/query_ids"), i64s("reid/gallery_ids")],
            cameras: [
                cameras("reid/query_cameras"),
                cameras("reid/gallery_cameras"),
            ],
        }
    }

    fn scores(&self) -> Pairwise<'_> {
        let [query, gallery] =
            [&self.query, &self.gallery].map(|rows| Embeddings::new(rows, 12).unwrap());
        Pairwise::new(query, gallery, Similarity::Cosine).unwrap()
    }

    fn people(&self) -> [Identities<'_>; 2] {
        [0, 1].map(|side| Identities {
            ids: &self.ids[side],
            cameras: &self.cameras[side],
        })
    }

    fn evaluate(&self, scores: &impl Scores) -> Retrieved {
        let [queries, gallery] = self.people();
        evaluate(scores, queries, gallery, Rule::CrossCamera, Ties::Stable).unwrap()
    }
}

#[test]
fn re_identification_is_torchreids_rule_and_the_official_trapezoid() {
    let found = Reid::read();
    let found = found.evaluate(&found.scores());
    close(&found.cmc(20), &f64s("reid/cmc"), 1e-12);
    let per_query: Vec<f64> = found
        .queries
        .iter()
        .filter_map(|q| q.figures)
        .flat_map(|f| {
            [
                f.average_precision,
                f.average_precision_trapezoid,
                f.inverse_negative_penalty,
            ]
        })
        .collect();
    close(&per_query, &f64s("reid/figures"), 1e-12);
    assert_eq!(found.unmatched() as i64, i64s("reid/unmatched")[0]);
    assert_eq!(found.tied(), 0);
}

/// Distances computed elsewhere go the same way.
#[test]
fn a_given_matrix_ranks_as_the_embeddings_do() {
    let reid = Reid::read();
    let (queries, gallery): (Vec<_>, Vec<_>) = ((0..40).collect(), (0..160).collect());
    let block = reid.scores().block(&queries, &gallery);
    let given = Given::new(block.data(), 160).unwrap();
    assert_eq!(reid.evaluate(&given), reid.evaluate(&reid.scores()));
}

#[test]
fn single_gallery_shot_averages_to_the_exact_mean() {
    let reid = Reid::read();
    let [queries, gallery] = reid.people();
    let curve = single_gallery_shot(&reid.scores(), queries, gallery, 2000, 10, 1).unwrap();
    // 38 queries of 2000 drawings: the standard error is below 0.002.
    close(&curve.cmc, &f64s("reid/single_shot"), 0.008);
    assert_eq!(curve.unmatched as i64, i64s("reid/unmatched")[0]);
}

#[test]
fn re_ranking_is_the_authors() {
    let reid = Reid::read();
    let (queries, gallery): (Vec<_>, Vec<_>) = ((0..40).collect(), (0..160).collect());
    for (k1, k2, lambda) in [(20, 6, 0.3), (7, 3, 0.5), (5, 1, 0.0)] {
        let reranked = Rerank { k1, k2, lambda }.apply(&reid.scores()).unwrap();
        let block = reranked.block(&queries, &gallery);
        let found: Vec<f64> = block.data().iter().map(|&s| -f64::from(s)).collect();
        let wanted = f64s(&format!("reid/rerank/{k1},{k2},{lambda:?}"));
        close(&found, &wanted, 2e-6);
    }
}

#[test]
fn retrieval_is_pytorch_metric_learnings() {
    let (values, ids) = (f32s("retrieval/embeddings"), i64s("retrieval/labels"));
    let rows = Embeddings::new(&values, 8).unwrap();
    let ids = Identities::without_cameras(&ids);
    let scores = Pairwise::among(rows, Similarity::Cosine);
    let found = evaluate(&scores, ids, ids, Rule::LeaveOneOut, Ties::Stable).unwrap();
    let figures = [
        found.recall_at(1),
        found.r_precision(),
        found.map_at_r(),
        found.mean_ap(),
    ];
    // pytorch-metric-learning divides in f32.
    close(&figures, &f64s("retrieval/pml"), 1e-6);
}

#[test]
fn spread_and_effective_rank_are_numpys() {
    let values = f32s("retrieval/embeddings");
    let rows = Embeddings::new(&values, 8).unwrap();
    let Spread { intra, inter } = Spread::new(rows, &labels("retrieval/labels"));
    let found = [intra.mean, intra.std, inter.mean, inter.std];
    close(&found, &f64s("retrieval/spread"), 1e-12);
    close(
        &[effective_rank(rows)],
        &[number("retrieval/effective_rank")],
        1e-12,
    );
}

#[test]
fn verification_is_scikit_learns_and_facenets() {
    let scores = f32s("verification/scores");
    let same: Vec<bool> = i64s("verification/same").iter().map(|&s| s == 1).collect();
    let roc = Roc::new(&scores, &same).unwrap();
    let points = roc.points();
    let curve: Vec<f64> = points
        .iter()
        .map(|p| roc.far(p))
        .chain(points.iter().map(|p| roc.tar(p)))
        .collect();
    close(&curve, &f64s("verification/roc"), 1e-15);
    close(&[roc.auc()], &[number("verification/auc")], 1e-14);
    close(
        &[roc.equal_error_rate()],
        &[number("verification/eer")],
        1e-12,
    );
    let rates = f64s("verification/rates");
    let tars: Vec<f64> = rates.iter().map(|&rate| roc.tar_at_far(rate).tar).collect();
    close(&tars, &f64s("verification/tar_at"), 1e-15);

    let folds: Vec<usize> = (0..scores.len()).map(|i| i / 120).collect();
    let grid = f64s("verification/grid");
    let found = cross_validated(&scores, &same, &folds, Thresholds::Grid(&grid)).unwrap();
    close(&found.accuracies, &f64s("verification/folds"), 1e-15);
    let error = found.standard_error();
    close(&[error], &[number("verification/standard_error")], 1e-15);
    // With every threshold to choose from, much the same.
    let all = cross_validated(&scores, &same, &folds, Thresholds::All).unwrap();
    close(&[all.mean()], &[found.mean()], 0.01);
}

#[test]
fn mutual_information_is_scikit_learns() {
    for case in 0..4 {
        let [a, b] = ["a", "b"].map(|side| labels(&format!("clustering/{case}/{side}")));
        let found = [
            normalised_mutual_information(&a, &b),
            adjusted_mutual_information(&a, &b),
        ];
        let wanted = ["nmi", "ami"].map(|name| number(&format!("clustering/{case}/{name}")));
        close(&found, &wanted, 1e-12);
    }
}

#[test]
fn classification_is_scikit_learns_and_guos() {
    let (logits, labels) = (
        f32s("classification/logits"),
        labels("classification/labels"),
    );
    let top = [1, 2, 3].map(|k| top_k_accuracy(&logits, 6, &labels, k));
    close(&top, &f64s("classification/top"), 1e-15);
    let mut confusion = Confusion::new(6);
    confusion.add(&logits, &labels);
    let cells = (0..36).map(|i| confusion.count(i / 6, i % 6) as i64);
    assert!(cells.eq(i64s("classification/confusion")));
    let calibration = Calibration::new(&logits, 6, &labels, 15);
    close(
        &[calibration.expected_error()],
        &[number("classification/ece")],
        1e-7,
    );
}
