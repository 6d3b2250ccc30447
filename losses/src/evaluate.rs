//! A loss and its gradients as a pure function of named tensors, for comparison with other
//! implementations.

use crate::batch::{Batch, Heads};
use crate::center::{CenterLoss, center_delta};
use crate::criterion::{build, parts, total};
use crate::error::{Error, Result};
use crate::info::Head;
use crate::spec::Spec;
use engine::{Float, Shape, Tensor, Var};
use std::collections::BTreeMap;

/// Tensors with names, as in a file.
pub type Tensors<T> = BTreeMap<String, Tensor<T>>;

/// Computes the losses of `spec` and every gradient, in the type of the inputs.
///
/// | input | shape | for |
/// |---|---|---|
/// | `embeddings` | `[N, D]` | all |
/// | `weight` | `[C, D]` | losses with class weights |
/// | `bias` | `[C]` | `softmax` |
/// | `angular.weight` | `[C, D]` | cosine losses beside `softmax` |
/// | `centers` | `[C, D]` | `center` |
///
/// | output | shape | what |
/// |---|---|---|
/// | `loss` | `[]` | the weighted sum |
/// | `loss_per_sample` | `[N]` | its values for each sample, if every loss has such |
/// | `grad_<input>` | as the input | the gradient of `loss` |
/// | `logits` | `[N, C]` | cosines, or inner products plus bias; none without class weights |
/// | `center_delta` | `[C, D]` | of `center`: rate times this is subtracted from the centres |
///
/// Other inputs are ignored. Losses that change with time are at step 0.
///
/// # Errors
/// If a tensor is missing or has the wrong shape, or a label is out of range.
pub fn evaluate<T: Float>(spec: &Spec, inputs: &Tensors<T>, labels: &[i64]) -> Result<Tensors<T>> {
    let uses = |head: Head| spec.terms().iter().any(|t| t.info().head == head);
    let mut reader = Reader {
        spec,
        inputs,
        leaves: Vec::new(),
        classes: None,
    };
    let embeddings = reader.matrix("embeddings", "[N, D]", None)?;
    let dim = embeddings.shape()[1];
    let mut rows = |name, wanted: bool| wanted.then(|| reader.rows(name, dim)).transpose();
    let linear_weight = rows("weight", uses(Head::Linear))?;
    let angular_name = if uses(Head::Linear) {
        "angular.weight"
    } else {
        "weight"
    };
    let angular = rows(angular_name, uses(Head::Angular))?;
    let centers = rows("centers", uses(Head::Centers))?;
    let linear = match linear_weight {
        Some(weight) => Some((weight, reader.bias()?)),
        None => None,
    };
    let classes = reader.classes.unwrap_or(0);
    let labels = check_labels(labels, classes)?;
    let (spec, _) = spec.resolve(classes, dim)?;

    let heads = Heads {
        linear,
        angular,
        centers,
    };
    let batch = Batch::new(&embeddings, &labels, &heads, 0)?;
    let parts = parts(&build(&spec), &batch)?;
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
    if let Some(logits) = batch.logits()? {
        out.insert("logits".into(), logits.value().clone());
    }
    if let Some(centers) = &heads.centers {
        let term = spec.terms().iter().find(|t| t.info().head == Head::Centers);
        let rule = CenterLoss::rule(&term.expect("centres are used by a term").values());
        let delta = center_delta(rule, embeddings.value(), &labels, centers.value());
        out.insert("center_delta".into(), delta);
    }
    let gradients = loss.try_backward()?;
    for (name, leaf) in &reader.leaves {
        let gradient = gradients.of(leaf).cloned();
        let gradient = gradient.unwrap_or_else(|| Tensor::zeros(leaf.shape()));
        out.insert(format!("grad_{name}"), gradient);
    }
    Ok(out)
}

/// Takes input tensors and makes leaves of them.
struct Reader<'a, T: Float> {
    spec: &'a Spec,
    inputs: &'a Tensors<T>,
    leaves: Vec<(&'static str, Var<T>)>,
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
        self.leaves.push((name, leaf.clone()));
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
