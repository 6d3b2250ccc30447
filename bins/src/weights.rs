//! Weights with everything that is needed to use them: what a checkpoint says of itself, and the
//! network rebuilt from it.

use crate::calibration::Calibration;
use crate::config::{ConfigError, Sound};
use crate::evaluation::Model;
use crate::source::DataError;
use anyhow::{Context, Result, bail};
use data::Normalise;
use engine::Params;
use losses::{Criterion, Head, Spec};
use nn::networks::ModelOptions;
use nn::{Backbone, Checkpoint, Metadata, Scope};
use serde_json::json;
use std::path::Path;

/// What a checkpoint says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The network's name.
    pub model: String,
    /// The choices it was built with.
    pub options: ModelOptions,
    /// Height, width, channels.
    pub input: [usize; 3],
    /// The loss, everything decided.
    pub loss: String,
    /// The names of the classes of the training.
    pub classes: Vec<String>,
    /// Mean of each channel, 255 being 1; of recordings, of each band.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel or band.
    pub std: Vec<f32>,
    /// The share of the picture's middle that is shown; all of it, stretched, if absent.
    pub centre: Option<f32>,
    /// What recordings are turned into; `None` for pictures.
    pub sound: Option<Sound>,
    /// From which cosine two are the same; `None` if nobody has measured it.
    pub calibration: Option<Calibration>,
}

impl Description {
    /// As the metadata of a file.
    pub fn metadata(&self) -> Metadata {
        let dim = self.options.embedding_dim;
        let entries = [
            (
                "program",
                format!("hypersphere {}", env!("CARGO_PKG_VERSION")),
            ),
            ("model", self.model.clone()),
            (
                "embedding_dim",
                dim.map_or(String::new(), |d| d.to_string()),
            ),
            ("options", json!(self.options).to_string()),
            ("loss", self.loss.clone()),
            ("input", json!(self.input).to_string()),
            ("classes", json!(self.classes).to_string()),
            ("mean", json!(self.mean).to_string()),
            ("std", json!(self.std).to_string()),
            ("centre", json!(self.centre).to_string()),
            ("sound", json!(self.sound).to_string()),
            ("calibration", json!(self.calibration).to_string()),
        ];
        let owned = entries.map(|(key, value)| (key.to_string(), value));
        Metadata::from(owned)
    }

    /// From the metadata of a file; those of older programs have no options, no centre, no sound
    /// and no calibration.
    ///
    /// # Errors
    /// [`ConfigError`] that names the file and the first key that is missing or broken.
    pub fn of(metadata: &Metadata, path: &Path) -> Result<Self> {
        let text = |key: &str| metadata.get(key).map(String::as_str);
        let needed = |key: &str| {
            text(key).with_context(|| {
                ConfigError(format!(
                    "{}: does not say its `{key}`; a checkpoint of a run does, such as \
                     runs/NAME/ckpt/last.safetensors, and `hypersphere model import` makes one of \
                     the weights of another program",
                    path.display()
                ))
            })
        };
        fn value<T: serde::de::DeserializeOwned>(key: &str, text: &str, path: &Path) -> Result<T> {
            serde_json::from_str(text).map_err(|e| {
                let message = format!("{}: its `{key}` cannot be read: {e}", path.display());
                ConfigError(message).into()
            })
        }
        let options = match text("options") {
            Some(options) => value("options", options, path)?,
            None => ModelOptions {
                embedding_dim: Some(value("embedding_dim", needed("embedding_dim")?, path)?),
                ..ModelOptions::default()
            },
        };
        // A key that older files do not have.
        fn later<T: serde::de::DeserializeOwned>(
            key: &str,
            text: Option<&str>,
            path: &Path,
        ) -> Result<Option<T>> {
            text.map_or(Ok(None), |text| value(key, text, path))
        }
        Ok(Description {
            model: needed("model")?.to_string(),
            options,
            input: value("input", needed("input")?, path)?,
            loss: needed("loss")?.to_string(),
            classes: value("classes", needed("classes")?, path)?,
            mean: value("mean", needed("mean")?, path)?,
            std: value("std", needed("std")?, path)?,
            centre: later("centre", text("centre"), path)?,
            sound: later("sound", text("sound"), path)?,
            calibration: later("calibration", text("calibration"), path)?,
        })
    }
}

/// The most pixels along a side of an image, and the most channels.
const LARGEST_SIDE: usize = 1 << 13;

/// A network with its weights, ready to be used.
pub struct Trained {
    /// What the file says.
    pub description: Description,
    /// The network.
    pub net: Backbone<f32>,
    /// The loss, which has the class weights.
    pub criterion: Criterion<f32>,
    /// The weights of both.
    pub params: Params<f32>,
    /// How pixels become numbers.
    pub normalise: Normalise,
}

impl Trained {
    /// What judges and embeds.
    pub fn model(&self) -> Model<'_> {
        Model {
            net: &self.net,
            criterion: &self.criterion,
            params: &self.params,
        }
    }

    /// Whether the network is for examples of this `[height, width, channels]`.
    ///
    /// # Errors
    /// [`DataError`] with both shapes, if it is not.
    pub fn check_shape(&self, found: [usize; 3]) -> Result<()> {
        let expected = self.net.input;
        match found == expected {
            true => Ok(()),
            false => bail!(DataError(format!(
                "examples are {found:?}, but the network was trained on {expected:?} (height, \
                 width, channels)"
            ))),
        }
    }

    /// A network as described, with weights to be overwritten.
    ///
    /// # Errors
    /// If there is no such network or loss.
    pub fn blank(description: Description) -> Result<Self> {
        let normalise = Normalise::new(&description.mean, &description.std)?;
        let mut params = Params::new();
        let mut root = Scope::root(&mut params, 0);
        let model = nn::Model::find(&description.model)?;
        let backbone = &mut root.child("backbone");
        let net = model.build_with(backbone, description.input, &description.options)?;
        let spec: Spec = description.loss.parse()?;
        // Without a classifier there are no classes, but a loss wants some.
        let classes = description.classes.len().max(2);
        let criterion = Criterion::new(&spec, &mut root, classes, net.embedding_dim)?;
        Ok(Trained {
            description,
            net,
            criterion,
            params,
            normalise,
        })
    }

    /// Reads a checkpoint of this program.
    ///
    /// # Errors
    /// If it is none, or damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let file = Checkpoint::<f32>::read(path)?;
        let description = Description::of(&file.metadata, path)?;
        // The network is built before its weights are looked at, so no size may be out of reach.
        let numbers: usize = file.tensors.iter().map(|(_, t)| t.elements()).sum();
        let dim = description.options.embedding_dim.unwrap_or(0);
        if dim > numbers || description.input.iter().any(|&side| side > LARGEST_SIDE) {
            bail!(ConfigError(format!(
                "{}: cannot hold an embedding of {dim} for images of {:?}",
                path.display(),
                description.input
            )));
        }
        let classes = description.classes.len();
        let of_file = || path.display().to_string();
        let spec: Spec = description.loss.parse().with_context(of_file)?;
        let heads = spec.terms().iter().map(|term| term.info().head);
        if heads.into_iter().any(|head| head != Head::None)
            && dim.max(1).saturating_mul(classes) > numbers
        {
            bail!(ConfigError(format!(
                "{}: cannot hold the weights of {classes} classes",
                path.display()
            )));
        }
        let (means, channels) = (description.mean.len(), description.input[2]);
        if description.sound.is_none() && means != channels {
            bail!(ConfigError(format!(
                "{}: has {means} means for images of {channels} channels",
                path.display()
            )));
        }
        let mut trained = Self::blank(description).with_context(of_file)?;
        file.load_into(&mut trained.params)?;
        Ok(trained)
    }
}

/// The weights to begin a training with: the network's part of a checkpoint of this program, with
/// the class weights where they fit, or a file of another program.
///
/// # Errors
/// [`ConfigError`] if the file is for another network.
pub fn begin_with(path: &Path, net: &Backbone<f32>, params: &mut Params<f32>) -> Result<()> {
    let of_file = |e: String| ConfigError(format!("the weights to begin with: {e}"));
    let file = Checkpoint::<f32>::read_some(path, |key| !key.ends_with("num_batches_tracked"));
    let file = file.map_err(|e| of_file(e.to_string()))?;
    let is_own = |(name, _): &(String, _)| name.starts_with("backbone.");
    if !file.tensors.iter().any(is_own) {
        let imported = net.import(path, params);
        imported.map_err(|e| of_file(e.to_string()))?;
        return Ok(());
    }
    // What is missing, or has another shape, stays as it is if it belongs to the loss.
    let mut weights = Checkpoint::of(params, Metadata::new());
    for (name, tensor) in &mut weights.tensors {
        let given = file.tensors.iter().find(|(given, _)| given == name);
        match given {
            Some((_, given)) if given.shape() == tensor.shape() => *tensor = given.clone(),
            _ if !name.starts_with("backbone.") => {}
            Some((_, given)) => bail!(of_file(format!(
                "{}: `{name}` has shape {:?}, but the network needs {:?}",
                path.display(),
                given.shape(),
                tensor.shape()
            ))),
            None => bail!(of_file(format!(
                "{}: has no `{name}`; it is for another network than `{}`",
                path.display(),
                net.name
            ))),
        }
    }
    weights.load_into(params)?;
    Ok(())
}
