//! Ring loss: embeddings of one length, which is learned.

use crate::batch::Batch;
use crate::error::Result;
use crate::info::{Family, Head, LossInfo, Status};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned};
use crate::values::Values;
use engine::{Float, Tensor, Var};

/// Where the mean length of the first batch is (0 until then), and what is learned on top of it.
const START: &str = "ring.start";
const OFFSET: &str = "ring.offset";

/// Ring loss.
#[derive(Debug)]
pub struct RingLoss;

impl Loss for RingLoss {
    const INFO: LossInfo = LossInfo {
        name: "ring",
        family: Family::Center,
        about: "squared distance of the length from a learned radius; for use beside another loss",
        formula: "L = (|x| - R)^2 / 2,   R = start + offset\n\
                  start is the mean length of the first training batch (head.ring.start);\n\
                  offset is learned, from 0 (head.ring.offset)",
        parameters: &[],
        presets: &[],
        head: Head::None,
        remarks: "The paper learns R itself, begun at the mean length; the two are the same but for weight\n\
                  decay, which is off here. Its lambda is the weight of this term: 0.01*ring.",
        source: "Zheng, Pal, Savvides 2018, Ring loss: convex feature normalization for face \
                 recognition, CVPR, arXiv 1803.00130",
        status: Status::Known,
    };

    fn new(_: &Values) -> Self {
        RingLoss
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        vec![
            Owned::state(START, &[Axis::Of(1)], 0.0),
            Owned::number(OFFSET, 0.0),
        ]
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let lengths = batch.lengths()?;
        let start = batch.advance(START, |start| {
            let n = batch.labels().len();
            if start.data()[0] > T::ZERO || n == 0 {
                return start.clone();
            }
            let sum: T = lengths.value().data().iter().copied().sum();
            Tensor::full([1], sum / T::of(n as f64))
        });
        let radius = batch.owned(OFFSET).try_add(&Var::constant(start))?;
        let gap = lengths.try_sub(&radius)?;
        let loss = gap.try_square()?.try_affine(0.5, 0.0)?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
