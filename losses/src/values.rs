//! The values that the parameters of a loss have.

use crate::info::{LossInfo, Parameter};
use std::fmt;

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Flag(bool),
    /// A word.
    Word(&'static str),
    /// To be chosen when the number of classes is known.
    Auto,
    /// Not given, and the loss does without.
    Unset,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(x) => write!(f, "{x}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Word(word) => write!(f, "{word}"),
            Value::Auto => write!(f, "auto"),
            Value::Unset => write!(f, "none"),
        }
    }
}

/// The values of all parameters of one loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    info: &'static str,
    values: Vec<(&'static str, Value)>,
}

impl Values {
    pub(crate) fn new(info: &LossInfo, given: &[(&'static Parameter, Value)]) -> Self {
        let value = |p: &Parameter| {
            let last = given.iter().rev().find(|(q, _)| q.key == p.key);
            (p.key, last.map_or(p.default, |(_, v)| *v))
        };
        Values {
            info: info.name,
            values: info.parameters.iter().map(value).collect(),
        }
    }

    /// The value of a parameter.
    ///
    /// # Panics
    /// If the loss has no such parameter.
    pub fn get(&self, key: &str) -> Value {
        let found = self.values.iter().find(|(k, _)| *k == key);
        found
            .unwrap_or_else(|| panic!("`{}` has no parameter `{key}`", self.info))
            .1
    }

    /// A number; `None` if it is neither given nor has a default, or is left to `auto`.
    ///
    /// # Panics
    /// If the loss has no such parameter.
    pub fn given(&self, key: &str) -> Option<f64> {
        match self.get(key) {
            Value::Number(x) => Some(x),
            _ => None,
        }
    }

    /// A number.
    ///
    /// # Panics
    /// If the loss has no such numeric parameter, or it is left to `auto`.
    pub fn number(&self, key: &str) -> f64 {
        self.given(key)
            .unwrap_or_else(|| panic!("`{}`: {key} is no number", self.info))
    }

    /// A flag.
    ///
    /// # Panics
    /// If the loss has no such flag.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key) == Value::Flag(true)
    }

    /// A word.
    ///
    /// # Panics
    /// If the loss has no such parameter.
    pub fn word(&self, key: &str) -> &'static str {
        match self.get(key) {
            Value::Word(word) => word,
            _ => panic!("`{}`: {key} is no word", self.info),
        }
    }

    /// Keys and values, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.values.iter().copied()
    }
}
