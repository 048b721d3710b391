//! The two doors to a running node on its host, as bytes.
//!
//! QEMU's human monitor (`<node>.monitor`, root only): it greets, prompts with
//! `(qemu) ` and takes commands by the line. The launcher's control API
//! (`http://GATEWAY:APIPORT`, no authentication): HTTP with an empty body.
//! Source: docs/talos-facts.md#node-control-api, pkg/provision/providers/vm/launch.go. Must not:
//! open a connection.

use serde::Deserialize;
use std::net::SocketAddr;

/// Monitor command that makes QEMU exit with 0: the launcher starts it again.
pub const QUIT: &[u8] = b"q\n";

/// How far a monitor connection got, by all bytes received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorState {
    /// Nothing but the beginning of a greeting: read on.
    Waiting,
    /// It prompts: a command may be sent. QEMU serves one connection at a time,
    /// so a second one waits here for as long as the first is open.
    Prompting,
    /// Not a monitor.
    Foreign,
}

/// Tells the state of a monitor connection.
pub fn monitor_state(received: &[u8]) -> MonitorState {
    const GREETING: &[u8] = b"QEMU ";
    let common = received.len().min(GREETING.len());
    if received[..common] != GREETING[..common] {
        MonitorState::Foreign
    } else if received.ends_with(b"(qemu) ") {
        MonitorState::Prompting
    } else {
        MonitorState::Waiting
    }
}

/// QEMU's version in a greeting: `7.2.22`.
pub fn monitor_version(received: &[u8]) -> Option<&str> {
    let line = received.split(|b| *b == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("QEMU ")?.split(' ').next()
}

/// A request to the launcher's control API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Kills QEMU and starts it again; starts it when the node was off.
    Reboot,
    PowerOn,
    /// Kills QEMU. With a grace period (seconds, 1.14+, see
    /// [`poweroff_takes_grace_period`](crate::TalosVersion::poweroff_takes_grace_period))
    /// the guest is asked to shut down first.
    PowerOff {
        grace_seconds: Option<u32>,
    },
    /// The next start boots from the network.
    PxeBoot,
    Status,
}

impl Control {
    /// The HTTP request, whole.
    pub fn request(self, address: SocketAddr) -> Vec<u8> {
        let (method, path) = match self {
            Self::Reboot => ("POST", "/reboot".to_owned()),
            Self::PowerOn => ("POST", "/poweron".to_owned()),
            Self::PowerOff {
                grace_seconds: None,
            } => ("POST", "/poweroff".to_owned()),
            Self::PowerOff {
                grace_seconds: Some(seconds),
            } => ("POST", format!("/poweroff?grace-period={seconds}s")),
            Self::PxeBoot => ("POST", "/pxeboot".to_owned()),
            Self::Status => ("GET", "/status".to_owned()),
        };
        let length = if method == "POST" {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{length}Connection: close\r\n\r\n")
            .into_bytes()
    }
}

/// Why a control response is no success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The connection ended before the response did.
    #[error("the launcher's answer ends after {got} bytes")]
    Short { got: usize },
    #[error("this is not the launcher's control API: its answer begins with {line:?}")]
    Foreign { line: String },
    #[error("the launcher answers {code}: {body}")]
    Status { code: u16, body: String },
    #[error("the launcher's status cannot be read: {reason}")]
    Json { reason: String },
}

/// Reads a whole response (until the connection's end) and returns its body.
///
/// # Errors
/// Anything but a complete 200.
pub fn parse_response(received: &[u8]) -> Result<&[u8], ControlError> {
    let short = || ControlError::Short {
        got: received.len(),
    };
    let first = received.split(|b| *b == b'\r').next().unwrap_or(received);
    let line = String::from_utf8_lossy(first);
    let Some(rest) = line.strip_prefix("HTTP/1.") else {
        if b"HTTP/1.".starts_with(first) {
            return Err(short());
        }
        return Err(ControlError::Foreign {
            line: line.chars().take(80).collect(),
        });
    };
    let end = memchr::memmem::find(received, b"\r\n\r\n").ok_or_else(short)?;
    let mut body = &received[end + 4..];
    if let Some(length) = content_length(&received[..end]) {
        body = body.get(..length).ok_or_else(short)?;
    }
    match rest.split(' ').nth(1).and_then(|code| code.parse().ok()) {
        Some(200) => Ok(body),
        Some(code) => {
            let body = String::from_utf8_lossy(body)
                .trim()
                .chars()
                .take(200)
                .collect();
            Err(ControlError::Status { code, body })
        }
        None => Err(ControlError::Foreign {
            line: line.into_owned(),
        }),
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })
}

/// Whether the node is powered on, from the whole response to [`Control::Status`].
///
/// # Errors
/// Those of [`parse_response`], and [`ControlError::Json`].
pub fn parse_status(received: &[u8]) -> Result<bool, ControlError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Status {
        powered_on: bool,
    }
    let body = parse_response(received)?;
    let status: Status = serde_json::from_slice(body).map_err(|error| ControlError::Json {
        reason: error.to_string(),
    })?;
    Ok(status.powered_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 7.2 and talosctl 1.12.0 sent them.
    const GREETING: &[u8] = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ";
    const STATUS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 03:54:52 GMT\r\nContent-Length: 19\r\n\r\n{\"PoweredOn\":true}\n";
    const WRONG_METHOD: &[u8] = b"HTTP/1.1 501 Not Implemented\r\nDate: Sat, 21 Nov 2026 03:54:52 GMT\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn greeting_cut_anywhere() {
        for cut in 0..GREETING.len() {
            assert_eq!(
                monitor_state(&GREETING[..cut]),
                MonitorState::Waiting,
                "{cut}"
            );
        }
        assert_eq!(monitor_state(GREETING), MonitorState::Prompting);
        assert_eq!(monitor_version(GREETING), Some("7.2.22"));
        assert_eq!(monitor_state(b"{\"QMP\""), MonitorState::Foreign);
    }

    #[test]
    fn requests() {
        let address = "172.20.0.1:34063".parse().unwrap();
        let text = |control: Control| String::from_utf8(control.request(address)).unwrap();
        assert_eq!(
            text(Control::Reboot),
            "POST /reboot HTTP/1.1\r\nHost: 172.20.0.1:34063\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert!(text(Control::Status).starts_with("GET /status HTTP/1.1\r\n"));
        let off = text(Control::PowerOff {
            grace_seconds: Some(30),
        });
        assert!(off.starts_with("POST /poweroff?grace-period=30s "));
    }

    #[test]
    fn responses() {
        assert_eq!(parse_status(STATUS), Ok(true));
        assert_eq!(
            parse_response(WRONG_METHOD),
            Err(ControlError::Status {
                code: 501,
                body: String::new()
            })
        );
        for cut in 0..STATUS.len() {
            let error = parse_status(&STATUS[..cut]).unwrap_err();
            assert_eq!(error, ControlError::Short { got: cut });
        }
        assert!(matches!(
            parse_response(b"SSH-2.0-x\r\n"),
            Err(ControlError::Foreign { .. })
        ));
        let odd = b"HTTP/1.1 200 OK\r\n\r\n{}";
        assert!(matches!(parse_status(odd), Err(ControlError::Json { .. })));
    }
}
