//! `kmod lint` as a user runs it: exit codes, both forms of output, the kernel's image,
//! and where the Talos version comes from.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

mod common;
#[path = "../crates/oci/tests/common/mod.rs"]
mod images;

use common::{Home, Said, run};
use images::module::{Ko, RELEASE};
use images::{Tar, gzip};
use serde_json::Value;

const MANIFEST: &str = "version: v1alpha1\nmetadata:\n  name: hello\n  version: 1.2.3-v1.12.0\n";

fn extension(ko: &Ko) -> Vec<u8> {
    let folder = format!("rootfs/usr/lib/modules/{RELEASE}/extras");
    let mut tar = Tar::default();
    tar.file("manifest.yaml", MANIFEST).dirs(&folder);
    tar.file(&format!("{folder}/hello.ko"), ko.build());
    gzip(&tar.finish())
}

fn kernel() -> Vec<u8> {
    let folder = format!("usr/lib/modules/{RELEASE}/kernel");
    let mut tar = Tar::default();
    tar.dir("boot")
        .file("boot/System.map", "ffffffff82000000 r __ksymtab__printk\n");
    tar.dirs(&folder)
        .file(&format!("{folder}/base.ko"), Ko::new("base").build());
    tar.finish()
}

fn xtask(home: &Home, words: &[&str]) -> Said {
    run(&mut home.xtask(words))
}

#[test]
fn a_good_extension_passes_and_a_bad_one_is_explained() {
    let home = Home::new();
    std::fs::write(home.path("kernel.tar"), kernel()).unwrap();
    std::fs::write(home.path("good.tgz"), extension(&Ko::new("hello"))).unwrap();
    let mut foreign = Ko::new("hello");
    foreign.signer = Some(("Build time throw-away kernel key", 9));
    std::fs::write(home.path("bad.tgz"), extension(&foreign)).unwrap();
    let with = ["--kernel", "kernel.tar", "--talos-version", "v1.12.0"];

    let said = xtask(&home, &[&["kmod", "lint", "good.tgz"], &with[..]].concat());
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(
        said.stdout,
        "good.tgz  no platform  hello 1.2.3-v1.12.0\nno errors for Talos v1.12.0 (--talos-version)\n"
    );

    let said = xtask(&home, &[&["kmod", "lint", "bad.tgz"], &with[..]].concat());
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for part in [
        "error L12",
        "key 1F:09",
        "key was rejected by service",
        "fix: build kernel and package together",
    ] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }

    let said = xtask(
        &home,
        &[&["kmod", "lint", "bad.tgz", "--json"], &with[..]].concat(),
    );
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said.code, Some(1));
    assert_eq!(
        (&report["errors"], &report["schema"]),
        (&1.into(), &1.into())
    );
    assert_eq!(report["kernel"], RELEASE);
    let finding = &report["images"][0]["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["level"]),
        (&"L12".into(), &"error".into())
    );
    assert!(
        finding["path"]
            .as_str()
            .unwrap()
            .ends_with("extras/hello.ko")
    );
}

#[test]
fn the_checkout_gives_the_version_and_the_kernel() {
    let home = Home::new();
    std::fs::write(home.path("good.tgz"), extension(&Ko::new("hello"))).unwrap();
    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.12.3");
    home.write(
        "talos/pkg/machinery/constants/constants.go",
        "const (\n\tDefaultKernelVersion = \"6.18.9-talos\"\n)\n",
    );
    // Its own list of paths counts, not that of a released version.
    home.write(
        "talos/pkg/machinery/extensions/extensions.go",
        "var AllowedPaths = []string{\n\t\"/usr/local\",\n}\n",
    );
    let said = xtask(&home, &["kmod", "lint", "good.tgz", "-C", "talos"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stdout.contains("error L11"), "{}", said.stdout);
    assert!(said.stdout.contains("error L4"), "{}", said.stdout);
    assert!(
        said.stdout.contains("the kernel is 6.18.9-talos"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("for Talos v1.12.3"), "{}", said.stdout);
}

#[test]
fn what_cannot_be_judged_is_a_usage_error() {
    let home = Home::new();
    std::fs::write(home.path("good.tgz"), extension(&Ko::new("hello"))).unwrap();
    for (words, part) in [
        (&["kmod", "lint"][..], "Usage: "),
        (
            &["kmod", "lint", "good.tgz", "--talos-version", "latest"],
            "invalid version `latest`",
        ),
        (
            &["kmod", "lint", "good.tgz", "--talos-version", "v1.5.0"],
            "too old",
        ),
        (
            &[
                "kmod",
                "lint",
                "good.tgz",
                "--kernel",
                "good.tgz",
                "--explain",
            ],
            "cannot be used with",
        ),
    ] {
        let said = xtask(&home, words);
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{words:?}: {}", said.stderr);
    }
}

#[test]
fn the_table_names_what_talos_does_not_notice() {
    let home = Home::new();
    let said = xtask(&home, &["kmod", "lint", "--explain"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let hard_links =
        "L10  no hard links\n     not noticed by Talos: the imager writes an empty file\n";
    assert!(said.stdout.contains(hard_links), "{}", said.stdout);
    let said = xtask(&home, &["kmod", "lint", "--explain", "--json"]);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["rules"][3]["rule"], "L4");
    assert_eq!(report["rules"][3]["noticed_by"], "nothing");
}
