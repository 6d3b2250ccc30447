//! Which of the layouts a path holds, told by names alone: no picture is opened.
//!
//! ```no_run
//! # fn main() -> data::Result<()> {
//! let guess = data::formats::guess("Market-1501")?;
//! println!("{}, because of {}", guess.format.name, guess.reasons.join("; "));
//! let content = guess.read()?;
//! # Ok(())
//! # }
//! ```

mod look;

use super::cuhk03::{self, Boxes};
use super::list::{self, Scan};
use super::pack::{self, Pack};
use super::{
    cifar, esc, folder, fsdd, lfw, omniglot, orl, reid, retrieval, speech_commands, urbansound,
};
use crate::error::{Error, Result};
use crate::manifest::{Count, Manifest, Survey};
use crate::mnist;
use crate::split::Official;
use look::Look;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a data set is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The class of a picture, among those of training.
    Classification,
    /// Whether two pictures show the same.
    Verification,
    /// What shows the same, of classes never seen in training.
    Retrieval,
    /// Who was seen by another camera.
    ReIdentification,
}

/// A layout, and how it is known and read.
pub struct Format {
    /// What `--format` calls it.
    pub name: &'static str,
    /// The data set and what its folder looks like.
    pub about: &'static str,
    /// What it is usually judged by.
    pub task: Task,
    /// What speaks for it, if it may be the one.
    signs: fn(&Look<'_>) -> Option<Vec<String>>,
    read: fn(&Path) -> Result<Content>,
}

/// What a layout is read as.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// A list of files.
    Files(Survey),
    /// Pictures in memory.
    Pictures {
        /// The pictures of training and test.
        official: Official,
        /// The official table of the data set, as far as there is one.
        counts: Vec<Count>,
    },
    /// Pairs of pictures.
    Pairs(Pack),
}

/// The layout that a path most likely holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// The layout.
    pub format: &'static Format,
    /// Where it begins: the path itself, or the only folder in it.
    pub root: PathBuf,
    /// What speaks for it, in words.
    pub reasons: Vec<String>,
}

impl Guess {
    /// Reads what was guessed.
    ///
    /// # Errors
    /// As [`Format::read`].
    pub fn read(&self) -> Result<Content> {
        self.format.read(&self.root)
    }
}

impl Format {
    /// Reads a path in this layout, with its usual protocol: pictures whole where there are boxes,
    /// CIFAR-100 by its fine labels, ORL's first 20 people for training, VehicleID's smallest test
    /// list, the first of several folds or splits.
    ///
    /// # Errors
    /// As the reader of the layout.
    pub fn read(&self, root: impl AsRef<Path>) -> Result<Content> {
        (self.read)(root.as_ref())
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Every layout, in the order in which they are looked for: the more particular ones first, the
/// folder of folders last.
pub static FORMATS: &[Format] = &[
    Format {
        name: "manifest",
        about: "a CSV manifest, or a folder with a manifest.csv",
        task: Task::Retrieval,
        signs: |look| look.files(&["manifest.csv"]),
        read: |root| {
            Ok(Content::Files(Survey {
                manifest: Manifest::open(root)?,
                counts: Vec::new(),
                ignored: 0,
            }))
        },
    },
    Format {
        name: "mnist",
        about: "MNIST and its kin: train-images-idx3-ubyte[.gz] and three more",
        task: Task::Classification,
        signs: |look| {
            let is_part = |name: &&String| name.starts_with("train-images");
            let name = look.names.iter().find(is_part)?;
            Some(vec![format!("the file {name}")])
        },
        read: |root| {
            // The layout is that of several data sets.
            Ok(Content::Pictures {
                official: mnist::from_folder(root)?,
                counts: Vec::new(),
            })
        },
    },
    Format {
        name: "cifar10",
        about: "CIFAR-10: data_batch_1[.bin] to 5 and test_batch[.bin]",
        task: Task::Classification,
        signs: |look| {
            let binary = look.files(&["data_batch_1.bin", "test_batch.bin"]);
            binary.or_else(|| look.files(&["data_batch_1", "test_batch"]))
        },
        read: |root| cifar::ten(root).map(of_cifar),
    },
    Format {
        name: "cifar100",
        about: "CIFAR-100: train[.bin] and test[.bin]",
        task: Task::Classification,
        signs: |look| {
            let binary = look.files(&["train.bin", "test.bin"]);
            binary.or_else(|| look.files(&["train", "test", "meta"]))
        },
        read: |root| cifar::hundred(root, cifar::Labels::Fine).map(of_cifar),
    },
    Format {
        name: "omniglot",
        about: "Omniglot: images_background and images_evaluation",
        task: Task::Retrieval,
        signs: |look| look.folders(&["images_background", "images_evaluation"]),
        read: |root| omniglot::read(root).map(Content::Files),
    },
    Format {
        name: "cub",
        about: "CUB-200-2011: images.txt and image_class_labels.txt",
        task: Task::Retrieval,
        signs: |look| look.files(&["images.txt", "image_class_labels.txt"]),
        read: |root| retrieval::cub(root, false).map(Content::Files),
    },
    Format {
        name: "cars",
        about: "Cars196: cars_annos.mat, or names.csv with anno_train.csv and anno_test.csv",
        task: Task::Retrieval,
        signs: |look| {
            let tables = ["names.csv", "anno_train.csv", "anno_test.csv"];
            let original = look.files(&["cars_annos.mat"]);
            original.or_else(|| look.files(&tables))
        },
        read: |root| retrieval::cars(root, false).map(Content::Files),
    },
    Format {
        name: "sop",
        about: "Stanford Online Products: Ebay_train.txt and Ebay_test.txt",
        task: Task::Retrieval,
        signs: |look| look.files(&["Ebay_train.txt", "Ebay_test.txt"]),
        read: |root| retrieval::sop(root).map(Content::Files),
    },
    Format {
        name: "in-shop",
        about: "In-shop: Eval/list_eval_partition.txt, or the list itself",
        task: Task::Retrieval,
        signs: |look| {
            let inside = look.files(&["Eval/list_eval_partition.txt"]);
            inside.or_else(|| look.files(&["list_eval_partition.txt"]))
        },
        read: |root| retrieval::in_shop(root).map(Content::Files),
    },
    Format {
        name: "market1501",
        about: "Market-1501: bounding_box_train, query, bounding_box_test",
        task: Task::ReIdentification,
        signs: |look| look.layout(&reid::MARKET_1501),
        read: |root| reid::read(&reid::MARKET_1501, root).map(Content::Files),
    },
    Format {
        name: "duke",
        about: "DukeMTMC-reID: Market-1501's folders, names like 0001_c2_f0046182.jpg",
        task: Task::ReIdentification,
        signs: |look| look.layout(&reid::DUKE_MTMC),
        read: |root| reid::read(&reid::DUKE_MTMC, root).map(Content::Files),
    },
    Format {
        name: "cuhk03-detected",
        about: "CUHK03, new protocol, detected boxes: Market-1501's folders in one named detected, or cuhk03_new_protocol_config_detected.mat and images",
        task: Task::ReIdentification,
        signs: |look| {
            // Beside the boxes by hand, these have to be asked for.
            if Boxes::Labeled.signs(look.root).is_some() {
                return None;
            }
            let copied = || {
                let mut signs = look.layout(&reid::CUHK03_DETECTED)?;
                let folder = look.root.file_name()?.to_str()?;
                signs.push(format!("the name {folder}"));
                folder.contains("detected").then_some(signs)
            };
            Boxes::Detected.signs(look.root).or_else(copied)
        },
        read: |root| cuhk03::new_protocol(Boxes::Detected, root).map(Content::Files),
    },
    Format {
        name: "cuhk03-labeled",
        about: "CUHK03, new protocol, boxes by hand: Market-1501's folders, or cuhk03_new_protocol_config_labeled.mat and images",
        task: Task::ReIdentification,
        signs: |look| {
            let own = Boxes::Labeled.signs(look.root);
            own.or_else(|| look.layout(&reid::CUHK03_LABELED))
        },
        read: |root| cuhk03::new_protocol(Boxes::Labeled, root).map(Content::Files),
    },
    Format {
        name: "cuhk03-labeled-classic",
        about: "CUHK03, classic 20 splits, boxes by hand: images_labeled/1_001_1_01.png and testsets.mat",
        task: Task::ReIdentification,
        signs: |look| Boxes::Labeled.classic_signs(look.root),
        read: |root| {
            let classic = cuhk03::classic(Boxes::Labeled, root)?;
            classic.split(1).map(Content::Files)
        },
    },
    Format {
        name: "cuhk03-detected-classic",
        about: "CUHK03, classic 20 splits, detected boxes: images_detected/1_001_1_01.png and testsets.mat",
        task: Task::ReIdentification,
        signs: |look| Boxes::Detected.classic_signs(look.root),
        read: |root| {
            let classic = cuhk03::classic(Boxes::Detected, root)?;
            classic.split(1).map(Content::Files)
        },
    },
    Format {
        name: "veri776",
        about: "VeRi-776: image_train, image_query, image_test",
        task: Task::ReIdentification,
        signs: |look| look.layout(&reid::VERI_776),
        read: |root| reid::read(&reid::VERI_776, root).map(Content::Files),
    },
    Format {
        name: "vehicleid",
        about: "PKU VehicleID: image and train_test_split/train_list.txt",
        task: Task::ReIdentification,
        signs: |look| look.files(&["train_test_split/train_list.txt"]),
        read: |root| {
            let is_there = |n: &usize| {
                let list = format!("train_test_split/test_list_{n}.txt");
                root.join(list).is_file()
            };
            let vehicles = [800, 1600, 2400].into_iter().find(is_there);
            reid::vehicle_id(root, vehicles.unwrap_or(800)).map(Content::Files)
        },
    },
    Format {
        name: "insightface",
        about: "pairs of faces in files of insightface: lfw.bin, agedb_30.bin, …",
        task: Task::Verification,
        signs: |look| {
            let packs = look.names.iter().filter(|name| pack::is_published(name));
            let names = packs.cloned().collect::<Vec<_>>().join(", ");
            (!names.is_empty()).then(|| vec![format!("the packs {names}")])
        },
        read: |path| pack::read_only(path).map(Content::Pairs),
    },
    Format {
        name: "lfw",
        about: "LFW: folders of people, Name/Name_0001.jpg",
        task: Task::Verification,
        signs: |look| {
            let named = |folder: &str, image: &str| {
                lfw::image_number(&list::join(folder, image), folder).is_some()
            };
            look.each_folder(named, "folders of people with images like Name_0001.jpg")
        },
        read: |root| lfw::inspect(root).map(Content::Files),
    },
    Format {
        name: "orl",
        about: "ORL faces: s1/1.pgm to s40/10.pgm",
        task: Task::Verification,
        signs: |look| {
            let numbered = |folder: &str, image: &str| {
                let mut scan = Scan(folder);
                let person = scan.literal("s").and_then(|()| scan.number(1, 2));
                person.is_some() && scan.0.is_empty() && image.ends_with(".pgm")
            };
            look.each_folder(numbered, "folders s1, s2, … with images like 1.pgm")
        },
        read: |root| orl::read(root, 20).map(Content::Files),
    },
    Format {
        name: "fsdd",
        about: "Free Spoken Digit Dataset: recordings/7_jackson_32.wav",
        task: Task::Classification,
        signs: |look| {
            let inside = look.root.join("recordings");
            let names = match inside.is_dir() {
                true => Look::new(&inside).ok()?.names,
                false => look.names.clone(),
            };
            let name = names.iter().find(|name| fsdd::is_recording(name))?;
            Some(vec![format!("recordings like {name}")])
        },
        read: |root| fsdd::read(root).map(Content::Files),
    },
    Format {
        name: "esc50",
        about: "ESC-50: audio and meta/esc50.csv",
        task: Task::Classification,
        signs: |look| look.files(&["meta/esc50.csv"]),
        read: |root| esc::read(root, esc::Subset::Fifty, 1).map(Content::Files),
    },
    Format {
        name: "esc10",
        about: "ESC-10: audio and meta/esc10.csv, or ESC-50's table",
        task: Task::Classification,
        signs: |look| look.files(&["meta/esc10.csv"]),
        read: |root| esc::read(root, esc::Subset::Ten, 1).map(Content::Files),
    },
    Format {
        name: "urbansound",
        about: "UrbanSound8K: audio/fold1 to fold10 and metadata/UrbanSound8K.csv",
        task: Task::Classification,
        signs: |look| look.files(&["metadata/UrbanSound8K.csv"]),
        read: |root| urbansound::read(root, 1).map(Content::Files),
    },
    Format {
        name: "speech-commands",
        about: "Speech Commands: folders of words, validation_list.txt and testing_list.txt",
        task: Task::Classification,
        signs: |look| look.files(&["validation_list.txt", "testing_list.txt"]),
        read: |root| {
            let task = speech_commands::Task::AllWords;
            speech_commands::read(root, task).map(Content::Files)
        },
    },
    Format {
        name: "speech-commands-12",
        about: "Speech Commands, ten of them, silence and other words",
        task: Task::Classification,
        // The same files: whoever means this task can name it.
        signs: |_| None,
        read: |root| {
            let task = speech_commands::Task::Twelve;
            speech_commands::read(root, task).map(Content::Files)
        },
    },
    Format {
        name: "folder",
        about: "a folder for each class or identity, below train, val and test or not",
        task: Task::Classification,
        signs: |look| {
            // Their parts are no classes, whatever is wrong with the names of their images.
            let layouts = [&reid::MARKET_1501, &reid::VERI_776];
            if layouts.iter().any(|l| look.folders(l.folders()).is_some()) {
                return None;
            }
            look.with_images()
        },
        read: |root| folder::read(root).map(Content::Files),
    },
];

fn of_cifar(official: Official) -> Content {
    let counts = vec![
        list::count("training images", 50_000, official.train.len()),
        list::count("test images", 10_000, official.test.len()),
    ];
    Content::Pictures { official, counts }
}

/// Other names by which layouts are known.
const ALIASES: [(&str, &str); 3] = [("idx", "mnist"), ("cars196", "cars"), ("dukemtmc", "duke")];

/// The layout of this name, or of a name that it is known by as well: `idx`, `cars196`, `dukemtmc`.
///
/// # Errors
/// [`Error::Invalid`] with all the names, if there is none.
pub fn format(name: &str) -> Result<&'static Format> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let wanted = alias.map_or(name, |(_, name)| name);
    let found = FORMATS.iter().find(|f| f.name == wanted);
    found.ok_or_else(|| {
        let names: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
        let expected = format!("one of {}", names.join(", "));
        Error::invalid("format", expected, name, "leave it out to have it guessed")
    })
}

/// Finds out which layout a folder, a manifest or a pack of face pairs is.
///
/// Where the path itself is none of the particular ones but all folders in it are, it was unpacked
/// a level deeper: the only one is meant, and of several one has to be named. What is left is a
/// folder of folders, if there are images in them.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::Invalid`] if nothing is known there, or more
/// than one data set.
pub fn guess(path: impl AsRef<Path>) -> Result<Guess> {
    let path = path.as_ref();
    if path.is_file() {
        return guess_file(path);
    }
    let look = Look::new(path)?;
    let (general, particular) = FORMATS.split_last().expect("there are formats");
    let find = |look: &Look<'_>| {
        let guess = |format: &'static Format| {
            Some(Guess {
                format,
                root: look.root.into(),
                reasons: (format.signs)(look)?,
            })
        };
        particular.iter().find_map(guess)
    };
    if let Some(guess) = find(&look) {
        return Ok(guess);
    }
    let mut inside = Vec::new();
    if look.subfolders.len() <= Look::FEW {
        for folder in &look.subfolders {
            let below = path.join(folder);
            inside.extend(find(&Look::new(&below)?));
        }
    }
    match inside.len() {
        0 => {}
        found if found < look.subfolders.len() => {}
        1 => return Ok(inside.remove(0)),
        _ => {
            let names: Vec<String> =
                (inside.iter().map(|g| g.root.display().to_string())).collect();
            return Err(Error::invalid(
                format!("data in {}", path.display()),
                "one data set",
                names.join(", "),
                "name the folder of the one that is meant",
            ));
        }
    }
    if let Some(original) = cuhk03::original(path) {
        // It is of no use as it is, and its reader says what to do.
        return Ok(Guess {
            format: format("cuhk03-labeled")?,
            root: path.into(),
            reasons: vec![format!("the file {}", original.display())],
        });
    }
    match (general.signs)(&look) {
        Some(reasons) => Ok(Guess {
            format: general,
            root: path.into(),
            reasons,
        }),
        None => Err(look.unknown()),
    }
}

fn guess_file(path: &Path) -> Result<Guess> {
    let kind = path.extension().and_then(|kind| kind.to_str());
    match kind {
        Some("csv") => Ok(Guess {
            format: format("manifest")?,
            root: path.into(),
            reasons: vec!["a CSV file".into()],
        }),
        Some("bin") => Ok(Guess {
            format: format("insightface")?,
            root: path.into(),
            reasons: vec!["a single file that ends in .bin".into()],
        }),
        _ => Err(Error::invalid(
            format!("data in {}", path.display()),
            "a folder, a CSV manifest or a pack of face pairs (.bin)",
            "another file",
            "unpack archives first",
        )),
    }
}

#[cfg(test)]
#[path = "guess_tests.rs"]
mod tests;
