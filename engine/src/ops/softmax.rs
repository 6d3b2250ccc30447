//! Softmax over the last axis, its logarithm, and cross-entropy on logits.
//!
//! Every row is taken relative to its maximum, so that no exponential overflows.

use super::index::check_indices;
use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen, SIZES};
use crate::kernels::reduce::{dot, exponentiate, sum_pairs, sum_slice};
use crate::op::Op;
use crate::par;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Exponentials that make a task worth a thread.
const TASK: usize = par::CHEAP / 8;

/// Calls `f(row of out, the same row of x)` for every row.
fn rows<T: Float>(out: &mut Tensor<T>, x: &Tensor<T>, f: impl Fn(&mut [T], &[T]) + Sync + Send) {
    let (n, x) = (x.shape().last(), x.data());
    par::chunks(out.data_mut(), par::task_size(TASK, n), |start, piece| {
        for (out, x) in piece.chunks_mut(n).zip(x[start..].chunks(n)) {
            f(out, x);
        }
    });
}

/// y = eˣ / Σ eˣ over the last axis;  dx = y (dy − Σ y dy)
#[derive(Clone, Debug)]
pub struct Softmax;
impl Op<1> for Softmax {
    const NAME: &'static str = "softmax";
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        let mut y = Tensor::stale(x.shape());
        rows(&mut y, x, |y, x| {
            y.copy_from_slice(x);
            let [_, sum] = exponentiate(y);
            let scale = T::ONE / sum;
            for y in y {
                *y *= scale;
            }
        });
        Ok((y.clone(), y))
    }

    fn backward<T: Float>(
        &self,
        y: Tensor<T>,
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        rows(&mut dy, &y, |dy, y| {
            let mean = dot(y, dy);
            for (dy, &y) in dy.iter_mut().zip(y) {
                *dy = y * (*dy - mean);
            }
        });
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        cases(g, Softmax)
    }
}

/// y = x − ln Σ eˣ over the last axis;  dx = dy − eʸ Σ dy
#[derive(Clone, Debug)]
pub struct LogSoftmax;
impl Op<1> for LogSoftmax {
    const NAME: &'static str = "log_softmax";
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        let mut y = Tensor::stale(x.shape());
        rows(&mut y, x, |y, x| {
            y.copy_from_slice(x);
            let [max, sum] = exponentiate(y);
            let ln = sum.ln();
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x - max - ln;
            }
        });
        Ok((y.clone(), y))
    }

    fn backward<T: Float>(
        &self,
        y: Tensor<T>,
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        rows(&mut dy, &y, |dy, y| {
            let sum = sum_slice(dy);
            for (dy, &y) in dy.iter_mut().zip(y) {
                *dy -= y.exp() * sum;
            }
        });
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        cases(g, LogSoftmax)
    }
}

fn cases<O: Clone>(g: &mut Gen, op: O) -> Vec<Case<O, 1>> {
    let mut cases = g.shapes(
        op.clone(),
        &[&[5], &[3, 17], &[2, 3, 4], &[4, 1]],
        |g, s| g.normal(s),
    );
    for n in SIZES {
        let name = format!("[3, {n}], large");
        let x = g.normal([3, n]).map(|x| 3.0 * x + 1000.0);
        cases.push(Case::new(name, op.clone(), [x]));
    }
    cases
}

/// Softmax and cross-entropy in one, of logits `[N, C]`; one loss per sample, `[N]`.
///
/// ```text
/// p  = softmax(x),  q = (1 − smoothing) onehot(label) + smoothing / C
/// y  = −Σ q ln p
/// dx = (p − q) dy
/// ```
///
/// Smoothing as in Szegedy et al. 2016 (and as in PyTorch): the target keeps a share of the
/// uniform distribution over *all* classes, its own included.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// The class of every sample.
    pub labels: Arc<[usize]>,
    /// The part of the target that is spread evenly over the classes, in `[0, 1]`.
    pub smoothing: f64,
}
impl Op<1> for CrossEntropy {
    const NAME: &'static str = "cross_entropy";
    /// The probabilities.
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        let refuse = |reason: String| {
            BadOperands::new(Self::NAME, reason).operand("logits", "[N, C]", x.shape())
        };
        let [n, c] = *x.shape() else {
            return Err(refuse("the logits must have two axes".into()).into());
        };
        if !(0.0..=1.0).contains(&self.smoothing) {
            let reason = format!("a smoothing of {} is not in [0, 1]", self.smoothing);
            return Err(refuse(reason).into());
        }
        check_indices(&self.labels, n, "label", c, "classes").map_err(refuse)?;

        let (x, labels) = (x.data(), &self.labels);
        let [on_label, on_all]: [T; 2] = self.target(c);
        let (mut p, mut y) = (Tensor::stale([n, c]), Tensor::stale([n]));
        let rows = par::task_size(TASK.div_ceil(c.max(1)), 1);
        par::chunks2(p.data_mut(), rows * c, y.data_mut(), rows, |task, p, y| {
            for (r, (p, y)) in p.chunks_mut(c).zip(y).enumerate() {
                let i = task * rows + r;
                let x = &x[i * c..][..c];
                p.copy_from_slice(x);
                let [max, _] = exponentiate(p);
                // A NaN is the maximum too, and makes the whole row NaN.
                let top = x.iter().position(|&x| x == max || x.is_nan()).unwrap_or(0);
                // Without the maximum, whose exponential is 1, the sum keeps its small digits:
                // a confident sample has a small loss, not none.
                let at_top = std::mem::replace(&mut p[top], T::ZERO);
                let others = sum_slice(p) + (at_top - T::ONE);
                p[top] = at_top;
                let mut loss = others.ln_1p() - on_label * (x[labels[i]] - max);
                if on_all > T::ZERO {
                    loss -= on_all * sum_pairs(x, x, |x, _| x - max);
                }
                *y = loss;
                let scale = T::ONE / (T::ONE + others);
                for p in p {
                    *p *= scale;
                }
            }
        });
        Ok((y, p))
    }

    fn backward<T: Float>(
        &self,
        mut p: Tensor<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let (c, dy, labels) = (p.shape().last(), dy.data(), &self.labels);
        let [on_label, on_all]: [T; 2] = self.target(c);
        par::chunks(
            p.data_mut(),
            par::task_size(par::CHEAP, c),
            |start, piece| {
                for (r, p) in piece.chunks_mut(c).enumerate() {
                    let i = start / c + r;
                    let dy = dy[i];
                    p[labels[i]] -= on_label;
                    for p in p {
                        *p = (*p - on_all) * dy;
                    }
                }
            },
        );
        [Some(p)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let mut cases = Vec::new();
        for (n, c, smoothing, scale) in [
            (3, 5, 0.0, 1.0),
            (4, 6, 0.1, 1.0),
            (2, 3, 1.0, 1.0),
            (5, 1, 0.2, 1.0),
            (17, 33, 0.1, 1.0),
            (4, 15, 0.0, 4.0),
        ] {
            let labels = g.labels(n, c).into();
            let x = g.normal([n, c]).map(|x| scale * x);
            let name = format!("[{n}, {c}], smoothing {smoothing}");
            cases.push(Case::new(name, CrossEntropy { labels, smoothing }, [x]));
        }
        cases
    }
}

impl CrossEntropy {
    /// The target's weight on the label, and on every class.
    fn target<T: Float>(&self, classes: usize) -> [T; 2] {
        [1.0 - self.smoothing, self.smoothing / classes as f64].map(T::of)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tensor, Var};

    #[test]
    fn large_logits_give_the_right_loss() {
        let x = Var::leaf(Tensor::new([2, 2], &[1e4, 0.0, 0.0, 1e4_f32]));
        let y = x.cross_entropy([0, 0], 0.0);
        assert_eq!(y.value().data(), &[0.0, 1e4]);
        let dx = y.sum().backward();
        assert_eq!(dx.of(&x).unwrap().data(), &[0.0, 0.0, -1.0, 1.0]);
    }

    #[test]
    fn a_confident_sample_has_a_small_loss_in_f32() {
        let x = Var::constant(Tensor::new([1, 3], &[20.0, 0.0, 0.0_f32]));
        let y = x.cross_entropy([0], 0.0).value().item();
        let expected = 2.0 * (-20.0_f32).exp();
        assert!((y / expected - 1.0).abs() < 1e-6, "{y} {expected}");
    }

    #[test]
    fn equal_logits_give_the_logarithm_of_the_number_of_classes() {
        let x = Var::constant(Tensor::full([1, 10], 3.0_f64));
        for smoothing in [0.0, 0.1] {
            let y = x.cross_entropy([7], smoothing).value().item();
            assert!((y - 10_f64.ln()).abs() < 1e-14, "{y}");
        }
    }

    #[test]
    fn a_nan_stays_in_its_row() {
        let x = Var::constant(Tensor::new([2, 2], &[0.0, f32::NAN, 0.0, 0.0]));
        for y in [x.softmax(), x.log_softmax(), x.cross_entropy([0, 1], 0.1)] {
            let (first, second) = y.value().data().split_at(y.value().elements() / 2);
            assert!(first.iter().all(|y| y.is_nan()), "{y:?}");
            assert!(second.iter().all(|y| y.is_finite()), "{y:?}");
        }
    }

    #[test]
    fn bad_labels_are_explained() {
        let x = Var::<f32>::constant(Tensor::zeros([3, 10]));
        let text = |labels: &[usize], smoothing| {
            let e = x.try_cross_entropy(labels, smoothing).unwrap_err();
            e.to_string()
        };
        let e = text(&[1, 17, 0], 0.0);
        for part in ["cross_entropy", "label 17", "position 1", "10 classes"] {
            assert!(e.contains(part), "{part} is missing in: {e}");
        }
        let e = text(&[1, 2], 0.0);
        assert!(e.contains("2 labels") && e.contains("3"), "{e}");
        assert!(text(&[1, 2, 3], 1.5).contains("1.5"));
    }
}
