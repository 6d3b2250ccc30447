//! One file per subcommand.

pub mod bench;
pub mod data;
pub mod gradcheck;
pub mod loss;
pub mod model;
pub mod train;
