//! `hypersphere metrics`: embeddings that something else has computed, judged by stated rules.

use crate::cli::Metrics;
use crate::commands::eval::write_json;
use crate::config::ConfigError;
use crate::figures::Figures;
use crate::protocol::{Effort, Embedded, Protocol, Question, reid, retrieve, verify};
use crate::source::{DataError, Folding, Pair};
use anyhow::{Context, Result, anyhow, bail};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Judges as the options say.
///
/// # Errors
/// If a file cannot be read or its tensors do not fit each other.
pub fn run(options: &Metrics) -> Result<()> {
    let figures = match (&options.features, &options.query, &options.gallery) {
        (Some(all), _, _) => judge(options, &Features::read(all)?)?,
        (None, Some(query), Some(gallery)) => {
            let (query, gallery) = (Features::read(query)?, Features::read(gallery)?);
            judge(options, &query.followed_by(gallery)?)?
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
    write_json(
        path,
        &json!({ "protocol": protocol, "features": files, "figures": figures }),
    )
}

fn judge(options: &Metrics, features: &Features) -> Result<Figures> {
    let count = features.labels.len();
    let (left, right) = (&features.queries, &features.gallery);
    let (ids, cameras) = (features.labels.clone(), features.cameras.clone());
    let question = match options.protocol {
        Protocol::Retrieve => Question::Retrieve(retrieve::Question::new(count, left, right)),
        Protocol::Reid => Question::Reid(reid::Question::new(ids, cameras, left, right)),
        Protocol::Cluster => Question::Cluster,
        Protocol::Verify => Question::Verify(match features.pairs.is_empty() {
            true => verify::Question::drawn(&features.classes())?,
            false => verify::Question {
                pairs: features.pairs.clone(),
                folding: Folding::Crossed,
            },
        }),
        Protocol::Classify => bail!(ConfigError(
            "features alone have no classifier to judge; use `eval` on a checkpoint".into()
        )),
    };
    let found = Embedded {
        embeddings: features.values.clone(),
        dim: features.dim,
        labels: features.classes(),
        known: None,
    };
    let effort = Effort {
        thorough: true,
        rerank: options.rerank,
    };
    question.judge(&found, effort)
}

/// What a file holds.
struct Features {
    values: Vec<f32>,
    dim: usize,
    labels: Vec<i64>,
    cameras: Vec<u32>,
    /// Places of the items that are asked for and that are ranked; none if nothing is marked.
    queries: Vec<usize>,
    gallery: Vec<usize>,
    pairs: Vec<Pair>,
}

impl Features {
    fn read(path: &Path) -> Result<Self> {
        let unusable = |e: anyhow::Error| DataError(format!("{}: {e:#}", path.display()));
        let bytes = std::fs::read(path).map_err(|e| unusable(e.into()))?;
        Ok(Self::parse(&bytes).map_err(unusable)?)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).context("this is no safetensors file")?;
        let view = file
            .tensor("features")
            .context("there is no `features` [N, D]")?;
        let &[count, dim] = view.shape() else {
            bail!("`features` has shape {:?}; expected [N, D]", view.shape());
        };
        let values = numbers(&view).context("`features`")?;
        let whole = |name: &str| -> Result<Option<Vec<i64>>> {
            let Ok(view) = file.tensor(name) else {
                return Ok(None);
            };
            Ok(Some(integers(&view).with_context(|| format!("`{name}`"))?))
        };
        let one_each = |name: &str, values: Vec<i64>, wanted: usize| match values.len() == wanted {
            true => Ok(values),
            false => Err(anyhow!(
                "`{name}` holds {} numbers; expected {wanted}, one for each",
                values.len()
            )),
        };
        let labels = whole("labels")?.context("there is no `labels` [N] of whole numbers")?;
        let marked = |name| -> Result<Vec<usize>> {
            let marks = whole(name)?.map(|marks| one_each(name, marks, count));
            let marks = marks.transpose()?.unwrap_or_default();
            Ok((0..marks.len()).filter(|&i| marks[i] != 0).collect())
        };
        let (queries, gallery) = (marked("is_query")?, marked("is_gallery")?);
        if queries.is_empty() != gallery.is_empty() {
            bail!("only one of `is_query` and `is_gallery` marks an item; mark both or none");
        }
        let is_asked = |i: &usize| {
            let of = |places: &[usize]| places.binary_search(i).is_ok();
            queries.is_empty() || of(&queries) || of(&gallery)
        };
        let cameras = match whole("cameras")? {
            Some(cameras) => one_each("cameras", cameras, count)?,
            None => Vec::new(),
        };
        let camera = |(i, camera): (usize, i64)| match u32::try_from(camera) {
            Ok(camera) => Ok(camera),
            // Its camera is never looked at.
            Err(_) if !is_asked(&i) => Ok(0),
            Err(_) => Err(anyhow!(
                "`cameras` holds {camera} for item {i}; expected 0 or more for all that is compared"
            )),
        };
        let cameras = cameras.into_iter().enumerate().map(camera);
        let mut pairs = Vec::new();
        if let Some(places) = whole("pairs")? {
            let same = whole("same")?.context("there is no `same` [P] beside `pairs`")?;
            let same = one_each("same", same, places.len() / 2)?;
            let folds = whole("fold")?.unwrap_or(vec![0; same.len()]);
            let folds = one_each("fold", folds, same.len())?;
            for (i, both) in places.chunks_exact(2).enumerate() {
                let place = |at: i64| {
                    let at = usize::try_from(at).ok().filter(|&at| at < count);
                    at.with_context(|| format!("pair {i} names an item that is not there"))
                };
                pairs.push(Pair {
                    places: [place(both[0])?, place(both[1])?],
                    same: same[i] != 0,
                    fold: usize::try_from(folds[i])
                        .with_context(|| format!("the fold of pair {i} is below 0"))?,
                });
            }
        }
        Ok(Features {
            labels: one_each("labels", labels, count)?,
            cameras: cameras.collect::<Result<_>>()?,
            queries,
            gallery,
            values,
            dim,
            pairs,
        })
    }

    /// Queries and gallery as one; marks within each do not count.
    fn followed_by(mut self, other: Features) -> Result<Features> {
        if self.dim != other.dim {
            bail!(DataError(format!(
                "features of the queries have {} numbers, those of the gallery {}; embed both with \
                 one network",
                self.dim, other.dim
            )));
        }
        if self.cameras.is_empty() != other.cameras.is_empty() {
            bail!(DataError(
                "only one of query and gallery has `cameras`; give them for both or for none"
                    .into()
            ));
        }
        let queries = self.labels.len();
        self.queries = (0..queries).collect();
        self.gallery = (queries..queries + other.labels.len()).collect();
        self.values.extend(other.values);
        self.labels.extend(other.labels);
        self.cameras.extend(other.cameras);
        Ok(self)
    }

    /// The labels, numbered from 0 in their order.
    fn classes(&self) -> Vec<usize> {
        let mut numbers: BTreeMap<i64, usize> = self.labels.iter().map(|&l| (l, 0)).collect();
        for (number, value) in numbers.values_mut().enumerate() {
            *value = number;
        }
        self.labels.iter().map(|label| numbers[label]).collect()
    }
}

fn numbers(view: &TensorView<'_>) -> Result<Vec<f32>> {
    let bytes = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
            .collect(),
        Dtype::F64 => bytes
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")) as f32)
            .collect(),
        other => bail!("holds {other:?}; expected F32 or F64"),
    })
}

fn integers(view: &TensorView<'_>) -> Result<Vec<i64>> {
    let bytes = view.data();
    Ok(match view.dtype() {
        Dtype::I64 => bytes
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes")))
            .collect(),
        Dtype::I32 => bytes
            .chunks_exact(4)
            .map(|b| i64::from(i32::from_le_bytes(b.try_into().expect("four bytes"))))
            .collect(),
        Dtype::U8 | Dtype::BOOL => bytes.iter().map(|&b| i64::from(b)).collect(),
        other => bail!("holds {other:?}; expected I64, I32, U8 or BOOL"),
    })
}
