//! A loss and its gradients as a pure function of named tensors, for comparison with other
//! implementations.

use crate::batch::{Batch, Heads, Setting};
use crate::criterion::{build, own_logits, parts, total};
use crate::error::{Error, Result};
use crate::info::Head;
use crate::owned::{Axis, Held, Owned, OwnedKind};
use crate::spec::Spec;
use engine::rng::Key;
use engine::{Float, Shape, Tensor, Var};
use std::collections::BTreeMap;
use std::iter::repeat;
use std::rc::Rc;

/// Tensors with names, as in a file.
pub type Tensors<T> = BTreeMap<String, Tensor<T>>;

/// Computes the losses of `spec` and every gradient, in the type of the inputs, as one training
/// step does.
///
/// | input | shape | for |
/// |---|---|---|
/// | `embeddings` | `[N, D]` | all |
/// | `weight` | `[C, D]` | losses with class weights |
/// | `bias` | `[C]` | `softmax` |
/// | `angular.weight` | `[C, D]` | cosine losses beside one of inner products |
/// | `centers` | `[C, D]` | `center` |
/// | `<loss>.<name>` | | what a loss owns ([`Loss::owns`](crate::Loss::owns)); numbers and state may be left out and then have their initial values, if other tensors tell the number of classes |
/// | `<loss>.<draw>` | | in place of what a loss draws at random |
///
/// | output | shape | what |
/// |---|---|---|
/// | `loss` | `[]` | the weighted sum |
/// | `loss_per_sample` | `[N]` | its values for each sample, if every loss has such |
/// | `grad_<input>` | as the input | the gradient of `loss` |
/// | `logits` | `[N, C]` | cosines, or inner products plus bias; none without class weights |
/// | `new_<state>` | as the state | what the step makes of it: `new_centers` |
///
/// Other inputs are ignored. Losses that change with time are at step 0. Labels count from 0; a
/// spec without tensors that tell the number of classes takes any.
///
/// # Errors
/// If a tensor is missing or has the wrong shape, or a label is out of range.
pub fn evaluate<T: Float>(spec: &Spec, inputs: &Tensors<T>, labels: &[i64]) -> Result<Tensors<T>> {
    let uses = |is: fn(Head) -> bool| spec.terms().iter().any(|t| is(t.info().head));
    let mut reader = Reader {
        spec,
        inputs,
        leaves: Vec::new(),
        classes: None,
    };
    let embeddings = reader.matrix("embeddings", "[N, D]", None)?;
    let dim = embeddings.shape()[1];
    let mut rows = |name, wanted: bool| wanted.then(|| reader.rows(name, dim)).transpose();
    let has_linear = uses(Head::is_linear);
    let linear_weight = rows("weight", has_linear)?;
    let angular_name = if has_linear {
        "angular.weight"
    } else {
        "weight"
    };
    let angular = rows(angular_name, uses(|head| head == Head::Angular))?;
    let bias = uses(|head| head == Head::Linear).then(|| reader.bias());
    let bias = bias.transpose()?;
    // What is owned and how it is laid out does not depend on the number of classes.
    let (layout, _) = spec.resolve(2, dim)?;
    let owned: Vec<Owned> = build::<T>(&layout)
        .iter()
        .flat_map(|(_, loss)| loss.owns(2, dim))
        .collect();
    owned.iter().for_each(|it| reader.count_classes(it));
    let classes = reader.classes.unwrap_or_else(|| {
        let largest = labels.iter().copied().max().unwrap_or(0);
        usize::try_from(largest)
            .unwrap_or(0)
            .saturating_add(1)
            .max(2)
    });
    let labels = check_labels(labels, classes)?;
    let (spec, _) = spec.resolve(classes, dim)?;
    let losses = build(&spec);

    let mut heads = Heads {
        linear: linear_weight.map(|weight| (weight, bias)),
        angular,
        owned: BTreeMap::new(),
    };
    for it in losses.iter().flat_map(|(_, loss)| loss.owns(classes, dim)) {
        if !heads.owned.contains_key(it.name) {
            heads
                .owned
                .insert(it.name, reader.owned(&it, classes, dim)?);
        }
    }
    let setting = Setting {
        heads,
        step: 0,
        training: Some(Key::new(0).named("evaluate")),
        held: Rc::new(Held::given(inputs.clone())),
        watch: None,
    };
    let batch = Batch::new(&embeddings, &labels, &setting)?;
    let parts = parts(&losses, repeat(&batch))?;
    let loss = total(&parts);

    let mut out = Tensors::new();
    out.insert("loss".into(), loss.value().reshape(Shape::SCALAR));
    if parts.iter().all(|part| part.is_per_sample()) {
        let mut sum = Tensor::zeros([labels.len()]);
        for part in &parts {
            let weight = T::of(part.weight);
            sum.zip_assign(part.value.value(), |sum, x| sum + weight * x);
        }
        out.insert("loss_per_sample".into(), sum);
    }
    let logits = match batch.logits()? {
        Some(logits) => Some(logits),
        None => own_logits(&losses, &embeddings, &setting.heads)?,
    };
    if let Some(logits) = logits {
        out.insert("logits".into(), logits.value().clone());
    }
    for (name, value) in batch.renewed.take() {
        out.insert(format!("new_{name}"), value);
    }
    let gradients = loss.try_backward()?;
    for (name, leaf, is_state) in &reader.leaves {
        let gradient = gradients.of(leaf).cloned();
        // State that no gradient reaches has none; all else has at least zeros.
        let gradient = match gradient {
            None if *is_state => continue,
            gradient => gradient.unwrap_or_else(|| Tensor::zeros(leaf.shape())),
        };
        out.insert(format!("grad_{name}"), gradient);
    }
    Ok(out)
}

/// Takes input tensors and makes leaves of them.
struct Reader<'a, T: Float> {
    spec: &'a Spec,
    inputs: &'a Tensors<T>,
    /// Name, leaf, and whether it is state.
    leaves: Vec<(&'static str, Var<T>, bool)>,
    /// The number of classes, from the first tensor that has it.
    classes: Option<usize>,
}

impl<T: Float> Reader<'_, T> {
    fn leaf(
        &mut self,
        name: &'static str,
        expected: &str,
        fits: impl Fn(Shape) -> bool,
    ) -> Result<Var<T>> {
        let tensor = self.inputs.get(name).ok_or_else(|| Error::MissingTensor {
            spec: self.spec.to_string(),
            name,
            expected: expected.to_string(),
            found: self.inputs.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        if !fits(tensor.shape()) {
            return Err(Error::BadShape {
                name: name.to_string(),
                expected: expected.to_string(),
                found: tensor.shape(),
            });
        }
        let leaf = Var::leaf(tensor.clone());
        self.leaves.push((name, leaf.clone(), false));
        Ok(leaf)
    }

    fn matrix(
        &mut self,
        name: &'static str,
        expected: &str,
        columns: Option<usize>,
    ) -> Result<Var<T>> {
        self.leaf(name, expected, |s| {
            s.rank() == 2 && columns.is_none_or(|c| s[1] == c) && s.elements() > 0
        })
    }

    /// A tensor with one row for each class.
    fn rows(&mut self, name: &'static str, dim: usize) -> Result<Var<T>> {
        let expected = match self.classes {
            None => format!("[C, {dim}]"),
            Some(classes) => format!("[{classes}, {dim}]"),
        };
        let classes = self.classes;
        let leaf = self.leaf(name, &expected, |s| {
            s.rank() == 2 && s[1] == dim && s[0] > 0 && classes.is_none_or(|c| s[0] == c)
        })?;
        self.classes = Some(leaf.shape()[0]);
        Ok(leaf)
    }

    /// Takes the number of classes from an owned tensor, if it has an axis of them.
    fn count_classes(&mut self, it: &Owned) {
        let axis = it.axes.iter().position(|axis| *axis == Axis::Classes);
        let given = self.inputs.get(it.name).map(Tensor::shape);
        if let (None, Some(axis), Some(shape)) = (self.classes, axis, given) {
            self.classes = shape.get(axis).copied().filter(|&classes| classes > 0);
        }
    }

    /// What a loss owns: from the inputs, or as it begins.
    fn owned(&mut self, it: &Owned, classes: usize, dim: usize) -> Result<Var<T>> {
        let shape = it.shape(classes, dim);
        let is_weight = it.kind == OwnedKind::Learned { decay: true };
        // Labels alone do not tell the number of classes, and nothing is allocated by them.
        let is_open = self.classes.is_none() && it.axes.contains(&Axis::Classes);
        if self.inputs.contains_key(it.name) || is_weight || is_open {
            let expected = format!("{shape} ({})", it.layout());
            self.leaf(it.name, &expected, |s| s == shape)?;
        } else {
            let leaf = Var::leaf(it.init.tensor(shape, Key::new(0)));
            self.leaves.push((it.name, leaf, false));
        }
        let (_, leaf, is_state) = self.leaves.last_mut().expect("one was just added");
        *is_state = it.kind == OwnedKind::State;
        Ok(leaf.clone())
    }

    fn bias(&mut self) -> Result<Var<T>> {
        let classes = self.classes.unwrap_or(0);
        self.leaf("bias", &format!("[{classes}]"), |s| *s == [classes])
    }
}

fn check_labels(labels: &[i64], classes: usize) -> Result<Vec<usize>> {
    let check = |(position, &label): (usize, &i64)| match usize::try_from(label) {
        Ok(y) if y < classes => Ok(y),
        _ => Err(Error::Label {
            position,
            label,
            classes,
        }),
    };
    labels.iter().enumerate().map(check).collect()
}
