//! The loops. They know slices and sizes, nothing of tensors that are tracked.

pub mod broadcast;
pub mod gemm;
pub mod reduce;
