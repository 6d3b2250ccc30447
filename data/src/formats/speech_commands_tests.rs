//! Tests of the reader of Speech Commands: lists, words, and the rule of the twelve classes.

use super::*;
use crate::audio::wave::tests::wav16;
use crate::formats::list::tests::{touch, write};
use std::collections::BTreeSet;
use std::fs;

/// 40 recordings of each of three commands and of 28 other words, of which numbers 0 to 4 are for
/// testing and 5 to 9 for validation; two background recordings of 12 s.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let words = ["yes", "no", "go"].map(String::from).into_iter();
    let words: Vec<String> = words
        .chain((0..28).map(|i| format!("word{i:02}")))
        .collect();
    let (mut validation, mut testing) = (String::new(), String::new());
    for word in &words {
        for i in 0..40 {
            let path = format!("{word}/{i:08x}_nohash_{}.wav", i % 3);
            touch(root.path(), [&path]);
            match i {
                0..5 => testing += &format!("{path}\n"),
                5..10 => validation += &format!("{path}\n"),
                _ => {}
            }
        }
    }
    write(root.path(), "validation_list.txt", &validation);
    write(root.path(), "testing_list.txt", &testing);
    write(root.path(), "README.md", "text");
    fs::create_dir(root.path().join(BACKGROUND)).unwrap();
    for (name, level) in [("pink.wav", 0.5), ("dishes.wav", 0.25)] {
        let mut samples = vec![level; 12 * 2_000];
        samples[12 * 1_600..].fill(0.75);
        let path = root.path().join(BACKGROUND).join(name);
        fs::write(path, wav16(2_000, &samples)).unwrap();
    }
    write(root.path(), "_background_noise_/README.md", "text");
    root
}

fn found(survey: &Survey) -> Vec<(usize, usize)> {
    survey
        .counts
        .iter()
        .map(|c| (c.official, c.found))
        .collect()
}

#[test]
fn the_lists_say_what_is_for_what() {
    let root = folder();
    let survey = read(root.path(), Task::AllWords).unwrap();
    assert_eq!(
        found(&survey),
        [(84_843, 930), (9_981, 155), (11_005, 155), (35, 31)]
    );
    for entry in &survey.manifest.entries {
        let name = list::basename(&entry.path);
        let number = u32::from_str_radix(&name[..8], 16).unwrap();
        let wanted = match number {
            0..5 => Split::Test,
            5..10 => Split::Validation,
            _ => Split::Train,
        };
        assert_eq!(entry.split, wanted, "{}", entry.path);
        assert!(entry.path.starts_with(&format!("{}/", entry.label)));
    }
    // Version 0.01 has 30 words.
    fs::remove_dir_all(root.path().join("word00")).unwrap();
    write(root.path(), "validation_list.txt", "");
    write(root.path(), "testing_list.txt", "");
    let survey = read(root.path(), Task::AllWords).unwrap();
    assert_eq!(found(&survey), [(30, 30)]);
}

#[test]
fn twelve_classes_have_a_tenth_of_silence_and_of_unknown_words() {
    let root = folder();
    let survey = read(root.path(), Task::Twelve).unwrap();
    // Commands: 90, 15 and 15; a tenth of them, rounded up, is 9 and 2.
    assert_eq!(found(&survey), [(36_923, 108), (4_445, 19), (4_890, 19)]);
    let entries = &survey.manifest.entries;
    let labels: BTreeSet<&str> = entries.iter().map(|e| e.label.as_str()).collect();
    assert_eq!(
        labels,
        BTreeSet::from([SILENCE, UNKNOWN, "go", "no", "yes"])
    );
    let count = |label: &str, split| {
        let wanted = |e: &&Entry| e.label == label && e.split == split;
        entries.iter().filter(wanted).count()
    };
    for (split, tenth) in SPLITS.into_iter().zip([9, 2, 2]) {
        assert_eq!(
            (count(UNKNOWN, split), count(SILENCE, split)),
            (tenth, tenth)
        );
    }
    // Unknown words are of their own part, different, and not the first ones of the alphabet.
    let unknown: Vec<&Entry> = entries.iter().filter(|e| e.label == UNKNOWN).collect();
    let paths: BTreeSet<&str> = unknown.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(paths.len(), 13);
    assert!(paths.iter().any(|p| !p.starts_with("word00")));
    assert!(paths.iter().all(|p| p.starts_with("word")));
    // Silence is of one second, and none is heard in two parts.
    for entry in entries.iter().filter(|e| e.label == SILENCE) {
        let [start, seconds] = entry.clip.unwrap();
        let part = SPLITS.iter().position(|s| *s == entry.split).unwrap();
        let (from, to) = STRETCHES[part];
        assert_eq!(seconds, 1.0);
        assert!(
            start >= 12.0 * from - 1e-3 && start + 1.0 <= 12.0 * to + 1e-3,
            "{start}"
        );
        assert!(entry.path.starts_with(BACKGROUND));
    }
    let again = read(root.path(), Task::Twelve).unwrap();
    assert_eq!(again, survey);
}

/// The published sizes follow from the numbers of the commands in version 0.02.
#[test]
fn the_official_sizes_are_those_of_the_rule() {
    for (commands, all) in [(30_769usize, 36_923), (3_703, 4_445), (4_074, 4_890)] {
        assert_eq!(commands + 2 * commands.div_ceil(10), all);
    }
}

#[test]
fn noise_to_mix_in_is_that_of_the_training_part() {
    let root = folder();
    let noise = background(root.path(), 1_000).unwrap();
    assert_eq!(noise.len(), 2);
    for (noise, level) in noise.iter().zip([0.25, 0.5]) {
        assert_eq!(noise.len(), 9_600);
        assert!((noise[5_000] - level).abs() < 1e-3);
        assert!(noise.iter().all(|s| *s < 0.65), "of the last fifth");
    }
}

#[test]
fn what_is_missing_or_misnamed_is_named() {
    let root = folder();
    let message = || read(root.path(), Task::Twelve).unwrap_err().to_string();
    write(
        root.path(),
        "testing_list.txt",
        "yes/00000001_nohash_1.wav\nyes/no_such.wav\n",
    );
    assert!(
        message().contains("testing_list.txt, line 2: expected the file yes/no_such.wav"),
        "{}",
        message()
    );
    write(root.path(), "testing_list.txt", "");
    for bad in [
        "yes/0000001_nohash_1.wav",
        "yes/0000000G_nohash_1.wav",
        "yes/00000001_nohash_.wav",
        "yes/a.wav",
    ] {
        touch(root.path(), [bad]);
        assert!(message().contains("0a7c2a8d_nohash_0.wav"), "{}", message());
        fs::remove_file(root.path().join(bad)).unwrap();
    }
    fs::write(
        root.path().join(BACKGROUND).join("pink.wav"),
        wav16(2_000, &[0.0; 9_000]),
    )
    .unwrap();
    assert!(message().contains("at least 10 seconds"), "{}", message());
    fs::remove_file(root.path().join(BACKGROUND).join("pink.wav")).unwrap();
    fs::remove_file(root.path().join(BACKGROUND).join("dishes.wav")).unwrap();
    assert!(message().contains("to cut silence from"), "{}", message());
    fs::remove_file(root.path().join("validation_list.txt")).unwrap();
    assert!(
        message().contains("validation_list.txt: cannot be read"),
        "{}",
        message()
    );
}
