//! Losses that compare a sample with the weights of all classes. One file each: the page about the
//! loss, its formula, its operation and what it is checked with.

pub mod arcface;
pub mod cosface;
pub mod cs_softmax;
pub mod normface;
pub mod so_softmax;
pub mod softmax;
pub mod sphereface;

use crate::advice::{AutoRule, auto_scale};
use crate::info::{Parameter, Range};

/// The factor on the learning rate of the class weights, a parameter of every loss that has them.
pub(crate) const HEAD_LR_MULT: Parameter = Parameter::number(
    "head_lr_mult",
    1.0,
    Range::above(0.0),
    "factor on the learning rate of the class weights, 1 if not given",
)
.optional();

/// The scale of the cosines.
pub(crate) const fn scale(default: f64, rule: AutoRule) -> Parameter {
    Parameter::number("s", default, Range::above(0.0), "scale of the cosines").or_auto(rule)
}

/// Label smoothing.
pub(crate) const SMOOTHING: Parameter = Parameter::number(
    "smoothing",
    0.0,
    Range::below(0.0, 1.0),
    "part of the target spread evenly over all classes",
);

/// A margin on the target's cosine.
pub(crate) const fn cosine_margin(default: f64) -> Parameter {
    Parameter::number(
        "m",
        default,
        Range::below(0.0, 2.0),
        "margin, subtracted from the target's cosine",
    )
}

/// The scale of NormFace and CosFace: Fp(1)/s = 1 − m.
pub(crate) fn cosine_scale(values: &crate::Values, classes: usize) -> (f64, String) {
    auto_scale(classes, 1.0 - values.number("m"))
}
