//! Children that are made to end: by a deadline, an interrupt, a death elsewhere.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::room::{LONG, Room};
use crate::failure::{Exit, Failure};
use crate::run::Observer;
use crate::run::core::Grace;
use crate::run::step::StepContext;

/// Ends a child as its deadline would, as soon as `is_time`.
fn deadline_when(is_time: impl Fn() -> bool + 'static) -> Observer {
    Box::new(move || is_time().then(|| Failure::new(Exit::Deadline, "it is time").into()))
}

/// The same once there is a file, which the child writes when its traps are set.
fn deadline_at(mark: Utf8PathBuf) -> Observer {
    deadline_when(move || mark.exists())
}

#[test]
fn a_deadline_ends_the_step_and_says_what_it_last_said() {
    let room = Room::new();
    let context = StepContext {
        deadline: Duration::from_secs(1),
        ..room.context()
    };
    let script = format!("echo working; {}", room.minute());
    let failure = Room::bash(&script, context).unwrap_err();
    assert!(!room.is_late());
    assert_eq!(failure.exit.code(), 124);
    let text = failure.to_string();
    assert!(
        text.contains("step \"try it\" failed: not done after 1 s"),
        "{text}"
    );
    assert!(
        text.contains("| working") && text.contains("its whole output is in"),
        "{text}"
    );
}

#[test]
fn no_deadline_overflows_the_clock() {
    let room = Room::new();
    let context = StepContext {
        deadline: Duration::from_secs(u64::MAX),
        ..room.context()
    };
    Room::bash("true", context).unwrap();
}

#[test]
fn a_flood_does_not_keep_a_deadline_waiting() {
    let room = Room::new();
    let context = StepContext {
        deadline: Duration::from_secs(1),
        ..room.context()
    };
    let script = format!("timeout 60 yes; touch {}", room.path("late"));
    let failure = Room::bash(&script, context).unwrap_err();
    assert_eq!(failure.exit, Exit::Deadline);
    assert!(!room.is_late());
}

#[test]
fn who_ignores_int_and_term_is_killed_after_the_grace() {
    let room = Room::new();
    let ready = room.path("ready");
    let mut observer = deadline_at(ready.clone());
    let context = StepContext {
        observer: Some(&mut observer),
        ..room.context()
    };
    let script = format!("trap '' INT TERM; touch {ready}; {}", room.minute());
    let failure = Room::bash(&script, context).unwrap_err();
    assert_eq!(failure.exit, Exit::Deadline);
    assert!(!room.is_late());
}

#[test]
fn who_cleans_up_on_int_is_given_the_time() {
    let room = Room::new();
    let (ready, mark) = (room.path("ready"), room.path("mark"));
    let mut observer = deadline_at(ready.clone());
    let context = StepContext {
        observer: Some(&mut observer),
        grace: Grace {
            interrupt: Duration::from_secs(10),
            ..room.context().grace
        },
        ..room.context()
    };
    let script = format!(
        "trap 'sleep 0.3; touch {mark}; exit 1' INT; touch {ready}; while :; do sleep 0.05; done"
    );
    Room::bash(&script, context).unwrap_err();
    assert!(mark.exists());
}

#[test]
fn term_comes_between_int_and_kill() {
    let room = Room::new();
    let (ready, mark) = (room.path("ready"), room.path("mark"));
    let mut observer = deadline_at(ready.clone());
    let context = StepContext {
        observer: Some(&mut observer),
        grace: Grace {
            terminate: Duration::from_secs(10),
            ..room.context().grace
        },
        ..room.context()
    };
    let script = format!(
        "trap '' INT; trap 'touch {mark}; exit 1' TERM; touch {ready}; \
         while :; do sleep 0.05; done"
    );
    Room::bash(&script, context).unwrap_err();
    assert!(mark.exists());
}

#[test]
fn a_first_interrupt_asks_and_a_second_kills_at_once() {
    let room = Room::new();
    let (ready, mark) = (room.path("ready"), room.path("mark"));
    let patient = StepContext {
        grace: LONG,
        ..room.context()
    };
    let script = format!(
        "trap 'echo asked >>{mark}' INT; touch {ready}; {}",
        room.minute()
    );
    let failure = room.interrupting(&[ready, mark.clone()], || {
        Room::bash(&script, patient).unwrap_err()
    });
    assert_eq!(failure.exit, Exit::Interrupted);
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "asked\n");
    assert!(!room.is_late());
}

#[test]
fn while_undoing_the_first_interrupt_kills() {
    let room = Room::new();
    let ready = room.path("ready");
    let context = StepContext {
        kill_at: 1,
        grace: LONG,
        ..room.context()
    };
    let script = format!("trap '' INT; touch {ready}; {}", room.minute());
    room.interrupting(&[ready], || Room::bash(&script, context).unwrap_err());
    assert!(!room.is_late());
}

#[test]
fn a_flood_does_not_keep_an_interrupt_waiting() {
    let room = Room::new();
    let ready = room.path("ready");
    let late = room.path("late");
    let script = format!("(yes | head -c 50000000; touch {ready}; timeout 60 yes; touch {late})");
    let failure = room.interrupting(&[ready], || {
        Room::bash(&script, room.context()).unwrap_err()
    });
    assert_eq!(failure.exit, Exit::Interrupted);
    assert!(!room.is_late());
}

#[test]
fn who_suspends_itself_is_waited_for_and_can_be_stopped() {
    let room = Room::new();
    // Continued by another process it goes on.
    Room::bash(
        "(until grep -q '^State:.T' /proc/$$/status; do sleep 0.01; done; kill -CONT $$) & \
         kill -STOP $$; echo on",
        room.context(),
    )
    .unwrap();
    assert_eq!(room.log(), "on\n");
    let (pid, heard) = (room.path("pid"), room.path("heard"));
    let script =
        format!("trap 'touch {heard}; exit 1' INT; echo $$ >{pid}; kill -STOP $$; sleep 60");
    let is_suspended = move || {
        let pid = std::fs::read_to_string(&pid).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
        status.is_ok_and(|status| status.contains("State:\tT"))
    };
    let mut observer = deadline_when(is_suspended);
    let context = StepContext {
        observer: Some(&mut observer),
        grace: LONG,
        ..room.context()
    };
    Room::bash(&script, context).unwrap_err();
    assert!(heard.exists(), "a suspended child cannot hear SIGINT");
}

#[test]
fn who_asks_on_the_terminal_from_the_background_is_told_apart() {
    let room = Room::new();
    let failure = Room::bash("kill -TTIN $$; sleep 60", room.context()).unwrap_err();
    assert_eq!(failure.exit, Exit::Step);
    assert!(
        failure
            .to_string()
            .contains("asks something on the terminal"),
        "{failure}"
    );
}

#[test]
fn a_death_that_the_observer_reports_ends_the_child() {
    let room = Room::new();
    let mut looks = 0;
    let mut observer: Observer = Box::new(move || {
        looks += 1;
        (looks > 2).then(|| Failure::new(Exit::NodeDied, "node `n` died").into())
    });
    let context = StepContext {
        observer: Some(&mut observer),
        ..room.context()
    };
    let failure = Room::bash("sleep 60", context).unwrap_err();
    assert_eq!(failure.to_string(), "node `n` died");
    assert_eq!(failure.exit.code(), 5);
}
