//! Classification: what was taken for what, and the most confident errors.

use super::page::{note, paragraph, table};
use super::tested::Tested;
use super::thumbnails::Sheet;
use crate::html::escape;
use data::metrics::Confusion;
use std::fmt::Write;

/// Classes up to which all counts are shown.
const WHOLE: usize = 30;
/// Lines of the list of confusions.
const LISTED: usize = 15;
/// Pictures of errors.
const SHOWN: usize = 24;

/// The logits of each example, where the classes are known.
fn logits(tested: &Tested) -> Option<&[f32]> {
    let known = tested.evaluation.found.known.as_ref()?;
    let expected = tested.len() * tested.evaluation.classes.len();
    (known.logits.len() == expected).then_some(&known.logits)
}

/// Markup of the table of counts, if there are few classes, and of the most frequent confusions;
/// empty where nothing was classified.
pub fn confusion(tested: &Tested) -> String {
    let Some(logits) = logits(tested) else {
        return String::new();
    };
    let names = &tested.evaluation.classes;
    let mut counts = Confusion::new(names.len());
    counts.add(logits, &tested.evaluation.found.labels);
    let mut out = String::new();
    if names.len() <= WHOLE {
        out += &matrix(&counts, names);
        out += &note(
            "Rows: what it is. Columns: what it was taken for. The shade is the share of the row.",
        );
    }
    let mistakes = counts.mistakes();
    if mistakes.is_empty() {
        return out + &paragraph(&format!("No mistake among {}.", tested.extent()));
    }
    let mut rows = vec![
        ["is", "taken for", "times", "of its class"]
            .map(String::from)
            .to_vec(),
    ];
    for &(label, predicted, times) in mistakes.iter().take(LISTED) {
        let all: u64 = (0..names.len()).map(|c| counts.count(label, c)).sum();
        rows.push(vec![
            names[label].clone(),
            names[predicted].clone(),
            times.to_string(),
            format!("{:.1} %", 100.0 * times as f64 / all as f64),
        ]);
    }
    out += "<h3>Most frequent mistakes</h3>\n";
    out += &table(&rows);
    if mistakes.len() > LISTED {
        out += &note(&format!(
            "{} of {} pairs of classes.",
            LISTED,
            mistakes.len()
        ));
    }
    out
}

fn matrix(counts: &Confusion, names: &[String]) -> String {
    let mut out =
        String::from("<div class=\"scroll\"><table class=\"confusion\">\n<thead><tr><th></th>");
    for name in names {
        let name = escape(name);
        let _ = write!(out, "<th scope=\"col\" title=\"{name}\">{name}</th>");
    }
    out += "</tr></thead>\n<tbody>\n";
    for (label, name) in names.iter().enumerate() {
        let name = escape(name);
        let _ = write!(out, "<tr><th scope=\"row\" title=\"{name}\">{name}</th>");
        let all: u64 = (0..names.len()).map(|c| counts.count(label, c)).sum();
        for predicted in 0..names.len() {
            let count = counts.count(label, predicted);
            let kind = if label == predicted { "hit" } else { "miss" };
            let _ = match count {
                0 => write!(out, "<td></td>"),
                n => write!(
                    out,
                    "<td class=\"{kind}\" style=\"--a:{:.3}\">{n}</td>",
                    n as f64 / all as f64
                ),
            };
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table></div>\n"
}

/// Markup of the errors that the network was most sure of; empty where nothing was classified.
pub fn worst(tested: &Tested, sheet: &mut Sheet) -> String {
    let Some(logits) = logits(tested) else {
        return String::new();
    };
    let (names, labels) = (&tested.evaluation.classes, &tested.evaluation.found.labels);
    let scale = tested
        .evaluation
        .found
        .known
        .as_ref()
        .map_or(1.0, |known| known.scale);
    let rows = logits
        .chunks_exact(names.len().max(1))
        .zip(labels)
        .enumerate();
    let mut errors: Vec<(usize, usize, f64)> = rows
        .filter_map(|(i, (row, &label))| {
            let (said, sure) = most_likely(row, scale)?;
            (said != label).then_some((i, said, sure))
        })
        .collect();
    errors.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    if errors.is_empty() {
        return paragraph(&format!(
            "Among {} every one was classified right.",
            tested.extent()
        ));
    }
    let mut out = paragraph(&format!(
        "{} of {} were taken for another class; the surest mistakes come first.",
        errors.len(),
        tested.extent()
    ));
    out += "<div class=\"cases\">\n";
    for &(example, said, sure) in errors.iter().take(SHOWN) {
        let text = format!("{}, taken for {}", tested.class(example), names[said]);
        let _ = writeln!(
            out,
            "<div class=\"case\">{}{} <span class=\"note\">sure {:.1} % (#{example})</span></div>",
            sheet.picture(example, "wrong", &text),
            escape(&text),
            100.0 * sure
        );
    }
    out + "</div>\n"
}

/// The class with the largest logit and its probability; none if a logit is no number.
fn most_likely(logits: &[f32], scale: f32) -> Option<(usize, f64)> {
    let best =
        (0..logits.len()).reduce(|best, i| if logits[i] > logits[best] { i } else { best })?;
    let odds = logits
        .iter()
        .map(|&l| f64::from(scale * (l - logits[best])).exp());
    let sum: f64 = odds.sum();
    sum.is_finite().then(|| (best, 1.0 / sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probability_is_that_of_scaled_logits() {
        let (class, sure) = most_likely(&[0.0, 0.5, 0.0], 2.0).unwrap();
        let e = std::f64::consts::E;
        assert_eq!(class, 1);
        assert!((sure - e / (e + 2.0)).abs() < 1e-7);
        assert_eq!(most_likely(&[0.0, f32::NAN], 1.0), None);
        assert_eq!(most_likely(&[], 1.0), None);
    }

    #[test]
    fn counts_stand_where_they_belong() {
        let mut counts = Confusion::new(2);
        counts.add(&[1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0], &[0, 0, 1, 1]);
        let markup = matrix(&counts, &["a".into(), "<b>".into()]);
        let document = roxmltree::Document::parse(&markup).unwrap();
        let cells = document.descendants().filter(|n| n.has_tag_name("td"));
        let found: Vec<_> = cells.map(|n| (n.attribute("class"), n.text())).collect();
        let (hit, miss) = (Some("hit"), Some("miss"));
        let expected = [
            (hit, Some("1")),
            (miss, Some("1")),
            (None, None),
            (hit, Some("2")),
        ];
        assert_eq!(found, expected);
    }
}
