//! Ending processes that are not our children.

use super::plans::{Fake, Room};
use super::*;
use crate::ctx::host::Host;
use crate::plan::ProcessIdentity;

/// A bystander to be stopped, with its identity.
fn bystander(script: &str) -> (std::process::Child, ProcessIdentity) {
    let child = spawn::spawn(spawn::command("bash").args(["-c", script])).unwrap();
    std::thread::sleep(Duration::from_millis(300));
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
    for (script, grace) in [
        ("sleep 60", 10),
        ("trap '' TERM; while :; do sleep 0.05; done", 1),
    ] {
        let (mut child, process) = bystander(script);
        let began = Instant::now();
        room.execute(&stop(process.clone(), grace), &nothing)
            .unwrap();
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(child.try_wait().unwrap().is_some(), "{script}");
        room.execute(&stop(process, grace), &nothing)
            .expect("already gone is success");
    }
}

#[test]
fn the_grace_of_a_process_is_not_cut_short_by_signals_of_our_own() {
    let room = Room::new();
    let mark = room.root.join("mark");
    let script = format!("trap 'sleep 1; touch {mark}; exit 0' TERM; while :; do sleep 0.05; done");
    let (mut child, process) = bystander(&script);
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
    let (mut child, process) = bystander("sleep 60");
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
