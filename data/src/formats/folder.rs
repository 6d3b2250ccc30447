//! A folder of folders: `root/<class>/**/image`, or `root/<split>/<class>/**/image`.

use super::list::{self, Listing};
use crate::error::{Error, Result};
use crate::manifest::{Entry, Manifest, Split, Survey};
use std::path::Path;

/// Reads a folder of folders. Each folder is a class or identity by its name; what lies deeper
/// belongs to it.
///
/// If all folders of the root are named `train`, `val` (or `valid`, `validation`) or `test`, they
/// are splits and the classes are the folders in them. Else every image is for training, and a
/// part can be held out.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::Invalid`] if there is no class, a class has
/// no image (its folder was meant to hold some), or images lie beside the classes.
pub fn read(root: impl AsRef<Path>) -> Result<Survey> {
    let root = root.as_ref();
    let folders = list::folders(root, "")?;
    let splits: Option<Vec<Split>> = folders.iter().map(|name| split(name)).collect();
    let parts: Vec<(String, Split)> = match splits {
        Some(splits) if !folders.is_empty() => folders.into_iter().zip(splits).collect(),
        _ => vec![(String::new(), Split::Train)],
    };
    let mut survey = Survey {
        manifest: Manifest {
            name: root.display().to_string(),
            root: root.into(),
            entries: Vec::new(),
        },
        counts: Vec::new(),
        ignored: 0,
    };
    for (folder, split) in parts {
        classes(root, &folder, split, &mut survey)?;
    }
    Ok(survey)
}

fn split(name: &str) -> Option<Split> {
    match name.to_ascii_lowercase().as_str() {
        "train" => Some(Split::Train),
        "val" | "valid" | "validation" => Some(Split::Validation),
        "test" => Some(Split::Test),
        _ => None,
    }
}

fn classes(root: &Path, folder: &str, split: Split, survey: &mut Survey) -> Result<()> {
    let refuse = |expected: &str, found: String, hint: &str| {
        let what = format!("folder {}", root.join(folder).display());
        Err(Error::invalid(what, expected, found, hint))
    };
    let loose = list::images(root, folder, false)?;
    if let Some(image) = loose.images.first() {
        let hint = "move every image into a folder named by its class";
        return refuse(
            "folders, one for each class",
            format!("the image {image}"),
            hint,
        );
    }
    survey.ignored += loose.ignored;
    let names = list::folders(root, folder)?;
    if names.is_empty() {
        let hint = "name the folder that directly holds the folders of the classes";
        return refuse("folders, one for each class", "none".into(), hint);
    }
    for name in names {
        let Listing { images, ignored } = list::images(root, &list::join(folder, &name), true)?;
        if images.is_empty() {
            let hint = "remove the folder, or put the images back";
            return refuse("images in every class", format!("none in {name}"), hint);
        }
        survey.ignored += ignored;
        let entry = |path| Entry::new(path, name.clone(), split);
        survey
            .manifest
            .entries
            .extend(images.into_iter().map(entry));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::list::tests::touch;

    #[test]
    fn a_folder_for_each_class() {
        let root = tempfile::tempdir().unwrap();
        touch(
            root.path(),
            [
                "cat/2.jpg",
                "cat/more/1.jpg",
                "ant/1.png",
                "ant/x.txt",
                "readme.md",
            ],
        );
        let survey = read(root.path()).unwrap();
        let entries: Vec<_> = survey
            .manifest
            .entries
            .iter()
            .map(|e| (&e.path[..], &e.label[..]))
            .collect();
        assert_eq!(
            entries,
            [
                ("ant/1.png", "ant"),
                ("cat/2.jpg", "cat"),
                ("cat/more/1.jpg", "cat")
            ]
        );
        assert_eq!(survey.ignored, 2);
        assert!(
            survey
                .manifest
                .entries
                .iter()
                .all(|e| e.split == Split::Train)
        );
    }

    #[test]
    fn splits_are_known_by_their_names_if_all_are() {
        let root = tempfile::tempdir().unwrap();
        touch(
            root.path(),
            [
                "train/a/1.png",
                "train/b/1.png",
                "Val/a/2.png",
                "test/a/3.png",
            ],
        );
        let survey = read(root.path()).unwrap();
        let splits: Vec<_> = survey
            .manifest
            .entries
            .iter()
            .map(|e| (e.split, &e.path[..]))
            .collect();
        assert_eq!(splits[0], (Split::Validation, "Val/a/2.png"));
        assert_eq!(splits[1], (Split::Test, "test/a/3.png"));
        assert_eq!(splits.len(), 4);
        touch(root.path(), ["trees/1.png", "train/1.png"]);
        let survey = read(root.path()).unwrap();
        assert!(survey.manifest.entries.iter().any(|e| e.label == "train"));
    }

    #[test]
    fn empty_classes_and_loose_images_are_named() {
        let root = tempfile::tempdir().unwrap();
        let message = || read(root.path()).unwrap_err().to_string();
        assert!(message().contains("folders, one for each class"));
        touch(root.path(), ["a/1.png", "b/x.txt"]);
        assert!(message().contains("none in b"), "{}", message());
        touch(root.path(), ["b/1.png", "7.png"]);
        assert!(message().contains("the image 7.png"));
        assert!(
            read("no/such")
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }
}
