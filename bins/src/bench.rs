//! Measuring: the processor's ceilings, single operations, whole training steps, and the way of the
//! data to them.
//!
//! Machines differ and are noisy, so every figure stands beside the peak that the same run
//! measured, and a time is the median of many with the spread beside it.

pub mod feed;
pub mod ops;
pub mod step;
pub mod timing;
