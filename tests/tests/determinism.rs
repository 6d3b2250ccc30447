//! The same seed gives the same bits on any number of threads: images, losses, parameters and
//! buffers, through loading, augmentation, convolution, batch normalisation, dropout, loss,
//! clipping, optimizer and average of the weights.

use data::{Augment, Images, Loader, Normalise, Order, mnist};
use engine::rng::Key;
use engine::{Params, Tensor, Var, par};
use losses::Criterion;
use nn::layers::{BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d};
use nn::{Build, Ema, Module, OptimizerConfig, Pass, Scope, Sequential};

const STEPS: usize = 4;

/// Every number that training changes, as bits, under its name.
type Bits = Vec<(String, Vec<u64>)>;

/// Trains for a few steps and returns the loss of each, then all that is left behind.
fn trained(threads: usize, seed: u64, loss: &str) -> Bits {
    par::with_threads(threads, || {
        let images = mnist::embedded().test;
        let normalise = Normalise::new(&[mnist::MEAN], &[mnist::STD]).unwrap();
        let images = Images::new(images, normalise).unwrap();
        let images = images.augmented(Augment::mnist_strong()).unwrap();
        // Enough images for the work of every layer to be split.
        let loader = Loader::new(images, Order::shuffled(96), seed).unwrap();
        let loader = loader.workers(threads);

        let mut params = Params::<f32>::new();
        let mut root = Scope::root(&mut params, seed);
        let net = Sequential::new()
            .add("conv1", Conv2d::new(1, 16, 3).padding(1).bias(false))
            .add("bn1", BatchNorm::new(16).relu())
            .add("pool1", MaxPool2d::new(2))
            .add("conv2", Conv2d::new(16, 24, 3).padding(1))
            .add("bn2", BatchNorm::new(24).relu())
            .add("pool2", MaxPool2d::new(3).stride(2))
            .add("flatten", Flatten)
            .add("dropout", Dropout::new(0.3))
            .add("fc", Linear::new(6 * 6 * 24, 32))
            .add("bn", BatchNorm::new(32))
            .build(&mut root.child("backbone"));
        let spec = loss.parse().unwrap();
        let criterion = Criterion::new(&spec, &mut root, 10, 32).unwrap();
        let mut optimizer = OptimizerConfig::Sgd {
            momentum: 0.9,
            nesterov: true,
            weight_decay: 1e-3,
        }
        .build();
        let mut ema = Ema::new(&params, 0.9, true);

        let mut bits = Bits::new();
        let key = Key::new(seed).named("train");
        for (step, batch) in loader.epoch(0).take(STEPS).enumerate() {
            let batch = batch.unwrap();
            let mut pass = Pass::train(&params, key.at(step as u64));
            let x = Var::constant(Tensor::new(batch.shape, &batch.images));
            let embeddings = net.forward(&mut pass, &x);
            let outcome = criterion
                .forward(&mut pass, &embeddings, &batch.labels)
                .unwrap();
            bits.push((format!("images {step}"), x.value().bits()));
            bits.push((format!("loss {step}"), outcome.loss.value().bits()));
            outcome.loss.backward_into(&mut params).unwrap();
            drop((outcome, embeddings));
            nn::clip_grad_norm(&mut params, 1.0);
            optimizer.step(&mut params, 0.05);
            ema.update(&params);
        }
        assert_eq!(bits.len(), 2 * STEPS);
        keep(&mut bits, "", &params);
        ema.swap(&mut params);
        keep(&mut bits, "average of ", &params);
        bits
    })
}

fn keep(bits: &mut Bits, prefix: &str, params: &Params<f32>) {
    let values = params.iter().map(|(id, p)| (p.name(), params.value(id)));
    bits.extend(values.map(|(name, value)| (format!("{prefix}{name}"), value.bits())));
    let buffers = params.buffers().into_iter();
    bits.extend(buffers.map(|(name, value)| (format!("{prefix}{name}"), value.bits())));
}

fn names_that_differ(a: &Bits, b: &Bits) -> Vec<String> {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).filter(|(a, b)| a != b);
    pairs.map(|(a, _)| a.0.clone()).collect()
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    // The one has class weights alone, the other a softmax head, a bias and moving centres too.
    for loss in ["so-softmax", "softmax + 0.5*sml-joint + 0.1*center"] {
        let reference = trained(1, 7, loss);
        for threads in [1, 2, 3] {
            let differing = names_that_differ(&reference, &trained(threads, 7, loss));
            assert!(
                differing.is_empty(),
                "{loss}: {threads} threads give other bits than one in {differing:?}"
            );
        }
    }
}

#[test]
fn another_seed_gives_another_run() {
    let [a, b] = [7, 8].map(|seed| trained(2, seed, "so-softmax"));
    let differing = names_that_differ(&a, &b);
    let same: Vec<_> = a.iter().filter(|(n, _)| !differing.contains(n)).collect();
    assert!(same.is_empty(), "seeds 7 and 8 agree in {same:?}");
}
