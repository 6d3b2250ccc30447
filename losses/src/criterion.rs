//! `Criterion`: the losses of a spec with the class weights they own in the model.

use crate::advice::Note;
use crate::batch::{Batch, Heads, Setting};
use crate::error::{Error, Result};
use crate::info::Head;
use crate::loss::{AnyLoss, Part};
use crate::owned::{Held, OwnedKind};
use crate::sampling;
use crate::spec::{Spec, Term};
use crate::table;
use engine::rng::Key;
use engine::{BufferId, Float, ParamId, Params, Tensor, Var};
use nn::{Init, Pass, Scope};
use std::rc::Rc;
use std::sync::Arc;

/// What a network is trained to minimise: the weighted sum of the losses of a [`Spec`].
///
/// Class weights and what else losses own live in the model under `head`, so that they are
/// trained and saved with it:
///
/// | name | shape | what |
/// |---|---|---|
/// | `head.weight` | `[C, D]` | class weights, shared by all losses that compare in the same way |
/// | `head.bias` | `[C]` | of `softmax` |
/// | `head.angular.weight` | `[C, D]` | the same for cosine losses beside one of inner products |
/// | `head.centers` | `[C, D]` | a buffer, of `center` |
/// | `head.<loss>.<name>` | | what a loss names in [`Loss::owns`](crate::Loss::owns): a learned scale, state |
pub struct Criterion<T: Float> {
    spec: Spec,
    notes: Vec<Note>,
    losses: Vec<(f64, Box<dyn AnyLoss<T>>)>,
    linear: Option<(ParamId, Option<ParamId>)>,
    angular: Option<ParamId>,
    owned: Vec<(&'static str, Handle)>,
    classes: usize,
    dim: usize,
    step: u64,
    /// Steps in which margins rise.
    warm_up: u64,
    /// How many classes a training pass compares with, if not with all.
    sampled: Option<usize>,
}

/// Where an owned tensor is.
#[derive(Clone, Copy)]
enum Handle {
    Learned(ParamId),
    State(BufferId),
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
    /// row. `None` for a spec without class weights. Of [sampled](Criterion::sample_classes) classes
    /// there is a column for each.
    pub logits: Option<Tensor<T>>,
    /// The column of each sample's own class in [`logits`](Outcome::logits), `[N]`: its label, where
    /// classes are not sampled.
    pub columns: Arc<[usize]>,
}

/// How hard a summand of a loss pulls.
#[derive(Clone, Debug, PartialEq)]
pub struct Pull {
    /// What it is and what it is worth.
    pub term: TermValue,
    /// The norm of its gradient with respect to the embeddings of the batch, its weight included;
    /// with respect to the features before a neck where it is a loss of those.
    pub embeddings: f64,
    /// The norm of its gradient with respect to everything that is learned under `head`, its
    /// weight included; 0 if nothing is.
    pub head: f64,
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

impl TermValue {
    fn of<T: Float>(part: &Part<T>) -> Self {
        TermValue {
            name: part.name,
            weight: part.weight,
            value: part.mean().value().item().to_f64(),
        }
    }
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
        let losses = build(&spec);
        let has_bias = spec.terms().iter().any(|t| t.info().head == Head::Linear);
        let linear_rate = learning_rate(&spec, Head::is_linear)?;
        let angular_rate = learning_rate(&spec, |head| head == Head::Angular)?;
        let mut head = scope.child("head");
        let linear = linear_rate.map(|rate| {
            // Small enough for the first loss to be that of chance.
            let weight = head.param("weight", [classes, dim], Init::Normal(0.01));
            let bias = has_bias.then(|| head.param("bias", [classes], Init::Constant(0.0)));
            for id in [weight].into_iter().chain(bias) {
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
        let mut owned: Vec<(&'static str, Handle)> = Vec::new();
        for (term, (_, loss)) in spec.terms().iter().zip(&losses) {
            for it in loss.owns(classes, dim) {
                if owned.iter().any(|(name, _)| *name == it.name) {
                    continue;
                }
                let shape = it.shape(classes, dim);
                let handle = match it.kind {
                    OwnedKind::Learned { decay } => {
                        let id = head.param(it.name, shape, it.init);
                        let param = head.params().param_mut(id);
                        param.lr_mult = head_lr_mult(term).unwrap_or(1.0);
                        param.decay = decay;
                        Handle::Learned(id)
                    }
                    OwnedKind::State => {
                        let value = it.init.tensor(shape, Key::new(0));
                        Handle::State(head.buffer(it.name, value))
                    }
                };
                owned.push((it.name, handle));
            }
        }
        Ok(Criterion {
            losses,
            spec,
            notes,
            linear,
            angular,
            owned,
            classes,
            dim,
            step: 0,
            warm_up: 0,
            sampled: None,
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

    /// Lets all margins rise from none, in step 0, to their values, in step `steps`, along a straight
    /// line. To be called before the first step.
    ///
    /// # Errors
    /// [`Error::NoMargin`].
    pub fn warm_margins(&mut self, steps: u64) -> Result<()> {
        if !self.spec.has_margins() {
            return Err(Error::NoMargin {
                spec: self.spec.to_string(),
            });
        }
        self.warm_up = steps;
        self.losses = build(&self.spec_at(self.step));
        Ok(())
    }

    /// The spec of a step, counted from 0: with smaller margins while they rise.
    pub fn spec_at(&self, step: u64) -> Spec {
        match step < self.warm_up {
            true => (self.spec.clone()).with_margins(step as f64 / self.warm_up as f64),
            false => self.spec.clone(),
        }
    }

    /// Lets every training pass compare its samples with a share of the classes only: those of the
    /// batch, filled up with others drawn at random. Only their weights are read and moved, so that
    /// a step costs what this share costs. From some ten thousand classes on, a tenth of them trains
    /// about as well as all: Partial FC, An et al. 2021, arXiv:2010.05222 and CVPR 2022,
    /// arXiv:2203.15565. Evaluation compares with all.
    ///
    /// # Errors
    /// Those of [`Spec::check_sampling`].
    ///
    /// # Panics
    /// If the share is not above 0 and at most 1.
    pub fn sample_classes(&mut self, share: f64) -> Result<()> {
        assert!(share > 0.0 && share <= 1.0, "a share of {share}");
        self.spec.check_sampling()?;
        self.sampled = (share < 1.0).then(|| (share * self.classes as f64).ceil() as usize);
        Ok(())
    }

    /// With how many classes a training pass compares, if there are not more in its batch.
    pub fn classes_compared(&self) -> usize {
        self.sampled.unwrap_or(self.classes)
    }

    /// Sets the training step, counted from 0, for losses that change with time: the annealing of
    /// `sphereface` and `l-softmax`, and margins that [rise](Criterion::warm_margins). To be called
    /// before the forward pass of each step.
    pub fn set_step(&mut self, step: u64) {
        if step.min(self.warm_up) != self.step.min(self.warm_up) {
            self.losses = build(&self.spec_at(step));
        }
        self.step = step;
    }

    /// The loss of embeddings `[N, D]` with their labels. In a training pass, class centres and
    /// other state move on.
    ///
    /// # Errors
    /// If a label is out of range, or shapes do not fit.
    pub fn forward(
        &self,
        pass: &mut Pass<'_, T>,
        embeddings: &Var<T>,
        labels: &[usize],
    ) -> Result<Outcome<T>> {
        self.forward_around_neck(pass, None, embeddings, labels)
    }

    /// The same for a network whose last layer is a neck: losses of samples among themselves (see
    /// [`Family::is_of_samples`](crate::Family::is_of_samples)) are those of the features `before`
    /// it, `[N, D]`.
    ///
    /// # Errors
    /// Those of [`forward`](Criterion::forward).
    pub fn forward_around_neck(
        &self,
        pass: &mut Pass<'_, T>,
        before: Option<&Var<T>>,
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
        let training = pass.key();
        let classes = match (training, self.sampled) {
            (Some(key), Some(wanted)) => Some(sampling::draw(key, self.classes, wanted, labels)),
            _ => None,
        };
        let place = |&label: &usize| match &classes {
            Some(classes) => classes.partition_point(|&class| class < label),
            None => label,
        };
        let columns: Arc<[usize]> = labels.iter().map(place).collect();
        let setting = self.setting(pass, training, classes.as_ref());
        let batch = Batch::new(embeddings, labels, &setting)?.among(&columns);
        let before = before.map(|features| Batch::new(features, labels, &setting));
        let before = before.transpose()?.map(|batch| batch.among(&columns));
        let parts = self.parts(before.as_ref(), &batch)?;
        let terms = parts.iter().map(TermValue::of);
        let logits = match batch.logits()? {
            Some(logits) => Some(logits),
            None => self.own_logits(embeddings, &setting.heads)?,
        };
        let outcome = Outcome {
            loss: total(&parts),
            terms: terms.collect(),
            logits: logits.map(|logits| logits.value().clone()),
            columns,
        };
        for (name, value) in before.iter().chain([&batch]).flat_map(|b| b.renewed.take()) {
            if let Some((_, Handle::State(id))) = self.owned.iter().find(|(n, _)| *n == name) {
                pass.params().set_buffer(*id, value);
            }
        }
        Ok(outcome)
    }

    /// Each loss of the side of the neck that it belongs to.
    fn parts(&self, before: Option<&Batch<'_, T>>, behind: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let sides = self.spec.terms().iter().map(|term| match before {
            Some(before) if term.info().family.is_of_samples() => before,
            _ => behind,
        });
        parts(&self.losses, sides)
    }

    fn setting(
        &self,
        pass: &Pass<'_, T>,
        training: Option<Key>,
        classes: Option<&Arc<[usize]>>,
    ) -> Setting<T> {
        Setting {
            heads: self.heads(pass, classes),
            step: self.step,
            training,
            held: Rc::new(Held::given(Default::default())),
            watch: None,
        }
    }

    /// How hard each summand pulls at embeddings `[N, D]`, or at the features `before` a neck, and
    /// at the class weights. No state moves on. Every summand is computed by itself, so this is for
    /// a look once in a while.
    ///
    /// # Errors
    /// As [`forward`](Criterion::forward).
    pub fn pulls(
        &self,
        params: &Params<T>,
        before: Option<&Tensor<T>>,
        embeddings: &Tensor<T>,
        labels: &[usize],
    ) -> Result<Vec<Pull>> {
        let mut pulls = Vec::new();
        loop {
            let leaf = Var::leaf(embeddings.clone());
            let leaf_before = before.map(|features| Var::leaf(features.clone()));
            let setting = self.setting(&Pass::eval(params).tracked(), None, None);
            let batch = Batch::new(&leaf, labels, &setting)?;
            let before = leaf_before.as_ref();
            let before = before.map(|leaf| Batch::new(leaf, labels, &setting));
            let before = before.transpose()?;
            let parts = self.parts(before.as_ref(), &batch)?;
            let Some(part) = parts.get(pulls.len()) else {
                return Ok(pulls);
            };
            let mut pull = Pull {
                term: TermValue::of(part),
                embeddings: 0.0,
                head: 0.0,
            };
            let value = part.mean() * part.weight;
            if value.is_tracked() {
                let gradients = value.try_backward()?;
                let square = |var: &Var<T>| {
                    let gradient = gradients.of(var).into_iter().flat_map(|g| g.data());
                    gradient.map(|g| g.to_f64().powi(2)).sum::<f64>()
                };
                let owned = setting.heads.owned.values();
                let linear = setting.heads.linear.iter();
                let linear = linear.flat_map(|(w, b)| [Some(w), b.as_ref()]).flatten();
                let head = owned.chain(linear).chain(&setting.heads.angular);
                pull.head = head.map(square).sum::<f64>().sqrt();
                let leaves = leaf_before.iter().chain([&leaf]);
                pull.embeddings = leaves.map(square).sum::<f64>().sqrt();
            }
            pulls.push(pull);
        }
    }

    /// What the classes of embeddings `[N, D]` are predicted by, as in [`Outcome::logits`].
    ///
    /// # Errors
    /// If the dimensions do not fit.
    pub fn logits(&self, pass: &Pass<'_, T>, embeddings: &Var<T>) -> Result<Option<Tensor<T>>> {
        let logits = self.tracked_logits(pass, embeddings)?;
        Ok(logits.map(|logits| logits.value().clone()))
    }

    /// The same with their gradients.
    ///
    /// # Errors
    /// If the dimensions do not fit.
    pub fn tracked_logits(
        &self,
        pass: &Pass<'_, T>,
        embeddings: &Var<T>,
    ) -> Result<Option<Var<T>>> {
        let heads = self.heads(pass, None);
        match heads.logits(embeddings)? {
            Some(logits) => Ok(Some(logits)),
            None => self.own_logits(embeddings, &heads),
        }
    }

    /// Whether there are such logits: not for losses of samples alone.
    ///
    /// # Errors
    /// If `params` are of another model.
    pub fn classifies(&self, params: &Params<T>) -> Result<bool> {
        let embedding = Var::constant(Tensor::full([1, self.dim], T::ONE));
        let logits = self.logits(&Pass::eval(params), &embedding)?;
        Ok(logits.is_some())
    }

    /// Those of the first loss with class weights of its own.
    fn own_logits(&self, embeddings: &Var<T>, heads: &Heads<T>) -> Result<Option<Var<T>>> {
        own_logits(&self.losses, embeddings, heads)
    }

    /// The class weights, or those of some classes, and what else the losses own.
    fn heads(&self, pass: &Pass<'_, T>, classes: Option<&Arc<[usize]>>) -> Heads<T> {
        let of_classes = |id| match classes {
            Some(classes) => pass.rows(id, classes),
            None => pass.param(id),
        };
        let owned = |&(name, handle): &(&'static str, Handle)| {
            let value = match handle {
                Handle::Learned(id) => pass.param(id),
                Handle::State(id) => Var::constant(pass.params().buffer(id)),
            };
            (name, value)
        };
        Heads {
            linear: self.linear.map(|(w, b)| (of_classes(w), b.map(of_classes))),
            angular: self.angular.map(of_classes),
            owned: self.owned.iter().map(owned).collect(),
        }
    }
}

/// The logits of the first loss with class weights of its own.
pub(crate) fn own_logits<T: Float>(
    losses: &[(f64, Box<dyn AnyLoss<T>>)],
    embeddings: &Var<T>,
    heads: &Heads<T>,
) -> Result<Option<Var<T>>> {
    for (_, loss) in losses {
        if let Some(logits) = loss.logits(embeddings, &heads.owned)? {
            return Ok(Some(logits));
        }
    }
    Ok(None)
}

/// The losses of a spec whose parameters are all decided, with their weights.
pub(crate) fn build<T: Float>(spec: &Spec) -> Vec<(f64, Box<dyn AnyLoss<T>>)> {
    spec.terms()
        .iter()
        .map(|term| (term.weight(), table::build(term)))
        .collect()
}

/// The parts of all losses, each of its batch and with its weight in the whole.
pub(crate) fn parts<'a, T: Float>(
    losses: &[(f64, Box<dyn AnyLoss<T>>)],
    batches: impl IntoIterator<Item = &'a Batch<'a, T>>,
) -> Result<Vec<Part<T>>> {
    let mut all = Vec::new();
    for ((weight, loss), batch) in losses.iter().zip(batches) {
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

/// What a term sets as the factor on the learning rate of class weights.
fn head_lr_mult(term: &Term) -> Option<f64> {
    let has = term.info().parameter("head_lr_mult").is_ok();
    has.then(|| term.values().given("head_lr_mult")).flatten()
}

/// The factor on the learning rate of the class weights of one kind; `None` if no loss has such.
fn learning_rate(spec: &Spec, is_kind: impl Fn(Head) -> bool) -> Result<Option<f64>> {
    let terms = spec.terms().iter().filter(|t| is_kind(t.info().head));
    let mut rate = None;
    let mut exists = false;
    for term in terms {
        exists = true;
        if let Some(given) = head_lr_mult(term) {
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
    Ok(exists.then(|| rate.unwrap_or(1.0)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_add_up_to_the_gradient_of_the_loss() {
        let spec: Spec = "softmax + 0.5*center".parse().unwrap();
        let mut params = Params::<f64>::new();
        let criterion = Criterion::new(&spec, &mut Scope::root(&mut params, 1), 3, 4).unwrap();
        let mut rng = Key::new(2).rng();
        let embeddings = Tensor::from_fn([6, 4], |_| rng.normal());
        let labels = [0, 1, 2, 0, 1, 2];
        let before = params.buffers();
        let pulls = criterion
            .pulls(&params, None, &embeddings, &labels)
            .unwrap();
        let names: Vec<_> = pulls.iter().map(|p| p.term.name).collect();
        assert_eq!(names, ["softmax", "center"]);
        assert_eq!(
            before[0].1.data(),
            params.buffers()[0].1.data(),
            "no centre has moved"
        );

        // The softmax alone, by the ordinary way.
        let alone = Criterion::new(
            &"softmax".parse().unwrap(),
            &mut Scope::root(&mut Params::new(), 1),
            3,
            4,
        );
        let alone = alone.unwrap();
        let leaf = Var::leaf(embeddings.clone());
        let outcome = alone
            .forward(&mut Pass::eval(&params).tracked(), &leaf, &labels)
            .unwrap();
        let gradients = outcome.loss.backward();
        let norm = |g: &Tensor<f64>| g.data().iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((pulls[0].embeddings - norm(gradients.of(&leaf).unwrap())).abs() < 1e-12);
        assert!(pulls[0].head > 0.0);
        // Centres are state and are not learned.
        assert!(pulls[1].embeddings > 0.0 && pulls[1].head == 0.0);
        assert!((pulls[1].term.weight - 0.5).abs() < 1e-12);

        // Before a neck the centres pull at what is there, the softmax still behind it.
        let features = embeddings.map(|x| 2.0 * x);
        let around = criterion.pulls(&params, Some(&features), &embeddings, &labels);
        let of_features = criterion.pulls(&params, None, &features, &labels).unwrap();
        let expected = [pulls[0].embeddings, of_features[1].embeddings];
        let around: Vec<f64> = around.unwrap().iter().map(|p| p.embeddings).collect();
        assert_eq!(around, expected);
    }
}
