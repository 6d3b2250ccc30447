//! Which data set a folder holds, by what lies in it.

use super::{DataError, Format};
use anyhow::{Result, bail};
use data::formats::fsdd;
use std::path::{Path, PathBuf};

/// What a folder seems to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// The folder itself, or the only one in it.
    pub folder: PathBuf,
    /// The layout.
    pub format: Format,
    /// What it was recognised by.
    pub because: String,
}

/// Looks at the names in a folder; no file is read.
///
/// # Errors
/// If there is no such folder, or nothing in it is known.
pub fn guess(folder: &Path) -> Result<Guess> {
    let mut folder = folder.to_path_buf();
    // Archives often hold one folder that holds everything.
    for _ in 0..3 {
        let names = names(&folder)?;
        if let Some((format, because)) = recognised(&folder, &names) {
            return Ok(Guess {
                folder,
                format,
                because,
            });
        }
        match names.as_slice() {
            [only] if folder.join(only).is_dir() => folder.push(only),
            _ => break,
        }
    }
    let names = names(&folder)?;
    if names.iter().any(|name| folder.join(name).is_dir()) {
        return Ok(Guess {
            because: format!("it holds folders such as {}", example(&folder, &names)),
            format: Format::Folder,
            folder,
        });
    }
    bail!(DataError(format!(
        "{}: no data set is recognised among {}; expected a folder for each class, manifest.csv, or \
         one of the layouts that `hypersphere train --help` lists",
        folder.display(),
        match names.as_slice() {
            [] => "nothing".to_string(),
            names => names[..names.len().min(6)].join(", "),
        }
    )))
}

fn example(folder: &Path, names: &[String]) -> String {
    let folders = names.iter().filter(|name| folder.join(name).is_dir());
    folders.take(3).cloned().collect::<Vec<_>>().join(", ")
}

/// Sorted; hidden files left out.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = folder
        .read_dir()
        .map_err(|e| DataError(format!("{}: cannot be read: {e}", folder.display())))?;
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort_unstable();
    Ok(names)
}

fn recognised(folder: &Path, names: &[String]) -> Option<(Format, String)> {
    let has = |path: &str| folder.join(path).exists();
    let begins = |start: &str| names.iter().find(|name| name.starts_with(start)).cloned();
    let by = |format, name: &str| Some((format, format!("it holds {name}")));
    if let Some(name) = begins("train-images") {
        return by(Format::Mnist, &name);
    }
    let files = [
        ("manifest.csv", Format::Manifest),
        ("data_batch_1.bin", Format::Cifar10),
        ("data_batch_1", Format::Cifar10),
        ("fine_label_names.txt", Format::Cifar100),
        ("train.bin", Format::Cifar100),
        ("images_background", Format::Omniglot),
        ("image_query", Format::Veri776),
        ("train_test_split/train_list.txt", Format::Vehicleid),
        ("image_class_labels.txt", Format::Cub),
        ("cars_annos.mat", Format::Cars),
        ("Ebay_train.txt", Format::Sop),
        ("Eval/list_eval_partition.txt", Format::InShop),
        ("list_eval_partition.txt", Format::InShop),
        ("s1/1.pgm", Format::Orl),
        ("pairs.txt", Format::Lfw),
        ("meta/esc50.csv", Format::Esc50),
        ("meta/esc10.csv", Format::Esc10),
        ("metadata/UrbanSound8K.csv", Format::Urbansound),
        ("testing_list.txt", Format::SpeechCommands),
    ];
    if let Some((name, format)) = files.into_iter().find(|(name, _)| has(name)) {
        return by(format, name);
    }
    let inside = match has("recordings") {
        true => self::names(&folder.join("recordings")).unwrap_or_default(),
        false => names.to_vec(),
    };
    if let Some(name) = inside.iter().find(|name| fsdd::is_recording(name)) {
        return by(Format::Fsdd, name);
    }
    if has("meta") && folder.join("train").is_file() {
        return by(Format::Cifar100, "the files train and meta");
    }
    if has("bounding_box_train") {
        let inside = self::names(&folder.join("bounding_box_train")).ok()?;
        let image = inside.iter().find(|name| name.contains("_c"))?;
        let format = market_style(image);
        return by(format, &format!("bounding_box_train with {image}"));
    }
    None
}

/// Whose names these are: `0002_c1s1_000451_03.jpg`, `0001_c2_f0046182.jpg`,
/// `0001_c1_1_000001.png`.
fn market_style(image: &str) -> Format {
    let after_camera = image.split("_c").nth(1).unwrap_or_default();
    let rest = after_camera.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest {
        rest if rest.starts_with("_f") => Format::Duke,
        rest if rest.starts_with('_') => Format::Cuhk03Labeled,
        _ => Format::Market1501,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn guessed(paths: &[&str]) -> Result<Guess> {
        let root = tempfile::tempdir().unwrap();
        for path in paths {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        guess(root.path())
    }

    #[test]
    fn layouts_are_recognised_by_their_names() {
        let cases: [(&[&str], Format); 18] = [
            (&["train-images-idx3-ubyte.gz"], Format::Mnist),
            (&["cifar-10-batches-bin/data_batch_1.bin"], Format::Cifar10),
            (
                &["x/cifar-100-python/train", "x/cifar-100-python/meta"],
                Format::Cifar100,
            ),
            (&["cats/1.jpg", "dogs/1.jpg"], Format::Folder),
            (&["x/recordings/7_jackson_32.wav"], Format::Fsdd),
            (&["7_jackson_32.wav"], Format::Fsdd),
            (&["ESC-50-master/meta/esc50.csv"], Format::Esc50),
            (&["meta/esc10.csv", "audio/x"], Format::Esc10),
            (&["metadata/UrbanSound8K.csv"], Format::Urbansound),
            (&["yes/x", "testing_list.txt"], Format::SpeechCommands),
            (&["manifest.csv", "cats/1.jpg"], Format::Manifest),
            (&["s1/1.pgm", "s2/1.pgm"], Format::Orl),
            (
                &["bounding_box_train/0002_c1s1_000451_03.jpg", "query/x"],
                Format::Market1501,
            ),
            (
                &["bounding_box_train/0001_c2_f0046182.jpg", "query/x"],
                Format::Duke,
            ),
            (
                &["bounding_box_train/0001_c1_1_000001.png", "query/x"],
                Format::Cuhk03Labeled,
            ),
            (&["image_query/a.jpg", "image_train/a.jpg"], Format::Veri776),
            (
                &["images_background/Greek/character01/0394_01.png"],
                Format::Omniglot,
            ),
            (
                &[
                    "CUB_200_2011/image_class_labels.txt",
                    "CUB_200_2011/images.txt",
                ],
                Format::Cub,
            ),
        ];
        for (paths, format) in cases {
            let found = guessed(paths).unwrap();
            assert_eq!(found.format, format, "{paths:?}: {}", found.because);
        }
    }

    #[test]
    fn folders_of_nothing_are_refused_with_what_they_hold() {
        let message = |paths: &[&str]| guessed(paths).unwrap_err().to_string();
        assert!(message(&["notes.txt"]).contains("notes.txt"));
        assert!(message(&[]).contains("nothing"));
        let error = guess(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(error.contains("no/such/folder"), "{error}");
    }
}
