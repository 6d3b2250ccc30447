//! Whether differences between groups of runs are more than luck.

use super::groups::Group;
use super::in_points;
use crate::figures;
use crate::report::significance::{TTest, holm, mean, shown_p};

/// Each group against the first, by a figure of which each has these `values`.
pub(super) fn verdicts(groups: &[Group], key: &str, values: &[Vec<f64>]) -> Vec<String> {
    let (Some((first, others)), Some((base, values))) =
        (groups.split_first(), values.split_first())
    else {
        return Vec::new();
    };
    let (factor, unit) = in_points(key);
    let tests: Vec<(&Group, &Vec<f64>, Option<TTest>)> = others
        .iter()
        .zip(values)
        .map(|(group, values)| {
            let same_seeds = first.members.keys().eq(group.members.keys());
            let test = match same_seeds && base.len() == values.len() {
                true => TTest::paired(base, values),
                false => TTest::welch(base, values),
            };
            (group, values, test)
        })
        .collect();
    let found: Vec<f64> = tests
        .iter()
        .filter_map(|(.., test)| Some(test.as_ref()?.p))
        .collect();
    let mut corrected = holm(&found).into_iter();
    let mut out = Vec::new();
    for (group, values, test) in &tests {
        let difference = factor * (mean(values) - mean(base));
        let mut line = format!(
            "{} against {}: {} {difference:+.3}{unit}; n = {} and {}",
            group.name,
            first.name,
            figures::label(key),
            values.len(),
            base.len()
        );
        let least = values.len().min(base.len());
        match test {
            Some(test) => {
                let p = corrected.next().unwrap_or(test.p);
                line += &format!("; {test}");
                if found.len() > 1 {
                    line += &format!(
                        " ({} corrected for {} comparisons)",
                        shown_p(p),
                        found.len()
                    );
                }
                line += &format!(". {}", verdict(least, p));
            }
            None => line += &format!(". {}", untested(least)),
        }
        out.push(line);
    }
    out
}

/// What a test means. There is no number of seeds from which on it is the truth.
fn verdict(seeds: usize, p: f64) -> &'static str {
    match (seeds, p < 0.05) {
        (..=2, _) => {
            "n = 2 says nothing: two numbers may lie close or apart by chance. Train more seeds."
        }
        (_, true) => "Such a difference is seldom chance.",
        (3..5, false) => "So few seeds show only large differences.",
        (_, false) => "That may well be chance; nor does it show that there is no difference.",
    }
}

fn untested(seeds: usize) -> &'static str {
    match seeds {
        0 | 1 => {
            "One seed has no deviation, so this may be chance. Train both with the same seeds, three or more."
        }
        _ => "Without any deviation there is nothing to test.",
    }
}
