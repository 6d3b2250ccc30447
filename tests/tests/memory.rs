//! A training step asks nothing of the system once the pool of buffers is warm.
//!
//! The counters are those of the process, so this test has a program of its own. On one thread,
//! since with more of them it is chance how many tasks hold a buffer at the same time, and so in
//! which step the last one is asked for.

use engine::rng::Key;
use engine::{Params, Tensor, Var, par, pool};
use losses::Criterion;
use nn::{Model, Module, OptimizerConfig, Pass, Scope};

const STEPS: u64 = 6;

/// Requests that each step passes on to the system, and the most bytes in use at one time.
fn requests(network: &str, image: [usize; 3], loss: &str) -> (Vec<u64>, usize) {
    let mut params = Params::<f32>::new();
    let mut root = Scope::root(&mut params, 1);
    let model = Model::find(network).unwrap();
    let net = model.build(&mut root.child("backbone"), image, None);
    let net = net.unwrap();
    let spec = loss.parse().unwrap();
    let mut criterion = Criterion::new(&spec, &mut root, 10, net.embedding_dim).unwrap();
    let mut optimizer = OptimizerConfig::Sgd {
        momentum: 0.9,
        nesterov: true,
        weight_decay: 5e-4,
    }
    .build();
    let [h, w, c] = image;
    let images = Tensor::from_fn([32, h, w, c], |i| (i % 11) as f32 * 0.1);
    let images = Var::constant(images);
    let labels: Vec<usize> = (0..32).map(|i| i % 10).collect();
    let key = Key::new(1).named("train");
    pool::trim();
    let steps = (0..STEPS).map(|step| {
        let before = pool::stats();
        criterion.set_step(step);
        let mut pass = Pass::train(&params, key.at(step));
        let embeddings = net.forward(&mut pass, &images);
        let outcome = criterion.forward(&mut pass, &embeddings, &labels);
        let loss = outcome.unwrap().loss;
        loss.backward_into(&mut params).unwrap();
        drop((loss, embeddings));
        nn::clip_grad_norm(&mut params, 1.0);
        optimizer.step(&mut params, 0.01);
        let after = pool::stats();
        (after.requests - after.hits) - (before.requests - before.hits)
    });
    (steps.collect(), pool::stats().peak)
}

#[test]
fn from_the_third_step_on_nothing_is_asked_of_the_system() {
    par::with_threads(1, || {
        for (network, image, loss) in [
            ("vgg-light", [28, 28, 1], "softmax"),
            ("lenet++-light", [28, 28, 1], "so-softmax"),
            ("resnet20", [32, 32, 3], "arcface:s=16,m=0.3 + 0.1*triplet"),
        ] {
            let (requests, peak) = requests(network, image, loss);
            assert!(requests[0] > 0, "{network}: {requests:?}");
            assert_eq!(
                requests[2..],
                [0; STEPS as usize - 2],
                "{network}: {requests:?}"
            );
            assert!(peak > 1 << 20, "{network}: {peak} bytes");
        }
    });
}
