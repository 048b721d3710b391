//! What answers `pprof` over HTTP.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::Case;
use crate::common::node::{profile, send, serve};
use crate::stage::{Outcome, Stage};

const BOUNDS: &str = "what nodes send together";
const BELIEVED: &str = "what a node claims";
const NUMBERS: &str = "numbers at their ends";

pub const CASES: &[Case] = &[
    case("bombs_from_all_nodes", BOUNDS, bombs_from_all_nodes),
    case("floods_from_all_nodes", BOUNDS, floods_from_all_nodes),
    case("heads_without_end", BOUNDS, heads_without_end),
    case(
        "few_bytes_that_are_many_tables",
        BOUNDS,
        few_bytes_that_are_many_tables,
    ),
    case("one_name_at_every_line", BOUNDS, one_name_at_every_line),
    case(
        "a_redirect_to_somebody_else",
        BELIEVED,
        a_redirect_to_somebody_else,
    ),
    case("a_length_that_is_a_lie", BELIEVED, a_length_that_is_a_lie),
    case("profiles_that_are_paths", BELIEVED, profiles_that_are_paths),
    case("two_names_for_one_file", BELIEVED, two_names_for_one_file),
    case(
        "an_index_of_another_folder",
        BELIEVED,
        an_index_of_another_folder,
    ),
    case(
        "a_quotient_that_does_not_fit",
        NUMBERS,
        a_quotient_that_does_not_fit,
    ),
    case("sums_that_run_over", NUMBERS, sums_that_run_over),
    case(
        "a_label_wider_than_a_line",
        NUMBERS,
        a_label_wider_than_a_line,
    ),
];

const fn case(name: &'static str, kind: &'static str, attack: fn(&Stage)) -> Case {
    Case { name, kind, attack }
}

/// Serves, and returns the address and the paths of the requests.
fn node(
    answer: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let address = serve(move |stream, path, _| {
        log.lock().unwrap().push(path.to_owned());
        answer(stream, path);
    });
    (address, asked)
}

fn sends(body: Vec<u8>) -> String {
    node(move |stream, _| send(stream, &body)).0
}

fn ask(stage: &Stage, words: &[&str], nodes: &[String]) -> Outcome {
    let mut args = [&["pprof"], words].concat();
    for node in nodes {
        args.extend(["--endpoint", node]);
    }
    stage.attack(&args)
}

/// More than a gigabyte out of a few megabytes.
fn bombs_from_all_nodes(stage: &Stage) {
    let bomb = Command::new("sh")
        .args(["-c", "head -c 1000000000 /dev/zero | gzip -1"])
        .output()
        .unwrap()
        .stdout;
    let nodes: Vec<String> = (0..2).map(|_| sends(bomb.clone())).collect();
    let outcome = ask(stage, &["machined", "heap"], &nodes);
    outcome.with(4).says("2 of 2 profiles are missing");
    for node in &nodes {
        outcome.says(&format!("`{node}` has more than 256 MiB"));
    }
}

fn floods_from_all_nodes(stage: &Stage) {
    let flood = |head: &'static str| {
        node(move |stream, _| {
            let _ = stream.write_all(head.as_bytes());
            let mut block = vec![0x0a; 1 << 20];
            if head.contains("chunked") {
                block.splice(0..0, *b"100000\r\n");
                block.extend(b"\r\n");
            }
            while stream.write_all(&block).is_ok() {}
        })
        .0
    };
    let nodes = [
        flood("HTTP/1.1 200 OK\r\n\r\n"),
        flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        flood("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n"),
    ];
    let outcome = ask(stage, &["machined", "cpu", "--seconds", "1"], &nodes);
    outcome.with(4);
    for node in &nodes {
        outcome.says(&format!("`{node}` sends more than 128 MiB"));
    }
}

fn heads_without_end(stage: &Stage) {
    let (address, _) = node(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let line = format!("X-\x1b[2J: {}\r\n", "a".repeat(4000));
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let outcome = ask(stage, &["machined", "heap"], &[address]);
    outcome.with(4).is_plain();
}

/// Locations, functions and samples of two bytes each.
fn few_bytes_that_are_many_tables(stage: &Stage) {
    for tag in [0x12, 0x1a, 0x22, 0x2a, 0x32] {
        let mut body = profile(b"space", b"bytes", &[b"f"], 1);
        body.extend([tag, 0].repeat(3 << 20));
        let outcome = ask(stage, &["machined", "heap"], &[sends(body)]);
        outcome.with(4).says("exceeds the limit");
    }
}

/// A megabyte for each of a thousand lines that have some bytes.
fn one_name_at_every_line(stage: &Stage) {
    let name = vec![b'n'; 1 << 20];
    let body = profile(b"space", b"bytes", &[&name], 100_000);
    let nodes = [sends(body)];
    ask(stage, &["machined", "heap", "--traces"], &nodes)
        .with(4)
        .says("exceeds the limit");
}

fn a_redirect_to_somebody_else(stage: &Stage) {
    let (secret, asked) = node(|stream, _| send(stream, b"secret"));
    let (address, _) = node(move |stream, _| {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{secret}/\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes());
    });
    let outcome = ask(stage, &["machined", "heap"], &[address]);
    outcome.with(4).says("redirect");
    assert!(asked.lock().unwrap().is_empty());
}

fn a_length_that_is_a_lie(stage: &Stage) {
    let body = profile(b"space", b"bytes", &[b"f"], 1);
    for length in ["1", "100000", "-1", "1, 2", "x"] {
        let body = body.clone();
        let (address, _) = node(move |stream, _| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        });
        ask(stage, &["machined", "heap"], &[address]).with(4);
    }
}

/// What a node says that it has becomes a request and a file.
fn profiles_that_are_paths(stage: &Stage) {
    let body = profile(b"space", b"bytes", &[b"f"], 1);
    let (address, asked) = node(move |stream, path| {
        if path != "/debug/pprof/" {
            return send(stream, &body);
        }
        let names = [
            "../../../x",
            "/etc/passwd",
            "a/../../b",
            "a\x1b]0;t\x07",
            "a\r\nX: y",
            "heap",
        ];
        let mut index: String = names
            .map(|name| format!("<a href='{name}?debug=1'>x</a>"))
            .concat();
        index.extend((0..100_000).map(|of| format!("<a href='p{of}'>")));
        send(stream, &index.as_bytes()[..1 << 20]);
    });
    let outcome = ask(stage, &["machined", "--all"], &[address]);
    outcome.ended().is_plain();
    let asked = asked.lock().unwrap();
    assert!(asked.len() <= 66, "{}", asked.len());
    assert!(
        asked.iter().any(|path| path == "/debug/pprof/heap"),
        "{asked:?}"
    );
    assert!(
        !asked
            .iter()
            .any(|path| path.contains("..") || path.contains("passwd")),
        "{asked:?}"
    );
}

fn two_names_for_one_file(stage: &Stage) {
    let body = profile(b"space", b"bytes", &[b"f"], 1);
    let (address, _) = node(move |stream, path| match path {
        "/debug/pprof/" => send(stream, b"<a href='a/b'><a href='a_b'><a href='a~b'>"),
        _ => send(stream, &body),
    });
    ask(stage, &["machined", "--all"], &[address]).ended();
    let listed = stage.attack(&["pprof", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let entries = listed["sets"][0]["entries"].as_array().unwrap();
    let files: std::collections::BTreeSet<_> = entries
        .iter()
        .map(|entry| entry["file"].as_str().unwrap())
        .collect();
    assert_eq!((entries.len(), files.len()), (3, 3), "{listed}");
}

/// The oldest sets are removed by their names.
fn an_index_of_another_folder(stage: &Stage) {
    let precious = stage.write("precious/file", "from before");
    stage.freeze(precious.parent().unwrap());
    let index = |id: &str| format!(r#"{{"schema":1,"id":"{id}","time":"","entries":[]}}"#);
    let kept = ".local/state/talos-xtask/pprof";
    for of in 0..220 {
        let id = format!("3{of:03}");
        stage.write(&format!("{kept}/{id}/index.json"), index(&id));
    }
    for (folder, id) in [
        ("1", "../../../../precious"),
        ("2", stage.home.join("precious").as_str()),
        ("0", "."),
    ] {
        stage.write(&format!("{kept}/{folder}/index.json"), index(id));
    }
    let body = profile(b"space", b"bytes", &[b"f"], 1);
    ask(stage, &["machined", "heap"], &[sends(body)]).with(0);
    let left = std::fs::read_dir(stage.home.join(kept)).unwrap().count();
    assert!(left > 200, "{left} are left");
    assert!(
        !stage.home.join(kept).join("3000").exists(),
        "the oldest is removed"
    );
}

fn a_quotient_that_does_not_fit(stage: &Stage) {
    let text = "heap profile: 1: 1 [1: 1] @ heap/1024\n-1: -9223372036854775808 [1: 1] @ 0x1\n";
    let nodes = [sends(text.as_bytes().to_vec())];
    ask(stage, &["machined", "heap"], &nodes).ended();
    ask(stage, &["machined", "heap", "--tags"], &nodes).ended();
}

/// Two labels with the largest number each.
fn sums_that_run_over(stage: &Stage) {
    let mut body = Vec::new();
    let field = |body: &mut Vec<u8>, tag: u8, inner: &[u8]| {
        body.push(tag);
        body.push(u8::try_from(inner.len()).unwrap());
        body.extend_from_slice(inner);
    };
    field(&mut body, 0x0a, &[0x08, 1, 0x10, 2]);
    for value in [4, 5] {
        let mut sample = vec![0x10];
        sample.extend([0xff; 8]);
        sample.push(0x7f);
        field(&mut sample, 0x1a, &[0x08, 3, 0x10, value]);
        field(&mut body, 0x12, &sample);
    }
    for text in ["", "space", "bytes", "key", "a", "b"] {
        field(&mut body, 0x32, text.as_bytes());
    }
    let nodes = [sends(body)];
    for form in ["--tags", "--top", "--raw", "--traces", "--goroutines"] {
        ask(stage, &["machined", "heap", form], &nodes).with(0);
    }
}

/// Nothing is padded to more than 65535 columns.
fn a_label_wider_than_a_line(stage: &Stage) {
    let wide = vec![b'k'; 100_000];
    let mut body = profile(b"space", b"bytes", &[&wide], 1);
    // One more sample, with the name as its label's key and value.
    body.extend([0x12, 8, 0x10, 1, 0x1a, 4, 0x08, 3, 0x10, 3]);
    let mut node = profile(b"space", b"bytes", &[&wide, b"node"], 1);
    node.extend([0x12, 8, 0x10, 1, 0x1a, 4, 0x08, 4, 0x10, 3]);
    let nodes = [sends(body)];
    ask(stage, &["machined", "heap", "--tags"], &nodes).with(0);
    stage.write("node.pb", node);
    for words in [
        &["node.pb", "--controllers"][..],
        &["node.pb", "--goroutines"],
        &["node.pb", "--tags"],
    ] {
        stage.attack(&[&["pprof", "open"], words].concat()).ended();
    }
}
