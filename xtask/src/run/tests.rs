//! Runs as a whole: ledger, undo, interrupts, records.

use std::cell::RefCell;

use camino::Utf8Path;

use super::*;
use crate::ctx::config::Config;
use crate::ctx::dirs::Dirs;
use crate::ctx::host::Host;
use crate::failure::Exit;
use crate::ui::Color;

struct Room {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
    ctx: Ctx,
    ui: Ui,
    signals: Signals,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        let dirs = Dirs {
            home: root.clone(),
            cache: root.join("cache"),
            state: root.join("state"),
        };
        let ctx = Ctx {
            host: Host::probe(),
            dirs,
            config: Config::default(),
            talos_dir: None,
            cwd: root.clone(),
        };
        Self {
            _dir: dir,
            root,
            ctx,
            ui: Ui::new(Color::Never, true, false),
            signals: Signals::install().unwrap(),
        }
    }

    fn execute(&self, plan: &Plan, undo: &dyn Undo) -> Result<()> {
        let runner = Runner {
            ctx: &self.ctx,
            ui: &self.ui,
            signals: &self.signals,
            grace: Grace {
                interrupt: Duration::from_millis(200),
                terminate: Duration::from_millis(200),
            },
        };
        runner.execute(plan, undo)
    }

    fn made(&self) -> Resource {
        Resource::Cluster {
            name: "c".into(),
            state_dir: self.root.join("c"),
            bridge: "talos00000000".into(),
            cidr: "172.20.0.0/24".into(),
        }
    }

    fn live(&self) -> Vec<Resource> {
        let entries = Ledger::of(&self.ctx.dirs.state).live().into_iter();
        entries.map(|entry| entry.resource).collect()
    }

    /// A step that makes the folder and goes on with `script`.
    fn making(&self, script: &str) -> Plan {
        let script = format!("mkdir {}; {script}", self.root.join("c"));
        let mut plan = Plan::new("make it");
        plan.push(sh(&script).makes(self.made()));
        plan
    }

    fn undoing(&self, script: &str) -> Plan {
        let mut plan = Plan::new("take it away");
        plan.push(sh(script));
        plan.push(sh(&format!("rmdir {}", self.root.join("c"))).unmakes(self.made()));
        plan
    }
}

fn sh(script: &str) -> Step {
    Step::run("a step", ["sh", "-c", script])
}

/// Undoes with a given plan, or says why not.
struct Fake(RefCell<Vec<Undoing>>);

impl Fake {
    fn new(undoing: Undoing) -> Self {
        Self(RefCell::new(vec![undoing]))
    }
}

impl Undo for Fake {
    fn undo(&self, _: &Ctx, _: &Resource, _: bool) -> Undoing {
        self.0.borrow_mut().pop().expect("asked once")
    }

    fn observe(&self, _: &Ctx, _: &Watch) -> Observer {
        Box::new(|| None)
    }
}

#[test]
fn the_ledger_knows_before_the_step_begins_and_until_it_is_gone() {
    let room = Room::new();
    let ledger = room.ctx.dirs.state.join("ledger.jsonl");
    let look = format!("grep -q intend {ledger}");
    let nothing = Fake::new(Undoing::Keep(String::new()));
    room.execute(&room.making(&look), &nothing).unwrap();
    assert_eq!(room.live(), [room.made()]);
    room.execute(&room.undoing("true"), &nothing).unwrap();
    assert!(room.live().is_empty());
}

#[test]
fn a_ledger_that_cannot_be_written_lets_nothing_be_made() {
    let room = Room::new();
    crate::record::files::create_dir(&room.ctx.dirs.state.join("ledger.jsonl")).unwrap();
    let failure = room
        .execute(
            &room.making("true"),
            &Fake::new(Undoing::Keep("kept".into())),
        )
        .unwrap_err();
    assert!(
        failure.to_string().contains("cannot write the ledger"),
        "{failure}"
    );
    assert!(!room.root.join("c").exists());
}

#[test]
fn what_a_failed_step_half_made_is_undone_and_off_the_ledger() {
    let room = Room::new();
    let failure = room
        .execute(
            &room.making("exit 9"),
            &Fake::new(Undoing::Do(room.undoing("true"))),
        )
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Step);
    assert!(!room.root.join("c").exists());
    assert!(room.live().is_empty());
}

#[test]
fn what_cannot_be_undone_stays_on_the_ledger_and_is_named() {
    let room = Room::new();
    let failure = room
        .execute(
            &room.making("exit 9"),
            &Fake::new(Undoing::Do(room.undoing("exit 1"))),
        )
        .unwrap_err();
    // The later step of the undo was tried all the same.
    assert!(!room.root.join("c").exists());
    assert_eq!(room.live(), [room.made()]);
    let text = failure.to_string();
    assert!(
        text.contains("could not undo") && text.contains("may be left"),
        "{text}"
    );
    assert!(
        text.contains("hint: cargo xtask cluster destroy --name c"),
        "{text}"
    );
}

#[test]
fn what_is_kept_says_why_and_stays_on_the_ledger() {
    let room = Room::new();
    let failure = room
        .execute(
            &room.making("exit 9"),
            &Fake::new(Undoing::Keep("for you to see".into())),
        )
        .unwrap_err();
    assert!(failure.causes.contains(&"for you to see".to_owned()));
    assert_eq!(room.live(), [room.made()]);
}

/// Raise `times`, with a pause before each.
fn interrupting<T>(room: &Room, times: usize, work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..times {
                std::thread::sleep(Duration::from_millis(400));
                room.signals.raise();
            }
        });
        work()
    })
}

#[test]
fn a_first_interrupt_stops_the_step_and_undoes_it() {
    let room = Room::new();
    let failure = interrupting(&room, 1, || {
        let undo = Fake::new(Undoing::Do(room.undoing("true")));
        room.execute(&room.making("sleep 60"), &undo).unwrap_err()
    });
    assert_eq!(failure.exit.code(), 130);
    assert!(!room.root.join("c").exists());
    assert!(room.live().is_empty());
}

#[test]
fn a_second_interrupt_undoes_nothing_and_says_what_may_be_left() {
    let room = Room::new();
    let began = Instant::now();
    let failure = interrupting(&room, 2, || {
        let plan = room.making("trap '' INT TERM; while :; do sleep 0.05; done");
        let runner = Runner {
            ctx: &room.ctx,
            ui: &room.ui,
            signals: &room.signals,
            grace: Grace::default(),
        };
        runner
            .execute(&plan, &Fake::new(Undoing::Do(room.undoing("true"))))
            .unwrap_err()
    });
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(failure.exit.code(), 130);
    let text = failure.to_string();
    assert!(
        text.contains("nothing undone") && text.contains("cluster `c`"),
        "{text}"
    );
    assert!(
        text.contains("talos00000000") && text.contains("cluster destroy --name c"),
        "{text}"
    );
    assert_eq!(room.live(), [room.made()]);
}

#[test]
fn an_interrupt_while_undoing_ends_at_once() {
    let room = Room::new();
    let began = Instant::now();
    let failure = interrupting(&room, 2, || {
        let slow = room.undoing("trap '' INT TERM; while :; do sleep 0.05; done");
        room.execute(&room.making("sleep 60"), &Fake::new(Undoing::Do(slow)))
            .unwrap_err()
    });
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(failure.exit.code(), 130);
    assert!(
        failure.to_string().contains("stopped again while undoing"),
        "{failure}"
    );
    assert_eq!(room.live(), [room.made()]);
}

#[test]
fn later_steps_are_not_begun() {
    let room = Room::new();
    let mut plan = Plan::new("two steps");
    plan.push(sh("exit 3"));
    plan.push(sh(&format!("touch {}", room.root.join("mark"))));
    let nothing = Fake::new(Undoing::Keep(String::new()));
    room.execute(&plan, &nothing).unwrap_err();
    assert!(!room.root.join("mark").exists());
    room.signals.raise();
    let mut plan = Plan::new("after a signal");
    plan.push(sh(&format!("touch {}", room.root.join("mark"))));
    assert_eq!(
        room.execute(&plan, &nothing).unwrap_err().exit,
        Exit::Interrupted
    );
    assert!(!room.root.join("mark").exists());
}

/// A bystander to be stopped, with its identity.
fn bystander(script: &str) -> (std::process::Child, crate::plan::ProcessIdentity) {
    let child = spawn::spawn(spawn::command("bash").args(["-c", script])).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let process =
        crate::ctx::processes::Process::probe(i32::try_from(child.id()).unwrap()).unwrap();
    let identity = process.identity(&Host::probe(), "a bystander");
    (child, identity)
}

fn stop(process: crate::plan::ProcessIdentity, grace_seconds: u64) -> Plan {
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
    let later = crate::plan::ProcessIdentity {
        start_ticks: process.start_ticks + 1,
        ..process.clone()
    };
    let other_boot = crate::plan::ProcessIdentity {
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
