//! What an evaluation found, by name.

use crate::report::significance::{deviation, mean};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Named figures in the order a reader wants them.
///
/// As JSON they are one object, `{"images": 200, "accuracy": 0.97, …}`; what is not a number is
/// `null` there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Examples that were judged.
    pub images: usize,
    values: Vec<(String, f64)>,
}

/// How a figure is shown.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Percent,
    Plain,
    Count,
}

/// Names in files, names for readers, units. Names that begin alike share a row.
const NAMES: &[(&str, &str, Unit)] = &[
    ("loss", "loss", Unit::Plain),
    ("accuracy", "accuracy", Unit::Percent),
    ("standard_error", "standard error", Unit::Percent),
    ("threshold", "threshold", Unit::Plain),
    (
        "insightface_accuracy",
        "accuracy (insightface)",
        Unit::Percent,
    ),
    (
        "insightface_deviation",
        "deviation (insightface)",
        Unit::Percent,
    ),
    ("top_", "top-", Unit::Percent),
    ("calibration_error", "calibration error", Unit::Percent),
    ("cosine_own", "cosine own", Unit::Plain),
    ("cosine_others", "cosine others", Unit::Plain),
    ("cosine_same", "cosine same", Unit::Plain),
    ("cosine_different", "cosine different", Unit::Plain),
    ("d_prime", "d'", Unit::Plain),
    ("effective_rank", "effective rank", Unit::Plain),
    ("auc", "AUC", Unit::Percent),
    ("eer", "EER", Unit::Percent),
    ("tar_at_far_", "TAR@FAR=", Unit::Percent),
    ("recall_at_", "Recall@", Unit::Percent),
    ("map_at_r", "MAP@R", Unit::Percent),
    ("r_precision", "R-precision", Unit::Percent),
    ("one_shot_error", "one-shot error", Unit::Percent),
    ("nmi", "NMI", Unit::Percent),
    ("ami", "AMI", Unit::Percent),
    ("map_trapezoid", "mAP (trapezoid)", Unit::Percent),
    ("map", "mAP", Unit::Percent),
    ("minp", "mINP", Unit::Percent),
    ("rank_", "rank-", Unit::Percent),
    ("reranked_map", "re-ranked mAP", Unit::Percent),
    ("reranked_rank_", "re-ranked rank-", Unit::Percent),
    ("pairs", "pairs", Unit::Count),
    ("negatives", "different pairs", Unit::Count),
    ("queries", "queries", Unit::Count),
    ("splits", "splits", Unit::Count),
    ("gallery", "gallery", Unit::Count),
    ("unmatched", "queries without a match", Unit::Count),
    ("tied", "queries with ties", Unit::Count),
    ("dropped", "gallery items left out by the rule", Unit::Count),
    ("classes", "classes", Unit::Count),
];

fn named(key: &str) -> (String, Unit) {
    let row = NAMES.iter().find(|(name, ..)| match name.ends_with('_') {
        true => key.starts_with(name),
        false => key == *name,
    });
    match row {
        Some((name, label, unit)) => (format!("{label}{}", &key[name.len()..]), *unit),
        None => (key.replace('_', " "), Unit::Plain),
    }
}

/// A figure's name for readers: `Recall@1` for `recall_at_1`.
pub fn label(key: &str) -> String {
    named(key).0
}

/// Whether a figure is a share, shown in percent.
pub fn is_percent(key: &str) -> bool {
    named(key).1 == Unit::Percent
}

/// A figure for readers, without its name: `85.30 %`, `0.912`, `1400`.
pub fn shown(key: &str, value: f64) -> String {
    match named(key).1 {
        Unit::Percent => format!("{:.2} %", 100.0 * value),
        Unit::Plain => format!("{value:.3}"),
        Unit::Count => format!("{value:.0}"),
    }
}

/// A figure's name with its unit, as the heading of a column or a chart: `Recall@1 / %`.
pub fn title(key: &str) -> String {
    match is_percent(key) {
        true => format!("{} / %", label(key)),
        false => label(key),
    }
}

/// A figure without its unit, which the [`title`] has: `85.30`.
pub fn bare(key: &str, value: f64) -> String {
    let shown = shown(key, value);
    shown.trim_end_matches(" %").to_string()
}

/// What stands where there is no figure.
pub const NONE: &str = "–";

/// Several values of a figure under its [`title`]: the mean with the deviation, `99.24 ± 0.05`; of
/// one value the value.
pub fn spread(key: &str, values: &[f64]) -> String {
    let mean = mean(values);
    match deviation(values) {
        _ if !mean.is_finite() => NONE.into(),
        None => bare(key, mean),
        Some(deviation) => format!("{} ± {}", bare(key, mean), bare(key, deviation)),
    }
}

impl Figures {
    /// No figures yet, of so many examples.
    pub fn of(images: usize) -> Self {
        Figures {
            images,
            values: Vec::new(),
        }
    }

    /// The same with one more.
    pub fn with(mut self, key: impl Into<String>, value: f64) -> Self {
        self.push(key, value);
        self
    }

    /// Adds one.
    pub fn push(&mut self, key: impl Into<String>, value: f64) {
        self.values.push((key.into(), value));
    }

    /// A figure, if it was measured.
    pub fn get(&self, key: &str) -> Option<f64> {
        let found = self.values.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| *value)
    }

    /// All of them with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
    }

    /// Some of them for readers: `Recall@1 85.30 %, MAP@R 40.12 %`; those that were not measured
    /// are left out.
    pub fn line(&self, keys: &[&str]) -> String {
        let shown = keys.iter().filter_map(|key| {
            let value = self.get(key)?;
            Some(format!("{} {}", label(key), shown(key, value)))
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// One a line, for a terminal.
    pub fn table(&self) -> String {
        let width = self.iter().map(|(key, _)| label(key).chars().count()).max();
        let row = |(key, value): (&str, f64)| {
            format!(
                "{:<1$}  {2:>10}\n",
                label(key),
                width.unwrap_or(0),
                shown(key, value)
            )
        };
        self.iter().map(row).collect()
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.values.len()))?;
        map.serialize_entry("images", &self.images)?;
        for (key, value) in &self.values {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Figures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Figures;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of figures")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Figures, A::Error> {
                let mut figures = Figures::default();
                while let Some((key, value)) = map.next_entry::<String, Option<f64>>()? {
                    match key.as_str() {
                        "images" => figures.images = value.unwrap_or(0.0) as usize,
                        _ => figures.push(key, value.unwrap_or(f64::NAN)),
                    }
                }
                Ok(figures)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_names_order_and_what_is_no_number() {
        let figures = Figures::of(7).with("zeta", 0.1).with("alpha", f64::NAN);
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(text, r#"{"images":7,"zeta":0.1,"alpha":null}"#);
        let back: Figures = serde_json::from_str(&text).unwrap();
        assert_eq!((back.images, back.get("zeta")), (7, Some(0.1)));
        assert!(back.get("alpha").unwrap().is_nan());
    }

    #[test]
    fn figures_are_shown_with_names_and_units() {
        let figures = Figures::of(7)
            .with("recall_at_10", 0.853)
            .with("map", 0.5)
            .with("cosine_own", 0.91)
            .with("dropped", 12.0);
        let keys = ["recall_at_10", "map", "absent", "cosine_own", "dropped"];
        assert_eq!(
            figures.line(&keys),
            "Recall@10 85.30 %, mAP 50.00 %, cosine own 0.910, gallery items left out by the rule 12"
        );
        assert_eq!(shown("tar_at_far_0.001", 0.5), "50.00 %");
        assert_eq!(label("tar_at_far_0.001"), "TAR@FAR=0.001");
        assert_eq!(title("recall_at_1"), "Recall@1 / %");
        assert_eq!(spread("map", &[0.5, 0.6]), "55.00 ± 7.07");
        assert_eq!(spread("cosine_own", &[0.5]), "0.500");
        assert_eq!(
            (spread("map", &[]), spread("map", &[f64::NAN, 0.5])),
            ("–".into(), "–".into())
        );
    }
}
