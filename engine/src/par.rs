//! The only file that names rayon.
//!
//! Work is split by the shape of the data, never by the number of threads, and partial results
//! are combined in index order. Hence the same bits for any number of threads.
//!
//! Every helper takes the size of a task; whoever calls it chooses that size from shapes and
//! constants alone. A single task runs on the caller's thread and costs nothing.

use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

/// Elements of cheap arithmetic (an addition, a comparison) that make a task worth a thread:
/// 32 Ki elements are some ten microseconds, ten times the price of handing a task over.
pub const CHEAP: usize = 32 * 1024;

thread_local! {
    static SMALLEST_TASKS: Cell<bool> = const { Cell::new(false) };
}

/// The size of a task of `wanted` elements, raised to whole multiples of `unit`.
///
/// Inside [`with_smallest_tasks`] it is one unit, so that tests of determinism split work that
/// is far too small to be split in earnest.
pub fn task_size(wanted: usize, unit: usize) -> usize {
    let unit = unit.max(1);
    if SMALLEST_TASKS.get() {
        unit
    } else {
        wanted.div_ceil(unit).max(1) * unit
    }
}

/// Runs `f` with every piece of work split as finely as its shape allows. For tests.
pub fn with_smallest_tasks<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SMALLEST_TASKS.set(self.0);
        }
    }
    let _restore = Restore(SMALLEST_TASKS.replace(true));
    f()
}

/// Runs `f` on a pool of exactly `threads` threads.
///
/// # Panics
/// If the operating system refuses to start the threads.
pub fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    let smallest = SMALLEST_TASKS.get();
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("the operating system starts the threads asked for")
        .install(|| {
            if smallest {
                with_smallest_tasks(f)
            } else {
                f()
            }
        })
}

/// Sets the number of threads of the whole program; to be called once, before any work.
///
/// # Errors
/// If work has already started.
pub fn set_threads(threads: usize) -> Result<(), String> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| e.to_string())
}

/// The number of threads that work is spread over.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `f(i)` for every `i` in `0..n`.
pub fn each(n: usize, f: impl Fn(usize) + Sync + Send) {
    match n {
        0 => {}
        1 => f(0),
        _ => (0..n).into_par_iter().for_each(f),
    }
}

/// `[f(0), f(1), … f(n-1)]`, in order.
pub fn map<R: Send>(n: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    match n {
        0 => Vec::new(),
        1 => vec![f(0)],
        _ => (0..n).into_par_iter().map(f).collect(),
    }
}

/// Cuts `out` into pieces of `size` (the last may be shorter) and calls `f(start, piece)`.
pub fn chunks<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    if out.len() <= size {
        if !out.is_empty() {
            f(0, out);
        }
        return;
    }
    out.par_chunks_mut(size)
        .enumerate()
        .for_each(|(i, piece)| f(i * size, piece));
}

/// Cuts two outputs that belong together, `a` into pieces of `size_a` and `b` of `size_b`, and
/// calls `f(index of the piece, piece of a, piece of b)`.
///
/// # Panics
/// If the two do not fall into the same number of pieces.
pub fn chunks2<A: Send, B: Send>(
    a: &mut [A],
    size_a: usize,
    b: &mut [B],
    size_b: usize,
    f: impl Fn(usize, &mut [A], &mut [B]) + Sync + Send,
) {
    let pieces = a.len().div_ceil(size_a.max(1));
    assert_eq!(
        pieces,
        b.len().div_ceil(size_b.max(1)),
        "two outputs cut into different numbers of pieces"
    );
    match pieces {
        0 => {}
        1 => f(0, a, b),
        _ => a
            .par_chunks_mut(size_a)
            .zip(b.par_chunks_mut(size_b))
            .enumerate()
            .for_each(|(i, (x, y))| f(i, x, y)),
    }
}

/// Cuts `0..n` into ranges of `size` and returns `f(range)` of each, in order.
pub fn map_ranges<R: Send>(
    n: usize,
    size: usize,
    f: impl Fn(Range<usize>) -> R + Sync + Send,
) -> Vec<R> {
    let size = size.max(1);
    map(n.div_ceil(size), |i| f(i * size..((i + 1) * size).min(n)))
}

/// A slice that several tasks write to, each its own part. For outputs whose parts are blocks of
/// a matrix or interleaved positions of an image, which cannot be cut into consecutive pieces.
pub struct SharedMut<'a, T> {
    start: *mut T,
    marker: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: whoever writes through it promises that no two tasks touch the same element.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Shares a slice.
    pub fn new(slice: &'a mut [T]) -> Self {
        SharedMut {
            start: slice.as_mut_ptr(),
            marker: std::marker::PhantomData,
        }
    }

    /// The address of the first element.
    pub fn start(&self) -> *mut T {
        self.start
    }
}

/// Runs both, at the same time if a thread is free.
pub fn join<A: Send, B: Send>(
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    rayon::join(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_output_once() {
        let mut out = vec![0usize; 1001];
        chunks(&mut out, 100, |start, piece| {
            for (i, o) in piece.iter_mut().enumerate() {
                *o += start + i;
            }
        });
        assert!(out.iter().enumerate().all(|(i, &o)| i == o));
    }

    #[test]
    fn sums_have_the_same_bits_on_any_number_of_threads() {
        let x: Vec<f32> = (0..10_007).map(|i| (i as f32).sin()).collect();
        let total = |threads| {
            with_threads(threads, || {
                map_ranges(x.len(), 64, |r| x[r].iter().sum::<f32>())
                    .iter()
                    .sum::<f32>()
            })
        };
        assert_eq!(total(1).to_bits(), total(2).to_bits());
        assert_eq!(total(1).to_bits(), total(8).to_bits());
    }

    #[test]
    fn smallest_tasks_reach_into_a_pool() {
        assert_eq!(task_size(100, 3), 102);
        let inside = with_smallest_tasks(|| with_threads(2, || task_size(100, 3)));
        assert_eq!(inside, 3);
        assert_eq!(task_size(100, 3), 102);
    }
}
