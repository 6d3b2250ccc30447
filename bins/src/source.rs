//! What there is to train and to test on, as its authors published it: the layouts that crate
//! `data` reads, become examples.
//!
//! A [`Source`] knows nothing of protocols: those [cut](crate::protocol::Protocol::cut) it. It
//! asks nothing of its examples but that they are [`Examples`](data::Examples), so data of another
//! kind joins in by another way to read a part of it, as recordings do beside pictures.

mod format;
mod guess;
mod marks;
mod pictures;
mod recordings;
mod view;

pub use format::{FORMATS, Format, FormatInfo};
pub use guess::{Guess, guess};
pub use marks::{Drawing, Folding, Marks, OneShot, Pair};
pub use view::View;

use crate::config::{AugmentConfig, Config, ConfigError, OtherData, RECIPES, Sound};
use anyhow::{Result, bail};
use data::formats::cuhk03::{self, Boxes};
use data::formats::{
    cifar, esc, folder, fsdd, lfw, omniglot, orl, pack, reid, retrieval, speech_commands,
    urbansound,
};
use data::manifest::{Split, Survey};
use data::{Manifest, Normalise, Official, mnist};
use marks::Asked;
use pictures::Part;
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

impl Source {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// If it cannot be read, or is something else.
    pub fn read(config: &Config) -> Result<Self> {
        let mut config = config.clone();
        if config.data.format.folds().is_some() {
            // What is trained on is never all of them.
            config.data.fold.get_or_insert(1);
        }
        let config = &config;
        let mut notes = Vec::new();
        let mut raw = Raw::read(config, &mut notes, false)?;
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
        if let Some(choose) = &config.data.choose {
            let other = with_data(config, choose)?;
            source.validation = Some(read_test(&other, &source.normalise, &mut notes)?);
        }
        if let Some(test) = &config.data.test {
            let other = with_data(config, test)?;
            source.test = Some(read_test(&other, &source.normalise, &mut notes)?);
        }
        source.same_shapes(config)?;
        source.notes = notes;
        Ok(source)
    }

    /// Reads only what is tested on, normalised as a network has learned it: the test part, or
    /// everything where there are no parts; of another data set where `data.test` names one.
    ///
    /// # Errors
    /// If it cannot be read, or there is no such part.
    pub fn read_test(config: &Config, normalise: &Normalise) -> Result<(Items, Vec<String>)> {
        let mut notes = Vec::new();
        let items = match &config.data.test {
            Some(test) => read_test(&with_data(config, test)?, normalise, &mut notes)?,
            None => read_test(config, normalise, &mut notes)?,
        };
        Ok((items, notes))
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

/// The same configuration on another data set, shown in the form of what is trained on.
fn with_data(config: &Config, other: &OtherData) -> Result<Config> {
    let mut config = config.clone();
    let data = &mut config.data;
    let was = data.format;
    if let Some(sound) = Sound::of(data)? {
        sound.state(data);
    } else {
        if data.size.is_empty() {
            data.size = was.info().size.map_or(Vec::new(), |size| size.to_vec());
        }
        data.channels.get_or_insert(was.info().channels);
    }
    data.fold = data.fold_for(other.format);
    data.folder = Some(other.folder.clone());
    data.format = other.format;
    Ok(config)
}

/// The part that is tested on, or everything where there are no parts.
fn read_test(config: &Config, normalise: &Normalise, notes: &mut Vec<String>) -> Result<Items> {
    let mut config = config.clone();
    // Nothing is varied in a test, and the variations may be for data of another kind.
    config.data.augment = AugmentConfig::preset("none");
    let raw = Raw::read(&config, notes, true)?;
    match raw.test.or(raw.train) {
        Some(part) => part.items(&config, normalise),
        None => bail!(DataError(format!(
            "{} has no images to test on",
            described(&config)
        ))),
    }
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

    /// Reads the parts; of files, with `only_test`, those alone that are tested on: the test part, or
    /// the training part where there is none.
    fn read(config: &Config, notes: &mut Vec<String>, only_test: bool) -> Result<Self> {
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
        let may_be_file = matches!(format, Format::Manifest | Format::Insightface);
        if !(root.is_dir() || may_be_file && root.is_file()) {
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
        let reader = pictures::Reader {
            config,
            shape: shape(config),
        };
        if format == Format::Insightface {
            return Ok(Raw {
                test: Some(reader.pack(&pack::read_only(root)?, notes)?),
                ..Raw::default()
            });
        }
        let (asked, survey) = Asked::of(format, root, data.fold, notes)?;
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
        let has_test = !manifest.split(Split::Test).is_empty();
        let mut part = |split| {
            let is_asked = match split {
                Split::Train => !(only_test && has_test),
                Split::Validation => !only_test,
                Split::Test => true,
            };
            let rows = manifest.split(split);
            if !is_asked || rows.is_empty() {
                return Ok(None);
            }
            let part = match sound {
                Some(sound) => {
                    let reader = recordings::Reader {
                        config,
                        root,
                        sound,
                    };
                    reader.part(&manifest, &rows, split == Split::Train, notes)
                }
                None => reader.part(&manifest, &rows, notes),
            };
            part.map(Some)
        };
        let mut raw = Raw {
            train: part(Split::Train)?,
            validation: part(Split::Validation)?,
            test: part(Split::Test)?,
            ..Raw::default()
        };
        if let Some(test) = &mut raw.test {
            asked.mark(test, notes)?;
        }
        Ok(raw)
    }
}

/// The list of the files of a data set that is in files. One in folds is tested on `fold`, counted
/// from 1, which is the usual one.
///
/// # Errors
/// If the folder is laid out otherwise, or the data set is not in files of one picture or recording
/// each.
pub fn survey(format: Format, root: &Path, fold: Option<u32>) -> Result<Survey> {
    let fold = fold.unwrap_or(1);
    Ok(match format {
        Format::Manifest => Survey {
            manifest: Manifest::open(root)?,
            counts: Vec::new(),
            ignored: 0,
        },
        Format::Omniglot => omniglot::read(root)?,
        Format::Orl => orl::read(root, ORL_TRAINING_PEOPLE)?,
        Format::Lfw | Format::LfwView1 => lfw::read(root)?,
        Format::Market1501 => reid::read(&reid::MARKET_1501, root)?,
        Format::Duke => reid::read(&reid::DUKE_MTMC, root)?,
        Format::Cuhk03Labeled => cuhk03::new_protocol(Boxes::Labeled, root)?,
        Format::Cuhk03Detected => cuhk03::new_protocol(Boxes::Detected, root)?,
        Format::Cuhk03LabeledClassic => cuhk03::classic(Boxes::Labeled, root)?.split(fold)?,
        Format::Cuhk03DetectedClassic => cuhk03::classic(Boxes::Detected, root)?.split(fold)?,
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
        Format::Folder => folder::read(root)?,
        Format::Insightface
        | Format::Mnist
        | Format::Cifar10
        | Format::Cifar100
        | Format::Cifar100Coarse => bail!(DataError(format!(
            "{}: expected a data set of files, found `{}`, whose pictures are in a few packs",
            root.display(),
            format.info().name
        ))),
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
