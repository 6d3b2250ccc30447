//! The configuration of a run: TOML in layers, strict keys, one resolved file.
//!
//! A run is described by text in layers: the recipe, the files that `-c` names (each may name a
//! `base`), the options of the command line, and `--set` last. Every layer is checked by itself,
//! so that an error names the layer and the line; then the layers are merged and the result is
//! written into the run directory, where it re-runs the experiment as it is.

mod augment;
mod recipes;
mod settings;
mod sound;

pub use augment::{AugmentConfig, PRESETS, SOUND_PRESETS};
pub use recipes::{RECIPES, Recipe};
pub use settings::{Data, Model, OtherData, Sampler, Unreadable};
pub use sound::{Features, Sound};

use crate::protocol::Protocol;
use crate::source::Format;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A mistake in the configuration or on the command line: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Everything that determines a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The recipe this began with.
    pub recipe: String,
    /// Decides initial weights, order, augmentation and dropout.
    pub seed: u64,
    /// Passes over the training images.
    pub epochs: u64,
    /// Steps in all, if training is to end within an epoch; then `epochs` does not matter. 0 for
    /// whole epochs.
    #[serde(skip_serializing_if = "is_zero")]
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// The highest learning rate; the schedule scales it.
    pub lr: f64,
    /// Largest norm of the gradient; 0 for any.
    pub clip_norm: f64,
    /// Decay of the average of the weights that is evaluated and saved; 0 for none.
    pub ema: f64,
    /// Minutes after which the state is saved within an epoch, too; after each epoch it always is.
    /// Changes nothing in the result.
    #[serde(skip_serializing_if = "is_usual_save")]
    pub save_minutes: f64,
    /// The loss, as `name:key=value,… + weight*name`; `all` for every one in `compare`.
    pub loss: String,
    /// The part of the training, up to 1, over which the margins of the loss rise from none to their
    /// values; 0 for full margins from the start.
    #[serde(skip_serializing_if = "is_zero")]
    pub margin_warmup: f64,
    /// The share of the classes, drawn in each step, with which the samples are compared besides
    /// their own (Partial FC); 1 for all. For tens of thousands of classes and more.
    #[serde(skip_serializing_if = "is_one")]
    pub sampled_classes: f64,
    /// How the data is cut and judged; that of the format if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Weights to begin with, of this program or of another; random ones if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// The data.
    pub data: Data,
    /// Which images come together.
    #[serde(skip_serializing_if = "Sampler::is_default")]
    pub sampler: Sampler,
    /// The network.
    pub model: Model,
    /// The optimizer.
    pub optimizer: nn::OptimizerConfig,
    /// How the learning rate moves.
    pub schedule: nn::Schedule,
    /// What `loss = "all"` compares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compare: Vec<Compared>,
}

const SAVE_MINUTES: f64 = 10.0;

/// More are typing errors, and their products would be no numbers of 64 bits any more.
const MOST_EPOCHS: u64 = 1_000_000_000;
const MOST_STEPS: u64 = 1_000_000_000_000_000;
const MOST_NUMBERS: usize = 1_000_000;

fn is_usual_save(minutes: &f64) -> bool {
    *minutes == SAVE_MINUTES
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

fn is_one(number: &f64) -> bool {
    *number == 1.0
}

/// One run of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// The loss.
    pub loss: String,
    /// The size of the embedding, if it is to be another than the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            recipe: String::new(),
            seed: 1,
            epochs: 6,
            steps: 0,
            batch: 128,
            lr: 0.1,
            clip_norm: 0.0,
            ema: 0.0,
            save_minutes: SAVE_MINUTES,
            loss: "so-softmax".into(),
            margin_warmup: 0.0,
            sampled_classes: 1.0,
            protocol: None,
            init: None,
            data: Data::default(),
            sampler: Sampler::default(),
            model: Model::default(),
            optimizer: nn::OptimizerConfig::Sgd {
                momentum: 0.9,
                nesterov: true,
                weight_decay: 5e-4,
            },
            schedule: nn::Schedule::one_cycle(),
            compare: Vec::new(),
        }
    }
}

/// Text that overrides what came before it, and where it is from.
struct Layer {
    name: String,
    table: toml::Table,
}

/// Collects the layers of a configuration.
#[derive(Default)]
pub struct Layers(Vec<Layer>);

impl Layers {
    /// Begins with a recipe.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn recipe(name: &str) -> Result<Self> {
        let Some(recipe) = RECIPES.iter().find(|r| r.name == name) else {
            let names: Vec<_> = RECIPES.iter().map(|r| r.name).collect();
            bail!(ConfigError(format!(
                "there is no recipe `{name}`{}; there are: {}",
                did_you_mean(name, names.iter().copied()),
                names.join(", ")
            )));
        };
        let mut layers = Layers::default();
        layers.add_text(&format!("recipe `{name}`"), recipe.text)?;
        layers.add_text("recipe", &format!("recipe = {name:?}"))?;
        Ok(layers)
    }

    /// Whether nothing has been added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a file, after the files and the recipe it is based on.
    ///
    /// # Errors
    /// If it cannot be read, or does not parse, or its bases form a circle.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        self.add_file_below(path, &mut Vec::new())
    }

    fn add_file_below(&mut self, path: &Path, above: &mut Vec<PathBuf>) -> Result<()> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError(format!("{}: {e}", path.display())))?;
        let mut table = parse(&path.display().to_string(), &text)?;
        if let Some(base) = table.remove("base") {
            let Some(base) = base.as_str() else {
                bail!(ConfigError(format!(
                    "{}: `base` must be text",
                    path.display()
                )));
            };
            let here = path.canonicalize().context("finding the file")?;
            if above.contains(&here) {
                bail!(ConfigError(format!("{}: is its own base", path.display())));
            }
            above.push(here);
            match RECIPES.iter().find(|r| r.name == base) {
                Some(_) => self.0.extend(Layers::recipe(base)?.0),
                None => {
                    let beside = path.parent().unwrap_or(Path::new(".")).join(base);
                    let of_base = |e| ConfigError(format!("{}: its base: {e:#}", path.display()));
                    self.add_file_below(&beside, above).map_err(of_base)?;
                }
            }
        }
        // Checked without `base`, which belongs to files and not to a configuration. Blanking
        // the line instead of removing it keeps the line numbers right.
        let blank = |line: &str| match line.split('=').next().map(str::trim) {
            Some("base") => String::new(),
            _ => line.to_string(),
        };
        let text: Vec<_> = text.lines().map(blank).collect();
        check(&path.display().to_string(), &text.join("\n"))?;
        self.0.push(Layer {
            name: path.display().to_string(),
            table,
        });
        Ok(())
    }

    /// Adds one assignment, `lr=0.05`. What is not a TOML value is taken as text.
    ///
    /// # Errors
    /// If there is no `=`, or no such key, or the value is of another type.
    pub fn add_assignment(&mut self, assignment: &str) -> Result<()> {
        let Some((key, value)) = assignment.split_once('=') else {
            bail!(ConfigError(format!("`{assignment}` should be KEY=VALUE")));
        };
        let (key, value) = (key.trim(), value.trim());
        let literal = format!("{key} = {value}");
        let text = match literal.parse::<toml::Table>() {
            Ok(_) => literal,
            Err(_) => format!("{key} = {}", toml::Value::from(value)),
        };
        self.add_text(&format!("`{assignment}`"), &text)
    }

    /// Adds one option of the command line.
    ///
    /// # Errors
    /// As [`add_assignment`](Layers::add_assignment).
    pub fn add_option(&mut self, key: &str, value: impl Into<toml::Value>) -> Result<()> {
        self.add_text(
            &format!("option {key}"),
            &format!("{key} = {}", value.into()),
        )
    }

    fn add_text(&mut self, name: &str, text: &str) -> Result<()> {
        check(name, text)?;
        let table = parse(name, text)?;
        self.0.push(Layer {
            name: name.to_string(),
            table,
        });
        Ok(())
    }

    /// The merged configuration.
    ///
    /// # Errors
    /// If a value makes no sense.
    pub fn resolve(self) -> Result<Config> {
        let mut merged = toml::Table::new();
        let names: Vec<_> = self.0.iter().map(|layer| layer.name.clone()).collect();
        for layer in self.0 {
            merge(&mut merged, layer.table);
        }
        let mut config: Config = merged
            .try_into()
            .map_err(|e| ConfigError(format!("{e} (from {})", names.join(", "))))?;
        if let Sampler::Pk { p, k, .. } = config.sampler {
            config.batch = p.saturating_mul(k);
        }
        let from = |e| ConfigError(format!("{e:#} (from {})", names.join(", ")));
        config.validate().map_err(from)?;
        Ok(config)
    }
}

impl Config {
    /// Reads a resolved file.
    ///
    /// # Errors
    /// If it cannot be read or does not parse.
    pub fn read(path: &Path) -> Result<Self> {
        let mut layers = Layers::default();
        layers.add_file(path)?;
        layers.resolve()
    }

    /// How the data is cut and judged: as stated, or as usual with what is tested on.
    pub fn protocol(&self) -> Protocol {
        let tested = self.data.test.as_ref().map(|test| test.format);
        let usual = tested.unwrap_or(self.data.format).info().protocol;
        self.protocol.unwrap_or(usual)
    }

    /// The text of the resolved file.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("a configuration is plain data")
    }

    /// The keys in which two configurations differ, with both values.
    pub fn differences(&self, other: &Config) -> Vec<(String, String, String)> {
        let flat = |config: &Config| {
            let table = toml::Table::try_from(config).expect("a configuration is plain data");
            let mut out = std::collections::BTreeMap::new();
            flatten("", &toml::Value::Table(table), &mut out);
            out
        };
        let (mine, theirs) = (flat(self), flat(other));
        let keys: std::collections::BTreeSet<_> = mine.keys().chain(theirs.keys()).collect();
        let value = |map: &std::collections::BTreeMap<String, String>, key: &str| {
            map.get(key).cloned().unwrap_or_else(|| "(absent)".into())
        };
        keys.into_iter()
            .map(|key| (key.clone(), value(&mine, key), value(&theirs, key)))
            .filter(|(_, a, b)| a != b)
            .collect()
    }

    /// Whether every value makes sense.
    ///
    /// # Errors
    /// [`ConfigError`] that names the first key whose value makes none.
    pub(crate) fn validate(&self) -> Result<()> {
        let checks = [
            (
                (1..=MOST_EPOCHS).contains(&self.epochs),
                "epochs",
                "at least 1, and a billion at most",
            ),
            (self.steps <= MOST_STEPS, "steps", "10^15 at most"),
            (
                (2..=MOST_NUMBERS).contains(&self.batch),
                "batch",
                "at least 2, since batch-norm needs a variance, and a million at most",
            ),
            (
                (1..=MOST_NUMBERS).contains(&self.model.embed_dim),
                "model.embed_dim",
                "at least 1, and a million at most",
            ),
            (
                self.lr > 0.0 && self.lr.is_finite(),
                "lr",
                "a positive number",
            ),
            (self.clip_norm >= 0.0, "clip_norm", "at least 0"),
            (
                self.data.size.len() <= 2 && !self.data.size.contains(&0),
                "data.size",
                "[side] or [height, width] in pixels",
            ),
            (
                matches!(self.data.channels, None | Some(1 | 3)),
                "data.channels",
                "1 (grey) or 3 (colour)",
            ),
            (
                self.data.mean.len() == self.data.std.len(),
                "data.std",
                "as long as `data.mean`: one number per channel",
            ),
            (
                self.data.choose.is_none() || self.data.choose != self.data.test,
                "data.choose",
                "another data set than `data.test`, which selects nothing",
            ),
            (
                !self.data.choose.as_ref().is_some_and(is_view_2),
                "data.choose.format",
                "`lfw-view1`: view 2 of LFW is for the final figure alone, as `lfw` or in lfw.bin",
            ),
            ((0.0..1.0).contains(&self.ema), "ema", "in [0, 1)"),
            (self.save_minutes >= 0.0, "save_minutes", "at least 0"),
            (
                (0.0..=1.0).contains(&self.margin_warmup),
                "margin_warmup",
                "a share of the training, 0 to 1",
            ),
            (
                self.sampled_classes > 0.0 && self.sampled_classes <= 1.0,
                "sampled_classes",
                "a share of the classes, above 0 and at most 1",
            ),
        ];
        for (holds, key, wanted) in checks {
            if !holds {
                bail!(ConfigError(format!("`{key}` must be {wanted}")));
            }
        }
        match Sound::of(&self.data)? {
            Some(_) => self.data.augment.resolve_sound().map(|_| ())?,
            None => self.data.augment.resolve().map(|_| ())?,
        }
        let at = |table: &str, e: String| ConfigError(format!("[{table}]: {e}"));
        self.optimizer.validate().map_err(|e| at("optimizer", e))?;
        self.schedule.validate().map_err(|e| at("schedule", e))?;
        Ok(())
    }
}

/// Whether it is the final test of LFW, as pictures or as insightface's pack of its pairs.
fn is_view_2(other: &OtherData) -> bool {
    let is_pack = other
        .folder
        .file_name()
        .is_some_and(|name| name == "lfw.bin");
    other.format == Format::Lfw || other.format == Format::Insightface && is_pack
}

fn parse(name: &str, text: &str) -> Result<toml::Table> {
    let table = text.parse::<toml::Table>();
    table.map_err(|e| ConfigError(format!("{name}: {e}")).into())
}

/// Holds a layer against the types of the configuration; the error shows the line.
fn check(name: &str, text: &str) -> Result<()> {
    let Err(error) = toml::from_str::<Config>(text) else {
        return Ok(());
    };
    // A layer may change a setting of the optimizer, the schedule or the sampler without repeating
    // which it is.
    if error.message() == "missing field `kind`" {
        return Ok(());
    }
    // serde lists the keys there are, in backticks, after the one it does not know.
    let words: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    let suggestion = match words.split_first() {
        Some((unknown, known)) if error.message().starts_with("unknown") => {
            did_you_mean(unknown, known.iter().copied())
        }
        _ => String::new(),
    };
    let message = error.to_string();
    bail!(ConfigError(format!(
        "{name}: {}{suggestion}",
        message.trim_end()
    )))
}

/// ", did you mean `x`?", or nothing if no candidate is close.
pub fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    candidates
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|&(distance, c)| distance <= 1 + c.len() / 4)
        .min()
        .map_or(String::new(), |(_, c)| format!(", did you mean `{c}`?"))
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            // A schedule of another kind, or another preset, replaces the old one with all its
            // settings.
            (Some(toml::Value::Table(old)), toml::Value::Table(new))
                if ["kind", "preset"]
                    .iter()
                    .all(|key| !new.contains_key(*key) || old.get(*key) == new.get(*key)) =>
            {
                merge(old, new);
            }
            // `augment = "affine"` is short for a table with this preset.
            (Some(toml::Value::String(preset)), toml::Value::Table(mut new)) => {
                let preset = toml::Value::String(std::mem::take(preset));
                new.entry("preset").or_insert(preset);
                into.insert(key, toml::Value::Table(new));
            }
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn flatten(
    prefix: &str,
    value: &toml::Value,
    out: &mut std::collections::BTreeMap<String, String>,
) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{key}"), value, out);
            }
        }
        value => drop(out.insert(prefix.to_string(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(result: Result<impl Sized>) -> String {
        result.err().expect("an error").to_string()
    }

    #[test]
    fn every_recipe_resolves() {
        for recipe in RECIPES {
            let config = Layers::recipe(recipe.name).unwrap().resolve().unwrap();
            assert_eq!(config.recipe, recipe.name);
        }
    }

    #[test]
    fn every_recipe_names_losses_and_a_network_that_there_are_and_its_data() {
        let mut built: Vec<Model> = Vec::new();
        for recipe in RECIPES {
            let config = Layers::recipe(recipe.name).unwrap().resolve().unwrap();
            assert!(recipe.about().len() > 20, "{}", recipe.name);
            let inside = recipe.name.starts_with("mnist");
            assert_eq!(recipe.needs().is_empty(), inside, "{}", recipe.name);
            assert_eq!(config.data.folder.is_none(), inside, "{}", recipe.name);
            let compared = config.compare.iter().map(|c| &c.loss);
            assert!(compared.len() >= 7, "{}", recipe.name);
            for loss in compared.chain([&config.loss]).filter(|loss| *loss != "all") {
                let spec = loss
                    .parse::<losses::Spec>()
                    .and_then(|s| s.resolve(100, 64));
                assert!(spec.is_ok(), "{}: {loss}: {:?}", recipe.name, spec.err());
            }
            if built.contains(&config.model) {
                continue;
            }
            let mut params = engine::Params::<f32>::new();
            let root = &mut nn::Scope::root(&mut params, 0);
            let net = nn::Model::find(&config.model.name).unwrap();
            let net = net.build_with(root, [32, 32, 3], &config.model.options());
            assert!(net.is_ok(), "{}: {:?}", recipe.name, net.err());
            built.push(config.model);
        }
    }

    #[test]
    fn later_layers_win_and_the_resolved_text_is_the_same_configuration() {
        let mut layers = Layers::recipe("mnist").unwrap();
        layers.add_option("epochs", 3).unwrap();
        layers.add_assignment("lr=0.025").unwrap();
        layers.add_assignment("loss=cosface:s=30,m=0.2").unwrap();
        layers.add_assignment("epochs=4").unwrap();
        let config = layers.resolve().unwrap();
        assert_eq!((config.epochs, config.lr), (4, 0.025));
        assert_eq!(config.loss, "cosface:s=30,m=0.2");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config.to_text()).unwrap();
        assert_eq!(Config::read(&path).unwrap(), config);
    }

    #[test]
    fn files_can_be_based_on_files_and_recipes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        std::fs::write(path("a.toml"), "base = \"mnist\"\nepochs = 9\nbatch = 50").unwrap();
        std::fs::write(path("b.toml"), "base = \"a.toml\"\nbatch = 60").unwrap();
        let config = Config::read(&path("b.toml")).unwrap();
        assert_eq!((config.epochs, config.batch), (9, 60));
        std::fs::write(path("c.toml"), "base = \"c.toml\"").unwrap();
        assert!(error(Config::read(&path("c.toml"))).contains("its own base"));
    }

    #[test]
    fn mistakes_name_the_place_and_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        std::fs::write(&path, "base = \"mnist\"\n\n[model]\nembed_dmi = 8\n").unwrap();
        let message = error(Config::read(&path));
        for part in ["my.toml", "line 4", "did you mean `embed_dim`"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
        std::fs::write(&path, "epochs = \"many\"").unwrap();
        assert!(error(Config::read(&path)).contains("line 1"));
        assert!(error(Layers::recipe("mnits")).contains("did you mean `mnist`"));
        let mut layers = Layers::recipe("mnist").unwrap();
        assert!(error(layers.add_assignment("model.nam=x")).contains("did you mean `name`"));
        layers.add_assignment("lr=-1").unwrap();
        assert!(error(layers.resolve()).contains("`lr` must be a positive number"));
    }

    #[test]
    fn differences_name_the_keys() {
        let config = Config::default();
        let mut other = config.clone();
        other.lr = 0.2;
        let differences = config.differences(&other);
        let expected = ("lr".to_string(), "0.1".to_string(), "0.2".to_string());
        assert_eq!(differences, [expected]);
    }
}
