//! Derivatives against four-point central differences.

use super::Report;
use crate::error::Error;
use crate::params::{ParamId, Params};
use crate::rng::{Key, Rng};
use crate::tensor::Tensor;
use crate::var::Var;
use std::cell::RefCell;
use std::fmt;
use std::time::Instant;

/// Inputs of at most this many elements are compared element by element too.
const SMALL: usize = 64;
/// Random directions per input.
const DIRECTIONS: usize = 3;

/// Sums of magnitudes below this count as this much, so that the rounding of numbers that ought to
/// be 0 is no relative error of one.
const FLOOR: f64 = 1e-4;
/// The same where all of a gradient is 0 to rounding: shifts and scales that a later normalisation
/// takes away. There the difference is nothing but rounding, that of a whole network divided by the
/// step. Far above it lies any derivative that is really there.
const FLOOR_OF_NOTHING: f64 = 1e-2;
/// Gradients below this are 0 to rounding.
const NOTHING: f64 = 1e-12;

/// The worst disagreement found.
pub(super) struct Worst {
    /// Relative to the sum of the magnitudes that make up the number compared, or a floor.
    pub error: f64,
    /// The input and the element or direction.
    pub at: String,
    backward: f64,
    difference: f64,
}

impl Default for Worst {
    fn default() -> Self {
        Worst {
            error: -1.0,
            at: String::new(),
            backward: 0.0,
            difference: 0.0,
        }
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: backward gives {:.12e}, finite differences {:.12e} (relative error {:.1e})",
            self.at, self.backward, self.difference, self.error
        )
    }
}

impl Worst {
    /// Takes in one comparison; `scale` is what the gap is relative to.
    fn see(&mut self, at: impl FnOnce() -> String, backward: f64, difference: f64, scale: f64) {
        let error = (backward - difference).abs() / scale;
        if error > self.error || error.is_nan() {
            *self = Worst {
                error,
                at: at(),
                backward,
                difference,
            };
        }
    }
}

type Forward<'a> = dyn Fn(&[Tensor<f64>]) -> Result<Tensor<f64>, Error> + 'a;

/// Compares the gradients `gradients = Jᵀu` with finite differences of `f` around `inputs`.
pub(super) fn compare(
    f: &Forward<'_>,
    inputs: &[Tensor<f64>],
    cotangent: &Tensor<f64>,
    gradients: &[Tensor<f64>],
    step: f64,
    rng: &mut Rng,
) -> Result<Worst, Error> {
    let mut worst = Worst::default();
    for (k, (input, gradient)) in inputs.iter().zip(gradients).enumerate() {
        let g = gradient.data();
        let largest = g.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
        let floor = if largest < NOTHING {
            FLOOR_OF_NOTHING
        } else {
            FLOOR
        };
        for d in 0..DIRECTIONS {
            let v = Tensor::from_fn(input.shape(), |_| rng.normal());
            let jv = directional(f, inputs, k, &v, step)?;
            let products = || cotangent.data().iter().zip(jv.data()).map(|(u, j)| u * j);
            let pulled = || g.iter().zip(v.data()).map(|(g, v)| g * v);
            let magnitude = products().map(f64::abs).sum::<f64>();
            let scale = magnitude.max(pulled().map(f64::abs).sum());
            let at = || format!("input {k}, direction {d}");
            worst.see(at, pulled().sum(), products().sum(), scale.max(floor));
        }
        if input.elements() <= SMALL {
            for (e, &backward) in g.iter().enumerate() {
                let v = Tensor::from_fn(input.shape(), |i| f64::from(u8::from(i == e)));
                let je = directional(f, inputs, k, &v, step)?;
                let difference = dot(cotangent, &je);
                let at = || format!("input {k}, element {e} of {}", input.shape());
                let scale = largest.max(difference.abs()).max(floor);
                worst.see(at, backward, difference, scale);
            }
        }
    }
    Ok(worst)
}

/// `Jv` by `(f(x−2hv) − 8f(x−hv) + 8f(x+hv) − f(x+2hv)) / 12h`, whose error is O(h⁴).
fn directional(
    f: &Forward<'_>,
    inputs: &[Tensor<f64>],
    k: usize,
    v: &Tensor<f64>,
    h: f64,
) -> Result<Tensor<f64>, Error> {
    let mut moved = inputs.to_vec();
    let mut sum: Option<Tensor<f64>> = None;
    for (steps, weight) in [(-2.0, 1.0), (-1.0, -8.0), (1.0, 8.0), (2.0, -1.0)] {
        moved[k] = inputs[k].clone();
        moved[k].zip_assign(v, |x, v| x + steps * h * v);
        let term = f(&moved)?.map(|y| y * (weight / (12.0 * h)));
        match &mut sum {
            None => sum = Some(term),
            Some(sum) => sum.add_assign(&term),
        }
    }
    Ok(sum.expect("four terms"))
}

fn dot(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    a.data().iter().zip(b.data()).map(|(a, b)| a * b).sum()
}

/// Checks the gradients of any function of leaves: a composition, a loss, a network.
///
/// ```
/// use engine::{Tensor, gradcheck::check_function};
/// let x = Tensor::new([2, 2], &[0.3, -1.2, 0.7, 2.0]);
/// let report = check_function("x·xᵀ", &[x], &|x| x[0].matmul_nt(&x[0]));
/// assert!(report.passed());
/// ```
pub fn check_function(
    name: &str,
    inputs: &[Tensor<f64>],
    f: &dyn Fn(&[Var<f64>]) -> Var<f64>,
) -> Report {
    let mut params = Params::new();
    check_params(name, &mut params, inputs, &|_, x| f(x))
}

/// A function of parameters and leaves.
pub type Function<'a> = dyn Fn(&Params<f64>, &[Var<f64>]) -> Var<f64> + 'a;

/// Checks the gradients of a function of parameters and leaves: a layer, a network with its loss.
/// The parameters are left as they were. The function must not be random, or must take its
/// random numbers from a fixed key.
pub fn check_params(
    name: &str,
    params: &mut Params<f64>,
    inputs: &[Tensor<f64>],
    f: &Function<'_>,
) -> Report {
    let started = Instant::now();
    let mut report = Report::new(name);
    let mut rng = Key::new(0).named("check").named(name).rng();
    let ids: Vec<ParamId> = params
        .iter()
        .filter(|(_, p)| p.trainable)
        .map(|(id, _)| id)
        .collect();
    let buffers = params.buffers();
    // The inputs of the function as the checker sees it: the leaves, then the parameters.
    let mut all = inputs.to_vec();
    all.extend(
        ids.iter()
            .map(|&id| Tensor::new(params.param(id).shape(), params.value(id).data())),
    );

    let leaves: Vec<_> = inputs.iter().cloned().map(Var::leaf).collect();
    let y = f(params, &leaves);
    let u = Tensor::from_fn(y.shape(), |_| rng.normal());
    params.clear_grads();
    let scalar = match (&y * &Var::constant(u.clone())).sum().backward_into(params) {
        Ok(gradients) => gradients,
        Err(e) => {
            report.fail(super::Kind::Refused, name, e.to_string());
            return report;
        }
    };
    let mut gradients: Vec<Tensor<f64>> = leaves
        .iter()
        .map(|x| {
            scalar
                .of(x)
                .cloned()
                .unwrap_or_else(|| Tensor::zeros(x.shape()))
        })
        .collect();
    for &id in &ids {
        gradients.push(params.whole_grad(id));
    }

    let shared = RefCell::new(params);
    let run = |x: &[Tensor<f64>]| {
        let mut params = shared.borrow_mut();
        for (&id, value) in ids.iter().zip(&x[inputs.len()..]) {
            params.set(id, value);
        }
        let constants: Vec<_> = x[..inputs.len()]
            .iter()
            .cloned()
            .map(Var::constant)
            .collect();
        Ok(f(&params, &constants).value().clone())
    };
    let outcome = compare(&run, &all, &u, &gradients, 1e-3, &mut rng);
    drop(run(&all));
    report.cases = 1;
    match outcome {
        Ok(mut worst) => {
            if let Some(rest) = worst.at.strip_prefix("input ") {
                let (k, place) = rest.split_once(',').unwrap_or((rest, ""));
                let k: usize = k.parse().unwrap_or(0);
                if let Some(&id) = k.checked_sub(inputs.len()).and_then(|i| ids.get(i)) {
                    worst.at = format!("`{}`,{place}", shared.borrow().param(id).name());
                }
            }
            report.derivative(name, worst);
        }
        Err(e) => report.fail(super::Kind::Refused, name, e.to_string()),
    }
    let params = shared.into_inner();
    for (name, value) in buffers {
        if let Ok(id) = params.find_buffer(&name) {
            params.set_buffer(id, value);
        }
    }
    report.time = started.elapsed();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lenient floor of a gradient that is 0 does not hide one that should not be.
    #[test]
    fn a_small_gradient_that_is_forgotten_is_noticed() {
        let x = Tensor::new([2], &[0.5, -1.5]);
        let keeps = |x: &[Var<f64>]| &(&x[0] * &x[0]) * 1e-6;
        assert!(check_function("kept", std::slice::from_ref(&x), &keeps).passed());
        let forgets = |x: &[Var<f64>]| &(&x[0].detach() * &x[0].detach()) * 1e-6;
        assert!(!check_function("forgotten", &[x], &forgets).passed());
    }
}
