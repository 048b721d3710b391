//! `test upgrade`: the guide's provision tests, which make clusters of released
//! versions and upgrade them to this tree. They run as root, and in a state
//! home of their own: their tear-down removes every cluster of the one that
//! they run in (talos, internal/integration/provision: `TearDownSuite`).

use camino::Utf8PathBuf;
use talos::version::LOCAL_REGISTRY_PORT;

use super::args::UpgradeArgs;
use super::infrastructure::Registries;
use super::names::Wanted;
use super::unit::suites::Suites;
use super::{binary, unit};
use crate::cli::InstallerArgs;
use crate::commands::build::repository::Repository;
use crate::commands::cluster::HalfMade;
use crate::commands::{App, build, installer};
use crate::ctx::checkout::Checkout;
use crate::ctx::mirrors::Mirror;
use crate::failure::{Failure, Result};
use crate::plan::{Action, Effect, Plan, Step};

/// What results are filed under.
const PACKAGE: &str = "github.com/siderolabs/talos/internal/integration/provision";
const TAGS: [&str; 2] = ["integration", "integration_provision"];
/// Seconds: an hour for each suite of a track.
const DEADLINE: u64 = 12 * 3600;
/// What a cluster of a release boots, and what it is called where it is released.
const RELEASED: [(&str, &str); 2] = [
    ("vmlinuz", "vmlinuz-amd64"),
    ("initramfs.xz", "initramfs-amd64.xz"),
];

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
    app.ctx.needs_linux("test upgrade")?;
    app.carry_out_before(&plan_artifacts(app, &checkout)?, &HalfMade)?;
    let path = checkout.version.provision_binary();
    binary::rebuilt(app, &checkout, path, path, &TAGS)?;
    push_installer(app, &checkout)?;
    let registries = Registries::before(app, &checkout);
    let home = Home {
        folder: app.ctx.dirs.state.join("upgrade-home"),
        user: app.ctx.dirs.home.clone(),
    };
    let plan = |pattern: Option<&str>| {
        let (arch, mirrors) = (app.ctx.host.arch, &registries.mirrors);
        plan_run(&checkout, (arch, limit), mirrors, &home, args, pattern)
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
    unit::suites::run(app, &args.results, &suites)
}

/// What the releases boot, fetched with a checksum, resumed where a fetch was
/// cut; what is there is not asked for again.
fn plan_artifacts(app: &App<'_>, checkout: &Checkout) -> Result<Plan> {
    let repository = Repository::open(&checkout.dir)?;
    let releases = releases(&checkout.dir, &repository)?;
    let mut plan = Plan::new(format!("Kernels and initramfs of {}", releases.join(", ")));
    for release in &releases {
        let folder = checkout.out().join(release);
        let missing: Vec<_> = RELEASED
            .iter()
            .filter(|(file, _)| !folder.join(file).is_file())
            .collect();
        if missing.is_empty() {
            app.ui.progress(&format!("_out/{release} is there"));
            continue;
        }
        let url = format!("https://github.com/siderolabs/talos/releases/download/{release}");
        let sums = folder.join("sha256sum.txt");
        plan.push(Step::new(
            format!("{release} goes there"),
            Action::CreateDir {
                path: folder.clone(),
            },
        ));
        plan.push(fetch(
            format!("checksums of {release}"),
            &format!("{url}/sha256sum.txt"),
            &sums,
            false,
        ));
        for (file, released) in missing {
            let part = folder.join(format!("{file}.part"));
            plan.push(fetch(
                format!("{released} of {release}"),
                &format!("{url}/{released}"),
                &part,
                true,
            ));
            let check = format!(
                "sed -n 's#^\\([0-9a-f]\\{{64\\}}\\) .*\\b{released}$#\\1  {file}.part#p' sha256sum.txt | sha256sum --check --strict - && mv {file}.part {file}"
            );
            plan.push(
                Step::run(
                    format!("{released} is what was released"),
                    ["sh", "-ec", &check],
                )
                .cwd(folder.clone())
                .effect(Effect::Creates),
            );
        }
    }
    Ok(plan)
}

fn fetch(why: String, url: &str, to: &Utf8PathBuf, resume: bool) -> Step {
    let mut words = vec![
        "curl",
        "--fail",
        "--location",
        "--retry",
        "3",
        "--no-progress-meter",
    ];
    if resume {
        words.extend(["--continue-at", "-"]);
    }
    words.extend(["--output", to.as_str(), url]);
    Step::run(why, words).effect(Effect::Creates).deadline(3600)
}

/// `RELEASES` as the Makefile has it; the environment may say otherwise.
fn releases(dir: &camino::Utf8Path, repository: &Repository) -> Result<Vec<String>> {
    let path = dir.join("Makefile");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::host(format!("cannot read `{path}`")).cause(error))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RELEASES ?="));
    let named = repository
        .environment
        .get("RELEASES")
        .map(String::as_str)
        .or(line);
    let releases: Vec<String> = named
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let sound = |release: &String| talos::version::TalosVersion::parse(release).is_ok();
    if releases.is_empty() || !releases.iter().all(sound) {
        return Err(Failure::host(format!(
            "`{path}` names no RELEASES to upgrade from"
        )));
    }
    Ok(releases)
}

fn push_installer(app: &App<'_>, checkout: &Checkout) -> Result<()> {
    let repository = Repository::open(&checkout.dir)?;
    let words = installer::words(&InstallerArgs::default(), checkout.version.installer_flow());
    let planned = build::evaluate(app, &repository, &words, false)?;
    let plan = build::plan_of(app, &repository, &words, &planned);
    if !app.is_dry() {
        build::preflight::check(app, &plan)?;
    }
    app.carry_out_before(&plan, &HalfMade)
}

/// Whose state is at stake.
struct Home {
    /// Where the tests have their clusters.
    folder: Utf8PathBuf,
    user: Utf8PathBuf,
}

fn plan_run(
    checkout: &Checkout,
    (arch, limit): (&str, u64),
    mirrors: &[Mirror],
    home: &Home,
    args: &UpgradeArgs,
    pattern: Option<&str>,
) -> Plan {
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
    // As hack/test/provision-tests.sh has it for its tracks.
    let third = args.track.map_or(20, |track| track + 21);
    let mirrors: Vec<String> = mirrors
        .iter()
        .map(|mirror| format!("{}=http://172.{third}.0.1:{}", mirror.host, mirror.port))
        .collect();
    let mut words = vec![
        checkout.version.provision_binary().to_owned(),
        "-test.v".to_owned(),
        "-talos.talosctlpath".to_owned(),
        format!("_out/talosctl-linux-{arch}"),
        format!("-talos.provision.target-installer-registry=127.0.0.1:{LOCAL_REGISTRY_PORT}"),
    ];
    if !mirrors.is_empty() {
        words.push("-talos.provision.registry-mirror".to_owned());
        words.push(mirrors.join(","));
    }
    words.push("-talos.provision.cidr".to_owned());
    words.push(format!("172.{third}.0.0/24"));
    words.extend(pattern.map(|pattern| format!("-test.run={pattern}")));
    words.extend(args.test_flags.iter().cloned());
    // TALOS_HOME counts from 1.12 on (4f6218674); before, HOME is the only way.
    let (talos_home, user_home) = if checkout.version.honours_talos_home() {
        (Some(home.folder.to_string()), home.user.to_string())
    } else {
        (None, home.folder.to_string())
    };
    let mut step = Step::run("upgrade clusters of the releases to this tree", words)
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
        let plan = plan_run(&checkout, ("amd64", DEADLINE), &mirrors, &home, args, None);
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
