//! The relay between a cluster's nodes and registries on loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::Case;
use crate::common::{SOON, within};
use crate::stage::Stage;

/// The gateway, and two nodes: addresses of this machine while a relay runs.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const NODE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);

struct Relay {
    child: Child,
    port: u16,
}

impl Relay {
    /// In front of a registry that answers with what it was asked.
    fn start(stage: &Stage) -> Self {
        for address in [GATEWAY, NODE, OTHER, OUTSIDE] {
            addresses("replace", address);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                std::thread::spawn(move || {
                    let mut copy = socket.try_clone().unwrap();
                    let _ = std::io::copy(&mut socket, &mut copy);
                    let _ = copy.shutdown(Shutdown::Write);
                });
            }
        });
        let folder = stage.dir(".talos/clusters/lab");
        let mut child = stage
            .xtask(&[
                "internal",
                "gateway",
                &format!("--of={folder}"),
                "--cidr=10.77.0.0/24",
                &format!("--ports={port}"),
                "--serve",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        assert_eq!(&ready, b"ready\n");
        Self { child, port }
    }

    fn connect(&self, from: Ipv4Addr) -> TcpStream {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &SocketAddrV4::new(from, 0)).unwrap();
        connect(&socket, &SocketAddrV4::new(GATEWAY, self.port)).unwrap();
        let socket = TcpStream::from(socket);
        // One that hangs fails the case.
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket
    }

    /// Whether a node at that address is served.
    fn serves(&self, from: Ipv4Addr) -> bool {
        let mut socket = self.connect(from);
        let _ = socket
            .write_all(b"hello")
            .and_then(|()| socket.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        answer == b"hello"
    }

    /// It still is there, on one thread.
    fn is_well(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "it ended");
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        assert_eq!(threads.unwrap().count(), 1);
    }

    fn files(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        files.unwrap().count()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for address in [GATEWAY, NODE, OTHER, OUTSIDE] {
            addresses("delete", address);
        }
    }
}

fn addresses(verb: &str, address: Ipv4Addr) {
    let argv = ["address", verb, &format!("{address}/32"), "dev", "lo"];
    let status = Command::new("ip").args(argv).status().unwrap();
    assert!(status.success(), "{argv:?}");
}

pub const CASES: &[Case] = &[
    Case {
        name: "six_hundred_idle_connections",
        kind: "one node holds what all need",
        attack: |stage| {
            let mut relay = Relay::start(stage);
            let held: Vec<TcpStream> = (0..600).map(|_| relay.connect(NODE)).collect();
            assert!(relay.serves(OTHER));
            assert!(!relay.serves(NODE), "one node has all that it asks for");
            relay.is_well();
            assert!(relay.files() < 400, "{}", relay.files());
            drop(held);
            assert!(
                within(SOON, || relay.serves(NODE)),
                "its places are not given up"
            );
        },
    },
    Case {
        name: "half_open_connections",
        kind: "what has ended is kept",
        attack: |stage| {
            let mut relay = Relay::start(stage);
            let before = relay.files();
            for _ in 0..300 {
                let mut socket = relay.connect(NODE);
                socket.shutdown(Shutdown::Write).unwrap();
                let mut rest = Vec::new();
                let _ = socket.read_to_end(&mut rest);
            }
            assert!(relay.serves(NODE) && relay.serves(OTHER));
            relay.is_well();
            assert!(
                relay.files() <= before + 8,
                "{} after {before}",
                relay.files()
            );
        },
    },
    Case {
        name: "connections_that_are_reset",
        kind: "what has ended is kept",
        attack: |stage| {
            let mut relay = Relay::start(stage);
            for _ in 0..300 {
                let mut socket = relay.connect(NODE);
                let _ = socket.write_all(&[b'x'; 4096]);
                rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
            }
            assert!(within(SOON, || relay.serves(NODE)));
            relay.is_well();
        },
    },
    Case {
        name: "who_never_reads",
        kind: "one node holds what all need",
        attack: |stage| {
            let mut relay = Relay::start(stage);
            let greedy: Vec<TcpStream> = (0..100)
                .map(|_| {
                    let mut socket = relay.connect(NODE);
                    socket.set_nonblocking(true).unwrap();
                    // Until neither side takes any more.
                    while socket.write(&[b'x'; 65536]).is_ok() {}
                    socket
                })
                .collect();
            assert!(relay.serves(OTHER));
            relay.is_well();
            drop(greedy);
        },
    },
    Case {
        name: "who_is_not_of_the_network",
        kind: "an open proxy",
        attack: |stage| {
            let mut relay = Relay::start(stage);
            for _ in 0..200 {
                assert!(!relay.serves(OUTSIDE));
            }
            assert!(relay.serves(NODE));
            relay.is_well();
        },
    },
    Case {
        name: "a_network_of_everybody",
        kind: "an open proxy",
        attack: |stage| {
            let folder = stage.dir(".talos/clusters/lab");
            for cidr in ["0.0.0.0/0", "1.0.0.0/8", "127.0.0.0/8", "10.77.0.1/32", "x"] {
                let said = stage.attack(&[
                    "internal",
                    "gateway",
                    &format!("--of={folder}"),
                    &format!("--cidr={cidr}"),
                    "--ports=5999",
                    "--serve",
                ]);
                said.with(2);
            }
        },
    },
    Case {
        name: "a_log_that_is_a_link",
        kind: "links are followed",
        attack: |stage| {
            for address in [GATEWAY, NODE] {
                addresses("replace", address);
            }
            let target = stage.others.join("shared/bystander-secret");
            let log = stage.link(".local/state/talos-xtask/relays/lab.log", target);
            let folder = stage.dir(".talos/clusters/lab");
            let said = stage.attack(&[
                "internal",
                "gateway",
                &format!("--of={folder}"),
                "--cidr=10.77.0.0/24",
                "--ports=5999",
            ]);
            // The link goes, and what it led to stays.
            said.with(0);
            assert!(log.symlink_metadata().unwrap().is_file());
            std::fs::remove_dir(folder).unwrap();
            let is_free = || TcpListener::bind((GATEWAY, 5999)).is_ok();
            assert!(within(SOON, is_free), "the relay outlives its cluster");
        },
    },
    Case {
        name: "a_cluster_that_has_gone",
        kind: "what has ended is kept",
        attack: |stage| {
            let mut relay = Relay::start(stage);
            let held = relay.connect(NODE);
            std::fs::remove_dir(stage.home.join(".talos/clusters/lab")).unwrap();
            let ended = || relay.child.try_wait().unwrap().is_some();
            assert!(within(SOON, ended), "it outlives its cluster");
            drop(held);
        },
    },
];
