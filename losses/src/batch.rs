//! What a loss sees: embeddings, labels and class weights, and what is computed of them once for
//! all losses of a spec.

use crate::error::{Error, Result};
use crate::frame::{ClassLoss, Entered, Form, Margin, SampleMargin, Softmax};
use crate::owned::Held;
use crate::profile::{Seen, Watch};
use engine::rng::Key;
use engine::{Float, Tensor, Var, apply};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Class weights, and what the losses of a spec own.
#[derive(Debug)]
pub(crate) struct Heads<T: Float> {
    /// `[C, D]`, and `[C]` if a loss has a bias.
    pub linear: Option<(Var<T>, Option<Var<T>>)>,
    /// `[C, D]`.
    pub angular: Option<Var<T>>,
    /// By name.
    pub owned: BTreeMap<&'static str, Var<T>>,
}

impl<T: Float> Heads<T> {
    /// See [`Batch::logits`].
    pub fn logits(&self, embeddings: &Var<T>) -> Result<Option<Var<T>>> {
        Ok(match (&self.angular, &self.linear) {
            (Some(weight), _) => Some(embeddings.try_pairwise_cosine(weight)?),
            (None, Some((weight, bias))) => {
                let products = embeddings.try_matmul_nt(weight)?;
                Some(match bias {
                    Some(bias) => products.try_add(bias)?,
                    None => products,
                })
            }
            (None, None) => None,
        })
    }
}

/// What does not change from sample to sample.
#[derive(Debug)]
pub(crate) struct Setting<T: Float> {
    pub heads: Heads<T>,
    /// The training step, counted from 0.
    pub step: u64,
    /// The random numbers of a training pass; `None` in evaluation.
    pub training: Option<Key>,
    pub held: Rc<Held<T>>,
    /// Where a [`Profile`](crate::Profile) wants to see exponents.
    pub watch: Option<Rc<Watch>>,
}

/// A batch of embeddings `[N, D]` with their labels and the class weights they are compared with.
///
/// What several losses of a spec need (the cosines above all) is computed on first use and shared.
pub struct Batch<'a, T: Float> {
    embeddings: &'a Var<T>,
    labels: Arc<[usize]>,
    columns: Arc<[usize]>,
    setting: &'a Setting<T>,
    /// State after this batch.
    pub(crate) renewed: RefCell<BTreeMap<&'static str, Tensor<T>>>,
    units: OnceCell<Var<T>>,
    unit_weight: OnceCell<Var<T>>,
    cosines: OnceCell<Var<T>>,
}

impl<'a, T: Float> Batch<'a, T> {
    pub(crate) fn new(
        embeddings: &'a Var<T>,
        labels: &[usize],
        setting: &'a Setting<T>,
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
        let labels: Arc<[usize]> = labels.into();
        Ok(Batch {
            embeddings,
            columns: labels.clone(),
            labels,
            setting,
            renewed: RefCell::default(),
            units: OnceCell::new(),
            unit_weight: OnceCell::new(),
            cosines: OnceCell::new(),
        })
    }

    /// The same where the setting has the class weights of some classes only; the samples' own are
    /// at these places among them.
    pub(crate) fn among(self, columns: &Arc<[usize]>) -> Self {
        Batch {
            columns: columns.clone(),
            ..self
        }
    }

    pub(crate) fn setting(&self) -> &'a Setting<T> {
        self.setting
    }

    /// The embeddings, `[N, D]`.
    pub fn embeddings(&self) -> &'a Var<T> {
        self.embeddings
    }

    /// The class of each embedding, for what is compared among samples.
    pub fn labels(&self) -> &Arc<[usize]> {
        &self.labels
    }

    /// Where the class of each embedding is among the class weights, and so among the columns of
    /// similarities with them. Not the same as its label where classes are
    /// [sampled](crate::Criterion::sample_classes).
    pub fn columns(&self) -> &Arc<[usize]> {
        &self.columns
    }

    /// The training step, for settings that change with time. It counts from 0.
    pub fn step(&self) -> u64 {
        self.setting.step
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
        let weight = self.setting.heads.angular.as_ref();
        weight.expect("an angular loss has angular class weights")
    }

    /// The class weights of the linear losses as they are, `[C, D]`.
    ///
    /// # Panics
    /// If no loss of the spec is linear by its [`Head`](crate::Head).
    pub fn linear_weight(&self) -> &'a Var<T> {
        let linear = self.setting.heads.linear.as_ref();
        &linear.expect("a linear loss has linear class weights").0
    }

    /// What the losses of the spec own under `name`: tracked if it is learned.
    ///
    /// # Panics
    /// If no loss of the spec owns such a tensor.
    pub fn owned(&self, name: &str) -> &'a Var<T> {
        let owned = self.setting.heads.owned.get(name);
        owned.unwrap_or_else(|| panic!("no loss of the spec owns `{name}`"))
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

    /// `⟨w_j, x⟩` with the class weights of the linear losses, `[N, C]`.
    ///
    /// # Errors
    /// If the dimensions of embeddings and weights differ.
    ///
    /// # Panics
    /// If no loss of the spec is linear by its [`Head`](crate::Head).
    pub fn inner_products(&self) -> Result<Var<T>> {
        Ok(self.embeddings.try_matmul_nt(self.linear_weight())?)
    }

    /// `⟨w_j, x⟩ + b_j` with the class weights and the bias of the linear losses, `[N, C]`.
    ///
    /// # Errors
    /// If the dimensions of embeddings and weights differ.
    ///
    /// # Panics
    /// If no loss of the spec has a bias by its [`Head`](crate::Head).
    pub fn linear_logits(&self) -> Result<Var<T>> {
        let linear = self.setting.heads.linear.as_ref();
        let bias = linear.and_then(|(_, bias)| bias.as_ref());
        let bias = bias.expect("a loss with a bias has one");
        Ok(self.inner_products()?.try_add(bias)?)
    }

    /// Similarities by which the classes are told apart, without any margin: the cosines, or the
    /// inner products plus bias where the spec has no angular loss; `None` without class weights
    /// of these kinds.
    ///
    /// # Errors
    /// If the dimensions of embeddings and weights differ.
    pub fn logits(&self) -> Result<Option<Var<T>>> {
        match self.setting.heads.angular {
            Some(_) => self.cosines().map(Some),
            None => self.setting.heads.logits(self.embeddings),
        }
    }

    /// Each sample's element of similarities `[N, C]` at its own class, `[N]`.
    ///
    /// # Errors
    /// If a label is out of range.
    pub fn targets(&self, similarities: &Var<T>) -> Result<Var<T>> {
        Ok(similarities.try_pick(self.columns.clone())?)
    }

    /// A number `[1]` for each sample, `[N]`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn for_each_sample(&self, number: &Var<T>) -> Result<Var<T>> {
        let zeros = Var::constant(Tensor::zeros([self.labels.len()]));
        Ok(zeros.try_add(number)?)
    }

    /// The generalized softmax of the cosines, `[N]`.
    ///
    /// # Errors
    /// If a label is out of range, or dimensions differ.
    pub fn class_softmax<M>(&self, margin: M, smoothing: f64) -> Result<Var<T>>
    where
        M: Margin + Entered<Softmax, 1>,
    {
        self.class_loss(&self.cosines()?, margin, Softmax { smoothing })
    }

    /// The losses `[N]` of similarities `[N, C]` with a margin in a form.
    ///
    /// # Errors
    /// If a label is out of range.
    pub fn class_loss<M, F>(&self, similarities: &Var<T>, margin: M, form: F) -> Result<Var<T>>
    where
        M: Margin + Entered<F, 1>,
        F: Form,
    {
        let labels = self.columns.clone();
        self.look::<F>(similarities, |own, other| {
            [margin.positive(own).0, margin.negative(other, own).0]
        });
        let op = ClassLoss {
            margin,
            form,
            labels,
        };
        Ok(apply(op, [similarities])?)
    }

    /// The losses `[N]` of similarities `[N, C]` and a number for each sample, `[N]`.
    ///
    /// # Errors
    /// If a label is out of range.
    pub fn sample_loss<M, F>(
        &self,
        similarities: &Var<T>,
        numbers: &Var<T>,
        margin: M,
        form: F,
    ) -> Result<Var<T>>
    where
        M: SampleMargin + Entered<F, 2>,
        F: Form,
    {
        let labels = self.columns.clone();
        self.look::<F>(similarities, |own, other| {
            let a = numbers.value().data()[0];
            [margin.positive(own, a)[0], margin.negative(other, a)[0]]
        });
        let op = ClassLoss {
            margin,
            form,
            labels,
        };
        Ok(apply(op, [similarities, numbers])?)
    }

    /// Notes the exponents of the first sample, of class 0, and of the class after it, if somebody
    /// watches. The first frame of a spec is the one that counts.
    fn look<F: Form>(&self, similarities: &Var<T>, exponents: impl FnOnce(T, T) -> [T; 2]) {
        let Some(watch) = &self.setting.watch else {
            return;
        };
        let is_first = watch.borrow().is_none();
        if let ([own, other, ..], true) = (similarities.value().data(), is_first) {
            let [own, other] = exponents(*own, *other).map(T::to_f64);
            *watch.borrow_mut() = F::lead(own, other).map(|lead| Seen {
                exponents: [own, other],
                lead,
            });
        }
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
