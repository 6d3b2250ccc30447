//! The loops. They know slices and sizes, nothing of tensors that are tracked.

pub mod broadcast;
pub mod conv;
pub mod depthwise;
pub mod direct;
pub mod elementary;
pub mod gemm;
pub mod norm;
pub mod peak;
pub mod reduce;
pub mod simd;
pub mod tile;
pub mod transform;
pub mod winograd;
