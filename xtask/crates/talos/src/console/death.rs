//! Causes of a node's death on its console, each with a hint.
//!
//! The messages come from real runs where a test quotes them (testdata/console), else
//! from the sources of QEMU 7.2 and Linux.

use super::death_patterns::PATTERNS;

/// The cause that a pattern stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeathKind {
    KernelPanic,
    /// machined or the initramfs panicked or gave up.
    MachinedPanic,
    /// QEMU could not open a kernel, initramfs, disk or firmware.
    MissingFile,
    /// Another QEMU has the disk.
    DiskLocked,
    /// KVM cannot be used.
    Kvm,
    HostMemory,
    SocketPath,
    /// The tap or the CNI network could not be set up.
    Network,
    /// No device to boot from.
    NoBootDevice,
    /// QEMU was killed from outside.
    QemuKilled,
    /// QEMU ended with another error.
    Qemu,
    /// The launcher could not start, or ended with an error.
    Launcher,
    /// The kernel could not unpack all of the initramfs; a panic may follow.
    Initramfs,
    /// The guest killed a process because it ran out of memory.
    GuestMemory,
}

impl DeathKind {
    /// Whether it ends the boot.
    pub fn is_fatal(self) -> bool {
        !matches!(self, Self::Initramfs | Self::GuestMemory)
    }
}

/// An error on the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    pub kind: DeathKind,
    /// The line, without its time stamp.
    pub line: String,
    pub offset: u64,
    /// What the user can do: a sentence without a full stop.
    pub hint: &'static str,
}

/// Where a pattern must match in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// After a kernel time stamp, at the start.
    Kernel,
    /// After `[talos] `, at the start.
    Talos,
    /// In a line of QEMU's own (`qemu-system-…: `), anywhere.
    Qemu,
    /// A line without a time stamp, at the start: launcher, firmware, Go runtime.
    Plain,
}

/// Returns the death that `text` shows, a line of `source` without its prefix.
/// `shown` is what the report quotes.
pub(super) fn find(source: Source, text: &[u8], shown: &[u8], offset: u64) -> Option<Death> {
    let matches = |pattern: &&super::death_patterns::Pattern| {
        pattern.source == source
            && match source {
                Source::Qemu => memchr::memmem::find(text, pattern.text.as_bytes()).is_some(),
                _ => text.starts_with(pattern.text.as_bytes()),
            }
    };
    let pattern = PATTERNS.iter().find(matches)?;
    Some(death(pattern.kind, shown, offset, pattern.hint))
}

/// Returns the death that the launcher's last line names, for a boot without an
/// earlier one.
pub(super) fn by_launcher(words: &str, last_qemu_line: Option<&str>, offset: u64) -> Option<Death> {
    let (kind, hint) = match words {
        "process stopped" => return None, // as asked: destroy
        _ if words.ends_with("signal: killed") => (
            DeathKind::QemuKilled,
            "QEMU was killed from outside: check `dmesg` for the out-of-memory killer",
        ),
        _ if words.contains("error signal: ") => {
            (DeathKind::QemuKilled, "QEMU was killed from outside")
        }
        _ if words.starts_with("process exited") || words.starts_with("QEMU failed to start") => {
            (DeathKind::Qemu, "the line above is QEMU's own message")
        }
        _ => (
            DeathKind::Launcher,
            "the launcher ended: the node stays down until it is destroyed",
        ),
    };
    let line = if kind == DeathKind::Qemu {
        last_qemu_line.unwrap_or(words)
    } else {
        words
    };
    Some(death(kind, line.as_bytes(), offset, hint))
}

fn death(kind: DeathKind, line: &[u8], offset: u64, hint: &'static str) -> Death {
    let line = String::from_utf8_lossy(line);
    let line = line.trim().chars().take(400).collect();
    Death {
        kind,
        line,
        offset,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_patterns_are_not_shadowed() {
        for (i, later) in PATTERNS.iter().enumerate() {
            let shadow = PATTERNS[..i].iter().find(|earlier| {
                earlier.source == later.source
                    && match later.source {
                        Source::Qemu => later.text.contains(earlier.text),
                        _ => later.text.starts_with(earlier.text),
                    }
            });
            assert!(
                shadow.is_none(),
                "{} is shadowed by {}",
                later.text,
                shadow.unwrap().text
            );
        }
    }

    #[test]
    fn qemu_messages() {
        let kind = |text: &str| find(Source::Qemu, text.as_bytes(), b"", 0).map(|d| d.kind);
        for (text, expected) in [
            (
                "qemu: could not open kernel file '/x': No such file or directory",
                DeathKind::MissingFile,
            ),
            (
                "qemu-system-x86_64: -drive file=/x.disk: Failed to get \"write\" lock",
                DeathKind::DiskLocked,
            ),
            (
                "qemu-system-x86_64: Could not access KVM kernel module: Permission denied",
                DeathKind::Kvm,
            ),
            (
                "qemu-system-x86_64: could not configure /dev/net/tun (tap0): Operation not permitted",
                DeathKind::Network,
            ),
        ] {
            assert_eq!(kind(text), Some(expected), "{text}");
        }
        assert_eq!(
            kind("qemu-system-x86_64: warning: TCG doesn't support requested feature"),
            None
        );
        assert_eq!(
            kind("qemu-system-x86_64: terminating on signal 15 from pid 1"),
            None
        );
    }

    #[test]
    fn a_stop_that_was_asked_for_is_no_death() {
        assert_eq!(by_launcher("process stopped", None, 0), None);
    }
}
