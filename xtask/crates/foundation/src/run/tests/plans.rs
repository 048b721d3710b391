//! Runs as a whole: ledger, undo, interrupts, records.

use std::cell::RefCell;

use camino::Utf8Path;

use super::room::{LONG, interrupting, minute};
use super::*;
use crate::ctx::config::Config;
use crate::ctx::dirs::Dirs;
use crate::ctx::host::Host;
use crate::failure::Exit;
use crate::ui::Color;

pub(super) struct Room {
    _dir: tempfile::TempDir,
    pub(super) root: Utf8PathBuf,
    ctx: Ctx,
    ui: Ui,
    signals: Signals,
}

impl Room {
    pub(super) fn new() -> Self {
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
            signals: Signals::default(),
        }
    }

    fn runner<'a>(&'a self, undo: &'a dyn Undo) -> Runner<'a> {
        Runner {
            ctx: &self.ctx,
            ui: &self.ui,
            signals: &self.signals,
            undo,
            grace: Grace {
                interrupt: Duration::from_millis(200),
                terminate: Duration::from_millis(200),
            },
        }
    }

    pub(super) fn execute(&self, plan: &Plan, undo: &dyn Undo) -> Result<()> {
        self.runner(undo).run(plan, Options::default())
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
        let entries = Ledger::in_dir(&self.ctx.dirs.state)
            .live()
            .unwrap()
            .into_iter();
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
pub(super) struct Fake(RefCell<Vec<Undoing>>);

impl Fake {
    pub(super) fn new(undoing: Undoing) -> Self {
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
        failure.to_string().contains("cannot read the ledger"),
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
    // The later step of the undo was tried nevertheless.
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

#[test]
fn a_first_interrupt_stops_the_step_and_undoes_it() {
    let room = Room::new();
    let ready = room.root.join("ready");
    let failure = interrupting(&room.signals, std::slice::from_ref(&ready), || {
        let undo = Fake::new(Undoing::Do(room.undoing("true")));
        let plan = room.making(&format!("touch {ready}; sleep 60"));
        room.execute(&plan, &undo).unwrap_err()
    });
    assert_eq!(failure.exit.code(), 130);
    assert!(!room.root.join("c").exists());
    assert!(room.live().is_empty());
}

#[test]
fn a_second_interrupt_undoes_nothing_and_says_what_may_be_left() {
    let room = Room::new();
    let (ready, asked) = (room.root.join("ready"), room.root.join("asked"));
    let late = room.root.join("late");
    let failure = interrupting(&room.signals, &[ready.clone(), asked.clone()], || {
        let plan = room.making(&format!(
            "trap 'touch {asked}' INT; trap '' TERM; touch {ready}; {}",
            minute(&late)
        ));
        let undo = Fake::new(Undoing::Do(room.undoing("true")));
        let runner = Runner {
            grace: LONG,
            ..room.runner(&undo)
        };
        runner.run(&plan, Options::default()).unwrap_err()
    });
    assert!(!late.exists());
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
    let (ready, undoing) = (room.root.join("ready"), room.root.join("undoing"));
    let late = room.root.join("late");
    let failure = interrupting(&room.signals, &[ready.clone(), undoing.clone()], || {
        let slow = room.undoing(&format!(
            "trap '' INT TERM; touch {undoing}; {}",
            minute(&late)
        ));
        let plan = room.making(&format!("touch {ready}; sleep 60"));
        let undo = Fake::new(Undoing::Do(slow));
        let runner = Runner {
            grace: LONG,
            ..room.runner(&undo)
        };
        runner.run(&plan, Options::default()).unwrap_err()
    });
    assert!(!late.exists());
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
