//! Does the checker have teeth? Every operation's backward is broken on purpose, and the check of
//! its derivative must notice.

use super::{Case, Gen, Report, contract};
use crate::error::Result;
use crate::float::Float;
use crate::op::Op;
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
pub fn survivors<O: Op<N>, const N: usize>(seed: u64) -> Vec<Survivor> {
    let cases = O::cases(&mut Gen::new(seed, O::NAME));
    let inputs = (0..N).flat_map(|i| [Mutation::DropTerm(i), Mutation::SwapAxes(i)]);
    std::iter::once(Mutation::ScaleCotangent)
        .chain(inputs)
        .filter(|&mutation| !is_noticed(&cases, mutation, seed))
        .map(|mutation| Survivor {
            op: O::NAME,
            mutation,
        })
        .collect()
}

fn is_noticed<O: Op<N>, const N: usize>(
    cases: &[Case<O, N>],
    mutation: Mutation,
    seed: u64,
) -> bool {
    let mut changed = false;
    for (i, case) in cases.iter().enumerate() {
        let mutant = Case {
            name: case.name.clone(),
            op: Mutant {
                op: case.op.clone(),
                mutation,
            },
            inputs: case.inputs.clone(),
            step: case.step,
        };
        if !changes_something(case, &mutant, seed).unwrap_or(true) {
            continue;
        }
        changed = true;
        let mut report = Report::new(O::NAME);
        let rng = &mut Key::new(seed).named(O::NAME).at(i as u64).rng();
        let outcome = contract::derivative(&mutant, &mut report, rng);
        if outcome.is_err() || !report.failures.is_empty() {
            return true;
        }
    }
    !changed
}

fn changes_something<O: Op<N>, const N: usize>(
    case: &Case<O, N>,
    mutant: &Case<Mutant<O>, N>,
    seed: u64,
) -> Result<bool> {
    let (y, saved) = case.op.forward(case.inputs.each_ref())?;
    let (_, saved_again) = case.op.forward(case.inputs.each_ref())?;
    let mut rng = Key::new(seed).named("mutation").rng();
    let dy = Tensor::from_fn(y.shape(), |_| rng.normal());
    let bits = |dx: [Option<Tensor<f64>>; N]| dx.map(|dx| dx.map(|dx| dx.bits()));
    let honest = bits(case.op.backward(saved, dy.clone(), [true; N]));
    Ok(honest != bits(mutant.op.backward(saved_again, dy, [true; N])))
}

/// An operation with a broken backward.
#[derive(Clone, Debug)]
struct Mutant<O> {
    op: O,
    mutation: Mutation,
}

impl<O: Op<N>, const N: usize> Op<N> for Mutant<O> {
    const NAME: &'static str = O::NAME;
    type Saved<T: Float> = O::Saved<T>;

    fn forward<T: Float>(&self, x: [&Tensor<T>; N]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        self.op.forward(x)
    }

    fn backward<T: Float>(
        &self,
        saved: Self::Saved<T>,
        mut dy: Tensor<T>,
        need: [bool; N],
    ) -> [Option<Tensor<T>>; N] {
        if self.mutation == Mutation::ScaleCotangent {
            dy = dy.map(|d| d * T::of(1.001));
        }
        let mut gradients = self.op.backward(saved, dy, need);
        match self.mutation {
            Mutation::ScaleCotangent => {}
            Mutation::DropTerm(i) => gradients[i].iter_mut().for_each(drop_largest),
            Mutation::SwapAxes(i) => gradients[i].iter_mut().for_each(swap_axes),
        }
        gradients
    }

    fn cases(_: &mut Gen) -> Vec<Case<Self, N>> {
        Vec::new()
    }
}

fn drop_largest<T: Float>(gradient: &mut Tensor<T>) {
    let largest = gradient.data().iter().fold(T::ZERO, |m, g| m.max(g.abs()));
    if let Some(g) = gradient.data_mut().iter_mut().find(|g| g.abs() == largest) {
        *g = T::ZERO;
    }
}

fn swap_axes<T: Float>(gradient: &mut Tensor<T>) {
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
