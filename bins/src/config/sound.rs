//! What recordings are turned into: the settings under `[data]` that belong to sound.

use super::{ConfigError, Data};
use crate::source::Format;
use anyhow::{Result, bail};
use data::audio::LogMel;
use serde::{Deserialize, Serialize};

/// Whose conventions a log-mel spectrogram follows; `data::audio` has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Features {
    /// [`LogMel::speech`].
    Speech,
    /// [`LogMel::environment`].
    Environment,
    /// [`LogMel::librosa`].
    Librosa,
    /// [`LogMel::torchaudio`].
    Torchaudio,
}

/// Everything decided of what a network sees of a recording. A checkpoint keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sound {
    /// The sample rate that recordings are brought to, in Hz.
    pub rate: u32,
    /// The conventions of the spectrogram.
    pub features: Features,
    /// The window of each recording, in seconds.
    pub seconds: f64,
    /// Milliseconds from one frame to the next; those of the conventions if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<f64>,
}

impl Sound {
    /// What is usual with a layout; `None` for pictures.
    pub fn usual(format: Format) -> Option<Self> {
        let speech = |rate| Sound {
            rate,
            features: Features::Speech,
            seconds: 1.0,
            hop: None,
        };
        let environment = |rate, seconds| Sound {
            rate,
            features: Features::Environment,
            seconds,
            hop: Some(20.0),
        };
        match format {
            Format::Fsdd => Some(speech(8_000)),
            Format::SpeechCommands | Format::SpeechCommands12 => Some(speech(16_000)),
            Format::Esc10 => Some(environment(16_000, 5.0)),
            Format::Esc50 => Some(environment(32_000, 5.0)),
            Format::Urbansound => Some(environment(32_000, 4.0)),
            _ => None,
        }
    }

    /// As stated, or as usual with the layout; `None` for pictures.
    ///
    /// # Errors
    /// If a setting is out of range, or belongs to the other kind of data.
    pub fn of(data: &Data) -> Result<Option<Self>> {
        let name = data.format.info().name;
        let refuse = |set: &[(&str, bool)], why: &str| match set.iter().find(|(_, is_set)| *is_set)
        {
            Some((key, _)) => Err(ConfigError(format!(
                "`data.{key}` {why}; the data (format `{name}`) are others: leave it out"
            ))),
            None => Ok(()),
        };
        let in_folds = data.format.folds().is_some();
        let fold = ("fold", data.fold.is_some() && !in_folds);
        refuse(
            &[fold],
            "is for data sets in folds (ESC, UrbanSound8K, CUHK03's classic splits)",
        )?;
        let Some(usual) = Sound::usual(data.format) else {
            let settings = [
                ("rate", data.rate.is_some()),
                ("features", data.features.is_some()),
                ("seconds", data.seconds.is_some()),
                ("hop", data.hop.is_some()),
                ("cache", data.cache.is_some()),
            ];
            refuse(&settings, "is for recordings")?;
            return Ok(None);
        };
        let settings = [
            ("size", !data.size.is_empty()),
            ("channels", data.channels.is_some()),
            ("centre", data.centre.is_some()),
        ];
        refuse(&settings, "is for pictures")?;
        let sound = Sound {
            rate: data.rate.unwrap_or(usual.rate),
            features: data.features.unwrap_or(usual.features),
            seconds: data.seconds.unwrap_or(usual.seconds),
            // The usual hop belongs to the usual conventions.
            hop: match data.features {
                Some(features) if features != usual.features => data.hop,
                _ => data.hop.or(usual.hop),
            },
        };
        if !(sound.seconds > 0.0 && sound.seconds <= 3600.0) {
            bail!(ConfigError(format!(
                "`data.seconds` is {}, but must be above 0 and at most 3600",
                sound.seconds
            )));
        }
        let settings = sound.settings();
        settings
            .extractor()
            .map_err(|e| ConfigError(format!("[data]: {e}")))?;
        Ok(Some(sound))
    }

    /// What a spectrogram is computed with.
    pub fn settings(&self) -> LogMel {
        let preset = match self.features {
            Features::Speech => LogMel::speech(self.rate),
            Features::Environment => LogMel::environment(self.rate),
            Features::Librosa => LogMel::librosa(self.rate),
            Features::Torchaudio => LogMel::torchaudio(self.rate),
        };
        let samples = |ms: f64| (f64::from(self.rate) * ms / 1e3).round() as usize;
        LogMel {
            hop: self.hop.map_or(preset.hop, samples),
            ..preset
        }
    }

    /// States these settings, whatever was stated before.
    pub fn state(self, data: &mut Data) {
        data.rate = Some(self.rate);
        data.features = Some(self.features);
        data.seconds = Some(self.seconds);
        data.hop = self.hop;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(format: Format) -> Data {
        Data {
            format,
            ..Data::default()
        }
    }

    #[test]
    fn what_is_stated_wins_over_what_is_usual() {
        let usual = Sound::of(&data(Format::Esc10)).unwrap().unwrap();
        assert_eq!(usual.settings().hop, 320);
        let stated = Data {
            rate: Some(8_000),
            features: Some(Features::Librosa),
            ..data(Format::Esc10)
        };
        let stated = Sound::of(&stated).unwrap().unwrap();
        assert_eq!(
            (stated.rate, stated.seconds, stated.hop),
            (8_000, 5.0, None)
        );
        assert_eq!(stated.settings(), LogMel::librosa(8_000));
        let mut other = data(Format::Esc10);
        stated.state(&mut other);
        assert_eq!(Sound::of(&other).unwrap().unwrap().rate, 8_000);
    }

    #[test]
    fn settings_of_the_other_kind_of_data_are_refused_by_name() {
        let message = |data: &Data| Sound::of(data).unwrap_err().to_string();
        let pictures = Data {
            rate: Some(8_000),
            ..data(Format::Cub)
        };
        assert!(message(&pictures).contains("`data.rate` is for recordings"));
        let fold = Data {
            fold: Some(1),
            ..data(Format::Fsdd)
        };
        assert!(message(&fold).contains("`data.fold` is for data sets in folds"));
        let size = Data {
            size: vec![16],
            ..data(Format::Fsdd)
        };
        assert!(message(&size).contains("`data.size` is for pictures"));
        let rate = Data {
            rate: Some(0),
            ..data(Format::Fsdd)
        };
        assert!(message(&rate).contains("[data]"), "{}", message(&rate));
        let seconds = Data {
            seconds: Some(f64::NAN),
            ..data(Format::Fsdd)
        };
        assert!(message(&seconds).contains("data.seconds"));
        assert_eq!(Sound::of(&data(Format::Cub)).unwrap(), None);
    }
}
