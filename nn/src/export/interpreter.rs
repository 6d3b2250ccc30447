//! Runs ONNX files, for the tests: every operator straight from its definition in ONNX's
//! documentation, one loop each, in `f64`. It knows nothing of how the files are written.

use super::proto::{GraphProto, Length, ModelProto, NodeProto, TensorProto, element};
use std::collections::BTreeMap;

/// Numbers in row-major order.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Array {
    fn from_fn(shape: &[usize], f: impl FnMut(&[usize]) -> f64) -> Self {
        let data = places(shape).iter().map(Vec::as_slice).map(f).collect();
        Array {
            shape: shape.to_vec(),
            data,
        }
    }

    fn at(&self, place: &[usize]) -> f64 {
        let index = place.iter().zip(&self.shape);
        self.data[index.fold(0, |index, (&i, &n)| {
            assert!(i < n);
            index * n + i
        })]
    }

    /// The element that stands at a place of a larger array when this one is broadcast to it.
    fn broadcast_at(&self, place: &[usize]) -> f64 {
        let own = &place[place.len() - self.shape.len()..];
        let own = own.iter().zip(&self.shape);
        let own: Vec<_> = own.map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
        self.at(&own)
    }
}

/// All places of an array in row-major order.
fn places(shape: &[usize]) -> Vec<Vec<usize>> {
    let count = shape.iter().product();
    let place = |mut index: usize| {
        let mut place = vec![0; shape.len()];
        for (i, &n) in place.iter_mut().zip(shape).rev() {
            *i = index % n;
            index /= n;
        }
        place
    };
    (0..count).map(place).collect()
}

/// The outputs for an input, by name. Checks on the way that names are defined once and before
/// they are used, and that shapes are as declared.
pub fn run(model: &ModelProto, input: Array) -> BTreeMap<String, Array> {
    let [set] = &*model.opset_import else {
        panic!("one set of operators")
    };
    assert_eq!((set.domain.as_str(), set.version), ("", 17));
    let graph = model.graph.as_ref().expect("there is a graph");
    let mut values: BTreeMap<&str, Array> = BTreeMap::new();
    let define = |values: &mut BTreeMap<_, _>, name, array| {
        assert!(
            values.insert(name, array).is_none(),
            "{name} is defined twice"
        );
    };
    for constant in &graph.initializer {
        define(&mut values, &*constant.name, decoded(constant));
    }
    assert_declared(graph, &graph.input[0].name, &input);
    define(&mut values, &*graph.input[0].name, input);
    for node in &graph.node {
        let operand = |name: &String| values.get(name.as_str()).cloned();
        let operands: Option<Vec<_>> = node.input.iter().map(operand).collect();
        let operands = operands.unwrap_or_else(|| panic!("{node:?} uses what is not defined"));
        define(&mut values, &*node.output[0], apply(node, &operands));
    }
    let outputs = graph.output.iter().map(|output| {
        let array = values[output.name.as_str()].clone();
        assert_declared(graph, &output.name, &array);
        (output.name.clone(), array)
    });
    outputs.collect()
}

fn assert_declared(graph: &GraphProto, name: &str, array: &Array) {
    let declared = graph.input.iter().chain(&graph.output);
    let declared = declared.into_iter().find(|info| info.name == name).unwrap();
    let tensor = declared
        .r#type
        .as_ref()
        .unwrap()
        .tensor_type
        .as_ref()
        .unwrap();
    let axes = &tensor.shape.as_ref().unwrap().dim;
    assert_eq!(axes.len(), array.shape.len(), "{name}");
    for (i, (axis, &n)) in axes.iter().zip(&array.shape).enumerate() {
        match axis.length.as_ref().unwrap() {
            Length::Name(open) => assert_eq!((i, open.as_str()), (0, "N"), "{name}"),
            Length::Value(length) => assert_eq!(*length, n as i64, "{name}"),
        }
    }
}

fn decoded(constant: &TensorProto) -> Array {
    let shape: Vec<usize> = constant.dims.iter().map(|&n| n as usize).collect();
    let bytes = &constant.raw_data;
    let data: Vec<f64> = match constant.data_type {
        element::FLOAT => bytes
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
            .collect(),
        element::INT64 => bytes
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64)
            .collect(),
        other => panic!("{} has type {other}", constant.name),
    };
    assert_eq!(
        data.len(),
        shape.iter().product::<usize>(),
        "{}",
        constant.name
    );
    Array { shape, data }
}

fn ints(node: &NodeProto, name: &str) -> Vec<usize> {
    let found = node.attribute.iter().find(|a| a.name == name);
    let found = found.unwrap_or_else(|| panic!("{node:?} has no {name}"));
    assert_eq!(found.r#type, 7);
    found.ints.iter().map(|&n| n as usize).collect()
}

fn int(node: &NodeProto, name: &str) -> i64 {
    let found = node.attribute.iter().find(|a| a.name == name).unwrap();
    assert_eq!(found.r#type, 2);
    found.i.expect("a whole number")
}

fn float(node: &NodeProto, name: &str) -> f64 {
    let found = node.attribute.iter().find(|a| a.name == name).unwrap();
    assert_eq!(found.r#type, 1);
    f64::from(found.f.expect("a number"))
}

fn apply(node: &NodeProto, x: &[Array]) -> Array {
    let each = |f: &dyn Fn(f64) -> f64| Array {
        shape: x[0].shape.clone(),
        data: x[0].data.iter().map(|&x| f(x)).collect(),
    };
    let both = |f: &dyn Fn(f64, f64) -> f64| {
        let shape = broadcast(&x[0].shape, &x[1].shape);
        Array::from_fn(&shape, |i| f(x[0].broadcast_at(i), x[1].broadcast_at(i)))
    };
    match node.op_type.as_str() {
        "Cast" => {
            assert_eq!(int(node, "to"), 1);
            x[0].clone()
        }
        "Conv" => conv(node, x),
        "BatchNormalization" => {
            let epsilon = float(node, "epsilon");
            let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|i| &x[i].data);
            Array::from_fn(&x[0].shape, |i| {
                let c = i[1];
                (x[0].at(i) - mean[c]) / (variance[c] + epsilon).sqrt() * scale[c] + shift[c]
            })
        }
        "Gemm" => {
            assert_eq!(int(node, "transB"), 1);
            let [rows, inner] = *x[0].shape else { panic!() };
            Array::from_fn(&[rows, x[1].shape[0]], |i| {
                let products = (0..inner).map(|k| x[0].at(&[i[0], k]) * x[1].at(&[i[1], k]));
                products.sum::<f64>() + x.get(2).map_or(0.0, |bias| bias.broadcast_at(i))
            })
        }
        "MaxPool" => pool(node, &x[0], &|seen, _| {
            seen.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        }),
        "AveragePool" => {
            let all = int(node, "count_include_pad") == 1;
            pool(node, &x[0], &|seen, window| {
                seen.iter().sum::<f64>() / if all { window } else { seen.len() } as f64
            })
        }
        "ReduceMean" => reduce(node, &x[0], |x| x.iter().sum::<f64>() / x.len() as f64),
        "ReduceMax" => reduce(node, &x[0], |x| {
            x.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        }),
        "ReduceLogSumExp" => reduce(node, &x[0], |x| x.iter().map(|x| x.exp()).sum::<f64>().ln()),
        "ReduceL2" => reduce(node, &x[0], |x| x.iter().map(|x| x * x).sum::<f64>().sqrt()),
        "Relu" => each(&|x| x.max(0.0)),
        "LeakyRelu" => each(&|x| if x < 0.0 { float(node, "alpha") * x } else { x }),
        "PRelu" => both(&|x, slope| if x < 0.0 { slope * x } else { x }),
        "Sigmoid" => each(&|x| 1.0 / (1.0 + (-x).exp())),
        "Tanh" => each(&f64::tanh),
        "Softplus" => each(&|x| x.exp().ln_1p()),
        "Erf" => each(&erf),
        "Exp" => each(&f64::exp),
        "Log" => each(&f64::ln),
        "Add" => both(&|a, b| a + b),
        "Sub" => both(&|a, b| a - b),
        "Mul" => both(&|a, b| a * b),
        "Div" => both(&|a, b| a / b),
        "Max" => both(&f64::max),
        "Transpose" => {
            let order = ints(node, "perm");
            let shape: Vec<_> = order.iter().map(|&axis| x[0].shape[axis]).collect();
            Array::from_fn(&shape, |i| {
                let mut from = vec![0; i.len()];
                order.iter().zip(i).for_each(|(&axis, &i)| from[axis] = i);
                x[0].at(&from)
            })
        }
        "Flatten" => {
            assert_eq!(int(node, "axis"), 1);
            let rest = x[0].shape[1..].iter().product();
            Array {
                shape: vec![x[0].shape[0], rest],
                data: x[0].data.clone(),
            }
        }
        "Reshape" => {
            assert_eq!(x[1].data[0], -1.0);
            let mut shape: Vec<_> = x[1].data[1..].iter().map(|&n| n as usize).collect();
            shape.insert(0, x[0].data.len() / shape.iter().product::<usize>());
            Array {
                shape,
                data: x[0].data.clone(),
            }
        }
        "Pad" => {
            let (rank, width) = (x[0].shape.len(), |i: usize| x[1].data[i] as usize);
            let lengths = x[0].shape.iter().enumerate();
            let lengths = lengths.map(|(axis, n)| width(axis) + n + width(rank + axis));
            Array::from_fn(&lengths.collect::<Vec<_>>(), |i| {
                let from = i.iter().enumerate();
                let from = from.map(|(axis, i)| {
                    let i = i.checked_sub(width(axis))?;
                    (i < x[0].shape[axis]).then_some(i)
                });
                let from: Option<Vec<_>> = from.collect();
                from.map_or(0.0, |from| x[0].at(&from))
            })
        }
        other => panic!("{other} is no operator known here"),
    }
}

fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let length = |x: &[usize], axis: usize| {
        let missing = rank - x.len();
        axis.checked_sub(missing).map_or(1, |axis| x[axis])
    };
    let lengths = (0..rank).map(|axis| match (length(a, axis), length(b, axis)) {
        (a, b) if a == b => a,
        (1, n) | (n, 1) => n,
        (a, b) => panic!("{a} against {b}"),
    });
    lengths.collect()
}

/// Where tap `k` of a window at place `i` lies on the image; `None` in the padding.
fn source(
    i: usize,
    k: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
    n: usize,
) -> Option<usize> {
    let i = (i * stride + k * dilation).checked_sub(pad)?;
    (i < n).then_some(i)
}

fn conv(node: &NodeProto, x: &[Array]) -> Array {
    let (image, weight) = (&x[0], &x[1]);
    let [stride, pads, dilation] = ["strides", "pads", "dilations"].map(|n| ints(node, n));
    let groups = int(node, "group") as usize;
    let [n, _, h, w] = *image.shape else { panic!() };
    let [outputs, inner, kh, kw] = *weight.shape else {
        panic!()
    };
    let places = |axis: usize, n: usize, k: usize| {
        (n + pads[axis] + pads[axis + 2] - dilation[axis] * (k - 1) - 1) / stride[axis] + 1
    };
    Array::from_fn(&[n, outputs, places(0, h, kh), places(1, w, kw)], |i| {
        let group = i[1] / (outputs / groups);
        let mut sum = x.get(2).map_or(0.0, |bias| bias.at(&[i[1]]));
        for c in 0..inner {
            for y in 0..kh {
                for z in 0..kw {
                    let row = source(i[2], y, stride[0], dilation[0], pads[0], h);
                    let column = source(i[3], z, stride[1], dilation[1], pads[1], w);
                    if let (Some(row), Some(column)) = (row, column) {
                        let pixel = image.at(&[i[0], group * inner + c, row, column]);
                        sum += pixel * weight.at(&[i[1], c, y, z]);
                    }
                }
            }
        }
        sum
    })
}

/// A function of the pixels that a window sees and of its size.
fn pool(node: &NodeProto, x: &Array, f: &dyn Fn(&[f64], usize) -> f64) -> Array {
    let [kernel, stride, pads] = ["kernel_shape", "strides", "pads"].map(|n| ints(node, n));
    let places = |axis: usize| {
        (x.shape[axis + 2] + pads[axis] + pads[axis + 2] - kernel[axis]) / stride[axis] + 1
    };
    Array::from_fn(&[x.shape[0], x.shape[1], places(0), places(1)], |i| {
        let mut seen = Vec::new();
        for y in 0..kernel[0] {
            for z in 0..kernel[1] {
                let row = source(i[2], y, stride[0], 1, pads[0], x.shape[2]);
                let column = source(i[3], z, stride[1], 1, pads[1], x.shape[3]);
                if let (Some(row), Some(column)) = (row, column) {
                    seen.push(x.at(&[i[0], i[1], row, column]));
                }
            }
        }
        f(&seen, kernel[0] * kernel[1])
    })
}

fn reduce(node: &NodeProto, x: &Array, f: impl Fn(&[f64]) -> f64) -> Array {
    let axes = ints(node, "axes");
    let kept = |axis: &usize| !axes.contains(axis);
    let all = 0..x.shape.len();
    let outer: Vec<_> = all.clone().filter(kept).collect();
    let shape: Vec<_> = outer.iter().map(|&axis| x.shape[axis]).collect();
    let inner: Vec<_> = axes.iter().map(|&axis| x.shape[axis]).collect();
    let mut reduced = Array::from_fn(&shape, |i| {
        let of = |j: Vec<usize>| {
            let mut place = vec![0; x.shape.len()];
            outer.iter().zip(i).for_each(|(&axis, &i)| place[axis] = i);
            axes.iter().zip(&j).for_each(|(&axis, &j)| place[axis] = j);
            x.at(&place)
        };
        f(&places(&inner).into_iter().map(of).collect::<Vec<_>>())
    });
    if int(node, "keepdims") == 1 {
        let lengths = all.map(|axis| if kept(&axis) { x.shape[axis] } else { 1 });
        reduced.shape = lengths.collect();
    }
    reduced
}

/// The Maclaurin series, and beyond 4 what it tends to: no error above 2e-8.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}
