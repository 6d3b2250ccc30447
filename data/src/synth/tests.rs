//! Made-up data sets: whole, the same on any number of threads, and hard for what does not learn.

use super::*;
use crate::decode;
use crate::formats::reid::{self, MARKET_1501, VERI_776};
use crate::manifest::{Manifest, Split, Survey};
use crate::metrics::retrieval::{Identities, Retrieved, Rule, Ties, evaluate};
use crate::metrics::scores::{Embeddings, Pairwise, Similarity};
use std::collections::BTreeSet;

fn plan(kind: Kind, identities: usize) -> Plan {
    Plan {
        identities,
        cameras: 4,
        images_per_camera: 2,
        ..Plan::new(kind)
    }
}

fn written(plan: &Plan) -> (tempfile::TempDir, Written, Survey) {
    let folder = tempfile::tempdir().unwrap();
    let counts = plan.write(folder.path().join("set"), |_, _| {}).unwrap();
    let layout = match plan.kind {
        Kind::People => MARKET_1501,
        Kind::Vehicles => VERI_776,
    };
    let survey = reid::read(&layout, folder.path().join("set")).unwrap();
    (folder, counts, survey)
}

#[test]
fn people_fill_the_layout_of_market_1501() {
    let (_folder, counts, survey) = written(&plan(Kind::People, 9));
    let manifest = survey.manifest;
    let labels = |wanted: &dyn Fn(&crate::manifest::Entry) -> bool| -> BTreeSet<String> {
        let wanted = manifest.entries.iter().filter(|e| wanted(e));
        wanted.map(|e| e.label.clone()).collect()
    };
    let train = labels(&|e| e.split == Split::Train);
    let query = labels(&|e| e.is_query);
    assert_eq!((train.len(), query.len()), (4, 5));
    assert!(train.is_disjoint(&query));
    let gallery = labels(&|e| e.is_gallery);
    let others: Vec<&String> = gallery.difference(&query).collect();
    assert_eq!(others, ["-1", "0000"]);
    let count = |wanted: fn(&crate::manifest::Entry) -> bool| manifest.indices(wanted).len();
    let found = Written {
        train: count(|e| e.split == Split::Train),
        query: count(|e| e.is_query),
        gallery: count(|e| e.is_gallery),
        distractors: count(|e| e.label == "0000"),
        junk: count(|e| e.label == "-1"),
    };
    assert_eq!(found, counts);
    assert_eq!((survey.ignored, found.junk > 0), (0, true));
    for i in 0..manifest.entries.len() {
        assert_eq!(
            decode::open(&manifest.path(i), 3).unwrap().shape(),
            [128, 64, 3]
        );
    }
    let test = manifest.evaluation().unwrap();
    assert_eq!(test.rule, Rule::CrossCamera);
    assert_eq!(
        rank(&manifest, [2, 1]).unmatched(),
        0,
        "everybody can be found"
    );
}

#[test]
fn vehicles_come_with_the_lists_of_veri_776() {
    let (folder, counts, survey) = written(&plan(Kind::Vehicles, 5));
    let root = folder.path().join("set");
    let manifest = survey.manifest;
    let of = |wanted: fn(&crate::manifest::Entry) -> bool| manifest.indices(wanted);
    let (query, gallery) = (of(|e| e.is_query), of(|e| e.is_gallery));
    for (list, entries) in [
        ("name_train.txt", of(|e| e.split == Split::Train)),
        ("name_query.txt", query.clone()),
        ("name_test.txt", gallery.clone()),
    ] {
        let name = |&i: &usize| {
            manifest.entries[i]
                .path
                .split_once('/')
                .unwrap()
                .1
                .to_string()
        };
        let found: Vec<String> = entries.iter().map(name).collect();
        assert_eq!(reid::names(root.join(list)).unwrap(), found);
    }
    let [matches, junk] =
        ["gt_index.txt", "jk_index.txt"].map(|list| reid::veri_index(root.join(list)).unwrap());
    assert_eq!((matches.len(), junk.len()), (query.len(), query.len()));
    for (row, &q) in query.iter().enumerate() {
        let asked = &manifest.entries[q];
        let places = |same_camera: bool| -> Vec<usize> {
            let fits = |&g: &usize| {
                let item = &manifest.entries[gallery[g]];
                item.label == asked.label && (item.camera == asked.camera) == same_camera
            };
            (0..gallery.len()).filter(fits).collect()
        };
        assert_eq!((&matches[row], &junk[row]), (&places(false), &places(true)));
        assert!(!matches[row].is_empty());
    }
    let xml = fs::read_to_string(root.join("train_label.xml")).unwrap();
    assert!(xml.contains(&format!("<Items number=\"{}\">", counts.train)));
    assert_eq!(xml.matches("<Item ").count(), counts.train);
    let tracks = fs::read_to_string(root.join("test_track.txt")).unwrap();
    assert_eq!(tracks.split_whitespace().count(), counts.gallery);
}

#[test]
fn pictures_depend_on_the_seed_and_not_on_the_threads() {
    for kind in [Kind::People, Kind::Vehicles] {
        let bytes = |threads, seed| {
            let plan = Plan {
                seed,
                ..plan(kind, 3)
            };
            let (_folder, _, survey) = par::with_threads(threads, || written(&plan));
            let manifest = survey.manifest;
            let read = |i: usize| {
                (
                    manifest.entries[i].path.clone(),
                    fs::read(manifest.path(i)).unwrap(),
                )
            };
            (0..manifest.entries.len()).map(read).collect::<Vec<_>>()
        };
        let one = bytes(1, 5);
        assert!(one == bytes(3, 5), "other pictures on three threads");
        assert!(one != bytes(1, 6), "the same pictures by another seed");
    }
}

/// The test by the pixels themselves, taken down to `[height, width]`, without their mean.
fn rank(manifest: &Manifest, size: [usize; 2]) -> Retrieved {
    let test = manifest.evaluation().unwrap();
    let features = |indices: &[usize]| -> Vec<f32> {
        let one = |&i: &usize| {
            let picture = decode::open(&manifest.path(i), 3).unwrap();
            let small = picture.resized(picture.area(), size);
            let mean = small.pixels().iter().map(|&p| f32::from(p)).sum::<f32>();
            let mean = mean / small.pixels().len() as f32;
            small
                .pixels()
                .iter()
                .map(|&p| f32::from(p) - mean)
                .collect::<Vec<_>>()
        };
        indices.iter().flat_map(one).collect()
    };
    let (query, gallery) = (features(&test.queries), features(&test.gallery));
    let embeddings = |values| Embeddings::new(values, 3 * size[0] * size[1]).unwrap();
    let scores = Pairwise::new(embeddings(&query), embeddings(&gallery), Similarity::Cosine);
    let of = |indices: &[usize]| -> (Vec<i64>, Vec<u32>) {
        indices
            .iter()
            .map(|&i| (test.ids[i], test.cameras[i]))
            .unzip()
    };
    let (q_ids, q_cameras) = of(&test.queries);
    let (g_ids, g_cameras) = of(&test.gallery);
    evaluate(
        &scores.unwrap(),
        Identities {
            ids: &q_ids,
            cameras: &q_cameras,
        },
        Identities {
            ids: &g_ids,
            cameras: &g_cameras,
        },
        test.rule,
        Ties::Stable,
    )
    .unwrap()
}

#[test]
fn pixels_tell_a_little_and_less_where_it_is_harder() {
    for kind in [Kind::People, Kind::Vehicles] {
        let [easy, hard] = [Difficulty::Easy, Difficulty::Hard].map(|difficulty| {
            // One picture by each camera: the others cost time and tell the same.
            let plan = Plan {
                difficulty,
                images_per_camera: 1,
                ..plan(kind, 40)
            };
            let (_folder, _, survey) = written(&plan);
            rank(&survey.manifest, [24, 12]).recall_at(1)
        });
        assert!(easy < 0.5 && hard < 0.25, "too easy: {easy} and {hard}");
        // By chance it is some 5 %, fewer with distractors.
        assert!(
            easy > 0.1 && easy > hard + 0.05,
            "nothing to see: {easy} and {hard}"
        );
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_left_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a/set");
    let refused = |plan: Plan, part: &str| {
        let message = plan.write(&target, |_, _| {}).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    refused(
        plan(Kind::People, 1),
        "identities: expected 2 to 9999, found 1",
    );
    let many = Plan {
        cameras: 7,
        ..plan(Kind::People, 4)
    };
    refused(many, "cameras: expected 2 to 6, found 7");
    fs::create_dir_all(&target).unwrap();
    let calls = AtomicUsize::new(0);
    plan(Kind::People, 2)
        .write(&target, |_, all| {
            calls.fetch_add(1, Ordering::Relaxed);
            assert!(all > 0);
        })
        .unwrap();
    let pictures: usize = ["bounding_box_train", "query", "bounding_box_test"]
        .map(|part| fs::read_dir(target.join(part)).unwrap().count())
        .iter()
        .sum();
    assert_eq!(calls.into_inner(), pictures);
    let beside: Vec<_> = fs::read_dir(target.parent().unwrap()).unwrap().collect();
    assert_eq!(beside.len(), 1, "the workshop is gone");
    refused(plan(Kind::People, 2), "one with something in it");
}
