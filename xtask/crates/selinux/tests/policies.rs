//! Questions to a small policy, `testdata/selinux/policy.cil`, and policies that are
//! not what they say.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use selinux::policy::{Denied, Policy, PolicyError, UnknownClasses, Verdict};

const V30: &[u8] = include_bytes!("../../../testdata/selinux/policy.30");
const V31: &[u8] = include_bytes!("../../../testdata/selinux/policy.31");
const V32: &[u8] = include_bytes!("../../../testdata/selinux/policy.32");
const V33: &[u8] = include_bytes!("../../../testdata/selinux/policy.33");

/// Versions 34 and 35, which no compiler of Debian 12 writes: 34 changes what rules may
/// be conditional, and 35 adds a bit set after that of permissive types.
fn later_versions() -> [Vec<u8>; 2] {
    let mut v34 = V33.to_owned();
    v34[16] = 34;
    let mut at = 16 + 16;
    for _ in 0..2 {
        let count = u32::from_le_bytes(v34[at + 8..at + 12].try_into().unwrap());
        at += 12 + 12 * count as usize;
    }
    let mut v35 = v34.clone();
    v35[16] = 35;
    let none = [64, 0, 0].map(u32::to_le_bytes).concat();
    v35.splice(at..at, none);
    [v34, v35]
}

fn policies() -> Vec<Policy> {
    let [v34, v35] = later_versions();
    let files = [V30, V31, V32, V33, &v34, &v35];
    let policies = files.map(|bytes| Policy::read(bytes).unwrap());
    let versions: Vec<u32> = policies.iter().map(Policy::version).collect();
    assert_eq!(versions, [30, 31, 32, 33, 34, 35]);
    policies.into()
}

/// Asks with types of processes as sources; the answer is a word or the rule.
fn ask(policy: &Policy, question: &str) -> String {
    let words: Vec<&str> = question.split(' ').collect();
    let context = |word: &str, role: &str| match word.split_once('@') {
        Some((kind, level)) => format!("system_u:{role}:{kind}:{level}"),
        None => format!("system_u:{role}:{word}:s0"),
    };
    let source = context(words[0], "system_r");
    let role = if words[2] == "process" {
        "system_r"
    } else {
        "object_r"
    };
    let command = words
        .get(4)
        .map(|word| u16::from_str_radix(word.trim_start_matches("0x"), 16).unwrap());
    let answer = policy.ask(
        &source,
        &context(words[1], role),
        words[2],
        words[3],
        command,
    );
    let mode = if answer.is_permissive {
        "permissive: "
    } else {
        ""
    };
    match answer.verdict {
        Verdict::Allowed(by) => {
            let first = &by[0];
            let condition = first.condition.as_ref().map(|it| format!(" if {it}"));
            format!(
                "{mode}{} {}{}",
                first.source,
                first.target,
                condition.unwrap_or_default()
            )
        }
        Verdict::Denied(Denied::Bounds { by }) => format!("{mode}bounds {by}"),
        Verdict::Denied(Denied::Condition { rule }) => {
            format!("{mode}condition {}", rule.condition.unwrap_or_default())
        }
        Verdict::Denied(denied) => format!("{mode}{}", denied.name()),
    }
}

#[test]
fn every_reason_in_every_version() {
    for policy in policies() {
        for (question, expected) in [
            ("pod_t tmpfs_t file read", "pod_p tmpfs_t"),
            ("init_t data_t file write", "init_t any_f"),
            ("init_t old_data_t file write", "init_t any_f"),
            ("init_t init_t process fork", "init_t init_t"),
            ("pod_t tmpfs_t file write", "no-rule"),
            ("pod_t security_t security load_policy", "no-rule"),
            ("pod_t missing_t file read", "unknown-type"),
            ("any_p tmpfs_t file read", "unknown-type"),
            ("pod_t tmpfs_t memfd_file read", "unknown-class"),
            ("pod_t tmpfs_t file 0x800000", "unknown-permission"),
            ("pod_t tmpfs_t file add_name", "unknown-permission"),
            ("pod_t@s9 tmpfs_t file read", "invalid-context"),
            ("pod_t@s0:c9 tmpfs_t file read", "invalid-context"),
            ("pod_t@s1-s0 tmpfs_t file read", "invalid-context"),
            ("tmpfs_t tmpfs_t file read", "invalid-context"),
            ("pod_t tmpfs_t@s0:c1 file read", "levels"),
            ("pod_t@s0:c0.c2 tmpfs_t@s0:c1 file read", "pod_p tmpfs_t"),
            ("pod_t@s0:c0,c2 tmpfs_t@s0:c1 file read", "levels"),
            ("pod_t@s1 tmpfs_t file read", "pod_p tmpfs_t"),
            ("init_t tmpfs_t@s0:c1 file read", "init_t any_f"),
            ("etcd_t tmpfs_t file getattr", "constraint"),
            ("pod_t tmpfs_t file getattr", "pod_p tmpfs_t"),
            (
                "pod_t data_t file open",
                "pod_t data_t if `pods_open`, `pods_write` on",
            ),
            (
                "pod_t data_t file write",
                "condition `pods_open`, `pods_write` off",
            ),
            ("bounded_t data_t file read", "bounded_t data_t"),
            ("bounded_t data_t dir search", "bounded_t data_t"),
            ("noisy_t data_t file read", "permissive: no-rule"),
            ("pod_t data_t file ioctl 0x5402", "pod_t data_t"),
            ("pod_t data_t file ioctl 0x5404", "extended-permission"),
            ("pod_t data_t file ioctl 0x8901", "pod_t data_t"),
            ("pod_t data_t file ioctl", "pod_t data_t"),
            ("etcd_t data_t file ioctl 0x54ff", "etcd_t data_t"),
            ("etcd_t data_t file ioctl 0x5501", "extended-permission"),
            ("pod_t tmpfs_t file ioctl 0x9999", "pod_p tmpfs_t"),
            ("init_t pod_t process transition", "init_t any_p"),
        ] {
            let found = ask(&policy, question);
            assert_eq!(found, expected, "{question}, version {}", policy.version());
        }
    }
}

#[test]
fn a_role_may_not_follow_another() {
    for policy in policies() {
        let from = "system_u:other_r:other_t:s0";
        let answer = policy.ask(
            from,
            "system_u:system_r:pod_t:s0",
            "process",
            "transition",
            None,
        );
        assert!(answer.verdict.is_allowed(), "{answer:?}");
        let back = "system_u:system_r:init_t:s0";
        let answer = policy.ask(back, from, "process", "transition", None);
        let (from, to) = ("system_r".to_owned(), "other_r".to_owned());
        assert_eq!(answer.verdict, Verdict::Denied(Denied::Role { from, to }));
        assert_eq!(policy.unknown_classes(), UnknownClasses::Deny);
    }
}

#[test]
fn the_versions_allow_the_same_and_a_difference_is_access() {
    let policies = policies();
    for pair in policies.windows(2) {
        assert!(pair[0].difference(&pair[1]).unwrap().is_empty());
    }
    let other = Policy::read(include_bytes!("../../../testdata/selinux/wider.33")).unwrap();
    let found = policies[3].difference(&other).unwrap();
    let lines: Vec<String> = found
        .added
        .iter()
        .map(|change| {
            let name = |names: &selinux::policy::Names| {
                names
                    .attribute
                    .clone()
                    .unwrap_or_else(|| names.types.join(","))
            };
            let permissions = change.permissions.join(",");
            format!(
                "{} {} {} {permissions} {}",
                name(&change.sources),
                name(&change.targets),
                change.class,
                change.size()
            )
        })
        .collect();
    assert_eq!(
        lines,
        ["pod_p any_f dir read 8", "pod_t tmpfs_t file write 1"]
    );
    assert_eq!(found.removed, []);
    assert_eq!(found.new_size - found.old_size, 9);
    assert_eq!(found.added_types, ["extra_t"]);
    assert_eq!(
        found.added_transitions,
        ["typetransition pod_t tmpfs_t dir \"run\" data_t"]
    );
}

#[test]
fn what_is_not_a_policy_is_an_error() {
    let error = |bytes: &[u8]| Policy::read(bytes).unwrap_err();
    assert_eq!(error(b""), PolicyError::NotPolicy);
    assert_eq!(error(b"(allow a b (file (read)))"), PolicyError::NotPolicy);
    let mut other = V33.to_owned();
    other[..4].reverse();
    assert_eq!(error(&other), PolicyError::ByteOrder);
    let mut other = V33.to_owned();
    other[16] = 29;
    assert_eq!(error(&other), PolicyError::Version { version: 29 });
    let mut other = V33.to_owned();
    other[0] = 0x8d;
    assert_eq!(error(&other), PolicyError::Module);
    for end in 4..V33.len() {
        let found = error(&V33[..end]);
        let is_clear = matches!(
            found,
            PolicyError::Truncated { .. } | PolicyError::NotPolicy
        );
        assert!(is_clear, "{end}: {found}");
    }
}

proptest! {
    #[test]
    fn changed_bytes_do_not_panic(changes in proptest::collection::vec((0..V33.len(), any::<u8>()), 1..8)) {
        let mut bytes = V33.to_owned();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(policy) = Policy::read(&bytes) {
            policy.ask("system_u:system_r:pod_t:s0:c0.c2", "system_u:object_r:tmpfs_t:s0", "file", "read", Some(1));
            let _ = policy.each_access(&mut |_, _, _, _| ());
            let _ = policy.difference(&policy);
        }
    }
}
