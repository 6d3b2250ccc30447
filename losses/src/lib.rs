//! Losses that shape embeddings: what is close, what is far, and by how much.
//!
//! A loss is named by a [`Spec`], a text such as `so-softmax:m=0.3 + 0.1*center`. A [`Criterion`]
//! is a spec with the class weights it owns in a model:
//!
//! ```
//! use engine::{Params, Tensor, Var, rng::Key};
//! use losses::{Criterion, Spec};
//! use nn::{Pass, Scope};
//!
//! let spec: Spec = "so-softmax:lambda_p=auto,lambda_n=auto + 0.1*center".parse()?;
//! let mut params = Params::<f32>::new();
//! let mut scope = Scope::root(&mut params, 7);
//! let criterion = Criterion::new(&spec, &mut scope, 3, 16)?; // 3 classes, 16 dimensions
//! for note in criterion.notes() {
//!     println!("{note}"); // so-softmax: lambda_p = 30: at its optimum …
//! }
//!
//! let embeddings = Var::constant(Tensor::from_fn([4, 16], |i| (i as f32).sin()));
//! let mut pass = Pass::train(&params, Key::new(7));
//! let outcome = criterion.forward(&mut pass, &embeddings, &[0, 2, 1, 0])?;
//! outcome.loss.backward_into(&mut params)?;
//!
//! let weight = params.find("head.weight")?;
//! assert!(params.grad(weight).iter().any(|g| *g != 0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Predictions are made from [`Criterion::logits`], which know of no margin.
//!
//! Why they are as they are, with pictures: [`lesson`].
//!
//! # What there is
//!
//! | family | losses |
//! |---|---|
//! | inner products | `softmax` (with label smoothing), `focal`, `virtual-softmax`, `l-softmax` |
//! | cosines | `normface`, `sphereface`, `sphereface2`, `cosface`, `arcface`, `combined`, `subcenter-arcface`, `adacos`, `mv-softmax`, `curricularface`, `adaface`, `magface`, `elasticface`, `circle`, `d-softmax`, `p2sgrad`, `so-softmax`, `cs-softmax` |
//! | distributions | `gaussian` (L-GM) |
//! | distances | `sml`, `sml-joint` |
//! | pairs | `contrastive`, `triplet`, `lifted`, `n-pair`, `multi-similarity`, `circle-pair`, `supcon`, `nt-xent`, `margin`; most with a `memory` of past batches |
//! | proxies | `proxy-nca`, `proxy-anchor`, `soft-triple` |
//! | centres and lengths | `center`, `ring` |
//!
//! [`LOSSES`] is the table behind `loss list`: for each loss its formula, parameters with defaults
//! and ranges, source, what well-known implementations do otherwise, and whether the formula was
//! read in its source or reconstructed, with the reasoning. [`evaluate`] computes a loss and all
//! gradients from named tensors, for comparison with other implementations. [`CHECKS`] holds the
//! gradient of every loss, from the embeddings and the class weights to the value, to finite
//! differences; [`OPERATIONS`] does so for the operations they are made of.
//!
//! # How it is made
//!
//! Most class-level losses are one operation, [`frame::ClassLoss`], around a pair of functions,
//! a [`frame::Margin`]; the page [`frame`] explains it. Adding one takes
//!
//! 1. a file under `class/` with the pair and its derivatives, and the settings to check them
//!    with ([`frame::Margin`], or [`frame::SampleMargin`] if the pair knows one more number of the
//!    sample),
//! 2. in the same file its page and how it is made from parameter values ([`Loss`]),
//! 3. a line in `table.rs`, which also registers the operation, and a line in `checks.rs`.
//!
//! Losses between samples are one operation too, [`pairs::PairMatrix`], around a
//! [`pairs::PairLoss`].
//!
//! What a loss owns besides class weights it names in [`Loss::owns`]: parameters that are learned (a
//! scale, sub-centers) and state that follows a rule of its own (the scale of AdaCos, a memory of
//! past batches), which [`Batch::advance`] moves on in training passes. Both are part of the
//! model, under `head`, and saved with it. What it draws or selects without a gradient goes through
//! [`Batch::held`], so that another implementation can be given the same draw and finite
//! differences can hold it fixed.
//!
//! A loss that passes back something else than its derivative, on purpose, is registered in
//! [`SURROGATES`] and [`SURROGATE_CHECKS`] instead; a test sees to it that these do fail the
//! comparison.

mod advice;
mod batch;
pub mod center;
mod checks;
pub mod class;
mod criterion;
mod error;
mod evaluate;
pub mod frame;
mod info;
#[doc = include_str!("lesson.md")]
pub mod lesson {}
mod loss;
mod owned;
pub mod pairs;
mod profile;
pub mod proxy;
pub mod ring;
mod sampling;
pub mod sml;
mod spec;
mod suggest;
mod table;
mod values;

pub use advice::{
    AutoRule, Note, NoteKind, WidestAngle, adacos_scale, needed_gap, smallest_scale, widest_angle,
};
pub use batch::Batch;
pub use checks::{CHECKS, Check, SURROGATE_CHECKS};
pub use criterion::{Criterion, Outcome, Pull, TermValue, expected_initial_loss};
pub use error::{Error, Result};
pub use evaluate::{Tensors, evaluate};
pub use info::{Family, Head, Kind, LossInfo, Parameter, Preset, Range, Separation, Status};
pub use loss::{Loss, Part};
pub use owned::{Axis, Owned, OwnedKind};
pub use profile::{Profile, Response};
pub use spec::{Spec, Term};
pub use suggest::{Suggestion, suggest};
pub use table::{LOSSES, OPERATIONS, SURROGATES, find};
pub use values::{Value, Values};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
