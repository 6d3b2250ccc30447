//! What a loss sees: embeddings, labels and class weights, and what is computed of them once for
//! all losses of a spec.

use crate::error::{Error, Result};
use crate::frame::{ClassDecoupled, ClassSoftmax, RegisteredMargin};
use engine::{Float, Var, apply};
use std::cell::OnceCell;
use std::sync::Arc;

/// Class weights, bias and centres, as far as the losses of a spec have them.
#[derive(Debug)]
pub(crate) struct Heads<T: Float> {
    /// `[C, D]` and `[C]`.
    pub linear: Option<(Var<T>, Var<T>)>,
    /// `[C, D]`.
    pub angular: Option<Var<T>>,
    /// `[C, D]`.
    pub centers: Option<Var<T>>,
}

impl<T: Float> Heads<T> {
    /// See [`Batch::logits`].
    pub fn logits(&self, embeddings: &Var<T>) -> Result<Option<Var<T>>> {
        Ok(match (&self.angular, &self.linear) {
            (Some(weight), _) => Some(embeddings.try_pairwise_cosine(weight)?),
            (None, Some((weight, bias))) => Some(embeddings.try_matmul_nt(weight)?.try_add(bias)?),
            (None, None) => None,
        })
    }
}

/// A batch of embeddings `[N, D]` with their labels and the class weights they are compared with.
///
/// What several losses of a spec need (the cosines above all) is computed on first use and shared.
pub struct Batch<'a, T: Float> {
    embeddings: &'a Var<T>,
    labels: Arc<[usize]>,
    heads: &'a Heads<T>,
    step: u64,
    units: OnceCell<Var<T>>,
    unit_weight: OnceCell<Var<T>>,
    cosines: OnceCell<Var<T>>,
}

impl<'a, T: Float> Batch<'a, T> {
    pub(crate) fn new(
        embeddings: &'a Var<T>,
        labels: &[usize],
        heads: &'a Heads<T>,
        step: u64,
    ) -> Result<Self> {
        let shape = embeddings.shape();
        if shape.rank() != 2 {
            return Err(Error::BadShape {
                name: "embeddings".into(),
                expected: "[N, D]".into(),
                found: shape,
            });
        }
        if shape[0] != labels.len() {
            return Err(Error::LabelCount {
                labels: labels.len(),
                samples: shape[0],
            });
        }
        Ok(Batch {
            embeddings,
            labels: labels.into(),
            heads,
            step,
            units: OnceCell::new(),
            unit_weight: OnceCell::new(),
            cosines: OnceCell::new(),
        })
    }

    /// The embeddings, `[N, D]`.
    pub fn embeddings(&self) -> &'a Var<T> {
        self.embeddings
    }

    /// The class of each embedding.
    pub fn labels(&self) -> &Arc<[usize]> {
        &self.labels
    }

    /// The training step, for settings that change with time. It counts from 0.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The lengths of the embeddings, `[N]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn lengths(&self) -> Result<Var<T>> {
        Ok(self.embeddings.try_row_norms()?)
    }

    /// The embeddings brought to length 1, `[N, D]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn unit_embeddings(&self) -> Result<Var<T>> {
        once(&self.units, || Ok(self.embeddings.try_l2_normalize()?))
    }

    /// The class weights of the angular losses as they are, `[C, D]`.
    ///
    /// # Panics
    /// If no loss of the spec is angular by its [`Head`](crate::Head).
    pub fn weight(&self) -> &'a Var<T> {
        let weight = self.heads.angular.as_ref();
        weight.expect("an angular loss has angular class weights")
    }

    /// The class weights brought to length 1, `[C, D]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn unit_weight(&self) -> Result<Var<T>> {
        once(&self.unit_weight, || {
            Ok(self.weight().try_l2_normalize()?)
        })
    }

    /// The cosines of embeddings and class weights, `[N, C]`.
    ///
    /// # Errors
    /// If their dimensions differ.
    pub fn cosines(&self) -> Result<Var<T>> {
        once(&self.cosines, || {
            let (x, w) = (self.unit_embeddings()?, self.unit_weight()?);
            Ok(x.try_matmul_nt(&w)?)
        })
    }

    /// The cosines of the embeddings with other class weights than those of the batch, `[N, C]`.
    ///
    /// # Errors
    /// If their dimensions differ.
    pub fn cosines_with(&self, weight: &Var<T>) -> Result<Var<T>> {
        let weight = weight.try_l2_normalize()?;
        Ok(self.unit_embeddings()?.try_matmul_nt(&weight)?)
    }

    /// `⟨w_j, x⟩ + b_j` with the class weights and the bias of the linear losses, `[N, C]`.
    ///
    /// # Errors
    /// If the dimensions of embeddings and weights differ.
    ///
    /// # Panics
    /// If no loss of the spec is linear by its [`Head`](crate::Head).
    pub fn linear_logits(&self) -> Result<Var<T>> {
        let linear = self.heads.linear.as_ref();
        let (weight, bias) = linear.expect("a linear loss has linear class weights");
        Ok(self.embeddings.try_matmul_nt(weight)?.try_add(bias)?)
    }

    /// The class centres, `[C, D]`.
    ///
    /// # Panics
    /// If no loss of the spec has centres by its [`Head`](crate::Head).
    pub fn centers(&self) -> &'a Var<T> {
        let centers = self.heads.centers.as_ref();
        centers.expect("a loss with centres has centres")
    }

    /// Similarities by which the classes are told apart, without any margin: the cosines, or the
    /// inner products plus bias where the spec has no angular loss; `None` without class weights.
    ///
    /// # Errors
    /// If the dimensions of embeddings and weights differ.
    pub fn logits(&self) -> Result<Option<Var<T>>> {
        match self.heads.angular {
            Some(_) => self.cosines().map(Some),
            None => self.heads.logits(self.embeddings),
        }
    }

    /// The generalized softmax of the cosines, `[N]`.
    ///
    /// # Errors
    /// If a label is out of range, or dimensions differ.
    pub fn class_softmax<M: RegisteredMargin>(&self, margin: M, smoothing: f64) -> Result<Var<T>> {
        self.class_softmax_of(&self.cosines()?, margin, smoothing)
    }

    /// The generalized softmax of given similarities `[N, C]`.
    ///
    /// # Errors
    /// If a label is out of range.
    pub fn class_softmax_of<M: RegisteredMargin>(
        &self,
        similarities: &Var<T>,
        margin: M,
        smoothing: f64,
    ) -> Result<Var<T>> {
        let op = ClassSoftmax {
            margin,
            labels: self.labels.clone(),
            smoothing,
        };
        Ok(apply(op, [similarities])?)
    }

    /// The generalized softmax of the cosines with the lengths of the embeddings as radius, `[N]`.
    ///
    /// # Errors
    /// If a label is out of range, or dimensions differ.
    pub fn radial_softmax<M: RegisteredMargin>(&self, margin: M) -> Result<Var<T>> {
        let op = ClassSoftmax {
            margin,
            labels: self.labels.clone(),
            smoothing: 0.0,
        };
        Ok(apply(op, [&self.cosines()?, &self.lengths()?])?)
    }

    /// The decoupled losses of the cosines, `[N]`.
    ///
    /// # Errors
    /// If a label is out of range, or dimensions differ.
    pub fn class_decoupled<M: RegisteredMargin>(&self, margin: M, weight: f64) -> Result<Var<T>> {
        let op = ClassDecoupled {
            margin,
            labels: self.labels.clone(),
            weight,
        };
        Ok(apply(op, [&self.cosines()?])?)
    }
}

fn once<T: Float>(
    cell: &OnceCell<Var<T>>,
    make: impl FnOnce() -> Result<Var<T>>,
) -> Result<Var<T>> {
    if let Some(value) = cell.get() {
        return Ok(value.clone());
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value).clone())
}
