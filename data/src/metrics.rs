//! Figures of merit: what came of training, measured by stated rules.
//!
//! | question | module |
//! |---|---|
//! | is the class right? | this one: [`accuracy`], [`top_k_accuracy`], [`Confusion`], [`Calibration`] |
//! | are the right things found? | [`retrieval`], with the definitions in [`ranking`] |
//! | can the finding be improved afterwards? | [`rerank`], [`expand`] |
//! | same or different? | [`verification`] |
//! | do the embeddings fall into the classes? | [`clustering`] |
//! | how do the embeddings lie? | [`spread`] |
//!
//! Several of these figures go by one name and are computed in several ways. Each function says
//! which way it goes and where it comes from; those that disagree stand side by side in
//! [`ranking`].
//!
//! Every figure is a function of its input and, where it draws at random, of a seed: the number
//! of threads changes no bit. What is compared all with all is compared a block at a time, so
//! memory grows with the number of items and never with its square.
//!
//! Sizes that do not fit each other in memory are a mistake of the caller and panic where a
//! function says so; whatever can come out of a network or a file (a NaN, a query without a
//! match, a label that occurs once) is an error or is counted.

mod calibration;
mod classification;
pub mod clustering;
mod confusion;
pub mod expand;
pub mod ranking;
pub mod rerank;
pub mod retrieval;
pub mod scores;
pub mod search;
pub mod spread;
pub mod verification;

pub use calibration::{Bin, Calibration};
pub use classification::{MeanCosines, accuracy, mean_cosines, predictions, top_k_accuracy};
pub use confusion::Confusion;
pub use scores::{Embeddings, Similarity};
