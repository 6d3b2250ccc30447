//! Softmax cross-entropy on inner products: what every other loss is compared with.

use super::{HEAD_LR_MULT, SMOOTHING};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe, Target};
use crate::info::{Family, Head, LossInfo, Status, Values};
use crate::loss::{Loss, Part};
use engine::Float;

/// Fp(z) = Fn(z) = z, on logits z.
#[derive(Clone, Debug)]
pub struct Identity;

impl Margin for Identity {
    const NAME: &'static str = "softmax loss";
    fn positive<T: Float>(&self, z: T, _: usize) -> (T, T) {
        (z, T::ONE)
    }
    fn negative<T: Float>(&self, z: T, _: Target<T>) -> (T, T) {
        (z, T::ONE)
    }
    fn probes() -> Vec<Probe<Self>> {
        vec![Probe::smooth(Identity, 1.0), Probe::smooth(Identity, 1.0)]
    }
}

/// Softmax cross-entropy with label smoothing.
#[derive(Debug)]
pub struct Softmax {
    smoothing: f64,
}

impl Loss for Softmax {
    const INFO: LossInfo = LossInfo {
        name: "softmax",
        family: Family::Class,
        about: "cross-entropy of inner products with the class weights",
        formula: "z_j = <w_j, x> + b_j\n\
                  L = -sum_j q_j ln softmax(z)_j,   q = (1 - smoothing) onehot(y) + smoothing / C",
        parameters: &[SMOOTHING, HEAD_LR_MULT],
        presets: &[],
        head: Head::Linear,
        source: "label smoothing: Szegedy et al. 2016, Rethinking the Inception architecture, \
                 CVPR, arXiv 1512.00567",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        Softmax {
            smoothing: values.number("smoothing"),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let loss = batch.class_softmax_of(&batch.linear_logits()?, Identity, self.smoothing)?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
