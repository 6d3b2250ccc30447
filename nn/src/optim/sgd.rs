//! Stochastic gradient descent.

use super::{Optimizer, Reader, StateError, flushed, moves};
use engine::{Float, Params, Tensor, par};

/// Stochastic gradient descent with momentum:
///
/// ```text
/// g ← g + weight_decay · p
/// v ← momentum · v + g                     v starts at 0
/// p ← p − lr · (g + momentum · v)          with Nesterov's form
/// p ← p − lr · v                           without
/// ```
///
/// PyTorch's `torch.optim.SGD` without dampening: the learning rate is outside of the momentum,
/// so a schedule acts at once.
pub struct Sgd<T: Float> {
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    /// Laid out as the arena; empty without momentum.
    velocity: Vec<T>,
}

impl<T: Float> Sgd<T> {
    /// An optimizer at rest. A momentum of 0 keeps no state.
    pub fn new(momentum: f64, nesterov: bool, weight_decay: f64) -> Self {
        Sgd {
            momentum,
            nesterov,
            weight_decay,
            velocity: Vec::new(),
        }
    }

    fn fit(&mut self, params: &Params<T>) {
        if self.momentum != 0.0 {
            self.velocity.resize(params.values().len(), T::ZERO);
        }
    }
}

impl<T: Float> Optimizer<T> for Sgd<T> {
    fn step(&mut self, params: &mut Params<T>, lr: f64) {
        self.fit(params);
        let task = par::task_size(par::CHEAP, 1);
        let (momentum, nesterov) = (T::of(self.momentum), self.nesterov);
        let (values, grads, list) = params.split();
        for param in list.iter().filter(|p| moves(p)) {
            let lr = T::of(lr * param.lr_mult);
            let decay = T::of(if param.decay { self.weight_decay } else { 0.0 });
            let p = &mut values[param.range()];
            let g = &grads[param.range()];
            if self.velocity.is_empty() {
                par::chunks(p, task, |start, p| {
                    for part in param.arrived(start..start + p.len()) {
                        for (p, &g) in p[part.clone()].iter_mut().zip(&g[start..][part]) {
                            *p -= lr * (g + decay * *p);
                        }
                    }
                });
                continue;
            }
            let v = &mut self.velocity[param.range()];
            par::chunks2(p, task, v, task, |i, p, v| {
                let start = i * task;
                for part in param.arrived(start..start + p.len()) {
                    let (p, v) = (&mut p[part.clone()], &mut v[part.clone()]);
                    for ((p, v), &g) in p.iter_mut().zip(v).zip(&g[start..][part]) {
                        let g = g + decay * *p;
                        *v = flushed(momentum * *v + g);
                        *p -= lr * if nesterov { g + momentum * *v } else { *v };
                    }
                }
            });
        }
        params.clear_grads();
    }

    fn state(&self, params: &Params<T>) -> Vec<(String, Tensor<T>)> {
        if self.momentum == 0.0 {
            return Vec::new();
        }
        let velocity = |p: &engine::Param<T>| {
            let kept = self.velocity.get(p.range());
            let tensor =
                kept.map_or_else(|| Tensor::zeros(p.shape()), |v| Tensor::new(p.shape(), v));
            (name(p), tensor)
        };
        params.iter().map(|(_, p)| velocity(p)).collect()
    }

    fn load_state(
        &mut self,
        params: &Params<T>,
        state: &[(String, Tensor<T>)],
    ) -> Result<(), StateError> {
        let mut reader = Reader::new(state);
        let mut loaded = Self::new(self.momentum, self.nesterov, self.weight_decay);
        loaded.fit(params);
        if !loaded.velocity.is_empty() {
            for (_, p) in params.iter() {
                loaded.velocity[p.range()].copy_from_slice(reader.take(name(p), p.shape())?);
            }
        }
        reader.finish()?;
        *self = loaded;
        Ok(())
    }
}

fn name<T: Float>(param: &engine::Param<T>) -> String {
    format!("momentum/{}", param.name())
}
