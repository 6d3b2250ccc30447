//! Losses of pairs: samples of a batch are compared with each other, or with points that stand for
//! classes.
//!
//! The similarities or distances of all pairs are one matrix, and a loss is an operation on it:
//! a [`PairLoss`] says what the value is and writes its gradient; [`PairMatrix`] makes it an
//! operation, with labels for rows and columns. Which pairs a loss selects (the hardest, those
//! within a margin) is decided on the values and not differentiated.
//!
//! # Past batches
//!
//! Every loss of pairs has the parameter `memory`, cross-batch memory (Wang X. et al. 2020): the
//! embeddings of past batches, as they were, are further columns of the matrix. They are state of
//! the model (`head.memory.*`), a ring of that many places.

pub mod circle;
pub mod contrast;
pub mod contrastive;
pub mod lifted;
pub mod margin;
mod memory;
pub mod multi_similarity;
pub mod n_pair;
pub mod triplet;

pub(crate) use memory::{MEMORY, Memory};

use crate::batch::Batch;
use crate::error::Result;
use crate::info::Parameter;
use crate::values::Values;
use engine::error::BadOperands;
use engine::gradcheck::{Case, Gen};
use engine::op::Registered;
use engine::{Float, Op, Tensor, Var, apply, par};
use std::fmt::Debug;
use std::sync::Arc;

/// What a loss makes of the matrix of all pairs.
pub trait PairLoss: Clone + Debug + Send + Sync + 'static {
    /// The name in tables and error messages.
    const NAME: &'static str;

    /// The value; `gradient`, all zeros on entry, is filled with its derivatives with respect to
    /// the elements of the matrix.
    fn compute<T: Float>(&self, pairs: &Pairs<'_, T>, gradient: &mut [T]) -> T;

    /// Settings to check the derivatives with.
    fn probes() -> Vec<Self>;

    /// Between which the elements of the matrix are drawn to check with: cosines unless stated.
    const RANGE: [f64; 2] = [-0.95, 0.95];
}

/// Who the rows and the columns of a matrix of pairs are.
#[derive(Clone, Debug)]
pub struct Relation {
    /// The class of each row.
    pub rows: Arc<[usize]>,
    /// The class of each column.
    pub columns: Arc<[usize]>,
    /// Whether column i is the same sample as row i, as far as there are rows; such pairs do not
    /// count.
    pub reflexive: bool,
}

impl Relation {
    /// Samples among themselves.
    pub fn among(labels: &Arc<[usize]>) -> Self {
        Relation {
            rows: labels.clone(),
            columns: labels.clone(),
            reflexive: true,
        }
    }
}

/// The matrix of all pairs, `[rows, columns]`, and who they are.
pub struct Pairs<'a, T> {
    /// The elements, row by row.
    pub matrix: &'a [T],
    /// Who the rows and columns are.
    pub relation: &'a Relation,
}

impl<'a, T: Float> Pairs<'a, T> {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.relation.rows.len()
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.relation.columns.len()
    }

    /// One row.
    pub fn row(&self, i: usize) -> &'a [T] {
        &self.matrix[i * self.columns()..][..self.columns()]
    }

    /// The columns of the same class as row i, other than itself.
    pub fn positives(&self, i: usize) -> impl Iterator<Item = usize> + Clone + 'a {
        self.others(i, true)
    }

    /// The columns of other classes than row i.
    pub fn negatives(&self, i: usize) -> impl Iterator<Item = usize> + Clone + 'a {
        self.others(i, false)
    }

    fn others(&self, i: usize, same: bool) -> impl Iterator<Item = usize> + Clone + 'a {
        let relation = self.relation;
        let y = relation.rows[i];
        (0..relation.columns.len())
            .filter(move |&j| (relation.columns[j] == y) == same && !(relation.reflexive && i == j))
    }

    /// Calls `f(row, its gradient)` for every row, and returns the results in order.
    pub fn map_rows<R: Send>(
        &self,
        gradient: &mut [T],
        f: impl Fn(usize, &mut [T]) -> R + Sync + Send,
    ) -> Vec<R> {
        let columns = self.columns();
        let mut results: Vec<Option<R>> = (0..self.rows()).map(|_| None).collect();
        if columns == 0 {
            return Vec::new();
        }
        let per_task = par::task_size(par::CHEAP / 8, columns);
        let rows_per_task = per_task / columns;
        par::chunks2(
            gradient,
            per_task,
            &mut results,
            rows_per_task,
            |task, gradient, results| {
                let rows = gradient.chunks_exact_mut(columns).zip(results);
                for (k, (gradient, result)) in rows.enumerate() {
                    *result = Some(f(task * rows_per_task + k, gradient));
                }
            },
        );
        results.into_iter().flatten().collect()
    }
}

/// The sum of values divided by how many there are, with the gradient divided likewise; 0 if there
/// are none.
pub(crate) fn mean<T: Float>(parts: &[(T, usize)], gradient: &mut [T]) -> T {
    let count: usize = parts.iter().map(|(_, count)| count).sum();
    let sum: T = parts.iter().map(|(sum, _)| *sum).sum();
    let scale = T::ONE / T::of(count.max(1) as f64);
    gradient.iter_mut().for_each(|g| *g *= scale);
    sum * scale
}

/// ln(e^start + Σ e^z), where `start` is −∞ for none, and the weights e^z / (e^start + Σ e^z).
pub(crate) fn log_sum_exp<T: Float>(start: T, z: &[T]) -> (T, Vec<T>) {
    let max = z.iter().fold(start, |max, &z| max.max(z));
    if max == T::NEG_INFINITY {
        return (max, vec![T::ZERO; z.len()]);
    }
    let e: Vec<T> = z.iter().map(|&z| (z - max).exp()).collect();
    let sum = (start - max).exp() + e.iter().copied().sum::<T>();
    (max + sum.ln(), e.into_iter().map(|e| e / sum).collect())
}

/// A loss of pairs as an operation: the matrix `[rows, columns]` to a single number.
#[derive(Clone, Debug)]
pub struct PairMatrix<L> {
    /// The loss.
    pub loss: L,
    /// Who the rows and columns are.
    pub relation: Relation,
}

impl<L: PairLoss> Op<1> for PairMatrix<L> {
    const NAME: &'static str = L::NAME;
    /// The gradient, `[rows, columns]`.
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> engine::Result<(Tensor<T>, Tensor<T>)> {
        let expected = [self.relation.rows.len(), self.relation.columns.len()];
        if *x.shape() != expected {
            let reason = format!("the labels are those of a matrix of {expected:?}");
            return Err(BadOperands::new(L::NAME, reason)
                .operand("pairs", "[rows, columns]", x.shape())
                .into());
        }
        let mut gradient = Tensor::zeros(x.shape());
        let pairs = Pairs {
            matrix: x.data(),
            relation: &self.relation,
        };
        let value = self.loss.compute(&pairs, gradient.data_mut());
        Ok((Tensor::scalar(value), gradient))
    }

    fn backward<T: Float>(
        &self,
        gradient: Tensor<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let dy = dy.item();
        [Some(gradient.map(|g| g * dy))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let labels = [
            (vec![0, 1, 0, 2, 1, 0], vec![0, 1, 0, 2, 1, 0], true),
            (vec![0, 0, 1, 1], vec![0, 0, 1, 1], true),
            (vec![1, 0, 1], vec![1, 0, 1, 0, 2, 1, 1], true),
            (vec![0, 1, 2], vec![0, 1, 1, 0], false),
            (vec![0, 0, 0], vec![0, 0, 0], true),
        ];
        let [low, high] = L::RANGE;
        let mut cases = Vec::new();
        for loss in L::probes() {
            for (rows, columns, reflexive) in &labels {
                let shape = [rows.len(), columns.len()];
                // Elements differ from each other, for losses that select.
                let order = g.rng().permutation(shape[0] * shape[1]);
                let n = order.len() as f64;
                let x = Tensor::from_fn(shape, |i| {
                    let place = order[i] as f64 + g.rng().range(0.2, 0.8);
                    low + (high - low) * place / n
                });
                let name = format!("{loss:?}, {rows:?} with {columns:?}");
                let relation = Relation {
                    rows: rows[..].into(),
                    columns: columns[..].into(),
                    reflexive: *reflexive,
                };
                let loss = loss.clone();
                cases.push(Case::new(name, PairMatrix { loss, relation }, [x]).step(1e-5));
            }
        }
        cases
    }
}

/// The matrix of pairs of a batch, and with past batches where there is a memory.
pub(crate) struct Matrix<T: Float> {
    pub values: Var<T>,
    pub relation: Relation,
}

impl<T: Float> Matrix<T> {
    /// The value of a loss.
    pub fn apply<L: PairLoss>(&self, loss: L) -> Result<Var<T>>
    where
        PairMatrix<L>: Registered<1>,
    {
        let relation = self.relation.clone();
        Ok(apply(PairMatrix { loss, relation }, [&self.values])?)
    }
}

/// How far apart two points are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// ⟨a, b⟩ / (|a| |b|).
    Cosine,
    /// |a − b|.
    Euclidean,
    /// |a − b|².
    Squared,
    /// |a − b| of points brought to length 1.
    Unit,
    /// |a − b|² of points brought to length 1, which is 2 − 2 cos.
    UnitSquared,
}

/// The parameter of losses of distances.
pub(crate) const DISTANCE: Parameter = Parameter::word(
    "distance",
    &["euclidean", "squared", "unit", "unit-squared"],
    "|a - b|, its square, or either after both have length 1",
);

impl Measure {
    pub(crate) fn new(values: &Values) -> Self {
        match values.word("distance") {
            "squared" => Measure::Squared,
            "unit" => Measure::Unit,
            "unit-squared" => Measure::UnitSquared,
            _ => Measure::Euclidean,
        }
    }

    fn of<T: Float>(self, a: &Var<T>, b: &Var<T>) -> Result<Var<T>> {
        Ok(match self {
            Measure::Cosine => a.try_matmul_nt(b)?,
            Measure::Euclidean | Measure::Unit => a.try_pairwise_distance(b)?,
            Measure::Squared | Measure::UnitSquared => a.try_pairwise_squared_distance(b)?,
        })
    }

    fn is_of_directions(self) -> bool {
        matches!(self, Measure::Cosine | Measure::Unit | Measure::UnitSquared)
    }
}

impl<T: Float> Batch<'_, T> {
    /// All pairs of the batch, with the past batches that `memory` holds as further columns; the
    /// memory then takes in the batch.
    pub(crate) fn pairs(&self, measure: Measure, memory: Memory) -> Result<Matrix<T>> {
        let points = match measure.is_of_directions() {
            true => self.unit_embeddings()?,
            false => self.embeddings().clone(),
        };
        let among = Relation::among(self.labels());
        let values = measure.of(&points, &points)?;
        let Some((past, labels)) = memory.recall(self) else {
            return Ok(Matrix {
                values,
                relation: among,
            });
        };
        let past = match measure.is_of_directions() {
            true => past.try_l2_normalize()?,
            false => past,
        };
        let values = Var::try_concat([&values, &measure.of(&points, &past)?], 1)?;
        let columns = among.columns.iter().copied().chain(labels).collect();
        Ok(Matrix {
            values,
            relation: Relation { columns, ..among },
        })
    }
}
