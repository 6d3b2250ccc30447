//! The size of gradients, and limits on it.

use engine::{Float, Params, par};
use std::collections::BTreeMap;

/// The Euclidean norm of all gradients together, summed in f64. Frozen parameters and those that
/// no gradient has reached count as 0.
pub fn grad_norm<T: Float>(params: &Params<T>) -> f64 {
    squares(params)
        .map(|(_, square)| square)
        .sum::<f64>()
        .sqrt()
}

/// The norm of the gradients of each group of parameters, sorted by name. A group is named by the
/// first `depth` parts of its parameters' names: with depth 1, `conv1.weight` and `conv1.bias`
/// are both in `conv1`.
pub fn grad_norms<T: Float>(params: &Params<T>, depth: usize) -> Vec<(String, f64)> {
    let mut groups = BTreeMap::<String, f64>::new();
    for (name, square) in squares(params) {
        let group = name.split('.').take(depth).collect::<Vec<_>>().join(".");
        *groups.entry(group).or_default() += square;
    }
    groups
        .into_iter()
        .map(|(group, square)| (group, square.sqrt()))
        .collect()
}

/// Scales all gradients so that their common norm is at most `max`, and returns the norm they
/// had: PyTorch's `clip_grad_norm_`. Gradients whose norm is not finite are left as they are:
/// no factor would help, and the caller sees it in the norm.
pub fn clip_grad_norm<T: Float>(params: &mut Params<T>, max: f64) -> f64 {
    let norm = grad_norm(params);
    let factor = max / (norm + 1e-6);
    if factor < 1.0 && norm.is_finite() {
        let factor = T::of(factor);
        for_each_grad(params, |g| g * factor);
    }
    norm
}

/// Limits every element of every gradient to `[−max, max]`, and returns the norm they had before.
/// A NaN stays a NaN.
pub fn clip_grad_value<T: Float>(params: &mut Params<T>, max: f64) -> f64 {
    let norm = grad_norm(params);
    let (low, high) = (T::of(-max), T::of(max));
    for_each_grad(params, |g| g.max(low).min(high));
    norm
}

/// The names of the parameters that have gradients, with the sums of squares.
fn squares<T: Float>(params: &Params<T>) -> impl Iterator<Item = (&str, f64)> {
    params.iter().filter(|(_, p)| p.has_grad()).map(|(id, p)| {
        let grad = params.grad(id);
        let parts = par::map_ranges(grad.len(), par::task_size(par::CHEAP, 1), |range| {
            let square = |g: &T| g.to_f64() * g.to_f64();
            let grad = &grad[range.clone()];
            let parts = p
                .arrived(range)
                .map(|part| grad[part].iter().map(square).sum::<f64>());
            parts.sum::<f64>()
        });
        (p.name(), parts.iter().sum())
    })
}

fn for_each_grad<T: Float>(params: &mut Params<T>, f: impl Fn(T) -> T + Sync + Send) {
    let (grads, list) = params.split_grads();
    for param in list.iter().filter(|p| p.has_grad()) {
        let task = par::task_size(par::CHEAP, 1);
        par::chunks(&mut grads[param.range()], task, |start, grad| {
            for part in param.arrived(start..start + grad.len()) {
                grad[part].iter_mut().for_each(|g| *g = f(*g));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{ParamId, Tensor, Var};

    /// Gradients [3, 4], [12] and none; the third parameter is frozen after it got one before.
    fn model() -> (Params<f64>, [ParamId; 3]) {
        let mut params = Params::new();
        let a = params.add("conv1.weight", Tensor::zeros([2]));
        let b = params.add("fc.head.weight", Tensor::zeros([1]));
        let unused = params.add("conv1.bias", Tensor::zeros([1]));
        let stale = params.var(unused).sum();
        stale.backward_into(&mut params).map(drop).unwrap();
        params.clear_grads();
        for (id, grad) in [(a, &[3.0, -4.0][..]), (b, &[12.0])] {
            let grad = Var::constant(Tensor::new([grad.len()], grad));
            let product = (&params.var(id) * &grad).sum();
            product.backward_into(&mut params).map(drop).unwrap();
        }
        (params, [a, b, unused])
    }

    #[test]
    fn norms_of_all_and_of_groups() {
        let (params, _) = model();
        assert_eq!(grad_norm(&params), 13.0);
        assert_eq!(par::with_smallest_tasks(|| grad_norm(&params)), 13.0);
        let of = |depth| {
            let norms = grad_norms(&params, depth);
            norms
                .iter()
                .map(|(n, x)| format!("{n}={x}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(1), ["conv1=5", "fc=12"]);
        assert_eq!(of(2), ["conv1.weight=5", "fc.head=12"]);
    }

    #[test]
    fn the_norm_is_limited_and_reported() {
        let (mut params, [a, ..]) = model();
        assert_eq!(clip_grad_norm(&mut params, 20.0), 13.0);
        assert_eq!(params.grad(a), &[3.0, -4.0], "below the limit: untouched");
        assert_eq!(clip_grad_norm(&mut params, 6.5), 13.0);
        // max / (norm + 1e-6), as in PyTorch
        assert!((params.grad(a)[0] - 3.0 * 6.5 / 13.000001).abs() < 1e-15);
        assert!((grad_norm(&params) - 6.5).abs() < 1e-6);
    }

    #[test]
    fn only_rows_with_a_gradient_count() {
        let mut params = Params::<f64>::new();
        let table = params.add("table", Tensor::full([4, 2], 1.5));
        params.grads_mut().fill(1e9); // left by steps before
        let loss = params.rows(table, [1, 3].into()).square().sum();
        loss.backward_into(&mut params).map(drop).unwrap();
        assert_eq!(par::with_smallest_tasks(|| grad_norm(&params)), 6.0);
        assert_eq!(clip_grad_norm(&mut params, 3.0), 6.0);
        assert!((grad_norm(&params) - 3.0).abs() < 1e-6);
        assert!((clip_grad_value(&mut params, 0.5) - 3.0).abs() < 1e-6);
        let whole = params.whole_grad(table);
        assert_eq!(whole.data(), &[0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.5, 0.5]);
    }

    #[test]
    fn values_are_limited_and_nan_is_not_hidden() {
        let (mut params, [a, b, _]) = model();
        assert_eq!(clip_grad_value(&mut params, 3.5), 13.0);
        assert_eq!(
            (params.grad(a), params.grad(b)),
            (&[3.0, -3.5][..], &[3.5][..])
        );
        params.grads_mut()[0] = f64::NAN;
        assert!(clip_grad_norm(&mut params, 1.0).is_nan());
        assert_eq!(params.grad(b), &[3.5], "nothing can be done about a NaN");
        clip_grad_value(&mut params, 1.0);
        assert!(params.grad(a)[0].is_nan());
    }
}
