//! Ctrl-C: the first ends training in order, the second ends the program.

use crate::progress::terminal;
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by Ctrl-C; the training loop looks at it after every step.
pub static INTERRUPT: AtomicBool = AtomicBool::new(false);

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
        eprintln!("\nfinishing this step, then writing a checkpoint (again: stop at once)");
    }
}

/// Whether training has been asked to end.
pub fn is_requested() -> bool {
    INTERRUPT.load(Ordering::Relaxed)
}
