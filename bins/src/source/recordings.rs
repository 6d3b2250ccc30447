//! Recordings as examples: the spectrograms of files that a manifest lists.

use super::pictures::{Content, Part, noted};
use super::{Format, Marks};
use crate::config::{Config, Sound, Unreadable};
use anyhow::Result;
use data::audio::{NoiseSource, Recordings, Spectrograms};
use data::formats::speech_commands;
use data::{Manifest, audio};
use std::path::Path;

/// How recordings are to be read.
pub struct Reader<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The folder of the data set.
    pub root: &'a Path,
    /// What becomes of a recording.
    pub sound: Sound,
}

impl Reader<'_> {
    /// Some entries, varied if they are to be trained on. `notes` are told what was left out.
    ///
    /// # Errors
    /// If a file cannot be read and is not to be left out.
    pub fn part(
        &self,
        manifest: &Manifest,
        rows: &[usize],
        varied: bool,
        notes: &mut Vec<String>,
    ) -> Result<Part> {
        let data = &self.config.data;
        let mut recordings = Recordings::new(manifest, rows, self.sound.rate)?;
        if data.unreadable == Unreadable::Skip {
            recordings = noted(recordings.checked(data::Unreadable::Skip)?, notes);
        }
        // The samples, or where nothing varies what the spectrograms take, which is less.
        let seconds = recordings.len() as f64 * self.sound.seconds;
        let bytes = 4.0 * f64::from(self.sound.rate) * seconds;
        let fits = bytes <= data.memory as f64 * f64::from(1 << 20);
        if fits && varied {
            recordings = recordings.load()?;
        }
        let paths = (0..recordings.len())
            .map(|i| manifest.entries[recordings.origin(i)].path.clone())
            .collect();
        let settings = self.sound.settings();
        let mut spectrograms = Spectrograms::new(recordings, &settings, self.sound.seconds)?;
        if let Some(folder) = &data.cache {
            spectrograms = spectrograms.cached(folder)?;
        }
        if varied {
            spectrograms = spectrograms.augmented(self.augment()?)?;
        } else if fits {
            spectrograms = spectrograms.load()?;
        }
        Ok(Part {
            classes: spectrograms.recordings().classes().to_vec(),
            cameras: Vec::new(),
            marks: Marks {
                paths,
                ..Marks::default()
            },
            content: Content::Sound(Box::new(spectrograms)),
        })
    }

    /// The variations, with the background noise of the data set if it has some.
    fn augment(&self) -> Result<audio::Augment> {
        let data = &self.config.data;
        let mut augment = data.augment.resolve_sound()?;
        let has_background = matches!(
            data.format,
            Format::SpeechCommands | Format::SpeechCommands12
        );
        if let (Some(noise), true) = (&mut augment.noise, has_background) {
            let background = speech_commands::background(self.root, self.sound.rate)?;
            noise.source = NoiseSource::Recordings(background.into());
        }
        Ok(augment)
    }
}
