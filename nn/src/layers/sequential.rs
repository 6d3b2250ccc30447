//! Layers one after another.

use crate::export::{ExportError, Exporter, Value};
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, Var};

/// The composition of named layers, the first one applied first. Their parameters are called
/// `<layer>.<parameter>`.
///
/// ```
/// use engine::{Params, Tensor, Var};
/// use nn::{Build, Module, Pass, Scope, Sequential, layers::{Activation, Linear}};
/// let mut params = Params::<f32>::new();
/// let net = Sequential::new()
///     .add("fc1", Linear::new(2, 16))
///     .add("act", Activation::Gelu)
///     .add("fc2", Linear::new(16, 3))
///     .build(&mut Scope::root(&mut params, 0));
/// let x = Var::constant(Tensor::zeros([5, 2]));
/// assert_eq!(net.forward(&mut Pass::eval(&params), &x).shape(), [5, 3].into());
/// let names: Vec<_> = net.iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["fc1", "act", "fc2"]);
/// assert_eq!(params.param(params.find("fc2.weight").unwrap()).shape(), [3, 16].into());
/// ```
pub struct Sequential<T: Float> {
    layers: Vec<(String, Builder<T>)>,
}

type Builder<T> = Box<dyn FnOnce(&mut Scope<'_, T>) -> Box<dyn Module<T>>>;

impl<T: Float> Default for Sequential<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Float> Sequential<T> {
    /// No layers: the identity.
    pub fn new() -> Self {
        Sequential { layers: Vec::new() }
    }

    /// Appends a layer.
    pub fn add(mut self, name: impl Into<String>, layer: impl Build<T> + 'static) -> Self {
        let build: Builder<T> = Box::new(|scope| Box::new(layer.build(scope)));
        self.layers.push((name.into(), build));
        self
    }
}

impl<T: Float> Build<T> for Sequential<T> {
    type Module = SequentialModule<T>;

    fn build(self, scope: &mut Scope<'_, T>) -> SequentialModule<T> {
        let build = |(name, build): (String, Builder<T>)| {
            let module = build(&mut scope.child(&name));
            (name, module)
        };
        let layers = self.layers.into_iter().map(build).collect();
        SequentialModule { layers }
    }
}

/// A [`Sequential`] with its parameters.
pub struct SequentialModule<T: Float> {
    layers: Vec<(String, Box<dyn Module<T>>)>,
}

impl<T: Float> SequentialModule<T> {
    /// The layers with their names, in the order they are applied.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &dyn Module<T>)> {
        self.layers
            .iter()
            .map(|(name, layer)| (name.as_str(), &**layer))
    }
}

impl<T: Float> Module<T> for SequentialModule<T> {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let mut x = x.clone();
        for (name, layer) in &self.layers {
            x = pass.layer(name, layer, &x);
        }
        x
    }

    fn export(&self, to: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        let mut layers = self.layers.iter();
        layers.try_fold(x, |x, (name, layer)| to.layer(name, layer, x))
    }
}
