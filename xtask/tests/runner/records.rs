//! What outlives a run: ledger, records, locks.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start and signal their own processes"
)]

use std::time::Duration;

use foundation::ctx::ledger::Ledger;
use foundation::plan::{Effect, Plan, Resource, Step};
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
    let first = lines
        .iter()
        .position(|line| line.contains("1. ok"))
        .unwrap();
    assert!(lines[first].ends_with("a step"), "{latest}");
    assert!(
        lines[first + 1].contains("2. failed")
            && latest.contains("`false` ended with exit status: 1"),
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
    for index in 0..25 {
        // Of last second: only their number is against them.
        let id = format!(
            "{:011x}-internal-run-plan",
            foundation::record::runs::now_ms() - 1000 + index
        );
        let dir = format!(".local/state/talos-xtask/runs/{id}");
        home.write(
            &format!("{dir}/run.json"),
            "{\"id\": \"x\", \"command\": []}",
        );
        home.write(
            &format!("{dir}/events.jsonl"),
            "{\"event\":\"end\",\"code\":0,\"at\":1}\n",
        );
    }
    home.write(
        ".local/state/talos-xtask/runs/0-half-made/run.json",
        "{\"id\":",
    );
    run(&home, &plan([bash("true")]));
    let runs = home.state().join("runs");
    let count = || runs.read_dir_utf8().unwrap().count();
    // The newest, and 20 of the same command; what is not a record is old by its name.
    assert_eq!(count(), 21);
    let latest = run_command(&mut home.xtask(&["runs", "latest"]));
    assert!(
        latest.stdout.contains("internal run-plan"),
        "{}{}",
        latest.stdout,
        latest.stderr
    );
    let all = run_command(&mut home.xtask(&["runs", "--json"]));
    assert_eq!(all.code, Some(0), "{}", all.stderr);

    let prune = |words: &[&str]| {
        let said = run_command(&mut home.xtask(&[&["runs", "prune"], words].concat()));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout
    };
    assert!(prune(&["--keep", "5", "-n"]).starts_with("would remove 15 records"));
    assert_eq!(count(), 21);
    assert!(prune(&["--keep", "5"]).starts_with("removed 15 records"));
    assert_eq!(count(), 6);
    let left: Value = serde_json::from_str(&prune(&["--keep", "0", "--json"])).unwrap();
    assert_eq!(left["removed"].as_array().unwrap().len(), 5);
    assert_eq!(count(), 1, "the newest stays");
}

#[test]
fn a_list_says_when_how_long_where_and_with_what_result() {
    let home = Home::new();
    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    let git = |line: &str| {
        let said = run_command(
            std::process::Command::new("git")
                .args(line.split(' '))
                .current_dir(home.path("talos")),
        );
        assert_eq!(said.code, Some(0), "{line}: {}", said.stderr);
        said.stdout.trim().to_owned()
    };
    git("init -q");
    git("add -A");
    git("-c user.name=u -c user.email=u@example.org commit -q -m first");
    let head = git("rev-parse HEAD");
    let text = serde_json::to_vec(&plan([bash("exit 3")])).unwrap();
    let mut command = home.xtask(&["internal", "run-plan"]);
    let said = crate::common::run_with(command.current_dir(home.path("talos")), &text);
    assert_eq!(said.code, Some(4), "{}", said.stderr);

    let list = run_command(&mut home.xtask(&["runs"])).stdout;
    let year = |line: &str| line.starts_with("20") && line.as_bytes()[10] == b' ';
    assert!(list.lines().all(year), "{list}");
    assert!(
        list.contains(" s  exit 4") && list.contains(" ~/talos "),
        "{list}"
    );
    assert!(list.ends_with("  internal run-plan\n"), "{list}");
    let shown = run_command(&mut home.xtask(&["runs", "show"])).stdout;
    let line = format!("checkout  {} at {head}", home.path("talos"));
    assert!(shown.contains(&line), "{line}: {shown}");
    let listed = run_command(&mut home.xtask(&["runs", "list", "--json"])).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let run = &listed["runs"][0];
    assert_eq!(run["head"], head.as_str());
    assert_eq!(run["cwd"], home.path("talos").as_str());
    assert_eq!(run["version"], env!("CARGO_PKG_VERSION"));
    assert!(run["ended"].as_u64() >= run["started"].as_u64(), "{run}");
}

#[test]
fn a_replay_prints_what_the_steps_printed() {
    let home = Home::new();
    let steps = [
        bash("printf '\\033[31mone\\033[0m\\n'"),
        bash("echo two; exit 1"),
        bash("echo three"),
    ];
    run(&home, &plan(steps));
    let replayed = run_command(&mut home.xtask(&["runs", "replay"])).stdout;
    assert!(
        replayed.contains("1. a step\none\n▸ 2. a step\ntwo\nerror: "),
        "{replayed}"
    );
    assert!(
        !replayed.contains("three") && replayed.ends_with("exit 4\n"),
        "{replayed}"
    );
    let second = run_command(&mut home.xtask(&["runs", "replay", "latest", "--step", "2"])).stdout;
    assert!(
        second.contains("two") && !second.contains("one"),
        "{second}"
    );
    let none = run_command(&mut home.xtask(&["runs", "replay", "latest", "--step", "9"]));
    assert_eq!(none.code, Some(2), "{}", none.stdout);
}

/// What was planted in each place that a record has: arguments, environment, logs, failures.
#[test]
fn an_export_has_no_secret_and_loads_nothing() {
    const KEY: &str =
        "LS0tLS1CRUdJTiBFRDI1NTE5IFBSSVZBVEUgS0VZLS0tLS0KTUM0Q0FRQXdCUVlESzJWd0JDSUVJUA==";
    const PRINTS: &str = r#"
printf 'machine:\n  token: hunter.two\n  ca:\n    key: %s\n' "$PLANTED"
printf '\033[31mGITHUB_TOKEN=\033[1mplain-one\033[0m\n'
printf 'curl -H "Authorization: Bearer abcd-efgh" https://me:sesame@host/\n'
printf -- '-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\n-----END RSA PRIVATE KEY-----\n'
printf 'value-of-env\\\nironment-1 </pre><script>alert(1)</script>\n'
echo "{\"auths\":{\"r\":{\"auth\":\"dXNlcjpwYXNz\"}}}"
exit 1"#;
    let secrets = [
        "hunter.two",
        "RDI1NTE5",
        "plain-one",
        "abcd-efgh",
        "sesame",
        "MIIEpAIB",
        "value-of-env",
        "ironment-1",
        "dXNlcjpwYXNz",
        "argv-pass",
        "env-value-9",
    ];
    let home = Home::new();
    let steps = [
        Step::run("log in", ["true", "--password", "argv-pass"]).env("API_KEY", "env-value-9"),
        Step::run("print", ["bash", "-c", PRINTS]).env("PLANTED", KEY),
    ];
    run(&home, &plan(steps));
    let export = |file: &str, words: &[&str]| {
        let all = [&["runs", "export", "latest", "-o", file], words].concat();
        let mut command = home.xtask(&all);
        let said = run_command(command.env("DEPLOY_PASSWORD", "value-of-environment-1"));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        std::fs::read(home.path(file)).unwrap()
    };
    export("run.tar.gz", &[]);
    let unpacked = run_command(
        std::process::Command::new("tar")
            .args(["-xzOf", "run.tar.gz"])
            .current_dir(&home.root),
    );
    assert_eq!(unpacked.code, Some(0), "{}", unpacked.stderr);
    let page = String::from_utf8(export("run.html", &[])).unwrap();
    let trace = String::from_utf8(export("trace.out", &["--as", "trace"])).unwrap();
    for (what, text) in [
        ("archive", &unpacked.stdout),
        ("page", &page),
        ("trace", &trace),
    ] {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in the {what}:\n{text}");
        }
        assert!(
            text.contains("log in") && text.contains("print"),
            "{what}: {text}"
        );
    }
    assert!(unpacked.stdout.contains("step-02.log") && unpacked.stdout.contains("token: "));
    // The log is there, escaped; nothing is loaded, and nothing runs.
    assert!(
        page.contains("&lt;/pre&gt;&lt;script&gt;alert(1)"),
        "{page}"
    );
    assert!(page.contains("default-src 'none'"), "{page}");
    for active in [
        "<script", "src=", "href=", "url(", "@import", " style=", "http://", " on",
    ] {
        let head = page.replace("on the", "").replace(" on ", " ");
        let is_there = active != " on" && head.contains(active);
        assert!(!is_there, "{active}: {page}");
    }
    let trace: Value = serde_json::from_str(&trace).unwrap();
    let spans = trace["traceEvents"].as_array().unwrap();
    let spans: Vec<&Value> = spans.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(spans.len(), 2, "{trace}");
    assert_eq!(spans[1]["name"], "print");
    assert!(
        spans[1]["ts"].as_u64() >= spans[0]["ts"].as_u64(),
        "{trace}"
    );
    // A dry run writes nothing.
    let said = run_command(&mut home.xtask(&["runs", "export", "-o", "other.html", "-n"]));
    assert!(said.stdout.starts_with("would write"), "{}", said.stdout);
    assert!(!home.path("other.html").exists());
}

#[test]
fn what_changes_nothing_runs_without_a_record() {
    let home = Home::new();
    home.write("file", "");
    let state = home.path("file/below");
    let told = |effect: Effect| {
        let text = serde_json::to_vec(&plan([bash("touch ~/mark").effect(effect)])).unwrap();
        let mut command = home.xtask(&["internal", "run-plan"]);
        crate::common::run_with(command.env("XDG_STATE_HOME", &state), &text)
    };
    let said = told(Effect::Changes);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(said.stderr.contains("XDG_STATE_HOME"), "{}", said.stderr);
    assert!(!home.path("mark").exists());
    let said = told(Effect::Reads);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("note: cannot record the run"),
        "{}",
        said.stderr
    );
    assert!(home.path("mark").exists());
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
    assert!(
        said.stdout.contains("-internal-run-plan "),
        "{}",
        said.stdout
    );
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
