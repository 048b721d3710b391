//! The server behind the helper's reverse proxy.

use std::net::{IpAddr, Ipv4Addr};

/// The parts of its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseTarget {
    /// `HOST` or `HOST:PORT`, as images name it.
    pub registry: String,
    pub host: String,
    pub port: u16,
    /// It is on this host, so what reaches it has not left.
    pub is_local: bool,
}

impl ReverseTarget {
    /// Returns `None` unless it is a URL of HTTP or HTTPS with a host. This host has the
    /// address `gateway`, too.
    pub fn parse(url: &str, gateway: Option<Ipv4Addr>) -> Option<Self> {
        let (default, rest) = match url.split_once("://")? {
            ("http", rest) => (80, rest),
            ("https", rest) => (443, rest),
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['@', ' ']) {
            return None;
        }
        let is_local = match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || gateway.map(IpAddr::V4) == Some(address),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        Some(Self {
            registry: authority.to_owned(),
            host: host.to_owned(),
            port,
            is_local,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_with_a_host() {
        let gateway = Some(Ipv4Addr::new(172, 20, 0, 1));
        let parse = |url| ReverseTarget::parse(url, gateway);
        let local = parse("http://127.0.0.1:5005").unwrap();
        assert_eq!(
            (local.registry.as_str(), local.port, local.is_local),
            ("127.0.0.1:5005", 5005, true)
        );
        let away = parse("https://registry.example/path").unwrap();
        assert_eq!(
            (away.registry.as_str(), away.port, away.is_local),
            ("registry.example", 443, false)
        );
        for url in [
            "http://localhost/",
            "http://[::1]:80",
            "http://172.20.0.1:5000",
        ] {
            assert!(parse(url).unwrap().is_local, "{url}");
        }
        for url in [
            "",
            "registry.example",
            "ftp://a",
            "https://",
            "http://a:x",
            "http://u@a",
        ] {
            assert_eq!(parse(url), None, "{url}");
        }
    }
}
