//! Adam and AdamW.

use super::{Optimizer, Reader, StateError, flushed, moves};
use engine::{Float, Param, Params, Shape, Tensor, par};

/// Adam (Kingma and Ba 2015, arXiv:1412.6980) and, with decoupled weight decay, AdamW
/// (Loshchilov and Hutter 2019, arXiv:1711.05101). In step t of a parameter, counted from 1:
///
/// ```text
/// p ← p − lr · weight_decay · p            decoupled (AdamW)
/// g ← g + weight_decay · p                 else
/// m ← m + (1 − β₁) (g − m)                 m and v start at 0
/// v ← β₂ v + (1 − β₂) g²
/// p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)
/// ```
///
/// PyTorch's `torch.optim.Adam` and `AdamW`.
pub struct Adam<T: Float> {
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
    /// The two moments of each element of the arena, side by side.
    moments: Vec<[T; 2]>,
    /// The number of steps that each parameter has taken, by its place in the list of parameters.
    steps: Vec<u64>,
}

/// Counts are saved as floating point, which is exact up to here in f32; by then both bias
/// corrections are 1.
const MAX_SAVED_STEPS: u64 = 1 << 24;

impl<T: Float> Adam<T> {
    /// Adam; weight decay is added to the gradient.
    pub fn new(betas: [f64; 2], eps: f64, weight_decay: f64) -> Self {
        Adam {
            betas,
            eps,
            weight_decay,
            decoupled: false,
            moments: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// AdamW: weight decay acts on the parameter directly.
    pub fn decoupled(betas: [f64; 2], eps: f64, weight_decay: f64) -> Self {
        Adam {
            decoupled: true,
            ..Self::new(betas, eps, weight_decay)
        }
    }

    fn fit(&mut self, params: &Params<T>) {
        self.moments.resize(params.values().len(), [T::ZERO; 2]);
        self.steps.resize(params.iter().count(), 0);
    }
}

impl<T: Float> Optimizer<T> for Adam<T> {
    fn step(&mut self, params: &mut Params<T>, lr: f64) {
        self.fit(params);
        let task = par::task_size(par::CHEAP / 4, 1);
        let [beta1, beta2] = self.betas;
        let (take1, keep2, take2) = (T::of(1.0 - beta1), T::of(beta2), T::of(1.0 - beta2));
        let eps = T::of(self.eps);
        let (values, grads, list) = params.split();
        for (param, t) in list.iter().zip(&mut self.steps).filter(|(p, _)| moves(p)) {
            *t += 1;
            let lr = lr * param.lr_mult;
            let decay = if param.decay { self.weight_decay } else { 0.0 };
            let (shrink, decay) = match self.decoupled {
                true => (T::of(1.0 - lr * decay), T::ZERO),
                false => (T::ONE, T::of(decay)),
            };
            let correction = |beta: f64| 1.0 - beta.powf(*t as f64);
            let rate = T::of(lr / correction(beta1));
            let root = T::of(correction(beta2).sqrt());
            let g = &grads[param.range()];
            let (p, moments) = (&mut values[param.range()], &mut self.moments[param.range()]);
            par::chunks2(p, task, moments, task, |i, p, moments| {
                let start = i * task;
                for part in param.arrived(start..start + p.len()) {
                    let (p, moments) = (&mut p[part.clone()], &mut moments[part.clone()]);
                    for ((p, [m, v]), &g) in p.iter_mut().zip(moments).zip(&g[start..][part]) {
                        *p *= shrink;
                        let g = g + decay * *p;
                        *m = flushed(*m + take1 * (g - *m));
                        *v = flushed(keep2 * *v + take2 * (g * g));
                        *p -= rate * (*m / (v.sqrt() / root + eps));
                    }
                }
            });
        }
        params.clear_grads();
    }

    fn state(&self, params: &Params<T>) -> Vec<(String, Tensor<T>)> {
        let mut state = Vec::new();
        for ((_, p), i) in params.iter().zip(0..) {
            let steps = self.steps.get(i).map_or(0, |&t| t.min(MAX_SAVED_STEPS));
            let kept = self.moments.get(p.range()).unwrap_or_default();
            state.push((name("step", p), Tensor::scalar(T::of(steps as f64))));
            for (k, kind) in ["exp-avg", "exp-avg-sq"].into_iter().enumerate() {
                let element = |i: usize| kept.get(i).map_or(T::ZERO, |moments| moments[k]);
                state.push((name(kind, p), Tensor::from_fn(p.shape(), element)));
            }
        }
        state
    }

    fn load_state(
        &mut self,
        params: &Params<T>,
        state: &[(String, Tensor<T>)],
    ) -> Result<(), StateError> {
        let mut reader = Reader::new(state);
        let mut loaded = Adam {
            decoupled: self.decoupled,
            ..Self::new(self.betas, self.eps, self.weight_decay)
        };
        loaded.fit(params);
        for ((_, p), i) in params.iter().zip(0..) {
            let steps = reader.take(name("step", p), Shape::SCALAR)?;
            loaded.steps[i] = steps[0].to_f64() as u64;
            for (k, kind) in ["exp-avg", "exp-avg-sq"].into_iter().enumerate() {
                let saved = reader.take(name(kind, p), p.shape())?;
                let moments = &mut loaded.moments[p.range()];
                moments.iter_mut().zip(saved).for_each(|(m, &x)| m[k] = x);
            }
        }
        reader.finish()?;
        *self = loaded;
        Ok(())
    }
}

fn name<T: Float>(kind: &str, param: &Param<T>) -> String {
    format!("{kind}/{}", param.name())
}
