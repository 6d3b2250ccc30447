//! Every format as a CSV manifest.

use super::guess::Content;
use super::pack::Pack;
use crate::error::{Error, Result};
use crate::manifest::{Entry, Manifest, Split};
use crate::split::Official;
use engine::par;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Makes a CSV manifest of anything.
///
/// A list of files becomes a list with paths from the folder of the CSV file, which must be the
/// data's own folder or one above it; with `copy` the files are copied beside it instead. Pictures
/// in memory become PNG files in a folder named after the CSV file; the images of pairs go there as
/// they are, with their fold, and are labelled by their pair (`17`), with `a` and `b` added where
/// they show two people.
///
/// # Errors
/// [`Error::Invalid`] if the files do not lie below the CSV file's folder and are not to be copied,
/// or the pictures have neither 1 nor 3 channels; [`Error::Io`] if something cannot be written.
pub fn convert(content: &Content, csv: impl AsRef<Path>, copy: bool) -> Result<Manifest> {
    let csv = csv.as_ref();
    let parent = match csv.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
    let stem = csv.file_stem().map(|stem| stem.to_string_lossy());
    let stem = stem.unwrap_or("images".into());
    let entries = match content {
        Content::Files(survey) if copy => copied(&survey.manifest, parent)?,
        Content::Files(survey) => moved(&survey.manifest, parent, csv)?,
        Content::Pictures { official, .. } => unpacked(official, parent, &stem)?,
        Content::Pairs(pack) => unpaired(pack, parent, &stem)?,
    };
    let manifest = Manifest {
        name: csv.display().to_string(),
        root: parent.into(),
        entries,
    };
    manifest.write(csv)?;
    Ok(manifest)
}

fn moved(manifest: &Manifest, parent: &Path, csv: &Path) -> Result<Vec<Entry>> {
    let real = |path: &Path| path.canonicalize().map_err(|e| Error::io(path, e));
    let (root, above) = (real(&manifest.root)?, real(parent)?);
    let Ok(inside) = root.strip_prefix(&above) else {
        return Err(Error::invalid(
            format!("manifest {}", csv.display()),
            format!("a place in {} or above it", manifest.root.display()),
            parent.display(),
            "write it there, or have the files copied beside it",
        ));
    };
    let names = inside.components().map(|c| c.as_os_str().to_string_lossy());
    let prefix: String = names.map(|name| format!("{name}/")).collect();
    let entry = |e: &Entry| Entry {
        path: format!("{prefix}{}", e.path),
        ..e.clone()
    };
    Ok(manifest.entries.iter().map(entry).collect())
}

fn copied(manifest: &Manifest, parent: &Path) -> Result<Vec<Entry>> {
    for i in 0..manifest.entries.len() {
        let to = parent.join(&manifest.entries[i].path);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        let from = manifest.path(i);
        fs::copy(&from, &to).map_err(|e| Error::io(&from, e))?;
    }
    Ok(manifest.entries.clone())
}

fn unpacked(official: &Official, parent: &Path, stem: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (set, name, split) in [
        (&official.train, "train", Split::Train),
        (&official.test, "test", Split::Test),
    ] {
        let [height, width, channels] = set.shape();
        let colour = match channels {
            1 => image::ExtendedColorType::L8,
            3 => image::ExtendedColorType::Rgb8,
            other => {
                let hint = "such pictures cannot be written as PNG";
                return Err(Error::invalid(set.name(), "1 or 3 channels", other, hint));
            }
        };
        let folder = parent.join(stem).join(name);
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        let results = par::map(set.len(), |i| {
            let path = folder.join(format!("{i:06}.png"));
            image::save_buffer(&path, set.image(i), width as u32, height as u32, colour)
                .map_err(|e| Error::io(&path, std::io::Error::other(e)))
        });
        results.into_iter().collect::<Result<()>>()?;
        for (i, &label) in set.labels().iter().enumerate() {
            let path = format!("{stem}/{name}/{i:06}.png");
            entries.push(Entry::new(path, set.classes()[label].clone(), split));
        }
    }
    Ok(entries)
}

fn unpaired(pack: &Pack, parent: &Path, stem: &str) -> Result<Vec<Entry>> {
    let folder = parent.join(stem);
    fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    let entry = |(i, image): (usize, &Arc<[u8]>)| {
        let kind = if image.starts_with(b"\x89PNG") {
            "png"
        } else {
            "jpg"
        };
        let path = format!("{stem}/{i:06}.{kind}");
        let to = parent.join(&path);
        fs::write(&to, image).map_err(|e| Error::io(&to, e))?;
        Ok(Entry {
            fold: Some(pack.fold(i / 2) as u32),
            ..Entry::new(path, pack.label(i), Split::Test)
        })
    };
    pack.images.iter().enumerate().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::formats::{guess, reid};
    use crate::set::ImageSet;
    use image::{Rgb, RgbImage};

    /// A picture of one colour.
    fn paint(root: &Path, path: &str, level: u8) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(8, 16, Rgb([level; 3]))
            .save(path)
            .unwrap();
    }

    #[test]
    fn lists_and_pictures_become_manifests() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let data = root.join("data");
        paint(&data, "query/0001_c1s1_000004_00.jpg", 1);
        paint(&data, "bounding_box_test/0001_c2s1_000006_01.jpg", 2);
        paint(&data, "bounding_box_train/0002_c2s1_000003_01.jpg", 3);
        let content = guess(&data).unwrap().read().unwrap();
        let original = reid::read(&reid::MARKET_1501, &data).unwrap().manifest;
        // In the folder, above it, and elsewhere with copies.
        for (csv, copy) in [
            ("data/m.csv", false),
            ("m.csv", false),
            ("other/m.csv", true),
        ] {
            let csv = root.join(csv);
            convert(&content, &csv, copy).unwrap();
            let read = Manifest::read(&csv).unwrap();
            assert_eq!(read.evaluation().unwrap(), original.evaluation().unwrap());
            for i in 0..3 {
                let same = fs::read(read.path(i)).unwrap() == fs::read(original.path(i)).unwrap();
                assert!(same, "{}", read.path(i).display());
            }
        }
        let message = convert(&content, root.join("elsewhere/m.csv"), false)
            .unwrap_err()
            .to_string();
        assert!(message.contains("have the files copied"), "{message}");

        let set = |name, pixels: &[u8], labels: &[usize]| {
            let classes = vec!["a".to_string(), "b".to_string()];
            ImageSet::new(name, [1, 2, 1], pixels.to_vec(), labels.to_vec(), classes).unwrap()
        };
        let official = Official {
            train: set("train", &[1, 2, 3, 4, 1, 2], &[0, 0, 0]),
            test: set("test", &[3, 4, 5, 6], &[0, 1]),
        };
        let content = Content::Pictures {
            official,
            counts: Vec::new(),
        };
        let csv = root.join("numbers.csv");
        convert(&content, &csv, false).unwrap();
        let read = Manifest::read(&csv).unwrap();
        assert_eq!(
            (
                read.split(Split::Train).len(),
                read.entries[4].label.as_str()
            ),
            (3, "b")
        );
        let picture = decode::open(&read.path(1), 1).unwrap();
        assert_eq!(
            (picture.pixels(), picture.shape()),
            (&[3, 4][..], [1, 2, 1])
        );
    }

    #[test]
    fn packs_of_pairs_are_unpacked() {
        let root = tempfile::tempdir().unwrap();
        let whole: Arc<[u8]> = b"\x89PNG"[..].into();
        let content = Content::Pairs(Pack {
            name: "pack".into(),
            images: vec![whole.clone(), whole.clone(), whole.clone(), [1][..].into()],
            same: vec![true, false],
        });
        let csv = root.path().join("lfw.csv");
        convert(&content, &csv, false).unwrap();
        let read = Manifest::read(&csv).unwrap();
        let labels: Vec<_> = read
            .entries
            .iter()
            .map(|e| (e.label.as_str(), e.fold))
            .collect();
        assert_eq!(
            labels,
            [
                ("0", Some(0)),
                ("0", Some(0)),
                ("1a", Some(1)),
                ("1b", Some(1))
            ]
        );
        assert_eq!(fs::read(read.path(2)).unwrap(), *whole);
    }
}
