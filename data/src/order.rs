//! Which images make up the batches of an epoch.
//!
//! An order is a rule; its [`Plan`] for one epoch is a function of the labels, the rule and the
//! epoch's key. It does not depend on threads, nor on which batches were taken before, so a run
//! resumes at any batch.

mod balanced;
mod deck;
mod pxk;

use crate::error::{Error, Result};
use engine::rng::Key;

/// What happens to the images that do not fill a last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastBatch {
    /// They make a smaller batch.
    Keep,
    /// They are left out of this epoch; shuffling leaves out others in the next. Batch-norm
    /// then never sees a batch of one.
    Drop,
}

/// The rule by which batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The set's own order, every image once; the last batch may be smaller. For evaluation.
    Sequential {
        /// Images per batch.
        batch: usize,
    },
    /// A new random order in every epoch, every image once.
    Shuffled {
        /// Images per batch.
        batch: usize,
        /// The rule for the last batch.
        last: LastBatch,
    },
    /// Every batch holds exactly `classes` different classes, `per_class` images of each, side
    /// by side: for losses that compare images of one class with each other.
    ///
    /// In an epoch every image comes at least once. A class of `n` images is visited
    /// `ceil(n / per_class)` times or more; its images are drawn without replacement until they
    /// are used up, then reshuffled, and a visit shows no image twice unless the class has fewer
    /// than `per_class`. An epoch has `max(ceil(visits / classes), most visits to one class)`
    /// batches, the fewest that allow this; visits that are left over go to all classes in turn.
    PxK {
        /// Different classes in a batch: P.
        classes: usize,
        /// Images of each: K.
        per_class: usize,
        /// Whether the images of a class are dealt so that its cameras come evenly: each visit
        /// then shows as many of them as it can, each as often as its share of the images. In
        /// re-identification what matters is to know somebody again under another camera.
        cameras: bool,
    },
    /// As many images of every class, whatever their numbers, in random order: for sets whose
    /// large classes would drown the small ones.
    ///
    /// An epoch is as long as that of [`Shuffled`](Self::Shuffled) with the rest dropped, and
    /// each class comes equally often in it, give or take one. Within a class no image comes a
    /// second time before all have come once; the large classes show others in the next epoch.
    Balanced {
        /// Images per batch.
        batch: usize,
    },
}

impl Order {
    /// Every image once in the set's own order, in batches of `batch` and the rest.
    pub fn sequential(batch: usize) -> Self {
        Order::Sequential { batch }
    }

    /// Every image once in random order, in full batches of `batch`; the rest is dropped.
    pub fn shuffled(batch: usize) -> Self {
        Order::Shuffled {
            batch,
            last: LastBatch::Drop,
        }
    }

    /// Batches of `classes` times `per_class` images.
    pub fn pxk(classes: usize, per_class: usize) -> Self {
        Order::PxK {
            classes,
            per_class,
            cameras: false,
        }
    }

    /// Batches of `classes` times `per_class` images, those of a class from its cameras evenly.
    pub fn pxk_cameras(classes: usize, per_class: usize) -> Self {
        Order::PxK {
            classes,
            per_class,
            cameras: true,
        }
    }

    /// Batches of `batch` images in which all classes come equally often.
    pub fn balanced(batch: usize) -> Self {
        Order::Balanced { batch }
    }

    /// The number of images in a full batch.
    pub fn batch_size(&self) -> usize {
        match *self {
            Order::Sequential { batch }
            | Order::Shuffled { batch, .. }
            | Order::Balanced { batch } => batch,
            Order::PxK {
                classes, per_class, ..
            } => classes.saturating_mul(per_class),
        }
    }

    /// Checks that the rule can make batches from images with these labels and cameras; the
    /// cameras are empty where they are not known.
    ///
    /// # Errors
    /// [`Error::Invalid`] for batches of zero images, for fewer images than a batch where the
    /// rest is dropped, for no images to shuffle, and for fewer classes than a PxK batch needs
    /// or fewer images than it wants of each, or no cameras where they matter.
    pub fn check(&self, labels: &[usize], cameras: &[u32]) -> Result<()> {
        let least = |what: &str, least: usize, found: usize, hint: &str| {
            if found >= least {
                return Ok(());
            }
            Err(Error::invalid(
                what,
                format!("{least} or more"),
                found,
                hint,
            ))
        };
        least(
            "images per batch",
            1,
            self.batch_size(),
            "ask for at least one",
        )?;
        let fewer = "use more data or smaller batches";
        match *self {
            Order::Sequential { .. } => Ok(()),
            Order::Shuffled { batch, last } => {
                let full = if last == LastBatch::Drop { batch } else { 1 };
                least("images to fill one batch", full, labels.len(), fewer)
            }
            Order::Balanced { batch } => {
                least("images to fill one batch", batch, labels.len(), fewer)
            }
            Order::PxK {
                classes,
                per_class,
                cameras: by_camera,
            } => {
                if by_camera {
                    let hint = "state the camera of every image, or do not ask for it";
                    least("cameras of the images", labels.len(), cameras.len(), hint)?;
                }
                let found = pxk::visits(labels, 1).iter().filter(|&&n| n > 0).count();
                least("different classes for PxK batches", classes, found, fewer)?;
                // Repetition serves small classes; beyond all images it is a slip of the pen.
                let hint = "ask for fewer images per class";
                least("images for PxK batches", per_class, labels.len(), hint)
            }
        }
    }

    /// The number of batches in an epoch over images with these labels.
    pub fn batches(&self, labels: &[usize]) -> usize {
        match *self {
            Order::Sequential { batch } => labels.len().div_ceil(batch),
            Order::Shuffled { batch, last } => match last {
                LastBatch::Keep => labels.len().div_ceil(batch),
                LastBatch::Drop => labels.len() / batch,
            },
            Order::Balanced { batch } => labels.len() / batch,
            Order::PxK {
                classes, per_class, ..
            } => pxk::batches(&pxk::visits(labels, per_class), classes),
        }
    }

    /// The batches of the epoch that belongs to `key`, for images with these labels and cameras,
    /// which must have passed [`check`](Self::check).
    ///
    /// # Panics
    /// If they would not have passed.
    pub fn plan(&self, labels: &[usize], cameras: &[u32], key: Key) -> Plan {
        let mut indices = match *self {
            Order::Sequential { .. } => (0..labels.len()).collect(),
            Order::Shuffled { .. } => key.rng().permutation(labels.len()),
            Order::Balanced { batch } => balanced::draw(labels, labels.len() / batch * batch, key),
            Order::PxK {
                classes,
                per_class,
                cameras: by_camera,
            } => {
                let cameras = if by_camera { cameras } else { &[] };
                pxk::draw(labels, cameras, [classes, per_class], key)
            }
        };
        indices.truncate(self.batches(labels) * self.batch_size());
        Plan {
            indices,
            batch: self.batch_size(),
        }
    }
}

/// The batches of one epoch, as indices of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    indices: Vec<usize>,
    batch: usize,
}

impl Plan {
    /// The number of batches.
    pub fn batches(&self) -> usize {
        self.indices.len().div_ceil(self.batch)
    }

    /// The images of batch `index`.
    ///
    /// # Panics
    /// If there is no such batch.
    pub fn batch(&self, index: usize) -> &[usize] {
        let start = index * self.batch;
        &self.indices[start..(start + self.batch).min(self.indices.len())]
    }

    /// The images of all batches, one batch after the other.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_epochs_hold_every_image_once_and_differ() {
        let labels = vec![0; 103];
        let order = Order::Shuffled {
            batch: 10,
            last: LastBatch::Keep,
        };
        let key = Key::new(1);
        let plan = order.plan(&labels, &[], key.at(0));
        assert_eq!((plan.batches(), order.batches(&labels)), (11, 11));
        assert_eq!((plan.batch(0).len(), plan.batch(10).len()), (10, 3));
        let mut all = plan.indices().to_vec();
        assert!(!all.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        assert_eq!(plan, order.plan(&labels, &[], key.at(0)));
        assert_ne!(plan, order.plan(&labels, &[], key.at(1)));
    }

    #[test]
    fn dropping_keeps_full_batches_and_leaves_out_others_each_time() {
        let labels = vec![0; 103];
        let order = Order::shuffled(10);
        let plan = |epoch| order.plan(&labels, &[], Key::new(1).at(epoch));
        assert_eq!((plan(0).batches(), order.batches(&labels)), (10, 10));
        assert_eq!(plan(0).batch(9).len(), 10);
        let left_out = |epoch| {
            (0..103)
                .filter(|i| !plan(epoch).indices().contains(i))
                .collect::<Vec<_>>()
        };
        assert_eq!(left_out(0).len(), 3);
        assert_ne!(left_out(0), left_out(1));
    }

    #[test]
    fn sequential_batches_keep_the_order_and_the_rest() {
        let order = Order::sequential(4);
        let plan = order.plan(&[0; 9], &[], Key::new(1));
        assert_eq!(plan.batch(1), [4, 5, 6, 7]);
        assert_eq!(plan.batch(2), [8]);
        assert_eq!(Order::sequential(4).batches(&[]), 0);
        assert_eq!(order.plan(&[], &[], Key::new(1)).batches(), 0);
    }

    #[test]
    fn rules_that_cannot_make_a_batch_are_refused() {
        let refused =
            |order: Order, labels: &[usize]| order.check(labels, &[]).unwrap_err().to_string();
        assert!(refused(Order::shuffled(10), &[0; 9]).contains("expected 10 or more, found 9"));
        assert!(refused(Order::shuffled(0), &[0; 9]).contains("images per batch"));
        assert!(refused(Order::sequential(0), &[]).contains("images per batch"));
        assert!(refused(Order::pxk(3, 2), &[0, 0, 5, 5]).contains("expected 3 or more, found 2"));
        assert!(refused(Order::pxk(3, 0), &[0, 1, 2]).contains("images per batch"));
        assert!(refused(Order::pxk(2, usize::MAX), &[0, 1, 2]).contains("found 3"));
        assert!(refused(Order::balanced(10), &[0; 9]).contains("expected 10 or more, found 9"));
        let blind = refused(Order::pxk_cameras(2, 1), &[0, 1]);
        assert!(blind.contains("cameras of the images: expected 2 or more, found 0"));
        let keep = LastBatch::Keep;
        assert!(
            Order::Shuffled {
                batch: 10,
                last: keep
            }
            .check(&[0], &[])
            .is_ok()
        );
        assert!(
            Order::Shuffled {
                batch: 10,
                last: keep
            }
            .check(&[], &[])
            .is_err()
        );
    }
}
