//! The guide's command line of upgrade tests, and their home folder.

use camino::Utf8PathBuf;
use talos::version::LOCAL_REGISTRY_PORT;

use super::Network;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::mirrors::Mirror;
use foundation::plan::{Action, Plan, Step};

/// The home folder that the tests may change.
pub(super) struct Home {
    /// The folder of the tests' clusters.
    pub(super) folder: Utf8PathBuf,
    pub(super) user: Utf8PathBuf,
}

/// The inputs of the command line.
pub(super) struct Line<'a> {
    pub(super) arch: &'a str,
    pub(super) network: Network,
    pub(super) mirrors: &'a [Mirror],
    pub(super) pattern: Option<&'a str>,
    /// The user's own flags.
    pub(super) own: &'a [String],
}

impl Line<'_> {
    /// Returns the words as in the guide.
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

pub(super) fn plan(checkout: &Checkout, line: &Line<'_>, home: &Home, limit: u64) -> Plan {
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
    // `TALOS_HOME` works from 1.12 on (4f6218674); before, HOME is the only
    // way.
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

    use super::super::{DEADLINE, network};
    use super::*;
    use crate::commands::test::upgrade::UpgradeArgs;
    use foundation::plan::{Privilege, Run};

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
        let plan = plan(&checkout, &line, &home, DEADLINE);
        let last = plan.steps.last().unwrap();
        let Action::Run(run) = &last.action else {
            panic!("{last:?}")
        };
        (run.clone(), last.privilege)
    }

    /// The command line of the guide, word by word, on three lines of Talos.
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
