//! The tables of a configuration: data, sampler, model.

use super::{AugmentConfig, Features};
use crate::source::Format;
use data::Order;
use nn::networks::{ModelOptions, Pooling};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where the examples come from and how they are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// The folder of the data set; the MNIST inside the program if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The layout of the folder.
    #[serde(skip_serializing_if = "Format::is_default")]
    pub format: Format,
    /// Another data set to test on, if it is not the test part of this one: faces are trained on
    /// one and judged on another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<OtherData>,
    /// Another data set to choose by, instead of classes that are held out: faces by LFW's view 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choose: Option<OtherData>,
    /// Held out of the training part to watch and to choose by: so many images where the classes
    /// of the test are those of the training (`classify`), so many classes where they are others.
    pub validation: usize,
    /// Use only so many training images, the first of them; 0 for all.
    pub limit: usize,
    /// Sides of the images, `[height, width]` or `[side]`; those of the format if absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub size: Vec<usize>,
    /// 1 for grey, 3 for colour; as usual with the format if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// The share of the picture's middle that is shown, sides in proportion; all of the picture,
    /// stretched, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub centre: Option<f32>,
    /// Mean of each channel, 255 being 1; stated by the format or measured if absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f32>,
    /// The fold that is tested on, from 1, of data sets in folds; the first if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<u32>,
    /// The rate that recordings are brought to, in Hz; as usual with the format if absent, like
    /// the three that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// The conventions of the spectrograms of recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
    /// The window of each recording that is shown, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Milliseconds from one frame of a spectrogram to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<f64>,
    /// A folder that keeps spectrograms once they have been computed; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Megabytes of decoded images or recordings kept in memory; larger sets are decoded when
    /// they are needed.
    #[serde(skip_serializing_if = "is_default_memory")]
    pub memory: usize,
    /// What happens to files that cannot be decoded.
    #[serde(skip_serializing_if = "is_default")]
    pub unreadable: Unreadable,
    /// Whether counts that differ from the official table are an error and not only a note.
    #[serde(skip_serializing_if = "is_default")]
    pub strict: bool,
    /// How training images are varied.
    pub augment: AugmentConfig,
}

impl Data {
    /// The fold to test another data set by: the one that training leaves out, where both are cut
    /// into the same folds.
    pub fn fold_for(&self, other: Format) -> Option<u32> {
        let left_out = self.fold.unwrap_or(1);
        self.format.shares_folds(other).then_some(left_out)
    }
}

/// A data set that is not trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtherData {
    /// Its folder.
    pub folder: PathBuf,
    /// Its layout.
    pub format: Format,
}

/// What happens to files that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreadable {
    /// The first one is an error.
    #[default]
    Refuse,
    /// They are left out and counted.
    Skip,
}

impl From<Unreadable> for data::Unreadable {
    fn from(policy: Unreadable) -> Self {
        match policy {
            Unreadable::Refuse => data::Unreadable::Refuse,
            Unreadable::Skip => data::Unreadable::Skip,
        }
    }
}

/// Which training images make up the batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sampler {
    /// Every image once in random order.
    #[default]
    Shuffled,
    /// As many images of every class.
    Balanced,
    /// `p` classes, `k` images of each; `batch` is their product.
    Pk {
        /// Classes in a batch.
        p: usize,
        /// Images of each.
        k: usize,
        /// Whether the images of a class come evenly from its cameras.
        #[serde(default)]
        camera_aware: bool,
    },
}

impl Sampler {
    pub(super) fn is_default(&self) -> bool {
        *self == Sampler::default()
    }

    /// The rule for batches of `batch` images.
    pub fn order(&self, batch: usize) -> Order {
        match *self {
            Sampler::Shuffled => Order::shuffled(batch),
            Sampler::Balanced => Order::balanced(batch),
            Sampler::Pk { p, k, camera_aware } => Order::PxK {
                classes: p,
                per_class: k,
                cameras: camera_aware,
            },
        }
    }
}

/// The network and the size of its embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// A name from `hypersphere model list`.
    pub name: String,
    /// Numbers in an embedding.
    pub embed_dim: usize,
    /// How the last pixels become one vector; as published if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// The stride of the last stage of a residual network; as published if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_stride: Option<usize>,
    /// Probability of dropout in front of the embedding.
    #[serde(skip_serializing_if = "is_default")]
    pub dropout: f64,
    /// Whether batch normalisation without shift ends the network. Losses of samples among
    /// themselves then train what is before it, all others what is behind it.
    #[serde(skip_serializing_if = "is_default")]
    pub neck: bool,
}

impl Model {
    /// The choices that [`nn::Model::build_with`] takes.
    pub fn options(&self) -> ModelOptions {
        ModelOptions {
            embedding_dim: Some(self.embed_dim),
            pooling: self.pooling,
            last_stride: self.last_stride,
            dropout: self.dropout,
            neck: self.neck,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const MEMORY: usize = 2048;

fn is_default_memory(value: &usize) -> bool {
    *value == MEMORY
}

impl Default for Data {
    fn default() -> Self {
        Data {
            folder: None,
            format: Format::default(),
            test: None,
            choose: None,
            validation: 5000,
            limit: 0,
            size: Vec::new(),
            channels: None,
            centre: None,
            mean: Vec::new(),
            std: Vec::new(),
            fold: None,
            rate: None,
            features: None,
            seconds: None,
            hop: None,
            cache: None,
            memory: MEMORY,
            unreadable: Unreadable::Refuse,
            strict: false,
            augment: AugmentConfig::preset("affine"),
        }
    }
}

impl Default for Model {
    fn default() -> Self {
        Model {
            name: "vgg-light".into(),
            embed_dim: 64,
            pooling: None,
            last_stride: None,
            dropout: 0.0,
            neck: false,
        }
    }
}
