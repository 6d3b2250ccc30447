//! MNIST, from inside the program, and any data set in MNIST's file layout from a folder.
//!
//! 60,000 training and 10,000 test images of 28 x 28 grey pixels (0 is the background), ten
//! classes. Protocol: choose by a held-out part of the training images, report the accuracy on
//! the test images once. `mnist/README.md` in this crate's folder states origin and licence.

use crate::error::{Error, Result};
use crate::idx::{self, Source};
use crate::set::ImageSet;
use crate::split::Official;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Mean of the training pixels, 1 being white.
pub const MEAN: f32 = 0.1307;
/// Standard deviation of the training pixels, 1 being white.
pub const STD: f32 = 0.3081;

/// MNIST from inside the program: no download, no folder. The first call unpacks it (55 MB),
/// later ones share the pixels.
pub fn embedded() -> Official {
    static MNIST: OnceLock<Official> = OnceLock::new();
    let unpack = |part: &str, images: &'static [u8], labels: &'static [u8]| {
        read(
            format!("MNIST {part}"),
            Source::new(format!("embedded MNIST {part} images"), images),
            Source::new(format!("embedded MNIST {part} labels"), labels),
        )
        .expect("the files inside the program are sound, as a test asserts")
    };
    MNIST
        .get_or_init(|| Official {
            train: unpack(
                "train",
                include_bytes!("../mnist/train-images-idx3-ubyte.gz"),
                include_bytes!("../mnist/train-labels-idx1-ubyte.gz"),
            ),
            test: unpack(
                "test",
                include_bytes!("../mnist/t10k-images-idx3-ubyte.gz"),
                include_bytes!("../mnist/t10k-labels-idx1-ubyte.gz"),
            ),
        })
        .clone()
}

/// Reads a folder of four files named as MNIST's are; Fashion-MNIST and KMNIST come that way,
/// too. Plain (`train-images-idx3-ubyte`, also spelt `train-images.idx3-ubyte`) or with `.gz`
/// added; the names of the test files start with `t10k`. Ten classes, named `0` to `9`.
///
/// # Errors
/// [`Error::Missing`] if a file is not there; else as [`idx::labelled`].
pub fn from_folder(folder: impl AsRef<Path>) -> Result<Official> {
    let folder = folder.as_ref();
    let part = |part: &str, stem: &str| {
        read(
            format!("{} {part}", folder.display()),
            Source::open(&find(folder, &format!("{stem}-images"), "idx3-ubyte")?),
            Source::open(&find(folder, &format!("{stem}-labels"), "idx1-ubyte")?),
        )
    };
    Ok(Official {
        train: part("train", "train")?,
        test: part("test", "t10k")?,
    })
}

fn read(name: String, images: Result<Source>, labels: Result<Source>) -> Result<ImageSet> {
    let digits = (0..10).map(|digit| digit.to_string()).collect();
    idx::labelled(name, images?, labels?, digits)
}

fn find(folder: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    let spellings = ["-", "."].map(|dot| format!("{stem}{dot}{kind}"));
    spellings
        .iter()
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))])
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Missing {
            folder: folder.display().to_string(),
            wanted: format!(
                "{} or {}, plain or with .gz added",
                spellings[0], spellings[1]
            ),
            found: listing(folder),
            hint: "name the folder that directly holds the four IDX files".into(),
        })
}

/// The first few names in a folder, for a message.
fn listing(folder: &Path) -> String {
    const SHOWN: usize = 6;
    let Ok(entries) = folder.read_dir() else {
        return "no such folder".into();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    match names.len() {
        0 => "an empty folder".into(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Normalise;
    use approx::assert_abs_diff_eq;
    use sha2::{Digest, Sha256};
    use std::fs;

    fn sha256(bytes: &[u8]) -> String {
        let digest = Sha256::digest(bytes);
        digest.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The sums are those of `zcat FILE | tail -c +17 | sha256sum` (labels: `+9`).
    #[test]
    fn the_embedded_files_are_mnist() {
        let Official { train, test } = embedded();
        assert_eq!((train.len(), test.len()), (60_000, 10_000));
        assert_eq!(train.shape(), [28, 28, 1]);
        assert_eq!(train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
        assert_eq!(
            train.class_counts(),
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        );
        assert_eq!(
            test.class_counts(),
            [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        );
        let sums = |set: &ImageSet| {
            let pixels: Vec<u8> = (0..set.len()).flat_map(|i| set.image(i).to_vec()).collect();
            let labels: Vec<u8> = set.labels().iter().map(|&l| l as u8).collect();
            [sha256(&pixels), sha256(&labels)]
        };
        assert_eq!(
            sums(&train),
            [
                "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
                "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"
            ]
        );
        assert_eq!(
            sums(&test),
            [
                "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
                "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"
            ]
        );
    }

    #[test]
    fn the_stated_mean_and_deviation_are_those_of_the_training_pixels() {
        let measured = Normalise::measured(&embedded().train);
        assert_abs_diff_eq!(measured.mean()[0], MEAN, epsilon = 5e-5);
        assert_abs_diff_eq!(measured.std()[0], STD, epsilon = 5e-5);
    }

    /// A little data set: part by part the magic, the sizes and the content.
    fn write_folder(folder: &Path, dot: &str) {
        for (stem, n) in [("train", 3u8), ("t10k", 2)] {
            let images = [
                &[0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 1, 0, 0, 0, 2][..],
                &vec![9; 2 * usize::from(n)],
            ];
            let labels = [&[0, 0, 8, 1, 0, 0, 0, n][..], &vec![n; usize::from(n)]];
            fs::write(
                folder.join(format!("{stem}-images{dot}idx3-ubyte")),
                images.concat(),
            )
            .unwrap();
            fs::write(
                folder.join(format!("{stem}-labels{dot}idx1-ubyte")),
                labels.concat(),
            )
            .unwrap();
        }
    }

    #[test]
    fn folders_are_read_in_both_spellings() {
        for dot in ["-", "."] {
            let folder = tempfile::tempdir().unwrap();
            write_folder(folder.path(), dot);
            let read = from_folder(folder.path()).unwrap();
            assert_eq!((read.train.len(), read.test.len()), (3, 2));
            assert_eq!(read.train.shape(), [1, 2, 1]);
            assert_eq!(read.test.labels(), [2, 2]);
        }
    }

    #[test]
    fn the_compressed_official_files_make_the_embedded_set() {
        let read = from_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/mnist")).unwrap();
        assert_eq!(read.test.fingerprint(), embedded().test.fingerprint());
    }

    #[test]
    fn compression_is_seen_from_the_content_not_the_name() {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), "-");
        let plain = folder.path().join("train-images-idx3-ubyte");
        fs::rename(&plain, plain.with_extension("gz")).unwrap();
        assert_eq!(from_folder(folder.path()).unwrap().train.len(), 3);
    }

    #[test]
    fn messages_name_what_is_missing_and_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), "-");
        fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
        let message = from_folder(folder.path()).unwrap_err().to_string();
        for part in [
            "t10k-labels-idx1-ubyte or t10k-labels.idx1-ubyte",
            "train-images-idx3-ubyte",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let message = from_folder("no/such/folder").unwrap_err().to_string();
        assert!(
            message.contains("no/such/folder") && message.contains("no such folder"),
            "{message}"
        );
    }

    #[test]
    fn exchanged_files_are_noticed_with_their_path() {
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), "-");
        let images = folder.path().join("train-images-idx3-ubyte");
        fs::copy(folder.path().join("train-labels-idx1-ubyte"), &images).unwrap();
        let message = from_folder(folder.path()).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("{}, byte 0:", images.display())),
            "{message}"
        );
        assert!(message.contains("found labels"), "{message}");
    }
}
