//! What a loss is to the rest of the program: a function of a [`Batch`].

use crate::batch::Batch;
use crate::error::Result;
use crate::info::LossInfo;
use crate::owned::Owned;
use crate::values::Values;
use engine::{Float, Var};
use std::collections::BTreeMap;

/// A loss of the table. Its file holds the page about it, its formula, and the inputs it is
/// checked with.
pub trait Loss: Sized + Send + Sync + 'static {
    /// The page about it.
    const INFO: LossInfo;

    /// The loss with these settings, which are within their ranges.
    fn new(values: &Values) -> Self;

    /// The value of a batch.
    ///
    /// # Errors
    /// If the tensors of the batch do not fit together.
    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>>;

    /// What it owns in the model besides the class weights of its [`Head`](crate::Head), for so
    /// many classes and dimensions.
    fn owns(&self, _classes: usize, _dim: usize) -> Vec<Owned> {
        Vec::new()
    }

    /// By what the classes of embeddings `[N, D]` are told apart, `[N, C]`, for a loss whose class
    /// weights are its own. `owned` has what it owns, by name.
    ///
    /// # Errors
    /// If the dimensions differ.
    fn logits<T: Float>(
        &self,
        _embeddings: &Var<T>,
        _owned: &BTreeMap<&'static str, Var<T>>,
    ) -> Result<Option<Var<T>>> {
        Ok(None)
    }

    /// What is questionable about these settings for so many classes and dimensions.
    fn warnings(&self, _classes: usize, _dim: usize) -> Vec<String> {
        Vec::new()
    }
}

/// One summand of a loss. All but the joint losses have one.
#[derive(Debug)]
pub struct Part<T: Float> {
    /// The name it is reported under.
    pub name: &'static str,
    /// Its factor in the sum.
    pub weight: f64,
    /// `[N]` if the loss is a mean over samples, otherwise a single number.
    pub value: Var<T>,
}

impl<T: Float> Part<T> {
    /// The only part of a loss.
    pub fn only(name: &'static str, value: Var<T>) -> Vec<Self> {
        vec![Part {
            name,
            weight: 1.0,
            value,
        }]
    }

    /// Whether there is a value for each sample.
    pub fn is_per_sample(&self) -> bool {
        self.value.shape().rank() == 1
    }

    /// The mean over the samples, without the weight.
    pub fn mean(&self) -> Var<T> {
        match self.is_per_sample() {
            true => self.value.mean(),
            false => self.value.clone(),
        }
    }
}

/// [`Loss`] for one number type, so that losses can be kept in a list.
pub(crate) trait AnyLoss<T: Float>: Send + Sync {
    fn forward(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>>;
    fn owns(&self, classes: usize, dim: usize) -> Vec<Owned>;
    fn logits(
        &self,
        embeddings: &Var<T>,
        owned: &BTreeMap<&'static str, Var<T>>,
    ) -> Result<Option<Var<T>>>;
    fn warnings(&self, classes: usize, dim: usize) -> Vec<String>;
}

impl<T: Float, L: Loss> AnyLoss<T> for L {
    fn forward(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        Loss::forward(self, batch)
    }
    fn owns(&self, classes: usize, dim: usize) -> Vec<Owned> {
        Loss::owns(self, classes, dim)
    }
    fn logits(
        &self,
        embeddings: &Var<T>,
        owned: &BTreeMap<&'static str, Var<T>>,
    ) -> Result<Option<Var<T>>> {
        Loss::logits(self, embeddings, owned)
    }
    fn warnings(&self, classes: usize, dim: usize) -> Vec<String> {
        Loss::warnings(self, classes, dim)
    }
}
