//! Tests of the variations of sound.

use super::*;

/// Samples 1, 2, 3 and so on.
fn counting(n: usize) -> Vec<f32> {
    (1..=n).map(|i| i as f32).collect()
}

fn window(augment: &Augment, samples: &[f32], length: usize, seed: u64) -> Vec<f32> {
    augment.window(samples, length, 10, Key::new(seed))
}

#[test]
fn the_middle_is_shown_if_nothing_varies() {
    assert_eq!(middle(&counting(3), 6), [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]);
    assert_eq!(middle(&counting(6), 3), [2.0, 3.0, 4.0]);
    let none = Augment::none();
    assert!(!none.touches_samples());
    for seed in 0..20 {
        assert_eq!(
            window(&none, &counting(3), 6, seed),
            middle(&counting(3), 6)
        );
        assert_eq!(
            window(&none, &counting(6), 3, seed),
            middle(&counting(6), 3)
        );
    }
}

#[test]
fn placing_reaches_every_place_and_cuts_nothing_off_what_fits() {
    let place = Augment {
        place: true,
        ..Augment::none()
    };
    let mut starts = [false; 4];
    for seed in 0..200 {
        let short = window(&place, &counting(3), 6, seed);
        let first = short.iter().position(|&s| s == 1.0).unwrap();
        assert_eq!(short[first..first + 3], [1.0, 2.0, 3.0]);
        assert_eq!(short.iter().sum::<f32>(), 6.0);
        starts[first] = true;
        let long = window(&place, &counting(6), 3, seed);
        assert!(long[0] >= 1.0 && long[1] == long[0] + 1.0 && long[2] == long[0] + 2.0);
    }
    assert_eq!(starts, [true; 4]);
}

#[test]
fn a_shift_shows_more_of_the_recording_if_there_is_some() {
    let shift = Augment {
        shift: 0.2,
        ..Augment::none()
    };
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..200 {
        // Ten samples to the second: at most two to either side.
        let long = window(&shift, &counting(9), 3, seed);
        assert_eq!(long[2] - long[0], 2.0);
        firsts.insert(long[0] as i32);
    }
    assert_eq!(firsts, (2..=6).collect());
}

#[test]
fn gains_are_within_their_decibels() {
    let gain = Augment {
        gain: 6.0,
        ..Augment::none()
    };
    let gains: Vec<f32> = (0..300)
        .map(|seed| window(&gain, &[1.0], 1, seed)[0])
        .collect();
    let (least, most) = gains
        .iter()
        .fold((f32::MAX, 0.0f32), |(a, b), &g| (a.min(g), b.max(g)));
    // 6 dB are a factor of 1.995.
    assert!(
        0.5 < least && least < 0.54 && 1.9 < most && most < 2.0,
        "{least} {most}"
    );
}

#[test]
fn noise_has_the_ratio_asked_for_measured_on_the_sound_alone() {
    let tone: Vec<f32> = (0..2_000).map(|i| (i as f32 * 0.3).sin()).collect();
    for source in [
        NoiseSource::White,
        NoiseSource::Recordings(vec![counting(700), vec![-3.0, 1.0]].into()),
    ] {
        let noisy = |probability, snr| Augment {
            noise: Some(Noise {
                probability,
                snr: (snr, snr),
                source: source.clone(),
            }),
            ..Augment::none()
        };
        for (seed, snr) in [(1, 0.0), (2, 10.0), (3, -5.0)] {
            let plain = middle(&tone, 4_000);
            let mixed = window(&noisy(1.0, snr), &tone, 4_000, seed);
            let noise: Vec<f32> = mixed.iter().zip(&plain).map(|(m, p)| m - p).collect();
            let found = 10.0 * (mean_square(&tone) / mean_square(&noise)).log10();
            assert!(
                (found - f64::from(snr)).abs() < 0.01,
                "{found} instead of {snr}"
            );
            assert_eq!(window(&noisy(0.0, snr), &tone, 4_000, seed), plain);
        }
        let touched =
            (0..400).filter(|&seed| window(&noisy(0.25, 0.0), &tone[..10], 10, seed) != tone[..10]);
        assert!((70..130).contains(&touched.count()));
        assert_eq!(window(&noisy(1.0, 0.0), &[0.0; 9], 9, 1), [0.0; 9]);
    }
}

#[test]
fn switching_one_on_leaves_the_others_as_they_were() {
    let some = Augment {
        place: true,
        shift: 0.3,
        ..Augment::none()
    };
    let louder = Augment {
        gain: 12.0,
        ..some.clone()
    };
    for seed in 0..20 {
        let (a, b) = (
            window(&some, &counting(5), 9, seed),
            window(&louder, &counting(5), 9, seed),
        );
        let zeros = |w: &[f32]| w.iter().map(|&s| s == 0.0).collect::<Vec<_>>();
        assert_eq!(zeros(&a), zeros(&b));
        assert_eq!(a, window(&some, &counting(5), 9, seed));
    }
}

/// 10 bands of 20 frames, all different.
fn spectrogram() -> Vec<f32> {
    (0..200).map(|i| i as f32).collect()
}

#[test]
fn masks_are_stretches_of_the_mean_and_not_wider_than_allowed() {
    let (mut widest, mut narrowest) = (0, usize::MAX);
    for seed in 0..300 {
        let masks = Augment {
            bands: Masks {
                count: 1,
                widest: 0.3,
            },
            ..Augment::none()
        };
        let mut values = spectrogram();
        masks.mask(10, &mut values, Key::new(seed));
        let mean = 99.5;
        let masked: Vec<bool> = values
            .chunks(20)
            .map(|band| {
                let painted = band.iter().filter(|v| **v == mean).count();
                assert!(painted == 0 || painted == 20, "whole bands");
                painted == 20
            })
            .collect();
        let count = masked.iter().filter(|m| **m).count();
        let edges = masked.windows(2).filter(|w| w[0] != w[1]).count();
        assert!(edges <= 2 && count <= 3, "{masked:?}");
        (widest, narrowest) = (widest.max(count), narrowest.min(count));
    }
    assert_eq!((narrowest, widest), (0, 3));

    let masks = Augment {
        time: Masks {
            count: 2,
            widest: 1.0,
        },
        ..Augment::none()
    };
    let touched = (0..100).filter(|&seed| {
        let mut values = spectrogram();
        masks.mask(10, &mut values, Key::new(seed));
        let first = values[..20].iter().map(|v| *v == 99.5).collect::<Vec<_>>();
        // All bands are masked at the same times.
        for band in values.chunks(20) {
            assert!(band.iter().map(|v| *v == 99.5).eq(first.iter().copied()));
        }
        first.contains(&true)
    });
    assert!(touched.count() > 80);
}

#[test]
fn settings_out_of_range_are_named() {
    let none = Augment::none();
    let noise = |probability, snr, source| Augment {
        noise: Some(Noise {
            probability,
            snr,
            source,
        }),
        ..Augment::none()
    };
    let wide = Masks {
        count: 1,
        widest: 1.5,
    };
    for (augment, what) in [
        (
            Augment {
                shift: -1.0,
                ..none.clone()
            },
            "shift",
        ),
        (
            Augment {
                gain: f32::NAN,
                ..none.clone()
            },
            "gain",
        ),
        (
            Augment {
                time: wide,
                ..none.clone()
            },
            "time.widest",
        ),
        (
            Augment {
                bands: wide,
                ..none
            },
            "bands.widest",
        ),
        (
            noise(2.0, (0.0, 1.0), NoiseSource::White),
            "noise.probability",
        ),
        (noise(0.5, (3.0, 1.0), NoiseSource::White), "noise.snr.1"),
        (
            noise(0.5, (0.0, 1.0), NoiseSource::Recordings(vec![].into())),
            "noise.source",
        ),
        (
            noise(
                0.5,
                (0.0, 1.0),
                NoiseSource::Recordings(vec![vec![]].into()),
            ),
            "noise.source",
        ),
    ] {
        let message = augment.check().unwrap_err().to_string();
        assert!(message.contains(&format!("{what:?}")), "{what}: {message}");
    }
    for preset in [Augment::none(), Augment::speech(), Augment::environment()] {
        preset.check().unwrap();
    }
}
