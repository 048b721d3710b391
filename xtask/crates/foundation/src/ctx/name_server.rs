//! Whether the host's name server answers, asked once for the servers of the root zone.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use camino::Utf8Path;

use crate::files;

/// A name server of the network answers within milliseconds; one that asks others for
/// the root zone has its answer at hand.
const LIMIT: Duration = Duration::from_millis(1500);
/// The id of the question; then: recursion desired, one question, the root, NS, IN.
const QUESTION: [u8; 17] = [0x74, 0x61, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

/// Returns why names cannot be found, or `None` when the first name server that answers
/// knows the root zone.
pub(super) fn obstacle() -> Option<String> {
    let text = files::read_text(Utf8Path::new("/etc/resolv.conf"), files::SMALL);
    let text = text.ok().flatten().unwrap_or_default();
    let servers = name_servers(&text);
    if servers.is_empty() {
        return Some("`/etc/resolv.conf` has no name server".to_owned());
    }
    let mut whys = Vec::new();
    for server in servers {
        whys.push(format!("the name server {server} {}", refusal(server)?));
    }
    Some(whys.swap_remove(0))
}

fn name_servers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then(|| words.next()?.parse().ok())?
        })
        // As many as the C library asks.
        .take(3)
        .collect()
}

/// Why a server does not find names.
fn refusal(server: IpAddr) -> Option<String> {
    let ask = || -> std::io::Result<u8> {
        let local: SocketAddr = match server {
            IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            IpAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(local)?;
        socket.connect((server, 53))?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.send(&QUESTION)?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        if length < 12 || answer[..2] != QUESTION[..2] {
            return Err(std::io::Error::other("another answer"));
        }
        Ok(answer[3] & 0xf)
    };
    match ask() {
        Ok(0) => None,
        Ok(code) => Some(format!("refuses (code {code})")),
        Err(_) => Some("does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read() {
        let text = "# nameserver 1.1.1.1\nsearch x\nnameserver 10.0.0.2\nnameserver ::1 # x\nnameserver x\n";
        let servers: Vec<String> = name_servers(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(servers, ["10.0.0.2", "::1"]);
    }
}
