//! Ctrl-C: the first ends training in order, the second ends the program.

use crate::progress::{tell, terminal};
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// The training loop looks at it after every step.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C, and a polite kill, call [`request`].
///
/// # Errors
/// If the system refuses.
pub fn catch() -> Result<()> {
    ctrlc::set_handler(request).context("catching Ctrl-C")
}

/// Asks training to end after its step, with a checkpoint. Asked again, ends the program at once,
/// with exit code 130.
pub fn request() {
    if INTERRUPT.swap(true, Ordering::Relaxed) {
        terminal::give_back();
        std::process::exit(130);
    }
    // A dashboard says so itself.
    if !terminal::is_taken() {
        tell("\nstopping as soon as possible, with a checkpoint (again: at once)");
    }
}

/// Takes back what was asked for, so that another training of this process may go on.
pub fn withdraw() {
    INTERRUPT.store(false, Ordering::Relaxed);
}

/// Whether training has been asked to end.
pub fn is_requested() -> bool {
    INTERRUPT.load(Ordering::Relaxed)
}
