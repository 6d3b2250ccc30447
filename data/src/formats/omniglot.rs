//! Omniglot: B. Lake, R. Salakhutdinov and J. Tenenbaum, "Human-level concept learning through
//! probabilistic program induction", Science 2015. 1,623 characters of 50 alphabets, each drawn
//! once by 20 people.
//!
//! Two protocols: retrieval, which trains on the background set and looks for each drawing of the
//! evaluation set among the others; and Lake's 20 runs of one-shot classification.

use super::list::{self, Listing, Scan};
use crate::error::{Error, Result};
use crate::manifest::{Entry, Manifest, Split, Survey, stays_inside};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Reads the folders `images_background` (for training) and `images_evaluation` (for testing)
/// below `root`. A class is a character of an alphabet, `Greek/character07`.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::Invalid`] for an image that is not named
/// like `Greek/character07/0394_12.png`.
pub fn read(root: impl AsRef<Path>) -> Result<Survey> {
    let root = root.as_ref();
    let mut entries = Vec::new();
    let (mut ignored, mut counts) = (0, Vec::new());
    for (folder, split, official) in [
        ("images_background", Split::Train, [19_280, 964, 30]),
        ("images_evaluation", Split::Test, [13_180, 659, 20]),
    ] {
        let found = list::images(root, folder, true)?;
        ignored += found.ignored;
        let part = drawings(folder, split, &found)?;
        let characters: BTreeSet<&str> = part.iter().map(|e| e.label.as_str()).collect();
        let alphabet = |label: &&str| {
            label
                .split_once('/')
                .map(|(alphabet, _)| alphabet.to_string())
        };
        let alphabets: BTreeSet<String> = characters.iter().filter_map(alphabet).collect();
        let found = [part.len(), characters.len(), alphabets.len()];
        for (what, (official, found)) in ["drawings", "characters", "alphabets"]
            .iter()
            .zip(official.into_iter().zip(found))
        {
            counts.push(list::count(&format!("{what} in {folder}"), official, found));
        }
        entries.extend(part);
    }
    Ok(Survey {
        manifest: Manifest {
            name: "Omniglot".into(),
            root: root.into(),
            entries,
        },
        counts,
        ignored,
    })
}

fn drawings(folder: &str, split: Split, found: &Listing) -> Result<Vec<Entry>> {
    let entry = |path: &String| {
        let inside = path.strip_prefix(folder).and_then(|p| p.strip_prefix('/'));
        let parts: Vec<&str> = inside.unwrap_or("").split('/').collect();
        match parts[..] {
            [alphabet, character, drawing] if is_drawing(character, drawing) => {
                Ok(Entry::new(path, format!("{alphabet}/{character}"), split))
            }
            _ => Err(list::bad_name(path, "Greek/character07/0394_12.png")),
        }
    };
    found.images.iter().map(entry).collect()
}

fn is_drawing(character: &str, drawing: &str) -> bool {
    let (mut character, mut drawing) = (Scan(character), Scan(drawing));
    let mut check = || {
        character.literal("character")?;
        character.digits(2, 2)?;
        drawing.digits(4, 4)?;
        drawing.literal("_")?;
        drawing.digits(2, 2)?;
        drawing.literal(".png")?;
        (character.0.is_empty() && drawing.0.is_empty()).then_some(())
    };
    check().is_some()
}

/// One run of one-shot classification: which of the training drawings, one for each character,
/// shows the same character as each test drawing?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// One drawing of each character.
    pub training: Vec<PathBuf>,
    /// The drawings to be classified.
    pub test: Vec<PathBuf>,
    /// For each test drawing, the place of the right training drawing.
    pub answers: Vec<usize>,
}

/// Reads Lake's runs: the folders `run01`, `run02` … below `root`, each with its
/// `class_labels.txt`, whose lines are a test and the training drawing of its character. The
/// official ones are 20, of 20 characters of one alphabet each.
///
/// # Errors
/// [`Error::Missing`] if there is no such folder; [`Error::Io`] if a list cannot be read;
/// [`Error::Line`] for a line that is not two paths inside `root`.
pub fn one_shot_runs(root: impl AsRef<Path>) -> Result<Vec<Run>> {
    let root = root.as_ref();
    let is_run = |name: &String| {
        let mut scan = Scan(name);
        scan.literal("run").is_some() && scan.digits(2, 2).is_some() && scan.0.is_empty()
    };
    let names: Vec<String> = list::folders(root, "")?
        .into_iter()
        .filter(is_run)
        .collect();
    if names.is_empty() {
        return Err(Error::Missing {
            folder: root.display().to_string(),
            wanted: "run01/class_labels.txt".into(),
            found: "no folder named run01, run02 and so on".into(),
            hint: "unpack all_runs.zip and name the folder that holds the runs".into(),
        });
    }
    names.iter().map(|name| run(root, name)).collect()
}

fn run(root: &Path, name: &str) -> Result<Run> {
    let path = root.join(name).join("class_labels.txt");
    let mut pairs = Vec::new();
    for (number, line) in list::lines(&path)? {
        let mut words = line.split_whitespace();
        let pair = (words.next(), words.next(), words.next());
        let inside = |word: &str| stays_inside(word);
        match pair {
            (Some(test), Some(training), None) if inside(test) && inside(training) => {
                pairs.push((test.to_string(), training.to_string()));
            }
            _ => {
                let expected = format!("{name}/test/item01.png {name}/training/class08.png");
                return Err(list::bad_line(&path, number, &expected, &line));
            }
        }
    }
    let training: BTreeSet<&String> = pairs.iter().map(|(_, training)| training).collect();
    let training: Vec<&String> = training.into_iter().collect();
    let answer = |(_, right): &(String, String)| training.partition_point(|t| *t < right);
    Ok(Run {
        answers: pairs.iter().map(answer).collect(),
        test: pairs.iter().map(|(test, _)| root.join(test)).collect(),
        training: training.iter().map(|t| root.join(t)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::list::tests::{touch, write};

    #[test]
    fn characters_are_classes_and_counts_are_held_against_the_paper() {
        let root = tempfile::tempdir().unwrap();
        touch(
            root.path(),
            [
                "images_background/Greek/character01/0394_01.png",
                "images_background/Greek/character01/0394_02.png",
                "images_background/Latin/character01/0683_01.png",
                "images_evaluation/Tibetan/character11/1500_20.png",
            ],
        );
        let survey = read(root.path()).unwrap();
        let entries = &survey.manifest.entries;
        assert_eq!(
            entries[1],
            Entry::new(
                "images_background/Greek/character01/0394_02.png",
                "Greek/character01",
                Split::Train
            )
        );
        assert_eq!(
            (entries[3].split, entries[3].label.as_str()),
            (Split::Test, "Tibetan/character11")
        );
        let found: Vec<usize> = survey.counts.iter().map(|c| c.found).collect();
        let official: Vec<usize> = survey.counts.iter().map(|c| c.official).collect();
        assert_eq!(found, [3, 2, 2, 1, 1, 1]);
        assert_eq!(official, [19_280, 964, 30, 13_180, 659, 20]);
        touch(
            root.path(),
            ["images_background/Greek/character1/0394_01.png"],
        );
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.contains("character1/0394_01.png"), "{message}");
    }

    #[test]
    fn runs_know_the_right_answer() {
        let root = tempfile::tempdir().unwrap();
        let list = "run01/test/item01.png run01/training/class02.png\nrun01/test/item02.png run01/training/class01.png\n";
        write(root.path(), "run01/class_labels.txt", list);
        touch(root.path(), ["running/x"]);
        let runs = one_shot_runs(root.path()).unwrap();
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].answers, [1, 0]);
        assert!(runs[0].training[0].ends_with("run01/training/class01.png"));
        assert!(runs[0].test[0].ends_with("run01/test/item01.png"));
        for bad in [
            "run01/test/item01.png",
            "run01/../../etc/passwd run01/training/class01.png",
        ] {
            write(root.path(), "run01/class_labels.txt", bad);
            let message = one_shot_runs(root.path()).unwrap_err().to_string();
            assert!(message.contains("class_labels.txt, line 1"), "{message}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(
            one_shot_runs(empty.path())
                .unwrap_err()
                .to_string()
                .contains("all_runs.zip")
        );
    }
}
