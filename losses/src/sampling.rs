//! Which classes a training step compares with, where it does not compare with all: Partial FC, An
//! et al. 2021, arXiv:2010.05222, and 2022, arXiv:2203.15565.

use crate::criterion::build;
use crate::error::{Error, Result};
use crate::info::Head;
use crate::owned::Axis;
use crate::spec::{Spec, Term};
use engine::rng::Key;
use std::sync::Arc;

impl Spec {
    /// Whether it can learn from a sample of the classes: see
    /// [`Criterion::sample_classes`](crate::Criterion::sample_classes).
    ///
    /// # Errors
    /// [`Error::NotSampled`] for a spec without class weights, or in which a loss owns something else
    /// for each class.
    pub fn check_sampling(&self) -> Result<()> {
        let refuse = |reason: String| {
            let spec = self.to_string();
            Err(Error::NotSampled { spec, reason })
        };
        let (classes, dim) = (2, 2);
        let (decided, _) = self.resolve(classes, dim)?;
        for (term, (_, loss)) in decided.terms().iter().zip(build::<f32>(&decided)) {
            let owned = loss.owns(classes, dim);
            if let Some(owned) = owned.iter().find(|o| o.axes.contains(&Axis::Classes)) {
                let (loss, name) = (term.info().name, owned.name);
                return refuse(format!("`{loss}` keeps `{name}` for every class"));
            }
        }
        let has_weights = |term: &Term| term.info().head != Head::None;
        match self.terms().iter().any(has_weights) {
            true => Ok(()),
            false => refuse("it has no class weights".into()),
        }
    }
}

/// Those of `classes` classes that `labels` name, filled up to `wanted` with others drawn from
/// `key`, in rising order.
pub(crate) fn draw(key: Key, classes: usize, wanted: usize, labels: &[usize]) -> Arc<[usize]> {
    let mut taken = vec![false; classes];
    let (mut wanted, mut others) = (wanted, classes);
    for &label in labels {
        if !std::mem::replace(&mut taken[label], true) {
            wanted = wanted.saturating_sub(1);
            others -= 1;
        }
    }
    // Each set of others is as likely as any (Knuth, TAOCP 3.4.2, algorithm S).
    let mut rng = key.named("classes").rng();
    for taken in taken.iter_mut().filter(|taken| !**taken) {
        if rng.below(others) < wanted {
            *taken = true;
            wanted -= 1;
        }
        others -= 1;
    }
    (0..classes).filter(|&class| taken[class]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criterion::Criterion;
    use crate::table::LOSSES;
    use engine::gradcheck::check_params;
    use engine::{Params, Tensor, Var};
    use nn::{Pass, Scope};

    const CLASSES: usize = 9;
    const DIM: usize = 4;
    const LABELS: [usize; 6] = [7, 2, 7, 4, 2, 7];

    fn embeddings() -> Tensor<f64> {
        let mut rng = Key::new(2).rng();
        Tensor::from_fn([LABELS.len(), DIM], |_| rng.normal())
    }

    fn criterion(spec: &str, share: f64) -> (Params<f64>, Criterion<f64>) {
        let mut params = Params::new();
        let mut root = Scope::root(&mut params, 1);
        let spec = spec.parse().unwrap();
        let mut criterion = Criterion::new(&spec, &mut root, CLASSES, DIM).unwrap();
        criterion.sample_classes(share).unwrap();
        (params, criterion)
    }

    #[test]
    fn the_own_classes_are_there_and_others_are_as_likely_as_each_other() {
        let mut counts = [0; CLASSES];
        let rounds = 6000;
        for round in 0..rounds {
            let drawn = draw(Key::new(1).at(round), CLASSES, 5, &LABELS);
            assert!(drawn.len() == 5 && drawn.windows(2).all(|w| w[0] < w[1]));
            drawn.iter().for_each(|&class| counts[class] += 1);
        }
        for (class, count) in counts.into_iter().enumerate() {
            match LABELS.contains(&class) {
                true => assert_eq!(count, rounds),
                // Two of six: 2000, give or take 37.
                false => assert!((1800..2200).contains(&count), "{class}: {count}"),
            }
        }
        assert_eq!(*draw(Key::new(1), CLASSES, 1, &LABELS), [2, 4, 7]);
        assert_eq!(draw(Key::new(1), CLASSES, CLASSES, &LABELS).len(), CLASSES);
    }

    /// Every loss that can be sampled gives what the same loss gives that has no other classes than
    /// those drawn, and its gradient is the derivative.
    #[test]
    fn the_loss_is_that_of_the_classes_drawn() {
        let mut seen = 0;
        for info in LOSSES {
            let spec: Spec = info.name.parse().unwrap();
            // What depends on the number of classes is decided for all of them.
            let spec = spec.resolve(CLASSES, DIM).unwrap().0;
            if spec.check_sampling().is_err() {
                continue;
            }
            seen += 1;
            let (mut params, criterion) = criterion(&spec.to_string(), 0.6);
            let key = Key::new(5);
            let x = Var::leaf(embeddings());
            let state = params.buffers();
            let outcome = criterion.forward(&mut Pass::train(&params, key), &x, &LABELS);
            let outcome = outcome.unwrap();
            let value = outcome.loss.value().item();
            let gradients = outcome.loss.backward_into(&mut params).unwrap();
            let weight = params.find("head.weight").unwrap();
            let rows: Vec<usize> = (0..CLASSES)
                .filter(|row| {
                    params
                        .param(weight)
                        .arrived(row * DIM..row * DIM + 1)
                        .count()
                        > 0
                })
                .collect();
            assert_eq!(rows.len(), 6, "{spec}: six of nine");

            let mut few = Params::new();
            let mut root = Scope::root(&mut few, 1);
            let of_few = Criterion::new(&spec, &mut root, rows.len(), DIM).unwrap();
            for (id, name) in few
                .iter()
                .map(|(id, p)| (id, p.name().to_string()))
                .collect::<Vec<_>>()
            {
                let all = Var::constant(params.value(params.find(&name).unwrap()));
                let is_of_classes = few.param(id).shape() != all.shape();
                let value = match is_of_classes {
                    true => all.try_rows(rows.clone()).unwrap(),
                    false => all,
                };
                few.set(id, value.value());
            }
            for (name, value) in state {
                few.set_buffer(few.find_buffer(&name).unwrap(), value);
            }
            let columns: Vec<usize> = LABELS
                .iter()
                .map(|label| rows.iter().position(|row| row == label).unwrap())
                .collect();
            assert_eq!(*outcome.columns, columns);
            let y = Var::leaf(embeddings());
            let expected = of_few
                .forward(&mut Pass::train(&few, key), &y, &columns)
                .unwrap();
            assert_eq!(value, expected.loss.value().item(), "{spec}");
            let logits = expected
                .logits
                .as_ref()
                .map(|logits| logits.data().to_vec());
            assert_eq!(outcome.logits.map(|logits| logits.data().to_vec()), logits);
            let expected = expected.loss.backward_into(&mut few).unwrap();
            let of = |g: &engine::Gradients<f64>, x| g.of(x).unwrap().data().to_vec();
            assert_eq!(of(&gradients, &x), of(&expected, &y), "{spec}");
            let few_weight = few.find("head.weight").unwrap();
            let whole = Var::constant(params.whole_grad(weight));
            let whole = whole.try_rows(rows).unwrap();
            assert_eq!(whole.value().data(), few.grad(few_weight), "{spec}");
        }
        assert!(seen >= 20, "only {seen} losses can be sampled");
        for spec in [
            "softmax",
            "arcface:s=4,m=0.2",
            "so-softmax",
            "cs-softmax:s=4",
        ] {
            let (mut params, criterion) = criterion(spec, 0.5);
            let report = check_params(spec, &mut params, &[embeddings()], &|params, x| {
                let mut pass = Pass::train(params, Key::new(5));
                criterion.forward(&mut pass, &x[0], &LABELS).unwrap().loss
            });
            assert!(report.passed(), "{report:?}");
        }
    }

    #[test]
    fn evaluation_compares_with_all() {
        let (params, criterion) = criterion("arcface", 0.5);
        assert_eq!(criterion.classes_compared(), 5);
        let x = Var::constant(embeddings());
        let outcome = criterion
            .forward(&mut Pass::eval(&params), &x, &LABELS)
            .unwrap();
        assert_eq!(*outcome.logits.unwrap().shape(), [6, CLASSES]);
        assert_eq!(*outcome.columns, LABELS);
    }

    /// A memory of earlier batches knows samples by their class, not by its place in the sample.
    #[test]
    fn a_memory_keeps_labels() {
        let (params, criterion) = criterion("arcface + contrastive:memory=8", 0.5);
        let x = Var::leaf(embeddings());
        criterion
            .forward(&mut Pass::train(&params, Key::new(0)), &x, &LABELS)
            .unwrap();
        let labels = params.find_buffer("head.memory.labels").unwrap();
        let kept = params.buffer(labels);
        assert_eq!(kept.data()[..6], LABELS.map(|label| label as f64));
    }

    #[test]
    fn what_needs_every_class_is_refused() {
        for (spec, reason) in [
            (
                "softmax + 0.01*center",
                "`center` keeps `centers` for every class",
            ),
            ("triplet", "it has no class weights"),
        ] {
            let e = spec.parse::<Spec>().unwrap().check_sampling().unwrap_err();
            assert!(e.to_string().contains(reason), "{e}");
        }
    }
}
