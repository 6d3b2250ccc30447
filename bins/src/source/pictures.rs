//! Parts of a data set as examples; pictures from memory, or from files that a manifest lists.

use super::{Folding, Items, Marks, Pair, View};
use crate::config::{Config, ConfigError, Unreadable};
use anyhow::{Result, bail};
use data::audio::{BandNormalise, Spectrograms};
use data::formats::pack::Pack;
use data::{Examples, FileSet, Frame, ImageSet, Images, Manifest, Normalise, Pictures};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// What a network is shown, wherever it is.
#[derive(Clone)]
pub enum Content {
    /// Pictures, decoded, in one piece of memory.
    Memory(ImageSet),
    /// Pictures in their files.
    Files(FileSet),
    /// Recordings.
    Sound(Box<Spectrograms>),
}

/// How many pictures are measured for mean and deviation where they stay in their files.
const MEASURED: usize = 1_000;

impl Content {
    /// Mean and deviation of each channel, of all pictures that are in memory or of a thousand
    /// files; of each band of all spectrograms.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn normalise(&self) -> Result<Normalise> {
        Ok(match self {
            Content::Memory(set) => Normalise::measured(set),
            Content::Files(set) => {
                let count = set.len().min(MEASURED);
                let spread: Vec<usize> = (0..count).map(|i| i * set.len() / count).collect();
                Normalise::measured(&set.subset(&spread).load()?)
            }
            Content::Sound(set) => {
                let bands = BandNormalise::measured(set)?;
                Normalise::new(bands.mean(), bands.deviation())?
            }
        })
    }

    /// The label of each, a place among the classes.
    pub(super) fn labels(&self) -> &[usize] {
        match self {
            Content::Memory(set) => set.labels(),
            Content::Files(set) => set.labels(),
            Content::Sound(set) => set.recordings().labels(),
        }
    }

    fn examples(&self, config: &Config, normalise: &Normalise) -> Result<Arc<dyn Examples>> {
        fn images<S: Pictures + 'static>(
            set: S,
            config: &Config,
            normalise: &Normalise,
        ) -> Result<Arc<dyn Examples>> {
            let images = Images::new(set, normalise.clone())?;
            Ok(Arc::new(images.augmented(config.data.augment.resolve()?)?))
        }
        match self {
            Content::Memory(set) => images(set.clone(), config, normalise),
            Content::Files(set) => images(set.clone(), config, normalise),
            Content::Sound(set) => {
                let [mean, deviation] = [normalise.mean(), normalise.std()].map(<[f32]>::to_vec);
                let bands = BandNormalise::new(mean, deviation)?;
                Ok(Arc::new(Spectrograms::clone(set).normalised(bands)?))
            }
        }
    }

    /// A hash of what a network can see of some of them; of files, their names, labels and sizes,
    /// of recordings also which part of the file they are.
    fn fingerprint(&self, rows: &[usize]) -> String {
        let mut hash = Sha256::new();
        let mut add = |path: &Path, class: &str| {
            let size = path.metadata().map_or(0, |m| m.len());
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update([0]);
            hash.update(class);
            hash.update([0]);
            hash.update(size.to_le_bytes());
        };
        match self {
            Content::Memory(set) => return set.subset(rows).fingerprint(),
            Content::Files(set) => {
                for &i in rows {
                    add(set.path(i), &set.classes()[set.labels()[i]]);
                }
            }
            Content::Sound(set) => {
                let set = set.recordings();
                for &i in rows {
                    add(set.path(i), &set.classes()[set.labels()[i]]);
                    if let Some(clip) = set.clip(i) {
                        add(Path::new(&format!("{clip:?}")), "");
                    }
                }
            }
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// A part of a data set before it is normalised: what the marks belong to.
pub struct Part {
    /// The pictures or recordings.
    pub content: Content,
    /// The camera of each, or none.
    pub(super) cameras: Vec<u32>,
    pub(super) classes: Vec<String>,
    pub(super) marks: Marks,
}

impl Part {
    /// A set that is in memory.
    pub fn of_set(set: ImageSet) -> Self {
        Part {
            classes: set.classes().to_vec(),
            cameras: Vec::new(),
            marks: Marks::default(),
            content: Content::Memory(set),
        }
    }

    /// Varied as the configuration says wherever a variation is asked for, and normalised.
    ///
    /// # Errors
    /// If the augmentation does not suit the pictures.
    pub fn items(self, config: &Config, normalise: &Normalise) -> Result<Items> {
        let examples = self.content.examples(config, normalise)?;
        let content = self.content;
        let on_demand = !matches!(content, Content::Memory(_));
        Ok(Items {
            view: View::new(examples, self.cameras).on_demand(on_demand),
            classes: self.classes,
            marks: self.marks,
            fingerprint: Arc::new(move |rows| content.fingerprint(rows)),
        })
    }
}

/// What can be read; `notes` are told of the rest.
pub(super) fn noted<S>((readable, left_out): (S, Vec<data::Error>), notes: &mut Vec<String>) -> S {
    if let Some(first) = left_out.first() {
        notes.push(format!("{} files left out: {first}", left_out.len()));
    }
    readable
}

/// How files are to be read.
pub struct Reader<'a> {
    /// The settings.
    pub config: &'a Config,
    /// `[height, width, channels]`.
    pub shape: [usize; 3],
}

impl Reader<'_> {
    /// Some entries, with what queries and galleries are made of. `notes` are told what was left
    /// out.
    ///
    /// # Errors
    /// If a file cannot be read and is not to be left out.
    pub fn part(
        &self,
        manifest: &Manifest,
        rows: &[usize],
        notes: &mut Vec<String>,
    ) -> Result<Part> {
        let data = &self.config.data;
        let mut files = FileSet::new(manifest, rows, self.shape, self.frame())?;
        if data.unreadable == Unreadable::Skip {
            files = noted(files.checked(data::Unreadable::Skip)?, notes);
        }
        let entry = |i: usize| &manifest.entries[files.origin(i)];
        let all = 0..files.len();
        let marks = Marks {
            queries: all.clone().filter(|&i| entry(i).is_query).collect(),
            gallery: all.clone().filter(|&i| entry(i).is_gallery).collect(),
            paths: all.map(|i| entry(i).path.clone()).collect(),
            ..Marks::default()
        };
        Ok(Part {
            cameras: files.cameras().to_vec(),
            classes: files.classes().to_vec(),
            marks,
            content: self.held(files)?,
        })
    }

    /// The pairs of a pack, with their images in memory. `notes` are told what was left out.
    ///
    /// # Errors
    /// If there is no room for them, or an image cannot be read and is not to be left out.
    pub fn pack(&self, pack: &Pack, notes: &mut Vec<String>) -> Result<Part> {
        let data = &self.config.data;
        let (megabytes, fits) = self.room(pack.images.len());
        if !fits {
            bail!(ConfigError(format!(
                "{}: its {} images take {megabytes} MB, and `data.memory` allows {}; raise it",
                pack.name,
                pack.images.len(),
                data.memory
            )));
        }
        let unreadable = data.unreadable.into();
        let (set, numbers, left_out) = pack.load(self.shape, self.frame(), unreadable)?;
        let mut part = Part::of_set(noted((set, left_out), notes));
        let place = |number: usize| numbers.binary_search(&number).ok();
        let pairs = (0..pack.len()).filter_map(|pair| {
            Some(Pair {
                places: [place(2 * pair)?, place(2 * pair + 1)?],
                same: pack.same[pair],
                fold: pack.fold(pair),
            })
        });
        part.marks.pairs = pairs.collect();
        part.marks.folding = Folding::Packed;
        Ok(part)
    }

    fn frame(&self) -> Frame {
        let centre = self.config.data.centre;
        centre.map_or(Frame::Stretch, Frame::Centre)
    }

    /// The megabytes that so many pictures take, and whether they may be kept in memory.
    fn room(&self, pictures: usize) -> (u64, bool) {
        let bytes = self.shape.iter().fold(pictures as u64, |bytes, &n| {
            // Sides are stated by users.
            bytes.saturating_mul(n as u64)
        });
        let megabytes = bytes.div_ceil(1 << 20);
        (megabytes, megabytes <= self.config.data.memory as u64)
    }

    /// In memory if there is room; parts of pictures are cut from the files themselves.
    fn held(&self, files: FileSet) -> Result<Content> {
        let (_, fits) = self.room(files.len());
        let crops = self.config.data.augment.resolve()?.crop.is_some();
        Ok(match fits && !crops {
            true => Content::Memory(files.load()?),
            false => Content::Files(files),
        })
    }
}
