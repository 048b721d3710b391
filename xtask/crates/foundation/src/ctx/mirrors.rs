//! Finds the registries that run on this machine: a port counts if it responds
//! like a registry.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::ports::{self, Listener, Protocol};
use super::registries::Spec;

/// A registry on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The image host that it mirrors.
    pub host: String,
    pub port: u16,
    /// Whether it only listens on loopback, so that nodes need the relay.
    pub needs_relay: bool,
}

/// Returns those of `specs` that respond, by port.
pub fn probe(specs: &[Spec]) -> Vec<Mirror> {
    let listeners = ports::listeners();
    let answers: Vec<bool> = std::thread::scope(|scope| {
        let asked: Vec<_> = specs
            .iter()
            .map(|spec| scope.spawn(|| is_registry(spec.port)))
            .collect();
        asked
            .into_iter()
            .map(|thread| thread.join().unwrap_or(false))
            .collect()
    });
    let mut mirrors: Vec<Mirror> = specs
        .iter()
        .zip(answers)
        .filter(|(_, answers)| *answers)
        .map(|(spec, _)| Mirror {
            host: spec.host.clone(),
            port: spec.port,
            needs_relay: !is_on_every_address(&listeners, spec.port),
        })
        .collect();
    mirrors.sort_by_key(|mirror| mirror.port);
    mirrors
}

/// As with `docker run -p 5000:5000` of Talos' script.
fn is_on_every_address(listeners: &[Listener], port: u16) -> bool {
    listeners.iter().any(|listener| {
        listener.port == port
            && listener.protocol == Protocol::Tcp
            && listener.address.is_unspecified()
    })
}

/// A registry responds to `/v2/` with 200, or with 401 if it needs a login.
pub fn is_registry(port: u16) -> bool {
    matches!(get(port, "/v2/"), Some(200 | 401))
}

/// Returns the listener on 127.0.0.1 at `port`, if known.
pub fn holder(port: u16) -> Option<Listener> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    ports::listeners().into_iter().find(|listener| {
        listener.port == port && listener.protocol == Protocol::Tcp && listener.takes(loopback)
    })
}

fn get(port: u16, path: &str) -> Option<u16> {
    // Fails immediately if nothing listens; the HTTP agent would take longer.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(2)))
        .max_redirects(0)
        .http_status_as_error(false);
    let agent = ureq::Agent::from(config.build());
    let response = agent
        .get(format!("http://127.0.0.1:{port}{path}"))
        .call()
        .ok()?;
    Some(response.status().as_u16())
}
