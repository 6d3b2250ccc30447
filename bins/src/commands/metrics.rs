//! `hypersphere metrics`: embeddings that something else has computed, judged by stated rules.

use crate::cli::Metrics;
use crate::config::ConfigError;
use crate::features::Features;
use crate::figures::Figures;
use crate::files;
use crate::protocol::{Effort, Embedded, Protocol, Question, reid, retrieve, verify};
use crate::source::{DataError, Folding, Pair};
use anyhow::{Result, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Judges as the options say.
///
/// # Errors
/// If a file cannot be read or its tensors do not fit each other.
pub fn run(options: &Metrics) -> Result<()> {
    let figures = match (&options.features, &options.query, &options.gallery) {
        (Some(all), _, _) => judge(options, Asked::read(all)?)?,
        (None, Some(query), Some(gallery)) => {
            let (query, gallery) = (Asked::read(query)?, Asked::read(gallery)?);
            judge(options, query.followed_by(gallery)?)?
        }
        _ => bail!(ConfigError(
            "name --features, or --query and --gallery".into()
        )),
    };
    print!("{}", figures.table());
    let Some(path) = &options.output else {
        return Ok(());
    };
    let files = [&options.features, &options.query, &options.gallery];
    let files: Vec<_> = files.into_iter().flatten().collect();
    let protocol = options.protocol.name();
    files::write_json(
        path,
        json!({ "protocol": protocol, "features": files, "figures": figures }),
    )
}

fn judge(options: &Metrics, asked: Asked) -> Result<Figures> {
    let count = asked.features.len();
    let (left, right) = (&asked.queries, &asked.gallery);
    let question = match options.protocol {
        Protocol::Retrieve => Question::Retrieve(retrieve::Question::new(count, left, right)),
        Protocol::Reid => {
            let ids = asked.features.labels.clone();
            Question::Reid(reid::Question::new(ids, asked.cameras()?, left, right))
        }
        Protocol::Cluster => Question::Cluster,
        Protocol::Verify => Question::Verify(match asked.pairs.is_empty() {
            true => verify::Question::drawn(&asked.classes())?,
            false => verify::Question {
                pairs: asked.pairs.clone(),
                folding: Folding::Crossed,
            },
        }),
        Protocol::Classify => bail!(ConfigError(
            "features alone have no classifier to judge; use `eval` on a checkpoint".into()
        )),
    };
    let found = Embedded {
        labels: asked.classes(),
        dim: asked.features.dim,
        embeddings: asked.features.vectors,
        known: None,
    };
    let effort = Effort {
        thorough: true,
        rerank: options.rerank,
    };
    question.judge(&found, effort)
}

/// The camera of an item of which none is known.
const UNKNOWN: i64 = -1;

/// What files hold, and what is asked of it.
struct Asked {
    features: Features,
    /// Places of the items that are asked for and that are ranked; none if nothing is marked.
    queries: Vec<usize>,
    gallery: Vec<usize>,
    pairs: Vec<Pair>,
}

impl Asked {
    fn read(path: &Path) -> Result<Self> {
        let (features, pairs) = Features::read_with_pairs(path)?;
        let unusable = |what: &str| DataError(format!("{}: {what}", path.display()));
        if features.labels.is_empty() {
            bail!(unusable("there are no labels, one for each item"));
        }
        let marked = |marks: &[bool]| (0..marks.len()).filter(|&i| marks[i]).collect();
        let asked = Asked {
            queries: marked(&features.is_query),
            gallery: marked(&features.is_gallery),
            features,
            pairs,
        };
        if asked.queries.is_empty() != asked.gallery.is_empty() {
            bail!(unusable(
                "only one of `is_query` and `is_gallery` marks an item; mark both or none"
            ));
        }
        Ok(asked)
    }

    /// Queries and gallery as one; marks within each do not count.
    fn followed_by(mut self, other: Asked) -> Result<Asked> {
        let (all, other) = (&mut self.features, other.features);
        if all.dim != other.dim {
            bail!(DataError(format!(
                "features of the queries have {} numbers, those of the gallery {}; embed both with \
                 one network",
                all.dim, other.dim
            )));
        }
        let (queries, gallery) = (all.len(), other.len());
        if !(all.cameras.is_empty() && other.cameras.is_empty()) {
            all.cameras.resize(queries, UNKNOWN);
            all.cameras.extend(other.cameras);
            all.cameras.resize(queries + gallery, UNKNOWN);
        }
        all.vectors.extend(other.vectors);
        all.labels.extend(other.labels);
        self.queries = (0..queries).collect();
        self.gallery = (queries..queries + gallery).collect();
        self.pairs.clear();
        Ok(self)
    }

    /// The cameras of all that is compared, or none if none is known.
    fn cameras(&self) -> Result<Vec<u32>> {
        let is_compared = |i: &usize| {
            let of = |places: &[usize]| places.binary_search(i).is_ok();
            self.queries.is_empty() || of(&self.queries) || of(&self.gallery)
        };
        let camera = |(i, &camera): (usize, &i64)| match u32::try_from(camera) {
            Ok(camera) => Ok(camera),
            // Its camera is never looked at.
            Err(_) if !is_compared(&i) => Ok(0),
            Err(_) => bail!(DataError(format!(
                "`cameras`: expected 0 or more for all that is compared, found {camera} for item \
                 {i}; give all of them cameras or none, or judge by `--protocol retrieve`"
            ))),
        };
        let cameras = self.features.cameras.iter().enumerate();
        cameras.map(camera).collect()
    }

    /// The labels, numbered from 0 in their order.
    fn classes(&self) -> Vec<usize> {
        let labels = &self.features.labels;
        let mut numbers: BTreeMap<i64, usize> = labels.iter().map(|&l| (l, 0)).collect();
        for (number, value) in numbers.values_mut().enumerate() {
            *value = number;
        }
        labels.iter().map(|label| numbers[label]).collect()
    }
}
