//! Every layout and every protocol from end to end: a tiny data set is written, trained on for a
//! few steps, judged, and judged again from its files with the same result.

mod faces;
mod layouts;
mod reid;
mod settings;

use hypersphere::config::{Config, Layers};
use std::path::Path;

/// Pictures of a tiny data set, two classes held out.
const SMALL: &[&str] = &["data.size=[16,16]", "data.validation=2"];

/// A small network and short steps, with more settings after these.
fn config(root: &Path, format: &str, settings: &[&str]) -> Config {
    let mut layers = Layers::default();
    let usual = [
        "epochs=1",
        "batch=12",
        "lr=0.05",
        "loss=cosface:s=16,m=0.1",
        "model.name=vgg-light",
        "model.embed_dim=16",
        "data.augment={preset=\"shift\",flip=0.5,erase=0.3}",
    ];
    let folder = format!("data.folder={:?}", root.display().to_string());
    let format = format!("data.format={format}");
    let data = [folder.as_str(), format.as_str()];
    for setting in usual.iter().chain(&data).chain(settings) {
        layers.add_assignment(setting).unwrap();
    }
    layers.resolve().unwrap()
}
