//! From the configuration to loaders: a data set, cut by its protocol, in batches.

use crate::config::{Config, ConfigError, Sound};
use crate::protocol::{Exam, Parts, Protocol, Question};
use crate::source::{Source, View};
use anyhow::{Result, bail};
use data::{Examples, Loader, Normalise, Order};

/// Numbers in a batch of evaluation: 500 images of MNIST, where nothing is kept for backward.
const EVALUATED: usize = 500 * 28 * 28;

/// Loaders of the three parts.
pub struct Loaders {
    /// How the data was cut and is judged.
    pub protocol: Protocol,
    /// Varied anew in each epoch; a last incomplete batch is left out.
    pub train: Loader,
    /// Held out of the training part; `None` if nothing is.
    pub validation: Option<Judged>,
    /// For the final figure.
    pub test: Judged,
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// The names of the classes of the training.
    pub classes: Vec<String>,
    /// The hash of the training images.
    pub fingerprint: String,
    /// How pixels or levels become numbers.
    pub normalise: Normalise,
    /// What recordings are turned into; `None` for pictures.
    pub sound: Option<Sound>,
    /// What a user should know of the data.
    pub notes: Vec<String>,
}

/// Examples to judge a network on.
pub struct Judged {
    /// All of them, in order, as they are.
    pub loader: Loader,
    /// The names of their classes.
    pub classes: Vec<String>,
    /// What is asked of them.
    pub question: Question,
}

impl Judged {
    /// The examples of an exam in batches.
    ///
    /// # Errors
    /// If there is nothing to judge.
    pub fn new(exam: Exam) -> Result<Self> {
        let [height, width, _] = exam.view.shape();
        let batch = (EVALUATED / (height * width)).clamp(8, 500);
        let workers = exam.view.workers();
        Ok(Judged {
            loader: Loader::evaluation(exam.view, batch)?.workers(workers),
            classes: exam.classes,
            question: exam.question,
        })
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.loader.examples().labels().len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Loaders {
    /// "images" or "recordings".
    pub fn items(&self) -> &'static str {
        match self.sound {
            Some(_) => "recordings",
            None => "images",
        }
    }

    /// Reads the data and cuts it as the configuration says.
    ///
    /// # Errors
    /// If the data cannot be read, or the configuration asks for what is not there.
    pub fn new(config: &Config) -> Result<Self> {
        let protocol = config.protocol();
        let source = Source::read(config)?;
        let normalise = source.normalise.clone();
        let Parts {
            train,
            classes,
            validation,
            test,
            fingerprint,
            notes,
        } = protocol.cut(source, config)?;
        let shape = train.shape();
        let train = batches(train, config)?;
        Ok(Loaders {
            protocol,
            train,
            validation: validation.map(Judged::new).transpose()?,
            test: Judged::new(test)?,
            shape,
            classes,
            fingerprint,
            normalise,
            sound: Sound::of(&config.data)?,
            notes,
        })
    }
}

/// The training part in the batches of the sampler.
fn batches(train: View, config: &Config) -> Result<Loader> {
    let order = config.sampler.order(config.batch);
    if let (Order::Shuffled { .. }, true) = (order, train.len() < config.batch) {
        bail!(ConfigError(format!(
            "`batch` is {}, but there are only {} training examples",
            config.batch,
            train.len()
        )));
    }
    order
        .check(train.labels(), train.cameras())
        .map_err(|e| ConfigError(format!("[sampler]: {e}")))?;
    let workers = train.workers();
    let loader = Loader::new(train, order, config.seed)?.workers(workers);
    Ok(loader.mixup(config.data.augment.mixup())?)
}
