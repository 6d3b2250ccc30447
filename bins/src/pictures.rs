//! The pictures that a run leaves, from what it measured.

use crate::evaluation::Evaluation;
use crate::figures;
use crate::plot::{self, Cosines, Features, Panel, Scale, Scatter, Series};
use crate::protocol::{Protocol, verify};
use crate::run_dir::RunDir;
use crate::trainer::EpochRow;
use anyhow::Result;

/// Cosines to other classes that the histogram counts; more would not change its shape.
const COSINES: usize = 200_000;

/// Second line of a figure's heading.
pub fn subtitle(evaluation: &Evaluation, protocol: Protocol) -> String {
    format!("test {}", evaluation.figures.line(protocol.summary()))
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
    protocol: Protocol,
) -> Result<()> {
    if let Some(figure) = curves(title, rows, protocol)? {
        run.write("plots/curves.svg", figure.as_bytes())?;
    }
    if let Some(figure) = cosines(title, test, protocol)? {
        run.write("plots/cosines.svg", figure.as_bytes())?;
    }
    if let Some(panel) = Embedding::new(title, test, protocol) {
        let figure = plot::grid("", 1, &[panel.panel(Features::Raw)])?;
        run.write("plots/embedding.svg", figure.as_bytes())?;
    }
    Ok(())
}

/// `None` if there is nothing to draw.
fn curves(title: &str, rows: &[EpochRow], protocol: Protocol) -> Result<Option<String>> {
    let line = |f: &dyn Fn(&EpochRow) -> Option<f64>| -> Vec<(f64, f64)> {
        rows.iter()
            .filter_map(|row| Some((row.epoch as f64, f(row)?)))
            .collect()
    };
    let found = |key: &'static str| line(&|r| r.validation.as_ref()?.get(key));
    let train_loss = line(&|r| Some(r.train_loss));
    let validation_loss = found("loss");
    let train_error = line(&|r| Some(100.0 * (1.0 - r.train_accuracy?)));
    // The figure that choices are made by, where it is no error of classification.
    let key = protocol.summary()[0];
    let percent = |(epoch, value): &(f64, f64)| (*epoch, 100.0 * value);
    let headline: Vec<_> = found(key).iter().map(percent).collect();
    let error = |(epoch, value): &(f64, f64)| (*epoch, 100.0 - value);
    let validation_error: Vec<_> = match protocol.is_open() {
        true => Vec::new(),
        false => headline.iter().map(error).collect(),
    };
    let [alike, unlike] = match protocol.is_open() {
        true => ["cosine_same", "cosine_different"],
        false => ["cosine_own", "cosine_others"],
    };
    let (own, others) = (found(alike), found(unlike));
    let series = |name, points| Series { name, points };
    let loss = [
        series("training", &train_loss),
        series("validation", &validation_loss),
    ];
    let error = [
        series("training", &train_error),
        series("validation", &validation_error),
    ];
    let cosines = match protocol.is_open() {
        true => [series("same class", &own), series("different", &others)],
        false => [series("own class", &own), series("other classes", &others)],
    };
    let chosen = [series("validation", headline.as_slice())];
    let chosen_title = figures::title(key);
    let panel = |title, y_scale, series| plot::Curves {
        title,
        x_label: "epoch",
        x_scale: Scale::Linear,
        y_scale,
        series,
    };
    let mut panels = vec![
        panel("loss", Scale::Log, &loss[..]),
        panel("error / %", Scale::Log, &error[..]),
        panel("mean cosine, validation", Scale::Linear, &cosines[..]),
    ];
    if protocol.is_open() {
        panels.insert(1, panel(&chosen_title, Scale::Linear, &chosen[..]));
    }
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

/// Cosines to class weights, or between test images where their classes have none; `None` if no
/// two of them are of one class.
fn cosines(title: &str, test: &Evaluation, protocol: Protocol) -> Result<Option<String>> {
    let (mut alike, mut unlike) = (Vec::new(), Vec::new());
    let labels = &test.found.labels;
    let names = match &test.found.known {
        Some(known) if !known.cosines.is_empty() => {
            (alike, unlike) = known.by_own(labels);
            ["own class", "other classes"]
        }
        _ => {
            let row = |i: usize| &test.found.embeddings[i * test.found.dim..][..test.found.dim];
            let Ok(drawn) = verify::Question::drawn(labels) else {
                return Ok(None);
            };
            for pair in &drawn.pairs {
                let [a, b] = pair.places;
                let cosine = verify::cosine(row(a), row(b));
                if pair.same { &mut alike } else { &mut unlike }.push(cosine);
            }
            ["same class", "different classes"]
        }
    };
    unlike.truncate(COSINES);
    Ok(Some(plot::histogram(&Cosines {
        title,
        subtitle: &subtitle(test, protocol),
        groups: &[(names[0], &alike), (names[1], &unlike)],
        threshold: None,
    })?))
}

/// A scatter of embeddings of two or three numbers.
pub struct Embedding<'a> {
    title: &'a str,
    subtitle: String,
    test: &'a Evaluation,
    classes: Vec<&'a str>,
    weights: &'a [f32],
    dim: usize,
}

impl<'a> Embedding<'a> {
    /// The scatter, if the embeddings can be drawn.
    pub fn new(title: &'a str, test: &'a Evaluation, protocol: Protocol) -> Option<Self> {
        let dim = test.found.dim;
        let known = test.found.known.as_ref();
        (2..=3).contains(&dim).then(|| Embedding {
            title,
            subtitle: subtitle(test, protocol),
            test,
            classes: test.classes.iter().map(String::as_str).collect(),
            weights: known.map_or(&[], |known| &known.weights),
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
            points: self.test.found.embeddings.as_chunks().0,
            labels: &self.test.found.labels,
            weights: self.weights.as_chunks().0,
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
            train_accuracy: Some(0.9),
            validation: None,
            health: None,
            findings: Vec::new(),
            images_per_second: 1.0,
            waited_s: 0.0,
            seconds: 1.0,
        };
        let blind = curves("run", &[row.clone()], Protocol::Classify)
            .unwrap()
            .expect("a figure");
        assert!(blind.contains("error / %") && !blind.contains("mean cosine"));
        row.train_accuracy = Some(1.0);
        let perfect = curves("run", &[row.clone()], Protocol::Classify)
            .unwrap()
            .expect("a figure");
        assert!(perfect.contains("loss") && !perfect.contains("error / %"));
        row.train_loss = 0.0;
        assert!(curves("run", &[row], Protocol::Classify).unwrap().is_none());
        assert!(curves("run", &[], Protocol::Classify).unwrap().is_none());
    }
}
