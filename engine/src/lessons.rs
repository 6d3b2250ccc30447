//! What happens beneath a training step, in four lessons: formula, picture, code.
//!
//! 1. [`reverse_mode`]: how one pass backwards gives every derivative, and how to check it.
//! 2. [`convolution`]: three products that are one; why the gradient of an image is a convolution.
//! 3. [`winograd`]: the same convolution with a quarter of the multiplications.
//! 4. [`batch_norm`]: a projection in disguise.
//!
//! A fifth, on margin losses on the sphere, is in the crate `losses`. Every snippet is compiled
//! and run with the tests.

#[doc = include_str!("lessons/reverse_mode.md")]
pub mod reverse_mode {}

#[doc = include_str!("lessons/convolution.md")]
pub mod convolution {}

#[doc = include_str!("lessons/winograd.md")]
pub mod winograd {}

#[doc = include_str!("lessons/batch_norm.md")]
pub mod batch_norm {}
