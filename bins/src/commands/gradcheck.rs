//! `hypersphere gradcheck`: every derivative against finite differences, as a table.

use crate::cli::Gradcheck;
use crate::config::{ConfigError, did_you_mean};
use anyhow::{Result, bail};
use engine::gradcheck::{Report, TOLERANCE};
use std::fmt;

/// A part of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Ops,
    Layers,
    Losses,
    Models,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Ops => "ops",
            Group::Layers => "layers",
            Group::Losses => "losses",
            Group::Models => "models",
        })
    }
}

/// Something that can be checked.
struct Subject {
    group: Group,
    name: String,
    check: Box<dyn Fn(u64) -> Report>,
}

fn subjects() -> Vec<Subject> {
    let mut all = Vec::new();
    let mut add = |group, name: &str, check: Box<dyn Fn(u64) -> Report>| {
        let name = name.to_string();
        all.push(Subject { group, name, check });
    };
    for op in engine::OPERATIONS {
        add(Group::Ops, op.name, Box::new(|seed| op.check(seed)));
    }
    for layer in nn::LAYERS {
        add(
            Group::Layers,
            layer.name,
            Box::new(|seed| layer.check(seed)),
        );
    }
    for op in losses::OPERATIONS {
        add(Group::Losses, op.name, Box::new(|seed| op.check(seed)));
    }
    for check in losses::CHECKS {
        add(Group::Losses, check.spec, Box::new(|seed| check.run(seed)));
    }
    for network in nn::NETWORKS {
        add(
            Group::Models,
            network.name,
            Box::new(|seed| network.check(seed)),
        );
    }
    all
}

/// Checks what was asked for and prints the table.
///
/// # Errors
/// If a derivative is wrong, or nothing is called that.
pub fn run(options: &Gradcheck) -> Result<()> {
    let all = subjects();
    let wanted = |s: &Subject| {
        let matches = |w: &String| *w == s.group.to_string() || *w == s.name;
        options.what.is_empty() || options.what.iter().any(matches)
    };
    for word in &options.what {
        let known = |s: &Subject| *word == s.group.to_string() || *word == s.name;
        if !all.iter().any(known) {
            let names = ["ops", "layers", "losses", "models"].into_iter();
            let names = names.chain(all.iter().map(|s| s.name.as_str()));
            bail!(ConfigError(format!(
                "nothing is called `{word}`{}; `hypersphere gradcheck` lists everything",
                did_you_mean(word, names)
            )));
        }
    }
    if !options.json {
        println!(
            "f64, four-point differences against backward; at most {TOLERANCE:.0e} relative error\n"
        );
        println!(
            "{:<7} {:<38} {:>5} {:>9} {:>8}       worst at",
            "group", "name", "cases", "worst", "ms"
        );
    }
    let (mut passed, mut failed, mut rows) = (0, 0, Vec::new());
    for subject in all.iter().filter(|s| wanted(s)) {
        let report = (subject.check)(options.seed);
        let ok = report.passed();
        *(if ok { &mut passed } else { &mut failed }) += 1;
        if options.json {
            rows.push(serde_json::json!({
                "group": subject.group.to_string(), "name": subject.name, "cases": report.cases,
                "worst": report.worst, "at": report.at, "ms": report.time.as_secs_f64() * 1e3,
                "passed": ok,
                "failures": report.failures.iter().map(|f| serde_json::json!({
                    "check": format!("{:?}", f.kind), "case": f.case, "found": f.found,
                })).collect::<Vec<_>>(),
            }));
            continue;
        }
        println!(
            "{:<7} {:<38} {:>5} {:>9.1e} {:>8.1} {} {}",
            subject.group.to_string(),
            subject.name,
            report.cases,
            report.worst,
            report.time.as_secs_f64() * 1e3,
            if ok { "ok    " } else { "FAILED" },
            report.at
        );
        for f in &report.failures {
            println!("        {:?} on {}: {}", f.kind, f.case, f.found);
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        println!("\n{passed} passed, {failed} failed");
    }
    match failed {
        0 => Ok(()),
        n => bail!("{n} of {} fail the gradient check", passed + n),
    }
}
