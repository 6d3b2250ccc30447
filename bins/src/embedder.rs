//! A trained network put to use: files in, embeddings out, with the preprocessing that its
//! checkpoint states.
//!
//! ```no_run
//! use hypersphere::embedder::Embedder;
//! use hypersphere::features::gallery::Gallery;
//! use std::path::Path;
//!
//! # fn main() -> anyhow::Result<()> {
//! let embedder = Embedder::open(Path::new("runs/orl-so-softmax-1/ckpt/last.safetensors"), false)?;
//! let items = embedder.items(&["photos".into()])?;
//! let photos = embedder.embed(&items, |_| {})?.features;
//! let query = photos.vectors[..photos.dim].to_vec();
//! let found = Gallery::new(photos)?.search(&query, 10, true)?;
//! println!("{:?}", found[0]);
//! # Ok(())
//! # }
//! ```

use crate::config::ConfigError;
use crate::evaluation::Embedding;
use crate::features::{Features, Origin};
use crate::run_dir::RunDir;
use crate::source::DataError;
use crate::weights::Trained;
use anyhow::{Context, Result, bail};
use data::audio::{BandNormalise, Recordings, Spectrograms};
use data::formats::{Kind, files};
use data::manifest::{Entry, Split};
use data::metrics::retrieval::JUNK_LABEL;
use data::{Examples, FileSet, Frame, Images, Manifest};
use engine::par;
use nn::Pass;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Numbers in a batch: what 500 images of MNIST have, so that memory does not grow with their
/// size.
const BATCH: usize = 500 * 28 * 28;

/// A network that embeds files.
pub struct Embedder {
    trained: Trained,
    origin: Origin,
}

/// A file to embed.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The file as the user named it, or as it is found in a folder that the user named.
    pub name: String,
    /// What it is of; `None` if unknown.
    pub class: Option<String>,
    /// The file, or the part of it that counts; its path starts from the working directory.
    entry: Entry,
}

/// What became of some files.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Those that could be read, in order.
    pub features: Features,
    /// The place among the items of each of them.
    pub places: Vec<usize>,
    /// Why each of the others could not; the message names the file.
    pub skipped: Vec<data::Error>,
}

/// The weights that a run directory or the path of a checkpoint stands for.
///
/// # Errors
/// If it is a folder but no run directory.
pub fn checkpoint_of(what: &Path, best: bool) -> Result<PathBuf> {
    if !what.is_dir() {
        return Ok(what.to_path_buf());
    }
    let run = RunDir::open_existing(what)?;
    Ok(match best {
        true => run.best_weights(),
        false => run.last_weights(),
    })
}

/// The SHA-256 of a file in hexadecimal digits.
///
/// # Errors
/// If it cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let digits = Sha256::digest(bytes);
    Ok(digits.iter().map(|b| format!("{b:02x}")).collect())
}

impl Embedder {
    /// The network of a checkpoint. With `flip`, an embedding is the mean of those of the image
    /// and its mirror image.
    ///
    /// # Errors
    /// If the file is no checkpoint of this program.
    pub fn open(checkpoint: &Path, flip: bool) -> Result<Self> {
        let trained = Trained::read(checkpoint)?;
        if flip && trained.description.sound.is_some() {
            bail!(ConfigError(
                "--flip is for pictures; a recording played backwards is another sound".into()
            ));
        }
        let here = std::env::current_dir().context("finding the working directory")?;
        Ok(Embedder {
            origin: Origin {
                checkpoint: here.join(checkpoint),
                sha256: sha256(checkpoint)?,
                flip,
                folder: here,
            },
            trained,
        })
    }

    /// The network, with what its checkpoint says.
    pub fn trained(&self) -> &Trained {
        &self.trained
    }

    /// What the embeddings are made with.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What files the network is for.
    pub fn kind(&self) -> Kind {
        match self.trained.description.sound {
            Some(_) => Kind::Recording,
            None => Kind::Picture,
        }
    }

    /// The files that paths stand for, in the order of the paths: a file for itself, a folder for
    /// all files of the [`kind`](Self::kind) in and below it in byte order, a CSV manifest for its
    /// entries. The class of a file in a folder is the folder it lies in, named from the path on,
    /// or where there are several paths, with the last name of the path.
    ///
    /// # Errors
    /// If there is no such file or folder, or nothing to embed in a folder.
    pub fn items(&self, paths: &[PathBuf]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for path in paths {
            let before = items.len();
            let is_manifest = path.extension().is_some_and(|e| e == "csv");
            match path.is_dir() {
                true => items.extend(in_folder(path, self.kind(), paths.len() > 1)?),
                false if is_manifest => items.extend(in_manifest(path)?),
                false => items.push(Item::of_file(text(path)?)),
            }
            if items.len() == before {
                let kind = match self.kind() {
                    Kind::Picture => "pictures (.jpg, .png, .webp, .bmp, .pgm, .ppm)",
                    Kind::Recording => "recordings (.wav)",
                };
                bail!(DataError(format!(
                    "{}: expected {kind}, found none",
                    path.display()
                )));
            }
        }
        Ok(items)
    }

    /// Embeds files. Those that cannot be read are left out; `progress` is told after each batch
    /// how many have been looked at.
    ///
    /// # Errors
    /// If there is nothing else: one file that cannot be read, or none that can; or if an
    /// embedding is not finite.
    pub fn embed(&self, items: &[Item], mut progress: impl FnMut(usize)) -> Result<Outcome> {
        let examples = self.examples(items)?;
        let [height, width, channels] = examples.shape();
        let size = height * width * channels;
        let model = self.trained.model();
        let how = Embedding {
            flip: self.origin.flip,
        };
        let mut outcome = Outcome::default();
        let all: Vec<usize> = (0..items.len()).collect();
        for batch in all.chunks((BATCH / (height * width)).clamp(8, 500)) {
            let read = par::map(batch.len(), |i| {
                let mut image = vec![0.0; size];
                examples.write(batch[i], None, &mut image).map(|()| image)
            });
            let mut images = Vec::with_capacity(batch.len() * size);
            for (&place, image) in batch.iter().zip(read) {
                match image {
                    Ok(image) => {
                        images.extend(image);
                        outcome.places.push(place);
                    }
                    Err(error) => outcome.skipped.push(error),
                }
            }
            if !images.is_empty() {
                let mut pass = Pass::eval(&self.trained.params);
                let shape = [images.len() / size, height, width, channels];
                let found = model.features(&mut pass, shape, &images, how).embedding;
                outcome
                    .features
                    .vectors
                    .extend_from_slice(found.value().data());
            }
            progress(batch[batch.len() - 1] + 1);
        }
        if outcome.places.is_empty() {
            let count = items.len();
            let first = outcome.skipped.into_iter().next();
            let first = first.with_context(|| DataError("there is nothing to embed".into()))?;
            return match count {
                1 => Err(first.into()),
                _ => bail!(DataError(format!(
                    "none of {count} files can be read: {first}"
                ))),
            };
        }
        self.name(&mut outcome, items)?;
        Ok(outcome)
    }

    /// Adds names, labels, cameras, parts in a test and origin to vectors.
    fn name(&self, outcome: &mut Outcome, items: &[Item]) -> Result<()> {
        let kept: Vec<&Item> = outcome.places.iter().map(|&i| &items[i]).collect();
        let classes: BTreeSet<&String> = kept.iter().filter_map(|i| i.class.as_ref()).collect();
        let classes: Vec<String> = classes.into_iter().cloned().collect();
        let label = |item: &&Item| {
            let place = item.class.as_ref().map(|c| classes.binary_search(c));
            place.map_or(-1, |place| place.expect("it is among them") as i64)
        };
        let features = &mut outcome.features;
        features.dim = self.trained.net.embedding_dim;
        // Whether every number is finite.
        data::metrics::Embeddings::new(&features.vectors, features.dim)?;
        features.names = kept.iter().map(|item| item.name.clone()).collect();
        if !classes.is_empty() {
            features.labels = kept.iter().map(label).collect();
        }
        features.classes = classes;
        let entries = || kept.iter().map(|item| &item.entry);
        if entries().any(|entry| entry.camera.is_some()) {
            let camera = |entry: &Entry| entry.camera.map_or(-1, i64::from);
            features.cameras = entries().map(camera).collect();
        }
        if entries().any(|entry| entry.is_query || entry.is_gallery) {
            features.is_query = entries().map(|entry| entry.is_query).collect();
            features.is_gallery = entries().map(|entry| entry.is_gallery).collect();
        }
        features.origin = Some(self.origin.clone());
        Ok(())
    }

    fn examples(&self, items: &[Item]) -> Result<Box<dyn Examples>> {
        let manifest = Manifest {
            name: "the files to embed".into(),
            root: PathBuf::new(),
            entries: items.iter().map(|item| item.entry.clone()).collect(),
        };
        let all: Vec<usize> = (0..items.len()).collect();
        let description = &self.trained.description;
        let normalise = self.trained.normalise.clone();
        let examples: Box<dyn Examples> = match description.sound {
            Some(sound) => {
                let recordings = Recordings::new(&manifest, &all, sound.rate)?;
                let spectrograms = Spectrograms::new(recordings, &sound.settings(), sound.seconds)?;
                let [mean, deviation] = [normalise.mean(), normalise.std()].map(<[f32]>::to_vec);
                Box::new(spectrograms.normalised(BandNormalise::new(mean, deviation)?)?)
            }
            None => {
                let frame = description.centre.map_or(Frame::Stretch, Frame::Centre);
                let files = FileSet::new(&manifest, &all, description.input, frame)?;
                Box::new(Images::new(files, normalise)?)
            }
        };
        if examples.shape() != description.input {
            bail!(ConfigError(format!(
                "{}: its network is for {:?} (height, width, channels), its preprocessing makes {:?}",
                self.origin.checkpoint.display(),
                description.input,
                examples.shape()
            )));
        }
        Ok(examples)
    }
}

impl Item {
    /// A file of no known class, by its path from the working directory.
    pub fn of_file(name: String) -> Self {
        Item {
            entry: Entry::new(name.clone(), "", Split::Test),
            class: None,
            name,
        }
    }
}

/// The path as text, which lists of files are made of.
///
/// # Errors
/// If it is not UTF-8.
pub fn text(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| {
        DataError(format!(
            "{}: expected a name in UTF-8; rename the file",
            path.display()
        ))
    })?;
    Ok(text.to_string())
}

/// The files of a folder. A folder that is `one_of_several` is part of its files' classes, so that
/// `Greek/ Latin/` keep their first letters apart.
fn in_folder(root: &Path, kind: Kind, one_of_several: bool) -> Result<Vec<Item>> {
    let own = root.file_name().filter(|_| one_of_several);
    let own = own.map(|name| name.to_string_lossy().into_owned());
    let item = |path: String| {
        let below = path.rsplit_once('/').map(|(folder, _)| folder);
        let class = match (&own, below) {
            (Some(own), Some(below)) => Some(format!("{own}/{below}")),
            (Some(own), None) => Some(own.clone()),
            (None, below) => below.map(String::from),
        };
        Ok(Item {
            class: class.map(|class| of_class(&class).to_string()),
            ..Item::of_file(text(&root.join(path))?)
        })
    };
    files(root, kind)?.into_iter().map(item).collect()
}

/// `train/cat` and `test/cat` are one class.
fn of_class(folder: &str) -> &str {
    const PARTS: [&str; 5] = ["train", "val", "valid", "validation", "test"];
    match folder.split_once('/') {
        Some((part, class)) if PARTS.contains(&part) => class,
        _ => folder,
    }
}

fn in_manifest(path: &Path) -> Result<Vec<Item>> {
    let manifest = Manifest::read(path)?;
    let item = |(i, entry): (usize, &Entry)| {
        let name = text(&manifest.path(i))?;
        // Junk belongs to no class.
        let class = Some(entry.label.clone()).filter(|label| label != JUNK_LABEL);
        let entry = Entry {
            path: name.clone(),
            ..entry.clone()
        };
        Ok(Item { name, class, entry })
    };
    manifest.entries.iter().enumerate().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_folder_without_the_part_of_a_data_set() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("photos");
        for name in [
            "test/b/2.png",
            "train/b/1.png",
            "a/x/3.jpg",
            "z.png",
            "notes.txt",
        ] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = |root: &Path, several| {
            let items = in_folder(root, Kind::Picture, several).unwrap();
            let short = |item: Item| {
                let name = item.name.rsplit('/').next().unwrap().to_string();
                (name, item.class)
            };
            items.into_iter().map(short).collect::<Vec<_>>()
        };
        let files = ["3.jpg", "2.png", "1.png", "z.png"].map(String::from);
        let expect = |classes: [Option<&str>; 4]| {
            let classes = classes.map(|class| class.map(String::from));
            files.iter().cloned().zip(classes).collect::<Vec<_>>()
        };
        assert_eq!(
            found(&root, false),
            expect([Some("a/x"), Some("b"), Some("b"), None])
        );
        let classes = ["photos/a/x", "photos/test/b", "photos/train/b", "photos"].map(Some);
        assert_eq!(found(&root, true), expect(classes));
        let part = |name, several| found(&root.join(name), several)[0].1.clone();
        assert_eq!(part("test", true), Some("b".into()));
        assert_eq!(part("test", true), part("train", true));
    }
}
