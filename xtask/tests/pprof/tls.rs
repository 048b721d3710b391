//! Fetching over https: from openssl's own server, with certificates made here.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::common::{Home, Said, run, said};
use crate::node::corpus;

/// Authorities, a certificate of this host and one of a client.
fn certificates(home: &Home) {
    let make = |name: &str, more: &[&str]| {
        let (key, pem) = (
            home.path(&format!("{name}.key")),
            home.path(&format!("{name}.pem")),
        );
        let mut openssl = Command::new("openssl");
        openssl.args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '),
        );
        openssl.args([
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            key.as_str(),
            "-out",
            pem.as_str(),
        ]);
        let told = run(openssl.args(more).current_dir(&home.root));
        assert_eq!(told.code, Some(0), "{}", told.stderr);
    };
    let signed = [
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-addext",
        "basicConstraints=CA:FALSE",
    ];
    make("ca", &[]);
    make("other", &[]);
    let address = ["-addext", "subjectAltName=IP:127.0.0.1"];
    make("server", &[&signed[..], &address].concat());
    make("client", &signed);
}

/// Serves `/debug/pprof/heap` until it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(home: &Home, more: &[&str]) -> Self {
        let served = home.path("served/debug/pprof");
        std::fs::create_dir_all(&served).unwrap();
        std::fs::copy(corpus("heap.pb.gz"), served.join("heap")).unwrap();
        let mut child = Command::new("openssl")
            .args("s_server -WWW -naccept 9 -accept 127.0.0.1:0".split(' '))
            .args(["-cert", "../server.pem", "-key", "../server.key"])
            .args(more)
            .current_dir(home.path("served"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // `ACCEPT 127.0.0.1:PORT`
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned));
        let address = line.unwrap();
        // What it prints is read: else it would wait.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(home: &Home, scheme: &str, server: &Server, words: &[&str]) -> Said {
    let url = format!("{scheme}://{}/debug/pprof/heap", server.address);
    let mut command = home.xtask(&["pprof", "open", "--top", &url]);
    said(
        &command
            .args(words)
            .current_dir(&home.root)
            .output()
            .unwrap(),
    )
}

fn shows(told: &Said) {
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(
        told.stdout.contains("main.(*controller).reconcile"),
        "{}",
        told.stdout
    );
}

#[test]
fn an_https_endpoint_is_verified() {
    let home = Home::new();
    certificates(&home);
    let server = Server::start(&home, &[]);
    shows(&open(&home, "https", &server, &["--tls_ca", "ca.pem"]));
    // curl's word for it.
    shows(&open(&home, "https", &server, &["--cacert", "ca.pem"]));
    shows(&open(&home, "https", &server, &["--insecure"]));
    shows(&open(&home, "https+insecure", &server, &[]));
    // Neither this machine nor another authority knows it.
    for words in [&[][..], &["--tls_ca", "other.pem"]] {
        let told = open(&home, "https", &server, words);
        assert_eq!(told.code, Some(4), "{}", told.stderr);
        assert!(told.stderr.contains("certificate"), "{}", told.stderr);
        assert!(
            told.stderr
                .contains("hint: name its authority with `--tls_ca FILE`"),
            "{}",
            told.stderr
        );
        assert!(!told.stderr.contains("WITH_DEBUG"), "{}", told.stderr);
    }
    let told = open(&home, "https", &server, &["--tls_ca", "nowhere.pem"]);
    assert_eq!(told.code, Some(2), "{}", told.stderr);
    assert!(
        told.stderr.contains("invalid `--tls_ca nowhere.pem`"),
        "{}",
        told.stderr
    );
    // As an endpoint of a service, too.
    let endpoint = format!("https://{}", server.address);
    let words = ["pprof", "kubelet", "heap", "--top", "--endpoint", &endpoint];
    let mut command = home.xtask(&words);
    let told = command.args(["--tls_ca", "ca.pem"]).current_dir(&home.root);
    shows(&said(&told.output().unwrap()));
}

#[test]
fn a_client_certificate_is_shown() {
    let home = Home::new();
    certificates(&home);
    let server = Server::start(
        &home,
        &[
            "-Verify",
            "1",
            "-verify_return_error",
            "-CAfile",
            "../ca.pem",
        ],
    );
    let trusts = ["--tls_ca", "ca.pem"];
    let shown = ["--tls_cert", "client.pem", "--tls_key", "client.key"];
    shows(&open(
        &home,
        "https",
        &server,
        &[&trusts[..], &shown].concat(),
    ));
    let told = open(&home, "https", &server, &trusts);
    assert_eq!(told.code, Some(4), "{}", told.stderr);
    assert!(told.stderr.contains("certificate"), "{}", told.stderr);
    assert!(told.stderr.contains("--tls_cert"), "{}", told.stderr);
    // The key of another certificate.
    let mixed = ["--tls_cert", "client.pem", "--tls_key", "other.key"];
    let told = open(&home, "https", &server, &[&trusts[..], &mixed].concat());
    assert_eq!(told.code, Some(4), "{}", told.stderr);
    assert!(
        told.stderr.contains("client.pem") || told.stderr.contains("key"),
        "{}",
        told.stderr
    );
}
