//! The inputs that operations are checked on.

use crate::rng::{Key, Rng};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Lengths off the edges of any tile or vector.
pub const SIZES: [usize; 6] = [1, 15, 16, 17, 31, 33];

/// An operation with the inputs to check it on.
#[derive(Clone, Debug)]
pub struct Case<O, const N: usize> {
    /// What is special about the case.
    pub name: String,
    /// The operation with its settings.
    pub op: O,
    /// The inputs.
    pub inputs: [Tensor<f64>; N],
    /// The step of the finite differences: 1e-3, unless a kink or a pole is near.
    pub step: f64,
}

impl<O, const N: usize> Case<O, N> {
    /// A case with the usual step.
    pub fn new(name: impl Into<String>, op: O, inputs: [Tensor<f64>; N]) -> Self {
        Case {
            name: name.into(),
            op,
            inputs,
            step: 1e-3,
        }
    }

    /// The case with another step, for inputs that are close to a kink or a pole.
    pub fn step(mut self, step: f64) -> Self {
        self.step = step;
        self
    }
}

/// Makes random inputs. Kinks are avoided here, by construction; the comparison forgives nothing.
pub struct Gen(Rng);

impl Gen {
    /// The generator for the operation called `name`.
    pub fn new(seed: u64, name: &str) -> Self {
        Gen(Key::new(seed).named("gradcheck").named(name).rng())
    }

    /// The underlying random numbers.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.0
    }

    /// Standard normal elements.
    pub fn normal(&mut self, shape: impl Into<Shape>) -> Tensor<f64> {
        Tensor::from_fn(shape, |_| self.0.normal())
    }

    /// Elements uniform in `[low, high)`.
    pub fn uniform(&mut self, shape: impl Into<Shape>, low: f64, high: f64) -> Tensor<f64> {
        Tensor::from_fn(shape, |_| self.0.range(low, high))
    }

    /// Normal elements at least `gap` away from each of `kinks`.
    pub fn away_from(&mut self, kinks: &[f64], gap: f64, shape: impl Into<Shape>) -> Tensor<f64> {
        Tensor::from_fn(shape, |_| {
            loop {
                let x = self.0.normal();
                if kinks.iter().all(|k| (x - k).abs() > gap) {
                    return x;
                }
            }
        })
    }

    /// Elements that differ from each other by at least 0.1: for operations that select.
    pub fn distinct(&mut self, shape: impl Into<Shape>) -> Tensor<f64> {
        let shape = shape.into();
        let order = self.0.permutation(shape.elements());
        let middle = shape.elements() as f64 / 2.0;
        Tensor::from_fn(shape, |i| {
            0.2 * (order[i] as f64 - middle) + self.0.range(-0.05, 0.05)
        })
    }

    /// `n` labels below `classes`.
    pub fn labels(&mut self, n: usize, classes: usize) -> Vec<usize> {
        (0..n).map(|_| self.0.below(classes)).collect()
    }

    /// One case per shape for an operation of one input.
    pub fn shapes<O: Clone>(
        &mut self,
        op: O,
        shapes: &[&[usize]],
        mut input: impl FnMut(&mut Gen, Shape) -> Tensor<f64>,
    ) -> Vec<Case<O, 1>> {
        let case = |&s: &&[usize]| {
            let shape = Shape::from(s);
            Case::new(shape.to_string(), op.clone(), [input(self, shape)])
        };
        shapes.iter().map(case).collect()
    }
}
