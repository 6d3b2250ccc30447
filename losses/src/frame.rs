//! The generalized softmax: one piece of code behind every loss that compares classes.
//!
//! With c_j the similarity of a sample to class j and y its class, these losses are
//!
//! ```text
//! L = −ln( e^Fp(c_y) / ( e^Fp(c_y) + Σ_{j≠y} e^Fn(c_j) ) )
//!   = softplus( lse_{j≠y} Fn(c_j) − Fp(c_y) )                      lse = ln Σ exp
//!
//! ∂L/∂c_y = −(1 − p_y) Fp'(c_y)        ∂L/∂c_j = p_j Fn'(c_j)
//! ```
//!
//! and differ in the two functions alone. A [`Margin`] is that pair with its derivatives;
//! [`ClassSoftmax`] makes it an operation. The second line is the one computed: it neither
//! overflows at scale 512 nor loses a loss of 1e-20 to rounding.
//!
//! | loss | Fp(c) | Fn(c) |
//! |---|---|---|
//! | softmax (on logits z) | z | z |
//! | NormFace | s c | s c |
//! | CosFace | s (c − m) | s c |
//! | ArcFace | s cos(θ + m) | s c |
//! | SphereFace | ‖x‖ ψ(θ) | ‖x‖ c |
//! | CS-softmax | s (c − m) | λ s c |
//! | SO-softmax | λp (m² − (1 − c)²) | λn (c² − m²) |
//!
//! [`ClassDecoupled`] is the relative that has no competition between positive and negatives:
//! `softplus(−Fp(c_y)) + w ln(1 + Σ_{j≠y} e^Fn(c_j))`.

use engine::error::BadOperands;
use engine::gradcheck::{Case, Gen};
use engine::op::Registered;
use engine::{Float, Op, Result, Tensor, par};
use std::fmt::Debug;
use std::sync::Arc;

/// What a negative may know of its sample besides its own similarity.
#[derive(Clone, Copy, Debug)]
pub struct Target<T> {
    /// The sample's place in the batch.
    pub sample: usize,
    /// The similarity to the sample's own class. It is *detached*: what Fn makes of it gets no
    /// derivative.
    pub similarity: T,
}

/// The pair of functions that makes a class-level loss, each with its derivative.
///
/// If the second number of a pair is the derivative of the first, the loss is exact and belongs in
/// [`OPERATIONS`](crate::OPERATIONS). A loss that stops a gradient on purpose returns another
/// number there; it belongs in [`SURROGATES`](crate::SURROGATES), whose members are *expected* to
/// fail the comparison with finite differences.
pub trait Margin: Clone + Debug + Send + Sync + 'static {
    /// The name in tables and error messages.
    const NAME: &'static str;
    /// Fp and its derivative, at the similarity `c` of a sample to its own class.
    fn positive<T: Float>(&self, c: T, sample: usize) -> (T, T);
    /// Fn and its derivative, at the similarity `c` of a sample to another class.
    fn negative<T: Float>(&self, c: T, target: Target<T>) -> (T, T);
    /// Settings to check the derivatives with.
    fn probes() -> Vec<Probe<Self>>;
}

/// Says that a margin is in a table, and hence checked. Implemented by
/// [`register_margins!`](crate::register_margins) alone; applying a margin asks for it.
pub trait RegisteredMargin: Margin {}

impl<M: RegisteredMargin> Registered<1> for ClassSoftmax<M> {}
impl<M: RegisteredMargin> Registered<2> for ClassSoftmax<M> {}
impl<M: RegisteredMargin> Registered<1> for ClassDecoupled<M> {}

/// Enters margins into a table of [`Entry`](engine::op::Entry)s, whose checks they then pass or
/// fail, and thereby lets them be applied.
///
/// `register_margins! { pub static MINE = [class CosFace, radial SpherePsi]; }`; the word before a
/// margin says how it is used: `class` as [`ClassSoftmax`](crate::frame::ClassSoftmax) of cosines,
/// `radial` the same with the length of the embedding, `decoupled` as
/// [`ClassDecoupled`](crate::frame::ClassDecoupled).
#[macro_export]
macro_rules! register_margins {
    ($(#[$doc:meta])* $vis:vis static $table:ident = [$($form:ident $margin:ty),* $(,)?];) => {
        $(impl $crate::frame::RegisteredMargin for $margin {})*
        $(#[$doc])*
        $vis static $table: &[engine::op::Entry] = &[$($crate::register_margins!(@entry $form $margin)),*];
    };
    (@entry class $margin:ty) => {
        engine::op::Entry::of::<$crate::frame::ClassSoftmax<$margin>, 1>()
    };
    (@entry radial $margin:ty) => {
        engine::op::Entry::of::<$crate::frame::ClassSoftmax<$margin>, 2>()
    };
    (@entry decoupled $margin:ty) => {
        engine::op::Entry::of::<$crate::frame::ClassDecoupled<$margin>, 1>()
    };
    (@entry op $op:ty [$n:literal]) => {
        engine::op::Entry::of::<$op, $n>()
    };
    (@mark op $op:ty [$n:literal]) => {
        impl engine::op::Registered<$n> for $op {}
    };
    (@mark $form:ident $margin:ty) => {
        impl $crate::frame::RegisteredMargin for $margin {}
    };
}

/// A setting of a margin, and where its derivatives are worth checking.
pub struct Probe<M> {
    /// The margin.
    pub margin: M,
    /// The largest slope of its functions, which sets the step of the finite differences.
    pub steepness: f64,
    /// Similarities where a derivative jumps or has a pole. Random similarities keep away from
    /// them; one case each sits just off them on either side.
    pub kinks: Vec<f64>,
}

impl<M> Probe<M> {
    /// A setting without kinks.
    pub fn smooth(margin: M, steepness: f64) -> Self {
        Probe {
            margin,
            steepness,
            kinks: Vec::new(),
        }
    }
}

/// The generalized softmax with margin `M`: similarities `[N, C]` to losses `[N]`.
///
/// As an operation of two inputs it also takes a radius `[N]`: the exponents are then
/// `r_i Fp(c_iy)` and `r_i Fn(c_ij)`, as in SphereFace, whose radius is the length of the
/// embedding, and the gradient reaches the radius too.
///
/// With label smoothing ε, the target is `(1 − ε) onehot(y) + ε/C` (Szegedy et al. 2016), which
/// adds `ε (Fp(c_y) − mean of all exponents)`.
#[derive(Clone, Debug)]
pub struct ClassSoftmax<M> {
    /// The pair of functions.
    pub margin: M,
    /// The class of each sample.
    pub labels: Arc<[usize]>,
    /// ε, 0 for none.
    pub smoothing: f64,
}

impl<M: Margin> ClassSoftmax<M> {
    /// The losses, the gradients with respect to the similarities, and those with respect to the
    /// radii.
    fn run<T: Float>(&self, c: &Tensor<T>, radius: Option<&Tensor<T>>) -> Result<Rows<T>> {
        let smoothing = T::of(self.smoothing);
        rows(M::NAME, c, &self.labels, |i, y, c, g| {
            let r = radius.map_or(T::ONE, |r| r.data()[i]);
            let target = Target {
                sample: i,
                similarity: c[y],
            };
            let negative = |c| self.margin.negative(c, target);
            let (fp, dfp) = self.margin.positive(c[y], i);
            let lse = exponentiate(c, y, g, |c| r * negative(c).0);
            let gap = lse.total - r * fp;
            let miss = sigmoid(gap); // 1 − p_y
            let weight = miss / lse.sum;
            let even = smoothing / T::of(c.len() as f64);

            // dz_j = ∂L/∂(exponent j), turned into ∂L/∂c_j = dz_j r F'(c_j) on the way.
            let dz = smoothing - even - miss;
            let (mut dr, mut exponents) = (dz * fp, fp);
            for (j, (g, &c)) in g.iter_mut().zip(c).enumerate() {
                if j == y {
                    *g = dz * r * dfp;
                } else {
                    let (f, df) = negative(c);
                    let dz = *g * weight - even;
                    *g = dz * r * df;
                    dr += dz * f;
                    exponents += f;
                }
            }
            let smoothed = (smoothing * fp - even * exponents) * r;
            [softplus(gap) + smoothed, dr]
        })
    }

    fn cases<const N: usize>(
        g: &mut Gen,
        inputs: impl Fn(&mut Gen, Tensor<f64>) -> [Tensor<f64>; N],
    ) -> Vec<Case<Self, N>> {
        let mut cases = Vec::new();
        for (p, probe) in M::probes().into_iter().enumerate() {
            for (name, c, labels, step) in similarities(g, &probe) {
                let op = ClassSoftmax {
                    margin: probe.margin.clone(),
                    labels: labels.into(),
                    // Every second setting is smoothed.
                    smoothing: if p % 2 == 1 { 0.1 } else { 0.0 },
                };
                cases.push(Case::new(name, op, inputs(g, c)).step(step));
            }
        }
        cases
    }
}

impl<M: Margin> Op<1> for ClassSoftmax<M> {
    const NAME: &'static str = M::NAME;
    /// ∂L_i/∂c_ij, `[N, C]`.
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [c]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        let rows = self.run(c, None)?;
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
        Self::cases(g, |_, c| [c])
    }
}

impl<M: Margin> Op<2> for ClassSoftmax<M> {
    const NAME: &'static str = M::NAME;
    /// ∂L_i/∂c_ij, `[N, C]`, and ∂L_i/∂r_i, `[N]`.
    type Saved<T: Float> = (Tensor<T>, Tensor<T>);

    fn forward<T: Float>(&self, [c, r]: [&Tensor<T>; 2]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        if *r.shape() != [self.labels.len()] {
            let reason = "there must be one radius for each sample";
            return Err(BadOperands::new(M::NAME, reason)
                .operand("cosines", "[N, C]", c.shape())
                .operand("radius", "[N]", r.shape())
                .into());
        }
        let rows = self.run(c, Some(r))?;
        Ok((rows.part(0), (rows.gradient.clone(), rows.part(1))))
    }

    fn backward<T: Float>(
        &self,
        (mut dc, mut dr): Self::Saved<T>,
        dy: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        let dc = need[0].then(|| {
            scale_rows(&mut dc, &dy);
            dc
        });
        let dr = need[1].then(|| {
            dr.zip_assign(&dy, |dr, dy| dr * dy);
            dr
        });
        [dc, dr]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        Self::cases(g, |g, c| {
            let n = c.shape()[0];
            [c, g.uniform([n], 0.5, 1.5)]
        })
    }
}

/// The losses without competition: similarities `[N, C]` to losses `[N]`,
///
/// ```text
/// L = softplus(−Fp(c_y)) + w ln(1 + Σ_{j≠y} e^Fn(c_j))
/// ∂L/∂c_y = −σ(−Fp) Fp'(c_y)      ∂L/∂c_j = w e^Fn(c_j) / (1 + Σ e^Fn) Fn'(c_j)
/// ```
#[derive(Clone, Debug)]
pub struct ClassDecoupled<M> {
    /// The pair of functions.
    pub margin: M,
    /// The class of each sample.
    pub labels: Arc<[usize]>,
    /// w, the weight of the negative term.
    pub weight: f64,
}

impl<M: Margin> Op<1> for ClassDecoupled<M> {
    const NAME: &'static str = M::NAME;
    /// ∂L_i/∂c_ij, `[N, C]`.
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [c]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        let w = T::of(self.weight);
        let rows = rows(M::NAME, c, &self.labels, |i, y, c, g| {
            let target = Target {
                sample: i,
                similarity: c[y],
            };
            let negative = |c| self.margin.negative(c, target);
            let (fp, dfp) = self.margin.positive(c[y], i);
            let lse = exponentiate(c, y, g, |c| negative(c).0);
            let weight = w * sigmoid(lse.total) / lse.sum;
            for (g, &c) in g.iter_mut().zip(c) {
                *g = *g * weight * negative(c).1;
            }
            g[y] = -(sigmoid(-fp) * dfp);
            [softplus(-fp) + w * softplus(lse.total), T::ZERO]
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
        let mut cases = Vec::new();
        for probe in M::probes() {
            for (name, c, labels, step) in similarities(g, &probe) {
                let op = ClassDecoupled {
                    margin: probe.margin.clone(),
                    labels: labels.into(),
                    weight: 0.7,
                };
                cases.push(Case::new(name, op, [c]).step(step));
            }
        }
        cases
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

/// Calls `f(sample, label, similarities, gradient to fill)` for every sample.
fn rows<T: Float>(
    name: &'static str,
    c: &Tensor<T>,
    labels: &[usize],
    f: impl Fn(usize, usize, &[T], &mut [T]) -> [T; 2] + Sync + Send,
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
            for (k, (g, part)) in rows.enumerate() {
                let i = task * samples_per_task + k;
                let c = &c.data()[i * classes..][..classes];
                *part = f(i, labels[i], c, g);
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

struct LogSumExp<T> {
    /// Σ e^(F − max).
    sum: T,
    /// ln Σ e^F.
    total: T,
}

/// Writes e^(F(c_j) − max) to every `g[j]` but the target's, which becomes 0.
fn exponentiate<T: Float>(c: &[T], y: usize, g: &mut [T], f: impl Fn(T) -> T) -> LogSumExp<T> {
    let mut max = T::NEG_INFINITY;
    for (j, (g, &c)) in g.iter_mut().zip(c).enumerate() {
        *g = f(c);
        if j != y {
            max = max.max(*g);
        }
    }
    g[y] = T::NEG_INFINITY;
    let mut sum = T::ZERO;
    for g in g.iter_mut() {
        *g = (*g - max).exp();
        sum += *g;
    }
    LogSumExp {
        sum,
        total: max + sum.ln(),
    }
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

/// ln(1 + e^x).
pub(crate) fn softplus<T: Float>(x: T) -> T {
    x.max(T::ZERO) + (-x.abs()).exp().ln_1p()
}

/// 1 / (1 + e^−x).
pub(crate) fn sigmoid<T: Float>(x: T) -> T {
    let e = (-x.abs()).exp();
    let tail = e / (T::ONE + e);
    if x > T::ZERO { T::ONE - tail } else { tail }
}

/// Shapes to check on: an ordinary one, two classes, one sample, and one that splits unevenly.
const SHAPES: [[usize; 2]; 4] = [[4, 5], [3, 2], [1, 6], [7, 17]];

type Similarities = (String, Tensor<f64>, Vec<usize>, f64);

/// Similarities in (−1, 1) with labels, and the step for their finite differences: random ones
/// away from the kinks, then targets and a negative just off each kink.
fn similarities<M: Margin>(g: &mut Gen, probe: &Probe<M>) -> Vec<Similarities> {
    let Probe {
        margin,
        steepness,
        kinks,
    } = probe;
    let step = (4e-3 / steepness).min(1e-3);
    // A pole at the distance 2e-3 bends the function within that distance.
    let near_step = step.min(3e-6);
    let mut cases = Vec::new();
    for shape in SHAPES {
        let c = Tensor::from_fn(shape, |_| {
            loop {
                let c = g.rng().range(-0.95, 0.95);
                if kinks.iter().all(|k| (c - k).abs() > 0.02) {
                    return c;
                }
            }
        });
        let labels = g.labels(shape[0], shape[1]);
        cases.push((format!("{margin:?} {shape:?}"), c, labels, step));
    }
    for &kink in kinks {
        for side in [-2e-3, 2e-3] {
            let near = kink + side;
            if near.abs() < 1.0 {
                // The same similarity once as the target and once as a negative.
                let c = Tensor::new([2, 3], &[near, 0.31, -0.27, -0.13, near, 0.42]);
                let name = format!("{margin:?} at {near:.4}");
                cases.push((name, c, vec![0, 2], near_step));
            }
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{cosface::CosFace, normface::NormFace};

    fn normface(labels: &[usize], smoothing: f64) -> ClassSoftmax<NormFace> {
        ClassSoftmax {
            margin: NormFace { s: 16.0 },
            labels: labels.into(),
            smoothing,
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
                labels: [y].into(),
                smoothing: 0.0,
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
