//! Evaluation against a gallery whose scores would not fit: the only test of its process, because
//! the pool of buffers counts for all of it.

use data::metrics::retrieval::{Identities, Rule, Ties, evaluate};
use data::metrics::scores::{Embeddings, Pairwise, Similarity};
use engine::pool;
use engine::rng::Key;

#[test]
fn memory_stays_bounded_when_the_gallery_grows() {
    let (queries, items, dim) = (600, 30_000, 8);
    let mut rng = Key::new(1).rng();
    let mut values =
        |rows: usize| -> Vec<f32> { (0..rows * dim).map(|_| rng.normal() as f32).collect() };
    let (query, gallery) = (values(queries), values(items));
    let ids: Vec<i64> = (0..items as i64).map(|i| i % 210).collect();
    let [query, gallery] = [query, gallery].map(Vec::leak);
    let [query, gallery] = [query, gallery].map(|rows| Embeddings::new(rows, dim).unwrap());
    let scores = Pairwise::new(query, gallery, Similarity::Cosine).unwrap();
    let found = evaluate(
        &scores,
        Identities::without_cameras(&ids[..queries]),
        Identities::without_cameras(&ids),
        Rule::Everything,
        Ties::Stable,
    )
    .unwrap();
    // Everyone has 142 or 143 of 30,000: the order is random.
    assert!(
        (found.mean_ap() - 1.0 / 210.0).abs() < 1e-3,
        "{}",
        found.mean_ap()
    );
    // All scores would take 72 MB.
    let peak = pool::stats().peak;
    assert!(peak < 40 << 20, "{peak} bytes");
}
