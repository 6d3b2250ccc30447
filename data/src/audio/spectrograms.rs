//! Spectrograms of recordings, as the loader loads them.

use super::augment::{Augment, middle};
use super::cache::Cache;
use super::features::{Extractor, LogMel};
use super::recordings::{Parts, Recordings};
use crate::error::{Error, Result};
use crate::examples::Examples;
use engine::par;
use engine::rng::Key;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Log-mel spectrograms `[mels, frames, 1]` of the same window of every recording, varied and
/// normalised.
///
/// A recording that is longer than the window shows its middle, a shorter one lies in the middle
/// of silence. What a spectrogram is computed from may be in files or in memory, and the
/// spectrograms themselves may be kept on disk ([`cached`](Self::cached)) or in memory
/// ([`load`](Self::load)): all of this changes how long it takes, never a value.
#[derive(Clone)]
pub struct Spectrograms {
    recordings: Recordings,
    extractor: Extractor,
    /// Samples of the window.
    length: usize,
    /// `[mels, frames]`.
    shape: [usize; 2],
    normalise: BandNormalise,
    augment: Augment,
    cache: Option<Arc<Cache>>,
    /// Every spectrogram as it is, not normalised.
    loaded: Option<Arc<[f32]>>,
}

/// The longest window, in seconds.
const LONGEST: f64 = 3600.0;

impl Spectrograms {
    /// The spectrograms of a window of `seconds`, as they are.
    ///
    /// # Errors
    /// As [`LogMel::extractor`]; [`Error::Invalid`] if the settings are for another rate than that
    /// of the recordings, or the window is longer than an hour or too short for a frame.
    pub fn new(recordings: Recordings, settings: &LogMel, seconds: f64) -> Result<Self> {
        let extractor = settings.extractor()?;
        if settings.rate != recordings.rate() {
            return Err(Error::invalid(
                format!("sample rate of {}", recordings.name()),
                format!(
                    "{} Hz, as in the settings of the spectrogram",
                    settings.rate
                ),
                format!("{} Hz", recordings.rate()),
                "read the recordings at that rate",
            ));
        }
        let length = (seconds.clamp(0.0, LONGEST) * f64::from(settings.rate)).round() as usize;
        let frames = extractor.frames(length);
        if frames == 0 || !(0.0..=LONGEST).contains(&seconds) {
            return Err(Error::invalid(
                format!("window of {}", recordings.name()),
                format!("at most {LONGEST} s, and long enough for one frame"),
                format!("{seconds} s"),
                "set it to the length of a usual recording",
            ));
        }
        Ok(Spectrograms {
            shape: [settings.mels, frames],
            normalise: BandNormalise::none(settings.mels),
            augment: Augment::none(),
            cache: None,
            loaded: None,
            recordings,
            extractor,
            length,
        })
    }

    /// The same spectrograms, varied wherever a variation is asked for: in training.
    ///
    /// # Errors
    /// As [`Augment::check`].
    pub fn augmented(self, augment: Augment) -> Result<Self> {
        augment.check()?;
        Ok(Spectrograms { augment, ..self })
    }

    /// The same spectrograms, normalised.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `normalise` is for another number of bands.
    pub fn normalised(self, normalise: BandNormalise) -> Result<Self> {
        let [mels, _] = self.shape;
        if normalise.mean.len() != mels {
            return Err(Error::invalid(
                format!("normalisation of {}", self.recordings.name()),
                format!("{mels} bands"),
                normalise.mean.len(),
                "measure it on spectrograms of the same settings",
            ));
        }
        Ok(Spectrograms { normalise, ..self })
    }

    /// The same spectrograms, each kept in a folder when it has been computed and taken from there
    /// the next time, in this run or in another one. The folder is made if it does not exist; it
    /// may be shared by any number of sets and settings, and deleted at any time. What is damaged
    /// is computed again.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be made.
    pub fn cached(self, folder: impl AsRef<Path>) -> Result<Self> {
        let settings = format!("{:?} {}", self.extractor.settings(), self.length);
        let cache = Cache::new(folder.as_ref(), settings, self.shape)?;
        Ok(Spectrograms {
            cache: Some(Arc::new(cache)),
            ..self
        })
    }

    /// The same spectrograms, all of them in memory, computed on all threads. Variations of
    /// samples still need the recordings: load these, too, if both fit.
    ///
    /// # Errors
    /// The first recording, in the order of the set, that cannot be read.
    pub fn load(self) -> Result<Self> {
        let size = self.size();
        let mut loaded = vec![0.0; size * self.recordings.len()];
        let mut results: Vec<Result<()>> = (0..self.recordings.len()).map(|_| Ok(())).collect();
        par::chunks2(&mut loaded, size, &mut results, 1, |i, out, result| {
            result[0] = self.plain(i, out);
        });
        results.into_iter().collect::<Result<()>>()?;
        Ok(Spectrograms {
            loaded: Some(loaded.into()),
            ..self
        })
    }

    /// The recordings.
    pub fn recordings(&self) -> &Recordings {
        &self.recordings
    }

    /// What the spectrograms are computed with.
    pub fn settings(&self) -> &LogMel {
        self.extractor.settings()
    }

    /// The normalisation.
    pub fn normalise(&self) -> &BandNormalise {
        &self.normalise
    }

    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// The spectrogram as it is, not normalised.
    fn plain(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let compute = |out: &mut [f32]| {
            let window = middle(&self.recordings.samples(index)?, self.length);
            self.extractor.write(&window, out);
            Ok(())
        };
        if let Some(loaded) = &self.loaded {
            out.copy_from_slice(&loaded[index * self.size()..(index + 1) * self.size()]);
            return Ok(());
        }
        match &self.cache {
            Some(cache) => {
                let (path, clip) = (self.recordings.path(index), self.recordings.clip(index));
                cache.write(path, clip, out, compute)
            }
            None => compute(out),
        }
    }
}

impl Examples for Spectrograms {
    fn shape(&self) -> [usize; 3] {
        [self.shape[0], self.shape[1], 1]
    }

    fn labels(&self) -> &[usize] {
        self.recordings.labels()
    }

    fn write(&self, index: usize, variation: Option<Key>, out: &mut [f32]) -> Result<()> {
        match variation {
            Some(key) if self.augment.touches_samples() => {
                let samples = self.recordings.samples(index)?;
                let rate = self.recordings.rate();
                let window = self.augment.window(&samples, self.length, rate, key);
                self.extractor.write(&window, out);
            }
            _ => self.plain(index, out)?,
        }
        self.normalise.apply(out);
        if let Some(key) = variation {
            self.augment.mask(self.shape[0], out, key.named("masks"));
        }
        Ok(())
    }
}

impl fmt::Debug for Spectrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [mels, frames] = self.shape;
        write!(
            f,
            "{} ({} spectrograms of {mels} x {frames}, {} classes)",
            self.recordings.name(),
            self.recordings.len(),
            self.recordings.classes().len()
        )
    }
}

impl Parts {
    /// The spectrograms of each part, normalised as the training part asks for, which is read for
    /// it once. With a folder, they are [`cached`](Spectrograms::cached) there.
    ///
    /// # Errors
    /// As [`Spectrograms::new`], [`Spectrograms::cached`] and [`BandNormalise::measured`].
    pub fn spectrograms(
        &self,
        settings: &LogMel,
        seconds: f64,
        cache: Option<&Path>,
    ) -> Result<Parts<Spectrograms>> {
        let plain = self.try_map(|recordings| {
            let plain = Spectrograms::new(recordings.clone(), settings, seconds)?;
            match cache {
                Some(folder) => plain.cached(folder),
                None => Ok(plain),
            }
        })?;
        let normalise = BandNormalise::measured(&plain.train)?;
        plain.try_map(|part| part.clone().normalised(normalise.clone()))
    }
}

/// `(value - mean) / deviation`, for each band.
#[derive(Clone, Debug, PartialEq)]
pub struct BandNormalise {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl BandNormalise {
    /// With a mean and a standard deviation for each band.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless there is one finite number each per band and every deviation is
    /// positive.
    pub fn new(mean: Vec<f32>, deviation: Vec<f32>) -> Result<Self> {
        let sound = !mean.is_empty()
            && mean.len() == deviation.len()
            && mean.iter().all(|m| m.is_finite())
            && deviation.iter().all(|d| d.is_finite() && *d > 0.0);
        if !sound {
            return Err(Error::invalid(
                "mean and standard deviation of the bands",
                "one finite mean and one positive deviation per band",
                format!("{mean:?} and {deviation:?}"),
                "measure them on the training part",
            ));
        }
        Ok(BandNormalise { mean, deviation })
    }

    /// Values as they are.
    ///
    /// # Panics
    /// If there is no band.
    pub fn none(mels: usize) -> Self {
        assert!(mels > 0, "a spectrogram has at least one band");
        BandNormalise {
            mean: vec![0.0; mels],
            deviation: vec![1.0; mels],
        }
    }

    /// To zero mean and unit deviation of every band over a set, which should be the training
    /// part: its spectrograms as they are, before variation and normalisation. A band that is
    /// constant (or a set without recordings) keeps the deviation 1.
    ///
    /// # Errors
    /// The first recording, in the order of the set, that cannot be read.
    pub fn measured(set: &Spectrograms) -> Result<Self> {
        let [mels, frames] = set.shape;
        let sums = par::map(set.recordings.len(), |i| {
            let mut values = vec![0.0; set.size()];
            set.plain(i, &mut values)?;
            let bands = values.chunks_exact(frames);
            Ok(bands.map(Moments::of).collect::<Vec<_>>())
        });
        let mut all = vec![Moments::default(); mels];
        for one in sums {
            for (band, more) in all.iter_mut().zip(one?) {
                band.add(more);
            }
        }
        Ok(BandNormalise {
            mean: all.iter().map(|m| m.mean as f32).collect(),
            deviation: all.iter().map(Moments::deviation).collect(),
        })
    }

    /// The mean of each band.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each band.
    pub fn deviation(&self) -> &[f32] {
        &self.deviation
    }

    /// Normalises a spectrogram `[mels, frames]` in place.
    ///
    /// # Panics
    /// If it is not of whole bands.
    pub fn apply(&self, values: &mut [f32]) {
        let mels = self.mean.len();
        assert_eq!(values.len() % mels, 0, "values in {mels} bands");
        let bands = values.chunks_exact_mut((values.len() / mels).max(1));
        for ((band, mean), deviation) in bands.zip(&self.mean).zip(&self.deviation) {
            band.iter_mut().for_each(|v| *v = (*v - mean) / deviation);
        }
    }
}

/// Number, mean and sum of squared differences from it: T. Chan, G. Golub and R. LeVeque,
/// "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of(values: &[f32]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let square = |&v: &f32| (f64::from(v) - mean).powi(2);
        Moments {
            count,
            mean,
            squares: values.iter().map(square).sum(),
        }
    }

    fn add(&mut self, more: Moments) {
        let count = self.count + more.count;
        let apart = more.mean - self.mean;
        self.squares += more.squares + apart * apart * self.count * more.count / count;
        self.mean += apart * more.count / count;
        self.count = count;
    }

    fn deviation(&self) -> f32 {
        let deviation = (self.squares / self.count.max(1.0)).sqrt() as f32;
        if deviation > 0.0 { deviation } else { 1.0 }
    }
}

#[cfg(test)]
#[path = "spectrograms_tests.rs"]
mod tests;
