//! Runs that differ in their seed alone, and what the others differ in.

use crate::config::Config;
use crate::report::finished::Finished;
use std::collections::BTreeMap;

/// Runs that differ in nothing but their seed.
pub(super) struct Group {
    /// What sets it apart from the others.
    pub name: String,
    /// What its runs have in common: their configuration with the seed 0.
    pub config: Config,
    /// The place of the run that was given first.
    pub first: usize,
    /// Places of the runs, one for each seed, by seed.
    pub members: BTreeMap<u64, usize>,
    /// Runs with a seed that another one has already.
    pub repeated: Vec<usize>,
}

/// Runs whose configurations are equal but for the seed, in the order of their first runs.
pub(super) fn grouped(runs: &[Finished]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let config = unseeded(&run.config);
        let place = groups.iter().position(|group| group.config == config);
        let place = place.unwrap_or_else(|| {
            groups.push(Group {
                name: String::new(),
                config,
                first: i,
                members: BTreeMap::new(),
                repeated: Vec::new(),
            });
            groups.len() - 1
        });
        let group = &mut groups[place];
        match group.members.contains_key(&run.config.seed) {
            true => group.repeated.push(i),
            false => drop(group.members.insert(run.config.seed, i)),
        }
    }
    let (keys, values) = differing(&groups.iter().map(|g| &g.config).collect::<Vec<_>>());
    for (group, values) in groups.iter_mut().zip(values) {
        group.name = match keys.as_slice() {
            [] => group.config.loss.clone(),
            [only] if only == "loss" => group.config.loss.clone(),
            keys => {
                let shown = keys.iter().map(|key| format!("{key} = {}", values[key]));
                shown.collect::<Vec<_>>().join(", ")
            }
        };
    }
    groups
}

/// The configuration that runs have in common which differ in their seed alone.
fn unseeded(config: &Config) -> Config {
    Config {
        seed: 0,
        ..config.clone()
    }
}

/// The keys that do not have the same value everywhere, and their values in each configuration.
pub(super) fn differing(configs: &[&Config]) -> (Vec<String>, Vec<BTreeMap<String, String>>) {
    let Some((first, others)) = configs.split_first() else {
        return (Vec::new(), Vec::new());
    };
    let found: Vec<_> = others
        .iter()
        .map(|other| first.differences(other))
        .collect();
    let of_first: BTreeMap<String, String> = found
        .iter()
        .flatten()
        .map(|(key, mine, _)| (key.clone(), mine.clone()))
        .collect();
    let theirs = found.into_iter().map(|differences| {
        let mut values = of_first.clone();
        values.extend(
            differences
                .into_iter()
                .map(|(key, _, theirs)| (key, theirs)),
        );
        values
    });
    let values = std::iter::once(of_first.clone()).chain(theirs).collect();
    (of_first.into_keys().collect(), values)
}
