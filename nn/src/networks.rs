//! Networks from the literature, by name.
//!
//! A network maps images `[N, H, W, C]` to embeddings `[N, D]`. Class weights are no part of it:
//! they belong to the loss that trains it.

mod airbench;
mod chain;
mod lenet;
mod resnet;
mod table;
mod vgg;

pub(crate) use chain::Pieces;
pub use table::MODELS;

use crate::layers::Sequential;
use crate::module::{Build, Module, Pass, Scope};
use crate::summary::Summary;
use chain::Chain;
use engine::{Float, Params, Var};

/// An entry of [`MODELS`].
///
/// ```
/// use engine::Params;
/// use nn::{Scope, networks::Model};
/// let mut params = Params::<f32>::new();
/// let mut root = Scope::root(&mut params, 0);
/// let model = Model::find("vgg-light")?;
/// let net = model.build(&mut root.child("backbone"), [28, 28, 1], None)?;
/// println!("{}", net.summary(&params));
/// assert_eq!(net.embedding_dim, 64);
/// assert!(Model::find("vgg-lite").unwrap_err().to_string().contains("did you mean `vgg-light`?"));
/// # Ok::<(), nn::networks::ModelError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The name in configuration files.
    pub name: &'static str,
    /// What it is, in a line.
    pub description: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// The length of an embedding unless set. In a network that ends in pooling this is the
    /// number of pooled channels; for another length a linear layer and batch normalisation
    /// follow the pooling.
    pub embedding_dim: usize,
    /// The smallest height and width of images.
    pub smallest: usize,
    architecture: Architecture,
}

/// A family of networks: a value has what distinguishes one member from another.
trait Family: Copy {
    /// The layers of this member, of which `chain` is the beginning.
    fn layers<T: Float>(self, chain: Chain<T>) -> Sequential<T>;

    /// A member for the gradient check: few channels and few blocks, but every kind of block.
    /// Members that differ in depth and width alone share it.
    fn small(self) -> Self;
}

/// A member of some family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    LeNetPlusPlus(lenet::LeNetPlusPlus),
    VggLight(vgg::Light),
    Vgg(vgg::Vgg),
    ResNet(resnet::ResNet),
    AirBench(airbench::AirBench),
}

impl Family for Architecture {
    fn layers<T: Float>(self, chain: Chain<T>) -> Sequential<T> {
        match self {
            Architecture::LeNetPlusPlus(net) => net.layers(chain),
            Architecture::VggLight(net) => net.layers(chain),
            Architecture::Vgg(net) => net.layers(chain),
            Architecture::ResNet(net) => net.layers(chain),
            Architecture::AirBench(net) => net.layers(chain),
        }
    }

    fn small(self) -> Self {
        match self {
            Architecture::LeNetPlusPlus(net) => Architecture::LeNetPlusPlus(net.small()),
            Architecture::VggLight(net) => Architecture::VggLight(net.small()),
            Architecture::Vgg(net) => Architecture::Vgg(net.small()),
            Architecture::ResNet(net) => Architecture::ResNet(net.small()),
            Architecture::AirBench(net) => Architecture::AirBench(net.small()),
        }
    }
}

/// Why a network could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No network has this name.
    #[error(
        "no model is called `{name}`{}; there are: {}",
        suggestion(name),
        names()
    )]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The images would shrink to nothing on the way.
    #[error(
        "images of {height}x{width} pixels are too small for `{name}`, \
         which needs at least {smallest}x{smallest}"
    )]
    TooSmall {
        /// The network.
        name: &'static str,
        /// The height of the images.
        height: usize,
        /// The width of the images.
        width: usize,
        /// The smallest height and width.
        smallest: usize,
    },
    /// A size that must not be zero is.
    #[error("the {what} of `{name}` must not be 0")]
    Zero {
        /// The network.
        name: &'static str,
        /// `"embedding dimension"` or `"number of channels"`.
        what: &'static str,
    },
}

fn names() -> String {
    MODELS.iter().map(|m| m.name).collect::<Vec<_>>().join(", ")
}

fn suggestion(name: &str) -> String {
    let name = name.to_lowercase();
    let near = |m: &Model| strsim::jaro_winkler(m.name, &name);
    let best = MODELS.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
    match best.filter(|m| near(m) > 0.7) {
        Some(model) => format!(" (did you mean `{}`?)", model.name),
        None => String::new(),
    }
}

impl Model {
    /// The network called `name`.
    ///
    /// # Errors
    /// [`ModelError::Unknown`], with the nearest name.
    pub fn find(name: &str) -> Result<&'static Model, ModelError> {
        let found = MODELS.iter().find(|m| m.name == name);
        found.ok_or_else(|| ModelError::Unknown { name: name.into() })
    }

    /// Builds the network for images of `input = [height, width, channels]`, with its usual
    /// embedding dimension unless one is given.
    ///
    /// # Errors
    /// [`ModelError::TooSmall`] or [`ModelError::Zero`].
    pub fn build<T: Float>(
        &self,
        scope: &mut Scope<'_, T>,
        input: [usize; 3],
        embedding_dim: Option<usize>,
    ) -> Result<Backbone<T>, ModelError> {
        self.build_of(Pieces::Published, scope, input, embedding_dim)
    }

    /// Whether the gradient check of this network is that of the `other`.
    #[cfg(test)]
    pub(crate) fn has_the_same_check(&self, other: &Model) -> bool {
        self.architecture.small() == other.architecture.small()
    }

    pub(crate) fn build_of<T: Float>(
        &self,
        pieces: Pieces,
        scope: &mut Scope<'_, T>,
        input: [usize; 3],
        embedding_dim: Option<usize>,
    ) -> Result<Backbone<T>, ModelError> {
        let (name, smallest) = (self.name, self.smallest);
        let dim = embedding_dim.unwrap_or(self.embedding_dim);
        let [height, width, channels] = input;
        for (what, size) in [
            ("embedding dimension", dim),
            ("number of channels", channels),
        ] {
            if size == 0 {
                return Err(ModelError::Zero { name, what });
            }
        }
        if height.min(width) < smallest {
            return Err(ModelError::TooSmall {
                name,
                height,
                width,
                smallest,
            });
        }
        let architecture = match pieces {
            Pieces::Published => self.architecture,
            Pieces::Smooth => self.architecture.small(),
        };
        let layers = architecture.layers(Chain::new(input, dim, pieces));
        Ok(Backbone {
            module: Box::new(layers.build(scope)),
            input,
            embedding_dim: dim,
            name,
        })
    }
}

/// A network that embeds images.
pub struct Backbone<T: Float> {
    /// The network.
    pub module: Box<dyn Module<T>>,
    /// The images it is built for: height, width, channels.
    pub input: [usize; 3],
    /// The length of an embedding.
    pub embedding_dim: usize,
    /// The name in [`MODELS`].
    pub name: &'static str,
}

impl<T: Float> Backbone<T> {
    /// The layers as a table.
    pub fn summary(&self, params: &Params<T>) -> Summary {
        Summary::of(self, params, self.input)
    }
}

impl<T: Float> Module<T> for Backbone<T> {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        self.module.forward(pass, x)
    }
}

#[cfg(test)]
mod tests;
