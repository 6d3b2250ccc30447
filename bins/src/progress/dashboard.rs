//! The whole terminal, live: where training is, its curves, its figures, what was found.
//!
//! Training writes what happens on a [`Board`] and goes on; a thread of its own draws the board a few
//! times a second and listens to the keyboard, so that a key, or another size of the window, need not
//! wait for a step or an evaluation.

mod board;
mod drawing;

use super::{Speed, Step, Training, View, tell, terminal};
use crate::interrupt;
use crate::trainer::EpochRow;
use board::Board;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a change may wait to be drawn.
const INTERVAL: Duration = Duration::from_millis(150);

/// What training and the drawing thread share.
#[derive(Clone)]
struct Shared {
    board: Arc<Mutex<Board>>,
    is_over: Arc<AtomicBool>,
}

impl Shared {
    /// A fault of drawing is no reason not to train.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws and listens until training is over, or the terminal is gone.
    fn draw(&self, mut screen: terminal::Screen) -> io::Result<()> {
        while !self.is_over.load(Ordering::Relaxed) {
            // The board first, then the terminal, as whoever panics with the board in hand takes
            // them: in another order each could wait for the other.
            let mut board = self.board();
            board.is_stopping = interrupt::is_requested();
            terminal::whole(|| screen.draw(|frame| drawing::draw(frame, &board)).map(drop))?;
            drop(board);
            if event::poll(INTERVAL)?
                && let Event::Key(key) = event::read()?
                && asks_to_stop(&key)
            {
                interrupt::request();
            }
        }
        Ok(())
    }
}

/// `q`, or Ctrl-C, which a terminal that gives every key as it comes does not turn into a signal.
fn asks_to_stop(key: &KeyEvent) -> bool {
    let is_control_c =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_control_c || key.code == KeyCode::Char('q'))
}

/// The terminal as a board. Dropped, it gives the terminal back, and leaves the lines of the epochs
/// there.
pub struct Dashboard {
    shared: Shared,
    artist: Option<JoinHandle<io::Result<()>>>,
}

impl Dashboard {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// The system's, if there is no terminal or no thread to be had.
    pub fn open(training: Training, earlier: &[EpochRow]) -> io::Result<Self> {
        let shared = Shared {
            board: Arc::new(Mutex::new(Board::new(training, earlier))),
            is_over: Arc::default(),
        };
        let screen = terminal::take()?;
        let artist = shared.clone();
        let artist = thread::Builder::new()
            .name("dashboard".into())
            .spawn(move || artist.draw(screen))
            .inspect_err(|_| terminal::give_back())?;
        Ok(Dashboard {
            shared,
            artist: Some(artist),
        })
    }
}

impl View for Dashboard {
    fn step(&mut self, step: &Step, speed: &Speed) {
        self.shared.board().step(step, speed);
    }

    fn epoch(&mut self, row: &EpochRow, lines: &[String]) {
        self.shared.board().epoch(row, lines);
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Had it panicked, it would have said so.
        let drawn = self.artist.take().map(JoinHandle::join);
        terminal::give_back();
        self.shared.board().lines().for_each(tell);
        if let Some(Ok(Err(e))) = drawn {
            tell(format_args!("note    the dashboard ended early: {e}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_q_and_control_c_ask_to_stop_and_only_when_they_go_down() {
        let key = |code, modifiers| KeyEvent::new(code, modifiers);
        let (none, control) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
        assert!(asks_to_stop(&key(KeyCode::Char('q'), none)));
        assert!(asks_to_stop(&key(KeyCode::Char('c'), control)));
        assert!(asks_to_stop(&key(
            KeyCode::Char('c'),
            control | KeyModifiers::SHIFT
        )));
        for (code, modifiers) in [
            (KeyCode::Char('c'), none),
            (KeyCode::Char('d'), control),
            (KeyCode::Enter, none),
            (KeyCode::Esc, none),
        ] {
            assert!(!asks_to_stop(&key(code, modifiers)), "{code:?}");
        }
        // Some terminals tell of keys that are held and that come up, too: the second would be
        // the end of the program.
        for kind in [KeyEventKind::Release, KeyEventKind::Repeat] {
            let event = KeyEvent::new_with_kind(KeyCode::Char('q'), none, kind);
            assert!(!asks_to_stop(&event), "{kind:?}");
        }
    }
}
