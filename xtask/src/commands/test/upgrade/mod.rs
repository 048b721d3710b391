//! `test upgrade`: the guide's provision tests, which make clusters of released
//! versions and upgrade them to this tree. They run as root, and in a state
//! home of their own: their tear-down removes every cluster of the one that
//! they run in (talos, internal/integration/provision: `TearDownSuite`).

mod artifacts;

use std::net::Ipv4Addr;

use camino::Utf8PathBuf;
use talos::network::Cidr;
use talos::version::LOCAL_REGISTRY_PORT;

use super::args::UpgradeArgs;
use super::infrastructure::Registries;
use super::names::Wanted;
use super::unit::suites::Suites;
use super::{binary, names, unit};
use crate::cli::InstallerArgs;
use crate::commands::cluster::{HalfMade, relay};
use crate::commands::{App, installer};
use crate::ctx::checkout::Checkout;
use crate::ctx::mirrors::Mirror;
use crate::ctx::network;
use crate::ctx::relay::Relaying;
use crate::failure::{Failure, Result};
use crate::plan::{Action, Plan, Step};

/// What results are filed under.
const PACKAGE: &str = "github.com/siderolabs/talos/internal/integration/provision";
const TAGS: [&str; 2] = ["integration", "integration_provision"];
/// Seconds: an hour for each suite of a track.
const DEADLINE: u64 = 12 * 3600;
pub(super) fn run(app: &App<'_>, args: &UpgradeArgs) -> Result<u8> {
    let checkout = app.ctx.checkout()?;
    let suites = binary::suites(&checkout, &TAGS);
    let suites: Vec<_> = suites
        .into_iter()
        .filter(|suite| suite.name.starts_with("provision."))
        .collect();
    if args.list {
        binary::list(&suites);
        return Ok(0);
    }
    let limit = binary::limit(args.timeout.as_deref(), DEADLINE)?;
    let mut wanted = Wanted::of(&args.suites, &suites)?;
    if let Some(track) = args.track {
        wanted.pattern = Some(format!("TestIntegration/.+-TR{track}"));
        // Which they are is in the names that a run says.
        wanted.tests.clear();
    }
    let Some(wanted) = wanted.or_failed(app, &args.results, &checkout, PACKAGE) else {
        return Ok(unit::suites::nothing_failed());
    };
    let network = network(args)?;
    let registries = Registries::before(app, &checkout);
    if !app.is_dry() {
        preflight(app, &checkout, network.cidr, &registries)?;
    }
    app.carry_out_before(&artifacts::plan(app, &checkout)?, &HalfMade)?;
    let path = checkout.version.provision_binary();
    binary::rebuilt(app, &checkout, path, path, &TAGS)?;
    if !app.is_dry()
        && let Some(real) = binary::real_suites(&checkout, path)
    {
        // Before images are built for what is none.
        check_names(args, &real)?;
    }
    let installer = installer::plan(app, &InstallerArgs::default())?;
    app.carry_out_before(&installer, &HalfMade)?;
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
            own: &args.test_flags,
        };
        plan_run(&checkout, &line, &home, limit)
    };
    let suites = Suites {
        package: PACKAGE,
        checkout: &checkout.dir,
        list: "cargo xtask test upgrade --list",
        pattern: wanted.pattern,
        tests: wanted.tests,
        plan: &plan,
        lost: &|| registries.lost(),
    };
    let relaying = relaying(&home, network.cidr, &registries.mirrors);
    if let Some(relaying) = &relaying {
        let mut plan = Plan::new("Let the nodes reach registries");
        plan.push(relay::start(&relay::own_executable()?, relaying));
        app.carry_out_before(&plan, &HalfMade)?;
    }
    let before = network::bridges();
    let code = unit::suites::run(app, &args.results, &suites);
    let left: Vec<String> = network::bridges()
        .into_iter()
        .filter(|bridge| !before.contains(bridge))
        .collect();
    if !left.is_empty() && !app.is_dry() {
        // A cluster whose creation failed is none that they tear down.
        app.ui.note(&format!(
            "the tests have left {} behind: `cargo xtask doctor` shows what is nobody's",
            left.join(", ")
        ));
    }
    if let Some(relaying) = &relaying {
        let mut plan = Plan::new("The nodes are gone");
        plan.steps = relay::stop(&app.ctx, &relaying.state_dir);
        app.carry_out_before(&plan, &HalfMade)?;
    }
    code
}

/// For registries that listen on loopback alone.
fn relaying(home: &Home, cidr: Cidr, mirrors: &[Mirror]) -> Option<Relaying> {
    let needed = mirrors.iter().filter(|mirror| mirror.needs_relay);
    let ports: Vec<u16> = needed.map(|mirror| mirror.port).collect();
    (!ports.is_empty()).then(|| Relaying {
        state_dir: home.folder.clone(),
        cidr,
        ports,
    })
}

/// The sources do not say which releases and tracks there are.
fn check_names(args: &UpgradeArgs, real: &[String]) -> Result<()> {
    for word in &args.suites {
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

/// The guide's network, or that of the track, as hack/test/provision-tests.sh has
/// it.
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

/// Of the clusters.
#[derive(Debug, Clone, Copy)]
struct Network {
    cidr: Cidr,
    /// This host, for its nodes.
    gateway: Ipv4Addr,
}

/// What the tests would miss only after hours of builds, all of it at once.
fn preflight(
    app: &App<'_>,
    checkout: &Checkout,
    network: Cidr,
    registries: &Registries,
) -> Result<()> {
    app.ctx.needs_linux("test upgrade")?;
    let mut failure = Failure::host("this host lacks what upgrade tests need");
    let talosctl = format!("_out/talosctl-linux-{}", app.ctx.host.arch);
    if !checkout.dir.join(&talosctl).is_file() {
        failure = failure.cause(format!(
            "`{talosctl}` is not built: cargo xtask build talosctl-linux-{}",
            app.ctx.host.arch
        ));
    }
    let mut mirrors = registries.mirrors.iter();
    if !mirrors.any(|mirror| mirror.port == LOCAL_REGISTRY_PORT) {
        failure = failure.cause(format!(
            "no registry answers at 127.0.0.1:{LOCAL_REGISTRY_PORT}: cargo xtask registry up"
        ));
    }
    let taken = network::taken(&app.ctx, "");
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
    Err(failure.hint("each cause names its cure"))
}

/// Whose state is at stake.
struct Home {
    /// Where the tests have their clusters.
    folder: Utf8PathBuf,
    user: Utf8PathBuf,
}

/// What the line is made of.
struct Line<'a> {
    arch: &'a str,
    network: Network,
    mirrors: &'a [Mirror],
    pattern: Option<&'a str>,
    /// The user's own flags.
    own: &'a [String],
}

impl Line<'_> {
    /// As in the guide.
    fn words(&self, checkout: &Checkout) -> Vec<String> {
        let gateway = self.network.gateway;
        let mirror = |mirror: &Mirror| format!("{}=http://{gateway}:{}", mirror.host, mirror.port);
        let mirrors: Vec<String> = self.mirrors.iter().map(mirror).collect();
        let mut words = vec![
            checkout.version.provision_binary().to_owned(),
            "-test.v".to_owned(),
            "-talos.talosctlpath".to_owned(),
            format!("_out/talosctl-linux-{}", self.arch),
            format!("-talos.provision.target-installer-registry=127.0.0.1:{LOCAL_REGISTRY_PORT}"),
        ];
        if !mirrors.is_empty() {
            words.push("-talos.provision.registry-mirror".to_owned());
            words.push(mirrors.join(","));
        }
        words.push("-talos.provision.cidr".to_owned());
        words.push(self.network.cidr.to_string());
        words.extend(self.pattern.map(|pattern| format!("-test.run={pattern}")));
        words.extend(self.own.iter().cloned());
        words
    }
}

fn plan_run(checkout: &Checkout, line: &Line<'_>, home: &Home, limit: u64) -> Plan {
    let mut plan = Plan::new(format!(
        "Upgrade tests of {} {}",
        checkout.dir, checkout.version
    ));
    plan.push(Step::new(
        "the tests remove every cluster of the home that they run in",
        Action::CreateDir {
            path: home.folder.clone(),
        },
    ));
    // TALOS_HOME counts from 1.12 on (4f6218674); before, HOME is the only way.
    let (talos_home, user_home) = if checkout.version.honours_talos_home() {
        (Some(home.folder.to_string()), home.user.to_string())
    } else {
        (None, home.folder.to_string())
    };
    let mut step = Step::run(
        "upgrade clusters of the releases to this tree",
        line.words(checkout),
    )
    .tests()
    .cwd(checkout.dir.clone())
    .as_root()
    .env("HOME", user_home)
    .deadline(limit);
    if let Some(talos_home) = talos_home {
        step = step.env("TALOS_HOME", talos_home);
    }
    plan.push(step);
    plan
}

#[cfg(test)]
mod tests {
    use talos::version::TalosVersion;

    use super::*;
    use crate::plan::{Privilege, Run};

    fn planned(version: &str, args: &UpgradeArgs) -> (Run, Privilege) {
        let checkout = Checkout {
            dir: "/talos".into(),
            found_by: "-C",
            version: TalosVersion::parse(version).unwrap(),
            version_from: "test",
        };
        let mirror = |host: &str, port| Mirror {
            host: host.to_owned(),
            port,
            needs_relay: false,
        };
        let mirrors = [
            mirror("127.0.0.1:5005", 5005),
            mirror("docker.io", 5000),
            mirror("registry.k8s.io", 5001),
            mirror("quay.io", 5002),
            mirror("gcr.io", 5003),
            mirror("ghcr.io", 5004),
        ];
        let home = Home {
            folder: "/home/me/.local/state/talos-xtask/upgrade-home".into(),
            user: "/home/me".into(),
        };
        let line = Line {
            arch: "amd64",
            network: network(args).unwrap(),
            mirrors: &mirrors,
            pattern: None,
            own: &[],
        };
        let plan = plan_run(&checkout, &line, &home, DEADLINE);
        let last = plan.steps.last().unwrap();
        let Action::Run(run) = &last.action else {
            panic!("{last:?}")
        };
        (run.clone(), last.privilege)
    }

    /// The line of the guide, word by word, on three lines of Talos.
    #[test]
    fn the_command_line_is_the_guides() {
        for version in ["v1.11.6", "v1.12.11", "v1.13.9"] {
            let (run, privilege) = planned(version, &UpgradeArgs::default());
            assert_eq!(
                run.argv.join(" "),
                "_out/integration-test-provision-linux-amd64 -test.v -talos.talosctlpath _out/talosctl-linux-amd64 \
                 -talos.provision.target-installer-registry=127.0.0.1:5005 \
                 -talos.provision.registry-mirror 127.0.0.1:5005=http://172.20.0.1:5005,docker.io=http://172.20.0.1:5000,\
                 registry.k8s.io=http://172.20.0.1:5001,quay.io=http://172.20.0.1:5002,gcr.io=http://172.20.0.1:5003,\
                 ghcr.io=http://172.20.0.1:5004 -talos.provision.cidr 172.20.0.0/24",
                "{version}"
            );
            assert_eq!(privilege, Privilege::Root);
        }
    }

    #[test]
    fn no_other_cluster_is_in_reach_of_the_tear_down() {
        let own = "/home/me/.local/state/talos-xtask/upgrade-home".to_owned();
        let (old, _) = planned("v1.11.6", &UpgradeArgs::default());
        assert_eq!(old.env, [("HOME".to_owned(), own.clone())]);
        let (new, _) = planned("v1.12.11", &UpgradeArgs::default());
        assert_eq!(
            new.env,
            [
                ("HOME".to_owned(), "/home/me".to_owned()),
                ("TALOS_HOME".to_owned(), own)
            ]
        );
    }

    #[test]
    fn a_track_has_a_network_of_its_own() {
        let args = UpgradeArgs {
            track: Some(2),
            ..UpgradeArgs::default()
        };
        let (run, _) = planned("v1.12.11", &args);
        assert!(
            run.argv.contains(&"172.23.0.0/24".to_owned()),
            "{:?}",
            run.argv
        );
        assert!(
            run.argv
                .iter()
                .any(|word| word.contains("docker.io=http://172.23.0.1:5000"))
        );
    }
}
