//! `internal`: what we say to ourselves, and to scripts that hold a plan.

use std::io::Read;

use super::App;
use super::cluster::HalfMade;
use crate::failure::{Because, Failure, Result};
use crate::plan::Plan;

/// Run a plan as `--format json` prints it, read from standard input.
///
/// # Errors
/// The failing step's.
pub(super) fn run_plan(app: &App<'_>) -> Result<u8> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .because(|| "cannot read a plan from standard input".to_owned())?;
    let plan: Plan = serde_json::from_str(&text).map_err(|error| {
        Failure::usage("standard input is not a plan")
            .cause(error)
            .hint("cargo xtask cluster up --format json | cargo xtask internal run-plan")
    })?;
    app.carry_out(&plan, &HalfMade)?;
    Ok(0)
}
