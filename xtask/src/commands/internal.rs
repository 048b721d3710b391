//! `internal`: what we say to ourselves, and to scripts that hold a plan.

use std::io::Read;

use camino::Utf8PathBuf;
use talos::network::Cidr;

use super::App;
use super::cluster::HalfMade;
use foundation::ctx::relay::Relaying;
use foundation::failure::{Because, Failure, Result};
use foundation::plan::Plan;
use foundation::run;
use foundation::typed;

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
            .hint(format!(
                "{} | {}",
                typed!("cluster up --format json"),
                typed!("internal run-plan")
            ))
    })?;
    app.carry_out(&plan, &HalfMade)?;
    Ok(0)
}

/// Start the relay of a cluster, or be it.
///
/// # Errors
/// When the words make no sense, or it cannot listen.
pub(super) fn gateway(
    app: &App<'_>,
    state_dir: Utf8PathBuf,
    cidr: &str,
    ports: Vec<u16>,
    serve: bool,
) -> Result<u8> {
    let cidr = Cidr::parse(cidr).map_err(|error| Failure::usage(error.to_string()))?;
    let relaying = Relaying {
        state_dir,
        cidr,
        ports,
    };
    if serve {
        run::serve_gateway(&relaying)?;
    } else {
        run::start_gateway(&app.ctx, &relaying)?;
    }
    Ok(0)
}
