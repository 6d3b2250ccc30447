//! Sound: recordings, their log-mel spectrograms, and the two as data sets.
//!
//! | stop | what it is |
//! |---|---|
//! | [`wave`] | a WAV file as samples of one channel |
//! | [`resample()`] | samples at another rate |
//! | [`Recordings`], [`Parts`] | labelled recordings of a [`Manifest`](crate::Manifest), in files or in memory |
//! | [`LogMel`], [`Extractor`] | a spectrogram, by settings that can be those of librosa or torchaudio |
//! | [`Spectrograms`] | what the [`Loader`](crate::Loader) loads: `[mels, frames, 1]`, varied by [`Augment`], normalised by [`BandNormalise`] |
//!
//! [`formats`](crate::formats) reads the layouts and protocols of FSDD, ESC-50, UrbanSound8K and
//! Speech Commands; a manifest with the columns `start` and `duration` does for others.
//!
//! ```no_run
//! use data::audio::{Augment, LogMel, Parts};
//! use data::formats::fsdd;
//! use data::{Loader, Order};
//!
//! # fn main() -> data::Result<()> {
//! let manifest = fsdd::read("free-spoken-digit-dataset")?.strict()?;
//! let parts = Parts::of(&manifest, 8_000)?.hold_out(300, 0)?;
//! // A second each, read into memory; bands are normalised by the training part.
//! let parts = parts.try_map(|part| part.load())?;
//! let sound = parts.spectrograms(&LogMel::speech(8_000), 1.0, None)?;
//!
//! let train = sound.train.augmented(Augment::speech())?;
//! let train = Loader::new(train, Order::shuffled(64), 1)?;
//! let validation = Loader::evaluation(sound.validation.load()?, 100)?;
//! assert_eq!(train.examples().shape(), [40, 101, 1]);
//! # Ok(())
//! # }
//! ```
//!
//! # What a log-mel spectrogram is
//!
//! The recording is cut into frames of `window` samples that begin every `hop` samples. Each is
//! weighted by a periodic Hann window, `w(n) = 1/2 - 1/2 cos(2 pi n / window)`, and transformed
//! with length `fft`; the absolute values of its coefficients are squared. `mels` triangles sum
//! neighbouring frequencies, and a logarithm is taken, since both the ear's pitch and its loudness
//! are logarithmic:
//!
//! ```text
//! X(k, t) = sum over n of w(n) x(t hop + n - fft/2) exp(-2 pi i k n / fft)
//! S(m, t) = sum over k of H(m, k) |X(k, t)|^2
//! L(m, t) = 10 log10 max(S(m, t), 1e-10)            Level::Decibel, or
//!           ln(S(m, t) + offset)                    Level::Ln
//! H(m, k) = height(m) max(0, min((f - c(m)) / (c(m+1) - c(m)), (c(m+2) - f) / (c(m+2) - c(m+1))))
//!           at f = k rate / fft; c(0) = low, .., c(mels + 1) = high are spaced evenly in mel
//! ```
//!
//! Under the same name, libraries compute different values. Trained weights and published figures
//! mean one of them, so everything they differ in is a setting of [`LogMel`]:
//!
//! | setting | librosa 0.11 | torchaudio 2.11 | [`LogMel::speech`] | [`LogMel::environment`] |
//! |---|---|---|---|---|
//! | `fft`, `window`, `hop` | 2048, 2048, 512 | 400, 400, 200 | 25 ms (`fft`: next power of 2) every 10 ms | 32 ms every 10 ms |
//! | window | Hann, periodic | Hann, periodic | the same | the same |
//! | frames | centred | centred | centred | centred |
//! | `padding` | zeros | reflected | zeros | reflected |
//! | `spectrum` | power | power | power | power |
//! | `mels`, `low`, `high` | 128, 0 to rate/2 | 128, 0 to rate/2 | 40, 20 Hz to rate/2 | 64, 50 Hz to 14 kHz at most |
//! | `scale` | Slaney | HTK | HTK | Slaney |
//! | `norm` | area 1 | peak 1 | peak 1 | area 1 |
//! | `level` | 10 log10(max(S, 1e-10)), at most 80 dB below the highest | 10 log10(max(S, 1e-10)) | ln(S + 1e-6) | 10 log10(max(S, 1e-10)) |
//!
//! Golden tests hold both presets, and mixtures of their settings, to the libraries' values. All
//! arithmetic is in f64; in f32, the libraries themselves are off by far more in frames of little
//! energy, which the logarithm brings out.
//!
//! # Rules that are easily broken
//!
//! - Normalisation is measured on the training part alone ([`Parts::spectrograms`] does).
//! - Folds and lists that come with a data set keep what was cut from one source, or spoken by one
//!   person, on one side. Cutting them anew at random gives higher figures that nobody else can
//!   compare with.

mod augment;
mod cache;
mod features;
mod mel;
mod recordings;
mod resample;
mod spectrograms;
pub mod wave;

pub use augment::{Augment, Masks, Noise, NoiseSource};
pub use features::{Extractor, Level, LogMel, Padding, Spectrum};
pub use mel::{MelNorm, MelScale};
pub use recordings::{Parts, Recordings};
pub use resample::resample;
pub use spectrograms::{BandNormalise, Spectrograms};
pub use wave::Wave;
