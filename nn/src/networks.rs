//! Networks from the literature, by name.
//!
//! A network maps images `[N, H, W, C]` to embeddings `[N, D]`. Class weights are no part of it:
//! they belong to the loss that trains it.

mod lenet;
mod vgg;

use crate::layers::{Activation, AvgPool2d, MaxPool2d, Sequential};
use crate::module::{Build, Module, Pass, Scope};
use crate::summary::Summary;
use engine::{Float, Params, Var};

/// Every network there is.
pub static MODELS: &[Model] = &[
    Model {
        name: "vgg-light",
        description: "five 3x3 convolutions of 24 to 96 channels, for MNIST in minutes on a CPU",
        source: "vgg-mnist reduced to a twentieth of its work, by this project",
        embedding_dim: 64,
        smallest: 12,
        architecture: Architecture::VggLight,
    },
    Model {
        name: "vgg-mnist",
        description: "ten 3x3 convolutions of 64 to 256 channels",
        source: "the MNIST network released with Liu et al. 2016, Large-Margin Softmax Loss",
        embedding_dim: 512,
        smallest: 8,
        architecture: Architecture::VggMnist,
    },
    Model {
        name: "lenet++",
        description: "six 5x5 convolutions with PReLU, for embeddings that can be drawn",
        source: "Wen et al. 2016, A Discriminative Feature Learning Approach (center loss), table 1",
        embedding_dim: 2,
        smallest: 8,
        architecture: Architecture::LeNetPlusPlus { width: 32 },
    },
    Model {
        name: "lenet++-light",
        description: "lenet++ with half the channels: a quarter of the work",
        source: "lenet++, reduced by this project",
        embedding_dim: 2,
        smallest: 8,
        architecture: Architecture::LeNetPlusPlus { width: 16 },
    },
];

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
    /// The length of an embedding unless set.
    pub embedding_dim: usize,
    /// The smallest height and width of images.
    pub smallest: usize,
    architecture: Architecture,
}

#[derive(Clone, Copy, Debug)]
enum Architecture {
    /// With so many channels in the first stage, doubled in each later one.
    LeNetPlusPlus {
        width: usize,
    },
    VggLight,
    VggMnist,
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
        let chain = Chain {
            layers: Sequential::new(),
            shape: input,
            convolutions: 0,
            pools: 0,
            pieces,
        };
        let layers = match self.architecture {
            Architecture::LeNetPlusPlus { width } => lenet::plus_plus(chain, width, dim),
            Architecture::VggLight => vgg::light(chain, dim),
            Architecture::VggMnist => vgg::mnist(chain, dim),
        };
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

/// What the networks are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// As in the paper.
    Published,
    /// For the gradient check. An eighth of the channels; GELU for ReLU and PReLU, means for
    /// maxima: no kinks. Among thousands of activations some always lie within a finite
    /// difference of a kink, where the difference is no derivative. The pieces with kinks are
    /// checked one by one, away from them.
    Smooth,
}

/// Layers one after another, with the shape of the image between them.
struct Chain<T: Float> {
    layers: Sequential<T>,
    shape: [usize; 3],
    convolutions: usize,
    pools: usize,
    pieces: Pieces,
}

impl<T: Float> Chain<T> {
    fn add(mut self, name: impl Into<String>, layer: impl Build<T> + 'static) -> Self {
        self.layers = self.layers.add(name, layer);
        self
    }

    /// Starts the next convolution: its number, and the channels of its input and output, of
    /// which the paper has `published`.
    fn next_convolution(&mut self, published: usize) -> (usize, usize, usize) {
        let outputs = match self.pieces {
            Pieces::Published => published,
            Pieces::Smooth => published / 8,
        };
        self.convolutions += 1;
        let inputs = std::mem::replace(&mut self.shape[2], outputs);
        (self.convolutions, inputs, outputs)
    }

    /// The activation that `published` stands for.
    fn activation(self, name: String, published: impl Build<T> + 'static) -> Self {
        match self.pieces {
            Pieces::Published => self.add(name, published),
            Pieces::Smooth => self.add(name, Activation::Gelu),
        }
    }

    fn max_pool(mut self, kernel: usize, stride: usize) -> Self {
        self.pools += 1;
        let name = format!("pool{}", self.pools);
        let [h, w, c] = self.shape;
        self.shape = [(h - kernel) / stride + 1, (w - kernel) / stride + 1, c];
        match self.pieces {
            Pieces::Published => self.add(name, MaxPool2d::new(kernel).stride(stride)),
            Pieces::Smooth => self.add(name, AvgPool2d::new(kernel).stride(stride)),
        }
    }
}

#[cfg(test)]
mod tests;
