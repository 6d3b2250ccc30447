//! MNIST from pixels to embeddings in one file, with the crates alone: what the program
//! `hypersphere` does, without its options. To be read from top to bottom.
//!
//! ```text
//! cargo run --release --bin mnist-tutorial [EPOCHS [IMAGES]]
//! ```
//!
//! Six epochs over all 55,000 training images unless told otherwise.

use data::{Augment, Images, Loader, Normalise, Order, metrics, mnist};
use engine::rng::Key;
use engine::{Params, Tensor, Var};
use losses::{Criterion, Spec};
use nn::layers::{BatchNorm, Conv2d, Flatten, Linear, MaxPool2d};
use nn::{Build, Checkpoint, Metadata, Module, OptimizerConfig, Pass, Schedule, Scope, Sequential};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Decides the initial weights, the order of the images and their variations.
const SEED: u64 = 1;
/// Images per step.
const BATCH: usize = 128;
/// The highest learning rate.
const LR: f64 = 0.1;
/// Numbers in an embedding.
const DIM: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let epochs = number(arguments.next(), 6)?;
    let limit = number(arguments.next(), usize::MAX as u64)? as usize;

    // The data. 5,000 of the 60,000 training images are held out to watch by; the 10,000 test
    // images are for the final figure alone.
    let mnist = mnist::embedded().hold_out(5_000, 0)?;
    let classes = mnist.train.classes().len();
    let count = limit.min(mnist.train.len());
    let train = mnist.train.subset(&(0..count).collect::<Vec<_>>());

    // Pixels become numbers of mean 0 and deviation 1. In training, every epoch sees each image
    // a little turned, scaled and shifted, which is a function of (seed, epoch, image).
    let normalise = Normalise::new(&[mnist::MEAN], &[mnist::STD])?;
    let train = Images::new(train, normalise.clone())?.augmented(Augment::mnist_affine())?;
    let train = Loader::new(train, Order::shuffled(BATCH), SEED)?;
    let validation = Loader::evaluation(Images::new(mnist.validation, normalise.clone())?, 500)?;
    let test = Loader::evaluation(Images::new(mnist.test, normalise)?, 500)?;
    if train.batches() == 0 {
        return Err(format!("{count} images are less than one batch of {BATCH}").into());
    }

    // The network: 28x28 pixels to 64 numbers. The batch normalisation at the end lets an
    // embedding point in every direction; a ReLU there would confine it to one orthant.
    let mut params = Params::<f32>::new();
    let mut root = Scope::root(&mut params, SEED);
    let conv = |from, to| Conv2d::new(from, to, 3).padding(1).bias(false);
    let net = Sequential::new()
        .add("conv1", conv(1, 24))
        .add("bn1", BatchNorm::new(24).relu())
        .add("pool1", MaxPool2d::new(2)) // 14x14
        .add("conv2", conv(24, 48))
        .add("bn2", BatchNorm::new(48).relu())
        .add("conv3", conv(48, 48))
        .add("bn3", BatchNorm::new(48).relu())
        .add("pool2", MaxPool2d::new(2)) // 7x7
        .add("conv4", conv(48, 96))
        .add("bn4", BatchNorm::new(96).relu())
        .add("conv5", conv(96, 96))
        .add("bn5", BatchNorm::new(96).relu())
        .add("pool3", MaxPool2d::new(3).stride(2)) // 3x3
        .add("flatten", Flatten)
        .add("fc", Linear::new(3 * 3 * 96, DIM).bias(false))
        .add("bn", BatchNorm::new(DIM))
        .build(&mut root.child("backbone"));

    // The loss, and with it the class weights `head.weight`, one direction per class. What the
    // spec leaves to `auto` is decided here, and said.
    let spec: Spec = "so-softmax".parse()?;
    let mut criterion = Criterion::new(&spec, &mut root, classes, DIM)?;
    println!("loss   {}", criterion.spec());
    criterion
        .notes()
        .iter()
        .for_each(|n| println!("note   {n}"));
    println!("data   {count} images, {} steps an epoch", train.batches());

    // Gradient descent with momentum. Biases and the scales of batch normalisation do not decay.
    let sgd = OptimizerConfig::Sgd {
        momentum: 0.9,
        nesterov: true,
        weight_decay: 5e-4,
    };
    let mut optimizer = sgd.build();
    nn::optim::exclude_vectors_from_decay(&mut params);
    let schedule = Schedule::one_cycle();

    let key = Key::new(SEED).named("train");
    let steps = epochs * train.batches() as u64;
    let mut step = 0;
    for epoch in 0..epochs {
        let started = Instant::now();
        let mut sum = 0.0;
        for batch in train.epoch(epoch) {
            let batch = batch?;
            criterion.set_step(step);

            // Forward: images, embeddings, one number.
            let mut pass = Pass::train(&params, key.at(step));
            let images = Var::constant(Tensor::new(batch.shape, &batch.images));
            let embeddings = net.forward(&mut pass, &images);
            let outcome = criterion.forward(&mut pass, &embeddings, &batch.labels)?;
            let loss = f64::from(outcome.loss.value().item());
            if !loss.is_finite() {
                return Err(format!("diverged in step {step}: the loss is {loss}").into());
            }
            sum += loss;

            // Backward. The graph shares memory with the parameters and must be gone before
            // they are written.
            outcome.loss.backward_into(&mut params)?;
            drop((outcome, embeddings));
            optimizer.step(&mut params, LR * schedule.at(step, steps));
            step += 1;
        }
        let judged = judge(&net, &criterion, &params, &validation)?;
        println!(
            "epoch  {}/{epochs}  loss {:.4}  validation {:.2} %  {:.1} s",
            epoch + 1,
            sum / train.batches() as f64,
            100.0 * judged.accuracy,
            started.elapsed().as_secs_f64()
        );
    }

    let judged = judge(&net, &criterion, &params, &test)?;
    println!(
        "test   {:.2} %  cosine to own class {:.3}, to others {:.3}",
        100.0 * judged.accuracy,
        judged.cosines.own,
        judged.cosines.others
    );
    let file = Path::new("mnist-tutorial.safetensors");
    let about = [
        ("loss", criterion.spec().to_string()),
        ("epochs", epochs.to_string()),
    ];
    let about: Metadata = about.map(|(k, v)| (k.to_string(), v)).into();
    Checkpoint::of(&params, about).write(file)?;
    println!("saved  {}", file.display());
    Ok(())
}

/// What a network is worth on images it was not trained on.
struct Judged {
    /// The share of images whose most similar class is their own.
    accuracy: f64,
    /// The mean cosines between embeddings and class weights.
    cosines: metrics::MeanCosines,
}

/// Classifies every image by the class weight whose direction is nearest to its embedding's.
/// Margins, which make the training harder on purpose, play no part.
fn judge(
    net: &impl Module<f32>,
    criterion: &Criterion<f32>,
    params: &Params<f32>,
    loader: &Loader,
) -> Result<Judged, Box<dyn Error>> {
    let mut cosines = Vec::new();
    for batch in loader.epoch(0) {
        let batch = batch?;
        let mut pass = Pass::eval(params);
        let images = Var::constant(Tensor::new(batch.shape, &batch.images));
        let embeddings = net.forward(&mut pass, &images);
        let logits = criterion.logits(&pass, &embeddings)?;
        cosines.extend_from_slice(logits.ok_or("a loss without class weights")?.data());
    }
    let labels = loader.examples().labels();
    let classes = cosines.len() / labels.len();
    Ok(Judged {
        accuracy: metrics::accuracy(&cosines, classes, labels),
        cosines: metrics::mean_cosines(&cosines, classes, labels),
    })
}

/// A positive whole number from the command line.
fn number(argument: Option<String>, default: u64) -> Result<u64, String> {
    match argument.map(|text| (text.parse(), text)) {
        None => Ok(default),
        Some((Ok(n), _)) if n > 0 => Ok(n),
        Some((_, text)) => Err(format!(
            "`{text}` is no positive whole number; usage: mnist-tutorial [EPOCHS [IMAGES]]"
        )),
    }
}
