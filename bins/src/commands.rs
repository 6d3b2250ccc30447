//! One file per subcommand.

pub mod bench;
pub mod eval;
pub mod gradcheck;
pub mod loss;
pub mod metrics;
pub mod model;
pub mod train;
