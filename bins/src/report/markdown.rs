//! Tables in Markdown, which can be read in a terminal as well.

/// A table of which the first row is the heading, its columns as wide as their widest cell; empty
/// without rows.
pub fn table(rows: &[Vec<String>]) -> String {
    let escaped = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(escaped).collect())
        .collect();
    let Some(columns) = rows.first().map(Vec::len) else {
        return String::new();
    };
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0).max(3)).collect();
    let mut out = String::new();
    for (i, row) in rows.iter().enumerate() {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!(" {cell:<width$} |"));
        out += &format!("|{}\n", cells.collect::<String>());
        if i == 0 {
            let dashes = widths
                .iter()
                .map(|width| format!("{}|", "-".repeat(width + 2)));
            out += &format!("|{}\n", dashes.collect::<String>());
        }
    }
    out
}
