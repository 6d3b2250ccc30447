//! The epochs of a run, or of several over each other.

use super::finished::Finished;
use super::page::{charts, paragraph, table};
use crate::figures;
use crate::plot::{self, Curves, Scale, Series};
use anyhow::Result;

/// A named line over the epochs.
pub type Line = (String, Vec<(f64, f64)>);

/// One panel.
pub struct Panel {
    title: String,
    scale: Scale,
    lines: Vec<Line>,
}

impl Panel {
    /// A panel of lines under a title.
    pub fn new(title: impl Into<String>, scale: Scale, lines: Vec<Line>) -> Self {
        Panel {
            title: title.into(),
            scale,
            lines,
        }
    }

    /// The picture; none if there is nothing to draw.
    ///
    /// # Errors
    /// If the data do not fit together.
    fn draw(&self) -> Result<Option<String>> {
        let can = |y: f64| y.is_finite() && (y > 0.0 || self.scale == Scale::Linear);
        let lines = self.lines.iter();
        let lines: Vec<&Line> = lines
            .filter(|(_, points)| points.iter().any(|p| can(p.1)))
            .collect();
        let series: Vec<Series> = lines
            .iter()
            .map(|(name, points)| Series { name, points })
            .collect();
        if series.is_empty() {
            return Ok(None);
        }
        let panel = Curves {
            title: &self.title,
            x_label: "epoch",
            x_scale: Scale::Linear,
            y_scale: self.scale,
            series: &series,
        };
        Ok(Some(plot::curves("", &[panel])?))
    }
}

/// Markup of the panels that have something to show.
///
/// # Errors
/// If the data do not fit together.
pub fn draw(panels: &[Panel], caption: &str) -> Result<String> {
    let drawn = panels.iter().map(Panel::draw).collect::<Result<Vec<_>>>()?;
    let drawn: Vec<String> = drawn.into_iter().flatten().collect();
    Ok(charts(&drawn, caption))
}

/// Markup of what `metrics.csv` tells: losses, accuracy without margins, the protocol's figure, the
/// learning rate, cosines; whatever other columns there are come folded away.
///
/// # Errors
/// If the data do not fit together.
pub fn charts_of(run: &Finished) -> Result<String> {
    if run.history.epochs() == 0 {
        return Ok(paragraph("No epoch was completed."));
    }
    if run.history.epochs() == 1 {
        return Ok(only_epoch(run));
    }
    let protocol = run.config.protocol();
    let key = protocol.summary()[0];
    let mut used = vec!["epoch", "step", "seconds", "waited_s"];
    let mut lines = |columns: &[(&'static str, &str)], factor: f64| -> Vec<Line> {
        used.extend(columns.iter().map(|(column, _)| *column));
        let line = |&(column, name): &(&'static str, &str)| {
            let points = run.history.column(column)?;
            let points = points.into_iter().map(|(x, y)| (x, factor * y));
            Some((name.to_string(), points.collect()))
        };
        columns.iter().filter_map(line).collect()
    };
    let loss = lines(
        &[
            ("train_loss", "training"),
            ("validation_loss", "validation"),
        ],
        1.0,
    );
    // Where the test is about other classes, the accuracy of the validation is one of pairs.
    let accuracy = match protocol.is_open() {
        true => lines(&[("train_accuracy", "training")], 100.0),
        false => lines(
            &[
                ("train_accuracy", "training"),
                ("validation_accuracy", "validation"),
            ],
            100.0,
        ),
    };
    let rate = lines(&[("lr", "")], 1.0);
    let cosines = lines(
        &[
            ("cosine_own", "own class"),
            ("cosine_others", "other classes"),
            ("cosine_same", "same class"),
            ("cosine_different", "different classes"),
        ],
        1.0,
    );
    let mut panels = vec![
        Panel::new("loss", Scale::Log, loss),
        Panel::new("accuracy without margins / %", Scale::Linear, accuracy),
    ];
    let chosen = format!("validation_{key}");
    if !used.contains(&chosen.as_str()) {
        panels.push(Panel::new(
            format!("validation {}", figures::title(key)),
            Scale::Linear,
            vec![column(run, &chosen, key)],
        ));
    }
    panels.push(Panel::new("learning rate", Scale::Linear, rate));
    panels.push(Panel::new(
        "mean cosine, validation",
        Scale::Linear,
        cosines,
    ));
    let caption = "Training figures are means over the epoch, on varied images, while the network \
                   changed; validation figures are of the network after the epoch.";
    let mut out = draw(&panels, caption)?;
    let is_other = |name: &&str| !used.contains(name) && *name != chosen;
    let others: Vec<Panel> = run
        .history
        .names()
        .filter(is_other)
        .map(|name| {
            let key = name.strip_prefix("validation_").unwrap_or(name);
            let title = match key == name {
                true => name.replace('_', " "),
                false => format!("validation {}", figures::title(key)),
            };
            Panel::new(title, Scale::Linear, vec![column(run, name, key)])
        })
        .collect();
    let others = draw(&others, "")?;
    if !others.is_empty() {
        out += &format!(
            "<details><summary>Other columns of metrics.csv</summary>{others}</details>\n"
        );
    }
    Ok(out)
}

/// The figures of a single epoch, which makes no curves.
fn only_epoch(run: &Finished) -> String {
    let row = |name: &str| {
        let (_, value) = *run.history.column(name)?.first()?;
        Some(vec![name.to_string(), format!("{value}")])
    };
    let head = ["after the only epoch", ""].map(String::from).to_vec();
    let rows = run.history.names().filter_map(row);
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// A column, in percent where it is a share.
fn column(run: &Finished, name: &str, key: &str) -> Line {
    let points = run.history.column(name).unwrap_or_default();
    (String::new(), scaled(points, key))
}

/// Points in percent where the figure is a share.
pub fn scaled(points: Vec<(f64, f64)>, key: &str) -> Vec<(f64, f64)> {
    let factor = if figures::is_percent(key) { 100.0 } else { 1.0 };
    points.into_iter().map(|(x, y)| (x, factor * y)).collect()
}
