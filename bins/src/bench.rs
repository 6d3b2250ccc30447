//! Measuring: the processor's ceilings, single operations, and whole training steps.
//!
//! Machines differ and are noisy, so every figure stands beside the peak that the same run
//! measured, and a time is the median of many with the spread beside it.

pub mod ops;
pub mod step;
pub mod timing;
