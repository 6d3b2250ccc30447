//! Weights with the names and layouts of PyTorch.

use super::{Element, ExportError, Exporter, Graph, Operator};
use crate::import::{EXTRA, torch_name};
use crate::layout::Layout;
use crate::module::Module;
use crate::networks::{Backbone, Model};
use engine::{Float, Params, Shape, Tensor};

impl<T: Float> Backbone<T> {
    /// The network's parameters and running statistics as PyTorch has them, and with them the
    /// classifier behind the embedding, if one is given: its weight `[classes, D]` and bias. The
    /// inverse of [`import`](Backbone::import).
    ///
    /// Convolution weights are `[out, in/groups, kh, kw]`; the columns of a linear layer on an
    /// image are in the order channels, rows, columns. Networks that `import` knows have the names
    /// of the program it imports from; what they have beyond the published network stands under
    /// `embedding.`. Others have their names here, under which PyTorch's modules of the same kinds
    /// take the tensors as they are. The classifier is called `fc` where torchvision has one, else
    /// `classifier`.
    ///
    /// # Errors
    /// [`ExportError::Unsupported`] if the order of a linear layer's columns cannot be told,
    /// because a layer does not say what it consists of.
    pub fn to_torch(
        &self,
        params: &Params<T>,
        classifier: Option<(Tensor<T>, Option<Tensor<T>>)>,
    ) -> Result<Vec<(String, Tensor<T>)>, ExportError> {
        let naming = Model::find(self.name).ok().and_then(Model::naming);
        let mut exporter = Exporter::new(params);
        let [height, width, channels] = self.input;
        let image = exporter.input("image", [1, channels, height, width], Element::F32);
        self.export(&mut exporter, image)?;
        let graph = exporter.finish();

        let learned = params.iter();
        let learned = learned.map(|(id, p)| (p.name().to_string(), params.value(id)));
        let mut tensors = Vec::new();
        for (full_name, value) in learned.chain(params.buffers()) {
            let Some(name) = self.own_name(&full_name) else {
                continue;
            };
            let layout = match (value.shape().rank(), flattened(&graph, &full_name)) {
                (4, _) => Layout::Convolution,
                (2, Some(image)) => Layout::OfImage { channels: image[1] },
                _ => Layout::Same,
            };
            let name = match naming {
                Some(naming) if naming.covers(name) => torch_name(name),
                Some(_) => format!("{EXTRA}{name}"),
                None => name.to_string(),
            };
            tensors.push((name, layout.exported(&value)));
        }
        if let Some((weight, bias)) = classifier {
            let name = naming.map_or("classifier", |naming| naming.classifiers()[0]);
            tensors.push((format!("{name}.weight"), weight));
            tensors.extend(bias.map(|bias| (format!("{name}.bias"), bias)));
        }
        Ok(tensors)
    }
}

/// The shape `[1, C, H, W]` of the image whose numbers, channels last, the columns of a linear
/// weight belong to; `None` if it stands on something else.
fn flattened(graph: &Graph, weight: &str) -> Option<Shape> {
    let mut nodes = graph.nodes.iter();
    let linear = nodes.find(|node| {
        let on = node.inputs.get(1).map(|&w| graph.info(w).name.as_str());
        node.operator == Operator::Linear && on == Some(weight)
    })?;
    let flatten = graph.producer(linear.inputs[0])?;
    let channels_last = graph.producer(flatten.inputs[0])?;
    let is_image = flatten.operator == Operator::Flatten
        && channels_last.operator == Operator::Transpose(vec![0, 2, 3, 1]);
    is_image.then(|| graph.info(channels_last.inputs[0]).shape)
}
