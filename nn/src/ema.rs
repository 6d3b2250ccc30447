//! A running average of the weights.

use engine::{Float, Params, Tensor, par};

/// An exponential moving average of a model's parameters and buffers (Polyak averaging):
/// after each step, `a ← a + (1 − decay) (w − a)`.
///
/// The average often generalises better than the last weights. It is swapped into the model for
/// evaluation and out again for training.
///
/// ```
/// use engine::{Params, Tensor};
/// use nn::Ema;
/// let mut params = Params::new();
/// let w = params.add("w", Tensor::scalar(0.0));
/// let mut ema = Ema::new(&params, 0.75, false);
/// params.set(w, &Tensor::scalar(8.0));
/// ema.update(&params);
/// ema.swap(&mut params);
/// assert_eq!(params.value(w).item(), 2.0); // the average
/// ema.swap(&mut params);
/// assert_eq!(params.value(w).item(), 8.0); // the last weight
/// ```
pub struct Ema<T: Float> {
    decay: f64,
    warmup: bool,
    updates: u64,
    /// Laid out as the arena.
    values: Vec<T>,
    buffers: Vec<Tensor<T>>,
}

impl<T: Float> Ema<T> {
    /// An average that starts at the present weights.
    ///
    /// With `warmup`, update number t (from 1) uses `min(decay, (1 + t) / (10 + t))`, so that the
    /// first weights do not linger.
    pub fn new(params: &Params<T>, decay: f64, warmup: bool) -> Self {
        Ema {
            decay,
            warmup,
            updates: 0,
            values: params.values().to_vec(),
            buffers: params.buffers().into_iter().map(|(_, b)| b).collect(),
        }
    }

    /// Takes the present weights and running statistics into the average.
    ///
    /// # Panics
    /// If the model has grown since the average was made.
    pub fn update(&mut self, params: &Params<T>) {
        self.updates += 1;
        let take = T::of(1.0 - self.present_decay());
        let values = params.values();
        assert_eq!(self.values.len(), values.len(), "the model has changed");
        let task = par::task_size(par::CHEAP, 1);
        par::chunks(&mut self.values, task, |start, average| {
            for (a, &w) in average.iter_mut().zip(&values[start..]) {
                *a += take * (w - *a);
            }
        });
        for (average, (_, now)) in self.buffers.iter_mut().zip(params.buffers()) {
            average.zip_assign(&now, |a, w| a + take * (w - a));
        }
    }

    /// Exchanges the average and the model's weights; a second call undoes it.
    ///
    /// # Panics
    /// If the model has grown since the average was made.
    pub fn swap(&mut self, params: &mut Params<T>) {
        params.values_mut().swap_with_slice(&mut self.values);
        for (average, (name, now)) in self.buffers.iter_mut().zip(params.buffers()) {
            let id = params
                .find_buffer(&name)
                .expect("named by the model itself");
            params.set_buffer(id, std::mem::replace(average, now));
        }
    }

    /// The number of updates so far; saved with the average, it makes a resumed run exact.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Sets the number of updates of a restored average. The weights are restored by loading them
    /// into the model between two calls of [`swap`](Ema::swap).
    pub fn set_updates(&mut self, updates: u64) {
        self.updates = updates;
    }

    fn present_decay(&self) -> f64 {
        let t = self.updates as f64;
        match self.warmup {
            true => self.decay.min((1.0 + t) / (10.0 + t)),
            false => self.decay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_the_formula_with_and_without_warmup() {
        for warmup in [false, true] {
            let mut params = Params::<f64>::new();
            let w = params.add("w", Tensor::new([3], &[1.0, 2.0, 3.0]));
            let statistic = params.add_buffer("mean", Tensor::scalar(0.0));
            let mut ema = Ema::new(&params, 0.9, warmup);
            let (mut average, mut mean) = ([1.0, 2.0, 3.0], 0.0);
            for t in 1..200 {
                let step = f64::from(t);
                let now = [step.sin(), step.cos(), step];
                params.set(w, &Tensor::new([3], &now));
                params.set_buffer(statistic, Tensor::scalar(step));
                par::with_smallest_tasks(|| ema.update(&params));
                let decay = match warmup {
                    true => (0.9_f64).min((1.0 + step) / (10.0 + step)),
                    false => 0.9,
                };
                for (a, w) in average.iter_mut().zip(now) {
                    *a = decay * *a + (1.0 - decay) * w;
                }
                mean = decay * mean + (1.0 - decay) * step;
            }
            ema.swap(&mut params);
            for (found, expected) in params.value(w).data().iter().zip(average) {
                assert!((found - expected).abs() < 1e-11, "{found} {expected}");
            }
            assert!((params.buffer(statistic).item() - mean).abs() < 1e-11);
            ema.swap(&mut params);
            assert_eq!(params.value(w).data()[2], 199.0);
            assert_eq!(params.buffer(statistic).item(), 199.0);
            assert_eq!(ema.updates(), 199);
        }
    }
}
