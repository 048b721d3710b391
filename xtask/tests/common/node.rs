//! An HTTP server on loopback in place of a node, and profiles for it that no Go
//! program writes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Serves until the test ends, and returns the address. `answer` gets the path
/// and the number of requests before.
pub fn serve(answer: impl Fn(&mut TcpStream, &str, usize) + Send + Sync + 'static) -> String {
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

/// Sends a complete response with `body`.
pub fn send(stream: &mut TcpStream, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

/// Returns a profile whose sample type and unit are `kind` and `unit`, with one
/// stack: `names` from the leaf to the root, repeated. The names are those of
/// files as well.
pub fn profile(kind: &[u8], unit: &[u8], names: &[&[u8]], repeated: usize) -> Vec<u8> {
    let (mut bytes, mut stack, mut sample) = (Vec::new(), Vec::new(), Vec::new());
    field(&mut bytes, 0x0a, &[0x08, 1, 0x10, 2]);
    for _ in 0..repeated {
        for id in 1..=names.len() {
            varint(&mut stack, id);
        }
    }
    field(&mut sample, 0x0a, &stack);
    field(&mut sample, 0x12, &[100]);
    field(&mut bytes, 0x12, &sample);
    for id in 1..=names.len() {
        let (mut line, mut location, mut function) = (vec![0x08], vec![0x08], vec![0x08]);
        varint(&mut line, id);
        varint(&mut location, id);
        field(&mut location, 0x22, &line);
        varint(&mut function, id);
        for tag in [0x10, 0x20] {
            function.push(tag);
            varint(&mut function, id + 2);
        }
        field(&mut bytes, 0x22, &location);
        field(&mut bytes, 0x2a, &function);
    }
    for text in [&b""[..], kind, unit].iter().chain(names) {
        field(&mut bytes, 0x32, text);
    }
    bytes
}

fn field(out: &mut Vec<u8>, tag: u8, inner: &[u8]) {
    out.push(tag);
    varint(out, inner.len());
    out.extend_from_slice(inner);
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}
