//! What there is to train and to test on, as its authors published it: the layouts that crate
//! `data` reads, become examples.
//!
//! A [`Source`] knows nothing of protocols: those [cut](crate::protocol::Protocol::cut) it. It
//! asks nothing of its examples but that they are [`Examples`](data::Examples), so data of another
//! kind joins in by another arm of `Source::read`.

mod format;
mod guess;
mod pictures;
mod recordings;
mod view;

pub use format::{FORMATS, Format, FormatInfo};
pub use guess::{Guess, guess};
pub use view::View;

use crate::config::{AugmentConfig, Config, ConfigError, RECIPES, Sound};
use anyhow::{Result, bail};
use data::formats::{
    cifar, esc, faces, folder, fsdd, omniglot, reid, retrieval, speech_commands, urbansound,
};
use data::manifest::{Entry, Split, Survey};
use data::{Manifest, Normalise, Official, mnist};
use pictures::{Part, Reader};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Data that cannot be used: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DataError(pub String);

/// A data set as it is published.
pub struct Source {
    /// For training.
    pub train: Items,
    /// For choices, where the data set has a part for them.
    pub validation: Option<Items>,
    /// For the final figure, where the data set has a part for it.
    pub test: Option<Items>,
    /// How pixels become numbers, channel by channel; of recordings, how levels do, band by band.
    pub normalise: Normalise,
    /// What a user should know: counts that differ from the official ones, files left out.
    pub notes: Vec<String>,
    /// Whether the order of the training part is already mixed, so that its first examples stand
    /// for all.
    pub mixed: bool,
}

/// A hash of the examples in some rows of a data set.
pub type Fingerprint = Arc<dyn Fn(&[usize]) -> String + Send + Sync>;

/// Labelled examples.
#[derive(Clone)]
pub struct Items {
    /// The examples; their labels are places in `classes`.
    pub view: View,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// What a protocol asks of some of them.
    pub marks: Marks,
    /// A hash of what a network can see of the examples in these rows of the data set.
    pub fingerprint: Fingerprint,
}

/// What the authors of a data set have laid down for the test, as places among its examples.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// What is looked for.
    pub queries: Vec<usize>,
    /// Where it is looked for.
    pub gallery: Vec<usize>,
    /// Pairs that are the same or different.
    pub pairs: Vec<Pair>,
    /// Runs of one-shot classification.
    pub runs: Vec<OneShot>,
    /// Whether each identity has one image in the gallery, drawn ten times, as in VehicleID.
    pub one_per_id: bool,
    /// Where each example is, from the folder of the data set; empty if they are in no files.
    pub paths: Vec<String>,
}

/// Two examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Which.
    pub places: [usize; 2],
    /// Whether they are of one class.
    pub same: bool,
    /// The fold, from 0.
    pub fold: usize,
}

/// One run of one-shot classification: which training example is of the class of each test
/// example?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneShot {
    /// One example of each class.
    pub training: Vec<usize>,
    /// What is asked.
    pub test: Vec<usize>,
    /// For each, the place of the right one in `training`.
    pub answers: Vec<usize>,
}

impl Source {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// If it cannot be read, or is something else.
    pub fn read(config: &Config) -> Result<Self> {
        let mut notes = Vec::new();
        let mut raw = Raw::read(config, &mut notes)?;
        let Some(train) = raw.train.take() else {
            bail!(ConfigError(format!(
                "`{}` has images to test on but none to train on; name a training set with \
                 `data.folder` and `data.format`, and this one under [data.test]",
                config.data.format.info().name
            )));
        };
        let normalise = match (config.data.mean.as_slice(), raw.normalise) {
            ([], Some(stated)) => stated,
            ([], None) => train.content.normalise()?,
            (mean, _) => Normalise::new(mean, &config.data.std)
                .map_err(|e| ConfigError(format!("[data]: {e}")))?,
        };
        let items = |part: Option<Part>| part.map(|p| p.items(config, &normalise)).transpose();
        let mut source = Source {
            train: train.items(config, &normalise)?,
            validation: items(raw.validation)?,
            test: items(raw.test)?,
            mixed: raw.mixed,
            normalise,
            notes: Vec::new(),
        };
        if config.data.test.is_some() {
            source.test = read_test(config, &source.normalise, &mut notes)?;
        }
        source.same_shapes(config)?;
        source.notes = notes;
        Ok(source)
    }

    /// Reads only what is tested on, normalised as a network has learned it: the test part, or
    /// everything where there are no parts.
    ///
    /// # Errors
    /// If it cannot be read, or there is no such part.
    pub fn read_test(config: &Config, normalise: &Normalise) -> Result<(Items, Vec<String>)> {
        let mut notes = Vec::new();
        match read_test(config, normalise, &mut notes)? {
            Some(items) => Ok((items, notes)),
            None => bail!(DataError(format!(
                "{} has no images to test on",
                described(config)
            ))),
        }
    }

    fn same_shapes(&self, config: &Config) -> Result<()> {
        use data::Examples;
        let train = self.train.view.shape();
        for (name, part) in [("validation", &self.validation), ("test", &self.test)] {
            let found = part.as_ref().map_or(train, |part| part.view.shape());
            if found != train {
                bail!(data::Error::Invalid {
                    what: format!("images of {} {name}", described(config)),
                    expected: format!("[height, width, channels] of {train:?}, as in training"),
                    found: format!("{found:?}"),
                    hint: "the files must belong to one data set".into(),
                });
            }
        }
        Ok(())
    }
}

/// What the configuration names, in words.
fn described(config: &Config) -> String {
    match &config.data.folder {
        Some(folder) => folder.display().to_string(),
        None => "the MNIST inside the program".into(),
    }
}

/// The part that is tested on: of the data set itself, or of the one under `[data.test]`.
fn read_test(
    config: &Config,
    normalise: &Normalise,
    notes: &mut Vec<String>,
) -> Result<Option<Items>> {
    let mut config = config.clone();
    if let Some(test) = config.data.test.take() {
        // What the test shows has the form of what was trained on.
        let was = config.data.format;
        if let Some(sound) = Sound::of(&config.data)? {
            sound.state(&mut config.data);
        } else {
            if config.data.size.is_empty() {
                config.data.size = was.info().size.map_or(Vec::new(), |size| size.to_vec());
            }
            config.data.channels.get_or_insert(was.info().channels);
        }
        config.data.folder = Some(test.folder);
        config.data.format = test.format;
    }
    // Nothing is varied in a test, and the variations may be for data of another kind.
    config.data.augment = AugmentConfig::preset("none");
    let raw = Raw::read(&config, notes)?;
    let part = raw.test.or(raw.train);
    part.map(|part| part.items(&config, normalise)).transpose()
}

/// The parts before they are normalised.
#[derive(Default)]
struct Raw {
    train: Option<Part>,
    validation: Option<Part>,
    test: Option<Part>,
    /// What the authors state.
    normalise: Option<Normalise>,
    mixed: bool,
}

impl Raw {
    fn of_official(official: Official, stated: Option<([f32; 3], [f32; 3])>) -> Result<Self> {
        let normalise = stated.map(|(mean, std)| Normalise::new(&mean, &std));
        Ok(Raw {
            train: Some(Part::of_set(official.train)),
            test: Some(Part::of_set(official.test)),
            normalise: normalise.transpose()?,
            mixed: true,
            ..Raw::default()
        })
    }

    fn read(config: &Config, notes: &mut Vec<String>) -> Result<Self> {
        let data = &config.data;
        let format = data.format;
        let Some(root) = &data.folder else {
            if format != Format::Mnist {
                bail!(missing(config, "`data.folder` is not set"));
            }
            let normalise = Normalise::new(&[mnist::MEAN], &[mnist::STD])?;
            return Ok(Raw {
                normalise: Some(normalise),
                ..Raw::of_official(mnist::embedded(), None)?
            });
        };
        if !root.is_dir() {
            bail!(missing(config, &format!("{} is no folder", root.display())));
        }
        let sound = Sound::of(data)?;
        let in_memory = sound.is_none() && format.info().size.is_none();
        if in_memory && !(data.size.is_empty() && data.channels.is_none()) {
            bail!(ConfigError(format!(
                "images of `{}` have a size of their own; leave `data.size` and `data.channels` out",
                format.info().name
            )));
        }
        let ten = Some((cifar::MEAN_10, cifar::STD_10));
        let hundred = Some((cifar::MEAN_100, cifar::STD_100));
        match format {
            Format::Mnist => return Raw::of_official(mnist::from_folder(root)?, None),
            Format::Cifar10 => return Raw::of_official(cifar::ten(root)?, ten),
            Format::Cifar100 => {
                return Raw::of_official(cifar::hundred(root, cifar::Labels::Fine)?, hundred);
            }
            Format::Cifar100Coarse => {
                return Raw::of_official(cifar::hundred(root, cifar::Labels::Coarse)?, hundred);
            }
            _ => {}
        }
        let mut survey = survey(format, root, data.fold.unwrap_or(1))?;
        let runs = match format {
            Format::Omniglot => add_runs(root, &mut survey.manifest)?,
            _ => Vec::new(),
        };
        for count in survey.counts.iter().filter(|c| c.found != c.official) {
            notes.push(format!(
                "{}: {} {}, the official table says {}",
                survey.manifest.name, count.found, count.what, count.official
            ));
        }
        let manifest = match data.strict {
            true => survey.strict()?,
            false => survey.manifest,
        };
        let mut part = |split| match sound {
            Some(sound) => {
                let reader = recordings::Reader {
                    config,
                    root,
                    sound,
                };
                reader.part(&manifest, split, notes)
            }
            None => {
                let reader = Reader {
                    config,
                    shape: shape(config),
                };
                reader.part(&manifest, split, notes)
            }
        };
        let mut raw = Raw {
            train: part(Split::Train)?,
            validation: part(Split::Validation)?,
            test: part(Split::Test)?,
            ..Raw::default()
        };
        if let Some(test) = &mut raw.test {
            test.mark_runs(&runs);
            test.mark_one_per_id(matches!(
                format,
                Format::Vehicleid | Format::Vehicleid1600 | Format::Vehicleid2400
            ));
            let pairs = root.join("pairs.txt");
            if format == Format::Lfw && pairs.is_file() {
                test.mark_pairs(&pairs)?;
            }
        }
        Ok(raw)
    }
}

/// The list of the files of a data set that is in files. One in folds is tested on `fold`, counted
/// from 1.
///
/// # Errors
/// If the folder is laid out otherwise.
pub fn survey(format: Format, root: &Path, fold: u32) -> Result<Survey> {
    Ok(match format {
        Format::Manifest => Survey {
            manifest: match root.is_file() {
                true => Manifest::read(root)?,
                false => Manifest::read(root.join("manifest.csv"))?,
            },
            counts: Vec::new(),
            ignored: 0,
        },
        Format::Omniglot => omniglot::read(root)?,
        Format::Orl => faces::orl(root, ORL_TRAINING_PEOPLE)?,
        Format::Lfw => faces::lfw(root)?,
        Format::Market1501 => reid::read(&reid::MARKET_1501, root)?,
        Format::Duke => reid::read(&reid::DUKE_MTMC, root)?,
        Format::Cuhk03Labeled => reid::read(&reid::CUHK03_LABELED, root)?,
        Format::Cuhk03Detected => reid::read(&reid::CUHK03_DETECTED, root)?,
        Format::Veri776 => reid::read(&reid::VERI_776, root)?,
        Format::Vehicleid => reid::vehicle_id(root, 800)?,
        Format::Vehicleid1600 => reid::vehicle_id(root, 1600)?,
        Format::Vehicleid2400 => reid::vehicle_id(root, 2400)?,
        Format::Cub => retrieval::cub(root, false)?,
        Format::Cars => retrieval::cars(root, false)?,
        Format::Sop => retrieval::sop(root)?,
        Format::InShop => retrieval::in_shop(root)?,
        Format::Fsdd => fsdd::read(root)?,
        Format::Esc10 => esc::read(root, esc::Subset::Ten, fold)?,
        Format::Esc50 => esc::read(root, esc::Subset::Fifty, fold)?,
        Format::Urbansound => urbansound::read(root, fold)?,
        Format::SpeechCommands => speech_commands::read(root, speech_commands::Task::AllWords)?,
        Format::SpeechCommands12 => speech_commands::read(root, speech_commands::Task::Twelve)?,
        Format::Folder
        | Format::Mnist
        | Format::Cifar10
        | Format::Cifar100
        | Format::Cifar100Coarse => folder::read(root)?,
    })
}

/// The other ten are tested on. There is no official split.
const ORL_TRAINING_PEOPLE: u32 = 30;

/// `[height, width, channels]` that files are decoded to.
fn shape(config: &Config) -> [usize; 3] {
    let info = config.data.format.info();
    let [height, width] = match *config.data.size {
        [side] => [side, side],
        [height, width] => [height, width],
        _ => info.size.unwrap_or([64, 64]),
    };
    [height, width, config.data.channels.unwrap_or(info.channels)]
}

/// Adds the images of Lake's runs to the test part, where they lie beside the data set, and marks
/// those that are no part of them for retrieval.
fn add_runs(root: &Path, manifest: &mut Manifest) -> Result<Vec<omniglot::Run>> {
    let beside = ["all_runs", ""].map(|folder| root.join(folder));
    let Some(folder) = beside.iter().find(|folder| folder.join("run01").is_dir()) else {
        return Ok(Vec::new());
    };
    let runs = omniglot::one_shot_runs(folder)?;
    for entry in manifest
        .entries
        .iter_mut()
        .filter(|e| e.split == Split::Test)
    {
        (entry.is_query, entry.is_gallery) = (true, true);
    }
    for path in runs
        .iter()
        .flat_map(|run| run.training.iter().chain(&run.test))
    {
        let path = relative(path, root);
        manifest
            .entries
            .push(Entry::new(path, "one-shot runs", Split::Test));
    }
    Ok(runs)
}

/// A path below `root`, with `/` between names.
fn relative(path: &Path, root: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let names = path.iter().map(|name| name.to_string_lossy());
    names.collect::<Vec<_>>().join("/")
}

impl Part {
    fn places(&self) -> HashMap<&str, usize> {
        let paths = self.marks.paths.iter().enumerate();
        paths.map(|(i, path)| (path.as_str(), i)).collect()
    }

    /// Runs whose images could all be read.
    fn mark_runs(&mut self, runs: &[omniglot::Run]) {
        let places = self.places();
        // Paths of runs end in `runNN/training/class01.png`, which no other path does.
        let of_run: HashMap<String, usize> = places
            .iter()
            .map(|(path, &place)| (last_names(path), place))
            .collect();
        let place = |path: &std::path::PathBuf| {
            of_run
                .get(&last_names(&relative(path, Path::new(""))))
                .copied()
        };
        let run = |run: &omniglot::Run| {
            Some(OneShot {
                training: run.training.iter().map(place).collect::<Option<_>>()?,
                test: run.test.iter().map(place).collect::<Option<_>>()?,
                answers: run.answers.clone(),
            })
        };
        let runs = runs.iter().filter_map(run).collect();
        self.marks.runs = runs;
    }

    fn mark_one_per_id(&mut self, one_per_id: bool) {
        self.marks.one_per_id = one_per_id;
    }

    /// Pairs whose images are both there. A pair that is left out moves no other's fold.
    fn mark_pairs(&mut self, list: &Path) -> Result<()> {
        let places = self.places();
        let pairs = faces::pairs(list)?;
        let marked = pairs.iter().filter_map(|pair| {
            let [a, b] = pair.paths();
            Some(Pair {
                places: [*places.get(a.as_str())?, *places.get(b.as_str())?],
                same: pair.same,
                fold: pair.fold,
            })
        });
        let marked = marked.collect();
        self.marks.pairs = marked;
        Ok(())
    }
}

/// The last three names of a path.
fn last_names(path: &str) -> String {
    let names: Vec<&str> = path.rsplit('/').take(3).collect();
    names.join("/")
}

/// What to get, and how to lay it out.
fn missing(config: &Config, problem: &str) -> DataError {
    let info = config.data.format.info();
    let recipe = RECIPES.iter().find(|r| r.name == config.recipe);
    let needs = match recipe.map(|r| r.needs()).filter(|needs| !needs.is_empty()) {
        Some(needs) => format!("\n  {}", needs.join("\n  ")),
        None => String::new(),
    };
    DataError(format!(
        "{problem}.{needs}\n  Then name the folder with `--data DIR`. Expected in it (format `{}`): {}",
        info.name, info.layout
    ))
}
