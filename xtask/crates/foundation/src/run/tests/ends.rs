//! Children that are made to end: by a deadline, an interrupt, a death elsewhere.

use std::time::{Duration, Instant};

use super::room::Room;
use crate::failure::{Exit, Failure};
use crate::run::Observer;
use crate::run::core::Grace;
use crate::run::step::How;

/// Long enough for bash to have set its traps.
const STARTED: Duration = Duration::from_millis(700);

#[test]
fn a_deadline_ends_the_step_and_says_what_it_last_said() {
    let room = Room::new();
    let how = How {
        deadline: Duration::from_secs(1),
        ..room.how()
    };
    let began = Instant::now();
    let failure = Room::bash("echo working; sleep 60", how).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3));
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
    let how = How {
        deadline: Duration::from_secs(u64::MAX),
        ..room.how()
    };
    Room::bash("true", how).unwrap();
}

#[test]
fn who_ignores_int_and_term_is_killed_after_the_grace() {
    let room = Room::new();
    let how = How {
        deadline: STARTED,
        ..room.how()
    };
    let began = Instant::now();
    let failure = Room::bash("trap '' INT TERM; while :; do sleep 0.05; done", how).unwrap_err();
    assert_eq!(failure.exit, Exit::Deadline);
    let took = began.elapsed();
    assert!(
        took > STARTED + Duration::from_millis(300) && took < Duration::from_secs(3),
        "{took:?}"
    );
}

#[test]
fn who_cleans_up_on_int_is_given_the_time() {
    let room = Room::new();
    let mark = room.path("mark");
    let how = How {
        deadline: STARTED,
        grace: Grace {
            interrupt: Duration::from_secs(10),
            ..room.how().grace
        },
        ..room.how()
    };
    let script =
        format!("trap 'sleep 0.3; touch {mark}; exit 1' INT; while :; do sleep 0.05; done");
    Room::bash(&script, how).unwrap_err();
    assert!(mark.exists());
}

#[test]
fn term_comes_between_int_and_kill() {
    let room = Room::new();
    let mark = room.path("mark");
    let how = How {
        deadline: STARTED,
        grace: Grace {
            terminate: Duration::from_secs(10),
            ..room.how().grace
        },
        ..room.how()
    };
    let script =
        format!("trap '' INT; trap 'touch {mark}; exit 1' TERM; while :; do sleep 0.05; done");
    Room::bash(&script, how).unwrap_err();
    assert!(mark.exists());
}

#[test]
fn a_first_interrupt_asks_and_a_second_kills_at_once() {
    let room = Room::new();
    let mark = room.path("mark");
    let patient = How {
        grace: Grace {
            interrupt: Duration::from_secs(30),
            terminate: Duration::from_secs(30),
        },
        ..room.how()
    };
    let script = format!("trap 'echo asked >>{mark}' INT; while :; do sleep 0.05; done");
    let began = Instant::now();
    let failure = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            room.signals.raise();
            std::thread::sleep(Duration::from_millis(300));
            room.signals.raise();
        });
        Room::bash(&script, patient).unwrap_err()
    });
    assert_eq!(failure.exit, Exit::Interrupted);
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "asked\n");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn while_undoing_the_first_interrupt_kills() {
    let room = Room::new();
    let how = How {
        kill_at: 1,
        grace: Grace {
            interrupt: Duration::from_secs(30),
            terminate: Duration::from_secs(30),
        },
        ..room.how()
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            room.signals.raise();
        });
        Room::bash("trap '' INT; while :; do sleep 0.05; done", how).unwrap_err();
    });
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_flood_does_not_keep_an_interrupt_waiting() {
    let room = Room::new();
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            room.signals.raise();
        });
        let failure = Room::bash("yes", room.how()).unwrap_err();
        assert_eq!(failure.exit, Exit::Interrupted);
    });
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn who_suspends_itself_is_waited_for_and_can_be_stopped() {
    let room = Room::new();
    // Continued by somebody else it goes on.
    Room::bash(
        "(sleep 0.3; kill -CONT $$) & kill -STOP $$; echo on",
        room.how(),
    )
    .unwrap();
    assert_eq!(room.log(), "on\n");
    let began = Instant::now();
    let how = How {
        deadline: Duration::ZERO,
        grace: Grace {
            interrupt: Duration::from_secs(30),
            terminate: Duration::from_secs(30),
        },
        ..room.how()
    };
    Room::bash("kill -STOP $$; sleep 60", how).unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "a suspended child cannot hear SIGINT"
    );
}

#[test]
fn who_asks_on_the_terminal_from_the_background_is_told_apart() {
    let room = Room::new();
    let failure = Room::bash("kill -TTIN $$; sleep 60", room.how()).unwrap_err();
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
        (looks > 2).then(|| Failure::new(Exit::NodeDied, "node `n` died"))
    });
    let how = How {
        observer: Some(&mut observer),
        ..room.how()
    };
    let failure = Room::bash("sleep 60", how).unwrap_err();
    assert_eq!(failure.to_string(), "node `n` died");
    assert_eq!(failure.exit.code(), 5);
}
