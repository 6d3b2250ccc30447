//! RandAugment: E. Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a
//! Reduced Search Space", NeurIPS 2020.

use super::affine::{Affine, resample};
use super::colour;
use engine::rng::{Key, Rng};

/// Some operations drawn with replacement from fourteen, all of one strength: identity, rotation,
/// shear and shift along both axes, brightness, contrast, saturation, sharpness, posterising,
/// solarising, automatic contrast and equalisation.
///
/// At full strength: 30 degrees, a shear of 0.3, a shift of 0.33 of the side, factors `1 ± 0.9`,
/// 4 bits, a threshold of 0; the first four and the factors go either way. This is the paper's
/// scale with its magnitude of 30 as 1; its best values of 9 to 15 are 0.3 to 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandAugment {
    /// How many operations an image gets; 2 is usual.
    pub operations: u32,
    /// How strong they are, 0 to 1.
    pub strength: f32,
}

impl RandAugment {
    pub(super) fn apply(&self, shape: [usize; 3], background: u8, key: Key, out: &mut [f32]) {
        for i in 0..u64::from(self.operations) {
            let mut rng = key.at(i).rng();
            let operation = rng.below(14);
            self.operate(operation, shape, background, &mut rng, out);
        }
    }

    fn operate(
        &self,
        operation: usize,
        shape: [usize; 3],
        background: u8,
        rng: &mut Rng,
        out: &mut [f32],
    ) {
        let [height, width, channels] = shape;
        let either_way = if rng.chance(0.5) {
            self.strength
        } else {
            -self.strength
        };
        let factor = 1.0 + 0.9 * either_way;
        match operation {
            0 => {}
            1 => {
                let (sin, cos) = (30.0 * either_way).to_radians().sin_cos();
                move_pixels(out, shape, background, [cos, sin, -sin, cos], [0.0; 2]);
            }
            2 => move_pixels(
                out,
                shape,
                background,
                [1.0, 0.3 * either_way, 0.0, 1.0],
                [0.0; 2],
            ),
            3 => move_pixels(
                out,
                shape,
                background,
                [1.0, 0.0, 0.3 * either_way, 1.0],
                [0.0; 2],
            ),
            4 => {
                let shift = 0.33 * either_way * width as f32;
                move_pixels(out, shape, background, [1.0, 0.0, 0.0, 1.0], [shift, 0.0]);
            }
            5 => {
                let shift = 0.33 * either_way * height as f32;
                move_pixels(out, shape, background, [1.0, 0.0, 0.0, 1.0], [0.0, shift]);
            }
            6 => colour::blend_brightness(out, factor),
            7 => colour::blend_contrast(channels, out, factor),
            8 => colour::blend_saturation(channels, out, factor),
            9 => sharpen(shape, out, factor),
            10 => posterise(out, (4.0 * self.strength).round() as u32),
            11 => {
                let threshold = 255.0 * (1.0 - self.strength);
                let bright = out
                    .iter_mut()
                    .filter(|v| **v >= threshold && threshold < 255.0);
                bright.for_each(|v| *v = 255.0 - *v);
            }
            12 => stretch(channels, out),
            _ => equalise(channels, out),
        }
    }
}

/// Samples the image about its centre: `(x, y)` of the image is `(a x' + b y', c x' + d y')` plus
/// the shift.
fn move_pixels(
    out: &mut [f32],
    shape: [usize; 3],
    background: u8,
    [a, b, c, d]: [f32; 4],
    [dx, dy]: [f32; 2],
) {
    let [height, width, _] = shape;
    let (cx, cy) = (0.5 * (width as f32 - 1.0), 0.5 * (height as f32 - 1.0));
    let map = Affine {
        a,
        b,
        c,
        d,
        tx: cx + dx - a * cx - b * cy,
        ty: cy + dy - c * cx - d * cy,
    };
    let image = bytes(out);
    resample(&image, shape, &map, None, background, out);
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|v| v.round() as u8).collect()
}

/// Moves the inner pixels away from, or towards, the weighted mean of their surroundings (the
/// centre counts 5, its neighbours 1).
fn sharpen([height, width, channels]: [usize; 3], out: &mut [f32], factor: f32) {
    let image = out.to_vec();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            for c in 0..channels {
                let at = |x: usize, y: usize| image[(y * width + x) * channels + c];
                let around: f32 = (y - 1..=y + 1)
                    .flat_map(|y| (x - 1..=x + 1).map(move |x| (x, y)))
                    .map(|(x, y)| at(x, y))
                    .sum();
                let smooth = (around + 4.0 * at(x, y)) / 13.0;
                let sharp = smooth + factor * (at(x, y) - smooth);
                out[(y * width + x) * channels + c] = sharp.clamp(0.0, 255.0);
            }
        }
    }
}

/// Keeps the upper `8 - bits` bits.
fn posterise(out: &mut [f32], bits: u32) {
    let mask = 0xffu8 << bits.min(7);
    out.iter_mut()
        .for_each(|v| *v = f32::from(v.round() as u8 & mask));
}

/// Stretches each channel to the whole range.
fn stretch(channels: usize, out: &mut [f32]) {
    for c in 0..channels {
        let values = || out.iter().skip(c).step_by(channels);
        let (low, high) = values().fold((255.0f32, 0.0f32), |(l, h), &v| (l.min(v), h.max(v)));
        if high > low {
            let channel = out.iter_mut().skip(c).step_by(channels);
            channel.for_each(|v| *v = 255.0 * (*v - low) / (high - low));
        }
    }
}

/// Makes the levels of each channel as frequent as each other, with Pillow's table.
fn equalise(channels: usize, out: &mut [f32]) {
    for c in 0..channels {
        let mut counts = [0usize; 256];
        let values = out.iter().skip(c).step_by(channels);
        values.for_each(|v| counts[v.round() as u8 as usize] += 1);
        let Some(&last) = counts.iter().rfind(|&&n| n > 0) else {
            continue;
        };
        let step = (counts.iter().sum::<usize>() - last) / 255;
        if step == 0 {
            continue;
        }
        let mut before = step / 2;
        let table = counts.map(|count| {
            let level = (before / step).min(255);
            before += count;
            level as f32
        });
        let channel = out.iter_mut().skip(c).step_by(channels);
        channel.for_each(|v| *v = table[v.round() as u8 as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [20, 30, 3];

    /// Brighter to the right, faster and faster.
    fn ramp() -> Vec<f32> {
        (0..20 * 30 * 3u32)
            .map(|i| (40 + (i / 3 % 30).pow(2) / 5 + i % 3) as f32)
            .collect()
    }

    fn operated(operation: usize, strength: f32, seed: u64) -> Vec<f32> {
        let mut out = ramp();
        let settings = RandAugment {
            operations: 1,
            strength,
        };
        settings.operate(operation, SHAPE, 0, &mut Key::new(seed).rng(), &mut out);
        out
    }

    #[test]
    fn operations_change_the_image_and_keep_its_range() {
        for operation in 0..14 {
            let out = operated(operation, 0.7, 1);
            assert!(
                out.iter().all(|v| (0.0..=255.0).contains(v)),
                "operation {operation}"
            );
            assert_eq!(out == ramp(), operation == 0, "operation {operation}");
        }
    }

    /// Automatic contrast and equalisation have no strength; bytes come back as they were.
    #[test]
    fn no_strength_is_no_change() {
        for operation in 0..12 {
            for (found, wanted) in operated(operation, 0.0, 1).iter().zip(ramp()) {
                assert!(
                    (found - wanted).abs() < 1e-2,
                    "operation {operation}: {found} {wanted}"
                );
            }
        }
    }

    #[test]
    fn images_get_their_own_operations() {
        let settings = RandAugment {
            operations: 2,
            strength: 0.5,
        };
        let varied = |key: Key| {
            let mut out = ramp();
            settings.apply(SHAPE, 0, key, &mut out);
            out
        };
        let key = Key::new(1);
        assert_eq!(varied(key.at(0)), varied(key.at(0)));
        let different = (1..20).filter(|&i| varied(key.at(i)) != varied(key.at(0)));
        assert!(different.count() > 15);
        // Either way: a shift goes left in some and right in others.
        let sums: Vec<f32> = (0..8).map(|seed| operated(4, 1.0, seed)[0]).collect();
        assert!(
            sums.contains(&0.0) && sums.iter().any(|&s| s > 50.0),
            "{sums:?}"
        );
    }

    #[test]
    fn tables_of_levels() {
        let mut out = [0.0, 15.0, 16.0, 255.0];
        posterise(&mut out, 4);
        assert_eq!(out, [0.0, 0.0, 16.0, 240.0]);
        let mut out = [50.0, 100.0, 150.0];
        stretch(1, &mut out);
        assert_eq!(out, [0.0, 127.5, 255.0]);
        let mut flat = [9.0; 5];
        stretch(1, &mut flat);
        assert_eq!(flat, [9.0; 5]);
        // Two levels as frequent: Pillow's ImageOps.equalize makes them 0 and 254.
        let mut out: Vec<f32> = (0..2048)
            .map(|i| if i % 2 == 0 { 100.0 } else { 101.0 })
            .collect();
        equalise(1, &mut out);
        assert_eq!(out[..2], [0.0, 255.0]);
    }

    #[test]
    fn sharpness_moves_away_from_the_surroundings() {
        let mut out = vec![100.0; 25];
        out[12] = 113.0;
        sharpen([5, 5, 1], &mut out, 2.0);
        // Smooth is 100 + 5: twice as far from it.
        assert!((out[12] - 121.0).abs() < 1e-3, "{}", out[12]);
        assert!((out[6] - 99.0).abs() < 1e-3, "{}", out[6]);
        assert_eq!(out[0], 100.0);
    }
}
