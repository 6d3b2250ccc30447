//! Whether a difference between two ways of training is more than the luck of their seeds.
//!
//! Student's t, paired where both were trained with the same seeds, else Welch's (1947), which does
//! not take the two variances to be equal.

use std::fmt;

/// The arithmetic mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation of a sample, with n - 1; none of less than two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (values.len() >= 2).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// A test of the hypothesis that two means are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// Whether values were taken in pairs.
    pub paired: bool,
    /// The second mean minus the first.
    pub difference: f64,
    /// The difference in units of its standard error.
    pub t: f64,
    /// Degrees of freedom.
    pub degrees: f64,
    /// The probability of a difference as large as this or larger, in either direction, if there
    /// was none.
    pub p: f64,
}

impl TTest {
    /// Pairs `(a[i], b[i])`; none of less than two pairs, or if all differences are equal, so that
    /// there is no error to compare with.
    ///
    /// # Panics
    /// If there are not as many of both.
    pub fn paired(a: &[f64], b: &[f64]) -> Option<Self> {
        assert_eq!(a.len(), b.len(), "pairs");
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
        let error = deviation(&differences)? / (a.len() as f64).sqrt();
        Self::of(true, mean(&differences), error, (a.len() - 1) as f64)
    }

    /// Two samples without pairs; none if one has less than two values, or neither varies.
    pub fn welch(a: &[f64], b: &[f64]) -> Option<Self> {
        let share = |values: &[f64]| Some(deviation(values)?.powi(2) / values.len() as f64);
        let (va, vb) = (share(a)?, share(b)?);
        let freedom = |v: f64, values: &[f64]| v * v / (values.len() - 1) as f64;
        let degrees = (va + vb).powi(2) / (freedom(va, a) + freedom(vb, b));
        Self::of(false, mean(b) - mean(a), (va + vb).sqrt(), degrees)
    }

    fn of(paired: bool, difference: f64, error: f64, degrees: f64) -> Option<Self> {
        let t = difference / error;
        (error > 0.0 && t.is_finite()).then(|| TTest {
            paired,
            difference,
            t,
            degrees,
            p: two_sided(t, degrees),
        })
    }
}

impl fmt::Display for TTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Welch's degrees of freedom are no whole number.
        let (name, decimals) = match self.paired {
            true => ("paired t-test", 0),
            false => ("Welch's t-test", 1),
        };
        write!(
            f,
            "{name}, t({:.decimals$}) = {:.2}, p = {}",
            self.degrees,
            self.t,
            shown_p(self.p)
        )
    }
}

/// A probability with as many digits as mean something.
pub fn shown_p(p: f64) -> String {
    match p {
        p if p < 0.001 => format!("{p:.1e}"),
        p => format!("{p:.3}"),
    }
}

/// Holm's correction (1979) of several probabilities: each multiplied by the number of those that
/// are at least as large, and none smaller than one before it.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut corrected, mut least) = (vec![0.0; p.len()], 0.0f64);
    for (rank, &i) in order.iter().enumerate() {
        least = least.max((p[i] * (p.len() - rank) as f64).min(1.0));
        corrected[i] = least;
    }
    corrected
}

/// The probability that |T| exceeds |t| for Student's T: `I_x(ν/2, 1/2)` at `x = ν/(ν + t²)`.
fn two_sided(t: f64, degrees: f64) -> f64 {
    incomplete_beta(0.5 * degrees, 0.5, degrees / (degrees + t * t))
}

/// The regularised incomplete beta function, by its continued fraction (Numerical Recipes, section
/// 6.4, with Lentz's algorithm).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast below the mean; above it the symmetric one does.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let ln_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = (a * x.ln() + b * (1.0 - x).ln() - ln_beta).exp() / a;
    let away = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for k in 1..300 {
        let m = f64::from(k);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!(
            (found - wanted).abs() < 1e-9 * wanted.abs().max(1e-3),
            "{found} {wanted}"
        );
    }

    /// `scipy.stats.ttest_ind(b, a, equal_var=False)` and `ttest_rel(b, a)`.
    #[test]
    fn tests_agree_with_scipy() {
        let a = [99.1, 99.3, 99.2, 99.0];
        let b = [99.4, 99.5, 99.3, 99.35];
        let welch = TTest::welch(&a, &b).unwrap();
        close(welch.difference, 0.2375);
        close(welch.t, 3.068_776_841_731_484_2);
        close(welch.degrees, 5.203_278_688_524_663);
        close(welch.p, 0.026_412_378_238_866_187);
        let paired = TTest::paired(&a, &b).unwrap();
        close(paired.t, 4.284_382_359_616_051);
        close(paired.p, 0.023_365_405_115_363_953);
        assert_eq!(paired.degrees, 3.0);
        // One degree of freedom is Cauchy's distribution: P(|T| > 1) = 1/2.
        close(two_sided(1.0, 1.0), 0.5);
        // Far out: 2 t.sf(40, 200).
        close(two_sided(-40.0, 200.0) / 2.248_739_653_520_219_7e-97, 1.0);
        close(two_sided(0.0, 5.0), 1.0);
    }

    #[test]
    fn without_a_deviation_there_is_no_test() {
        assert_eq!(TTest::welch(&[1.0], &[2.0, 3.0]), None);
        assert_eq!(TTest::welch(&[1.0, 1.0], &[2.0, 2.0]), None);
        assert_eq!(TTest::paired(&[1.0, 2.0], &[2.0, 3.0]), None);
        assert_eq!((deviation(&[1.0]), mean(&[1.0, 3.0])), (None, 2.0));
        close(deviation(&[1.0, 3.0]).unwrap(), 2f64.sqrt());
    }

    #[test]
    fn several_tests_are_corrected() {
        assert_eq!(holm(&[0.04, 0.01, 0.03]), [0.06, 0.03, 0.06]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
