//! Losses that compare a sample with the weights of all classes. One file each: the page about the
//! loss, its formula, its operation and what it is checked with.

pub mod adacos;
pub mod adaface;
pub mod arcface;
pub mod circle;
pub mod combined;
pub mod cosface;
pub mod cs_softmax;
pub mod curricularface;
pub mod d_softmax;
pub mod elasticface;
pub mod focal;
pub mod gaussian;
pub mod l_softmax;
pub mod magface;
pub mod mv_softmax;
pub mod normface;
pub mod p2sgrad;
pub mod so_softmax;
pub mod softmax;
pub mod sphereface;
pub mod sphereface2;
pub mod subcenter;
pub mod virtual_softmax;

use crate::advice::{AutoRule, auto_scale};
use crate::info::{Parameter, Range, Separation};
use std::f64::consts::FRAC_PI_2;

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

/// Label smoothing, as the parameters `smoothing` and `spread` set it.
#[derive(Clone, Copy, Debug)]
pub struct Smoothing {
    /// The part of the target that is spread.
    pub amount: f64,
    /// Whether it is spread over the other classes alone.
    pub over_others: bool,
}

impl Smoothing {
    pub(crate) fn new(values: &crate::Values) -> Self {
        Smoothing {
            amount: values.number("smoothing"),
            over_others: values.word("spread") == "others",
        }
    }

    /// ε of the target `(1 − ε) onehot(y) + ε/C`.
    ///
    /// The target `1 − a` for y and `a/(C − 1)` for each of the others is that with
    /// ε = a C/(C − 1).
    pub fn epsilon(&self, classes: usize) -> f64 {
        let classes = classes as f64;
        match self.over_others {
            true => self.amount * classes / (classes - 1.0),
            false => self.amount,
        }
    }
}

/// Over which classes label smoothing spreads its part.
pub(crate) const SPREAD: Parameter = Parameter::word(
    "spread",
    &["all", "others"],
    "what smoothing spreads over: all C classes (Szegedy et al.), or the C-1 others (fast-reid)",
);

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
    .separating(|_| Separation::Cosine)
}

/// A margin added to the target's angle.
pub(crate) const fn angle_margin(default: f64) -> Parameter {
    Parameter::angle(
        "m",
        default,
        Range::closed(0.0, FRAC_PI_2),
        "margin, added to the target's angle",
    )
    .separating(|_| Separation::Angle)
}

/// The scale of ArcFace: Fp(1)/s = cos m.
pub(crate) fn angle_scale(values: &crate::Values, classes: usize) -> (f64, String) {
    auto_scale(classes, values.number("m").cos())
}

/// The scale of NormFace and CosFace: Fp(1)/s = 1 − m.
pub(crate) fn cosine_scale(values: &crate::Values, classes: usize) -> (f64, String) {
    auto_scale(classes, 1.0 - values.number("m"))
}
