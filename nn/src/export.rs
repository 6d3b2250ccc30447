//! Trained networks for other programs: ONNX, and safetensors with the names of PyTorch.
//!
//! Every layer says in [`Module::export`], beside its forward pass, of which [`Operator`]s it
//! consists in evaluation. An [`Exporter`] collects them in a [`Graph`]: images `[N, C, H, W]`,
//! weights in the layout of PyTorch, nothing that is specific to one file format. [`onnx`] writes
//! a graph as ONNX; another format needs one more function of a graph. Why not record a forward
//! pass instead? An evaluation pass computes and forgets, and its operations do not know which of
//! their operands are pixels, in which order; a layer does.
//!
//! ```
//! use engine::Params;
//! use nn::export::{Exporter, Pixels, onnx};
//! use nn::{Metadata, Model, Module, Scope};
//! let mut params = Params::<f32>::new();
//! let root = &mut Scope::root(&mut params, 0);
//! let net = Model::find("resnet20")?.build(root, [32, 32, 3], None)?;
//!
//! let mut exporter = Exporter::new(&params);
//! let (mean, std) = ([0.49, 0.48, 0.45], [0.25, 0.24, 0.26]);
//! let image = exporter.image(net.input, Pixels::default(), &mean, &std);
//! let embedding = net.export(&mut exporter, image)?;
//! exporter.output("embedding", embedding);
//! let file = onnx::file(&exporter.finish(), &Metadata::new(), "32x32 pixels, RGB")?;
//! assert!(file.len() > 4 * params.count());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Backbone::to_torch`](crate::Backbone::to_torch) is the inverse of
//! [`Backbone::import`](crate::Backbone::import).

pub mod onnx;
mod operator;
pub mod proto;
mod torch;

pub use operator::{Operator, Reduction};

use crate::layout::Layout;
use crate::module::Module;
use engine::{BufferId, Float, ParamId, Params, Shape, Tensor};

/// Why a network cannot be exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// A module does not say what it consists of.
    #[error(
        "the layer `{place}` cannot be exported: {module} does not say which operators it consists \
         of\n  implement `Module::export` for it"
    )]
    Unsupported {
        /// The path of names to it.
        place: String,
        /// Its type.
        module: &'static str,
    },
    /// More than a protobuf message can hold.
    #[error("the network has {bytes} bytes of weights; an ONNX file holds less than 2^31 bytes")]
    TooLarge {
        /// The size of the weights.
        bytes: usize,
    },
}

/// A network as a graph of operators, each of which comes after those whose results it takes.
/// Images are `[N, C, H, W]`.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Everything that is computed with.
    pub values: Vec<ValueInfo>,
    /// The operations in order.
    pub nodes: Vec<Node>,
}

/// One of the [values](Graph::values) of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

/// What is known of a value.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    /// The name, which no other value has.
    pub name: String,
    /// The shape. What is no constant depends on the images, and its first axis counts them; it
    /// stands here as 1.
    pub shape: Shape,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether the user of the graph gets it.
    pub is_output: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// From the user of the graph.
    Input(Element),
    /// From the network's weights.
    Constant(Tensor<f32>),
    /// From an operation.
    Computed,
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is done
    pub operator: Operator,
    /// with these,
    pub inputs: Vec<Value>,
    /// giving this.
    pub output: Value,
}

/// The numbers of which the user's images consist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Element {
    /// Bytes from 0 to 255.
    #[default]
    U8,
    /// Floating-point numbers of 32 bits from 0 to 1.
    F32,
}

/// The order in which the numbers of the user's images come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// `[N, H, W, C]`, as image files are decoded.
    #[default]
    ChannelsLast,
    /// `[N, C, H, W]`, as in PyTorch.
    ChannelsFirst,
}

/// The images that an exported network takes. Channels are red, green and blue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pixels {
    /// Of which numbers they consist.
    pub element: Element,
    /// In which order.
    pub order: Order,
}

impl Graph {
    /// What is known of a value.
    pub fn info(&self, value: Value) -> &ValueInfo {
        &self.values[value.0]
    }

    /// The operation that gives a value, if one does.
    pub fn producer(&self, value: Value) -> Option<&Node> {
        self.nodes.iter().find(|node| node.output == value)
    }
}

/// Collects the operators of a network.
pub struct Exporter<'a, T: Float> {
    params: &'a Params<T>,
    graph: Graph,
    path: Vec<String>,
}

impl<'a, T: Float> Exporter<'a, T> {
    /// The norm below which [`unit`](Self::unit) does not divide by it, as in the forward pass.
    const SHORTEST: f64 = 1e-12;

    /// An empty graph, for modules whose parameters are in `params`.
    pub fn new(params: &'a Params<T>) -> Self {
        Exporter {
            params,
            graph: Graph {
                values: Vec::new(),
                nodes: Vec::new(),
            },
            path: Vec::new(),
        }
    }

    /// The graph.
    pub fn finish(self) -> Graph {
        self.graph
    }

    /// An input called `name`, of this shape for a batch of one.
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>, element: Element) -> Value {
        self.value(name.to_string(), shape.into(), Origin::Input(element))
    }

    /// The input `image` of `[height, width, channels]`, normalised as for the network: what
    /// comes out is `[N, C, H, W]`, `(pixel / 255 - mean) / std`.
    ///
    /// # Panics
    /// Unless there is one mean and one deviation for each channel.
    pub fn image(
        &mut self,
        [height, width, channels]: [usize; 3],
        pixels: Pixels,
        mean: &[f32],
        std: &[f32],
    ) -> Value {
        assert_eq!([mean.len(), std.len()], [channels; 2], "one per channel");
        let shape = match pixels.order {
            Order::ChannelsLast => [1, height, width, channels],
            Order::ChannelsFirst => [1, channels, height, width],
        };
        let mut x = self.input("image", shape, pixels.element);
        if pixels.element == Element::U8 {
            x = self.apply(Operator::ToFloat, &[x]);
        }
        if pixels.order == Order::ChannelsLast {
            x = self.apply(Operator::Transpose(vec![0, 3, 1, 2]), &[x]);
        }
        let largest = match pixels.element {
            Element::U8 => 255.0,
            Element::F32 => 1.0,
        };
        let shape = [1, channels, 1, 1];
        let slope = Tensor::from_fn(shape, |c| 1.0 / (largest * std[c]));
        let start = Tensor::from_fn(shape, |c| -mean[c] / std[c]);
        let slope = self.constant("preprocessing.slope", slope);
        let start = self.constant("preprocessing.start", start);
        let x = self.apply(Operator::Mul, &[x, slope]);
        self.apply(Operator::Add, &[x, start])
    }

    /// Makes a value an output called `name`.
    ///
    /// # Panics
    /// If it is none that an operation computes, or is an output already.
    pub fn output(&mut self, name: &str, value: Value) {
        let info = &mut self.graph.values[value.0];
        assert!(
            matches!(info.origin, Origin::Computed) && !info.is_output,
            "`{}` cannot be the output `{name}`",
            info.name
        );
        info.name = name.to_string();
        info.is_output = true;
    }

    /// Exports a part of a module under its name, as [`Pass::layer`](crate::Pass::layer) runs it.
    ///
    /// # Errors
    /// Those of the part.
    pub fn layer(
        &mut self,
        name: &str,
        part: &(impl Module<T> + ?Sized),
        x: Value,
    ) -> Result<Value, ExportError> {
        self.path.push(name.to_string());
        let y = part.export(self, x);
        self.path.pop();
        y
    }

    /// The error for a module that cannot be exported.
    pub fn unsupported<M: ?Sized>(&self) -> ExportError {
        ExportError::Unsupported {
            place: self.path.join("."),
            module: std::any::type_name::<M>(),
        }
    }

    /// The shape of a value for a batch of one.
    pub fn shape(&self, value: Value) -> Shape {
        self.graph.info(value).shape
    }

    /// A parameter as it is.
    pub fn param(&mut self, id: ParamId) -> Value {
        self.constant(self.params.param(id).name(), self.params.value(id).cast())
    }

    /// A parameter with a number for each channel, in a shape that goes with the channels of `x`.
    pub fn channel_param(&mut self, id: ParamId, x: Value) -> Value {
        let value = self.params.value(id);
        let shape: Shape = match self.shape(x).rank() {
            4 => [value.elements(), 1, 1].into(),
            _ => value.shape(),
        };
        let value = value.reshape(shape).cast();
        self.constant(self.params.param(id).name(), value)
    }

    /// The weight of a convolution: `[out, in/groups, kh, kw]`.
    pub fn kernel(&mut self, id: ParamId) -> Value {
        let weight = Layout::Convolution.exported(&self.params.value(id));
        self.constant(self.params.param(id).name(), weight.cast())
    }

    /// A buffer as it is.
    pub fn buffer(&mut self, id: BufferId) -> Value {
        let value = self.params.buffer(id).cast();
        self.constant(&self.params.buffer_name(id), value)
    }

    /// A number.
    pub fn scalar(&mut self, number: f64) -> Value {
        self.constant(&format!("{number}"), Tensor::scalar(number as f32))
    }

    /// A constant. The same one twice is one value.
    pub fn constant(&mut self, name: &str, value: Tensor<f32>) -> Value {
        let is_same = |info: &ValueInfo| {
            let Origin::Constant(other) = &info.origin else {
                return false;
            };
            let rest = info.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
                && other.shape() == value.shape()
                && other.data() == value.data()
        };
        match self.graph.values.iter().position(is_same) {
            Some(same) => Value(same),
            None => self.value(name.to_string(), value.shape(), Origin::Constant(value)),
        }
    }

    /// What an operator gives.
    ///
    /// # Panics
    /// If the operands do not have shapes that the operator takes.
    pub fn apply(&mut self, operator: Operator, inputs: &[Value]) -> Value {
        let shapes: Vec<Shape> = inputs.iter().map(|&x| self.shape(x)).collect();
        let shape = operator.output(&shapes);
        let name = match self.path.as_slice() {
            [] => operator.name().to_string(),
            path => format!("{}/{}", path.join("."), operator.name()),
        };
        let output = self.value(name, shape, Origin::Computed);
        self.graph.nodes.push(Node {
            operator,
            inputs: inputs.to_vec(),
            output,
        });
        output
    }

    /// `x / |x|` of rows.
    pub fn unit(&mut self, x: Value) -> Value {
        let norm = Operator::Reduce {
            how: Reduction::Norm,
            axes: vec![1],
            keep: true,
        };
        let norm = self.apply(norm, &[x]);
        let shortest = self.scalar(Self::SHORTEST);
        let norm = self.apply(Operator::Max, &[norm, shortest]);
        self.apply(Operator::Div, &[x, norm])
    }

    /// A new value, under the name or, if that is taken, one that begins with it.
    fn value(&mut self, name: String, shape: Shape, origin: Origin) -> Value {
        let is_taken = |name: &str| self.graph.values.iter().any(|v| v.name == name);
        let mut free = name.clone();
        let mut n = 1;
        while is_taken(&free) {
            n += 1;
            free = format!("{name}:{n}");
        }
        self.graph.values.push(ValueInfo {
            name: free,
            shape,
            origin,
            is_output: false,
        });
        Value(self.graph.values.len() - 1)
    }
}

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod tests;
