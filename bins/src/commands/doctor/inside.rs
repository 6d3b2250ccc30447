//! What the network of a run is shown, and what it makes of that: a look at a few of the examples
//! that it is tested on.

use super::{Level, Remark, good, remark};
use crate::config::{Config, Unreadable};
use crate::evaluation::{Embedding, class_weights};
use crate::source::Source;
use crate::weights::Trained;
use anyhow::Result;
use data::Examples;
use engine::par;
use nn::{Checkpoint, Pass};
use std::path::Path;

/// Examples that are looked at, at most.
const LOOKED_AT: usize = 256;
/// Multiply-adds that are spent on them, as far as there are at least [`FEWEST`]: a few seconds.
const WORK: usize = 20_000_000_000;
const FEWEST: usize = 8;

/// A normalised channel has a mean of 0 and a deviation of 1 where mean and deviation are those of the
/// data. Conventions such as 0.5 and 0.5 for all photos stay within these limits; the numbers of
/// another data set, or of another scale, seldom do.
const FARTHEST_MEAN: f64 = 1.0;
const DEVIATIONS: [f64; 2] = [0.25, 4.0];

/// Shorter vectors are divided by this length instead of their own, so that they are not of length 1
/// then; the squares of longer ones are no longer finite in f32.
const LENGTHS: [f64; 2] = [1e-12, 1.8e19];

/// Looks at the data and the weights of a run, as far as they are there.
pub(super) fn look(run: &Path, config: &Config) -> Vec<Remark> {
    let path = run.join("ckpt/last.safetensors");
    if !path.exists() {
        return Vec::new();
    }
    let trained = match Trained::read(&path) {
        Ok(trained) => trained,
        // What is wrong with the file itself is told of all checkpoints.
        Err(_) if Checkpoint::<f32>::read_some(&path, |_| true).is_err() => return Vec::new(),
        Err(e) => {
            let what = format!("the weights cannot be used: {}", crate::message(&e));
            let cure = "hypersphere train --resume, with the program that made them";
            return vec![remark(Level::Problem, what, cure)];
        }
    };
    let dim = trained.net.embedding_dim;
    let weights = class_weights(&trained.params);
    let weights = weights.as_ref().map(|weights| weights.data());
    match shown(config, &trained) {
        Ok((images, count)) => {
            let channels = trained.net.input[2];
            let mut found: Vec<_> = unlike_the_data(&images, channels, &trained)
                .into_iter()
                .collect();
            let [height, width, _] = trained.net.input;
            let shape = [count, height, width, channels];
            let mut pass = Pass::eval(&trained.params);
            let model = trained.model();
            let features = model.features(&mut pass, shape, &images, Embedding::default());
            found.extend(directions(features.embedding.value().data(), weights, dim));
            if found.is_empty() {
                found.push(good(format!(
                    "{count} test examples fit the preprocessing, and their embeddings have directions"
                )));
            }
            found
        }
        Err(e) => {
            let what = format!("what the network sees could not be looked at: {e:#}");
            let cure = "run it where the data is: `data.folder` in config.toml says where";
            let mut found = vec![remark(Level::Hint, what, cure)];
            found.extend(directions(&[], weights, dim));
            found
        }
    }
}

/// Some of the test examples, spread over all of them, as the network sees them.
fn shown(config: &Config, trained: &Trained) -> Result<(Vec<f32>, usize)> {
    let mut config = config.clone();
    // Nothing is decoded but what is looked at.
    config.data.memory = 0;
    config.data.unreadable = Unreadable::Refuse;
    let (items, _) = Source::read_test(&config, &trained.normalise)?;
    trained.check_shape(items.view.shape())?;
    let work = trained.net.summary(&trained.params).multiply_adds().max(1);
    let count = (WORK / work).clamp(FEWEST, LOOKED_AT).min(items.view.len());
    let size: usize = items.view.shape().iter().product();
    let examples = par::map(count, |i| {
        let mut image = vec![0.0; size];
        let place = i * items.view.len() / count;
        items.view.write(place, None, &mut image).map(|()| image)
    });
    let examples = examples.into_iter().collect::<data::Result<Vec<_>>>()?;
    Ok((examples.concat(), count))
}

/// Whether the mean and the deviation that are taken from the images are those of other images.
fn unlike_the_data(images: &[f32], channels: usize, trained: &Trained) -> Option<Remark> {
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    for channel in 0..channels {
        let values = images
            .iter()
            .skip(channel)
            .step_by(channels)
            .map(|&x| f64::from(x));
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        means.push(mean);
        deviations.push(variance.sqrt());
    }
    let [least, most] = DEVIATIONS;
    let fits = means.iter().all(|mean| mean.abs() <= FARTHEST_MEAN)
        && deviations.iter().all(|d| (least..=most).contains(d));
    if fits || images.is_empty() {
        return None;
    }
    let list = |numbers: &[f64]| {
        let numbers: Vec<String> = numbers.iter().map(|x| format!("{x:.2}")).collect();
        numbers.join(", ")
    };
    let normalise = &trained.normalise;
    let what = format!(
        "the preprocessing is not that of the images: by channel they come to a mean of {} and a \
         deviation of {}, where 0 and 1 are right; {:?} is subtracted and divided by {:?}, 255 being 1",
        list(&means),
        list(&deviations),
        normalise.mean(),
        normalise.std()
    );
    let cure = "leave `data.mean` and `data.std` out, so that they are measured; or state them on the \
                scale where 255 is 1, in the order red, green, blue";
    Some(remark(Level::Problem, what, cure))
}

/// Whether embeddings `[N, D]` and class weights `[C, D]` have directions, so that there are cosines.
fn directions(embeddings: &[f32], weights: Option<&[f32]>, dim: usize) -> Vec<Remark> {
    let mut found = Vec::new();
    let sides = [
        (
            "embeddings of the test examples",
            embeddings,
            "a smaller `lr` and `clip_norm = 5`; a network with batch normalisation; a loss that holds \
             lengths (`+ 0.01*ring`)",
        ),
        (
            "class weights",
            weights.unwrap_or_default(),
            "a smaller `lr` or `head_lr_mult` in the loss; less `optimizer.weight_decay`; a class \
             without any training image has none to point to",
        ),
    ];
    for (name, rows, cure) in sides {
        let lengths: Vec<f64> = rows.chunks_exact(dim).map(length).collect();
        let count = |is_bad: &dyn Fn(f64) -> bool| lengths.iter().filter(|l| is_bad(**l)).count();
        let kinds = [
            (
                count(&|l| !l.is_finite()),
                "have numbers that are not finite",
            ),
            (
                count(&|l| l < LENGTHS[0]),
                "have a length of almost 0 and so no direction",
            ),
            (
                count(&|l| l.is_finite() && l > LENGTHS[1]),
                "are so long that f32 cannot hold their squares",
            ),
        ];
        for (bad, what) in kinds.into_iter().filter(|(bad, _)| *bad > 0) {
            let what = format!("{bad} of {} {name} {what}", lengths.len());
            found.push(remark(Level::Problem, what, cure));
        }
    }
    found
}

fn length(row: &[f32]) -> f64 {
    row.iter()
        .map(|&x| f64::from(x).powi(2))
        .sum::<f64>()
        .sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(embeddings: &[f32], weights: &[f32]) -> Vec<String> {
        let found = directions(embeddings, Some(weights), 2);
        assert!(
            found
                .iter()
                .all(|r| r.level == Level::Problem && !r.cure.is_empty())
        );
        found.into_iter().map(|remark| remark.what).collect()
    }

    #[test]
    fn vectors_without_a_direction_are_counted() {
        let sound = [3.0, 4.0, 0.0, 1e-11, 1e19, 1e19];
        assert_eq!(texts(&sound, &sound), [""; 0]);
        assert_eq!(texts(&[], &sound), [""; 0]);
        let ill = [
            0.0,
            0.0,
            f32::NAN,
            1.0,
            1e-13,
            0.0,
            1.0,
            f32::INFINITY,
            3e19,
            1.0,
        ];
        let found = texts(&ill, &sound);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("2 of 5 embeddings") && found[0].contains("not finite"));
        assert!(found[1].starts_with("2 of 5 embeddings") && found[1].contains("almost 0"));
        assert!(found[2].starts_with("1 of 5 embeddings") && found[2].contains("squares"));
        let found = texts(&sound, &[0.0, 0.0, 1.0, 1.0]);
        assert!(found[0].starts_with("1 of 2 class weights"), "{found:?}");
    }
}
