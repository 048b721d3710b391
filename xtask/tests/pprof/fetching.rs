//! Some nodes misbehave: what the others sent is kept, and the failure names
//! the node.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::sync::{Arc, Barrier};

use crate::common::{Home, said};
use crate::node::{ask, corpus, healthy, saved, send, serve};

/// What is saved: endpoint, and whether there is a file.
fn kept(home: &Home) -> Vec<(String, bool)> {
    let set = saved(home);
    let entries = set["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let node = entry["node"].as_str().unwrap().to_owned();
            (node, entry["file"].is_string())
        })
        .collect()
}

#[test]
fn a_node_that_dies_in_a_cpu_profile_costs_only_its_own() {
    let home = Home::new();
    let healthy = healthy("cpu.pb.gz");
    let dying = serve(|stream, path, _| {
        assert!(path.ends_with("/profile?seconds=1"), "{path}");
        // As net/http/pprof: the head comes first, the profile at the end.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    });
    let half = serve(|stream, _, _| {
        let whole = std::fs::read(corpus("cpu.pb.gz")).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.len());
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&whole[..whole.len() / 2]);
    });
    let words = ["machined", "cpu", "--seconds", "1", "--top"];
    let output = ask(&home, &words, &[&healthy, &dying, &half])
        .output()
        .unwrap();
    let said = said(&output);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("2 of 3 profiles are missing"),
        "{}",
        said.stderr
    );
    for node in [&dying, &half] {
        assert!(
            said.stderr.contains(&format!("`{node}` broke off")),
            "{}",
            said.stderr
        );
    }
    assert!(
        said.stdout.contains("main.fib"),
        "what came is shown: {}",
        said.stdout
    );
    let expected = [(healthy, true), (dying, false), (half, false)];
    assert_eq!(kept(&home), expected.clone());

    let words = [&words[..], &["--allow-missing"]].concat();
    let nodes: Vec<&String> = expected.iter().map(|(node, _)| node).collect();
    let output = ask(&home, &words, &nodes).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_mistyped_word_is_told_what_was_meant() {
    let home = Home::new();
    let node = serve(|stream, path, _| {
        assert_eq!(path, "/debug/pprof/", "nothing else is asked for");
        send(
            stream,
            b"<a href='cmdline?debug=1'>1</a><a href='heap?debug=1'>2</a>",
        );
    });
    let told = |words: &[&str], endpoints: &[&String]| {
        let said = said(&ask(&home, words, endpoints).output().unwrap());
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        said.stderr
    };
    let profile = told(&["machined", "haep"], &[&node]);
    assert!(profile.contains("did you mean `heap`?"), "{profile}");
    assert!(profile.contains("it offers: heap\n"), "{profile}");
    let host = "127.0.0.1".to_owned();
    let service = told(&["machind", "heap"], &[&host]);
    assert!(service.contains("did you mean `machined`?"), "{service}");
}

/// The same command with a limit of address space, in KiB.
fn limited(home: &Home, real: &Command, limit: u32) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {limit}; exec \"$@\""), "sh"]);
    command.arg(real.get_program()).args(real.get_args());
    for (name, value) in real.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(&home.root);
    command
}

/// A profile of this many strings of a kilobyte that no sample uses.
fn many_strings(count: usize) -> Vec<u8> {
    // A sample type, and the empty string.
    let mut bytes = vec![0x0a, 4, 0x08, 1, 0x10, 1, 0x32, 0];
    for place in 0..count {
        bytes.extend([0x32, 0x80, 0x08]);
        bytes.extend(format!("{place:01024}").into_bytes());
    }
    bytes
}

/// Sixteen megabytes that inflate to nearly a gigabyte, and bodies that are
/// allowed each by itself, from all nodes at once.
#[test]
fn what_all_nodes_send_together_does_not_fill_the_memory() {
    let home = Home::new();
    let parts =
        "for i in $(seq 60); do head -c 263168 /dev/urandom; head -c 15720000 /dev/zero; done";
    let bomb = Command::new("sh")
        .args(["-c", &format!("({parts}) | gzip -1")])
        .output()
        .unwrap()
        .stdout;
    assert!(bomb.len() > 15 << 20, "{} bytes", bomb.len());
    let (bomb, large) = (Arc::new(bomb), Arc::new(many_strings(100 << 10)));
    let all = |body: &Arc<Vec<u8>>, count: usize| -> Vec<String> {
        let nodes = (0..count).map(|_| {
            let body = Arc::clone(body);
            serve(move |stream, _, _| send(stream, &body))
        });
        nodes.collect()
    };
    let (bombs, large) = (all(&bomb, 4), all(&large, 8));
    let healthy = healthy("cpu.pb.gz");
    let nodes: Vec<&String> = large.iter().chain(&bombs).chain([&healthy]).collect();
    // All of them at once, and each has to be in memory: more than a gigabyte and three.
    let words = ["machined", "cpu", "--seconds", "1", "--top"];
    let said = said(
        &limited(&home, &ask(&home, &words, &nodes), 1_500_000)
            .output()
            .unwrap(),
    );
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        said.stderr.contains("4 of 13 profiles are missing"),
        "{}",
        said.stderr
    );
    for bomb in &bombs {
        let told = format!("`{bomb}` has more than 256 MiB");
        assert!(said.stderr.contains(&told), "{}", said.stderr);
    }
    let saved = kept(&home);
    for node in large.iter().chain([&healthy]) {
        assert!(saved.contains(&(node.clone(), true)), "{saved:?}");
    }
}

#[test]
fn ten_gigabytes_do_not_fill_the_memory() {
    let home = Home::new();
    let healthy = healthy("heap.pb.gz");
    let flood = serve(|stream, _, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n");
        let block = vec![0x0a; 1 << 20];
        while stream.write_all(&block).is_ok() {}
    });
    let real = ask(&home, &["machined", "heap", "--top"], &[&healthy, &flood]);
    let said = said(&limited(&home, &real, 1_500_000).output().unwrap());
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let told = format!("`{flood}` sends more than 128 MiB");
    assert!(said.stderr.contains(&told), "{}", said.stderr);
    assert_eq!(kept(&home), [(healthy, true), (flood, false)]);
}

#[test]
fn five_nodes_are_asked_at_once() {
    let home = Home::new();
    // None answers before all have been asked: in turn this would never end.
    let all = Arc::new(Barrier::new(5));
    let nodes: Vec<String> = (0..5)
        .map(|_| {
            let all = Arc::clone(&all);
            let body = std::fs::read(corpus("cpu.pb.gz")).unwrap();
            serve(move |stream, _, _| {
                all.wait();
                send(stream, &body);
            })
        })
        .collect();
    let nodes: Vec<&String> = nodes.iter().collect();
    let output = ask(&home, &["machined", "cpu", "--seconds", "1", "-q"], &nodes).output();
    let said = said(&output.unwrap());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(kept(&home).len(), 5);
}

#[test]
fn an_interrupt_keeps_what_has_come() {
    let home = Home::new();
    let healthy = healthy("heap.pb.gz");
    let (sender, asked) = std::sync::mpsc::channel();
    let stuck = serve(move |_, _, _| {
        sender.send(()).unwrap();
        std::thread::sleep(std::time::Duration::from_mins(1));
    });
    let mut command = ask(&home, &["machined", "heap"], &[&healthy, &stuck]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    asked.recv().unwrap();
    // A line with the time that it took: the healthy one has come.
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = stderr.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(&healthy) && line.ends_with(" s")));
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    let said = said(&child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(130), "{}", said.stderr);
    assert_eq!(kept(&home), [(healthy, true), (stuck, false)]);
}

/// `kubectl proxy` serves the API server's own profiles at its root.
#[test]
fn a_proxys_path_leads_to_the_node_behind_it() {
    let home = Home::new();
    let proxy = serve(|stream, path, _| match path {
        "/api/v1/nodes/n1/proxy/debug/pprof/heap" => {
            send(stream, &std::fs::read(corpus("heap.pb.gz")).unwrap());
        }
        _ => send(stream, b"profiles of another process"),
    });
    let endpoint = format!("http://{proxy}/api/v1/nodes/n1/proxy");
    let told = said(
        &ask(&home, &["kubelet", "heap", "--top"], &[&endpoint])
            .output()
            .unwrap(),
    );
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("flat%"), "{}", told.stdout);
    assert_eq!(kept(&home), [("n1".to_owned(), true)]);
    let whole = format!("{endpoint}/debug/pprof/goroutine?debug=1");
    let told = said(
        &ask(&home, &["kubelet", "heap"], &[&whole])
            .output()
            .unwrap(),
    );
    assert_eq!(told.code, Some(2), "{}", told.stderr);
    assert!(told.stderr.contains("`--gc`"), "{}", told.stderr);
}

/// The sources that `go tool pprof` and curl take: a socket, a user, a header, a whole URL.
#[test]
fn profiles_come_from_sockets_and_with_credentials() {
    let home = Home::new();
    let socket = home.path("debug.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            request.read_line(&mut line).unwrap();
            assert!(line.starts_with("GET /debug/pprof/heap HTTP/1.1"), "{line}");
            while line.trim() != "" {
                line.clear();
                request.read_line(&mut line).unwrap();
            }
            let body = std::fs::read(corpus("heap.pb.gz")).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    let url = format!("unix:{socket}");
    for words in [
        vec!["open", &url, "--top"],
        vec!["app", "heap", "--top", "--endpoint", &url],
    ] {
        let mut command = home.xtask(&["pprof"]);
        let said = said(&command.args(&words).output().unwrap());
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.stderr);
        assert!(said.stdout.contains("reconcile"), "{}", said.stdout);
    }

    let (sender, headers) = std::sync::mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let request = BufReader::new(stream.try_clone().unwrap());
            let head: Vec<String> = request
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            sender.send(head.join("\n").to_lowercase()).unwrap();
            stream
                .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        }
    });
    let url = format!("http://ann:s3cret@{address}/debug/pprof/heap?gc=1");
    let mut command = home.xtask(&["pprof", "open", "--header", "X-Scope: one", &url]);
    let said = said(&command.output().unwrap());
    let asked = headers.recv().unwrap();
    assert!(asked.starts_with("get /debug/pprof/heap?gc=1 "), "{asked}");
    assert!(asked.contains("x-scope: one"), "{asked}");
    // ann:s3cret
    assert!(
        asked.contains(
            "authorization: basic yw5uonmzy3jldA=="
                .to_lowercase()
                .as_str()
        ),
        "{asked}"
    );
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(said.stderr.contains("401"), "{}", said.stderr);
    assert!(said.stderr.contains("--header"), "{}", said.stderr);
    assert!(!said.stderr.contains("s3cret"), "{}", said.stderr);
}
