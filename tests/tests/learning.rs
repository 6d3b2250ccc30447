//! Real images, a small network, a few seconds: every loss learns.

use data::{Augment, Images, Loader, Normalise, Order, metrics, mnist};
use engine::rng::Key;
use engine::{Params, Tensor, Var};
use losses::Criterion;
use nn::layers::{BatchNorm, Conv2d, Flatten, Linear, MaxPool2d};
use nn::{Build, Module, OptimizerConfig, Pass, Schedule, Scope, Sequential};

const DIM: usize = 32;
const EPOCHS: u64 = 3;

/// 2,000 images to train on and 1,000 held out, and a network that is trained on them with
/// `loss`; the share of the held-out images that it gets right.
fn accuracy(loss: &str) -> f64 {
    let official = mnist::embedded().train;
    let some = official.subset(&(0..3_000).collect::<Vec<_>>());
    let (train, held_out) = some.hold_out(1_000, 0).unwrap();
    let normalise = Normalise::new(&[mnist::MEAN], &[mnist::STD]).unwrap();
    let train = Images::new(train, normalise.clone()).unwrap();
    let train = train.augmented(Augment::shift(1)).unwrap();
    let train = Loader::new(train, Order::shuffled(50), 1).unwrap();
    let held_out = Loader::evaluation(Images::new(held_out, normalise).unwrap(), 250).unwrap();

    let mut params = Params::<f32>::new();
    let mut root = Scope::root(&mut params, 1);
    let net = Sequential::new()
        .add(
            "conv1",
            Conv2d::new(1, 8, 5).stride(2).padding(2).bias(false),
        )
        .add("bn1", BatchNorm::new(8).relu())
        .add("conv2", Conv2d::new(8, 16, 3).padding(1).bias(false))
        .add("bn2", BatchNorm::new(16).relu())
        .add("pool", MaxPool2d::new(2))
        .add("flatten", Flatten)
        .add("fc", Linear::new(7 * 7 * 16, DIM).bias(false))
        .add("bn", BatchNorm::new(DIM))
        .build(&mut root.child("backbone"));
    let spec = loss.parse().unwrap();
    let mut criterion = Criterion::new(&spec, &mut root, 10, DIM).unwrap();
    let sgd = OptimizerConfig::Sgd {
        momentum: 0.9,
        nesterov: true,
        weight_decay: 5e-4,
    };
    let (mut optimizer, schedule) = (sgd.build(), Schedule::one_cycle());

    let mut step = 0;
    let steps = EPOCHS * train.batches() as u64;
    for epoch in 0..EPOCHS {
        for batch in train.epoch(epoch) {
            let batch = batch.unwrap();
            criterion.set_step(step);
            let mut pass = Pass::train(&params, Key::new(1).at(step));
            let x = Var::constant(Tensor::new(batch.shape, &batch.images));
            let embeddings = net.forward(&mut pass, &x);
            let outcome = criterion.forward(&mut pass, &embeddings, &batch.labels);
            let loss = outcome.unwrap().loss;
            loss.backward_into(&mut params).unwrap();
            drop((loss, embeddings));
            nn::clip_grad_norm(&mut params, 5.0);
            optimizer.step(&mut params, 0.05 * schedule.at(step, steps));
            step += 1;
        }
    }

    let mut scores = Vec::new();
    for batch in held_out.epoch(0) {
        let batch = batch.unwrap();
        let mut pass = Pass::eval(&params);
        let x = Var::constant(Tensor::new(batch.shape, &batch.images));
        let embeddings = net.forward(&mut pass, &x);
        let logits = criterion.logits(&pass, &embeddings).unwrap();
        scores.extend_from_slice(logits.expect("every loss here has class weights").data());
    }
    metrics::accuracy(&scores, 10, held_out.examples().labels())
}

#[test]
fn every_kind_of_loss_learns_digits() {
    for loss in [
        "softmax",
        "so-softmax",
        "cs-softmax",
        "sml-joint",
        "arcface",
    ] {
        let accuracy = accuracy(loss);
        println!("{loss}: {:.1} %", 100.0 * accuracy);
        assert!(accuracy > 0.85, "{loss}: {:.1} %", 100.0 * accuracy);
    }
}
