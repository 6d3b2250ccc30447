//! The gradient checker: library code with a report, run on every registered operation.
//!
//! For an operation `y = f(x)` with Jacobian `J`, backward computes `Jᵀu` for a cotangent `u`.
//! For random directions `v` and random `u` (never ones: those hide the errors of softmax and of
//! batch-norm, whose gradients are orthogonal to ones), `⟨u, Jv⟩` by four-point central
//! differences must equal `⟨Jᵀu, v⟩` to a relative error of 1e-8, in `f64`. Small inputs are
//! compared element by element as well. [`Entry::check`](crate::op::Entry::check) also holds the operation
//! to the rest of the contract; see [`Kind`] for the list.
//!
//! A [`Table`] runs many checks and prints what they found. A crate with operations of its own
//! becomes a program that checks them in three lines: see [`Table::main`].

mod contract;
mod difference;
mod generate;
mod mutate;
mod subject;
mod table;

pub(crate) use contract::check;
pub use difference::{Function, check_function, check_params};
pub use generate::{Case, Gen, SIZES};
pub(crate) use mutate::survivors;
pub use mutate::{Mutation, Survivor};
pub use subject::{Run, Subject, subjects};
pub use table::{Options, Summary, Table};

use std::fmt;
use std::time::Duration;

/// The largest relative error that a derivative may have against finite differences, in `f64`.
pub const TOLERANCE: f64 = 1e-8;

/// What is checked of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `⟨u, Jv⟩` equals `⟨Jᵀu, v⟩`, and every element where there are few.
    Derivative,
    /// Every combination of wanted gradients gives what the full run gives, and nothing else.
    Needs,
    /// Backward is linear in `dy`, and neither direction changes the inputs.
    Linearity,
    /// `f32` agrees with `f64` to within rounding.
    Precision,
    /// The same bits on 1, 2, 3 and 8 threads, and twice in a row.
    Threads,
    /// Forward refused the case.
    Refused,
}

/// One violated check.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which check.
    pub kind: Kind,
    /// On which case.
    pub case: String,
    /// What was found, where, and what was expected.
    pub found: String,
}

/// The outcome of all checks of one operation, layer, loss or network.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of what was checked.
    pub name: String,
    /// The number of cases.
    pub cases: usize,
    /// The worst relative error of a derivative.
    pub worst: f64,
    /// Where that was: case, input, element.
    pub at: String,
    /// What failed.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub time: Duration,
}

impl Report {
    fn new(name: &str) -> Self {
        Report {
            name: name.to_string(),
            cases: 0,
            worst: 0.0,
            at: String::new(),
            failures: Vec::new(),
            time: Duration::ZERO,
        }
    }

    /// Whether nothing failed, and something was checked.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.cases > 0
    }

    fn fail(&mut self, kind: Kind, case: &str, found: String) {
        self.failures.push(Failure {
            kind,
            case: case.to_string(),
            found,
        });
    }

    fn derivative(&mut self, case: &str, worst: difference::Worst) {
        let failed = contract::exceeds(worst.error, TOLERANCE);
        if failed || worst.error > self.worst || self.at.is_empty() {
            self.worst = worst.error;
            self.at = format!("{case}, {}", worst.at);
        }
        if failed {
            self.fail(Kind::Derivative, case, worst.to_string());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "ok" } else { "FAILED" };
        write!(
            f,
            "{:<24} {:>3} cases  worst {:.1e}  {verdict}",
            self.name, self.cases, self.worst
        )?;
        for failure in &self.failures {
            let Failure { kind, case, found } = failure;
            write!(f, "\n    {kind:?} on {case}: {found}")?;
        }
        Ok(())
    }
}
