//! Losses that shape embeddings.
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
mod loss;
pub mod sml;
mod spec;
mod table;

pub use advice::{AutoRule, Note, NoteKind, adacos_scale, needed_gap, smallest_scale};
pub use batch::Batch;
pub use checks::{CHECKS, Check};
pub use criterion::{Criterion, Outcome, TermValue, expected_initial_loss};
pub use error::{Error, Result};
pub use evaluate::{Tensors, evaluate};
pub use info::{Family, Head, Kind, LossInfo, Parameter, Preset, Range, Status, Value, Values};
pub use loss::{Loss, Part};
pub use spec::{Spec, Term};
pub use table::{LOSSES, OPERATIONS, SURROGATES, find};
