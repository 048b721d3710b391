//! What outlives a run: ledger, records, locks.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start and signal their own processes"
)]

use std::time::Duration;

use foundation::ctx::ledger::Ledger;
use foundation::plan::{Plan, Resource, Step};
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Home, run as run_command};
use crate::harness::{Harness, bash, ledger, plan, run};

fn made(home: &Home, name: &str) -> Resource {
    Resource::Cluster {
        name: name.into(),
        state_dir: home.path(name),
        // Long lines make a torn one likely.
        bridge: "x".repeat(600),
        cidr: "172.29.213.0/24".into(),
    }
}

fn making_many(home: &Home, writer: usize, count: usize) -> Plan {
    let step = |index: usize| bash("true").makes(made(home, &format!("w{writer}-{index}")));
    plan((0..count).map(step))
}

#[test]
fn many_writers_and_kill_9_lose_and_tear_no_entry() {
    let home = Home::new();
    let (writers, count) = (6, 12);
    let mut harnesses: Vec<Harness> = (0..writers)
        .map(|writer| Harness::of(&home, &making_many(&home, writer, count)))
        .collect();
    // Every second one is killed, each at another moment.
    for (index, harness) in harnesses
        .iter_mut()
        .enumerate()
        .filter(|(index, _)| index % 2 == 1)
    {
        std::thread::sleep(Duration::from_millis(30 * index as u64));
        harness.signal(Signal::KILL);
        harness.child.wait().unwrap();
    }
    for (index, harness) in harnesses
        .into_iter()
        .enumerate()
        .filter(|(index, _)| index % 2 == 0)
    {
        let said = harness.end();
        assert_eq!(said.code, Some(0), "{index}: {}", said.stderr);
    }
    let live = ledger(&home);
    for writer in (0..writers).step_by(2) {
        for index in 0..count {
            assert!(
                live.contains(&format!("w{writer}-{index}")),
                "w{writer}-{index} is lost"
            );
        }
    }
    // Who was killed has written a beginning without holes.
    for writer in (1..writers).step_by(2) {
        let known = live
            .iter()
            .filter(|name| name.starts_with(&format!("w{writer}-")))
            .count();
        assert!((0..known).all(|index| live.contains(&format!("w{writer}-{index}"))));
    }
    let text = std::fs::read_to_string(home.state().join("ledger.jsonl")).unwrap();
    let torn = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_err())
        .count();
    assert!(torn <= writers / 2, "{torn} torn lines");
    // A run after all that can still append and take away.
    let gone = plan([bash("true").unmakes(made(&home, "w0-0"))]);
    assert_eq!(run(&home, &gone).code, Some(0));
    assert!(!ledger(&home).contains(&"w0-0".to_owned()));
}

#[test]
fn runs_are_listed_shown_and_found_by_a_prefix() {
    let home = Home::new();
    assert_eq!(
        run_command(&mut home.xtask(&["runs"])).stdout,
        "no runs recorded yet\n"
    );
    run(&home, &plan([bash("echo one")]));
    let failed = plan([
        bash("echo two"),
        Step::run("break", ["false"]),
        Step::run("later", ["true"]),
    ]);
    assert_eq!(run(&home, &failed).code, Some(4));

    let said = run_command(&mut home.xtask(&["runs", "--json"]));
    let listed: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(listed["schema"], 1);
    let runs = listed["runs"].as_array().unwrap();
    let codes: Vec<&Value> = runs.iter().map(|run| &run["code"]).collect();
    assert_eq!(codes, [4, 0], "newest first");
    assert_eq!(runs[0]["command"], "internal run-plan");

    let latest = run_command(&mut home.xtask(&["runs", "latest"])).stdout;
    let lines: Vec<&str> = latest.lines().collect();
    assert!(
        lines[2].contains("1. ok") && lines[2].ends_with("a step"),
        "{latest}"
    );
    assert!(
        lines[3].contains("2. failed") && latest.contains("`false` ended with exit status: 1"),
        "{latest}"
    );
    assert!(latest.contains("3. not run"), "{latest}");
    assert!(latest.contains(home.state().as_str()), "{latest}");

    let id = runs[1]["id"].as_str().unwrap();
    assert_eq!(run_command(&mut home.xtask(&["runs", id])).code, Some(0));
    let both = run_command(&mut home.xtask(&["runs", &id[..4]]));
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    assert!(
        both.stderr.contains("2 runs") && both.stderr.contains("hint: "),
        "{}",
        both.stderr
    );
    let none = run_command(&mut home.xtask(&["runs", "zzz"]));
    assert_eq!(none.code, Some(2), "{}", none.stderr);
}

#[test]
fn a_run_is_running_until_it_was_killed() {
    let home = Home::new();
    let mut harness = Harness::of(&home, &plan([bash("echo $$ >~/child; sleep 300")]));
    crate::harness::pid_in(&home, "child");
    let live = run_command(&mut home.xtask(&["runs"])).stdout;
    assert!(live.contains(" running "), "{live}");
    harness.signal(Signal::KILL);
    harness.child.wait().unwrap();
    let said = run_command(&mut home.xtask(&["runs"]));
    assert!(said.stdout.contains(" killed "), "{}", said.stdout);
}

#[test]
fn old_records_go_and_strange_files_do_not_matter() {
    let home = Home::new();
    for index in 0..105 {
        // Of last second: only their number is against them.
        let id = format!(
            "{:011x}-t",
            foundation::record::runs::now_ms() - 1000 + index
        );
        home.write(
            &format!(".local/state/talos-xtask/runs/{id}/run.json"),
            "{\"id\": \"x\", \"command\": []}",
        );
    }
    home.write(
        ".local/state/talos-xtask/runs/0-half-made/run.json",
        "{\"id\":",
    );
    run(&home, &plan([bash("true")]));
    let runs = home.state().join("runs");
    assert_eq!(runs.read_dir_utf8().unwrap().count(), 100);
    let latest = run_command(&mut home.xtask(&["runs", "latest"]));
    assert!(
        latest.stdout.contains("internal run-plan"),
        "{}{}",
        latest.stdout,
        latest.stderr
    );
    let all = run_command(&mut home.xtask(&["runs", "--json"]));
    assert_eq!(all.code, Some(0), "{}", all.stderr);
}

#[test]
fn records_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    run(&home, &plan([bash("echo secret")]));
    let runs = home.state().join("runs");
    let run = runs
        .read_dir_utf8()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .into_path();
    assert_eq!(
        std::fs::metadata(run).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn an_option_with_a_value_does_not_name_the_record() {
    let home = Home::new();
    let plan = serde_json::to_vec(&plan([bash("true")])).unwrap();
    let mut command = home.xtask(&[
        "-C",
        home.root.as_str(),
        "--color",
        "never",
        "internal",
        "run-plan",
    ]);
    let said = crate::common::run_with(&mut command, &plan);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = run_command(&mut home.xtask(&["runs"]));
    assert!(said.stdout.contains("-internal "), "{}", said.stdout);
}

#[test]
fn an_unreadable_ledger_hides_nothing_by_accident() {
    let home = Home::new();
    assert!(Ledger::in_dir(&home.state()).live().unwrap().is_empty());
    home.write(
        ".local/state/talos-xtask/ledger.jsonl",
        "\u{0}\u{0}not json\n{}\n[]\n",
    );
    assert!(ledger(&home).is_empty());
    run(&home, &plan([bash("true").makes(made(&home, "a"))]));
    assert_eq!(ledger(&home), ["a"]);
}
