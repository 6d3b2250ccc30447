//! Tests of recordings and their spectrograms: parts, loading, caching, normalising, varying.

use super::*;
use crate::audio::augment::Masks;
use crate::audio::features::Level;
use crate::audio::wave::tests::wav16;
use crate::files::Unreadable;
use crate::manifest::{Entry, Manifest, Split};
use crate::{Loader, Order};
use std::fs;

/// Twelve tones of 0.3 to 0.85 s, alternating between the classes "high" and "low", at 8 and at
/// 16 kHz; the last two are for testing, and the last one of them is a part of a longer file.
fn folder() -> (tempfile::TempDir, Manifest) {
    let folder = tempfile::tempdir().unwrap();
    let entry = |i: usize| {
        let (rate, name) = ([8_000, 16_000][i % 3 % 2], format!("{i:02}.wav"));
        let (label, hz) = [("low", 300.0), ("high", 1500.0)][i % 2];
        let seconds = 0.3 + 0.05 * i as f64;
        let n = (seconds * f64::from(rate)) as usize;
        let angle = |t: usize| std::f64::consts::TAU * hz * t as f64 / f64::from(rate);
        let tone: Vec<f32> = (0..n).map(|t| (0.2 * angle(t).sin()) as f32).collect();
        fs::write(folder.path().join(&name), wav16(rate, &tone)).unwrap();
        Entry {
            clip: (i == 11).then_some([0.1, 0.4]),
            ..Entry::new(name, label, if i < 10 { Split::Train } else { Split::Test })
        }
    };
    let manifest = Manifest {
        name: "tones".into(),
        root: folder.path().into(),
        entries: (0..12).map(entry).collect(),
    };
    (folder, manifest)
}

fn settings() -> LogMel {
    LogMel {
        mels: 12,
        ..LogMel::speech(8_000)
    }
}

fn written(set: &Spectrograms, index: usize, variation: Option<Key>) -> Vec<f32> {
    let mut out = vec![f32::NAN; set.size()];
    set.write(index, variation, &mut out).unwrap();
    out
}

fn all(set: &Spectrograms) -> Vec<Vec<f32>> {
    let indices = 0..set.recordings().len();
    indices.map(|i| written(set, i, None)).collect()
}

#[test]
fn recordings_are_read_at_one_rate_and_know_where_they_come_from() {
    let (_folder, manifest) = folder();
    let parts = Parts::of(&manifest, 8_000).unwrap();
    assert_eq!(
        (parts.train.len(), parts.validation.len(), parts.test.len()),
        (10, 0, 2)
    );
    assert_eq!(parts.test.classes(), ["high", "low"]);
    assert_eq!(parts.test.labels(), [1, 0]);
    assert_eq!(parts.test.origin(1), 11);
    // 0.35 s at 16 kHz, and a part of 0.4 s.
    assert_eq!(parts.train.samples(1).unwrap().len(), 2_800);
    assert_eq!(parts.test.samples(1).unwrap().len(), 3_200);
    let some = parts.train.subset(&[7, 1]);
    let loaded = some.load().unwrap();
    assert_eq!((loaded.labels(), loaded.origin(0)), (some.labels(), 7));
    assert_eq!(loaded.samples(1).unwrap(), parts.train.samples(1).unwrap());
    assert!(loaded.path(0).ends_with("07.wav"));
    assert_eq!(some.class_counts(), [2, 0]);
    let tone = &parts.train.samples(1).unwrap()[1_000..1_800];
    let wanted = |i: usize| 0.2 * (std::f64::consts::TAU * 1500.0 * i as f64 / 8_000.0).sin();
    for (i, found) in tone.iter().enumerate() {
        assert!(
            (f64::from(*found) - wanted(i + 1_000)).abs() < 1e-3,
            "resampled"
        );
    }
    assert!(Recordings::new(&manifest, &[0], 10).is_err());
}

#[test]
fn a_part_is_held_out_once() {
    let (_folder, manifest) = folder();
    let parts = Parts::of(&manifest, 8_000).unwrap().hold_out(4, 3).unwrap();
    assert_eq!((parts.train.len(), parts.validation.len()), (6, 4));
    assert_eq!(parts.validation.class_counts(), [2, 2]);
    let message = parts.hold_out(1, 3).unwrap_err().to_string();
    assert!(message.contains("found 4 recordings"), "{message}");
}

#[test]
fn unreadable_recordings_are_refused_or_skipped_and_named() {
    let (folder, mut manifest) = folder();
    fs::write(folder.path().join("03.wav"), "text").unwrap();
    manifest.entries[11].clip = Some([2.0, 1.0]);
    let indices: Vec<usize> = (0..12).collect();
    let all = Recordings::new(&manifest, &indices, 8_000).unwrap();
    let message = all.checked(Unreadable::Refuse).unwrap_err().to_string();
    assert!(message.contains("03.wav, byte 0"), "{message}");
    assert!(all.load().unwrap_err().to_string().contains("03.wav"));
    let (good, bad) = all.checked(Unreadable::Skip).unwrap();
    assert_eq!((good.len(), bad.len()), (10, 2));
    let message = bad[1].to_string();
    assert!(
        message.contains("sound from second 2 on, found 0.85 s"),
        "{message}"
    );
    let set = Spectrograms::new(all, &settings(), 0.5).unwrap();
    let message = set.clone().load().unwrap_err().to_string();
    assert!(message.contains("03.wav"), "{message}");
    assert!(BandNormalise::measured(&set).is_err());
}

#[test]
fn what_is_loaded_or_cached_is_the_same_to_the_loader() {
    let (_folder, manifest) = folder();
    let cache = tempfile::tempdir().unwrap();
    let plain = Parts::of(&manifest, 8_000).unwrap();
    let loaded = plain.try_map(|part| part.load()).unwrap();
    let batches = |parts: &Parts, augment: Augment, folder: Option<&Path>, keep: bool| {
        let sound = parts.spectrograms(&settings(), 0.5, folder).unwrap().train;
        let sound = sound.augmented(augment).unwrap();
        let sound = if keep { sound.load().unwrap() } else { sound };
        assert_eq!(sound.shape(), [12, 51, 1]);
        let loader = Loader::new(sound, Order::shuffled(4), 5)
            .unwrap()
            .workers(2);
        let batches: Vec<Vec<f32>> = loader.epoch(1).map(|b| b.unwrap().images.clone()).collect();
        batches
    };
    let masks = Augment {
        time: Masks {
            count: 1,
            widest: 0.5,
        },
        ..Augment::none()
    };
    for augment in [Augment::none(), masks, Augment::speech()] {
        let wanted = batches(&plain, augment.clone(), None, false);
        for folder in [None, Some(cache.path())] {
            for keep in [false, true] {
                assert_eq!(batches(&plain, augment.clone(), folder, keep), wanted);
                assert_eq!(batches(&loaded, augment.clone(), folder, keep), wanted);
            }
        }
    }
}

#[test]
fn a_cache_is_used_and_follows_files_and_settings() {
    let (folder, manifest) = folder();
    let cache = tempfile::tempdir().unwrap();
    let files = || -> Vec<std::path::PathBuf> {
        let folders = fs::read_dir(cache.path()).unwrap();
        let files = folders.flat_map(|f| fs::read_dir(f.unwrap().path()).unwrap());
        let mut files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
        files.sort();
        files
    };
    let set = |settings: LogMel, seconds| {
        let one = Recordings::new(&manifest, &[2], 8_000).unwrap();
        let plain = Spectrograms::new(one, &settings, seconds).unwrap();
        plain.cached(cache.path()).unwrap()
    };
    let first = all(&set(settings(), 0.5));
    assert_eq!(files().len(), 1);
    assert_eq!(
        files()[0].extension().unwrap(),
        "safetensors",
        "no drafts are left"
    );

    // A sound file with other values is believed: it is read, not computed.
    let path = files()[0].clone();
    let good = fs::read(&path).unwrap();
    let other = set(
        LogMel {
            low: 50.0,
            ..settings()
        },
        0.5,
    );
    let changed = all(&other);
    assert_ne!(changed, first);
    assert_eq!(files().len(), 2);
    let second = files().into_iter().find(|p| *p != path).unwrap();
    fs::copy(&second, &path).unwrap();
    assert_eq!(all(&set(settings(), 0.5)), changed);

    // Whatever is damaged is computed and written again.
    for damage in [0, 7, 60, good.len() - 1] {
        let mut bad = good.clone();
        bad[damage] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        assert_eq!(all(&set(settings(), 0.5)), first, "byte {damage}");
        assert_eq!(fs::read(&path).unwrap(), good, "byte {damage}");
    }
    for cut in [0, 5, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..cut]).unwrap();
        assert_eq!(all(&set(settings(), 0.5)), first, "cut to {cut}");
    }

    // Other settings, another window and another file have files of their own.
    all(&set(
        LogMel {
            level: Level::Linear,
            ..settings()
        },
        0.5,
    ));
    all(&set(settings(), 0.6));
    assert_eq!(files().len(), 4);
    fs::write(folder.path().join("02.wav"), wav16(8_000, &[0.5; 4_000])).unwrap();
    assert_ne!(all(&set(settings(), 0.5)), first);
    assert_eq!(files().len(), 5);

    // A folder that cannot be is an error.
    assert!(
        set(settings(), 0.5)
            .cached(folder.path().join("02.wav"))
            .is_err()
    );
}

#[test]
fn bands_are_normalised_by_the_training_part() {
    let (_folder, manifest) = folder();
    let sound = Parts::of(&manifest, 8_000).unwrap();
    let sound = sound.spectrograms(&settings(), 0.5, None).unwrap();
    let train = all(&sound.train);
    for m in 0..12 {
        let band = |s: &Vec<f32>| s[m * 51..(m + 1) * 51].to_vec();
        let values: Vec<f64> = train.iter().flat_map(band).map(f64::from).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(
            mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-4,
            "{m}: {mean} {square}"
        );
    }
    assert_eq!(sound.test.normalise(), sound.train.normalise());
    let plain = sound
        .test
        .clone()
        .normalised(BandNormalise::none(12))
        .unwrap();
    let (mean, deviation) = (
        sound.test.normalise().mean(),
        sound.test.normalise().deviation(),
    );
    let (plain, normalised) = (written(&plain, 0, None), written(&sound.test, 0, None));
    let wanted = (plain[51 * 3] - mean[3]) / deviation[3];
    assert_eq!(normalised[51 * 3], wanted);

    assert!(
        sound
            .train
            .clone()
            .normalised(BandNormalise::none(11))
            .is_err()
    );
    assert!(BandNormalise::new(vec![0.0], vec![0.0]).is_err());
    assert!(BandNormalise::new(vec![f32::NAN], vec![1.0]).is_err());
    assert!(BandNormalise::new(vec![], vec![]).is_err());
    let silent = Recordings::new(&manifest, &[], 8_000).unwrap();
    let silent = Spectrograms::new(silent, &settings(), 0.5).unwrap();
    assert_eq!(
        BandNormalise::measured(&silent).unwrap(),
        BandNormalise::none(12)
    );
}

#[test]
fn variations_belong_to_their_key_and_to_training() {
    let (_folder, manifest) = folder();
    let sound = Parts::of(&manifest, 8_000).unwrap();
    let sound = sound.spectrograms(&settings(), 0.5, None).unwrap().train;
    let plain = written(&sound, 0, None);
    let varied = sound.augmented(Augment::speech()).unwrap();
    assert_eq!(written(&varied, 0, None), plain);
    let key = Key::new(3);
    assert_eq!(
        written(&varied, 0, Some(key)),
        written(&varied, 0, Some(key))
    );
    assert_ne!(written(&varied, 0, Some(key)), plain);
    assert_ne!(
        written(&varied, 0, Some(key)),
        written(&varied, 0, Some(Key::new(4)))
    );
    let wrong = Augment {
        gain: -1.0,
        ..Augment::none()
    };
    assert!(varied.augmented(wrong).is_err());
}

#[test]
fn windows_and_rates_must_fit() {
    let (_folder, manifest) = folder();
    let recordings = Recordings::new(&manifest, &[0], 8_000).unwrap();
    let new = |settings: LogMel, seconds| {
        Spectrograms::new(recordings.clone(), &settings, seconds).map_err(|e| e.to_string())
    };
    assert!(
        new(LogMel::speech(16_000), 1.0)
            .unwrap_err()
            .contains("16000 Hz, as in the settings")
    );
    for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        assert!(
            new(settings(), seconds)
                .unwrap_err()
                .contains("window of tones")
        );
    }
    let set = new(settings(), 0.5).unwrap();
    assert_eq!(
        format!("{set:?}"),
        "tones (1 spectrograms of 12 x 51, 2 classes)"
    );
    assert_eq!(
        format!("{recordings:?}"),
        "tones (1 recordings at 8000 Hz, 2 classes)"
    );
}
