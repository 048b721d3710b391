//! Series: saved as profiles, and judged.

use crate::common::{Home, said};
use crate::node::{ask, corpus, grown, healthy, saved, send, serve};

/// A heap that doubles with every question, and one that falls back.
fn leaking() -> String {
    serve(|stream, _, asked| {
        let round = u32::try_from(asked).unwrap();
        let heap = grown(
            "heap.pb.gz",
            f64::from(round + 1),
            1_800_000_000 + i64::from(round) * 30,
        );
        send(stream, &heap);
    })
}

fn sawtooth() -> String {
    serve(|stream, _, asked| {
        let times = if asked % 2 == 0 { 1.0 } else { 4.0 };
        let time = 1_800_000_000 + i64::try_from(asked).unwrap() * 30;
        send(stream, &grown("heap.pb.gz", times, time));
    })
}

#[test]
fn a_leak_is_told_apart_from_a_sawtooth_and_can_be_looked_at_again() {
    let home = Home::new();
    let (leaking, sawtooth) = (leaking(), sawtooth());
    let words = ["machined", "heap", "--every", "1s", "--for", "3s", "--leak"];
    let output = ask(&home, &words, &[&leaking, &sawtooth]).output().unwrap();
    let first = said(&output);
    assert_eq!(first.code, Some(1), "a leak is a finding: {}", first.stderr);
    let line = |node: &str| {
        let mut lines = first.stdout.lines();
        lines
            .find(|line| line.trim_start().starts_with(node))
            .unwrap()
    };
    assert!(
        line(&leaking).ends_with("grows steadily"),
        "{}",
        first.stdout
    );
    assert!(line(&sawtooth).ends_with("sawtooth"), "{}", first.stdout);
    assert!(
        first.stdout.contains(&format!("1 of 2 nodes: {leaking}")),
        "{}",
        first.stdout
    );
    assert!(
        first.stdout.contains("main.(*controller).reconcile"),
        "{}",
        first.stdout
    );

    let set = saved(&home);
    let entries = set["entries"].as_array().unwrap();
    assert!(entries.len() >= 6, "{entries:?}");
    let list = said(&home.xtask(&["pprof", "list"]).output().unwrap());
    assert!(list.stdout.contains("rounds"), "{}", list.stdout);

    // Later, from the files, as data.
    let output = home
        .xtask(&["pprof", "open", "latest", "--leak", "--json"])
        .output();
    let again = said(&output.unwrap());
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    let value: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(
        (&value["schema"], &value["leaks"]),
        (&1.into(), &true.into())
    );
    let verdict = &value["groups"][0]["verdict"];
    assert_eq!(verdict["sample_type"], "inuse_space");
    let courses: Vec<_> = verdict["nodes"].as_array().unwrap().iter().collect();
    let of = |node: &str| {
        courses
            .iter()
            .find(|course| course["node"] == node)
            .unwrap()
    };
    assert_eq!(of(&leaking)["course"], "steady");
    assert_eq!(of(&sawtooth)["course"], "sawtooth");

    // Without the question, no exit code.
    let plain = said(&home.xtask(&["pprof", "open", "latest"]).output().unwrap());
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    // Budgets are those of the last round, whatever is shown.
    for form in ["--web", "--top", "--leak"] {
        let words = [
            "pprof",
            "open",
            "latest",
            form,
            "--fail-if",
            "inuse_space > 1MB",
        ];
        let told = said(&home.xtask(&words).output().unwrap());
        assert_eq!(told.code, Some(1), "{form}: {}", told.stderr);
        assert!(
            told.stderr.contains("a budget is exceeded"),
            "{form}: {}",
            told.stderr
        );
    }
    // A form is about the last round.
    let top = said(
        &home
            .xtask(&["pprof", "open", "latest", "--top"])
            .output()
            .unwrap(),
    );
    assert!(
        top.stderr.contains("last round") && top.stdout.contains("reconcile"),
        "{}",
        top.stderr
    );
}

#[test]
fn files_of_any_origin_are_judged_too() {
    let home = Home::new();
    let files: Vec<String> = (1..=4_u32)
        .map(|round| {
            let file = home.path(&format!("heap-{round}.pb.gz"));
            let heap = grown("heap.pb.gz", f64::from(round), i64::from(round) * 60);
            std::fs::write(&file, heap).unwrap();
            file.to_string()
        })
        .collect();
    let open = |files: &[String]| {
        let mut command = home.xtask(&["pprof", "open", "--leak"]);
        said(&command.args(files).output().unwrap())
    };
    // Their own times count, not their order.
    let shuffled = [&files[2], &files[0], &files[3], &files[1]].map(Clone::clone);
    let told = open(&shuffled);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stdout.contains("grows steadily"), "{}", told.stdout);

    let few = open(&files[..2]);
    assert_eq!(few.code, Some(2), "{}", few.stdout);
    assert!(few.stderr.contains("three profiles"), "{}", few.stderr);
    let cpu = vec![corpus("cpu.pb.gz").to_string(); 3];
    let refused = open(&cpu);
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("only ever grows"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_watch_off_a_terminal_prints_each_round_and_saves_nothing() {
    let home = Home::new();
    let leaking = leaking();
    let words = [
        "machined", "heap", "--watch", "--every", "1s", "--for", "3s",
    ];
    let output = ask(&home, &words, &[&leaking]).output().unwrap();
    let told = said(&output);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let rounds = told.stdout.matches("machined heap").count();
    assert!(rounds >= 2, "{}", told.stdout);
    // The second round knows the first.
    assert!(told.stdout.contains("+85.66MB"), "{}", told.stdout);
    assert!(saved(&home).is_null());
}

#[test]
fn a_series_that_has_no_trend_shows_its_last_round() {
    let home = Home::new();
    let node = healthy("cpu.pb.gz");
    let words = [
        "machined",
        "cpu",
        "--seconds",
        "1",
        "--every",
        "1s",
        "--for",
        "2s",
    ];
    let output = ask(&home, &words, &[&node]).output().unwrap();
    let told = said(&output);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("main.fib"), "{}", told.stdout);
    assert_eq!(
        told.stdout.matches("machined cpu").count(),
        1,
        "{}",
        told.stdout
    );
}

#[test]
fn nonsense_is_refused() {
    let home = Home::new();
    for words in [
        &["machined", "heap", "--every", "0s"][..],
        &["machined", "heap", "--every", "soon"],
        &["machined", "heap", "--every", "10s", "--for", "11s"],
        &["machined", "heap", "--watch", "-o", "x"],
    ] {
        let output = ask(&home, words, &[&"127.0.0.1:1".to_owned()]).output();
        let told = said(&output.unwrap());
        assert_eq!(told.code, Some(2), "{words:?}: {}", told.stderr);
    }
}
