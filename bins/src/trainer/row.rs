//! What an epoch leaves in `metrics.csv`.

use super::{Finding, Health};
use crate::figures::Figures;
use crate::protocol::Protocol;
use serde::{Deserialize, Serialize};

/// A row of `metrics.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
    /// The learning rate of the last step.
    pub lr: f64,
    /// Mean training loss of the epoch, while it changed.
    pub train_loss: f64,
    /// Training accuracy of the epoch on the varied images, while the network changed; `None`
    /// if the loss has no class weights.
    pub train_accuracy: Option<f64>,
    /// What was found on the held-out part, after the epoch.
    pub validation: Option<Figures>,
    /// What the terms of the loss did and how the embeddings lie.
    #[serde(default)]
    pub health: Option<Health>,
    /// What is wrong with that, told once.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Training images per second.
    pub images_per_second: f64,
    /// Seconds that steps waited for data.
    pub waited_s: f64,
    /// Seconds of the epoch, evaluation included.
    pub seconds: f64,
}

impl EpochRow {
    /// All rows as CSV. Its columns are those of any row, in the order they come up.
    pub(super) fn table(rows: &[EpochRow]) -> String {
        let cells: Vec<Vec<(String, String)>> = rows.iter().map(EpochRow::cells).collect();
        let mut header: Vec<&str> = Vec::new();
        for (name, _) in cells.iter().flatten() {
            if !header.contains(&name.as_str()) {
                header.push(name);
            }
        }
        let mut table = header.join(",") + "\n";
        for row in &cells {
            let cell = |name: &&str| {
                row.iter()
                    .find(|(n, _)| n == name)
                    .map_or("", |(_, v)| v.as_str())
            };
            table += &(header.iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
        }
        table
    }

    /// The columns and what stands in them.
    fn cells(&self) -> Vec<(String, String)> {
        let optional = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
        let mut cells: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| cells.push((name.into(), value));
        add("epoch", self.epoch.to_string());
        add("step", self.step.to_string());
        add("lr", self.lr.to_string());
        add("train_loss", self.train_loss.to_string());
        add("train_accuracy", optional(self.train_accuracy));
        for (key, value) in self.validation.iter().flat_map(Figures::iter) {
            add(&column(key), value.to_string());
        }
        for (name, value) in self.health.iter().flat_map(Health::figures) {
            add(&name, optional(value));
        }
        add(
            "images_per_second",
            format!("{:.1}", self.images_per_second),
        );
        add("waited_s", format!("{:.3}", self.waited_s));
        add("seconds", format!("{:.2}", self.seconds));
        cells
    }

    /// What is drawn over the steps, with names in groups as TensorBoard shows them.
    pub(super) fn scalars(&self) -> Vec<(String, f64)> {
        let mut scalars = vec![("epoch/train_loss".to_string(), self.train_loss)];
        scalars.extend(
            self.train_accuracy
                .map(|a| ("epoch/train_accuracy".into(), a)),
        );
        let validation = self.validation.iter().flat_map(Figures::iter);
        scalars.extend(validation.map(|(key, value)| (format!("validation/{key}"), value)));
        let health = self.health.iter().flat_map(Health::figures);
        scalars.extend(health.filter_map(|(name, value)| Some((format!("health/{name}"), value?))));
        scalars.push(("speed/images_per_second".into(), self.images_per_second));
        scalars
    }

    pub(super) fn line(&self, epochs: u64, protocol: Protocol, items: &str) -> String {
        let mut line = format!("epoch {}/{epochs}: loss {:.4}", self.epoch, self.train_loss);
        if let Some(accuracy) = self.train_accuracy {
            line += &format!(", accuracy {:.2} %", 100.0 * accuracy);
        }
        if let Some(v) = &self.validation {
            line += &format!("; validation {}", v.line(protocol.summary()));
        }
        if let Some(health) = &self.health {
            line += &health.line();
        }
        line + &format!(
            "; {:.0} {items}/s, {:.1} s",
            self.images_per_second, self.seconds
        )
    }
}

/// The column of a figure of the validation. Cosines have no namesake in the training.
fn column(key: &str) -> String {
    match key.starts_with("cosine_") {
        true => key.to_string(),
        false => format!("validation_{key}"),
    }
}
