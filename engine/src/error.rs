//! Errors as data: what was called, with what, and what to do about it.

use crate::shape::Shape;
use std::fmt;

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// One operand of a failed operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Its part in the operation: `"input"`, `"weight"`.
    pub role: &'static str,
    /// The meaning of its axes: `"[N, H, W, C]"`.
    pub layout: &'static str,
    /// The shape it has.
    pub shape: Shape,
    /// The parameter it is, where it is one.
    pub name: Option<String>,
}

/// Everything that can go wrong inside the engine.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The operands of an operation do not fit together.
    #[error("{0}")]
    Operands(Box<BadOperands>),

    /// A tensor was to be made of the wrong number of elements.
    #[error(
        "a tensor of shape {shape} has {} elements, but {found} were given",
        shape.elements()
    )]
    Elements {
        /// The shape asked for.
        shape: Shape,
        /// The number of elements given.
        found: usize,
    },

    /// `backward` was called on something other than a single number.
    #[error(
        "backward starts from a single number, but this value has shape {shape}; \
         reduce it first (`.mean()`, `.sum()`), or call `backward_from` with a cotangent"
    )]
    NotScalar {
        /// The shape it was called on.
        shape: Shape,
    },

    /// `backward` was called on a value that no parameter or leaf leads to.
    #[error(
        "nothing to differentiate: no tracked leaf or trainable parameter leads to this value \
         (was the network run in evaluation mode, or the value detached?)"
    )]
    NotTracked,

    /// `backward` met a node whose saved values an earlier `backward` has used up.
    #[error(
        "the graph behind this value was already consumed by an earlier backward (at `{op}`); \
         run the forward pass again"
    )]
    Consumed {
        /// The operation that was met.
        op: &'static str,
    },

    /// No parameter or buffer has this name.
    #[error("no {kind} is called `{name}`; there are: {known}")]
    UnknownName {
        /// `"parameter"` or `"buffer"`.
        kind: &'static str,
        /// The name looked for.
        name: String,
        /// The names that exist, joined by commas.
        known: String,
    },
}

/// The text of a shape error: the operation, its operands, the reason and a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOperands {
    /// The operation.
    pub op: &'static str,
    /// Its operands, in order.
    pub operands: Vec<Operand>,
    /// What does not fit.
    pub reason: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

impl BadOperands {
    /// Starts the description of a failure of `op`.
    pub fn new(op: &'static str, reason: impl Into<String>) -> Self {
        BadOperands {
            op,
            operands: Vec::new(),
            reason: reason.into(),
            hint: None,
        }
    }

    /// Adds an operand: its role, the meaning of its axes, its shape.
    pub fn operand(mut self, role: &'static str, layout: &'static str, shape: Shape) -> Self {
        self.operands.push(Operand {
            role,
            layout,
            shape,
            name: None,
        });
        self
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<BadOperands> for Error {
    fn from(bad: BadOperands) -> Self {
        Error::Operands(Box::new(bad))
    }
}

impl fmt::Display for BadOperands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.reason)?;
        for o in &self.operands {
            write!(f, "\n  {:<10} {} {}", o.role, o.shape, o.layout)?;
            if let Some(name) = &o.name {
                write!(f, " (`{name}`)")?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
