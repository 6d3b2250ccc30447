//! Networks from the literature, by name.
//!
//! A network maps images `[N, H, W, C]` to embeddings `[N, D]`. Class weights are no part of it:
//! they belong to the loss that trains it.

mod airbench;
mod audio;
mod chain;
mod iresnet;
mod lenet;
mod mobile;
mod options;
mod osnet;
mod resnet;
mod table;
mod vgg;
mod wide;

pub(crate) use chain::Pieces;
pub use options::{ModelOptions, Pooling};
pub use table::MODELS;

use crate::export::{ExportError, Exporter, Value};
use crate::layers::{BatchNorm, Sequential};
use crate::module::{Build, Module, Pass, Scope};
use crate::summary::Summary;
use chain::Chain;
use engine::{Float, Params, Shape, Var};

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
    fn layers<T: Float>(self, chain: Chain<'_, T>) -> Sequential<T>;

    /// A member for the gradient check: few channels and few blocks, but every kind of block.
    /// Members that differ in depth and width alone share it.
    fn small(self) -> Self;
}

/// Makes one type of all families.
macro_rules! architectures {
    ($($variant:ident($family:ty)),* $(,)?) => {
        /// A member of some family.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Architecture {
            $($variant($family)),*
        }

        impl Family for Architecture {
            fn layers<T: Float>(self, chain: Chain<'_, T>) -> Sequential<T> {
                match self {
                    $(Architecture::$variant(net) => net.layers(chain)),*
                }
            }

            fn small(self) -> Self {
                match self {
                    $(Architecture::$variant(net) => Architecture::$variant(net.small())),*
                }
            }
        }
    };
}

architectures! {
    LeNetPlusPlus(lenet::LeNetPlusPlus),
    VggLight(vgg::Light),
    Vgg(vgg::Vgg),
    ResNet(resnet::ResNet),
    WideResNet(wide::WideResNet),
    AirBench(airbench::AirBench),
    IResNet(iresnet::IResNet),
    MobileFaceNet(mobile::MobileFaceNet),
    OsNet(osnet::OsNet),
    AudioCnn(audio::AudioCnn),
}

impl Architecture {
    /// Whether the network ends in pooling, of which there are several kinds.
    fn pools(self) -> bool {
        match self {
            Architecture::ResNet(_)
            | Architecture::WideResNet(_)
            | Architecture::AirBench(_)
            | Architecture::OsNet(_)
            | Architecture::AudioCnn(_) => true,
            Architecture::LeNetPlusPlus(_)
            | Architecture::VggLight(_)
            | Architecture::Vgg(_)
            | Architecture::IResNet(_)
            | Architecture::MobileFaceNet(_) => false,
        }
    }

    /// The program whose names and layouts the network shares.
    fn naming(self) -> Option<Naming> {
        match self {
            Architecture::ResNet(_) => Some(Naming::ResNet),
            Architecture::IResNet(_) => Some(Naming::IResNet),
            _ => None,
        }
    }

    /// Whether the network has a fourth stage whose stride may be left out.
    fn has_last_stride(self) -> bool {
        matches!(self, Architecture::ResNet(net) if net.blocks.len() == 4)
    }
}

/// The names of another program's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// Those of torchvision, and of CIFAR programs after it.
    ResNet,
    /// Those of insightface.
    IResNet,
}

impl Naming {
    /// Whether the other program has the parameter, too.
    pub fn covers(self, name: &str) -> bool {
        match self {
            Naming::ResNet => ["conv1.", "bn1.", "layer"]
                .iter()
                .any(|p| name.starts_with(p)),
            Naming::IResNet => !name.starts_with("neck."),
        }
    }

    /// What the classifier may be called.
    pub fn classifiers(self) -> &'static [&'static str] {
        match self {
            Naming::ResNet => &["fc", "linear", "classifier"],
            Naming::IResNet => &["classifier"],
        }
    }
}

/// Why a network could not be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    /// The network does not leave this open.
    #[error("`{name}` has no choice of `{option}`: {reason}")]
    NoChoice {
        /// The network.
        name: &'static str,
        /// The field of [`ModelOptions`].
        option: &'static str,
        /// What the network has instead.
        reason: &'static str,
    },
    /// A choice that is none.
    #[error("`{option} = {value}` for `{name}`: expected {expected}")]
    Choice {
        /// The network.
        name: &'static str,
        /// The field of [`ModelOptions`].
        option: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        expected: &'static str,
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
        let options = ModelOptions {
            embedding_dim,
            ..ModelOptions::default()
        };
        self.build_with(scope, input, &options)
    }

    /// Builds the network with choices beside the embedding dimension.
    ///
    /// ```
    /// use engine::Params;
    /// use nn::networks::{Model, ModelOptions, Pooling};
    /// use nn::Scope;
    /// let mut params = Params::<f32>::new();
    /// let options = ModelOptions {
    ///     pooling: Some(Pooling::Gem),
    ///     neck: true,
    ///     ..ModelOptions::default()
    /// };
    /// let root = &mut Scope::root(&mut params, 0);
    /// let net = Model::find("resnet20")?.build_with(root, [32, 32, 3], &options)?;
    /// assert_eq!(net.embedding_dim, 64);
    /// assert!(params.find("pool.p").is_ok() && params.find("neck.weight").is_ok());
    /// # Ok::<(), nn::networks::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// [`ModelError::TooSmall`], [`ModelError::Zero`], [`ModelError::NoChoice`] or
    /// [`ModelError::Choice`].
    pub fn build_with<T: Float>(
        &self,
        scope: &mut Scope<'_, T>,
        input: [usize; 3],
        options: &ModelOptions,
    ) -> Result<Backbone<T>, ModelError> {
        self.build_of(Pieces::Published, scope, input, options)
    }

    /// The program whose names and layouts the network shares.
    pub(crate) fn naming(&self) -> Option<Naming> {
        self.architecture.naming()
    }

    /// Whether a file with so many blocks in each stage, and with tensors of these shapes in the
    /// layout of PyTorch, is for this network.
    pub(crate) fn has_the_layers_of(
        &self,
        blocks: &[usize],
        shape: &dyn Fn(&str) -> Option<Shape>,
    ) -> bool {
        match self.architecture {
            Architecture::ResNet(net) => net.has_the_layers_of(blocks, shape),
            Architecture::IResNet(net) => net.has_the_layers_of(blocks, shape),
            _ => false,
        }
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
        options: &ModelOptions,
    ) -> Result<Backbone<T>, ModelError> {
        let dim = options.embedding_dim.unwrap_or(self.embedding_dim);
        self.check(input, dim, options)?;
        let architecture = match pieces {
            Pieces::Published => self.architecture,
            Pieces::Smooth => self.architecture.small(),
        };
        let layers = architecture.layers(Chain::new(input, dim, options, pieces));
        let module = Box::new(layers.build(scope));
        let neck = BatchNorm::new(dim).fixed_shift();
        Ok(Backbone {
            module,
            neck: options
                .neck
                .then(|| Box::new(neck.build(&mut scope.child(NECK))) as _),
            input,
            embedding_dim: dim,
            name: self.name,
            prefix: scope.prefix().to_string(),
        })
    }

    fn check(
        &self,
        input: [usize; 3],
        dim: usize,
        options: &ModelOptions,
    ) -> Result<(), ModelError> {
        let (name, smallest) = (self.name, self.smallest);
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
        let no_choice = |option, reason| ModelError::NoChoice {
            name,
            option,
            reason,
        };
        if options.pooling.is_some() && !self.architecture.pools() {
            let reason = "its embedding is a linear function of all pixels of the last layer";
            return Err(no_choice("pooling", reason));
        }
        let choice = |option, value, expected| ModelError::Choice {
            name,
            option,
            value,
            expected,
        };
        match options.last_stride {
            Some(_) if !self.architecture.has_last_stride() => {
                let reason = "it is no residual network of four stages with pooling behind them";
                return Err(no_choice("last_stride", reason));
            }
            Some(stride) if !(1..=2).contains(&stride) => {
                return Err(choice("last_stride", stride as f64, "1 or 2"));
            }
            _ => {}
        }
        if !(0.0..1.0).contains(&options.dropout) {
            return Err(choice("dropout", options.dropout, "a probability below 1"));
        }
        Ok(())
    }
}

/// The name of the normalisation behind the features.
const NECK: &str = "neck";

/// What a network makes of a batch, `[N, D]`.
#[derive(Clone, Debug)]
pub struct Features<T: Float> {
    /// Before the neck, if there is one: where distances between samples are trained, free of what
    /// class weights ask for (Luo et al. 2019, section 4.3).
    pub before_neck: Option<Var<T>>,
    /// What is compared in use, and with class weights.
    pub embedding: Var<T>,
}

/// A network that embeds images.
pub struct Backbone<T: Float> {
    module: Box<dyn Module<T>>,
    neck: Option<Box<dyn Module<T>>>,
    /// The images it is built for: height, width, channels.
    pub input: [usize; 3],
    /// The length of an embedding.
    pub embedding_dim: usize,
    /// The name in [`MODELS`].
    pub name: &'static str,
    /// Where it was built.
    prefix: String,
}

impl<T: Float> Backbone<T> {
    /// A parameter's name without the place where the network was built; `None` if it is not the
    /// network's.
    pub(crate) fn own_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        match self.prefix.as_str() {
            "" => Some(name),
            prefix => name.strip_prefix(prefix)?.strip_prefix('.'),
        }
    }

    /// What it makes of images `[N, H, W, C]`, on both sides of its neck.
    pub fn features(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Features<T> {
        let features = self.module.forward(pass, x);
        match &self.neck {
            Some(neck) => Features {
                embedding: pass.layer(NECK, neck, &features),
                before_neck: Some(features),
            },
            None => Features {
                embedding: features,
                before_neck: None,
            },
        }
    }

    /// The layers as a table.
    pub fn summary(&self, params: &Params<T>) -> Summary {
        Summary::of(self, params, self.input)
    }
}

impl<T: Float> Module<T> for Backbone<T> {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        self.features(pass, x).embedding
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let x = self.module.export(to, x)?;
        match &self.neck {
            Some(neck) => to.layer(NECK, neck, x),
            None => Ok(x),
        }
    }
}

#[cfg(test)]
mod tests;
