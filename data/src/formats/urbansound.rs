//! UrbanSound8K: J. Salamon, C. Jacoby and J. P. Bello, "A Dataset and Taxonomy for Urban Sound
//! Research", ACM Multimedia 2014. 8,732 clips of at most 4 seconds, ten classes, of all kinds of
//! rates, bit depths and channels.
//!
//! Protocol: ten folds as they are, every one the test once, the mean and the deviation of the ten
//! accuracies reported. The authors warn of reshuffling, and of reporting a single fold.

use super::list::{self, Scan};
use super::sound;
use crate::error::Result;
use crate::manifest::{Entry, Manifest, Split, Survey};
use std::collections::HashSet;
use std::path::Path;

const COLUMNS: [&str; 5] = ["slice_file_name", "fsID", "fold", "classID", "class"];
const FOLDS: [usize; 10] = [873, 888, 925, 990, 936, 823, 838, 806, 816, 837];
/// By their number in the files.
const CLASSES: [(&str, usize); 10] = [
    ("air_conditioner", 1000),
    ("car_horn", 429),
    ("children_playing", 1000),
    ("dog_bark", 1000),
    ("drilling", 1000),
    ("engine_idling", 1000),
    ("gun_shot", 374),
    ("jackhammer", 1000),
    ("siren", 929),
    ("street_music", 1000),
];

/// Reads `metadata/UrbanSound8K.csv` and the folders `audio/fold1` to `audio/fold10` below `root`.
/// The fold `test` (1 to 10) is the test, the one before it (10 for 1) the validation part, and
/// the other eight are for training. The folds in the manifest count from 0. The columns `start`
/// and `end` of the table are about the recordings that the clips were cut from, and are not used.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the table or a folder cannot be read;
/// [`Error::Line`](crate::Error::Line) for a row that does not agree with its file name, which is
/// like `100032-3-0-0.wav` for source, class, occurrence and slice, or whose file is not there;
/// [`Error::Invalid`](crate::Error::Invalid) if there is no such fold.
pub fn read(root: impl AsRef<Path>, test: u32) -> Result<Survey> {
    let root = root.as_ref();
    let path = root.join("metadata").join("UrbanSound8K.csv");
    let rows = sound::table(&path, COLUMNS)?;
    let (mut files, mut ignored) = (HashSet::new(), 0);
    for fold in 1..=FOLDS.len() {
        let (found, others) = sound::wavs(root, &format!("audio/fold{fold}"))?;
        files.extend(found);
        ignored += others;
    }
    let mut entries = Vec::new();
    for (line, [file, source, fold, class, name]) in rows {
        let refuse =
            |expected: &str, found: &str| Err(list::bad_line(&path, line, expected, found));
        let Some(fold) = fold.parse::<u32>().ok().filter(|f| (1..=10).contains(f)) else {
            return refuse("a fold from 1 to 10", &fold);
        };
        if !agrees(&file, &source, &class) {
            return refuse(&format!("a file like {source}-{class}-0-0.wav"), &file);
        }
        let known = class.parse().ok().and_then(|c: usize| CLASSES.get(c));
        if known.is_none_or(|(wanted, _)| *wanted != name) {
            return refuse(
                "one of the ten classes, by its number and its name",
                &format!("{class},{name}"),
            );
        }
        let file = format!("audio/fold{fold}/{file}");
        if !files.contains(&file) {
            return Err(sound::missing(&path, line, &file));
        }
        let mut entry = Entry::new(file, name, Split::Train);
        entry.fold = Some(fold - 1);
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    sound::cross_validate("UrbanSound8K", &mut entries, 1..=10, test)?;
    let mut counts = sound::counts(&entries, 8_732, CLASSES.len(), &FOLDS);
    for (class, official) in CLASSES {
        let found = entries.iter().filter(|e| e.label == class).count();
        counts.push(list::count(&format!("clips of {class}"), official, found));
    }
    Ok(Survey {
        counts,
        manifest: Manifest {
            name: "UrbanSound8K".into(),
            root: root.into(),
            entries,
        },
        ignored,
    })
}

/// Whether a file is named after this source and this class.
fn agrees(file: &str, source: &str, class: &str) -> bool {
    let mut scan = Scan(file);
    let mut check = || {
        let same_source = scan.digits(1, 9)? == source;
        scan.literal("-")?;
        let same_class = scan.digits(1, 2)? == class;
        for _ in ["occurrence", "slice"] {
            scan.literal("-")?;
            scan.digits(1, 4)?;
        }
        scan.literal(".wav")?;
        Some(same_source && same_class && scan.0.is_empty())
    };
    check().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::list::tests::{touch, write};

    const HEADER: &str = "slice_file_name,fsID,start,end,salience,fold,classID,class\n";

    fn folder() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let mut table = HEADER.to_string();
        for fold in 1..=10 {
            table += &format!("100032-3-0-{fold}.wav,100032,0.0,0.317551,1,{fold},3,dog_bark\n");
            touch(
                root.path(),
                [&format!("audio/fold{fold}/100032-3-0-{fold}.wav")],
            );
        }
        touch(
            root.path(),
            ["audio/fold1/.DS_Store", "audio/fold2/notes.txt"],
        );
        write(root.path(), "metadata/UrbanSound8K.csv", &table);
        root
    }

    #[test]
    fn ten_folds_of_which_one_is_the_test() {
        assert_eq!(FOLDS.iter().sum::<usize>(), 8_732);
        assert_eq!(CLASSES.iter().map(|c| c.1).sum::<usize>(), 8_732);
        let root = folder();
        let survey = read(root.path(), 1).unwrap();
        assert_eq!(survey.ignored, 1);
        for entry in &survey.manifest.entries {
            let wanted = match entry.fold {
                Some(0) => Split::Test,
                Some(9) => Split::Validation,
                _ => Split::Train,
            };
            assert_eq!(entry.split, wanted, "{}", entry.path);
        }
        let count = |what: &str| survey.counts.iter().find(|c| c.what == what).unwrap();
        assert_eq!((count("clips").official, count("clips").found), (8_732, 10));
        assert_eq!(count("clips in fold 4").official, 990);
        assert_eq!(
            (
                count("clips of dog_bark").found,
                count("clips of siren").official
            ),
            (10, 929)
        );
        assert!(read(root.path(), 11).is_err());
    }

    #[test]
    fn rows_agree_with_their_files() {
        let root = folder();
        for (row, wanted) in [
            (
                "1-3-0-0.wav,2,0,1,1,1,3,dog_bark",
                "a file like 2-3-0-0.wav",
            ),
            (
                "1-2-0-0.wav,1,0,1,1,1,3,dog_bark",
                "a file like 1-3-0-0.wav",
            ),
            ("1-3-0-0.wav,1,0,1,1,11,3,dog_bark", "a fold from 1 to 10"),
            (
                "1-3-0-0.wav,1,0,1,1,1,3,siren",
                "by its number and its name",
            ),
            (
                "1-77-0-0.wav,1,0,1,1,1,77,siren",
                "by its number and its name",
            ),
            ("1-3-0-0.wav,1,0,1,1,1,3,dog_bark", "found none"),
            ("1-3-0.wav,1,0,1,1,1,3,dog_bark", "a file like"),
        ] {
            write(
                root.path(),
                "metadata/UrbanSound8K.csv",
                &format!("{HEADER}{row}\n"),
            );
            let message = read(root.path(), 1).unwrap_err().to_string();
            assert!(
                message.contains(wanted) && message.contains("line 2"),
                "{row}: {message}"
            );
        }
    }
}
