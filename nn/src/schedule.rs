//! How the learning rate changes: pure functions of the step.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A factor on the learning rate as a function of the step.
///
/// Places in training are fractions of its length, so one schedule fits any number of steps, and
/// a resumed run needs nothing but its step. The names and formulas are PyTorch's.
///
/// ```
/// use nn::Schedule;
/// let text = r#"{ "kind": "multi-step", "at": [0.5, 0.75] }"#;
/// let schedule: Schedule = serde_json::from_str(text).unwrap();
/// assert_eq!(schedule.at(499, 1000), 1.0);
/// assert_eq!(schedule.at(500, 1000), 0.1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// 1 throughout.
    Constant,
    /// Multiplied by `gamma` after every `every` (`StepLR`).
    Step {
        /// The distance of two drops, as a fraction of the training.
        every: f64,
        /// The factor of a drop, 0.1 unless set.
        #[serde(default = "default_gamma")]
        gamma: f64,
    },
    /// Multiplied by `gamma` at each of the places `at` (`MultiStepLR`).
    MultiStep {
        /// Where it drops, as fractions of the training.
        at: Vec<f64>,
        /// The factor of a drop, 0.1 unless set.
        #[serde(default = "default_gamma")]
        gamma: f64,
    },
    /// Half a cosine from 1 down to `end` (`CosineAnnealingLR` with `T_max` = all steps):
    /// `end + (1 − end) (1 + cos(π step/total)) / 2`.
    Cosine {
        /// The factor at the end, 0 unless set.
        #[serde(default)]
        end: f64,
    },
    /// From `1/div` up to 1 and down to `1/(div · final_div)` (`OneCycleLR` in its two phases).
    /// The peak is at step `peak · total − 1`, the end at step `total − 1`.
    OneCycle {
        /// The fraction of the training spent rising, 0.3 unless set (`pct_start`).
        #[serde(default = "default_peak")]
        peak: f64,
        /// The peak over the start, 25 unless set (`div_factor`).
        #[serde(default = "default_div")]
        div: f64,
        /// The start over the end, 10⁴ unless set (`final_div_factor`).
        #[serde(default = "default_final_div")]
        final_div: f64,
        /// Straight lines instead of half cosines, off unless set (`anneal_strategy`).
        #[serde(default)]
        linear: bool,
    },
    /// Another schedule, multiplied by a line that rises from `from` to 1 over the first
    /// `fraction` of the training (`LinearLR`, chained).
    Warmup {
        /// The fraction of the training that the line takes.
        fraction: f64,
        /// Where the line starts, 0.01 unless set.
        #[serde(default = "default_from")]
        from: f64,
        /// The schedule that is warmed up.
        then: Box<Schedule>,
    },
}

fn default_gamma() -> f64 {
    0.1
}
fn default_peak() -> f64 {
    0.3
}
fn default_div() -> f64 {
    25.0
}
fn default_final_div() -> f64 {
    1e4
}
fn default_from() -> f64 {
    0.01
}

impl Schedule {
    /// [`Schedule::OneCycle`] with its usual settings.
    pub fn one_cycle() -> Self {
        Schedule::OneCycle {
            peak: default_peak(),
            div: default_div(),
            final_div: default_final_div(),
            linear: false,
        }
    }

    /// This schedule after a linear warm-up; see [`Schedule::Warmup`].
    pub fn warmed_up(self, fraction: f64, from: f64) -> Self {
        Schedule::Warmup {
            fraction,
            from,
            then: Box::new(self),
        }
    }

    /// The factor for `step`, counted from 0, of `total` steps. Past the end it stays where it
    /// would be at the end.
    pub fn at(&self, step: u64, total: u64) -> f64 {
        let step = step.min(total);
        let steps = |fraction: f64| fraction * total as f64;
        // A drop falls on a whole step, at least one after the start.
        let whole = |fraction: f64| (steps(fraction).round() as u64).max(1);
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Step { every, gamma } => power(gamma, step / whole(every)),
            Schedule::MultiStep { ref at, gamma } => power(
                gamma,
                at.iter().filter(|&&f| step >= whole(f)).count() as u64,
            ),
            Schedule::Cosine { end } => half_cosine(1.0, end, ratio(step as f64, total as f64)),
            Schedule::OneCycle {
                peak,
                div,
                final_div,
                linear,
            } => {
                let anneal = if linear { line } else { half_cosine };
                let (start, end) = (1.0 / div, 1.0 / (div * final_div));
                let (top, last) = (steps(peak) - 1.0, total as f64 - 1.0);
                match step as f64 {
                    step if step <= top => anneal(start, 1.0, ratio(step, top)),
                    step => anneal(1.0, end, ratio(step - top, last - top)),
                }
            }
            Schedule::Warmup {
                fraction,
                from,
                ref then,
            } => {
                let rise = ratio(step as f64, steps(fraction).round());
                line(from, 1.0, rise) * then.at(step, total)
            }
        }
    }

    /// Finds settings that no training could mean.
    ///
    /// # Errors
    /// A sentence that names the key, the range and the value.
    pub fn validate(&self) -> Result<(), String> {
        let within = |key: &str, x: f64, low: f64, high: f64| match (low..=high).contains(&x) {
            true => Ok(()),
            false => Err(format!(
                "`{key}` must lie between {low} and {high}, not {x}"
            )),
        };
        let at_least_1 = |key: &str, x: f64| match x >= 1.0 && x.is_finite() {
            true => Ok(()),
            false => Err(format!("`{key}` must be a number from 1 up, not {x}")),
        };
        match self {
            Schedule::Constant => Ok(()),
            Schedule::Step { every, gamma } => {
                within("gamma", *gamma, 0.0, 1.0)?;
                match *every > 0.0 {
                    true => within("every", *every, 0.0, 1.0),
                    false => Err(format!("`every` must be above 0, not {every}")),
                }
            }
            Schedule::MultiStep { at, gamma } => {
                within("gamma", *gamma, 0.0, 1.0)?;
                at.iter().try_for_each(|&f| within("at", f, 0.0, 1.0))
            }
            Schedule::Cosine { end } => within("end", *end, 0.0, 1.0),
            Schedule::OneCycle {
                peak,
                div,
                final_div,
                ..
            } => {
                within("peak", *peak, 0.0, 1.0)?;
                at_least_1("div", *div)?;
                at_least_1("final_div", *final_div)
            }
            Schedule::Warmup {
                fraction,
                from,
                then,
            } => {
                within("fraction", *fraction, 0.0, 1.0)?;
                within("from", *from, 0.0, 1.0)?;
                then.validate()
            }
        }
    }
}

fn power(gamma: f64, n: u64) -> f64 {
    gamma.powi(n.min(i32::MAX as u64) as i32)
}

/// How much of `whole` is done; all of it if there is nothing to do.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        (part / whole).clamp(0.0, 1.0)
    } else {
        1.0
    }
}

fn line(from: f64, to: f64, done: f64) -> f64 {
    from + (to - from) * done
}

fn half_cosine(from: f64, to: f64, done: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * done).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch's rates for 20 steps from lr = 1, at steps 0, 1, 2, 3, 5, 9, 10, 15 and 19:
    ///
    /// ```python
    /// o = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    /// s = StepLR(o, 5, 0.1)                                     # and so on, see the comments
    /// for i in range(20):
    ///     rates.append(o.param_groups[0]["lr"]); o.step(); s.step()
    /// ```
    #[test]
    fn the_rates_are_those_of_pytorch() {
        let cosine = Schedule::Cosine { end: 0.0 };
        let cases: [(Schedule, [f64; 9]); 6] = [
            // StepLR(o, 5, 0.1)
            (
                Schedule::Step {
                    every: 0.25,
                    gamma: 0.1,
                },
                [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.001, 0.001],
            ),
            // MultiStepLR(o, [10, 15], 0.1)
            (
                Schedule::MultiStep {
                    at: vec![0.5, 0.75],
                    gamma: 0.1,
                },
                [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.01, 0.01],
            ),
            // CosineAnnealingLR(o, 20, eta_min=0.01)
            (
                Schedule::Cosine { end: 0.01 },
                [
                    1.0,
                    0.9939057285945933,
                    0.9757729755661011,
                    0.9460482294732421,
                    0.855017856687341,
                    0.5824350601949144,
                    0.505,
                    0.154982143312659,
                    0.016094271405406858,
                ],
            ),
            // OneCycleLR(o, max_lr=1.0, total_steps=20)
            (
                Schedule::one_cycle(),
                [
                    0.040000000000000036,
                    0.1316718427000253,
                    0.3716718427000253,
                    0.6683281572999747,
                    1.0,
                    0.8117456539497631,
                    0.7169430017913008,
                    0.18825834605023697,
                    4e-06,
                ],
            ),
            // OneCycleLR(o, max_lr=1.0, total_steps=20, pct_start=0.25, div_factor=10,
            //            final_div_factor=100, anneal_strategy="linear")
            (
                Schedule::OneCycle {
                    peak: 0.25,
                    div: 10.0,
                    final_div: 100.0,
                    linear: true,
                },
                [
                    0.1, 0.325, 0.55, 0.775, 0.9334, 0.667, 0.6004, 0.2674, 0.001,
                ],
            ),
            // ChainedScheduler([LinearLR(o, start_factor=0.1, total_iters=4),
            //                   CosineAnnealingLR(o, 20, eta_min=0.0)])
            (
                cosine.warmed_up(0.2, 0.1),
                [
                    0.1,
                    0.32299935534670987,
                    0.5365405419811673,
                    0.7327650281229927,
                    0.853553390593274,
                    0.5782172325201157,
                    0.5,
                    0.14644660940672632,
                    0.006155829702431174,
                ],
            ),
        ];
        for (schedule, rates) in cases {
            for (step, rate) in [0, 1, 2, 3, 5, 9, 10, 15, 19].into_iter().zip(rates) {
                let found = schedule.at(step, 20);
                assert!(
                    (found - rate).abs() < 1e-14,
                    "{schedule:?} at {step}: {found}, PyTorch {rate}"
                );
            }
        }
        assert_eq!(Schedule::Constant.at(7, 20), 1.0);
    }

    #[test]
    fn every_length_of_training_has_finite_rates() {
        let cosine = Schedule::Cosine { end: 0.0 };
        let schedules = [
            Schedule::one_cycle(),
            Schedule::one_cycle().warmed_up(0.1, 0.0),
            cosine.warmed_up(0.0, 0.0),
            Schedule::Step {
                every: 0.01,
                gamma: 0.5,
            },
        ];
        for schedule in schedules {
            for total in 0..8 {
                for step in 0..10 {
                    let rate = schedule.at(step, total);
                    assert!((0.0..=1.0).contains(&rate), "{schedule:?} {step}/{total}");
                }
            }
        }
    }

    #[test]
    fn configuration_is_strict_and_round_trips() {
        let parse = serde_json::from_str::<Schedule>;
        let warm = r#"{"kind":"warmup","fraction":0.1,"from":0.0,"then":{"kind":"one-cycle"}}"#;
        let schedule = parse(warm).unwrap();
        assert_eq!(schedule, Schedule::one_cycle().warmed_up(0.1, 0.0));
        let written = serde_json::to_string(&schedule).unwrap();
        assert!(written.contains("final_div"), "{written}");
        assert_eq!(parse(&written).unwrap(), schedule);
        let typo = parse(r#"{"kind":"cosine","ende":0.1}"#).unwrap_err();
        assert!(typo.to_string().contains("ende"), "{typo}");
        let beyond = parse(r#"{"kind":"multi-step","at":[0.5,1.5]}"#).unwrap();
        assert!(beyond.validate().unwrap_err().contains("not 1.5"));
        assert!(schedule.validate().is_ok());
    }
}
