//! Sub-center ArcFace: each class has several weights, and the nearest counts.

use super::arcface::ArcFace;
use super::{HEAD_LR_MULT, angle_margin, angle_scale, scale};
use crate::advice::scale_warnings;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::Softmax;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned};
use crate::values::Values;
use engine::{Float, Var};
use nn::Init;
use std::collections::BTreeMap;

/// Several weights for each class, `[C, K, D]`, as sub-center ArcFace and SoftTriple own them.
#[derive(Debug)]
pub(crate) struct Centers {
    /// Where they are.
    pub name: &'static str,
    /// K.
    pub per_class: usize,
}

impl Centers {
    pub fn owned(&self, dim: usize) -> Vec<Owned> {
        let axes = [Axis::Classes, Axis::Of(self.per_class), Axis::Dim];
        let init = Init::Normal(1.0 / (dim as f64).sqrt());
        vec![Owned::weights(self.name, &axes, init)]
    }

    /// The cosines `[N, C, K]` of embeddings of length 1 with all weights.
    pub fn cosines<T: Float>(&self, unit: &Var<T>, weight: &Var<T>) -> Result<Var<T>> {
        let [classes, k, dim] = [0, 1, 2].map(|axis| weight.shape()[axis]);
        let flat = weight.try_reshape([classes * k, dim])?.try_l2_normalize()?;
        let samples = unit.shape()[0];
        Ok(unit
            .try_matmul_nt(&flat)?
            .try_reshape([samples, classes, k])?)
    }

    /// The same in a batch.
    pub fn cosines_in<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Var<T>> {
        self.cosines(&batch.unit_embeddings()?, batch.owned(self.name))
    }

    /// The same outside of one.
    pub fn cosines_of<T: Float>(
        &self,
        embeddings: &Var<T>,
        owned: &BTreeMap<&'static str, Var<T>>,
    ) -> Result<Var<T>> {
        self.cosines(&embeddings.try_l2_normalize()?, &owned[self.name])
    }
}

/// Sub-center ArcFace.
#[derive(Debug)]
pub struct SubCenterArcFace {
    margin: ArcFace,
    centers: Centers,
}

impl Loss for SubCenterArcFace {
    const INFO: LossInfo = LossInfo {
        name: "subcenter-arcface",
        family: Family::Class,
        about: "ArcFace with several weights for each class, of which the nearest counts",
        formula: "c_j = max_k cos(x, w_jk),   k = 1..K;   then arcface\n\
                  the weights are [C, K, D] (head.subcenter-arcface.weight)",
        parameters: &[
            scale(64.0, angle_scale),
            angle_margin(0.5),
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
            centers: Centers {
                name: "subcenter-arcface.weight",
                per_class: values.number("k") as usize,
            },
        }
    }

    fn owns(&self, _: usize, dim: usize) -> Vec<Owned> {
        self.centers.owned(dim)
    }

    fn logits<T: Float>(
        &self,
        embeddings: &Var<T>,
        owned: &BTreeMap<&'static str, Var<T>>,
    ) -> Result<Option<Var<T>>> {
        let c = self.centers.cosines_of(embeddings, owned)?;
        Ok(Some(c.try_max_over(2)?))
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let c = self.centers.cosines_in(batch)?.try_max_over(2)?;
        let loss = batch.class_loss(&c, self.margin.clone(), Softmax::default())?;
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, self.margin.m.cos(), self.margin.s)
    }
}
