//! eˣ and the error function in f32, of additions, multiplications and bits alone.
//!
//! The compiler turns a loop over them into vectors, where a call into the system's library
//! would stay a call; and the bits are the same on every machine.

/// eˣ, within 2 units in the last place; 0 below −87.336, where results would be denormal.
///
/// x = n ln 2 + r with |r| ≤ ln 2 / 2; a polynomial gives eʳ (Cephes, `expf`), the exponent 2ⁿ.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5·2²³ rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in few bits, so that n ln 2 does not round.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // The logarithm of the least number that is not denormal.
    const LEAST: f32 = -87.336_54;
    let inside = x.clamp(LEAST, 88.8);
    let rounded = inside * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = inside - n * LN_2[0] - n * LN_2[1];
    let mut p = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        p = p * r + c;
    }
    let p = p * r * r + r + 1.0;
    // n itself is in the low bits of what was rounded. 2ⁿ in two factors: for n = 128 one alone
    // would overflow.
    let n = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let two_to = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
    let y = p * two_to(half) * two_to(n.wrapping_sub(half));
    match x {
        x if x < LEAST => 0.0,
        x if x > 88.722_84 => f32::INFINITY,
        x if x.is_nan() => x,
        _ => y,
    }
}

/// 2/√π ∫₀ˣ e^(−t²) dt, within 4 units in the last place of 1: a rational function of x
/// where the result does not round to ±1.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let inside = x.clamp(-4.0, 4.0);
    let s = inside * inside;
    let mut p = -2.726_142_3e-10;
    for c in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        p = p * s + c;
    }
    let mut q = -1.456_607_2e-5;
    for c in [-2.133_740_5e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2] {
        q = q * s + c;
    }
    let y = inside * p / q;
    match x {
        x if x.is_nan() => x,
        // Less than half a unit from ±1.
        x if x.abs() > 3.92 => 1.0_f32.copysign(x),
        _ => y,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 97th number of the type, both signs: some 40 million.
    fn numbers() -> impl Iterator<Item = f32> {
        (0..u32::MAX)
            .step_by(997)
            .map(f32::from_bits)
            .filter(|x| x.is_finite())
    }

    #[test]
    fn the_exponential_is_right_to_two_units() {
        for x in numbers() {
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            if expected < f64::from(f32::MIN_POSITIVE) {
                assert!(found <= f64::from(f32::MIN_POSITIVE), "{x}: {found}");
            } else if expected < f64::from(f32::MAX) {
                let gap = (found / expected - 1.0).abs();
                assert!(
                    gap < 2.0 * f64::from(f32::EPSILON),
                    "{x}: {found} {expected}"
                );
            } else {
                assert!(found >= f64::from(f32::MAX), "{x}: {found}");
            }
        }
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(
            [exp(0.0), exp(f32::INFINITY), exp(f32::NEG_INFINITY)],
            [1.0, f32::INFINITY, 0.0]
        );
    }

    #[test]
    fn the_error_function_is_right_to_four_units_of_one() {
        for x in numbers() {
            let gap = (f64::from(erf(x)) - libm::erf(f64::from(x))).abs();
            assert!(
                gap < 4.0 * f64::from(f32::EPSILON),
                "{x}: {} by {gap:.1e}",
                erf(x)
            );
        }
        assert!(erf(f32::NAN).is_nan());
        assert_eq!(
            [erf(0.0), erf(9.0), erf(f32::NEG_INFINITY)],
            [0.0, 1.0, -1.0]
        );
    }
}
