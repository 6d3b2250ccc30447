//! Graphs as ONNX files.
//!
//! An [`Operator`] is one node of ONNX with the same meaning; only settings that ONNX wants as
//! operands (the sizes of a reshape, the widths of a padding) become constants of their own.

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, Length, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute, element,
};
use super::{Element, ExportError, Graph, Operator, Origin, ValueInfo};
use crate::checkpoint::Metadata;
use engine::Shape;
use engine::ops::Window;
use prost::Message;

/// The version of ONNX's operators. Every runtime since 2022 has it.
pub const OPSET: i64 = 17;

/// The version of the file format that came with [`OPSET`].
const IR_VERSION: i64 = 8;

/// The axis of the images, whose number is open.
const BATCH: &str = "N";

/// The most bytes of weights, so that with all else they remain under the limit of protobuf.
const MOST_BYTES: usize = (1 << 31) - (1 << 24);

/// The content of an ONNX file: the graph with metadata and with a description in words.
///
/// # Errors
/// [`ExportError::TooLarge`].
pub fn file(graph: &Graph, metadata: &Metadata, description: &str) -> Result<Vec<u8>, ExportError> {
    Ok(model(graph, metadata, description)?.encode_to_vec())
}

/// The same, not yet as bytes.
///
/// # Errors
/// [`ExportError::TooLarge`].
pub fn model(
    graph: &Graph,
    metadata: &Metadata,
    description: &str,
) -> Result<ModelProto, ExportError> {
    let constants = graph.values.iter().filter_map(|info| match &info.origin {
        Origin::Constant(tensor) => Some((info, tensor)),
        _ => None,
    });
    let bytes = constants.clone().map(|(_, t)| size_of_val(t.data())).sum();
    if bytes > MOST_BYTES {
        return Err(ExportError::TooLarge { bytes });
    }
    let mut initializer: Vec<_> = constants
        .map(|(info, tensor)| TensorProto {
            dims: whole(&tensor.shape()),
            data_type: element::FLOAT,
            name: info.name.clone(),
            raw_data: bytemuck::cast_slice(tensor.data()).to_vec(),
        })
        .collect();
    let name = |value| graph.info(value).name.clone();
    let mut nodes = Vec::new();
    for node in &graph.nodes {
        let mut node_proto = NodeProto {
            input: node.inputs.iter().map(|&x| name(x)).collect(),
            output: vec![name(node.output)],
            name: name(node.output),
            op_type: node.operator.name().to_string(),
            attribute: attributes(&node.operator),
        };
        let rank = graph.info(node.inputs[0]).shape.rank();
        if let Some(operand) = last_operand(&node.operator, rank) {
            let constant = whole_numbers(format!("{}/sizes", node_proto.name), &operand);
            node_proto.input.push(constant.name.clone());
            initializer.push(constant);
        }
        nodes.push(node_proto);
    }
    let of = |wanted: fn(&ValueInfo) -> bool| {
        let values = graph.values.iter().filter(move |v| wanted(v));
        values.map(described).collect()
    };
    let graph = GraphProto {
        node: nodes,
        name: metadata.get("model").cloned().unwrap_or("network".into()),
        initializer,
        input: of(|v| matches!(v.origin, Origin::Input(_))),
        output: of(|v| v.is_output),
    };
    let metadata = metadata.iter().map(|(key, value)| StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
    });
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "hypersphere".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: description.into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: metadata.collect(),
    })
}

/// An input or output with its type.
fn described(info: &ValueInfo) -> ValueInfoProto {
    let axis = |(i, &length): (usize, &usize)| DimensionProto {
        length: Some(match i {
            0 => Length::Name(BATCH.into()),
            _ => Length::Value(length as i64),
        }),
    };
    let elem_type = match info.origin {
        Origin::Input(Element::U8) => element::UINT8,
        _ => element::FLOAT,
    };
    ValueInfoProto {
        name: info.name.clone(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type,
                shape: Some(TensorShapeProto {
                    dim: info.shape.iter().enumerate().map(axis).collect(),
                }),
            }),
        }),
    }
}

/// The settings of an operator.
fn attributes(operator: &Operator) -> Vec<AttributeProto> {
    match operator {
        Operator::ToFloat => vec![int("to", i64::from(element::FLOAT))],
        Operator::Conv(conv) => vec![
            ints("strides", &conv.stride),
            ints("pads", &both_sides(conv.padding)),
            ints("dilations", &conv.dilation),
            int("group", conv.groups as i64),
        ],
        Operator::BatchNorm { epsilon } => vec![float("epsilon", *epsilon)],
        Operator::Linear => vec![int("transB", 1)],
        Operator::MaxPool(window) => windows(window),
        Operator::AvgPool {
            window,
            count_padding,
        } => {
            let mut settings = windows(window);
            settings.push(int("count_include_pad", i64::from(*count_padding)));
            settings
        }
        Operator::Reduce { axes, keep, .. } => {
            vec![ints("axes", axes), int("keepdims", i64::from(*keep))]
        }
        Operator::LeakyRelu { slope } => vec![float("alpha", *slope)],
        Operator::Transpose(order) => vec![ints("perm", order)],
        Operator::Flatten => vec![int("axis", 1)],
        Operator::Relu
        | Operator::PRelu
        | Operator::Sigmoid
        | Operator::Tanh
        | Operator::Softplus
        | Operator::Erf
        | Operator::Exp
        | Operator::Log
        | Operator::Add
        | Operator::Sub
        | Operator::Mul
        | Operator::Div
        | Operator::Max
        | Operator::Reshape(_)
        | Operator::Pad { .. } => Vec::new(),
    }
}

/// The settings that ONNX wants as the last operand, for a first operand of so many axes.
fn last_operand(operator: &Operator, rank: usize) -> Option<Vec<i64>> {
    match operator {
        Operator::Reshape(shape) => {
            let mut sizes = whole(shape);
            sizes[0] = -1; // as many as there are images
            Some(sizes)
        }
        Operator::Pad {
            axis,
            before,
            after,
        } => {
            let mut widths = vec![0; 2 * rank];
            widths[*axis] = *before as i64;
            widths[rank + axis] = *after as i64;
            Some(widths)
        }
        _ => None,
    }
}

fn windows(window: &Window) -> Vec<AttributeProto> {
    vec![
        ints("kernel_shape", &window.kernel),
        ints("strides", &window.stride),
        ints("pads", &both_sides(window.padding)),
    ]
}

/// The padding above, on the left, below and on the right.
fn both_sides([vertical, horizontal]: [usize; 2]) -> [usize; 4] {
    [vertical, horizontal, vertical, horizontal]
}

fn float(name: &str, number: f64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        f: Some(number as f32),
        r#type: attribute::FLOAT,
        ..AttributeProto::default()
    }
}

fn int(name: &str, number: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i: Some(number),
        r#type: attribute::INT,
        ..AttributeProto::default()
    }
}

fn ints(name: &str, numbers: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints: numbers.iter().map(|&n| n as i64).collect(),
        r#type: attribute::INTS,
        ..AttributeProto::default()
    }
}

fn whole(shape: &Shape) -> Vec<i64> {
    shape.iter().map(|&n| n as i64).collect()
}

fn whole_numbers(name: String, numbers: &[i64]) -> TensorProto {
    TensorProto {
        dims: vec![numbers.len() as i64],
        data_type: element::INT64,
        name,
        raw_data: bytemuck::cast_slice(numbers).to_vec(),
    }
}
