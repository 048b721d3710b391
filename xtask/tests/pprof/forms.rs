//! Goroutines in groups, two profiles compared, and what other tools open.

use serde_json::Value;

use crate::common::{Home, said};
use crate::node::{ask, corpus, healthy, saved, send, serve};

fn open(home: &Home, words: &[&str]) -> String {
    let mut command = home.xtask(&["pprof", "open"]);
    let told = said(&command.args(words).output().unwrap());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    told.stdout
}

/// Two nodes, of which one asks for text and gets it.
#[test]
fn goroutines_are_fetched_with_their_states_and_grouped() {
    let home = Home::new();
    let node = |minutes: u32, count: usize| {
        let text = (0..count).map(|id| {
            format!(
                "goroutine {id} [chan receive, {minutes} minutes]:\nmain.(*T).wait(0xc0)\n\
                 \t/src/t.go:9 +0x2\ncreated by main.start in goroutine 1\n\t/src/t.go:4 +0x25\n\n"
            )
        });
        let text: String = text.collect();
        serve(move |stream, path, _| match path {
            "/debug/pprof/goroutine?debug=2" => send(stream, text.as_bytes()),
            path => {
                assert_eq!(path, "/debug/pprof/goroutine");
                send(stream, parked(count).as_bytes());
            }
        })
    };
    let nodes = [node(7, 3), node(12, 5)];
    let output = ask(&home, &["machined", "goroutine"], &[&nodes[0], &nodes[1]]).output();
    let told = said(&output.unwrap());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let want =
        "8 goroutines in 1 group\n\n     8  chan receive, up to 12 min, created by main.start\n";
    assert!(told.stdout.contains(want), "{}", told.stdout);
    assert!(
        told.stdout.contains("main.(*T).wait  /src/t.go:9"),
        "{}",
        told.stdout
    );
    // They are still there in what was saved, for later and for other tools.
    assert_eq!(saved(&home)["entries"].as_array().map(Vec::len), Some(2));
    let json: Value =
        serde_json::from_str(&open(&home, &["latest", "--goroutines", "--json"])).unwrap();
    let group = &json["groups"][0];
    assert_eq!(
        (&group["count"], &group["wait_minutes"]),
        (&8.into(), &12.into())
    );
    let mut counts: Vec<_> = group["nodes"].as_object().unwrap().values().collect();
    counts.sort_by_key(|count| count.as_i64());
    assert_eq!(counts, [3, 5]);
}

/// Goroutines that do the same, as a profile that only counts them.
fn parked(count: usize) -> String {
    format!(
        "goroutine profile: total {count}\n{count} @ 0x1\n#\t0x1\tmain.parked+0x1\t/src/t.go:9\n\n"
    )
}

/// A leak is counted, not dumped: the dump of Go ends at 64 MiB.
#[test]
fn many_goroutines_are_counted_without_a_dump() {
    let home = Home::new();
    let leaking = serve(|stream, path, _| {
        assert_eq!(path, "/debug/pprof/goroutine");
        send(stream, parked(20_000).as_bytes());
    });
    let told = said(
        &ask(&home, &["machined", "goroutine"], &[&leaking])
            .output()
            .unwrap(),
    );
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("20000 goroutines"), "{}", told.stdout);
    assert!(
        told.stderr.contains("would stop the program"),
        "{}",
        told.stderr
    );
}

#[test]
fn a_dump_that_is_cut_off_does_not_count() {
    let home = Home::new();
    let cut = serve(|stream, path, _| match path {
        "/debug/pprof/goroutine?debug=2" => send(
            stream,
            b"goroutine 7 [chan receive]:\nmain.parked()\n\t/src/t.go:9 +0x2\n\n",
        ),
        _ => send(stream, parked(50).as_bytes()),
    });
    let told = said(
        &ask(&home, &["machined", "goroutine"], &[&cut])
            .output()
            .unwrap(),
    );
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("50 goroutines"), "{}", told.stdout);
    assert!(
        told.stderr.contains("1 of 50 goroutines"),
        "{}",
        told.stderr
    );
}

#[test]
fn the_text_that_a_browser_shows_is_a_profile() {
    let home = Home::new();
    let text = corpus("text/goroutine-debug2.txt");
    let groups = open(&home, &["--goroutines", text.as_str()]);
    assert!(
        groups.contains("     5  chan receive, created by main.wait\n"),
        "{groups}"
    );
    let heap = corpus("text/heap-debug1.txt");
    let top = open(
        &home,
        &["--top", "--sample_index=alloc_space", heap.as_str()],
    );
    assert!(top.contains("main.(*controller).reconcile"), "{top}");
}

#[test]
fn two_profiles_are_compared_by_function() {
    let home = Home::new();
    let (before, after) = (corpus("heap-before.pb.gz"), corpus("heap.pb.gz"));
    let sides = ["--diff", before.as_str(), after.as_str()];
    let text = open(&home, &sides);
    assert!(text.starts_with("Type: inuse_space\nSide: "), "{text}");
    let json: Value =
        serde_json::from_str(&open(&home, &[&sides[..], &["--json"]].concat())).unwrap();
    let of = |file: &str| {
        let top: Value = serde_json::from_str(&open(&home, &["--top", "--json", file])).unwrap();
        top["total"].clone()
    };
    assert_eq!(json["total"]["before"], of(before.as_str()));
    assert_eq!(json["total"]["after"], of(after.as_str()));
    assert!(json["total"]["noise"].as_i64().unwrap() > 0);
    let output = home
        .xtask(&["pprof", "open", "--diff", before.as_str()])
        .output();
    let told = said(&output.unwrap());
    assert_eq!(told.code, Some(2));
    assert!(
        told.stderr.contains("--diff BEFORE AFTER"),
        "{}",
        told.stderr
    );
}

#[test]
fn other_tools_get_their_forms() {
    let home = Home::new();
    let cpu = corpus("cpu.pb.gz");
    let top: Value =
        serde_json::from_str(&open(&home, &["--top", "--json", cpu.as_str()])).unwrap();
    let total = top["total"].as_i64().unwrap();
    let form = |flag: &str| open(&home, &[flag, cpu.as_str()]);

    let folded = form("--folded");
    let values = folded.lines().map(|line| line.rsplit_once(' ').unwrap().1);
    assert_eq!(
        values.map(|of| of.parse::<i64>().unwrap()).sum::<i64>(),
        total
    );

    let speedscope: Value = serde_json::from_str(&form("--speedscope")).unwrap();
    assert_eq!(speedscope["profiles"][0]["endValue"], total);
    assert_eq!(speedscope["profiles"][0]["unit"], "nanoseconds");

    let firefox: Value = serde_json::from_str(&form("--firefox")).unwrap();
    columns_fit(&firefox["threads"][0]);
    let weights = firefox["threads"][0]["samples"]["weight"]
        .as_array()
        .unwrap();
    #[allow(clippy::cast_precision_loss)] // milliseconds
    let whole = total as f64 / 1e6;
    let sum: f64 = weights.iter().filter_map(Value::as_f64).sum();
    assert!((sum - whole).abs() < 1e-3, "{sum} of {whole}");

    let svg = form("--svg");
    assert!(
        svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
        "{svg}"
    );
    assert!(svg.contains("<title>main.work"), "{svg}");
}

/// Each table's columns are as long as it says, and point into the next.
fn columns_fit(thread: &Value) {
    let strings = thread["stringArray"].as_array().unwrap().len();
    let length = |table: &str| thread[table]["length"].as_u64().unwrap();
    for table in [
        "samples",
        "stackTable",
        "frameTable",
        "funcTable",
        "markers",
    ] {
        let columns = thread[table].as_object().unwrap().iter();
        for (name, column) in columns.filter(|(_, column)| column.is_array()) {
            let len = column.as_array().unwrap().len() as u64;
            assert_eq!(len, length(table), "{table}.{name}");
        }
    }
    for (table, column, end) in [
        ("samples", "stack", length("stackTable")),
        ("stackTable", "frame", length("frameTable")),
        ("stackTable", "prefix", length("stackTable")),
        ("frameTable", "func", length("funcTable")),
        ("funcTable", "name", strings as u64),
    ] {
        let places = thread[table][column].as_array().unwrap();
        let mut places = places.iter().filter_map(Value::as_u64);
        assert!(places.all(|place| place < end), "{table}.{column}");
    }
}

#[test]
fn an_export_is_of_one_profile() {
    let home = Home::new();
    let node = healthy("heap.pb.gz");
    let both = [&node, &node];
    let output = ask(&home, &["machined", "heap", "--speedscope"], &both[..1]).output();
    let told = said(&output.unwrap());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let json: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(json["name"], "machined heap");
}
