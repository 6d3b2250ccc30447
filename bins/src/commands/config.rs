//! `hypersphere config`: configurations without training.

use crate::cli::config::{Config as Command, Init};
use crate::config::{Config, ConfigError, Layers, RECIPES};
use crate::progress::tell;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Two configurations differ: exit code 1, as `diff` has it.
#[derive(Debug, thiserror::Error)]
#[error("{}", match .0 { 1 => "1 key differs".to_string(), n => format!("{n} keys differ") })]
pub struct Different(usize);

/// Runs a subcommand.
///
/// # Errors
/// If a configuration cannot be read or makes no sense; [`Different`] if two are.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Init(options) => init(options),
        Command::Show(options) => {
            let mut layers = layers(&options.what)?;
            let mut set = options.set.iter();
            set.try_for_each(|assignment| layers.add_assignment(assignment))?;
            print!("{}", layers.resolve()?.to_text());
            Ok(())
        }
        Command::Diff { a, b } => diff(a, b),
        Command::Validate { files } => validate(files),
    }
}

/// What a recipe, a file or a run lays down.
fn layers(what: &str) -> Result<Layers> {
    let path = Path::new(what);
    let file = match path.is_dir() {
        true => path.join("config.toml"),
        false => path.to_path_buf(),
    };
    if file.is_file() {
        let mut layers = Layers::default();
        layers.add_file(&file)?;
        return Ok(layers);
    }
    if path.is_dir() {
        bail!(ConfigError(format!(
            "{what} is no run: it has no config.toml"
        )));
    }
    let is_file = what.ends_with(".toml") || what.contains(std::path::MAIN_SEPARATOR);
    match is_file {
        true => bail!(ConfigError(format!("{what}: there is no such file"))),
        false => Layers::recipe(what),
    }
}

fn init(options: &Init) -> Result<()> {
    // The recipe's own error says which there are.
    Layers::recipe(&options.recipe)?;
    let recipe = RECIPES.iter().find(|r| r.name == options.recipe);
    let text = format!(
        "# Begun with the recipe `{0}`; what is left out is as there.\n\
         # Train: hypersphere train -c {1}\n\nbase = \"{0}\"\n\n{2}",
        options.recipe,
        options
            .output
            .as_deref()
            .unwrap_or(Path::new("FILE"))
            .display(),
        recipe.map_or("", |r| r.text)
    );
    let Some(path) = &options.output else {
        print!("{text}");
        return Ok(());
    };
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    let mut file = match file {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => bail!(ConfigError(format!(
            "{} is there already, and is left as it is; choose another name",
            path.display()
        ))),
        file => file.with_context(|| format!("writing {}", path.display()))?,
    };
    file.write_all(text.as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn diff(a: &str, b: &str) -> Result<()> {
    let [first, second] = [layers(a)?.resolve()?, layers(b)?.resolve()?];
    let differences = first.differences(&second);
    for (key, old, new) in &differences {
        println!("{key}: {old} -> {new}");
    }
    match differences.len() {
        0 => Ok(()),
        n => bail!(Different(n)),
    }
}

/// Checks all of them before it fails, so that one call shows every mistake.
fn validate(files: &[PathBuf]) -> Result<()> {
    let mut wrong = 0;
    for file in files {
        match check(file) {
            Ok(None) => println!("{}: good", file.display()),
            Ok(Some(missing)) => println!(
                "{}: good, but {} is not there yet",
                file.display(),
                missing.display()
            ),
            Err(e) => {
                let (text, name) = (format!("{e:#}"), file.display().to_string());
                let prefix = match text.starts_with(&name) {
                    true => String::new(),
                    false => format!("{name}: "),
                };
                tell(format_args!("{prefix}{text}"));
                wrong += 1;
            }
        }
    }
    match wrong {
        0 => Ok(()),
        n => bail!(ConfigError(format!(
            "{n} of {} files cannot be used",
            files.len()
        ))),
    }
}

/// Everything that can be known without the data. Returns a path that leads nowhere, if one does.
fn check(file: &Path) -> Result<Option<PathBuf>> {
    let config = Config::read(file)?;
    let compared = config.compare.iter().map(|c| &c.loss);
    for loss in compared.chain([&config.loss]).filter(|loss| *loss != "all") {
        loss.parse::<losses::Spec>()?;
    }
    nn::Model::find(&config.model.name)?;
    let paths = [config.data.folder, config.init];
    Ok(paths.into_iter().flatten().find(|path| !path.exists()))
}
