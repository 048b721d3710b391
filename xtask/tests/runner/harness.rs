//! The binary with a plan on its standard input.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start and signal their own processes"
)]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use foundation::ctx::ledger::Ledger;
use foundation::plan::{Plan, Resource, Step};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Home, Said, is_alive, within};

/// Long for a machine, short for a person.
pub(crate) const SOON: Duration = Duration::from_secs(8);

pub(crate) fn plan(steps: impl IntoIterator<Item = Step>) -> Plan {
    let mut plan = Plan::new("a plan");
    plan.steps.extend(steps);
    plan
}

pub(crate) fn bash(script: &str) -> Step {
    Step::run("a step", ["bash", "-c", script])
}

pub(crate) fn json(plan: &Plan) -> Vec<u8> {
    serde_json::to_vec(plan).unwrap()
}

/// Run a plan to its end.
pub(crate) fn run(home: &Home, plan: &Plan) -> Said {
    crate::common::run_with(&mut home.xtask(&["internal", "run-plan"]), &json(plan))
}

/// A run that goes on.
pub(crate) struct Harness {
    pub(crate) child: Child,
    began: Instant,
}

impl Harness {
    pub(crate) fn start(command: &mut Command, plan: &Plan) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&json(plan)).unwrap();
        Self {
            child,
            began: Instant::now(),
        }
    }

    pub(crate) fn of(home: &Home, plan: &Plan) -> Self {
        Self::start(&mut home.xtask(&["internal", "run-plan"]), plan)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its end, which must come soon.
    pub(crate) fn end(mut self) -> Said {
        let is_done = within(SOON, || self.has_ended());
        let took = self.began.elapsed();
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert!(is_done, "still there {took:?} after its start:\n{stderr}");
        Said {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Harness {
    /// A test that fails leaves nothing behind: a harness that is gone takes
    /// its steps along.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pid that a step has written to that file.
pub(crate) fn pid_in(home: &Home, file: &str) -> i32 {
    let path = home.path(file);
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    assert!(within(SOON, || read().ends_with('\n')), "no {path}");
    read().trim().parse().unwrap()
}

pub(crate) fn ends(pid: i32) -> bool {
    within(SOON, || !is_alive(pid))
}

/// A cluster whose only trace is its folder: our own undo knows how to take
/// that away.
pub(crate) fn cluster(home: &Home) -> (Resource, Utf8PathBuf) {
    let state_dir = home.path(".talos/clusters/made");
    let resource = Resource::Cluster {
        name: "made".into(),
        state_dir: state_dir.clone(),
        bridge: talos::names::bridge_name("made"),
        cidr: "172.29.213.0/24".into(),
    };
    (resource, state_dir)
}

/// Names on the ledger.
pub(crate) fn ledger(home: &Home) -> Vec<String> {
    let entries = Ledger::in_dir(&home.state()).live().unwrap().into_iter();
    entries
        .map(|entry| match entry.resource {
            Resource::Cluster { name, .. } | Resource::Start { name, .. } => name,
            Resource::Lab { dir } => dir.into_string(),
            other => other.key(),
        })
        .collect()
}
