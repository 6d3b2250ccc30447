//! Repeated timing.

use serde::Serialize;
use std::time::Instant;

/// The times of one piece of work, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// How often it was timed.
    pub runs: usize,
    /// The shortest.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The one that nine tenths do not exceed.
    pub p90: f64,
}

/// Runs `f` without timing a few times, then times it until `seconds` have passed, but at least
/// `fewest` times.
pub fn measure(warm_up: usize, fewest: usize, seconds: f64, mut f: impl FnMut()) -> Times {
    measure_on(warm_up, fewest, seconds, || (), |()| f())
}

/// [`measure`] of `f` on what `prepare` makes, which takes no part in the times.
pub fn measure_on<P>(
    warm_up: usize,
    fewest: usize,
    seconds: f64,
    mut prepare: impl FnMut() -> P,
    mut f: impl FnMut(P),
) -> Times {
    (0..warm_up).for_each(|_| f(prepare()));
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < fewest || started.elapsed().as_secs_f64() < seconds {
        let prepared = prepare();
        let start = Instant::now();
        f(prepared);
        times.push(start.elapsed().as_secs_f64());
    }
    Times::of(times)
}

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        Times {
            runs: times.len(),
            min: at(0.0),
            median: at(0.5),
            p90: at(0.9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_in_the_middle() {
        let times = Times::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!((times.min, times.median, times.p90), (1.0, 3.0, 5.0));
        assert_eq!(measure(1, 3, 0.0, || ()).runs, 3);
    }
}
