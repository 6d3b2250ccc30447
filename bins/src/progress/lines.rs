//! A bar, or lines for log files and machines.

use super::{Speed, Step, Training, View, short, show, tell};
use crate::trainer::EpochRow;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::time::{Duration, Instant};

/// Lines about steps come at most so often.
const INTERVAL: Duration = Duration::from_secs(5);

/// Says when the next line is due.
struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Clock(Instant::now())
    }
}

impl Clock {
    fn is_due(&mut self) -> bool {
        let is_due = self.0.elapsed() >= INTERVAL;
        if is_due {
            self.0 = Instant::now();
        }
        is_due
    }
}

/// `epoch 2/6  loss 0.1234  accuracy 97.00 %  812 images/s  3:07 min left`
fn line(step: &Step, speed: &Speed, items: &str) -> String {
    let accuracy = step.accuracy.map_or(String::new(), |accuracy| {
        format!("accuracy {:.2} %  ", 100.0 * accuracy)
    });
    format!(
        "epoch {}/{}  loss {:.4}  {accuracy}{:.0} {items}/s  {} left",
        step.epoch,
        step.epochs,
        step.loss,
        speed.per_second,
        short(speed.remaining)
    )
}

/// A moving bar on standard error, with a line for each epoch above it.
pub struct Bar {
    bar: ProgressBar,
    items: &'static str,
}

impl Bar {
    pub fn new(training: &Training) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(5);
        let bar = ProgressBar::with_draw_target(Some(training.steps), target);
        let look = ProgressStyle::with_template("{bar:28.cyan/blue} {msg}");
        bar.set_style(look.expect("a valid template").progress_chars("━━╌"));
        bar.set_position(training.done);
        Bar {
            bar,
            items: training.items,
        }
    }
}

impl View for Bar {
    fn step(&mut self, step: &Step, speed: &Speed) {
        self.bar.set_position(step.step);
        self.bar.set_message(line(step, speed, self.items));
    }

    fn epoch(&mut self, _: &EpochRow, lines: &[String]) {
        self.bar.suspend(|| lines.iter().for_each(tell));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Lines on standard error.
pub struct Plain {
    clock: Clock,
    items: &'static str,
}

impl Plain {
    pub fn new(training: &Training) -> Self {
        Plain {
            clock: Clock::default(),
            items: training.items,
        }
    }
}

impl View for Plain {
    fn step(&mut self, step: &Step, speed: &Speed) {
        if self.clock.is_due() {
            tell(line(step, speed, self.items));
        }
    }

    fn epoch(&mut self, _: &EpochRow, lines: &[String]) {
        lines.iter().for_each(tell);
    }
}

/// An object a line on standard output.
#[derive(Default)]
pub struct Json {
    clock: Clock,
}

impl View for Json {
    fn step(&mut self, step: &Step, speed: &Speed) {
        if self.clock.is_due() {
            let figures = json!({
                "images_per_second": speed.per_second,
                "remaining_s": speed.remaining,
            });
            show(json!({ "step": step, "speed": figures }));
        }
    }

    fn epoch(&mut self, row: &EpochRow, _: &[String]) {
        show(json!({ "epoch": row }));
    }
}
