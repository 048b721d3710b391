//! `test integration`: Talos' tests against a cluster that runs. The binary is
//! that of the sources, and a name that is no suite is refused: the binary
//! itself would say "no tests to run" and succeed.

use std::fmt::Write;

use camino::Utf8Path;
use gotest::{NamedSuite, Target, Workspace, named_suites, newest_source};

use super::args::IntegrationArgs;
use crate::cli::{ClusterCommand, ClusterVerb, DestroyArgs, UpArgs, Which};
use crate::commands::cluster::{self, HalfMade};
use crate::commands::{App, build};
use crate::ctx::checkout::Checkout;
use crate::ctx::cluster::{ClusterState, ClusterView};
use crate::ctx::sources::Sources;
use crate::ctx::talosctl::Talosctl;
use crate::failure::{Exit, Failure, Result};
use crate::plan::{Plan, Step, Watch};
use crate::ui;

/// Where their sources are.
pub(super) const FOLDER: &str = "internal/integration";
/// As the Makefile builds the binary (`GO_BUILDTAGS` of its Dockerfile stage).
const TAGS: [&str; 4] = [
    "integration",
    "integration_api",
    "integration_cli",
    "integration_k8s",
];
/// Seconds; a whole run takes hours.
const SHORT: u64 = 2 * 3600;
const FULL: u64 = 8 * 3600;
/// The cluster of `--fresh`, apart from the one that is worked with.
const FRESH: (&str, &str) = ("integration", "172.20.64.0/24");

pub(super) fn run(app: &App<'_>, args: &IntegrationArgs) -> Result<u8> {
    let checkout = app.ctx.checkout()?;
    let suites = suites(&checkout, &TAGS);
    if args.list {
        list(&suites);
        return Ok(0);
    }
    let pattern = pattern(&args.suites, &suites)?;
    let which = if args.fresh {
        Which {
            name: Some(FRESH.0.to_owned()),
        }
    } else {
        args.which.clone()
    };
    let name = cluster::existing_name(app, &which)?;
    if !args.fresh && !app.is_dry() {
        must_run(app, name.as_str())?;
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
    if args.fresh {
        let up = UpArgs {
            which: which.clone(),
            cidr: Some(FRESH.1.to_owned()),
            ..UpArgs::default()
        };
        cluster::run(app, verb(ClusterVerb::Up(up)))?;
    }
    let talosctl = if app.is_dry() {
        Talosctl::need(&app.ctx, &checkout)
            .unwrap_or_else(|_| Talosctl::to_be_built(&app.ctx, &checkout))
    } else {
        Talosctl::need(&app.ctx, &checkout)?
    };
    let view = ClusterView::look(&app.ctx, name.as_str());
    let words = arguments(
        &checkout,
        app.ctx.host.arch,
        &talosctl.path,
        &Against {
            name: name.as_str(),
            state: &view.state_dir,
            home: &app
                .ctx
                .dirs
                .talos_home(talosctl.version.honours_talos_home()),
        },
        args,
        pattern.as_deref(),
    );
    let plan = plan_run(&checkout, words, args.full, &view);
    let outcome = app
        .carry_out(&plan, &HalfMade)
        .map_err(|failure| judged(app, failure, name.as_str()));
    if args.fresh && !matches!(&outcome, Err(failure) if failure.exit == Exit::NodeDied) {
        cluster::run(app, verb(ClusterVerb::Destroy(DestroyArgs { which })))?;
    }
    outcome.map(|_| 0)
}

fn verb(verb: ClusterVerb) -> ClusterCommand {
    ClusterCommand {
        verb: Some(verb),
        up: UpArgs::default(),
        json: false,
    }
}

/// A test that failed is no failure of ours; a cluster that is gone is none of
/// the test's.
fn judged(app: &App<'_>, failure: Failure, name: &str) -> Failure {
    if failure.exit != Exit::Step {
        return failure;
    }
    let view = ClusterView::look(&app.ctx, name);
    // Its launcher may not have told of its end yet.
    let lost = view.nodes.iter().find(|node| node.qemu.is_none());
    let (exit, what) = if let Some(node) = lost.filter(|_| view.has_folder) {
        (
            Exit::NodeDied,
            format!("node `{}` died while the tests ran", node.name),
        )
    } else if view.state == ClusterState::Running {
        (Exit::Checks, "integration tests failed".to_owned())
    } else {
        (
            Exit::NodeDied,
            format!(
                "cluster `{name}` is {} after the tests",
                view.state.as_str()
            ),
        )
    };
    Failure {
        exit,
        what,
        causes: failure.causes,
        excerpt: Vec::new(),
        hint: Some("cargo xtask runs latest; cargo xtask cluster logs".to_owned()),
    }
}

fn must_run(app: &App<'_>, name: &str) -> Result<()> {
    let view = ClusterView::look(&app.ctx, name);
    if view.state == ClusterState::Running {
        return Ok(());
    }
    Err(
        Failure::host(format!("cluster `{name}` is {}", view.state.as_str()))
            .cause("integration tests need one that runs")
            .hint("cargo xtask cluster up; or `--fresh` for one of their own"),
    )
}

/// Build the binary when it is missing or older than what it is built from.
pub(super) fn rebuilt(
    app: &App<'_>,
    checkout: &Checkout,
    target: &str,
    binary: &str,
    tags: &[&str],
) -> Result<()> {
    let path = checkout.dir.join(binary);
    let Some(why) = stale(checkout, &path, tags) else {
        app.ui.progress(&format!("{binary} is of these sources"));
        return Ok(());
    };
    let repository = build::repository::Repository::open(&checkout.dir)?;
    let mut plan = build::plan_anew(app, &repository, target, binary)?;
    plan.title = format!("{binary}: {why}");
    plan.note(why);
    if !app.is_dry() {
        build::preflight::check(app, &plan)?;
    }
    app.carry_out(&plan, &HalfMade)?;
    Ok(())
}

/// Why a binary has to be built anew; none when it is newer than all of it.
fn stale(checkout: &Checkout, binary: &Utf8Path, tags: &[&str]) -> Option<String> {
    let Ok(built) = std::fs::metadata(binary).and_then(|metadata| metadata.modified()) else {
        return Some("it is not built yet".to_owned());
    };
    let built = built.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
    let built = i128::try_from(built).ok()?;
    let source = Sources {
        root: checkout.dir.clone(),
    };
    let workspace = Workspace::open(&source);
    let newest = newest_source(&source, &workspace, &target(tags), FOLDER);
    if let Some((file, changed)) = newest.filter(|(_, changed)| *changed > built) {
        let seconds = (changed - built) / 1_000_000_000;
        return Some(format!("{file} changed {seconds} s after it was built"));
    }
    // Other modules change with these.
    ["go.mod", "go.sum", "pkg/machinery/go.mod"]
        .into_iter()
        .find(|file| {
            let changed =
                std::fs::metadata(checkout.dir.join(file)).and_then(|metadata| metadata.modified());
            let changed = changed
                .ok()
                .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            changed.is_some_and(|at| i128::try_from(at.as_nanos()).is_ok_and(|at| at > built))
        })
        .map(|file| format!("{file} changed after it was built"))
}

fn target(tags: &[&str]) -> Target {
    Target {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Target::default()
    }
}

/// The suites of a binary with these tags, read from the sources.
pub(super) fn suites(checkout: &Checkout, tags: &[&str]) -> Vec<NamedSuite> {
    let source = Sources {
        root: checkout.dir.clone(),
    };
    named_suites(&source, &Workspace::open(&source), &target(tags), FOLDER)
}

pub(super) fn list(suites: &[NamedSuite]) {
    let mut out = String::new();
    for suite in suites {
        let _ = writeln!(out, "{}  {}:{}", suite.name, suite.file, suite.line);
        for method in &suite.methods {
            let _ = writeln!(out, "  {method}");
        }
    }
    ui::print(&out);
}

/// `-test.run` of the suites that are meant, anchored: `api.Etcd` alone would
/// run two suites. None: all.
pub(super) fn pattern(wanted: &[String], suites: &[NamedSuite]) -> Result<Option<String>> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut names = Vec::new();
    let mut methods = Vec::new();
    for word in wanted {
        let word = word.strip_prefix("TestIntegration/").unwrap_or(word);
        let (name, method) = match word.split_once('/') {
            Some((name, method)) => (name, Some(method)),
            None => (word, None),
        };
        let suite = suites
            .iter()
            .find(|suite| suite.is_called(name))
            .ok_or_else(|| unknown(name, suites.iter().map(|suite| suite.name.as_str())))?;
        if let Some(method) = method {
            let root = method.split('/').next().unwrap_or_default();
            if !suite.methods.iter().any(|known| known == root) {
                let known = suite.methods.iter().map(String::as_str);
                return Err(unknown(root, known).cause(format!("in suite `{name}`")));
            }
            methods.push(method);
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if !methods.is_empty() && names.len() > 1 {
        return Err(
            Failure::usage("single tests are run of one suite at a time")
                .hint("name suites alone, or tests of one suite"),
        );
    }
    let mut pattern = format!("^TestIntegration$/{}", one_of(&names));
    if !methods.is_empty() {
        let _ = write!(pattern, "/{}", one_of(&methods));
    }
    Ok(Some(pattern))
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| name.replace('.', "\\.")).collect();
    match quoted.as_slice() {
        [one] => format!("^{one}$"),
        many => format!("^({})$", many.join("|")),
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let alike = |other: &str| strsim::jaro(other, name);
    let nearest = known.max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let failure = Failure::usage(format!("there is no test `{name}`"));
    match nearest {
        Some(nearest) => failure.hint(format!("did you mean `{nearest}`? `--list` shows all")),
        None => failure.hint("`--list` shows all"),
    }
}

/// The cluster.
struct Against<'a> {
    name: &'a str,
    /// Of this cluster.
    state: &'a Utf8Path,
    /// Where talosctl has its clusters.
    home: &'a Utf8Path,
}

/// The guide's line; what differs from the binary's defaults is added.
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
    if against.name != "talos-default" {
        words.push(format!("-talos.name={}", against.name));
    }
    let clusters = against.home.join("clusters");
    if let Some(parent) = against.state.parent().filter(|parent| *parent != clusters) {
        words.push(format!("-talos.state={parent}"));
    }
    words.extend(pattern.map(|pattern| format!("-test.run={pattern}")));
    words.extend(args.test_flags.iter().cloned());
    words
}

fn plan_run(checkout: &Checkout, argv: Vec<String>, full: bool, view: &ClusterView) -> Plan {
    let mut plan = Plan::new(format!(
        "Integration tests of {} {}",
        checkout.dir, checkout.version
    ));
    let how = if full { "all tests" } else { "short tests" };
    plan.push(
        Step::run(format!("{how} against cluster {}", view.name), argv)
            .cwd(checkout.dir.clone())
            .deadline(if full { FULL } else { SHORT })
            .watch(Watch::ClusterNodes {
                name: view.name.clone(),
                state_dir: view.state_dir.clone(),
            }),
    );
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<NamedSuite> {
        [
            ("api.EtcdSuite", "TestLeave"),
            ("api.EtcdRecoverSuite", "TestRecover"),
            ("provision.UpgradeSuite.*-TR*", "TestRolling"),
        ]
        .map(|(name, method)| NamedSuite {
            name: name.to_owned(),
            methods: vec![method.to_owned()],
            file: String::new(),
            line: 1,
        })
        .to_vec()
    }

    fn of(words: &[&str]) -> Result<Option<String>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        pattern(&words, &known())
    }

    #[test]
    fn a_suite_is_itself_and_no_other() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(
            of(&["api.EtcdSuite"]),
            Ok(Some(r"^TestIntegration$/^api\.EtcdSuite$".to_owned()))
        );
        assert_eq!(
            of(&["TestIntegration/api.EtcdSuite/TestLeave"]),
            Ok(Some(
                r"^TestIntegration$/^api\.EtcdSuite$/^TestLeave$".to_owned()
            ))
        );
        assert_eq!(
            of(&["api.EtcdSuite", "api.EtcdRecoverSuite"]),
            Ok(Some(
                r"^TestIntegration$/^(api\.EtcdSuite|api\.EtcdRecoverSuite)$".to_owned()
            ))
        );
        assert!(of(&["provision.UpgradeSuite.v1.9.5-v1.10.0-TR0"]).is_ok());
    }

    #[test]
    fn what_is_none_is_refused_with_the_nearest() {
        let failure = of(&["api.EtcdSiute"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().contains("`api.EtcdSuite`"));
        let failure = of(&["api.EtcdSuite/TestLaeve"]).unwrap_err();
        assert!(failure.hint.unwrap().contains("`TestLeave`"));
        assert!(of(&["api.EtcdSuite/TestLeave", "api.EtcdRecoverSuite"]).is_err());
    }
}
