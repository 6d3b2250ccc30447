//! Many checks as one table: on a terminal, as JSON, and as the `main` of a program.

use super::{Report, TOLERANCE};
use crate::op::Entry;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::process::ExitCode;

/// Checks with their names, in groups.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    group: &'static str,
    name: String,
    check: Box<dyn Fn(u64) -> Report>,
}

/// What to run and how to show it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names of checks or of groups; everything if empty.
    pub what: Vec<String>,
    /// Another seed makes other random cases.
    pub seed: u64,
    /// An array of objects instead of the table.
    pub json: bool,
}

/// How many checks passed and failed, and the worst of them, by group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    name: &'static str,
    passed: usize,
    failed: usize,
    worst: f64,
    worst_of: String,
}

impl Table {
    /// Without a check.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same table with one more check. `check` is given the seed.
    pub fn with(
        mut self,
        group: &'static str,
        name: impl Into<String>,
        check: impl Fn(u64) -> Report + 'static,
    ) -> Self {
        self.rows.push(Row {
            group,
            name: name.into(),
            check: Box::new(check),
        });
        self
    }

    /// The same table with the operations of a [`register!`](crate::register) table.
    pub fn operations(self, group: &'static str, entries: &'static [Entry]) -> Self {
        entries.iter().fold(self, |table, entry| {
            table.with(group, entry.name, |seed| entry.check(seed))
        })
    }

    /// The groups, each once, and the names of all checks.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.group) {
                names.push(row.group);
            }
        }
        names.extend(self.rows.iter().map(|row| row.name.as_str()));
        names
    }

    /// Runs what `options` ask for and writes the table, row by row, to `out`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn run(&self, options: &Options, out: &mut dyn Write) -> io::Result<Summary> {
        let wanted = |row: &&Row| {
            let is_it = |word: &String| word == row.group || *word == row.name;
            options.what.is_empty() || options.what.iter().any(is_it)
        };
        if options.json {
            writeln!(out, "[")?;
        } else {
            writeln!(
                out,
                "f64, four-point differences against backward; at most {TOLERANCE:.0e} relative error\n"
            )?;
            writeln!(
                out,
                "{:<7} {:<38} {:>5} {:>9} {:>8}        worst at",
                "group", "name", "cases", "worst", "ms"
            )?;
        }
        let mut summary = Summary::default();
        for (i, row) in self.rows.iter().filter(wanted).enumerate() {
            let report = (row.check)(options.seed);
            summary.count(row, &report);
            if options.json {
                let comma = if i == 0 { "" } else { ",\n" };
                write!(out, "{comma}{}", json(row, &report))?;
            } else {
                write_row(out, row, &report)?;
            }
        }
        if options.json {
            writeln!(out, "\n]")?;
        } else {
            writeln!(out, "\n{summary}")?;
        }
        Ok(summary)
    }

    /// The table as a program: `[NAME|GROUP]... [--seed N] [--json]`. Exits with 0 if all
    /// derivatives are right, with 1 if one is wrong, with 2 if the arguments are.
    ///
    /// ```no_run
    /// use engine::gradcheck::Table;
    /// use std::process::ExitCode;
    ///
    /// fn main() -> ExitCode {
    ///     Table::new().operations("ops", engine::OPERATIONS).main()
    /// }
    /// ```
    pub fn main(&self) -> ExitCode {
        let options = match self.options(std::env::args().skip(1)) {
            Ok(options) => options,
            Err(reason) => {
                eprintln!("error: {reason}");
                return ExitCode::from(2);
            }
        };
        match self.run(&options, &mut io::stdout().lock()) {
            Ok(summary) if summary.failed() == 0 => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(e) => {
                eprintln!("error: cannot write the table: {e}");
                ExitCode::FAILURE
            }
        }
    }

    /// Reads the arguments of [`main`](Table::main).
    fn options(&self, arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut options, mut arguments) = (Options::default(), arguments);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = true,
                "--seed" => {
                    let seed = arguments.next().unwrap_or_default();
                    options.seed = seed.parse().map_err(|_| {
                        format!("--seed needs a whole number from 0; found `{seed}`")
                    })?;
                }
                name if self.names().contains(&name) => options.what.push(argument),
                other => {
                    return Err(format!(
                        "nothing is called `{other}`; expected --seed N, --json, or any of: {}",
                        self.names().join(", ")
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn milliseconds(report: &Report) -> f64 {
    report.time.as_secs_f64() * 1e3
}

fn write_row(out: &mut dyn Write, row: &Row, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "{:<7} {:<38} {:>5} {:>9.1e} {:>8.1} {} {}",
        row.group,
        row.name,
        report.cases,
        report.worst,
        milliseconds(report),
        if report.passed() { "ok    " } else { "FAILED" },
        report.at
    )?;
    for f in &report.failures {
        writeln!(out, "        {:?} on {}: {}", f.kind, f.case, f.found)?;
    }
    Ok(())
}

fn json(row: &Row, report: &Report) -> String {
    let failures = report.failures.iter().map(|f| {
        let (kind, case, found) = (format!("{:?}", f.kind), &f.case, &f.found);
        let [kind, case, found] = [&kind, case, found].map(|text| quoted(text));
        format!("{{\"check\": {kind}, \"case\": {case}, \"found\": {found}}}")
    });
    let failures = failures.collect::<Vec<_>>().join(", ");
    let [group, name, at] = [row.group, &row.name, &report.at].map(quoted);
    format!(
        "  {{\"group\": {group}, \"name\": {name}, \"cases\": {}, \"worst\": {}, \"at\": {at}, \
         \"ms\": {:.3}, \"passed\": {}, \"failures\": [{failures}]}}",
        report.cases,
        number(report.worst),
        milliseconds(report),
        report.passed()
    )
}

/// A number in JSON, which knows no NaN and no infinity.
fn number(x: f64) -> String {
    if x.is_finite() {
        format!("{x:e}")
    } else {
        "null".into()
    }
}

/// A text in JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..' ' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

impl Summary {
    fn count(&mut self, row: &Row, report: &Report) {
        let at = self.groups.iter().position(|g| g.name == row.group);
        let at = at.unwrap_or_else(|| {
            self.groups.push(Group {
                name: row.group,
                passed: 0,
                failed: 0,
                worst: 0.0,
                worst_of: String::new(),
            });
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        match report.passed() {
            true => group.passed += 1,
            false => group.failed += 1,
        }
        if report.worst.is_nan() || report.worst > group.worst || group.worst_of.is_empty() {
            group.worst = report.worst;
            group.worst_of = row.name.clone();
        }
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.groups.iter().map(|g| g.passed).sum()
    }

    /// How many failed.
    pub fn failed(&self) -> usize {
        self.groups.iter().map(|g| g.failed).sum()
    }
}

/// One line for each group, and one for all.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for g in &self.groups {
            writeln!(
                f,
                "{:<7} {:>3} passed, {} failed, worst {:.1e} ({})",
                g.name, g.passed, g.failed, g.worst, g.worst_of
            )?;
        }
        write!(
            f,
            "{:<7} {:>3} passed, {} failed",
            "all",
            self.passed(),
            self.failed()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{Failure, Kind};

    /// What an operation would report with such a worst error.
    fn report(name: &str, worst: f64) -> Report {
        let mut report = Report::new(name);
        (report.cases, report.worst) = (1, worst);
        report.at = "a \"quoted\" place\n".into();
        if worst.is_nan() || worst > TOLERANCE {
            report.failures.push(Failure {
                kind: Kind::Derivative,
                case: "case".into(),
                found: "back\\slash".into(),
            });
        }
        report
    }

    fn table() -> Table {
        Table::new()
            .with("ops", "right", |_| report("right", 1e-10))
            .with("ops", "wrong", |_| report("wrong", 0.5))
            .with("losses", "nan", |_| report("nan", f64::NAN))
    }

    fn run(what: &[&str], json: bool) -> (Summary, String) {
        let what = what.iter().map(|w| w.to_string()).collect();
        let options = Options {
            what,
            json,
            seed: 0,
        };
        let mut out = Vec::new();
        let summary = table().run(&options, &mut out).unwrap();
        (summary, String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_fails_is_counted_and_shown() {
        let (summary, text) = run(&[], false);
        assert_eq!((summary.passed(), summary.failed()), (1, 2));
        assert!(text.contains("FAILED") && text.contains("Derivative on case: back\\slash"));
        assert!(
            text.contains("1 passed, 1 failed, worst 5.0e-1 (wrong)"),
            "{text}"
        );
        assert!(text.contains("worst NaN (nan)"), "{text}");
        assert_eq!(run(&["right"], false).0.failed(), 0);
        assert_eq!(run(&["ops"], false).0.passed(), 1);
    }

    #[test]
    fn json_is_escaped_and_knows_no_nan() {
        let (_, text) = run(&["ops", "nan"], true);
        assert!(
            text.contains(r#""at": "a \"quoted\" place\u000a""#),
            "{text}"
        );
        assert!(text.contains(r#""found": "back\\slash""#), "{text}");
        assert!(text.contains(r#""worst": null"#) && text.contains(r#""worst": 1e-10"#));
        assert_eq!(text.matches("{\"group\"").count(), 3);
        assert_eq!(text.matches("},\n").count(), 2, "{text}");
    }

    #[test]
    fn arguments_are_read_and_mistakes_explained() {
        let options = |line: &str| table().options(line.split_whitespace().map(str::to_string));
        let read = options("wrong --json --seed 7 losses").unwrap();
        assert_eq!(read.what, ["wrong", "losses"]);
        assert!(read.json && read.seed == 7);
        assert!(options("wrnog").unwrap_err().contains("right, wrong, nan"));
        assert!(options("--seed x").unwrap_err().contains("found `x`"));
        assert!(options("--seed").unwrap_err().contains("whole number"));
    }
}
