//! Does the checker have teeth? Every operation's backward is broken on purpose, and the check of
//! its derivative must notice.

use super::subject::{Run, Subject};
use super::{Report, contract};
use crate::error::Result;
use crate::rng::Key;
use crate::tensor::Tensor;

/// A way to break a backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The incoming gradient is scaled by 1.001.
    ScaleCotangent,
    /// The largest element of the gradient of this input is lost.
    DropTerm(usize),
    /// The last two axes of the gradient of this input are exchanged (a vector is reversed).
    SwapAxes(usize),
}

/// A mutation that no case of an operation exposed.
#[derive(Clone, Copy, Debug)]
pub struct Survivor {
    /// The operation.
    pub op: &'static str,
    /// How its backward was broken.
    pub mutation: Mutation,
}

/// The mutations of an operation's backward that the derivative check does not notice. One that
/// changes no gradient on any case (exchanging the axes of a constant) does not count.
pub(crate) fn survivors(
    op: &'static str,
    arity: usize,
    cases: &[Box<dyn Subject + Sync>],
    seed: u64,
) -> Vec<Survivor> {
    let inputs = (0..arity).flat_map(|i| [Mutation::DropTerm(i), Mutation::SwapAxes(i)]);
    std::iter::once(Mutation::ScaleCotangent)
        .chain(inputs)
        .filter(|&mutation| !is_noticed(op, cases, mutation, seed))
        .map(|mutation| Survivor { op, mutation })
        .collect()
}

fn is_noticed(op: &str, cases: &[Box<dyn Subject + Sync>], mutation: Mutation, seed: u64) -> bool {
    let mut changed = false;
    for (i, case) in cases.iter().enumerate() {
        let case: &dyn Subject = &**case;
        let mutant = Mutant { case, mutation };
        let rng = &mut Key::new(seed).named(op).at(i as u64).rng();
        if !changes_something(&mutant, seed).unwrap_or(true) {
            continue;
        }
        changed = true;
        let mut report = Report::new(op);
        let outcome = contract::derivative(&mutant, &mut report, rng);
        if outcome.is_err() || !report.failures.is_empty() {
            return true;
        }
    }
    !changed
}

fn changes_something(mutant: &Mutant<'_>, seed: u64) -> Result<bool> {
    let case = mutant.case;
    let dy = contract::cotangent(case, &mut Key::new(seed).named("mutation").rng())?;
    let gradients = |subject: &dyn Subject| -> Result<Vec<Option<Vec<u64>>>> {
        let (_, dx) = subject.run(case.inputs(), &dy, &contract::all(case))?;
        Ok(dx.iter().map(|dx| dx.as_ref().map(Tensor::bits)).collect())
    };
    Ok(gradients(case)? != gradients(mutant)?)
}

/// A case whose operation has a broken backward.
struct Mutant<'a> {
    case: &'a dyn Subject,
    mutation: Mutation,
}

impl Subject for Mutant<'_> {
    fn name(&self) -> &str {
        self.case.name()
    }

    fn step(&self) -> f64 {
        self.case.step()
    }

    fn inputs(&self) -> &[Tensor<f64>] {
        self.case.inputs()
    }

    fn value(&self, x: &[Tensor<f64>]) -> Result<Tensor<f64>> {
        self.case.value(x)
    }

    fn run(&self, x: &[Tensor<f64>], dy: &Tensor<f64>, need: &[bool]) -> Result<Run<f64>> {
        let scale = match self.mutation {
            Mutation::ScaleCotangent => 1.001,
            _ => 1.0,
        };
        let (y, mut gradients) = self.case.run(x, &dy.map(|d| d * scale), need)?;
        match self.mutation {
            Mutation::ScaleCotangent => {}
            Mutation::DropTerm(i) => gradients[i].iter_mut().for_each(drop_largest),
            Mutation::SwapAxes(i) => gradients[i].iter_mut().for_each(swap_axes),
        }
        Ok((y, gradients))
    }

    fn run_f32(&self, x: &[Tensor<f32>], dy: &Tensor<f32>, need: &[bool]) -> Result<Run<f32>> {
        self.case.run_f32(x, dy, need)
    }
}

fn drop_largest(gradient: &mut Tensor<f64>) {
    let largest = gradient.data().iter().fold(0.0, |m: f64, g| m.max(g.abs()));
    if let Some(g) = gradient.data_mut().iter_mut().find(|g| g.abs() == largest) {
        *g = 0.0;
    }
}

fn swap_axes(gradient: &mut Tensor<f64>) {
    let shape = gradient.shape();
    let x = gradient.data().to_vec();
    if let [.., a, b] = *shape {
        // The elements of the transposed matrix, in its order, under the old shape.
        *gradient = Tensor::from_fn(shape, |i| {
            let (matrix, t) = (i / (a * b) * (a * b), i % (a * b));
            x[matrix + t % a * b + t / a]
        });
    }
    if shape.rank() < 2 || gradient.data() == x {
        *gradient = Tensor::from_fn(shape, |i| x[x.len() - 1 - i]);
    }
}
