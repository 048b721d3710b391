//! Children that end by themselves, badly or oddly, and what they print.

use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process_group};

use super::room::{Room, ends, is_alive};
use crate::failure::Exit;
use crate::plan::Run;
use crate::run::step::{StepContext, run};

#[test]
fn a_failure_shows_the_last_lines_and_where_the_rest_is() {
    let room = Room::new();
    let failure = Room::bash("seq 1 50; echo to-stderr >&2; exit 7", room.context()).unwrap_err();
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
        run(&step, "try it", room.context()).unwrap_err()
    };
    let missing = start("no-such-program", None);
    assert_eq!(missing.exit, Exit::HostNotReady);
    assert!(missing.hint.is_some());
    let script = room.path("script");
    // By another process: see `ETXTBSY` of execve(2).
    let write = format!("printf '#!/no/such/interpreter\\n' >{script}; chmod +x {script}");
    Room::bash(&write, room.context()).unwrap();
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
        run(&Run::default(), "try it", room.context())
            .unwrap_err()
            .exit,
        Exit::Step
    );
}

#[test]
fn a_log_that_cannot_be_made_starts_nothing() {
    let room = Room::new();
    let mark = room.path("mark");
    let context = StepContext {
        log: Some(room.path("no/such/folder/log")),
        ..room.context()
    };
    assert!(Room::bash(&format!("touch {mark}"), context).is_err());
    // The mark could only appear later than this child's end.
    Room::bash("true", room.context()).unwrap();
    assert!(!mark.exists());
}

#[test]
fn what_forks_away_holding_the_pipe_does_not_hold_us() {
    let room = Room::new();
    let (same, own) = (room.path("same"), room.path("own"));
    let script = format!(
        "sleep 60 & echo $! >{same}; setsid sh -c 'echo $$ >{own}; exec sleep 60' & \
         until [ -s {own} ]; do sleep 0.01; done; echo done"
    );
    Room::bash(&script, room.context()).unwrap();
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
    let failure = Room::bash(
        r"printf 'bad \377 bytes\nno end'; exec >&- 2>&-; sleep 0.4; exit 3",
        room.context(),
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
    Room::bash(
        "printf 'no end'; setsid sleep 1 & sleep 0.05",
        room.context(),
    )
    .unwrap();
    assert_eq!(room.log(), "no end");
}

#[test]
fn the_log_of_a_flood_is_bounded() {
    let room = Room::new();
    Room::bash(
        "yes 'a line of a long output' | head -c 200000000; echo; echo last >&2; exit 0",
        room.context(),
    )
    .unwrap();
    let length = std::fs::metadata(room.path("log")).unwrap().len();
    assert!(length < (64 << 20) + 100, "{length}");
}

#[test]
fn further_exit_codes_are_success_where_the_step_says_so() {
    let room = Room::new();
    let step = |code: &str| Run {
        argv: ["sh", "-c", code].map(str::to_owned).to_vec(),
        also_ok: vec![3],
        ..Run::default()
    };
    run(&step("exit 3"), "try it", room.context()).unwrap();
    run(&step("exit 4"), "try it", room.context()).unwrap_err();
    run(&step("kill -KILL $$"), "try it", room.context()).unwrap_err();
}

#[test]
fn only_the_listed_environment_where_that_is_wanted() {
    let room = Room::new();
    let step = Run {
        argv: vec!["/usr/bin/env".to_owned()],
        env: vec![("ONE".to_owned(), "a b".to_owned())],
        ..Run::default()
    };
    let context = StepContext {
        only_listed: true,
        ..room.context()
    };
    run(&step, "try it", context).unwrap();
    assert_eq!(room.log(), "ONE=a b\n");
}
