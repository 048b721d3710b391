//! The table of causes of a node's death; see [`super::death`].

use super::death::{DeathKind, Source};

pub(super) struct Pattern {
    pub(super) source: Source,
    pub(super) text: &'static str,
    pub(super) kind: DeathKind,
    pub(super) hint: &'static str,
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

const FILES: &str =
    "check that the file exists; relative paths start at the folder in which `cluster up` ran";
const KVM: &str =
    "KVM cannot be used here: run nested virtualisation with SMM, or without /dev/kvm";
const GIVE_MEMORY: &str = "give the nodes more memory with `--memory`";

/// First match wins, so special ones come before general ones.
pub(super) const PATTERNS: &[Pattern] = &[
    pattern(
        Source::Kernel,
        "Initramfs unpacking failed",
        DeathKind::Initramfs,
        "the initramfs is damaged or incomplete: rebuild it with `build initramfs`",
    ),
    pattern(
        Source::Kernel,
        "Kernel panic - not syncing: VFS: Unable to mount root",
        DeathKind::KernelPanic,
        "the kernel found no initramfs: rebuild it with `build initramfs` for the same kernel",
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
        "panic=0 keeps the node as it is: inspect it, then run `cluster reboot`",
    ),
    pattern(
        Source::Talos,
        "[initramfs] panic=0 kernel flag found",
        DeathKind::MachinedPanic,
        "panic=0 keeps the node as it is: inspect it, then run `cluster reboot`",
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
        "this machine has too little memory for the nodes: use fewer nodes or a smaller `--memory`",
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
        "the node's tap is missing: check the output of the CNI plugin",
    ),
    pattern(Source::Qemu, "ould not open", DeathKind::MissingFile, FILES),
    pattern(
        Source::Plain,
        "error provisioning CNI network",
        DeathKind::Network,
        "a CNI plugin failed: check the plugins in `--cni-bin-path`; its rules may be left over",
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
];
