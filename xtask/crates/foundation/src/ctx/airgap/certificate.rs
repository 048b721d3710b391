//! The CA that the helper's patch makes nodes trust, against the certificate that is
//! served. A second helper on the same ports starts without an error, listens on none of
//! them, and overwrites the patch: the next cluster then trusts a CA that nothing uses.

use std::io::Write;
use std::net::Ipv4Addr;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::ctx::network::has_interface;
use crate::ctx::probe::Probe;
use crate::failure::{Failure, Result};
use crate::files;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// A cluster that is created now should still trust it when it has booted.
const SOON: SignedDuration = SignedDuration::from_mins(30);

/// A CA certificate of a patch.
#[derive(Debug, Clone)]
pub struct Certificate {
    patch: Utf8PathBuf,
    pem: String,
    expires: Option<Timestamp>,
}

impl Certificate {
    /// # Errors
    /// If the file cannot be read, or has no certificate.
    pub fn in_patch(patch: &Utf8Path) -> Result<Self> {
        let text = files::text(patch, files::SMALL)?
            .ok_or_else(|| Failure::host(format!("the patch `{patch}` is gone")))?;
        let pem =
            pem_in(&text).ok_or_else(|| Failure::host(format!("`{patch}` has no certificate")))?;
        Ok(Self {
            patch: patch.to_owned(),
            expires: expiry(&pem),
            pem,
        })
    }

    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Returns what is wrong with the certificate that `port` serves, and the reason.
    pub(super) fn fault(
        &self,
        (gateway, address): (Ipv4Addr, Ipv4Addr),
        port: u16,
    ) -> Option<(String, Option<String>)> {
        if let Some(expired) = self.expired(Timestamp::now()) {
            return Some((expired, Some("the helper makes it for 24 hours".to_owned())));
        }
        let refused = self.verify(gateway, address, port).err()?;
        Some((
            format!(
                "the server on port {port} does not use the certificate in `{}`",
                self.patch
            ),
            Some(refused),
        ))
    }

    /// Returns the fault if it has expired, or expires before a cluster has used it.
    fn expired(&self, now: Timestamp) -> Option<String> {
        let expires = self.expires.filter(|expires| *expires - SOON < now)?;
        let verb = if expires < now { "expired" } else { "expires" };
        let patch = &self.patch;
        Some(format!("the certificate in `{patch}` {verb} at {expires}"))
    }

    /// Verifies the chain, the address and the dates as a node would.
    fn verify(
        &self,
        gateway: Ipv4Addr,
        address: Ipv4Addr,
        port: u16,
    ) -> std::result::Result<(), String> {
        let (reader, mut writer) = std::io::pipe().map_err(|error| error.to_string())?;
        // Smaller than a pipe's buffer.
        writer
            .write_all(self.pem.as_bytes())
            .map_err(|error| error.to_string())?;
        drop(writer);
        let connect = format!("{gateway}:{port}:{address}:{port}");
        let url = format!("https://{gateway}:{port}/debug.yaml");
        let argv = [
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--head",
            "--noproxy",
            "*",
            "--max-time",
            "5",
            "--cacert",
            "/dev/stdin",
            "--connect-to",
            &connect,
            &url,
        ];
        let output = Probe::new(argv).stdin(reader).run();
        match output {
            Ok(output) if output.success => Ok(()),
            Ok(output) => Err(output.stderr.lines().next().unwrap_or_default().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The address at which this host reaches the server: the gateway once there is a
/// bridge, before that loopback. The helper listens on all.
pub(super) fn reachable_at(gateway: Ipv4Addr, bridge: &str) -> (Ipv4Addr, Ipv4Addr) {
    let address = if has_interface(bridge).unwrap_or(false) {
        gateway
    } else {
        Ipv4Addr::LOCALHOST
    };
    (gateway, address)
}

/// In a patch the certificate is indented.
fn pem_in(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim);
    let mut lines = lines.skip_while(|line| *line != BEGIN);
    let mut pem = String::new();
    loop {
        let line = lines.next()?;
        pem.push_str(line);
        pem.push('\n');
        if line == END {
            return Some(pem);
        }
    }
}

/// The end of the validity: a sequence of two `UTCTime` (RFC 5280, 4.1.2.5). None for
/// other forms, which are used from 2050 on.
fn expiry(pem: &str) -> Option<Timestamp> {
    const HEAD: [u8; 4] = [0x30, 0x1e, 0x17, 0x0d];
    let der = decode(pem)?;
    let at = der.windows(HEAD.len()).position(|window| window == HEAD)?;
    // The first time, and the head of the second.
    let end = der.get(at + HEAD.len() + 13 + 2..at + HEAD.len() + 13 + 2 + 12)?;
    let text = format!("20{}", std::str::from_utf8(end).ok()?);
    let time = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Base64 between the lines of a PEM file.
fn decode(pem: &str) -> Option<Vec<u8>> {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in lines.flat_map(str::bytes) {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `openssl req -x509`, valid until 2026-11-30.
    const PATCH: &str = include_str!("../../../../../testdata/airgap/patch.yaml");

    #[test]
    fn the_certificate_of_a_patch_expires() {
        let pem = pem_in(PATCH).unwrap();
        assert!(pem.starts_with(BEGIN) && pem.ends_with("-----END CERTIFICATE-----\n"));
        assert_eq!(expiry(&pem).unwrap().to_string(), "2026-11-30T13:22:04Z");
        assert_eq!(pem_in("no: certificate"), None);
        let certificate = Certificate {
            patch: "p".into(),
            expires: expiry(&pem),
            pem,
        };
        let at = |time: &str| certificate.expired(time.parse().unwrap());
        assert_eq!(at("2026-11-30T12:00:00Z"), None);
        let soon = at("2026-11-30T13:00:00Z").unwrap();
        assert!(
            soon.contains("`p` expires at 2026-11-30T13:22:04Z"),
            "{soon}"
        );
        let after = at("2026-11-30T14:00:00Z").unwrap();
        assert!(after.contains("expired at"), "{after}");
    }
}
