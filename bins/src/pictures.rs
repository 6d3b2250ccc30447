//! The pictures that a run leaves, from what it measured.

use crate::evaluation::Evaluation;
use crate::plot::{self, Cosines, Features, Panel, Scale, Scatter, Series};
use crate::run_dir::RunDir;
use crate::trainer::EpochRow;
use anyhow::Result;

/// Cosines to other classes that the histogram counts; more would not change its shape.
const COSINES: usize = 200_000;

/// Second line of a figure's heading.
pub fn subtitle(evaluation: &Evaluation) -> String {
    let figures = &evaluation.figures;
    format!(
        "test {:.2} %, cosine own {:.2}, others {:.2}",
        100.0 * figures.accuracy,
        figures.cosine_own,
        figures.cosine_others
    )
}

/// Writes `plots/curves.svg`, `plots/cosines.svg` and, for embeddings of two or three numbers,
/// `plots/embedding.svg`.
///
/// # Errors
/// If the files cannot be written.
pub fn write(
    run: &RunDir,
    title: &str,
    rows: &[EpochRow],
    test: &Evaluation,
    classes: &[String],
) -> Result<()> {
    if let Some(figure) = curves(title, rows)? {
        run.write("plots/curves.svg", figure.as_bytes())?;
    }
    run.write("plots/cosines.svg", cosines(title, test)?.as_bytes())?;
    if let Some(panel) = Embedding::new(title, test, classes) {
        let figure = plot::grid("", 1, &[panel.panel(Features::Raw)])?;
        run.write("plots/embedding.svg", figure.as_bytes())?;
    }
    Ok(())
}

/// `None` if there is nothing to draw.
fn curves(title: &str, rows: &[EpochRow]) -> Result<Option<String>> {
    let line = |f: &dyn Fn(&EpochRow) -> Option<f64>| -> Vec<(f64, f64)> {
        rows.iter()
            .filter_map(|row| Some((row.epoch as f64, f(row)?)))
            .collect()
    };
    let train_loss = line(&|r| Some(r.train_loss));
    let validation_loss = line(&|r| r.validation.map(|v| v.loss));
    let train_error = line(&|r| Some(100.0 * (1.0 - r.train_accuracy)));
    let validation_error = line(&|r| r.validation.map(|v| 100.0 * (1.0 - v.accuracy)));
    let own = line(&|r| r.validation.map(|v| v.cosine_own));
    let others = line(&|r| r.validation.map(|v| v.cosine_others));
    let series = |name, points| Series { name, points };
    let loss = [
        series("training", &train_loss),
        series("validation", &validation_loss),
    ];
    let error = [
        series("training", &train_error),
        series("validation", &validation_error),
    ];
    let cosines = [series("own class", &own), series("other classes", &others)];
    let panel = |title, y_scale, series| plot::Curves {
        title,
        x_label: "epoch",
        y_scale,
        series,
    };
    let mut panels = vec![
        panel("loss", Scale::Log, &loss),
        panel("error / %", Scale::Log, &error),
        panel("mean cosine, validation", Scale::Linear, &cosines),
    ];
    // Without validation there are no cosines, and an error of 0 has no place on a logarithmic
    // scale.
    panels.retain(|panel| {
        let mut points = panel.series.iter().flat_map(|series| series.points);
        points.any(|&(_, y)| y.is_finite() && (y > 0.0 || panel.y_scale != Scale::Log))
    });
    if panels.is_empty() {
        return Ok(None);
    }
    Ok(Some(plot::curves(title, &panels)?))
}

fn cosines(title: &str, test: &Evaluation) -> Result<String> {
    let classes = test.cosines.len() / test.labels.len().max(1);
    let (mut own, mut others) = (Vec::new(), Vec::new());
    let rows = test.cosines.chunks_exact(classes.max(1));
    for (row, &label) in rows.zip(&test.labels) {
        for (class, &cosine) in row.iter().enumerate() {
            if class == label {
                &mut own
            } else {
                &mut others
            }
            .push(cosine);
        }
    }
    others.truncate(COSINES);
    Ok(plot::histogram(&Cosines {
        title,
        subtitle: &subtitle(test),
        groups: &[("own class", &own), ("other classes", &others)],
    })?)
}

/// A scatter of embeddings of two or three numbers.
pub struct Embedding<'a> {
    title: &'a str,
    subtitle: String,
    test: &'a Evaluation,
    classes: Vec<&'a str>,
    dim: usize,
}

impl<'a> Embedding<'a> {
    /// The scatter, if the embeddings can be drawn.
    pub fn new(title: &'a str, test: &'a Evaluation, classes: &'a [String]) -> Option<Self> {
        let dim = test.embeddings.len() / test.labels.len().max(1);
        (2..=3).contains(&dim).then(|| Embedding {
            title,
            subtitle: subtitle(test),
            test,
            classes: classes.iter().map(String::as_str).collect(),
            dim,
        })
    }

    /// Embeddings as they are, or on the unit circle.
    pub fn panel(&self, features: Features) -> Panel<'_> {
        match self.dim {
            2 => Panel::Plane(self.scatter(features)),
            _ => Panel::Sphere(self.scatter(features)),
        }
    }

    fn scatter<const D: usize>(&self, features: Features) -> Scatter<'_, D> {
        Scatter {
            title: self.title,
            subtitle: &self.subtitle,
            points: self.test.embeddings.as_chunks().0,
            labels: &self.test.labels,
            weights: self.test.weights.as_chunks().0,
            classes: &self.classes,
            features,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_leave_out_what_cannot_be_drawn() {
        let mut row = EpochRow {
            epoch: 1,
            step: 10,
            lr: 0.1,
            train_loss: 0.5,
            train_accuracy: 0.9,
            validation: None,
            images_per_second: 1.0,
            waited_s: 0.0,
            seconds: 1.0,
        };
        let blind = curves("run", &[row]).unwrap().expect("a figure");
        assert!(blind.contains("error / %") && !blind.contains("mean cosine"));
        row.train_accuracy = 1.0;
        let perfect = curves("run", &[row]).unwrap().expect("a figure");
        assert!(perfect.contains("loss") && !perfect.contains("error / %"));
        row.train_loss = 0.0;
        assert!(curves("run", &[row]).unwrap().is_none());
        assert!(curves("run", &[]).unwrap().is_none());
    }
}
