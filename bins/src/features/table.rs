//! Features as tables: CSV with everything, and the two tables of the embedding projector.

use super::{Features, Wrong, wrong};

type Column<'a> = (&'static str, Box<dyn Fn(usize) -> String + 'a>);

/// The columns beside the vectors.
fn columns(features: &Features) -> Vec<Column<'_>> {
    let mut columns: Vec<Column<'_>> = Vec::new();
    if !features.names.is_empty() {
        columns.push(("name", Box::new(|i| features.names[i].clone())));
    }
    if !features.labels.is_empty() {
        columns.push(("label", Box::new(|i| features.labels[i].to_string())));
        if !features.classes.is_empty() {
            let class = |i: usize| features.class(i).unwrap_or_default().to_string();
            columns.push(("class", Box::new(class)));
        }
    }
    if !features.cameras.is_empty() {
        columns.push(("camera", Box::new(|i| features.cameras[i].to_string())));
    }
    for (name, marked) in features.roles() {
        if !marked.is_empty() {
            columns.push((name, Box::new(|i| marked[i].to_string())));
        }
    }
    columns
}

/// Whether anything is known of the vectors.
pub fn has_columns(features: &Features) -> bool {
    !columns(features).is_empty()
}

/// The items as CSV, with the first `dim` numbers of their vectors.
pub fn encode(features: &Features, dim: usize) -> Vec<u8> {
    const MEMORY: &str = "memory takes everything";
    let columns = columns(features);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = columns.iter().map(|(name, _)| name.to_string());
    let heading = names.chain((0..dim).map(|d| format!("e{d}")));
    writer.write_record(heading).expect(MEMORY);
    for i in 0..features.len() {
        let cells = columns.iter().map(|(_, cell)| cell(i));
        let numbers = features.vectors[i * features.dim..][..dim]
            .iter()
            .map(f32::to_string);
        writer.write_record(cells.chain(numbers)).expect(MEMORY);
    }
    writer.into_inner().expect(MEMORY)
}

/// The two tables that the embedding projector of TensorFlow loads: the vectors, and what is known of
/// them.
pub fn projector(features: &Features) -> (String, String) {
    let mut rows = String::new();
    for vector in features.vectors.chunks(features.dim.max(1)) {
        let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
        rows += &numbers.join("\t");
        rows.push('\n');
    }
    let mut columns = columns(features);
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
    for i in 0..features.len() {
        // It knows no quotes.
        let cell = |(_, cell): &Column<'_>| cell(i).replace(['\t', '\n', '\r'], " ");
        table += &(columns.iter().map(cell).collect::<Vec<_>>().join("\t") + "\n");
    }
    (rows, table)
}

/// The items of CSV; columns that are not known are numbers of the vectors.
pub fn decode(bytes: &[u8]) -> Result<Features, Wrong> {
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
            match row[i].trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(not_a("true or false", i)),
            }
        };
        features.cameras.extend(camera.map(whole).transpose()?);
        features.is_query.extend(is_query.map(flag).transpose()?);
        features
            .is_gallery
            .extend(is_gallery.map(flag).transpose()?);
        let Some(i) = label else { continue };
        let number = whole(i)?;
        features.labels.push(number);
        // Names of classes are as many as the file has bytes at most, whatever the labels are.
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
