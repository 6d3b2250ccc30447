//! A network judged on a part of the data: everything is embedded once, then the protocol's
//! figures are computed.

use crate::config::ConfigError;
use crate::dataset::Judged;
use crate::figures::Figures;
use crate::protocol::{Effort, Embedded, KnownClasses, Question};
use anyhow::Result;
use data::Loader;
use data::metrics::Confusion;
use engine::{Params, Tensor, Var};
use losses::Criterion;
use nn::{Backbone, Features, Pass};

/// What was found, with what pictures are drawn from.
pub struct Evaluation {
    /// The figures.
    pub figures: Figures,
    /// The embeddings and what class weights make of them.
    pub found: Embedded,
    /// The names of the classes.
    pub classes: Vec<String>,
}

/// How to embed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embedding {
    /// Whether the embedding of an image is the mean of its own and its mirror image's.
    pub flip: bool,
}

/// The class weights of the model, `[C, D]`: one direction for each class. `None` for losses of
/// samples, and for those that keep several for a class, or a distribution.
pub fn class_weights(params: &Params<f32>) -> Option<Tensor<f32>> {
    let find = |name| params.find(name).ok();
    let id = find("head.angular.weight").or_else(|| find("head.weight"))?;
    Some(params.value(id))
}

/// Why a model cannot tell the classes of its training apart.
pub fn cannot_classify() -> ConfigError {
    ConfigError(
        "this loss knows no classes, so nothing can be classified; add one that does, as in \
         `softmax + triplet`"
            .into(),
    )
}

/// A model to be judged.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// The network.
    pub net: &'a Backbone<f32>,
    /// The loss, which has the class weights; only asked for known classes.
    pub criterion: &'a Criterion<f32>,
    /// The weights of both.
    pub params: &'a Params<f32>,
}

impl Model<'_> {
    /// Judges the network on everything that `judged` has.
    ///
    /// # Errors
    /// If the data cannot be read, or the loss knows no classes to classify by.
    pub fn judge(
        &self,
        judged: &Judged,
        embedding: Embedding,
        effort: Effort,
    ) -> Result<Evaluation> {
        let known = matches!(judged.question, Question::Classify);
        let found = self.embed(&judged.loader, known, embedding)?;
        Ok(Evaluation {
            figures: judged.question.judge(&found, effort)?,
            classes: judged.classes.clone(),
            found,
        })
    }

    /// What the network makes of images of shape `[N, H, W, C]`, normalised as in training.
    pub fn features(
        &self,
        pass: &mut Pass<'_, f32>,
        shape: [usize; 4],
        images: &[f32],
        embedding: Embedding,
    ) -> Features<f32> {
        let own = Var::constant(Tensor::new(shape, images));
        let own = self.net.features(pass, &own);
        if !embedding.flip {
            return own;
        }
        let other = Var::constant(mirrored(shape, images));
        let other = self.net.features(pass, &other);
        let mean = |a: Var<f32>, b: Var<f32>| (a + b) * 0.5;
        Features {
            embedding: mean(own.embedding, other.embedding),
            before_neck: own
                .before_neck
                .zip(other.before_neck)
                .map(|(a, b)| mean(a, b)),
        }
    }

    /// Embeds everything that the loader has, and if its classes are those of the training,
    /// compares it with the class weights.
    fn embed(&self, loader: &Loader, known: bool, embedding: Embedding) -> Result<Embedded> {
        if known && !self.criterion.classifies(self.params)? {
            return Err(cannot_classify().into());
        }
        let weights = class_weights(self.params).map(Var::constant);
        let mut found = Embedded {
            dim: self.net.embedding_dim,
            known: known.then(|| KnownClasses {
                weights: (weights.iter())
                    .flat_map(|w| w.value().data())
                    .copied()
                    .collect(),
                scale: self.scale(),
                ..KnownClasses::default()
            }),
            ..Embedded::default()
        };
        for batch in loader.epoch(0) {
            let batch = batch?;
            let mut pass = Pass::eval(self.params);
            let Features {
                embedding: embeddings,
                before_neck,
            } = self.features(&mut pass, batch.shape, &batch.images, embedding);
            found
                .embeddings
                .extend_from_slice(embeddings.value().data());
            found.labels.extend_from_slice(&batch.labels);
            let Some(known) = &mut found.known else {
                continue;
            };
            let outcome = self.criterion.forward_around_neck(
                &mut pass,
                before_neck.as_ref(),
                &embeddings,
                &batch.labels,
            )?;
            known.loss += batch.len() as f64 * f64::from(outcome.loss.value().item());
            if let Some(logits) = &outcome.logits {
                known.logits.extend_from_slice(logits.data());
            }
            if let Some(weights) = &weights {
                let cosines = embeddings.pairwise_cosine(weights);
                known.cosines.extend_from_slice(cosines.value().data());
            }
        }
        if let Some(known) = &mut found.known {
            known.loss /= found.labels.len() as f64;
        }
        Ok(found)
    }

    /// What the logits must be multiplied by for a probability: the scale of a loss of cosines.
    fn scale(&self) -> f32 {
        let terms = self.criterion.spec().terms();
        let of_term = |term: &losses::Term| {
            let keys = ["s", "lambda_p"];
            let keys = keys.iter().filter(|key| term.info().parameter(key).is_ok());
            keys.into_iter().find_map(|key| term.values().given(key))
        };
        let angular = terms.iter().any(|t| t.info().head == losses::Head::Angular);
        match angular {
            true => terms.iter().find_map(of_term).unwrap_or(1.0) as f32,
            false => 1.0,
        }
    }
}

/// The most classes whose confusion a person could read.
const CONFUSED: usize = 1_000;

/// How often each class was taken for each other, as CSV; `None` where nothing was classified.
pub fn confusion(evaluation: &Evaluation) -> Option<String> {
    let known = evaluation.found.known.as_ref()?;
    let classes = &evaluation.classes;
    if classes.len() > CONFUSED {
        return None;
    }
    let mut counts = Confusion::new(classes.len());
    counts.add(&known.logits, &evaluation.found.labels);
    let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
    let mut csv = format!(
        "class,{}\n",
        classes.iter().map(quoted).collect::<Vec<_>>().join(",")
    );
    for (label, name) in classes.iter().enumerate() {
        let row = (0..classes.len()).map(|c| counts.count(label, c).to_string());
        csv += &format!("{},{}\n", quoted(name), row.collect::<Vec<_>>().join(","));
    }
    Some(csv)
}

/// Images `[N, H, W, C]` with left and right exchanged.
fn mirrored(shape: [usize; 4], images: &[f32]) -> Tensor<f32> {
    let [_, _, width, channels] = shape;
    let rows = images.chunks_exact(width * channels);
    let mirrored = rows.flat_map(|row| row.chunks_exact(channels).rev().flatten().copied());
    let values: Vec<f32> = mirrored.collect();
    Tensor::new(shape, &values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_image_keeps_rows_and_colours() {
        let image: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mirrored = mirrored([1, 2, 3, 2], &image);
        let expected = [4.0, 5.0, 2.0, 3.0, 0.0, 1.0, 10.0, 11.0, 8.0, 9.0, 6.0, 7.0];
        assert_eq!(mirrored.data(), expected);
    }
}
