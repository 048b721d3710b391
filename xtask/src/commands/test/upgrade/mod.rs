//! `test upgrade`: the guide's provision tests, which create clusters of
//! released versions and upgrade them to this tree. They run as root and in
//! their own state home: their tear-down removes every cluster of the home that
//! they run in (talos, internal/integration/provision: `TearDownSuite`).

mod artifacts;
mod line;

use std::net::Ipv4Addr;

use clap::Args;
use gotest::NamedSuite;
use talos::network::Cidr;
use talos::version::LOCAL_REGISTRY_PORT;

use super::args::SuiteArgs;
use super::infrastructure::Registries;
use super::names::SelectedTests;
use super::results::suites::{self, Suites};
use super::{binary, names};
use crate::app::App;
use crate::commands::cluster::relay;
use crate::commands::installer::{self, InstallerArgs};
use foundation::ctx::checkout::Checkout;
use foundation::ctx::host::Host;
use foundation::ctx::mirrors::Mirror;
use foundation::ctx::network;
use foundation::ctx::own_executable::own_executable;
use foundation::ctx::relay::RelaySpec;
use foundation::failure::{Failure, Result};
use foundation::plan::Plan;
use foundation::typed;
use line::{Home, Line};

#[derive(Debug, Clone, Default, Args)]
pub struct UpgradeArgs {
    /// Run the suites of one of the Makefile's tracks, in the network of that track
    #[arg(long, value_name = "N", conflicts_with = "suites", value_parser = clap::value_parser!(u32).range(0..10))]
    pub track: Option<u32>,
    /// Network of the test clusters [default: 172.20.0.0/24, or that of the track]
    #[arg(long, value_name = "CIDR")]
    pub cidr: Option<String>,
    /// Timeout of the run [default: 12h]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// The import path that results are recorded under.
const PACKAGE: &str = "github.com/siderolabs/talos/internal/integration/provision";
pub(super) const TAGS: [&str; 2] = ["integration", "integration_provision"];
/// Seconds: about an hour for each suite of a track.
const DEADLINE: u64 = 12 * 3600;

pub(super) fn run(app: &App<'_>, args: &UpgradeArgs) -> Result<u8> {
    let checkout = app.ctx.checkout()?;
    let suites = binary::suites(&checkout, &TAGS)?;
    let suites: Vec<_> = suites
        .into_iter()
        .filter(|suite| suite.name.starts_with("provision."))
        .collect();
    if args.suite.list {
        binary::list(&suites, args.suite.results.json);
        return Ok(0);
    }
    let limit = binary::limit(args.timeout.as_deref(), DEADLINE)?;
    let selected = selected_tests(args, &suites)?;
    let Some(selected) = selected.or_failed(app, &args.suite.results, &checkout, PACKAGE)? else {
        return Ok(suites::nothing_failed(&args.suite.results));
    };
    let network = network(args)?;
    let registries = Registries::before(app, &checkout)?;
    if !app.is_dry() {
        preflight(app, &checkout, network.cidr, &registries)?;
    }
    build(app, args, &checkout)?;
    let home = Home {
        folder: app.ctx.dirs.state.join("upgrade-home"),
        user: app.ctx.dirs.home.clone(),
    };
    let plan = |pattern: Option<&str>| {
        let line = Line {
            arch: app.ctx.host.arch,
            network,
            mirrors: &registries.mirrors,
            pattern,
            own: &args.suite.test_flags,
        };
        line::plan(&checkout, &line, &home, limit)
    };
    let suites = Suites {
        package: PACKAGE,
        checkout: &checkout.dir,
        list: &typed!("test upgrade --list"),
        pattern: selected.pattern,
        tests: selected.tests,
        plan: &plan,
        lost: &|| registries.lost(),
    };
    let relaying = relaying(&home, network.cidr, &registries.mirrors);
    if let Some(relaying) = &relaying {
        start_relay(app, relaying)?;
    }
    let before = network::bridges();
    let code = suites::run(app, &args.suite.results, &suites);
    if !app.is_dry() {
        note_bridges_since(app, &before);
    }
    if let Some(relaying) = &relaying {
        stop_relay(app, relaying)?;
    }
    code
}

/// Returns the named suites, or all of a track.
fn selected_tests(args: &UpgradeArgs, suites: &[NamedSuite]) -> Result<SelectedTests> {
    let mut selected = SelectedTests::new(&args.suite.suites, suites)?;
    if let Some(track) = args.track {
        selected.pattern = Some(format!("TestIntegration/.+-TR{track}"));
        // The names of a track's suites are known only at run time.
        selected.tests.clear();
    }
    Ok(selected)
}

/// Prepares the boot files of released versions, the binary of the tests, and
/// the installer of this tree.
fn build(app: &App<'_>, args: &UpgradeArgs, checkout: &Checkout) -> Result<()> {
    binary::prepare(app, &artifacts::plan(app, checkout)?)?;
    let path = checkout.version.provision_binary();
    binary::rebuilt(app, checkout, path, path, &TAGS)?;
    if !app.is_dry()
        && let Some(real) = binary::real_suites(checkout, path)
    {
        // Checked before images are built for an invalid name.
        check_names(args, &real)?;
    }
    let installer = installer::plan(app, &InstallerArgs::default())?;
    binary::prepare(app, &installer)
}

/// Notes bridges of clusters whose creation failed: the tests do not tear those
/// down.
fn note_bridges_since(app: &App<'_>, before: &[String]) {
    let mut left = network::bridges();
    left.retain(|bridge| !before.contains(bridge));
    if !left.is_empty() {
        app.ui.note(&format!(
            "the tests have left {} behind: `{}` shows what nothing uses",
            left.join(", "),
            typed!("doctor")
        ));
    }
}

/// Returns the relay that registries on loopback need.
fn relaying(home: &Home, cidr: Cidr, mirrors: &[Mirror]) -> Option<RelaySpec> {
    let needed = mirrors.iter().filter(|mirror| mirror.needs_relay);
    let ports: Vec<u16> = needed.map(|mirror| mirror.port).collect();
    (!ports.is_empty()).then(|| RelaySpec {
        state_dir: home.folder.clone(),
        cidr,
        ports,
    })
}

fn start_relay(app: &App<'_>, relaying: &RelaySpec) -> Result<()> {
    let mut plan = Plan::new("Let the nodes reach registries");
    plan.push(relay::start(&own_executable()?, relaying));
    binary::prepare(app, &plan)
}

fn stop_relay(app: &App<'_>, relaying: &RelaySpec) -> Result<()> {
    let mut plan = Plan::new("The nodes are gone");
    plan.steps = relay::stop(&app.ctx, &relaying.state_dir);
    binary::prepare(app, &plan)
}

/// Checks releases and tracks, which the sources do not list.
fn check_names(args: &UpgradeArgs, real: &[String]) -> Result<()> {
    for word in &args.suite.suites {
        let word = word.strip_prefix("TestIntegration/").unwrap_or(word);
        let name = word.split('/').next().unwrap_or_default();
        if !real.iter().any(|known| known == name) {
            return Err(names::unknown(name, real.iter().map(String::as_str)));
        }
    }
    let Some(track) = args.track else {
        return Ok(());
    };
    if real
        .iter()
        .any(|known| known.ends_with(&format!("-TR{track}")))
    {
        return Ok(());
    }
    let mut tracks: Vec<&str> = real
        .iter()
        .filter_map(|it| Some(it.rsplit_once("-TR")?.1))
        .collect();
    tracks.sort_unstable();
    tracks.dedup();
    Err(
        Failure::usage(format!("there is no track {track}")).hint(format!(
            "tracks are {}; `--list` shows all suites",
            tracks.join(", ")
        )),
    )
}

/// Returns the guide's network, or that of the track, as in
/// hack/test/provision-tests.sh.
fn network(args: &UpgradeArgs) -> Result<Network> {
    let third = args.track.map_or(20, |track| track + 21);
    let usual = format!("172.{third}.0.0/24");
    let cidr = Cidr::parse(args.cidr.as_deref().unwrap_or(&usual))
        .map_err(|error| Failure::usage(error.to_string()))?;
    let gateway = cidr.gateway().ok_or_else(|| {
        Failure::usage(format!("the network {cidr} has no room for nodes"))
            .hint(format!("--cidr {usual}"))
    })?;
    Ok(Network { cidr, gateway })
}

/// The network of the clusters.
#[derive(Debug, Clone, Copy)]
struct Network {
    cidr: Cidr,
    /// The address of this host for its nodes.
    gateway: Ipv4Addr,
}

/// Checks everything that the tests would miss only after hours of builds.
fn preflight(
    app: &App<'_>,
    checkout: &Checkout,
    network: Cidr,
    registries: &Registries,
) -> Result<()> {
    app.ctx.needs_linux("test upgrade")?;
    let mut failure = Failure::host("upgrade tests need programs that are missing on this host");
    if !app.ctx.host.is_root() && Host::which("sudo").is_none() {
        failure = failure.cause("the tests run as root, and there is no `sudo`: install it");
    }
    let talosctl = format!("_out/talosctl-linux-{}", app.ctx.host.arch);
    if !checkout.dir.join(&talosctl).is_file() {
        failure = failure.cause(format!(
            "`{talosctl}` is not built: {}",
            typed!("build talosctl-linux-{}", app.ctx.host.arch)
        ));
    }
    let mut mirrors = registries.mirrors.iter();
    if !mirrors.any(|mirror| mirror.port == LOCAL_REGISTRY_PORT) {
        failure = failure.cause(format!(
            "no registry answers at 127.0.0.1:{LOCAL_REGISTRY_PORT}: {}",
            typed!("registry up")
        ));
    }
    let taken = network::networks_in_use(&app.ctx, "")?;
    if let Some(other) = taken.iter().find(|other| other.cidr.overlaps(network)) {
        let free = network::first_free(&taken, network.prefix());
        failure = failure.cause(format!(
            "the network {network} is taken by {}: `--cidr {free}`",
            other.who
        ));
    }
    if failure.causes.is_empty() {
        return Ok(());
    }
    Err(failure.hint("each cause names its fix"))
}
