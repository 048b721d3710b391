//! The relay itself: connections to a port of the gateway go to the same port of
//! 127.0.0.1, all in one thread. It ends when its cluster's folder is gone, so it
//! cannot outlive a cluster that was destroyed by other means.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::sockopt::{
    set_ip_freebind, set_socket_keepalive, set_socket_reuseaddr, set_tcp_keepcnt, set_tcp_keepidle,
    set_tcp_keepintvl,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use talos::network::Cidr;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::READY;
use crate::ctx::relay::RelaySpec;
use crate::failure::{Because, Failure, Result};
use crate::ui;
use crate::wait::runtime;

const BACKLOG: i32 = 128;
const BUFFER: usize = 64 << 10;
/// Loopback accepts at once or not at all.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How often the cluster's folder is checked.
const LOOK: Duration = Duration::from_secs(1);
/// `cluster create` makes its folder within seconds of its start.
const FOLDER_WITHIN: Duration = Duration::from_mins(15);
/// How many failed connections are logged.
const LOGGED: usize = 1000;

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections at once, over all ports.
    all: usize,
    /// Connections from one address. A node pulls three layers at a time per image,
    /// and keeps idle connections to each registry.
    per_peer: usize,
    /// How long a connection may be idle in both directions. A registry that first
    /// fetches a large layer itself sends nothing for minutes.
    idle: Duration,
}

const LIMITS: Limits = Limits {
    all: 1024,
    per_peer: 128,
    idle: Duration::from_mins(10),
};

/// Listens, prints that on standard output, and relays until the cluster is gone.
///
/// # Errors
/// When one of the addresses cannot be bound: all or nothing.
pub fn serve(relaying: &RelaySpec) -> Result<()> {
    // A new session: it must not end with the run that starts it.
    let _ = rustix::process::setsid();
    // A wide network would contain every address.
    let gateway = relaying
        .cidr
        .gateway()
        .filter(|_| relaying.cidr.may_be_a_clusters())
        .ok_or_else(|| Failure::usage(format!("{} is not one cluster's network", relaying.cidr)))?;
    let listeners = relaying
        .ports
        .iter()
        .map(|port| {
            let address = SocketAddrV4::new(gateway, *port);
            listener(address).because(|| format!("cannot listen on {address}"))
        })
        .collect::<Result<Vec<std::net::TcpListener>>>()?;
    let was_there = !is_gone(relaying);
    let limits = Limits {
        all: LIMITS.all.min(descriptors() / 2),
        ..LIMITS
    };
    let runtime = runtime()?;
    let tasks = LocalSet::new();
    let relay = Rc::new(Relay::new(relaying.cidr, limits));
    tasks.block_on(&runtime, async {
        for (listener, port) in listeners.into_iter().zip(&relaying.ports) {
            let listener =
                TcpListener::from_std(listener).because(|| format!("cannot serve port {port}"))?;
            tokio::task::spawn_local(Rc::clone(&relay).accept(listener, *port));
        }
        ui::print(&format!("{READY}\n"));
        wait_for_the_end(relaying, was_there).await;
        Ok(())
    })
}

/// How many connections may be open: the limit of files, less those in other use.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let now = now.map_or(usize::MAX, |now| usize::try_from(now).unwrap_or(usize::MAX));
    now.saturating_sub(64)
}

/// talosctl makes the bridge with that address later: hence the freebind.
fn listener(address: SocketAddrV4) -> io::Result<std::net::TcpListener> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    set_ip_freebind(&socket, true)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(std::net::TcpListener::from(socket))
}

/// A folder that cannot be read is not gone.
fn is_gone(relaying: &RelaySpec) -> bool {
    match relaying.state_dir.symlink_metadata() {
        Ok(found) => !found.is_dir(),
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// Waits until the cluster is gone; without `was_there` it is still to be made.
async fn wait_for_the_end(relaying: &RelaySpec, mut was_there: bool) {
    let began = Instant::now();
    let mut missed = 0;
    loop {
        sleep(LOOK).await;
        if !is_gone(relaying) {
            (was_there, missed) = (true, 0);
            continue;
        }
        missed += 1;
        // Twice: a check may fall between a removal and a new cluster.
        if (was_there && missed > 1) || (!was_there && began.elapsed() > FOLDER_WITHIN) {
            return;
        }
    }
}

/// What all ports share.
#[derive(Debug)]
struct Relay {
    cidr: Cidr,
    limits: Limits,
    open: RefCell<HashMap<Ipv4Addr, usize>>,
    logged: Cell<usize>,
}

impl Relay {
    fn new(cidr: Cidr, limits: Limits) -> Self {
        Self {
            cidr,
            limits,
            open: RefCell::default(),
            logged: Cell::new(0),
        }
    }

    async fn accept(self: Rc<Self>, listener: TcpListener, port: u16) {
        loop {
            match listener.accept().await {
                Ok((client, peer)) => {
                    if let Some(place) = self.admit(peer) {
                        tokio::task::spawn_local(place.serve(client, peer, port));
                    }
                }
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // Perhaps out of descriptors: do not spin.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Accepts only nodes and this machine, since others may have a route to the
    /// bridge, and limit each so that the others are served as well.
    fn admit(self: &Rc<Self>, peer: SocketAddr) -> Option<Place> {
        let SocketAddr::V4(peer) = peer else {
            return None;
        };
        let peer = *peer.ip();
        let mut open = self.open.borrow_mut();
        let all: usize = open.values().sum();
        let own = open.get(&peer).copied().unwrap_or(0);
        if !self.cidr.contains(peer) || all >= self.limits.all || own >= self.limits.per_peer {
            return None;
        }
        open.insert(peer, own + 1);
        Some(Place {
            relay: Rc::clone(self),
            peer,
        })
    }
}

/// One of a peer's connections; released when dropped.
#[derive(Debug)]
struct Place {
    relay: Rc<Relay>,
    peer: Ipv4Addr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.relay.open.borrow_mut();
        match open.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.peer);
            }
        }
    }
}

impl Place {
    async fn serve(self, client: TcpStream, peer: SocketAddr, port: u16) {
        let Err(error) = relay(client, port, self.relay.limits.idle).await else {
            return;
        };
        let logged = self.relay.logged.get();
        if logged < LOGGED {
            self.relay.logged.set(logged + 1);
            ui::say(&format!("{peer} to port {port}: {error}\n"));
        }
    }
}

async fn relay(mut client: TcpStream, port: u16, idle: Duration) -> io::Result<()> {
    let registry = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let mut registry = timeout(CONNECT_WITHIN, registry).await??;
    for socket in [&client, &registry] {
        // A node that is power-cycled does not close its connections.
        set_socket_keepalive(socket, true)?;
        set_tcp_keepidle(socket, Duration::from_secs(30))?;
        set_tcp_keepintvl(socket, Duration::from_secs(10))?;
        set_tcp_keepcnt(socket, 3)?;
        socket.set_nodelay(true)?;
    }
    let moved = Cell::new(Instant::now());
    let (asked, answers) = client.split();
    let (answered, asks) = registry.split();
    let both = async {
        // An error in one direction ends both.
        let _ = tokio::try_join!(pump(asked, asks, &moved), pump(answered, answers, &moved));
    };
    tokio::select! {
        () = both => {}
        () = quiet_for(idle, &moved) => {}
    }
    Ok(())
}

/// Waits until no byte has moved in either direction for `idle`.
async fn quiet_for(idle: Duration, moved: &Cell<Instant>) {
    loop {
        let end = moved.get() + idle;
        sleep_until(end).await;
        if moved.get() + idle <= end {
            return;
        }
    }
}

/// Copies one direction to its end, and then closes the writing side.
async fn pump(from: ReadHalf<'_>, mut to: WriteHalf<'_>, moved: &Cell<Instant>) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        // An idle connection has no buffer.
        from.readable().await?;
        buffer.resize(BUFFER, 0);
        match from.try_read(&mut buffer) {
            Ok(0) => return to.shutdown().await,
            Ok(count) => {
                moved.set(Instant::now());
                let mut rest = &buffer[..count];
                while !rest.is_empty() {
                    let count = to.write(rest).await?;
                    moved.set(Instant::now());
                    rest = &rest[count..];
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => buffer = Vec::new(),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream as Stream};

    /// A registry that answers with the request, reversed.
    fn echo() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                std::thread::spawn(move || {
                    let mut asked = Vec::new();
                    let _ = socket.read_to_end(&mut asked);
                    asked.reverse();
                    let _ = socket.write_all(&asked);
                });
            }
        });
        port
    }

    fn ask(address: SocketAddr, question: &[u8]) -> Vec<u8> {
        ask_by(Stream::connect(address).unwrap(), question)
    }

    fn ask_by(mut socket: Stream, question: &[u8]) -> Vec<u8> {
        // A refused connection may be closed already.
        let _ = socket
            .write_all(question)
            .and_then(|()| socket.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        answer
    }

    /// All of 127.0.0.0/8 is this machine's: 127.9.9.1 is a gateway to try with.
    fn start(cidr: &str, peers: &str) -> SocketAddr {
        start_with(cidr, peers, LIMITS)
    }

    fn start_with(cidr: &str, peers: &str, limits: Limits) -> SocketAddr {
        let port = echo();
        let cidr = Cidr::containing(cidr).unwrap();
        let address = SocketAddrV4::new(cidr.gateway().unwrap(), port);
        let listener = listener(address).unwrap();
        let peers = Cidr::containing(peers).unwrap();
        std::thread::spawn(move || {
            let runtime = runtime().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let listener = TcpListener::from_std(listener).unwrap();
                Rc::new(Relay::new(peers, limits))
                    .accept(listener, port)
                    .await;
            });
        });
        address.into()
    }

    /// A connection from that address of this machine.
    fn connect_from(own: [u8; 4], to: SocketAddr) -> Stream {
        let kind = (AddressFamily::INET, SocketType::STREAM);
        let socket = socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, None).unwrap();
        bind(&socket, &SocketAddrV4::new(own.into(), 0)).unwrap();
        rustix::net::connect(&socket, &to).unwrap();
        Stream::from(socket)
    }

    #[test]
    fn what_comes_to_the_gateway_goes_to_loopback_and_back() {
        let address = start("127.9.9.1/24", "127.0.0.1/24");
        let question: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let mut answer = ask(address, &question);
        answer.reverse();
        assert!(answer == question);
        assert_eq!(ask(address, b"ab"), b"ba", "and again");
    }

    #[test]
    fn who_is_not_of_the_network_is_not_served() {
        let address = start("127.9.8.1/24", "127.9.7.1/24");
        assert_eq!(ask(address, b"ab"), b"");
    }

    #[test]
    fn an_address_that_no_interface_has_can_be_listened_on() {
        listener(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5000)).unwrap();
    }

    #[test]
    fn one_peer_does_not_keep_the_others_out() {
        let limits = Limits {
            per_peer: 3,
            ..LIMITS
        };
        let address = start_with("127.9.6.1/24", "127.9.5.1/24", limits);
        let held: Vec<Stream> = (0..5)
            .map(|_| connect_from([127, 9, 5, 2], address))
            .collect();
        // In the order of their arrival: the first three are held.
        assert_eq!(ask_by(connect_from([127, 9, 5, 2], address), b"ab"), b"");
        assert_eq!(ask_by(connect_from([127, 9, 5, 3], address), b"ab"), b"ba");
        let mut held = held.into_iter();
        assert_eq!(ask_by(held.next().unwrap(), b"cd"), b"dc");
        // A place is free as soon as its connection has ended.
        let again = || ask_by(connect_from([127, 9, 5, 2], address), b"ab") == b"ba";
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while !again() {
            assert!(
                std::time::Instant::now() < end,
                "its place was not given up"
            );
        }
    }

    #[test]
    fn a_quiet_connection_is_closed_and_a_slow_one_is_not() {
        let limits = Limits {
            idle: Duration::from_secs(3),
            ..LIMITS
        };
        let address = start_with("127.9.4.1/24", "127.0.0.1/24", limits);
        let mut slow = Stream::connect(address).unwrap();
        let mut quiet = Stream::connect(address).unwrap();
        let wait = Some(Duration::from_millis(100));
        quiet.set_read_timeout(wait).unwrap();
        // Each byte of the slow connection counts as activity, as long as the
        // quiet one is held.
        let is_held = |quiet: &mut Stream| {
            let kind = quiet.read(&mut [0]).map_err(|error| error.kind());
            matches!(kind, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
        };
        while is_held(&mut quiet) {
            slow.write_all(b"a").unwrap();
        }
        assert!(!ask_by(slow, b"").is_empty());
    }
}
