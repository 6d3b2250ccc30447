//! The Free Spoken Digit Dataset: Z. Jackson and others, 3,000 recordings of the ten digits at
//! 8 kHz, 50 of each by each of 6 speakers.
//!
//! Official protocol: the first five recordings of each digit and speaker, numbered 0 to 4, are
//! the test (300), all others are for training (2,700). The speakers are the same on both sides.

use super::list::{self, Scan};
use super::sound;
use crate::error::Result;
use crate::manifest::{Entry, Manifest, Split, Survey};
use std::collections::BTreeSet;
use std::path::Path;

/// The recordings of a digit and speaker that are the test: those numbered below this.
const TEST: u32 = 5;

/// Reads the folder `recordings` below `root`, or `root` itself if there is none. A class is a
/// digit; a part of the training recordings can be held out.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a folder cannot be read;
/// [`Error::Invalid`](crate::Error::Invalid) for a WAV file that is not named like
/// `7_jackson_32.wav`.
pub fn read(root: impl AsRef<Path>) -> Result<Survey> {
    let root = root.as_ref();
    let folder = match root.join("recordings").is_dir() {
        true => "recordings",
        false => "",
    };
    let (paths, ignored) = sound::wavs(root, folder)?;
    let (mut entries, mut speakers) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let Some((digit, speaker, index)) = parsed(list::basename(&path)) else {
            return Err(list::bad_name(&path, "7_jackson_32.wav"));
        };
        let split = if index < TEST {
            Split::Test
        } else {
            Split::Train
        };
        speakers.insert(speaker.to_string());
        entries.push(Entry::new(path.clone(), digit, split));
    }
    let of = |split| entries.iter().filter(|e| e.split == split).count();
    Ok(Survey {
        counts: vec![
            list::count("training recordings", 2_700, of(Split::Train)),
            list::count("test recordings", 300, of(Split::Test)),
            list::count("speakers", 6, speakers.len()),
        ],
        manifest: Manifest {
            name: "FSDD".into(),
            root: root.into(),
            entries,
        },
        ignored,
    })
}

/// Whether a file is named like a recording of the data set: `7_jackson_32.wav`.
pub fn is_recording(name: &str) -> bool {
    parsed(name).is_some()
}

/// Digit, speaker and number of a recording.
fn parsed(name: &str) -> Option<(&str, &str, u32)> {
    let mut scan = Scan(name);
    let digit = scan.digits(1, 1)?;
    scan.literal("_")?;
    let (speaker, rest) = scan.0.split_once('_')?;
    let is_name = !speaker.is_empty() && speaker.bytes().all(|b| b.is_ascii_lowercase());
    let mut scan = Scan(rest);
    let index = scan.number(1, 6)?;
    scan.literal(".wav")?;
    (is_name && scan.0.is_empty()).then_some((digit, speaker, index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::list::tests::touch;

    #[test]
    fn the_first_five_of_each_are_the_test() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = ["george", "theo"]
            .iter()
            .flat_map(|speaker| (0..50).map(move |i| format!("recordings/3_{speaker}_{i}.wav")))
            .collect();
        touch(
            root.path(),
            names.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        touch(root.path(), ["recordings/readme.md", "metadata.py"]);
        let survey = read(root.path()).unwrap();
        let found: Vec<usize> = survey.counts.iter().map(|c| c.found).collect();
        assert_eq!(found, [90, 10, 2]);
        assert_eq!(survey.ignored, 1);
        for entry in &survey.manifest.entries {
            let test = ["_0.wav", "_1.wav", "_2.wav", "_3.wav", "_4.wav"];
            let is_test = test.iter().any(|end| entry.path.ends_with(end));
            assert_eq!(entry.split == Split::Test, is_test, "{}", entry.path);
            assert_eq!(entry.label, "3");
        }
        // The folder itself will do.
        let inside = read(root.path().join("recordings")).unwrap().manifest;
        assert_eq!(inside.entries.len(), 100);
        assert_eq!(inside.entries[0].path, "3_george_0.wav");
    }

    #[test]
    fn other_names_are_refused() {
        for bad in [
            "12_george_1.wav",
            "1_George_1.wav",
            "1__1.wav",
            "1_theo_1x.wav",
            "1_theo.wav",
        ] {
            let root = tempfile::tempdir().unwrap();
            touch(root.path(), [bad]);
            let message = read(root.path()).unwrap_err().to_string();
            assert!(message.contains("7_jackson_32.wav"), "{message}");
        }
    }
}
