//! `test upgrade`: what releases boot is fetched from a server of the test's
//! own, checked and gone on with; then a binary with the flags and suites of
//! Talos' own runs as root, and its tear-down leaves all other clusters alone.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make their own small worlds"
)]

#[path = "../common/mod.rs"]
mod common;
mod releases;

use camino::Utf8PathBuf;
use common::{Home, Said, go, is_root, run, skip};
use foundation::ctx::host::Host;
use releases::{Apart, Releases};

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gotest/integration");

/// A checkout whose releases are those of `releases`.
struct World {
    home: Home,
    dir: Utf8PathBuf,
}

impl World {
    fn new(releases: &Releases) -> Self {
        let home = Home::new();
        let dir = home.path("talos");
        go::copy(CHECKOUT, &dir);
        let settings = format!("[upgrade]\nreleases = \"{}\"\n", releases.url());
        home.write(".cargo/xtask.toml", &settings);
        home.program("talos/_out/talosctl-linux-amd64", b"#!/bin/sh\n");
        let state = "talos/../.talos/clusters/talos-default/state.yaml";
        home.write(state, "clusterInfo: of a bystander\n");
        Self { home, dir }
    }

    fn upgrade(&self, words: &[&str]) -> Said {
        let before = ["-C", self.dir.as_str(), "test", "upgrade"];
        run(&mut self.home.xtask(&[&before[..], words].concat()))
    }

    fn version(&self, tag: &str) {
        let file = "talos/pkg/machinery/gendata/data/tag";
        self.home.write(file, tag);
    }

    fn out(&self, name: &str) -> String {
        self.home.read(&format!("talos/_out/{name}"))
    }

    /// The folder in which parts of a release's files are.
    fn part(&self, release: &str) -> Utf8PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let part = self.dir.join("_out").join(release).join(".part");
        std::fs::create_dir_all(&part).unwrap();
        std::fs::set_permissions(&part, PermissionsExt::from_mode(0o700)).unwrap();
        part
    }

    fn has(&self, name: &str) -> bool {
        self.dir.join("_out").join(name).exists()
    }
}

/// In a network of its own, where the ports of the guide's registry are free.
fn apart(test: &str, body: fn(&Apart)) {
    let missing = ["unshare", "ip", "curl", "sha256sum", "go"]
        .into_iter()
        .find(|name| Host::which(name).is_none());
    let reason = match missing {
        _ if !is_root() => "root is needed for a network of its own".to_owned(),
        Some(name) => format!("no `{name}`"),
        None => {
            // The thread is in that network until it ends.
            std::thread::spawn(move || body(&Apart::enter()))
                .join()
                .unwrap();
            return;
        }
    };
    skip(test, &reason);
}

#[test]
fn releases_are_fetched_checked_and_gone_on_with() {
    apart("releases_are_fetched_checked_and_gone_on_with", |apart| {
        let releases = Releases::serve(&["v1.9.5", "v1.10.0"]);
        let _registry = apart.registry();
        let world = World::new(&releases);
        let build = |words: &[&str]| world.upgrade(words);

        // A transfer that breaks is gone on with where it broke.
        releases.breaks("v1.9.5/initramfs-amd64.xz", 1000);
        let said = build(&[]);
        assert_ne!(said.code, Some(0), "the binary is not there yet");
        assert!(world.has("v1.9.5/initramfs.xz"), "{}", said.stderr);
        let asked = releases.asked("v1.9.5/initramfs-amd64.xz");
        assert_eq!(asked, ["", "bytes=1000-"], "{}", said.stderr);
        assert_eq!(
            world.out("v1.9.5/initramfs.xz"),
            releases.file("v1.9.5/initramfs-amd64.xz")
        );
        assert!(!world.has("v1.9.5/.part"));

        // What is there is not asked for again.
        releases.forget();
        build(&[]);
        assert!(releases.all().is_empty(), "{:?}", releases.all());

        // What was fetched whole before a run was killed is only checked.
        let (part, whole) = ("v1.10.0/.part/vmlinuz", "v1.10.0/vmlinuz");
        world.part("v1.10.0");
        std::fs::rename(
            world.dir.join("_out").join(whole),
            world.dir.join("_out").join(part),
        )
        .unwrap();
        build(&[]);
        assert!(world.has(whole) && !world.has(part));
        assert!(releases.asked("v1.10.0/vmlinuz-amd64").is_empty());

        // A part of another file is fetched again.
        std::fs::remove_file(world.dir.join("_out").join(whole)).unwrap();
        world.part("v1.10.0");
        world
            .home
            .write("talos/_out/v1.10.0/.part/vmlinuz", &"x".repeat(100_000));
        build(&[]);
        assert_eq!(world.out(whole), releases.file("v1.10.0/vmlinuz-amd64"));
    });
}

#[test]
fn what_is_not_the_release_is_not_taken() {
    apart("what_is_not_the_release_is_not_taken", |apart| {
        let releases = Releases::serve(&["v1.9.5", "v1.10.0"]);
        let _registry = apart.registry();
        let world = World::new(&releases);
        releases.spoils("v1.10.0/vmlinuz-amd64");
        let said = world.upgrade(&[]);
        assert_eq!(said.code, Some(4), "{}", said.stderr);
        let told = "vmlinuz-amd64: not to be had, or not what sha256sum.txt says";
        assert!(said.stderr.contains(told), "{}", said.stderr);
        assert!(!world.has("v1.10.0/vmlinuz") && !world.has("v1.10.0/.part/vmlinuz"));
        assert!(!world.has("pushed"), "nothing was built for it");

        // A server that breaks every time: what came is kept for the next run.
        let file = "v1.10.0/vmlinuz-amd64";
        releases.heals(file);
        for _ in 0..3 {
            releases.breaks(file, 500);
        }
        let said = world.upgrade(&[]);
        assert_eq!(said.code, Some(4), "{}", said.stderr);
        assert!(said.stderr.contains("what came is kept"), "{}", said.stderr);
        releases.forget();
        world.upgrade(&[]);
        assert!(world.has("v1.10.0/vmlinuz"));
        assert_eq!(releases.asked(file).len(), 1);
        assert!(
            releases.asked(file)[0].starts_with("bytes="),
            "from where it broke"
        );
    });
}

/// A sum under a name that only ends alike is another file's.
#[test]
fn the_sum_is_that_of_the_very_name() {
    apart("the_sum_is_that_of_the_very_name", |apart| {
        let releases = Releases::serve(&["v1.9.5", "v1.10.0"]);
        let _registry = apart.registry();
        let file = "v1.10.0/vmlinuz-amd64";
        for sums in [
            "SUM  _out/x-vmlinuz-amd64\n",
            "SUM  x/vmlinuz-amd64\n",
            "SUM  _out/vmlinuz-amd64.sig\n",
            "SUM  _out/vmlinuz-amd64\nOTHER  _out/vmlinuz-amd64\n",
            "# SUM  _out/vmlinuz-amd64\n",
            "",
        ] {
            let world = World::new(&releases);
            releases.says("v1.10.0/sha256sum.txt", file, sums);
            let said = world.upgrade(&[]);
            assert_eq!(said.code, Some(4), "{sums}: {}", said.stderr);
            assert!(!world.has("v1.10.0/vmlinuz"), "{sums}");
        }
        for sums in ["SUM  vmlinuz-amd64\n", "SUM *_out/vmlinuz-amd64\n"] {
            let world = World::new(&releases);
            releases.says("v1.10.0/sha256sum.txt", file, sums);
            world.upgrade(&[]);
            assert!(world.has("v1.10.0/vmlinuz"), "{sums}");
        }
    });
}

/// What lies in the place of a file that is fetched stays as it is.
#[test]
fn nothing_is_written_through_a_link() {
    apart("nothing_is_written_through_a_link", |apart| {
        let releases = Releases::serve(&["v1.9.5", "v1.10.0"]);
        let _registry = apart.registry();
        let names = [
            "vmlinuz",
            "initramfs.xz",
            "sha256sum.txt",
            "vmlinuz.part",
            ".part/vmlinuz",
            ".part/sha256sum.txt",
        ];
        let world = World::new(&releases);
        let secret = world.home.write("secret", "from before");
        let part = world.part("v1.10.0");
        for (place, name) in names.iter().enumerate() {
            let link = world.dir.join("_out/v1.10.0").join(name);
            match place % 2 {
                0 => std::os::unix::fs::symlink(&secret, link).unwrap(),
                _ => std::fs::hard_link(&secret, link).unwrap(),
            }
        }
        // A hard link in the file's own place is a file that is there.
        std::fs::remove_file(world.dir.join("_out/v1.10.0/initramfs.xz")).unwrap();
        let said = world.upgrade(&[]);
        assert_eq!(world.home.read("secret"), "from before", "{}", said.stderr);
        for (file, released) in [
            ("vmlinuz", "vmlinuz-amd64"),
            ("initramfs.xz", "initramfs-amd64.xz"),
        ] {
            let whole = releases.file(&format!("v1.10.0/{released}"));
            assert_eq!(world.out(&format!("v1.10.0/{file}")), whole);
        }
        assert!(!part.join("vmlinuz").exists());

        // A folder that is a link, and one for the parts that is.
        let elsewhere = world.home.path("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        let release = world.dir.join("_out/v1.9.5");
        std::fs::remove_dir_all(&release).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &release).unwrap();
        let said = world.upgrade(&[]);
        assert_eq!(said.code, Some(4), "{}", said.stderr);
        assert!(said.stderr.contains("v1.9.5 is a link"), "{}", said.stderr);
        std::fs::remove_file(&release).unwrap();
        std::fs::create_dir(&release).unwrap();
        std::os::unix::fs::symlink(&elsewhere, release.join(".part")).unwrap();
        let said = world.upgrade(&[]);
        assert_eq!(said.code, Some(4), "{}", said.stderr);
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    });
}

/// No more than five redirects, and no more than fits.
#[test]
fn redirects_and_sizes_have_an_end() {
    apart("redirects_and_sizes_have_an_end", |apart| {
        let releases = Releases::serve(&["v1.9.5", "v1.10.0"]);
        let _registry = apart.registry();
        let world = World::new(&releases);
        let file = "v1.10.0/vmlinuz-amd64";
        releases.redirects(file, file);
        let said = world.upgrade(&[]);
        assert_eq!(said.code, Some(4), "{}", said.stderr);
        assert!(
            said.stderr.contains("Maximum (5) redirects"),
            "{}",
            said.stderr
        );
        // Another protocol is not spoken wherever it is sent to.
        let secret = world.home.write("secret", "from before");
        releases.redirects(file, &format!("file://{secret}"));
        let said = world.upgrade(&[]);
        assert_eq!(said.code, Some(4), "{}", said.stderr);
        assert!(!world.has("v1.10.0/vmlinuz"));
        // Two megabytes of checksums.
        let world = World::new(&releases);
        releases.says("v1.9.5/sha256sum.txt", file, &"SUM  x\n".repeat(30_000));
        let said = world.upgrade(&[]);
        assert_ne!(said.code, Some(0), "{}", said.stderr);
        assert!(!world.has("v1.9.5/sha256sum.txt"), "{}", said.stderr);
    });
}

#[test]
fn clusters_of_others_survive_the_tear_down() {
    apart("clusters_of_others_survive_the_tear_down", |apart| {
        let releases = Releases::serve(&["v1.9.5", "v1.10.0"]);
        let world = World::new(&releases);
        let absent = world.upgrade(&[]);
        assert_eq!(absent.code, Some(3), "{}", absent.stderr);
        assert!(
            absent.stderr.contains("cargo xtask registry up"),
            "{}",
            absent.stderr
        );
        let registry = apart.registry();
        world.compile();
        for (tag, home) in [("v1.11.6", true), ("v1.12.0", false)] {
            world.version(tag);
            let said = world.upgrade(&["--track", "1", "--json"]);
            assert_eq!(said.code, Some(0), "{}", said.stderr);
            let report: serde_json::Value = serde_json::from_str(&said.stdout)
                .unwrap_or_else(|error| panic!("{error}: {}", said.stdout));
            let name = "TestIntegration/provision.UpgradeSuite.v1.10.0-TR1/TestRolling";
            let tests = report["packages"][0]["tests"].as_array().unwrap();
            assert!(
                tests
                    .iter()
                    .any(|test| test["name"] == name && test["state"] == "passed")
            );
            assert!(!said.stdout.contains("TR2"), "{}", said.stdout);

            let seen: serde_json::Value = serde_json::from_str(&world.out("seen.json")).unwrap();
            assert_eq!(seen["uid"], 0);
            assert_eq!(seen["settings"]["CIDR"], "172.22.0.0/24");
            assert_eq!(
                seen["settings"]["Mirrors"],
                "127.0.0.1:5005=http://172.22.0.1:5005"
            );
            let own = world.home.state().join("upgrade-home");
            let state = if home {
                ".talos/clusters/upgrade"
            } else {
                "clusters/upgrade"
            };
            assert_eq!(seen["state"], own.join(state).as_str());
            // What is torn down there is gone, and what is not there is not.
            assert!(!own.join(state).exists());
            let bystander = world.home.read(".talos/clusters/talos-default/state.yaml");
            assert_eq!(bystander, "clusterInfo: of a bystander\n");
        }
        assert!(!world.has_relay(), "it is for as long as the tests run");
        let pushed = world.out("pushed");
        assert!(
            pushed.contains("127.0.0.1:5005/siderolabs/installer:v1.12.0"),
            "{pushed}"
        );

        let said = world.upgrade(&["provision.UpgradeSuite.broken-TR2", "--retries", "1"]);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        let told = said
            .stdout
            .matches("the upgraded node does not answer")
            .count();
        assert_eq!(told, 2, "once for each time that it ran: {}", said.stdout);
        let again = world.upgrade(&["--rerun-failed"]);
        assert_eq!(again.code, Some(1), "{}", again.stderr);
        assert!(!again.stdout.contains("v1.10.0-TR1"), "{}", again.stdout);
        let none = world.upgrade(&["--track", "7"]);
        assert_eq!(none.code, Some(2), "{}{}", none.stdout, none.stderr);
        assert!(none.stderr.contains("tracks are 1, 2"), "{}", none.stderr);
        let typo = world.upgrade(&["provision.UpgradeSuite.v1.9.0-TR1"]);
        assert_eq!(typo.code, Some(2), "{}", typo.stderr);
        let near = "did you mean `provision.UpgradeSuite.v1.10.0-TR1`";
        assert!(typo.stderr.contains(near), "{}", typo.stderr);
        let typo = world.upgrade(&["provision.UpgradSuite.x-TR1"]);
        assert_eq!(typo.code, Some(2), "{}", typo.stderr);

        // A network in use.
        apart.bridge("172.22.0.1/24");
        let taken = world.upgrade(&["--track", "1"]);
        assert_eq!(taken.code, Some(3), "{}", taken.stderr);
        assert!(
            taken.stderr.contains("--cidr 172.20.0.0/24"),
            "{}",
            taken.stderr
        );

        // A registry that was lost is not a failure of a test.
        registry.dies_after_probe();
        let lost = world.upgrade(&["provision.UpgradeSuite.broken-TR2"]);
        assert_eq!(lost.code, Some(5), "{}{}", lost.stdout, lost.stderr);
        assert!(
            lost.stdout.contains("127.0.0.1:5005 went"),
            "{}",
            lost.stdout
        );
    });
}

impl World {
    /// Whether something of ours still answers for the nodes' sake.
    fn has_relay(&self) -> bool {
        let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.any(|process| {
            let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(&format!("--of={}", self.home.root))
        })
    }

    fn compile(&self) {
        let tags = "integration,integration_provision";
        go::compile_integration(&self.dir, "provision.test", tags);
    }
}
