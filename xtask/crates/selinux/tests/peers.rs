//! The same questions to sesearch and audit2why, on a policy with what Talos' policy does
//! not use: conditions, extended permissions, bounds, constraints and levels.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::unwrap_used,
    reason = "tests start the peers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Command;

use selinux::policy::{Denied, Policy, Verdict};

const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../testdata/selinux/policy.33"
);

/// The output of a peer; `None` where it is not installed, which with CI=true is a failure.
fn peer(test: &str, program: &str, words: &[&str]) -> Option<String> {
    let Ok(output) = Command::new(program).args(words).output() else {
        let reason = format!("{program} is not installed");
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{test} cannot run: {reason}"
        );
        eprintln!("SKIPPED: {test}: {reason}");
        if let Some(file) = std::env::var_os("XTASK_TEST_SKIPS") {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.append(true).create(true).open(file).unwrap();
            writeln!(file, "{test}\t{reason}").unwrap();
        }
        return None;
    };
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

fn policy() -> Policy {
    Policy::read(&std::fs::read(POLICY).unwrap()).unwrap()
}

/// `seinfo -a -x`: the types of each attribute.
fn attributes(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix("attribute ") {
            name.trim_end_matches(';').clone_into(&mut current);
        } else if !current.is_empty() && !line.trim().is_empty() {
            let types = found.entry(current.clone()).or_default();
            types.push(line.trim().to_owned());
        }
    }
    found
}

#[test]
fn allowed_access_equals_that_of_sesearch() {
    let test = "allowed_access_equals_that_of_sesearch";
    let Some(names) = peer(test, "seinfo", &["-a", "-x", POLICY]) else {
        return;
    };
    let Some(rules) = peer(test, "sesearch", &["-A", POLICY]) else {
        return;
    };
    let attributes = attributes(&names);
    let members = |name: &str| {
        let types = attributes.get(name).cloned();
        types.unwrap_or_else(|| vec![name.to_owned()])
    };
    let mut theirs = BTreeSet::new();
    for rule in rules.lines().filter(|line| line.starts_with("allow ")) {
        // The boolean `pods_open` is on and `pods_write` is off.
        let (rule, condition) = rule.split_once(';').unwrap();
        if condition.ends_with(":False") {
            continue;
        }
        let words: Vec<&str> = rule.split([' ', ':', '{', '}']).collect();
        let words: Vec<&str> = words.into_iter().filter(|it| !it.is_empty()).collect();
        for source in members(words[1]) {
            for target in members(words[2]) {
                for permission in &words[4..] {
                    theirs.insert(format!("{source} {target} {} {permission}", words[3]));
                }
            }
        }
    }
    let mut ours = BTreeSet::new();
    let each = &mut |source: &str, target: &str, class: &str, permission: &str| {
        ours.insert(format!("{source} {target} {class} {permission}"));
    };
    policy().each_access(each).unwrap();
    assert_eq!(ours, theirs);
    assert!(ours.len() > 30, "{ours:?}");
}

/// What audit2why says of a record.
fn verdict_of(said: &str) -> &'static str {
    for (text, verdict) in [
        ("would be allowed by active policy", "allowed"),
        ("booleans was set incorrectly", "condition"),
        ("Policy constraint violation", "constraint"),
        ("#Constraint rule", "constraint"),
        ("Typebounds violation", "bounds"),
        ("Missing type enforcement", "no-rule"),
    ] {
        if said.contains(text) {
            return verdict;
        }
    }
    panic!("{said}");
}

#[test]
fn verdicts_agree_with_audit2why() {
    let policy = policy();
    let (mut log, mut ours) = (String::new(), Vec::new());
    for source in ["init_t", "pod_t", "etcd_t", "bounded_t", "other_t"] {
        for (target, class, permissions) in [
            ("data_t", "file", &["read", "write", "open", "getattr"][..]),
            ("tmpfs_t", "file", &["read", "getattr"]),
            ("pod_t", "process", &["transition", "fork"]),
            ("data_t", "dir", &["search", "open"]),
            ("security_t", "security", &["setenforce", "check_context"]),
        ] {
            for permission in permissions {
                for level in ["s0", "s0:c1"] {
                    let of_source = if source == "other_t" {
                        "other_r"
                    } else {
                        "system_r"
                    };
                    let of_target = if class == "process" {
                        "system_r"
                    } else {
                        "object_r"
                    };
                    let from = format!("system_u:{of_source}:{source}:s0");
                    let to = format!("system_u:{of_target}:{target}:{level}");
                    let number = ours.len() + 1;
                    log += &format!(
                        "type=AVC msg=audit(1791000000.101:{number}): avc:  denied  {{ {permission} }} for  pid={number} \
                        comm=\"c\" scontext={from} tcontext={to} tclass={class} permissive=0\n"
                    );
                    let answer = policy.ask(&from, &to, class, permission, None);
                    let verdict = match &answer.verdict {
                        Verdict::Allowed(_) => "allowed",
                        Verdict::Denied(Denied::Levels) => "constraint",
                        Verdict::Denied(denied) => denied.name(),
                    };
                    ours.push((format!("{from} {to} {class} {permission}"), verdict));
                }
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    std::fs::write(&file, &log).unwrap();
    let words = ["-p", POLICY, "-i", file.to_str().unwrap()];
    let Some(said) = peer("verdicts_agree_with_audit2why", "audit2why", &words) else {
        return;
    };
    let records: Vec<&str> = said.split("type=AVC ").skip(1).collect();
    assert_eq!(records.len(), ours.len());
    for ((question, verdict), record) in ours.iter().zip(records) {
        let theirs = verdict_of(record);
        // Where a constraint denies it as well, no boolean helps, and audit2why names neither.
        let is_both = *verdict == "condition" && theirs == "no-rule" && question.contains("s0:c1");
        assert!(
            is_both || *verdict == theirs,
            "{question}: {verdict}, {record}"
        );
    }
    let kinds: BTreeSet<&str> = ours.iter().map(|it| it.1).collect();
    let all = ["allowed", "bounds", "condition", "constraint", "no-rule"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}
