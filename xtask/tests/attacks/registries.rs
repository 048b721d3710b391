//! What docker and registries answer: a failure that is taken for "nothing
//! there", a success that is none, and lists without end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::Case;
use crate::stage::{Outcome, Stage};

const ABSENCE: &str = "a failed probe taken for absence";
const DONE: &str = "said to be done without looking";
const BELIEVED: &str = "what a registry claims";
const BOUNDS: &str = "answers without end";

pub const CASES: &[Case] = &[
    case("what_is_gone_is_deleted", DONE, what_is_gone_is_deleted),
    case("a_listing_that_fails", ABSENCE, a_listing_that_fails),
    case("a_listing_cut_off", ABSENCE, a_listing_cut_off),
    case(
        "a_listing_of_something_else",
        ABSENCE,
        a_listing_of_something_else,
    ),
    case("a_tar_that_fails", ABSENCE, a_tar_that_fails),
    case(
        "a_tag_that_cannot_be_read",
        ABSENCE,
        a_tag_that_cannot_be_read,
    ),
    case("a_catalog_that_fails", ABSENCE, a_catalog_that_fails),
    case(
        "a_catalog_in_small_pages",
        ABSENCE,
        a_catalog_in_small_pages,
    ),
    case("a_deletion_that_is_none", DONE, a_deletion_that_is_none),
    case("a_stop_that_is_none", DONE, a_stop_that_is_none),
    case("a_volume_that_stays", DONE, a_volume_that_stays),
    case("a_builder_that_stays", DONE, a_builder_that_stays),
    case(
        "builders_nobody_understands",
        ABSENCE,
        builders_nobody_understands,
    ),
    case("an_engine_nobody_knows", ABSENCE, an_engine_nobody_knows),
    case("names_that_are_paths", BELIEVED, names_that_are_paths),
    case("digests_that_are_paths", BELIEVED, digests_that_are_paths),
    case("sizes_that_run_over", BELIEVED, sizes_that_run_over),
    case("a_redirect_elsewhere", BELIEVED, a_redirect_elsewhere),
    case("pages_without_end", BOUNDS, pages_without_end),
    case("a_body_without_end", BOUNDS, a_body_without_end),
    case("indexes_without_end", BOUNDS, indexes_without_end),
];

const fn case(name: &'static str, kind: &'static str, attack: fn(&Stage)) -> Case {
    Case { name, kind, attack }
}

/// What is asked: method and path, and how many requests came before.
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    before: usize,
}

/// Status, more of the head, body.
type Said = (u16, String, String);

/// On the port of the guide's registry, as long as it lives.
struct Registry {
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Registry {
    fn serve(answer: impl Fn(&Asked<'_>) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:5005").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (stopped, answer, log) = (Arc::clone(&stop), Arc::new(answer), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || speak(&mut stream.unwrap(), &*answer, &log));
            }
        });
        Self {
            stop,
            asked,
            thread: Some(thread),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect("127.0.0.1:5005");
        let _ = self.thread.take().unwrap().join();
    }
}

fn speak(stream: &mut TcpStream, answer: &dyn Fn(&Asked<'_>) -> Said, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    // Some clients only check whether the port is open.
    if !reader.read_line(&mut first).is_ok_and(|read| read > 0) {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap_or_default());
    let before = {
        let mut log = log.lock().unwrap();
        log.push(format!("{method} {path}"));
        log.len() - 1
    };
    let (status, more, body) = answer(&Asked {
        method,
        path,
        before,
    });
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n",
        body.len()
    );
    if method != "HEAD" {
        let _ = stream.write_all(body.as_bytes());
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read(&mut [0; 64]);
}

fn hex(of: &str) -> String {
    of.repeat(32)
}

const MANIFEST: &str = r#"{"config":{"digest":"sha256:00","size":1},"layers":[]}"#;

fn ok(body: &str) -> Said {
    (200, String::new(), body.to_owned())
}

fn absent() -> Said {
    (404, String::new(), String::new())
}

fn manifest(of: &str) -> Said {
    let digest = format!("Docker-Content-Digest: sha256:{}\r\n", hex(of));
    (200, digest, MANIFEST.to_owned())
}

/// `u/x:v1` and `u/y:v1`, as a registry has them; what is deleted is gone if
/// `honest`.
fn usual(honest: bool) -> impl Fn(&Asked<'_>) -> Said + Send + Sync {
    let gone = AtomicBool::new(false);
    move |asked| {
        let path = asked.path.split('?').next().unwrap();
        let (x, y) = (
            format!("sha256:{}", hex("ab")),
            format!("sha256:{}", hex("cd")),
        );
        match path {
            "/v2/" => ok("{}"),
            "/v2/_catalog" => ok(r#"{"repositories":["u/x","u/y"]}"#),
            "/v2/u/x/tags/list" if gone.load(Ordering::SeqCst) => absent(),
            "/v2/u/x/tags/list" | "/v2/u/y/tags/list" => ok(r#"{"tags":["v1"]}"#),
            _ if asked.method == "DELETE" => {
                if honest && path.ends_with(&x) {
                    gone.store(true, Ordering::SeqCst);
                }
                (202, String::new(), String::new())
            }
            _ if path.starts_with("/v2/u/x/manifests/") && !gone.load(Ordering::SeqCst) => {
                manifest("ab")
            }
            _ if path == "/v2/u/y/manifests/v1" || path.ends_with(&y) => manifest("cd"),
            _ => absent(),
        }
    }
}

/// A docker that records its arguments and answers from files.
fn docker(stage: &Stage) {
    let home = &stage.home;
    let script = format!(
        r#"#!/bin/sh
echo "$*" >>{home}/docker.log
case "$1 $2" in
"container inspect") cat {home}/inspect.json ;;
"cp "*) cat {home}/listing.tar; exit "$(cat {home}/cp-code)" ;;
"system df") echo '[]' ;;
"volume ls") cat {home}/volumes ;;
"context inspect") cat {home}/context ;;
"buildx ls") cat {home}/builders ;;
esac
"#
    );
    let path = stage.write("bin/docker", script);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    stage.write("docker.log", "");
    stage.write("cp-code", "0");
    stage.write("volumes", "");
    stage.write("context", "unix:///var/run/docker.sock\n");
    stage.write("builders", "");
    stage.write("inspect.json", inspected("running"));
    listing(stage, &["ab", "cd"]);
}

fn inspected(state: &str) -> String {
    format!(
        r#"[{{"Id":"7d1f","Created":"2026-11-21T10:00:00.1Z","Name":"/local","Image":"sha256:aa",
        "State":{{"Status":"{state}"}},"Mounts":[{{"Type":"volume","Name":"v1","Destination":"/var/lib/registry"}}],
        "HostConfig":{{"PortBindings":{{"5000/tcp":[{{"HostIp":"127.0.0.1","HostPort":"5005"}}]}}}},
        "Config":{{"Image":"registry:2","Env":["REGISTRY_STORAGE_DELETE_ENABLED=true"],"Cmd":["serve","/etc/c.yml"],"Labels":{{"talos-xtask":"registry"}}}}}}]"#
    )
}

/// The tar stream of a registry's files: `u/x` has the first, `u/y` the second.
fn listing(stage: &Stage, digests: &[&str]) {
    for (repository, digest) in ["x", "y"].iter().zip(digests) {
        let revisions = format!("tree/repositories/u/{repository}/_manifests/revisions/sha256");
        stage.write(&format!("{revisions}/{}/link", hex(digest)), "");
    }
    let tree = stage.home.join("tree");
    let tar = stage.home.join("listing.tar");
    let made = Command::new("tar")
        .args(["-C", tree.as_str(), "-cf", tar.as_str(), "repositories"])
        .status();
    assert!(made.unwrap().success());
    stage.own(&tar);
}

fn run(stage: &Stage, args: &[&str]) -> Outcome {
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}/bin:{path}", stage.home);
    stage.run(stage.xtask(args).env("PATH", path))
}

fn told(stage: &Stage) -> String {
    std::fs::read_to_string(stage.home.join("docker.log")).unwrap()
}

/// Nothing was stopped, collected or deleted, and nothing is reported as such.
#[track_caller]
fn nothing_happened(stage: &Stage, registry: &Registry, outcome: &Outcome) {
    let told = told(stage);
    assert!(!told.contains("stop ") && !told.contains("run "), "{told}");
    let asked = registry.asked();
    assert!(
        !asked.iter().any(|line| line.starts_with("DELETE")),
        "{asked:?}"
    );
    assert!(!outcome.stdout.contains("deleted"), "{outcome:?}");
    outcome.is_plain();
}

fn what_is_gone_is_deleted(stage: &Stage) {
    docker(stage);
    let registry = Registry::serve(usual(true));
    let outcome = run(stage, &["registry", "prune", "x:v1"]);
    outcome.with(0).says("deleted u/x:v1").says("1 manifest(s)");
    let asked = registry.asked();
    let deleted = format!("DELETE /v2/u/x/manifests/sha256:{}", hex("ab"));
    assert!(asked.contains(&deleted), "{asked:?}");
    assert!(told(stage).contains("garbage-collect"));
}

fn a_listing_that_fails(stage: &Stage) {
    docker(stage);
    stage.write("cp-code", "1");
    let registry = Registry::serve(usual(true));
    for args in [&["registry", "prune", "x:v1"][..], &["registry", "prune"]] {
        let outcome = run(stage, args);
        outcome.with(3).says("cannot read");
        nothing_happened(stage, &registry, &outcome);
    }
}

fn a_listing_cut_off(stage: &Stage) {
    docker(stage);
    let tar = std::fs::read(stage.home.join("listing.tar")).unwrap();
    stage.write("listing.tar", &tar[..600]);
    let registry = Registry::serve(usual(true));
    let outcome = run(stage, &["registry", "prune", "x:v1"]);
    // To tar the end of the stream is the end of the list: what is missing tells.
    outcome.with(4).says("do not list");
    nothing_happened(stage, &registry, &outcome);
}

/// Whole, successful, and not of this registry.
fn a_listing_of_something_else(stage: &Stage) {
    docker(stage);
    std::fs::remove_dir_all(stage.home.join("tree")).unwrap();
    listing(stage, &["11", "22"]);
    let registry = Registry::serve(usual(true));
    let outcome = run(stage, &["registry", "prune", "x:v1"]);
    outcome.with(4).says("do not list");
    nothing_happened(stage, &registry, &outcome);
}

fn a_tar_that_fails(stage: &Stage) {
    docker(stage);
    let path = stage.write("bin/tar", "#!/bin/sh\ncat >/dev/null; exit 2\n");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let registry = Registry::serve(usual(true));
    let outcome = run(stage, &["registry", "prune", "x:v1"]);
    outcome.with(3);
    nothing_happened(stage, &registry, &outcome);
}

/// It would not be among what is kept.
fn a_tag_that_cannot_be_read(stage: &Stage) {
    docker(stage);
    let usual = usual(true);
    let registry = Registry::serve(move |asked| match asked.path {
        "/v2/u/y/manifests/v1" => (500, String::new(), "busy".to_owned()),
        _ => usual(asked),
    });
    let outcome = run(stage, &["registry", "prune", "x:v1"]);
    outcome.with(3).says("500");
    nothing_happened(stage, &registry, &outcome);
}

fn a_catalog_that_fails(stage: &Stage) {
    docker(stage);
    let usual = usual(true);
    let registry = Registry::serve(move |asked| {
        if asked.path.starts_with("/v2/_catalog") {
            return (503, String::new(), String::new());
        }
        usual(asked)
    });
    let outcome = run(stage, &["registry", "prune"]);
    outcome.with(3);
    nothing_happened(stage, &registry, &outcome);
}

/// One repository a page, with a link to the next: all of them count.
fn a_catalog_in_small_pages(stage: &Stage) {
    docker(stage);
    let usual = usual(true);
    let registry = Registry::serve(move |asked| {
        if !asked.path.starts_with("/v2/_catalog") {
            return usual(asked);
        }
        if asked.path.contains("last=u/x") {
            return ok(r#"{"repositories":["u/y"]}"#);
        }
        let link = "Link: </v2/_catalog?last=u%2Fx&n=1>; rel=\"next\"\r\n";
        (
            200,
            link.to_owned(),
            r#"{"repositories":["u/x"]}"#.to_owned(),
        )
    });
    run(stage, &["registry", "prune", "x:v1"]).with(0);
    let kept = format!("DELETE /v2/u/y/manifests/sha256:{}", hex("cd"));
    assert!(!registry.asked().contains(&kept), "{:?}", registry.asked());
}

fn a_deletion_that_is_none(stage: &Stage) {
    docker(stage);
    let _registry = Registry::serve(usual(false));
    let outcome = run(stage, &["registry", "prune", "x:v1"]);
    outcome.with(4).says("still has").says("u/x:v1");
    assert!(!outcome.stdout.contains("deleted u/x"), "{outcome:?}");
}

fn a_stop_that_is_none(stage: &Stage) {
    docker(stage);
    let _registry = Registry::serve(usual(true));
    let outcome = run(stage, &["registry", "down"]);
    outcome.with(4).says("`local` is running");
    assert!(!outcome.stdout.contains("is down"), "{outcome:?}");
}

fn a_volume_that_stays(stage: &Stage) {
    docker(stage);
    let _registry = Registry::serve(usual(true));
    // The container goes when it is removed, and its volume does not.
    let home = &stage.home;
    let script = std::fs::read_to_string(home.join("bin/docker")).unwrap();
    let gone = format!("\"rm -f\") echo '[]' >{home}/inspect.json ;;\nesac");
    stage.write("bin/docker", script.replace("esac", &gone));
    stage.write("volumes", "other\ntalos-xtask-local\n");
    let outcome = run(stage, &["registry", "down", "--purge"]);
    outcome.with(4).says("`talos-xtask-local` exists");
    assert!(!outcome.stdout.contains("gone, with all"), "{outcome:?}");
}

const BUILDER: &str = r#"{"Current":true,"Driver":"docker-container","Name":"local1","Nodes":[]}"#;

fn a_builder_that_stays(stage: &Stage) {
    docker(stage);
    stage.write("builders", BUILDER);
    let outcome = run(stage, &["builder", "remove"]);
    outcome.with(4).says("still exists");
    assert!(!outcome.stdout.contains("removed builder"), "{outcome:?}");
}

fn builders_nobody_understands(stage: &Stage) {
    docker(stage);
    stage.write("builders", "local1*  docker-container\n");
    for verb in ["remove", "create", "repair"] {
        let outcome = run(stage, &["builder", verb]);
        outcome.with(3);
        assert!(!outcome.stdout.contains("nothing to remove"), "{outcome:?}");
    }
    let told = told(stage);
    assert!(
        !told.contains("buildx rm") && !told.contains("buildx create"),
        "{told}"
    );
}

/// Whether it is on this machine decides where registries are made.
fn an_engine_nobody_knows(stage: &Stage) {
    docker(stage);
    let script = std::fs::read_to_string(stage.home.join("bin/docker")).unwrap();
    let fails = script.replace(
        "\"context inspect\")",
        "\"context inspect\") exit 1 ;; \"x y\")",
    );
    stage.write("bin/docker", fails);
    stage.write("inspect.json", "[]");
    let outcome = run(stage, &["registry", "up"]);
    outcome.with(3).says("on which machine");
    assert!(!told(stage).contains("run -d"), "{}", told(stage));
}

fn names_that_are_paths(stage: &Stage) {
    docker(stage);
    for name in [
        "../../v1/x",
        "u/../y",
        "u/x?n=1",
        "u/x\\u001b[2J",
        "U/X",
        "",
    ] {
        let catalog = format!(r#"{{"repositories":["u/x","{name}"]}}"#);
        let usual = usual(true);
        let registry = Registry::serve(move |asked| {
            if asked.path.starts_with("/v2/_catalog") {
                return ok(&catalog);
            }
            usual(asked)
        });
        let outcome = run(stage, &["registry", "ls"]);
        outcome.with(3).says("invalid name").is_plain();
        let outcome = run(stage, &["registry", "prune"]);
        outcome.with(3);
        nothing_happened(stage, &registry, &outcome);
        assert!(!registry.asked().iter().any(|line| line.contains("..")));
    }
}

fn digests_that_are_paths(stage: &Stage) {
    docker(stage);
    for digest in [
        "sha256:../../_catalog",
        "x",
        "sha256:zz",
        "sha256:ab\\u001b[2J",
    ] {
        let index = format!(r#"{{"manifests":[{{"digest":"{digest}"}}]}}"#);
        let usual = usual(true);
        let registry = Registry::serve(move |asked| match asked.path {
            "/v2/u/x/manifests/v1" => (manifest("ab").0, manifest("ab").1, index.clone()),
            _ => usual(asked),
        });
        run(stage, &["registry", "ls"]).with(3).is_plain();
        let outcome = run(stage, &["registry", "prune"]);
        outcome.with(3);
        nothing_happened(stage, &registry, &outcome);
    }
}

fn sizes_that_run_over(stage: &Stage) {
    docker(stage);
    let usual = usual(true);
    let _registry = Registry::serve(move |asked| match asked.path {
        "/v2/u/x/manifests/v1" => {
            let layer =
                |of: &str| format!(r#"{{"digest":"sha256:{of}","size":18446744073709551615}}"#);
            let body = format!(r#"{{"layers":[{},{}]}}"#, layer("01"), layer("02"));
            (200, manifest("ab").1, body)
        }
        _ => usual(asked),
    });
    run(stage, &["registry", "ls"]).with(0).says("u/x");
}

fn a_redirect_elsewhere(stage: &Stage) {
    docker(stage);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let to = format!("Location: http://{}/x\r\n", elsewhere.local_addr().unwrap());
    let usual = usual(true);
    let registry = Registry::serve(move |asked| match asked.path {
        "/v2/" => usual(asked),
        _ => (307, to.clone(), String::new()),
    });
    let outcome = run(stage, &["registry", "prune"]);
    outcome.with(3).says("307");
    nothing_happened(stage, &registry, &outcome);
    assert!(elsewhere.accept().is_err(), "a request went there");
}

fn pages_without_end(stage: &Stage) {
    docker(stage);
    let usual = usual(true);
    let _registry = Registry::serve(move |asked| {
        if !asked.path.starts_with("/v2/_catalog") {
            return usual(asked);
        }
        let link = "Link: </v2/_catalog?last=x>; rel=\"next\"\r\n".to_owned();
        let body = format!(r#"{{"repositories":["r{}"]}}"#, asked.before);
        (200, link, body)
    });
    run(stage, &["registry", "ls"]).with(3).says("pages");
}

fn a_body_without_end(stage: &Stage) {
    docker(stage);
    let usual = usual(true);
    let _registry = Registry::serve(move |asked| {
        if !asked.path.starts_with("/v2/_catalog") {
            return usual(asked);
        }
        ok(&format!(
            r#"{{"repositories":["{}"]}}"#,
            "x".repeat(64 << 20)
        ))
    });
    run(stage, &["registry", "ls"]).with(3);
}

/// Each index names another one.
fn indexes_without_end(stage: &Stage) {
    docker(stage);
    let usual = usual(true);
    let registry = Registry::serve(move |asked| {
        if !asked.path.starts_with("/v2/u/x/manifests/") {
            return usual(asked);
        }
        let digest = |of: usize| format!("sha256:{of:064x}");
        let head = format!("Docker-Content-Digest: {}\r\n", digest(asked.before));
        let next = digest(asked.before + 1_000_000);
        (
            200,
            head,
            format!(r#"{{"manifests":[{{"digest":"{next}"}}]}}"#),
        )
    });
    let outcome = run(stage, &["registry", "prune", "y:v1"]);
    outcome.with(3).says("levels");
    nothing_happened(stage, &registry, &outcome);
}
