//! Checks the operations and losses of this crate: `own-op [NAME|GROUP]... [--seed N] [--json]`.

use engine::gradcheck::Table;
use own_op::{LOSSES, OPERATIONS};
use std::process::ExitCode;

fn main() -> ExitCode {
    let table = Table::new().operations("ops", OPERATIONS);
    table.operations("losses", LOSSES).main()
}
