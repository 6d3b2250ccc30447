//! The embeddings as points in the plane, whose pictures come up under the pointer.

use super::page::note;
use super::tested::Tested;
use super::thumbnails::Sheet;
use super::tsne::tsne;
use crate::html::escape;
use anyhow::Result;
use data::metrics::{Embeddings, predictions};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The most points: the map takes time in their square.
const POINTS: usize = 2_000;
/// Width and height in the units of the drawing.
const SIZE: f32 = 700.0;
const MARGIN: f32 = 16.0;
/// Colours, after which they start again.
const COLOURS: usize = 10;

/// Markup of the map; embeddings of two numbers are drawn as they are.
///
/// # Errors
/// If an embedding is not finite.
pub fn map(tested: &Tested, sheet: &mut Sheet) -> Result<String> {
    let count = tested.len().min(POINTS);
    let chosen: Vec<usize> = (0..count).map(|i| i * tested.len() / count).collect();
    let dim = tested.evaluation.found.dim;
    let values: Vec<f32> = chosen
        .iter()
        .flat_map(|&i| tested.embedding(i))
        .copied()
        .collect();
    let places = match dim {
        2 => values.as_chunks().0.to_vec(),
        _ => tsne(Embeddings::new(&values, dim)?)?,
    };
    let labels = &tested.evaluation.found.labels;
    let present: Vec<usize> = {
        let classes: BTreeSet<usize> = chosen.iter().map(|&i| labels[i]).collect();
        classes.into_iter().collect()
    };
    let said = said(tested);
    let to_drawing = frame(&places);
    let mut drawing = format!(
        "<svg viewBox=\"0 0 {SIZE} {SIZE}\" role=\"img\" aria-label=\"Map of {count} embeddings\">\n"
    );
    for (number, &class) in present.iter().enumerate() {
        let _ = writeln!(
            drawing,
            "<g class=\"k{}\" data-class=\"{class}\">",
            number % COLOURS
        );
        for (&example, &place) in chosen
            .iter()
            .zip(&places)
            .filter(|(i, _)| labels[**i] == class)
        {
            let ([x, y], [c, r]) = (to_drawing(place), sheet.place(example));
            let (text, miss) = match &said {
                Some(said) if said[example] != Some(class) => {
                    let other = said[example].and_then(|c| tested.evaluation.classes.get(c));
                    let other = other.map_or("nothing", String::as_str);
                    (
                        format!("{}, taken for {other} (#{example})", tested.class(example)),
                        " class=\"miss\"",
                    )
                }
                _ => (format!("{} (#{example})", tested.class(example)), ""),
            };
            let text = escape(&text);
            let _ = writeln!(
                drawing,
                "<circle{miss} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" data-c=\"{c}\" data-r=\"{r}\" data-t=\"{text}\"/>"
            );
        }
        drawing += "</g>\n";
    }
    drawing += "</svg>\n";
    let button = |(number, &class): (usize, &usize)| {
        format!(
            "<button type=\"button\" data-class=\"{class}\" aria-pressed=\"false\"><i class=\"k{}\"></i>{}</button>\n",
            number % COLOURS,
            escape(
                tested
                    .evaluation
                    .classes
                    .get(class)
                    .map_or("?", String::as_str)
            )
        )
    };
    let legend: String = present.iter().enumerate().map(button).collect();
    let method = match dim {
        2 => "the embeddings as they are".to_string(),
        _ => format!(
            "t-SNE by the angles of the embeddings in {dim} dimensions: what is near here is near \
             there, but distances between groups and their sizes mean little"
        ),
    };
    let mut caption = format!(
        "{count} test examples, {method}. Point at one, or touch it, to see it; choose a class by its name."
    );
    if present.len() > COLOURS {
        caption += &format!(
            " The ten colours start again after each ten of the {} classes.",
            present.len()
        );
    }
    if said.is_some() {
        caption += " Red rings: taken for another class.";
    }
    Ok(format!(
        "<div class=\"map\">\n{drawing}<div class=\"tip\" hidden=\"hidden\"><span class=\"pic point\"></span>\
         <span></span></div>\n<div class=\"legend\">\n{legend}</div>\n</div>\n{}",
        note(&caption)
    ))
}

/// What each example was taken for, where the classes are known.
fn said(tested: &Tested) -> Option<Vec<Option<usize>>> {
    let known = tested.evaluation.found.known.as_ref()?;
    let classes = tested.evaluation.classes.len();
    (known.logits.len() == tested.len() * classes).then(|| predictions(&known.logits, classes))
}

/// Places in the drawing, one scale for both directions, upwards being up.
fn frame(places: &[[f32; 2]]) -> impl Fn([f32; 2]) -> [f32; 2] {
    let side = |side: usize| {
        let values = places.iter().map(|place| place[side]);
        let ends = (f32::INFINITY, f32::NEG_INFINITY);
        values.fold(ends, |(low, high), v| (low.min(v), high.max(v)))
    };
    let ends = [side(0), side(1)];
    let span = ends
        .iter()
        .map(|(low, high)| high - low)
        .fold(0.0, f32::max);
    let scale = (SIZE - 2.0 * MARGIN) / span.max(1e-20);
    let middle = ends.map(|(low, high)| 0.5 * (low + high));
    move |[x, y]| {
        [
            SIZE / 2.0 + (x - middle[0]) * scale,
            SIZE / 2.0 - (y - middle[1]) * scale,
        ]
    }
}
