use super::*;
use engine::par;
use engine::rng::Key;

/// Rows around a few directions, as embeddings of classes are.
fn features(count: usize, dim: usize) -> Features {
    let mut rng = Key::new(3).rng();
    let centres: Vec<f64> = (0..20 * dim).map(|_| rng.normal()).collect();
    let mut vectors = Vec::new();
    for i in 0..count {
        let centre = &centres[i % 20 * dim..(i % 20 + 1) * dim];
        vectors.extend(centre.iter().map(|c| (5.0 * c + 2.0 * rng.normal()) as f32));
    }
    Features {
        dim,
        vectors,
        names: (0..count).map(|i| format!("{i}.png")).collect(),
        ..Features::default()
    }
}

#[test]
fn an_exact_search_finds_what_sorting_by_the_definition_finds() {
    let features = features(300, 5);
    let gallery = Gallery::new(features.clone()).unwrap();
    // Queries of any length.
    let queries: Vec<f32> = features.vectors[..20].iter().map(|x| 3.0 * x).collect();
    let found = gallery.search(&queries, 7, false).unwrap();
    for (q, found) in found.iter().enumerate() {
        let row = |i: usize| &features.vectors[5 * i..5 * i + 5];
        let cosine = |i| crate::protocol::verify::cosine(&queries[5 * q..5 * q + 5], row(i));
        let mut all: Vec<usize> = (0..300).collect();
        all.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)));
        let rows: Vec<usize> = found.iter().map(|n| n.1 as usize).collect();
        assert_eq!(rows, all[..7]);
        assert_eq!(rows[0], q);
        assert!(
            found
                .iter()
                .all(|n| (n.0 - cosine(n.1 as usize)).abs() < 1e-5)
        );
    }
    assert!(
        gallery.search(&queries[..4], 7, false).is_err(),
        "dimensions"
    );
}

#[test]
fn an_approximate_search_has_the_recall_it_was_asked_for_and_looks_at_less() {
    let features = features(4_000, 16);
    let exact = Gallery::new(features.clone()).unwrap();
    let (gallery, trials) = exact.clone().approximate(0.95, 1).unwrap();
    let last = trials.last().unwrap();
    assert_eq!(gallery.cells().unwrap().probes(), last.probes);
    assert!(last.recall >= 0.95 && last.compared < 0.5, "{last:?}");
    assert!(trials[0].recall < 0.95, "one cell is too easy: {trials:?}");
    // The measured recall is that of searches, counted from outside.
    let mut rng = Key::new(9).rng();
    let jitter = |x: &f32| x + 0.5 * rng.normal() as f32;
    let queries: Vec<f32> = features.vectors[..200 * 16].iter().map(jitter).collect();
    let [wanted, found] = [true, false].map(|all| gallery.search(&queries, 10, all).unwrap());
    assert_eq!(wanted, exact.search(&queries, 10, false).unwrap());
    let hits = wanted.iter().zip(&found).map(|(wanted, found)| {
        let rows: Vec<u32> = found.iter().map(|n| n.1).collect();
        wanted.iter().filter(|n| rows.contains(&n.1)).count()
    });
    let recall = hits.sum::<usize>() as f64 / 2_000.0;
    assert!((recall - last.recall).abs() < 0.05, "{recall} {last:?}");
    // However many are wanted, they are found.
    let all = gallery.search(&queries[..16], 3_000, false).unwrap();
    assert_eq!(all[0].len(), 3_000);
    // A function of rows and seed.
    let again = par::with_threads(1, || exact.clone().approximate(0.95, 1).unwrap());
    assert!(again.0 == gallery && again.1 == trials);
    assert!(exact.approximate(0.95, 2).unwrap().0 != gallery);
    assert!(
        Gallery::new(self::features(50, 4))
            .unwrap()
            .approximate(0.9, 0)
            .is_err()
    );
}

#[test]
fn galleries_are_read_as_they_were_written_and_damaged_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery.idx");
    let exact = Gallery::new(features(300, 4)).unwrap();
    let (approximate, _) = exact.clone().approximate(0.9, 0).unwrap();
    for gallery in [&exact, &approximate] {
        gallery.write(&path).unwrap();
        assert!(&Gallery::read(&path).unwrap() == gallery);
    }
    let refused = |more: Vec<(&str, safetensors::tensor::TensorView<'_>)>, parts: &[&str]| {
        std::fs::write(&path, tensors::encode(&exact.features, more)).unwrap();
        let error = Gallery::read(&path).unwrap_err().to_string();
        for part in ["gallery.idx"].iter().chain(parts) {
            assert!(error.contains(part), "`{part}` is missing in: {error}");
        }
    };
    let centres = |cells: usize, dim: usize| {
        let shape = vec![cells, dim];
        (
            "centres",
            view(Dtype::F32, shape, &[0; 64][..4 * cells * dim]),
        )
    };
    let whole = |name: &'static str, values: &'static [i64]| {
        let shape = vec![values.len()];
        (name, view(Dtype::I64, shape, bytemuck::cast_slice(values)))
    };
    static CELLS: [i64; 300] = [1; 300];
    static TOO_FAR: [i64; 300] = [2; 300];
    let good = [centres(2, 4), whole("cells", &CELLS), whole("probes", &[1])];
    std::fs::write(&path, tensors::encode(&exact.features, good.to_vec())).unwrap();
    assert!(Gallery::read(&path).is_ok());
    refused(vec![centres(2, 3)], &["`centres`", "[C, 4]", "[2, 3]"]);
    refused(vec![centres(2, 4)], &["`cells`", "300 numbers"]);
    refused(
        vec![
            centres(2, 4),
            whole("cells", &TOO_FAR),
            whole("probes", &[1]),
        ],
        &["`cells`", "from 0 to 1", "found 2"],
    );
    refused(
        vec![centres(2, 4), whole("cells", &CELLS), whole("probes", &[3])],
        &["`probes`", "from 1 to 2", "found 3"],
    );
    refused(vec![centres(0, 4)], &["`centres`"]);
    std::fs::write(&path, b"no gallery").unwrap();
    assert!(
        Gallery::read(&path)
            .unwrap_err()
            .to_string()
            .contains("the header")
    );
}
