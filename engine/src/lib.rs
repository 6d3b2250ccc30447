//! Hypersphere's engine: tensors, reverse-mode differentiation and the loops beneath them.
//!
//! A complete training step, from random numbers to new weights:
//!
//! ```
//! use engine::ops::Conv2d;
//! use engine::rng::Key;
//! use engine::{Params, Tensor, Var};
//!
//! let mut rng = Key::new(1).named("tour").rng();
//! let mut normal = |shape: &[usize], std: f64| {
//!     Tensor::from_fn(shape, |_| (std * rng.normal()) as f32)
//! };
//!
//! // All parameters live in one arena; `conv` and `head` are handles.
//! let mut params = Params::new();
//! let conv = params.add("conv", normal(&[3, 3, 1, 8], 0.3)); // [kh, kw, in, out]
//! let head = params.add("head", normal(&[2, 6 * 6 * 8], 0.1)); // [classes, features]
//!
//! // Eight images [N, H, W, C] of two kinds: dark ones and bright ones.
//! let labels = [0, 1, 0, 1, 0, 1, 0, 1];
//! let mut images = normal(&[8, 6, 6, 1], 0.5);
//! for (image, &label) in images.data_mut().chunks_mut(36).zip(&labels) {
//!     image.iter_mut().for_each(|pixel| *pixel += label as f32);
//! }
//! let x = Var::constant(images);
//!
//! let mut losses = Vec::new();
//! for _ in 0..20 {
//!     // Forward. Operations are methods; arithmetic works on references.
//!     let features = x.conv2d(&params.var(conv), None, Conv2d::same(3)).relu();
//!     let logits = features.flatten().matmul_nt(&params.var(head));
//!     let loss = logits.cross_entropy(labels, 0.0).mean();
//!     losses.push(loss.value().item());
//!
//!     // Backward: the gradient of every parameter, in one flat slice.
//!     loss.backward_into(&mut params).unwrap();
//!     drop((loss, logits, features)); // the graph is gone, so the arena can be written in place
//!
//!     // Gradient descent is a loop over two slices.
//!     let (values, grads, _) = params.split();
//!     values.iter_mut().zip(grads).for_each(|(w, g)| *w -= 0.1 * g);
//!     params.clear_grads();
//! }
//! assert!(losses[19] < 0.1 * losses[0]);
//! ```
//!
//! # Where to look
//!
//! To learn how it works, begin with the [`lessons`].
//!
//! | file | idea |
//! |---|---|
//! | [`Shape`], [`Tensor`] | contiguous numbers with a shape; images are `[N, H, W, C]` |
//! | [`Var`] | a tensor that remembers where it came from; `backward` |
//! | [`Op`], [`register!`] | what an operation is; how one is made callable and checked |
//! | [`ops`] | every operation: formula, forward, backward, cases side by side |
//! | [`gradcheck`] | derivatives against finite differences, and the rest of the contract |
//! | [`Params`] | all parameters in one flat slice |
//! | [`pool`] | buffers that return themselves |
//! | [`par`] | the only file that names rayon; the same bits on any number of threads |
//! | [`profile`], [`peak`] | where the time goes; what the processor can do |
//! | [`rng`] | random numbers as a function of a key |

pub mod error;
mod float;
pub mod gradcheck;
mod kernels;
pub mod lessons;
pub mod op;
pub mod ops;
pub mod par;
pub mod params;
pub mod pool;
pub mod profile;
pub mod rng;
mod shape;
mod tensor;
mod var;
pub mod watch;

pub use error::{Error, Result};
pub use float::Float;
pub use kernels::peak;
pub use kernels::reduce::exponentiate;
pub use kernels::simd::Isa;
pub use op::{Op, Registered};
pub use ops::OPERATIONS;
pub use params::{BufferId, Param, ParamId, Params};
pub use shape::{MAX_RANK, Shape};
pub use tensor::Tensor;
pub use var::{Gradients, Var, apply, apply_and_look};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
