//! What is written down about a loss: its formula, its parameters, its source, and how sure we are.

use crate::advice::AutoRule;
use crate::error::{Error, Result, closest};
use crate::values::{Value, Values};
use std::f64::consts::PI;
use std::fmt;

/// The page of one loss. `Display` prints it in full.
#[derive(Debug)]
pub struct LossInfo {
    /// The name in a spec.
    pub name: &'static str,
    /// What it compares.
    pub family: Family,
    /// One line.
    pub about: &'static str,
    /// The definition, as plain text.
    pub formula: &'static str,
    /// The parameters, in the order they are listed.
    pub parameters: &'static [Parameter],
    /// Named sets of parameter values: `name:preset=NAME`.
    pub presets: &'static [Preset],
    /// Its class weights.
    pub head: Head,
    /// What well-known implementations do otherwise, by name, and other things worth knowing.
    /// Empty if there is nothing to say.
    pub remarks: &'static str,
    /// The paper.
    pub source: &'static str,
    /// How sure the formula is.
    pub status: Status,
}

/// What a loss compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Samples with the weights of classes.
    Class,
    /// Samples with centres that are averages, or their lengths with a number.
    Center,
    /// Samples of a batch with each other, in pairs or triplets.
    Pair,
    /// Samples with proxies: learned points that stand for classes.
    Proxy,
    /// Distances selected from a batch.
    Distance,
    /// A sum of others.
    Joint,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Family::Class => "class",
            Family::Center => "center",
            Family::Pair => "pair",
            Family::Proxy => "proxy",
            Family::Distance => "distance",
            Family::Joint => "joint",
        })
    }
}

impl Family {
    /// Whether samples are compared with each other, or with averages of them, rather than with
    /// learned class weights: what a network with a neck trains before it. SML is not among them:
    /// it is defined on the hypersphere that the class weights are on.
    pub fn is_of_samples(self) -> bool {
        matches!(self, Family::Center | Family::Pair)
    }

    /// What losses of the family compare.
    pub fn about(self) -> &'static str {
        match self {
            Family::Class => "samples with the weights of classes",
            Family::Center => "samples with centres that are averages, or their lengths",
            Family::Pair => "samples of a batch with each other",
            Family::Proxy => "samples with proxies, learned points that stand for classes",
            Family::Distance => "distances selected from a batch",
            Family::Joint => "a sum of others",
        }
    }
}

/// The class weights of a loss. Losses of a spec with the same kind share them; what else a loss
/// owns is named by [`Loss::owns`](crate::Loss::owns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `[C, D]`, compared by their inner product with the embedding, and a bias `[C]`.
    Linear,
    /// The same without a bias.
    Inner,
    /// `[C, D]`, compared by their cosine with the embedding.
    Angular,
    /// None.
    None,
}

impl Head {
    /// Whether class weights are compared by their inner product.
    pub fn is_linear(self) -> bool {
        matches!(self, Head::Linear | Head::Inner)
    }
}

/// How sure the formula of a loss is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Read in the paper or its official code.
    Known,
    /// The source could not be read in full; the text is the reasoning.
    Reconstructed(&'static str),
}

/// A named set of parameter values.
#[derive(Debug)]
pub struct Preset {
    /// The name.
    pub name: &'static str,
    /// Where the values are from.
    pub about: &'static str,
    /// Keys and values, as in a spec.
    pub settings: &'static [(&'static str, &'static str)],
}

/// One parameter of a loss.
#[derive(Debug)]
pub struct Parameter {
    /// The name in a spec.
    pub key: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// The values it can take.
    pub kind: Kind,
    /// The value it has if not given.
    pub default: Value,
    /// How `auto` chooses it, where it can be chosen.
    pub auto: Option<AutoRule>,
    /// What it keeps the classes apart by, if it is such a margin.
    pub separation: Option<fn(&Values) -> Separation>,
    /// The value at which it keeps nothing apart, if it is a margin: where a warm-up begins.
    /// `None` while that hangs on a value that is left to `auto`.
    pub no_margin: Option<fn(&Values) -> Option<f64>>,
}

/// What a margin is added to or subtracted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separation {
    /// The cosine of the target: it must exceed every other by the margin.
    Cosine,
    /// The angle of the target: it must fall below every other by the margin, in radians.
    Angle,
}

/// The values a parameter can take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A number.
    Number(Range),
    /// A whole number.
    Whole(Range),
    /// An angle in radians; a spec may also say `28.6deg`.
    Angle(Range),
    /// `true` or `false`.
    Flag,
    /// One of some words.
    Word(&'static [&'static str]),
}

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    low: f64,
    high: f64,
    low_open: bool,
    high_open: bool,
}

impl Range {
    /// `low <= x <= high`.
    pub const fn closed(low: f64, high: f64) -> Self {
        Range {
            low,
            high,
            low_open: false,
            high_open: false,
        }
    }

    /// `low <= x < high`.
    pub const fn below(low: f64, high: f64) -> Self {
        Range {
            high_open: true,
            ..Self::closed(low, high)
        }
    }

    /// `low < x < high`.
    pub const fn open(low: f64, high: f64) -> Self {
        Range {
            low_open: true,
            ..Self::below(low, high)
        }
    }

    /// `x > low`.
    pub const fn above(low: f64) -> Self {
        Range {
            low_open: true,
            ..Self::closed(low, f64::INFINITY)
        }
    }

    /// `x >= low`.
    pub const fn from(low: f64) -> Self {
        Self::closed(low, f64::INFINITY)
    }

    /// Whether `x` is a finite number inside.
    pub fn contains(&self, x: f64) -> bool {
        let above = if self.low_open {
            x > self.low
        } else {
            x >= self.low
        };
        let below = if self.high_open {
            x < self.high
        } else {
            x <= self.high
        };
        x.is_finite() && above && below
    }
}

impl Range {
    /// The condition on a number called `name`: `0 <= m < 2`.
    pub fn on(&self, name: &str) -> String {
        let sign = |open| if open { "<" } else { "<=" };
        let number = |x: f64| (x * 1e4).round() / 1e4;
        let (low, high) = (number(self.low), number(self.high));
        if self.high.is_finite() {
            let (left, right) = (sign(self.low_open), sign(self.high_open));
            format!("{low} {left} {name} {right} {high}")
        } else {
            let sign = if self.low_open { ">" } else { ">=" };
            format!("{name} {sign} {low}")
        }
    }
}

impl Parameter {
    /// The values it can take, as text.
    pub fn range(&self) -> String {
        match self.kind {
            Kind::Number(range) => range.on(self.key),
            Kind::Whole(range) => format!("whole, {}", range.on(self.key)),
            Kind::Angle(range) => format!("radians, {}; or 28.6deg", range.on(self.key)),
            Kind::Flag => "true, false".into(),
            Kind::Word(words) => words.join(", "),
        }
    }
}

impl Parameter {
    const fn new(key: &'static str, meaning: &'static str, kind: Kind, default: Value) -> Self {
        Parameter {
            key,
            meaning,
            kind,
            default,
            auto: None,
            separation: None,
            no_margin: None,
        }
    }

    /// A number.
    pub const fn number(
        key: &'static str,
        default: f64,
        range: Range,
        meaning: &'static str,
    ) -> Self {
        Self::new(key, meaning, Kind::Number(range), Value::Number(default))
    }

    /// A whole number.
    pub const fn whole(
        key: &'static str,
        default: f64,
        range: Range,
        meaning: &'static str,
    ) -> Self {
        Parameter {
            kind: Kind::Whole(range),
            ..Self::number(key, default, range, meaning)
        }
    }

    /// An angle, in radians.
    pub const fn angle(
        key: &'static str,
        default: f64,
        range: Range,
        meaning: &'static str,
    ) -> Self {
        Parameter {
            kind: Kind::Angle(range),
            ..Self::number(key, default, range, meaning)
        }
    }

    /// `true` or `false`, false unless given.
    pub const fn flag(key: &'static str, meaning: &'static str) -> Self {
        Self::new(key, meaning, Kind::Flag, Value::Flag(false))
    }

    /// One of some words, the first unless given.
    pub const fn word(
        key: &'static str,
        words: &'static [&'static str],
        meaning: &'static str,
    ) -> Self {
        Self::new(key, meaning, Kind::Word(words), Value::Word(words[0]))
    }

    /// The same parameter with a rule for `auto`.
    pub const fn or_auto(self, rule: AutoRule) -> Self {
        Parameter {
            auto: Some(rule),
            ..self
        }
    }

    /// The same parameter as a margin between classes, of which 0 is none.
    pub const fn separating(self, by: fn(&Values) -> Separation) -> Self {
        Parameter {
            separation: Some(by),
            ..self.warming_from(|_| Some(0.0))
        }
    }

    /// The same parameter as one that makes the loss harder the farther it is from this value.
    pub const fn warming_from(self, no_margin: fn(&Values) -> Option<f64>) -> Self {
        Parameter {
            no_margin: Some(no_margin),
            ..self
        }
    }

    /// The same parameter without a default: a loss asks for it with [`Values::given`].
    pub const fn optional(self) -> Self {
        Parameter {
            default: Value::Unset,
            ..self
        }
    }

    /// Reads a value.
    pub(crate) fn parse(&self, loss: &'static str, text: &str) -> Result<Value> {
        let bad = |reason: String| Error::BadValue {
            loss,
            key: self.key,
            value: text.to_string(),
            reason,
        };
        if text == "auto" {
            return match self.auto {
                Some(_) => Ok(Value::Auto),
                None => Err(bad(format!(
                    "cannot be chosen automatically; {}",
                    self.range()
                ))),
            };
        }
        match self.kind {
            Kind::Flag => match text {
                "true" => Ok(Value::Flag(true)),
                "false" => Ok(Value::Flag(false)),
                _ => Err(bad("is `true` or `false`".into())),
            },
            Kind::Word(words) => match words.iter().find(|&&w| w == text) {
                Some(word) => Ok(Value::Word(word)),
                None => Err(bad(format!("is one of {}", words.join(", ")))),
            },
            Kind::Number(range) => self.in_range(number(text).map_err(&bad)?, range, bad),
            Kind::Whole(range) => match number(text).map_err(&bad)? {
                x if x.fract() != 0.0 => Err(bad("must be a whole number".into())),
                x => self.in_range(x, range, bad),
            },
            Kind::Angle(range) => match text.strip_suffix("deg") {
                Some(degrees) => {
                    self.in_range(number(degrees).map_err(&bad)? * PI / 180.0, range, bad)
                }
                None => self.in_range(number(text).map_err(&bad)?, range, bad),
            },
        }
    }

    fn in_range(&self, x: f64, range: Range, bad: impl Fn(String) -> Error) -> Result<Value> {
        if range.contains(x) {
            return Ok(Value::Number(x));
        }
        let mut reason = format!("out of range: {}", range.on(self.key));
        if let Kind::Angle(_) = self.kind {
            reason += " in radians";
            let radians = x * PI / 180.0;
            if range.contains(radians) {
                reason += &format!(
                    "; if these are degrees, write {0}={radians:.4} or {0}={x}deg",
                    self.key
                );
            }
        } else if self.key == "m" && x > 1.0 && x <= 180.0 {
            reason += "; this margin is a difference of cosines, not an angle";
        }
        Err(bad(reason))
    }
}

fn number(text: &str) -> std::result::Result<f64, String> {
    text.trim()
        .parse()
        .map_err(|_| "is not a number".to_string())
}

impl LossInfo {
    /// The parameter of this name.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], which lists the keys with their defaults.
    pub fn parameter(&self, key: &str) -> Result<&'static Parameter> {
        let found = self.parameters.iter().find(|p| p.key == key);
        found.ok_or_else(|| {
            let known: Vec<_> = self
                .parameters
                .iter()
                .map(|p| format!("{}={}", p.key, p.default))
                .collect();
            Error::UnknownKey {
                loss: self.name,
                key: key.to_string(),
                suggestion: closest(key, self.parameters.iter().map(|p| p.key)),
                known: if known.is_empty() {
                    "none".into()
                } else {
                    known.join(", ")
                },
            }
        })
    }
}

impl fmt::Display for LossInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\n", self.name, self.about)?;
        for line in self.formula.lines() {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "\nFamily\n    {}: {}", self.family, self.family.about())?;
        if !self.parameters.is_empty() {
            writeln!(f, "\nParameters")?;
        }
        for p in self.parameters {
            let auto = if p.auto.is_some() { " or auto" } else { "" };
            writeln!(
                f,
                "    {:<14} {:<8} {} ({}{auto})",
                p.key,
                p.default.to_string(),
                p.meaning,
                p.range()
            )?;
        }
        if !self.presets.is_empty() {
            writeln!(f, "\nPresets")?;
        }
        for p in self.presets {
            let settings: Vec<_> = p.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
            writeln!(
                f,
                "    preset={:<10} {}: {}",
                p.name,
                settings.join(","),
                p.about
            )?;
        }
        if !self.remarks.is_empty() {
            writeln!(f, "\nRemarks")?;
            for line in self.remarks.lines() {
                writeln!(f, "    {line}")?;
            }
        }
        writeln!(f, "\nSource\n    {}", self.source)?;
        match self.status {
            Status::Known => Ok(()),
            Status::Reconstructed(why) => {
                writeln!(f, "\nReconstructed")?;
                why.lines().try_for_each(|line| writeln!(f, "    {line}"))
            }
        }
    }
}
