//! Layers, networks, initialisers, optimizers and schedules.

mod init;
mod module;

pub use init::Init;
pub use module::{Module, Pass, Scope};
