//! The large-margin Gaussian mixture: classes are normal distributions with learned means and
//! variances.

use super::HEAD_LR_MULT;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{GivenTarget, Softmax};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned, OwnedKind};
use crate::values::Values;
use engine::error::BadOperands;
use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Tensor, Var, apply, par};
use nn::Init;
use std::collections::BTreeMap;

/// y_ik = ½ Σ_d (x_id − μ_kd)² e^(−v_kd);  with g = dy_ik (x_id − μ_kd) e^(−v_kd):
/// dx_id = Σ_k g,  dμ_kd = −Σ_i g,  dv_kd = −½ Σ_i g (x_id − μ_kd)
///
/// Inputs are embeddings `[N, D]`, means `[C, D]` and the logarithms v of the variances `[C, D]`;
/// the output is `[N, C]`. Differences are formed one by one, not by products, which would lose
/// the digits of a sample near a mean.
#[derive(Clone, Debug)]
pub struct GaussianDistance;

impl Op<3> for GaussianDistance {
    const NAME: &'static str = "gaussian distance";
    /// The three inputs, the last as e^(−v).
    type Saved<T: Float> = [Tensor<T>; 3];

    fn forward<T: Float>(
        &self,
        [x, mean, v]: [&Tensor<T>; 3],
    ) -> engine::Result<(Tensor<T>, Self::Saved<T>)> {
        let fits = x.shape().rank() == 2
            && mean.shape().rank() == 2
            && x.shape()[1] == mean.shape()[1]
            && mean.shape() == v.shape();
        if !fits {
            return Err(BadOperands::new(Self::NAME, "dimensions differ")
                .operand("embeddings", "[N, D]", x.shape())
                .operand("means", "[C, D]", mean.shape())
                .operand("log variances", "[C, D]", v.shape())
                .into());
        }
        let (classes, dim) = (mean.shape()[0], mean.shape()[1]);
        let precision = v.map(|v| (-v).exp());
        let mut y = Tensor::stale([x.shape()[0], classes]);
        let (xs, means, precisions) = (x.data(), mean.data(), precision.data());
        let size = par::task_size(par::CHEAP / dim.max(1), 1);
        par::chunks(y.data_mut(), size, |start, piece| {
            for (at, y) in piece.iter_mut().enumerate() {
                let (i, k) = ((start + at) / classes, (start + at) % classes);
                let terms = (0..dim).map(|d| {
                    let gap = xs[i * dim + d] - means[k * dim + d];
                    gap * gap * precisions[k * dim + d]
                });
                *y = T::of(0.5) * terms.sum::<T>();
            }
        });
        Ok((y, [x.clone(), mean.clone(), precision]))
    }

    fn backward<T: Float>(
        &self,
        [x, mean, precision]: [Tensor<T>; 3],
        dy: Tensor<T>,
        need: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let [samples, classes, dim] = [x.shape()[0], mean.shape()[0], x.shape()[1]];
        let (xs, means, precisions, dys) = (x.data(), mean.data(), precision.data(), dy.data());
        let pull = |i: usize, k: usize, d: usize| {
            let gap = xs[i * dim + d] - means[k * dim + d];
            (dys[i * classes + k] * gap * precisions[k * dim + d], gap)
        };
        // Every element is one sum, in a fixed order.
        let sums = |rows: usize, others: usize, f: &(dyn Fn(usize, usize, usize) -> T + Sync)| {
            let mut out = Tensor::stale([rows, dim]);
            let size = par::task_size(par::CHEAP / others.max(1), 1);
            par::chunks(out.data_mut(), size, |start, piece| {
                for (at, out) in piece.iter_mut().enumerate() {
                    let (row, d) = ((start + at) / dim, (start + at) % dim);
                    *out = (0..others).map(|other| f(row, other, d)).sum();
                }
            });
            out
        };
        let half = T::of(0.5);
        [
            need[0].then(|| sums(samples, classes, &|i, k, d| pull(i, k, d).0)),
            need[1].then(|| sums(classes, samples, &|k, i, d| -pull(i, k, d).0)),
            need[2].then(|| {
                sums(classes, samples, &|k, i, d| {
                    let (g, gap) = pull(i, k, d);
                    -(half * g * gap)
                })
            }),
        ]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 3>> {
        let shapes = [(5, 4, 3), (1, 2, 17), (3, 2, 1)];
        let case = |(n, c, d)| {
            let inputs = [g.normal([n, d]), g.normal([c, d]), g.normal([c, d])];
            Case::new(
                format!("{n} samples, {c} classes, {d} dimensions"),
                GaussianDistance,
                inputs,
            )
        };
        shapes.map(case).into()
    }
}

/// Where the means and the logarithms of the variances are.
const MEANS: &str = "gaussian.means";
const LOG_VARIANCES: &str = "gaussian.log_variances";

/// The large-margin Gaussian mixture loss.
#[derive(Debug)]
pub struct GaussianMixture {
    alpha: f64,
    lambda: f64,
}

/// −d_k − ½ ln|Σ_k|, `[N, C]`, and what is subtracted, ½ ln|Σ_k|, `[C]`, with d, `[N, C]`.
fn log_densities<T: Float>(x: &Var<T>, means: &Var<T>, v: &Var<T>) -> Result<[Var<T>; 2]> {
    let d = apply(GaussianDistance, [x, means, v])?;
    let half_log_det = v.try_sum_over(1)?.try_affine(0.5, 0.0)?;
    let z = d.try_add(&half_log_det)?.try_affine(-1.0, 0.0)?;
    Ok([z, d])
}

impl Loss for GaussianMixture {
    const INFO: LossInfo = LossInfo {
        name: "gaussian",
        family: Family::Class,
        about: "classes as normal distributions, with a margin (L-GM)",
        formula: "d_k = 1/2 sum_d (x_d - mu_kd)^2 / sigma_kd^2,   h_k = 1/2 sum_d ln sigma_kd^2\n\
                  L = -ln( e^t / ( e^t + sum_{k != y} e^(-d_k - h_k) ) ) + lambda (d_y + h_y)\n\
                  t = -(1 + alpha) d_y - h_y\n\
                  mu and ln sigma^2 are learned, [C, D] (head.gaussian.means, .log_variances)",
        parameters: &[
            Parameter::number("alpha", 0.1, Range::from(0.0), "margin").warming_from(|_| Some(0.0)),
            Parameter::number("lambda", 0.1, Range::from(0.0), "weight of the likelihood"),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::None,
        remarks: "The authors step alpha up from 0.1 to 0.3 during training. Their Caffe code has one\n\
                  variance for all; YirongMao/softmax_variants has [C, D] as here. Class priors are\n\
                  equal.",
        source: "Wan et al. 2018, Rethinking feature distribution for loss functions in image \
                 classification, CVPR, arXiv 1803.02988; github WeitaoVan/L-GM-loss",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        GaussianMixture {
            alpha: values.number("alpha"),
            lambda: values.number("lambda"),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        let axes = [Axis::Classes, Axis::Dim];
        let log_variances = Owned {
            kind: OwnedKind::Learned { decay: false },
            ..Owned::state(LOG_VARIANCES, &axes, 0.0)
        };
        let means = Owned {
            kind: OwnedKind::Learned { decay: false },
            ..Owned::weights(MEANS, &axes, Init::Normal(1.0))
        };
        vec![means, log_variances]
    }

    fn logits<T: Float>(
        &self,
        embeddings: &Var<T>,
        owned: &BTreeMap<&'static str, Var<T>>,
    ) -> Result<Option<Var<T>>> {
        let [z, _] = log_densities(embeddings, &owned[MEANS], &owned[LOG_VARIANCES])?;
        Ok(Some(z))
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let (means, v) = (batch.owned(MEANS), batch.owned(LOG_VARIANCES));
        let [z, d] = log_densities(batch.embeddings(), means, v)?;
        let (z_y, d_y) = (batch.targets(&z)?, batch.targets(&d)?);
        let t = z_y.try_sub(&d_y.try_affine(self.alpha, 0.0)?)?;
        let softmax = batch.sample_loss(&z, &t, GivenTarget, Softmax::default())?;
        Ok(vec![
            Part {
                name: "gaussian/softmax",
                weight: 1.0,
                value: softmax,
            },
            Part {
                name: "gaussian/likelihood",
                weight: self.lambda,
                value: z_y.try_affine(-1.0, 0.0)?,
            },
        ])
    }
}
