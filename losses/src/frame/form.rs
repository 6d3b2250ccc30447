//! How the two functions of a margin make the loss of one sample.

use engine::Float;
use std::fmt::Debug;

/// What a form sees of one sample.
pub struct Row<'a, T> {
    /// The similarities to all classes.
    pub c: &'a [T],
    /// The place of the sample's own class.
    pub y: usize,
    /// To be filled with ∂L/∂c.
    pub gradient: &'a mut [T],
}

/// A way to make a loss of two functions, each given as `[value, ∂/∂c, ∂/∂a]`.
pub trait Form: Clone + Debug + Send + Sync + 'static {
    /// The loss of one sample and ∂L/∂a; fills the gradient.
    fn row<T: Float>(
        &self,
        row: Row<'_, T>,
        positive: impl Fn(T) -> [T; 3],
        negative: impl Fn(T) -> [T; 3],
    ) -> [T; 2];

    /// By how much an exponent of the target and one of another class put a sample on its class's
    /// side of the boundary between the two; `None` if the two functions are no exponents.
    fn lead(positive: f64, negative: f64) -> Option<f64>;

    /// Settings to check margins with, in turn.
    fn probes() -> Vec<Self>;
}

/// `softplus( lse_{j≠y} Fn(c_j) − Fp(c_y) )`.
///
/// With label smoothing ε, the target is `(1 − ε) onehot(y) + ε/C` (Szegedy et al. 2016), which
/// adds `ε (Fp(c_y) − mean of all exponents)`.
#[derive(Clone, Debug, Default)]
pub struct Softmax {
    /// ε, 0 for none.
    pub smoothing: f64,
}

impl Form for Softmax {
    fn row<T: Float>(
        &self,
        Row { c, y, gradient }: Row<'_, T>,
        positive: impl Fn(T) -> [T; 3],
        negative: impl Fn(T) -> [T; 3],
    ) -> [T; 2] {
        let smoothing = T::of(self.smoothing);
        let even = smoothing / T::of(c.len() as f64);
        let [fp, fp_by_c, fp_by_a] = positive(c[y]);
        let lse = exponentiate(c, y, gradient, |c| negative(c)[0]);
        let gap = lse.total - fp;
        let miss = sigmoid(gap); // 1 − p_y
        let weight = miss / lse.sum;

        // dz_j = ∂L/∂(exponent j), turned into ∂L/∂c_j on the way.
        let dz = smoothing - even - miss;
        let [exponents, by_a] = over_others(gradient, c, y, |g, c| {
            let [f, by_c, f_by_a] = negative(c);
            let dz = *g * weight - even;
            *g = dz * by_c;
            [f, dz * f_by_a]
        });
        gradient[y] = dz * fp_by_c;
        let spread = smoothing * fp - even * (fp + exponents);
        [softplus(gap) + spread, dz * fp_by_a + by_a]
    }

    fn lead(positive: f64, negative: f64) -> Option<f64> {
        Some(positive - negative)
    }

    fn probes() -> Vec<Self> {
        vec![Softmax { smoothing: 0.0 }, Softmax { smoothing: 0.1 }]
    }
}

/// Without competition between positive and negatives:
///
/// ```text
/// L = softplus(−Fp(c_y)) + w ln(1 + Σ_{j≠y} e^Fn(c_j))
/// ∂L/∂c_y = −σ(−Fp) Fp'(c_y)      ∂L/∂c_j = w e^Fn(c_j) / (1 + Σ e^Fn) Fn'(c_j)
/// ```
#[derive(Clone, Debug)]
pub struct Decoupled {
    /// w, the weight of the negative term.
    pub weight: f64,
}

impl Form for Decoupled {
    fn row<T: Float>(
        &self,
        Row { c, y, gradient }: Row<'_, T>,
        positive: impl Fn(T) -> [T; 3],
        negative: impl Fn(T) -> [T; 3],
    ) -> [T; 2] {
        let w = T::of(self.weight);
        let [fp, fp_by_c, fp_by_a] = positive(c[y]);
        let lse = exponentiate(c, y, gradient, |c| negative(c)[0]);
        let weight = w * sigmoid(lse.total) / lse.sum;
        let [_, by_a] = over_others(gradient, c, y, |g, c| {
            let [f, by_c, f_by_a] = negative(c);
            let dz = *g * weight;
            *g = dz * by_c;
            [f, dz * f_by_a]
        });
        let dz = -sigmoid(-fp);
        gradient[y] = dz * fp_by_c;
        [softplus(-fp) + w * softplus(lse.total), dz * fp_by_a + by_a]
    }

    fn lead(positive: f64, negative: f64) -> Option<f64> {
        Some(positive.min(-negative))
    }

    fn probes() -> Vec<Self> {
        vec![Decoupled { weight: 0.7 }]
    }
}

/// A sum of terms, one for each class: `L = Fp(c_y) + Σ_{j≠y} Fn(c_j)`.
#[derive(Clone, Debug)]
pub struct Separable;

impl Form for Separable {
    fn row<T: Float>(
        &self,
        Row { c, y, gradient }: Row<'_, T>,
        positive: impl Fn(T) -> [T; 3],
        negative: impl Fn(T) -> [T; 3],
    ) -> [T; 2] {
        let [sum, by_a] = over_others(gradient, c, y, |g, c| {
            let [f, by_c, f_by_a] = negative(c);
            *g = by_c;
            [f, f_by_a]
        });
        let [fp, fp_by_c, fp_by_a] = positive(c[y]);
        gradient[y] = fp_by_c;
        [fp + sum, fp_by_a + by_a]
    }

    fn lead(_: f64, _: f64) -> Option<f64> {
        None
    }

    fn probes() -> Vec<Self> {
        vec![Separable]
    }
}

/// A softmax whose denominator lacks the target, `L = lse_{j≠y} Fn(c_j) − Fp(c_y)`. It has no
/// lower bound of its own.
#[derive(Clone, Debug)]
pub struct Ratio;

impl Form for Ratio {
    fn row<T: Float>(
        &self,
        Row { c, y, gradient }: Row<'_, T>,
        positive: impl Fn(T) -> [T; 3],
        negative: impl Fn(T) -> [T; 3],
    ) -> [T; 2] {
        let [fp, fp_by_c, fp_by_a] = positive(c[y]);
        let lse = exponentiate(c, y, gradient, |c| negative(c)[0]);
        let [_, by_a] = over_others(gradient, c, y, |g, c| {
            let [f, by_c, f_by_a] = negative(c);
            let dz = *g / lse.sum;
            *g = dz * by_c;
            [f, dz * f_by_a]
        });
        gradient[y] = -fp_by_c;
        [lse.total - fp, by_a - fp_by_a]
    }

    fn lead(positive: f64, negative: f64) -> Option<f64> {
        Some(positive - negative)
    }

    fn probes() -> Vec<Self> {
        vec![Ratio]
    }
}

struct LogSumExp<T> {
    /// Σ e^(F − max).
    sum: T,
    /// ln Σ e^F.
    total: T,
}

/// Writes e^(F(c_j) − max) to every `g[j]` but the target's, which becomes 0.
fn exponentiate<T: Float>(c: &[T], y: usize, g: &mut [T], f: impl Fn(T) -> T) -> LogSumExp<T> {
    for (g, &c) in g.iter_mut().zip(c) {
        *g = f(c);
    }
    g[y] = T::NEG_INFINITY;
    let [max, sum] = engine::exponentiate(g);
    LogSumExp {
        sum,
        total: max + sum.ln(),
    }
}

/// Running sums of one loop: they vectorise, and round less than one.
const LANES: usize = 8;

/// Calls `f` on the gradient and the similarity of every class but the target, and returns the sums
/// of the two numbers that it returns.
fn over_others<T: Float>(
    gradient: &mut [T],
    c: &[T],
    y: usize,
    f: impl Fn(&mut T, T) -> [T; 2],
) -> [T; 2] {
    let (before, after) = gradient.split_at_mut(y);
    let mut sums = [[T::ZERO; LANES]; 2];
    for (gradient, c) in [(before, &c[..y]), (&mut after[1..], &c[y + 1..])] {
        let mut add = |lane: usize, [a, b]: [T; 2]| {
            sums[0][lane] += a;
            sums[1][lane] += b;
        };
        let whole = c.len() - c.len() % LANES;
        let (blocks, rest) = gradient.split_at_mut(whole);
        for (g, c) in blocks.chunks_exact_mut(LANES).zip(c.chunks_exact(LANES)) {
            for lane in 0..LANES {
                add(lane, f(&mut g[lane], c[lane]));
            }
        }
        for (lane, (g, &c)) in rest.iter_mut().zip(&c[whole..]).enumerate() {
            add(lane, f(g, c));
        }
    }
    sums.map(|lanes| lanes.into_iter().sum())
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
