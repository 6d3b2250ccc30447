//! Embeddings in files: safetensors, NPY, CSV, and the two tables of the embedding projector.
//!
//! | file | vectors | names, labels, classes, cameras, roles | origin |
//! |---|---|---|---|
//! | `.safetensors` | `features [N, D]` | metadata `items` (JSON), `labels`, `cameras`, `is_query`, `is_gallery [N]` | metadata `items` |
//! | `.npy` | `[N, D]`, f32 | beside it in `<stem>.items.csv` | |
//! | `.csv` | columns `e0`, `e1`, … | columns `name`, `label`, `class`, `camera`, `is_query`, `is_gallery` | |
//! | `.tsv`, only written | a row each, no heading | beside it in `<stem>.metadata.tsv` | |
//!
//! The order of the items is kept. What is read may come from anywhere: no size in a header is
//! believed before it is held against the length of the file.

pub mod gallery;
mod npy;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Vectors of the same length, with what is known of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// The length of a vector.
    pub dim: usize,
    /// The vectors, one after another.
    pub vectors: Vec<f32>,
    /// The name of each item, such as its file; empty if they have none.
    pub names: Vec<String>,
    /// The label of each item, -1 for none; empty if labels are unknown.
    pub labels: Vec<i64>,
    /// What the labels 0, 1, … are called; empty if unknown.
    pub classes: Vec<String>,
    /// The camera of each item, -1 for none; empty if none is known.
    pub cameras: Vec<i64>,
    /// Whether a retrieval test asks for each item; empty if no item is marked.
    pub is_query: Vec<bool>,
    /// Whether it ranks the item; empty if no item is marked.
    pub is_gallery: Vec<bool>,
    /// What made the vectors, if it is known.
    pub origin: Option<Origin>,
}

/// What vectors were made with, and from which files: enough to embed others like them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The checkpoint of the network.
    pub checkpoint: PathBuf,
    /// The SHA-256 of that file, in hexadecimal digits.
    pub sha256: String,
    /// Whether each vector is the mean of those of an image and its mirror image.
    pub flip: bool,
    /// The folder that names which are relative paths start from.
    pub folder: PathBuf,
}

/// Why features could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `"read"`, `"write"`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The name of a file does not tell its format.
    #[error("{}: cannot tell the format by the name; expected .safetensors, .npy, .csv or .tsv", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The content is not what the format asks for.
    #[error("{}: {place}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// What is wrong with a file's content, before its name is known.
struct Wrong {
    place: String,
    expected: String,
    found: String,
}

fn wrong(place: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Wrong {
    Wrong {
        place: place.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

/// What safetensors files say of their items.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Items {
    names: Vec<String>,
    classes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

#[derive(Clone, Copy)]
enum Format {
    Safetensors,
    Npy,
    Csv,
    Tsv,
}

impl Format {
    fn of(path: &Path) -> Result<Self, FeaturesError> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => Ok(Format::Safetensors),
            Some("npy") => Ok(Format::Npy),
            Some("csv") => Ok(Format::Csv),
            Some("tsv") => Ok(Format::Tsv),
            _ => Err(FeaturesError::Extension { path: path.into() }),
        }
    }
}

impl Features {
    /// The number of items.
    pub fn len(&self) -> usize {
        self.vectors.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the class of an item, if it is known.
    ///
    /// # Panics
    /// If there are labels, but none for such an item.
    pub fn class(&self, item: usize) -> Option<&str> {
        if self.labels.is_empty() {
            return None;
        }
        let label = usize::try_from(self.labels[item]).ok()?;
        let name = self.classes.get(label)?;
        (!name.is_empty()).then_some(name)
    }

    /// Reads a file; its ending says the format.
    ///
    /// # Errors
    /// [`FeaturesError`], which names the file and the place.
    pub fn read(path: &Path) -> Result<Self, FeaturesError> {
        let format = Format::of(path)?;
        let features = match format {
            Format::Safetensors => from_safetensors(&read(path)?),
            Format::Npy => npy::decode(&read(path)?).map(|(dim, vectors)| Features {
                dim,
                vectors,
                ..Features::default()
            }),
            Format::Csv => from_csv(&read(path)?),
            Format::Tsv => {
                let place = "its ending";
                let expected = ".safetensors, .npy or .csv: tables for the projector lack names";
                Err(wrong(place, expected, ".tsv"))
            }
        };
        let mut features = features.map_err(|wrong| of_file(path, wrong))?;
        let beside = items_beside(path);
        if matches!(format, Format::Npy) && beside.exists() {
            let items = from_csv(&read(&beside)?).map_err(|wrong| of_file(&beside, wrong))?;
            features = Features {
                dim: features.dim,
                vectors: features.vectors,
                ..items
            };
            features.check().map_err(|wrong| of_file(&beside, wrong))?;
        }
        features.check().map_err(|wrong| of_file(path, wrong))?;
        Ok(features)
    }

    /// Whether [`write`](Self::write) knows the format of a file of this name.
    ///
    /// # Errors
    /// [`FeaturesError::Extension`] if it does not.
    pub fn check_name(path: &Path) -> Result<(), FeaturesError> {
        Format::of(path).map(drop)
    }

    /// Writes a file; its ending says the format. Either the old or the new content is there.
    ///
    /// # Errors
    /// [`FeaturesError`].
    ///
    /// # Panics
    /// If there are not as many names or labels as vectors, or none.
    pub fn write(&self, path: &Path) -> Result<(), FeaturesError> {
        if let Err(wrong) = self.check() {
            panic!("{}: {}, not {}", wrong.place, wrong.found, wrong.expected);
        }
        match Format::of(path)? {
            Format::Safetensors => write(path, &self.to_safetensors(Vec::new())),
            Format::Npy => {
                if !self.names.is_empty() || !self.labels.is_empty() {
                    write(&items_beside(path), &self.table(b',', false))?;
                }
                write(path, &npy::encode(self.dim, &self.vectors))
            }
            Format::Csv => write(path, &self.table(b',', true)),
            Format::Tsv => self.write_projector(path, &path.with_extension("metadata.tsv")),
        }
    }

    /// The two tables that the embedding projector of TensorFlow loads.
    fn write_projector(&self, vectors: &Path, metadata: &Path) -> Result<(), FeaturesError> {
        let mut rows = String::new();
        for vector in self.vectors.chunks(self.dim.max(1)) {
            let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
            rows += &numbers.join("\t");
            rows.push('\n');
        }
        write(vectors, rows.as_bytes())?;
        let mut columns = self.columns();
        if columns.is_empty() {
            let number = |i: usize| i.to_string();
            columns.push(("item", Box::new(number)));
        }
        let mut table = String::new();
        // The projector takes the first line for a heading only where there are several columns.
        if columns.len() > 1 {
            let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            table += &(names.join("\t") + "\n");
        }
        for i in 0..self.len() {
            // It knows no quotes.
            let cell = |(_, cell): &Column<'_>| cell(i).replace(['\t', '\n', '\r'], " ");
            table += &(columns.iter().map(cell).collect::<Vec<_>>().join("\t") + "\n");
        }
        write(metadata, table.as_bytes())
    }

    /// Whether everything that is there is there for each vector.
    fn check(&self) -> Result<(), Wrong> {
        let n = self.len();
        if self.vectors.len() != n * self.dim {
            let found = format!("{} numbers", self.vectors.len());
            return Err(wrong(
                "the vectors",
                format!("{} for each", self.dim),
                found,
            ));
        }
        for (what, count) in [
            ("names", self.names.len()),
            ("labels", self.labels.len()),
            ("cameras", self.cameras.len()),
            ("is_query", self.is_query.len()),
            ("is_gallery", self.is_gallery.len()),
        ] {
            if count != 0 && count != n {
                let expected = format!("one for each of {n} vectors");
                return Err(wrong(what, expected, format!("{count}")));
            }
        }
        Ok(())
    }

    /// The parts of a retrieval test, by their names in files.
    fn roles(&self) -> [(&'static str, &[bool]); 2] {
        [
            ("is_query", &self.is_query),
            ("is_gallery", &self.is_gallery),
        ]
    }

    /// The columns beside the vectors.
    fn columns(&self) -> Vec<Column<'_>> {
        let mut columns: Vec<Column<'_>> = Vec::new();
        if !self.names.is_empty() {
            columns.push(("name", Box::new(|i| self.names[i].clone())));
        }
        if !self.labels.is_empty() {
            columns.push(("label", Box::new(|i| self.labels[i].to_string())));
            if !self.classes.is_empty() {
                let class = |i: usize| self.class(i).unwrap_or_default().to_string();
                columns.push(("class", Box::new(class)));
            }
        }
        if !self.cameras.is_empty() {
            columns.push(("camera", Box::new(|i| self.cameras[i].to_string())));
        }
        for (name, marked) in self.roles() {
            if !marked.is_empty() {
                columns.push((name, Box::new(|i| marked[i].to_string())));
            }
        }
        columns
    }

    /// The items as text, with or without their vectors.
    fn table(&self, delimiter: u8, with_vectors: bool) -> Vec<u8> {
        const MEMORY: &str = "memory takes everything";
        let columns = self.columns();
        let dim = if with_vectors { self.dim } else { 0 };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .from_writer(Vec::new());
        let names = columns.iter().map(|(name, _)| name.to_string());
        let heading = names.chain((0..dim).map(|d| format!("e{d}")));
        writer.write_record(heading).expect(MEMORY);
        for i in 0..self.len() {
            let cells = columns.iter().map(|(_, cell)| cell(i));
            let numbers = self.vectors[i * self.dim..][..dim]
                .iter()
                .map(f32::to_string);
            writer.write_record(cells.chain(numbers)).expect(MEMORY);
        }
        writer.into_inner().expect(MEMORY)
    }

    /// The file, with more tensors in it.
    fn to_safetensors(&self, more: Vec<(&str, TensorView<'_>)>) -> Vec<u8> {
        let items = Items {
            names: self.names.clone(),
            classes: self.classes.clone(),
            origin: self.origin.clone(),
        };
        let items = serde_json::to_string(&items).expect("text is always JSON");
        let metadata = HashMap::from([("items".to_string(), items)]);
        let shape = vec![self.len(), self.dim];
        let vectors = view(Dtype::F32, shape, bytemuck::cast_slice(&self.vectors));
        let mut tensors = vec![("features", vectors)];
        for (name, numbers) in [("labels", &self.labels), ("cameras", &self.cameras)] {
            if !numbers.is_empty() {
                let bytes = bytemuck::cast_slice(numbers);
                tensors.push((name, view(Dtype::I64, vec![numbers.len()], bytes)));
            }
        }
        let bytes = |(name, marked): (_, &[bool])| {
            let bytes: Vec<u8> = marked.iter().map(|&is| u8::from(is)).collect();
            (name, bytes)
        };
        let roles = self.roles().map(bytes);
        for (name, bytes) in roles.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            tensors.push((name, view(Dtype::BOOL, vec![bytes.len()], bytes)));
        }
        tensors.extend(more);
        safetensors::serialize(tensors, Some(metadata)).expect("each tensor has its own name")
    }
}

/// Numbers as a tensor of a file.
///
/// # Panics
/// If the bytes are not those of the shape.
fn view(dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> TensorView<'_> {
    TensorView::new(dtype, shape, bytes).expect("the shape fits")
}

type Column<'a> = (&'static str, Box<dyn Fn(usize) -> String + 'a>);

fn read(path: &Path) -> Result<Vec<u8>, FeaturesError> {
    std::fs::read(path).map_err(|source| FeaturesError::Io {
        action: "read",
        path: path.into(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FeaturesError> {
    let written = nn::checkpoint::write_atomically(path, |file| file.write_all(bytes));
    written.map_err(|source| FeaturesError::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

fn of_file(path: &Path, wrong: Wrong) -> FeaturesError {
    FeaturesError::Format {
        path: path.into(),
        place: wrong.place,
        expected: wrong.expected,
        found: wrong.found,
    }
}

/// Where names and labels stand that an NPY file has no place for.
fn items_beside(path: &Path) -> PathBuf {
    path.with_extension("items.csv")
}

fn from_safetensors(bytes: &[u8]) -> Result<Features, Wrong> {
    let broken = |e: safetensors::SafeTensorError| {
        wrong("the header", "that of a safetensors file", e.to_string())
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let items = header.metadata().as_ref().and_then(|m| m.get("items"));
    let items: Items = match items {
        None => Items::default(),
        Some(items) => serde_json::from_str(items)
            .map_err(|e| wrong("metadata `items`", "names and classes", e.to_string()))?,
    };
    let view = file.tensor("features").map_err(|_| {
        let mut names = file.names();
        names.sort_unstable();
        wrong("the tensors", "`features` [N, D]", names.join(", "))
    })?;
    let &[_, dim] = view.shape() else {
        let found = format!("{:?}", view.shape());
        return Err(wrong("`features`", "the shape [N, D]", found));
    };
    let vectors = match view.dtype() {
        Dtype::F32 => numbers::<f32, 4>(view.data(), f32::from_le_bytes),
        Dtype::F64 => numbers(view.data(), |b| f64::from_le_bytes(b) as f32),
        other => return Err(wrong("`features`", "F32 or F64", format!("{other:?}"))),
    };
    let labels = whole_numbers(&file, "labels")?.unwrap_or_default();
    Ok(Features {
        dim,
        vectors,
        names: items.names,
        labels,
        classes: items.classes,
        cameras: whole_numbers(&file, "cameras")?.unwrap_or_default(),
        is_query: flags(&file, "is_query")?,
        is_gallery: flags(&file, "is_gallery")?,
        origin: items.origin,
    })
}

/// The marks of a BOOL tensor of one axis; none if there is no such tensor.
fn flags(file: &SafeTensors<'_>, name: &str) -> Result<Vec<bool>, Wrong> {
    match file.tensor(name) {
        Err(_) => Ok(Vec::new()),
        Ok(view) if view.dtype() == Dtype::BOOL && view.shape().len() == 1 => {
            Ok(view.data().iter().map(|&byte| byte != 0).collect())
        }
        Ok(view) => {
            let found = format!("{:?} {:?}", view.dtype(), view.shape());
            Err(wrong(format!("`{name}`"), "BOOL [N]", found))
        }
    }
}

/// The numbers of an I64 tensor of one axis, if there is such a tensor.
fn whole_numbers(file: &SafeTensors<'_>, name: &str) -> Result<Option<Vec<i64>>, Wrong> {
    match file.tensor(name) {
        Err(_) => Ok(None),
        Ok(view) if view.dtype() == Dtype::I64 && view.shape().len() == 1 => {
            Ok(Some(numbers(view.data(), i64::from_le_bytes)))
        }
        Ok(view) => {
            let found = format!("{:?} {:?}", view.dtype(), view.shape());
            Err(wrong(format!("`{name}`"), "I64 [N]", found))
        }
    }
}

/// Little-endian numbers of `SIZE` bytes each.
fn numbers<N, const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> N) -> Vec<N> {
    let (chunks, _) = bytes.as_chunks::<SIZE>();
    chunks.iter().map(|&chunk| number(chunk)).collect()
}

fn from_csv(bytes: &[u8]) -> Result<Features, Wrong> {
    let mut reader = csv::Reader::from_reader(bytes);
    let broken = |e: csv::Error| {
        let line = e.position().map_or(1, csv::Position::line);
        wrong(
            format!("line {line}"),
            "as many fields as in line 1",
            e.to_string(),
        )
    };
    let heading = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| heading.iter().position(|h| h == name);
    let known = ["name", "label", "class", "camera", "is_query", "is_gallery"].map(column);
    let [name, label, class, camera, is_query, is_gallery] = known;
    let is_vector = |i: &usize| !known.contains(&Some(*i));
    let vector: Vec<usize> = (0..heading.len()).filter(is_vector).collect();
    let mut features = Features {
        dim: vector.len(),
        ..Features::default()
    };
    for row in reader.records() {
        let row = row.map_err(broken)?;
        let line = row.position().map_or(0, csv::Position::line);
        let not_a = |what: &str, i: usize| {
            let place = format!("line {line}, column `{}`", &heading[i]);
            wrong(place, what, format!("`{}`", &row[i]))
        };
        for &i in &vector {
            let number = row[i].trim().parse().map_err(|_| not_a("a number", i))?;
            features.vectors.push(number);
        }
        features.names.extend(name.map(|i| row[i].to_string()));
        let whole = |i: usize| -> Result<i64, Wrong> {
            let number = row[i].trim().parse();
            number.map_err(|_| not_a("a whole number", i))
        };
        let flag = |i: usize| -> Result<bool, Wrong> {
            let flag = row[i].trim().to_ascii_lowercase().parse();
            flag.map_err(|_| not_a("true or false", i))
        };
        features.cameras.extend(camera.map(whole).transpose()?);
        features.is_query.extend(is_query.map(flag).transpose()?);
        features
            .is_gallery
            .extend(is_gallery.map(flag).transpose()?);
        let Some(i) = label else { continue };
        let number = whole(i)?;
        features.labels.push(number);
        // Names of classes are as many as the file has rows at most, whatever the labels are.
        let known = class.zip(usize::try_from(number).ok());
        if let Some((c, number)) = known.filter(|(c, _)| !row[*c].is_empty()) {
            let most = bytes.len();
            if number >= most {
                return Err(not_a("a label below the size of the file", i));
            }
            if features.classes.len() <= number {
                features.classes.resize(number + 1, String::new());
            }
            features.classes[number] = row[c].to_string();
        }
    }
    Ok(features)
}

#[cfg(test)]
mod tests;
