//! `internal`: commands that this program runs itself, and that scripts of
//! plans use.

use std::ffi::OsString;
use std::io::Read;

use camino::Utf8PathBuf;
use clap::Subcommand;
use talos::network::Cidr;

use crate::app::App;
use foundation::ctx::relay::RelaySpec;
use foundation::failure::{Because, Failure, Result};
use foundation::hash::Checksums;
use foundation::plan::Plan;
use foundation::run;
use foundation::run::airgap::Observing;
use foundation::typed;
use foundation::ui;

#[derive(Debug, Subcommand)]
pub enum InternalCommand {
    /// What `$(MAKE)` is where a shell calls it: the Makefile of this folder
    Make {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Values that a shell offers for the last of the words
    Complete {
        /// The line up to the cursor, in place of words
        #[arg(long, allow_hyphen_values = true)]
        line: Option<String>,
        #[arg(last = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// One step of a plan as root, read from standard input
    RootStep,
    /// Let a cluster's nodes reach registries on 127.0.0.1 by their gateway
    Gateway {
        /// The cluster's folder
        #[arg(long, value_name = "DIR")]
        of: Utf8PathBuf,
        #[arg(long)]
        cidr: String,
        #[arg(long, value_delimiter = ',', required = true)]
        ports: Vec<u16>,
        /// Be the relay, and not what starts it
        #[arg(long)]
        serve: bool,
    },
    /// Record what a cluster's nodes ask the network for
    Observe {
        /// The folder of the air gap
        #[arg(long)]
        dir: Utf8PathBuf,
        #[arg(long)]
        bridge: String,
        #[arg(long)]
        cidr: String,
        #[arg(long, value_delimiter = ',')]
        ports: Vec<u16>,
        /// Folders of the nodes' consoles
        #[arg(long)]
        consoles: Vec<Utf8PathBuf>,
        /// Be the observer, and not what starts it
        #[arg(long)]
        serve: bool,
    },
    /// Start talosctl's helper for air-gapped tests, and wait until it listens
    AirgapHelper {
        /// The folder of the air gap
        #[arg(long)]
        dir: Utf8PathBuf,
        #[arg(long, value_delimiter = ',')]
        ports: Vec<u16>,
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
    /// One test binary as root, asked for on standard input
    #[cfg(target_os = "linux")]
    RootExec,
    /// PID 1 around a test binary
    #[cfg(target_os = "linux")]
    RootInit,
    /// Run a plan as `--format json` prints it, read from standard input
    RunPlan,
    /// Checksums of standard input, as JSON
    Checksums,
    /// End our process group when standard input closes
    Warden,
}

/// Runs a plan as `--format json` prints it, read from standard input.
///
/// # Errors
/// The failing step's.
pub(crate) fn run_plan(app: &App<'_>) -> Result<u8> {
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
    app.carry_out(&plan)?;
    Ok(0)
}

/// Prints the checksums of standard input: what follows a download in a pipe.
///
/// # Errors
/// When standard input cannot be read.
pub(crate) fn checksums() -> Result<u8> {
    let sums = Checksums::of(std::io::stdin().lock());
    let sums = sums.because(|| "cannot read standard input".to_owned())?;
    let sums = serde_json::to_string(&sums).because(|| "cannot print checksums".to_owned())?;
    ui::print(&format!("{sums}\n"));
    Ok(0)
}

/// Starts the relay of a cluster.
///
/// # Errors
/// When the arguments are invalid, or it cannot listen.
pub(crate) fn start_relay(
    app: &App<'_>,
    state_dir: Utf8PathBuf,
    cidr: &str,
    ports: Vec<u16>,
) -> Result<u8> {
    run::registry_relay::start(&app.ctx, &relaying(state_dir, cidr, ports)?)?;
    Ok(0)
}

/// Runs as the relay of a cluster, until the cluster is gone.
///
/// # Errors
/// Those of [`start_relay`].
pub(crate) fn relay(state_dir: Utf8PathBuf, cidr: &str, ports: Vec<u16>) -> Result<u8> {
    run::registry_relay::serve(&relaying(state_dir, cidr, ports)?)?;
    Ok(0)
}

/// Starts the observer of a bridge, or runs as it.
///
/// # Errors
/// When the arguments are invalid, or it cannot capture.
pub(crate) fn observe(observing: &Observing, serve: bool) -> Result<u8> {
    if serve {
        run::airgap::observe(observing)?;
        return Ok(0);
    }
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    args.push("--serve".to_owned());
    run::airgap::start_observer(&observing.dir, &args)?;
    Ok(0)
}

/// The arguments of `internal observe`.
///
/// # Errors
/// When the network is invalid.
pub(crate) fn observing(
    dir: Utf8PathBuf,
    bridge: String,
    cidr: &str,
    ports: Vec<u16>,
    consoles: Vec<Utf8PathBuf>,
) -> Result<Observing> {
    let cidr = Cidr::parse(cidr).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Observing {
        dir,
        bridge,
        cidr,
        ports,
        consoles,
    })
}

fn relaying(state_dir: Utf8PathBuf, cidr: &str, ports: Vec<u16>) -> Result<RelaySpec> {
    let cidr = Cidr::parse(cidr).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(RelaySpec {
        state_dir,
        cidr,
        ports,
    })
}
