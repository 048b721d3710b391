//! Servers in a network of the test's own: releases, and a registry as far as
//! it is looked at.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that this thread, and what it starts, is in.
pub(crate) struct Apart {
    holder: Child,
}

impl Apart {
    pub(crate) fn enter() -> Self {
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "ip link set lo up && echo up && exec cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(holder.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        let net = std::fs::File::open(format!("/proc/{}/ns/net", holder.id())).unwrap();
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&net),
            Some(LinkNameSpaceType::Network),
        )
        .unwrap();
        Self { holder }
    }

    /// What answers as the local registry does.
    #[expect(clippy::unused_self, reason = "only in a network of its own")]
    pub(crate) fn registry(&self) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:5005").unwrap();
        let left = Arc::new(Mutex::new(u32::MAX));
        let counted = Arc::clone(&left);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut left = counted.lock().unwrap();
                if *left == 0 {
                    return;
                }
                let mut stream = stream.unwrap();
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                // Some clients only check whether the port is open.
                if reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    *left -= 1;
                    answer(&mut stream, "200 OK", "", b"{}");
                }
            }
        });
        Registry { left }
    }

    /// An interface with this address.
    #[expect(clippy::unused_self, reason = "only in a network of its own")]
    pub(crate) fn bridge(&self, address: &str) {
        let script = format!("ip link add br9 type bridge && ip address add {address} dev br9");
        let made = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(made.success());
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

pub(crate) struct Registry {
    /// How often it still answers.
    left: Arc<Mutex<u32>>,
}

impl Registry {
    /// It is there when it is looked for, and then no more.
    pub(crate) fn dies_after_probe(&self) {
        *self.left.lock().unwrap() = 1;
    }
}

/// Released files, by path.
pub(crate) struct Releases {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Path and range of each request.
    asked: Vec<(String, String)>,
    /// After how many bytes the next answers break off.
    breaks: BTreeMap<String, Vec<usize>>,
    spoiled: Vec<String>,
    /// Another place that names the file.
    redirects: BTreeMap<String, String>,
}

impl Releases {
    pub(crate) fn serve(releases: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut state = State::default();
        for release in releases {
            let mut sums = String::new();
            for file in ["vmlinuz-amd64", "initramfs-amd64.xz", "initramfs-arm64.xz"] {
                let text = format!("{file} of {release}\n").repeat(300);
                sums += &sha256(text.as_bytes());
                sums += &["  _out/", file, "\n"].concat();
                state.files.insert(format!("{release}/{file}"), text.into());
            }
            let path = format!("{release}/sha256sum.txt");
            state.files.insert(path, sums.into());
        }
        let state = Arc::new(Mutex::new(state));
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&mut stream.unwrap(), &served);
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn file(&self, path: &str) -> String {
        String::from_utf8(self.state.lock().unwrap().files[path].clone()).unwrap()
    }

    /// Once more, the next time.
    pub(crate) fn breaks(&self, path: &str, after: usize) {
        let mut state = self.state.lock().unwrap();
        state.breaks.entry(path.to_owned()).or_default().push(after);
    }

    pub(crate) fn spoils(&self, path: &str) {
        self.state.lock().unwrap().spoiled.push(path.to_owned());
    }

    pub(crate) fn heals(&self, path: &str) {
        self.state.lock().unwrap().spoiled.retain(|it| it != path);
    }

    /// Checksums of another text: `SUM` is that of `file`, `OTHER` another one.
    pub(crate) fn says(&self, sums: &str, file: &str, text: &str) {
        let mut state = self.state.lock().unwrap();
        let sum = sha256(&state.files[file]);
        let text = text.replace("SUM", &sum).replace("OTHER", &"0".repeat(64));
        let all = String::from_utf8(state.files[sums].clone()).unwrap();
        let others = all.lines().filter(|line| line.contains("initramfs"));
        let others = others.fold(String::new(), |text, line| text + line + "\n");
        state.files.insert(sums.to_owned(), (others + &text).into());
    }

    pub(crate) fn redirects(&self, path: &str, to: &str) {
        let to = if to.contains("://") {
            to.to_owned()
        } else {
            format!("{}{to}", self.url())
        };
        self.state
            .lock()
            .unwrap()
            .redirects
            .insert(path.to_owned(), to);
    }

    /// The ranges that were asked for.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        let of_path = |(asked, _): &(String, String)| asked == path;
        let all = self.all().into_iter().filter(of_path);
        all.map(|(_, range)| range).collect()
    }

    pub(crate) fn all(&self) -> Vec<(String, String)> {
        self.state.lock().unwrap().asked.clone()
    }

    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().asked.clear();
    }
}

fn sha256(bytes: &[u8]) -> String {
    let mut sum = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sum.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = sum.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

fn serve(stream: &mut TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default();
    let path = path.trim_start_matches('/').to_owned();
    let mut range = String::new();
    for line in lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        if let Some(value) = line.to_lowercase().strip_prefix("range: ") {
            value.clone_into(&mut range);
        }
    }
    let mut state = state.lock().unwrap();
    state.asked.push((path.clone(), range.clone()));
    let Some(mut file) = state.files.get(&path).cloned() else {
        return answer(stream, "404 Not Found", "", b"");
    };
    if let Some(to) = state.redirects.get(&path) {
        return answer(stream, "302 Found", &format!("Location: {to}\r\n"), b"");
    }
    if state.spoiled.contains(&path) {
        file[0] ^= 1;
    }
    let from = range.trim_start_matches("bytes=").trim_end_matches('-');
    let from: usize = from.parse().unwrap_or_default();
    if from >= file.len() {
        return answer(stream, "416 Range Not Satisfiable", "", b"");
    }
    let range = format!(
        "Content-Range: bytes {from}-{}/{}\r\n",
        file.len() - 1,
        file.len()
    );
    let (status, range) = match from {
        0 => ("200 OK", ""),
        _ => ("206 Partial Content", range.as_str()),
    };
    let rest = &file[from..];
    match state.breaks.get_mut(&path).and_then(Vec::pop) {
        Some(after) => {
            head(stream, status, range, rest.len());
            let _ = stream.write_all(&rest[..after.min(rest.len() - 1)]);
        }
        None => answer(stream, status, range, rest),
    }
}

fn head(stream: &mut TcpStream, status: &str, more: &str, length: usize) {
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n"
    );
}

fn answer(stream: &mut TcpStream, status: &str, more: &str, body: &[u8]) {
    head(stream, status, more, body.len());
    let _ = stream.write_all(body);
    // Not reset before it is read.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(2)));
    let _ = stream.read(&mut [0; 1024]);
}
