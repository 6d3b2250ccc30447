//! `Var<T>`: a tensor that remembers where it came from. The heart of the engine.
//!
//! A value points at the [`Node`] that made it, a node at the nodes of its inputs. Nobody else
//! owns the graph: there is no tape to pass around and nothing to clear. Ids only grow, so an
//! input's id is always smaller than its consumer's, and walking the ids downwards visits every
//! node after all of its consumers. Neither `backward` nor `Drop` recurses; a chain of a hundred
//! thousand nodes does not overflow the stack.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::op::Registered;
use crate::params::{Params, Slot};
use crate::profile::{Direction, timed};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::watch;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A value that can be differentiated. Cheap to clone.
///
/// A *leaf* is tracked: gradients flow to it. A *constant* is not, and an operation on constants
/// alone keeps nothing for backward. So inference needs no flag that someone can forget.
///
/// ```
/// use engine::{Tensor, Var};
/// let w = Var::leaf(Tensor::new([2], &[3.0, -1.0_f64]));
/// let x = Var::constant(Tensor::new([2], &[2.0, 5.0]));
/// let loss = (&w * &x).square().sum();
/// assert_eq!(loss.value().item(), 61.0);
/// assert_eq!(loss.backward().of(&w).unwrap().data(), &[24.0, -50.0]); // 2 w x²
/// ```
#[derive(Clone)]
pub struct Var<T: Float> {
    value: Tensor<T>,
    node: Option<Arc<Node<T>>>,
}

/// Takes the gradient of the output and hands out those of the inputs, by index.
type Backward<T> = Box<dyn FnOnce(Tensor<T>, &mut dyn FnMut(usize, Tensor<T>)) + Send>;

/// A tracked value's place in the graph.
pub(crate) struct Node<T: Float> {
    id: u64,
    kind: Kind<T>,
}

enum Kind<T: Float> {
    Leaf(Option<Slot>),
    Step {
        op: &'static str,
        inputs: Vec<Option<Arc<Node<T>>>>,
        backward: Mutex<Option<Backward<T>>>,
    },
}

impl<T: Float> Node<T> {
    fn new(kind: Kind<T>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Node { id, kind })
    }

    pub(crate) fn parameter(slot: Slot) -> Arc<Self> {
        Self::new(Kind::Leaf(Some(slot)))
    }

    /// The name of the parameter that this is, if it is one.
    fn parameter_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Leaf(Some(slot)) => Some(slot.name.to_string()),
            _ => None,
        }
    }
}

impl<T: Float> Drop for Node<T> {
    /// Takes the graph apart with a list instead of the call stack.
    fn drop(&mut self) {
        fn inputs<T: Float>(node: &mut Node<T>) -> impl Iterator<Item = Arc<Node<T>>> {
            let inputs = match &mut node.kind {
                Kind::Leaf(_) => Vec::new(),
                Kind::Step { inputs, .. } => std::mem::take(inputs),
            };
            inputs.into_iter().flatten()
        }
        let mut orphans: Vec<_> = inputs(self).collect();
        while let Some(orphan) = orphans.pop() {
            if let Some(mut node) = Arc::into_inner(orphan) {
                orphans.extend(inputs(&mut node));
            }
        }
    }
}

/// Applies a registered operation.
///
/// # Errors
/// Those of the operation's forward.
pub fn apply<T: Float, O: Registered<N>, const N: usize>(
    op: O,
    inputs: [&Var<T>; N],
) -> Result<Var<T>> {
    apply_and_look(op, inputs, |_| ())
}

/// Applies a registered operation and lets the caller look at what it saved, as batch
/// normalisation does to update its running statistics.
///
/// # Errors
/// Those of the operation's forward.
pub fn apply_and_look<T: Float, O: Registered<N>, const N: usize>(
    op: O,
    inputs: [&Var<T>; N],
    look: impl FnOnce(&O::Saved<T>),
) -> Result<Var<T>> {
    let (value, saved) = timed(O::NAME, Direction::Forward, || {
        op.forward(inputs.map(|v| &v.value))
    })
    .map_err(|e| name_parameters(e, &inputs))?;
    look(&saved);
    watch::look(O::NAME, Direction::Forward, &value, || {
        inputs.iter().rev().find_map(|v| v.parameter())
    });
    let need = inputs.map(|v| v.node.is_some());
    if !need.contains(&true) {
        return Ok(Var::constant(value));
    }
    let shapes = inputs.map(Var::shape);
    let backward: Backward<T> = Box::new(move |dy, emit| {
        let gradients = timed(O::NAME, Direction::Backward, || {
            op.backward(saved, dy, need)
        });
        for (i, dx) in gradients.into_iter().enumerate() {
            if !need[i] {
                continue;
            }
            let dx = dx.unwrap_or_else(|| panic!("{}: no gradient for input {i}", O::NAME));
            let (found, expected) = (dx.shape(), shapes[i]);
            assert_eq!(found, expected, "{}: gradient of input {i}", O::NAME);
            emit(i, dx);
        }
    });
    let node = Node::new(Kind::Step {
        op: O::NAME,
        inputs: inputs.iter().map(|v| v.node.clone()).collect(),
        backward: Mutex::new(Some(backward)),
    });
    Ok(Var {
        value,
        node: Some(node),
    })
}

/// Adds to a shape error the names of the parameters among the operands.
fn name_parameters<T: Float>(mut error: Error, inputs: &[&Var<T>]) -> Error {
    if let Error::Operands(bad) = &mut error {
        for (operand, var) in bad.operands.iter_mut().zip(inputs) {
            operand.name = var.parameter().or(operand.name.take());
        }
    }
    error
}

impl<T: Float> Var<T> {
    /// A value that gradients flow to.
    pub fn leaf(value: Tensor<T>) -> Self {
        let node = Some(Node::new(Kind::Leaf(None)));
        Var { value, node }
    }

    /// A value that gradients do not flow to.
    pub fn constant(value: Tensor<T>) -> Self {
        Var { value, node: None }
    }

    pub(crate) fn of_node(value: Tensor<T>, node: Arc<Node<T>>) -> Self {
        let node = Some(node);
        Var { value, node }
    }

    /// The name of the parameter that this is, if it is one.
    fn parameter(&self) -> Option<String> {
        self.node.as_ref()?.parameter_name()
    }

    /// The same value, cut off from what made it.
    pub fn detach(&self) -> Self {
        Self::constant(self.value.clone())
    }

    /// The value.
    pub fn value(&self) -> &Tensor<T> {
        &self.value
    }

    /// The value's shape.
    pub fn shape(&self) -> Shape {
        self.value.shape()
    }

    /// Whether gradients flow to or through this value.
    pub fn is_tracked(&self) -> bool {
        self.node.is_some()
    }

    /// The gradients of this single number with respect to every leaf behind it. Uses the graph
    /// up: what the operations saved is freed on the way.
    ///
    /// # Panics
    /// Where [`try_backward`](Var::try_backward) has an error.
    #[track_caller]
    pub fn backward(&self) -> Gradients<T> {
        self.try_backward().unwrap_or_else(|e| panic!("{e}"))
    }

    /// [`backward`](Var::backward) that returns its errors.
    ///
    /// # Errors
    /// [`Error::NotScalar`], [`Error::NotTracked`] or [`Error::Consumed`].
    pub fn try_backward(&self) -> Result<Gradients<T>> {
        self.backward_from(self.unit_cotangent()?)
    }

    /// Starts from `dy`, the gradient of some number with respect to this value.
    ///
    /// # Errors
    /// [`Error::NotTracked`] or [`Error::Consumed`].
    ///
    /// # Panics
    /// If `dy` does not have the shape of this value.
    pub fn backward_from(&self, dy: Tensor<T>) -> Result<Gradients<T>> {
        let mut gradients = Gradients::none();
        self.propagate(dy, |node, dx| gradients.add(node.id, dx))?;
        Ok(gradients)
    }

    /// Adds the gradients of this single number to those held by `params`; what belongs to
    /// other leaves is returned.
    ///
    /// # Errors
    /// [`Error::NotScalar`], [`Error::NotTracked`] or [`Error::Consumed`].
    pub fn backward_into(&self, params: &mut Params<T>) -> Result<Gradients<T>> {
        let mut others = Gradients::none();
        self.propagate(self.unit_cotangent()?, |node, dx| match &node.kind {
            Kind::Leaf(Some(slot)) if params.owns(slot) => params.add_grad(slot, &dx),
            _ => others.add(node.id, dx),
        })?;
        Ok(others)
    }

    fn unit_cotangent(&self) -> Result<Tensor<T>> {
        match (self.value.elements(), self.shape()) {
            (1, shape) => Ok(Tensor::full(shape, T::ONE)),
            (_, shape) => Err(Error::NotScalar { shape }),
        }
    }

    /// Reverse mode: visits nodes from the largest id down and hands every contribution to a
    /// leaf to `at_leaf`. The first gradient that reaches a node is moved, later ones are added
    /// in place.
    fn propagate(&self, dy: Tensor<T>, mut at_leaf: impl FnMut(&Node<T>, Tensor<T>)) -> Result<()> {
        assert_eq!(dy.shape(), self.shape(), "cotangent of another shape");
        let root = self.node.clone().ok_or(Error::NotTracked)?;
        let mut pending = BTreeMap::from([(root.id, (root, dy))]);
        while let Some((_, (node, dy))) = pending.pop_last() {
            let (op, inputs, backward) = match &node.kind {
                Kind::Leaf(_) => {
                    at_leaf(&node, dy);
                    continue;
                }
                Kind::Step {
                    op,
                    inputs,
                    backward,
                } => (*op, inputs, backward),
            };
            let backward = backward.lock().ok().and_then(|mut b| b.take());
            backward.ok_or(Error::Consumed { op })?(dy, &mut |i, dx| {
                let Some(input) = &inputs[i] else { return };
                watch::look(op, Direction::Backward, &dx, || input.parameter_name());
                if let Kind::Leaf(_) = input.kind {
                    return at_leaf(input, dx);
                }
                match pending.entry(input.id) {
                    Entry::Vacant(entry) => drop(entry.insert((input.clone(), dx))),
                    Entry::Occupied(mut entry) => entry.get_mut().1.add_assign(&dx),
                }
            });
        }
        Ok(())
    }
}

/// The gradients of leaves, as returned by [`Var::backward`].
pub struct Gradients<T: Float>(BTreeMap<u64, Tensor<T>>);

impl<T: Float> Gradients<T> {
    fn none() -> Self {
        Gradients(BTreeMap::new())
    }

    /// The gradient with respect to `leaf`; `None` if it is a constant or had no part in the value.
    pub fn of(&self, leaf: &Var<T>) -> Option<&Tensor<T>> {
        self.0.get(&leaf.node.as_ref()?.id)
    }

    fn add(&mut self, id: u64, dx: Tensor<T>) {
        match self.0.entry(id) {
            Entry::Vacant(entry) => drop(entry.insert(dx)),
            Entry::Occupied(mut entry) => entry.get_mut().add_assign(&dx),
        }
    }
}

impl<T: Float> fmt::Debug for Var<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.node.as_ref().map(|n| &n.kind) {
            None => "constant",
            Some(Kind::Leaf(None)) => "leaf",
            Some(Kind::Leaf(Some(slot))) => &slot.name,
            Some(Kind::Step { op, .. }) => op,
        };
        write!(f, "Var({origin}) {:?}", self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(x: f64) -> Var<f64> {
        Var::leaf(Tensor::scalar(x))
    }

    #[test]
    fn a_value_used_twice_gets_both_contributions() {
        let x = leaf(3.0);
        let y = &(&x * &x) + &x;
        assert_eq!(y.backward().of(&x).unwrap().item(), 7.0);
    }

    #[test]
    fn a_long_chain_overflows_neither_backward_nor_drop() {
        let x = leaf(0.5);
        let mut y = x.clone();
        for _ in 0..100_000 {
            y = -&y;
        }
        assert_eq!(y.backward().of(&x).unwrap().item(), 1.0);
        drop(y);
        let mut unused = x;
        for _ in 0..100_000 {
            unused = &unused + &unused;
        }
        drop(unused);
    }

    #[test]
    fn misuse_is_explained() {
        let x = leaf(2.0);
        let y = &x * &x;
        y.backward();
        let again = y.try_backward().err().unwrap();
        assert_eq!(again, Error::Consumed { op: "mul" });
        let detached = y.detach().try_backward().err().unwrap();
        assert_eq!(detached, Error::NotTracked);
        let vector = Var::leaf(Tensor::<f32>::zeros([3])).try_backward().err();
        assert!(matches!(vector, Some(Error::NotScalar { .. })));
    }

    #[test]
    fn constants_keep_nothing() {
        let x = Var::constant(Tensor::scalar(2.0));
        let y = &x * &x;
        assert!(!y.is_tracked());
    }
}
