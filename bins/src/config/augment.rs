//! `data.augment`: a preset by name, or with single settings changed.

use crate::config::{ConfigError, did_you_mean};
use anyhow::{Result, bail};
use data::audio::{Noise, NoiseSource};
use data::augment::{ColourJitter, Erase, EraseWith, RandAugment, ResizedCrop};
use data::{Augment, audio};
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a preset is called, what it does, and how it is made.
pub struct Preset {
    /// The name.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    make: fn() -> Augment,
}

/// All presets.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "none",
        about: "pictures as they are",
        make: Augment::none,
    },
    Preset {
        name: "shift",
        about: "up to 2 pixels either way",
        make: || Augment::shift(2),
    },
    Preset {
        name: "affine",
        about: "what a hand does to a digit: moved, turned, sized and slanted a little",
        make: Augment::mnist_affine,
    },
    Preset {
        name: "strong",
        about: "affine, a little farther, with elastic deformation",
        make: Augment::mnist_strong,
    },
    Preset {
        name: "cifar",
        about: "padded by 4 and cropped, flipped",
        make: || Augment {
            flip: 0.5,
            ..Augment::shift(4)
        },
    },
    Preset {
        name: "characters",
        about: "drawings in dark ink on white: moved, turned, sized and slanted",
        make: || Augment {
            rotate: 12.0,
            scale: 0.15,
            shear: 10.0,
            background: 255,
            ..Augment::shift(4)
        },
    },
    Preset {
        name: "faces",
        about: "flipped, shifted by 4 pixels, turned by up to 5 degrees, lit a little differently",
        make: || Augment {
            flip: 0.5,
            rotate: 5.0,
            scale: 0.05,
            colour: Some(ColourJitter {
                brightness: 0.2,
                contrast: 0.2,
                saturation: 0.0,
                hue: 0.0,
            }),
            ..Augment::shift(4)
        },
    },
    Preset {
        name: "retrieval",
        about: "a random part of the picture in full size, flipped",
        make: || Augment {
            crop: Some(ResizedCrop::inception()),
            flip: 0.5,
            ..Augment::none()
        },
    },
    Preset {
        name: "reid",
        about: "the strong baseline of re-identification: flipped, padded by 10 and cropped, erased",
        make: || Augment {
            flip: 0.5,
            erase: Some(erase(0.5)),
            ..Augment::shift(10)
        },
    },
    Preset {
        name: "vehicles",
        about: "as reid, with the colours of other cameras",
        make: || Augment {
            flip: 0.5,
            erase: Some(erase(0.5)),
            colour: Some(ColourJitter {
                brightness: 0.2,
                contrast: 0.15,
                saturation: 0.1,
                hue: 0.0,
            }),
            ..Augment::shift(10)
        },
    },
];

/// A preset for recordings.
pub struct SoundPreset {
    /// The name.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    make: fn() -> audio::Augment,
}

/// All presets for recordings.
pub const SOUND_PRESETS: &[SoundPreset] = &[
    SoundPreset {
        name: "none",
        about: "recordings as they are",
        make: audio::Augment::none,
    },
    SoundPreset {
        name: "speech",
        about: "words: moved by up to 0.1 s, louder or softer, parts of time and pitch painted over",
        make: audio::Augment::speech,
    },
    SoundPreset {
        name: "environment",
        about: "sounds of all kinds: as speech, moved by up to 0.5 s",
        make: audio::Augment::environment,
    },
];

/// The least and the largest ratio of a recording to the noise mixed into it, in decibels.
const SNR: (f32, f32) = (5.0, 20.0);

/// Zhong et al., "Random Erasing Data Augmentation", as in the re-ID baselines: 2 to 40 % of the
/// area, sides up to 0.3 : 1.
fn erase(probability: f32) -> Erase {
    Erase {
        probability,
        area: (0.02, 0.4),
        aspect: 1.0 / 0.3,
        with: EraseWith::Background,
    }
}

/// A preset that is for the other kind of data.
fn other_kind<'a>(
    name: &str,
    it_is_for: &str,
    data: &str,
    names: impl Iterator<Item = &'a str>,
) -> ConfigError {
    ConfigError(format!(
        "`data.augment` is `{name}`, which varies {it_is_for}, but the data are {data}; for them \
         there are: {}",
        names.collect::<Vec<_>>().join(", ")
    ))
}

/// How training examples are varied: `augment = "affine"`, or a table with a preset and what is
/// different from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AugmentConfig(Settings);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// What to begin with; `none` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    /// Smallest and largest share of the picture's area that is shown; 0 is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    crop: Option<[f32; 2]>,
    /// Probability to exchange left and right.
    #[serde(skip_serializing_if = "Option::is_none")]
    flip: Option<f32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<u32>,
    /// Degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate: Option<f32>,
    /// A share.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    /// Degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    shear: Option<f32>,
    /// Brightness, contrast, saturation, hue.
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<[f32; 4]>,
    /// How many operations, how strong (0 to 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    rand_augment: Option<(u32, f32)>,
    /// Probability to paint a rectangle over.
    #[serde(skip_serializing_if = "Option::is_none")]
    erase: Option<f32>,
    /// Side of a square painted over, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    cutout: Option<u32>,
    /// The pixel value outside the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<u8>,
    /// Probability that noise is mixed into a recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f32>,
    /// Alpha of the mixing of two examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    mixup: Option<f32>,
}

impl AugmentConfig {
    /// A preset as it is.
    pub fn preset(name: &str) -> Self {
        AugmentConfig(Settings {
            preset: Some(name.into()),
            ..Settings::default()
        })
    }

    fn is_preset(&self) -> Option<&str> {
        let preset = self.0.preset.as_deref()?;
        (*self == AugmentConfig::preset(preset)).then_some(preset)
    }

    /// The preset's name, and whether something is different from it.
    pub fn describe(&self) -> String {
        let name = self.0.preset.as_deref().unwrap_or("none");
        match self.is_preset() {
            Some(name) => name.into(),
            None => format!("{name}, changed"),
        }
    }

    /// Alpha of mixup; 0 is off.
    pub fn mixup(&self) -> f32 {
        self.0.mixup.unwrap_or(0.0)
    }

    /// The variations of pictures.
    ///
    /// # Errors
    /// If there is no such preset, or a setting is out of range, or is one for recordings.
    pub fn resolve(&self) -> Result<Augment> {
        let s = &self.0;
        let name = s.preset.as_deref().unwrap_or("none");
        let names = || PRESETS.iter().map(|p| p.name);
        let Some(preset) = PRESETS.iter().find(|p| p.name == name) else {
            if SOUND_PRESETS.iter().any(|p| p.name == name) {
                bail!(other_kind(name, "recordings", "pictures", names()));
            }
            bail!(ConfigError(format!(
                "`data.augment` is `{name}`{}; there are: {}",
                did_you_mean(name, names()),
                names().collect::<Vec<_>>().join(", ")
            )));
        };
        if s.noise.is_some() {
            bail!(ConfigError(
                "`data.augment.noise` is for recordings, but the data are pictures; leave it out"
                    .into()
            ));
        }
        let mut augment = (preset.make)();
        if let Some([least, most]) = s.crop {
            augment.crop = (most > 0.0).then(|| ResizedCrop {
                area: (least, most),
                ..ResizedCrop::inception()
            });
        }
        if let Some([brightness, contrast, saturation, hue]) = s.jitter {
            augment.colour = Some(ColourJitter {
                brightness,
                contrast,
                saturation,
                hue,
            });
        }
        if let Some((operations, strength)) = s.rand_augment {
            augment.rand_augment = (operations > 0).then_some(RandAugment {
                operations,
                strength,
            });
        }
        if let Some(probability) = s.erase {
            augment.erase = (probability != 0.0).then(|| erase(probability));
        }
        augment.flip = s.flip.unwrap_or(augment.flip);
        augment.shift = s.shift.unwrap_or(augment.shift);
        augment.rotate = s.rotate.unwrap_or(augment.rotate);
        augment.scale = s.scale.unwrap_or(augment.scale);
        augment.shear = s.shear.unwrap_or(augment.shear);
        augment.cutout = s.cutout.unwrap_or(augment.cutout);
        augment.background = s.background.unwrap_or(augment.background);
        augment
            .check()
            .map_err(|e| ConfigError(format!("[data.augment]: {e}")))?;
        self.check_mixup()?;
        Ok(augment)
    }

    /// The variations of recordings. Noise is white; data sets with noise of their own put it in
    /// its place.
    ///
    /// # Errors
    /// If there is no such preset, or a setting is out of range, or is one for pictures.
    pub fn resolve_sound(&self) -> Result<audio::Augment> {
        let s = &self.0;
        let name = s.preset.as_deref().unwrap_or("none");
        let names = || SOUND_PRESETS.iter().map(|p| p.name);
        let Some(preset) = SOUND_PRESETS.iter().find(|p| p.name == name) else {
            if PRESETS.iter().any(|p| p.name == name) {
                bail!(other_kind(name, "pictures", "recordings", names()));
            }
            bail!(ConfigError(format!(
                "`data.augment` is `{name}`{}; for recordings there are: {}",
                did_you_mean(name, names()),
                names().collect::<Vec<_>>().join(", ")
            )));
        };
        let of_sound = Settings {
            preset: s.preset.clone(),
            noise: s.noise,
            mixup: s.mixup,
            ..Settings::default()
        };
        if *s != of_sound {
            bail!(ConfigError(
                "[data.augment]: the data are recordings, which only `preset`, `noise` and `mixup` \
                 are for; leave the settings for pictures out"
                    .into()
            ));
        }
        let mut augment = (preset.make)();
        augment.noise = s.noise.filter(|&p| p != 0.0).map(|probability| Noise {
            probability,
            snr: SNR,
            source: NoiseSource::White,
        });
        augment
            .check()
            .map_err(|e| ConfigError(format!("[data.augment]: {e}")))?;
        self.check_mixup()?;
        Ok(augment)
    }

    fn check_mixup(&self) -> Result<()> {
        if !(0.0..=100.0).contains(&self.mixup()) {
            bail!(ConfigError(
                "`data.augment.mixup` must be 0 (off) to 100; 0.2 to 1 are usual".into()
            ));
        }
        Ok(())
    }
}

impl Serialize for AugmentConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.is_preset() {
            Some(name) => serializer.serialize_str(name),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AugmentConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = AugmentConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a preset, or a table of settings")
            }

            fn visit_str<E>(self, name: &str) -> Result<AugmentConfig, E> {
                Ok(AugmentConfig::preset(name))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AugmentConfig, A::Error> {
                Settings::deserialize(MapAccessDeserializer::new(map)).map(AugmentConfig)
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> AugmentConfig {
        #[derive(Deserialize)]
        struct Table {
            augment: AugmentConfig,
        }
        toml::from_str::<Table>(text).unwrap().augment
    }

    #[test]
    fn every_preset_can_be_had_and_says_something_of_its_own() {
        for preset in PRESETS {
            let augment = AugmentConfig::preset(preset.name).resolve().unwrap();
            let others = PRESETS.iter().filter(|p| p.name != preset.name);
            for other in others {
                let other_augment = AugmentConfig::preset(other.name).resolve().unwrap();
                assert_ne!(augment, other_augment, "{} {}", preset.name, other.name);
            }
        }
    }

    #[test]
    fn settings_change_a_preset_and_nothing_else() {
        let changed = read("augment = { preset = \"reid\", flip = 0, erase = 0, cutout = 8 }");
        let expected = Augment {
            cutout: 8,
            ..Augment::shift(10)
        };
        assert_eq!(changed.resolve().unwrap(), expected);
        assert_eq!(changed.describe(), "reid, changed");
        assert_eq!(read("augment = \"reid\"").describe(), "reid");
        let all = read(
            "augment = { crop = [0.2, 1], jitter = [0.1, 0.2, 0.3, 0.4], rand_augment = [2, 0.3], \
             mixup = 0.5 }",
        );
        let augment = all.resolve().unwrap();
        assert_eq!(augment.crop.unwrap().area, (0.2, 1.0));
        assert_eq!(augment.colour.unwrap().hue, 0.4);
        assert_eq!(augment.rand_augment.unwrap().operations, 2);
        assert_eq!(all.mixup(), 0.5);
    }

    #[test]
    fn recordings_and_pictures_have_presets_of_their_own() {
        let sound = |text| read(text).resolve_sound();
        let speech = sound("augment = { preset = \"speech\", noise = 0.5, mixup = 0.2 }").unwrap();
        assert_eq!(speech.noise.unwrap().probability, 0.5);
        for preset in SOUND_PRESETS {
            let augment = AugmentConfig::preset(preset.name).resolve_sound().unwrap();
            assert_eq!(augment, (preset.make)(), "{}", preset.name);
        }
        let message = |text| sound(text).unwrap_err().to_string();
        assert!(message("augment = \"reid\"").contains("varies pictures"));
        assert!(message("augment = { preset = \"speech\", flip = 0.5 }").contains("leave"));
        assert!(message("augment = \"speach\"").contains("did you mean `speech`"));
        assert!(message("augment = { noise = 2.0 }").contains("noise.probability"));
        let message = |text| read(text).resolve().unwrap_err().to_string();
        assert!(message("augment = \"speech\"").contains("varies recordings"));
        assert!(message("augment = { noise = 0.5 }").contains("is for recordings"));
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let message = |text| read(text).resolve().unwrap_err().to_string();
        assert!(message("augment = { flip = 2.0 }").contains("flip"));
        assert!(message("augment = { mixup = -1.0 }").contains("mixup"));
        assert!(message("augment = \"ried\"").contains("did you mean `reid`"));
    }
}
