use super::interpreter::{Array, run};
use super::proto::ModelProto;
use super::*;
use crate::checkpoint::{Checkpoint, Metadata};
use crate::layers::*;
use crate::module::{Build, Pass, Scope};
use crate::networks::{Backbone, Model, ModelOptions, Pooling};
use engine::Var;
use engine::rng::Key;
use prost::Message;

/// Makes everything that stands at 0, at 1 or at a common value at the start something else, or a
/// mistake in it could not be seen.
fn scatter(params: &mut Params<f32>) {
    let ids: Vec<_> = params
        .iter()
        .map(|(id, p)| (id, p.name().to_string()))
        .collect();
    for (id, name) in ids {
        let mut rng = Key::new(5).named(&name).rng();
        let value = params.value(id);
        if value.shape().rank() == 1 {
            params.set(id, &value.map_in_order(|x| x + 0.2 * rng.normal() as f32));
        }
    }
    for (name, value) in params.buffers() {
        let mut rng = Key::new(6).named(&name).rng();
        let value = match name.ends_with("running_var") {
            true => value.map_in_order(|_| rng.range(0.5, 2.0) as f32),
            false => value.map_in_order(|_| 0.3 * rng.normal() as f32),
        };
        params.set_buffer(params.find_buffer(&name).unwrap(), value);
    }
}

trait InOrder {
    fn map_in_order(&self, f: impl FnMut(f32) -> f32) -> Self;
}

impl InOrder for Tensor<f32> {
    fn map_in_order(&self, mut f: impl FnMut(f32) -> f32) -> Self {
        Tensor::from_fn(self.shape(), |i| f(self.data()[i]))
    }
}

/// Images `[N, H, W, C]` as bytes.
fn images(shape: [usize; 4]) -> Vec<u8> {
    let mut rng = Key::new(7).named("images").rng();
    (0..shape.iter().product())
        .map(|_| rng.below(256) as u8)
        .collect()
}

fn decoded(file: &[u8]) -> ModelProto {
    ModelProto::decode(file).unwrap()
}

/// Compares what the file computes for a few images of `[h, w, c]` with the forward pass.
#[track_caller]
fn assert_same(what: &str, net: &impl Module<f32>, params: &Params<f32>, input: [usize; 3]) {
    let [h, w, c] = input;
    let shape = [2, h, w, c];
    let bytes = images(shape);
    let (mean, std) = (vec![0.4, 0.5, 0.3], vec![0.2, 0.25, 0.3]);
    let (mean, std) = (&mean[..c], &std[..c]);
    let mut exporter = Exporter::new(params);
    let image = exporter.image(input, Pixels::default(), mean, std);
    let y = net.export(&mut exporter, image).unwrap();
    exporter.output("embedding", y);
    let file = onnx::file(&exporter.finish(), &Metadata::new(), "").unwrap();
    let pixels = bytes.iter().map(|&b| f64::from(b)).collect();
    let pixels = Array {
        shape: shape.to_vec(),
        data: pixels,
    };
    let found = run(&decoded(&file), pixels).remove("embedding").unwrap();

    let normal = |i: usize| (f32::from(bytes[i]) / 255.0 - mean[i % c]) / std[i % c];
    let x = Var::constant(Tensor::from_fn(shape, normal));
    let expected = net.forward(&mut Pass::eval(params), &x);
    // What is still an image has its channels last here.
    let expected = match expected.shape().rank() {
        4 => expected.permute(&[0, 3, 1, 2]),
        _ => expected,
    };
    assert_eq!(found.shape, *expected.shape(), "{what}");
    let expected = expected.value().data();
    let largest = expected.iter().fold(0.0f32, |m, y| m.max(y.abs()));
    assert!(largest > 0.0, "{what}");
    for (i, (&found, &expected)) in found.data.iter().zip(expected).enumerate() {
        let error = (found - f64::from(expected)).abs() / f64::from(largest);
        assert!(error < 1e-5, "{what}, element {i}: {found}, but {expected}");
    }
}

fn layer(what: &str, layer: impl Build<f32>, input: [usize; 3]) {
    let mut params = Params::new();
    let net = layer.build(&mut Scope::root(&mut params, 1));
    scatter(&mut params);
    assert_same(what, &net, &params, input);
}

#[test]
fn every_layer_computes_the_same_elsewhere() {
    let image = [7, 6, 3];
    let conv = Conv2d::new(3, 6, [3, 2]).stride([2, 1]).padding([1, 2]);
    layer("convolution", conv.clone(), image);
    layer("dilated", conv.clone().dilation([1, 3]).bias(false), image);
    layer("in groups", conv.groups(3), image);
    layer("batch normalisation", BatchNorm::new(3).epsilon(0.3), image);
    layer("with ReLU", BatchNorm::new(3).relu(), image);
    layer(
        "with another",
        BatchNorm::new(3).activation(Activation::Tanh),
        image,
    );
    for activation in [
        Activation::Relu,
        Activation::LeakyRelu(0.3),
        Activation::Gelu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Softplus,
    ] {
        layer(&format!("{activation:?}"), activation, image);
    }
    layer("PReLU", PRelu::new(3), image);
    layer("shared PReLU", PRelu::shared(), image);
    layer(
        "max pooling",
        MaxPool2d::new([3, 2]).stride([2, 1]).padding(1),
        image,
    );
    let mean = AvgPool2d::new([3, 2]).stride([1, 2]).padding(1);
    layer("mean pooling", mean.clone(), image);
    layer("mean of the image alone", mean.count_padding(false), image);
    layer("global mean", GlobalAvgPool, image);
    layer("global maximum", GlobalMaxPool, image);
    layer("mean and maximum", MeanMaxPool, image);
    layer("generalised mean", GemPool, image);
    layer("flat", Flatten, image);
    layer(
        "gate",
        ChannelGate::new(3, 5).activation(Activation::Gelu),
        image,
    );
    layer("basic block", BasicBlock::new(3, 5).stride(2), image);
    let padded = BasicBlock::new(3, 6).stride(2).shortcut(Shortcut::Pad);
    layer("padded block", padded, image);
    layer(
        "bottleneck",
        Bottleneck::new(3, 2).activation(Activation::Gelu),
        image,
    );
    let head = Sequential::new()
        .add("flat", Flatten)
        .add("drop", Dropout::new(0.5))
        .add("fc1", Linear::new(7 * 6 * 3, 8))
        .add("prelu", PRelu::new(8))
        .add("fc2", Linear::new(8, 4).bias(false))
        .add("bn", BatchNorm::new(4).fixed_shift());
    layer("linear layers", head, image);
}

fn built(name: &str, input: [usize; 3], options: &ModelOptions) -> (Params<f32>, Backbone<f32>) {
    let mut params = Params::new();
    let model = Model::find(name).unwrap();
    let root = &mut Scope::root(&mut params, 1);
    let net = model
        .build_with(&mut root.child("backbone"), input, options)
        .unwrap();
    scatter(&mut params);
    (params, net)
}

#[test]
fn networks_of_every_family_compute_the_same_elsewhere() {
    for (name, channels) in [
        ("lenet++", 1),
        ("vgg-light", 1),
        ("resnet20", 3),
        ("resnet20-b", 3),
        ("wrn-16-4", 3),
        ("airbench94", 3),
        ("mobilefacenet", 3),
        ("osnet-x0.25", 3),
        ("audio-cnn10-light", 1),
    ] {
        let n = Model::find(name).unwrap().smallest;
        let input = [n, n + 5, channels];
        let options = ModelOptions {
            embedding_dim: Some(7),
            neck: true,
            dropout: 0.5,
            ..ModelOptions::default()
        };
        let (params, net) = built(name, input, &options);
        assert_same(name, &net, &params, input);
    }
    for pooling in [Pooling::Max, Pooling::Gem, Pooling::MeanMax] {
        let options = ModelOptions {
            pooling: Some(pooling),
            ..ModelOptions::default()
        };
        let (params, net) = built("resnet20", [8, 8, 3], &options);
        assert_same(&format!("{pooling:?}"), &net, &params, [8, 8, 3]);
    }
}

/// Small convolutions, so that the file can be looked at as a whole.
fn small() -> (Params<f32>, SequentialModule<f32>) {
    let mut params = Params::new();
    let net = Sequential::new()
        .add("conv", Conv2d::new(2, 1, 1))
        .add("mean", GlobalAvgPool)
        .build(&mut Scope::root(&mut params, 1));
    params.set(
        params.find("conv.weight").unwrap(),
        &Tensor::new([1, 1, 2, 1], &[2.0, 3.0]),
    );
    params.set(params.find("conv.bias").unwrap(), &Tensor::new([1], &[0.5]));
    (params, net)
}

#[test]
fn every_way_to_give_pixels_means_the_same() {
    let (params, net) = small();
    // One image of one row and two columns: means of 3/255 and 30/255 in the two channels.
    let (last, first) = ([2.0, 10.0, 4.0, 50.0], [2.0, 4.0, 10.0, 50.0]);
    for (element, order, pixels, unit) in [
        (Element::U8, Order::ChannelsLast, last, 1.0),
        (Element::F32, Order::ChannelsLast, last, 255.0),
        (Element::U8, Order::ChannelsFirst, first, 1.0),
        (Element::F32, Order::ChannelsFirst, first, 255.0),
    ] {
        let mut exporter = Exporter::new(&params);
        let pixels_are = Pixels { element, order };
        let image = exporter.image([1, 2, 2], pixels_are, &[0.1, 0.2], &[0.5, 0.25]);
        let y = net.export(&mut exporter, image).unwrap();
        let unit_length = exporter.unit(y);
        exporter.output("embedding", y);
        exporter.output("unit", unit_length);
        let file = onnx::file(&exporter.finish(), &Metadata::new(), "").unwrap();
        let shape = match order {
            Order::ChannelsLast => vec![1, 1, 2, 2],
            Order::ChannelsFirst => vec![1, 2, 1, 2],
        };
        let data = pixels.iter().map(|p| p / unit).collect();
        let mut found = run(&decoded(&file), Array { shape, data });
        let expected = 2.0 * (3.0 / 255.0 - 0.1) / 0.5 + 3.0 * (30.0 / 255.0 - 0.2) / 0.25 + 0.5;
        let embedding = found.remove("embedding").unwrap().data[0];
        assert!(
            (embedding - expected).abs() < 1e-6,
            "{embedding}, not {expected}"
        );
        assert!((found.remove("unit").unwrap().data[0] - expected.signum()).abs() < 1e-6);
    }
}

/// Byte by byte, by the definition of protobuf and the numbers in `onnx.proto`.
#[test]
fn the_file_is_what_the_format_says() {
    let params = Params::<f32>::new();
    let mut exporter = Exporter::new(&params);
    let x = exporter.input("x", [1, 2], Element::F32);
    let y = exporter.apply(Operator::Relu, &[x]);
    exporter.output("y", y);
    let metadata = Metadata::from([("model".into(), "m".into())]);
    let file = onnx::file(&exporter.finish(), &metadata, "d").unwrap();
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let tag = [number << 3 | 2, content.len() as u8];
        [&tag, content].concat()
    }
    let float_n_by_2 = {
        let axes = [field(1, &field(2, b"N")), field(1, &[1 << 3, 2])].concat();
        field(1, &[&[1 << 3, 1][..], &field(2, &axes)].concat())
    };
    let value = |name: &[u8]| [field(1, name), field(2, &float_n_by_2)].concat();
    let node = [
        field(1, b"x"),
        field(2, b"y"),
        field(3, b"y"),
        field(4, b"Relu"),
    ]
    .concat();
    let graph = [
        field(1, &node),
        field(2, b"m"),
        field(11, &value(b"x")),
        field(12, &value(b"y")),
    ];
    let expected = [
        vec![1 << 3, 8],
        field(2, b"hypersphere"),
        field(3, env!("CARGO_PKG_VERSION").as_bytes()),
        field(6, b"d"),
        field(7, &graph.concat()),
        field(8, &[2 << 3, 17]),
        field(14, &[field(1, b"model"), field(2, b"m")].concat()),
    ];
    assert_eq!(file, expected.concat());
}

#[test]
fn a_module_that_says_nothing_is_named() {
    struct Odd;
    impl Module<f32> for Odd {
        fn forward(&self, _: &mut Pass<'_, f32>, x: &Var<f32>) -> Var<f32> {
            x.clone()
        }
    }
    impl Build<f32> for Odd {
        type Module = Self;
        fn build(self, _: &mut Scope<'_, f32>) -> Self {
            self
        }
    }
    let mut params = Params::new();
    let branch = Sequential::new().add("odd", Odd);
    let net = Sequential::new()
        .add("block", Residual::new(branch))
        .build(&mut Scope::root(&mut params, 1));
    let mut exporter = Exporter::new(&params);
    let x = exporter.input("x", [1, 3], Element::F32);
    let error = net.export(&mut exporter, x).unwrap_err().to_string();
    assert!(
        error.contains("`block.odd`") && error.contains("Odd"),
        "{error}"
    );
}

#[test]
fn layers_that_are_used_twice_have_their_weights_once() {
    let (params, net) = built("osnet-x0.25", [16, 16, 3], &ModelOptions::default());
    let mut exporter = Exporter::new(&params);
    let x = exporter.input("x", [1, 3, 16, 16], Element::F32);
    net.export(&mut exporter, x).unwrap();
    let graph = exporter.finish();
    let tensors = graph.values.iter().filter_map(|v| match &v.origin {
        Origin::Constant(tensor) => Some(tensor.elements()),
        _ => None,
    });
    let buffers: usize = params.buffers().iter().map(|(_, b)| b.elements()).sum();
    assert_eq!(tensors.sum::<usize>(), params.count() + buffers);
}

#[test]
fn what_is_exported_for_pytorch_is_imported_bit_for_bit() {
    let neck = ModelOptions {
        embedding_dim: Some(32),
        pooling: Some(Pooling::Gem),
        neck: true,
        ..ModelOptions::default()
    };
    let only_neck = ModelOptions {
        neck: true,
        ..ModelOptions::default()
    };
    for (name, options) in [
        ("resnet20", ModelOptions::default()),
        ("resnet20-b", neck.clone()),
        ("resnet18", neck),
        ("resnet50", ModelOptions::default()),
        ("iresnet18", only_neck),
    ] {
        let input = [32, 32, 3];
        let (params, net) = built(name, input, &options);
        let weight = Tensor::from_fn([10, net.embedding_dim], |i| i as f32);
        let classifier = (weight.clone(), Some(Tensor::full([10], 0.5)));
        let tensors = net.to_torch(&params, Some(classifier)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torch.safetensors");
        Checkpoint::new(tensors, Metadata::new())
            .write(&path)
            .unwrap();

        let (mut other, net) = built(name, input, &options);
        other.values_mut().fill(0.0);
        let imported = net.import(&path, &mut other).unwrap();
        assert_eq!(imported.kept, Vec::<String>::new(), "{name}");
        assert_eq!(other.values(), params.values(), "{name}");
        for ((key, a), (_, b)) in other.buffers().iter().zip(params.buffers()) {
            assert_eq!(a.data(), b.data(), "{name}: {key}");
        }
        let found = imported.classifier.unwrap();
        assert_eq!(found.weight.data(), weight.data());
        assert_eq!(found.bias.unwrap().data(), [0.5; 10]);
    }
}

/// Networks that no other program has: their own names, the layouts of PyTorch.
#[test]
fn other_networks_have_the_layouts_of_pytorch_too() {
    let (params, net) = built("vgg-light", [28, 28, 1], &ModelOptions::default());
    let tensors = net.to_torch(&params, None).unwrap();
    assert_eq!(
        tensors.len(),
        params.iter().count() + params.buffers().len()
    );
    let torch = |name: &str| &tensors.iter().find(|(n, _)| n == name).unwrap().1;
    let own = |name: &str| params.value(params.find(&format!("backbone.{name}")).unwrap());
    assert_eq!(torch("conv2.weight").shape(), [48, 24, 3, 3].into());
    // Output 5, row 1, column 2, channel 7 of 3x3 pixels and 96 channels.
    let (here, there) = (5 * 864 + (3 + 2) * 96 + 7, 5 * 864 + 7 * 9 + (3 + 2));
    let (own, torch) = (own("fc.weight"), torch("fc.weight"));
    assert_eq!(torch.shape(), [64, 864].into());
    assert_eq!(torch.data()[there], own.data()[here]);
    assert_ne!(torch.data()[here], own.data()[here]);
}
