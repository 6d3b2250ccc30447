//! Whether embeddings fall into their classes without being told: k-means, and the agreement of
//! two partitions.
//!
//! The NMI of the literature on deep metric learning is [`normalised_mutual_information`] of the
//! labels and [`kmeans`] with as many clusters as there are classes. With many small classes it
//! is high for any partition: 0.8 and more for random embeddings of a thousand classes of two.
//! [`adjusted_mutual_information`] is 0 for chance and should be preferred.

use super::scores::{Embeddings, Pairwise, Similarity};
use super::search::{Itself, nearest};
use crate::error::{Error, Result};
use engine::rng::Key;
use std::collections::HashMap;

/// Assigns each row to one of `clusters` clusters by Lloyd's algorithm with Euclidean distance,
/// for `rounds` rounds or until nothing moves (20 as in faiss, which the literature uses). The
/// first centres are different rows drawn at random; a cluster that runs empty continues from the
/// row that lies farthest from its centre. A function of the rows and the seed.
///
/// # Errors
/// [`Error::Invalid`] if there are no clusters or more than rows.
///
/// # Panics
/// If there are 2³² clusters or more.
pub fn kmeans(
    rows: Embeddings<'_>,
    clusters: usize,
    rounds: usize,
    seed: u64,
) -> Result<Vec<usize>> {
    if !(1..=rows.len()).contains(&clusters) {
        return Err(Error::invalid(
            "clusters of k-means",
            format!("1 to the number of rows, {}", rows.len()),
            clusters,
            "take as many as there are classes",
        ));
    }
    let dim = rows.dim();
    let first = Key::new(seed)
        .named("k-means")
        .rng()
        .permutation(rows.len());
    let mut centres: Vec<f32> = first[..clusters]
        .iter()
        .flat_map(|&i| rows.row(i).to_vec())
        .collect();
    let mut assigned = Vec::new();
    for _ in 0..rounds.max(1) {
        let scores = Pairwise::new(rows, Embeddings::new(&centres, dim)?, Similarity::Euclidean)?;
        let found = nearest(&scores, 1, Itself::Keep);
        let nearest: Vec<(f32, u32)> = (0..rows.len()).map(|i| found.of(i)[0]).collect();
        let now: Vec<usize> = nearest.iter().map(|&(_, c)| c as usize).collect();
        if now == assigned {
            break;
        }
        assigned = now;
        centres = means(rows, &assigned, clusters, &nearest);
    }
    Ok(assigned)
}

/// The mean of each cluster; that of an empty one is a row far from its own centre.
fn means(
    rows: Embeddings<'_>,
    assigned: &[usize],
    clusters: usize,
    nearest: &[(f32, u32)],
) -> Vec<f32> {
    let dim = rows.dim();
    let mut sums = vec![0.0f64; clusters * dim];
    let mut counts = vec![0usize; clusters];
    for (i, &cluster) in assigned.iter().enumerate() {
        counts[cluster] += 1;
        let sum = &mut sums[cluster * dim..(cluster + 1) * dim];
        sum.iter_mut()
            .zip(rows.row(i))
            .for_each(|(s, &v)| *s += f64::from(v));
    }
    let mut by_distance: Vec<usize> = Vec::new();
    if counts.contains(&0) {
        by_distance.extend(0..rows.len());
        by_distance.sort_by(|&a, &b| nearest[a].0.total_cmp(&nearest[b].0));
    }
    let mut far = by_distance.into_iter();
    let mean = |cluster: usize| -> Vec<f32> {
        let sum = &sums[cluster * dim..(cluster + 1) * dim];
        match counts[cluster] {
            0 => rows
                .row(far.next().expect("no more clusters than rows"))
                .to_vec(),
            count => sum.iter().map(|s| (s / count as f64) as f32).collect(),
        }
    };
    (0..clusters).flat_map(mean).collect()
}

/// The mutual information of two partitions over the mean of their entropies, 0 to 1 (the
/// arithmetic mean, as in scikit-learn since 0.22; older figures use the geometric one). Two
/// partitions into one cluster agree: 1.
///
/// # Panics
/// If the partitions do not have the same number of items.
pub fn normalised_mutual_information(a: &[usize], b: &[usize]) -> f64 {
    let table = Contingency::new(a, b);
    if table.trivial() {
        return 1.0;
    }
    let information = table.information();
    // Rounding must not turn independence into a share of a tiny entropy.
    if information <= f64::EPSILON {
        return 0.0;
    }
    information / table.mean_entropy()
}

/// The mutual information adjusted for chance: 1 for equal partitions, 0 on average for random
/// ones with these cluster sizes: N. Vinh, J. Epps and J. Bailey, "Information Theoretic Measures
/// for Clusterings Comparison", JMLR 2010. Normalised by the arithmetic mean of the entropies, as
/// in scikit-learn.
///
/// # Panics
/// If the partitions do not have the same number of items.
pub fn adjusted_mutual_information(a: &[usize], b: &[usize]) -> f64 {
    let table = Contingency::new(a, b);
    if table.trivial() || table.one_to_one() {
        return 1.0;
    }
    let expected = table.expected_information();
    let room = table.mean_entropy() - expected;
    // No room to be better than chance: keep the sign and stay finite.
    let room = if room < 0.0 {
        room.min(-f64::EPSILON)
    } else {
        room.max(f64::EPSILON)
    };
    (table.information() - expected) / room
}

/// How often each cluster of one partition meets each of the other.
struct Contingency {
    items: usize,
    sizes: [Vec<usize>; 2],
    /// `(cluster of the first, cluster of the second, items)`, where there are any, in order.
    cells: Vec<(usize, usize, usize)>,
}

impl Contingency {
    fn new(a: &[usize], b: &[usize]) -> Self {
        assert_eq!(a.len(), b.len(), "two partitions of the same items");
        let [(a, a_sizes), (b, b_sizes)] = [numbered(a), numbered(b)];
        let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
        for pair in a.into_iter().zip(b) {
            *counts.entry(pair).or_default() += 1;
        }
        let mut cells: Vec<_> = counts.into_iter().map(|((a, b), n)| (a, b, n)).collect();
        cells.sort_unstable();
        Contingency {
            items: a_sizes.iter().sum(),
            sizes: [a_sizes, b_sizes],
            cells,
        }
    }

    /// Nothing is divided by either partition.
    fn trivial(&self) -> bool {
        self.sizes.iter().all(|sizes| sizes.len() <= 1)
    }

    /// The partitions differ in names only.
    fn one_to_one(&self) -> bool {
        self.sizes
            .iter()
            .all(|sizes| sizes.len() == self.cells.len())
    }

    /// Mutual information in nats.
    fn information(&self) -> f64 {
        let n = self.items as f64;
        let [a, b] = &self.sizes;
        let terms = self.cells.iter().map(|&(i, j, count)| {
            let count = count as f64;
            count / n * (count * n / (a[i] as f64 * b[j] as f64)).ln()
        });
        terms.sum::<f64>().max(0.0)
    }

    /// The mean of both entropies, in nats.
    fn mean_entropy(&self) -> f64 {
        let n = self.items as f64;
        let term = |&size: &usize| -(size as f64 / n) * (size as f64 / n).ln();
        let entropy = |sizes: &Vec<usize>| sizes.iter().map(term).sum::<f64>();
        0.5 * (entropy(&self.sizes[0]) + entropy(&self.sizes[1]))
    }

    /// The mean information over all partitions with these cluster sizes, which makes each cell
    /// hypergeometric.
    fn expected_information(&self) -> f64 {
        let n = self.items;
        let mut log_factorial = vec![0.0; n + 1];
        for i in 1..=n {
            log_factorial[i] = log_factorial[i - 1] + (i as f64).ln();
        }
        let log = |i: usize| log_factorial[i];
        let [a, b] = self.sizes.each_ref().map(|sizes| by_size(sizes));
        let mut sum = 0.0;
        // A cell's mean depends on the two sizes alone, of which few differ.
        for &(a, times_a) in &a {
            for &(b, times_b) in &b {
                let fixed = log(a) + log(b) + log(n - a) + log(n - b) - log(n);
                let least = (a + b).saturating_sub(n).max(1);
                let mean: f64 = (least..=a.min(b))
                    .map(|cell| {
                        let ways =
                            log(cell) + log(a - cell) + log(b - cell) + log(n + cell - a - b);
                        let share = cell as f64 / n as f64;
                        let gain = (share * n as f64 / a as f64 * n as f64 / b as f64).ln();
                        share * gain * (fixed - ways).exp()
                    })
                    .sum();
                sum += (times_a * times_b) as f64 * mean;
            }
        }
        sum
    }
}

/// The labels as 0, 1, 2 … in the order of appearance, and how often each occurs.
fn numbered(labels: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let (mut numbers, mut sizes) = (HashMap::new(), Vec::new());
    let label = |label: &usize| {
        let number = *numbers.entry(*label).or_insert_with(|| {
            sizes.push(0);
            sizes.len() - 1
        });
        sizes[number] += 1;
        number
    };
    let labels = labels.iter().map(label).collect();
    (labels, sizes)
}

/// The sizes that occur, ascending, and how often.
fn by_size(sizes: &[usize]) -> Vec<(usize, usize)> {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    sizes
        .chunk_by(|a, b| a == b)
        .map(|same| (same[0], same.len()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::scores::tests::random;
    use approx::assert_abs_diff_eq;
    use engine::par;

    #[test]
    fn clusters_that_are_there_are_found_from_most_seeds() {
        let mut values = random(300, 8, "clusters");
        for (i, row) in values.chunks_mut(8).enumerate() {
            row[i % 3] += 30.0;
        }
        let rows = Embeddings::new(&values, 8).unwrap();
        let labels: Vec<usize> = (0..300).map(|i| i % 3).collect();
        let found = |seed| kmeans(rows, 3, 20, seed).unwrap();
        let scores: Vec<f64> = (0..10)
            .map(|seed| normalised_mutual_information(&labels, &found(seed)))
            .collect();
        assert!(
            scores.iter().filter(|&&nmi| nmi > 0.999).count() >= 3,
            "{scores:?}"
        );
        assert_eq!(found(1), par::with_threads(1, || found(1)));
        assert!((1..10).any(|seed| found(seed) != found(0)));
    }

    #[test]
    fn no_cluster_stays_empty() {
        // Of four rows, three are equal: two of the first centres, at least, coincide.
        let values = [0.0, 0.0, 0.0, 9.0, 5.0];
        let rows = Embeddings::new(&values, 1).unwrap();
        for seed in 0..10 {
            let mut found = kmeans(rows, 3, 20, seed).unwrap();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found, [0, 1, 2], "seed {seed}");
        }
        assert!(kmeans(rows, 0, 20, 1).is_err());
        assert!(
            kmeans(rows, 6, 20, 1)
                .unwrap_err()
                .to_string()
                .contains("1 to the number of rows, 5")
        );
    }

    #[test]
    fn equal_partitions_independent_ones_and_single_clusters() {
        let a = [0, 0, 1, 1, 2, 2];
        for score in [normalised_mutual_information, adjusted_mutual_information] {
            assert_abs_diff_eq!(score(&a, &[7, 7, 3, 3, 9, 9]), 1.0, epsilon = 1e-12);
            assert_eq!(score(&[4; 5], &[1; 5]), 1.0);
            assert_eq!(score(&[], &[]), 1.0);
        }
        let halves = [0, 0, 1, 1];
        assert_eq!(normalised_mutual_information(&halves, &[0, 1, 0, 1]), 0.0);
        // Worse than chance.
        assert_abs_diff_eq!(
            adjusted_mutual_information(&halves, &[0, 1, 0, 1]),
            -0.5,
            epsilon = 1e-12
        );
    }

    #[test]
    fn chance_is_high_in_one_and_nothing_in_the_other() {
        let mut rng = Key::new(1).rng();
        let mut draw = || -> Vec<usize> { (0..2000).map(|_| rng.below(1000)).collect() };
        let (a, b) = (draw(), draw());
        assert!(normalised_mutual_information(&a, &b) > 0.85);
        assert!(adjusted_mutual_information(&a, &b).abs() < 0.02);
    }
}
