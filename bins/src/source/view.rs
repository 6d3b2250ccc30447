//! Some of the examples of a data set, perhaps under other labels.

use data::{Examples, Result};
use engine::rng::Key;
use std::sync::Arc;

/// A selection of examples that shares them with others.
///
/// Whatever the examples are (pictures in memory or in files, recordings), the parts of a protocol
/// are views of them.
#[derive(Clone)]
pub struct View {
    all: Arc<dyn Examples>,
    rows: Vec<usize>,
    labels: Vec<usize>,
    cameras: Vec<u32>,
    on_demand: bool,
}

impl View {
    /// All examples, with their labels and with these cameras (empty if they are not known).
    pub fn new(all: Arc<dyn Examples>, cameras: Vec<u32>) -> Self {
        View {
            rows: (0..all.labels().len()).collect(),
            labels: all.labels().to_vec(),
            cameras,
            on_demand: false,
            all,
        }
    }

    /// The same examples, of which each takes long to make: several threads should.
    pub fn on_demand(self, on_demand: bool) -> Self {
        View { on_demand, ..self }
    }

    /// Threads that should make batches. What is in them does not depend on it.
    pub fn workers(&self) -> usize {
        match self.on_demand {
            true => engine::par::threads().clamp(1, 8),
            false => 1,
        }
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The places of the examples in the data set.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The examples at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn select(&self, indices: &[usize]) -> View {
        View {
            all: Arc::clone(&self.all),
            rows: indices.iter().map(|&i| self.rows[i]).collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            cameras: match self.cameras.is_empty() {
                true => Vec::new(),
                false => indices.iter().map(|&i| self.cameras[i]).collect(),
            },
            on_demand: self.on_demand,
        }
    }

    /// The same examples under other labels.
    ///
    /// # Panics
    /// If there is not one label for each.
    pub fn relabelled(self, labels: Vec<usize>) -> View {
        assert_eq!(labels.len(), self.rows.len(), "one label per example");
        View { labels, ..self }
    }
}

impl Examples for View {
    fn shape(&self) -> [usize; 3] {
        self.all.shape()
    }

    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn cameras(&self) -> &[u32] {
        &self.cameras
    }

    fn write(&self, index: usize, variation: Option<Key>, out: &mut [f32]) -> Result<()> {
        self.all.write(self.rows[index], variation, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{ImageSet, Images, Normalise};

    #[test]
    fn selections_of_selections_show_the_same_pictures_under_their_labels() {
        let classes = ["a", "b", "c"].map(String::from).to_vec();
        let set = ImageSet::new("set", [1, 1, 1], vec![0, 51, 255], vec![0, 1, 2], classes);
        let images = Images::new(set.unwrap(), Normalise::unit(1)).unwrap();
        let all = View::new(Arc::new(images), vec![7, 8, 9]);
        let some = all
            .select(&[2, 1])
            .relabelled(vec![0, 1])
            .select(&[1, 1, 0]);
        assert_eq!(
            (some.labels(), some.cameras()),
            (&[1, 1, 0][..], &[8, 8, 9][..])
        );
        assert_eq!(some.rows(), [1, 1, 2]);
        let mut out = [0.0];
        some.write(0, None, &mut out).unwrap();
        assert!((out[0] - 0.2).abs() < 1e-6);
    }
}
