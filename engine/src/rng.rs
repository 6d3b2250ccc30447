//! Counter-based random numbers: every value is a pure function of a key and a position.
//!
//! A [`Key`] is a place in a tree. The root is the seed; a child is taken by name or by index, so
//! `Key::new(seed).named("augment").at(epoch).at(image)` always names the same stream, whatever
//! ran before, in which order, and on how many threads. Nothing shares hidden state.
//!
//! The generator is ChaCha with eight rounds, from `rand_chacha`.
//!
//! ```
//! use engine::rng::Key;
//! let key = Key::new(7).named("augment").at(3);
//! assert_eq!(key.rng().uniform(), key.rng().uniform());
//! assert_ne!(key.at(0).rng().uniform(), key.at(1).rng().uniform());
//! ```

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A place in the tree of random streams. Cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

// Draws and the two kinds of children read disjoint parts of the parent's stream.
const CHILD_BY_INDEX: u128 = 1 << 32;
const CHILD_BY_NAME: u128 = 2 << 32;

impl Key {
    /// The root of the tree that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        let mut root = [0; 32];
        root[..8].copy_from_slice(&seed.to_le_bytes());
        Key(root)
    }

    /// The child with a number: an epoch, an image, a layer.
    pub fn at(self, index: u64) -> Self {
        self.child(index, CHILD_BY_INDEX)
    }

    /// The child with a name: `"init"`, `"dropout"`, `"conv1.weight"`.
    pub fn named(self, name: &str) -> Self {
        // FNV-1a: only has to tell the names of one program apart.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        self.child(hash, CHILD_BY_NAME)
    }

    /// The numbers at this place, from the first one on.
    pub fn rng(self) -> Rng {
        Rng(ChaCha8Rng::from_seed(self.0))
    }

    fn child(self, stream: u64, position: u128) -> Self {
        let mut parent = ChaCha8Rng::from_seed(self.0);
        parent.set_stream(stream);
        parent.set_word_pos(position);
        let mut child = [0; 32];
        parent.fill_bytes(&mut child);
        Key(child)
    }
}

/// A sequence of random numbers, made by [`Key::rng`].
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 random bits for every word, faster than one call for each.
    pub fn fill(&mut self, words: &mut [u32]) {
        self.0.fill_bytes(bytemuck::cast_slice_mut(words));
        for word in words {
            *word = u32::from_le(*word);
        }
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in `0..n`, without bias (Lemire's multiplication with rejection).
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "below(0): there is no number to draw");
        let n = n as u64;
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as usize;
            }
        }
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Standard normal (Box and Muller's transform; one value per call, so that the position in
    /// the stream depends on the number of calls alone).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// A random order of `0..n`.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pure_functions_of_their_key() {
        let key = Key::new(1).named("a").at(2);
        let draws = |k: Key| {
            let mut r = k.rng();
            [r.bits(), r.bits(), r.bits()]
        };
        assert_eq!(draws(key), draws(key));
        let others = [
            Key::new(2).named("a").at(2),
            Key::new(1).named("b").at(2),
            Key::new(1).named("a").at(3),
            Key::new(1).at(2).named("a"),
            Key::new(1).named("a"),
        ];
        for other in others {
            assert_ne!(draws(key), draws(other));
        }
    }

    #[test]
    fn filling_gives_the_same_bits_as_drawing() {
        let key = Key::new(5);
        let mut words = [0; 1001];
        key.rng().fill(&mut words);
        let mut rng = key.rng();
        for pair in words[..1000].chunks(2) {
            assert_eq!(rng.bits(), u64::from(pair[0]) | u64::from(pair[1]) << 32);
        }
    }

    #[test]
    fn the_moments_are_right() {
        let mut rng = Key::new(3).rng();
        let n = 200_000;
        let (mut mean, mut square) = (0.0, 0.0);
        for _ in 0..n {
            let x = rng.normal();
            mean += x / n as f64;
            square += x * x / n as f64;
        }
        assert!(
            mean.abs() < 0.01 && (square - 1.0).abs() < 0.02,
            "{mean} {square}"
        );
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[rng.below(7)] += 1);
        assert!(
            counts.iter().all(|c| (9_500..10_500).contains(c)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = Key::new(4).rng().permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
