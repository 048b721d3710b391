//! The lines that begin a boot.

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

/// Tells whether a cleaned line begins a boot. Either marker may be glued to an
/// unfinished line: the launcher's to the guest's, the kernel's to the firmware's.
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
