//! Random erasing: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020. With the
//! background as paint and an aspect of 1 it is close to [`cutout`].

use engine::rng::Key;
use std::ops::Range;

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
        let part = [top..top + tall, left..left + wide];
        paint(out, [width, channels], part, || match self.with {
            EraseWith::Background => f32::from(background),
            EraseWith::Noise => rng.below(256) as f32,
        });
    }
}

/// Paints a square of `side` pixels around a random pixel.
pub(super) fn cutout(
    side: u32,
    [height, width, channels]: [usize; 3],
    background: u8,
    key: Key,
    out: &mut [f32],
) {
    let (side, mut rng) = (side as usize, key.rng());
    let mut stretch = |limit: usize| {
        let centre = rng.below(limit);
        let start = centre.saturating_sub(side / 2);
        start..(centre + side - side / 2).clamp(start, limit)
    };
    let part = [stretch(height), stretch(width)];
    if side > 0 {
        paint(out, [width, channels], part, || f32::from(background));
    }
}

fn paint(
    out: &mut [f32],
    [width, channels]: [usize; 2],
    [rows, columns]: [Range<usize>; 2],
    mut paint: impl FnMut() -> f32,
) {
    let lines = out.chunks_exact_mut(width * channels);
    for line in lines.skip(rows.start).take(rows.len()) {
        for value in &mut line[columns.start * channels..columns.end * channels] {
            *value = paint();
        }
    }
}
