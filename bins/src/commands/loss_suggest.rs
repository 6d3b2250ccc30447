//! `hypersphere loss suggest`: scale and margin for a task, with the reasoning.

use crate::cli::LossSuggest;
use losses::{Note, NoteKind, Result, suggest};

/// Prints the suggestion.
///
/// # Errors
/// If there is no such loss.
pub(super) fn run(options: &LossSuggest) -> Result<()> {
    let LossSuggest { name, classes, dim } = options;
    let found = suggest(name, *classes, *dim)?;
    println!("{name} for {classes} classes in {dim} dimensions\n");
    for reason in &found.margins {
        println!("{}", wrapped(&format!("margin   {reason}")));
    }
    let (chosen, warnings): (Vec<_>, Vec<_>) = found
        .notes
        .iter()
        .partition(|note| note.kind != NoteKind::Warning);
    // Two scales may have one reason.
    for alike in chosen.chunk_by(|a, b| a.text == b.text) {
        let set = |note: &&Note| match note.kind {
            NoteKind::Chosen { key, value } => format!("{key} = {value}"),
            NoteKind::Warning => String::new(),
        };
        let set: Vec<_> = alike.iter().map(set).collect();
        let (set, reason) = (set.join(", "), &alike[0].text);
        println!("{}", wrapped(&format!("scale    {set}: {reason}")));
    }
    if found.margins.is_empty() && chosen.is_empty() {
        println!(
            "{}",
            wrapped(
                "defaults no bound is known for its parameters, so they have the values of the \
                 paper; `hypersphere loss show` lists them"
            )
        );
    }
    for note in &warnings {
        println!("{}", wrapped(&format!("warning  {}", note.text)));
    }
    match found.initial_loss {
        Some(loss) => println!(
            "{}",
            wrapped(&format!(
                "start    expect a loss of {loss:.2} at the first step; with margin-free logits of \
                 equal size, chance is ln C = {:.2}",
                (*classes as f64).ln()
            ))
        ),
        None => println!(
            "{}",
            wrapped("start    the first loss is not computed: these class weights are too large")
        ),
    }
    println!("\n{}", found.spec);
    println!(
        "hypersphere train RECIPE --embed-dim {dim} --loss '{}'",
        found.spec
    );
    Ok(())
}

/// The text in lines of at most 96 characters, those after the first indented below the first
/// column, which is nine wide.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for (i, word) in text.split(' ').enumerate() {
        if length + 1 + word.chars().count() > 96 {
            lines += "\n         ";
            length = 9;
        } else if i > 0 {
            lines.push(' ');
            length += 1;
        }
        lines += word;
        length += word.chars().count();
    }
    lines
}
