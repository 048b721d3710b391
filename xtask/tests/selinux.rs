//! `selinux` on logs and policies as a developer has them.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

mod common;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::git::{commit, repository};
use common::{Home, run, run_with};
use serde_json::Value;
use xshell::cmd;

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/selinux");
const FOLDER: &str = "talos/internal/pkg/selinux/policy";

fn record(serial: u32, body: &str) -> String {
    format!("type=AVC msg=audit(1791000000.101:{serial}): avc:  denied  {body}\n")
}

fn denial(serial: u32, permission: &str, source: &str, target: &str, class: &str) -> String {
    let role = if class == "process" {
        "system_r"
    } else {
        "object_r"
    };
    record(
        serial,
        &format!(
            "{{ {permission} }} for  pid=7 comm=\"tool\" name=\"seg\" dev=\"sdq\" ino=8 \
            scontext=system_u:system_r:{source} tcontext=system_u:{role}:{target} tclass={class} permissive=0"
        ),
    )
}

/// One denial of each kind that the policy tells apart.
fn log() -> String {
    [
        denial(1, "write", "pod_t:s0", "tmpfs_t:s0", "file"),
        denial(2, "setenforce", "init_t:s0", "security_t:s0", "security"),
        denial(3, "execute", "pod_t:s0", "tmpfs_t:s0", "memfd_file"),
        denial(4, "write add_name", "pod_t:s0", "unlabeled_t:s0", "dir"),
        denial(5, "read", "pod_t:s0", "tmpfs_t:s0:c1", "file"),
        denial(6, "getattr", "pod_t:s0", "tmpfs_t:s0", "lnk_file"),
        denial(7, "read", "etcd_t:s0", "tmpfs_t:s0", "file"),
    ]
    .concat()
}

/// A checkout of 1.13 whose release-1.14 has the wider policy.
fn checkout() -> Home {
    let home = Home::new();
    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.13.0\n");
    let sources = std::fs::read_to_string(format!("{POLICIES}/policy.cil")).unwrap();
    home.write(&format!("{FOLDER}/selinux/services/all.cil"), &sources);
    let copy = |name: &str| {
        let to = home.path(&format!("{FOLDER}/policy.33"));
        std::fs::copy(format!("{POLICIES}/{name}"), to).unwrap();
    };
    copy("wider.33");
    let sh = repository(home.path("talos"));
    cmd!(sh, "git branch release-1.14").quiet().run().unwrap();
    copy("policy.33");
    cmd!(sh, "git add --all").quiet().run().unwrap();
    commit(&sh);
    home.write("audit.log", &log());
    home
}

fn xtask(home: &Home, words: &[&str]) -> (Option<i32>, String) {
    let all = [&["-C", "talos", "selinux"], words].concat();
    let said = run(&mut home.xtask(&all));
    (said.code, said.stdout + &said.stderr)
}

fn json(home: &Home, words: &[&str]) -> Value {
    let (_, text) = xtask(home, &[words, &["--json"]].concat());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn each_denial_has_the_cause_that_the_policy_shows() {
    let home = checkout();
    let (code, text) = xtask(&home, &["denials", "audit.log"]);
    assert_eq!(code, Some(1), "{text}");
    let report = json(&home, &["denials", "audit.log"]);
    let causes: Vec<String> = report["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let line = &group["cause"]["shown_by"]["line"];
            format!("{line} {}", group["cause"]["cause"].as_str().unwrap())
        })
        .collect();
    let mut causes = causes;
    causes.sort();
    let expected = [
        "1 fixed-later",
        "2 intended",
        "3 other-version",
        "4 unlabeled-volume",
        "5 levels",
        "6 other-version",
        "7 already-allowed",
    ];
    assert_eq!(causes, expected);
    assert_eq!(report["log"]["complete"], true);
    assert!(
        text.contains("pod_t → unlabeled_t dir { add_name write }  1 ×, enforced"),
        "{text}"
    );
    assert!(
        text.contains("cause: `sdq` has no labels\n  shown by audit.log:4: type=AVC"),
        "{text}"
    );
    assert!(text.contains("7 groups, 7 denials\n"), "{text}");
}

#[test]
fn a_policy_says_by_which_rule_or_why_not() {
    let home = checkout();
    let (code, text) = xtask(&home, &["why", "audit.log"]);
    assert_eq!(code, Some(1));
    for expected in [
        "  write: denied: no rule allows it\n  allowed in: 1.14\n",
        "  setenforce: denied: no rule allows it\n",
        "  execute: denied: the policy has no class `memfd_file`\n",
        "  read: denied: a rule allows it, but a constraint on levels and categories denies it\n",
        "  read: allowed by (allow pod_p tmpfs_t (file (read))) at internal/pkg/selinux/policy/selinux/services/all.cil:134\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let later = json(&home, &["why", "audit.log", "--policy", "release-1.14"]);
    let groups = later["groups"].as_array().unwrap();
    let write = groups
        .iter()
        .find(|it| it["permissions"][0]["permission"] == "write")
        .unwrap();
    assert_eq!(
        write["verdicts"][0]["rules"][0],
        "(allow pod_t tmpfs_t (file (write)))"
    );
}

#[test]
fn rules_are_exact_have_a_place_and_are_refused_where_they_do_not_help() {
    let home = checkout();
    let (code, text) = xtask(&home, &["allow", "audit.log"]);
    assert_eq!(code, Some(1), "{text}");
    let rules: Vec<&str> = text.lines().filter(|line| line.starts_with('(')).collect();
    let expected = [
        "(allow pod_t tmpfs_t (file (write)))",
        "(allow pod_t unlabeled_t (dir (add_name write)))",
    ];
    for rule in expected {
        assert!(rules.contains(&rule), "{rule}: {text}");
    }
    assert_eq!(rules.len(), 2, "{text}");
    let place = "insert at internal/pkg/selinux/policy/selinux/services/all.cil:";
    assert!(text.contains(place), "{text}");
    assert!(text.contains("; wider, by 1 more: etcd_t"), "{text}");
    assert!(
        text.contains("no rule: denied on purpose: `neverallow` at"),
        "{text}"
    );
    let (_, text) = xtask(&home, &["allow", "audit.log", "--even-if-intended"]);
    assert!(
        text.contains("\n(allow init_t security_t (security (setenforce)))\n"),
        "{text}"
    );
}

#[test]
fn a_revision_has_its_own_sources() {
    let home = checkout();
    // The folder's own sources are others.
    home.write(
        &format!("{FOLDER}/selinux/services/all.cil"),
        "(type odd_t)\n",
    );
    let words = ["allow", "audit.log", "--policy", "HEAD"];
    let (_, text) = xtask(&home, &words);
    let place = "insert at internal/pkg/selinux/policy/selinux/services/all.cil:";
    assert!(text.contains(place), "{text}");
    assert!(
        text.contains("no rule: denied on purpose: `neverallow` at"),
        "{text}"
    );
    let (_, text) = xtask(&home, &["allow", "audit.log"]);
    assert!(!text.contains(place), "{text}");
}

#[test]
fn exit_codes_tell_clean_from_incomplete() {
    let home = checkout();
    let clean = "type=MAC_POLICY_LOAD msg=audit(1791000000.101:1): lsm=selinux res=1\n";
    home.write("clean.log", clean);
    let loss = "audit backlog limit reached, some audit events may have been lost\n";
    home.write("lossy.log", &format!("{clean}{loss}"));
    assert_eq!(xtask(&home, &["denials", "clean.log"]).0, Some(0));
    let (code, text) = xtask(&home, &["denials", "lossy.log"]);
    assert_eq!(code, Some(6), "{text}");
    assert!(
        text.contains(
            "the log is incomplete:\n  auditd reported that records may be lost: 1 sign\n"
        ),
        "{text}"
    );
    assert_eq!(xtask(&home, &["why", "lossy.log"]).0, Some(6));
    assert_eq!(xtask(&home, &["allow", "clean.log"]).0, Some(0));
    let (code, text) = xtask(&home, &["denials", "missing.log"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("selinux denials -"), "{text}");
}

#[test]
fn text_of_a_log_reaches_neither_the_terminal_nor_cil() {
    let home = checkout();
    let evil = record(
        1,
        "{ write) } for  pid=7 comm=1B5D303B7077 name=\"\u{202e}x\" scontext=system_u:system_r:pod_t:s0 \
        tcontext=system_u:object_r:tmpfs_t)(allow:s0 tclass=file permissive=0",
    );
    let said = run_with(
        &mut home.xtask(&["-C", "talos", "selinux", "denials", "-"]),
        evil.as_bytes(),
    );
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        !said.stdout.contains(['\u{1b}', '\u{202e}']),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("\\x1b]0;pw"), "{}", said.stdout);
    let said = run_with(
        &mut home.xtask(&["-C", "talos", "selinux", "allow", "-"]),
        evil.as_bytes(),
    );
    let rules = said
        .stdout
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(';'));
    assert_eq!(rules.count(), 0, "{}", said.stdout);
}

#[test]
fn policies_are_compared_by_access_and_by_denials() {
    let home = checkout();
    let words = [
        "policy",
        "diff",
        "HEAD",
        "release-1.14",
        "--denials",
        "audit.log",
    ];
    let (code, text) = xtask(&home, &words);
    assert_eq!(code, Some(1), "{text}");
    let expected = "\
+ pod_p (2 types) → any_f (4 types) dir { read }  8
+ pod_t → tmpfs_t file { write }  1
+ type extra_t
+ transition typetransition pod_t tmpfs_t dir \"run\" data_t
allowed permissions, type by type: 42 before, 51 now (+9 -0)
now allowed: pod_t → tmpfs_t file { write }
";
    assert_eq!(text, expected);
    assert_eq!(xtask(&home, &["policy", "diff", "HEAD"]).0, Some(0));
    let (code, text) = xtask(&home, &["policy", "diff", "no-such-revision"]);
    assert_eq!(code, Some(2), "{text}");
    let broken = home.write("broken.33", "text");
    let (code, text) = xtask(&home, &["policy", "diff", broken.as_str()]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("it is not a binary SELinux policy"), "{text}");
}

#[test]
fn a_gate_fails_on_what_the_baseline_does_not_accept() {
    let home = checkout();
    home.write(
        "one.log",
        &denial(1, "write read", "pod_t:s0", "tmpfs_t:s0", "file"),
    );
    let entry = |permission: &str, expires: &str| {
        format!(
            "[[denial]]\nsource = \"pod_t\"\ntarget = \"tmpfs_t\"\nclass = \"file\"\npermission = \"{permission}\"\n\
            owner = \"storage\"\nreason = \"known\"\nexpires = \"{expires}\"\n"
        )
    };
    let gate = |log: &str, baseline: &str| {
        home.write("baseline.toml", baseline);
        xtask(&home, &["gate", log, "--baseline", "baseline.toml"])
    };
    let (read, write) = (entry("read", "9999-01-01"), entry("write", "9999-01-01"));
    let (code, text) = gate("one.log", &read);
    assert_eq!(code, Some(1), "{text}");
    let expected =
        "pod_t → tmpfs_t file { write }  not in the baseline\n  shown by one.log:1: type=AVC";
    assert!(text.starts_with(expected), "{text}");
    let all = [read.clone(), write, entry("append", "9999-01-01")].concat();
    let (code, text) = gate("one.log", &all);
    assert_eq!(code, Some(0), "{text}");
    let unused = "unused entry: pod_t → tmpfs_t file { append }, storage: known\n";
    assert!(text.contains(unused), "{text}");
    let (code, text) = gate(
        "one.log",
        &[read.clone(), entry("write", "2020-01-01")].concat(),
    );
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("{ write }  accepted until 2020-01-01\n"),
        "{text}"
    );
    home.write(
        "lossy.log",
        &denial(9, "write read", "pod_t:s0", "tmpfs_t:s0", "file"),
    );
    assert_eq!(gate("lossy.log", &all).0, Some(6));
    let (code, text) = gate("one.log", &read.replace("9999-01-01", "soon"));
    assert_eq!(code, Some(2), "{text}");
    let (code, text) = gate("one.log", &read.replace("owner", "ower"));
    assert_eq!(code, Some(2), "{text}");
}

#[test]
fn a_committed_policy_is_checked_against_its_sources() {
    let home = checkout();
    // The target's result comes from files here; the real one runs docker.
    let makefile =
        "local-selinux-generate:\n\t@mkdir -p $(DEST)/policy && cp made/* $(DEST)/policy/\n";
    home.write("talos/Makefile", makefile);
    let contexts = "/usr\tsystem_u:object_r:data_t:s0\n";
    home.write(&format!("{FOLDER}/file_contexts"), contexts);
    home.write("talos/made/file_contexts", contexts);
    let makes = |name: &str| {
        let to = home.path("talos/made/policy.33");
        std::fs::copy(format!("{POLICIES}/{name}"), to).unwrap();
    };
    makes("policy.33");
    let folder = "internal/pkg/selinux/policy";
    let check = || {
        let said = run(&mut home.xtask(&["-C", "talos", "selinux", "policy", "check"]));
        (said.code, said.stdout)
    };
    let equal =
        format!("{folder}/policy.33 equals its source\n{folder}/file_contexts equals its source\n");
    assert_eq!(check(), (Some(0), equal.clone()));

    makes("wider.33");
    home.write(
        "talos/made/file_contexts",
        &contexts.replace("data_t", "tmpfs_t"),
    );
    let differs = format!(
        "{folder}/policy.33 differs from its source: the sources allow 9 more and 0 less, type by type, and change 2 types or transitions\n\
         {folder}/file_contexts differs from its source: line 1 is `/usr\\tsystem_u:object_r:data_t:s0`, compiled `/usr\\tsystem_u:object_r:tmpfs_t:s0`\n"
    );
    let (code, text) = check();
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(text, differs);

    let (code, text) = xtask(&home, &["policy", "build"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(check(), (Some(0), equal));
}

#[test]
fn a_label_and_what_sets_it() {
    let home = checkout();
    let contexts = "/usr(/.*)?\tsystem_u:object_r:usr_t:s0\n/usr/bin/init\t--\tsystem_u:object_r:init_exec_t:s0\n";
    home.write(&format!("{FOLDER}/file_contexts"), contexts);
    let (code, text) = xtask(&home, &["label", "/usr/bin/init"]);
    let expected = "\
system_u:object_r:init_exec_t:s0  if it is a file  (file_contexts:2 /usr/bin/init)
system_u:object_r:usr_t:s0  if it is anything  (file_contexts:1 /usr(/.*)?)
set by the build of the squashfs, by file_contexts
";
    assert_eq!((code, text.as_str()), (Some(0), expected));
    let (code, text) = xtask(&home, &["label", "/srv"]);
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(xtask(&home, &["label", "srv"]).0, Some(2));
    let (code, text) = xtask(&home, &["cmdline"]);
    assert_eq!(code, Some(0));
    assert!(
        text.starts_with("talos.auditd.disabled=1 audit=1 "),
        "{text}"
    );
}

/// In KiB: what the program itself needs, and 64 MiB.
const ADDRESS_SPACE: u32 = 100_000;

#[test]
fn a_report_of_200_000_groups_does_not_fill_the_memory() {
    let home = checkout();
    let mut command = Command::new("sh");
    let limit = format!("ulimit -v {ADDRESS_SPACE}; exec \"$@\"");
    command.args(["-c", &limit, "sh", env!("CARGO_BIN_EXE_xtask")]);
    command.args(["-C", "talos", "selinux", "denials", "-", "--json"]);
    command.current_dir(&home.root).env("HOME", &home.root);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let path = "x".repeat(150);
        for n in 1..=200_000 {
            writeln!(
                input,
                "type=AVC msg=audit(1791000000.101:{n}): avc:  denied  {{ read write }} for  pid={n} comm=\"c{n}\" \
                path=\"/{path}/{n}\" dev=\"sd{n}\" ino={n} scontext=system_u:system_r:s{n}_t:s0 \
                tcontext=system_u:object_r:t{n}_t:s0 tclass=file permissive=0"
            )
            .unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = report["groups"].as_array().unwrap().len() as u64;
    let further = report["log"]["denials_of_further_groups"].as_u64().unwrap();
    assert_eq!(shown + further, 200_000);
    assert!(shown >= 1000, "{shown}");
}

/// A child that follows a log.
struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn new(home: &Home, words: &[&str]) -> Self {
        let all = [&["-C", "talos", "selinux", "denials", "--follow"], words].concat();
        let mut command = home.xtask(&all);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads up to a line that contains `text`.
    fn until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        for line in &mut self.lines {
            read.push(line.unwrap());
            if read.last().unwrap().contains(text) {
                return read.join("\n");
            }
        }
        panic!("`{text}` is not in {read:#?}");
    }

    fn event(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    /// The rest of what is printed, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let rest: Vec<String> = self.lines.by_ref().map(Result::unwrap).collect();
        (rest.join("\n"), self.child.wait().unwrap().code())
    }
}

fn append(home: &Home, text: &str) {
    let file = OpenOptions::new().append(true).open(home.path("audit.log"));
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_followed_file_shows_new_groups_growth_and_loss() {
    let home = checkout();
    let write = |serial| denial(serial, "write", "pod_t:s0", "tmpfs_t:s0", "file");
    home.write("audit.log", &write(1));
    let mut follower = Follower::new(&home, &["audit.log"]);
    let first = follower.until("fix:");
    assert!(
        first.contains("pod_t → tmpfs_t file { write }  1 ×, enforced"),
        "{first}"
    );
    assert!(first.contains("cause: "), "{first}");

    // A line in two pieces.
    let more = write(2);
    let (start, end) = more.split_at(60);
    append(&home, start);
    append(&home, end);
    let grown = follower.until("×");
    assert_eq!(grown, "+1  pod_t → tmpfs_t file { write }  2 ×, enforced");

    // Another permission has its own cause. Four numbers are missing.
    append(
        &home,
        &denial(7, "getattr", "pod_t:s0", "tmpfs_t:s0", "file"),
    );
    let other = follower.until("incomplete");
    assert!(other.contains("{ write getattr }  3 ×"), "{other}");
    assert!(other.contains("fix: "), "{other}");
    let loss = "the log is incomplete: serial numbers between the records are missing";
    assert!(other.ends_with(loss), "{other}");

    // Written again from its beginning: another log.
    home.write(
        "audit.log",
        &denial(8, "getattr", "etcd_t:s0", "data_t:s0", "dir"),
    );
    follower.until("etcd_t → data_t dir { getattr }  1 ×");

    follower.interrupt();
    let (rest, code) = follower.end();
    assert_eq!(code, Some(130), "{rest}");
    assert!(rest.contains("2 groups, 4 denials"), "{rest}");
    assert!(rest.contains("4 records"), "{rest}");
}

#[test]
fn followed_stdin_is_one_object_per_line_until_its_end() {
    let home = checkout();
    let mut follower = Follower::new(&home, &["-", "--json"]);
    let mut input = follower.child.stdin.take().unwrap();
    let write = |input: &mut ChildStdin, serial| {
        let line = denial(serial, "write", "pod_t:s0", "tmpfs_t:s0", "file");
        input.write_all(line.as_bytes()).unwrap();
    };
    write(&mut input, 1);
    let event = follower.event();
    assert_eq!(
        (&event["schema"], &event["event"]),
        (&1.into(), &"new".into())
    );
    assert_eq!(event["group"]["source_type"], "pod_t");
    assert!(event["group"]["cause"]["why"].is_string(), "{event}");
    write(&mut input, 2);
    write(&mut input, 3);
    let mut added = 0;
    while added < 2 {
        let event = follower.event();
        assert_eq!(event["event"], "more", "{event}");
        added += event["added"].as_u64().unwrap();
    }
    // Without its end, the last line is read once the input has ended.
    let last = denial(4, "read", "etcd_t:s0", "tmpfs_t:s0", "file");
    input.write_all(last.trim_end().as_bytes()).unwrap();
    drop(input);
    assert_eq!(follower.event()["group"]["source_type"], "etcd_t");
    let end = follower.event();
    assert_eq!(end["event"], "end");
    assert_eq!(end["log"]["denials"], 4, "{end}");
    assert_eq!(end["log"]["complete"], true, "{end}");
    assert_eq!(follower.end(), (String::new(), Some(1)));
}

#[test]
fn follow_reads_one_log_that_exists() {
    let home = checkout();
    let (code, said) = xtask(&home, &["denials", "--follow", "audit.log", "other.log"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`--follow` reads one log"), "{said}");
    let (code, said) = xtask(&home, &["denials", "--follow", "nope.log"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`nope.log` does not exist"), "{said}");
}
