//! The lint's verdicts and those of Talos' own code on the same images, for each line of Talos: what the imager refuses is an
//! error here, with the same cause, and nothing else is, except where upstream is blind. `corpus.rs` lists exactly those.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::semicolon_if_nothing_returned,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "tests, and tables of them"
)]

#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod peer;

use std::collections::BTreeSet;

use common::Memory;
use corpus::{Case, Fails, corpus};
use oci::lint::{Against, Kernel, Level, Report, Scan, Upstream, check, scan};
use peer::{Peer, Verdict};
use talos::TalosVersion;

/// The newest release of each line that Go's module proxy has. Each has its own go-containerregistry, and so its own rules for layers.
const RELEASES: [&str; 4] = ["v1.10.0", "v1.11.0", "v1.12.6", "v1.13.9"];

/// The oldest and the newest, whose code is compiled in a minute; all of them in `scripts/test --real`.
fn releases() -> Vec<&'static str> {
    let all = std::env::var_os("XTASK_TEST_REAL").is_some();
    let ends = [0, RELEASES.len() - 1].map(|at| RELEASES[at]);
    if all {
        RELEASES.to_vec()
    } else {
        ends.to_vec()
    }
}

#[test]
fn verdicts_are_those_of_talos() {
    let tools = ["go", "mksquashfs", "unsquashfs", "depmod", "cpio", "zstd"];
    if !peer::has("verdicts_are_those_of_talos", &tools) {
        return;
    }
    let cases = corpus();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "names are folders");
    let mut wrong = Vec::new();
    for release in releases() {
        let Some(peer) = Peer::build("verdicts_are_those_of_talos", release) else {
            return;
        };
        let verdicts = peer.judge(&cases);
        assert_eq!(verdicts.len(), cases.len());
        let against = against(release);
        for case in &cases {
            let report = lint(&case.files, &against);
            let errors = compare(case, &verdicts[case.name], &report, &against.version);
            wrong.extend(
                errors
                    .into_iter()
                    .map(|it| format!("{release} {}: {it}", case.name)),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn against(release: &str) -> Against {
    let version = TalosVersion::parse(release).unwrap();
    let allowed = version.allowed_extension_paths();
    let mut files = Memory::default();
    let (descriptor, _) = common::image(&mut files, "amd64", &[corpus::kernel()]);
    common::layout(&mut files, &[descriptor]);
    let images = oci::layout(&files, "kernel").unwrap();
    let kernel = Kernel::of(&scan(&images[0], None, false).unwrap()).unwrap();
    Against {
        allowed: allowed.into_iter().map(str::to_owned).collect(),
        version,
        kernel_release: None,
        kernels: vec![kernel],
        exceptions: Vec::new(),
    }
}

fn lint(files: &Memory, against: &Against) -> Report {
    let images = oci::layout(files, "x").unwrap();
    let scans: Vec<Scan> = images
        .iter()
        .map(|image| scan(image, None, false).unwrap())
        .collect();
    // The imager is for one platform.
    check(&scans, against).remove(0)
}

fn compare(case: &Case, talos: &Verdict, report: &Report, version: &TalosVersion) -> Vec<String> {
    let mut wrong = Vec::new();
    let rules = |level: Level| -> BTreeSet<u8> {
        let findings = report.findings.iter().filter(|it| it.level == level);
        findings.map(|it| it.number).collect()
    };
    let errors = rules(Level::Error);
    let noticed = |number: &u8| {
        let rule = oci::lint::RULES.iter().find(|it| it.number == *number);
        matches!(rule.unwrap().upstream, Upstream::Imager(_))
    };
    let mut explained = BTreeSet::new();

    // What the imager refuses.
    let fails = case.fails.iter().find(|it| it.holds(version));
    match (fails, talos.imager.as_str()) {
        (None, "") => {
            let wrongly: Vec<&u8> = errors.iter().filter(|it| noticed(it)).collect();
            if !wrongly.is_empty() {
                wrong.push(format!(
                    "the imager takes it, the lint refuses it by {wrongly:?}"
                ));
            }
        }
        (None, message) => wrong.push(format!("the imager refuses it: {message}")),
        (Some(fails), "") => wrong.push(format!("the imager takes it, not {:?}", fails.part)),
        (Some(Fails { rule, part, .. }), message) => {
            if !message.contains(part) {
                wrong.push(format!("the imager says {message:?}, not {part:?}"));
            }
            if !errors.contains(rule) {
                wrong.push(format!("the lint has no error of L{rule}"));
            }
            explained.insert(*rule);
        }
    }

    // What extensions-validator refuses, and the node: known once it is unpacked.
    if talos.is_loaded {
        if fails.is_none() && talos.contents.contains("is not allowed") != errors.contains(&4) {
            wrong.push(format!(
                "the validator says {:?}, L4 {}",
                talos.contents,
                errors.contains(&4)
            ));
        }
        explained.insert(4);
        let refused: Vec<&String> = talos
            .services
            .values()
            .filter(|it| !it.is_empty())
            .collect();
        if refused.is_empty() == errors.contains(&15) {
            wrong.push(format!(
                "the node says {refused:?}, L15 {}",
                errors.contains(&15)
            ));
        }
        explained.insert(15);
    }

    // Where upstream is blind.
    let others: BTreeSet<u8> = errors.union(&rules(Level::Warning)).copied().collect();
    let others: BTreeSet<u8> = others.difference(&explained).copied().collect();
    let blind: BTreeSet<u8> = case
        .blind
        .iter()
        .filter(|it| it.holds(version))
        .map(|it| it.rule)
        .collect();
    if others != blind {
        wrong.push(format!(
            "upstream says nothing about {others:?}, expected {blind:?}"
        ));
    }
    for (path, found) in case.becomes {
        let file = talos.files.get(*path).map_or("nothing", String::as_str);
        if file != *found {
            wrong.push(format!("{path} becomes {file:?}, not {found:?}"));
        }
    }
    if !wrong.is_empty() {
        wrong.push(format!("{:?}", report.findings));
    }
    wrong
}
