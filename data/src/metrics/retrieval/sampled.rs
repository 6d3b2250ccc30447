//! The protocols that draw one gallery image per identity: CUHK03's classic one and VehicleID.

use super::{Identities, Rule, Ties, evaluate_places, one_each};
use crate::error::Result;
use crate::metrics::scores::Scores;
use engine::Tensor;
use engine::par;
use engine::rng::Key;
use std::collections::BTreeMap;

/// A CMC averaged over repetitions.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanCurve {
    /// The mean share of queries with a match at rank `i + 1` or before; NaN if none has one.
    pub cmc: Vec<f64>,
    /// Queries that had no match and count in no mean, over all repetitions.
    pub unmatched: usize,
}

/// The single-gallery-shot rule of CUHK03's classic protocol (1367/100), as torchreid computes
/// it: images of the query's identity and camera are left out, one image of every other identity
/// is drawn, and the CMC is averaged over `repeats` drawings (10 are usual) and the queries. To
/// be averaged over the 20 official splits; an mAP is not part of the protocol.
///
/// A drawing is a function of (seed, query, repeat).
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if identities or cameras are not one for each item.
pub fn single_gallery_shot(
    scores: &impl Scores,
    queries: Identities<'_>,
    gallery: Identities<'_>,
    repeats: usize,
    ranks: usize,
    seed: u64,
) -> Result<MeanCurve> {
    one_each(
        "identities of the queries",
        queries.ids.len(),
        scores.queries(),
    )?;
    one_each(
        "cameras of the queries",
        queries.cameras.len(),
        scores.queries(),
    )?;
    one_each(
        "identities of the gallery",
        gallery.ids.len(),
        scores.gallery(),
    )?;
    one_each(
        "cameras of the gallery",
        gallery.cameras.len(),
        scores.gallery(),
    )?;
    let all: Vec<usize> = (0..scores.gallery()).collect();
    let key = Key::new(seed).named("single gallery shot");
    let firsts = par::map(scores.queries(), |q| {
        let kept = |&g: &usize| {
            queries.ids[q] != gallery.ids[g] || queries.cameras[q] != gallery.cameras[g]
        };
        let groups = groups(gallery.ids, all.iter().copied().filter(kept));
        let row = scores.block(&[q], &all);
        let first = |repeat| shot(&row, &groups, queries.ids[q], key.at(q as u64).at(repeat));
        (0..repeats as u64)
            .map(first)
            .collect::<Option<Vec<usize>>>()
    });
    let unmatched = firsts.iter().filter(|f| f.is_none()).count();
    let firsts: Vec<usize> = firsts.into_iter().flatten().flatten().collect();
    let reached = |k: usize| firsts.iter().filter(|&&first| first <= k).count();
    Ok(MeanCurve {
        cmc: (1..=ranks)
            .map(|k| reached(k) as f64 / firsts.len() as f64)
            .collect(),
        unmatched,
    })
}

/// Draws one item of each group and returns the rank of the wanted one.
fn shot(row: &Tensor<f32>, groups: &BTreeMap<i64, Vec<usize>>, id: i64, key: Key) -> Option<usize> {
    let mut rng = key.rng();
    let mut draw = |items: &Vec<usize>| items[rng.below(items.len())];
    let drawn: BTreeMap<i64, usize> = groups.iter().map(|(&id, g)| (id, draw(g))).collect();
    let wanted = *drawn.get(&id)?;
    let score = |item: usize| row.data()[item];
    let before = drawn.values().filter(|&&item| {
        score(item) > score(wanted) || score(item) == score(wanted) && item < wanted
    });
    Some(1 + before.count())
}

/// Cuts a test list into queries and a gallery as VehicleID does: one image of each identity,
/// drawn at random, makes the gallery; the others are the queries. Returns the indices of both,
/// ascending. A function of the identities and the key.
pub fn one_image_per_id(ids: &[i64], key: Key) -> (Vec<usize>, Vec<usize>) {
    let mut rng = key.rng();
    let groups = groups(ids, 0..ids.len());
    let mut gallery: Vec<usize> = groups.values().map(|g| g[rng.below(g.len())]).collect();
    gallery.sort_unstable();
    let other = |i: &usize| gallery.binary_search(i).is_err();
    let queries = (0..ids.len()).filter(other).collect();
    (queries, gallery)
}

/// The protocol of VehicleID: [`one_image_per_id`], `repeats` times (10 are usual), and the mean
/// of the CMC. `scores` holds all test images against all. There are no cameras in it; the rule
/// of Market-1501 would leave nothing to be found.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the identities are not one for each item.
pub fn vehicle_id(
    scores: &impl Scores,
    ids: &[i64],
    repeats: usize,
    ranks: usize,
    seed: u64,
) -> Result<MeanCurve> {
    one_each("identities of the test images", ids.len(), scores.queries())?;
    one_each("identities of the test images", ids.len(), scores.gallery())?;
    let key = Key::new(seed).named("VehicleID");
    let mut mean = MeanCurve {
        cmc: vec![0.0; ranks],
        unmatched: 0,
    };
    for repeat in 0..repeats {
        let (queries, gallery) = one_image_per_id(ids, key.at(repeat as u64));
        let part = Part {
            scores,
            queries: &queries,
            gallery: &gallery,
        };
        let found = evaluate_places(
            &part,
            Identities::without_cameras(ids),
            [&queries, &gallery],
            Rule::Everything,
            Ties::Stable,
        )?;
        for (sum, value) in mean.cmc.iter_mut().zip(found.cmc(ranks)) {
            *sum += value;
        }
        mean.unmatched += found.unmatched();
    }
    mean.cmc.iter_mut().for_each(|sum| *sum /= repeats as f64);
    Ok(mean)
}

/// Some queries against some items, both ascending.
struct Part<'a, S> {
    scores: &'a S,
    queries: &'a [usize],
    gallery: &'a [usize],
}

impl<S: Scores> Scores for Part<'_, S> {
    fn queries(&self) -> usize {
        self.queries.len()
    }

    fn gallery(&self) -> usize {
        self.gallery.len()
    }

    fn block(&self, queries: &[usize], gallery: &[usize]) -> Tensor<f32> {
        let pick = |all: &[usize], some: &[usize]| -> Vec<usize> {
            some.iter().map(|&i| all[i]).collect()
        };
        let (queries, gallery) = (pick(self.queries, queries), pick(self.gallery, gallery));
        self.scores.block(&queries, &gallery)
    }
}

/// The items of each identity, in the order of the identities.
fn groups(ids: &[i64], items: impl Iterator<Item = usize>) -> BTreeMap<i64, Vec<usize>> {
    let mut groups: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for item in items {
        groups.entry(ids[item]).or_default().push(item);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::scores::Given;

    #[test]
    fn a_vehicle_has_one_picture_in_the_gallery_and_each_is_drawn() {
        let ids = [5, 5, 9, 5, 9, 2];
        let mut drawn = [0; 6];
        for repeat in 0..600 {
            let (queries, gallery) = one_image_per_id(&ids, Key::new(1).at(repeat));
            let mut all = [queries.clone(), gallery.clone()].concat();
            assert!(queries.is_sorted() && gallery.is_sorted());
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4, 5]);
            let mut found: Vec<i64> = gallery.iter().map(|&i| ids[i]).collect();
            found.sort_unstable();
            assert_eq!(found, [2, 5, 9]);
            gallery.iter().for_each(|&i| drawn[i] += 1);
        }
        let expected = [200, 200, 300, 200, 300, 600];
        assert!(
            drawn
                .iter()
                .zip(expected)
                .all(|(d, e)| i32::abs(d - e) < 50),
            "{drawn:?}"
        );
    }

    #[test]
    fn vehicles_are_found_without_cameras() {
        // Items 0 and 1 are as alike as can be, 2 and 3 are not.
        let mut scores = vec![0.0; 16];
        (scores[1], scores[4]) = (1.0, 1.0);
        (scores[8 + 3], scores[12 + 2]) = (-1.0, -1.0);
        let scores = Given::new(&scores, 4).unwrap();
        let curve = vehicle_id(&scores, &[7, 7, 8, 8], 10, 2, 1).unwrap();
        assert_eq!((curve.cmc, curve.unmatched), (vec![0.5, 1.0], 0));
        assert!(vehicle_id(&scores, &[7, 7, 8], 10, 2, 1).is_err());
    }

    /// One query of person 1 at camera 0. Person 1 has two pictures by camera 1 (0.9, 0.5) and
    /// one by camera 0, left out; person 2 has 0.7 and 0.3; person 3 has 0.1. The first rank is 1
    /// if 0.9 is drawn, or 0.5 with 0.3: probability 3/4. Else it is 2.
    #[test]
    fn one_shot_of_each_person() {
        let scores = Given::new(&[0.9, 0.5, 1.0, 0.7, 0.3, 0.1], 6).unwrap();
        let query = |camera| Identities {
            ids: &[1],
            cameras: if camera == 0 { &[0] } else { &[9] },
        };
        let gallery = Identities {
            ids: &[1, 1, 1, 2, 2, 3],
            cameras: &[1, 1, 0, 0, 1, 0],
        };
        let curve =
            |query, seed| single_gallery_shot(&scores, query, gallery, 4000, 3, seed).unwrap();
        let cmc = curve(query(0), 1).cmc;
        assert!((cmc[0] - 0.75).abs() < 0.03, "{cmc:?}");
        assert_eq!(cmc[1..], [1.0, 1.0]);
        assert_eq!(cmc, curve(query(0), 1).cmc);
        assert_ne!(cmc, curve(query(0), 2).cmc);
        // With the third picture let in, 5/6.
        assert!((curve(query(9), 1).cmc[0] - 5.0 / 6.0).abs() < 0.03);
    }

    #[test]
    fn whoever_is_not_in_the_gallery_is_counted() {
        let scores = Given::new(&[0.9, 0.5], 1).unwrap();
        let queries = Identities {
            ids: &[1, 2],
            cameras: &[0, 0],
        };
        let gallery = Identities {
            ids: &[2],
            cameras: &[1],
        };
        let curve = single_gallery_shot(&scores, queries, gallery, 10, 1, 1).unwrap();
        assert_eq!(
            curve,
            MeanCurve {
                cmc: vec![1.0],
                unmatched: 1
            }
        );
    }
}
