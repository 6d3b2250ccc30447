//! From the configuration to loaders: which images, held out how, varied how.

use crate::config::{Config, ConfigError, did_you_mean};
use anyhow::{Result, bail};
use data::{Augment, ImageSet, Images, Loader, Normalise, Order, Parts, mnist};

/// Data that cannot be used: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DataError(pub String);

/// Images of a batch in evaluation, where nothing is kept for backward.
const EVALUATION_BATCH: usize = 500;

/// Loaders of the three parts.
pub struct Loaders {
    /// Shuffled and varied anew in each epoch; a last incomplete batch is left out.
    pub train: Loader,
    /// Held out of the training images.
    pub validation: Loader,
    /// For the final figure.
    pub test: Loader,
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The hash of the training images.
    pub fingerprint: String,
    /// How pixels become numbers.
    pub normalise: Normalise,
}

impl Loaders {
    /// Reads the data and cuts it as the configuration says.
    ///
    /// # Errors
    /// If the data cannot be read, or the configuration asks for what is not there.
    pub fn new(config: &Config) -> Result<Self> {
        let settings = &config.data;
        let (official, normalise) = match &settings.folder {
            None => {
                let normalise = Normalise::new(&[mnist::MEAN], &[mnist::STD])?;
                (mnist::embedded(), normalise)
            }
            Some(folder) => {
                let official = mnist::from_folder(folder)?;
                let normalise = Normalise::measured(&official.train);
                (official, normalise)
            }
        };
        let [train, test] = [&official.train, &official.test].map(ImageSet::shape);
        if test != train {
            bail!(data::Error::Invalid {
                what: format!("images of {}", official.test.name()),
                expected: format!("[height, width, channels] of {train:?}, as in training"),
                found: format!("{test:?}"),
                hint: "the four files must belong to one data set".into(),
            });
        }
        // How the data is cut must not move with the seed, or seeds could not be compared.
        let parts = official.hold_out(settings.validation, 0)?;
        let train = limited(&parts.train, settings.limit);
        if train.len() < config.batch {
            bail!(ConfigError(format!(
                "`batch` is {}, but there are only {} training images",
                config.batch,
                train.len()
            )));
        }
        let Parts {
            validation, test, ..
        } = parts;
        let (shape, classes) = (train.shape(), train.classes().to_vec());
        let fingerprint = train.fingerprint();
        let plain = |set| Images::new(set, normalise.clone());
        let varied = plain(train)?.augmented(augmentation(&settings.augment)?)?;
        Ok(Loaders {
            train: Loader::new(varied, Order::shuffled(config.batch), config.seed)?,
            validation: Loader::evaluation(plain(validation)?, EVALUATION_BATCH)?,
            test: Loader::evaluation(plain(test)?, EVALUATION_BATCH)?,
            shape,
            classes,
            fingerprint,
            normalise,
        })
    }
}

/// The first `limit` images, if that is not 0. The official order is already mixed.
fn limited(set: &ImageSet, limit: usize) -> ImageSet {
    match limit {
        0 => set.clone(),
        limit => set.subset(&(0..limit.min(set.len())).collect::<Vec<_>>()),
    }
}

fn augmentation(name: &str) -> Result<Augment> {
    const NAMES: [&str; 4] = ["none", "shift", "affine", "strong"];
    Ok(match name {
        "none" => Augment::none(),
        "shift" => Augment::shift(2),
        "affine" => Augment::mnist_affine(),
        "strong" => Augment::mnist_strong(),
        _ => bail!(ConfigError(format!(
            "`data.augment` is `{name}`{}; there are: {}",
            did_you_mean(name, NAMES.into_iter()),
            NAMES.join(", ")
        ))),
    })
}
