//! What kills a node, as its console says it, with what to do about it.
//!
//! Messages are those of real runs where a test quotes them (testdata/console),
//! else from the sources of QEMU 7.2 and Linux.

/// What a death pattern stands for.
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
    /// Nothing to boot from.
    NoBootDevice,
    /// QEMU was killed from outside.
    QemuKilled,
    /// QEMU ended with another error.
    Qemu,
    /// The launcher could not start, or ended with an error of its own.
    Launcher,
    /// The guest killed a process for want of memory.
    GuestMemory,
    /// A kernel bug or lockup.
    KernelBug,
}

impl DeathKind {
    /// Whether the boot is over with it.
    pub fn is_fatal(self) -> bool {
        !matches!(self, Self::GuestMemory | Self::KernelBug)
    }
}

/// Something bad on the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    pub kind: DeathKind,
    /// The line, without its time stamp.
    pub line: String,
    pub offset: u64,
    /// What to do, a sentence without a full stop.
    pub hint: &'static str,
}

/// Where in a line a pattern must be found.
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

struct Pattern {
    source: Source,
    text: &'static str,
    kind: DeathKind,
    hint: &'static str,
}

const fn pattern(
    source: Source,
    text: &'static str,
    kind: DeathKind,
    hint: &'static str,
) -> Pattern {
    Pattern {
        source,
        text,
        kind,
        hint,
    }
}

const FILES: &str = "check that the file exists and that the path still holds: relative ones are relative to where `cluster up` ran";
const KVM: &str =
    "KVM cannot be used here: run nested virtualisation with SMM, or without /dev/kvm";
const GIVE_MEMORY: &str = "give the nodes more memory with `--memory`";

/// First match wins, so special ones come before general ones.
const PATTERNS: &[Pattern] = &[
    pattern(
        Source::Kernel,
        "Kernel panic - not syncing: VFS: Unable to mount root",
        DeathKind::KernelPanic,
        "the kernel found no initramfs: rebuild it with `make initramfs` for the same kernel",
    ),
    pattern(
        Source::Kernel,
        "Kernel panic - not syncing: System is deadlocked on memory",
        DeathKind::KernelPanic,
        GIVE_MEMORY,
    ),
    pattern(
        Source::Kernel,
        "Kernel panic - not syncing: Out of memory",
        DeathKind::KernelPanic,
        GIVE_MEMORY,
    ),
    pattern(
        Source::Kernel,
        "Kernel panic - not syncing: Attempted to kill init",
        DeathKind::KernelPanic,
        "machined ended: its Go trace is a few lines above",
    ),
    pattern(
        Source::Kernel,
        "Kernel panic - not syncing",
        DeathKind::KernelPanic,
        "the kernel's trace is on the console; with panic=1 QEMU starts it again at once",
    ),
    pattern(
        Source::Talos,
        "recovered from: ",
        DeathKind::MachinedPanic,
        "init panicked: the trace is on the console",
    ),
    pattern(
        Source::Talos,
        "[initramfs] recovered from: ",
        DeathKind::MachinedPanic,
        "init panicked: the trace is on the console",
    ),
    pattern(
        Source::Talos,
        "panic=0 kernel flag found",
        DeathKind::MachinedPanic,
        "panic=0 keeps the node as it is: reboot it with `cluster reboot` when you have looked",
    ),
    pattern(
        Source::Talos,
        "[initramfs] panic=0 kernel flag found",
        DeathKind::MachinedPanic,
        "panic=0 keeps the node as it is: reboot it with `cluster reboot` when you have looked",
    ),
    pattern(
        Source::Plain,
        "panic: ",
        DeathKind::MachinedPanic,
        "a Go program on the console panicked, machined most likely",
    ),
    pattern(
        Source::Plain,
        "fatal error: ",
        DeathKind::MachinedPanic,
        "the Go runtime of a program on the console gave up",
    ),
    pattern(
        Source::Plain,
        "BdsDxe: No bootable option",
        DeathKind::NoBootDevice,
        "the disk has no bootloader yet: boot with `--with-bootloader=false`, or from an ISO",
    ),
    pattern(
        Source::Plain,
        "No bootable device",
        DeathKind::NoBootDevice,
        "the disk has no bootloader yet: boot with `--with-bootloader=false`, or from an ISO",
    ),
    pattern(
        Source::Qemu,
        "Failed to get \"write\" lock",
        DeathKind::DiskLocked,
        "another QEMU has this disk: an older one of the same node still runs",
    ),
    pattern(
        Source::Qemu,
        "error reading initrd",
        DeathKind::MissingFile,
        FILES,
    ),
    pattern(
        Source::Qemu,
        "could not load kernel",
        DeathKind::MissingFile,
        FILES,
    ),
    pattern(
        Source::Qemu,
        "could not load PC BIOS",
        DeathKind::MissingFile,
        "QEMU's own firmware is missing: install seabios or ovmf",
    ),
    pattern(
        Source::Qemu,
        "/dev/net/tun",
        DeathKind::Network,
        "load the tun module, or allow access to /dev/net/tun",
    ),
    pattern(Source::Qemu, "ould not access KVM", DeathKind::Kvm, KVM),
    pattern(
        Source::Qemu,
        "failed to initialize kvm",
        DeathKind::Kvm,
        KVM,
    ),
    pattern(
        Source::Qemu,
        "System Management Mode not supported",
        DeathKind::Kvm,
        KVM,
    ),
    pattern(Source::Qemu, "KVM not supported", DeathKind::Kvm, KVM),
    pattern(
        Source::Qemu,
        "annot allocate memory",
        DeathKind::HostMemory,
        "this machine has not the memory for the nodes: fewer nodes, or a smaller `--memory`",
    ),
    pattern(
        Source::Qemu,
        "is too long",
        DeathKind::SocketPath,
        "use a shorter state folder or cluster name: a socket path has at most 107 bytes",
    ),
    pattern(
        Source::Qemu,
        "Failed to bind socket",
        DeathKind::MissingFile,
        "the state folder is gone, or not writable",
    ),
    pattern(
        Source::Qemu,
        "could not configure",
        DeathKind::Network,
        "the node's tap is missing: see what the CNI plugin said",
    ),
    pattern(Source::Qemu, "ould not open", DeathKind::MissingFile, FILES),
    pattern(
        Source::Plain,
        "error provisioning CNI network",
        DeathKind::Network,
        "a CNI plugin failed: check the plugins in `--cni-bin-path`; its rules may stay behind",
    ),
    pattern(
        Source::Plain,
        "error deleting CNI network",
        DeathKind::Network,
        "a CNI plugin failed: check the plugins in `--cni-bin-path`",
    ),
    pattern(
        Source::Plain,
        "error launching in-memory HTTP server",
        DeathKind::Network,
        "the gateway's address or port is taken: two clusters on one CIDR?",
    ),
    pattern(
        Source::Kernel,
        "Out of memory: Killed process",
        DeathKind::GuestMemory,
        GIVE_MEMORY,
    ),
    pattern(
        Source::Kernel,
        "watchdog: BUG: soft lockup",
        DeathKind::KernelBug,
        "a processor was stuck: the host is overloaded, or TCG is slow",
    ),
    pattern(
        Source::Kernel,
        "BUG: ",
        DeathKind::KernelBug,
        "a kernel bug: the trace is on the console",
    ),
    pattern(
        Source::Kernel,
        "Oops: ",
        DeathKind::KernelBug,
        "a kernel bug: the trace is on the console",
    ),
];

/// Tells whether `text`, a line of `source` without its prefix, is a death.
/// `shown` is what the report quotes.
pub(super) fn find(source: Source, text: &[u8], shown: &[u8], offset: u64) -> Option<Death> {
    let matches = |pattern: &&Pattern| {
        pattern.source == source
            && match source {
                Source::Qemu => memchr::memmem::find(text, pattern.text.as_bytes()).is_some(),
                _ => text.starts_with(pattern.text.as_bytes()),
            }
    };
    let pattern = PATTERNS.iter().find(matches)?;
    Some(death(pattern.kind, shown, offset, pattern.hint))
}

/// A death by the launcher's last words, for a boot that had none before.
pub(super) fn by_launcher(words: &str, last_qemu_line: Option<&str>, offset: u64) -> Option<Death> {
    let (kind, hint) = match words {
        "process stopped" => return None, // as asked: destroy
        _ if words.ends_with("signal: killed") => (
            DeathKind::QemuKilled,
            "QEMU was killed from outside: for want of memory on this machine? see `dmesg`",
        ),
        _ if words.contains("error signal: ") => {
            (DeathKind::QemuKilled, "QEMU was killed from outside")
        }
        _ if words.starts_with("process exited") || words.starts_with("QEMU failed to start") => {
            (DeathKind::Qemu, "QEMU's own message is the line above")
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
                earlier.source == later.source && later.text.contains(earlier.text)
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
