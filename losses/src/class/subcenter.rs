//! Sub-center ArcFace: each class has several weights, and the nearest counts.

use super::arcface::ArcFace;
use super::{HEAD_LR_MULT, scale};
use crate::advice::{auto_scale, scale_warnings};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::Softmax;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status, Values};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned};
use engine::{Float, Var};
use nn::Init;
use std::collections::BTreeMap;
use std::f64::consts::FRAC_PI_2;

/// Where the weights are.
const WEIGHT: &str = "subcenter-arcface.weight";

/// The cosines `[N, C, K]` of embeddings of length 1 with the K weights of each class, `[C, K, D]`.
pub(crate) fn cosines_with_centers<T: Float>(unit: &Var<T>, weight: &Var<T>) -> Result<Var<T>> {
    let [classes, k, dim] = [0, 1, 2].map(|axis| weight.shape()[axis]);
    let flat = weight.try_reshape([classes * k, dim])?.try_l2_normalize()?;
    let samples = unit.shape()[0];
    Ok(unit
        .try_matmul_nt(&flat)?
        .try_reshape([samples, classes, k])?)
}

/// Sub-center ArcFace.
#[derive(Debug)]
pub struct SubCenterArcFace {
    margin: ArcFace,
    centers: usize,
}

impl Loss for SubCenterArcFace {
    const INFO: LossInfo = LossInfo {
        name: "subcenter-arcface",
        family: Family::Class,
        about: "ArcFace with several weights for each class, of which the nearest counts",
        formula: "c_j = max_k cos(x, w_jk),   k = 1..K;   then arcface\n\
                  the weights are [C, K, D] (head.subcenter-arcface.weight)",
        parameters: &[
            scale(64.0, |values, classes| {
                auto_scale(classes, values.number("m").cos())
            }),
            Parameter::angle(
                "m",
                0.5,
                Range::closed(0.0, FRAC_PI_2),
                "margin, added to the target's angle",
            ),
            Parameter::whole(
                "k",
                3.0,
                Range::closed(1.0, 100.0),
                "weights for each class",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::None,
        remarks: "The gradient goes to the nearest weight alone. k = 1 is arcface.",
        source: "Deng et al. 2020, Sub-center ArcFace: boosting face recognition by large-scale noisy \
                 web faces, ECCV",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        SubCenterArcFace {
            margin: ArcFace {
                s: values.number("s"),
                m: values.number("m"),
            },
            centers: values.number("k") as usize,
        }
    }

    fn owns(&self, _: usize, dim: usize) -> Vec<Owned> {
        let axes = [Axis::Classes, Axis::Of(self.centers), Axis::Dim];
        let init = Init::Normal(1.0 / (dim as f64).sqrt());
        vec![Owned::weights(WEIGHT, &axes, init)]
    }

    fn logits<T: Float>(
        &self,
        embeddings: &Var<T>,
        owned: &BTreeMap<&'static str, Var<T>>,
    ) -> Result<Option<Var<T>>> {
        let c = cosines_with_centers(&embeddings.try_l2_normalize()?, &owned[WEIGHT])?;
        Ok(Some(c.try_max_over(2)?))
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let all = cosines_with_centers(&batch.unit_embeddings()?, batch.owned(WEIGHT))?;
        let c = all.try_max_over(2)?;
        let loss = batch.class_loss(&c, self.margin.clone(), Softmax::default())?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, self.margin.m.cos(), self.margin.s)
    }
}
