//! The library behind the program `hypersphere`: configurations, training, run directories,
//! pictures. The program itself only parses the command line and prints errors.

pub mod bench;
pub mod choose;
pub mod cli;
pub mod commands;
pub mod config;
pub mod dataset;
pub mod evaluation;
pub mod features;
pub mod figures;
pub mod pictures;
pub mod plot;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod run_dir;
pub mod source;
pub mod trainer;
pub mod weights;

/// The exit code that belongs to an error: 2 usage or configuration, 3 data, 4 diverged, 130
/// interrupted, 1 anything else.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let is_configuration = error.is::<config::ConfigError>()
        || error.is::<losses::Error>()
        || error.is::<nn::ModelError>()
        || error.is::<nn::ImportError>();
    match () {
        () if is_configuration => 2,
        () if error.is::<data::Error>() || error.is::<source::DataError>() => 3,
        () if error.is::<features::FeaturesError>() => 3,
        () if error.is::<trainer::Diverged>() => 4,
        () if error.is::<trainer::Interrupted>() => 130,
        () => 1,
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
