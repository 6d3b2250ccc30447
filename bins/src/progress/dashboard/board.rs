//! What a dashboard shows, whatever the size of the terminal.

use crate::figures;
use crate::progress::{Speed, Step, Training};
use crate::trainer::EpochRow;

/// Points of a curve, at most: four for each column of a wide terminal.
const POINTS: u64 = 800;

/// All that is known of a training.
pub struct Board {
    pub training: Training,
    /// The last step.
    pub step: Option<(Step, Speed)>,
    /// The loss of training steps.
    pub losses: Curve,
    /// The figure of the validation that counts, in percent if it is a share.
    pub judged: Curve,
    /// The last epoch.
    pub row: Option<EpochRow>,
    /// What was said at the ends of epochs.
    lines: Vec<String>,
    /// Whether training has been asked to end.
    pub is_stopping: bool,
}

impl Board {
    /// A board of a training of which `earlier` epochs are done.
    pub fn new(training: Training, earlier: &[EpochRow]) -> Self {
        let steps = training.steps;
        let mut board = Board {
            training,
            step: None,
            losses: Curve::over(steps),
            judged: Curve::over(steps),
            row: None,
            lines: Vec::new(),
            is_stopping: false,
        };
        for row in earlier {
            board.losses.add(row.step, row.train_loss);
            board.judge(row);
        }
        board.row = earlier.last().cloned();
        board
    }

    /// A step is done.
    pub fn step(&mut self, step: &Step, speed: &Speed) {
        self.losses.add(step.step, step.step_loss);
        self.step = Some((*step, *speed));
    }

    /// An epoch is done and judged.
    pub fn epoch(&mut self, row: &EpochRow, lines: &[String]) {
        self.judge(row);
        self.row = Some(row.clone());
        self.lines.extend_from_slice(lines);
    }

    fn judge(&mut self, row: &EpochRow) {
        let found = row.validation.as_ref();
        let found = found.and_then(|figures| self.training.protocol.headline(figures));
        if let Some((key, value)) = found {
            let factor = if figures::is_percent(key) { 100.0 } else { 1.0 };
            self.judged.add(row.step, factor * value);
        }
    }

    /// What was said at the ends of epochs.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Whether the steps of an epoch are done and its figures are not there yet.
    pub fn is_judging(&self) -> bool {
        let known = self.row.as_ref().map_or(0, |row| row.epoch);
        self.step
            .is_some_and(|(step, _)| step.epoch_step >= step.epoch_steps && step.epoch > known)
    }
}

/// Values over the steps of the training, as means over parts of equal length: a long training needs
/// no more memory than a short one, nor more time to draw.
pub struct Curve {
    steps: u64,
    /// Sum and number of the values in each part.
    parts: Vec<(f64, u32)>,
}

impl Curve {
    fn over(steps: u64) -> Self {
        let steps = steps.max(1);
        Curve {
            steps,
            parts: vec![(0.0, 0); steps.min(POINTS) as usize],
        }
    }

    /// The value after a step, counted from 1. What is not finite cannot be drawn.
    fn add(&mut self, step: u64, value: f64) {
        let (parts, last) = (self.parts.len() as u64, self.parts.len() - 1);
        // A run that is continued with larger batches may be past its new number of steps.
        let place = step.saturating_sub(1).min(self.steps - 1);
        let place = (u128::from(place) * u128::from(parts) / u128::from(self.steps)) as usize;
        let (sum, count) = &mut self.parts[place.min(last)];
        if value.is_finite() {
            *sum += value;
            *count += 1;
        }
    }

    /// The means with the steps in the middle of their parts.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let width = self.steps as f64 / self.parts.len() as f64;
        let parts = self.parts.iter().enumerate();
        let known = parts.filter(|(_, (_, count))| *count > 0);
        known
            .map(|(i, (sum, count))| ((i as f64 + 0.5) * width, sum / f64::from(*count)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_means_of_equal_parts_and_takes_any_step() {
        let mut short = Curve::over(3);
        for (step, value) in [(1, 4.0), (2, f64::NAN), (3, 1.0), (9, 2.0)] {
            short.add(step, value);
        }
        assert_eq!(short.points(), [(0.5, 4.0), (2.5, 1.5)]);
        let mut long = Curve::over(1_600_000);
        (1..=4_000).for_each(|step| long.add(step, step as f64));
        assert_eq!(long.points(), [(1_000.0, 1_000.5), (3_000.0, 3_000.5)]);
        Curve::over(u64::MAX).add(u64::MAX, 1.0);
        Curve::over(0).add(0, 1.0);
    }
}
