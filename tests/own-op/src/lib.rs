//! How a crate of your own adds an operation and a loss, and has them checked as the engine's are.
//!
//! 1. An operation is a struct with [`Op`]: forward, backward beside it, and the inputs to check it
//!    with. [`SoftNormalize`] is one.
//! 2. `register!` makes it callable and enters it into a table. What is not in a table cannot be
//!    applied, so nothing unchecked can be called.
//! 3. A class-level loss is a pair of functions with derivatives, a [`Margin`]; the softmax around
//!    it, its stable form and its backward are there already. [`Fading`] is one.
//! 4. `src/main.rs` is a program of three lines that checks the tables:
//!
//! ```text
//! $ cargo run -p own-op
//! f64, four-point differences against backward; at most 1e-8 relative error
//!
//! group   name                                   cases     worst       ms        worst at
//! ops     soft_normalize                            12   4.2e-12     24.0 ok     …
//! losses  fading                                     …
//! ```
//!
//! It takes names, `--seed N` and `--json`, and exits with 1 if a derivative is wrong. What that
//! looks like shows `cargo run -p own-op --bin broken`. Both are used in `src/bin/train.rs`.

use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Result, Tensor, Var, apply};
use losses::frame::{ClassSoftmax, Margin, Probe, Softmax};
use std::sync::Arc;

/// y = x / √(1 + |x|²) for every row;  dx = (dy − y ⟨y, dy⟩) / √(1 + |x|²)
///
/// Long rows become directions, short ones stay short: how sure the network is remains visible.
#[derive(Clone, Debug)]
pub struct SoftNormalize;

impl Op<1> for SoftNormalize {
    const NAME: &'static str = "soft_normalize";
    /// The value, and √(1 + |x|²) of each row.
    type Saved<T: Float> = (Tensor<T>, Vec<T>);

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let d = x.shape().last();
        let root = |row: &[T]| (T::ONE + row.iter().map(|&x| x * x).sum::<T>()).sqrt();
        let roots: Vec<T> = x.data().chunks(d).map(root).collect();
        let y = Tensor::from_fn(x.shape(), |i| x.data()[i] / roots[i / d]);
        Ok((y.clone(), (y, roots)))
    }

    fn backward<T: Float>(
        &self,
        (y, roots): Self::Saved<T>,
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let d = dy.shape().last();
        let rows = dy.data_mut().chunks_mut(d).zip(y.data().chunks(d));
        for ((dy, y), &root) in rows.zip(&roots) {
            let along: T = y.iter().zip(&*dy).map(|(&y, &dy)| y * dy).sum();
            for (dy, &y) in dy.iter_mut().zip(y) {
                *dy = (*dy - y * along) / root;
            }
        }
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(
            SoftNormalize,
            &[&[1, 1], &[3, 5], &[2, 3, 4]],
            |g, shape| g.normal(shape),
        )
    }
}

engine::register! {
    /// The operations of this crate.
    pub static OPERATIONS = [SoftNormalize[1]];
}

/// A margin that fades as the target is reached: Fp(c) = s (c − m (1 − c)²), Fn(c) = s c.
#[derive(Clone, Debug)]
pub struct Fading {
    /// The scale.
    pub s: f64,
    /// The margin at a target cosine of 0.
    pub m: f64,
}

impl Margin for Fading {
    const NAME: &'static str = "fading";

    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let (s, m, rest) = (T::of(self.s), T::of(self.m), T::ONE - c);
        (
            s * (c - m * rest * rest),
            s * (T::ONE + T::of(2.0) * m * rest),
        )
    }

    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.s);
        (s * c, s)
    }

    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m)| Probe::new(Fading { s, m }, s * (1.0 + 4.0 * m));
        [(4.0, 0.0), (16.0, 0.3)].map(probe).into()
    }
}

losses::register_margins! {
    /// The losses of this crate.
    pub static LOSSES = [Softmax[1] Fading];
}

/// The mean of the [`Fading`] losses of embeddings `[N, D]` against class weights `[C, D]`.
///
/// # Errors
/// If dimensions differ, or a label is out of range.
pub fn loss<T: Float>(
    embeddings: &Var<T>,
    weights: &Var<T>,
    labels: impl Into<Arc<[usize]>>,
    margin: Fading,
) -> Result<Var<T>> {
    let cosines =
        apply(SoftNormalize, [embeddings])?.try_matmul_nt(&weights.try_l2_normalize()?)?;
    let op = ClassSoftmax {
        margin,
        form: Softmax::default(),
        labels: labels.into(),
    };
    Ok(apply(op, [&cosines])?.mean())
}
