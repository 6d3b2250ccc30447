//! Which data set a folder holds: what crate `data` recognises, as a layout that can be trained on.

use super::{DataError, Format};
use anyhow::{Result, bail};
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
/// As [`data::formats::guess`]; [`DataError`] if there is nothing to train on.
pub fn guess(path: &Path) -> Result<Guess> {
    let found = data::formats::guess(path)?;
    let Some(format) = named(found.format.name) else {
        bail!(DataError(format!(
            "{}: {}; the program trains on data sets with labels, and `hypersphere data inspect` \
             shows what is in it",
            path.display(),
            found.format.about
        )));
    };
    Ok(Guess {
        folder: found.root,
        format,
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
    fn every_layout_is_one_to_train_on_but_packs_of_pairs() {
        for format in data::formats::FORMATS {
            let known = named(format.name);
            assert_eq!(known.is_none(), format.name == "insightface", "{format:?}");
            if let Some(known) = known {
                let (theirs, ours) = (format.name, known.info().name);
                assert!(theirs.starts_with(ours) || (theirs, ours) == ("idx", "mnist"));
            }
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
    fn packs_of_pairs_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let pack = root.path().join("lfw.bin");
        fs::write(&pack, "").unwrap();
        let message = guess(&pack).unwrap_err().to_string();
        assert!(
            message.contains("lfw.bin") && message.contains("data inspect"),
            "{message}"
        );
    }
}
