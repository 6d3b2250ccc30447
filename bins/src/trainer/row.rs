//! What an epoch leaves in `metrics.csv`.

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
    /// Training images per second.
    pub images_per_second: f64,
    /// Seconds that steps waited for data.
    pub waited_s: f64,
    /// Seconds of the epoch, evaluation included.
    pub seconds: f64,
}

impl EpochRow {
    /// All rows as CSV. The columns of the validation are those of the first row that has one.
    pub(super) fn table(rows: &[EpochRow]) -> String {
        let judged = rows.iter().find_map(|row| row.validation.as_ref());
        let keys: Vec<&str> = judged.map_or(Vec::new(), |v| v.iter().map(|(k, _)| k).collect());
        let mut header = vec!["epoch", "step", "lr", "train_loss", "train_accuracy"];
        let columns: Vec<String> = keys.iter().map(|key| column(key)).collect();
        header.extend(columns.iter().map(String::as_str));
        header.extend(["images_per_second", "waited_s", "seconds"]);
        let mut table = header.join(",") + "\n";
        for row in rows {
            table += &(row.csv(&keys) + "\n");
        }
        table
    }

    fn csv(&self, keys: &[&str]) -> String {
        let of_key = |key: &&str| {
            let value = self.validation.as_ref().and_then(|v| v.get(key));
            value.map_or(String::new(), |v| v.to_string())
        };
        let mut cells = vec![
            self.epoch.to_string(),
            self.step.to_string(),
            self.lr.to_string(),
            self.train_loss.to_string(),
            self.train_accuracy.map_or(String::new(), |a| a.to_string()),
        ];
        cells.extend(keys.iter().map(of_key));
        cells.extend([
            format!("{:.1}", self.images_per_second),
            format!("{:.3}", self.waited_s),
            format!("{:.2}", self.seconds),
        ]);
        cells.join(",")
    }

    pub(super) fn line(&self, epochs: u64, protocol: Protocol) -> String {
        let mut line = format!("epoch {}/{epochs}: loss {:.4}", self.epoch, self.train_loss);
        if let Some(accuracy) = self.train_accuracy {
            line += &format!(", accuracy {:.2} %", 100.0 * accuracy);
        }
        if let Some(v) = &self.validation {
            line += &format!("; validation {}", v.line(protocol.summary()));
        }
        line + &format!(
            "; {:.0} images/s, {:.1} s",
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
