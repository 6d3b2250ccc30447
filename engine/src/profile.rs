//! Where the time goes, by operation.
//!
//! Off unless a [`Recording`] is alive; then every forward and backward of an operation is timed.
//! Operations run one after the other, so the times add up to that of the step, less what happens
//! between operations.
//!
//! ```
//! use engine::{Tensor, Var, profile};
//! let recording = profile::Recording::start();
//! let x = Var::leaf(Tensor::new([2], &[1.0, 2.0_f32]));
//! x.square().sum().backward();
//! let rows = recording.stop();
//! assert_eq!(rows.iter().map(|r| r.calls).sum::<u64>(), 4); // square and sum, both ways
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Which way an operation ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From inputs to the output.
    Forward,
    /// From the gradient of the output to those of the inputs.
    Backward,
}

/// What one operation cost, in one direction.
#[derive(Clone, Debug)]
pub struct Row {
    /// The operation's name.
    pub op: &'static str,
    /// Which way it ran.
    pub direction: Direction,
    /// How often.
    pub calls: u64,
    /// For how long in all.
    pub time: Duration,
}

type Table = BTreeMap<(&'static str, Direction), (u64, Duration)>;

static RECORDING: AtomicBool = AtomicBool::new(false);
static TABLE: Mutex<Table> = Mutex::new(BTreeMap::new());

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(|e| e.into_inner())
}

/// A running record of the whole process. One at a time: a second one starts the table anew.
pub struct Recording(());

impl Recording {
    /// Begins to record.
    pub fn start() -> Self {
        table().clear();
        RECORDING.store(true, Ordering::Relaxed);
        Recording(())
    }

    /// Ends the record: one row per operation and direction, the longest first.
    pub fn stop(self) -> Vec<Row> {
        let row = |((op, direction), (calls, time))| Row {
            op,
            direction,
            calls,
            time,
        };
        let mut rows: Vec<Row> = std::mem::take(&mut *table()).into_iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.time));
        rows
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDING.store(false, Ordering::Relaxed);
    }
}

/// Runs `f`, and times it if a recording is alive.
pub(crate) fn timed<R>(op: &'static str, direction: Direction, f: impl FnOnce() -> R) -> R {
    if !RECORDING.load(Ordering::Relaxed) {
        return f();
    }
    let start = Instant::now();
    let result = f();
    let time = start.elapsed();
    let mut table = table();
    let (calls, total) = table.entry((op, direction)).or_default();
    *calls += 1;
    *total += time;
    result
}
