//! Data sets with their protocols, augmentation, the loader and the figures of merit.
//!
//! The way of an image, one module per stop:
//!
//! | stop | module | what it does |
//! |---|---|---|
//! | file | [`idx`], [`mnist`], [`formats`] | bytes from disk or from inside the program, checked |
//! | or none | [`synth`] | people and vehicles that nobody has ever seen |
//! | list | [`Manifest`] | which file shows what, for what, by which camera |
//! | check | [`inspect`] | what is damaged, there twice, or on both sides of the test |
//! | picture | [`decode`] | JPEG, PNG and others as bytes, the right way up |
//! | set | [`ImageSet`], [`FileSet`] | labelled pictures in memory, or in their files until they are needed |
//! | parts | [`Official`], [`Parts`] | training, validation by construction, test |
//! | sound | [`audio`] | recordings and their log-mel spectrograms, for the same loader |
//! | numbers | [`Augment`], [`Normalise`], [`Images`] | varied by a key, then standardised |
//! | batches | [`Order`], [`Loader`] | which images together; made on other threads |
//! | figures | [`metrics`], [`contact_sheet`] | what came of it, and what was really shown |
//!
//! Everything random is a function of (seed, epoch, index): a run can be repeated, and resumed at
//! any batch, to the bit.
//!
//! ```
//! use data::{Augment, Images, Loader, Normalise, Order, mnist};
//!
//! # fn main() -> data::Result<()> {
//! let seed = 7;
//! // 55,000 images to train on, 5,000 to choose by, the 10,000 test images for the final figure.
//! let mnist = mnist::embedded().hold_out(5_000, seed)?;
//! assert_eq!([mnist.train.len(), mnist.validation.len(), mnist.test.len()], [55_000, 5_000, 10_000]);
//!
//! let normalise = Normalise::new(&[mnist::MEAN], &[mnist::STD])?;
//! let train = Images::new(mnist.train, normalise.clone())?.augmented(Augment::shift(2))?;
//! let train = Loader::new(train, Order::shuffled(128), seed)?;
//! assert_eq!(train.batches(), 429);
//! for batch in train.epoch(0).take(1) {
//!     let batch = batch?;
//!     assert_eq!(batch.shape, [128, 28, 28, 1]); // NHWC
//!     assert_eq!(batch.images.len(), 128 * 28 * 28);
//!     assert_eq!(batch.labels.len(), 128);
//! }
//!
//! // As they are, in order, the last batch as small as it comes.
//! let validation = Loader::evaluation(Images::new(mnist.validation, normalise)?, 1_000)?;
//! assert_eq!(validation.epoch(0).count(), 5);
//! # Ok(())
//! # }
//! ```
//!
//! A new kind of data implements [`Examples`] and inherits the rest.

pub mod audio;
pub mod augment;
pub mod decode;
mod error;
mod examples;
mod files;
pub mod formats;
pub mod idx;
pub mod inspect;
pub mod loader;
pub mod manifest;
pub mod metrics;
pub mod mnist;
mod normalise;
pub mod order;
mod set;
mod sheet;
mod split;
pub mod synth;

pub use augment::Augment;
pub use error::{Error, Result};
pub use examples::{Examples, Images, Pictures};
pub use files::{FileSet, Frame, Unreadable};
pub use loader::{Batch, Epoch, Loader, Mixed};
pub use manifest::Manifest;
pub use normalise::Normalise;
pub use order::{LastBatch, Order};
pub use set::ImageSet;
pub use sheet::{contact_sheet, tiled};
pub use split::{Official, Parts, hold_out};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
