//! Facts against recorded `--help` of real talosctl (testdata/help, made by
//! record.sh there): what a line is said to have must be in its help, what it
//! is said not to have must not.

use super::TalosVersion;
use std::collections::BTreeSet;

/// The recorded verbs of one talosctl: (name, help text, flags in it).
struct Recorded {
    version: TalosVersion,
    verbs: Vec<(&'static str, &'static str)>,
}

macro_rules! recorded {
    ($version:literal: $($name:literal),+ $(,)?) => {
        Recorded {
            version: TalosVersion::parse($version).unwrap(),
            verbs: vec![$(($name, include_str!(concat!(
                "../../../../../testdata/help/", $version, "/", $name, ".txt"
            )))),+],
        }
    };
}

fn all() -> [Recorded; 3] {
    [
        recorded!("1.11.0": "cluster", "cluster-create", "cluster-destroy", "cluster-show",
            "debug", "debug-air-gapped"),
        recorded!("1.12.0": "cluster", "cluster-create", "cluster-create-dev", "cluster-destroy",
            "cluster-show", "debug", "debug-air-gapped"),
        recorded!("1.13.0": "cluster", "cluster-create", "cluster-create-dev", "cluster-destroy",
            "cluster-show", "debug", "debug-tool", "debug-tool-air-gapped"),
    ]
}

impl Recorded {
    /// Help of a verb such as `["cluster", "create", "dev", "--provisioner=qemu"]`.
    fn help(&self, args: &[&str]) -> Option<&'static str> {
        let verb: Vec<_> = args
            .iter()
            .copied()
            .filter(|a| !a.starts_with('-'))
            .collect();
        let name = verb.join("-");
        self.verbs
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, text)| *text)
    }

    fn flags(&self, args: &[&str]) -> BTreeSet<&'static str> {
        let text = self
            .help(args)
            .unwrap_or_else(|| panic!("{}: no {args:?}", self.version));
        text.lines().filter_map(flag_of).collect()
    }

    /// Asserts that every `--flag[=value]` of `args` is one of the verb's flags.
    fn takes(&self, verb: &[&str], args: &[&str]) {
        let flags = self.flags(verb);
        for arg in args.iter().filter_map(|arg| arg.strip_prefix("--")) {
            let name = arg.split('=').next().unwrap_or(arg);
            assert!(
                flags.contains(name),
                "{}: {verb:?} has no --{name}",
                self.version
            );
        }
    }
}

/// The long flag that a help line describes.
fn flag_of(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("--")?;
    let before = before.trim();
    (before.is_empty() || before.ends_with(',')).then_some(())?;
    rest.split([' ', '\t']).next()
}

#[test]
fn verbs_exist_with_their_flags() {
    for talosctl in all() {
        let version = &talosctl.version;
        talosctl.takes(version.create_args(), version.create_args());
        talosctl.takes(version.show_args(), version.show_args());
        talosctl.takes(version.destroy_args(), version.destroy_args());
        talosctl.takes(version.create_args(), version.no_wait_args());
        if let Some(args) = version.no_wait_maintenance_args() {
            talosctl.takes(version.create_args(), args);
        }
    }
}

#[test]
fn verbs_of_later_lines_are_absent() {
    for talosctl in all() {
        let cluster = talosctl.help(&["cluster"]).unwrap();
        let version = &talosctl.version;
        for (verb, said) in [
            ("reboot", version.reboot_args().is_some()),
            ("logs", version.logs_args().is_some()),
            ("sync", version.sync_args().is_some()),
        ] {
            let listed = cluster
                .lines()
                .any(|l| l.trim_start().starts_with(&format!("{verb} ")));
            assert_eq!(listed, said, "{version}: cluster {verb}");
        }
        let has_dev = talosctl.help(&["cluster", "create", "dev"]).is_some();
        assert_eq!(has_dev, version.create_args().contains(&"dev"), "{version}");
        let remote = talosctl.flags(&["cluster"]).contains("remote-endpoint");
        assert_eq!(remote, version.has_remote_endpoint(), "{version}");
    }
}

/// `--provisioner` of `cluster destroy` is deprecated from 1.12 on: accepted,
/// hidden from the help, and not given by us.
#[test]
fn destroy_shows_a_provisioner_only_where_it_counts() {
    for talosctl in all() {
        let shown = talosctl
            .flags(&["cluster", "destroy"])
            .contains("provisioner");
        assert_eq!(
            shown,
            !talosctl.version.destroy_reads_provisioner(),
            "{}",
            talosctl.version
        );
    }
}

#[test]
fn create_flags_are_the_lines() {
    for talosctl in all() {
        let version = &talosctl.version;
        let flags = talosctl.flags(version.create_args());
        for flag in version.create_flags().filter(|flag| !flag.hidden) {
            assert!(
                flags.contains(flag.name),
                "{version} has no --{}",
                flag.name
            );
        }
        for flag in version
            .absent_create_flags()
            .chain(version.create_flags().filter(|f| f.hidden))
        {
            assert!(!flags.contains(flag.name), "{version} has --{}", flag.name);
        }
    }
}

#[test]
fn defaults_are_the_lines() {
    for talosctl in all() {
        let version = &talosctl.version;
        let help = talosctl.help(version.create_args()).unwrap();
        let line = |flag: &str| {
            let is = |l: &&str| flag_of(l) == Some(flag);
            help.lines()
                .find(is)
                .unwrap_or_else(|| panic!("{version}: no --{flag}"))
        };
        let image = version.default_install_image().repository();
        assert!(line("install-image").contains(&format!("{image}:{}", version.tag())));
        assert!(line("cidr").contains(super::cluster::DEFAULT_CIDR));
        assert!(line("name").contains(super::cluster::DEFAULT_NAME));
        assert!(line("cni-bundle-url").contains(&version.cni_bundle_url("${ARCH}")));
        let own_tag = line("talos-version").contains("(default \"v");
        let said = version.config_version_source() == super::ConfigVersionSource::OwnTag;
        assert_eq!(own_tag, said, "{version}");
        assert_eq!(
            line("memory").contains("mb,gb"),
            version.memory_takes_units(),
            "{version}"
        );
        let gateway = !line("nameservers").contains("8.8.8.8");
        assert_eq!(gateway, version.serves_dns(), "{version}");
    }
}

#[test]
fn air_gapped_tool_and_its_flags() {
    for talosctl in all() {
        let version = &talosctl.version;
        let flags = talosctl.flags(version.air_gapped_args());
        let ours: BTreeSet<_> = version.air_gapped_flags().map(|flag| flag.name).collect();
        let help = BTreeSet::from(["help"]);
        assert_eq!(
            flags.difference(&help).copied().collect::<BTreeSet<_>>(),
            ours,
            "{version}"
        );
        let text = talosctl.help(version.air_gapped_args()).unwrap();
        for flag in version
            .air_gapped_flags()
            .filter(|flag| flag.default != "false")
        {
            assert!(text.contains(flag.default), "{version}: --{}", flag.name);
        }
        let container = talosctl
            .help(&["debug"])
            .unwrap()
            .contains("debug container");
        assert_eq!(
            container,
            version.debug_container_args().is_some(),
            "{version}"
        );
    }
}
