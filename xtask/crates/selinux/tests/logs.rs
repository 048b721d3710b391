//! Logs in the forms in which nodes, journals and people show them.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use selinux::log::{Denials, LossKind, Reader, Summary};

fn read(log: &[u8]) -> (Denials, Summary) {
    let mut reader = Reader::new();
    reader.begin("log", None);
    reader.feed(log);
    reader.finish()
}

/// One line for each group: source, target, class, permissions, count.
fn groups(log: &str) -> Vec<String> {
    let (denials, _) = read(log.as_bytes());
    let text = |group: &selinux::log::Group| {
        let permissions = group.permissions().join(",");
        let kind = |context: &str| context.split(':').nth(2).unwrap_or(context).to_owned();
        format!(
            "{} {} {} {permissions} {}",
            kind(&group.source),
            kind(&group.target),
            group.class,
            group.count
        )
    };
    denials.groups.iter().map(text).collect()
}

fn losses(log: &str) -> Vec<(LossKind, u64, u64)> {
    let (_, summary) = read(log.as_bytes());
    let losses = summary.losses.iter();
    losses.map(|it| (it.kind, it.signs, it.records)).collect()
}

const BODY: &str = "avc:  denied  { write } for  pid=41 comm=\"chunk\" name=\"seg\" dev=\"sdq\" ino=8 scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:unlabeled_t:s0 tclass=dir permissive=1";

#[test]
fn the_same_denial_in_every_form() {
    let stamp = "audit(1791000000.101:1)";
    let forms = [
        format!("type=AVC msg={stamp}: {BODY}\n"),
        format!("type=AVC msg={stamp}: {BODY}"),
        format!("type=AVC msg={stamp}: {BODY}\r\n"),
        format!("10.5.0.2: type=AVC msg={stamp}: {BODY}\n"),
        format!("10.5.0.2/service-logs/auditd.log:17:type=AVC msg={stamp}: {BODY}\n"),
        format!(
            "10.5.0.2: kern:  notice: [2026-10-03T04:05:06.1Z]: audit: type=1400 {stamp}: {BODY}\n"
        ),
        format!("[   12.345678] audit: type=1400 {stamp}: {BODY}\n"),
        format!(
            "\u{1b}[33m[   12.345678]\u{1b}[0m audit: type=1400 {stamp}: \u{1b}[1m{BODY}\u{1b}[0m\n"
        ),
        format!("01/01/1970 01:00:02 audit: type=1400 {stamp}: {BODY}\n"),
        format!("Oct 03 04:05:06 node-a audit[959]: AVC {BODY}\n"),
        format!("Oct 03 04:05:06 node-a kernel: audit: type=1400 {stamp}: {BODY}\n"),
        format!("type=AVC {BODY}\n"),
        format!("{BODY}\n"),
        format!("type=AVC msg=audit(03/10/26 04:05:06.101:1) : {BODY} \n"),
        format!("type=AVC msg=audit(03.10.2026 04:05:06.101:1) : {BODY} \n"),
        format!(
            "{{\"ts\":1,\"msg\":\"type=AVC msg={stamp}: {}\",\"n\":2}}\n",
            BODY.replace('"', "\\\"")
        ),
        format!("type=AVC msg={stamp}: {BODY}\u{1d}UID=\"root\" AUID=\"unset\"\n"),
        format!(
            "type=AVC msg={stamp}: {}\n",
            BODY.replace("\"chunk\"", "6368756E6B")
        ),
        format!(
            "type=AVC msg={stamp}: {}\n",
            BODY.replace(" tclass", " \\\n    tclass")
        ),
        format!(
            "type=AVC msg={stamp}: {}\n",
            BODY.replace(" scontext", "\n  scontext")
        ),
        format!(
            "type=AVC msg={stamp}: {}\n",
            BODY.replace("unlabeled_t", "unlab\neled_t")
        ),
        format!(
            "type=AVC msg={stamp}: {}\n",
            BODY.replace(" ino=8", " [talos] task ok (1/1) ino=8")
        ),
        format!(
            "type=AVC msg={stamp}: {}\n",
            BODY.replace(" ino=8", "\n[   12.4] [talos] task done\n ino=8")
        ),
        format!("\0type=AVC msg={stamp}: {BODY}\0\n"),
        format!(
            "type=AVC msg={stamp}: {}\n",
            BODY.replace(" permissive=1", "")
        ),
    ];
    for form in &forms {
        let expected = "pod_t unlabeled_t dir write 1";
        assert_eq!(groups(form), [expected], "{form}");
        let (denials, summary) = read(form.as_bytes());
        let group = &denials.groups[0];
        assert_eq!(group.commands, ["chunk"], "{form}");
        assert_eq!(group.paths, ["seg"], "{form}");
        let lost: Vec<&str> = summary.losses.iter().map(|it| it.kind.name()).collect();
        assert_eq!(lost, [] as [&str; 0], "{form}");
    }
}

#[test]
fn records_of_one_event_are_joined_in_any_order() {
    let avc = format!("type=AVC msg=audit(1791000000.101:1): {BODY}\n");
    let rest = "type=SYSCALL msg=audit(1791000000.101:1): arch=c000003e syscall=83 success=no exit=-13 comm=\"chunk\" exe=\"/usr/bin/chunk\" subj=system_u:system_r:pod_t:s0\n\
        type=CWD msg=audit(1791000000.101:1): cwd=\"/data\"\n\
        type=PATH msg=audit(1791000000.101:1): item=0 name=\"/data/seg\" inode=8 obj=system_u:object_r:unlabeled_t:s0 nametype=PARENT\n\
        type=PROCTITLE msg=audit(1791000000.101:1): proctitle=6368756E6B\n\
        type=SYSCALL msg=audit(1791000000.101:2): syscall=9 exe=\"/other\"\n";
    for log in [format!("{avc}{rest}"), format!("{rest}{avc}")] {
        let (denials, summary) = read(log.as_bytes());
        let group = &denials.groups[0];
        assert_eq!(group.executables, ["/usr/bin/chunk"]);
        assert_eq!(group.calls, ["83"]);
        assert!(
            group.paths.contains(&"/data/seg".to_owned()),
            "{:?}",
            group.paths
        );
        assert_eq!(group.labels, ["system_u:object_r:unlabeled_t:s0"]);
        assert_eq!((summary.records, summary.denials), (6, 1));
        assert!(summary.is_complete());
    }
}

#[test]
fn one_event_on_two_channels_counts_once() {
    let mut reader = Reader::new();
    reader.begin("auditd", Some("10.5.0.2"));
    reader.feed(format!("type=AVC msg=audit(1791000000.101:1): {BODY}\n").as_bytes());
    reader.begin("dmesg", Some("10.5.0.2"));
    reader.feed(
        format!("[ 12.345678] audit: type=1400 audit(1791000000.101:1): {BODY}\n").as_bytes(),
    );
    reader.begin("auditd", Some("10.5.0.3"));
    reader.feed(format!("type=AVC msg=audit(1791000000.101:1): {BODY}\n").as_bytes());
    let (denials, summary) = reader.finish();
    assert_eq!(denials.groups[0].count, 2);
    assert_eq!(denials.groups[0].nodes, ["10.5.0.2", "10.5.0.3"]);
    assert_eq!((summary.duplicates, summary.boots), (1, 2));
}

#[test]
fn what_is_not_a_denial() {
    let log = format!(
        "type=AVC msg=audit(1791000000.101:1): {}\n\
        type=AVC msg=audit(1791000000.101:2): apparmor=\"DENIED\" operation=\"open\" name=\"/x\" pid=1\n\
        type=1400 audit(1791000000.101:3): avc:  received policyload notice (seqno=2)\n\
        type=USER_AVC msg=audit(1791000000.101:4): pid=1 uid=0 msg='avc:  received setenforce notice (enforcing=1)  exe=\"/x\"'\n\
        type=SELINUX_ERR msg=audit(1791000000.101:5): op=security_bounded_transition seresult=denied oldcontext=a:b:c:s0 newcontext=a:b:d:s0\n",
        BODY.replace("denied", "granted")
    );
    let (denials, summary) = read(log.as_bytes());
    assert_eq!(denials.groups.len(), 0);
    assert_eq!(
        (summary.granted, summary.others, summary.records),
        (1, 3, 5)
    );
    assert_eq!(denials.errors.len(), 1);
    assert_eq!(denials.errors[0].operation, "security_bounded_transition");
    assert_eq!(
        denials.errors[0].contexts,
        ["oldcontext=a:b:c:s0", "newcontext=a:b:d:s0"]
    );
    assert!(summary.is_complete(), "{summary:?}");
}

#[test]
fn denials_of_programs_and_unnamed_permissions() {
    let log = "type=USER_AVC msg=audit(1791000000.101:1): pid=1 uid=0 auid=4294967295 ses=4294967295 subj=system_u:system_r:init_t:s0 msg='avc:  denied  { start } for auid=n/a uid=0 path=\"/x\" scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:unit_t:s0 tclass=service permissive=0  exe=\"/usr/lib/systemd/systemd\" sauid=0'\n\
        type=AVC msg=audit(1791000000.101:2): avc:  denied  { 0x800000 read } for  pid=1 comm=\"x\" src=8443 scontext=system_u:system_r:pod_t:s0:c1,c5 tcontext=system_u:object_r:tmpfs_t:s0 tclass=memfd_file permissive=0\n";
    let expected = [
        "pod_t unit_t service start 1",
        "pod_t tmpfs_t memfd_file 0x800000,read 1",
    ];
    assert_eq!(groups(log), expected);
    let (denials, _) = read(log.as_bytes());
    assert!(denials.groups[0].is_user);
    assert_eq!(denials.groups[1].source, "system_u:system_r:pod_t:s0:c1,c5");
}

#[test]
fn signs_of_loss_make_a_log_incomplete() {
    let avc = |serial: u64| format!("type=AVC msg=audit(1791000000.101:{serial}): {BODY}\n");
    assert_eq!(losses(&avc(1)), []);
    assert_eq!(losses(""), [(LossKind::Empty, 1, 0)]);
    assert_eq!(
        losses(&(avc(501) + &avc(502) + &avc(511))),
        [(LossKind::SerialGap, 1, 8), (LossKind::Start, 1, 500)]
    );
    let notice = "audit backlog limit reached, some audit events may have been lost\n";
    assert_eq!(losses(&(avc(1) + notice)), [(LossKind::Auditd, 1, 0)]);
    let cut = "type=AVC msg=audit(1791000000.101:2): avc:  denied  { wri";
    assert_eq!(losses(&(avc(1) + cut)), [(LossKind::Cut, 1, 1)]);
    assert_eq!(losses(&(avc(1) + cut + "\n")), [(LossKind::Cut, 1, 1)]);
    let headless = &BODY[30..];
    assert_eq!(
        losses(&(format!("{headless}\n") + &avc(1))),
        [(LossKind::Cut, 1, 1)]
    );
}

#[test]
fn a_log_cut_anywhere_never_invents_a_denial() {
    let whole = format!(
        "type=AVC msg=audit(1791000000.101:1): {BODY}\ntype=AVC msg=audit(1791000000.105:2): {BODY}\n"
    );
    for end in 0..whole.len() {
        for group in groups(&whole[..end]) {
            assert!(
                group.starts_with("pod_t unlabeled_t dir write"),
                "{end}: {group}"
            );
        }
        for group in groups(&whole[end..]) {
            assert!(
                group.starts_with("pod_t unlabeled_t dir write"),
                "{end}: {group}"
            );
        }
    }
}

#[test]
fn memory_is_bounded_by_groups() {
    let mut reader = Reader::new();
    reader.begin("log", None);
    for n in 1..=20_000 {
        let line = format!(
            "type=AVC msg=audit(1791000000.101:{n}): avc:  denied  {{ read }} for  pid={n} comm=\"c{n}\" name=\"n{n}\" scontext=u:r:s{n}:s0 tcontext=u:r:t{n}:s0 tclass=file permissive=0\n"
        );
        reader.feed(line.as_bytes());
    }
    let (denials, summary) = reader.finish();
    assert_eq!(summary.denials, 20_000);
    assert_eq!(denials.groups.len() as u64 + denials.uncounted, 20_000);
    assert!(denials.groups.len() <= 4096);
}

/// Two channels of one boot of the lab's stand-in node.
#[test]
fn a_real_boot_on_two_channels() {
    let mut reader = Reader::new();
    for name in ["dmesg", "auditd"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/selinux");
        let log = std::fs::read(format!("{folder}/stand-in-{name}.log")).unwrap();
        reader.begin(name, None);
        reader.feed(&log);
    }
    let (denials, summary) = reader.finish();
    assert_eq!(
        (summary.denials, summary.duplicates, summary.boots),
        (64, 7, 1)
    );
    assert_eq!(summary.nodes, ["172.20.0.2"]);
    let losses: Vec<_> = summary
        .losses
        .iter()
        .map(|it| (it.kind, it.records))
        .collect();
    assert_eq!(losses, [(LossKind::SerialGap, 5)]);
    let process = denials
        .groups
        .iter()
        .find(|it| it.class == "process")
        .unwrap();
    assert_eq!(
        process.permissions(),
        ["getsched", "setexec", "signal", "signull"]
    );
    assert_eq!(process.executables, ["/init"]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
    }

    #[test]
    fn pieces_of_records_in_any_order_do_not_panic(
        parts in proptest::collection::vec(prop_oneof![
            Just("type=AVC "), Just("msg="), Just("audit("), Just("1791000000.101:"), Just("99999999999999999999"),
            Just("1"), Just("): "), Just("avc:"), Just(" denied "), Just("granted"), Just("{ read }"), Just("{"), Just("}"),
            Just(" scontext=a:b:c:s0"), Just(" tcontext=a:b:d"), Just(" tclass=file"), Just(" permissive=1"), Just("\n"),
            Just("\0"), Just("\u{1b}["), Just("{\""), Just("\\\""), Just("\\u00"), Just("\\"), Just("audit_lost="), Just("é"),
            Just("[ 1.000000]"), Just("callbacks suppressed"), Just("op="), Just("type=1401 "), Just("type=1300 "), Just("name="),
        ], 0..60),
        step in 1usize..40,
    ) {
        let log = parts.concat();
        let mut reader = Reader::new();
        for piece in log.as_bytes().chunks(step) {
            reader.feed(piece);
        }
        let (by_pieces, one) = reader.finish();
        let mut reader = Reader::new();
        reader.feed(log.as_bytes());
        let (whole, two) = reader.finish();
        prop_assert_eq!(one, two);
        prop_assert_eq!(by_pieces.groups.len(), whole.groups.len());
    }
}
