//! The layouts that data sets are published in, and the rules that belong to them.
//!
//! | data set | module | what comes out |
//! |---|---|---|
//! | CIFAR-10, CIFAR-100 | [`cifar`] | images in memory |
//! | a folder per class | [`folder`] | a manifest |
//! | Omniglot, with Lake's 20 one-shot runs | [`omniglot`] | a manifest, runs |
//! | ORL, LFW with its pairs | [`faces`] | a manifest, pairs |
//! | Market-1501, DukeMTMC-reID, CUHK03, VeRi-776, VehicleID | [`reid`] | a manifest |
//! | CUB-200-2011, Cars196, Stanford Online Products, In-shop | [`retrieval`] | a manifest |
//!
//! A [`Manifest`](crate::Manifest) comes within a [`Survey`](crate::manifest::Survey), which
//! holds the counts its authors state against those found. Entries are sorted by path, so that
//! nothing depends on the order in which a file system lists its files.
//!
//! Names are read from the file itself, never from its folders, and a file that looks like an
//! image but is named differently is an error: it would silently be missing.

pub mod cifar;
pub mod faces;
pub mod folder;
mod list;
mod mat;
pub mod omniglot;
pub mod reid;
pub mod retrieval;
