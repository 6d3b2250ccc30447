//! Speech Commands: P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech
//! Recognition", 2018 (arXiv:1804.03209). Recordings of one second at most at 16 kHz: 105,829 of
//! 35 words in version 0.02, of 30 words in version 0.01.
//!
//! Protocol: `validation_list.txt` and `testing_list.txt` name those two parts, whose speakers
//! differ; everything else is for training. There are two tasks that are not to be compared:
//!
//! - [`Task::AllWords`]: every word is a class ("SC-35").
//! - [`Task::Twelve`]: ten commands, `_silence_` and `_unknown_` ("SC-12"). In each part, the
//!   other words and the silence are each a tenth as many as the commands, rounded up: 36,923,
//!   4,445 and 4,890 recordings in version 0.02, as in TensorFlow's example. Which of the other
//!   words, and which stretches of the background noise, is not the same as there: theirs depend
//!   on Python's random numbers and on the run. Nor is it the separate archive
//!   `speech_commands_test_set_v0.02`.

use super::list::{self, Scan};
use super::sound;
use crate::audio::{resample, wave};
use crate::error::{Error, Result};
use crate::manifest::{Count, Entry, Manifest, Split, Survey};
use engine::rng::Key;
use std::collections::HashMap;
use std::path::Path;

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Every word.
    AllWords,
    /// The ten [`COMMANDS`], [`UNKNOWN`] words and [`SILENCE`].
    Twelve,
}

/// The commands of [`Task::Twelve`].
pub const COMMANDS: [&str; 10] = [
    "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go",
];
/// The class of all other words.
pub const UNKNOWN: &str = "_unknown_";
/// The class of the background noise.
pub const SILENCE: &str = "_silence_";

const BACKGROUND: &str = "_background_noise_";
const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];
/// The parts of each background recording that silence is cut from, so that none is heard in two.
const STRETCHES: [(f64, f64); 3] = [(0.0, 0.8), (0.8, 0.9), (0.9, 1.0)];

/// Reads a folder of words below `root`, with the two lists. For [`Task::Twelve`], the recordings
/// in `_background_noise_` are opened, too, to know how long they are.
///
/// # Errors
/// [`Error::Io`] if a folder or a list cannot be read; [`Error::Line`] for a line of a list whose
/// file is not there; [`Error::Invalid`] for a WAV file that is not named like
/// `0a7c2a8d_nohash_0.wav`, or if there is no background noise to cut silence from.
pub fn read(root: impl AsRef<Path>, task: Task) -> Result<Survey> {
    let root = root.as_ref();
    let mut words: Vec<String> = list::folders(root, "")?;
    words.retain(|word| word != BACKGROUND);
    let (mut entries, mut ignored) = (Vec::new(), 0);
    for word in &words {
        let (paths, others) = sound::wavs(root, word)?;
        ignored += others;
        for path in paths {
            if !is_recording(list::basename(&path)) {
                return Err(list::bad_name(&path, "0a7c2a8d_nohash_0.wav"));
            }
            entries.push(Entry::new(path, word, Split::Train));
        }
    }
    mark(root, &mut entries)?;
    let mut counts = counts(&entries, words.len());
    if task == Task::Twelve {
        let full = counts.iter().any(|c| c.official == 35);
        entries = twelve(root, entries)?;
        counts = match full {
            true => parts(&entries, [36_923, 4_445, 4_890]),
            false => Vec::new(),
        };
    }
    Ok(Survey {
        manifest: Manifest {
            name: "Speech Commands".into(),
            root: root.into(),
            entries,
        },
        counts,
        ignored,
    })
}

fn is_recording(name: &str) -> bool {
    let hexadecimal = |s: &str| s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let Some((speaker, rest)) = name.split_once("_nohash_") else {
        return false;
    };
    let mut scan = Scan(rest);
    let numbered = scan.digits(1, 4).is_some() && scan.literal(".wav").is_some();
    speaker.len() == 8 && hexadecimal(speaker) && numbered && scan.0.is_empty()
}

/// Moves what the lists name into its part.
fn mark(root: &Path, entries: &mut [Entry]) -> Result<()> {
    let places: HashMap<String, usize> = (0..)
        .zip(&*entries)
        .map(|(i, e)| (e.path.clone(), i))
        .collect();
    for (name, split) in [
        ("validation_list.txt", Split::Validation),
        ("testing_list.txt", Split::Test),
    ] {
        let path = root.join(name);
        for (line, file) in list::lines(&path)? {
            match places.get(&file) {
                Some(&i) => entries[i].split = split,
                None => return Err(sound::missing(&path, line, &file)),
            }
        }
    }
    Ok(())
}

/// The official table: of version 0.01 only the words, of 0.02 all parts.
fn counts(entries: &[Entry], words: usize) -> Vec<Count> {
    if words <= 30 {
        return vec![list::count("words", 30, words)];
    }
    let mut counts = parts(entries, [84_843, 9_981, 11_005]);
    counts.push(list::count("words", 35, words));
    counts
}

fn parts(entries: &[Entry], official: [usize; 3]) -> Vec<Count> {
    let names = [
        "training recordings",
        "validation recordings",
        "test recordings",
    ];
    let parts = SPLITS.iter().zip(official).zip(names);
    parts
        .map(|((split, official), what)| {
            let found = entries.iter().filter(|e| e.split == *split).count();
            list::count(what, official, found)
        })
        .collect()
}

/// The commands, a tenth as many other words, and a tenth as many stretches of noise.
fn twelve(root: &Path, all: Vec<Entry>) -> Result<Vec<Entry>> {
    let key = Key::new(0).named("speech commands");
    let (commands, others): (Vec<Entry>, Vec<Entry>) = all
        .into_iter()
        .partition(|entry| COMMANDS.contains(&entry.label.as_str()));
    let background = lengths(root)?;
    let mut chosen = Vec::new();
    for (part, split) in SPLITS.into_iter().enumerate() {
        let key = key.at(part as u64);
        let tenth = commands
            .iter()
            .filter(|e| e.split == split)
            .count()
            .div_ceil(10);
        let mut unknown: Vec<&Entry> = others.iter().filter(|e| e.split == split).collect();
        key.named("unknown").rng().shuffle(&mut unknown);
        for entry in unknown.into_iter().take(tenth) {
            chosen.push(Entry {
                label: UNKNOWN.into(),
                ..entry.clone()
            });
        }
        let mut rng = key.named("silence").rng();
        for _ in 0..tenth {
            let (path, seconds) = &background[rng.below(background.len())];
            let (from, to) = STRETCHES[part];
            let latest = (to * seconds - 1.0).max(from * seconds);
            // Whole milliseconds keep a manifest short.
            let start = (1e3 * rng.range(from * seconds, latest)).floor() / 1e3;
            chosen.push(Entry {
                clip: Some([start, 1.0]),
                ..Entry::new(path, SILENCE, split)
            });
        }
    }
    chosen.extend(commands);
    chosen.sort_by(|a, b| {
        let start = |e: &Entry| e.clip.map_or(0.0, |[start, _]| start);
        a.path.cmp(&b.path).then(start(a).total_cmp(&start(b)))
    });
    Ok(chosen)
}

/// The background recordings and their lengths in seconds.
fn lengths(root: &Path) -> Result<Vec<(String, f64)>> {
    let (paths, _) = sound::wavs(root, BACKGROUND)?;
    let mut lengths = Vec::new();
    for path in paths {
        let seconds = wave::open(&root.join(&path))?.seconds();
        if seconds < 10.0 {
            return Err(Error::invalid(
                format!("background noise {path}"),
                "at least 10 seconds, a tenth of it for each of validation and test",
                format!("{seconds} s"),
                "use the folder as its authors published it",
            ));
        }
        lengths.push((path, seconds));
    }
    if lengths.is_empty() {
        return Err(Error::Missing {
            folder: root.join(BACKGROUND).display().to_string(),
            wanted: "recordings of noise, to cut silence from".into(),
            found: "none".into(),
            hint: "unpack the data set again".into(),
        });
    }
    Ok(lengths)
}

/// The background recordings at `rate` Hz, as noise for
/// [`NoiseSource::Recordings`](crate::audio::NoiseSource::Recordings): the parts of them that the
/// training part's silence is cut from.
///
/// # Errors
/// As [`read`], and as [`wave::open`].
pub fn background(root: impl AsRef<Path>, rate: u32) -> Result<Vec<Vec<f32>>> {
    let root = root.as_ref();
    let lengths = lengths(root)?;
    let part = |(path, seconds): &(String, f64)| {
        let (from, to) = STRETCHES[0];
        let whole = wave::open(&root.join(path))?;
        let part = whole.part([from * seconds, (to - from) * seconds]);
        Ok(resample(&part.samples, part.rate, rate))
    };
    lengths.iter().map(part).collect()
}

#[cfg(test)]
#[path = "speech_commands_tests.rs"]
mod tests;
