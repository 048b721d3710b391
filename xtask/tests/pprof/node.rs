//! A node of our own: an HTTP server on loopback that gives what a test says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::Utf8PathBuf;
use pprof::{Profile, Source};

use crate::common::Home;

/// The profiles that the repository keeps.
pub(crate) fn corpus(name: &str) -> Utf8PathBuf {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/pprof");
    Utf8PathBuf::from(corpus).join(name)
}

pub(crate) fn profile(name: &str) -> Profile {
    pprof::decode(std::fs::read(corpus(name)).unwrap()).unwrap()
}

/// The profile repeated, of the moment `seconds`.
pub(crate) fn grown(name: &str, times: f64, seconds: i64) -> Vec<u8> {
    let mut source = Source::new(profile(name));
    source.factor = times;
    let mut profile = pprof::merge(vec![source]).unwrap();
    profile.header.time_nanos = seconds * 1_000_000_000;
    pprof::compress(&profile).unwrap()
}

/// Serve until the test ends. `answer` gets the path and how many asked before.
pub(crate) fn serve(
    answer: impl Fn(&mut TcpStream, &str, usize) + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (answer, asked) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let before = asked.fetch_add(1, Ordering::SeqCst);
                answer(&mut stream, &path, before);
            });
        }
    });
    address
}

/// All of a body.
pub(crate) fn send(stream: &mut TcpStream, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

/// One that answers every question with the same profile.
pub(crate) fn healthy(name: &str) -> String {
    let body = std::fs::read(corpus(name)).unwrap();
    serve(move |stream, _, _| send(stream, &body))
}

/// `xtask pprof WORDS --endpoint …`
pub(crate) fn ask(home: &Home, words: &[&str], endpoints: &[&String]) -> Command {
    let mut command = home.xtask(&["pprof"]);
    command.args(words);
    for endpoint in endpoints {
        command.args(["--endpoint", endpoint]);
    }
    command
}

/// What the newest fetch saved.
pub(crate) fn saved(home: &Home) -> serde_json::Value {
    let output = home.xtask(&["pprof", "list", "--json"]).output().unwrap();
    let mut list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sets = list["sets"].as_array_mut().unwrap();
    sets.first_mut()
        .map_or(serde_json::Value::Null, serde_json::Value::take)
}

/// A profile in which nothing is as anybody writes it: its sample type and its
/// unit are `kind` and `unit`, and one stack calls all of `names`, the first
/// one from the root.
pub(crate) fn odd(kind: &[u8], unit: &[u8], names: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let varint = |out: &mut Vec<u8>, mut value: usize| {
        while value >= 0x80 {
            out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
    };
    let field = |out: &mut Vec<u8>, tag: u8, inner: &[u8]| {
        out.push(tag);
        varint(out, inner.len());
        out.extend_from_slice(inner);
    };
    field(&mut bytes, 0x0a, &[0x08, 1, 0x10, 2]);
    let mut stack = Vec::new();
    for id in (1..=names.len()).rev() {
        varint(&mut stack, id);
    }
    let mut sample = Vec::new();
    field(&mut sample, 0x0a, &stack);
    field(&mut sample, 0x12, &[100]);
    field(&mut bytes, 0x12, &sample);
    for id in 1..=names.len() {
        let (mut line, mut location, mut function) = (vec![0x08], vec![0x08], vec![0x08]);
        varint(&mut line, id);
        varint(&mut location, id);
        field(&mut location, 0x22, &line);
        varint(&mut function, id);
        function.push(0x10);
        varint(&mut function, id + 2);
        field(&mut bytes, 0x22, &location);
        field(&mut bytes, 0x2a, &function);
    }
    for text in [&b""[..], kind, unit].iter().chain(names) {
        field(&mut bytes, 0x32, text);
    }
    bytes
}
