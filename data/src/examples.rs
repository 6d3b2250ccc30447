//! What the loader loads: anything that can write its example number `i` as floats.

use crate::augment::{self, Augment};
use crate::error::{Error, Result};
use crate::normalise::Normalise;
use crate::set::ImageSet;
use engine::rng::Key;

/// A numbered list of labelled examples of one shape.
///
/// The loader asks for nothing more, so a new kind of data (images decoded from files,
/// spectrograms) is an implementation of this trait and inherits order, prefetching and resume.
pub trait Examples: Send + Sync {
    /// `[height, width, channels]` of every example.
    fn shape(&self) -> [usize; 3];

    /// The class of each example; their number is the number of examples.
    fn labels(&self) -> &[usize];

    /// Writes all of example `index` to `out`, `[height, width, channels]`: its variation that
    /// belongs to the key, or with `None` the example as it is. A function of the arguments
    /// alone; called from several threads at once.
    ///
    /// # Errors
    /// If the example cannot be read.
    fn write(&self, index: usize, variation: Option<Key>, out: &mut [f32]) -> Result<()>;
}

/// The images of a set, varied and normalised.
#[derive(Clone, Debug)]
pub struct Images {
    set: ImageSet,
    normalise: Normalise,
    augment: Augment,
}

impl Images {
    /// The images as they are, normalised.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `normalise` is for another number of channels.
    pub fn new(set: ImageSet, normalise: Normalise) -> Result<Self> {
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
    /// As [`Augment::check`].
    pub fn augmented(self, augment: Augment) -> Result<Self> {
        augment.check()?;
        Ok(Images { augment, ..self })
    }

    /// The images before variation and normalisation.
    pub fn set(&self) -> &ImageSet {
        &self.set
    }

    /// The normalisation.
    pub fn normalise(&self) -> &Normalise {
        &self.normalise
    }
}

impl Examples for Images {
    fn shape(&self) -> [usize; 3] {
        self.set.shape()
    }

    fn labels(&self) -> &[usize] {
        self.set.labels()
    }

    fn write(&self, index: usize, variation: Option<Key>, out: &mut [f32]) -> Result<()> {
        let image = self.set.image(index);
        match variation {
            Some(key) => self.augment.apply(image, self.set.shape(), key, out),
            None => augment::to_floats(image, out),
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
    fn only_a_variation_varies() {
        let set = counting(3, [8, 8, 1], 3);
        let images = Images::new(set.clone(), Normalise::unit(1)).unwrap();
        let images = images.augmented(Augment::mnist_affine()).unwrap();
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
}
