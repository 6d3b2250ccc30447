//! What a layer is, how it is built, and what a forward pass carries.

use engine::rng::Key;
use engine::{BufferId, Float, ParamId, Params, Shape, Tensor, Var};

use crate::export::{ExportError, Exporter, Value};
use crate::init::Init;
use crate::summary::Trace;
use std::cell::RefCell;
use std::sync::Arc;

/// A layer or a network: a function of its input and of parameters that live in [`Params`].
///
/// A module holds handles, no numbers, so one set of parameters can be swapped for another (an
/// average of weights, a checkpoint) without touching the module.
pub trait Module<T: Float>: Send + Sync {
    /// The output for a batch `x`.
    ///
    /// # Panics
    /// If `x` does not have the shape the module is built for; the message names the operation,
    /// the shapes and the parameter.
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T>;

    /// Adds what the module computes in evaluation to a graph for other programs. There images
    /// are `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`ExportError::Unsupported`], as here, for a module that does not say what it consists of.
    ///
    /// # Panics
    /// If `x` does not have the shape the module is built for.
    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let _ = x;
        Err(to.unsupported::<Self>())
    }
}

impl<T: Float, M: Module<T> + ?Sized> Module<T> for Box<M> {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        (**self).forward(pass, x)
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        (**self).export(to, x)
    }
}

/// The description of a layer or a network, from which modules are built: sizes and settings,
/// but no parameters yet. A layer without parameters is its own description.
pub trait Build<T: Float> {
    /// What is built.
    type Module: Module<T> + 'static;

    /// Adds the parameters under `scope` and returns the module that holds their handles.
    ///
    /// # Panics
    /// If a name is taken.
    fn build(self, scope: &mut Scope<'_, T>) -> Self::Module;
}

/// One forward pass: the parameters, and whether it is for training or for evaluation.
pub struct Pass<'a, T: Float> {
    params: &'a Params<T>,
    /// The random numbers of a training pass, and how many layers have drawn from them.
    training: Option<(Key, u64)>,
    /// Whether gradients reach the parameters.
    tracked: bool,
    /// What each layer did, where someone asked. Behind a cell, because fetching a parameter is
    /// noted too.
    trace: Option<RefCell<Trace>>,
}

impl<'a, T: Float> Pass<'a, T> {
    /// A pass that learns: gradients are tracked, batch statistics are used and recorded, and
    /// dropout draws from `key`, which therefore names the step, such as `key.at(step)`.
    pub fn train(params: &'a Params<T>, key: Key) -> Self {
        Pass {
            params,
            training: Some((key, 0)),
            tracked: true,
            trace: None,
        }
    }

    /// A pass that only computes: nothing is tracked, running statistics are used and unchanged.
    pub fn eval(params: &'a Params<T>) -> Self {
        Pass {
            params,
            training: None,
            tracked: false,
            trace: None,
        }
    }

    /// The same pass with gradients that reach the parameters: an evaluation that is differentiated,
    /// at fixed statistics.
    pub fn tracked(self) -> Self {
        Pass {
            tracked: true,
            ..self
        }
    }

    /// An evaluation pass that notes what each layer does.
    pub(crate) fn traced(params: &'a Params<T>) -> Self {
        Pass {
            trace: Some(RefCell::default()),
            ..Self::eval(params)
        }
    }

    pub(crate) fn into_trace(self) -> Option<Trace> {
        self.trace.map(RefCell::into_inner)
    }

    /// Runs a part of a module under its name. Containers call their parts in this way, so that
    /// a [`Summary`](crate::Summary) can show them; a part called without it is not shown.
    pub fn layer(&mut self, name: &str, part: &(impl Module<T> + ?Sized), x: &Var<T>) -> Var<T> {
        let Some(trace) = &self.trace else {
            return part.forward(self, x);
        };
        let outer = trace.borrow_mut().enter(name);
        let y = part.forward(self, x);
        if let Some(trace) = &self.trace {
            trace.borrow_mut().leave(outer, self.params, y.shape());
        }
        y
    }

    /// Whether the pass learns.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// A parameter: tracked in a training pass, a constant in evaluation unless that is
    /// [`tracked`](Pass::tracked).
    pub fn param(&self, id: ParamId) -> Var<T> {
        if let Some(trace) = &self.trace {
            trace.borrow_mut().uses(id);
        }
        match self.tracked {
            true => self.params.var(id),
            false => Var::constant(self.params.value(id)),
        }
    }

    /// Some rows of a parameter, tracked as [`param`](Pass::param) is: see [`Params::rows`].
    ///
    /// # Panics
    /// If the rows do not rise, or there are not so many.
    pub fn rows(&self, id: ParamId, rows: &Arc<[usize]>) -> Var<T> {
        let value = self.params.rows(id, rows.clone());
        match self.tracked {
            true => value,
            false => value.detach(),
        }
    }

    /// The parameters and buffers.
    pub fn params(&self) -> &'a Params<T> {
        self.params
    }

    /// A key for the next random layer of a training pass; `None` in evaluation. Layers get
    /// theirs in the order they are called, which is the same in every pass.
    pub fn key(&mut self) -> Option<Key> {
        let (key, layer) = self.training.as_mut()?;
        *layer += 1;
        Some(key.at(*layer))
    }
}

/// A place in the tree of names under which a module is built: `backbone.conv1`.
///
/// Initial values depend on the seed and on the parameter's full name, not on the order in which
/// layers are built.
pub struct Scope<'a, T: Float> {
    params: &'a mut Params<T>,
    prefix: String,
    key: Key,
}

impl<'a, T: Float> Scope<'a, T> {
    /// The root, whose parameters have no prefix.
    pub fn root(params: &'a mut Params<T>, seed: u64) -> Self {
        Scope {
            params,
            prefix: String::new(),
            key: Key::new(seed).named("init"),
        }
    }

    /// The place `name` below this one.
    pub fn child(&mut self, name: &str) -> Scope<'_, T> {
        Scope {
            prefix: self.full_name(name),
            params: self.params,
            key: self.key,
        }
    }

    /// Adds a parameter with its initial values.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn param(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> ParamId {
        let name = self.full_name(name);
        let value = init.tensor(shape.into(), self.key.named(&name));
        self.params.add(&name, value)
    }

    /// Adds a buffer with its initial value.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn buffer(&mut self, name: &str, value: Tensor<T>) -> BufferId {
        let name = self.full_name(name);
        self.params.add_buffer(&name, value)
    }

    /// The parameters, to set how one is trained.
    pub fn params(&mut self) -> &mut Params<T> {
        self.params
    }

    /// The name of this place; the root's is empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn full_name(&self, name: &str) -> String {
        match self.prefix.as_str() {
            "" => name.to_string(),
            prefix => format!("{prefix}.{name}"),
        }
    }
}
