//! Manifests as CSV.

use super::{Entry, Manifest, Split};
use crate::decode::Area;
use crate::error::{Error, Result};
use std::path::{Component, Path};

const COLUMNS: [&str; 13] = [
    "path",
    "label",
    "split",
    "camera",
    "is_query",
    "is_gallery",
    "fold",
    "x1",
    "y1",
    "x2",
    "y2",
    "start",
    "duration",
];
const REQUIRED: usize = 3;

pub(super) fn read(path: &Path) -> Result<Manifest> {
    let file = path.display().to_string();
    let text = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_slice());
    let header = reader.headers().map_err(|e| broken(&file, e))?.clone();
    let columns = columns(&file, &header)?;
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| broken(&file, e))?;
        let row = Row {
            file: &file,
            line: record.position().map_or(1, |p| line(&text, p)),
            record: &record,
            columns: &columns,
        };
        entries.push(row.entry()?);
    }
    Ok(Manifest {
        name: file,
        root: path.parent().unwrap_or(Path::new("")).to_path_buf(),
        entries,
    })
}

/// The line of a record. Its position is that of the blank lines in front of it, if there are any.
fn line(text: &[u8], position: &csv::Position) -> u64 {
    let rest = &text[position.byte() as usize..];
    let blank = rest.iter().take_while(|b| b.is_ascii_whitespace());
    position.line() + blank.filter(|b| **b == b'\n').count() as u64
}

/// Where each of [`COLUMNS`] stands in the file.
fn columns(file: &str, header: &csv::StringRecord) -> Result<Vec<Option<usize>>> {
    let refuse = |expected: String, found: &str, hint: &str| {
        Err(Error::Line {
            file: file.into(),
            line: 1,
            expected,
            found: found.into(),
            hint: hint.into(),
        })
    };
    for (i, name) in header.iter().enumerate() {
        if !COLUMNS.contains(&name) {
            let expected = format!("column names out of {}", COLUMNS.join(","));
            return refuse(
                expected,
                &format!("{name:?}"),
                "rename the column or leave it out",
            );
        }
        if header.iter().take(i).any(|earlier| earlier == name) {
            return refuse("each column once".into(), name, "remove one of the two");
        }
    }
    let place = |column: &&str| header.iter().position(|name| name == *column);
    let columns: Vec<Option<usize>> = COLUMNS.iter().map(place).collect();
    for (column, place) in COLUMNS.iter().zip(&columns).take(REQUIRED) {
        if place.is_none() {
            let found = header.iter().collect::<Vec<_>>().join(",");
            let hint = "start the file with a line of column names";
            return refuse(format!("a column {column}"), &found, hint);
        }
    }
    Ok(columns)
}

fn broken(file: &str, error: csv::Error) -> Error {
    Error::Line {
        file: file.into(),
        line: error.position().map_or(1, csv::Position::line),
        expected: "a line of a CSV file in UTF-8, as many fields as the first".into(),
        found: error.to_string(),
        hint: "put fields with commas into double quotes".into(),
    }
}

struct Row<'a> {
    file: &'a str,
    line: u64,
    record: &'a csv::StringRecord,
    columns: &'a [Option<usize>],
}

impl Row<'_> {
    fn entry(&self) -> Result<Entry> {
        let path = self.text("path");
        if path.is_empty() || !stays_inside(path) {
            let hint = "put the files below the folder of the manifest";
            return self.refuse("a path inside the folder, with / between names", path, hint);
        }
        let split = match self.text("split") {
            "train" => Split::Train,
            "validation" => Split::Validation,
            "test" => Split::Test,
            other => {
                let hint = "write one of the three";
                return self.refuse("the split train, validation or test", other, hint);
            }
        };
        let label = self.text("label");
        if label.is_empty() {
            return self.refuse("a label", label, "give every entry its class or identity");
        }
        Ok(Entry {
            camera: self.number("camera", "a whole number, 0 or more")?,
            is_query: self.flag("is_query")?,
            is_gallery: self.flag("is_gallery")?,
            fold: self.number("fold", "a whole number, 0 or more")?,
            area: self.area()?,
            clip: self.clip()?,
            ..Entry::new(path, label, split)
        })
    }

    fn text(&self, column: &str) -> &str {
        let place = COLUMNS.iter().position(|c| *c == column);
        let place = place.and_then(|c| self.columns[c]);
        place.and_then(|p| self.record.get(p)).unwrap_or("")
    }

    fn number<T: std::str::FromStr>(&self, column: &str, expected: &str) -> Result<Option<T>> {
        let text = self.text(column);
        match (text, text.parse()) {
            ("", _) => Ok(None),
            (_, Ok(number)) => Ok(Some(number)),
            _ => self.refuse(
                &format!("in column {column} {expected}"),
                text,
                "correct it, or leave it empty",
            ),
        }
    }

    fn flag(&self, column: &str) -> Result<bool> {
        match self.text(column) {
            "" | "false" | "0" => Ok(false),
            "true" | "1" => Ok(true),
            other => self.refuse(
                &format!("in column {column} true or false"),
                other,
                "correct it, or leave it empty",
            ),
        }
    }

    /// Numbers that only make sense together.
    fn together<const N: usize>(&self, columns: [&str; N]) -> Result<Option<[f64; N]>> {
        let mut numbers = [0.0; N];
        let mut found = 0;
        for (number, column) in numbers.iter_mut().zip(columns) {
            if let Some(value) = self.number::<f64>(column, "a number")? {
                *number = value;
                found += usize::from(value.is_finite());
            }
        }
        match found {
            0 if columns.iter().all(|c| self.text(c).is_empty()) => Ok(None),
            n if n == N => Ok(Some(numbers)),
            _ => {
                let found = columns.map(|c| self.text(c)).join(",");
                let hint = "fill all of them, or none";
                self.refuse(&format!("numbers in {}", columns.join(",")), &found, hint)
            }
        }
    }

    fn area(&self) -> Result<Option<Area>> {
        let Some([x1, y1, x2, y2]) = self.together(["x1", "y1", "x2", "y2"])? else {
            return Ok(None);
        };
        if !(0.0 <= x1 && x1 < x2 && 0.0 <= y1 && y1 < y2) {
            let found = format!("{x1},{y1},{x2},{y2}");
            let hint = "x1,y1 is the upper left corner, x2,y2 the lower right one";
            return self.refuse("a box with 0 <= x1 < x2 and 0 <= y1 < y2", &found, hint);
        }
        Ok(Some(Area {
            left: x1 as f32,
            top: y1 as f32,
            width: (x2 - x1) as f32,
            height: (y2 - y1) as f32,
        }))
    }

    fn clip(&self) -> Result<Option<[f64; 2]>> {
        match self.together(["start", "duration"])? {
            Some([start, duration]) if start < 0.0 || duration <= 0.0 => self.refuse(
                "a start of 0 or more and a duration above 0",
                &format!("{start},{duration}"),
                "both are in seconds",
            ),
            clip => Ok(clip),
        }
    }

    fn refuse<T>(&self, expected: &str, found: &str, hint: &str) -> Result<T> {
        Err(Error::Line {
            file: self.file.into(),
            line: self.line,
            expected: expected.into(),
            found: format!("{found:?}"),
            hint: hint.into(),
        })
    }
}

/// Whether a path names something below its folder, on any system.
pub(crate) fn stays_inside(path: &str) -> bool {
    let normal = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
    !path.contains(['\\', '\0', ':']) && Path::new(path).components().all(normal)
}

pub(super) fn write(manifest: &Manifest, path: &Path) -> Result<()> {
    let rows: Vec<[String; 13]> = manifest.entries.iter().map(fields).collect();
    let used = |&c: &usize| c < REQUIRED || rows.iter().any(|row| !row[c].is_empty());
    let columns: Vec<usize> = (0..COLUMNS.len()).filter(used).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let lines = std::iter::once(COLUMNS.map(String::from)).chain(rows);
    for line in lines {
        let fields = columns.iter().map(|&c| line[c].as_str());
        writer.write_record(fields).expect("memory takes it");
    }
    let text = writer.into_inner().expect("memory takes it");
    std::fs::write(path, text).map_err(|e| Error::io(path, e))
}

fn fields(entry: &Entry) -> [String; 13] {
    let flag = |set: bool| {
        if set {
            "true".to_string()
        } else {
            String::new()
        }
    };
    let whole = |number: Option<u32>| number.map_or(String::new(), |n| n.to_string());
    let part = |number: Option<f64>| number.map_or(String::new(), |n| n.to_string());
    let corner = |f: fn(Area) -> f32| part(entry.area.map(|a| f64::from(f(a))));
    let split = match entry.split {
        Split::Train => "train",
        Split::Validation => "validation",
        Split::Test => "test",
    };
    [
        entry.path.clone(),
        entry.label.clone(),
        split.into(),
        whole(entry.camera),
        flag(entry.is_query),
        flag(entry.is_gallery),
        whole(entry.fold),
        corner(|a| a.left),
        corner(|a| a.top),
        corner(|a| a.left + a.width),
        corner(|a| a.top + a.height),
        part(entry.clip.map(|c| c[0])),
        part(entry.clip.map(|c| c[1])),
    ]
}
