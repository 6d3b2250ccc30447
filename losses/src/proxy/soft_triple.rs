//! SoftTriple: several proxies for each class, weighted by how near they are.

use crate::batch::Batch;
use crate::class::HEAD_LR_MULT;
use crate::class::cosface::CosFace;
use crate::class::subcenter::Centers;
use crate::error::Result;
use crate::frame::Softmax;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::Owned;
use crate::values::Values;
use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Tensor, Var, apply};
use std::collections::BTreeMap;

/// The similarity of each class, S_c = Σ_k softmax_k(s_k/γ) s_k, of cosines `[N, C, K]`: `[N, C]`.
fn relaxed<T: Float>(cosines: &Var<T>, gamma: f64) -> Result<Var<T>> {
    let shares = cosines.try_affine(1.0 / gamma, 0.0)?.try_softmax()?;
    Ok(shares.try_mul(cosines)?.try_sum_over(2)?)
}

/// y = Σ |w_cs − w_ct| over the classes c and s < t, divided by C K (K − 1), of points `[C, K, D]`;
/// dw_cs = dy Σ_t (w_cs − w_ct) / |w_cs − w_ct| / (C K (K − 1))
///
/// On points of length 1 this is the paper's √(2 − 2 ⟨w_cs, w_ct⟩), whose rounding error near equal
/// points is the root of one: differences are exact there. Below 1e-5 a distance has no slope,
/// which jumps at 0.
#[derive(Clone, Debug)]
pub struct Spread;

impl Op<1> for Spread {
    const NAME: &'static str = "soft-triple spread";
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [w]: [&Tensor<T>; 1]) -> engine::Result<(Tensor<T>, Tensor<T>)> {
        let mut sum = T::ZERO;
        each_pair(w, |_, _, distance| sum += distance);
        Ok((Tensor::scalar(sum * normaliser(w)), w.clone()))
    }

    fn backward<T: Float>(
        &self,
        w: Tensor<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let (dim, scale) = (w.shape().last(), dy.item() * normaliser(&w));
        let mut dw = Tensor::zeros(w.shape());
        let (points, out) = (w.data(), dw.data_mut());
        each_pair(&w, |s, t, distance| {
            if distance > T::of(SHORTEST) {
                let slope = scale / distance;
                for d in 0..dim {
                    let pull = slope * (points[s * dim + d] - points[t * dim + d]);
                    out[s * dim + d] += pull;
                    out[t * dim + d] -= pull;
                }
            }
        });
        [Some(dw)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let case = |shape: [usize; 3]| Case::new(format!("{shape:?}"), Spread, [g.normal(shape)]);
        [[3, 2, 5], [2, 4, 7]].map(case).into()
    }
}

/// Below which two proxies count as one point.
const SHORTEST: f64 = 1e-5;

fn normaliser<T: Float>(w: &Tensor<T>) -> T {
    let [classes, k] = [0, 1].map(|axis| w.shape()[axis]);
    T::of(1.0 / (classes * k * (k - 1)).max(1) as f64)
}

/// Calls `f(row s, row t, distance)` for each pair of proxies of one class.
fn each_pair<T: Float>(w: &Tensor<T>, mut f: impl FnMut(usize, usize, T)) {
    let [classes, k, dim] = [0, 1, 2].map(|axis| w.shape()[axis]);
    let row = |i: usize| &w.data()[i * dim..][..dim];
    for class in 0..classes {
        for s in 0..k {
            for t in s + 1..k {
                let (s, t) = (class * k + s, class * k + t);
                let differences = row(s).iter().zip(row(t)).map(|(&a, &b)| a - b);
                f(s, t, differences.map(|d| d * d).sum::<T>().sqrt());
            }
        }
    }
}

/// SoftTriple.
#[derive(Debug)]
pub struct SoftTriple {
    softmax: CosFace,
    gamma: f64,
    tau: f64,
    proxies: Centers,
}

impl Loss for SoftTriple {
    const INFO: LossInfo = LossInfo {
        name: "soft-triple",
        family: Family::Proxy,
        about: "several proxies for each class, softly the nearest counts",
        formula: "S_c = sum_k softmax_k(s_ck / gamma) s_ck,   s: cosines with the proxies [C, K, D]\n\
                  L = -ln( e^(lambda (S_y - delta)) / ( e^(lambda (S_y - delta)) + sum_{c != y} e^(lambda S_c) ) )\n\
                  \x20 + tau / (C K (K - 1)) sum_c sum_{s < t} sqrt(2 - 2 cos(w_cs, w_ct))\n\
                  the proxies are head.soft-triple.weight",
        parameters: &[
            Parameter::number(
                "lambda",
                20.0,
                Range::above(0.0),
                "scale of the similarities",
            ),
            Parameter::number("gamma", 0.1, Range::above(0.0), "softness of the nearest"),
            Parameter::number(
                "tau",
                0.2,
                Range::from(0.0),
                "weight of the spread of proxies",
            ),
            Parameter::number("delta", 0.01, Range::below(0.0, 2.0), "margin")
                .warming_from(|_| Some(0.0)),
            Parameter::whole(
                "k",
                10.0,
                Range::closed(1.0, 100.0),
                "proxies for each class",
            ),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::None,
        remarks: "pytorch-metric-learning agrees with tau = 0: it has no spread of its own. The authors'\n\
                  code adds 1e-5 under the root.",
        source: "Qian et al. 2019, SoftTriple loss: deep metric learning without triplet sampling, ICCV, \
                 arXiv 1909.05235; github idstcv/SoftTriple",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        SoftTriple {
            softmax: CosFace {
                s: values.number("lambda"),
                m: values.number("delta"),
            },
            gamma: values.number("gamma"),
            tau: values.number("tau"),
            proxies: Centers {
                name: "soft-triple.weight",
                per_class: values.number("k") as usize,
            },
        }
    }

    fn owns(&self, _: usize, dim: usize) -> Vec<Owned> {
        self.proxies.owned(dim)
    }

    fn logits<T: Float>(
        &self,
        embeddings: &Var<T>,
        owned: &BTreeMap<&'static str, Var<T>>,
    ) -> Result<Option<Var<T>>> {
        let c = self.proxies.cosines_of(embeddings, owned)?;
        Ok(Some(relaxed(&c, self.gamma)?))
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let weight = batch.owned(self.proxies.name);
        let c = self.proxies.cosines_in(batch)?;
        let similarities = relaxed(&c, self.gamma)?;
        let softmax = batch.class_loss(&similarities, self.softmax.clone(), Softmax::default())?;
        Ok(vec![
            Part {
                name: "soft-triple/softmax",
                weight: 1.0,
                value: softmax,
            },
            Part {
                name: "soft-triple/spread",
                weight: self.tau,
                value: apply(Spread, [&weight.try_l2_normalize()?])?,
            },
        ])
    }
}
