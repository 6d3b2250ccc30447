//! `train FOLDER`: what a configuration would say, chosen by looking at the data, with the reasons.

use crate::config::{Layers, RECIPES, Sound};
use crate::protocol::Protocol;
use crate::source::{DataError, Format, Guess, guess, survey};
use anyhow::{Result, bail};
use data::formats::cifar;
use data::manifest::{Entry, Split};
use data::{Manifest, decode, mnist};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A configuration and why it is so.
pub struct Choice {
    /// The layers; options of the command line go on top.
    pub layers: Layers,
    /// One line for each choice.
    pub reasons: Vec<String>,
}

/// Looks at a folder and chooses.
///
/// # Errors
/// If nothing in it is recognised, or it cannot be read.
pub fn choose(folder: &Path) -> Result<Choice> {
    let guess = guess(folder)?;
    let info = guess.format.info();
    let mut reasons = vec![format!(
        "read as `{}`, because {}",
        info.name, guess.because
    )];
    let mut layers = match guess.format {
        Format::Mnist | Format::Cifar10 | Format::Cifar100 => published(&guess, &mut reasons)?,
        Format::Folder | Format::Manifest => own(&guess, &mut reasons)?,
        Format::Insightface => bail!(DataError(format!(
            "{}: expected data to train on, found pairs of faces to test on; `hypersphere eval \
             CHECKPOINT --data {0}` judges by them",
            folder.display()
        ))),
        format if Sound::usual(format).is_some() => of_sound(&guess, &mut reasons)?,
        format => {
            let manifest = survey(format, &guess.folder, None)?.manifest;
            of_recipe(&guess, &Look::at(&manifest), &mut reasons)?
        }
    };
    layers.add_option("data.folder", guess.folder.display().to_string())?;
    layers.add_option("data.format", info.name)?;
    let name = folder.file_name().or(guess.folder.file_name());
    let name = name.map_or(String::new(), |n| n.to_string_lossy().into_owned());
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = name.chars().filter(|&c| is_part(c)).collect();
    layers.add_option("recipe", name)?;
    Ok(Choice { layers, reasons })
}

/// Sets in memory have recipes that suit them; only their number of images may be another.
fn published(guess: &Guess, reasons: &mut Vec<String>) -> Result<Layers> {
    let (recipe, images) = match guess.format {
        Format::Mnist => ("mnist", mnist::from_folder(&guess.folder)?.train.len()),
        Format::Cifar10 => ("cifar10", cifar::ten(&guess.folder)?.train.len()),
        _ => {
            let fine = cifar::hundred(&guess.folder, cifar::Labels::Fine)?;
            ("cifar100", fine.train.len())
        }
    };
    let mut layers = Layers::recipe(recipe)?;
    reasons.push(format!("recipe `{recipe}`, which is made for it"));
    validation(&mut layers, recipe, images / 10, "images", reasons)?;
    Ok(layers)
}

/// Holds out a tenth where the recipe would hold out far more.
fn validation(
    layers: &mut Layers,
    recipe: &str,
    tenth: usize,
    unit: &str,
    reasons: &mut Vec<String>,
) -> Result<()> {
    let usual = Layers::recipe(recipe)?.resolve()?.data.validation;
    if usual > 2 * tenth {
        let tenth = tenth.max(1);
        layers.add_option("data.validation", tenth as i64)?;
        reasons.push(format!(
            "{tenth} {unit} held out, a tenth: the set is smaller than usual"
        ));
    }
    Ok(())
}

/// What can be seen without decoding everything.
struct Look {
    /// Training images of each class.
    train: BTreeMap<String, usize>,
    images: usize,
    test: BTreeSet<String>,
    has_validation: bool,
    marked: bool,
    cameras: usize,
    /// Median height and width of some pictures.
    sides: Option<[usize; 2]>,
    grey: bool,
}

/// Pictures that are opened for a look.
const OPENED: usize = 25;

impl Look {
    fn at(manifest: &Manifest) -> Self {
        let of = |split| move |e: &&Entry| e.split == split;
        let entries = || manifest.entries.iter();
        let mut train: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries().filter(of(Split::Train)) {
            *train.entry(entry.label.clone()).or_default() += 1;
        }
        let count = manifest.entries.len().min(OPENED);
        let spread = (0..count).map(|i| i * manifest.entries.len() / count);
        let opened: Vec<decode::Picture> = spread
            .filter_map(|i| decode::open(&manifest.path(i), 3).ok())
            .collect();
        let median = |axis: usize| {
            let mut sides: Vec<usize> = opened.iter().map(|p| p.shape()[axis]).collect();
            sides.sort_unstable();
            sides.get(sides.len() / 2).copied()
        };
        let is_grey = |p: &decode::Picture| {
            let mut pixels = p.pixels().chunks_exact(3);
            pixels.all(|c| c[0] == c[1] && c[1] == c[2])
        };
        let cameras: BTreeSet<u32> = entries().filter_map(|e| e.camera).collect();
        Look {
            images: train.values().sum(),
            train,
            test: entries()
                .filter(of(Split::Test))
                .map(|e| e.label.clone())
                .collect(),
            has_validation: entries().any(|e| e.split == Split::Validation),
            marked: entries().any(|e| e.is_query),
            cameras: cameras.len(),
            sides: median(0).zip(median(1)).map(|(h, w)| [h, w]),
            grey: !opened.is_empty() && opened.iter().all(is_grey),
        }
    }

    fn median_per_class(&self) -> usize {
        let mut sizes: Vec<usize> = self.train.values().copied().collect();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied().unwrap_or(0)
    }
}

/// A published data set in files: its recipe, a smaller one where the pictures are small.
fn of_recipe(guess: &Guess, look: &Look, reasons: &mut Vec<String>) -> Result<Layers> {
    let small = look.sides.is_some_and(|[height, _]| height < 128);
    let recipe = match guess.format {
        Format::Market1501 | Format::Duke if small => "reid-synth",
        Format::Cuhk03Labeled | Format::Cuhk03Detected if small => "reid-synth",
        Format::Cuhk03LabeledClassic | Format::Cuhk03DetectedClassic if small => "reid-synth",
        Format::Veri776 | Format::Vehicleid if small => "vehicles-synth",
        Format::Duke => "market1501",
        Format::Vehicleid => "veri776",
        Format::InShop => "sop",
        Format::Cuhk03LabeledClassic => "cuhk03-labeled",
        Format::Cuhk03DetectedClassic => "cuhk03-detected",
        format => format.info().name,
    };
    let [height, width] = look.sides.unwrap_or([0, 0]);
    reasons.push(format!(
        "recipe `{recipe}`: {} training images of {} classes, about {height} x {width} pixels",
        look.images,
        look.train.len()
    ));
    debug_assert!(RECIPES.iter().any(|r| r.name == recipe));
    let mut layers = Layers::recipe(recipe)?;
    validation(
        &mut layers,
        recipe,
        look.train.len() / 10,
        "classes",
        reasons,
    )?;
    let [p, k] = [look.train.len() * 9 / 20, 4];
    if let crate::config::Sampler::Pk { p: usual, .. } = Layers::recipe(recipe)?.resolve()?.sampler
        && usual > p
    {
        layers.add_assignment(&format!("sampler.p={}", p.max(2)))?;
        reasons.push(format!(
            "batches of {} classes x {k}: there are no more",
            p.max(2)
        ));
    }
    Ok(layers)
}

/// Recordings: the recipe of the data set, or of the one most like it.
fn of_sound(guess: &Guess, reasons: &mut Vec<String>) -> Result<Layers> {
    let recipe = match guess.format {
        Format::Urbansound => "esc50",
        format => format.info().name,
    };
    let manifest = survey(guess.format, &guess.folder, None)?.manifest;
    let train = manifest.split(Split::Train).len();
    reasons.push(format!("recipe `{recipe}`: {train} training recordings"));
    let mut layers = Layers::recipe(recipe)?;
    if let Some(usual) = Sound::usual(guess.format) {
        layers.add_option("data.rate", i64::from(usual.rate))?;
        layers.add_option("data.seconds", usual.seconds)?;
    }
    if manifest.split(Split::Validation).is_empty() {
        validation(&mut layers, recipe, train / 10, "recordings", reasons)?;
    }
    Ok(layers)
}

/// Somebody's own pictures.
fn own(guess: &Guess, reasons: &mut Vec<String>) -> Result<Layers> {
    let manifest = survey(guess.format, &guess.folder, None)?.manifest;
    let look = Look::at(&manifest);
    let classes = look.train.len();
    let mut layers = Layers::default();
    let mut set = |key: &str, value: String| layers.add_assignment(&format!("{key}={value}"));

    let (protocol, because) = task(&look);
    reasons.push(format!("task `{}`: {because}", protocol.name()));
    set("protocol", protocol.name().into())?;

    let held = match protocol.is_open() {
        true => (classes / 10).clamp(2, 500),
        false => (look.images / 10).clamp(1, 5_000),
    };
    set("data.validation", held.to_string())?;
    if !look.has_validation {
        let unit = protocol.unit();
        reasons.push(match look.test.is_empty() {
            true => format!("{held} {unit} held out to choose by, {held} more to test on"),
            false => format!("{held} {unit} held out to choose by"),
        });
    }

    let (size, because) = size(look.sides);
    set("data.size", format!("{size:?}"))?;
    reasons.push(format!("size {} x {}: {because}", size[0], size[1]));
    if look.grey {
        set("data.channels", "1".into())?;
        reasons.push("one channel: the pictures are grey".into());
    }
    let shift = (size[0].min(size[1]) / 16).max(1);
    set(
        "data.augment",
        format!("{{preset=\"shift\",shift={shift},flip=0.5}}"),
    )?;
    reasons.push(format!(
        "pictures flipped and shifted by up to {shift} pixels; without flipping, if left and right \
         matter: --set data.augment.flip=0"
    ));

    let pixels = size[0] * size[1];
    let (network, dim, because) = match (look.images, pixels) {
        (_, 10_001..) => ("resnet18", 512, "pictures are large"),
        (0..5_000, _) => ("vgg-light", 64, "there are few images, and it learns fast"),
        _ => ("resnet20", 64, "small pictures, and enough of them"),
    };
    set("model.name", network.into())?;
    set("model.embed_dim", dim.to_string())?;
    reasons.push(format!("network `{network}`: {because}"));

    let batch = (look.images / 10).clamp(8, if pixels > 10_000 { 32 } else { 128 });
    set("batch", batch.to_string())?;
    let steps_per_epoch = (look.images / batch).max(1);
    let epochs = (STEPS / steps_per_epoch).clamp(5, 60);
    set("epochs", epochs.to_string())?;
    set("lr", "0.05".into())?;
    set("clip_norm", "5.0".into())?;
    reasons.push(format!(
        "{epochs} epochs of {steps_per_epoch} steps of {batch}: about {STEPS} steps teach a network \
         of this size"
    ));
    Ok(layers)
}

/// Steps that a small network needs, by experience with the recipes.
const STEPS: usize = 2_500;

fn task(look: &Look) -> (Protocol, String) {
    let known = look
        .test
        .iter()
        .filter(|label| look.train.contains_key(*label));
    let (classes, each) = (look.train.len(), look.median_per_class());
    match (look.marked, known.count(), look.test.len()) {
        (true, ..) if look.cameras > 1 => (
            Protocol::Reid,
            format!("queries and a gallery are marked, {} cameras", look.cameras),
        ),
        (true, ..) => (
            Protocol::Retrieve,
            "queries and a gallery are marked".into(),
        ),
        (_, 0, 1..) => (
            Protocol::Retrieve,
            "the classes of the test are others than those of the training".into(),
        ),
        (_, 0, 0) if classes >= 30 && each < 10 => (
            Protocol::Retrieve,
            format!("{classes} classes with {each} images each look like identities"),
        ),
        _ => (
            Protocol::Classify,
            format!("{classes} classes with about {each} images each"),
        ),
    }
}

/// Half the pictures are at least so large; what a CPU can do in time is at most so.
fn size(sides: Option<[usize; 2]>) -> ([usize; 2], String) {
    const LARGEST: usize = 96;
    let Some([height, width]) = sides else {
        return (
            [64, 64],
            "no picture could be opened to look at its size".into(),
        );
    };
    let scale = (LARGEST as f64 / height.max(width) as f64).min(1.0);
    let side = |n: usize| (((n as f64 * scale / 8.0).round() * 8.0) as usize).max(16);
    let because = format!("half of them are {height} x {width} or more");
    (
        [side(height), side(width)],
        match scale < 1.0 {
            true => format!("{because}, {LARGEST} is what a CPU trains on in time"),
            false => because,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures of one colour, 40 rows of 20 pixels, or grey ones.
    fn folder(root: &Path, part: &str, classes: usize, each: usize, grey: bool) {
        for class in 0..classes {
            let folder = root.join(part).join(format!("c{class:02}"));
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..each {
                let mut bytes = b"P6 20 40 255\n".to_vec();
                let green = if grey { 10 } else { 200 };
                bytes.extend([10, green, 10].repeat(800));
                std::fs::write(folder.join(format!("{i}.ppm")), bytes).unwrap();
            }
        }
    }

    fn chosen(root: &Path) -> (crate::config::Config, String) {
        let choice = choose(root).unwrap();
        (choice.layers.resolve().unwrap(), choice.reasons.join("\n"))
    }

    #[test]
    fn a_folder_of_few_classes_is_classified() {
        let root = tempfile::tempdir().unwrap();
        folder(root.path(), "", 3, 20, false);
        let (config, reasons) = chosen(root.path());
        assert_eq!(config.protocol(), Protocol::Classify);
        assert_eq!(
            (config.data.size, config.data.channels),
            (vec![40, 24], None)
        );
        assert_eq!((config.data.validation, config.batch), (6, 8));
        assert!(
            reasons.contains("6 images held out to choose by, 6 more to test on"),
            "{reasons}"
        );
    }

    #[test]
    fn many_small_classes_are_identities_and_grey_is_seen() {
        let root = tempfile::tempdir().unwrap();
        folder(root.path(), "", 30, 3, true);
        let (config, reasons) = chosen(root.path());
        assert_eq!(config.protocol(), Protocol::Retrieve);
        assert_eq!((config.data.validation, config.data.channels), (3, Some(1)));
        assert!(reasons.contains("look like identities"), "{reasons}");
    }

    #[test]
    fn splits_tell_the_task() {
        let root = tempfile::tempdir().unwrap();
        folder(root.path(), "train", 4, 6, false);
        folder(root.path(), "test", 4, 2, false);
        assert_eq!(chosen(root.path()).0.protocol(), Protocol::Classify);
        // Other classes in the test.
        for class in 0..4 {
            let test = root.path().join("test");
            std::fs::rename(
                test.join(format!("c0{class}")),
                test.join(format!("d{class}")),
            )
            .unwrap();
        }
        assert_eq!(chosen(root.path()).0.protocol(), Protocol::Retrieve);
    }

    #[test]
    fn large_pictures_become_as_small_as_a_cpu_wants_them() {
        assert_eq!(size(Some([1080, 1920])).0, [56, 96]);
        assert_eq!(size(Some([10, 32])).0, [16, 32]);
    }
}
