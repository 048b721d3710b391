//! What every command pays for the foundation: reading the ledger, writing one
//! entry, showing a plan.
#![allow(clippy::unwrap_used, reason = "a benchmark ends where it cannot go on")]

use camino::Utf8Path;
use criterion::{Criterion, criterion_group, criterion_main};
use foundation::ctx::ledger::{Entry, Ledger, Op};
use foundation::plan::{Plan, Resource, Step, render_human, render_sh};

fn entry(op: Op, number: usize) -> Entry {
    Entry {
        op,
        at: 1,
        boot_id: "0b8bd1a1-7d2f-4c5b-8d0c-3a8f2a1f6f3e".into(),
        run: "19a0c3f1e2d-cluster".into(),
        resource: Resource::Cluster {
            name: format!("cluster-{number}"),
            state_dir: format!("/home/dev/.talos/clusters/cluster-{number}").into(),
            bridge: "talos00000000".into(),
            cidr: "172.20.0.0/24".into(),
        },
    }
}

/// Years of clusters, all but a few gone again.
fn ledger(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(dir.path()).unwrap();
    let mut lines = String::new();
    for number in 0..2000 {
        let ops = if number % 500 == 0 {
            &[Op::Intend][..]
        } else {
            &[Op::Intend, Op::Gone]
        };
        for op in ops {
            lines += &serde_json::to_string(&entry(*op, number)).unwrap();
            lines.push('\n');
        }
    }
    let path = root.join("ledger.jsonl");
    foundation::record::files::replace(&path, lines.as_bytes(), 0o600).unwrap();
    let ledger = Ledger::in_dir(root);
    assert_eq!(ledger.live().unwrap().len(), 4);
    c.bench_function("ledger/read 4000 lines", |b| b.iter(|| ledger.live()));
    let other = Ledger::in_dir(&root.join("other"));
    c.bench_function("ledger/append and sync", |b| {
        b.iter(|| other.append(&entry(Op::Intend, 1)).unwrap());
    });
}

fn plan(c: &mut Criterion) {
    let mut plan = Plan::new("a large cluster taken down");
    for number in 0..500 {
        let step = Step::run(
            "remove a packet filter rule of the cluster",
            ["iptables", "-w", "-D", "FORWARD", "-s", "172.20.0.3/32"],
        );
        plan.push(
            step.as_root()
                .env("NUMBER", format!("it's {number}"))
                .also_ok(&[1, 2]),
        );
    }
    c.bench_function("plan/500 steps as a script", |b| {
        b.iter(|| render_sh(&plan));
    });
    c.bench_function("plan/500 steps for reading", |b| {
        b.iter(|| render_human(&plan));
    });
}

criterion_group!(benches, ledger, plan);
criterion_main!(benches);
