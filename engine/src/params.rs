//! The arena: all parameters of a model in one flat slice, their gradients in another.
//!
//! An optimizer step, clipping, weight decay, an average of weights and a checkpoint are each one
//! loop over a slice. Layers hold [`ParamId`]s; [`Params::var`] makes the tracked value. A value
//! shares the arena's buffer, so the arena is written only after the step's graph is gone; writing
//! earlier is safe but copies the arena.

mod arrived;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::par;
use crate::pool::{ALIGNMENT, Buffer};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::var::{Node, Var};
use arrived::Arrived;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// The handle of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(usize);

/// The handle of a buffer: state that is saved with the model but not differentiated, such as
/// running statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(usize);

/// Which parameter a leaf of the graph is.
#[derive(Clone)]
pub(crate) struct Slot {
    arena: u64,
    index: usize,
    pub(crate) name: Arc<str>,
    /// Which rows of it; all if absent.
    rows: Option<Arc<[usize]>>,
}

/// One parameter: its place in the arena and how it is to be trained.
pub struct Param<T: Float> {
    name: Arc<str>,
    shape: Shape,
    offset: usize,
    arrived: Arrived,
    node: Arc<Node<T>>,
    /// Factor on the learning rate, 1 unless set.
    pub lr_mult: f64,
    /// Whether weight decay applies, true unless set.
    pub decay: bool,
    /// Whether gradients flow to it, true unless set.
    pub trainable: bool,
}

impl<T: Float> Param<T> {
    /// The name, such as `"conv1.weight"`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Where the parameter lies in [`Params::values`] and [`Params::grads`].
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.shape.elements()
    }

    /// Whether a gradient has arrived since the last [`Params::clear_grads`].
    pub fn has_grad(&self) -> bool {
        self.arrived != Arrived::Nowhere
    }

    /// The parts of `piece`, a range of the parameter's elements, at which a gradient has arrived
    /// since the last [`Params::clear_grads`], from left to right and counted from the start of the
    /// piece: all of it, nothing, or the rows that [`Params::rows`] took. Elsewhere the gradient
    /// has no meaning.
    pub fn arrived(&self, piece: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
        self.arrived.within(piece, self.row_len())
    }

    /// The elements of a row along axis 0.
    fn row_len(&self) -> usize {
        let rows = self.shape.first().copied().unwrap_or(1);
        (self.shape.elements() / rows.max(1)).max(1)
    }
}

/// The values, gradients and bookkeeping of everything that a model learns.
///
/// ```
/// use engine::{Params, Tensor};
/// let mut params = Params::new();
/// let w = params.add("w", Tensor::new([2], &[1.0, 2.0_f32]));
/// let loss = params.var(w).square().sum();
/// loss.backward_into(&mut params).unwrap();
/// assert_eq!(params.grad(w), &[2.0, 4.0]);
/// ```
pub struct Params<T: Float> {
    arena: u64,
    /// Longer than `used`, so that adding parameters one by one copies little.
    values: Arc<Buffer<T>>,
    grads: Buffer<T>,
    used: usize,
    params: Vec<Param<T>>,
    /// Behind a lock, because a forward pass updates running statistics through `&Params`.
    buffers: Mutex<Vec<(String, Tensor<T>)>>,
}

impl<T: Float> Default for Params<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Float> Params<T> {
    /// An empty arena.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Params {
            arena: NEXT.fetch_add(1, Ordering::Relaxed),
            values: Arc::new(Buffer::stale(0)),
            grads: Buffer::stale(0),
            used: 0,
            params: Vec::new(),
            buffers: Mutex::default(),
        }
    }

    /// Adds a parameter with its initial value.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn add(&mut self, name: &str, value: Tensor<T>) -> ParamId {
        assert!(self.find(name).is_err(), "two parameters called `{name}`");
        let (offset, shape) = (self.used, value.shape());
        // Every parameter begins on its own cache line.
        let align = ALIGNMENT / size_of::<T>();
        self.used += value.elements().next_multiple_of(align);
        if self.used > self.values.len() {
            let capacity = self.used.max(2 * self.values.len());
            self.values = Arc::new(grown(&self.values, capacity));
            self.grads = grown(&self.grads, capacity);
        }
        let name: Arc<str> = name.into();
        let slot = Slot {
            arena: self.arena,
            index: self.params.len(),
            name: name.clone(),
            rows: None,
        };
        self.params.push(Param {
            name,
            shape,
            offset,
            arrived: Arrived::Nowhere,
            node: Node::parameter(slot),
            lr_mult: 1.0,
            decay: true,
            trainable: true,
        });
        let id = ParamId(self.params.len() - 1);
        self.set(id, &value);
        id
    }

    /// The parameter as a value to compute with; gradients flow to it if it is trainable.
    pub fn var(&self, id: ParamId) -> Var<T> {
        let param = &self.params[id.0];
        if param.trainable {
            Var::of_node(self.value(id), param.node.clone())
        } else {
            Var::constant(self.value(id))
        }
    }

    /// Some rows of the parameter along axis 0 as a value `[rows, …]` to compute with. Gradients
    /// flow to these rows alone, and an optimizer moves no others: a table of which a step needs a
    /// small part costs as much as that part.
    ///
    /// # Panics
    /// If the rows do not rise from each to the next, or there are not so many.
    #[track_caller]
    pub fn rows(&self, id: ParamId, rows: Arc<[usize]>) -> Var<T> {
        let param = &self.params[id.0];
        let count = param.shape.first().copied().unwrap_or(0);
        let rise = rows.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(
            rise && rows.last().is_none_or(|&last| last < count),
            "rows of `{}` must rise and lie below {count}",
            param.name
        );
        let (all, width) = (&self.values[param.range()], param.row_len());
        let mut value = Tensor::stale(param.shape.with(0, rows.len()));
        let size = par::task_size(par::CHEAP, width);
        par::chunks(value.data_mut(), size, |start, piece| {
            for (row, &at) in piece.chunks_mut(width).zip(&rows[start / width..]) {
                row.copy_from_slice(&all[at * width..][..width]);
            }
        });
        if !param.trainable {
            return Var::constant(value);
        }
        let slot = Slot {
            arena: self.arena,
            index: id.0,
            name: param.name.clone(),
            rows: Some(rows),
        };
        Var::of_node(value, Node::parameter(slot))
    }

    /// The parameter's value, sharing the arena's memory.
    pub fn value(&self, id: ParamId) -> Tensor<T> {
        let param = &self.params[id.0];
        Tensor::view(self.values.clone(), param.offset, param.shape)
    }

    /// Overwrites the parameter's value.
    ///
    /// # Panics
    /// If the shape differs.
    #[track_caller]
    pub fn set(&mut self, id: ParamId, value: &Tensor<T>) {
        let param = &self.params[id.0];
        assert_eq!(param.shape, value.shape(), "shape of `{}`", param.name);
        let range = param.range();
        self.values_mut()[range].copy_from_slice(value.data());
    }

    /// The parameter's gradient; meaningful where it [has arrived](Param::arrived).
    pub fn grad(&self, id: ParamId) -> &[T] {
        &self.grads[self.params[id.0].range()]
    }

    /// A copy of the parameter's gradient, 0 where none has arrived.
    pub fn whole_grad(&self, id: ParamId) -> Tensor<T> {
        let (param, grad) = (&self.params[id.0], self.grad(id));
        let mut whole = Tensor::zeros(param.shape);
        for part in param.arrived(0..grad.len()) {
            whole.data_mut()[part.clone()].copy_from_slice(&grad[part]);
        }
        whole
    }

    /// All values. Between two parameters there may be padding, which stays zero.
    pub fn values(&self) -> &[T] {
        &self.values[..self.used]
    }

    /// All values, for writing.
    pub fn values_mut(&mut self) -> &mut [T] {
        if Arc::get_mut(&mut self.values).is_none() {
            self.values = Arc::new(Buffer::copied(&self.values));
        }
        &mut Arc::get_mut(&mut self.values).expect("just made unique")[..self.used]
    }

    /// All gradients, laid out as [`values`](Params::values).
    pub fn grads(&self) -> &[T] {
        &self.grads[..self.used]
    }

    /// All gradients, for writing, as clipping does.
    pub fn grads_mut(&mut self) -> &mut [T] {
        &mut self.grads[..self.used]
    }

    /// What an optimizer needs at once: the values to write, the gradients, and the parameters.
    pub fn split(&mut self) -> (&mut [T], &[T], &[Param<T>]) {
        self.values_mut();
        let values = Arc::get_mut(&mut self.values).expect("just made unique");
        (
            &mut values[..self.used],
            &self.grads[..self.used],
            &self.params,
        )
    }

    /// What clipping needs at once: the gradients to write, and the parameters.
    pub fn split_grads(&mut self) -> (&mut [T], &[Param<T>]) {
        (&mut self.grads[..self.used], &self.params)
    }

    /// Forgets the gradients; the next backward writes instead of adding.
    pub fn clear_grads(&mut self) {
        for param in &mut self.params {
            param.arrived = Arrived::Nowhere;
        }
    }

    /// The parameters with their handles, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &Param<T>)> {
        self.params
            .iter()
            .enumerate()
            .map(|(i, param)| (ParamId(i), param))
    }

    /// A parameter's bookkeeping.
    pub fn param(&self, id: ParamId) -> &Param<T> {
        &self.params[id.0]
    }

    /// A parameter's bookkeeping, to set `lr_mult`, `decay` or `trainable`.
    pub fn param_mut(&mut self, id: ParamId) -> &mut Param<T> {
        &mut self.params[id.0]
    }

    /// The number of learned numbers.
    pub fn count(&self) -> usize {
        self.params.iter().map(|p| p.shape.elements()).sum()
    }

    /// The handle of the parameter with this name.
    ///
    /// # Errors
    /// [`Error::UnknownName`], which lists the names there are.
    pub fn find(&self, name: &str) -> Result<ParamId> {
        let names = || self.params.iter().map(|p| &*p.name);
        let index = names().position(|n| n == name);
        index
            .map(ParamId)
            .ok_or_else(|| unknown("parameter", name, names()))
    }

    /// Adds a buffer with its initial value.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn add_buffer(&mut self, name: &str, value: Tensor<T>) -> BufferId {
        assert!(self.find_buffer(name).is_err(), "two buffers `{name}`");
        let mut buffers = self.lock_buffers();
        buffers.push((name.to_string(), value));
        BufferId(buffers.len() - 1)
    }

    /// The buffer's value.
    pub fn buffer(&self, id: BufferId) -> Tensor<T> {
        self.lock_buffers()[id.0].1.clone()
    }

    /// The buffer's name.
    pub fn buffer_name(&self, id: BufferId) -> String {
        self.lock_buffers()[id.0].0.clone()
    }

    /// Overwrites the buffer's value.
    ///
    /// # Panics
    /// If the shape differs.
    #[track_caller]
    pub fn set_buffer(&self, id: BufferId, value: Tensor<T>) {
        let (name, old) = &mut self.lock_buffers()[id.0];
        assert_eq!(old.shape(), value.shape(), "shape of buffer `{name}`");
        *old = value;
    }

    /// The handle of the buffer with this name.
    ///
    /// # Errors
    /// [`Error::UnknownName`], which lists the names there are.
    pub fn find_buffer(&self, name: &str) -> Result<BufferId> {
        let buffers = self.lock_buffers();
        let index = buffers.iter().position(|(n, _)| n == name);
        index
            .map(BufferId)
            .ok_or_else(|| unknown("buffer", name, buffers.iter().map(|(n, _)| n.as_str())))
    }

    /// The buffers' names and values, in the order they were added.
    pub fn buffers(&self) -> Vec<(String, Tensor<T>)> {
        self.lock_buffers().clone()
    }

    fn lock_buffers(&self) -> MutexGuard<'_, Vec<(String, Tensor<T>)>> {
        self.buffers.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn owns(&self, slot: &Slot) -> bool {
        slot.arena == self.arena
    }

    /// Writes the first gradient that arrives at an element and adds the later ones.
    pub(crate) fn add_grad(&mut self, slot: &Slot, dx: &Tensor<T>) {
        let param = &mut self.params[slot.index];
        let (range, width) = (param.range(), param.row_len());
        let before = param.arrived.clone();
        param.arrived.add(slot.rows.as_ref());
        let dx = dx.data();
        let size = par::task_size(par::CHEAP, width);
        par::chunks(&mut self.grads[range], size, |start, grad| {
            let piece = start..start + grad.len();
            let sources = arrived::sources(slot.rows.as_deref(), piece, width);
            for (at, from) in sources {
                let (grad, dx) = (&mut grad[at.clone()], &dx[from]);
                let mut first = 0;
                for old in before.within(start + at.start..start + at.end, width) {
                    grad[first..old.start].copy_from_slice(&dx[first..old.start]);
                    for (g, &d) in grad[old.clone()].iter_mut().zip(&dx[old.clone()]) {
                        *g += d;
                    }
                    first = old.end;
                }
                grad[first..].copy_from_slice(&dx[first..]);
            }
        });
    }
}

fn grown<T: Float>(old: &Buffer<T>, capacity: usize) -> Buffer<T> {
    let mut new = Buffer::filled(capacity, T::ZERO);
    new[..old.len()].copy_from_slice(old);
    new
}

fn unknown<'a>(kind: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::UnknownName {
        kind,
        name: name.to_string(),
        known: known.collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_values_while_the_arena_grows() {
        let mut params = Params::<f32>::new();
        let ids: Vec<_> = (0..20)
            .map(|i| params.add(&format!("p{i}"), Tensor::full([i + 1], i as f32)))
            .collect();
        for (i, &id) in ids.iter().enumerate() {
            assert_eq!(params.value(id).data(), vec![i as f32; i + 1]);
            assert_eq!(params.param(id).range().start % 16, 0);
        }
        assert_eq!(params.count(), 210);
        assert_eq!(params.find("p7").unwrap(), ids[7]);
        assert!(params.find("q").unwrap_err().to_string().contains("p19"));
    }

    #[test]
    fn gradients_add_up_until_they_are_cleared() {
        let mut params = Params::<f64>::new();
        let w = params.add("w", Tensor::scalar(3.0));
        let step = |params: &mut Params<f64>| {
            let w = params.var(w);
            (&w * &w).backward_into(params).map(drop).unwrap();
        };
        step(&mut params);
        step(&mut params);
        assert_eq!(params.grad(w), &[12.0]);
        params.clear_grads();
        assert!(!params.param(w).has_grad());
        step(&mut params);
        assert_eq!(params.grad(w), &[6.0]);
    }

    /// Gradients of some rows are those of the operation that takes rows out of the whole, however
    /// often and in whatever order rows and the whole are used.
    #[test]
    fn rows_get_the_gradient_of_the_whole() {
        let uses: [&[Option<&[usize]>]; 6] = [
            &[Some(&[1, 4])],
            &[Some(&[0, 1, 4]), Some(&[1, 2, 4])],
            &[Some(&[2]), None],
            &[None, Some(&[0, 5])],
            &[Some(&[]), Some(&[3])],
            &[Some(&[1, 3]), Some(&[0, 5]), Some(&[1, 5]), None],
        ];
        for shape in [[6, 3].as_slice(), &[6], &[6, 2, 5]] {
            for uses in uses {
                let mut params = Params::<f64>::new();
                params.add("other", Tensor::full([3], 9.0));
                let value = |i: usize| i as f64 - 4.5;
                let w = params.add("w", Tensor::from_fn(shape, value));
                // What earlier steps have left has no meaning.
                params.grads_mut().fill(f64::NAN);
                let loss = |of_rows: &dyn Fn(Arc<[usize]>) -> Var<f64>, whole: Var<f64>| {
                    let terms = uses.iter().zip(1..).map(|(&rows, k)| {
                        let x = rows.map_or(whole.clone(), |rows| of_rows(rows.into()));
                        (&x.square() * &x).sum() * f64::from(k)
                    });
                    terms.reduce(|a, b| a + b).unwrap()
                };
                let leaf = Var::leaf(params.value(w));
                let by_operation = loss(&|rows| leaf.try_rows(rows).unwrap(), leaf.clone());
                let by_rows = loss(&|rows| params.rows(w, rows), params.var(w));
                assert_eq!(by_rows.value().item(), by_operation.value().item());
                let gradients = by_operation.backward();
                par::with_smallest_tasks(|| by_rows.backward_into(&mut params).map(drop)).unwrap();
                let expected = gradients.of(&leaf).unwrap();
                for (g, e) in params.whole_grad(w).data().iter().zip(expected.data()) {
                    assert!((g - e).abs() < 1e-12, "{shape:?} {uses:?}: {g} {e}");
                }
                let width = shape.iter().product::<usize>() / 6;
                let touched: usize = params.param(w).arrived(0..6 * width).map(|r| r.len()).sum();
                let mut rows: Vec<usize> = Vec::new();
                for of in uses {
                    rows.extend(of.unwrap_or(&[0, 1, 2, 3, 4, 5]));
                }
                rows.sort_unstable();
                rows.dedup();
                assert_eq!(touched, rows.len() * width);
                params.clear_grads();
                assert!(params.whole_grad(w).data().iter().all(|&g| g == 0.0));
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows of `w` must rise and lie below 2")]
    fn a_row_twice_is_refused() {
        let mut params = Params::<f64>::new();
        let w = params.add("w", Tensor::zeros([2, 2]));
        params.rows(w, [1, 1].into());
    }

    #[test]
    fn writing_while_a_graph_lives_leaves_the_graph_alone() {
        let mut params = Params::<f64>::new();
        let w = params.add("w", Tensor::scalar(3.0));
        let y = params.var(w).square();
        params.set(w, &Tensor::scalar(100.0));
        y.backward_into(&mut params).unwrap();
        assert_eq!(params.grad(w), &[6.0]);
    }

    #[test]
    fn frozen_parameters_and_foreign_leaves() {
        let mut params = Params::<f64>::new();
        let w = params.add("w", Tensor::scalar(3.0));
        params.param_mut(w).trainable = false;
        let x = Var::leaf(Tensor::scalar(2.0));
        let others = (&params.var(w) * &x).backward_into(&mut params).unwrap();
        assert!(!params.param(w).has_grad());
        assert_eq!(others.of(&x).unwrap().item(), 3.0);
    }
}
