//! Batches, made on other threads while the network works on the last one.
//!
//! What an epoch holds follows from (seed, epoch) alone: the order of the images from the key
//! `order/epoch`, the variation of image `i` from `augment/epoch/i`, what batch `b` mixes from
//! `mixup/epoch/b`. Threads, prefetching, batch
//! boundaries and the batch that a run resumes at change when a batch is made, never what is in
//! it.

mod mixup;

pub use mixup::Mixed;

use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::order::{Order, Plan};
use engine::rng::Key;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Examples of one step.
///
/// When a batch is dropped its `images` go back to the loader, which fills them again. Taking
/// them out (`std::mem::take`) is fine, too: the loader then allocates anew.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The examples, NHWC, row-major.
    pub images: Vec<f32>,
    /// `[number, height, width, channels]` of `images`.
    pub shape: [usize; 4],
    /// The class of each example.
    pub labels: Vec<usize>,
    /// The place of each example in the loader's [`Examples`].
    pub indices: Vec<usize>,
    /// What else is in each image, if the loader mixes them; see [`Loader::mixup`].
    pub mixed: Option<Mixed>,
    home: Arc<Spare>,
}

impl Batch {
    /// The number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example; never so for a batch that a loader made.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.images));
    }
}

/// Buffers that wait to be filled again, at most `most` of them.
#[derive(Debug, Default)]
struct Spare {
    most: usize,
    buffers: Mutex<Vec<Vec<f32>>>,
}

impl Spare {
    fn put(&self, buffer: Vec<f32>) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.capacity() > 0 && buffers.len() < self.most {
            buffers.push(buffer);
        }
    }

    fn take(&self) -> Vec<f32> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.pop().unwrap_or_default()
    }
}

/// Makes the batches of any epoch.
///
/// The threads belong to the [`Epoch`]; a loader itself is only the recipe.
#[derive(Clone)]
pub struct Loader {
    examples: Arc<dyn Examples>,
    order: Order,
    seed: u64,
    varied: bool,
    mixup: f32,
    ahead: usize,
    workers: usize,
    spare: Arc<Spare>,
}

impl Loader {
    /// A loader for training: examples in this order, each varied anew in every epoch.
    ///
    /// # Errors
    /// As [`Order::check`].
    pub fn new(examples: impl Examples + 'static, order: Order, seed: u64) -> Result<Self> {
        order.check(examples.labels(), examples.cameras())?;
        let loader = Loader {
            examples: Arc::new(examples),
            order,
            seed,
            varied: true,
            mixup: 0.0,
            ahead: 0,
            workers: 1,
            spare: Arc::default(),
        };
        Ok(loader.prefetch(4))
    }

    /// A loader for evaluation: every example once, in order and as it is, the last batch as
    /// small as it comes. No examples make no batches.
    ///
    /// # Errors
    /// As [`Order::check`]: if `batch` is zero.
    pub fn evaluation(examples: impl Examples + 'static, batch: usize) -> Result<Self> {
        Ok(Loader {
            varied: false,
            ..Loader::new(examples, Order::sequential(batch), 0)?
        })
    }

    /// The same loader, mixing each image with another of its batch: H. Zhang et al., "mixup:
    /// Beyond Empirical Risk Minimization", ICLR 2018. One share is drawn for each batch from
    /// Beta(`alpha`, `alpha`); [`Batch::mixed`] tells it. 0 is off; 0.2 to 1 are usual. Loaders
    /// for evaluation never mix.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `alpha` is not 0 to 100.
    pub fn mixup(self, alpha: f32) -> Result<Self> {
        if !(0.0..=100.0).contains(&alpha) {
            return Err(Error::invalid(
                "alpha of mixup",
                "0 (off) to 100",
                alpha,
                "0.2 to 1 are usual",
            ));
        }
        Ok(Loader {
            mixup: alpha,
            ..self
        })
    }

    /// The same loader, with at most `batches` ready batches waiting for each worker (at least
    /// one; at first 4).
    pub fn prefetch(self, batches: usize) -> Self {
        let loader = Loader {
            ahead: batches.max(1),
            ..self
        };
        loader.with_spare()
    }

    /// The same loader, with so many threads making batches (at least one; at first 1, which is
    /// plenty for small images in memory).
    pub fn workers(self, threads: usize) -> Self {
        let loader = Loader {
            workers: threads.max(1),
            ..self
        };
        loader.with_spare()
    }

    /// Room for every batch that can exist at once: waiting, in the making, in use.
    fn with_spare(self) -> Self {
        let spare = Spare {
            most: self.workers * (self.ahead + 1) + 1,
            buffers: Mutex::default(),
        };
        Loader {
            spare: Arc::new(spare),
            ..self
        }
    }

    /// What is loaded.
    pub fn examples(&self) -> &dyn Examples {
        &*self.examples
    }

    /// The rule that makes the batches.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The number of batches in every epoch.
    pub fn batches(&self) -> usize {
        self.order.batches(self.examples.labels())
    }

    /// The batches of epoch `epoch`, from the first.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of epoch `epoch` from batch `first` on, the same as if those before had been
    /// taken. At or past the end of the epoch there are none.
    ///
    /// # Panics
    /// If the operating system refuses to start a thread.
    pub fn epoch_from(&self, epoch: u64, first: usize) -> Epoch {
        let seed = Key::new(self.seed);
        let labels = self.examples.labels();
        let plan = Arc::new(self.order.plan(
            labels,
            self.examples.cameras(),
            seed.named("order").at(epoch),
        ));
        let variation = self.varied.then(|| seed.named("augment").at(epoch));
        let mixing = self.varied && self.mixup > 0.0;
        let mixup = mixing.then(|| (self.mixup, seed.named("mixup").at(epoch)));
        let stop = Arc::new(AtomicBool::new(false));
        let end = plan.batches();
        let workers = self.workers.min(end.saturating_sub(first));
        let (lanes, threads) = (0..workers)
            .map(|w| {
                let (sender, receiver) = sync_channel(self.ahead);
                let worker = Worker {
                    examples: Arc::clone(&self.examples),
                    plan: Arc::clone(&plan),
                    variation,
                    mixup,
                    spare: Arc::clone(&self.spare),
                    stop: Arc::clone(&stop),
                };
                let thread = std::thread::Builder::new()
                    .name(format!("loader {w}"))
                    .spawn(move || worker.run((first + w..end).step_by(workers), &sender))
                    .expect("the operating system starts a thread for the loader");
                (receiver, thread)
            })
            .unzip();
        Epoch {
            first,
            next: first.min(end),
            end,
            lanes,
            threads,
            stop,
            waited: Duration::ZERO,
        }
    }
}

struct Worker {
    examples: Arc<dyn Examples>,
    plan: Arc<Plan>,
    variation: Option<Key>,
    mixup: Option<(f32, Key)>,
    spare: Arc<Spare>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Makes batches until they are done, one fails or nobody wants them any more.
    fn run(&self, batches: impl Iterator<Item = usize>, out: &SyncSender<Result<Batch>>) {
        for b in batches {
            let batch = self.make(b);
            let failed = batch.is_err();
            if out.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn make(&self, number: usize) -> Result<Batch> {
        let indices = self.plan.batch(number);
        let [height, width, channels] = self.examples.shape();
        let size = height * width * channels;
        let all_labels = self.examples.labels();
        let mut batch = Batch {
            images: self.spare.take(),
            shape: [indices.len(), height, width, channels],
            labels: indices.iter().map(|&i| all_labels[i]).collect(),
            indices: indices.to_vec(),
            mixed: None,
            home: Arc::clone(&self.spare),
        };
        batch.images.resize(indices.len() * size, 0.0);
        for (&i, out) in indices.iter().zip(batch.images.chunks_exact_mut(size)) {
            // Checked for each example, since one may take milliseconds to decode.
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let variation = self.variation.map(|epoch| epoch.at(i as u64));
            self.examples.write(i, variation, out)?;
        }
        if let Some((alpha, epoch)) = self.mixup {
            let key = epoch.at(number as u64);
            let labels = &batch.labels;
            batch.mixed = Some(mixup::mix(&mut batch.images, labels, alpha, key));
        }
        Ok(batch)
    }
}

/// The batches of one epoch, in order, while they are being made.
///
/// After an error there are no more batches. Dropping an epoch early stops its threads and waits
/// for the one example that each has in hand.
pub struct Epoch {
    first: usize,
    next: usize,
    end: usize,
    /// Batch `first + i` comes from lane `i % lanes.len()`.
    lanes: Vec<Receiver<Result<Batch>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    waited: Duration,
}

impl Epoch {
    /// The number, within the epoch, of the batch that comes next: where to resume.
    pub fn position(&self) -> usize {
        self.next
    }

    /// The time that the taker has spent waiting for batches so far. The first batch is always
    /// waited for; if the rest adds to it, loading is too slow.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.next >= self.end {
            return None;
        }
        let lane = (self.next - self.first) % self.lanes.len();
        let start = Instant::now();
        let received = self.lanes[lane].recv();
        self.waited += start.elapsed();
        match received {
            Ok(Ok(batch)) => {
                self.next += 1;
                Some(Ok(batch))
            }
            Ok(Err(error)) => {
                self.end = self.next;
                Some(Err(error))
            }
            // The worker hung up before its time: it panicked, and its panic becomes ours.
            Err(_) => {
                self.end = self.next;
                let panicked = self.threads.swap_remove(lane).join();
                resume_unwind(panicked.expect_err("a worker hangs up early only by a panic"))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.end - self.next))
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Hanging up wakes a worker that waits for room in its lane.
        self.lanes.clear();
        for thread in self.threads.drain(..) {
            // A panic after the last batch that was wanted concerns nobody.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "loader_tests.rs"]
mod tests;
