//! What the readers of sound share: WAV files of a folder, tables, folds.

use super::list;
use crate::error::{Error, Result};
use crate::manifest::{Count, Entry, Split};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;

/// The WAV files in `root/folder` as paths from the root, in byte order, and the number of files
/// of other kinds.
pub(super) fn wavs(root: &Path, folder: &str) -> Result<(Vec<String>, usize)> {
    let (mut found, mut others) = (Vec::new(), 0);
    for (name, is_folder) in list::entries(root, folder)? {
        // What starts with a dot belongs to a system, not to a data set.
        if is_folder || name.starts_with('.') {
            continue;
        }
        match name.to_ascii_lowercase().ends_with(".wav") {
            true => found.push(list::join(folder, &name)),
            false => others += 1,
        }
    }
    Ok((found, others))
}

/// The named columns of a CSV file, with the line of each row.
pub(super) fn table<const N: usize>(
    path: &Path,
    columns: [&str; N],
) -> Result<Vec<(u64, [String; N])>> {
    let text = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_slice());
    let broken = |e: csv::Error| {
        let line = e.position().map_or(1, csv::Position::line);
        list::bad_line(
            path,
            line,
            "as many fields as in the first line",
            &e.to_string(),
        )
    };
    let header = reader.headers().map_err(broken)?.clone();
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let Some(found) = header.iter().position(|name| name == column) else {
            let found: Vec<&str> = header.iter().collect();
            let expected = format!("a column {column}");
            return Err(list::bad_line(path, 1, &expected, &found.join(",")));
        };
        *place = found;
    }
    let rows = reader.records().map(|record| {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(1, csv::Position::line);
        let field = |place: usize| record.get(place).unwrap_or("").to_string();
        Ok((line, places.map(field)))
    });
    rows.collect()
}

/// An error about a row of a table whose file is not there.
pub(super) fn missing(table: &Path, line: u64, path: &str) -> Error {
    Error::Line {
        file: table.display().to_string(),
        line,
        expected: format!("the file {path}"),
        found: "none".into(),
        hint: "unpack the data set again".into(),
    }
}

/// Cross-validation: tests on `test`, an official fold from 1 on, validates on the one before it
/// (the last one for the first), and trains on the others. The folds of the entries count from 0.
pub(super) fn cross_validate(
    name: &str,
    entries: &mut [Entry],
    folds: RangeInclusive<u32>,
    test: u32,
) -> Result<()> {
    if !folds.contains(&test) {
        return Err(Error::invalid(
            format!("test fold of {name}"),
            format!("{} to {}", folds.start(), folds.end()),
            test,
            "run every fold once, and report the mean",
        ));
    }
    let test = test - 1;
    let validation = test.checked_sub(1).unwrap_or(folds.end() - 1);
    for entry in entries {
        entry.split = match entry.fold {
            Some(fold) if fold == test => Split::Test,
            Some(fold) if fold == validation => Split::Validation,
            _ => Split::Train,
        };
    }
    Ok(())
}

/// How many entries, classes and entries of each fold there are, against the official numbers.
pub(super) fn counts(
    entries: &[Entry],
    clips: usize,
    classes: usize,
    folds: &[usize],
) -> Vec<Count> {
    let labels: BTreeSet<&str> = entries.iter().map(|e| e.label.as_str()).collect();
    let mut counts = vec![
        list::count("clips", clips, entries.len()),
        list::count("classes", classes, labels.len()),
    ];
    for (fold, &official) in (0..).zip(folds) {
        let found = entries.iter().filter(|e| e.fold == Some(fold)).count();
        counts.push(list::count(
            &format!("clips in fold {}", fold + 1),
            official,
            found,
        ));
    }
    counts
}
