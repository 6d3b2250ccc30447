//! From one sample rate to another.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// The least length of the filter, in samples of the slower rate.
const TAPS: u64 = 512;

/// `samples` at rate `from` Hz as they would be at rate `to`, the quotient of their number rounded
/// up. A function of its arguments: the same bits on each call.
///
/// The resampler is rubato's synchronous one: each block of samples is transformed, what the new
/// rate cannot hold is cut off by a windowed sinc of at least 512 samples of the slower rate, and
/// the rest is transformed back. It is linear in phase and has no delay: what is heard at second t
/// stays at second t. Around the recording is silence.
///
/// Tests hold it to these bounds, for tones relative to half the slower rate:
///
/// | frequency | what becomes of it |
/// |---|---|
/// | up to 95 % | kept, to 0.0001 of its amplitude |
/// | 95 to 101 % | fades |
/// | from 101 % on | suppressed by 120 dB, so that there are no aliases |
///
/// # Panics
/// If a rate is not one of [`RATES`](super::wave::RATES).
pub fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    for rate in [from, to] {
        assert!(super::wave::RATES.contains(&rate), "a rate of {rate} Hz");
    }
    if from == to || samples.is_empty() {
        return samples.to_vec();
    }
    // The smallest blocks that agree in time. An even number of them has its middle on a sample.
    let unit = u64::from(from / greatest_common_divisor(from, to));
    let blocks = (TAPS * u64::from(from.max(to)) / u64::from(to)).div_ceil(unit);
    let mut resampler = Fft::<f64>::new(
        from as usize,
        to as usize,
        (blocks.next_multiple_of(2) * unit) as usize,
        1,
        FixedSync::Both,
    )
    .expect("rates and block are not zero");
    let exact: Vec<f64> = samples.iter().map(|&s| f64::from(s)).collect();
    let input = InterleavedSlice::new(&exact, 1, exact.len()).expect("one channel of samples");
    let output = resampler
        .process_all(&input, exact.len(), None)
        .expect("the input has as many samples as stated");
    let wanted = (samples.len() as u64 * u64::from(to)).div_ceil(u64::from(from));
    let mut output: Vec<f32> = output.take_data().into_iter().map(|s| s as f32).collect();
    output.resize(wanted as usize, 0.0);
    output
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        _ => greatest_common_divisor(b, a % b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn sine(hz: f64, rate: u32, seconds: f64) -> Vec<f32> {
        let n = (seconds * f64::from(rate)) as usize;
        let sample = |i: usize| (TAU * hz * i as f64 / f64::from(rate)).sin() as f32;
        (0..n).map(sample).collect()
    }

    /// The largest difference, away from the ends.
    fn difference(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        let inside = a.len() / 4..3 * a.len() / 4;
        let pairs = a[inside.clone()].iter().zip(&b[inside]);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    const PAIRS: [(u32, u32); 8] = [
        (44_100, 16_000),
        (48_000, 16_000),
        (8_000, 16_000),
        (96_000, 8_000),
        (16_000, 44_100),
        (22_050, 8_000),
        (11_025, 11_024),
        (44_100, 32_000),
    ];

    /// Half of them is farther from the ends than the longest filter reaches, a second for 11025 to
    /// 11024: a tone that begins or ends has frequencies that are cut off, as far as that.
    const SECONDS: f64 = 5.0;

    #[test]
    fn a_sine_stays_the_same_sine_up_to_95_percent() {
        for (from, to) in PAIRS {
            let nyquist = f64::from(from.min(to)) / 2.0;
            for part in [0.01, 0.3, 0.7, 0.9, 0.95] {
                let hz = part * nyquist;
                let found = resample(&sine(hz, from, SECONDS), from, to);
                let wanted = sine(hz, to, SECONDS);
                let off = difference(&found, &wanted);
                assert!(off < 1e-4, "{from} to {to}, {part}: off by {off}");
            }
        }
    }

    #[test]
    fn what_the_new_rate_cannot_hold_is_gone() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
            let (nyquist, most) = (f64::from(to) / 2.0, f64::from(from) / 2.0);
            for hz in [
                1.01 * nyquist,
                1.2 * nyquist,
                0.5 * (nyquist + most),
                0.99 * most,
            ] {
                if hz < 1.01 * nyquist || hz >= most {
                    continue;
                }
                let found = resample(&sine(hz, from, 1.0), from, to);
                let off = difference(&found, &vec![0.0; found.len()]);
                assert!(off < 1e-6, "{from} to {to}, {hz} Hz: {off} is left");
            }
        }
    }

    #[test]
    fn lengths_are_exact_and_bits_the_same_again() {
        for (from, to) in PAIRS {
            for n in [1usize, 7, 1000, 44_100] {
                let input = sine(300.0, from, 45.0)[..n].to_vec();
                let output = resample(&input, from, to);
                assert_eq!(output.len(), (n * to as usize).div_ceil(from as usize));
                assert_eq!(output, resample(&input, from, to));
            }
        }
        assert_eq!(resample(&[0.5, 0.25], 8_000, 8_000), [0.5, 0.25]);
        assert!(resample(&[], 8_000, 16_000).is_empty());
    }

    #[test]
    fn an_impulse_stays_where_it_is() {
        for (from, to) in PAIRS {
            let mut input = vec![0.0; from as usize];
            input[from as usize / 2] = 1.0;
            let output = resample(&input, from, to);
            let largest =
                (0..output.len()).max_by(|&a, &b| output[a].abs().total_cmp(&output[b].abs()));
            let seconds = largest.unwrap() as f64 / f64::from(to);
            assert!(
                (seconds - 0.5).abs() <= 1.0 / f64::from(from.min(to)),
                "{from} to {to}: {seconds}"
            );
        }
    }
}
