//! Virtual softmax: one more class, made up for each sample, that it must beat.

use super::HEAD_LR_MULT;
use super::softmax::Identity;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::Softmax;
use crate::info::{Family, Head, LossInfo, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::{Float, Var};

/// Virtual softmax.
#[derive(Debug)]
pub struct VirtualSoftmax;

impl Loss for VirtualSoftmax {
    const INFO: LossInfo = LossInfo {
        name: "virtual-softmax",
        family: Family::Class,
        about: "softmax with one more, virtual class in the sample's own direction",
        formula: "z_j = <w_j, x>,   v = |w_y| |x|, the product with w_v = |w_y| x / |x|\n\
                  L = -ln( e^z_y / ( sum_j e^z_j + e^v ) )",
        parameters: &[HEAD_LR_MULT],
        presets: &[],
        head: Head::Inner,
        remarks: "The loss is above ln 2 for every sample, since v >= z_y. There is no bias.",
        source: "Chen, Deng, Shen 2018, Virtual class enhanced discriminative embedding learning, \
                 NeurIPS, arXiv 1811.12611",
        status: Status::Known,
    };

    fn new(_: &Values) -> Self {
        VirtualSoftmax
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let z = batch.inner_products()?;
        let target = batch.linear_weight().try_rows(batch.columns().clone())?;
        let v = target.try_row_norms()?.try_mul(&batch.lengths()?)?;
        let v = v.try_reshape([z.shape()[0], 1])?;
        let z = Var::try_concat([&z, &v], 1)?;
        let loss = batch.class_loss(&z, Identity, Softmax::default())?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
