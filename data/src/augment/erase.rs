//! Random erasing: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020. With the
//! background as paint and an aspect of 1 it is the cutout of DeVries and Taylor (2017).

use engine::rng::Key;

/// Paints a random rectangle over, which teaches a network not to trust any one part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erase {
    /// How often: the probability that an image is touched.
    pub probability: f32,
    /// The smallest and the largest share of the image's area, uniform in between.
    pub area: (f32, f32),
    /// The largest ratio of the sides, uniform in its logarithm; 1 is a square.
    pub aspect: f32,
    /// What the rectangle is filled with.
    pub with: EraseWith,
}

/// The paint of [`Erase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraseWith {
    /// The background of the augmentation.
    Background,
    /// A random byte per pixel and channel.
    Noise,
}

impl Erase {
    pub(super) fn apply(
        &self,
        [height, width, channels]: [usize; 3],
        background: u8,
        key: Key,
        out: &mut [f32],
    ) {
        let mut rng = key.rng();
        let touched = rng.chance(f64::from(self.probability));
        let share = rng.range(f64::from(self.area.0), f64::from(self.area.1));
        let log_aspect = f64::from(self.aspect).ln();
        let aspect = rng.range(-log_aspect, log_aspect).exp();
        if !touched {
            return;
        }
        let area = share * (height * width) as f64;
        let side = |length: f64, limit: usize| (length.round() as usize).min(limit);
        let tall = side((area * aspect).sqrt(), height);
        let wide = side((area / aspect).sqrt(), width);
        let top = rng.below(height - tall + 1);
        let left = rng.below(width - wide + 1);
        for line in out.chunks_exact_mut(width * channels).skip(top).take(tall) {
            for value in &mut line[left * channels..(left + wide) * channels] {
                *value = match self.with {
                    EraseWith::Background => f32::from(background),
                    EraseWith::Noise => rng.below(256) as f32,
                };
            }
        }
    }
}
