//! The log of `talosctl debug air-gapped`. It tells nothing by one line alone: `CONNECT
//! NAME` is printed when a tunnel ends and when none was made, and a working tunnel
//! prints `tunneling to NAME` as it opens (docs/talos-facts.md).

use std::net::SocketAddr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Milliseconds since 1970; the helper runs with UTC.
    pub at: u64,
    pub what: Logged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logged {
    /// A tunnel to `HOST:PORT` was opened.
    Tunnel(String),
    /// A CONNECT ended, or failed if no tunnel was opened for it.
    Connect(String),
    /// Another request ended: method, and target as sent. Its status is not logged.
    Request(String, String),
    /// A TLS handshake that this client ended.
    Handshake(SocketAddr, String),
    /// The reverse proxy did not reach its target; the request's line follows.
    ProxyError(String),
}

/// Lines that are understood, in their order.
pub fn parse(text: &str) -> Vec<LogLine> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<LogLine> {
    let (stamp, rest) = line.split_at_checked(20)?;
    let stamp = DateTime::strptime("%Y/%m/%d %H:%M:%S", stamp.trim_end()).ok()?;
    let at = stamp.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let at = u64::try_from(at.as_millisecond()).ok()?;
    Some(LogLine {
        at,
        what: logged(rest)?,
    })
}

fn logged(text: &str) -> Option<Logged> {
    if let Some(rest) = text.strip_prefix("http: TLS handshake error from ") {
        let (peer, why) = rest.split_once(": ")?;
        return Some(Logged::Handshake(peer.parse().ok()?, why.to_owned()));
    }
    if let Some(why) = text.strip_prefix("http: proxy error: ") {
        return Some(Logged::ProxyError(why.to_owned()));
    }
    if let Some(name) = text.strip_prefix("HTTP CONNECT: tunneling to ") {
        // A tunnel that ends badly prints its name a second time.
        return (!name.contains(": failed")).then(|| Logged::Tunnel(name.to_owned()));
    }
    let (method, target) = text.split_once(' ')?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_method || target.contains(' ') {
        return None;
    }
    Some(match method {
        "CONNECT" => Logged::Connect(target.to_owned()),
        _ => Logged::Request(method.to_owned(), target.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_helper() {
        let text = "2026/11/29 13:00:01 writing config patch to air-gapped-patch.yaml\n\
            2026/11/29 13:00:01 starting HTTP proxy on :8002\n\
            2026/11/29 13:00:02 HTTP CONNECT: tunneling to 10.0.0.1:443\n\
            2026/11/29 13:00:03 HTTP CONNECT: tunneling to 10.0.0.1:443: failed transfer failed\n\
            2026/11/29 13:00:03 CONNECT 10.0.0.1:443\n\
            2026/11/29 13:00:03 GET /debug.yaml\n\
            2026/11/29 13:00:03 http: proxy error: dial tcp 127.0.0.1:5005: connect: connection refused\n\
            2026/11/29 13:00:04 http: TLS handshake error from 172.20.0.2:53512: remote error: tls: bad certificate\n";
        let lines: Vec<Logged> = parse(text).into_iter().map(|line| line.what).collect();
        assert_eq!(
            lines,
            [
                Logged::Tunnel("10.0.0.1:443".into()),
                Logged::Connect("10.0.0.1:443".into()),
                Logged::Request("GET".into(), "/debug.yaml".into()),
                Logged::ProxyError("dial tcp 127.0.0.1:5005: connect: connection refused".into()),
                Logged::Handshake(
                    "172.20.0.2:53512".parse().unwrap(),
                    "remote error: tls: bad certificate".into()
                ),
            ]
        );
        assert_eq!(parse(text)[0].at, 1_795_957_202_000);
    }
}
