//! The terminal, taken over for a dashboard and given back whatever happens.

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use std::io::{self, Stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is drawn on.
pub(super) type Screen = Terminal<CrosstermBackend<Stdout>>;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether the terminal is taken over, so that nobody may write to it.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Takes the terminal over: another screen, without a cursor, and keys come as they are pressed. A
/// panic gives it back before it tells of itself.
///
/// # Errors
/// The system's, if this is no terminal.
pub(super) fn take() -> io::Result<Screen> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            tell(panic);
        }));
    });
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let screen = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
        .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
    screen.inspect_err(|_| give_back())
}

/// Draws, unless the terminal has been given back. Nothing comes in between.
pub(super) fn whole(draw: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let _alone = io::stdout().lock();
    match is_taken() {
        true => draw(),
        false => Ok(()),
    }
}

/// Gives the terminal back as it was, if it was taken.
pub fn give_back() {
    // Whoever is drawing comes to an end first. The lock can be taken twice by one thread, so that a
    // panic while drawing does not wait for itself.
    let mut stdout = io::stdout().lock();
    if TAKEN.swap(false, Ordering::SeqCst) {
        // There is nobody left to tell of a terminal that is gone.
        drop(execute!(stdout, LeaveAlternateScreen, cursor::Show));
        drop(disable_raw_mode());
    }
}
