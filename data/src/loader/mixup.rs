//! Mixing the images of a batch with each other.

use engine::rng::{Key, Rng};

/// What was mixed into the images of a batch: image `i` is `share` times itself plus `1 - share`
/// times another image, of class `labels[i]`. The loss is mixed alike:
/// `share loss(labels of the batch) + (1 - share) loss(these labels)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// The class of what was mixed into each image.
    pub labels: Vec<usize>,
    /// The share of the image itself, 0 to 1.
    pub share: f32,
}

/// Mixes images `[labels.len(), ..]` in place, each with its partner in a random order.
pub(super) fn mix(images: &mut [f32], labels: &[usize], alpha: f32, key: Key) -> Mixed {
    let mut rng = key.rng();
    let share = beta(f64::from(alpha), &mut rng) as f32;
    let partners = rng.permutation(labels.len());
    let size = images.len() / labels.len().max(1);
    let before = images.to_vec();
    for (image, &partner) in images.chunks_exact_mut(size.max(1)).zip(&partners) {
        let other = &before[partner * size..(partner + 1) * size];
        for (value, other) in image.iter_mut().zip(other) {
            *value = share * *value + (1.0 - share) * other;
        }
    }
    Mixed {
        labels: partners.iter().map(|&partner| labels[partner]).collect(),
        share,
    }
}

/// A number distributed as Beta(`alpha`, `alpha`).
fn beta(alpha: f64, rng: &mut Rng) -> f64 {
    let (a, b) = (log_gamma_variate(alpha, rng), log_gamma_variate(alpha, rng));
    // For a small alpha both may be too small for a float, but their ratio is not.
    1.0 / (1.0 + (b - a).exp())
}

/// The logarithm of a number distributed as Gamma(`alpha`, 1): G. Marsaglia and W. Tsang, "A
/// Simple Method for Generating Gamma Variables", 2000, with their step for `alpha` below 1.
fn log_gamma_variate(alpha: f64, rng: &mut Rng) -> f64 {
    let boost = (1.0 - rng.uniform()).ln() / alpha;
    let d = alpha + 1.0 - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - rng.uniform();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d.ln() + v.ln() + boost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_moments_of_beta() {
        for alpha in [0.01, 0.2, 1.0, 5.0] {
            let mut rng = Key::new(1).rng();
            let draws: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut rng)).collect();
            assert!(draws.iter().all(|x| (0.0..=1.0).contains(x)));
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((mean - 0.5).abs() < 0.015, "{alpha}: {mean}");
            let expected = 0.25 / (2.0 * alpha + 1.0);
            assert!(
                (variance / expected - 1.0).abs() < 0.05,
                "{alpha}: {variance} {expected}"
            );
        }
    }

    #[test]
    fn images_and_labels_are_mixed_alike() {
        let original = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0];
        let mut images = original;
        let labels = [1, 2, 3, 4];
        let mixed = mix(&mut images, &labels, 1.0, Key::new(3));
        for (i, &other) in mixed.labels.iter().enumerate() {
            let value = mixed.share * (i + 1) as f32 + (1.0 - mixed.share) * other as f32;
            assert!((images[2 * i] - value).abs() < 1e-5);
            assert!((images[2 * i + 1] - 10.0 * value).abs() < 1e-4);
        }
        let mut sorted = mixed.labels.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, labels);
        assert_ne!(mixed.labels, labels);
    }
}
