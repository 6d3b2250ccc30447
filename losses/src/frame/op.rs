//! A margin in a form, as an operation.

use super::cases::{Similarities, similarities};
use super::form::{Form, Row, Softmax};
use super::{Margin, Probe, SampleMargin};
use engine::error::BadOperands;
use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Result, Tensor, par};
use std::sync::Arc;

/// The losses `[N]` of similarities `[N, C]` with margin `M` in form `F`.
///
/// With a [`Margin`] it is an operation of one input. With a [`SampleMargin`] it has two: the
/// similarities and a number for each sample, `[N]`.
#[derive(Clone, Debug)]
pub struct ClassLoss<M, F> {
    /// The pair of functions.
    pub margin: M,
    /// How they make a loss.
    pub form: F,
    /// The class of each sample.
    pub labels: Arc<[usize]>,
}

/// The generalized softmax with margin `M`.
pub type ClassSoftmax<M> = ClassLoss<M, Softmax>;

impl<M, F: Form> ClassLoss<M, F> {
    /// One case for every setting of the margin and every kind of place, with the forms in turn.
    fn cases<const N: usize>(
        g: &mut Gen,
        probes: Vec<Probe<M>>,
        place: impl Fn(&mut Gen, &Probe<M>) -> Vec<Similarities>,
        inputs: impl Fn(Tensor<f64>, Tensor<f64>) -> [Tensor<f64>; N],
    ) -> Vec<Case<Self, N>>
    where
        Self: Op<N>,
        M: Clone,
    {
        let (forms, mut cases) = (F::probes(), Vec::new());
        for (p, probe) in probes.into_iter().enumerate() {
            for at in place(g, &probe) {
                let op = ClassLoss {
                    margin: probe.margin.clone(),
                    form: forms[p % forms.len()].clone(),
                    labels: at.labels.into(),
                };
                let inputs = inputs(at.c, at.numbers);
                cases.push(Case::new(at.name, op, inputs).step(at.step));
            }
        }
        cases
    }
}

impl<M: Margin, F: Form> Op<1> for ClassLoss<M, F> {
    const NAME: &'static str = M::NAME;
    /// ∂L_i/∂c_ij, `[N, C]`.
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [c]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        let margin = &self.margin;
        let rows = rows(M::NAME, c, &self.labels, |_, row| {
            let target = row.c[row.y];
            let positive = |c| {
                let (f, slope) = margin.positive(c);
                [f, slope, T::ZERO]
            };
            let negative = |c| {
                let (f, slope) = margin.negative(c, target);
                [f, slope, T::ZERO]
            };
            self.form.row(row, positive, negative)
        })?;
        Ok((rows.part(0), rows.gradient))
    }

    fn backward<T: Float>(
        &self,
        mut gradient: Tensor<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        scale_rows(&mut gradient, &dy);
        [Some(gradient)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let place = |g: &mut Gen, probe: &Probe<M>| {
            let boundary = |target| probe.margin.boundary(target);
            similarities(g, probe, |_| probe.margin.kinks(), boundary)
        };
        Self::cases(g, M::probes(), place, |c, _| [c])
    }
}

impl<M: SampleMargin, F: Form> Op<2> for ClassLoss<M, F> {
    const NAME: &'static str = M::NAME;
    /// ∂L_i/∂c_ij, `[N, C]`, and ∂L_i/∂a_i, `[N]`.
    type Saved<T: Float> = (Tensor<T>, Tensor<T>);

    fn forward<T: Float>(&self, [c, a]: [&Tensor<T>; 2]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        if *a.shape() != [self.labels.len()] {
            let reason = "there must be one number for each sample";
            return Err(BadOperands::new(M::NAME, reason)
                .operand("similarities", "[N, C]", c.shape())
                .operand("numbers", "[N]", a.shape())
                .into());
        }
        let (margin, numbers) = (&self.margin, a.data());
        let rows = rows(M::NAME, c, &self.labels, |i, row| {
            let a = numbers[i];
            self.form
                .row(row, |c| margin.positive(c, a), |c| margin.negative(c, a))
        })?;
        let (loss, by_a) = (rows.part(0), rows.part(1));
        Ok((loss, (rows.gradient, by_a)))
    }

    fn backward<T: Float>(
        &self,
        (mut dc, mut da): Self::Saved<T>,
        dy: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        let dc = need[0].then(|| {
            scale_rows(&mut dc, &dy);
            dc
        });
        let da = need[1].then(|| {
            da.zip_assign(&dy, |da, dy| da * dy);
            da
        });
        [dc, da]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        let place = |g: &mut Gen, probe: &Probe<M>| {
            similarities(g, probe, |a| probe.margin.kinks(a), |_| None)
        };
        Self::cases(g, M::probes(), place, |c, a| [c, a])
    }
}

/// What a pass over all samples gives.
struct Rows<T: Float> {
    /// ∂L_i/∂c_ij, `[N, C]`.
    gradient: Tensor<T>,
    /// The two numbers of each sample.
    parts: Vec<[T; 2]>,
}

impl<T: Float> Rows<T> {
    fn part(&self, k: usize) -> Tensor<T> {
        Tensor::from_fn([self.parts.len()], |i| self.parts[i][k])
    }
}

/// An exponential costs about as much as this many additions.
const EXP: usize = 16;

/// Calls `f(sample, its row)` for every sample.
fn rows<T: Float>(
    name: &'static str,
    c: &Tensor<T>,
    labels: &[usize],
    f: impl Fn(usize, Row<'_, T>) -> [T; 2] + Sync + Send,
) -> Result<Rows<T>> {
    let bad = |reason: &str| BadOperands::new(name, reason).operand("input", "[N, C]", c.shape());
    let &[samples, classes] = &*c.shape() else {
        return Err(bad("expected one row of similarities for each sample").into());
    };
    if let Some(fault) = label_fault(labels, samples, classes) {
        return Err(bad(&fault).into());
    }
    let mut gradient = Tensor::stale(c.shape());
    let mut parts = vec![[T::ZERO; 2]; labels.len()];
    let per_task = par::task_size(par::CHEAP / EXP, classes);
    let samples_per_task = per_task / classes;
    par::chunks2(
        gradient.data_mut(),
        per_task,
        &mut parts,
        samples_per_task,
        |task, gradient, parts| {
            let rows = gradient.chunks_exact_mut(classes).zip(parts);
            for (k, (gradient, part)) in rows.enumerate() {
                let i = task * samples_per_task + k;
                let (c, y) = (&c.data()[i * classes..][..classes], labels[i]);
                *part = f(i, Row { c, y, gradient });
            }
        },
    );
    Ok(Rows { gradient, parts })
}

/// What is wrong with the labels of `samples` samples of `classes` classes, if anything.
pub(crate) fn label_fault(labels: &[usize], samples: usize, classes: usize) -> Option<String> {
    if samples != labels.len() {
        return Some(format!("{} labels for {samples} samples", labels.len()));
    }
    if classes < 2 {
        return Some("at least two classes are needed to tell them apart".into());
    }
    let i = labels.iter().position(|&y| y >= classes)?;
    let y = labels[i];
    Some(format!(
        "labels[{i}] is {y}, but there are {classes} classes, counted from 0"
    ))
}

/// Multiplies row i of `matrix` by `factors[i]`.
pub(crate) fn scale_rows<T: Float>(matrix: &mut Tensor<T>, factors: &Tensor<T>) {
    let columns = matrix.shape().last();
    let factors = factors.data();
    let size = par::task_size(par::CHEAP, columns);
    par::chunks(matrix.data_mut(), size, |start, piece| {
        for (r, row) in piece.chunks_exact_mut(columns).enumerate() {
            let factor = factors[start / columns + r];
            row.iter_mut().for_each(|x| *x *= factor);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{cosface::CosFace, normface::NormFace};

    fn normface(labels: &[usize], smoothing: f64) -> ClassSoftmax<NormFace> {
        ClassSoftmax {
            margin: NormFace { s: 16.0 },
            form: Softmax { smoothing },
            labels: labels.into(),
        }
    }

    /// ∂L/∂c_j = s (p_j − q_j), with p by the textbook formula.
    #[test]
    fn the_gradient_is_probability_minus_target() {
        let c = Tensor::new([1, 4], &[0.3, -0.5, 0.25, 0.1_f64]);
        for smoothing in [0.0, 0.1] {
            let (_, g) = Op::<1>::forward(&normface(&[2], smoothing), [&c]).unwrap();
            let e: Vec<f64> = c.data().iter().map(|c| (16.0 * c).exp()).collect();
            let z: f64 = e.iter().sum();
            for (j, (g, e)) in g.data().iter().zip(&e).enumerate() {
                let onehot = if j == 2 { 1.0 } else { 0.0 };
                let q = (1.0 - smoothing) * onehot + smoothing / 4.0;
                approx::assert_relative_eq!(*g, 16.0 * (e / z - q), epsilon = 1e-12);
            }
        }
    }

    #[test]
    fn a_label_out_of_range_is_named() {
        let c = Tensor::<f32>::zeros([3, 4]);
        let e = Op::<1>::forward(&normface(&[0, 3, 4], 0.0), [&c])
            .err()
            .unwrap();
        let text = e.to_string();
        assert!(
            text.contains("labels[2] is 4") && text.contains("4 classes"),
            "{text}"
        );
        let e = Op::<1>::forward(&normface(&[0, 3], 0.0), [&c])
            .err()
            .unwrap();
        assert!(e.to_string().contains("2 labels for 3 samples"), "{e}");
    }

    /// At scale 512 and cosines of ±1 the exponents differ by 1024.
    #[test]
    fn extreme_scales_stay_finite_and_small_losses_survive() {
        let cosface = |c: &[f32], y: usize| {
            let op = ClassSoftmax {
                margin: CosFace { s: 512.0, m: 0.35 },
                form: Softmax { smoothing: 0.0 },
                labels: [y].into(),
            };
            let (loss, g) = Op::<1>::forward(&op, [&Tensor::new([1, c.len()], c)]).unwrap();
            assert!(g.data().iter().all(|g| g.is_finite()));
            loss.item()
        };
        assert_eq!(cosface(&[-1.0, 1.0], 0), 512.0 * 2.35);
        assert_eq!(cosface(&[1.0, -1.0], 0), 0.0);
        let tiny = cosface(&[0.9, 0.45], 0);
        assert!(tiny > 0.0 && tiny < 1e-20, "{tiny}");
    }
}
