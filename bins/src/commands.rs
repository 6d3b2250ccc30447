//! One file per subcommand.

pub mod bench;
pub mod gradcheck;
pub mod loss;
pub mod model;
pub mod model_export;
pub mod train;
