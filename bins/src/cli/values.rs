//! What options are given, as values.

use crate::config::ConfigError;
use clap::Args;
use std::str::FromStr;
use std::time::Duration;

/// Which fold is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// This one, from 1.
    One(u32),
    /// Each in turn.
    All,
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Fold::All),
            number => number
                .parse()
                .map(Fold::One)
                .map_err(|_| "expected the number of a fold, from 1, or `all`".into()),
        }
    }
}

/// The longest time that an option may name, in seconds: more is a typing error.
pub(crate) const YEAR: f64 = 366.0 * 24.0 * 3600.0;
/// The most trainings that differ in their seed alone: more are a typing error.
pub(crate) const MOST_SEEDS: u64 = 1_000;

/// `45s`, `30m`, `1.5h`
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let units = [("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0)];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = units
        .iter()
        .find(|(unit, _)| *unit == &text[digits.len()..]);
    let seconds = unit.zip(digits.trim().parse::<f64>().ok());
    let seconds = seconds.map(|((_, unit), number)| unit * number);
    let sound = seconds.filter(|s| *s > 0.0 && *s <= YEAR);
    let sound = sound.and_then(|s| Duration::try_from_secs_f64(s).ok());
    sound.ok_or_else(|| "expected a time such as 45s, 30m or 1.5h, a year at most".into())
}

/// `16x4`
pub(super) fn pk(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once(['x', 'X', '*']);
    let numbers = numbers.and_then(|(p, k)| Some((p.parse().ok()?, k.parse().ok()?)));
    let sound = numbers.filter(|&(p, k): &(usize, usize)| p > 0 && k > 0);
    sound.ok_or_else(|| "expected classes x images of each, such as 16x4".into())
}

/// From which cosine two are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Where the calibration has its equal error rate.
    Auto,
    /// Where the calibration has this false-accept rate.
    Far(f64),
    /// As given.
    Cosine(f32),
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let within = |number: &f64, least| (least..=1.0).contains(number);
        let found = match text.strip_prefix("far=") {
            _ if text == "auto" => Some(Threshold::Auto),
            Some(far) => far
                .parse()
                .ok()
                .filter(|far| within(far, 0.0))
                .map(Threshold::Far),
            None => text
                .parse()
                .ok()
                .filter(|cosine| within(cosine, -1.0))
                .map(|cosine| Threshold::Cosine(cosine as f32)),
        };
        found.ok_or_else(|| "expected auto, far=1e-3 or a cosine from -1 to 1".into())
    }
}

/// `-j`
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Threads {
    /// Threads; the result does not depend on them
    #[arg(short = 'j', long, value_name = "N", value_parser = whole::<1>)]
    pub threads: Option<usize>,
}

impl Threads {
    /// Lets so many threads work, or as many as there are cores; to be called before any work.
    ///
    /// # Errors
    /// [`ConfigError`] if the system refuses.
    pub fn set(&self) -> Result<(), ConfigError> {
        let set = self.threads.map_or(Ok(()), engine::par::set_threads);
        set.map_err(|e| ConfigError(e.to_string()))
    }
}

/// A whole number from `LEAST`.
pub(super) fn whole<const LEAST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number >= LEAST);
    number.ok_or_else(|| format!("expected a whole number from {LEAST}"))
}

/// A share above 0.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    let share = share.filter(|share: &f64| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "expected a share above 0 and at most 1, such as 0.99".into())
}

/// `224` or `256x128`
pub(super) fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.parse().ok().filter(|&n: &usize| n > 0);
    let sides = match text.split_once(['x', 'X']) {
        Some((height, width)) => side(height).zip(side(width)),
        None => side(text).map(|n| (n, n)),
    };
    let sides = sides.map(|(height, width)| [height, width]);
    sides.ok_or_else(|| "expected pixels such as 224 or 256x128".into())
}

/// A length above 0.
pub(super) fn length(text: &str) -> Result<f64, String> {
    let length = text.parse().ok();
    let length = length.filter(|&length: &f64| length > 0.0 && length.is_finite());
    length.ok_or_else(|| "expected a number above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_are_positive() {
        let seconds = |text| time(text).map(|t| t.as_secs_f64());
        assert_eq!(seconds("45s"), Ok(45.0));
        assert_eq!(
            (seconds("30m"), seconds("30 min")),
            (Ok(1800.0), Ok(1800.0))
        );
        assert_eq!(seconds("1.5h"), Ok(5400.0));
        for text in [
            "", "30", "-3m", "0s", "m", "3 weeks", "1e300h", "3e15h", "9000h", "nans",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_have_a_least() {
        assert_eq!((whole::<1>("1"), whole::<2>("7")), (Ok(1), Ok(7)));
        for text in ["0", "-1", "1.5", "", "many"] {
            assert_eq!(
                whole::<1>(text),
                Err("expected a whole number from 1".into())
            );
        }
        assert!(whole::<2>("1").is_err());
    }

    #[test]
    fn folds_are_numbers_or_all() {
        assert_eq!(
            ("3".parse(), "all".parse()),
            (Ok(Fold::One(3)), Ok(Fold::All))
        );
        assert!("each".parse::<Fold>().is_err());
    }
}
