//! `hypersphere`: the program. All it does itself is to turn errors into messages and exit codes.

use clap::Parser;
use hypersphere::cli::{Cli, Command};
use hypersphere::{commands, exit_code, message};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Train(options) => commands::train::run(*options),
        Command::Eval(options) => commands::eval::run(&options),
        Command::Embed(options) => commands::embed::run(&options),
        Command::Index(options) => commands::index::run(&options),
        Command::Search(options) => commands::search::run(&options),
        Command::Verify(options) => commands::verify::run(&options),
        Command::Metrics(options) => commands::metrics::run(&options),
        Command::Report(options) => commands::report::run(&options),
        Command::Compare(options) => commands::compare::run(&options),
        Command::Bench(what) => commands::bench::run(&what),
        Command::Gradcheck(options) => commands::gradcheck::run(&options),
        Command::Loss(command) => commands::loss::run(&command),
        Command::Model(command) => commands::model::run(&command),
        Command::Data(command) => commands::data::run(&command),
        Command::Doctor(options) => commands::doctor::run(&options),
        Command::Config(command) => commands::config::run(&command),
        Command::Completions(options) => commands::shell::completions(&options),
        Command::Man(options) => commands::shell::man(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}
