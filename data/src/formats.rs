//! The layouts that data sets are published in, and the rules that belong to them.
//!
//! | data set | module | what comes out |
//! |---|---|---|
//! | CIFAR-10, CIFAR-100 | [`cifar`] | images in memory |
//! | a folder per class | [`folder`] | a manifest |
//! | Omniglot, with Lake's 20 one-shot runs | [`omniglot`] | a manifest, runs |
//! | ORL | [`orl`] | a manifest |
//! | LFW with its pairs | [`lfw`] | a manifest, pairs |
//! | insightface's packs of pairs | [`pack`] | encoded images, pairs |
//! | Market-1501, DukeMTMC-reID, VeRi-776, VehicleID | [`reid`] | a manifest |
//! | CUHK03 in all its forms, with the classic splits | [`cuhk03`] | a manifest |
//! | CUB-200-2011, Cars196, Stanford Online Products, In-shop | [`retrieval`] | a manifest |
//! | FSDD | [`fsdd`] | a manifest of recordings |
//! | ESC-50, ESC-10, UrbanSound8K, for one of their folds | [`esc`], [`urbansound`] | a manifest of recordings |
//! | Speech Commands, 35 or 12 classes | [`speech_commands`] | a manifest of recordings |
//!
//! Which of them a folder holds is found out by [`guess()`]; [`FORMATS`] lists them by name, and
//! [`convert()`] makes a CSV manifest of any.
//!
//! A [`Manifest`](crate::Manifest) comes within a [`Survey`](crate::manifest::Survey), which
//! holds the counts its authors state against those found. Entries are sorted by path, so that
//! nothing depends on the order in which a file system lists its files.
//!
//! ```no_run
//! use data::formats::folder;
//! use data::manifest::Split;
//! use data::{Augment, FileSet, Frame, Images, Loader, Normalise, Order, Unreadable};
//!
//! # fn main() -> data::Result<()> {
//! let manifest = folder::read("photos")?.manifest;
//! let all = FileSet::new(&manifest, &manifest.split(Split::Train), [128, 128, 3], Frame::Centre(1.0))?;
//! let (all, unreadable) = all.checked(Unreadable::Skip)?;
//! unreadable.iter().for_each(|problem| eprintln!("left out: {problem}"));
//!
//! let (train, validation) = all.hold_out(all.len() / 10, 1)?;
//! let augment = Augment { flip: 0.5, ..Augment::shift(8) };
//! let train = Images::new(train, Normalise::unit(3))?.augmented(augment)?;
//! let train = Loader::new(train, Order::pxk(16, 4), 1)?.workers(2);
//! let validation = Loader::evaluation(Images::new(validation, Normalise::unit(3))?, 64)?;
//! # Ok(())
//! # }
//! ```
//!
//! Names are read from the file itself, never from its folders, and a file that looks like an
//! image but is named differently is an error: it would silently be missing.

pub mod cifar;
mod convert;
pub mod cuhk03;
pub mod esc;
pub mod folder;
pub mod fsdd;
mod guess;
pub mod lfw;
mod list;
mod mat;
pub mod omniglot;
pub mod orl;
pub mod pack;
mod pickle;
pub mod reid;
pub mod retrieval;
mod sound;
pub mod speech_commands;
pub mod urbansound;

pub use convert::convert;
pub use guess::{Content, FORMATS, Format, Guess, Task, format, guess};
pub use list::{Kind, files};
