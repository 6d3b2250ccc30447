//! Batch normalisation, alone or with the ReLU that usually follows it.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::kernels::norm;
use crate::op::Op;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Batch normalisation over all axes but the last, for `[N, C]` and `[N, H, W, C]` alike
/// (Ioffe and Szegedy 2015).
///
/// Training: `x̂ = (x − μ) / √(σ² + ε)` with the mean μ and the biased variance σ² of the batch,
/// and `y = γ x̂ + β`, followed by `max(·, 0)` with `relu`.
///
/// With `m` rows and `g = dy [y > 0 if relu]`:
/// dβ = Σ g,  dγ = Σ g x̂,  dx = γ/√(σ²+ε) · (g − dβ/m − x̂ dγ/m).
///
/// Evaluation: μ and σ² are given and fixed, so dx = γ/√(σ²+ε) · g.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// The statistics to use in evaluation; those of the batch if `None`.
    pub running: Option<RunningStats>,
}

impl Default for BatchNorm {
    /// Training, ε = 1e-5, no ReLU.
    fn default() -> Self {
        BatchNorm {
            epsilon: 1e-5,
            relu: false,
            running: None,
        }
    }
}

/// Fixed statistics of every channel.
#[derive(Clone, Debug)]
pub struct RunningStats {
    /// The means.
    pub mean: Arc<[f64]>,
    /// The variances.
    pub variance: Arc<[f64]>,
}

/// What backward reads: also the statistics of the batch, from which a layer updates its running
/// ones.
pub struct BatchNormSaved<T: Float> {
    x: Tensor<T>,
    /// γ / √(σ² + ε) and β − μ γ / √(σ² + ε): what forward computed with, and what tells where
    /// the ReLU let something through.
    scale: Vec<T>,
    shift: Vec<T>,
    /// The mean of each channel that was subtracted, `[C]`.
    pub mean: Tensor<T>,
    /// The (biased) variance of each channel that was divided by, `[C]`.
    pub variance: Tensor<T>,
    /// 1 / √(σ² + ε), `[C]`.
    inverse: Tensor<T>,
    /// The number of elements per channel.
    pub rows: usize,
}

impl Op<3> for BatchNorm {
    const NAME: &'static str = "batch_norm";
    type Saved<T: Float> = BatchNormSaved<T>;

    fn forward<T: Float>(
        &self,
        [x, gamma, beta]: [&Tensor<T>; 3],
    ) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let (shape, c) = (x.shape(), x.shape().last());
        let fail = |reason: String, hint: &str| {
            BadOperands::new(Self::NAME, reason)
                .operand("input", "[N, …, C]", shape)
                .operand("gamma", "[C]", gamma.shape())
                .operand("beta", "[C]", beta.shape())
                .hint(hint)
        };
        if shape.rank() < 2 || *gamma.shape() != [c] || *beta.shape() != [c] {
            let reason = "every channel (the last axis) needs a gamma and a beta".to_string();
            return Err(fail(reason, "images are [N, H, W, C]").into());
        }
        let rows = shape.rows();
        let (mean, variance) = match &self.running {
            None if rows < 2 => {
                let reason = format!("{rows} value per channel has no variance to train with");
                return Err(fail(reason, "use a larger batch, or evaluation mode").into());
            }
            None => norm::statistics(x.data(), c),
            Some(RunningStats { mean, variance }) if mean.len() == c && variance.len() == c => {
                let tensor = |s: &[f64]| Tensor::from_fn([c], |i| T::of(s[i]));
                (tensor(mean), tensor(variance))
            }
            Some(stats) => {
                let reason = format!("running statistics of {} channels", stats.mean.len());
                return Err(fail(reason, "was the checkpoint made for another network?").into());
            }
        };
        let inverse = variance.map(|v| T::ONE / (v + T::of(self.epsilon)).sqrt());
        let mut y = Tensor::stale(shape);
        let scale: Vec<T> = (0..c)
            .map(|i| gamma.data()[i] * inverse.data()[i])
            .collect();
        let shift: Vec<T> = (0..c)
            .map(|i| beta.data()[i] - mean.data()[i] * scale[i])
            .collect();
        norm::scale_shift(x.data(), &scale, &shift, self.relu, y.data_mut());
        let saved = BatchNormSaved {
            x: x.clone(),
            scale,
            shift,
            mean,
            variance,
            inverse,
            rows,
        };
        Ok((y, saved))
    }

    fn backward<T: Float>(
        &self,
        saved: BatchNormSaved<T>,
        mut dy: Tensor<T>,
        need: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let c = dy.shape().last();
        let BatchNormSaved {
            x,
            scale,
            shift,
            mean,
            ..
        } = &saved;
        let inverse = saved.inverse.data();
        let mask = self.relu.then_some(norm::Mask { scale, shift });
        // Σ g and Σ g (x − μ); x̂ is (x − μ) times the inverse deviation.
        let (sum, moment) = norm::gradient_sums(x.data(), mean.data(), mask, dy.data());
        let dgamma = Tensor::from_fn([c], |i| moment.data()[i] * inverse[i]);
        let dx = need[0].then(|| {
            // The formula above as a multiple of g, a multiple of x, and a constant.
            let m = T::of(saved.rows as f64);
            let (mut of_x, mut constant) = (vec![T::ZERO; c], vec![T::ZERO; c]);
            if self.running.is_none() {
                for i in 0..c {
                    of_x[i] = -scale[i] * inverse[i] * inverse[i] * moment.data()[i] / m;
                    constant[i] = -scale[i] * sum.data()[i] / m - of_x[i] * mean.data()[i];
                }
            }
            let affine = norm::Affine {
                of_g: scale,
                of_x: &of_x,
                constant: &constant,
            };
            norm::grad_input(x.data(), affine, mask, dy.data_mut());
            dy
        });
        [dx, need[1].then_some(dgamma), need[2].then_some(sum)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 3>> {
        let shapes: [&[usize]; 5] = [&[4, 3], &[7, 17], &[2, 3, 2, 5], &[3, 1], &[2, 1]];
        let mut cases = Vec::new();
        for shape in shapes {
            let c = shape[shape.len() - 1];
            for evaluate in [false, true] {
                let running = evaluate.then(|| RunningStats {
                    mean: g.normal([c]).data().into(),
                    variance: g.uniform([c], 0.5, 2.0).data().into(),
                });
                let op = BatchNorm {
                    running,
                    ..Self::default()
                };
                // Two rows normalise to ±1 whatever they are, unless they differ by little.
                let few = shape.len() == 2 && shape[0] == 2;
                let (scale, step) = if few { (0.01, 1e-5) } else { (1.0, 1e-3) };
                let x = g.normal(shape).map(|x| scale * x);
                let inputs = [x, g.uniform([c], 0.5, 1.5), g.normal([c])];
                let name = format!("{shape:?}{}", if evaluate { " evaluation" } else { "" });
                cases.push(Case::new(name, op, inputs).step(step));
            }
        }
        // With ReLU: inputs whose outputs all stay clear of zero.
        for attempt in 0.. {
            let op = BatchNorm {
                relu: true,
                ..Self::default()
            };
            let inputs = [g.normal([3, 2, 2]), g.uniform([2], 0.5, 1.5), g.normal([2])];
            let linear = BatchNorm::default().forward(inputs.each_ref());
            let clear = |y: &Tensor<f64>| y.data().iter().all(|y| y.abs() > 0.05);
            if linear.is_ok_and(|(y, _)| clear(&y)) || attempt == 1000 {
                cases.push(Case::new("relu", op, inputs));
                break;
            }
        }
        cases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var;

    #[test]
    fn a_large_offset_does_not_spoil_the_variance() {
        let x = Tensor::<f32>::from_fn([1000, 1], |i| 4096.0 + (i % 2) as f32);
        let (one, zero) = (Tensor::full([1], 1.0), Tensor::zeros([1]));
        let (_, saved) = BatchNorm::default().forward([&x, &one, &zero]).unwrap();
        assert_eq!(saved.mean.item(), 4096.5);
        assert!((saved.variance.item() - 0.25).abs() < 1e-6);
    }

    #[test]
    fn a_batch_of_one_is_refused_in_training() {
        let x = Var::constant(Tensor::<f32>::zeros([1, 2]));
        let c = Var::constant(Tensor::full([2], 1.0));
        let error = x.try_batch_norm(&c, &c, BatchNorm::default()).unwrap_err();
        assert!(error.to_string().contains("larger batch"), "{error}");
    }
}
