//! Optimizers: one pass over the arena per step, no temporaries.
//!
//! The formulas are PyTorch's, term by term and in its order of rounding. A parameter that is
//! frozen, or that no gradient has reached, is left alone together with its state; so are single
//! rows where gradients reach only some (see [`Params::rows`]). Each parameter's `lr_mult` scales
//! the learning rate and `decay` switches weight decay.

mod adam;
mod sgd;

pub use adam::Adam;
pub use sgd::Sgd;

use engine::{Float, Param, Params, Tensor};
use serde::{Deserialize, Serialize};

/// A rule that moves parameters against their gradients.
pub trait Optimizer<T: Float>: Send {
    /// Moves every trainable parameter that has a gradient, with learning rate `lr`, and forgets
    /// the gradients. Call it when the graph of the step is gone (see [`Params`]).
    fn step(&mut self, params: &mut Params<T>, lr: f64);

    /// What the optimizer remembers, as named tensors, such as `momentum/conv1.weight`; saved
    /// and loaded again, the next step has the same bits.
    fn state(&self, params: &Params<T>) -> Vec<(String, Tensor<T>)>;

    /// Puts back what [`state`](Optimizer::state) gave for the same model.
    ///
    /// # Errors
    /// [`StateError`] if a tensor is missing, superfluous or of another shape; nothing has
    /// changed then.
    fn load_state(
        &mut self,
        params: &Params<T>,
        state: &[(String, Tensor<T>)],
    ) -> Result<(), StateError>;
}

/// A saved state that does not belong to this optimizer and model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A tensor that must be there is not.
    #[error("the saved state has no `{name}`: it was saved by another optimizer or model")]
    Missing {
        /// The name looked for.
        name: String,
    },
    /// A tensor is there that belongs to nothing.
    #[error("the saved state has `{name}`, which this optimizer does not keep for this model")]
    Unexpected {
        /// The name found.
        name: String,
    },
    /// A tensor has the wrong shape.
    #[error("`{name}` of the saved state has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The name of the tensor.
        name: String,
        /// The shape that belongs to the parameter.
        expected: Vec<usize>,
        /// The shape in the saved state.
        found: Vec<usize>,
    },
}

/// Which optimizer, and its settings, as a configuration file has them. The learning rate is not
/// among them: a [`Schedule`](crate::Schedule) gives that.
///
/// ```
/// use nn::OptimizerConfig;
/// let text = r#"{ "kind": "sgd", "momentum": 0.9, "weight_decay": 5e-4 }"#;
/// let config: OptimizerConfig = serde_json::from_str(text).unwrap();
/// let optimizer = config.build::<f32>();
/// # drop(optimizer);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// [`Sgd`].
    Sgd {
        /// The share of the last step that is kept, 0.9 unless set; 0 turns it off.
        #[serde(default = "default_momentum")]
        momentum: f64,
        /// Nesterov's form of momentum, off unless set.
        #[serde(default)]
        nesterov: bool,
        /// Factor of the parameter that is added to its gradient, 0 unless set.
        #[serde(default)]
        weight_decay: f64,
    },
    /// [`Adam`] with weight decay added to the gradient.
    Adam {
        /// Decay of the first moment, 0.9 unless set.
        #[serde(default = "default_beta1")]
        beta1: f64,
        /// Decay of the second moment, 0.999 unless set.
        #[serde(default = "default_beta2")]
        beta2: f64,
        /// Added to the root of the second moment, 1e-8 unless set.
        #[serde(default = "default_eps")]
        eps: f64,
        /// Factor of the parameter that is added to its gradient, 0 unless set.
        #[serde(default)]
        weight_decay: f64,
    },
    /// [`Adam`] with decoupled weight decay.
    #[serde(rename = "adamw")]
    AdamW {
        /// Decay of the first moment, 0.9 unless set.
        #[serde(default = "default_beta1")]
        beta1: f64,
        /// Decay of the second moment, 0.999 unless set.
        #[serde(default = "default_beta2")]
        beta2: f64,
        /// Added to the root of the second moment, 1e-8 unless set.
        #[serde(default = "default_eps")]
        eps: f64,
        /// The share of the parameter, times the learning rate, that a step removes; 0.01 unless
        /// set.
        #[serde(default = "default_decoupled")]
        weight_decay: f64,
    },
}

fn default_momentum() -> f64 {
    0.9
}
fn default_beta1() -> f64 {
    0.9
}
fn default_beta2() -> f64 {
    0.999
}
fn default_eps() -> f64 {
    1e-8
}
fn default_decoupled() -> f64 {
    0.01
}

impl OptimizerConfig {
    /// The optimizer, with empty state.
    pub fn build<T: Float>(self) -> Box<dyn Optimizer<T>> {
        match self {
            OptimizerConfig::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => Box::new(Sgd::new(momentum, nesterov, weight_decay)),
            OptimizerConfig::Adam {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => Box::new(Adam::new([beta1, beta2], eps, weight_decay)),
            OptimizerConfig::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => Box::new(Adam::decoupled([beta1, beta2], eps, weight_decay)),
        }
    }

    /// Finds settings that no training could mean.
    ///
    /// # Errors
    /// A sentence that names the key, the range and the value.
    pub fn validate(&self) -> Result<(), String> {
        let share = |key: &str, x: f64| match (0.0..1.0).contains(&x) {
            true => Ok(()),
            false => Err(format!("`{key}` must be at least 0 and below 1, not {x}")),
        };
        let not_negative = |key: &str, x: f64| match x >= 0.0 && x.is_finite() {
            true => Ok(()),
            false => Err(format!("`{key}` must be a number from 0 up, not {x}")),
        };
        match *self {
            OptimizerConfig::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                share("momentum", momentum)?;
                if nesterov && momentum == 0.0 {
                    return Err("`nesterov` needs a `momentum` above 0".into());
                }
                not_negative("weight_decay", weight_decay)
            }
            OptimizerConfig::Adam {
                beta1,
                beta2,
                eps,
                weight_decay,
            }
            | OptimizerConfig::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                not_negative("eps", eps)?;
                not_negative("weight_decay", weight_decay)
            }
        }
    }
}

/// Switches weight decay off for everything that is not the weight of a linear layer or a
/// convolution: biases, the scale and shift of normalisation, the slopes of PReLU.
pub fn exclude_vectors_from_decay<T: Float>(params: &mut Params<T>) {
    let vectors: Vec<_> = params
        .iter()
        .filter(|(_, p)| p.shape().rank() < 2)
        .map(|(id, _)| id)
        .collect();
    for id in vectors {
        params.param_mut(id).decay = false;
    }
}

/// Whether a step is to move the parameter.
fn moves<T: Float>(param: &Param<T>) -> bool {
    param.trainable && param.has_grad()
}

/// Zero in place of a number so small that it is denormal in f32. Moments that fade out would
/// else stay denormal for thousands of steps, and arithmetic on denormals is many times slower.
#[inline(always)]
fn flushed<T: Float>(x: T) -> T {
    if x.abs() < T::of(f64::from(f32::MIN_POSITIVE)) {
        T::ZERO
    } else {
        x
    }
}

/// Takes the tensors of a state in the order in which `state` gave them.
struct Reader<'a, T: Float> {
    state: &'a [(String, Tensor<T>)],
    taken: Vec<bool>,
}

impl<'a, T: Float> Reader<'a, T> {
    fn new(state: &'a [(String, Tensor<T>)]) -> Self {
        Reader {
            state,
            taken: vec![false; state.len()],
        }
    }

    fn take(&mut self, name: String, expected: engine::Shape) -> Result<&'a [T], StateError> {
        let Some(i) = self.state.iter().position(|(n, _)| *n == name) else {
            return Err(StateError::Missing { name });
        };
        self.taken[i] = true;
        let tensor = &self.state[i].1;
        if tensor.shape() != expected {
            return Err(StateError::Shape {
                name,
                expected: expected.to_vec(),
                found: tensor.shape().to_vec(),
            });
        }
        Ok(tensor.data())
    }

    fn finish(self) -> Result<(), StateError> {
        match self.taken.iter().position(|taken| !taken) {
            Some(i) => Err(StateError::Unexpected {
                name: self.state[i].0.clone(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
