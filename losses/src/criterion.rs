//! `Criterion`: the losses of a spec with the class weights they own in the model.

use crate::advice::Note;
use crate::batch::{Batch, Heads};
use crate::error::{Error, Result};
use crate::info::Head;
use crate::loss::{AnyLoss, Part};
use crate::spec::Spec;
use crate::table;
use engine::rng::Key;
use engine::{BufferId, Float, ParamId, Params, Tensor, Var};
use nn::{Init, Pass, Scope};

/// What a network is trained to minimise: the weighted sum of the losses of a [`Spec`].
///
/// Class weights, biases and centres live in the model under `head`, so that they are trained and
/// saved with it:
///
/// | name | shape | what |
/// |---|---|---|
/// | `head.weight` | `[C, D]` | class weights, shared by all losses that compare in the same way |
/// | `head.bias` | `[C]` | of `softmax` |
/// | `head.angular.weight` | `[C, D]` | the same for cosine losses beside `softmax` |
/// | `head.centers` | `[C, D]` | a buffer, of `center` |
pub struct Criterion<T: Float> {
    spec: Spec,
    notes: Vec<Note>,
    losses: Vec<(f64, Box<dyn AnyLoss<T>>)>,
    linear: Option<(ParamId, ParamId)>,
    angular: Option<ParamId>,
    centers: Option<BufferId>,
    classes: usize,
    step: u64,
}

/// The value of a batch.
#[derive(Debug)]
pub struct Outcome<T: Float> {
    /// The weighted sum, a single number; call `backward` on it.
    pub loss: Var<T>,
    /// What it is made of.
    pub terms: Vec<TermValue>,
    /// By which the classes are told apart, without any margin, `[N, C]`: the cosines, or inner
    /// products plus bias where the spec has no cosine loss. The prediction is the largest of a
    /// row. `None` for a spec without class weights.
    pub logits: Option<Tensor<T>>,
}

/// One summand of a loss.
#[derive(Clone, Debug, PartialEq)]
pub struct TermValue {
    /// The name of the loss, or of its part.
    pub name: &'static str,
    /// Its weight.
    pub weight: f64,
    /// Its value, not multiplied by the weight.
    pub value: f64,
}

impl<T: Float> Criterion<T> {
    /// The losses of `spec` for embeddings of `dim` dimensions and so many classes. Adds their
    /// parameters under `head` in `scope`. What is left to `auto` is chosen now; see
    /// [`notes`](Criterion::notes).
    ///
    /// # Errors
    /// [`Error::TooFewClasses`], or [`Error::BadValue`] if two losses that share class weights set
    /// different factors on their learning rate.
    pub fn new(spec: &Spec, scope: &mut Scope<'_, T>, classes: usize, dim: usize) -> Result<Self> {
        let (spec, notes) = spec.resolve(classes, dim)?;
        let linear_rate = learning_rate(&spec, Head::Linear)?;
        let angular_rate = learning_rate(&spec, Head::Angular)?;
        let mut head = scope.child("head");
        let linear = linear_rate.map(|rate| {
            // Small enough for the first loss to be that of chance.
            let weight = head.param("weight", [classes, dim], Init::Normal(0.01));
            let bias = head.param("bias", [classes], Init::Constant(0.0));
            for id in [weight, bias] {
                head.params().param_mut(id).lr_mult = rate;
            }
            (weight, bias)
        });
        let angular = angular_rate.map(|rate| {
            // Of length 1 or so: the gradient is inversely proportional to the length.
            let init = Init::Normal(1.0 / (dim as f64).sqrt());
            let weight = match linear {
                None => head.param("weight", [classes, dim], init),
                Some(_) => head.child("angular").param("weight", [classes, dim], init),
            };
            head.params().param_mut(weight).lr_mult = rate;
            weight
        });
        let has_centers = spec.terms().iter().any(|t| t.info().head == Head::Centers);
        let centers = has_centers.then(|| head.buffer("centers", Tensor::zeros([classes, dim])));
        Ok(Criterion {
            losses: build(&spec),
            spec,
            notes,
            linear,
            angular,
            centers,
            classes,
            step: 0,
        })
    }

    /// The spec, with everything decided.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What was chosen automatically and why, and what will not work with these settings.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Sets the training step, counted from 0, for losses that change with time (the annealing of
    /// `sphereface`). To be called before the forward pass of each step.
    pub fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    /// The loss of embeddings `[N, D]` with their labels. In a training pass, class centres move
    /// on afterwards.
    ///
    /// # Errors
    /// If a label is out of range, or shapes do not fit.
    pub fn forward(
        &self,
        pass: &mut Pass<'_, T>,
        embeddings: &Var<T>,
        labels: &[usize],
    ) -> Result<Outcome<T>> {
        if let Some(position) = labels.iter().position(|&y| y >= self.classes) {
            return Err(Error::Label {
                position,
                label: labels[position] as i64,
                classes: self.classes,
            });
        }
        let heads = self.heads(pass);
        let batch = Batch::new(embeddings, labels, &heads, self.step)?;
        let parts = parts(&self.losses, &batch)?;
        let terms = parts.iter().map(|part| TermValue {
            name: part.name,
            weight: part.weight,
            value: part.mean().value().item().to_f64(),
        });
        let outcome = Outcome {
            loss: total(&parts),
            terms: terms.collect(),
            logits: batch.logits()?.map(|logits| logits.value().clone()),
        };
        if let (true, Some(id)) = (pass.is_training(), self.centers) {
            for (_, loss) in &self.losses {
                if let Some(moved) = loss.moved_centers(&batch) {
                    pass.params().set_buffer(id, moved);
                }
            }
        }
        Ok(outcome)
    }

    /// What the classes of embeddings `[N, D]` are predicted by, as in [`Outcome::logits`].
    ///
    /// # Errors
    /// If the dimensions do not fit.
    pub fn logits(&self, pass: &Pass<'_, T>, embeddings: &Var<T>) -> Result<Option<Tensor<T>>> {
        let logits = self.heads(pass).logits(embeddings)?;
        Ok(logits.map(|logits| logits.value().clone()))
    }

    fn heads(&self, pass: &Pass<'_, T>) -> Heads<T> {
        Heads {
            linear: self.linear.map(|(w, b)| (pass.param(w), pass.param(b))),
            angular: self.angular.map(|w| pass.param(w)),
            centers: self.centers.map(|c| Var::constant(pass.params().buffer(c))),
        }
    }
}

/// The losses of a spec whose parameters are all decided, with their weights.
pub(crate) fn build<T: Float>(spec: &Spec) -> Vec<(f64, Box<dyn AnyLoss<T>>)> {
    spec.terms()
        .iter()
        .map(|term| (term.weight(), table::build(term)))
        .collect()
}

/// The parts of all losses, each with its weight in the whole.
pub(crate) fn parts<T: Float>(
    losses: &[(f64, Box<dyn AnyLoss<T>>)],
    batch: &Batch<'_, T>,
) -> Result<Vec<Part<T>>> {
    let mut all = Vec::new();
    for (weight, loss) in losses {
        for part in loss.forward(batch)? {
            let weight = weight * part.weight;
            all.push(Part { weight, ..part });
        }
    }
    Ok(all)
}

/// The weighted sum of the means.
pub(crate) fn total<T: Float>(parts: &[Part<T>]) -> Var<T> {
    let weighted = |part: &Part<T>| match part.weight {
        1.0 => part.mean(),
        weight => part.mean() * weight,
    };
    let sum = parts.iter().map(weighted).reduce(|sum, term| sum + term);
    sum.expect("a spec has at least one loss")
}

/// The factor on the learning rate of the class weights of one kind; `None` if no loss has such.
fn learning_rate(spec: &Spec, head: Head) -> Result<Option<f64>> {
    let mut terms = spec
        .terms()
        .iter()
        .filter(|t| t.info().head == head)
        .peekable();
    if terms.peek().is_none() {
        return Ok(None);
    }
    let mut rate = None;
    for term in terms {
        if let Some(given) = term.values().given("head_lr_mult") {
            if rate.is_some_and(|other| other != given) {
                return Err(Error::BadValue {
                    loss: term.info().name,
                    key: "head_lr_mult",
                    value: given.to_string(),
                    reason: "a loss that shares these class weights sets another; give it once"
                        .into(),
                });
            }
            rate = Some(given);
        }
    }
    Ok(Some(rate.unwrap_or(1.0)))
}

/// The loss to expect at the start of training: that of random embeddings, whose elements are
/// standard normal as after batch normalisation, with fresh class weights. Worth printing, because
/// a margin makes it far larger than chance, which looks like a defect: ArcFace with s = 64, m =
/// 0.5 starts above 30 with ten classes.
///
/// # Errors
/// Those of [`Criterion::new`].
pub fn expected_initial_loss(spec: &Spec, classes: usize, dim: usize) -> Result<f64> {
    const SAMPLES: usize = 256;
    let mut params = Params::<f32>::new();
    let criterion = Criterion::new(spec, &mut Scope::root(&mut params, 0), classes, dim)?;
    let mut rng = Key::new(0).named("initial loss").rng();
    let embeddings = Var::constant(Tensor::from_fn([SAMPLES, dim], |_| rng.normal() as f32));
    let labels: Vec<_> = (0..SAMPLES).map(|_| rng.below(classes)).collect();
    let outcome = criterion.forward(&mut Pass::eval(&params), &embeddings, &labels)?;
    Ok(outcome.loss.value().item().into())
}
