//! `hypersphere eval`: a trained network judged again, or on other data.

use crate::cli::{Eval, EvalPart};
use crate::config::{Config, ConfigError, Sound};
use crate::dataset::{Judged, Loaders};
use crate::evaluation::Embedding;
use crate::files;
use crate::progress::tell;
use crate::protocol::{Effort, Protocol};
use crate::run_dir::RunDir;
use crate::source::{Format, Source, guess};
use crate::weights::Trained;
use anyhow::{Result, bail};
use data::formats::pack;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Judges as the options say.
///
/// # Errors
/// If the weights or the data cannot be read, or do not belong together.
pub fn run(options: &Eval) -> Result<()> {
    options.threads.set()?;
    let (weights, run) = weights_and_run(options)?;
    let trained = Trained::read(&weights)?;
    let config = run
        .map(|run| Config::read(&run.join("config.toml")))
        .transpose()?;
    let config = config.unwrap_or_default();
    let tests = match &options.data {
        Some(path) => tests(path, options)?.into_iter().map(Some).collect(),
        None => vec![None],
    };
    let embedding = Embedding { flip: options.flip };
    let effort = Effort {
        thorough: true,
        rerank: options.rerank,
    };
    let mut found = Vec::new();
    for test in &tests {
        let (judged, protocol, notes) = match test {
            Some((path, format)) => other_data(path, *format, config.clone(), options, &trained)?,
            None => own_data(config.clone(), options)?,
        };
        notes
            .iter()
            .for_each(|note| tell(format_args!("note    {note}")));
        trained.check_shape(judged.loader.examples().shape())?;
        let figures = trained.model().judge(&judged, embedding, effort)?.figures;
        let name = test.as_ref().and_then(|(path, _)| path.file_stem());
        let name = name.unwrap_or_default().to_string_lossy().into_owned();
        if tests.len() > 1 {
            println!("{name:<10} {}", figures.line(OF_PACKS));
        } else {
            println!(
                "{} on {} examples, {}",
                weights.display(),
                figures.images,
                protocol.name()
            );
            print!("{}", figures.table());
        }
        found.push((name, protocol, figures));
    }
    let (Some(path), Some((_, protocol, only))) = (&options.output, found.first()) else {
        return Ok(());
    };
    let figures = match found.len() {
        1 => json!(only),
        _ => found
            .iter()
            .map(|(name, _, figures)| (name.clone(), json!(figures)))
            .collect(),
    };
    let result = json!({
        "weights": weights,
        "data": options.data,
        "part": options.data.is_none().then(|| format!("{:?}", options.part).to_lowercase()),
        "protocol": protocol.name(),
        "flip": options.flip,
        "figures": figures,
    });
    files::write_json(path, &result)
}

/// The figures of one of several packs of pairs.
const OF_PACKS: &[&str] = &[
    "accuracy",
    "standard_error",
    "insightface_accuracy",
    "insightface_deviation",
    "auc",
    "tar_at_far_0.001",
];

/// The file of weights, and the run it belongs to if it does.
fn weights_and_run(options: &Eval) -> Result<(PathBuf, Option<PathBuf>)> {
    let what = &options.what;
    if what.is_dir() {
        let run = RunDir::open_existing(what)?;
        let weights = match options.best {
            true => run.best_weights(),
            false => run.last_weights(),
        };
        return Ok((weights, Some(what.clone())));
    }
    // `run/ckpt/last.safetensors` belongs to `run`.
    let run = what.parent().and_then(Path::parent).map(Path::to_path_buf);
    let run = run.filter(|run| run.join("config.toml").is_file());
    if run.is_none() && options.data.is_none() {
        bail!(ConfigError(format!(
            "{} belongs to no run; say what to judge it on with --data DIR",
            what.display()
        )));
    }
    Ok((what.clone(), run))
}

/// The part of the run's own data.
fn own_data(mut config: Config, options: &Eval) -> Result<(Judged, Protocol, Vec<String>)> {
    // The cut belongs to the protocol of the run; what is asked of the part may be another.
    let protocol = options.protocol.unwrap_or(config.protocol());
    if protocol.is_open() == config.protocol().is_open() {
        config.protocol = Some(protocol);
    } else {
        bail!(ConfigError(format!(
            "the run was cut for `{}`, whose classes of the test are {}; to judge it by `{}`, name \
             data with --data DIR",
            config.protocol().name(),
            if protocol.is_open() {
                "those of the training"
            } else {
                "others"
            },
            protocol.name(),
        )));
    }
    let loaders = Loaders::new(&config)?;
    let judged = match options.part {
        EvalPart::Test => loaders.test,
        EvalPart::Validation => loaders.validation.ok_or_else(|| {
            ConfigError("the run held nothing out: its `data.validation` is 0".into())
        })?,
    };
    Ok((judged, protocol, loaders.notes))
}

/// What `--data` stands for, which is one data set or several packs of pairs, with its layout.
fn tests(path: &Path, options: &Eval) -> Result<Vec<(PathBuf, Format)>> {
    let (root, format) = match &options.format {
        Some(name) => {
            let format = serde_json::from_value(json!(name))
                .map_err(|e| ConfigError(format!("--format: {e}")))?;
            (path.to_path_buf(), format)
        }
        None => {
            let guess = guess(path)?;
            let name = guess.format.info().name;
            tell(format_args!("note    read as `{name}`: {}", guess.because));
            (guess.folder, guess.format)
        }
    };
    let tests = match format {
        Format::Insightface => pack::find(&root)?,
        _ => vec![root],
    };
    Ok(tests.into_iter().map(|test| (test, format)).collect())
}

/// The test part of a folder, or all of it, shown as the network has learned to see.
fn other_data(
    path: &Path,
    format: Format,
    mut config: Config,
    options: &Eval,
    trained: &Trained,
) -> Result<(Judged, Protocol, Vec<String>)> {
    let data = &mut config.data;
    (data.test, data.choose) = (None, None);
    data.fold = data.fold_for(format);
    (data.folder, data.format) = (Some(path.to_path_buf()), format);
    let [height, width, channels] = trained.net.input;
    (data.rate, data.features, data.seconds, data.hop) = (None, None, None, None);
    if let (Some(sound), Some(_)) = (trained.description.sound, Sound::usual(data.format)) {
        sound.state(data);
    }
    if data.format.info().size.is_some() {
        (data.size, data.channels) = (vec![height, width], Some(channels));
    } else {
        (data.size, data.channels) = (Vec::new(), None);
    }
    data.centre = trained.description.centre;
    config.recipe.clear();
    config.protocol = options.protocol;
    let protocol = config.protocol();
    let (items, notes) = Source::read_test(&config, &trained.normalise)?;
    let exam = protocol.exam(items, &trained.description.classes)?;
    Ok((Judged::new(exam)?, protocol, notes))
}
