//! Which data set a folder holds: what crate `data` recognises, as a layout that can be trained on.

use super::Format;
use anyhow::Result;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use std::path::{Path, PathBuf};

/// What a path seems to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// The path itself, or the only folder in it.
    pub folder: PathBuf,
    /// The layout.
    pub format: Format,
    /// What it was recognised by.
    pub because: String,
}

/// Looks at the names in a folder; no file is read.
///
/// # Errors
/// As [`data::formats::guess`].
pub fn guess(path: &Path) -> Result<Guess> {
    let found = data::formats::guess(path)?;
    let format = named(found.format.name);
    Ok(Guess {
        folder: found.root,
        format: format.expect("the program knows every layout, as a test asserts"),
        because: format!("of {}", found.reasons.join("; ")),
    })
}

/// The layout that crate `data` calls so.
fn named(name: &str) -> Option<Format> {
    let name: StrDeserializer<'_, Error> = name.into_deserializer();
    Format::deserialize(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_layout_is_known_to_the_program() {
        for format in data::formats::FORMATS {
            let known = named(format.name).expect(format.name);
            assert_eq!(known.info().name, format.name);
        }
    }

    #[test]
    fn folders_are_seen_through_and_reasons_told() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("ESC-50-master");
        fs::create_dir_all(folder.join("meta")).unwrap();
        fs::write(folder.join("meta/esc50.csv"), "").unwrap();
        let found = guess(root.path()).unwrap();
        assert_eq!((found.format, found.folder), (Format::Esc50, folder));
        assert_eq!(found.because, "of the file meta/esc50.csv");
    }

    #[test]
    fn packs_of_pairs_are_known_alone_and_in_folders() {
        let root = tempfile::tempdir().unwrap();
        for name in ["lfw.bin", "agedb_30.bin", "train.rec"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        for path in [root.path().to_path_buf(), root.path().join("lfw.bin")] {
            let found = guess(&path).unwrap();
            assert_eq!((found.format, found.folder), (Format::Insightface, path));
        }
    }
}
