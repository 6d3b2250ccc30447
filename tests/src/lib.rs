//! What crosses crates is tested in this one's `tests/`. The library itself holds the README, whose
//! examples are compiled and run as documentation tests.
#![doc = include_str!("../../README.md")]

pub mod layouts;
pub mod mat;
pub mod runs;
