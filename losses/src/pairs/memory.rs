//! Cross-batch memory: the embeddings of past batches, as they were.

use crate::batch::Batch;
use crate::info::{Parameter, Range};
use crate::owned::{Axis, Owned};
use crate::values::Values;
use engine::{Float, Tensor, Var};

/// The parameter of all losses of pairs.
pub(crate) const MEMORY: Parameter = Parameter::whole(
    "memory",
    0.0,
    Range::closed(0.0, 1e6),
    "embeddings of past batches to compare with as well (cross-batch memory)",
);

/// How many past embeddings a loss keeps, 0 for none. Losses of a spec with the same number share
/// them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory(usize);

/// Where the embeddings, their labels (−1 for an empty place), and the next place to be filled are.
const EMBEDDINGS: &str = "memory.embeddings";
const LABELS: &str = "memory.labels";
const NEXT: &str = "memory.next";

impl Memory {
    /// No memory.
    pub const NONE: Memory = Memory(0);

    pub fn new(values: &Values) -> Self {
        Memory(values.number("memory") as usize)
    }

    /// The state it needs.
    pub fn owns(self) -> Vec<Owned> {
        let places = Axis::Of(self.0);
        match self.0 {
            0 => Vec::new(),
            _ => vec![
                Owned::state(EMBEDDINGS, &[places, Axis::Dim], 0.0),
                Owned::state(LABELS, &[places], -1.0),
                Owned::state(NEXT, &[Axis::Of(1)], 0.0),
            ],
        }
    }

    /// What it holds, with labels; the batch is taken in for the next time. `None` if it is empty.
    pub fn recall<T: Float>(self, batch: &Batch<'_, T>) -> Option<(Var<T>, Vec<usize>)> {
        if self.0 == 0 {
            return None;
        }
        // The state of before this batch, whether or not another loss has moved it on already.
        let past = [EMBEDDINGS, LABELS, NEXT].map(|name| batch.owned(name).value().clone());
        let [embeddings, labels, next] = &past;
        let x = batch.embeddings().value();
        let (n, dim, places) = (batch.labels().len(), x.shape()[1], labels.elements());
        // Labels are small whole numbers, which f32 holds exactly up to 2^24.
        let at = next.data()[0].to_f64() as usize % places;
        let place = |k: usize| (at + k) % places;
        batch.advance(EMBEDDINGS, |old| {
            let mut new = old.clone();
            for (k, row) in x.data().chunks(dim.max(1)).enumerate() {
                new.data_mut()[place(k) * dim..][..dim].copy_from_slice(row);
            }
            new
        });
        batch.advance(LABELS, |old| {
            let mut new = old.clone();
            for (k, &y) in batch.labels().iter().enumerate() {
                new.data_mut()[place(k)] = T::of(y as f64);
            }
            new
        });
        batch.advance(NEXT, |_| Tensor::full([1], T::of(place(n) as f64)));

        let filled: Vec<usize> = (0..places)
            .filter(|&k| labels.data()[k] >= T::ZERO)
            .collect();
        if filled.is_empty() {
            return None;
        }
        let labels = filled.iter().map(|&k| labels.data()[k].to_f64() as usize);
        let rows = embeddings.data();
        let rows = Tensor::from_fn([filled.len(), dim], |i| {
            rows[filled[i / dim] * dim + i % dim]
        });
        Some((Var::constant(rows), labels.collect()))
    }
}
