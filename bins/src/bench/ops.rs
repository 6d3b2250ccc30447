//! Single operations on the shapes they have in real networks.

use super::timing::{Times, measure_on};
use engine::ops::{BatchNorm, Conv2d, Gelu, MatMul, MaxPool2d, PRelu, Pass, Relu, Window};
use engine::rng::Key;
use engine::{Op, Params, Shape, Tensor, Var};
use losses::{Criterion, Spec};
use nn::{Optimizer, Scope, Sgd};
use serde::Serialize;

/// An operation on a shape.
pub struct Case {
    /// What, and on which shape.
    pub name: String,
    run: Box<dyn Fn(f64) -> Vec<Row>>,
}

impl Case {
    fn new(name: impl Into<String>, run: impl Fn(f64) -> Vec<Row> + 'static) -> Self {
        Case {
            name: name.into(),
            run: Box::new(run),
        }
    }

    /// Measures each way of running it, for so many seconds.
    pub fn run(&self, seconds: f64) -> Vec<Row> {
        (self.run)(seconds)
    }
}

/// One way of running a case.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Forward, backward, the gradient of one input, or a whole step.
    pub pass: &'static str,
    /// The algorithm, where there is a choice.
    pub algorithm: &'static str,
    /// Seconds.
    pub seconds: Times,
    /// Floating-point operations by the definition; 0 where they do not matter.
    pub flops: f64,
    /// Bytes of operands and results.
    pub bytes: f64,
}

/// Every case.
pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = PRODUCTS.iter().map(|&size| product(size)).collect();
    all.extend(CONVOLUTIONS.iter().map(|&shape| convolution(shape)));
    for shape in MAPS {
        all.push(batch_norm(shape, true));
        all.push(batch_norm(shape, false));
        all.push(plain("relu", Relu, [shape.into()]));
        all.push(plain("gelu", Gelu, [shape.into()]));
        all.push(plain("prelu", PRelu, [shape.into(), [shape[3]].into()]));
        let window = Window::square(2, 2, 0);
        all.push(plain("max_pool 2/2", MaxPool2d { window }, [shape.into()]));
        all.push(plain("add", engine::ops::Add, [shape.into(); 2]));
    }
    for shape in HEADS {
        all.extend(losses::LOSSES.iter().map(|info| head(info.name, shape)));
    }
    for shape in SAMPLED_HEADS {
        for loss in ["softmax", "normface", "arcface", "so-softmax", "cs-softmax"] {
            all.push(head(loss, shape));
        }
    }
    all
}

/// Rows, columns, and the length of the sums.
const PRODUCTS: &[[usize; 3]] = &[
    [63, 63, 63],
    [64, 64, 64],
    [65, 65, 65],
    [127, 127, 127],
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [1, 1000, 1000],
    [1000, 1000, 1],
    [128, 10_000, 512],
];

/// The images of a batch, their side, channels in and out, kernel, stride.
const CONVOLUTIONS: &[[usize; 6]] = &[
    [128, 28, 1, 64, 3, 1],
    [128, 28, 64, 64, 3, 1],
    [128, 14, 64, 64, 3, 1],
    [128, 7, 64, 64, 3, 1],
    [128, 28, 32, 32, 5, 1],
    [128, 14, 64, 64, 5, 1],
    [128, 7, 128, 128, 5, 1],
    [128, 32, 16, 16, 3, 1],
    [128, 16, 32, 32, 3, 1],
    [128, 8, 64, 64, 3, 1],
    [256, 31, 3, 24, 2, 1],
    [256, 15, 64, 256, 3, 1],
    [256, 7, 256, 256, 3, 1],
    [64, 32, 64, 64, 3, 1],
    [64, 16, 128, 128, 3, 1],
    [64, 8, 256, 256, 3, 1],
    [64, 4, 512, 512, 3, 1],
    [64, 32, 64, 128, 3, 2],
    [16, 224, 3, 64, 7, 2],
    [16, 56, 64, 256, 1, 1],
    [16, 56, 256, 64, 1, 1],
    [16, 14, 1024, 256, 1, 1],
];

/// Images between layers: `[N, H, W, C]`.
const MAPS: [[usize; 4]; 3] = [[128, 28, 28, 64], [256, 15, 15, 256], [128, 7, 7, 64]];

/// Batch, numbers of an embedding, classes.
/// What a loss sees: embeddings and class weights.
struct HeadShape {
    batch: usize,
    dim: usize,
    classes: usize,
    /// The share of the classes that a step compares with.
    share: f64,
}

const fn head_shape(batch: usize, dim: usize, classes: usize, share: f64) -> HeadShape {
    HeadShape {
        batch,
        dim,
        classes,
        share,
    }
}

const HEADS: &[HeadShape] = &[
    head_shape(128, 256, 10, 1.0),
    head_shape(128, 512, 1000, 1.0),
    head_shape(128, 512, 100_000, 1.0),
];

const SAMPLED_HEADS: &[HeadShape] = &[
    head_shape(128, 512, 100_000, 0.1),
    head_shape(128, 128, 1_000_000, 0.1),
];

fn random(shape: Shape, name: &str) -> Tensor<f32> {
    let mut rng = Key::new(0).named(name).rng();
    Tensor::from_fn(shape, |_| rng.normal() as f32)
}

fn bytes(tensors: &[Shape]) -> f64 {
    let elements: usize = tensors.iter().map(|s| s.elements()).sum();
    (size_of::<f32>() * elements) as f64
}

/// Times forward, and backward for each of the ways of needing gradients.
fn time<O: Op<N>, const N: usize>(
    op: &O,
    inputs: [Shape; N],
    needs: &[(&'static str, [bool; N])],
    seconds: f64,
    mut row: impl FnMut(&'static str, Times, Shape) -> Row,
) -> Vec<Row> {
    let mut number = 0;
    let inputs = inputs.map(|shape| {
        number += 1;
        random(shape, &format!("input {number}"))
    });
    let operands = inputs.each_ref();
    let forward = || op.forward(operands).expect("shapes that fit together");
    let output = forward().0.shape();
    let dy = random(output, "dy");
    let mut rows = Vec::new();
    let times = measure_on(2, 5, seconds, || (), |()| drop(forward()));
    rows.push(row("forward", times, output));
    for &(pass, need) in needs {
        let times = measure_on(
            2,
            5,
            seconds,
            || (forward().1, Tensor::new(output, dy.data())),
            |(saved, dy)| drop(op.backward(saved, dy, need)),
        );
        rows.push(row(pass, times, output));
    }
    rows
}

/// An operation whose arithmetic is cheap.
fn plain<O: Op<N>, const N: usize>(name: &str, op: O, inputs: [Shape; N]) -> Case {
    Case::new(format!("{name} {}", inputs[0]), move |seconds| {
        time(
            &op,
            inputs,
            &[("backward", [true; N])],
            seconds,
            |pass, times, output| {
                let operands = bytes(&inputs);
                Row {
                    pass,
                    algorithm: "",
                    seconds: times,
                    flops: 0.0,
                    // Backward also reads what forward read, and writes as much.
                    bytes: bytes(&[output]) + operands * if pass == "forward" { 1.0 } else { 2.0 },
                }
            },
        )
    })
}

fn batch_norm(shape: [usize; 4], relu: bool) -> Case {
    let name = if relu {
        "batch_norm + relu"
    } else {
        "batch_norm"
    };
    let op = BatchNorm {
        relu,
        ..BatchNorm::default()
    };
    plain(
        name,
        op,
        [shape.into(), [shape[3]].into(), [shape[3]].into()],
    )
}

fn product([m, n, k]: [usize; 3]) -> Case {
    Case::new(format!("matmul {m}x{k} · {k}x{n}"), move |seconds| {
        let inputs = [[m, k].into(), [k, n].into()];
        let needs = [("dA", [true, false]), ("dB", [false, true])];
        time(
            &MatMul::NN,
            inputs,
            &needs,
            seconds,
            |pass, times, output| Row {
                pass,
                algorithm: "",
                seconds: times,
                flops: (2 * m * n * k) as f64,
                bytes: bytes(&inputs) + bytes(&[output]),
            },
        )
    })
}

fn convolution([n, side, c, o, kernel, stride]: [usize; 6]) -> Case {
    let name = format!("conv2d {n}x{side}x{side}x{c} {kernel}x{kernel}x{o}");
    let name = match stride {
        1 => name,
        stride => format!("{name} /{stride}"),
    };
    Case::new(name, move |seconds| {
        let op = Conv2d {
            stride: [stride; 2],
            ..Conv2d::same(kernel)
        };
        let inputs: [Shape; 2] = [[n, side, side, c].into(), [kernel, kernel, c, o].into()];
        let needs = [("dx", [true, false]), ("dw", [false, true])];
        time(&op, inputs, &needs, seconds, |pass, times, output| {
            let which = match pass {
                "dx" => Pass::GradInput,
                "dw" => Pass::GradWeight,
                _ => Pass::Forward,
            };
            let algorithm = op.algorithm(inputs[0], inputs[1], which);
            Row {
                pass,
                algorithm: algorithm.map_or("", |a| a.name()),
                seconds: times,
                flops: (2 * kernel * kernel * c * output.elements()) as f64,
                bytes: bytes(&inputs) + bytes(&[output]),
            }
        })
    })
}

/// A whole loss with its class weights: forward, backward, and their update.
fn head(loss: &'static str, shape: &'static HeadShape) -> Case {
    let &HeadShape {
        batch,
        dim,
        classes,
        share,
    } = shape;
    let sampled = match share {
        1.0 => String::new(),
        share => format!(", {} %", 100.0 * share),
    };
    Case::new(
        format!("loss {loss} {batch}x{dim}, {classes} classes{sampled}"),
        move |seconds| {
            let mut params = Params::<f32>::new();
            let spec: Spec = loss.parse().expect("a name in the table");
            let mut root = Scope::root(&mut params, 0);
            let Ok(mut criterion) = Criterion::new(&spec, &mut root, classes, dim) else {
                return Vec::new();
            };
            if share < 1.0 {
                (criterion.sample_classes(share)).expect("these losses can be sampled");
            }
            let mut optimizer = Sgd::new(0.9, false, 5e-4);
            let embeddings = Var::leaf(random([batch, dim].into(), "embeddings"));
            let labels: Vec<usize> = (0..batch).map(|i| i / 4 % classes).collect();
            let once = |params: &mut Params<f32>| {
                let mut pass = nn::Pass::train(params, Key::new(0));
                let outcome = criterion.forward(&mut pass, &embeddings, &labels);
                let outcome = outcome.expect("labels in range");
                outcome
                    .loss
                    .backward_into(params)
                    .map(drop)
                    .expect("a fresh graph");
            };
            let times = measure_on(
                2,
                5,
                seconds,
                || (),
                |()| {
                    once(&mut params);
                    optimizer.step(&mut params, 1e-3);
                },
            );
            vec![Row {
                pass: "step",
                algorithm: "",
                seconds: times,
                flops: (3 * 2 * batch * dim * criterion.classes_compared()) as f64,
                // The update reads weight, gradient and momentum and writes two of them.
                bytes: bytes(&[[criterion.classes_compared(), dim].into()]) * 5.0,
            }]
        },
    )
}
