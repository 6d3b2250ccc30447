//! Colour jitter, with the factors of torchvision's.

use engine::rng::Key;

/// How far colours vary; 0 is off. The four come in random order.
///
/// Grey images vary in brightness and contrast; they have no saturation or hue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColourJitter {
    /// All values times a factor uniform in `1 ± brightness`.
    pub brightness: f32,
    /// The distance to the mean grey of the image times a factor uniform in `1 ± contrast`.
    pub contrast: f32,
    /// The distance to the grey of each pixel times a factor uniform in `1 ± saturation`.
    pub saturation: f32,
    /// The hue turned by a part of the circle uniform in `± hue`, at most 0.5.
    pub hue: f32,
}

impl ColourJitter {
    pub(super) fn apply(&self, channels: usize, key: Key, out: &mut [f32]) {
        let mut rng = key.rng();
        let mut factor = |most: f32| rng.range(-f64::from(most), f64::from(most)) as f32;
        let [brightness, contrast, saturation, hue] =
            [self.brightness, self.contrast, self.saturation, self.hue].map(&mut factor);
        for step in rng.permutation(4) {
            match step {
                0 => blend_brightness(out, 1.0 + brightness),
                1 => blend_contrast(channels, out, 1.0 + contrast),
                2 => blend_saturation(channels, out, 1.0 + saturation),
                _ => turn_hue(channels, out, hue),
            }
        }
    }
}

/// The grey of a pixel of one or three channels, by the weights of ITU-R 601.
pub(super) fn grey(pixel: &[f32]) -> f32 {
    match *pixel {
        [level] => level,
        [r, g, b] => 0.299 * r + 0.587 * g + 0.114 * b,
        _ => panic!("a pixel of {} channels has no grey", pixel.len()),
    }
}

pub(super) fn blend_brightness(out: &mut [f32], factor: f32) {
    blend(out, factor, |_| 0.0);
}

pub(super) fn blend_contrast(channels: usize, out: &mut [f32], factor: f32) {
    let pixels = out.len() / channels;
    let sum: f64 = out.chunks_exact(channels).map(|p| f64::from(grey(p))).sum();
    let mean = (sum / pixels.max(1) as f64) as f32;
    blend(out, factor, |_| mean);
}

pub(super) fn blend_saturation(channels: usize, out: &mut [f32], factor: f32) {
    for pixel in out.chunks_exact_mut(channels) {
        let grey = grey(pixel);
        blend(pixel, factor, |_| grey);
    }
}

/// Moves values away from `from(index)`, or towards it if the factor is below 1.
pub(super) fn blend(out: &mut [f32], factor: f32, from: impl Fn(usize) -> f32) {
    for (i, value) in out.iter_mut().enumerate() {
        let from = from(i);
        *value = (from + factor * (*value - from)).clamp(0.0, 255.0);
    }
}

/// Turns the hue of the hexcone model (HSV) by a part of the circle.
fn turn_hue(channels: usize, out: &mut [f32], turn: f32) {
    if channels != 3 || turn == 0.0 {
        return;
    }
    for pixel in out.chunks_exact_mut(3) {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]];
        let (largest, smallest) = (r.max(g).max(b), r.min(g).min(b));
        let chroma = largest - smallest;
        if chroma <= 0.0 {
            continue;
        }
        // The hue in sixths of the circle.
        let hue = if largest == r {
            (g - b) / chroma
        } else if largest == g {
            2.0 + (b - r) / chroma
        } else {
            4.0 + (r - g) / chroma
        };
        let hue = hue + 6.0 * turn;
        // Each channel is full within a sixth of its own hue and gone from the opposite third.
        for (value, own) in pixel.iter_mut().zip([0.0, 2.0, 4.0]) {
            let distance = (hue - own).rem_euclid(6.0);
            let distance = distance.min(6.0 - distance);
            *value = smallest + chroma * (2.0 - distance).clamp(0.0, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f32], wanted: &[f32]) {
        assert!(
            found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-3),
            "{found:?}"
        );
    }

    #[test]
    fn hues_go_round_the_circle() {
        let turned = |colour: [f32; 3], turn| {
            let mut colour = colour;
            turn_hue(3, &mut colour, turn);
            colour
        };
        close(&turned([255.0, 0.0, 0.0], 1.0 / 3.0), &[0.0, 255.0, 0.0]);
        close(&turned([255.0, 0.0, 0.0], -1.0 / 3.0), &[0.0, 0.0, 255.0]);
        close(&turned([200.0, 100.0, 50.0], 0.5), &[50.0, 150.0, 200.0]);
        close(&turned([10.0, 200.0, 90.0], 1.0), &[10.0, 200.0, 90.0]);
        close(&turned([9.0, 9.0, 9.0], 0.3), &[9.0, 9.0, 9.0]);
    }

    #[test]
    fn factors_blend_with_black_mean_and_grey() {
        let image = [100.0, 100.0, 100.0, 200.0, 0.0, 0.0];
        let varied = |f: &dyn Fn(&mut [f32])| {
            let mut image = image;
            f(&mut image);
            image
        };
        close(
            &varied(&|o| blend_brightness(o, 2.0)),
            &[200.0, 200.0, 200.0, 255.0, 0.0, 0.0],
        );
        // The mean grey is (100 + 59.8) / 2.
        close(&varied(&|o| blend_contrast(3, o, 0.0)), &[79.9; 6]);
        close(&varied(&|o| blend_saturation(3, o, 0.0))[3..], &[59.8; 3]);
        close(&varied(&|o| blend_saturation(3, o, 1.0)), &image);
    }

    #[test]
    fn zero_is_off_and_grey_has_no_colour() {
        let mut image: Vec<f32> = (0..30).map(|i| 8.0 * i as f32).collect();
        let before = image.clone();
        ColourJitter::default().apply(3, Key::new(1), &mut image);
        close(&image, &before);
        let colours = ColourJitter {
            saturation: 0.9,
            hue: 0.5,
            ..ColourJitter::default()
        };
        colours.apply(1, Key::new(1), &mut image);
        close(&image, &before);
        colours.apply(3, Key::new(1), &mut image);
        assert_ne!(image, before);
    }
}
