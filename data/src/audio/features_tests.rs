//! Tests of log-mel spectrograms that need no golden file.

use super::*;
use approx::assert_abs_diff_eq;
use engine::rng::Key;

fn noise(n: usize) -> Vec<f32> {
    let mut rng = Key::new(1).rng();
    (0..n).map(|_| 0.1 * rng.normal() as f32).collect()
}

/// The formula of the module, word by word and slowly.
#[test]
fn the_values_are_those_of_the_formula() {
    let settings = LogMel {
        fft: 64,
        window: 50,
        hop: 20,
        mels: 6,
        low: 100.0,
        high: 3000.0,
        padding: Padding::Zeros,
        level: Level::Ln { offset: 1e-3 },
        ..LogMel::torchaudio(8_000)
    };
    let samples = noise(200);
    let extractor = settings.extractor().unwrap();
    let found = extractor.compute(&samples);
    let frames = extractor.frames(200);
    assert_eq!(frames, 11);
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let hz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let corner = |i: f64| hz(mel(100.0) + (mel(3000.0) - mel(100.0)) * i / 7.0);
    for t in 0..frames {
        let power = |k: usize| {
            let (mut re, mut im) = (0.0, 0.0);
            for n in 0..50 {
                let at = (t * 20 + n + 7) as i64 - 32;
                let x = usize::try_from(at).ok().and_then(|i| samples.get(i));
                let x = x.map_or(0.0, |&x| f64::from(x));
                let w = 0.5 - 0.5 * (TAU * n as f64 / 50.0).cos();
                let angle = TAU * (k * (n + 7)) as f64 / 64.0;
                re += w * x * angle.cos();
                im -= w * x * angle.sin();
            }
            re * re + im * im
        };
        for m in 0..6 {
            let [a, b, c] = [0.0, 1.0, 2.0].map(|i| corner(m as f64 + i));
            let sum: f64 = (0..33)
                .map(|k| {
                    let f = k as f64 * 125.0;
                    power(k) * ((f - a) / (b - a)).min((c - f) / (c - b)).max(0.0)
                })
                .sum();
            let wanted = (sum + 1e-3).ln();
            assert_abs_diff_eq!(f64::from(found[m * frames + t]), wanted, epsilon = 1e-6);
        }
    }
}

#[test]
fn a_tone_is_loudest_in_its_band_and_ten_times_the_amplitude_is_20_db() {
    let settings = LogMel::environment(16_000);
    let extractor = settings.extractor().unwrap();
    let tone = |amplitude: f64| -> Vec<f32> {
        let sample = |i: usize| (amplitude * (TAU * 1000.0 * i as f64 / 16_000.0).sin()) as f32;
        (0..16_000).map(sample).collect()
    };
    let (quiet, loud) = (
        extractor.compute(&tone(0.05)),
        extractor.compute(&tone(0.5)),
    );
    let frames = extractor.frames(16_000);
    let column = |m: usize| loud[m * frames + 50];
    let loudest = (0..64)
        .max_by(|&a, &b| column(a).total_cmp(&column(b)))
        .unwrap();
    let scale = MelScale::Slaney;
    let step = (scale.mel(8_000.0) - scale.mel(50.0)) / 65.0;
    let centre = scale.hz(scale.mel(50.0) + step * (loudest + 1) as f64);
    assert!((centre - 1000.0).abs() < 60.0, "{centre} Hz");
    let at = loudest * frames + 50;
    assert_abs_diff_eq!(loud[at] - quiet[at], 20.0, epsilon = 1e-3);
}

#[test]
fn frames_are_counted_as_they_are_made() {
    let base = LogMel {
        hop: 100,
        ..LogMel::torchaudio(8_000)
    };
    for (padding, fft, samples, wanted) in [
        (Padding::None, 400, 399, 0),
        (Padding::None, 400, 400, 1),
        (Padding::None, 400, 500, 2),
        (Padding::Zeros, 400, 0, 0),
        (Padding::Zeros, 400, 99, 1),
        (Padding::Zeros, 400, 100, 2),
        (Padding::Zeros, 401, 100, 1),
        (Padding::Reflect, 400, 8_000, 81),
    ] {
        let settings = LogMel {
            padding,
            fft,
            ..base
        };
        let extractor = settings.extractor().unwrap();
        assert_eq!(
            extractor.frames(samples),
            wanted,
            "{padding:?} {fft} {samples}"
        );
        assert_eq!(extractor.compute(&noise(samples)).len(), 128 * wanted);
    }
}

#[test]
fn mirrors_go_back_and_forth() {
    let places: Vec<usize> = (-5..7).map(|at| mirrored(at, 3)).collect();
    // numpy.pad([0, 1, 2], (5, 4), mode="reflect")
    assert_eq!(places, [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
    assert_eq!(mirrored(-7, 1), 0);
}

#[test]
fn silence_is_finite() {
    for settings in [
        LogMel::librosa(8_000),
        LogMel::torchaudio(8_000),
        LogMel::speech(8_000),
        LogMel::environment(8_000),
    ] {
        let extractor = settings.extractor().unwrap();
        let values = extractor.compute(&[0.0; 4_000]);
        assert!(values.iter().all(|v| *v == values[0] && v.is_finite()));
    }
}

#[test]
fn narrow_bands_are_counted() {
    let empty = |settings: LogMel| settings.extractor().unwrap().empty_bands();
    assert!(empty(LogMel::torchaudio(16_000)) > 0);
    assert_eq!(empty(LogMel::librosa(22_050)), 0);
    for rate in [8_000, 16_000, 22_050, 44_100] {
        assert_eq!(empty(LogMel::speech(rate)), 0, "{rate}");
        assert_eq!(empty(LogMel::environment(rate)), 0, "{rate}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let base = LogMel::librosa(16_000);
    for (settings, what) in [
        (LogMel { rate: 10, ..base }, "rate"),
        (LogMel { fft: 0, ..base }, "fft"),
        (
            LogMel {
                fft: 1 << 40,
                ..base
            },
            "fft",
        ),
        (
            LogMel {
                window: 2049,
                ..base
            },
            "window",
        ),
        (LogMel { window: 0, ..base }, "window"),
        (LogMel { hop: 0, ..base }, "hop"),
        (LogMel { mels: 0, ..base }, "mels"),
        (
            LogMel {
                high: 8_001.0,
                ..base
            },
            "high",
        ),
        (
            LogMel {
                low: 8_000.0,
                ..base
            },
            "low",
        ),
        (
            LogMel {
                low: f64::NAN,
                ..base
            },
            "low",
        ),
        (
            LogMel {
                level: Level::Ln { offset: 0.0 },
                ..base
            },
            "level.offset",
        ),
        (
            LogMel {
                level: Level::Decibel {
                    floor: 0.0,
                    range: None,
                },
                ..base
            },
            "level.floor",
        ),
        (
            LogMel {
                level: Level::Decibel {
                    floor: 1.0,
                    range: Some(-1.0),
                },
                ..base
            },
            "level.range",
        ),
    ] {
        let message = settings.extractor().unwrap_err().to_string();
        assert!(message.contains(&format!("{what:?}")), "{what}: {message}");
    }
}
