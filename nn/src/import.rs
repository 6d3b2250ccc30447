//! Weights trained elsewhere: safetensors files with the names and layouts of PyTorch.
//!
//! | network | names as in |
//! |---|---|
//! | `resnet18`, `resnet34`, `resnet50` | torchvision |
//! | `resnet20` to `resnet110`, `resnet18-cifar` and so on | the common CIFAR programs: as torchvision, or with `shortcut.0` for `downsample.0` and `linear` for `fc` |
//! | `iresnet18` to `iresnet100` | insightface |
//!
//! What a network has beyond the published one, such as an embedding of another length, is read
//! where its name begins with `embedding.`, as [`Backbone::to_torch`] writes it.
//!
//! Names may begin with `module.`, as data-parallel training leaves them. Convolution weights
//! `[out, in, kh, kw]` become `[kh, kw, in, out]`, and the columns of a linear layer on an image
//! go from the order channels, rows, columns to rows, columns, channels. Images must be
//! normalised as in the training of the weights, which no file tells.
//!
//! ```no_run
//! use engine::{Params, Tensor, Var};
//! use nn::{Model, Module, Pass, Scope};
//! let mut params = Params::<f32>::new();
//! let root = &mut Scope::root(&mut params, 0);
//! let net = Model::find("resnet50")?.build(root, [224, 224, 3], None)?;
//! let imported = net.import("resnet50.safetensors".as_ref(), &mut params)?;
//! let classes = imported.classifier.map(|c| c.weight.shape()[0]);
//! println!("a classifier of {classes:?} classes; as they were: {:?}", imported.kept);
//! let images = Var::constant(Tensor::zeros([1, 224, 224, 3]));
//! let embeddings = net.forward(&mut Pass::eval(&params), &images);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::layout::Layout;
use crate::networks::{Backbone, MODELS, Model, Naming};
use engine::{BufferId, Float, ParamId, Params, Shape, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What an import has done beside overwriting the network's parameters.
#[derive(Clone, Debug)]
pub struct Imported<T: Float> {
    /// The classifier behind the embedding, if the file has one. It is no part of a network here,
    /// but of the loss.
    pub classifier: Option<Classifier<T>>,
    /// Parameters and buffers of the network that it has beyond the published one, an embedding of
    /// another length or a neck, and that were left as they were.
    pub kept: Vec<String>,
    /// Names of the file that mean nothing here: counters of batches.
    pub skipped: Vec<String>,
    /// Where each parameter came from. Buffers are not listed.
    pub origins: Vec<Origin>,
}

/// A parameter and the tensor of the file that it was read from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The parameter.
    pub id: ParamId,
    /// The name in the file.
    pub key: String,
    layout: Layout,
}

impl Origin {
    /// A tensor with the layout of the parameter, such as its gradient, in the layout of the file.
    pub fn in_file<T: Float>(&self, tensor: &Tensor<T>) -> Tensor<T> {
        self.layout.exported(tensor)
    }
}

/// A linear layer from embeddings to classes.
#[derive(Clone, Debug)]
pub struct Classifier<T: Float> {
    /// Its name in the file: `fc`, if that has `fc.weight`.
    pub key: String,
    /// `[classes, D]`.
    pub weight: Tensor<T>,
    /// `[classes]`.
    pub bias: Option<Tensor<T>>,
}

/// Why weights could not be imported. The network is unchanged then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] CheckpointError),
    /// No other program's names are known for this network.
    #[error(
        "weights of other programs cannot be imported into `{model}`; \
         there are names for: {}",
        importable()
    )]
    Unsupported {
        /// The network.
        model: &'static str,
    },
    /// The file lacks names or has others.
    #[error(
        "{} does not fit `{model}`.{}{}{}",
        path.display(), some_of("missing in the file", missing), some_of("unknown to the network", unexpected),
        suggestion(*fits)
    )]
    Keys {
        /// The file.
        path: PathBuf,
        /// The network.
        model: &'static str,
        /// Names that are needed and not in the file.
        missing: Vec<String>,
        /// Names in the file that nothing is known for.
        unexpected: Vec<String>,
        /// The network that has the layers of the file, if it is another.
        fits: Option<&'static str>,
    },
    /// A tensor has another shape.
    #[error(
        "{}: `{key}` has shape {found:?}, but the network needs {expected:?}{}",
        path.display(), suggestion(*fits)
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The name in the file.
        key: String,
        /// The shape that the network needs, in the layout of the file.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
        /// The network that has the layers of the file, if it is another.
        fits: Option<&'static str>,
    },
}

fn importable() -> String {
    let named = MODELS.iter().filter(|m| m.naming().is_some());
    named.map(|m| m.name).collect::<Vec<_>>().join(", ")
}

fn suggestion(fits: Option<&str>) -> String {
    match fits {
        Some(other) => format!("\n  the file has the layers of `{other}`: build that network"),
        None => "\n  is it for another network, or for images of another size?".to_string(),
    }
}

/// A list that stays readable where a network of a hundred layers is the wrong one.
fn some_of(title: &str, names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len() {
        0 => String::new(),
        n if n <= SHOWN => format!("\n  {title}: {shown}"),
        n => format!("\n  {title}: {shown} and {} more", n - SHOWN),
    }
}

impl<T: Float> Backbone<T> {
    /// Overwrites the network's parameters and running statistics with those of a safetensors
    /// file made elsewhere; see [`import`](crate::import) for what is known.
    ///
    /// # Errors
    /// [`ImportError`]; the parameters are unchanged then.
    pub fn import(&self, path: &Path, params: &mut Params<T>) -> Result<Imported<T>, ImportError> {
        let model = self.name;
        let naming = Model::find(model).ok().and_then(Model::naming);
        let naming = naming.ok_or(ImportError::Unsupported { model })?;
        let mut file = File::read(path)?;
        let fits = file.fits().filter(|other| *other != model);
        let classifier = file.take_classifier(naming);

        let places = self.places(params);
        let shape_of = |name: &str| places.iter().find(|p| p.name == name).map(|p| p.shape);
        let (mut values, mut missing, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut origins = Vec::new();
        for place in &places {
            let covered = naming.covers(&place.name);
            let entry = match covered {
                true => file.entries.remove(&place.name),
                false => file.entries.remove(&format!("{EXTRA}{}", place.name)),
            };
            let Some(Entry { key, tensor }) = entry else {
                match covered {
                    true => missing.push(torch_name(&place.name)),
                    false => kept.push(place.name.clone()),
                }
                continue;
            };
            let layout = match (naming, place.name.as_str()) {
                _ if place.shape.rank() == 4 => Layout::Convolution,
                (Naming::IResNet, "fc.weight") => Layout::OfImage {
                    channels: shape_of("bn2.weight").map_or(1, |s| s.elements()),
                },
                _ => Layout::Same,
            };
            let expected = layout.in_torch(place.shape);
            if tensor.shape() != expected {
                return Err(ImportError::Shape {
                    path: path.to_path_buf(),
                    key,
                    expected: expected.to_vec(),
                    found: tensor.shape().to_vec(),
                    fits,
                });
            }
            values.push((place.id, layout.imported(&tensor, place.shape)));
            if let Id::Param(id) = place.id {
                origins.push(Origin { id, key, layout });
            }
        }
        let unexpected: Vec<String> = file.entries.into_values().map(|e| e.key).collect();
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(ImportError::Keys {
                path: path.to_path_buf(),
                model,
                missing,
                unexpected,
                fits,
            });
        }
        for (id, value) in values {
            match id {
                Id::Param(id) => params.set(id, &value),
                Id::Buffer(id) => params.set_buffer(id, value),
            }
        }
        Ok(Imported {
            classifier,
            kept,
            skipped: file.skipped,
            origins,
        })
    }

    /// The network's parameters and buffers, under their names in the network.
    fn places(&self, params: &Params<T>) -> Vec<Place> {
        let place = |name: &str, id, shape| {
            let name = self.own_name(name)?.to_string();
            Some(Place { name, id, shape })
        };
        let learned = params.iter();
        let learned = learned.filter_map(|(id, p)| place(p.name(), Id::Param(id), p.shape()));
        let buffers = params.buffers();
        let buffers = buffers.iter().filter_map(|(name, value)| {
            let id = Id::Buffer(params.find_buffer(name).ok()?);
            place(name, id, value.shape())
        });
        learned.chain(buffers).collect()
    }
}

/// A parameter or buffer of the network.
struct Place {
    name: String,
    id: Id,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Id {
    Param(ParamId),
    Buffer(BufferId),
}

/// What the file has, under the names of this project.
struct File<T: Float> {
    entries: BTreeMap<String, Entry<T>>,
    skipped: Vec<String>,
}

struct Entry<T: Float> {
    /// The name in the file.
    key: String,
    tensor: Tensor<T>,
}

impl<T: Float> File<T> {
    fn read(path: &Path) -> Result<Self, ImportError> {
        let mut skipped = Vec::new();
        let checkpoint = Checkpoint::<T>::read_some(path, |key| {
            let counter = key.ends_with("num_batches_tracked");
            if counter {
                skipped.push(key.to_string());
            }
            !counter
        })?;
        let entries = checkpoint.tensors.into_iter().map(|(key, tensor)| {
            let name = own_name(key.strip_prefix("module.").unwrap_or(&key));
            (name, Entry { key, tensor })
        });
        Ok(File {
            entries: entries.collect(),
            skipped,
        })
    }

    fn take_classifier(&mut self, naming: Naming) -> Option<Classifier<T>> {
        let name = naming.classifiers().iter().copied();
        let name = name
            .into_iter()
            .find(|n| self.entries.contains_key(&format!("{n}.weight")))?;
        let mut take = |part| self.entries.remove(&format!("{name}.{part}"));
        let weight = take("weight")?;
        let key = weight.key.strip_suffix(".weight").unwrap_or(&weight.key);
        Some(Classifier {
            key: key.to_string(),
            weight: weight.tensor,
            bias: take("bias").map(|e| e.tensor),
        })
    }

    /// The network that has the layers of the file.
    fn fits(&self) -> Option<&'static str> {
        let blocks = self.blocks();
        let shape = |name: &str| Some(self.entries.get(name)?.tensor.shape());
        let fits = MODELS.iter().find(|m| m.has_the_layers_of(&blocks, &shape));
        fits.map(|m| m.name)
    }

    /// The number of blocks in each stage.
    fn blocks(&self) -> Vec<usize> {
        let mut blocks = Vec::new();
        for stage in 1.. {
            let has = |n: &usize| {
                let block = format!("layer{stage}.{n}.");
                self.entries.keys().any(|name| name.starts_with(&block))
            };
            match (0..).take_while(has).count() {
                0 => break,
                n => blocks.push(n),
            }
        }
        blocks
    }
}

/// The names of projections: here, in torchvision and insightface, and in CIFAR programs.
const PROJECTION: [(&str, [&str; 2]); 2] = [
    (".shortcut.conv.", [".downsample.0.", ".shortcut.0."]),
    (".shortcut.bn.", [".downsample.1.", ".shortcut.1."]),
];

/// What the names of parameters begin with that the published network lacks: an embedding of
/// another length, a neck. So they are not taken for the classifier of the published one.
pub(crate) const EXTRA: &str = "embedding.";

/// The name here of what is called `key` in a file.
fn own_name(key: &str) -> String {
    let mut name = key.to_string();
    for (own, others) in PROJECTION {
        for other in others {
            name = name.replace(other, own);
        }
    }
    name
}

/// The name in torchvision and insightface of what is called `name` here.
pub(crate) fn torch_name(name: &str) -> String {
    let torch = PROJECTION.map(|(own, [torch, _])| (own, torch));
    torch.iter().fold(name.to_string(), |name, (own, torch)| {
        name.replace(own, torch)
    })
}

#[cfg(test)]
mod tests;
