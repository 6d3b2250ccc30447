//! `hypersphere`: the program. All it does itself is to turn errors into messages and exit codes.

use clap::Parser;
use hypersphere::cli::{Cli, Command};
use hypersphere::progress::tell;
use hypersphere::{commands, exit_code, message};
use std::process::ExitCode;

fn main() -> ExitCode {
    end_with_the_reader();
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
            // What `config diff` was asked for is no error.
            let kind = if error.is::<commands::config::Different>() {
                ""
            } else {
                "error: "
            };
            tell(format_args!("{kind}{}", message(&error)));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// `println!` panics if nothing can be written. A reader who has read enough, as `head` does, is no
/// fault; a full disk is one, but not of this program.
fn end_with_the_reader() {
    let panicked = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        let text = text.map_or("", String::as_str);
        match text.strip_prefix("failed printing to stdout: ") {
            Some(why) if why.starts_with("Broken pipe") => std::process::exit(0),
            Some(why) => {
                tell(format_args!("error: writing standard output: {why}"));
                std::process::exit(1);
            }
            None => panicked(panic),
        }
    }));
}
