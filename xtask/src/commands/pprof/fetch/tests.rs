//! Against servers that misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;

use super::*;
use crate::commands::pprof::endpoint::Transport;

/// Serves one connection; gives back the address.
fn server(answer: impl FnOnce(&mut TcpStream, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap_or(0);
        answer(
            &mut stream,
            String::from_utf8_lossy(&request[..read]).into_owned(),
        );
    });
    address
}

fn respond(status: &'static str, headers: &'static str, body: Vec<u8>) -> String {
    server(move |stream, _| {
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&body);
    })
}

fn target(address: String) -> Target {
    Target {
        node: "worker-1".into(),
        role: Some(talos::names::Role::Worker),
        address,
        prefix: String::new(),
        transport: Transport::Tcp,
        headers: Vec::new(),
        service: "machined".into(),
        kind: Kind::Heap,
        talos: Some("v1.13.0-3-gabc1234".into()),
    }
}

fn heap() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pprof/heap.pb.gz");
    std::fs::read(path).unwrap()
}

fn root(dir: &tempfile::TempDir) -> Utf8PathBuf {
    Utf8Path::from_path(dir.path()).unwrap().to_owned()
}

/// Fetches these targets into a folder.
fn ask_all(targets: &[Target], args: &FetchArgs, dir: &Utf8Path) -> Vec<Answer> {
    let keeping = Keeping::saved(dir, "T");
    let spool = Spool::new(dir.to_owned());
    let mut fetching = begin(targets, 4, args, "2026-11-21T04:45:12Z", keeping, &spool).unwrap();
    std::iter::from_fn(|| fetching.answers.blocking_recv()).collect()
}

fn ask(address: String) -> Result<Fetched> {
    let dir = tempfile::tempdir().unwrap();
    let mut answers = ask_all(&[target(address)], &FetchArgs::default(), &root(&dir));
    answers.pop().unwrap().1
}

/// Fetches with a short limit of time.
fn hasten(address: String, patience: Duration) -> Result<u64> {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(root(&dir));
    let (target, path) = (target(address), "/debug/pprof/heap");
    let body =
        runtime()
            .unwrap()
            .block_on(get(&target, path, &FetchArgs::default(), patience, &spool));
    body.map(|body| body.size)
}

#[test]
fn a_profile_carries_its_origin_inside() {
    let dir = tempfile::tempdir().unwrap();
    let target = target(respond("200 OK", "", heap()));
    let mut answers = ask_all(&[target], &FetchArgs::default(), &root(&dir));
    let fetched = answers.pop().unwrap().1.unwrap();
    assert!(matches!(fetched.profile, Some(Kept::Held(_))));
    let file = std::fs::read(root(&dir).join(fetched.file.unwrap())).unwrap();
    let profile = ::pprof::decode(file).unwrap();
    let tags = ::pprof::report::tags(&profile, &::pprof::Query::default()).unwrap();
    for (key, value) in [
        ("node", "worker-1"),
        ("service", "machined"),
        ("role", "worker"),
        ("time", "2026-11-21T04:45:12Z"),
    ] {
        let (_, rest) = tags.text.split_once(&format!(" {key}: Total")).unwrap();
        assert!(
            rest.lines().nth(1).unwrap().ends_with(value),
            "{}",
            tags.text
        );
    }
}

#[test]
fn half_a_body_is_a_failure_that_names_the_node() {
    let whole = heap();
    let address = server(move |stream, _| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.len());
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&whole[..whole.len() / 2]);
    });
    let failure = ask(address.clone()).unwrap_err();
    assert!(
        failure.what.contains(&address) && failure.what.contains("broke off"),
        "{failure}"
    );
    // Half a file with a length that fits is found by its own check sum.
    let failure = ask(respond("200 OK", "", heap()[..900].to_vec())).unwrap_err();
    assert!(failure.to_string().contains("cannot inflate"), "{failure}");
    // Chunks that end in the middle.
    let address = server(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc");
    });
    let failure = ask(address).unwrap_err();
    assert!(failure.what.contains("broke off"), "{failure}");
}

#[test]
fn a_flood_ends_at_the_limit() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
    ] {
        let address = server(move |stream, _| {
            let _ = stream.write_all(head.as_bytes());
            let mut block = vec![0x12; 1 << 20];
            if head.contains("chunked") {
                block.splice(0..0, *b"100000\r\n");
                block.extend(b"\r\n");
            }
            // Ten gigabytes; the other end hangs up long before.
            for _ in 0..10 << 10 {
                if stream.write_all(&block).is_err() {
                    return;
                }
            }
        });
        let failure = ask(address).unwrap_err();
        assert!(failure.what.contains("more than 128 MiB"), "{failure}");
    }
}

#[test]
fn what_inflates_too_far_is_refused_with_node_and_limit() {
    // Hundreds of megabytes of nothing in one.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..300 {
        packer.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = packer.finish().unwrap();
    let address = respond("200 OK", "", bomb);
    let failure = ask(address.clone()).unwrap_err();
    assert!(
        failure.what.contains(&address) && failure.what.contains("more than 256 MiB"),
        "{failure}"
    );
}

#[test]
fn a_byte_at_a_time_has_an_end() {
    let drip = |head: &'static [u8]| {
        server(move |stream, _| {
            let _ = stream.write_all(head);
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    for head in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP",
    ] {
        let address = drip(head);
        let failure = hasten(address.clone(), Duration::from_secs(1)).unwrap_err();
        assert!(failure.what.contains(&address), "{failure}");
    }
    let address = drip(b"HTTP/1.1 200 OK\r\n\r\n");
    let failure = hasten(address, Duration::from_secs(1)).unwrap_err();
    assert_eq!(failure.exit, Exit::Deadline, "{failure}");
    assert!(failure.what.contains("completely within 1 s"), "{failure}");
}

#[test]
fn what_arrives_fast_is_never_late() {
    let size = 3 << 20;
    let address = server(move |stream, _| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
        let (first, rest) = (vec![0; size - 1], [0]);
        let _ = stream.write_all(&first);
        // Later than the limit of a response that is small.
        std::thread::sleep(Duration::from_millis(1500));
        let _ = stream.write_all(&rest);
    });
    assert_eq!(
        hasten(address, Duration::from_secs(1)).unwrap(),
        size as u64
    );
}

#[test]
fn heads_without_end_and_redirects_are_refused() {
    let address = server(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let line = format!("X-A: {}\r\n", "a".repeat(4000));
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let failure = ask(address.clone()).unwrap_err();
    assert!(failure.what.contains(&address), "{failure}");
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    for status in ["301 Moved Permanently", "307 Temporary Redirect"] {
        let location = format!("Location: http://{}/x\r\n", elsewhere.local_addr().unwrap());
        let address = server(move |stream, _| {
            let head = format!("HTTP/1.1 {status}\r\n{location}Content-Length: 0\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
        });
        let failure = ask(address).unwrap_err();
        assert!(failure.to_string().contains("redirect"), "{failure}");
    }
    assert!(elsewhere.accept().is_err(), "a request went there");
}

#[test]
fn a_long_refusal_is_not_read_to_its_end() {
    let address = server(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\n\r\n");
        let line = format!("{}\n", "no".repeat(500));
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let failure = ask(address).unwrap_err();
    let shown: usize = failure.excerpt.iter().map(String::len).sum();
    assert!(failure.excerpt.len() <= 3 && shown <= 2048, "{failure}");
}

#[test]
fn all_bodies_together_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::within(root(&dir), 1 << 20, 1 << 10);
    let address = respond("200 OK", "", vec![b'x'; 4 << 10]);
    let target = target(address.clone());
    let got =
        runtime()
            .unwrap()
            .block_on(get(&target, "/", &FetchArgs::default(), PATIENCE, &spool));
    let failure = got.unwrap_err();
    assert!(
        failure.what.contains(&address) && failure.what.contains("together"),
        "{failure}"
    );
}

#[test]
fn nothing_is_written_after_an_interrupt() {
    let dir = tempfile::tempdir().unwrap();
    let reader = Reader {
        keeping: Keeping::saved(&root(&dir), "T"),
        names: vec!["name".to_owned()],
        time: String::new(),
        closed: Arc::new(Mutex::new(true)),
    };
    let failure = reader.save(0, b"x").unwrap_err();
    assert_eq!(failure.exit, Exit::Interrupted);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn html_and_busy_profilers_are_told_as_what_they_are() {
    let failure = ask(respond("200 OK", "", b"<html>login</html>".to_vec())).unwrap_err();
    assert!(failure.to_string().contains("this is HTML"), "{failure}");
    let busy = b"Could not enable CPU profiling: cpu profiling already in use\n".to_vec();
    let failure = ask(respond(
        "500 Internal Server Error",
        "X-Go-Pprof: 1\r\n",
        busy,
    ))
    .unwrap_err();
    assert!(failure.excerpt[0].contains("already in use"), "{failure}");
    assert!(failure.hint.unwrap().contains("one CPU profile at a time"));
}

#[test]
fn a_closed_port_says_which_build_opens_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let failure = ask(address.clone()).unwrap_err();
    assert!(failure.hint.unwrap().contains("WITH_DEBUG=1"));
    assert_eq!(
        offers(&[target(address)], &FetchArgs::default()).unwrap(),
        [None]
    );
}

#[test]
fn the_request_is_what_net_http_pprof_serves() {
    let (sender, receiver) = channel();
    let address = server(move |_, request| sender.send(request).unwrap());
    let args = FetchArgs {
        seconds: Some(0),
        ..FetchArgs::default()
    };
    let mut cpu = target(address);
    cpu.kind = Kind::Cpu;
    let dir = tempfile::tempdir().unwrap();
    let _ = ask_all(&[cpu], &args, &root(&dir));
    let request = receiver.recv().unwrap();
    assert!(
        request.starts_with("GET /debug/pprof/profile?seconds=0 HTTP/1.1"),
        "{request}"
    );
}
