//! What options are given, as values.

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

/// `45s`, `30m`, `1.5h`
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let units = [("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0)];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = units
        .iter()
        .find(|(unit, _)| *unit == &text[digits.len()..]);
    let seconds = unit.zip(digits.trim().parse::<f64>().ok());
    let seconds = seconds.map(|((_, unit), number)| unit * number);
    let sound = seconds
        .filter(|s| *s > 0.0)
        .and_then(|s| Duration::try_from_secs_f64(s).ok());
    sound.ok_or_else(|| "expected a time such as 45s, 30m or 1.5h".into())
}

/// `16x4`
pub(super) fn pk(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once(['x', 'X', '*']);
    let numbers = numbers.and_then(|(p, k)| Some((p.parse().ok()?, k.parse().ok()?)));
    let sound = numbers.filter(|&(p, k): &(usize, usize)| p > 0 && k > 0);
    sound.ok_or_else(|| "expected classes x images of each, such as 16x4".into())
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
        for text in ["", "30", "-3m", "0s", "m", "3 weeks", "1e300h", "nans"] {
            assert!(time(text).is_err(), "{text}");
        }
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
