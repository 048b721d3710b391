//! Against servers that misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

/// Serve one connection; gives back the address.
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
        service: "machined".into(),
        profile: "heap".into(),
        talos: Some("v1.13.0-3-gabc1234".into()),
    }
}

fn heap() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/pprof/heap.pb.gz");
    std::fs::read(path).unwrap()
}

fn ask(address: String) -> Result<Fetched> {
    one(
        &target(address),
        &FetchArgs::default(),
        "2026-11-21T04:45:12Z",
    )
}

#[test]
fn a_profile_carries_its_origin_inside() {
    let fetched = ask(respond("200 OK", "", heap())).unwrap();
    let Body::Profile(_, file) = fetched.body else {
        panic!("a heap profile is decoded");
    };
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
}

#[test]
fn a_flood_ends_at_the_limit() {
    let address = server(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let block = vec![0x12; 1 << 20];
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
    let failure = ask(address).unwrap_err();
    assert!(failure.hint.unwrap().contains("WITH_DEBUG=1"));
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
    cpu.profile = "cpu".into();
    let _ = one(&cpu, &args, "");
    let request = receiver.recv().unwrap();
    assert!(
        request.starts_with("GET /debug/pprof/profile?seconds=0 HTTP/1.1"),
        "{request}"
    );
}
