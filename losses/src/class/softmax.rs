//! Softmax cross-entropy on inner products: what every other loss is compared with.

use super::{HEAD_LR_MULT, SMOOTHING, SPREAD, Smoothing};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{self, Margin, Probe};
use crate::info::{Family, Head, LossInfo, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;

/// Fp(z) = Fn(z) = z, on logits z.
#[derive(Clone, Debug)]
pub struct Identity;

impl Margin for Identity {
    const NAME: &'static str = "softmax loss";
    fn positive<T: Float>(&self, z: T) -> (T, T) {
        (z, T::ONE)
    }
    fn negative<T: Float>(&self, z: T, _: T) -> (T, T) {
        (z, T::ONE)
    }
    fn probes() -> Vec<Probe<Self>> {
        vec![Probe::new(Identity, 1.0), Probe::new(Identity, 1.0)]
    }
}

/// Softmax cross-entropy with label smoothing.
#[derive(Debug)]
pub struct Softmax {
    smoothing: Smoothing,
}

impl Loss for Softmax {
    const INFO: LossInfo = LossInfo {
        name: "softmax",
        family: Family::Class,
        about: "cross-entropy of inner products with the class weights",
        formula: "z_j = <w_j, x> + b_j\n\
                  L = -sum_j q_j ln softmax(z)_j,   q = (1 - smoothing) onehot(y) + smoothing / C\n\
                  spread=others: q_y = 1 - smoothing, q_j = smoothing / (C - 1)",
        parameters: &[SMOOTHING, SPREAD, HEAD_LR_MULT],
        presets: &[],
        head: Head::Linear,
        remarks: "",
        source: "label smoothing: Szegedy et al. 2016, Rethinking the Inception architecture, \
                 CVPR, arXiv 1512.00567",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        Softmax {
            smoothing: Smoothing::new(values),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let z = batch.linear_logits()?;
        let smoothing = self.smoothing.epsilon(z.shape()[1]);
        let loss = batch.class_loss(&z, Identity, frame::Softmax { smoothing })?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
