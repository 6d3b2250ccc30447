//! Random variations of recordings and of their spectrograms.

use crate::augment::within;
use crate::error::{Error, Result};
use engine::rng::{Key, Rng};
use std::sync::Arc;

/// How far recordings are varied. Zero, `false` or `None` is off.
///
/// Every number is drawn whether its variation is on or off, each from a stream of its own:
/// switching one on leaves the others as they were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Augment {
    /// Whether a recording that is longer than the window shows a random part of itself, and a
    /// shorter one lies at a random place in it, rather than in the middle.
    pub place: bool,
    /// The farthest shift along time, in seconds either way, uniform. What comes in is more of the
    /// recording if there is some, else silence.
    pub shift: f32,
    /// The largest change of loudness, in decibels either way, uniform.
    pub gain: f32,
    /// Noise in the background.
    pub noise: Option<Noise>,
    /// Stretches of time that are painted over.
    pub time: Masks,
    /// Neighbouring bands that are painted over.
    pub bands: Masks,
}

/// Noise that is mixed into a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    /// How often: the probability that a recording is touched.
    pub probability: f32,
    /// The least and the largest ratio of signal to noise in decibels, uniform:
    /// `10 log10(mean square of the recording / mean square of the noise)`, the recording taken
    /// without the silence around it. A silent recording stays silent.
    pub snr: (f32, f32),
    /// Where it comes from.
    pub source: NoiseSource,
}

/// Where noise comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum NoiseSource {
    /// White, normally distributed.
    White,
    /// A random part of a random one of these recordings, each at the rate of what it is mixed
    /// into; a short one is repeated.
    Recordings(Arc<[Vec<f32>]>),
}

/// Masks of a spectrogram: D. Park et al., "SpecAugment: A Simple Data Augmentation Method for
/// Automatic Speech Recognition", Interspeech 2019 (arXiv:1904.08779), without its time warping.
/// Masked values become the mean of the spectrogram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Masks {
    /// How many; they may overlap.
    pub count: usize,
    /// The widest, as a share of all frames or all bands; uniform from 0 on.
    pub widest: f32,
}

impl Augment {
    /// Recordings as they are.
    pub fn none() -> Self {
        Augment::default()
    }

    /// For spoken words: anywhere in the window, a further shift of up to 0.1 s, 6 dB of loudness,
    /// two masks each of up to a tenth of the time and 15 % of the bands.
    pub fn speech() -> Self {
        Augment {
            place: true,
            shift: 0.1,
            gain: 6.0,
            time: Masks {
                count: 2,
                widest: 0.1,
            },
            bands: Masks {
                count: 2,
                widest: 0.15,
            },
            ..Augment::none()
        }
    }

    /// For sounds that may begin at any time: anywhere in the window, a further shift of up to
    /// 0.5 s, 6 dB of loudness, two masks each of up to a tenth of the time and an eighth of the
    /// bands. PANNs (arXiv:1912.10211) has 6 % of the time, an eighth of the bands and mixup.
    pub fn environment() -> Self {
        Augment {
            place: true,
            shift: 0.5,
            gain: 6.0,
            time: Masks {
                count: 2,
                widest: 0.1,
            },
            bands: Masks {
                count: 2,
                widest: 0.125,
            },
            ..Augment::none()
        }
    }

    /// Checks that every setting is one that recordings can be varied by.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the first setting out of range.
    pub fn check(&self) -> Result<()> {
        within("shift", self.shift, 0.0, 3600.0, " s")?;
        within("gain", self.gain, 0.0, 100.0, " dB")?;
        within("time.count", self.time.count as f32, 0.0, 100.0, "")?;
        within("time.widest", self.time.widest, 0.0, 1.0, "")?;
        within("bands.count", self.bands.count as f32, 0.0, 100.0, "")?;
        within("bands.widest", self.bands.widest, 0.0, 1.0, "")?;
        let Some(noise) = &self.noise else {
            return Ok(());
        };
        within("noise.probability", noise.probability, 0.0, 1.0, "")?;
        within("noise.snr.0", noise.snr.0, -100.0, 200.0, " dB")?;
        within("noise.snr.1", noise.snr.1, noise.snr.0, 200.0, " dB")?;
        match &noise.source {
            NoiseSource::Recordings(all) if all.is_empty() || all.iter().any(Vec::is_empty) => {
                Err(Error::invalid(
                    "augmentation \"noise.source\"",
                    "at least one recording, and none without samples",
                    format!("{} recordings", all.len()),
                    "leave the empty ones out",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether something is on that changes samples, not only spectrograms.
    pub(super) fn touches_samples(&self) -> bool {
        self.place || self.shift > 0.0 || self.gain > 0.0 || self.noise.is_some()
    }

    /// The variation of a recording at `rate` Hz that belongs to `key`, in a window of `length`
    /// samples.
    pub(super) fn window(&self, samples: &[f32], length: usize, rate: u32, key: Key) -> Vec<f32> {
        let mut rng = key.named("place").rng();
        let spare = samples.len() as i64 - length as i64;
        let middle = spare.div_euclid(2);
        let anywhere = spare.min(0) + rng.below(spare.unsigned_abs() as usize + 1) as i64;
        let placed = if self.place { anywhere } else { middle };
        let shift = symmetric(self.shift, &mut key.named("shift").rng()) * f64::from(rate);
        let start = placed + shift.round() as i64;
        let mut window = cut(samples, start, length);
        let gain = symmetric(self.gain, &mut key.named("gain").rng());
        let factor = 10f64.powf(gain / 20.0) as f32;
        if self.gain > 0.0 {
            window.iter_mut().for_each(|s| *s *= factor);
        }
        if let Some(noise) = &self.noise {
            let sound = (-start).clamp(0, length as i64) as usize;
            let end = (samples.len() as i64 - start).clamp(sound as i64, length as i64);
            noise.mix(&mut window, sound..end as usize, key.named("noise"));
        }
        window
    }

    /// Paints over stretches of time and over bands of a spectrogram `[mels, frames]`.
    pub(super) fn mask(&self, mels: usize, values: &mut [f32], key: Key) {
        if self.time.count == 0 && self.bands.count == 0 {
            return;
        }
        let frames = values.len() / mels;
        let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
        let mean = (sum / values.len() as f64) as f32;
        let mut rng = key.named("bands").rng();
        for _ in 0..self.bands.count {
            let (start, width) = self.bands.draw(mels, &mut rng);
            values[start * frames..(start + width) * frames].fill(mean);
        }
        let mut rng = key.named("time").rng();
        for _ in 0..self.time.count {
            let (start, width) = self.time.draw(frames, &mut rng);
            for band in values.chunks_exact_mut(frames) {
                band[start..start + width].fill(mean);
            }
        }
    }
}

impl Masks {
    /// The start and the width of a mask among `all`.
    fn draw(&self, all: usize, rng: &mut Rng) -> (usize, usize) {
        let widest = (f64::from(self.widest) * all as f64).round() as usize;
        let width = rng.below(widest.min(all) + 1);
        (rng.below(all - width + 1), width)
    }
}

impl Noise {
    /// Adds noise to a window, as loud as its part `sound` asks for.
    fn mix(&self, window: &mut [f32], sound: std::ops::Range<usize>, key: Key) {
        let mut rng = key.rng();
        let touched = rng.chance(f64::from(self.probability));
        let snr = rng.range(f64::from(self.snr.0), f64::from(self.snr.1));
        if !touched {
            return;
        }
        let noise: Vec<f32> = match &self.source {
            NoiseSource::White => window.iter().map(|_| rng.normal() as f32).collect(),
            NoiseSource::Recordings(all) => {
                let one = &all[rng.below(all.len())];
                let start = rng.below(one.len().saturating_sub(window.len()) + 1);
                let endless = one.iter().cycle().skip(start);
                endless.take(window.len()).copied().collect()
            }
        };
        let wanted = mean_square(&window[sound]) / 10f64.powf(snr / 10.0);
        let power = mean_square(&noise);
        if power > 0.0 {
            let factor = (wanted / power).sqrt() as f32;
            for (sample, noise) in window.iter_mut().zip(noise) {
                *sample += factor * noise;
            }
        }
    }
}

/// The part of `length` samples from `start` on, which may lie outside: there is silence.
pub(super) fn cut(samples: &[f32], start: i64, length: usize) -> Vec<f32> {
    let sample = |i: i64| usize::try_from(i).ok().and_then(|i| samples.get(i));
    (start..start + length as i64)
        .map(|i| sample(i).copied().unwrap_or(0.0))
        .collect()
}

/// The part of `length` samples in the middle, with silence around what is shorter.
pub(super) fn middle(samples: &[f32], length: usize) -> Vec<f32> {
    let spare = samples.len() as i64 - length as i64;
    cut(samples, spare.div_euclid(2), length)
}

fn symmetric(most: f32, rng: &mut Rng) -> f64 {
    rng.range(-f64::from(most), f64::from(most))
}

fn mean_square(samples: &[f32]) -> f64 {
    let sum: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    sum / samples.len().max(1) as f64
}

#[cfg(test)]
#[path = "augment_tests.rs"]
mod tests;
