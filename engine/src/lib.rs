//! Hypersphere's tensor engine.
pub mod error;
mod float;
pub mod gradcheck;
mod kernels;
pub mod op;
pub mod ops;
pub mod par;
pub mod params;
pub mod pool;
pub mod rng;
mod shape;
mod tensor;
mod var;

pub use error::{Error, Result};
pub use float::{Float, Strided};
pub use op::{Op, Registered};
pub use ops::OPERATIONS;
pub use params::{BufferId, Param, ParamId, Params};
pub use shape::{MAX_RANK, Shape};
pub use tensor::Tensor;
pub use var::{Gradients, Var, apply, apply_and_look};
