//! Children that misbehave, under a supervisor with little patience.

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use super::*;
use crate::failure::Exit;
use crate::ui::Color;

/// Long enough for bash to have set its traps.
const STARTED: Duration = Duration::from_millis(700);

/// Everything a supervised child needs, in a folder of its own.
struct Room {
    dir: tempfile::TempDir,
    ui: Ui,
    signals: Signals,
}

impl Room {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            ui: Ui::new(Color::Never, true, false),
            signals: Signals::install().unwrap(),
        }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(name)
    }

    fn how(&self) -> How<'_> {
        How {
            log: Some(self.path("log")),
            deadline: Duration::from_secs(30),
            observer: None,
            signals: &self.signals,
            ui: &self.ui,
            grace: Grace {
                interrupt: Duration::from_millis(150),
                terminate: Duration::from_millis(150),
            },
            only_listed: false,
            kill_at: 2,
            output_is_ours: false,
        }
    }

    /// Run a script with bash under `how`.
    fn bash(&self, script: &str, how: How<'_>) -> Result<()> {
        let step = Run {
            argv: ["bash", "-c", script].map(str::to_owned).to_vec(),
            ..Run::default()
        };
        run(&step, "try it", how)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap()).into_owned()
    }
}

/// SIGKILL takes effect a moment after it was sent.
fn ends(pid: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(2);
    while is_alive(pid) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    !is_alive(pid)
}

fn is_alive(pid: &str) -> bool {
    let pid = pid.trim().parse().unwrap();
    crate::ctx::processes::Process::probe(pid).is_some_and(|process| process.is_alive())
}

#[test]
fn a_failure_shows_the_last_lines_and_where_the_rest_is() {
    let room = Room::new();
    let failure = room
        .bash("seq 1 50; echo to-stderr >&2; exit 7", room.how())
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Step);
    let text = failure.to_string();
    assert!(
        text.contains("step \"try it\" failed: `bash` ended with exit status: 7"),
        "{text}"
    );
    assert!(
        text.contains("| 50") && text.contains("| to-stderr") && !text.contains("| 38\n"),
        "{text}"
    );
    assert!(
        text.contains(&format!("its whole output is in {}", room.path("log"))),
        "{text}"
    );
    assert!(room.log().starts_with("1\n2\n"));
}

#[test]
fn a_missing_program_a_missing_interpreter_and_a_missing_folder_are_told_apart() {
    let room = Room::new();
    let start = |argv: &str, cwd: Option<&str>| {
        let step = Run {
            argv: vec![argv.to_owned()],
            cwd: cwd.map(Utf8PathBuf::from),
            ..Run::default()
        };
        run(&step, "try it", room.how()).unwrap_err()
    };
    let missing = start("no-such-program", None);
    assert_eq!(missing.exit, Exit::HostNotReady);
    assert!(missing.hint.is_some());
    let script = room.path("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(
        start(script.as_str(), None)
            .to_string()
            .contains("interpreter")
    );
    let nowhere = start("true", Some("/no/such/folder")).to_string();
    assert!(
        nowhere.contains("there is no folder `/no/such/folder`"),
        "{nowhere}"
    );
    assert_eq!(
        run(&Run::default(), "try it", room.how()).unwrap_err().exit,
        Exit::Step
    );
}

#[test]
fn a_log_that_cannot_be_made_starts_nothing() {
    let room = Room::new();
    let mark = room.path("mark");
    let how = How {
        log: Some(room.path("no/such/folder/log")),
        ..room.how()
    };
    assert!(room.bash(&format!("touch {mark}"), how).is_err());
    std::thread::sleep(Duration::from_millis(50));
    assert!(!mark.exists());
}

#[test]
fn a_deadline_ends_the_step_and_says_what_it_last_said() {
    let room = Room::new();
    let how = How {
        deadline: Duration::from_secs(1),
        ..room.how()
    };
    let began = Instant::now();
    let failure = room.bash("echo working; sleep 60", how).unwrap_err();
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
    room.bash("true", how).unwrap();
}

#[test]
fn who_ignores_int_and_term_is_killed_after_the_grace() {
    let room = Room::new();
    let how = How {
        deadline: STARTED,
        ..room.how()
    };
    let began = Instant::now();
    let failure = room
        .bash("trap '' INT TERM; while :; do sleep 0.05; done", how)
        .unwrap_err();
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
    room.bash(&script, how).unwrap_err();
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
    room.bash(&script, how).unwrap_err();
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
        room.bash(&script, patient).unwrap_err()
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
        room.bash("trap '' INT; while :; do sleep 0.05; done", how)
            .unwrap_err();
    });
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_forks_away_holding_the_pipe_does_not_hold_us() {
    let room = Room::new();
    let (same, own) = (room.path("same"), room.path("own"));
    let script = format!(
        "sleep 60 & echo $! >{same}; setsid sleep 60 & echo $! >{own}; sleep 0.1; echo done"
    );
    let began = Instant::now();
    room.bash(&script, room.how()).unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(room.log(), "done\n");
    let pid = |file| std::fs::read_to_string(file).unwrap();
    assert!(ends(&pid(same)), "one of the step's group lives on");
    let daemon = pid(own);
    assert!(is_alive(&daemon), "a daemon of its own session was killed");
    let daemon = Pid::from_raw(daemon.trim().parse().unwrap()).unwrap();
    kill_process_group(daemon, Signal::KILL).unwrap();
}

#[test]
fn output_without_line_end_or_utf8_and_an_early_close_lose_nothing() {
    let room = Room::new();
    let failure = room
        .bash(
            r"printf 'bad \377 bytes\nno end'; exec >&- 2>&-; sleep 0.4; exit 3",
            room.how(),
        )
        .unwrap_err();
    assert_eq!(
        std::fs::read(room.path("log")).unwrap(),
        b"bad \xff bytes\nno end"
    );
    assert_eq!(failure.excerpt, ["bad \u{fffd} bytes", "no end"]);
}

#[test]
fn a_forked_holder_of_the_pipe_does_not_swallow_a_line_without_end() {
    let room = Room::new();
    room.bash("printf 'no end'; setsid sleep 1 & sleep 0.05", room.how())
        .unwrap();
    assert_eq!(room.log(), "no end");
}

#[test]
fn a_flood_is_quick_and_its_log_is_bounded() {
    let room = Room::new();
    let began = Instant::now();
    room.bash("yes 'a line of a flood that nobody wants to read' | head -c 200000000; echo; echo last >&2; exit 0", room.how())
        .unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    let length = std::fs::metadata(room.path("log")).unwrap().len();
    assert!(length < (64 << 20) + 100, "{length}");
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
        let failure = room.bash("yes", room.how()).unwrap_err();
        assert_eq!(failure.exit, Exit::Interrupted);
    });
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn who_suspends_itself_is_waited_for_and_can_be_stopped() {
    let room = Room::new();
    // Continued by somebody else it goes on.
    room.bash(
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
    room.bash("kill -STOP $$; sleep 60", how).unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "a suspended child cannot hear SIGINT"
    );
}

#[test]
fn who_asks_on_the_terminal_from_the_background_is_told_apart() {
    let room = Room::new();
    let failure = room
        .bash("kill -TTIN $$; sleep 60", room.how())
        .unwrap_err();
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
    let failure = room.bash("sleep 60", how).unwrap_err();
    assert_eq!(failure.to_string(), "node `n` died");
    assert_eq!(failure.exit.code(), 5);
}

#[test]
fn further_exit_codes_are_success_where_the_step_says_so() {
    let room = Room::new();
    let step = |code: &str| Run {
        argv: ["sh", "-c", code].map(str::to_owned).to_vec(),
        also_ok: vec![3],
        ..Run::default()
    };
    run(&step("exit 3"), "try it", room.how()).unwrap();
    run(&step("exit 4"), "try it", room.how()).unwrap_err();
    run(&step("kill -KILL $$"), "try it", room.how()).unwrap_err();
}

#[test]
fn only_the_listed_environment_where_that_is_wanted() {
    let room = Room::new();
    let step = Run {
        argv: vec!["/usr/bin/env".to_owned()],
        env: vec![("ONE".to_owned(), "a b".to_owned())],
        ..Run::default()
    };
    let how = How {
        only_listed: true,
        ..room.how()
    };
    run(&step, "try it", how).unwrap();
    assert_eq!(room.log(), "ONE=a b\n");
}
