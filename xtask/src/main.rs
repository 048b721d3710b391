//! `cargo xtask`: one command for the people who develop Talos Linux.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(xtask::main())
}
