//! Compares facts with recorded `--help` of real talosctl (testdata/help, made by
//! record.sh): flags that a line has must be in its help, flags that it does not have
//! must not.

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
                "../../../../testdata/help/", $version, "/", $name, ".txt"
            )))),+],
        }
    };
}

fn all() -> [Recorded; 3] {
    [
        recorded!("1.11.0": "cluster-create", "cluster-destroy"),
        recorded!("1.12.0": "cluster-create", "cluster-create-dev", "cluster-destroy"),
        recorded!("1.13.0": "cluster-create", "cluster-create-dev", "cluster-destroy"),
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
        talosctl.takes(version.destroy_args(), version.destroy_args());
    }
}

#[test]
fn create_has_a_dev_verb_from_the_line_that_says_so() {
    for talosctl in all() {
        let version = &talosctl.version;
        let has_dev = talosctl.help(&["cluster", "create", "dev"]).is_some();
        assert_eq!(has_dev, version.create_args().contains(&"dev"), "{version}");
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
        assert!(line("cni-bundle-url").contains(&version.cni_bundle_url("${ARCH}")));
        assert_eq!(
            line("memory").contains("mb,gb"),
            version.memory_takes_units(),
            "{version}"
        );
        let gateway = !line("nameservers").contains("8.8.8.8");
        assert_eq!(gateway, version.serves_dns(), "{version}");
    }
}
