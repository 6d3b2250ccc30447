//! What long work shows while it goes on.
//!
//! Training reports its steps and epochs to a [`Progress`], which adds what the clock says and
//! passes them on to a [`View`]: one for each [`Style`].

mod dashboard;
mod lines;
pub mod terminal;

use crate::protocol::Protocol;
use crate::trainer::EpochRow;
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// A moving bar, on a terminal.
    Bar,
    /// The whole terminal: curves, figures and findings, live.
    Dashboard,
    /// Plain lines, for log files.
    Plain,
    /// One JSON object per line on standard output, for machines.
    Json,
    /// Nothing but the result.
    None,
}

impl Style {
    /// A bar on a terminal, plain lines elsewhere.
    pub fn fitting() -> Self {
        if io::stderr().is_terminal() {
            Style::Bar
        } else {
            Style::Plain
        }
    }

    /// The same, or plain lines and a sentence about it where there is no terminal to draw on.
    pub fn possible(self) -> Self {
        if self == Style::Dashboard && !io::stdout().is_terminal() {
            tell("note    no dashboard: standard output is not a terminal; plain lines instead");
            return Style::Plain;
        }
        self
    }

    /// Whether people read along, so that what is decided is told on standard error.
    pub fn tells(self) -> bool {
        matches!(self, Style::Bar | Style::Dashboard | Style::Plain)
    }
}

/// Where training is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Epochs in all.
    pub epochs: u64,
    /// Steps of this epoch that are done.
    pub epoch_step: u64,
    /// Steps of this epoch.
    pub epoch_steps: u64,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Mean loss of this step.
    pub step_loss: f64,
    /// Share of the epoch's images so far that the margin-free logits got right; `None` if the loss
    /// has no class weights.
    pub accuracy: Option<f64>,
}

/// How fast training goes, by the steps since it was started or resumed.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Images, or recordings, per second.
    pub per_second: f64,
    /// Seconds that the rest will take, evaluations not counted.
    pub remaining: f64,
}

/// What is trained.
#[derive(Clone, Debug)]
pub struct Training {
    /// The folder of the run.
    pub run: String,
    /// The recipe it began with; empty if there is none.
    pub recipe: String,
    /// The loss.
    pub loss: String,
    /// What the examples are: `images`, `recordings`.
    pub items: &'static str,
    /// How they are judged.
    pub protocol: Protocol,
    /// Steps in all.
    pub steps: u64,
    /// Steps that are behind us.
    pub done: u64,
}

/// One way to show how training goes. What it shows only for the moment goes when it is dropped.
pub trait View {
    /// A step is done.
    fn step(&mut self, step: &Step, speed: &Speed);

    /// An epoch is done and judged; `lines` say for readers what is in its row.
    fn epoch(&mut self, row: &EpochRow, lines: &[String]);
}

/// Shows nothing.
struct Silent;

impl View for Silent {
    fn step(&mut self, _: &Step, _: &Speed) {}
    fn epoch(&mut self, _: &EpochRow, _: &[String]) {}
}

/// Shows how training goes.
pub struct Progress {
    view: Box<dyn View>,
    started: Instant,
    /// Steps and images done since `started`: not those of the run that is resumed.
    steps: u64,
    images: u64,
}

impl Progress {
    /// Progress of a training of which `earlier` epochs are done.
    pub fn new(style: Style, training: Training, earlier: &[EpochRow]) -> Self {
        let view: Box<dyn View> = match style {
            Style::Bar => Box::new(lines::Bar::new(&training)),
            Style::Plain => Box::new(lines::Plain::new(&training)),
            Style::Json => Box::new(lines::Json::default()),
            Style::None => Box::new(Silent),
            Style::Dashboard => match dashboard::Dashboard::open(training.clone(), earlier) {
                Ok(dashboard) => Box::new(dashboard),
                Err(e) => {
                    tell(format_args!(
                        "note    no dashboard: {e}; plain lines instead"
                    ));
                    Box::new(lines::Plain::new(&training))
                }
            },
        };
        Progress {
            view,
            started: Instant::now(),
            steps: 0,
            images: 0,
        }
    }

    /// A step over `images` images is done.
    pub fn step(&mut self, step: Step, images: usize) {
        self.steps += 1;
        self.images += images as u64;
        let elapsed = self.started.elapsed().as_secs_f64();
        // A run that is continued with larger batches may be past its new number of steps.
        let left = step.steps.saturating_sub(step.step);
        let speed = Speed {
            per_second: self.images as f64 / elapsed.max(1e-9),
            remaining: elapsed / self.steps as f64 * left as f64,
        };
        self.view.step(&step, &speed);
    }

    /// An epoch is done and judged; `lines` say for readers what is in its row.
    pub fn epoch(&mut self, row: &EpochRow, lines: &[String]) {
        self.view.epoch(row, lines);
    }
}

/// A line on standard error. If nobody reads there any more, nothing happens: work goes on.
pub fn tell(line: impl Display) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// A line on standard output for whoever reads it, as [`tell`] does: of work that must not end
/// because nobody does any more.
pub fn show(line: impl Display) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// `42 s`, `3:07 min`, `2:05 h`. What is no length of time is shown as none.
pub fn short(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(
            (short(42.4), short(187.0)),
            ("42 s".into(), "3:07 min".into())
        );
        assert_eq!(short(7500.0), "2:05 h");
        for wrong in [-5.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(short(wrong), "0 s");
        }
        assert!(short(1e30).ends_with(" h") && short(f64::INFINITY).ends_with(" h"));
    }
}
