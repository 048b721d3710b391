//! `--format sh`: for any plan the script leaves the same files as the run, and
//! succeeds or fails like it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use foundation::ctx::Ctx;
use foundation::ctx::config::Config;
use foundation::ctx::dirs::Dirs;
use foundation::ctx::host::Host;
use foundation::ctx::processes::Process;
use foundation::plan::{Action, Plan, ProcessIdentity, Resource, Run, Step, Watch, render_sh};
use foundation::run::{Grace, Observer, Options, Runner, Undo, Undoing};
use foundation::signals::Signals;
use foundation::ui::{Color, Ui};
use proptest::prelude::*;

use crate::common::Home;

/// A step with paths below a root that is yet to be chosen.
#[derive(Debug, Clone)]
enum Move {
    Write {
        path: String,
        contents: String,
        mode: u32,
    },
    Create {
        path: String,
    },
    Remove {
        path: String,
    },
    Run {
        words: Vec<String>,
        value: String,
        cwd: Option<String>,
        code: i32,
        also_ok: Vec<i32>,
    },
}

/// Prints what it was given to a file and ends with the given code.
const WITNESS: &str = r#"out=$1 root=$2 code=$3; shift 3
{ printf '%s|' "${PWD#"$root"}" "$VALUE" "$@"; cat; } >>"$out"; exit "$code""#;

impl Move {
    fn step(&self, root: &Utf8Path) -> Step {
        let action = match self {
            Self::Write {
                path,
                contents,
                mode,
            } => Action::WriteFile {
                path: root.join(path),
                contents: contents.clone(),
                mode: *mode,
            },
            Self::Create { path } => Action::CreateDir {
                path: root.join(path),
            },
            Self::Remove { path } => Action::Remove {
                path: root.join(path),
            },
            Self::Run {
                words,
                value,
                cwd,
                code,
                also_ok,
            } => {
                let mut argv = ["sh", "-c", WITNESS, "sh"].map(str::to_owned).to_vec();
                argv.extend([
                    root.join("witness").into_string(),
                    root.to_string(),
                    code.to_string(),
                ]);
                argv.extend(words.iter().cloned());
                Action::Run(Run {
                    argv,
                    env: vec![("VALUE".to_owned(), value.clone())],
                    cwd: Some(cwd.as_ref().map_or(root.to_owned(), |cwd| root.join(cwd))),
                    also_ok: also_ok.clone(),
                    ..Run::default()
                })
            }
        };
        Step::new("why\n$(touch /tmp/no) `no`", action)
    }
}

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just(" "),
        Just("\n"),
        Just("'"),
        Just("\""),
        Just("$HOME"),
        Just("`id`"),
        Just("$(id)"),
        Just("\\"),
        Just("-"),
        Just("--"),
        Just("-rf"),
        Just("*"),
        Just("?"),
        Just("~"),
        Just(";"),
        Just("&"),
        Just("|"),
        Just(">x"),
        Just("#"),
        Just("!"),
        Just("\t"),
        Just("\r"),
        Just("\u{e9}"),
        Just("\u{1f980}"),
        Just("%s"),
        Just("\\n"),
        Just("="),
        Just("EOF\n"),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// Few names, so that steps meet each other's work.
fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => proptest::sample::select(vec!["a", "b", "-rf", "$x", "c d", "e\n", "'q'", "\u{e9}", "*"]).prop_map(str::to_owned),
        1 => nasty().prop_filter("a name", |name| !name.is_empty() && !name.contains('/')),
    ];
    proptest::collection::vec(name, 1..3).prop_map(|names| names.join("/"))
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let contents = prop_oneof![4 => nasty(), 1 => Just("zero \0 byte\\0\n".to_owned())];
    let mode = proptest::sample::select(vec![0o600, 0o644, 0o755, 0o400]);
    let code = prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(3)];
    let also_ok = proptest::sample::select(vec![vec![], vec![1], vec![1, 3]]);
    let one = prop_oneof![
        3 => (path(), contents, mode).prop_map(|(path, contents, mode)| Move::Write { path, contents, mode }),
        2 => path().prop_map(|path| Move::Create { path }),
        1 => path().prop_map(|path| Move::Remove { path }),
        3 => (proptest::collection::vec(nasty(), 0..4), nasty(), proptest::option::of(path()), code, also_ok)
            .prop_map(|(words, value, cwd, code, also_ok)| Move::Run { words, value, cwd, code, also_ok }),
    ];
    proptest::collection::vec(one, 1..7)
}

fn plan(moves: &[Move], root: &Utf8Path) -> Plan {
    let mut plan = Plan::new("a title\nrm -rf ~");
    plan.note("a note\nrm -rf ~");
    plan.steps.extend(moves.iter().map(|step| step.step(root)));
    plan
}

struct NoUndo;

impl Undo for NoUndo {
    fn undo(&self, _: &Ctx, _: &Resource, _: bool) -> Undoing {
        Undoing::Keep("nothing is made".to_owned())
    }

    fn observe(&self, _: &Ctx, _: &Watch) -> Observer {
        Box::new(|| None)
    }
}

fn execute(plan: &Plan, home: &Home, signals: &Signals) -> bool {
    let root = Utf8PathBuf::from(format!("{}-state", home.root));
    let dirs = Dirs {
        home: root.clone(),
        cache: root.join("cache"),
        state: root.clone(),
    };
    let ctx = Ctx {
        host: Host::probe(),
        dirs,
        config: Config::default(),
        talos_dir: None,
        cwd: root.clone(),
    };
    let ui = Ui::new(Color::Never, true, false);
    let runner = Runner {
        ctx: &ctx,
        ui: &ui,
        signals,
        undo: &NoUndo,
        grace: Grace::default(),
    };
    let is_ok = runner.run(plan, Options::default()).is_ok();
    std::fs::remove_dir_all(root).unwrap();
    is_ok
}

/// As `… --format sh | sh` and as pasted, where the shell reads its commands
/// from the very input that its children have.
fn run_script(script: &str) -> bool {
    let mut shell = Command::new("sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), script.as_bytes()).unwrap();
    shell.wait().unwrap().success()
}

#[test]
fn a_script_does_what_the_run_does() {
    let signals = Signals::default();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&moves(), |moves| {
        let (ran, scripted) = (Home::new(), Home::new());
        let is_ok = execute(&plan(&moves, &ran.root), &ran, &signals);
        let script = render_sh(&plan(&moves, &scripted.root));
        let is_script_ok = run_script(&script);
        prop_assert_eq!(ran.tree(), scripted.tree(), "{}", script);
        prop_assert_eq!(is_ok, is_script_ok, "{}", script);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// A bystander, which on SIGTERM runs `on_term`, with what a plan must know of
/// it.
fn bystander(on_term: &str) -> (std::process::Child, ProcessIdentity) {
    let script = format!("trap '{on_term}' TERM; echo ready; while :; do sleep 0.05; done");
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_line(&mut child);
    let process = Process::probe(i32::try_from(child.id()).unwrap()).unwrap();
    let identity = process.identity(&Host::probe(), "a bystander");
    (child, identity)
}

fn wait_for_line(child: &mut std::process::Child) {
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.as_mut().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

fn stop(process: ProcessIdentity, grace_seconds: u64) -> String {
    let mut plan = Plan::new("stop");
    plan.push(Step::new(
        "stop it",
        Action::Stop {
            process,
            grace_seconds,
        },
    ));
    render_sh(&plan)
}

#[test]
fn a_scripts_stop_is_gentle_then_firm_and_forgiving_when_it_is_gone() {
    for (on_term, grace) in [("exit 0", 60), ("", 1)] {
        let (mut child, process) = bystander(on_term);
        let began = Instant::now();
        assert!(run_script(&stop(process.clone(), grace)));
        // Not reaped by us until now: a zombie is not waited for.
        let is_all_of_it = began.elapsed() >= Duration::from_secs(grace);
        assert_eq!(is_all_of_it, on_term.is_empty(), "its grace: {on_term}");
        assert!(child.try_wait().unwrap().is_some(), "{on_term}");
        assert!(run_script(&stop(process, grace)), "already gone is success");
    }
}

#[test]
fn a_scripts_stop_spares_another_process_of_the_same_number() {
    let (mut child, process) = bystander("exit 0");
    let later = ProcessIdentity {
        start_ticks: process.start_ticks + 1,
        ..process.clone()
    };
    let earlier_boot = ProcessIdentity {
        boot_id: "another".to_owned(),
        ..process
    };
    for identity in [later, earlier_boot] {
        assert!(run_script(&stop(identity, 1)));
        assert!(child.try_wait().unwrap().is_none());
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_scripts_stop_sees_through_a_nasty_command_name() {
    let home = Home::new();
    let program = home.path("a) Z 1 (\nb");
    std::os::unix::fs::symlink("/bin/bash", &program).unwrap();
    let mut child = Command::new(&program)
        .args(["-c", "echo ready; while :; do sleep 0.05; done"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_line(&mut child);
    let process = Process::probe(i32::try_from(child.id()).unwrap()).unwrap();
    assert!(run_script(&stop(
        process.identity(&Host::probe(), "a\nb"),
        5
    )));
    assert!(child.try_wait().unwrap().is_some());
}
