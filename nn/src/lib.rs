//! Layers, networks, initialisers, optimizers and schedules.

pub mod checkpoint;
mod clip;
mod ema;
mod init;
mod module;
pub mod optim;
mod schedule;

pub use checkpoint::{Checkpoint, CheckpointError, Metadata};
pub use clip::{clip_grad_norm, clip_grad_value, grad_norm, grad_norms};
pub use ema::Ema;
pub use init::{Distribution, Fan, Init};
pub use module::{Module, Pass, Scope};
pub use optim::{Adam, Optimizer, OptimizerConfig, Sgd};
pub use schedule::Schedule;
