//! Pictures that stay in their files until they are asked for: a set may be larger than memory.

use crate::augment::ResizedCrop;
use crate::decode::{self, Area, Picture};
use crate::error::{Error, Result};
use crate::examples::Pictures;
use crate::manifest::Manifest;
use crate::set::ImageSet;
use engine::par;
use engine::rng::Key;
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which part of a picture is shown where no random crop is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frame {
    /// All of it, stretched: re-identification, where every picture is a tight box.
    Stretch,
    /// The largest part in the middle that has the sides' ratio of the set, of which this share
    /// of either side: 1 for all that fits, 0.875 for the usual 224 out of 256.
    Centre(f32),
}

impl Frame {
    /// The part of `area` that is shown as `[height, width]`.
    pub(crate) fn part(self, area: Area, [height, width]: [usize; 2]) -> Area {
        let Frame::Centre(share) = self else {
            return area;
        };
        let scale = share * (area.height / height as f32).min(area.width / width as f32);
        let (tall, wide) = (scale * height as f32, scale * width as f32);
        Area {
            left: area.left + 0.5 * (area.width - wide),
            top: area.top + 0.5 * (area.height - tall),
            width: wide,
            height: tall,
        }
    }

    /// Whether pictures can be shown in this shape, `[height, width, channels]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a side is zero, the channels are neither 1 nor 3, or the share of
    /// [`Frame::Centre`] is not above 0 and at most 1.
    pub(crate) fn check(self, name: &str, [height, width, channels]: [usize; 3]) -> Result<()> {
        let sides = 1..=decode::LARGEST_SIDE as usize;
        if !sides.contains(&height) || !sides.contains(&width) || !matches!(channels, 1 | 3) {
            return Err(Error::invalid(
                format!("shape of {name}"),
                format!("sides of 1 to {} pixels and 1 or 3 channels", sides.end()),
                format!("{height} x {width} x {channels}"),
                "state it as [height, width, channels]",
            ));
        }
        if let Frame::Centre(share) = self
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(Error::invalid(
                format!("frame of {name}"),
                "a share above 0 and at most 1",
                share,
                "1 shows all that fits",
            ));
        }
        Ok(())
    }
}

/// What happens to files that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The first one is an error.
    Refuse,
    /// They are left out, and reported.
    Skip,
}

impl Unreadable {
    /// Reads `count` files on all threads. Returns the places of those that can be read, and why
    /// the others cannot.
    pub(crate) fn check(
        self,
        count: usize,
        read: impl Fn(usize) -> Result<()> + Sync + Send,
    ) -> Result<(Vec<usize>, Vec<Error>)> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (i, result) in par::map(count, read).into_iter().enumerate() {
            match (result, self) {
                (Ok(()), _) => good.push(i),
                (Err(error), Unreadable::Refuse) => return Err(error),
                (Err(error), Unreadable::Skip) => bad.push(error),
            }
        }
        Ok((good, bad))
    }
}

/// Labelled pictures in files, decoded in one shape when they are asked for.
///
/// Cloning it and taking a [`subset`](FileSet::subset) share the list.
#[derive(Clone)]
pub struct FileSet {
    list: Arc<List>,
    /// Places in the list.
    rows: Arc<[usize]>,
    labels: Arc<[usize]>,
    cameras: Arc<[u32]>,
}

struct List {
    name: String,
    shape: [usize; 3],
    frame: Frame,
    files: Vec<(PathBuf, Option<Area>)>,
    /// Indices into the manifest's entries.
    origins: Vec<usize>,
    classes: Vec<String>,
}

impl FileSet {
    /// Some entries of a manifest, as pictures of `[height, width, channels]`. Their classes are
    /// the labels that occur among them, in byte order. No file is opened.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a side is zero, the channels are neither 1 nor 3, or the share of
    /// [`Frame::Centre`] is not above 0 and at most 1.
    ///
    /// # Panics
    /// If an index is not one of the manifest.
    pub fn new(
        manifest: &Manifest,
        indices: &[usize],
        shape: [usize; 3],
        frame: Frame,
    ) -> Result<Self> {
        frame.check(&manifest.name, shape)?;
        let classes = manifest.classes(indices);
        let class = |&i: &usize| {
            let label = &manifest.entries[i].label;
            classes
                .binary_search(label)
                .expect("the classes are those of the entries")
        };
        let labels = indices.iter().map(class).collect();
        let camera = |&i: &usize| manifest.entries[i].camera;
        let cameras: Option<Vec<u32>> = indices.iter().map(camera).collect();
        let file = |&i: &usize| (manifest.path(i), manifest.entries[i].area);
        Ok(FileSet {
            rows: (0..indices.len()).collect(),
            labels,
            cameras: cameras.unwrap_or_default().into(),
            list: Arc::new(List {
                name: manifest.name.clone(),
                shape,
                frame,
                files: indices.iter().map(file).collect(),
                origins: indices.to_vec(),
                classes,
            }),
        })
    }

    /// The number of pictures.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no picture at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The names of the classes; a subset keeps all of them.
    pub fn classes(&self) -> &[String] {
        &self.list.classes
    }

    /// The file of a picture.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn path(&self, index: usize) -> &Path {
        &self.list.files[self.rows[index]].0
    }

    /// The entry of the manifest that picture `index` is, whatever the number of subsets in
    /// between.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn origin(&self, index: usize) -> usize {
        self.list.origins[self.rows[index]]
    }

    /// The pictures at `indices`, in that order. An index may come twice.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> FileSet {
        let cameras = match self.cameras.is_empty() {
            true => Arc::clone(&self.cameras),
            false => indices.iter().map(|&i| self.cameras[i]).collect(),
        };
        FileSet {
            list: Arc::clone(&self.list),
            rows: indices.iter().map(|&i| self.rows[i]).collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            cameras,
        }
    }

    /// Decodes every file once, and returns the set without those that cannot be, and why they
    /// cannot. What would otherwise stop a training after hours is known before it starts.
    ///
    /// # Errors
    /// With [`Unreadable::Refuse`], the first error in the order of the set.
    pub fn checked(&self, unreadable: Unreadable) -> Result<(FileSet, Vec<Error>)> {
        let (good, bad) = unreadable.check(self.len(), |i| self.decode(i).map(drop))?;
        Ok((self.subset(&good), bad))
    }

    /// Decodes everything into memory, on all threads: for sets that fit and are seen often.
    ///
    /// # Errors
    /// The first file that cannot be decoded; [`Error::Invalid`] if the sizes overflow.
    pub fn load(&self) -> Result<ImageSet> {
        let size: usize = self.list.shape.iter().product();
        let Some(bytes) = size.checked_mul(self.len()) else {
            return Err(Error::invalid(
                format!("images of {} in memory", self.list.name),
                "less than the address space",
                format!("{} images of {size} bytes", self.len()),
                "leave them in their files",
            ));
        };
        let mut pixels = vec![0; bytes];
        let mut results: Vec<Result<()>> = (0..self.len()).map(|_| Ok(())).collect();
        par::chunks2(&mut pixels, size, &mut results, 1, |i, out, result| {
            result[0] = self.read(i, None).map(|image| out.copy_from_slice(&image));
        });
        results.into_iter().collect::<Result<()>>()?;
        ImageSet::new(
            self.list.name.clone(),
            self.list.shape,
            pixels,
            self.labels.to_vec(),
            self.list.classes.clone(),
        )
    }

    /// The whole picture as its file has it, and the part of it that counts.
    fn decode(&self, index: usize) -> Result<(Picture, Area)> {
        let (path, area) = &self.list.files[self.rows[index]];
        let picture = decode::open(path, self.list.shape[2])?;
        let area = area.unwrap_or(picture.area());
        Ok((picture, area))
    }
}

impl Pictures for FileSet {
    fn name(&self) -> &str {
        &self.list.name
    }

    fn shape(&self) -> [usize; 3] {
        self.list.shape
    }

    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn cameras(&self) -> &[u32] {
        &self.cameras
    }

    fn read(&self, index: usize, crop: Option<(ResizedCrop, Key)>) -> Result<Cow<'_, [u8]>> {
        let (picture, area) = self.decode(index)?;
        let [height, width, _] = self.list.shape;
        let part = match (crop, self.list.frame) {
            (Some((crop, key)), _) => crop.draw(area, key),
            (None, frame) => frame.part(area, [height, width]),
        };
        Ok(Cow::Owned(
            picture.resized(part, [height, width]).into_pixels(),
        ))
    }
}

impl fmt::Debug for FileSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [h, w, c] = self.list.shape;
        write!(
            f,
            "{} ({} files as {h} x {w} x {c}, {} classes)",
            self.list.name,
            self.len(),
            self.classes().len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Entry, Split};
    use crate::{Images, Loader, Normalise, Order};
    use image::{GrayImage, Luma};
    use std::fs;

    /// Six pictures of 8 x 4 pixels: the left half is as bright as ten times the number, the
    /// right half is white. Cameras 0 and 1, two labels. Number 4 is no picture.
    fn folder() -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        let entry = |i: u8| {
            let name = format!("{i}.png");
            let image = GrayImage::from_fn(8, 4, |x, _| Luma([if x < 4 { 10 * i } else { 255 }]));
            image.save(folder.path().join(&name)).unwrap();
            Entry {
                camera: Some(u32::from(i % 2)),
                area: (i == 5).then_some(Area {
                    left: 0.0,
                    top: 0.0,
                    width: 4.0,
                    height: 4.0,
                }),
                ..Entry::new(name, ["b", "a"][usize::from(i % 2)], Split::Train)
            }
        };
        let manifest = Manifest {
            name: "six".into(),
            root: folder.path().into(),
            entries: (0..6).map(entry).collect(),
        };
        fs::write(folder.path().join("4.png"), "text").unwrap();
        (folder, manifest)
    }

    #[test]
    fn pictures_are_framed_labelled_and_known_by_their_origin() {
        let (_folder, manifest) = folder();
        let stretched = FileSet::new(&manifest, &[5, 2, 1], [2, 2, 1], Frame::Stretch).unwrap();
        assert_eq!(stretched.classes(), ["a", "b"]);
        assert_eq!(
            (stretched.labels(), stretched.cameras()),
            (&[0, 1, 0][..], &[1, 0, 1][..])
        );
        // Pillow: Image.resize((2, 2), Image.BILINEAR) of the same picture.
        assert_eq!(*stretched.read(1, None).unwrap(), [54, 221, 54, 221]);
        // The box of number 5 is its left half.
        assert_eq!(*stretched.read(0, None).unwrap(), [50; 4]);
        let some = stretched.subset(&[2, 2]).subset(&[1]);
        assert_eq!(
            (some.origin(0), some.labels(), some.cameras()),
            (1, &[0][..], &[1][..])
        );
        assert!(some.path(0).ends_with("1.png"));
        let centred = FileSet::new(&manifest, &[2], [4, 4, 3], Frame::Centre(1.0)).unwrap();
        let row = [20, 20, 20, 20, 20, 20, 255, 255, 255, 255, 255, 255];
        assert_eq!(*centred.read(0, None).unwrap(), [row; 4].concat());
        let close = FileSet::new(&manifest, &[2], [2, 2, 1], Frame::Centre(0.5)).unwrap();
        assert_eq!(*close.read(0, None).unwrap(), [20, 255, 20, 255], "copied");
    }

    #[test]
    fn a_part_can_be_held_out_as_of_a_set_in_memory() {
        let (_folder, manifest) = folder();
        let set = FileSet::new(&manifest, &[0, 1, 2, 3, 5], [2, 2, 1], Frame::Stretch).unwrap();
        let (rest, held) = set.hold_out(2, 7).unwrap();
        let (rest_loaded, held_loaded) = set.load().unwrap().hold_out(2, 7).unwrap();
        assert_eq!(
            (rest.load().unwrap().fingerprint(), held.len()),
            (rest_loaded.fingerprint(), 2)
        );
        assert_eq!(
            held.load().unwrap().fingerprint(),
            held_loaded.fingerprint()
        );
        assert!(
            set.hold_out(4, 7)
                .unwrap_err()
                .to_string()
                .contains("hold out of six")
        );
    }

    #[test]
    fn crops_come_from_the_whole_picture() {
        let (_folder, manifest) = folder();
        let set = FileSet::new(&manifest, &[3], [4, 4, 1], Frame::Stretch).unwrap();
        let crop = ResizedCrop {
            area: (0.1, 0.2),
            aspect: 1.0,
        };
        let left = (0..50).filter(|&i| {
            let image = set.read(0, Some((crop, Key::new(i)))).unwrap();
            image.iter().all(|&p| p == 30)
        });
        // Small parts often lie in one half alone.
        assert!((5..45).contains(&left.count()));
    }

    #[test]
    fn unreadable_files_are_refused_or_skipped_and_named() {
        let (_folder, manifest) = folder();
        let all: Vec<usize> = (0..6).collect();
        let set = FileSet::new(&manifest, &all, [2, 2, 1], Frame::Stretch).unwrap();
        let message = set.checked(Unreadable::Refuse).unwrap_err().to_string();
        assert!(message.contains("4.png: not a readable image"), "{message}");
        assert!(set.load().unwrap_err().to_string().contains("4.png"));
        let (good, bad) = set.checked(Unreadable::Skip).unwrap();
        assert_eq!((good.len(), bad.len()), (5, 1));
        assert_eq!(good.origin(4), 5);
        fs::remove_file(manifest.path(0)).unwrap();
        let (good, bad) = set.checked(Unreadable::Skip).unwrap();
        assert_eq!((good.len(), bad.len()), (4, 2));
        assert!(bad[0].to_string().contains("0.png: cannot be read"));
    }

    #[test]
    fn in_memory_and_in_files_are_the_same_to_the_loader() {
        let (_folder, manifest) = folder();
        let set = FileSet::new(&manifest, &[0, 1, 2, 3, 5], [4, 6, 3], Frame::Stretch).unwrap();
        let loaded = set.load().unwrap();
        assert_eq!(loaded.labels(), set.labels());
        let batches = |loader: Loader| -> Vec<Vec<f32>> {
            loader
                .workers(2)
                .epoch(1)
                .map(|b| b.unwrap().images.clone())
                .collect()
        };
        let normalise = Normalise::unit(3);
        let order = Order::shuffled(2);
        let files = Images::new(set.clone(), normalise.clone()).unwrap();
        let memory = Images::new(loaded, normalise).unwrap();
        assert_eq!(
            batches(Loader::new(files, order, 3).unwrap()),
            batches(Loader::new(memory, order, 3).unwrap())
        );
        // An unreadable file ends the epoch with its error.
        let all: Vec<usize> = (0..6).collect();
        let set = FileSet::new(&manifest, &all, [4, 6, 3], Frame::Stretch).unwrap();
        let images = Images::new(set, Normalise::unit(3)).unwrap();
        let errors = Loader::evaluation(images, 2)
            .unwrap()
            .epoch(0)
            .filter(Result::is_err);
        assert_eq!(errors.count(), 1);
    }

    #[test]
    fn shapes_and_frames_must_make_sense() {
        let (_folder, manifest) = folder();
        for shape in [[0, 2, 1], [2, 2, 2], [2, usize::MAX, 3]] {
            assert!(FileSet::new(&manifest, &[0], shape, Frame::Stretch).is_err());
        }
        for share in [0.0, 1.5, f32::NAN] {
            assert!(FileSet::new(&manifest, &[0], [2, 2, 1], Frame::Centre(share)).is_err());
        }
    }
}
