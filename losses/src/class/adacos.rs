//! AdaCos: a softmax of cosines whose scale follows from the number of classes and the angles.

use super::HEAD_LR_MULT;
use super::normface::NormFace;
use crate::advice::adacos_scale;
use crate::batch::Batch;
use crate::error::Result;
use crate::info::{Family, Head, LossInfo, Parameter, Status};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned};
use crate::values::Values;
use engine::{Float, Tensor};
use std::f64::consts::FRAC_PI_4;

/// The least scale: √2 ln(C − 1) is 0 for two classes, and the dynamic one may be negative.
pub const LEAST_SCALE: f64 = 1.0;

/// Where the dynamic scale is.
const SCALE: &str = "adacos.s";

/// The scale after a batch of cosines `[N, C]`: ln(B)/cos(min(π/4, θ_med)), with
/// B = mean_i Σ_{j≠y} e^(s c_ij) at the old scale and θ_med the (lower) median of the target
/// angles, but at least [`LEAST_SCALE`].
pub fn next_scale<T: Float>(s: f64, cosines: &Tensor<T>, labels: &[usize]) -> f64 {
    if labels.is_empty() {
        return s;
    }
    let classes = cosines.shape().last();
    let rows = cosines.data().chunks(classes).zip(labels);
    // The largest exponent is taken out, so that nothing overflows at scale 512.
    let others = || {
        let others = |(row, &y): (&[T], &usize)| {
            let others = row.iter().enumerate().filter(move |&(j, _)| j != y);
            others.map(|(_, c)| s * c.to_f64()).collect::<Vec<_>>()
        };
        rows.clone().flat_map(others)
    };
    let largest = others().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others().map(|e| (e - largest).exp()).sum();
    let average = largest + (sum / labels.len() as f64).ln();
    let mut targets: Vec<f64> = rows.map(|(row, &y)| row[y].to_f64()).collect();
    targets.sort_by(|a, b| b.total_cmp(a)); // falling cosines are rising angles
    let median = targets[(targets.len() - 1) / 2].clamp(-1.0, 1.0).acos();
    (average / median.min(FRAC_PI_4).cos()).max(LEAST_SCALE)
}

/// AdaCos, fixed or dynamic.
#[derive(Debug)]
pub struct AdaCos {
    dynamic: bool,
}

impl AdaCos {
    fn fixed(classes: usize) -> f64 {
        adacos_scale(classes).max(LEAST_SCALE)
    }
}

impl Loss for AdaCos {
    const INFO: LossInfo = LossInfo {
        name: "adacos",
        family: Family::Class,
        about: "softmax of cosines with a scale that needs no tuning",
        formula: "L = -ln( e^(s c_y) / sum_j e^(s c_j) )\n\
                  form=fixed:   s = sqrt(2) ln(C - 1)\n\
                  form=dynamic: s starts there (head.adacos.s); before each training step,\n\
                  \x20             s <- ln(B) / cos(min(pi/4, theta_med)),   theta_med: median of theta_y\n\
                  \x20             B = mean_i sum_{j != y} e^(s c_ij);   no gradient flows through s\n\
                  s is at least 1",
        parameters: &[
            Parameter::word(
                "form",
                &["dynamic", "fixed"],
                "whether the scale follows the batch",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "With two classes sqrt(2) ln(C - 1) is 0; the bound s >= 1 is ours. The median of an even\n\
                  number of angles is the lower one, as in 4uiiurz1/pytorch-adacos and FaceX-Zoo.",
        source: "Zhang et al. 2019, AdaCos: adaptively scaling cosine logits, CVPR, arXiv 1905.00292",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        AdaCos {
            dynamic: values.word("form") == "dynamic",
        }
    }

    fn owns(&self, classes: usize, _: usize) -> Vec<Owned> {
        let scale = || Owned::state(SCALE, &[Axis::Of(1)], Self::fixed(classes));
        self.dynamic.then(scale).into_iter().collect()
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let c = batch.cosines()?;
        let s = if self.dynamic {
            let next = batch.advance(SCALE, |s| {
                let s = next_scale(s.item().to_f64(), c.value(), batch.columns());
                Tensor::full([1], T::of(s))
            });
            next.item().to_f64()
        } else {
            Self::fixed(c.shape()[1])
        };
        let loss = batch.class_softmax(NormFace { s }, 0.0)?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
