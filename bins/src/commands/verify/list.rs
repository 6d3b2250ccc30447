//! Lists of pairs: a table, LFW's own file, or plain lines.

use crate::source::DataError;
use anyhow::{Result, bail};
use data::formats::lfw;
use std::path::{Component, Path};

/// Two files.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Their paths from the folder of the data.
    pub files: [String; 2],
    /// The truth, if it is known.
    pub same: Option<bool>,
}

/// Reads a list of pairs.
///
/// # Errors
/// [`DataError`] that names the line; a path may not leave the folder it starts from.
pub fn read(path: &Path) -> Result<Vec<Pair>> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| DataError(format!("{}: cannot be read: {e}", path.display())))?;
    let pairs = match path.extension().is_some_and(|e| e == "csv") {
        true => table(path, &text)?,
        false if is_lfw(&text) => {
            let pair = |pair: &lfw::Pair| Pair {
                files: pair.paths(),
                same: Some(pair.same),
            };
            lfw::pairs(path)?.iter().map(pair).collect()
        }
        false => lines(path, &text)?,
    };
    if pairs.is_empty() {
        bail!(DataError(format!(
            "{}: expected pairs, found none",
            path.display()
        )));
    }
    Ok(pairs)
}

/// Whether the first line announces numbers of folds and pairs.
fn is_lfw(text: &str) -> bool {
    let first = text.lines().next().unwrap_or("");
    let mut words = first.split_whitespace().peekable();
    words.peek().is_some() && words.all(|word| word.parse::<usize>().is_ok())
}

fn broken(path: &Path, line: u64, expected: &str, found: &str) -> DataError {
    let path = path.display();
    DataError(format!(
        "{path}, line {line}: expected {expected}, found `{found}`"
    ))
}

fn table(path: &Path, text: &str) -> Result<Vec<Pair>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let bad = |e: csv::Error| {
        let line = e.position().map_or(1, csv::Position::line);
        broken(path, line, "as many fields as in line 1", &e.to_string())
    };
    let heading = reader.headers().map_err(bad)?.clone();
    let column = |name: &str| heading.iter().position(|h| h == name);
    let (Some(a), Some(b)) = (column("a"), column("b")) else {
        let found: Vec<&str> = heading.iter().collect();
        let expected = "the columns `a`, `b` and perhaps `same`";
        bail!(broken(path, 1, expected, &found.join(",")));
    };
    let same = column("same");
    let mut pairs = Vec::new();
    for row in reader.records() {
        let row = row.map_err(bad)?;
        let line = row.position().map_or(0, csv::Position::line);
        pairs.push(pair(path, line, &row[a], &row[b], same.map(|i| &row[i]))?);
    }
    Ok(pairs)
}

fn lines(path: &Path, text: &str) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [] => {}
            [a, b] => pairs.push(pair(path, line, a, b, None)?),
            [a, b, same] => pairs.push(pair(path, line, a, b, Some(same))?),
            _ => bail!(broken(path, line, "`A B`, `A B 1` or `A B 0`", text)),
        }
    }
    Ok(pairs)
}

fn pair(path: &Path, line: u64, a: &str, b: &str, same: Option<&str>) -> Result<Pair> {
    let file = |name: &str| {
        let mut parts = Path::new(name).components();
        let inside = parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let expected = "a path that starts from the folder of the list (or --data) and stays in it";
        match inside && !name.is_empty() {
            true => Ok(name.to_string()),
            false => Err(broken(path, line, expected, name)),
        }
    };
    let same = match same.map(str::to_ascii_lowercase).as_deref() {
        None | Some("") => None,
        Some("1" | "true") => Some(true),
        Some("0" | "false") => Some(false),
        Some(other) => bail!(broken(path, line, "1 for the same, 0 for others", other)),
    };
    Ok(Pair {
        files: [file(a)?, file(b)?],
        same,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Result<Vec<Pair>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    fn pair(a: &str, b: &str, same: Option<bool>) -> Pair {
        Pair {
            files: [a.into(), b.into()],
            same,
        }
    }

    #[test]
    fn every_kind_of_list_is_told_by_its_content() {
        let [yes, no] = [Some(true), Some(false)];
        let table = "same,b,a\n1,\"y, z.png\",x.png\n0,b,a\n,d,c\n";
        let expected = [
            pair("x.png", "y, z.png", yes),
            pair("a", "b", no),
            pair("c", "d", None),
        ];
        assert_eq!(found("pairs.csv", table).unwrap(), expected);
        let lines = "a b 1\n\nc/d ./e 0\nf g\n";
        let expected = [
            pair("a", "b", yes),
            pair("c/d", "./e", no),
            pair("f", "g", None),
        ];
        assert_eq!(found("pairs.txt", lines).unwrap(), expected);
        let lfw = "1\nA\t1\t4\nB\t1\tC\t2\n";
        let expected = [
            pair("A/A_0001.jpg", "A/A_0004.jpg", yes),
            pair("B/B_0001.jpg", "C/C_0002.jpg", no),
        ];
        assert_eq!(found("pairs.txt", lfw).unwrap(), expected);
    }

    #[test]
    fn broken_lists_are_refused_with_the_line() {
        for (name, text, parts) in [
            ("p.csv", "a,c\nx,y\n", ["line 1", "`a`, `b`"]),
            ("p.csv", "a,b\nx,y\nx\n", ["line 3", "fields"]),
            ("p.csv", "a,b,same\nx,y,maybe\n", ["line 2", "`maybe`"]),
            ("p.csv", "a,b\nx,../y\n", ["line 2", "`../y`"]),
            ("p.txt", "x /etc/passwd\n", ["line 1", "stays in it"]),
            ("p.txt", "x y\nx y 1 2\n", ["line 2", "`A B 1`"]),
            ("p.txt", "\n", ["pairs", "none"]),
        ] {
            let error = found(name, text).unwrap_err();
            assert!(error.is::<DataError>());
            let error = error.to_string();
            for part in [name].iter().chain(&parts) {
                assert!(error.contains(part), "`{part}` is missing in: {error}");
            }
        }
    }
}
