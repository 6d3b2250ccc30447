//! The trick ladder: configurations of which each changes one thing more than the one before it, as
//! papers show what their tricks are worth.

use super::groups::Group;
use super::in_points;
use crate::config::Config;
use crate::figures::{self, NONE};
use crate::report::significance::mean;
use std::collections::BTreeMap;

/// Fewer are no ladder.
const FEWEST: usize = 3;

/// A configuration on a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rung {
    /// Its place among those that were given.
    place: usize,
    /// What it changes, as `+ key = value`; empty for the first.
    change: String,
}

/// A row for each rung of the ladder that groups form, and remarks: what each change is worth by a
/// figure of which each group has these `values`. Empty where groups form none. `names` are those
/// of the runs.
pub(super) fn rows(
    groups: &[Group],
    names: &[String],
    key: &str,
    values: &[Vec<f64>],
) -> (Vec<Vec<String>>, Vec<String>) {
    let configs = groups.iter().map(|group| &group.config);
    let Some(rungs) = ladder(&configs.collect::<Vec<_>>()) else {
        return (Vec::new(), Vec::new());
    };
    let (factor, unit) = in_points(key);
    let unit = match unit {
        "" => String::new(),
        unit => format!(", in{unit}"),
    };
    let title = figures::title(key);
    let mut rows = vec![
        ["step", "n", &title, "gain", "gain in all"]
            .map(String::from)
            .to_vec(),
    ];
    let means: Vec<f64> = rungs.iter().map(|rung| mean(&values[rung.place])).collect();
    for (i, rung) in rungs.iter().enumerate() {
        let values = &values[rung.place];
        let step = match rung.change.as_str() {
            "" => format!("from {}", names[groups[rung.place].first]),
            change => change.to_string(),
        };
        let gain = |from: Option<&f64>| {
            let gain = from
                .map(|from| factor * (means[i] - from))
                .filter(|g| g.is_finite());
            gain.map_or(NONE.into(), |gain| format!("{gain:+.2}"))
        };
        let before = i.checked_sub(1).and_then(|i| means.get(i));
        rows.push(vec![
            step,
            values.len().to_string(),
            figures::spread(key, values),
            gain(before),
            gain(before.and(means.first())),
        ]);
    }
    let mut remarks = vec![format!(
        "Gains over the row above and over the first{unit}."
    )];
    if rungs
        .iter()
        .any(|rung| groups[rung.place].members.len() < 3)
    {
        remarks.push("With fewer than three seeds a row, small gains are chance.".into());
    }
    (rows, remarks)
}

/// The ladder that configurations form, the lowest rung first; `None` if they form none, or there are
/// too few. If it can be climbed from either end, it begins with the one that was given first.
fn ladder(configs: &[&Config]) -> Option<Vec<Rung>> {
    (0..configs.len()).find_map(|base| from(base, configs))
}

/// The ladder that begins with this configuration.
fn from(base: usize, configs: &[&Config]) -> Option<Vec<Rung>> {
    let changed = |i: usize| tricks(configs[base], configs[i]).len();
    let mut order: Vec<usize> = (0..configs.len()).collect();
    order.sort_by_cached_key(|&i| changed(i));
    let mut rungs = vec![Rung {
        place: base,
        change: String::new(),
    }];
    // Whoever has one change more than the one before, and differs from it in one, has kept all others.
    for (height, pair) in order.windows(2).enumerate() {
        let step = tricks(configs[pair[0]], configs[pair[1]]);
        let (1, true) = (step.len(), changed(pair[1]) == height + 1) else {
            return None;
        };
        rungs.push(Rung {
            place: pair[1],
            change: step.into_values().flatten().collect::<Vec<_>>().join(", "),
        });
    }
    (rungs.len() >= FEWEST).then_some(rungs)
}

/// What two configurations differ in, thing by thing, as texts of the second's keys. Settings that mean
/// little without each other are one thing: an optimizer, a schedule, a sampler, an augmentation.
fn tricks(from: &Config, to: &Config) -> BTreeMap<String, Vec<String>> {
    let differences = from.differences(to);
    let is_sampler = |key: &str| key.starts_with("sampler.");
    let by_sampler = differences.iter().any(|(key, ..)| is_sampler(key));
    let mut tricks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, _, value) in &differences {
        let tables = ["optimizer", "schedule", "sampler", "data.augment"];
        let table = tables.into_iter().find(|table| {
            let rest = key.strip_prefix(table);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let trick = match table {
            // The numbers of a sampler say how large a batch is.
            None if key == "batch" && by_sampler => "sampler",
            Some(table) => table,
            None => key,
        };
        let text = match value.as_str() {
            "(absent)" => format!("without {key}"),
            value => format!("+ {key} = {value}"),
        };
        tricks.entry(trick.into()).or_default().push(text);
    }
    tricks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    fn changes(configs: &[Config]) -> Option<Vec<(usize, String)>> {
        let rungs = ladder(&configs.iter().collect::<Vec<_>>())?;
        Some(
            rungs
                .into_iter()
                .map(|rung| (rung.place, rung.change))
                .collect(),
        )
    }

    #[test]
    fn nested_changes_are_a_ladder_in_whatever_order() {
        let sampler = "lr = 0.2\nbatch = 64\nsampler = { kind = \"pk\", p = 16, k = 4 }";
        let all = format!("ema = 0.99\n{sampler}");
        let [a, b, c, d] = ["", "lr = 0.2", sampler, &all].map(config);
        let found = changes(&[c.clone(), a.clone(), d.clone(), b.clone()]).unwrap();
        let places: Vec<usize> = found.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [1, 3, 0, 2]);
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            (texts[0], texts[1], texts[3]),
            ("", "+ lr = 0.2", "+ ema = 0.99")
        );
        assert!(
            texts[2].contains("+ batch = 64") && texts[2].contains("+ sampler.p = 16"),
            "{texts:?}"
        );
        // From the top down, if the top comes first.
        let down = changes(&[d, b, c, a]).unwrap();
        assert_eq!(
            (down[0].0, down[3].0, down[3].1.as_str()),
            (0, 3, "+ lr = 0.1")
        );
    }

    #[test]
    fn what_does_not_nest_is_no_ladder() {
        let [a, b, c] = ["", "lr = 0.2", "lr = 0.2\nema = 0.9"].map(config);
        let [other, apart] = ["lr = 0.3\nema = 0.9", "seed = 1\nbatch = 9\nema = 0.5"].map(config);
        assert!(changes(&[a.clone(), b.clone(), c.clone()]).is_some());
        assert_eq!(
            changes(&[a.clone(), b.clone()]),
            None,
            "two are a comparison"
        );
        assert_eq!(
            changes(&[a.clone(), b.clone(), other]),
            None,
            "lr has changed twice"
        );
        assert_eq!(changes(&[a.clone(), b, apart]), None);
        assert_eq!(changes(&[a.clone(), a, c]), None);
    }
}
