use super::*;
use crate::checkpoint::Metadata;
use crate::module::Scope;
use crate::networks::ModelOptions;
use std::path::PathBuf;
use tempfile::TempDir;

fn built(name: &str, input: [usize; 3], options: &ModelOptions) -> (Params<f32>, Backbone<f32>) {
    let mut params = Params::new();
    let mut root = Scope::root(&mut params, 1);
    let model = Model::find(name).unwrap();
    let net = model.build_with(&mut root.child("backbone"), input, options);
    let net = net.unwrap();
    (params, net)
}

/// The network's tensors as a PyTorch program would save them, with recognisable numbers: each
/// element is its place in the tensor of the file.
fn torch_tensors(name: &str, input: [usize; 3]) -> Vec<(String, Tensor<f32>)> {
    let (params, net) = built(name, input, &ModelOptions::default());
    let places = net.places(&params);
    let tensors = places.iter().map(|place| {
        let shape: Shape = match *place.shape {
            [kh, kw, i, o] => [o, i, kh, kw].into(),
            _ => place.shape,
        };
        (
            torch_name(&place.name),
            Tensor::from_fn(shape, |i| i as f32),
        )
    });
    tensors.collect()
}

fn file(tensors: Vec<(String, Tensor<f32>)>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torch.safetensors");
    Checkpoint::new(tensors, Metadata::new())
        .write(&path)
        .unwrap();
    (folder, path)
}

fn with_classifier(name: &str) -> Vec<(String, Tensor<f32>)> {
    let mut tensors = torch_tensors(name, [32, 32, 3]);
    tensors.push(("linear.weight".into(), Tensor::full([10, 64], 0.5)));
    tensors.push(("linear.bias".into(), Tensor::full([10], 0.25)));
    tensors
}

/// Every parameter, brought back to the layout of the file, is what the file has.
fn assert_goes_back(
    imported: &Imported<f32>,
    params: &Params<f32>,
    tensors: &[(String, Tensor<f32>)],
) {
    assert_eq!(imported.origins.len(), params.iter().count());
    for origin in &imported.origins {
        let back = origin.in_file(&params.value(origin.id));
        let (_, there) = tensors.iter().find(|(key, _)| *key == origin.key).unwrap();
        assert_eq!(back.shape(), there.shape(), "{}", origin.key);
        assert_eq!(back.data(), there.data(), "{}", origin.key);
    }
}

#[test]
fn convolutions_change_their_layout_and_the_classifier_is_handed_out() {
    let mut tensors = with_classifier("resnet20-b");
    // As data-parallel training saves them, some with the other name of a projection.
    for (key, _) in &mut tensors {
        *key = format!(
            "module.{}",
            key.replace("layer3.0.downsample", "layer3.0.shortcut")
        );
    }
    tensors.push(("module.bn1.num_batches_tracked".into(), Tensor::zeros([])));
    let (_folder, path) = file(tensors.clone());
    let (mut params, net) = built("resnet20-b", [32, 32, 3], &ModelOptions::default());
    let imported = net.import(&path, &mut params).unwrap();
    let value = |name: &str| params.value(params.find(name).unwrap());
    // Element [row 1, column 2, input 3, output 4] of 3x3 from 16 to 16 channels.
    let (kh, kw, i, o) = (1, 2, 3, 4);
    let here = ((kh * 3 + kw) * 16 + i) * 16 + o;
    let there = ((o * 16 + i) * 3 + kh) * 3 + kw;
    let weight = value("backbone.layer1.0.conv1.weight");
    assert_eq!(weight.data()[here], there as f32);
    for stage in [2, 3] {
        let name = format!("backbone.layer{stage}.0.shortcut.bn.bias");
        assert_eq!(value(&name).data()[5], 5.0);
    }
    let mean = params.find_buffer("backbone.bn1.running_mean").unwrap();
    assert_eq!(params.buffer(mean).data()[7], 7.0);
    assert_goes_back(&imported, &params, &tensors);
    let classifier = imported.classifier.unwrap();
    assert_eq!(classifier.key, "module.linear");
    assert_eq!(classifier.weight.shape(), [10, 64].into());
    assert_eq!(classifier.bias.unwrap().data(), [0.25; 10]);
    assert!(imported.kept.is_empty());
    assert_eq!(imported.skipped, ["module.bn1.num_batches_tracked"]);
}

#[test]
fn what_the_published_network_lacks_is_kept_and_named() {
    let (_folder, path) = file(with_classifier("resnet20"));
    let options = ModelOptions {
        embedding_dim: Some(32),
        neck: true,
        ..ModelOptions::default()
    };
    let (mut params, net) = built("resnet20", [32, 32, 3], &options);
    let head = params.value(params.find("backbone.fc.weight").unwrap());
    let imported = net.import(&path, &mut params).unwrap();
    let after = params.value(params.find("backbone.fc.weight").unwrap());
    assert_eq!(head.data(), after.data(), "not the classifier of the file");
    assert!(imported.kept.contains(&"fc.weight".to_string()));
    assert!(imported.kept.contains(&"neck.running_var".to_string()));
    assert_eq!(imported.kept.len(), 1 + 4 + 4, "{:?}", imported.kept);
}

#[test]
fn columns_for_an_image_change_their_order() {
    let input = [32, 32, 3];
    let tensors = torch_tensors("iresnet18", input);
    let (_folder, path) = file(tensors.clone());
    let (mut params, net) = built("iresnet18", input, &ModelOptions::default());
    let imported = net.import(&path, &mut params).unwrap();
    assert_goes_back(&imported, &params, &tensors);
    assert!(imported.classifier.is_none() && imported.kept.is_empty());
    let fc = params.value(params.find("backbone.fc.weight").unwrap());
    // Output 1, row 1, column 0, channel 3 of 2x2 pixels and 512 channels.
    let (here, there) = (2048 + 2 * 512 + 3, 2048 + 3 * 4 + 2);
    assert_eq!(fc.data()[here], there as f32);
}

fn refusal(tensors: Vec<(String, Tensor<f32>)>, name: &str) -> String {
    let (_folder, path) = file(tensors);
    let (mut params, net) = built(name, [32, 32, 3], &ModelOptions::default());
    let before = params.values().to_vec();
    let error = net.import(&path, &mut params).unwrap_err().to_string();
    assert_eq!(params.values(), before, "unchanged");
    error
}

#[test]
fn what_does_not_fit_is_named_with_a_suggestion() {
    let mut tensors = with_classifier("resnet20");
    let key = "layer2.0.conv1.weight";
    let at = tensors.iter().position(|(k, _)| k == key).unwrap();
    tensors[at].1 = Tensor::zeros([32, 16, 1, 1]);
    let error = refusal(tensors, "resnet20");
    let expected =
        "`layer2.0.conv1.weight` has shape [32, 16, 1, 1], but the network needs [32, 16, 3, 3]";
    assert!(error.contains(expected), "{error}");
    assert!(error.contains("torch.safetensors"), "{error}");

    let error = refusal(with_classifier("resnet32"), "resnet20");
    assert!(
        error.contains("unknown to the network: layer1.3.bn1.bias"),
        "{error}"
    );
    assert!(error.contains("and 52 more"), "{error}");
    assert!(
        error.contains("the file has the layers of `resnet32`"),
        "{error}"
    );

    let error = refusal(with_classifier("resnet20"), "resnet20-b");
    assert!(
        error.contains("missing in the file: layer2.0.downsample.0.weight"),
        "{error}"
    );
    assert!(error.contains("the layers of `resnet20`"), "{error}");

    let error = refusal(torch_tensors("iresnet18", [64, 64, 3]), "iresnet18");
    assert!(
        error.contains("[512, 8192]") && error.contains("[512, 2048]"),
        "{error}"
    );
    assert!(error.contains("images of another size"), "{error}");

    let error = refusal(vec![], "vgg-cifar10");
    assert!(
        error.contains("resnet50") && error.contains("iresnet18"),
        "{error}"
    );
}

#[test]
fn files_are_recognised_by_their_layers() {
    for name in [
        "resnet20",
        "resnet110",
        "resnet20-b",
        "iresnet18",
        "resnet18-cifar",
    ] {
        let error = refusal(torch_tensors(name, [32, 32, 3]), "resnet44");
        assert!(
            error.contains(&format!("the layers of `{name}`")),
            "{error}"
        );
    }
}
