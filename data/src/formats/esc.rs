//! ESC-50 and ESC-10: K. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM
//! Multimedia 2015. 2,000 clips of 5 seconds at 44.1 kHz, 40 of each of 50 classes; ESC-10 are the
//! 400 clips of ten of them.
//!
//! Protocol: five folds, made so that clips cut from one recording lie in one fold. Every fold is
//! the test once, and the mean of the five accuracies is reported. Cutting the clips anew at
//! random tests on recordings that were trained on.

use super::list::{self, Scan};
use super::sound;
use crate::error::Result;
use crate::manifest::{Entry, Manifest, Split, Survey};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subset {
    /// All 50 classes.
    Fifty,
    /// The ten classes marked in the column `esc10`.
    Ten,
}

const COLUMNS: [&str; 7] = [
    "filename", "fold", "target", "category", "esc10", "src_file", "take",
];

/// Reads `meta/esc50.csv` (for ESC-10 also `meta/esc10.csv`, if only that is there) and the folder
/// `audio` below `root`. The fold `test` (1 to 5) is the test, the one before it (5 for 1) the
/// validation part, and the other three are for training, as the author has it
/// (karolpiczak/paper-2015-esc-convnet). A class is named as in the column `category`. The folds
/// in the manifest count from 0.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the table or the folder cannot be read;
/// [`Error::Line`](crate::Error::Line) for a row that does not agree with its file name, which is
/// like `1-100032-A-0.wav` for fold, source, take and class, or whose file is not there;
/// [`Error::Invalid`](crate::Error::Invalid) if there is no such fold.
pub fn read(root: impl AsRef<Path>, subset: Subset, test: u32) -> Result<Survey> {
    let root = root.as_ref();
    let (name, clips, classes) = match subset {
        Subset::Fifty => ("ESC-50", 2_000, 50),
        Subset::Ten => ("ESC-10", 400, 10),
    };
    let path = metadata(root, subset);
    let rows = sound::table(&path, COLUMNS)?;
    let (files, ignored) = sound::wavs(root, "audio")?;
    let files: HashSet<String> = files.into_iter().collect();
    let mut entries = Vec::new();
    for (line, [file, fold, target, category, esc10, source, take]) in rows {
        let marked = match esc10.as_str() {
            "True" => true,
            "False" => false,
            _ => {
                return Err(list::bad_line(
                    &path,
                    line,
                    "True or False in column esc10",
                    &esc10,
                ));
            }
        };
        if subset == Subset::Ten && !marked {
            continue;
        }
        let Some(number) = fold_of(&file, [&fold, &source, &take, &target]) else {
            let expected = format!("a file {fold}-{source}-{take}-{target}.wav of folds 1 to 5");
            return Err(list::bad_line(&path, line, &expected, &file));
        };
        let file = list::join("audio", &file);
        if !files.contains(&file) {
            return Err(sound::missing(&path, line, &file));
        }
        let mut entry = Entry::new(file, category, Split::Train);
        entry.fold = Some(number - 1);
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    sound::cross_validate(name, &mut entries, 1..=5, test)?;
    Ok(Survey {
        counts: sound::counts(&entries, clips, classes, &[clips / 5; 5]),
        manifest: Manifest {
            name: name.into(),
            root: root.into(),
            entries,
        },
        ignored,
    })
}

fn metadata(root: &Path, subset: Subset) -> PathBuf {
    let [all, ten] = ["esc50.csv", "esc10.csv"].map(|name| root.join("meta").join(name));
    match subset {
        Subset::Ten if !all.is_file() && ten.is_file() => ten,
        _ => all,
    }
}

/// The fold in the name of a file, if the name is made of these fields.
fn fold_of(file: &str, [fold, source, take, target]: [&str; 4]) -> Option<u32> {
    let mut scan = Scan(file);
    let number = scan.number(1, 1).filter(|n| (1..=5).contains(n))?;
    let is_fold = fold.parse() == Ok(number);
    scan.literal("-")?;
    let is_source = scan.digits(1, 9)? == source;
    scan.literal("-")?;
    let is_take = take.len() == 1 && take.bytes().all(|b| b.is_ascii_uppercase());
    scan.literal(take)?;
    scan.literal("-")?;
    let is_target = scan.digits(1, 2)? == target;
    scan.literal(".wav")?;
    let agrees = is_fold && is_source && is_take && is_target && scan.0.is_empty();
    agrees.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::list::tests::{touch, write};

    const HEADER: &str = "filename,fold,target,category,esc10,src_file,take\n";

    /// One clip of a class of ESC-10 and one of another in each fold.
    fn folder() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let mut table = HEADER.to_string();
        for fold in 1..=5 {
            table += &format!("{fold}-100032-A-0.wav,{fold},0,dog,True,100032,A\n");
            table += &format!("{fold}-17092-B-27.wav,{fold},27,brushing_teeth,False,17092,B\n");
            touch(root.path(), [&format!("audio/{fold}-100032-A-0.wav")]);
            touch(root.path(), [&format!("audio/{fold}-17092-B-27.wav")]);
        }
        write(root.path(), "meta/esc50.csv", &table);
        root
    }

    #[test]
    fn folds_are_the_authors() {
        let root = folder();
        let splits = |subset, test| -> Vec<Split> {
            let survey = read(root.path(), subset, test).unwrap();
            survey.manifest.entries.iter().map(|e| e.split).collect()
        };
        use Split::{Test, Train, Validation};
        assert_eq!(
            splits(Subset::Ten, 1),
            [Test, Train, Train, Train, Validation]
        );
        assert_eq!(
            splits(Subset::Ten, 4),
            [Train, Train, Validation, Test, Train]
        );
        assert_eq!(
            splits(Subset::Fifty, 2)[..4],
            [Validation, Validation, Test, Test]
        );
        let survey = read(root.path(), Subset::Fifty, 3).unwrap();
        assert_eq!(survey.manifest.entries[9].fold, Some(4));
        assert_eq!(survey.manifest.entries[0].label, "dog");
        let found: Vec<usize> = survey.counts.iter().map(|c| c.found).collect();
        let official: Vec<usize> = survey.counts.iter().map(|c| c.official).collect();
        assert_eq!(found, [10, 2, 2, 2, 2, 2, 2]);
        assert_eq!(official, [2000, 50, 400, 400, 400, 400, 400]);
        for test in [0, 6] {
            let message = read(root.path(), Subset::Ten, test)
                .unwrap_err()
                .to_string();
            assert!(message.contains("expected 1 to 5"), "{message}");
        }
    }

    #[test]
    fn esc_10_may_have_a_table_of_its_own() {
        let root = folder();
        let meta = root.path().join("meta");
        std::fs::rename(meta.join("esc50.csv"), meta.join("esc10.csv")).unwrap();
        let survey = read(root.path(), Subset::Ten, 1).unwrap();
        assert_eq!(survey.manifest.entries.len(), 5);
        let message = read(root.path(), Subset::Fifty, 1).unwrap_err().to_string();
        assert!(message.contains("esc50.csv: cannot be read"), "{message}");
    }

    #[test]
    fn rows_agree_with_their_files() {
        let root = folder();
        for (row, wanted) in [
            (
                "1-5-A-0.wav,2,0,dog,True,5,A",
                "line 2: expected a file 2-5-A-0.wav",
            ),
            (
                "1-5-A-0.wav,1,1,dog,True,5,A",
                "expected a file 1-5-A-1.wav",
            ),
            ("6-5-A-0.wav,6,0,dog,True,5,A", "of folds 1 to 5"),
            ("1-5-A-0.wav,1,0,dog,yes,5,A", "True or False"),
            (
                "1-5-A-0.wav,1,0,dog,True,5,A",
                "expected the file audio/1-5-A-0.wav, found none",
            ),
            ("../x.wav,1,0,dog,True,5,A", "expected a file 1-5-A-0.wav"),
            ("1-5-A-0.wav,1", "line 2"),
        ] {
            write(root.path(), "meta/esc50.csv", &format!("{HEADER}{row}\n"));
            let message = read(root.path(), Subset::Fifty, 1).unwrap_err().to_string();
            assert!(message.contains(wanted), "{row}: {message}");
        }
        write(root.path(), "meta/esc50.csv", "filename,fold\n");
        let message = read(root.path(), Subset::Fifty, 1).unwrap_err().to_string();
        assert!(message.contains("a column target"), "{message}");
    }
}
