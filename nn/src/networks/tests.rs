use super::*;
use engine::rng::Key;
use engine::{Shape, Tensor};

fn built(name: &str, input: [usize; 3], dim: Option<usize>) -> (Params<f32>, Backbone<f32>) {
    let mut params = Params::new();
    let model = Model::find(name).unwrap();
    let net = model.build(&mut Scope::root(&mut params, 1), input, dim);
    let net = net.unwrap();
    (params, net)
}

/// Parameters counted by hand from the papers' tables.
#[test]
fn the_networks_have_the_published_sizes() {
    let conv = |k: usize, i: usize, o: usize| k * k * i * o;
    let lenet = conv(5, 1, 32) + conv(5, 32, 32) + conv(5, 32, 64) + conv(5, 64, 64)
        + conv(5, 64, 128) + conv(5, 128, 128)
        + 2 * 2 * (32 + 64 + 128) // a bias and a slope for each channel
        + 3 * 3 * 128 * 2 + 2;
    let vgg = conv(3, 1, 64) + 3 * conv(3, 64, 64) + conv(3, 64, 128) + 2 * conv(3, 128, 128)
        + conv(3, 128, 256) + 2 * conv(3, 256, 256)
        + 2 * (4 * 64 + 3 * 128 + 3 * 256) // scale and shift
        + 3 * 3 * 256 * 512 + 2 * 512;
    let light = conv(3, 1, 24)
        + conv(3, 24, 48)
        + conv(3, 48, 48)
        + conv(3, 48, 96)
        + conv(3, 96, 96)
        + 2 * (24 + 2 * 48 + 2 * 96)
        + 3 * 3 * 96 * 64
        + 2 * 64;
    let narrow = conv(3, 1, 64) + 9 * conv(3, 64, 64) + 2 * 10 * 64 + 3 * 3 * 64 * 256 + 2 * 256;
    for (name, count) in [
        ("lenet++", lenet),
        ("vgg-mnist", vgg),
        ("vgg-mnist-64", narrow),
        ("vgg-light", light),
    ] {
        let (params, net) = built(name, [28, 28, 1], None);
        assert_eq!(params.count(), count, "{name}");
        assert_eq!(net.summary(&params).parameters(), count, "{name}");
        let last = net.summary(&params).rows.pop().unwrap();
        assert_eq!(last.output, Shape::from([net.embedding_dim]), "{name}");
    }
}

/// Parameters before the classifier: the totals of torchvision less its `fc`, those of
/// table 6 of He et al. (0.27, 0.46, 0.66, 0.85 and 1.7 million) in full, and for airbench94 the
/// sum over its layers.
#[test]
fn residual_networks_have_the_published_sizes() {
    for (name, count) in [
        ("resnet18", 11_689_512 - 513_000),
        ("resnet34", 21_797_672 - 513_000),
        ("resnet50", 25_557_032 - 2_049_000),
        ("resnet20", 269_722 - 650),
        ("resnet32", 464_154 - 650),
        ("resnet44", 658_586 - 650),
        ("resnet56", 853_018 - 650),
        ("resnet110", 1_727_962 - 650),
    ] {
        let (params, net) = built(name, [32, 32, 3], None);
        assert_eq!(params.count(), count, "{name}");
        let model = Model::find(name).unwrap();
        assert_eq!(net.embedding_dim, model.embedding_dim, "{name}");
    }
    let (params, _) = built("airbench94", [32, 32, 3], None);
    let group = |i: usize, o: usize| 9 * (i * o + o * o) + 4 * o;
    let first = 2 * 2 * 3 * 24 + 24;
    let groups = group(24, 64) + group(64, 256) + group(256, 256);
    assert_eq!(params.count(), first + groups);
}

/// As the authors' programs print them, less their classifiers.
#[test]
fn other_families_have_the_published_sizes() {
    let audio_classes = 527 * 512 + 527;
    for (name, input, count) in [
        ("wrn-16-4", [32, 32, 3], 2_748_890 - 2_570),
        ("wrn-28-10", [32, 32, 3], 36_479_194 - 6_410),
        ("iresnet18", [112, 112, 3], 24_025_600),
        ("iresnet50", [112, 112, 3], 43_590_848),
        ("audio-cnn6", [64, 100, 1], 4_837_455 - audio_classes),
        ("audio-cnn10", [64, 100, 1], 5_219_279 - audio_classes),
    ] {
        let (params, _) = built(name, input, None);
        assert_eq!(params.count(), count, "{name}");
    }
    // The papers give these in millions with two digits.
    for (name, input, millions) in [
        ("mobilefacenet", [112, 112, 3], 1.0),
        ("osnet", [256, 128, 3], 2.2),
        ("osnet-x0.25", [256, 128, 3], 0.2),
    ] {
        let (params, _) = built(name, input, None);
        let found = (params.count() as f64 / 1e5).round() / 10.0;
        assert_eq!(found, millions, "{name}: {}", params.count());
    }
}

/// Multiply-adds as others count them, less the classifier: 4.09 and 1.81 billion at 224x224
/// (torchvision), 40.55 million at 32x32, to which two projections of 1x1 add 131,072 each.
#[test]
fn the_work_is_the_published_work() {
    for (name, size, expected) in [
        ("resnet50", 224, 4_089_184_256 - 2_048_000),
        ("resnet18", 224, 1_814_073_344 - 512_000),
        ("resnet20", 32, 40_551_040 - 640),
        ("resnet20-b", 32, 40_551_040 - 640 + 2 * 131_072),
    ] {
        let (params, net) = built(name, [size, size, 3], None);
        assert_eq!(net.summary(&params).multiply_adds(), expected, "{name}");
    }
}

#[test]
fn the_summary_is_a_table_of_layers_in_order() {
    let (params, net) = built("vgg-light", [28, 28, 1], None);
    let summary = net.summary(&params);
    let row = |name: &str| summary.rows.iter().find(|r| r.name == name).unwrap();
    assert_eq!(row("conv1").multiply_adds, 28 * 28 * 9 * 24);
    assert_eq!(row("bn1").multiply_adds, 0);
    assert_eq!(row("pool2").output, [7, 7, 48].into());
    assert_eq!(row("fc").multiply_adds, 864 * 64);
    let lines: Vec<String> = summary.to_string().lines().map(String::from).collect();
    assert_eq!(lines.len(), summary.rows.len() + 4);
    assert!(lines[0].starts_with("layer  "), "{}", lines[0]);
    let conv2: Vec<&str> = lines[5].split_whitespace().collect();
    assert_eq!(
        conv2,
        ["conv2", "[14,", "14,", "48]", "10,368", "2,032,128"]
    );
    assert!(lines.iter().all(|l| l.len() == lines[1].len()), "{summary}");
}

#[test]
fn every_network_takes_images_down_to_its_smallest() {
    // Members of a family differ in width and depth, which do not count here.
    for check in crate::NETWORKS {
        let model = Model::find(check.name).unwrap();
        let n = model.smallest;
        let (params, net) = built(model.name, [n, n + 3, 2], Some(5));
        let mut rng = Key::new(1).rng();
        let x = Tensor::from_fn([3, n, n + 3, 2], |_| rng.normal() as f32);
        let y = net.forward(&mut Pass::train(&params, Key::new(0)), &Var::constant(x));
        assert_eq!(y.shape(), [3, 5].into());
        assert!(y.value().data().iter().all(|y| y.is_finite()));
        let build = |input, dim| {
            let mut params = Params::<f32>::new();
            let outcome = model.build(&mut Scope::root(&mut params, 1), input, dim);
            outcome.map(drop).map_err(|e| e.to_string())
        };
        let small = build([28, n - 1, 1], None).unwrap_err();
        assert!(small.contains(&format!("at least {n}x{n}")), "{small}");
        assert!(build([28, 28, 0], None).is_err());
        assert!(build([28, 28, 1], Some(0)).is_err());
    }
}

#[test]
fn unknown_names_get_a_suggestion_where_one_is_near() {
    let text = |name| Model::find(name).unwrap_err().to_string();
    assert!(text("Lenet").contains("did you mean `lenet++`?"));
    let far = text("transformer");
    assert!(
        !far.contains("did you mean") && far.contains("vgg-mnist"),
        "{far}"
    );
}

#[test]
fn choices_have_their_effect() {
    let built = |name, options: &ModelOptions| {
        let mut params = Params::<f32>::new();
        let model = Model::find(name).unwrap();
        let root = &mut Scope::root(&mut params, 1);
        let net = model.build_with(root, [32, 32, 3], options).unwrap();
        (net.summary(&params), params, net)
    };
    let plain = ModelOptions::default();
    let output = |summary: &Summary, name: &str| {
        let row = summary.rows.iter().find(|r| r.name == name);
        row.unwrap_or_else(|| panic!("no {name}:\n{summary}"))
            .output
    };
    let (summary, ..) = built("resnet18-cifar", &plain);
    assert_eq!(output(&summary, "layer4.1.conv2"), [4, 4, 512].into());
    let options = ModelOptions {
        last_stride: Some(1),
        pooling: Some(Pooling::Gem),
        embedding_dim: Some(7),
        dropout: 0.5,
        neck: true,
    };
    let (summary, params, net) = built("resnet18-cifar", &options);
    assert_eq!(output(&summary, "layer4.1.conv2"), [8, 8, 512].into());
    let last: Vec<&str> = summary.rows.iter().map(|r| r.name.as_str()).collect();
    let end = ["pool", "drop", "fc", "bn", "neck"];
    assert_eq!(last[last.len() - 5..], end);
    let trainable = |name: &str| params.param(params.find(name).unwrap()).trainable;
    assert!(trainable("neck.weight") && !trainable("neck.bias") && trainable("pool.p"));
    assert_eq!(
        (net.embedding_dim, output(&summary, "neck")),
        (7, [7].into())
    );

    let refused = |name, options: ModelOptions| {
        let mut params = Params::<f32>::new();
        let model = Model::find(name).unwrap();
        let outcome = model.build_with(&mut Scope::root(&mut params, 1), [32, 32, 3], &options);
        outcome.map(drop).unwrap_err().to_string()
    };
    let pooling = ModelOptions {
        pooling: Some(Pooling::Max),
        ..plain.clone()
    };
    assert!(refused("vgg-cifar10", pooling).contains("no choice of `pooling`"));
    let stride = |stride| ModelOptions {
        last_stride: Some(stride),
        ..plain.clone()
    };
    assert!(refused("resnet20", stride(1)).contains("no choice of `last_stride`"));
    assert!(refused("resnet50", stride(3)).contains("expected 1 or 2"));
    for p in [-0.1, 1.0, f64::NAN] {
        let dropout = ModelOptions {
            dropout: p,
            ..plain.clone()
        };
        assert!(refused("resnet20", dropout).contains("probability"));
    }
}
