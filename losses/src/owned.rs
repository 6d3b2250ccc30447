//! What a loss owns in the model, besides the class weights that it shares with others.

use crate::batch::Batch;
use crate::error::{Error, Result};
use engine::rng::Key;
use engine::{Float, Shape, Tensor};
use nn::Init;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A tensor of a loss that is part of the model and saved with it, as `head.<name>`.
///
/// Losses of a spec that name the same tensor share it.
#[derive(Clone, Debug)]
pub struct Owned {
    /// The name below `head`, such as `adacos.s`.
    pub name: &'static str,
    /// The shape.
    pub axes: Vec<Axis>,
    /// Its initial values.
    pub init: Init,
    /// Whether it is learned, or state that follows a rule of the loss.
    pub kind: OwnedKind,
}

/// The length of an axis of an [`Owned`] tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// The number of classes.
    Classes,
    /// The dimension of the embeddings.
    Dim,
    /// This length.
    Of(usize),
}

/// How an [`Owned`] tensor changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnedKind {
    /// By the optimizer. Numbers that are no weights (a scale, a threshold) are not decayed.
    Learned {
        /// Whether weight decay applies.
        decay: bool,
    },
    /// By a rule of the loss, in training passes: see [`Batch::advance`].
    State,
}

impl Owned {
    /// Weights that are learned.
    pub fn weights(name: &'static str, axes: &[Axis], init: Init) -> Self {
        Owned {
            name,
            axes: axes.to_vec(),
            init,
            kind: OwnedKind::Learned { decay: true },
        }
    }

    /// A number that is learned, `[1]`.
    pub fn number(name: &'static str, value: f64) -> Self {
        Owned {
            name,
            axes: vec![Axis::Of(1)],
            init: Init::Constant(value),
            kind: OwnedKind::Learned { decay: false },
        }
    }

    /// State that starts at one value.
    pub fn state(name: &'static str, axes: &[Axis], value: f64) -> Self {
        Owned {
            name,
            axes: axes.to_vec(),
            init: Init::Constant(value),
            kind: OwnedKind::State,
        }
    }

    /// The shape for so many classes and dimensions.
    pub fn shape(&self, classes: usize, dim: usize) -> Shape {
        let length = |axis: &Axis| match *axis {
            Axis::Classes => classes,
            Axis::Dim => dim,
            Axis::Of(length) => length,
        };
        self.axes.iter().map(length).collect()
    }

    /// The shape as text: `[C, 3, D]`.
    pub fn layout(&self) -> String {
        let axis = |axis: &Axis| match axis {
            Axis::Classes => "C".to_string(),
            Axis::Dim => "D".to_string(),
            Axis::Of(length) => length.to_string(),
        };
        format!(
            "[{}]",
            self.axes.iter().map(axis).collect::<Vec<_>>().join(", ")
        )
    }
}

/// What a loss computes that no gradient flows through, by name: drawn margins, mined pairs, state
/// after its update.
#[derive(Debug)]
pub(crate) struct Held<T: Float> {
    /// Taken in place of what would be drawn, to compare another implementation on the same draw.
    given: BTreeMap<String, Tensor<T>>,
    /// What was computed first and is taken from then on, where finite differences are to hold it
    /// fixed, which is what detaching means.
    kept: Option<RefCell<BTreeMap<String, Tensor<T>>>>,
}

impl<T: Float> Held<T> {
    /// With values given beforehand.
    pub fn given(given: BTreeMap<String, Tensor<T>>) -> Self {
        Held { given, kept: None }
    }

    /// Keeps what is computed first.
    pub fn keeping() -> Self {
        Held {
            given: BTreeMap::new(),
            kept: Some(RefCell::default()),
        }
    }

    fn keep(&self, name: &str, compute: impl FnOnce() -> Tensor<T>) -> Tensor<T> {
        let Some(kept) = &self.kept else {
            return compute();
        };
        if let Some(value) = kept.borrow().get(name) {
            return value.clone();
        }
        let value = compute();
        kept.borrow_mut().insert(name.to_string(), value.clone());
        value
    }
}

impl<T: Float> Batch<'_, T> {
    /// The value of `compute`, of this shape, which no gradient flows through: what was drawn or
    /// selected. [`evaluate`](crate::evaluate) takes it from the input `name` if there is one.
    ///
    /// # Errors
    /// [`Error::BadShape`] if that has another shape.
    pub fn held(
        &self,
        name: &str,
        shape: impl Into<Shape>,
        compute: impl FnOnce() -> Tensor<T>,
    ) -> Result<Tensor<T>> {
        let (held, shape) = (&self.setting().held, shape.into());
        match held.given.get(name) {
            None => Ok(held.keep(name, compute)),
            Some(value) if value.shape() == shape => Ok(value.clone()),
            Some(value) => Err(Error::BadShape {
                name: name.to_string(),
                expected: shape.to_string(),
                found: value.shape(),
            }),
        }
    }

    /// Random numbers for what a loss draws in training; `None` in evaluation.
    pub fn key(&self) -> Option<Key> {
        self.setting().training
    }

    /// Whether this is a training pass, in which state moves on.
    pub fn is_training(&self) -> bool {
        self.setting().training.is_some()
    }

    /// The state called `name`. In a training pass `update` makes the new state of the old one,
    /// which is what is returned then; it is kept when the pass is over.
    ///
    /// # Panics
    /// If the loss does not own such a tensor.
    pub fn advance(
        &self,
        name: &'static str,
        update: impl FnOnce(&Tensor<T>) -> Tensor<T>,
    ) -> Tensor<T> {
        let old = self.owned(name).value();
        if !self.is_training() {
            return old.clone();
        }
        let new = self.setting().held.keep(name, || update(old));
        self.renewed.borrow_mut().insert(name, new.clone());
        new
    }
}
