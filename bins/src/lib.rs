//! The library behind the program `hypersphere`: configurations, training, run directories,
//! pictures. The program itself only parses the command line and prints errors.

pub mod bench;
pub mod calibration;
pub mod choose;
pub mod cli;
pub mod commands;
pub mod config;
pub mod dataset;
pub mod embedder;
pub mod evaluation;
pub mod features;
pub mod figures;
pub mod files;
pub mod html;
pub mod interrupt;
pub mod pictures;
pub mod plot;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod run_dir;
pub mod source;
pub mod tensorboard;
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

/// An error with its causes, on one line; many errors repeat their cause already.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use anyhow::Context;

    #[test]
    fn a_message_tells_every_cause_once() {
        let error = data::Manifest::read("no/such.csv").context("reading a list");
        let text = super::message(&error.unwrap_err());
        assert!(text.starts_with("reading a list: no/such.csv: cannot be read"));
        assert_eq!(text.matches("os error 2").count(), 1, "{text}");
    }
}
