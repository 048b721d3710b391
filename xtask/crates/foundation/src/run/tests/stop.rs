//! Ending processes that are not our children.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::plans::{Fake, Room};
use super::*;
use crate::ctx::host::Host;
use crate::plan::ProcessIdentity;

/// A bystander to be stopped, with its identity.
/// On SIGTERM it runs `on_term`.
fn bystander(on_term: &str) -> (std::process::Child, ProcessIdentity) {
    let script = format!("trap '{on_term}' TERM; echo ready; while :; do sleep 0.05; done");
    let mut command = spawn::command("bash");
    let command = command.args(["-c", &script]).stdout(Stdio::piped());
    let mut child = spawn::spawn(command).unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.as_mut().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let process =
        crate::ctx::processes::Process::probe(i32::try_from(child.id()).unwrap()).unwrap();
    let identity = process.identity(&Host::probe(), "a bystander");
    (child, identity)
}

fn stop(process: ProcessIdentity, grace_seconds: u64) -> Plan {
    let mut plan = Plan::new("stop");
    plan.push(Step::new(
        "stop it",
        Action::Stop {
            process,
            grace_seconds,
        },
    ));
    plan
}

#[test]
fn a_process_is_stopped_gently_and_then_not() {
    let room = Room::new();
    let nothing = Fake::new(Undoing::Keep(String::new()));
    for (on_term, grace) in [("exit 0", 60), ("", 1)] {
        let (mut child, process) = bystander(on_term);
        let began = Instant::now();
        room.execute(&stop(process.clone(), grace), &nothing)
            .unwrap();
        let is_all_of_it = began.elapsed() >= Duration::from_secs(grace);
        assert_eq!(is_all_of_it, on_term.is_empty(), "its grace: {on_term}");
        assert!(child.try_wait().unwrap().is_some(), "{on_term}");
        room.execute(&stop(process, grace), &nothing)
            .expect("already gone is success");
    }
}

#[test]
fn the_grace_of_a_process_is_not_cut_short_by_signals_of_our_own() {
    let room = Room::new();
    let mark = room.root.join("mark");
    let (mut child, process) = bystander(&format!("sleep 1; touch {mark}; exit 0"));
    // The end of any other child is such a signal.
    let noise = spawn::spawn(spawn::command("sleep").arg("0.3")).unwrap();
    let nothing = Fake::new(Undoing::Keep(String::new()));
    room.execute(&stop(process, 20), &nothing).unwrap();
    assert!(mark.exists(), "killed before its grace was over");
    child.wait().unwrap();
    drop(noise.wait_with_output());
}

#[test]
fn another_process_of_the_same_number_lives_on() {
    let room = Room::new();
    let nothing = Fake::new(Undoing::Keep(String::new()));
    let (mut child, process) = bystander("exit 0");
    let later = ProcessIdentity {
        start_ticks: process.start_ticks + 1,
        ..process.clone()
    };
    let other_boot = ProcessIdentity {
        boot_id: "another".into(),
        ..process
    };
    for identity in [later, other_boot] {
        room.execute(&stop(identity, 1), &nothing).unwrap();
    }
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}
