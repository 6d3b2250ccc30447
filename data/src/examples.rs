//! What the loader loads: anything that can write its example number `i` as floats.

use crate::augment::{self, Augment, ResizedCrop};
use crate::error::{Error, Result};
use crate::normalise::Normalise;
use crate::set::ImageSet;
use engine::rng::Key;
use std::borrow::Cow;

/// A numbered list of labelled examples of one shape.
///
/// The loader asks for nothing more, so a new kind of data (spectrograms, say) is an
/// implementation of this trait and inherits order, prefetching and resume.
pub trait Examples: Send + Sync {
    /// `[height, width, channels]` of every example.
    fn shape(&self) -> [usize; 3];

    /// The class of each example; their number is the number of examples.
    fn labels(&self) -> &[usize];

    /// The camera of each example, or nothing if they are not known.
    fn cameras(&self) -> &[u32] {
        &[]
    }

    /// Writes all of example `index` to `out`, `[height, width, channels]`: its variation that
    /// belongs to the key, or with `None` the example as it is. A function of the arguments
    /// alone; called from several threads at once.
    ///
    /// # Errors
    /// If the example cannot be read.
    fn write(&self, index: usize, variation: Option<Key>, out: &mut [f32]) -> Result<()>;
}

/// Labelled pictures that come out in one shape: in memory ([`ImageSet`]) or decoded from files
/// when they are asked for ([`FileSet`](crate::FileSet)).
pub trait Pictures: Send + Sync {
    /// What messages call the set.
    fn name(&self) -> &str;

    /// `[height, width, channels]` of every picture.
    fn shape(&self) -> [usize; 3];

    /// The class of each picture.
    fn labels(&self) -> &[usize];

    /// The camera of each picture, or nothing if they are not known.
    fn cameras(&self) -> &[u32] {
        &[]
    }

    /// The bytes of picture `index`, `[height, width, channels]`: of the part of it that the crop
    /// draws by the key, or of all of it. Asked for a crop only if there are 1 or 3 channels.
    ///
    /// # Errors
    /// If the picture cannot be read.
    fn read(&self, index: usize, crop: Option<(ResizedCrop, Key)>) -> Result<Cow<'_, [u8]>>;
}

/// The pictures of a set, varied and normalised.
#[derive(Clone, Debug)]
pub struct Images<S = ImageSet> {
    set: S,
    normalise: Normalise,
    augment: Augment,
}

impl<S: Pictures> Images<S> {
    /// The images as they are, normalised.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `normalise` is for another number of channels.
    pub fn new(set: S, normalise: Normalise) -> Result<Self> {
        let [_, _, channels] = set.shape();
        if normalise.mean().len() != channels {
            return Err(Error::invalid(
                format!("normalisation of {}", set.name()),
                format!("{channels} channels"),
                normalise.mean().len(),
                "state one mean and one deviation per channel of the images",
            ));
        }
        Ok(Images {
            set,
            normalise,
            augment: Augment::none(),
        })
    }

    /// The same images, varied wherever a variation is asked for: in training.
    ///
    /// # Errors
    /// As [`Augment::check`]; [`Error::Invalid`] for variations of colour or crops of images that
    /// have neither 1 nor 3 channels.
    pub fn augmented(self, augment: Augment) -> Result<Self> {
        augment.check()?;
        let [_, _, channels] = self.set.shape();
        if augment.needs_pictures() && !matches!(channels, 1 | 3) {
            return Err(Error::invalid(
                format!("augmentation of {}", self.set.name()),
                "1 or 3 channels, where crops are resized or colours vary",
                channels,
                "switch crop, colour and rand_augment off",
            ));
        }
        Ok(Images { augment, ..self })
    }

    /// The images before variation and normalisation.
    pub fn set(&self) -> &S {
        &self.set
    }

    /// The normalisation.
    pub fn normalise(&self) -> &Normalise {
        &self.normalise
    }
}

impl<S: Pictures> Examples for Images<S> {
    fn shape(&self) -> [usize; 3] {
        self.set.shape()
    }

    fn labels(&self) -> &[usize] {
        self.set.labels()
    }

    fn cameras(&self) -> &[u32] {
        self.set.cameras()
    }

    fn write(&self, index: usize, variation: Option<Key>, out: &mut [f32]) -> Result<()> {
        match variation {
            Some(key) => {
                let crop = self.augment.crop.map(|crop| (crop, key.named("crop")));
                let image = self.set.read(index, crop)?;
                self.augment.apply(&image, self.set.shape(), key, out);
            }
            None => augment::to_floats(&self.set.read(index, None)?, out),
        }
        self.normalise.apply(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::tests::counting;

    #[test]
    fn the_channels_of_the_normalisation_must_fit() {
        let set = counting(2, [2, 2, 3], 2);
        let message = Images::new(set.clone(), Normalise::unit(1))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("expected 3 channels, found 1"),
            "{message}"
        );
        let images = Images::new(set, Normalise::unit(3)).unwrap();
        let wild = Augment {
            rotate: 1e9,
            ..Augment::none()
        };
        assert!(
            images
                .augmented(wild)
                .unwrap_err()
                .to_string()
                .contains("rotate")
        );
    }

    #[test]
    fn what_needs_colours_is_refused_for_other_channels() {
        let images = Images::new(counting(2, [2, 2, 2], 2), Normalise::unit(2)).unwrap();
        let crop = Augment {
            crop: Some(ResizedCrop::inception()),
            ..Augment::none()
        };
        let message = images.augmented(crop).unwrap_err().to_string();
        assert!(message.contains("1 or 3 channels"), "{message}");
    }

    #[test]
    fn only_a_variation_varies() {
        let set = counting(3, [8, 8, 1], 3);
        let images = Images::new(set.clone(), Normalise::unit(1)).unwrap();
        let augment = Augment {
            crop: Some(ResizedCrop::inception()),
            ..Augment::mnist_affine()
        };
        let images = images.augmented(augment).unwrap();
        let mut out = vec![f32::NAN; 64];
        images.write(1, None, &mut out).unwrap();
        assert!(
            out.iter()
                .zip(set.image(1))
                .all(|(o, &i)| (o * 255.0 - f32::from(i)).abs() < 1e-3)
        );
        let plain = out.clone();
        images.write(1, Some(Key::new(1)), &mut out).unwrap();
        assert_ne!(out, plain);
    }

    #[test]
    fn a_crop_shows_a_part_and_changes_no_other_variation() {
        // Bright to the left, so that a narrower part has fewer levels.
        let pixels: Vec<u8> = (0..400).map(|i| (i % 20 * 12) as u8).collect();
        let set = ImageSet::new("ramp", [20, 20, 1], pixels, vec![0], vec!["a".into()]).unwrap();
        let crop = ResizedCrop {
            area: (0.2, 0.3),
            aspect: 1.0,
        };
        let shown = |crop, seed| {
            let images = Images::new(set.clone(), Normalise::unit(1)).unwrap();
            let images = images
                .augmented(Augment {
                    crop,
                    ..Augment::none()
                })
                .unwrap();
            let mut out = vec![f32::NAN; 400];
            images.write(0, Some(Key::new(seed)), &mut out).unwrap();
            out
        };
        let range = |image: &[f32]| {
            image.iter().fold(0.0, |m: f32, v| m.max(*v))
                - image.iter().fold(1.0, |m: f32, v| m.min(*v))
        };
        let whole = range(&shown(None, 1));
        for seed in 0..20 {
            assert!(range(&shown(Some(crop), seed)) < 0.6 * whole);
        }
        assert_eq!(shown(Some(crop), 3), shown(Some(crop), 3));
        assert_ne!(shown(Some(crop), 3), shown(Some(crop), 4));
    }
}
