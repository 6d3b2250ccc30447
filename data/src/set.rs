//! Labelled images in memory, and views of some of them that share the pixels.

use crate::augment::ResizedCrop;
use crate::decode::Picture;
use crate::error::{Error, Result};
use crate::examples::Pictures;
use engine::rng::Key;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Labelled images of one size: bytes in NHWC order, one class per image.
///
/// A set is a list of rows over pixels that never change, so cloning it and taking a
/// [`subset`](ImageSet::subset) cost a list of indices and share the pixels.
#[derive(Clone)]
pub struct ImageSet {
    store: Arc<Store>,
    rows: Arc<[usize]>,
    labels: Arc<[usize]>,
}

struct Store {
    name: String,
    shape: [usize; 3],
    pixels: Vec<u8>,
    classes: Vec<String>,
}

impl ImageSet {
    /// A set of all the given images.
    ///
    /// * `name`: what messages call the set.
    /// * `shape`: `[height, width, channels]` of every image.
    /// * `pixels`: `[labels.len(), height, width, channels]`, row-major.
    /// * `labels`: the class of each image, an index into `classes`.
    /// * `classes`: the name of each class.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the pixels do not fill the shape exactly or a label has no class.
    pub fn new(
        name: impl Into<String>,
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<usize>,
        classes: Vec<String>,
    ) -> Result<Self> {
        let name = name.into();
        let [height, width, channels] = shape;
        let wanted = shape
            .iter()
            .try_fold(labels.len(), |n, &side| n.checked_mul(side));
        if shape.contains(&0) || wanted != Some(pixels.len()) {
            return Err(Error::invalid(
                format!("pixels of {name}"),
                format!(
                    "{} images of {height} x {width} x {channels} bytes, no side zero",
                    labels.len()
                ),
                format!("{} bytes", pixels.len()),
                "pass one label per image and the shape as [height, width, channels]",
            ));
        }
        if let Some(i) = labels.iter().position(|&label| label >= classes.len()) {
            return Err(Error::invalid(
                format!("label of image {i} of {name}"),
                format!("a class below {}", classes.len()),
                labels[i],
                "name every class that occurs",
            ));
        }
        Ok(ImageSet {
            rows: (0..labels.len()).collect(),
            labels: labels.into(),
            store: Arc::new(Store {
                name,
                shape,
                pixels,
                classes,
            }),
        })
    }

    /// What messages call the set.
    pub fn name(&self) -> &str {
        &self.store.name
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no image at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// `[height, width, channels]` of every image.
    pub fn shape(&self) -> [usize; 3] {
        self.store.shape
    }

    /// The class of each image, an index into [`classes`](Self::classes).
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The names of the classes; a subset keeps all of them, so that labels mean the same.
    pub fn classes(&self) -> &[String] {
        &self.store.classes
    }

    /// The number of images of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes().len()];
        self.labels.iter().for_each(|&label| counts[label] += 1);
        counts
    }

    /// The bytes of image `index`, `[height, width, channels]`, row-major.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.store.shape.iter().product();
        let start = self.rows[index] * size;
        &self.store.pixels[start..start + size]
    }

    /// The position of image `index` in the set that this one was cut from, whatever the number
    /// of cuts in between: for MNIST, its place in the official file.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn origin(&self, index: usize) -> usize {
        self.rows[index]
    }

    /// The images at `indices`, in that order, sharing the pixels. An index may come twice.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> ImageSet {
        ImageSet {
            store: Arc::clone(&self.store),
            rows: indices.iter().map(|&i| self.rows[i]).collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
        }
    }

    /// SHA-256 of everything a network can see of the set, as 64 hexadecimal digits: shape, class
    /// names, labels and pixels in order. The name is left out, so that the same images from two
    /// folders agree.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut number = |n: usize| hash.update((n as u64).to_le_bytes());
        self.shape().into_iter().for_each(&mut number);
        number(self.len());
        number(self.classes().len());
        for class in self.classes() {
            // The length first: ["ab", "c"] is not ["a", "bc"].
            hash.update((class.len() as u64).to_le_bytes());
            hash.update(class);
        }
        for (i, &label) in self.labels.iter().enumerate() {
            hash.update((label as u64).to_le_bytes());
            hash.update(self.image(i));
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl Pictures for ImageSet {
    fn name(&self) -> &str {
        ImageSet::name(self)
    }

    fn shape(&self) -> [usize; 3] {
        ImageSet::shape(self)
    }

    fn labels(&self) -> &[usize] {
        ImageSet::labels(self)
    }

    fn read(&self, index: usize, crop: Option<(ResizedCrop, Key)>) -> Result<Cow<'_, [u8]>> {
        let image = self.image(index);
        let Some((crop, key)) = crop else {
            return Ok(Cow::Borrowed(image));
        };
        let [height, width, _] = self.store.shape;
        let picture = Picture::new(image.to_vec(), self.store.shape);
        let part = crop.draw(picture.area(), key);
        Ok(Cow::Owned(
            picture.resized(part, [height, width]).into_pixels(),
        ))
    }
}

impl fmt::Debug for ImageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [h, w, c] = self.shape();
        write!(
            f,
            "{} ({} images of {h} x {w} x {c}, {} classes)",
            self.name(),
            self.len(),
            self.classes().len()
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `n` images of `shape` whose bytes count upwards, labelled `0, 1, … classes-1, 0, 1, …`.
    pub(crate) fn counting(n: usize, shape: [usize; 3], classes: usize) -> ImageSet {
        let bytes = n * shape.iter().product::<usize>();
        ImageSet::new(
            "counting",
            shape,
            (0..bytes).map(|i| (i % 251) as u8).collect(),
            (0..n).map(|i| i % classes).collect(),
            (0..classes).map(|c| c.to_string()).collect(),
        )
        .unwrap()
    }

    #[test]
    fn subsets_of_subsets_share_the_pixels_and_know_their_origin() {
        let all = counting(10, [2, 3, 1], 5);
        let odd = all.subset(&[1, 3, 5, 7, 9]);
        let some = odd.subset(&[4, 0, 0]);
        assert_eq!(some.labels(), [4, 1, 1]);
        assert_eq!((some.origin(0), some.origin(1)), (9, 1));
        assert_eq!(some.image(0), all.image(9));
        assert_eq!(some.image(0).as_ptr(), all.image(9).as_ptr());
        assert_eq!(some.class_counts(), [0, 2, 0, 0, 1]);
    }

    #[test]
    fn the_fingerprint_sees_pixels_labels_classes_and_order() {
        let base = counting(4, [1, 2, 1], 2);
        let rebuilt = |pixels: &[u8], labels: &[usize], classes: &[&str]| {
            let classes = classes.iter().map(|c| c.to_string()).collect();
            ImageSet::new(
                "other",
                [1, 2, 1],
                pixels.to_vec(),
                labels.to_vec(),
                classes,
            )
            .unwrap()
            .fingerprint()
        };
        let pixels = [0, 1, 2, 3, 4, 5, 6, 7];
        let same = rebuilt(&pixels, &[0, 1, 0, 1], &["0", "1"]);
        assert_eq!(same, base.fingerprint());
        assert_eq!(same.len(), 64);
        let others = [
            rebuilt(&[0, 1, 2, 3, 4, 5, 6, 8], &[0, 1, 0, 1], &["0", "1"]),
            rebuilt(&pixels, &[0, 1, 0, 0], &["0", "1"]),
            rebuilt(&pixels, &[0, 1, 0, 1], &["0", "one"]),
            base.subset(&[1, 0, 2, 3]).fingerprint(),
        ];
        assert!(others.iter().all(|other| *other != same));
    }

    #[test]
    fn sets_that_do_not_add_up_are_refused() {
        let new = |shape, bytes, labels| {
            ImageSet::new("bad", shape, vec![0; bytes], labels, vec!["a".into()])
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        assert!(new([2, 2, 1], 8, vec![0, 0]).is_ok());
        assert!(
            new([2, 2, 1], 7, vec![0, 0])
                .unwrap_err()
                .contains("7 bytes")
        );
        assert!(new([0, 2, 1], 0, vec![0]).is_err());
        assert!(new([usize::MAX, 2, 1], 2, vec![0]).is_err());
        assert!(
            new([2, 2, 1], 8, vec![0, 1])
                .unwrap_err()
                .contains("image 1 of bad")
        );
    }
}
