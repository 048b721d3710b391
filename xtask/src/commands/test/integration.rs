//! `test integration`: Talos' tests against a running cluster. The binary is
//! built from the current sources, and an unknown suite is refused: the binary
//! itself would print "no tests to run" and succeed.

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use gotest::Enclosing;

use super::args::SuiteArgs;
use super::binary::{limit, list, rebuilt, suites};
use super::infrastructure::Registries;
use super::names::SelectedTests;
use super::results::suites::{self, Suites};
use crate::app::App;
use crate::commands::cluster::{self, ClusterCommand, ClusterVerb, DestroyArgs, UpArgs, Which};
use crate::commands::selinux::gate;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::client_config::ClientConfig;
use foundation::ctx::cluster::{ClusterState, ClusterView};
use foundation::ctx::talosctl::{Context, Talosctl};
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Plan, Step, Watch};
use foundation::program;
use foundation::typed;

#[derive(Debug, Clone, Default, Args)]
pub struct IntegrationArgs {
    #[command(flatten)]
    pub which: Which,
    /// Run all tests, not only the short ones
    #[arg(long)]
    pub full: bool,
    /// Create a cluster for the tests and destroy it afterwards
    #[arg(long, conflicts_with_all = ["name", "json"])]
    pub fresh: bool,
    /// Timeout of the run [default: 2h, with --full 8h]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// After the tests, fail on SELinux denials of the nodes that this baseline does not accept
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub selinux_baseline: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// The import path that results are recorded under.
const PACKAGE: &str = "github.com/siderolabs/talos/internal/integration";
/// As the Makefile builds the binary (`GO_BUILDTAGS` of its Dockerfile stage).
pub(super) const TAGS: [&str; 4] = [
    "integration",
    "integration_api",
    "integration_cli",
    "integration_k8s",
];
/// Seconds; a full run takes hours.
const SHORT: u64 = 2 * 3600;
const FULL: u64 = 8 * 3600;
/// The cluster of `--fresh`, apart from the user's own.
const FRESH: (&str, &str) = ("integration", "172.20.64.0/24");

/// Returns the suite, or the suite's test, that contains a line of a file.
///
/// # Errors
/// Exit code 2 when there is none.
pub(super) fn suite_at(
    checkout: &Checkout,
    file: &Utf8Path,
    text: &str,
    line: usize,
) -> Result<String> {
    let suites = suites(checkout, &TAGS)?;
    let mine: Vec<_> = suites.iter().filter(|it| it.file == *file).collect();
    let name = match gotest::enclosing(text, line, &[]) {
        Enclosing::Method(name) => name,
        Enclosing::Helper(_) | Enclosing::Nothing | Enclosing::Tests(_) => String::new(),
    };
    let suite = mine.iter().find(|suite| suite.methods.contains(&name));
    suite
        .map(|suite| format!("{}/{name}", suite.name))
        .ok_or_else(|| {
            let failure = Failure::usage(format!("no test of a suite at {file}:{line}"));
            match mine.first() {
                Some(suite) => failure.hint(typed!("test integration {}", suite.name)),
                None => failure.hint(typed!("test integration --list")),
            }
        })
}

pub(super) fn run(app: &App<'_>, args: &IntegrationArgs) -> Result<u8> {
    let checkout = app.ctx.checkout()?;
    let suites = suites(&checkout, &TAGS)?;
    if args.suite.list {
        list(&suites, args.suite.results.json);
        return Ok(0);
    }
    // Checked before the tests, which may take hours.
    let baseline = args.selinux_baseline.as_ref();
    let baseline = baseline.map(|file| gate::load(app, file)).transpose()?;
    let limit = limit(
        args.timeout.as_deref(),
        if args.full { FULL } else { SHORT },
    )?;
    let selected = SelectedTests::new(&args.suite.suites, &suites)?;
    let Some(selected) = selected.or_failed(app, &args.suite.results, &checkout, PACKAGE)? else {
        return Ok(suites::nothing_failed(&args.suite.results));
    };
    let which = if args.fresh {
        Which {
            name: Some(FRESH.0.to_owned()),
        }
    } else {
        args.which.clone()
    };
    let name = cluster::existing_name(app, &which)?;
    if !app.is_dry() {
        if !args.fresh {
            must_run(app, name.as_str())?;
        }
        // Checked before a build that takes minutes.
        Talosctl::need(&app.ctx, &checkout)?;
    }
    rebuilt(
        app,
        &checkout,
        &checkout
            .version
            .integration_target("linux", app.ctx.host.arch),
        &checkout
            .version
            .integration_binary("linux", app.ctx.host.arch),
        &TAGS,
    )?;
    // An existing cluster was not created by this run, so the user is asked.
    let is_own =
        args.fresh && ClusterView::probe(&app.ctx, name.as_str()).state == ClusterState::Absent;
    if args.fresh {
        let up = UpArgs {
            which: which.clone(),
            cidr: Some(FRESH.1.to_owned()),
            ..UpArgs::default()
        };
        cluster::run(app, verb(ClusterVerb::Up(up)))?;
    }
    let mut code = against(app, args, &checkout, selected, (name.as_str(), limit));
    // The nodes' logs are read also if tests failed, but not of a cluster that was lost.
    if let (Some(baseline), Ok(0 | 1)) = (&baseline, &code)
        && !app.is_dry()
    {
        let denied = gate::check_nodes(app, baseline, &which);
        code = code.and_then(|code| {
            if code == 0 {
                denied
            } else {
                denied.map(|_| code)
            }
        });
    }
    // A cluster with a dead node is kept for inspection.
    if args.fresh && !matches!(code, Ok(code) if code == Exit::NodeDied.code()) {
        if is_own {
            cluster::destroy_own(app, which)?;
        } else {
            cluster::run(app, verb(ClusterVerb::Destroy(DestroyArgs { which })))?;
        }
    }
    code
}

/// Runs the tests against an existing cluster.
fn against(
    app: &App<'_>,
    args: &IntegrationArgs,
    checkout: &Checkout,
    selected: SelectedTests,
    (name, limit): (&str, u64),
) -> Result<u8> {
    let talosctl = if app.is_dry() {
        Talosctl::need(&app.ctx, checkout)
            .unwrap_or_else(|_| Talosctl::to_be_built(&app.ctx, checkout))
    } else {
        Talosctl::need(&app.ctx, checkout)?
    };
    let view = ClusterView::probe(&app.ctx, name);
    let against = Against {
        name,
        state: &view.state_dir,
        home: &app
            .ctx
            .dirs
            .talos_home(talosctl.version.honours_talos_home()),
        client: &app.ctx.client_config(name),
    };
    let registries = Registries::before(app, checkout)?;
    let plan = |pattern: Option<&str>| {
        let arch = app.ctx.host.arch;
        let words = arguments(checkout, arch, &talosctl.path, &against, args, pattern);
        plan_run(checkout, words, (args.full, limit), &view)
    };
    let lost = || lost_cluster(app, name).or_else(|| registries.lost());
    let suites = Suites {
        package: PACKAGE,
        checkout: &checkout.dir,
        list: &typed!("test integration --list"),
        pattern: selected.pattern,
        tests: selected.tests,
        plan: &plan,
        lost: &lost,
    };
    suites::run(app, &args.suite.results, &suites)
}

fn verb(verb: ClusterVerb) -> ClusterCommand {
    ClusterCommand {
        verb: Some(verb),
        up: UpArgs::default(),
        json: false,
    }
}

/// Returns the failure of a lost cluster, which is not a failure of the tests.
fn lost_cluster(app: &App<'_>, name: &str) -> Option<Failure> {
    let view = ClusterView::probe(&app.ctx, name);
    // The launcher may not have reported the end of its node yet.
    let lost = view.nodes.iter().find(|node| node.qemu.is_none());
    let what = if let Some(node) = lost.filter(|_| view.has_folder) {
        format!("node `{}` died while the tests ran", node.name)
    } else if view.state == ClusterState::Running {
        return None;
    } else {
        let state = view.state.as_str();
        format!("cluster `{name}` is {state} after the tests")
    };
    let failure = Failure::new(Exit::NodeDied, what);
    Some(failure.hint(typed!("cluster logs --name {}", name)))
}

fn must_run(app: &App<'_>, name: &str) -> Result<()> {
    let view = ClusterView::examine(&app.ctx, name);
    if let Some(other) = view.provisioner.as_deref().filter(|it| *it != "qemu") {
        return Err(
            Failure::host(format!("cluster `{name}` was made with {other}"))
                .cause("these tests are run against clusters of QEMU")
                .hint(format!(
                    "{}; or `--fresh` for one of their own",
                    typed!("cluster list")
                )),
        );
    }
    if view.state == ClusterState::Running {
        if app.ctx.client_config(name).exists() {
            return Ok(());
        }
        return check_context(app, &view);
    }
    let failure = Failure::host(format!("cluster `{name}` is {}", view.state.as_str()))
        .cause("integration tests need one that runs");
    let (failure, command) = match view.faults.first() {
        Some(fault) => (failure.cause(&fault.what), typed!("cluster explain")),
        None => (failure, typed!("cluster up")),
    };
    Err(failure.hint(format!("{command}; or `--fresh` for one of their own")))
}

/// The binary uses the talosconfig's current context, whatever cluster its
/// flags name: with another context it would reset another cluster's nodes.
fn check_context(app: &App<'_>, view: &ClusterView) -> Result<()> {
    let (Some(config), Some(cidr)) = (app.ctx.talosconfig(), view.cidr) else {
        let path = app.ctx.talosconfig_path();
        return Err(Failure::host(format!("cannot read `{path}`"))
            .cause("the tests reach the nodes with it")
            .hint("unset TALOSCONFIG; or `--fresh` for a cluster of their own"));
    };
    let leads_there = |context: &Context| {
        let mut endpoints = context.endpoints.iter();
        endpoints.any(|one| one.parse().is_ok_and(|address| cidr.contains(address)))
    };
    if config
        .contexts
        .get(&config.current)
        .is_some_and(leads_there)
    {
        return Ok(());
    }
    let (path, current) = (app.ctx.talosconfig_path(), &config.current);
    let failure = Failure::host(format!(
        "the current context `{current}` of `{path}` is not of cluster `{}`",
        view.name
    ))
    .cause("the tests take that context, and would reboot and reset its nodes");
    let right = config.contexts.iter().find(|(_, it)| leads_there(it));
    Err(match right {
        Some((name, _)) => failure.hint(program!("talosctl config context {}", name)),
        None => failure.hint("`--fresh` for a cluster of their own"),
    })
}

/// The cluster under test.
struct Against<'a> {
    name: &'a str,
    /// The state folder of this cluster.
    state: &'a Utf8Path,
    /// The folder in which talosctl keeps its clusters.
    home: &'a Utf8Path,
    /// The talosconfig that the tests use.
    client: &'a ClientConfig,
}

/// Returns the guide's command line, with what differs from the binary's
/// defaults.
fn arguments(
    checkout: &Checkout,
    arch: &str,
    talosctl: &Utf8Path,
    against: &Against<'_>,
    args: &IntegrationArgs,
    pattern: Option<&str>,
) -> Vec<String> {
    let mut words = vec![
        checkout.version.integration_binary("linux", arch),
        "-talos.provisioner=qemu".to_owned(),
        "-test.v".to_owned(),
    ];
    if !args.full {
        words.push("-test.short".to_owned());
    }
    words.push(format!("-talos.talosctlpath={talosctl}"));
    if against.client.exists() {
        words.push(format!("-talos.config={}", against.client.talosconfig()));
    }
    if against.name != "talos-default" {
        words.push(format!("-talos.name={}", against.name));
    }
    let clusters = against.home.join("clusters");
    if let Some(parent) = against.state.parent().filter(|parent| *parent != clusters) {
        words.push(format!("-talos.state={parent}"));
    }
    words.extend(pattern.map(|pattern| format!("-test.run={pattern}")));
    words.extend(args.suite.test_flags.iter().cloned());
    words
}

fn plan_run(
    checkout: &Checkout,
    argv: Vec<String>,
    (full, limit): (bool, u64),
    view: &ClusterView,
) -> Plan {
    let mut plan = Plan::new(format!(
        "Integration tests of {} {}",
        checkout.dir, checkout.version
    ));
    let how = if full { "all tests" } else { "short tests" };
    plan.push(
        Step::run(format!("{how} against cluster {}", view.name), argv)
            .tests()
            .cwd(checkout.dir.clone())
            .deadline(limit)
            .watch(Watch::ClusterNodes {
                name: view.name.clone(),
                state_dir: view.state_dir.clone(),
            }),
    );
    plan
}
