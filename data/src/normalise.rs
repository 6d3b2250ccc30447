//! From bytes to the floating-point numbers that a network sees.

use crate::error::{Error, Result};
use crate::set::ImageSet;

/// `(pixel / 255 - mean) / std`, per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalise {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalise {
    /// With a mean and a standard deviation for each channel, on the scale where 255 is 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless there is one finite number each per channel and every deviation
    /// is positive.
    pub fn new(mean: &[f32], std: &[f32]) -> Result<Self> {
        let sound = !mean.is_empty()
            && mean.len() == std.len()
            && mean.iter().all(|m| m.is_finite())
            && std.iter().all(|s| s.is_finite() && *s > 0.0);
        if !sound {
            return Err(Error::invalid(
                "mean and standard deviation of the pixels",
                "one finite mean and one positive deviation per channel",
                format!("{mean:?} and {std:?}"),
                "state them on the scale where 255 is 1",
            ));
        }
        Ok(Normalise {
            mean: mean.to_vec(),
            std: std.to_vec(),
        })
    }

    /// To the range from 0 to 1, for `channels` channels.
    ///
    /// # Panics
    /// If `channels` is zero.
    pub fn unit(channels: usize) -> Self {
        assert!(channels > 0, "an image has at least one channel");
        Normalise {
            mean: vec![0.0; channels],
            std: vec![1.0; channels],
        }
    }

    /// To zero mean and unit deviation over the pixels of `set`, which should be the training
    /// part. A channel that is constant (or a set without images) keeps the deviation 1.
    pub fn measured(set: &ImageSet) -> Self {
        let channels = set.shape()[2];
        // Integer sums: exact, whatever the order.
        let (mut sum, mut squares) = (vec![0u64; channels], vec![0u64; channels]);
        for i in 0..set.len() {
            for (j, &pixel) in set.image(i).iter().enumerate() {
                let pixel = u64::from(pixel);
                sum[j % channels] += pixel;
                squares[j % channels] += pixel * pixel;
            }
        }
        let count = (set.len() * set.shape()[0] * set.shape()[1]).max(1) as f64;
        let moments = sum.iter().zip(&squares).map(|(&sum, &squares)| {
            let mean = sum as f64 / count;
            let std = (squares as f64 / count - mean * mean).max(0.0).sqrt();
            let std = if std > 0.0 { std / 255.0 } else { 1.0 };
            ((mean / 255.0) as f32, std as f32)
        });
        let (mean, std) = moments.unzip();
        Normalise { mean, std }
    }

    /// The mean of each channel, 255 being 1.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each channel, 255 being 1.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Normalises pixels in place: `[.., channels]`, values from 0 to 255.
    ///
    /// # Panics
    /// If the pixels are not whole multiples of the channels.
    pub fn apply(&self, pixels: &mut [f32]) {
        let channels = self.mean.len();
        assert_eq!(pixels.len() % channels, 0, "pixels in {channels} channels");
        let line = |c: usize| (1.0 / (255.0 * self.std[c]), -self.mean[c] / self.std[c]);
        if channels == 1 {
            let (slope, start) = line(0);
            pixels.iter_mut().for_each(|p| *p = *p * slope + start);
            return;
        }
        for c in 0..channels {
            let (slope, start) = line(c);
            let channel = pixels.iter_mut().skip(c).step_by(channels);
            channel.for_each(|p| *p = *p * slope + start);
        }
    }

    /// The way back: normalised pixels `[.., channels]` as bytes, rounded and cut to 0..=255.
    pub fn bytes(&self, pixels: &[f32]) -> Vec<u8> {
        let channels = self.mean.len();
        let byte = |(i, p): (usize, &f32)| {
            let c = i % channels;
            ((p * self.std[c] + self.mean[c]) * 255.0).round() as u8
        };
        pixels.iter().enumerate().map(byte).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::tests::counting;
    use approx::assert_abs_diff_eq;

    #[test]
    fn channels_have_their_own_line_and_the_way_back() {
        let normalise = Normalise::new(&[0.5, 0.0], &[0.25, 2.0]).unwrap();
        let mut pixels = [255.0, 255.0, 0.0, 51.0];
        normalise.apply(&mut pixels);
        for (found, wanted) in pixels.iter().zip([2.0, 0.5, -2.0, 0.1]) {
            assert_abs_diff_eq!(*found, wanted, epsilon = 1e-6);
        }
        assert_eq!(normalise.bytes(&pixels), [255, 255, 0, 51]);
        assert_eq!(normalise.bytes(&[9.0, -9.0]), [255, 0]);
    }

    #[test]
    fn measured_moments_standardise_the_set() {
        let set = counting(40, [3, 5, 2], 4);
        let normalise = Normalise::measured(&set);
        let mut pixels: Vec<f32> = (0..set.len())
            .flat_map(|i| {
                set.image(i)
                    .iter()
                    .map(|&p| f32::from(p))
                    .collect::<Vec<_>>()
            })
            .collect();
        normalise.apply(&mut pixels);
        for c in 0..2 {
            let channel: Vec<f32> = pixels.iter().skip(c).step_by(2).copied().collect();
            let n = channel.len() as f32;
            let mean = channel.iter().sum::<f32>() / n;
            let square = channel.iter().map(|p| p * p).sum::<f32>() / n;
            assert_abs_diff_eq!(mean, 0.0, epsilon = 1e-4);
            assert_abs_diff_eq!(square, 1.0, epsilon = 1e-4);
        }
        let constant = ImageSet::new("black", [1, 2, 1], vec![0; 2], vec![0], vec!["a".into()]);
        assert_eq!(Normalise::measured(&constant.unwrap()).std(), [1.0]);
    }

    #[test]
    fn unusable_numbers_are_refused() {
        assert!(Normalise::new(&[0.0], &[0.0]).is_err());
        assert!(Normalise::new(&[f32::NAN], &[1.0]).is_err());
        assert!(Normalise::new(&[0.0, 0.0], &[1.0]).is_err());
        assert!(Normalise::new(&[], &[]).is_err());
    }
}
