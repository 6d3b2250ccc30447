use super::*;
use crate::init::Init;
use crate::module::{Build, Module, Pass, Scope};
use engine::rng::Key;
use engine::{Params, Shape, Tensor, Var};

fn built<L: Build<f64>>(layer: L) -> (Params<f64>, L::Module) {
    let mut params = Params::new();
    let module = layer.build(&mut Scope::root(&mut params, 3));
    (params, module)
}

fn counted(shape: impl Into<Shape>) -> Var<f64> {
    Var::constant(Tensor::from_fn(shape, |i| (i as f64 * 0.7).sin()))
}

fn evaluated<L: Build<f64>>(layer: L, x: &Var<f64>) -> Var<f64> {
    let (params, module) = built(layer);
    module.forward(&mut Pass::eval(&params), x)
}

#[test]
fn shapes_follow_the_formulas() {
    let image = counted([2, 9, 7, 4]);
    let shape = |y: Var<f64>| y.shape().to_vec();
    let conv = || Conv2d::new(4, 6, 3);
    assert_eq!(shape(evaluated(conv(), &image)), [2, 7, 5, 6]);
    assert_eq!(
        shape(evaluated(conv().padding(1).stride(2), &image)),
        [2, 5, 4, 6]
    );
    assert_eq!(
        shape(evaluated(conv().dilation([2, 1]), &image)),
        [2, 5, 5, 6]
    );
    assert_eq!(shape(evaluated(MaxPool2d::new(2), &image)), [2, 4, 3, 4]);
    assert_eq!(
        shape(evaluated(AvgPool2d::new(3).stride(2).padding(1), &image)),
        [2, 5, 4, 4]
    );
    assert_eq!(shape(evaluated(GlobalAvgPool, &image)), [2, 4]);
    assert_eq!(shape(evaluated(Flatten, &image)), [2, 252]);
    assert_eq!(
        shape(evaluated(BasicBlock::new(4, 8).stride(2), &image)),
        [2, 5, 4, 8]
    );
    assert_eq!(
        shape(evaluated(Linear::new(3, 5), &counted([6, 3]))),
        [6, 5]
    );
}

#[test]
fn parameters_have_their_names_shapes_and_initial_values() {
    let net = Sequential::<f64>::new()
        .add(
            "conv",
            Conv2d::new(4, 6, [3, 5])
                .groups(2)
                .init(Init::Constant(2.0)),
        )
        .add("block", BasicBlock::new(6, 8))
        .add("act", PRelu::new(8))
        .add("fc", Linear::new(8, 3).bias(false));
    let (params, _) = built(net);
    let shape = |name: &str| params.param(params.find(name).unwrap()).shape().to_vec();
    let value = |name: &str| params.value(params.find(name).unwrap()).data()[0];
    assert_eq!(shape("conv.weight"), [3, 5, 2, 6]);
    assert_eq!(shape("conv.bias"), [6]);
    assert_eq!(shape("block.conv2.weight"), [3, 3, 8, 8]);
    assert_eq!(shape("block.shortcut.conv.weight"), [1, 1, 6, 8]);
    assert_eq!(shape("fc.weight"), [3, 8]);
    assert!(params.find("fc.bias").is_err() && params.find("block.conv1.bias").is_err());
    assert_eq!((value("conv.weight"), value("conv.bias")), (2.0, 0.0));
    assert_eq!(
        (value("block.bn1.weight"), value("block.bn1.bias")),
        (1.0, 0.0)
    );
    assert_eq!(value("act.weight"), 0.25);
    let buffers: Vec<String> = params.buffers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        buffers[..2],
        ["block.bn1.running_mean", "block.bn1.running_var"]
    );
    assert_eq!(buffers.len(), 6);
}

#[test]
fn linear_is_a_product_with_the_transpose() {
    let (mut params, fc) = built(Linear::new(2, 3));
    params.set(
        fc.weight,
        &Tensor::new([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    );
    params.set(fc.bias.unwrap(), &Tensor::new([3], &[0.5, 0.0, -0.5]));
    let x = Var::constant(Tensor::new([1, 2], &[10.0, 1.0]));
    let y = fc.forward(&mut Pass::eval(&params), &x);
    assert_eq!(y.value().data(), &[12.5, 34.0, 55.5]);
}

/// Two batches of [N, C] and the numbers of `torch.nn.BatchNorm1d(1)`:
/// batch means 2 and 4, unbiased variances 1 and 4 (biased 2/3 and 8/3).
#[test]
fn running_statistics_are_those_of_pytorch_and_used_in_evaluation() {
    let (params, bn) = built(BatchNorm::new(1));
    let batch = |x: [f64; 3]| Var::constant(Tensor::new([3, 1], &x));
    let mut key = Key::new(0);
    let y = bn.forward(&mut Pass::train(&params, key), &batch([1.0, 2.0, 3.0]));
    assert!((y.value().data()[2] - 1.0 / (2.0 / 3.0 + 1e-5_f64).sqrt()).abs() < 1e-12);
    key = key.at(1);
    bn.forward(&mut Pass::train(&params, key), &batch([2.0, 4.0, 6.0]));
    let running = |id| params.buffer(id).item();
    let (mean, variance) = (0.9 * (0.1 * 2.0) + 0.1 * 4.0, 0.9 * (0.9 + 0.1) + 0.1 * 4.0);
    assert!((running(bn.running_mean) - mean).abs() < 1e-14);
    assert!((running(bn.running_var) - variance).abs() < 1e-14);

    let y = bn.forward(&mut Pass::eval(&params), &batch([1.0, 2.0, 3.0]));
    let expected = (1.0 - mean) / (variance + 1e-5).sqrt();
    assert!((y.value().data()[0] - expected).abs() < 1e-12);
    assert!(
        (running(bn.running_mean) - mean).abs() < 1e-14,
        "unchanged in evaluation"
    );
}

#[test]
fn settings_of_batch_norm_have_their_effect() {
    let (params, bn) = built(BatchNorm::new(1).relu().momentum(1.0).epsilon(1.0));
    let x = Var::constant(Tensor::new([2, 1], &[-1.0, 1.0]));
    let y = bn.forward(&mut Pass::train(&params, Key::new(0)), &x);
    assert_eq!(y.value().data()[0], 0.0);
    assert!((y.value().data()[1] - 0.5_f64.sqrt()).abs() < 1e-12);
    assert_eq!(params.buffer(bn.running_var).item(), 2.0);
}

#[test]
fn dropout_acts_in_training_alone_and_differs_between_layers() {
    let x = Var::constant(Tensor::full([1000], 1.0));
    let (params, net) = built(
        Sequential::<f64>::new()
            .add("drop1", Dropout::new(0.5))
            .add("drop2", Dropout::new(0.5)),
    );
    let y = net.forward(&mut Pass::train(&params, Key::new(1)), &x);
    let kept = y.value().data().iter().filter(|&&y| y == 4.0).count();
    // One mask used twice would keep half of the elements.
    assert!((180..320).contains(&kept), "{kept} of 1000");
    let again = net.forward(&mut Pass::train(&params, Key::new(1)), &x);
    assert_eq!(y.value().data(), again.value().data());
    let eval = net.forward(&mut Pass::eval(&params), &x);
    assert_eq!(eval.value().data(), x.value().data());
}

#[test]
fn activations_are_the_functions_they_say() {
    let x = Var::constant(Tensor::new([2], &[-2.0, 0.5]));
    let cases = [
        (Activation::Relu, [0.0, 0.5]),
        (Activation::LeakyRelu(0.1), [-0.2, 0.5]),
        (Activation::Gelu, [-0.04550026389635842, 0.3457312306370053]),
        (
            Activation::Sigmoid,
            [0.11920292202211755, 0.6224593312018546],
        ),
        (Activation::Tanh, [-0.9640275800758169, 0.46211715726000973]),
        (
            Activation::Softplus,
            [0.1269280110429725, 0.9740769841801067],
        ),
    ];
    for (activation, expected) in cases {
        for (y, e) in evaluated(activation, &x)
            .value()
            .data()
            .iter()
            .zip(expected)
        {
            assert!((y - e).abs() < 1e-12, "{activation:?} {y} {e}");
        }
    }
}

/// The block written out of its parts, with ReLU, against the block.
#[test]
fn the_basic_block_is_its_formula() {
    for (block, shortcut) in [
        (BasicBlock::new(3, 3), false),
        (BasicBlock::new(3, 5).stride(2), true),
    ] {
        let (params, module) = built(block);
        let x = counted([2, 6, 5, 3]);
        let y = module.forward(&mut Pass::train(&params, Key::new(0)), &x);
        let param = |name: &str| params.var(params.find(name).unwrap());
        let norm = |x: &Var<f64>, name: &str| {
            let (gamma, beta) = (
                param(&format!("{name}.weight")),
                param(&format!("{name}.bias")),
            );
            x.batch_norm(&gamma, &beta, engine::ops::BatchNorm::default())
        };
        let conv = |x: &Var<f64>, name: &str, stride, padding| {
            let settings = engine::ops::Conv2d {
                stride: [stride; 2],
                padding: [padding; 2],
                ..Default::default()
            };
            x.conv2d(&param(name), None, settings)
        };
        let stride = if shortcut { 2 } else { 1 };
        let h = norm(&conv(&x, "conv1.weight", stride, 1), "bn1").relu();
        let h = norm(&conv(&h, "conv2.weight", 1, 1), "bn2");
        let skip = match shortcut {
            true => norm(&conv(&x, "shortcut.conv.weight", 2, 0), "shortcut.bn"),
            false => x,
        };
        assert_eq!(y.value().data(), (&h + &skip).relu().value().data());
    }
}

/// Option A, by hand: every second pixel, with a channel of zeros on the left and two on the
/// right.
#[test]
fn the_shortcut_without_parameters_picks_and_pads() {
    let x = counted([1, 3, 5, 2]);
    let layers = Shortcut::Pad.layers::<f64>(2, 5, 2).unwrap();
    let y = evaluated(layers, &x);
    assert_eq!(y.shape(), [1, 2, 3, 5].into());
    for (place, channels) in y.value().data().chunks(5).enumerate() {
        let (i, j) = (2 * (place / 3), 2 * (place % 3));
        let from = (i * 5 + j) * 2;
        let picked = &x.value().data()[from..from + 2];
        assert_eq!(channels, [0.0, picked[0], picked[1], 0.0, 0.0]);
    }
    assert!(Shortcut::Pad.layers::<f64>(4, 4, 1).is_none());
}

#[test]
fn poolings_are_their_formulas() {
    let x = Var::constant(Tensor::new(
        [1, 2, 2, 2],
        &[1.0, -3.0, 2.0, 5.0, 4.0, 1.0, 8.0, 0.0],
    ));
    let values = |y: Var<f64>| y.value().data().to_vec();
    assert_eq!(values(evaluated(GlobalMaxPool, &x)), [8.0, 5.0]);
    // Columns have the means 2.5 and 5, and -1 and 2.5.
    assert_eq!(values(evaluated(MeanMaxPool, &x)), [5.0 + 3.75, 2.5 + 0.75]);
    let gem = values(evaluated(GemPool, &x));
    let cube_root_of_mean = |cubes: [f64; 4]| (cubes.iter().sum::<f64>() / 4.0).cbrt();
    for (found, expected) in gem.iter().zip([
        cube_root_of_mean([1.0, 8.0, 64.0, 512.0]),
        cube_root_of_mean([0.0, 125.0, 1.0, 0.0]),
    ]) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

#[test]
fn parameters_of_batch_norm_can_be_fixed() {
    let (params, bn) = built(BatchNorm::new(2).fixed_shift());
    let trainable = |id| params.param(id).trainable;
    assert!(trainable(bn.weight) && !trainable(bn.bias));
    let (params, bn) = built(BatchNorm::new(2).fixed_scale());
    let trainable = |id| params.param(id).trainable;
    assert!(!trainable(bn.weight) && trainable(bn.bias));
}

#[test]
#[should_panic(expected = "from 4 to 6 channels cannot have 3 groups")]
fn groups_must_divide_the_channels() {
    built(Conv2d::new(4, 6, 3).groups(3));
}
