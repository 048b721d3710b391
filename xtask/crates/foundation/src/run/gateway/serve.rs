//! The relay itself: what comes to a port of the gateway goes to the same port
//! of 127.0.0.1. It ends when its cluster's folder is gone, so that it cannot
//! outlive a cluster that was taken down by other means than ours.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{
    set_ip_freebind, set_socket_keepalive, set_socket_reuseaddr, set_tcp_keepcnt, set_tcp_keepidle,
    set_tcp_keepintvl,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use talos::network::Cidr;

use super::READY;
use crate::ctx::relay::Relaying;
use crate::failure::{Because, Failure, Result};
use crate::ui;

/// At once, over all ports; a node pulls three layers at a time per image.
const CONNECTIONS: usize = 512;
const BACKLOG: i32 = 128;
const BUFFER: usize = 64 << 10;
/// Loopback answers at once or not at all.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How often the cluster's folder is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// `cluster create` makes its folder within seconds of its start.
const FOLDER_WITHIN: Duration = Duration::from_mins(15);

/// Listen, say so on standard output, and relay until the cluster is gone.
///
/// # Errors
/// When one of the addresses cannot be bound: all or nothing.
pub fn serve(relaying: &Relaying) -> Result<()> {
    // A session of our own: not ended with the run that starts us.
    let _ = rustix::process::setsid();
    let gateway = relaying
        .cidr
        .gateway()
        .ok_or_else(|| Failure::usage(format!("{} has no gateway", relaying.cidr)))?;
    let listeners = relaying
        .ports
        .iter()
        .map(|port| {
            let address = SocketAddrV4::new(gateway, *port);
            listener(address).because(|| format!("cannot listen on {address}"))
        })
        .collect::<Result<Vec<TcpListener>>>()?;
    let was_there = relaying.state_dir.is_dir();
    let open = Arc::new(AtomicUsize::new(0));
    for (listener, port) in listeners.into_iter().zip(relaying.ports.clone()) {
        let (open, cidr) = (Arc::clone(&open), relaying.cidr);
        std::thread::spawn(move || accept(&listener, port, cidr, &open));
    }
    ui::print(&format!("{READY}\n"));
    wait_for_the_end(relaying, was_there);
    Ok(())
}

/// The bridge with that address is made later, by talosctl: hence the freebind.
fn listener(address: SocketAddrV4) -> std::io::Result<TcpListener> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_ip_freebind(&socket, true)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Of a cluster that `was_there` already, or is still to be made.
fn wait_for_the_end(relaying: &Relaying, mut was_there: bool) {
    let began = Instant::now();
    let mut missed = 0;
    loop {
        std::thread::sleep(LOOK);
        if relaying.state_dir.is_dir() {
            (was_there, missed) = (true, 0);
            continue;
        }
        missed += 1;
        // Twice: a look may fall between a removal and a new cluster.
        if (was_there && missed > 1) || (!was_there && began.elapsed() > FOLDER_WITHIN) {
            return;
        }
    }
}

fn accept(listener: &TcpListener, port: u16, cidr: Cidr, open: &Arc<AtomicUsize>) {
    loop {
        match listener.accept() {
            Ok((client, peer)) => admit(client, peer, port, cidr, open),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Out of descriptors, perhaps: not in a busy loop.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Nodes and this machine only: others may have a route to the bridge.
fn admit(client: TcpStream, peer: SocketAddr, port: u16, cidr: Cidr, open: &Arc<AtomicUsize>) {
    let is_of_cluster = matches!(peer, SocketAddr::V4(peer) if cidr.contains(*peer.ip()));
    if !is_of_cluster || open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
        if is_of_cluster {
            open.fetch_sub(1, Ordering::SeqCst);
        }
        return;
    }
    let left = Arc::clone(open);
    let work = move || {
        if let Err(error) = relay(&client, port) {
            ui::say(&format!("{peer} to port {port}: {error}\n"));
        }
        left.fetch_sub(1, Ordering::SeqCst);
    };
    if std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(work)
        .is_err()
    {
        open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The buffer is on the heap.
const STACK: usize = 128 << 10;

fn relay(client: &TcpStream, port: u16) -> std::io::Result<()> {
    let registry = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let registry = TcpStream::connect_timeout(&registry, CONNECT_WITHIN)?;
    for socket in [client, &registry] {
        // A node that is power-cycled says nothing to its connections.
        set_socket_keepalive(socket, true)?;
        set_tcp_keepidle(socket, Duration::from_secs(30))?;
        set_tcp_keepintvl(socket, Duration::from_secs(10))?;
        set_tcp_keepcnt(socket, 3)?;
        socket.set_nodelay(true)?;
    }
    std::thread::scope(|scope| {
        let back = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || pump(&registry, client));
        if back.is_ok() {
            pump(client, &registry);
        }
    });
    Ok(())
}

/// One direction, to its end; then the other side is told, or, after an error,
/// both directions are ended.
fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; BUFFER];
    let ended_well = loop {
        match from.read(&mut buffer) {
            Ok(0) => break true,
            Ok(count) => {
                if to.write_all(&buffer[..count]).is_err() {
                    break false;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break false,
        }
    };
    if ended_well {
        let _ = to.shutdown(Shutdown::Write);
    } else {
        for socket in [from, to] {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry that answers with what it was asked, backwards.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut asked = Vec::new();
                socket.read_to_end(&mut asked).unwrap();
                asked.reverse();
                socket.write_all(&asked).unwrap();
            }
        });
        port
    }

    fn ask(address: SocketAddr, question: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(address).unwrap();
        // One that is refused may be closed already.
        let _ = socket
            .write_all(question)
            .and_then(|()| socket.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        answer
    }

    /// All of 127.0.0.0/8 is this machine's: 127.9.9.1 is a gateway to try with.
    fn start(cidr: &str, peers: &str) -> SocketAddr {
        let port = echo();
        let cidr = Cidr::containing(cidr).unwrap();
        let address = SocketAddrV4::new(cidr.gateway().unwrap(), port);
        let listener = listener(address).unwrap();
        let (open, peers) = (Arc::default(), Cidr::containing(peers).unwrap());
        std::thread::spawn(move || accept(&listener, port, peers, &open));
        address.into()
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
}
