//! Buffers that return themselves.
//!
//! A training step asks for the same sizes again and again. Large blocks from the system
//! allocator arrive as fresh pages that the kernel zeroes one fault at a time, which costs more
//! than the arithmetic on them. So a [`Buffer`] goes back to a process-wide pool when it is
//! dropped, and the next request of its size class takes it from there. [`stats`] counts hits, so
//! that "the third step allocates nothing" can be asserted rather than hoped for.

use bytemuck::Pod;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{LazyLock, Mutex, MutexGuard};

/// Alignment of every buffer: a cache line, and the widest SIMD register.
pub const ALIGNMENT: usize = 64;

/// What the pool has done since the program started, in requests and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Buffers asked for.
    pub requests: u64,
    /// Requests served without asking the system.
    pub hits: u64,
    /// Bytes in buffers that are in use now.
    pub in_use: usize,
    /// The most bytes that were in use at one time.
    pub peak: usize,
    /// Bytes that wait in the pool.
    pub idle: usize,
}

#[derive(Default)]
struct Pool {
    free: HashMap<usize, Vec<Block>>,
    stats: Stats,
}

/// An allocation of `bytes` bytes, all initialised.
struct Block {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a block is plain memory; who may write to it is decided by the buffer that owns it.
unsafe impl Send for Block {}
// SAFETY: as above; a shared block is only read.
unsafe impl Sync for Block {}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

fn pool() -> MutexGuard<'static, Pool> {
    // The pool is valid between any two statements, so a panic elsewhere does not spoil it.
    POOL.lock().unwrap_or_else(|e| e.into_inner())
}

/// The counters as of now.
pub fn stats() -> Stats {
    pool().stats
}

/// Returns all idle memory to the system, as between training and evaluation, whose sizes differ.
pub fn trim() {
    let free = {
        let mut pool = pool();
        pool.stats.idle = 0;
        std::mem::take(&mut pool.free)
    };
    free.into_values().flatten().for_each(Block::release);
}

/// Rounds up to eight classes an octave: at most an eighth is wasted.
fn size_class(bytes: usize) -> usize {
    let bytes = bytes.max(ALIGNMENT);
    let step = (bytes.next_power_of_two() / 16).max(ALIGNMENT);
    bytes.div_ceil(step) * step
}

impl Block {
    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, ALIGNMENT).expect("a tensor smaller than the address space")
    }

    fn take(bytes: usize) -> Block {
        let bytes = size_class(bytes);
        {
            let mut pool = pool();
            let block = pool.free.get_mut(&bytes).and_then(Vec::pop);
            let stats = &mut pool.stats;
            stats.requests += 1;
            stats.in_use += bytes;
            stats.peak = stats.peak.max(stats.in_use);
            if let Some(block) = block {
                stats.hits += 1;
                stats.idle -= bytes;
                return block;
            }
        }
        let layout = Block::layout(bytes);
        // SAFETY: the layout is at least ALIGNMENT bytes.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        Block { start, bytes }
    }

    fn give_back(self) {
        let mut pool = pool();
        pool.stats.in_use -= self.bytes;
        pool.stats.idle += self.bytes;
        pool.free.entry(self.bytes).or_default().push(self);
    }

    fn release(self) {
        // SAFETY: allocated in `take` with this layout.
        unsafe { dealloc(self.start.as_ptr(), Block::layout(self.bytes)) }
    }
}

/// `len` elements, aligned to [`ALIGNMENT`] bytes, that return to the pool when dropped.
///
/// `Pod` elements have no invalid bit patterns and the memory was once initialised, so stale
/// contents are safe to read; they are merely meaningless.
pub struct Buffer<T: Pod> {
    block: Option<Block>,
    len: usize,
    marker: std::marker::PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// A buffer whose contents are left over from its last use. The caller overwrites them.
    pub fn stale(len: usize) -> Self {
        assert!(align_of::<T>() <= ALIGNMENT);
        let bytes = len
            .checked_mul(size_of::<T>())
            .expect("a tensor smaller than the address space");
        Buffer {
            block: Some(Block::take(bytes)),
            len,
            marker: std::marker::PhantomData,
        }
    }

    /// A buffer filled with one value.
    pub fn filled(len: usize, value: T) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(value);
        buffer
    }

    /// A copy of a slice.
    pub fn copied(from: &[T]) -> Self {
        let mut buffer = Self::stale(from.len());
        buffer.copy_from_slice(from);
        buffer
    }

    fn start(&self) -> *mut T {
        let block = self.block.as_ref().expect("a block until the drop");
        block.start.as_ptr().cast()
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the block holds at least `len` initialised, aligned elements of a Pod type.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

impl<T: Pod> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            block.give_back();
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_waste_at_most_an_eighth() {
        for bytes in (1..4096).chain([100_000, 1 << 20, (1 << 20) + 1, 123_456_789]) {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(ALIGNMENT));
            assert!(
                class - bytes <= bytes / 8 + ALIGNMENT,
                "{bytes} became {class}"
            );
            assert_eq!(size_class(class), class, "a class is its own class");
        }
    }

    #[test]
    fn a_dropped_buffer_serves_the_next_request() {
        // A size that no other test uses, so that the pool's other users do not interfere.
        let len = 1_234_577;
        let first = Buffer::filled(len, 1u8).as_ptr() as usize;
        let again = Buffer::<u8>::stale(len);
        assert_eq!(again.as_ptr() as usize, first);
        assert_eq!(first % ALIGNMENT, 0);
        assert_eq!(again[len - 1], 1);
    }

    #[test]
    fn empty_buffers_work() {
        assert!(Buffer::<f64>::stale(0).is_empty());
    }
}
