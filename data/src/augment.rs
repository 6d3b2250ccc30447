//! Random variations of small images.
//!
//! An [`Augment`] says how far each variation may go; a [`Key`] says which one an image gets, so
//! a picture is a function of (seed, epoch, index) and of nothing else. Shift, rotation, scale
//! and shear become one affine map, the elastic deformation adds a displacement to it, and the
//! image is sampled once: nothing is blurred twice. Colours follow, and erasing comes last.
//!
//! | paper or habit | setting |
//! |---|---|
//! | pad by 4 and crop (CIFAR), pad by 10 and crop (re-ID) | [`Augment::shift`] |
//! | random resized crop (GoogLeNet) | [`Augment::crop`] |
//! | horizontal flip | [`Augment::flip`] |
//! | colour jitter | [`Augment::colour`] |
//! | RandAugment | [`Augment::rand_augment`] |
//! | random erasing | [`Augment::erase`] |
//! | cutout | [`Augment::cutout`] |
//! | mixup | [`Loader::mixup`](crate::Loader::mixup), since it takes two images |
//!
//! Every number is drawn whether its variation is on or off. Switching one on therefore leaves
//! the others as they were.

mod affine;
mod colour;
mod crop;
mod elastic;
mod erase;
mod rand_augment;

pub use colour::ColourJitter;
pub use crop::ResizedCrop;
pub use elastic::Elastic;
pub use erase::{Erase, EraseWith};
pub use rand_augment::RandAugment;

use crate::error::{Error, Result};
use affine::Affine;
use engine::rng::Key;

/// How far images are varied. Zero, or `None`, is off.
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    /// A part of the picture instead of all of it. Taken before everything else, by whoever has
    /// the picture in its own size; [`apply`](Self::apply) leaves it to them.
    pub crop: Option<ResizedCrop>,
    /// The probability that left and right are exchanged.
    pub flip: f32,
    /// The farthest shift in whole pixels, uniform in `-shift..=shift` along both axes.
    pub shift: u32,
    /// The largest rotation about the centre, in degrees either way, uniform.
    pub rotate: f32,
    /// The largest relative change of size: 0.1 scales by a factor from 1/1.1 to 1.1, uniform in
    /// its logarithm.
    pub scale: f32,
    /// The largest horizontal shear, in degrees either way, uniform.
    pub shear: f32,
    /// Local deformation.
    pub elastic: Option<Elastic>,
    /// Brightness, contrast, saturation and hue.
    pub colour: Option<ColourJitter>,
    /// A few operations out of a list, all as strong.
    pub rand_augment: Option<RandAugment>,
    /// A rectangle painted over.
    pub erase: Option<Erase>,
    /// The side, in pixels, of a square painted over with the background, anywhere with its
    /// centre in the image, so that a part of it may lie outside: T. DeVries and G. Taylor,
    /// "Improved Regularization of Convolutional Neural Networks with Cutout" (2017). 16 for
    /// CIFAR-10, 8 for CIFAR-100; 0 is off.
    pub cutout: u32,
    /// The pixel value outside the image, in every channel.
    pub background: u8,
}

impl Default for Augment {
    fn default() -> Self {
        Augment::none()
    }
}

/// Checks one setting of an augmentation.
pub(crate) fn within(what: &str, value: f32, low: f32, high: f32, unit: &str) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(
        format!("augmentation {what:?}"),
        format!("a number from {low} to {high}{unit}"),
        value,
        "set it into this range",
    ))
}

impl Augment {
    /// Images as they are.
    pub fn none() -> Self {
        Augment {
            crop: None,
            flip: 0.0,
            shift: 0,
            rotate: 0.0,
            scale: 0.0,
            shear: 0.0,
            elastic: None,
            colour: None,
            rand_augment: None,
            erase: None,
            cutout: 0,
            background: 0,
        }
    }

    /// Shifts by whole pixels, at most `pixels` along each axis. 2 suits MNIST, 4 is the padded
    /// random crop of CIFAR.
    pub fn shift(pixels: u32) -> Self {
        Augment {
            shift: pixels,
            ..Augment::none()
        }
    }

    /// What a writer's hand does to a digit: moves, turns, sizes and slants it a little.
    pub fn mnist_affine() -> Self {
        Augment {
            rotate: 10.0,
            scale: 0.1,
            shear: 8.0,
            ..Augment::shift(2)
        }
    }

    /// [`mnist_affine`](Self::mnist_affine), a little farther, with the elastic deformation of
    /// Simard et al. (2003). For long schedules.
    pub fn mnist_strong() -> Self {
        Augment {
            rotate: 12.0,
            scale: 0.15,
            shear: 10.0,
            elastic: Some(Elastic {
                alpha: 34.0,
                sigma: 4.0,
            }),
            ..Augment::shift(2)
        }
    }

    /// Checks that every setting is one that images can be varied by.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the first setting out of range.
    pub fn check(&self) -> Result<()> {
        if let Some(ResizedCrop { area, aspect }) = self.crop {
            within("crop.area.0", area.0, f32::MIN_POSITIVE, 1.0, "")?;
            within("crop.area.1", area.1, area.0, 1.0, "")?;
            within("crop.aspect", aspect, 1.0, 100.0, "")?;
        }
        within("flip", self.flip, 0.0, 1.0, "")?;
        within("shift", self.shift as f32, 0.0, 10_000.0, " pixels")?;
        within("rotate", self.rotate, 0.0, 180.0, " degrees")?;
        within("scale", self.scale, 0.0, 10.0, "")?;
        within("shear", self.shear, 0.0, 80.0, " degrees")?;
        if let Some(Elastic { alpha, sigma }) = self.elastic {
            within("elastic.alpha", alpha, 0.0, 1e6, " pixels")?;
            within("elastic.sigma", sigma, 0.1, 100.0, " pixels")?;
        }
        if let Some(colour) = self.colour {
            within("colour.brightness", colour.brightness, 0.0, 1.0, "")?;
            within("colour.contrast", colour.contrast, 0.0, 1.0, "")?;
            within("colour.saturation", colour.saturation, 0.0, 1.0, "")?;
            within("colour.hue", colour.hue, 0.0, 0.5, " turns")?;
        }
        if let Some(RandAugment {
            operations,
            strength,
        }) = self.rand_augment
        {
            within("rand_augment.operations", operations as f32, 0.0, 100.0, "")?;
            within("rand_augment.strength", strength, 0.0, 1.0, "")?;
        }
        within("cutout", self.cutout as f32, 0.0, 10_000.0, " pixels")?;
        if let Some(erase) = self.erase {
            within("erase.probability", erase.probability, 0.0, 1.0, "")?;
            within("erase.area.0", erase.area.0, 0.0, 1.0, "")?;
            within("erase.area.1", erase.area.1, erase.area.0, 1.0, "")?;
            within("erase.aspect", erase.aspect, 1.0, 100.0, "")?;
        }
        Ok(())
    }

    /// Whether something is on that is defined for 1 or 3 channels only.
    pub(crate) fn needs_pictures(&self) -> bool {
        self.crop.is_some() || self.colour.is_some() || self.rand_augment.is_some()
    }

    /// Writes the variation of `image` that belongs to `key`: `image` and `out` are
    /// `[height, width, channels]`, and `out` keeps the scale of bytes, 0 to 255.
    ///
    /// # Panics
    /// If the image or `out` does not have this shape, or colours are to vary and there are
    /// neither 1 nor 3 channels.
    pub fn apply(&self, image: &[u8], shape: [usize; 3], key: Key, out: &mut [f32]) {
        let size: usize = shape.iter().product();
        assert_eq!(
            (image.len(), out.len()),
            (size, size),
            "the shape is {shape:?}"
        );
        let map = Affine::draw(self, shape, key);
        let field = self
            .elastic
            .map(|elastic| elastic.field(shape, key.named("elastic")));
        if map.is_identity() && field.is_none() {
            to_floats(image, out);
        } else {
            affine::resample(image, shape, &map, field.as_ref(), self.background, out);
        }
        if let Some(rand_augment) = &self.rand_augment {
            rand_augment.apply(shape, self.background, key.named("rand_augment"), out);
        }
        if let Some(colour) = &self.colour {
            colour.apply(shape[2], key.named("colour"), out);
        }
        erase::cutout(
            self.cutout,
            shape,
            self.background,
            key.named("cutout"),
            out,
        );
        if let Some(erase) = &self.erase {
            erase.apply(shape, self.background, key.named("erase"), out);
        }
    }
}

/// Bytes as floats, 0 to 255.
pub(crate) fn to_floats(image: &[u8], out: &mut [f32]) {
    for (float, &byte) in out.iter_mut().zip(image) {
        *float = f32::from(byte);
    }
}

#[cfg(test)]
#[path = "augment/tests.rs"]
mod tests;
