//! Lines that begin a boot, and the line that ends its launcher.

use super::line::kernel_time;
use memchr::memmem::find;

/// A line that begins a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker<'a> {
    /// The launcher starts this executable.
    Launch { qemu: &'a [u8] },
    /// The kernel's first line, from its version on.
    Banner { version: &'a [u8] },
}

/// Recognises a cleaned line that begins a boot. Either marker may follow an
/// unfinished line without a newline: the launcher's that of the guest, the
/// kernel's that of the firmware.
pub(super) fn marker(text: &[u8]) -> Option<Marker<'_>> {
    if let Some(head) = text.strip_suffix(b" with args:") {
        let at = memchr::memmem::rfind(head, b"starting ")?;
        let qemu = &head[at + b"starting ".len()..];
        return (!qemu.is_empty() && !qemu.contains(&b' ')).then_some(Marker::Launch { qemu });
    }
    let at = find(text, b"Linux version ")?;
    let version = &text[at + b"Linux version ".len()..];
    let stamp = text[..at]
        .iter()
        .rposition(|b| *b == b'[')
        .map_or(&text[..at], |from| {
            // A caller field follows the time: take the bracket before it.
            let before = text[..from]
                .strip_suffix(b"]")
                .and_then(|b| b.iter().rposition(|b| *b == b'['));
            &text[before.unwrap_or(from)..at]
        });
    let first = kernel_time(stamp).map_or(at == 0, |(time, rest)| time < 1.0 && rest.is_empty());
    (first && version.first().is_some_and(u8::is_ascii_digit)).then_some(Marker::Banner { version })
}

/// Returns the launcher's error at its end, which may follow the guest's last
/// line without a newline.
pub(super) fn last_words(text: &[u8]) -> Option<&[u8]> {
    const ENDS: [&[u8]; 2] = [b"process exited with error ", b"QEMU failed to start: "];
    // From 1.14 on the same text announces a retry.
    if find(text, b", retrying in ").is_some() {
        return None;
    }
    if text == b"process stopped" {
        return Some(text);
    }
    ENDS.iter()
        .find_map(|end| find(text, end))
        .map(|at| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launcher_lines() {
        let qemu = |text: &'static str| match marker(text.as_bytes()) {
            Some(Marker::Launch { qemu }) => Some(std::str::from_utf8(qemu).unwrap()),
            _ => None,
        };
        assert_eq!(
            qemu("starting /usr/bin/qemu-kvm with args:"),
            Some("/usr/bin/qemu-kvm")
        );
        let glued = "[    1.000000] half a listarting /q with args:";
        assert_eq!(qemu(glued), Some("/q"));
        for none in [
            "starting with args:",
            "starting a b with args:",
            "x with args:",
        ] {
            assert_eq!(qemu(none), None, "{none}");
        }
    }

    #[test]
    fn banners() {
        let is = |text: &str| matches!(marker(text.as_bytes()), Some(Marker::Banner { .. }));
        for banner in [
            "Linux version 6.1.0 (x@y)",
            "[    0.000000] Linux version 6.18.1-talos (x@y)",
            "[    0.000000][    T0] Linux version 6.18.1-talos",
            "Probing EDD (edd=off to disable)... o[    0.000000] Linux version 6.1",
        ] {
            assert!(is(banner), "{banner}");
        }
        for none in [
            "[   12.000000] Linux version 6.1",
            "[    0.500000] probe: Linux version 6.1",
            "the Linux version 6.1 is old",
            "[    0.000000] Linux version is unknown",
        ] {
            assert!(!is(none), "{none}");
        }
    }
}
