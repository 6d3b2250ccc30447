//! SphereFace (A-softmax): a multiple of the target's angle, annealed.

use super::HEAD_LR_MULT;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Margin, Probe, Radial, Softmax};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;
use std::f64::consts::PI;

/// Fp(c) = (λ c + ψ(θ)) / (1 + λ), Fn(c) = c, both times the radius |x|, with
/// ψ(θ) = (−1)^k cos(mθ) − 2k for θ in [kπ/m, (k+1)π/m].
///
/// cos(mθ) = T_m(c) and its derivative m U_{m−1}(c) are Chebyshev polynomials, so no angle is
/// computed and nothing is divided by sin θ. ψ is continuous, and so is its derivative, which is 0
/// at the inner breakpoints.
#[derive(Clone, Debug)]
pub struct SpherePsi {
    /// The multiple, 1 or more.
    pub m: u32,
    /// λ: 0 for the full margin, large for hardly any.
    pub lambda: f64,
}

impl SpherePsi {
    /// ψ and dψ/dc.
    fn psi<T: Float>(&self, c: T) -> (T, T) {
        // T_0 = 1, T_1 = c and U_{-1} = 0, U_0 = 1 obey the same recurrence.
        let [mut t, mut t_next] = [T::ONE, c];
        let [mut u, mut u_next] = [T::ZERO, T::ONE];
        let twice = c + c;
        for _ in 0..self.m {
            (t, t_next) = (t_next, twice * t_next - t);
            (u, u_next) = (u_next, twice * u_next - u);
        }
        let m = f64::from(self.m);
        let k = (1..self.m)
            .filter(|&k| c.to_f64() < (f64::from(k) * PI / m).cos())
            .count();
        let sign = if k % 2 == 0 { T::ONE } else { -T::ONE };
        (sign * t - T::of(2.0 * k as f64), sign * T::of(m) * u)
    }
}

impl Margin for SpherePsi {
    const NAME: &'static str = "sphereface";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let lambda = T::of(self.lambda);
        let (psi, slope) = self.psi(c);
        let total = T::ONE + lambda;
        ((lambda * c + psi) / total, (lambda + slope) / total)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        (c, T::ONE)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(m, lambda): (u32, f64)| Probe::new(SpherePsi { m, lambda }, f64::from(m * m));
        [(1, 0.0), (2, 0.0), (3, 5.0), (4, 0.0), (4, 5.0)]
            .map(probe)
            .into()
    }
    fn kinks(&self) -> Vec<f64> {
        let m = f64::from(self.m);
        (1..self.m).map(|k| (f64::from(k) * PI / m).cos()).collect()
    }
}

/// ψ with the annealing of its λ: the margin of SphereFace and of L-softmax.
#[derive(Debug)]
pub struct Annealed {
    m: u32,
    annealing: Annealing,
}

impl Annealed {
    /// From the parameters that [`annealed_parameters`] lists.
    pub(crate) fn new(values: &Values) -> Self {
        Annealed {
            m: values.number("m") as u32,
            annealing: Annealing::new(values),
        }
    }

    /// ψ at a training step.
    pub fn at(&self, step: u64) -> SpherePsi {
        SpherePsi {
            m: self.m,
            lambda: self.annealing.lambda(step),
        }
    }
}

/// How λ follows the training step.
#[derive(Clone, Copy, Debug)]
pub enum Annealing {
    /// λ stays.
    Fixed(f64),
    /// λ = max(λ_min, base (1 + γ step)^−power).
    Falling {
        /// λ at step 0.
        base: f64,
        /// γ.
        gamma: f64,
        /// The power.
        power: f64,
        /// λ at the end.
        lambda_min: f64,
    },
}

impl Annealing {
    fn new(values: &Values) -> Self {
        let falling = || Annealing::Falling {
            base: values.number("base"),
            gamma: values.number("gamma"),
            power: values.number("power"),
            lambda_min: values.number("lambda_min"),
        };
        values
            .given("lambda")
            .map_or_else(falling, Annealing::Fixed)
    }

    /// λ at a training step.
    pub fn lambda(&self, step: u64) -> f64 {
        match *self {
            Annealing::Fixed(lambda) => lambda,
            Annealing::Falling {
                base,
                gamma,
                power,
                lambda_min,
            } => (base * (1.0 + gamma * step as f64).powf(-power)).max(lambda_min),
        }
    }
}

/// The multiple m and its annealing, whose defaults are base, gamma, power and lambda_min.
pub(crate) const fn annealed_parameters(
    [base, gamma, power, lambda_min]: [f64; 4],
) -> [Parameter; 7] {
    const fn from_zero(key: &'static str, default: f64, meaning: &'static str) -> Parameter {
        Parameter::number(key, default, Range::from(0.0), meaning)
    }
    [
        Parameter::whole(
            "m",
            4.0,
            Range::closed(1.0, 10.0),
            "multiple of the target's angle",
        ),
        from_zero("lambda", 0.0, "fixed lambda, in place of the annealing").optional(),
        from_zero("base", base, "lambda at step 0"),
        from_zero("gamma", gamma, "how fast lambda falls"),
        from_zero("power", power, "with which power lambda falls"),
        from_zero("lambda_min", lambda_min, "lambda at the end"),
        HEAD_LR_MULT,
    ]
}

/// SphereFace.
#[derive(Debug)]
pub struct SphereFace(Annealed);

impl Loss for SphereFace {
    const INFO: LossInfo = LossInfo {
        name: "sphereface",
        family: Family::Class,
        about: "a multiple of the target's angle, with annealing (A-softmax)",
        formula: "L = -ln( e^t / ( e^t + sum_{j != y} e^(|x| c_j) ) ),   t = |x| f(theta_y)\n\
                  f(theta) = (lambda cos(theta) + psi(theta)) / (1 + lambda)\n\
                  psi(theta) = (-1)^k cos(m theta) - 2k   for theta in [k pi/m, (k+1) pi/m]\n\
                  lambda = max(lambda_min, base (1 + gamma step)^-power), unless `lambda` is given",
        parameters: &annealed_parameters([1000.0, 0.12, 1.0, 5.0]),
        presets: &[],
        head: Head::Angular,
        remarks: "",
        source: "Liu et al. 2017, SphereFace: deep hypersphere embedding for face recognition, CVPR, \
                 arXiv 1704.08063; annealing as in the authors' code, github \
                 wy1iu/sphereface",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        SphereFace(Annealed::new(values))
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let margin = self.0.at(batch.step());
        let (c, lengths) = (batch.cosines()?, batch.lengths()?);
        let loss = batch.sample_loss(&c, &lengths, Radial(margin), Softmax::default())?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psi(m: u32) -> SpherePsi {
        SpherePsi { m, lambda: 0.0 }
    }

    #[test]
    fn psi_is_the_one_of_the_paper() {
        for m in 1..=5 {
            for i in 1..200 {
                let theta = f64::from(i) * PI / 200.3;
                let k = (f64::from(m) * theta / PI).floor();
                let expected = (-1.0_f64).powf(k) * (f64::from(m) * theta).cos() - 2.0 * k;
                let (value, slope) = psi(m).psi(theta.cos());
                approx::assert_abs_diff_eq!(value, expected, epsilon = 1e-12);
                assert!(slope >= -1e-12, "psi rises with the cosine");
            }
        }
    }

    #[test]
    fn psi_is_continuous_and_ends_where_it_should() {
        for m in 2..=5 {
            for k in 1..m {
                let c = (f64::from(k) * PI / f64::from(m)).cos();
                let [below, above] = [c - 1e-9, c + 1e-9].map(|c| psi(m).psi(c));
                approx::assert_abs_diff_eq!(below.0, above.0, epsilon = 1e-6);
                approx::assert_abs_diff_eq!(below.1, above.1, epsilon = 1e-5);
            }
            let (m_, last) = (f64::from(m), 1.0 - 2.0 * f64::from(m));
            assert_eq!(psi(m).psi(1.0_f64), (1.0, m_ * m_));
            assert_eq!(psi(m).psi(-1.0_f64).0, last);
        }
    }

    #[test]
    fn lambda_falls_as_in_the_authors_code() {
        let annealing = Annealing::Falling {
            base: 1000.0,
            gamma: 0.12,
            power: 1.0,
            lambda_min: 5.0,
        };
        let lambda = |step| annealing.lambda(step);
        assert_eq!((lambda(0), lambda(1_000_000)), (1000.0, 5.0));
        approx::assert_relative_eq!(lambda(100), 1000.0 / 13.0);
    }
}
