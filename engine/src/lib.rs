//! Hypersphere's tensor engine.
pub mod par;
pub mod rng;
