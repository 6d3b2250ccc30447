//! A network judged on a part of the data.

use crate::config::ConfigError;
use anyhow::Result;
use data::{Loader, metrics};
use engine::{Params, Tensor, Var};
use losses::Criterion;
use nn::{Backbone, Module, Pass};
use serde::{Deserialize, Serialize};

/// What was found, with what pictures are drawn from.
pub struct Evaluation {
    /// The figures.
    pub figures: Figures,
    /// The class of each image.
    pub labels: Vec<usize>,
    /// The embeddings, `[N, D]`.
    pub embeddings: Vec<f32>,
    /// The cosines to the class weights, `[N, C]`; empty without class weights.
    pub cosines: Vec<f32>,
    /// The class weights, `[C, D]`; empty if the loss has none.
    pub weights: Vec<f32>,
}

/// The figures of an evaluation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Images.
    pub images: usize,
    /// The mean loss, margins included; NaN where it could not be computed.
    pub loss: f64,
    /// The share that the margin-free logits got right.
    pub accuracy: f64,
    /// The mean cosine of an embedding to the weight of its own class.
    pub cosine_own: f64,
    /// The mean cosine to the weights of the other classes.
    pub cosine_others: f64,
}

/// The class weights of the model, `[C, D]`.
///
/// # Errors
/// If the loss has none, so that nothing could be classified.
pub fn class_weights(params: &Params<f32>) -> Result<Tensor<f32>, ConfigError> {
    let find = |name| params.find(name).ok();
    let id = find("head.angular.weight").or_else(|| find("head.weight"));
    let id = id.ok_or_else(|| {
        ConfigError(
            "this loss has no class weights, so nothing can be classified; add one that has, as in \
             `softmax + 0.01*center`"
                .into(),
        )
    })?;
    Ok(params.value(id))
}

/// Judges the network on everything that `loader` has.
///
/// # Errors
/// If the data cannot be read, or the loss has no class weights to classify by.
pub fn evaluate(
    net: &Backbone<f32>,
    criterion: &Criterion<f32>,
    params: &Params<f32>,
    loader: &Loader,
) -> Result<Evaluation> {
    let weights = class_weights(params)?;
    let classes = weights.shape()[0];
    let mut found = Evaluation {
        figures: Figures {
            images: 0,
            loss: 0.0,
            accuracy: 0.0,
            cosine_own: f64::NAN,
            cosine_others: f64::NAN,
        },
        labels: Vec::new(),
        embeddings: Vec::new(),
        cosines: Vec::new(),
        weights: weights.data().to_vec(),
    };
    let weights = Var::constant(weights);
    let (mut loss, mut correct) = (0.0, 0.0);
    for batch in loader.epoch(0) {
        let batch = batch?;
        let count = batch.len() as f64;
        let mut pass = Pass::eval(params);
        let images = Var::constant(Tensor::new(batch.shape, &batch.images));
        let embeddings = net.forward(&mut pass, &images);
        let outcome = criterion.forward(&mut pass, &embeddings, &batch.labels)?;
        loss += count * f64::from(outcome.loss.value().item());
        if let Some(logits) = &outcome.logits {
            correct += count * metrics::accuracy(logits.data(), classes, &batch.labels);
        }
        let cosines = embeddings.pairwise_cosine(&weights);
        found.cosines.extend_from_slice(cosines.value().data());
        found
            .embeddings
            .extend_from_slice(embeddings.value().data());
        found.labels.extend_from_slice(&batch.labels);
    }
    let images = found.labels.len();
    let mean = metrics::mean_cosines(&found.cosines, classes, &found.labels);
    found.figures = Figures {
        images,
        loss: loss / images as f64,
        accuracy: correct / images as f64,
        cosine_own: mean.own,
        cosine_others: mean.others,
    };
    Ok(found)
}
