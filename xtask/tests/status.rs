//! `status` and its page from end to end: what they show, and who cannot read it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use common::browser::Browser;
use common::{Home, is_root, run, skip};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
/// A console with what a page or a terminal would obey.
const CONSOLE: &str = "[    0.000000] Linux version 6.12.0-talos\r\n\
    \u{1b}[31m[talos] task startAll\u{1b}[0m: done\r\n\
    <script>document.title='run'</script><img src=x onerror=\"document.title='run'\">\n\
    \u{1b}]0;title\u{7}bidi \u{202e}txt\u{202c}\n\
    [talos] this machine is reachable at: 172.20.0.2\n";
/// When the runs of the records began, in milliseconds.
const STARTED: u64 = 1_790_000_000_000;

/// A home with a checkout, a cluster that does not run, three runs and two profiles.
fn home() -> Home {
    let home = Home::new();
    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    let state = std::fs::read_to_string(format!("{TESTDATA}/state/1.12.0/state.yaml")).unwrap();
    home.write(".talos/clusters/lab/state.yaml", &state);
    home.write(".talos/clusters/lab/lab-controlplane-1.log", CONSOLE);
    home.write(
        ".talos/clusters/lab/lab-worker-1.log",
        "[    0.000000] of the worker\n",
    );
    let ours = ".local/state/talos-xtask";
    for (id, words, steps, events) in [
        (
            "19a00000001-cluster-up",
            json!(["xtask", "cluster", "up"]),
            json!([{"why": "Create the cluster"}, {"why": "Wait for <b>nodes</b>"}]),
            "{\"event\":\"start\",\"step\":1,\"at\":1}\n{\"event\":\"finish\",\"step\":1,\"ms\":61000,\"failure\":null,\"at\":2}\n\
             {\"event\":\"start\",\"step\":2,\"at\":3}\n{\"event\":\"finish\",\"step\":2,\"ms\":1500,\"failure\":\"a node died\",\"at\":4}\n\
             {\"event\":\"end\",\"code\":5,\"at\":1790000062500}\n",
        ),
        (
            "19a00000002-test-unit",
            json!(["xtask", "test", "unit"]),
            json!([]),
            "{\"event\":\"end\",\"code\":1,\"at\":1790000003000}\n",
        ),
    ] {
        let record = json!({"schema": 1, "id": id, "command": words, "started": STARTED, "version": "0.1.0",
            "cwd": home.path("talos"), "checkout": home.path("talos"), "plan": {"steps": steps}});
        home.write(&format!("{ours}/runs/{id}/run.json"), &record.to_string());
        home.write(&format!("{ours}/runs/{id}/events.jsonl"), events);
    }
    let report = json!({"schema": 1, "seconds": 2.5, "interrupted": false,
    "counts": {"total": 3, "passed": 2, "failed": 1, "skipped": 0, "flaky": 0, "left_out": 0, "not_run": 0},
    "packages": [{"package": "internal/pkg/dns", "verdict": "failed", "seconds": 2.5, "output": "FAIL", "tests": [
        {"name": "TestA", "state": "passed", "seconds": 0.1},
        {"name": "TestB", "state": "failed", "seconds": 0.2, "output": "dns_test.go:42: \u{1b}[1mwrong\u{1b}[0m <i>answer</i>"},
    ]}]});
    home.write(
        &format!("{ours}/runs/19a00000002-test-unit/report.json"),
        &report.to_string(),
    );
    let set = "20261121T044512Z-machined-heap";
    let entry = |node: &str, file: &str| json!({"node": node, "service": "machined", "profile": "heap", "address": "172.20.0.2:9982", "file": file, "error": null});
    let index = json!({"schema": 1, "id": set, "time": "2026-11-21T04:45:12Z",
        "entries": [entry("lab-controlplane-1", "heap.pb.gz"), entry("lab-worker-1", "../../../../secret.pb.gz")]});
    home.write(
        &format!("{ours}/pprof/{set}/index.json"),
        &index.to_string(),
    );
    std::fs::copy(
        format!("{TESTDATA}/pprof/heap.pb.gz"),
        home.path(&format!("{ours}/pprof/{set}/heap.pb.gz")),
    )
    .unwrap();
    home
}

#[test]
fn one_screen_and_the_same_as_json() {
    let home = home();
    common::git::repository(home.path("talos"));
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.12.1");
    let before = home.tree();
    let told = run(home.xtask(&["status"]).current_dir(home.path("talos")));
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
    for part in [
        "Talos v1.12.1, line 1.12",
        "1 file changed",
        "lab stale",
        "lab-controlplane-1",
        "exit 5",
        "cluster up",
        "next: cargo xtask cluster start --name lab",
    ] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    assert!(
        told.stdout.lines().count() < 24,
        "one screen: {}",
        told.stdout
    );
    let said = run(home
        .xtask(&["status", "--json"])
        .current_dir(home.path("talos")));
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["checkout"]["changed"], 1);
    assert_eq!(json["clusters"][0]["state"], "stale");
    assert_eq!(json["clusters"][0]["nodes"][1]["name"], "lab-worker-1");
    assert_eq!(json["runs"][1]["code"], 5);
    assert_eq!(json["runs"][1]["milliseconds"], 62_500);
    assert_eq!(json["unread"], json!([]));
    assert_eq!(home.tree(), before, "looking leaves no trace");
    // The help that is named can be typed, whatever options were given.
    let talos = home.path("talos");
    let named = run(&mut home.xtask(&["-C", talos.as_str(), "status"]));
    let help = named
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("help: cargo xtask "));
    let words: Vec<&str> = help.unwrap().split(' ').collect();
    assert_eq!(run(&mut home.xtask(&words)).code, Some(0), "{words:?}");
    // Without a command the same is printed.
    let alone = run(home.xtask(&[]).current_dir(home.path("talos")));
    let ages = |text: &str| text.lines().filter(|line| !line.contains(" ago ")).count();
    assert_eq!(ages(&alone.stdout), ages(&told.stdout));
}

/// Neither git, docker nor talosctl, and no checkout; and programs that never answer.
#[test]
fn what_is_missing_or_hangs_is_named_and_the_rest_is_shown() {
    let home = home();
    let dir = home.path("elsewhere");
    std::fs::create_dir(&dir).unwrap();
    std::fs::rename(home.path("talos"), home.path("source")).unwrap();
    let bare = run(home.xtask(&["status"]).env("PATH", "").current_dir(&dir));
    assert_eq!((bare.code, bare.stderr.as_str()), (Some(0), ""));
    assert!(bare.stdout.contains("no Talos checkout"), "{}", bare.stdout);
    assert!(bare.stdout.contains("docker, talosctl"), "{}", bare.stdout);
    assert!(bare.stdout.contains("lab stale"), "{}", bare.stdout);

    let instance = r#"{"Name":"local1","Driver":"docker-container","Nodes":[{"Name":"local10","Endpoint":"unix:///var/run/docker.sock"}]}"#;
    home.write(".docker/buildx/instances/local1", instance);
    home.write(".docker/buildx/current", r#"{"Name":"local1"}"#);
    for name in ["docker", "git"] {
        home.program(&format!("bin/{name}"), b"#!/bin/sh\nexec sleep 60\n");
    }
    std::fs::rename(home.path("source"), home.path("talos")).unwrap();
    let path = format!("{}:{}", home.path("bin"), std::env::var("PATH").unwrap());
    let hung = run(home
        .xtask(&["status", "--json"])
        .env("PATH", path)
        .current_dir(home.path("talos")));
    assert_eq!(hung.code, Some(0), "{}", hung.stderr);
    let json: Value = serde_json::from_str(&hung.stdout).unwrap();
    let unread: Vec<&str> = json["unread"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        unread,
        ["git: no answer within 2 s", "docker: no answer within 2 s"]
    );
    assert_eq!(json["builder"]["state"], Value::Null);
    assert_eq!(json["clusters"][0]["name"], "lab");
}

/// The page of one home.
struct Page {
    child: Child,
    port: u16,
    link: String,
}

/// What a browser has after the link was opened.
struct Session {
    cookie: String,
    key: String,
}

impl Page {
    fn serve(home: &Home) -> Self {
        let mut command = home.xtask(&["status", "--serve"]);
        let mut child = command
            .current_dir(home.path("talos"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut link = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut link)
            .unwrap();
        let link = link.trim().to_owned();
        let port = link
            .strip_prefix("http://127.0.0.1:")
            .unwrap_or_else(|| panic!("{link}"));
        let port = port.split('/').next().unwrap().parse().unwrap();
        Self { child, port, link }
    }

    fn code(&self) -> &str {
        self.link.split_once("code=").unwrap().1
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        stream
    }

    /// The whole answer to these bytes.
    fn send(&self, request: &str) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn ask(&self, line: &str, headers: &[&str]) -> Answer {
        let host = format!("Host: 127.0.0.1:{}", self.port);
        self.ask_as(&host, line, headers)
    }

    fn ask_as(&self, host: &str, line: &str, headers: &[&str]) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\n{host}\r\n");
        for header in headers.iter().chain(&["Connection: close", ""]) {
            request.push_str(header);
            request.push_str("\r\n");
        }
        Answer::new(&self.send(&request))
    }

    fn open(&self) -> Session {
        let answer = self.ask(&format!("GET /?code={}", self.code()), &[]);
        assert_eq!(answer.status, 303, "{}", answer.head);
        let cookie = answer.header("set-cookie").unwrap();
        for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        let key = answer
            .header("location")
            .unwrap()
            .strip_prefix("/#")
            .unwrap();
        Session {
            cookie: format!("Cookie: {}", cookie.split(';').next().unwrap()),
            key: format!("X-Status-Key: {key}"),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn new(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

#[test]
fn only_the_browser_with_the_link_reads_anything() {
    let home = home();
    let page = Page::serve(&home);
    let code = format!("GET /?code={}", page.code());
    // No other name, and none of these uses the code up.
    for host in [
        "Host: evil.example",
        "Host: 127.0.0.1",
        "Host: 127.0.0.1:1",
        "X: y",
    ] {
        assert_eq!(page.ask_as(host, &code, &[]).status, 421, "{host}");
    }
    // Without the cookie everything is the same: nothing says what there is.
    let nothing = page.ask("GET /none", &[]);
    assert_eq!(nothing.status, 401, "{}", nothing.head);
    for line in [
        "GET /",
        "GET /data",
        "GET /flame-graph?set=x",
        "GET /../../etc/passwd",
        "POST /",
        "GET /?code=0",
    ] {
        let answer = page.ask(line, &[]);
        assert_eq!(
            (answer.status, &answer.body),
            (401, &nothing.body),
            "{line}"
        );
        assert_strict(&answer);
    }
    let Session { cookie, key } = page.open();
    assert_eq!(page.ask(&code, &[]).status, 401, "the link works once");
    let both = [cookie.as_str(), key.as_str()];
    let index = page.ask("GET /", &both[..1]);
    assert_eq!(index.status, 200);
    assert_strict(&index);
    assert!(
        index
            .header("content-security-policy")
            .unwrap()
            .contains("script-src 'nonce-")
    );
    // The page itself has no data: the cookie alone may be known to a server at another port.
    assert!(
        !index.body.contains("lab-controlplane")
            && !index.body.contains(key.split_once(' ').unwrap().1)
    );
    assert_eq!(page.ask("GET /data", &both[..1]).status, 401);
    assert_eq!(page.ask("GET /data", &both[1..]).status, 401);
    let data = page.ask("GET /data?cluster=lab&node=lab-worker-1", &both);
    assert_strict(&data);
    let json: Value = serde_json::from_str(&data.body).unwrap();
    assert_eq!(
        json["console"]["lines"],
        json!(["[    0.000000] of the worker"])
    );
    assert_eq!(json["tests"]["failed"][0]["test"], "TestB");
    assert_eq!(json["runs"][1]["steps"][1]["failure"], "a node died");
    // What has not changed is not sent again.
    let known = format!("If-None-Match: {}", data.header("etag").unwrap());
    let again = page.ask(
        "GET /data?cluster=lab&node=lab-worker-1",
        &[both[0], both[1], &known],
    );
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    home.write(
        ".talos/clusters/lab/lab-worker-1.log",
        "[    0.000000] of the worker\nmore\n",
    );
    let again = page.ask(
        "GET /data?cluster=lab&node=lab-worker-1",
        &[both[0], both[1], &known],
    );
    assert_eq!(again.status, 200);
}

#[test]
fn names_are_no_paths_and_requests_have_limits() {
    let home = home();
    let page = Page::serve(&home);
    let Session { cookie, key } = page.open();
    let both = [cookie.as_str(), key.as_str()];
    // Names are looked up; none is a path.
    for query in [
        "node=../../../etc/passwd&cluster=lab",
        "cluster=..%2f..&node=x",
        "%00",
        "cluster=lab",
    ] {
        let answer = page.ask(&format!("GET /data?{query}"), &both);
        assert_eq!(answer.status, 200, "{query}");
        assert!(!answer.body.contains("root:"), "{query}");
    }
    home.write("secret.pb.gz", "secret");
    let set = "20261121T044512Z-machined-heap";
    let graph = page.ask(&format!("GET /flame-graph?set={set}&index=0"), &both);
    assert_eq!(graph.status, 200);
    assert!(
        graph.body.starts_with("<svg ") && graph.body.contains("reconcile"),
        "{}",
        graph.body
    );
    for query in [
        format!("set={set}&index=1"),
        "set=..&index=0".to_owned(),
        format!("set={set}/../x&index=0"),
        String::new(),
    ] {
        assert_eq!(
            page.ask(&format!("GET /flame-graph?{query}"), &both).status,
            404,
            "{query}"
        );
    }
    for path in [
        "/none",
        "/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/data/",
        "/favicon.ico",
    ] {
        let answer = page.ask(&format!("GET {path}"), &both);
        assert_eq!(answer.status, 404, "{path}");
        assert_strict(&answer);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        assert_eq!(
            page.ask(&format!("{method} /data"), &both).status,
            405,
            "{method}"
        );
    }
    let head = page.ask("HEAD /", &both);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // What is too large is refused before it is looked at.
    let large = format!("X: {}", "x".repeat(64 << 10));
    let many: Vec<String> = (0..200).map(|number| format!("X-{number}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = format!("GET /{}", "x".repeat(64 << 10));
    for answer in [
        page.ask("GET /", &[&large]),
        page.ask("GET /", &many),
        page.ask(&long, &[]),
    ] {
        assert!([0, 414, 431].contains(&answer.status), "{}", answer.head);
    }
    assert_eq!(page.ask("GET /", &both).status, 200);
}

fn assert_strict(answer: &Answer) {
    let has = |name: &str, value: &str| {
        let found = answer.header(name).unwrap_or_default();
        assert!(found.contains(value), "{name}: {}", answer.head);
    };
    has("content-security-policy", "default-src 'none'");
    has("content-security-policy", "frame-ancestors 'none'");
    has("x-content-type-options", "nosniff");
    has("referrer-policy", "no-referrer");
    has("cross-origin-resource-policy", "same-origin");
    has("cache-control", "no-store");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn slow_clients_hold_up_neither_others_nor_the_end() {
    let home = home();
    let mut page = Page::serve(&home);
    let Session { cookie, key } = page.open();
    // Each has sent the half of a request, or reads nothing.
    let mut slow: Vec<TcpStream> = (0..16).map(|_| page.connect()).collect();
    for (number, stream) in slow.iter_mut().enumerate() {
        let half = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", page.port);
        stream.write_all(&half.as_bytes()[..number * 2]).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(page.ask("GET /data", &[&cookie, &key]).status, 200);
    }
    // More than there is room for: the first ones are closed, and then it is their turn.
    let more: Vec<TcpStream> = (0..32).map(|_| page.connect()).collect();
    assert_eq!(page.ask("GET /data", &[&cookie, &key]).status, 200);
    drop(more);
    let mut rest = Vec::new();
    let mut first = slow.swap_remove(0);
    let _ = first.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("lab"));
    // Ctrl-C ends it while clients are connected.
    let pid = Pid::from_raw(i32::try_from(page.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(page.child.wait().unwrap().code(), Some(130));
    TcpStream::connect(("127.0.0.1", page.port)).unwrap_err();
}

#[test]
fn the_code_is_in_no_process_table_and_the_port_on_loopback_alone() {
    let home = home();
    let page = Page::serve(&home);
    for entry in std::fs::read_dir("/proc").unwrap() {
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(entry.as_ref().unwrap().path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains(page.code()), "{:?}", entry.unwrap().path());
        }
    }
    let port = format!(":{:04X}", page.port);
    let mut found = Vec::new();
    for file in ["tcp", "tcp6"] {
        let table = std::fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
        let local = table
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        found.extend(
            local
                .filter(|local| local.ends_with(&port))
                .map(str::to_owned),
        );
    }
    assert_eq!(found, [format!("0100007F{port}")]);
    // A port that is in use is an error with a way out.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let told = run(&mut home.xtask(&["status", "--serve", "--port", &port]));
    assert_eq!(told.code, Some(4), "{}", told.stdout);
    assert!(
        told.stderr.contains("cannot listen on 127.0.0.1:") && told.stderr.contains("hint: "),
        "{}",
        told.stderr
    );
}

#[test]
fn another_user_reads_nothing() {
    let home = home();
    let page = Page::serve(&home);
    let test = "another_user_reads_nothing";
    if !is_root() {
        return skip(test, "only root can start a process of another user");
    }
    let script = "exec 3<>/dev/tcp/127.0.0.1/$1; printf 'GET %s HTTP/1.1\\r\\nHost: 127.0.0.1:%s\\r\\nConnection: close\\r\\n\\r\\n' \"$2\" \"$1\" >&3; cat <&3";
    for path in ["/", "/data", "/flame-graph", "/none"] {
        let mut other = Command::new("bash");
        other.args(["-c", script, "bash", &page.port.to_string(), path]);
        let said = run(other.uid(64_123).gid(64_123).current_dir("/"));
        assert!(
            said.stdout.starts_with("HTTP/1.1 401 "),
            "{path}: {} {}",
            said.stdout,
            said.stderr
        );
        assert!(!said.stdout.contains("lab"), "{}", said.stdout);
    }
}

/// What a page of another origin gets, by every way that a browser has.
const HOSTILE: &str = r#"<!doctype html><title>hostile</title><script>
const TARGET = location.hash.slice(1);
const ways = {};
const load = (tag, path) => new Promise(done => {
  const made = document.createElement(tag);
  made.onload = () => done(tag + " loaded");
  made.onerror = () => done("");
  made.src = TARGET + path;
  document.body.append(made);
});
const text = async (path, options) => {
  try { const answer = await fetch(TARGET + path, options); return await answer.text(); } catch { return ""; }
};
addEventListener("load", async () => {
  for (const path of ["/", "/data", "/flame-graph?set=20261121T044512Z-machined-heap&index=0"]) {
    ways["fetch " + path] = await text(path, { credentials: "include" });
    ways["opaque " + path] = await text(path, { credentials: "include", mode: "no-cors" });
    ways["header " + path] = await text(path, { credentials: "include", headers: { "x-status-key": "0" } });
    ways["image " + path] = await load("img", path);
    ways["script " + path] = await load("script", path);
  }
  const events = new EventSource(TARGET + "/data", { withCredentials: true });
  ways.events = await new Promise(done => { events.onmessage = () => done("message"); events.onerror = () => done(""); });
  events.close();
  const frame = document.createElement("iframe");
  frame.src = TARGET + "/";
  await new Promise(done => { frame.onload = done; document.body.append(frame); });
  try { ways.frame = frame.contentDocument ? frame.contentDocument.body.textContent : ""; } catch { ways.frame = ""; }
  try { const opened = open(TARGET + "/"); await new Promise(done => setTimeout(done, 300)); ways.opened = opened ? opened.document.body.textContent : ""; } catch { ways.opened = ""; }
  window.ways = ways;
});
</script><body></body>"#;

/// A server of the hostile page, which hands on the heads of requests.
fn hostile() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap_or(0) > 2 {}
            let length = HOSTILE.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{HOSTILE}"
            );
            let _ = stream.shutdown(Shutdown::Write);
            if heads.send(head).is_err() {
                return;
            }
        }
    });
    (port, received)
}

#[test]
fn the_page_shows_text_as_text_and_hostile_pages_get_nothing() {
    let home = home();
    let test = "the_page_shows_text_as_text_and_hostile_pages_get_nothing";
    let names =
        "MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost";
    let Some(mut browser) = Browser::start(test, &home, names) else {
        return;
    };
    let page = Page::serve(&home);
    browser.tab(&page.link);
    browser.until("document.getElementById('said')?.textContent === 'live'");
    let origin = format!("http://127.0.0.1:{}", page.port);
    assert_eq!(
        browser.text("location.href"),
        format!("{origin}/"),
        "neither code nor key stays"
    );
    assert_eq!(
        browser.text("document.cookie"),
        "",
        "scripts do not see the cookie"
    );
    // Consoles, failures and steps are text.
    let console = browser.text("document.getElementById('console').textContent");
    for part in [
        "<script>document.title='run'</script><img src=x onerror=",
        "[talos] task startAll: done",
        "bidi \\u{202e}txt",
    ] {
        assert!(console.contains(part), "{part}: {console}");
    }
    assert!(
        !console.contains('\u{1b}') && !console.contains('\u{202e}'),
        "{console}"
    );
    let all = browser.text("document.body.innerText");
    for part in [
        "lab-controlplane-1",
        "Wait for <b>nodes</b>",
        "a node died",
        "2 passed",
        "1 failed",
        "cluster start --name lab",
    ] {
        browser.until(&format!("document.body.textContent.includes({part:?})"));
    }
    assert!(all.contains("lab-worker-1"), "{all}");
    assert!(
        browser
            .text("document.getElementById('tests').textContent")
            .contains("wrong <i>answer</i>")
    );
    assert_eq!(
        browser.eval("document.images.length + document.querySelectorAll('b b, i').length"),
        0
    );
    // Searching shows the lines that contain it, and marks it.
    browser.keys("/reachable");
    browser.until("document.getElementById('count').textContent === '1 of 5 lines'");
    assert_eq!(
        browser.text("document.querySelector('mark').textContent"),
        "reachable"
    );
    browser.press("Escape");
    browser.until("document.getElementById('count').textContent === '5 lines'");
    // Another node by its button, and a line as soon as it is written.
    browser.eval("document.querySelector('button[data-node=\"lab/lab-worker-1\"]').click()");
    browser.until("document.getElementById('console').textContent.includes('of the worker')");
    home.write(
        ".talos/clusters/lab/lab-worker-1.log",
        "[    0.000000] of the worker\na new line\n",
    );
    browser.until("document.getElementById('console').textContent.includes('a new line')");
    // A flame graph is a picture.
    browser.eval("document.querySelector('#profiles button').click()");
    browser.until("document.querySelector('#graph img')?.naturalWidth > 600");
    // The page does not run what is added to it.
    let injected = "(() => { try { document.body.insertAdjacentHTML('beforeend', '<img src=x>'); return 'added' } catch { return 'refused' } })()";
    assert_eq!(browser.text(injected), "refused");
    hostile_pages_get_nothing(&mut browser, &page);
}

fn hostile_pages_get_nothing(browser: &mut Browser, page: &Page) {
    let origin = format!("http://127.0.0.1:{}", page.port);
    // Other origins, of which the first is the same site: cookies do not know ports.
    let (port, heads) = hostile();
    let mut received = Vec::new();
    for (host, target) in [
        ("127.0.0.1", origin.clone()),
        ("localhost", format!("http://localhost:{}", page.port)),
        ("rebound.example", origin.clone()),
        (
            "rebound.example",
            format!("http://rebound.example:{}", page.port),
        ),
    ] {
        browser.tab(&format!("http://{host}:{port}/#{target}"));
        browser.until("window.ways");
        let ways = browser.eval("ways");
        for (way, got) in ways.as_object().unwrap() {
            assert_eq!(got, "", "{host} to {target}: {way}");
        }
        received.extend(heads.try_iter());
    }
    // A rebound name reaches the server, and gets nothing: the answer allows no script either.
    browser.tab(&format!("http://rebound.example:{}/", page.port));
    browser.until("document.body.textContent.includes('421')");
    let answer = "fetch('/data').then(answer => answer.status, () => 'refused')";
    assert_eq!(browser.eval(answer), "refused");
    // A server at another port was sent the cookie, and cannot use it.
    let cookie = received
        .iter()
        .flat_map(|head| head.lines())
        .find(|line| line.to_lowercase().starts_with("cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("{received:?}"));
    assert!(cookie.contains("xtask-status-"), "{cookie}");
    assert_eq!(page.ask("GET /", &[cookie]).status, 200);
    assert_eq!(page.ask("GET /data", &[cookie]).status, 401);
}
