//! Log-mel spectrograms: what they are computed with, and the computation.

use super::mel::{Filterbank, MelNorm, MelScale};
use super::wave::RATES;
use crate::error::{Error, Result};
use realfft::{RealFftPlanner, RealToComplex};
use std::f64::consts::TAU;
use std::fmt;
use std::sync::Arc;

/// What stands in front of the first sample and behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Nothing: frame t starts at sample `t * hop`, and there are `1 + (samples - fft) / hop`.
    None,
    /// `fft / 2` zeros at either end, so that frame t is centred at sample `t * hop`; there are
    /// `1 + samples / hop`.
    Zeros,
    /// As with zeros, but the recording mirrored at its first and its last sample, which are not
    /// repeated: the samples 3 2 1 in front of 0 1 2 3.
    Reflect,
}

/// What a spectrum holds for each frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spectrum {
    /// The absolute value of the Fourier coefficient.
    Magnitude,
    /// Its square.
    Power,
}

/// The scale of the sums of the bands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    /// None: the sums as they are.
    Linear,
    /// `ln(sum + offset)`.
    Ln {
        /// Keeps the logarithm of silence finite.
        offset: f64,
    },
    /// `10 log10(max(sum, floor))` of powers, `20 log10(max(sum, floor))` of magnitudes.
    Decibel {
        /// The least sum.
        floor: f64,
        /// The levels are raised to at least so many decibels below the highest one of the
        /// recording; `None` leaves them. With it, the level of a band depends on all others.
        range: Option<f64>,
    },
}

/// The settings of a log-mel spectrogram; the [module](super) has the formula, and a table of
/// what others call them.
///
/// ```
/// use data::audio::{LogMel, MelScale};
/// let settings = LogMel { mels: 40, scale: MelScale::Htk, ..LogMel::librosa(16_000) };
/// let extractor = settings.extractor()?;
/// let second = vec![0.25; 16_000];
/// assert_eq!(extractor.frames(second.len()), 1 + 16_000 / 512);
/// assert_eq!(extractor.compute(&second).len(), 40 * 32); // [mels, frames]
/// # Ok::<(), data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogMel {
    /// The sample rate, in Hz.
    pub rate: u32,
    /// The length of the Fourier transform in samples; there are `fft / 2 + 1` frequencies.
    pub fft: usize,
    /// The length of the periodic Hann window in samples, at most `fft`; it stands in the middle of
    /// the transform.
    pub window: usize,
    /// Samples from one frame to the next.
    pub hop: usize,
    /// What stands around the recording.
    pub padding: Padding,
    /// Magnitudes or powers.
    pub spectrum: Spectrum,
    /// The number of bands.
    pub mels: usize,
    /// The lower end of the first band, in Hz.
    pub low: f64,
    /// The upper end of the last band, in Hz.
    pub high: f64,
    /// Where the bands lie.
    pub scale: MelScale,
    /// How high their triangles are.
    pub norm: MelNorm,
    /// The scale of the values.
    pub level: Level,
}

impl LogMel {
    /// What librosa computes if it is told no more: `power_to_db(melspectrogram(y=y, sr=rate))`.
    /// A transform of 2048, a hop of 512, 128 bands.
    pub fn librosa(rate: u32) -> Self {
        LogMel {
            rate,
            fft: 2048,
            window: 2048,
            hop: 512,
            padding: Padding::Zeros,
            spectrum: Spectrum::Power,
            mels: 128,
            low: 0.0,
            high: f64::from(rate) / 2.0,
            scale: MelScale::Slaney,
            norm: MelNorm::Area,
            level: Level::Decibel {
                floor: 1e-10,
                range: Some(80.0),
            },
        }
    }

    /// What torchaudio computes if it is told no more:
    /// `AmplitudeToDB()(MelSpectrogram(sample_rate=rate)(x))`. A transform of 400, a hop of 200,
    /// 128 bands, some of which are empty, as torchaudio warns.
    pub fn torchaudio(rate: u32) -> Self {
        LogMel {
            fft: 400,
            window: 400,
            hop: 200,
            padding: Padding::Reflect,
            scale: MelScale::Htk,
            norm: MelNorm::Peak,
            level: Level::Decibel {
                floor: 1e-10,
                range: None,
            },
            ..LogMel::librosa(rate)
        }
    }

    /// For words: windows of 25 ms every 10 ms, 40 bands from 20 Hz on, natural logarithm.
    pub fn speech(rate: u32) -> Self {
        let window = milliseconds(rate, 25);
        LogMel {
            fft: window.next_power_of_two(),
            window,
            hop: milliseconds(rate, 10),
            mels: 40,
            low: 20.0,
            padding: Padding::Zeros,
            level: Level::Ln { offset: 1e-6 },
            ..LogMel::torchaudio(rate)
        }
    }

    /// For sounds of all kinds: windows of 32 ms every 10 ms, 64 bands from 50 Hz to 14 kHz, or to
    /// half the rate if that is lower, in decibels, as Kong et al. 2020 have it in PANNs
    /// (arXiv:1912.10211).
    pub fn environment(rate: u32) -> Self {
        let window = milliseconds(rate, 32);
        LogMel {
            fft: window.next_power_of_two(),
            window,
            hop: milliseconds(rate, 10),
            padding: Padding::Reflect,
            mels: 64,
            low: 50.0,
            high: (f64::from(rate) / 2.0).min(14_000.0),
            level: Level::Decibel {
                floor: 1e-10,
                range: None,
            },
            ..LogMel::librosa(rate)
        }
    }

    /// What computes these spectrograms.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the first setting out of range.
    pub fn extractor(&self) -> Result<Extractor> {
        self.check()?;
        let bins = self.fft / 2 + 1;
        let spacing = f64::from(self.rate) / self.fft as f64;
        Ok(Extractor {
            settings: *self,
            transform: RealFftPlanner::new().plan_fft_forward(self.fft),
            window: window(self.window, self.fft),
            bands: Filterbank::new(
                (self.scale, self.norm),
                self.mels,
                [self.low, self.high],
                (bins, spacing),
            ),
        })
    }

    fn check(&self) -> Result<()> {
        let within = |what: &str, value: f64, low: f64, high: f64, unit: &str| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::invalid(
                format!("log-mel setting {what:?}"),
                format!("a number from {low} to {high}{unit}"),
                value,
                "set it into this range",
            ))
        };
        let count = |n: usize| n as f64;
        let (least, most) = (f64::from(*RATES.start()), f64::from(*RATES.end()));
        within("rate", f64::from(self.rate), least, most, " Hz")?;
        within("fft", count(self.fft), 2.0, 65_536.0, " samples")?;
        within(
            "window",
            count(self.window),
            1.0,
            count(self.fft),
            " samples",
        )?;
        within("hop", count(self.hop), 1.0, 65_536.0, " samples")?;
        within("mels", count(self.mels), 1.0, 4096.0, "")?;
        let nyquist = f64::from(self.rate) / 2.0;
        within("high", self.high, f64::MIN_POSITIVE, nyquist, " Hz")?;
        within("low", self.low, 0.0, self.high.next_down(), " Hz")?;
        match self.level {
            Level::Linear => Ok(()),
            Level::Ln { offset } => within("level.offset", offset, f64::MIN_POSITIVE, 1e6, ""),
            Level::Decibel { floor, range } => {
                within("level.floor", floor, f64::MIN_POSITIVE, 1e6, "")?;
                within("level.range", range.unwrap_or(80.0), 0.0, 1e4, " dB")
            }
        }
    }
}

fn milliseconds(rate: u32, milliseconds: u32) -> usize {
    (u64::from(rate) * u64::from(milliseconds)).div_ceil(1000) as usize
}

/// A periodic Hann window in the middle of zeros.
fn window(length: usize, fft: usize) -> Vec<f64> {
    let mut window = vec![0.0; fft];
    let left = (fft - length) / 2;
    for (i, w) in window[left..left + length].iter_mut().enumerate() {
        *w = 0.5 - 0.5 * (TAU * i as f64 / length as f64).cos();
    }
    window
}

/// Computes log-mel spectrograms, made by [`LogMel::extractor`]. All arithmetic is in f64; the
/// values are rounded to f32 at the end.
#[derive(Clone)]
pub struct Extractor {
    settings: LogMel,
    transform: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    bands: Filterbank,
}

impl Extractor {
    /// The settings.
    pub fn settings(&self) -> &LogMel {
        &self.settings
    }

    /// The number of frames of a recording of so many samples; 0 if it is too short for one.
    pub fn frames(&self, samples: usize) -> usize {
        let LogMel { fft, hop, .. } = self.settings;
        match self.settings.padding {
            _ if samples == 0 => 0,
            Padding::None if samples < fft => 0,
            Padding::None => 1 + (samples - fft) / hop,
            // An odd transform has one sample less in front of its middle than behind it.
            _ => 1 + (samples + 2 * (fft / 2) - fft) / hop,
        }
    }

    /// The number of bands that are so narrow that no frequency of the transform lies in them:
    /// their sum is always 0. Fewer bands or a longer transform cure it.
    pub fn empty_bands(&self) -> usize {
        self.bands.empty()
    }

    /// The spectrogram of a recording, `[mels, frames]`, row-major.
    pub fn compute(&self, samples: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.settings.mels * self.frames(samples.len())];
        self.write(samples, &mut out);
        out
    }

    /// Writes the spectrogram of a recording to `out`, `[mels, frames]`, row-major.
    ///
    /// # Panics
    /// If `out` has another size.
    pub fn write(&self, samples: &[f32], out: &mut [f32]) {
        let LogMel { fft, hop, mels, .. } = self.settings;
        let frames = self.frames(samples.len());
        assert_eq!(out.len(), mels * frames, "{mels} bands of {frames} frames");
        let margin = match self.settings.padding {
            Padding::None => 0,
            _ => fft / 2,
        };
        let mut frame = self.transform.make_input_vec();
        let mut coefficients = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut spectrum = vec![0.0; coefficients.len()];
        let mut highest = f64::NEG_INFINITY;
        let mut levels = vec![0.0; out.len()];
        for t in 0..frames {
            for (i, (value, weight)) in frame.iter_mut().zip(&self.window).enumerate() {
                *value = weight * self.sample(samples, (t * hop + i) as i64 - margin as i64);
            }
            self.transform
                .process_with_scratch(&mut frame, &mut coefficients, &mut scratch)
                .expect("the buffers are those of the transform");
            for (value, c) in spectrum.iter_mut().zip(&coefficients) {
                *value = match self.settings.spectrum {
                    Spectrum::Magnitude => c.norm(),
                    Spectrum::Power => c.norm_sqr(),
                };
            }
            for (m, sum) in self.bands.apply(&spectrum).enumerate() {
                let level = self.level(sum);
                highest = highest.max(level);
                levels[m * frames + t] = level;
            }
        }
        let lowest = match self.settings.level {
            Level::Decibel {
                range: Some(range), ..
            } => highest - range,
            _ => f64::NEG_INFINITY,
        };
        for (out, level) in out.iter_mut().zip(levels) {
            *out = level.max(lowest) as f32;
        }
    }

    /// Sample `at`, which may lie outside.
    fn sample(&self, samples: &[f32], at: i64) -> f64 {
        let inside = usize::try_from(at).ok().and_then(|i| samples.get(i));
        match (inside, self.settings.padding) {
            (Some(&sample), _) => f64::from(sample),
            (None, Padding::Reflect) => f64::from(samples[mirrored(at, samples.len())]),
            (None, _) => 0.0,
        }
    }

    fn level(&self, sum: f64) -> f64 {
        match (self.settings.level, self.settings.spectrum) {
            (Level::Linear, _) => sum,
            (Level::Ln { offset }, _) => (sum + offset).ln(),
            (Level::Decibel { floor, .. }, Spectrum::Power) => 10.0 * sum.max(floor).log10(),
            (Level::Decibel { floor, .. }, Spectrum::Magnitude) => 20.0 * sum.max(floor).log10(),
        }
    }
}

/// The place inside `0..length` that is mirrored to `at`, back and forth as often as it takes.
fn mirrored(at: i64, length: usize) -> usize {
    let last = length as i64 - 1;
    if last == 0 {
        return 0;
    }
    let at = at.rem_euclid(2 * last);
    at.min(2 * last - at) as usize
}

impl fmt::Debug for Extractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extractor").field(&self.settings).finish()
    }
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod tests;
