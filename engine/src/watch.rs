//! Where the first number that is not finite comes from.
//!
//! A loss that is NaN says nothing about its origin. Repeating the step under a watch does: the
//! operations run in the same order on the same numbers, and the first whose result is not finite
//! is the one to look at.
//!
//! ```
//! use engine::{Params, Tensor, profile::Direction, watch};
//! let mut params = Params::new();
//! let w = params.add("fc.weight", Tensor::new([2], &[0.0, 1.0_f32]));
//! let (loss, found) = watch::first_non_finite(|| params.var(w).ln().sum());
//! assert!(loss.value().item().is_infinite());
//! let found = found.unwrap();
//! assert_eq!((found.op, found.direction), ("ln", Direction::Forward));
//! assert_eq!(found.parameter.as_deref(), Some("fc.weight"));
//! ```

use crate::float::Float;
use crate::profile::Direction;
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::fmt;

/// An operation whose result is not finite although those before it were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// The operation's name.
    pub op: &'static str,
    /// Whether it was its output, or a gradient that it handed on.
    pub direction: Direction,
    /// The parameter it worked on, or the last one that any operation before it worked on.
    pub parameter: Option<String>,
    /// Whether the parameter is its own operand.
    pub is_operand: bool,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.direction {
            Direction::Forward => "output",
            Direction::Backward => "gradient",
        };
        write!(f, "the {what} of `{}`", self.op)?;
        match (&self.parameter, self.is_operand) {
            (Some(name), true) => write!(f, " with the parameter `{name}`"),
            (Some(name), false) => write!(f, ", next after the parameter `{name}`"),
            (None, _) => Ok(()),
        }
    }
}

/// What a watch has seen so far.
#[derive(Default)]
struct Seen {
    last: Option<String>,
    culprit: Option<Culprit>,
}

thread_local! {
    static WATCH: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// Runs `f` and finds the first operation, among those it applies and differentiates on this
/// thread, whose result has a number that is not finite. Every result is read once more, so this
/// is for looking back and not for every step.
pub fn first_non_finite<R>(f: impl FnOnce() -> R) -> (R, Option<Culprit>) {
    WATCH.set(Some(Seen::default()));
    let result = f();
    let seen = WATCH.take();
    (result, seen.and_then(|seen| seen.culprit))
}

/// Tells the watch, if there is one, of a result and of the parameter among the operands.
pub(crate) fn look<T: Float>(
    op: &'static str,
    direction: Direction,
    result: &Tensor<T>,
    parameter: impl FnOnce() -> Option<String>,
) {
    WATCH.with_borrow_mut(|watch| {
        let Some(seen) = watch else { return };
        if seen.culprit.is_some() {
            return;
        }
        let operand = parameter();
        let is_operand = operand.is_some();
        if is_operand {
            seen.last = operand;
        }
        if result.data().iter().any(|x| !x.is_finite()) {
            seen.culprit = Some(Culprit {
                op,
                direction,
                parameter: seen.last.clone(),
                is_operand,
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    /// `sqrt` at 0 is finite, its derivative is not.
    #[test]
    fn a_gradient_that_breaks_is_found_on_the_way_back() {
        let mut params = Params::<f64>::new();
        let a = params.add("a", Tensor::new([2], &[1.0, 4.0]));
        let b = params.add("b", Tensor::new([2], &[1.0, 0.0]));
        let step = |params: &mut Params<f64>| {
            let product = &params.var(a) * &params.var(b);
            let loss = product.sqrt().sum();
            loss.backward_into(params).map(drop).unwrap();
        };
        let ((), found) = first_non_finite(|| step(&mut params));
        let found = found.expect("a derivative of 1/0");
        assert_eq!((found.op, found.direction), ("sqrt", Direction::Backward));
        assert!(!found.is_operand, "{found}");
        assert!(found.to_string().contains("gradient of `sqrt`"), "{found}");

        params.set(b, &Tensor::new([2], &[1.0, 9.0]));
        let ((), found) = first_non_finite(|| step(&mut params));
        assert_eq!(found, None);
    }

    #[test]
    fn the_first_of_many_is_named_with_its_parameter() {
        let mut params = Params::<f32>::new();
        let fine = params.add("fine", Tensor::full([2], 2.0));
        let broken = params.add("broken", Tensor::new([2], &[1.0, f32::NAN]));
        let (_, found) = first_non_finite(|| {
            let x = params.var(fine).square();
            (&x * &params.var(broken)).exp().sum()
        });
        let found = found.unwrap();
        assert_eq!((found.op, found.is_operand), ("mul", true));
        assert_eq!(found.parameter.as_deref(), Some("broken"));
        // Without a watch nothing is remembered from one step to the next.
        let (_, found) = first_non_finite(|| params.var(fine).square());
        assert_eq!(found, None);
    }
}
