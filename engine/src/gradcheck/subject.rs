//! A case with its operation's type forgotten.
//!
//! All that is generic about checking an operation is to run it. The checks themselves are
//! compiled once, not once for each of some hundred operations.

use super::{Case, Gen};
use crate::error::Result;
use crate::float::Float;
use crate::op::Op;
use crate::tensor::Tensor;

/// A value, and the gradients that were wanted.
pub type Run<T> = (Tensor<T>, Vec<Option<Tensor<T>>>);

/// Something to check: an operation with its settings, at given inputs.
pub trait Subject {
    /// What is special about the case.
    fn name(&self) -> &str;
    /// The step of the finite differences.
    fn step(&self) -> f64;
    /// The inputs.
    fn inputs(&self) -> &[Tensor<f64>];
    /// The value.
    ///
    /// # Errors
    /// Those of the operation.
    fn value(&self, x: &[Tensor<f64>]) -> Result<Tensor<f64>>;
    /// Forward and backward in `f64`.
    ///
    /// # Errors
    /// Those of the operation.
    fn run(&self, x: &[Tensor<f64>], dy: &Tensor<f64>, need: &[bool]) -> Result<Run<f64>>;
    /// Forward and backward in `f32`.
    ///
    /// # Errors
    /// Those of the operation.
    fn run_f32(&self, x: &[Tensor<f32>], dy: &Tensor<f32>, need: &[bool]) -> Result<Run<f32>>;
}

/// The cases of an operation that `seed` makes.
pub fn subjects<O: Op<N>, const N: usize>(seed: u64) -> Vec<Box<dyn Subject + Sync>> {
    let cases = O::cases(&mut Gen::new(seed, O::NAME)).into_iter();
    cases
        .map(|case| Box::new(case) as Box<dyn Subject + Sync>)
        .collect()
}

impl<O: Op<N>, const N: usize> Case<O, N> {
    fn run_in<T: Float>(&self, x: &[Tensor<T>], dy: &Tensor<T>, need: &[bool]) -> Result<Run<T>> {
        let (y, saved) = self.op.forward(std::array::from_fn(|i| &x[i]))?;
        let need = std::array::from_fn(|i| need[i]);
        Ok((y, self.op.backward(saved, dy.clone(), need).into()))
    }
}

impl<O: Op<N>, const N: usize> Subject for Case<O, N> {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&self) -> f64 {
        self.step
    }

    fn inputs(&self) -> &[Tensor<f64>] {
        &self.inputs
    }

    fn value(&self, x: &[Tensor<f64>]) -> Result<Tensor<f64>> {
        let (y, _) = self.op.forward(std::array::from_fn(|i| &x[i]))?;
        Ok(y)
    }

    fn run(&self, x: &[Tensor<f64>], dy: &Tensor<f64>, need: &[bool]) -> Result<Run<f64>> {
        self.run_in(x, dy, need)
    }

    fn run_f32(&self, x: &[Tensor<f32>], dy: &Tensor<f32>, need: &[bool]) -> Result<Run<f32>> {
        self.run_in(x, dy, need)
    }
}
