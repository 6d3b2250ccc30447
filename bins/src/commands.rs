//! One file per subcommand.

pub mod bench;
pub mod compare;
pub mod config;
pub mod data;
pub mod doctor;
pub mod embed;
pub mod eval;
mod exchange;
pub mod gradcheck;
pub mod index;
pub mod loss;
mod loss_plot;
mod loss_suggest;
pub mod metrics;
pub mod model;
pub mod model_eval;
pub mod model_export;
pub mod report;
mod runner;
pub mod search;
mod series;
pub mod shell;
pub mod train;
pub mod verify;
