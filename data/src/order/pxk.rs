//! P classes times K images: A. Hermans, L. Beyer and B. Leibe, "In Defense of the Triplet Loss
//! for Person Re-Identification" (2017), with an epoch that shows every image.

use super::deck;
use engine::rng::{Key, Rng};

/// For each class, the visits of `per_class` images that show all its images once.
pub(super) fn visits(labels: &[usize], per_class: usize) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |&most| most + 1);
    let mut counts = vec![0usize; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    counts.iter().map(|n| n.div_ceil(per_class)).collect()
}

/// The fewest batches of `classes` different classes that hold all visits.
pub(super) fn batches(visits: &[usize], classes: usize) -> usize {
    let all: usize = visits.iter().sum();
    let most = visits.iter().max().copied().unwrap_or(0);
    all.div_ceil(classes).max(most)
}

/// The images of an epoch, batch after batch, class after class.
pub(super) fn draw(
    labels: &[usize],
    cameras: &[u32],
    [classes, per_class]: [usize; 2],
    key: Key,
) -> Vec<usize> {
    let mut visits = visits(labels, per_class);
    let batches = batches(&visits, classes);
    let mut rng = key.named("classes").rng();
    fill_up(&mut visits, batches, classes, &mut rng);

    let mut decks = deck::of_classes(labels, cameras, key.named("images"));
    let mut indices = Vec::with_capacity(batches * classes * per_class);
    for chosen in schedule(visits, batches, classes, &mut rng) {
        decks[chosen].deal(per_class, &mut indices);
    }
    indices
}

/// Adds visits until they fill `batches`, one to each class in turn, in random order; no class
/// gets more visits than there are batches, as it would meet itself in one.
fn fill_up(visits: &mut [usize], batches: usize, classes: usize, rng: &mut Rng) {
    let mut missing = batches * classes - visits.iter().sum::<usize>();
    let mut turn: Vec<usize> = (0..visits.len()).filter(|&c| visits[c] > 0).collect();
    rng.shuffle(&mut turn);
    while missing > 0 {
        turn.retain(|&class| visits[class] < batches);
        assert!(!turn.is_empty(), "fewer classes than Order::check asks for");
        for &class in turn.iter().take(missing) {
            visits[class] += 1;
        }
        missing -= turn.len().min(missing);
    }
}

/// The class of every place, `[batches, classes]`, each class `left` times and never twice in a
/// batch. Which classes meet is random: each rings after an exponential time whose rate is the
/// visits it has left, and the first to ring make the batch.
///
/// With `b` batches to go, no class has more than `b` visits left and they sum to `b * classes`.
/// Letting the classes with exactly `b` in at once keeps both true, so there is always a batch.
fn schedule(mut left: Vec<usize>, batches: usize, classes: usize, rng: &mut Rng) -> Vec<usize> {
    let mut places = Vec::with_capacity(batches * classes);
    for to_go in (1..=batches).rev() {
        let waiting = left.iter().enumerate().filter(|&(_, &n)| n > 0);
        let mut rings: Vec<(f64, usize)> = waiting
            .map(|(class, &n)| {
                let time = -(1.0 - rng.uniform()).ln() / n as f64;
                (if n == to_go { -1.0 } else { time }, class)
            })
            .collect();
        rings.select_nth_unstable_by(classes - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for &(_, class) in &rings[..classes] {
            places.push(class);
            left[class] -= 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Order;
    use proptest::prelude::*;

    /// `counts[c]` images of each class `c`, the classes interleaved.
    fn labels(counts: &[usize]) -> Vec<usize> {
        let most = counts.iter().max().copied().unwrap_or(0);
        (0..most)
            .flat_map(|round| (0..counts.len()).filter(move |&c| round < counts[c]))
            .collect()
    }

    /// Holds an epoch to everything that [`Order::PxK`] promises.
    fn keeps_its_promises(counts: &[usize], classes: usize, per_class: usize, seed: u64) {
        let labels = labels(counts);
        let order = Order::pxk(classes, per_class);
        order.check(&labels, &[]).unwrap();
        let plan = order.plan(&labels, &[], Key::new(seed));
        assert_eq!(plan.batches(), order.batches(&labels));

        let mut seen = vec![0usize; labels.len()];
        let mut visited = vec![0usize; counts.len()];
        for b in 0..plan.batches() {
            let batch = plan.batch(b);
            assert_eq!(batch.len(), classes * per_class);
            let mut met = Vec::new();
            for group in batch.chunks(per_class) {
                let class = labels[group[0]];
                assert!(
                    group.iter().all(|&i| labels[i] == class),
                    "one class side by side"
                );
                assert!(!met.contains(&class), "a class twice in a batch");
                met.push(class);
                visited[class] += 1;
                let mut images = group.to_vec();
                images.sort_unstable();
                images.dedup();
                assert_eq!(
                    images.len(),
                    per_class.min(counts[class]),
                    "as different as can be"
                );
                group.iter().for_each(|&i| seen[i] += 1);
            }
        }
        assert!(seen.iter().all(|&n| n > 0), "every image comes");
        for (class, &n) in counts.iter().enumerate() {
            assert!(visited[class] >= n.div_ceil(per_class));
            let times = || {
                (0..labels.len())
                    .filter(|&i| labels[i] == class)
                    .map(|i| seen[i])
            };
            if let (Some(least), Some(most)) = (times().min(), times().max()) {
                assert!(
                    most <= least + 1,
                    "within a class, images come equally often"
                );
            }
        }
    }

    #[test]
    fn balanced_unbalanced_tiny_and_empty_classes() {
        keeps_its_promises(&[12, 12, 12, 12], 4, 3, 1);
        keeps_its_promises(&[50, 3, 1, 0, 7], 2, 4, 2);
        keeps_its_promises(&[1, 1, 2], 3, 4, 3);
        keeps_its_promises(&[600, 5, 5, 5], 4, 2, 4);
        keeps_its_promises(&[17; 40], 16, 4, 5);
    }

    #[test]
    fn an_epoch_is_as_short_as_it_can_be() {
        let batches = |counts: &[usize], p, k| Order::pxk(p, k).batches(&labels(counts));
        assert_eq!(batches(&[12, 12, 12, 12], 4, 3), 4);
        assert_eq!(batches(&[12, 12, 12, 13], 4, 3), 5);
        // 25 visits to the large class, each in a batch of its own.
        assert_eq!(batches(&[100, 4, 4], 2, 4), 25);
    }

    #[test]
    fn epochs_differ_and_classes_meet_in_new_company() {
        let labels = labels(&[16; 30]);
        let order = Order::pxk(5, 4);
        let plan = |epoch| order.plan(&labels, &[], Key::new(6).at(epoch));
        assert_eq!(plan(0), plan(0));
        assert_ne!(plan(0), plan(1));
        // Over a few epochs, class 0 has met all others.
        let mut met = [false; 30];
        for epoch in 0..30 {
            let plan = plan(epoch);
            for b in 0..plan.batches() {
                let classes: Vec<usize> = plan.batch(b).iter().map(|&i| labels[i]).collect();
                if classes.contains(&0) {
                    classes.iter().for_each(|&c| met[c] = true);
                }
            }
        }
        assert!(met.iter().all(|&m| m), "{met:?}");
    }

    /// Eight images of each class by camera 0, eight by camera 1 and four by camera 2.
    #[test]
    fn cameras_come_evenly() {
        let labels = labels(&[20; 12]);
        let camera = |i: usize| [0, 0, 1, 1, 2][i / 12 % 5];
        let cameras: Vec<u32> = (0..labels.len()).map(camera).collect();
        let visits = |order: Order| -> Vec<Vec<u32>> {
            order.check(&labels, &cameras).unwrap();
            let plan = order.plan(&labels, &cameras, Key::new(1));
            let cameras = plan.indices().iter().map(|&i| cameras[i]);
            cameras
                .collect::<Vec<_>>()
                .chunks(5)
                .map(<[u32]>::to_vec)
                .collect()
        };
        let met = |visit: &Vec<u32>| (0..3).filter(|c| visit.contains(c)).count();
        let even = visits(Order::pxk_cameras(4, 5));
        assert_eq!(even.len(), 12 * 4);
        // Of five in a row, two are by each of the first cameras, one in between by the third.
        for visit in &even {
            for camera in 0..3 {
                let times = visit.iter().filter(|&&c| c == camera).count();
                assert!((1..=3).contains(&times), "{visit:?}");
            }
        }
        let chance = visits(Order::pxk(4, 5));
        assert!(chance.iter().any(|visit| met(visit) < 3));
    }

    proptest! {
        #[test]
        fn any_classes_will_do(counts in prop::collection::vec(0usize..40, 1..12), p in 1usize..8, k in 1usize..6, seed: u64) {
            let present = counts.iter().filter(|&&n| n > 0).count();
            prop_assume!(present > 0);
            keeps_its_promises(&counts, p.min(present), k.min(counts.iter().sum()), seed);
        }
    }
}
