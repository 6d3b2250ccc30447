//! Tests of the loader: what an epoch holds, and that nothing else about it matters.

use super::*;
use crate::error::Error;
use crate::order::LastBatch;
use crate::set::tests::counting;
use crate::{Augment, Images, Normalise};
use std::sync::atomic::AtomicUsize;

const SEED: u64 = 11;

fn images(n: usize) -> Images {
    Images::new(counting(n, [6, 5, 1], 7), Normalise::unit(1))
        .unwrap()
        .augmented(Augment::mnist_strong())
        .unwrap()
}

fn shuffled(batch: usize) -> Order {
    Order::Shuffled {
        batch,
        last: LastBatch::Keep,
    }
}

type Content = (Vec<usize>, Vec<usize>, Vec<f32>);

fn content(epoch: Epoch) -> Vec<Content> {
    epoch
        .map(|batch| {
            let batch = batch.unwrap();
            (
                batch.indices.clone(),
                batch.labels.clone(),
                batch.images.clone(),
            )
        })
        .collect()
}

/// The images of an epoch by their index.
fn by_index(batches: &[Content]) -> Vec<(usize, Vec<f32>)> {
    let mut all: Vec<(usize, Vec<f32>)> = batches
        .iter()
        .flat_map(|(indices, _, images)| {
            indices
                .iter()
                .copied()
                .zip(images.chunks(30).map(<[f32]>::to_vec))
        })
        .collect();
    all.sort_by_key(|(index, _)| *index);
    all
}

#[test]
fn threads_and_prefetching_change_nothing() {
    let loader = Loader::new(images(50), shuffled(8), SEED).unwrap();
    let expected = content(loader.epoch(3));
    assert_eq!(expected.len(), 7);
    for (workers, ahead) in [(1, 1), (2, 1), (3, 2), (20, 5)] {
        let loader = loader.clone().workers(workers).prefetch(ahead);
        assert_eq!(
            content(loader.epoch(3)),
            expected,
            "{workers} workers, {ahead} ahead"
        );
    }
}

#[test]
fn batch_boundaries_do_not_change_an_image() {
    let epoch = |batch| {
        let loader = Loader::new(images(50), shuffled(batch), SEED).unwrap();
        content(loader.epoch(1))
    };
    assert_eq!(by_index(&epoch(8)), by_index(&epoch(50)));
}

#[test]
fn seeds_and_epochs_change_order_and_images() {
    let epoch = |seed, epoch| {
        content(
            Loader::new(images(50), shuffled(8), seed)
                .unwrap()
                .epoch(epoch),
        )
    };
    let base = epoch(SEED, 0);
    for other in [epoch(SEED, 1), epoch(SEED + 1, 0)] {
        assert_ne!(base[0].0, other[0].0);
        let same = by_index(&base)
            .iter()
            .zip(by_index(&other))
            .filter(|(a, b)| **a == *b)
            .count();
        assert!(same < 3, "{same} of 50 images were varied in the same way");
    }
}

#[test]
fn equal_images_are_varied_each_in_its_own_way() {
    let twins = images(50).set().subset(&[3; 20]);
    let twins = Images::new(twins, Normalise::unit(1)).unwrap();
    let twins = twins.augmented(Augment::mnist_strong()).unwrap();
    let loader = Loader::new(twins, shuffled(8), SEED).unwrap();
    let all = by_index(&content(loader.epoch(0)));
    for (i, (_, image)) in all.iter().enumerate() {
        assert!(
            all[..i].iter().all(|(_, other)| other != image),
            "image {i}"
        );
    }
}

#[test]
fn an_epoch_resumes_at_any_batch() {
    let loader = Loader::new(images(50), shuffled(8), SEED)
        .unwrap()
        .workers(2);
    let whole = content(loader.epoch(2));
    for first in 0..=9 {
        let epoch = loader.epoch_from(2, first);
        assert_eq!(epoch.position(), first.min(7));
        assert_eq!(content(epoch), whole[first.min(7)..]);
    }
    let mut epoch = loader.epoch(2);
    epoch.nth(2).unwrap().unwrap();
    assert_eq!(epoch.position(), 3);
}

#[test]
fn labels_and_shapes_belong_to_the_indices() {
    let loader = Loader::new(images(50), shuffled(8), SEED).unwrap();
    for batch in loader.epoch(0) {
        let batch = batch.unwrap();
        assert_eq!(batch.shape, [batch.len(), 6, 5, 1]);
        assert_eq!(batch.images.len(), batch.len() * 30);
        assert!(
            batch
                .indices
                .iter()
                .zip(&batch.labels)
                .all(|(i, &l)| i % 7 == l)
        );
    }
}

#[test]
fn evaluation_is_in_order_complete_and_unvaried() {
    let source = images(20);
    let set = source.set().clone();
    let loader = Loader::evaluation(source, 8).unwrap();
    let read = content(loader.epoch(0));
    assert_eq!(
        read.iter().map(|b| b.0.len()).collect::<Vec<_>>(),
        [8, 8, 4]
    );
    for (position, (index, image)) in by_index(&read).iter().enumerate() {
        assert_eq!(*index, position);
        let bytes = Normalise::unit(1).bytes(image);
        assert_eq!(bytes, set.image(position));
    }
    assert_eq!(read, content(loader.epoch(9)));
    let nothing = Images::new(set.subset(&[]), Normalise::unit(1)).unwrap();
    let nothing = Loader::evaluation(nothing, 8).unwrap();
    assert_eq!((nothing.batches(), nothing.epoch(0).count()), (0, 0));
}

/// Examples that count how often they are written, fail at one index and may take their time.
struct Probe {
    labels: Vec<usize>,
    bad: Option<usize>,
    panics: bool,
    pause: Duration,
    written: Arc<AtomicUsize>,
}

impl Probe {
    fn new(n: usize) -> Self {
        Probe {
            labels: vec![0; n],
            bad: None,
            panics: false,
            pause: Duration::ZERO,
            written: Arc::default(),
        }
    }
}

impl Examples for Probe {
    fn shape(&self) -> [usize; 3] {
        [1, 1, 1]
    }

    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn write(&self, index: usize, _: Option<Key>, out: &mut [f32]) -> Result<()> {
        self.written.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.pause);
        assert!(
            !self.panics || self.bad != Some(index),
            "example {index} is cursed"
        );
        if self.bad == Some(index) {
            return Err(Error::invalid("example", "a sound one", index, "mend it"));
        }
        out[0] = index as f32;
        Ok(())
    }
}

#[test]
fn the_queue_is_bounded_and_stopping_early_does_not_hang() {
    let probe = Probe::new(1_000_000);
    let written = Arc::clone(&probe.written);
    let loader = Loader::evaluation(probe, 10).unwrap().prefetch(3);
    let mut epoch = loader.epoch(0);
    epoch.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    // One taken, three waiting, one in hand.
    assert!(written.load(Ordering::SeqCst) <= 50);
    drop(epoch);
    let after = written.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(
        written.load(Ordering::SeqCst),
        after,
        "the thread has ended"
    );
}

#[test]
fn stopping_does_not_wait_for_a_slow_batch() {
    let mut probe = Probe::new(1000);
    probe.pause = Duration::from_millis(20);
    let loader = Loader::evaluation(probe, 1000).unwrap().workers(2);
    let epoch = loader.epoch(0);
    std::thread::sleep(Duration::from_millis(30));
    let start = Instant::now();
    drop(epoch);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "a batch takes 20 seconds"
    );
}

#[test]
fn an_error_comes_in_its_place_and_ends_the_epoch() {
    for workers in [1, 3] {
        let mut probe = Probe::new(100);
        probe.bad = Some(47);
        let loader = Loader::evaluation(probe, 10).unwrap().workers(workers);
        let results: Vec<_> = loader.epoch(0).collect();
        assert_eq!(results.len(), 5);
        assert!(results[..4].iter().all(Result::is_ok));
        let message = results[4].as_ref().unwrap_err().to_string();
        assert!(message.contains("found 47"), "{message}");
    }
}

#[test]
#[should_panic(expected = "example 47 is cursed")]
fn a_panic_in_a_worker_reaches_the_taker() {
    let mut probe = Probe::new(100);
    (probe.bad, probe.panics) = (Some(47), true);
    let loader = Loader::evaluation(probe, 10).unwrap().workers(2);
    loader.epoch(0).for_each(drop);
}

#[test]
fn waiting_is_counted_when_loading_is_slow_and_only_then() {
    let mut slow = Probe::new(20);
    slow.pause = Duration::from_millis(5);
    let mut epoch = Loader::evaluation(slow, 5).unwrap().epoch(0);
    epoch.by_ref().for_each(drop);
    assert!(
        epoch.waited() > Duration::from_millis(60),
        "{:?}",
        epoch.waited()
    );

    let mut epoch = Loader::evaluation(Probe::new(20), 5).unwrap().epoch(0);
    epoch.next();
    std::thread::sleep(Duration::from_millis(300));
    let first = epoch.waited();
    epoch.by_ref().for_each(drop);
    assert!(
        epoch.waited() - first < Duration::from_millis(200),
        "{:?}",
        epoch.waited()
    );
}

#[test]
fn dropped_batches_give_their_buffers_back() {
    let loader = Loader::evaluation(Probe::new(1000), 10)
        .unwrap()
        .prefetch(2);
    let mut places = std::collections::HashSet::new();
    for batch in loader.epoch(0) {
        places.insert(batch.unwrap().images.as_ptr());
    }
    assert!(
        places.len() <= 5,
        "{} buffers for 100 batches",
        places.len()
    );
    // A second epoch starts with them, and a refilled buffer holds no trace of its past.
    for batch in loader.epoch(1) {
        let batch = batch.unwrap();
        assert!(
            batch
                .images
                .iter()
                .zip(&batch.indices)
                .all(|(&x, &i)| x == i as f32)
        );
    }
    assert!((1..=4).contains(&loader.spare.buffers.lock().unwrap().len()));
}

#[test]
fn orders_that_do_not_fit_the_data_are_refused() {
    assert!(Loader::new(images(5), Order::shuffled(8), SEED).is_err());
    assert!(Loader::new(images(50), Order::pxk(8, 2), SEED).is_err());
    let loader = Loader::new(images(50), Order::pxk(7, 2), SEED).unwrap();
    assert_eq!(content(loader.epoch(0)).len(), loader.batches());
}

#[test]
fn mixing_depends_on_the_batch_alone_and_leaves_evaluation_alone() {
    let loader = Loader::new(images(50), shuffled(8), SEED).unwrap();
    let mixing = loader.clone().mixup(0.4).unwrap();
    let plain = content(loader.epoch(2));
    let mixed: Vec<Batch> = mixing.epoch(2).map(|b| b.unwrap()).collect();
    let shares: Vec<f32> = mixed
        .iter()
        .map(|b| b.mixed.as_ref().unwrap().share)
        .collect();
    assert!(shares.windows(2).any(|pair| pair[0] != pair[1]));
    for (batch, (indices, labels, images)) in mixed.iter().zip(&plain) {
        assert_eq!((&batch.indices, &batch.labels), (indices, labels));
        assert_ne!(&batch.images, images);
    }
    // Resumed in the middle and made by more workers, it is the same.
    let resumed: Vec<Batch> = mixing
        .clone()
        .workers(3)
        .epoch_from(2, 4)
        .map(|b| b.unwrap())
        .collect();
    for (resumed, batch) in resumed.iter().zip(&mixed[4..]) {
        assert_eq!(
            (&resumed.images, &resumed.mixed),
            (&batch.images, &batch.mixed)
        );
    }
    let evaluation = Loader::evaluation(images(5), 5)
        .unwrap()
        .mixup(0.4)
        .unwrap();
    assert!(evaluation.epoch(0).all(|b| b.unwrap().mixed.is_none()));
    assert!(loader.clone().mixup(-1.0).is_err() && loader.mixup(f32::NAN).is_err());
}
