//! Layers, networks, initialisers, optimizers, schedules and checkpoints.
//!
//! A layer is first *described* ([`Build`]), then built: its parameters go into the arena
//! [`engine::Params`] under a [`Scope`] of names, and what remains is a [`Module`], a function
//! that holds handles and no numbers. A [`Pass`] carries the parameters through a forward pass
//! and says whether it is for training or for evaluation.
//!
//! A network, one training step, and the trained weights on disk:
//!
//! ```
//! use engine::{Params, Tensor, Var, rng::Key};
//! use nn::layers::{BatchNorm, Conv2d, GlobalAvgPool, Linear, MaxPool2d};
//! use nn::{Build, Checkpoint, Metadata, Module, OptimizerConfig, Pass, Schedule, Scope, Sequential};
//!
//! // The seed and each parameter's name decide its initial value.
//! let mut params = Params::<f32>::new();
//! let net = Sequential::new()
//!     .add("conv", Conv2d::new(1, 8, 3).padding(1).bias(false))
//!     .add("bn", BatchNorm::new(8).relu())
//!     .add("pool", MaxPool2d::new(2))
//!     .add("mean", GlobalAvgPool)
//!     .add("fc", Linear::new(8, 3))
//!     .build(&mut Scope::root(&mut params, 42));
//!
//! let config: OptimizerConfig =
//!     serde_json::from_str(r#"{ "kind": "sgd", "momentum": 0.9, "weight_decay": 5e-4 }"#)?;
//! let mut optimizer = config.build();
//! let schedule = Schedule::one_cycle();
//!
//! // Six images of 8x8 pixels, bright on the left, in the middle or on the right.
//! let images = Tensor::from_fn([6, 8, 8, 1], |i| {
//!     let (column, class) = (i % 8, i / 64 % 3);
//!     if column / 3 == class { 1.0 } else { 0.1 * (i % 7) as f32 }
//! });
//! let labels = [0, 1, 2, 0, 1, 2];
//!
//! let (steps, key) = (20, Key::new(42).named("train"));
//! let mut losses = Vec::new();
//! for step in 0..steps {
//!     let mut pass = Pass::train(&params, key.at(step));
//!     let logits = net.forward(&mut pass, &Var::constant(images.clone()));
//!     let loss = logits.cross_entropy(labels, 0.0).mean();
//!     losses.push(loss.value().item());
//!     loss.backward_into(&mut params)?;
//!     drop((logits, loss)); // the graph shares the arena, which the optimizer is to write
//!     nn::clip_grad_norm(&mut params, 5.0);
//!     optimizer.step(&mut params, 0.1 * schedule.at(step, steps));
//! }
//! assert!(losses[19] < losses[0]);
//!
//! let logits = net.forward(&mut Pass::eval(&params), &Var::constant(images));
//! assert_eq!(logits.shape(), [6, 3].into());
//!
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("last.safetensors");
//! Checkpoint::of(&params, Metadata::from([("steps".into(), "20".into())])).write(&file)?;
//! Checkpoint::read(&file)?.load_into(&mut params)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what is there |
//! |---|---|
//! | [`layers`] | convolution, linear, normalisation, activations, pooling, composition |
//! | [`networks`] | whole networks by name |
//! | [`Init`] | initial values |
//! | [`optim`] | SGD, Adam, AdamW |
//! | [`Schedule`] | the learning rate as a function of the step |
//! | [`Ema`], [`clip_grad_norm`] | averages of weights, limits on gradients |
//! | [`Checkpoint`] | safetensors files |
//! | [`import`] | weights trained by other programs |
//! | [`export`] | networks and weights for other programs |
//! | [`Summary`] | a network's layers as a table |
//! | [`check`] | the gradient checks of all layers and networks |

pub mod check;
pub mod checkpoint;
mod clip;
mod ema;
pub mod export;
pub mod import;
mod init;
pub mod layers;
mod layout;
mod module;
pub mod networks;
pub mod optim;
mod schedule;
mod summary;

pub use check::{LAYERS, LayerCheck, NETWORKS};
pub use checkpoint::{Checkpoint, CheckpointError, Metadata};
pub use clip::{clip_grad_norm, clip_grad_value, grad_norm, grad_norms};
pub use ema::Ema;
pub use export::ExportError;
pub use import::{Classifier, ImportError, Imported, Origin};
pub use init::{Distribution, Fan, Init};
pub use layers::Sequential;
pub use module::{Build, Module, Pass, Scope};
pub use networks::{Backbone, Features, MODELS, Model, ModelError, ModelOptions, Pooling};
pub use optim::{Adam, Optimizer, OptimizerConfig, Sgd, StateError};
pub use schedule::Schedule;
pub use summary::{Row, Summary};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
