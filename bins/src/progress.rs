//! What long work shows while it goes on.

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// A moving bar, on a terminal.
    Bar,
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
        if std::io::stderr().is_terminal() {
            Style::Bar
        } else {
            Style::Plain
        }
    }
}

/// Where training is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Epochs in all.
    pub epochs: u64,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Share of the epoch's images so far that the margin-free logits got right; `None` if the loss
    /// has no class weights.
    pub accuracy: Option<f64>,
}

/// Shows steps, and lines between them.
pub struct Progress {
    style: Style,
    bar: Option<ProgressBar>,
    started: Instant,
    /// Steps and images done since `started`: not those of the run that is resumed.
    steps: u64,
    images: u64,
    items: &'static str,
    last_line: Instant,
}

/// Plain and JSON progress is shown at most so often.
const INTERVAL: Duration = Duration::from_secs(5);

impl Progress {
    /// Progress of `steps` steps over `items`, of which `done` are behind us.
    pub fn new(style: Style, steps: u64, done: u64, items: &'static str) -> Self {
        let bar = (style == Style::Bar).then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(5));
            let template = "{bar:28.cyan/blue} {msg}";
            let look = ProgressStyle::with_template(template).expect("a valid template");
            bar.set_style(look.progress_chars("━━╌"));
            bar.set_position(done);
            bar
        });
        let now = Instant::now();
        Progress {
            style,
            bar,
            started: now,
            steps: 0,
            images: 0,
            items,
            last_line: now,
        }
    }

    /// Images per second so far.
    pub fn speed(&self) -> f64 {
        self.images as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// How long the rest will take, going by the steps so far.
    fn remaining(&self, step: &Step) -> Duration {
        let per_step = self.started.elapsed().as_secs_f64() / self.steps.max(1) as f64;
        // A run that is continued with larger batches may be past its new number of steps.
        let left = step.steps.saturating_sub(step.step);
        Duration::from_secs_f64(per_step * left as f64)
    }

    /// A step over `images` images is done.
    pub fn step(&mut self, step: Step, images: usize) {
        self.steps += 1;
        self.images += images as u64;
        let (remaining, speed) = (self.remaining(&step), self.speed());
        let accuracy = step.accuracy.map_or(String::new(), |accuracy| {
            format!("accuracy {:.2} %  ", 100.0 * accuracy)
        });
        let line = format!(
            "epoch {}/{}  loss {:.4}  {accuracy}{:.0} {}/s  {} left",
            step.epoch,
            step.epochs,
            step.loss,
            speed,
            self.items,
            short(remaining)
        );
        let is_due = self.last_line.elapsed() >= INTERVAL;
        match self.style {
            Style::Bar => {
                if let Some(bar) = &self.bar {
                    bar.set_position(step.step);
                    bar.set_message(line);
                }
            }
            Style::Plain if is_due => eprintln!("{line}"),
            Style::Json if is_due => {
                let remaining = remaining.as_secs_f64();
                let figures =
                    serde_json::json!({ "images_per_second": speed, "remaining_s": remaining });
                println!("{}", serde_json::json!({ "step": step, "speed": figures }));
            }
            _ => return,
        }
        if is_due {
            self.last_line = Instant::now();
        }
    }

    /// A line that stays, such as the figures of an epoch.
    pub fn line(&self, text: &str) {
        match (&self.bar, self.style) {
            (Some(bar), _) => bar.suspend(|| eprintln!("{text}")),
            (_, Style::Plain) => eprintln!("{text}"),
            _ => {}
        }
    }

    /// A JSON object, where progress is shown as JSON.
    pub fn json(&self, value: &serde_json::Value) {
        if self.style == Style::Json {
            println!("{value}");
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `42 s`, `3:07 min`, `2:05 h`.
pub fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
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
        let text = |s| short(Duration::from_secs(s));
        assert_eq!((text(42), text(187)), ("42 s".into(), "3:07 min".into()));
        assert_eq!(text(7500), "2:05 h");
    }
}
