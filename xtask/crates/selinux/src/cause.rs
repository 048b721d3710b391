//! The likely cause of a group of denials. Most are not missing rules.

use crate::cil::Sources;
use crate::context::Context;
use crate::judgement::Judgement;
use crate::log::{Group, Sample};
use crate::policy::{Denied, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The label on the disk is unknown to the policy.
    InvalidLabel,
    /// A type, class or permission is unknown.
    OtherVersion,
    /// The policy allows all of it.
    AlreadyAllowed,
    /// Upstream denies it on purpose.
    Intended,
    /// Levels and categories.
    Levels,
    /// Another limit of the policy: constraint, role, bounds, condition, `ioctl` command.
    Limited,
    /// A later line allows it.
    FixedLater,
    /// `context=` of a mount.
    MountOption,
    /// The process sets the label itself, or copies one.
    LabelByProcess,
    /// An extension's file without a label.
    ExtensionFile,
    /// A volume without labels.
    UnlabeledVolume,
    /// overlayfs checks who mounted it.
    OverlayMounter,
    /// A generic type of a folder in place of an own one.
    GenericType,
    MissingRule,
}

impl Cause {
    /// A word for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidLabel => "invalid-label",
            Self::OtherVersion => "other-version",
            Self::AlreadyAllowed => "already-allowed",
            Self::Intended => "intended",
            Self::Levels => "levels",
            Self::Limited => "limited",
            Self::FixedLater => "fixed-later",
            Self::MountOption => "mount-option",
            Self::LabelByProcess => "label-by-process",
            Self::ExtensionFile => "extension-file",
            Self::UnlabeledVolume => "unlabeled-volume",
            Self::OverlayMounter => "overlay-mounter",
            Self::GenericType => "generic-type",
            Self::MissingRule => "missing-rule",
        }
    }

    /// What to do about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::InvalidLabel => {
                "set a label that this policy has, or boot the version that wrote it"
            }
            Self::OtherVersion => "use the policy of the version that wrote the log",
            Self::AlreadyAllowed => "nothing: the log is of a node with another policy",
            Self::Intended => "nothing: a workload that needs this cannot run under this policy",
            Self::Levels => "give the process the categories of the object; a rule does not help",
            Self::Limited => "a further rule for the same access does not help",
            Self::FixedLater => "upgrade, or backport that change",
            Self::MountOption => {
                "mount without `context=`, or allow the relabeling of the file system"
            }
            Self::LabelByProcess => {
                "let the process not set or copy labels (attribute security.selinux)"
            }
            Self::ExtensionFile => {
                "label the file in the extension, or mount it below a labeled path"
            }
            Self::UnlabeledVolume => {
                "mount it with `context=` (mountOptions of the StorageClass, or SELinuxMount of the CSI driver)"
            }
            Self::OverlayMounter => {
                "allow it to the type that mounts overlays, not to the program in `comm`"
            }
            Self::GenericType => {
                "give the path a type of its own; a rule for the generic type allows too much"
            }
            Self::MissingRule => "if the access is needed, allow exactly that",
        }
    }

    /// Whether a rule can be the answer.
    pub fn wants_rule(self) -> bool {
        matches!(
            self,
            Self::FixedLater
                | Self::MountOption
                | Self::OverlayMounter
                | Self::GenericType
                | Self::MissingRule
        )
    }
}

/// A cause, with what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub cause: Cause,
    pub why: String,
    /// The line of the log that shows it.
    pub sample: Option<Sample>,
}

/// Classes of objects in a file system.
const FILES: &[&str] = &[
    "file",
    "dir",
    "lnk_file",
    "chr_file",
    "blk_file",
    "sock_file",
    "fifo_file",
];
/// Talos' own processes, which may do what workloads may not.
const SYSTEM: &[&str] = &[
    "kernel_t",
    "init_t",
    "initramfs_t",
    "udev_t",
    "kubelet_t",
    "pod_containerd_t",
    "sys_containerd_t",
];
/// Devices that only the system uses.
const PROTECTED_DEVICES: &[&str] = &[
    "rtc_device_t",
    "mtd_device_t",
    "wdt_device_t",
    "tpm_device_t",
];
/// Types of whole folders.
const GENERIC: &[&str] = &[
    "run_t",
    "system_run_t",
    "tmpfs_t",
    "var_log_t",
    "etc_t",
    "usr_t",
    "opt_t",
];

/// File systems without a device: their labels are in the policy.
const KERNEL_FILE_SYSTEMS: &[&str] = &[
    "rootfs",
    "proc",
    "sysfs",
    "tmpfs",
    "devtmpfs",
    "devpts",
    "cgroup2",
    "securityfs",
    "debugfs",
    "bpf",
];

/// What is known besides the log.
#[derive(Debug, Default, Clone, Copy)]
pub struct Evidence<'a> {
    /// Answers of the policy.
    pub judgements: &'a [Judgement],
    pub sources: Option<&'a Sources>,
    /// The first later line that allows all of it.
    pub allowed_since: Option<&'a str>,
}

/// Finds the likely cause of a group.
pub fn find(group: &Group, evidence: Evidence<'_>) -> Finding {
    let first = group.operations.first().map(|it| it.sample.clone());
    let (source, target) = (kind(&group.source), kind(&group.target));
    let finding = |cause, why: String| Finding {
        cause,
        why,
        sample: first.clone(),
    };
    if let Some(raw) = group.raw_contexts.first() {
        return finding(
            Cause::InvalidLabel,
            format!("the label on the disk, {raw}, is not valid"),
        );
    }
    if let Some(found) = by_policy_version(evidence.judgements) {
        return finding(Cause::OtherVersion, found);
    }
    let is_judged = !evidence.judgements.is_empty();
    if is_judged && evidence.judgements.iter().all(Judgement::is_allowed) {
        return finding(Cause::AlreadyAllowed, "the policy allows it".to_owned());
    }
    if let Some((permission, why)) = intended(group, source, target, evidence.sources) {
        let by = |it: &&crate::log::Operation| it.permission == permission;
        let sample = group.operations.iter().find(by).map(|it| it.sample.clone());
        return Finding {
            cause: Cause::Intended,
            why,
            sample,
        };
    }
    for judgement in evidence.judgements {
        let Verdict::Denied(denied) = &judgement.answer.verdict else {
            continue;
        };
        let cause = match denied {
            Denied::Levels => Cause::Levels,
            Denied::NoRule => continue,
            _ => Cause::Limited,
        };
        return finding(
            cause,
            format!("{}: {}", judgement.permission, denied.text()),
        );
    }
    if let Some(line) = evidence.allowed_since {
        return finding(Cause::FixedLater, format!("{line} allows it"));
    }
    let (cause, why) = by_log(group, source, target);
    finding(cause, why)
}

fn kind(context: &str) -> &str {
    Context::parse(context).map_or("", |context| context.kind)
}

fn by_policy_version(judgements: &[Judgement]) -> Option<String> {
    let unknown = |judgement: &Judgement| match &judgement.answer.verdict {
        Verdict::Denied(
            denied @ (Denied::UnknownType(_)
            | Denied::UnknownClass(_)
            | Denied::UnknownPermission { .. }),
        ) => Some(format!(
            "{}: the log or the kernel is of another version",
            denied.text()
        )),
        _ => None,
    };
    judgements.iter().find_map(unknown)
}

/// The permission that is denied on purpose, and why.
fn intended<'a>(
    group: &'a Group,
    source: &str,
    target: &str,
    sources: Option<&Sources>,
) -> Option<(&'a str, String)> {
    for operation in &group.operations {
        let permission = operation.permission.as_str();
        let forbidden =
            sources.and_then(|it| it.forbidding(source, target, &group.class, permission));
        if let Some(place) = forbidden {
            let why = format!("`neverallow` at {}:{} forbids it", place.file, place.line);
            return Some((permission, why));
        }
        if let Some(why) = on_purpose(source, target, &group.class, permission, sources) {
            return Some((permission, why.to_owned()));
        }
    }
    None
}

fn on_purpose(
    source: &str,
    target: &str,
    class: &str,
    permission: &str,
    sources: Option<&Sources>,
) -> Option<&'static str> {
    if class == "security" && matches!(permission, "load_policy" | "setenforce") {
        return Some("nothing may change the policy or its mode after the start");
    }
    if SYSTEM.contains(&source) {
        return None;
    }
    if class == "process" && permission == "ptrace" && SYSTEM.contains(&target) {
        return Some(
            "no workload may trace Talos' processes; upstream tests it (SELinuxSuite, NoPtrace)",
        );
    }
    let is_socket = matches!(class, "sock_file" | "unix_stream_socket");
    if target == "machine_socket_t"
        || (is_socket && target == "init_t" && permission == "connectto")
    {
        return Some(
            "no workload may use the socket of machined; upstream tests it (SELinuxSuite, NoMachineSocketAccess)",
        );
    }
    if target == "system_state_t" {
        return Some(
            "no workload may read the machine configuration; upstream tests it (SELinuxSuite, NoStateAccess)",
        );
    }
    let is_protected = PROTECTED_DEVICES.contains(&target)
        || sources.is_some_and(|it| it.has_attribute(target, "protected_device_f"));
    if is_protected && matches!(class, "chr_file" | "blk_file") {
        return Some("the device is protected (protected_device_f)");
    }
    let is_pod = source == "pod_t" || sources.is_some_and(|it| it.has_attribute(source, "pod_p"));
    if is_pod && matches!(target, "init_t" | "initramfs_t") {
        return Some("pods are kept apart from init and machined, also privileged ones");
    }
    None
}

/// What the fields of the records show.
fn by_log(group: &Group, source: &str, target: &str) -> (Cause, String) {
    let has = |permission: &str| {
        group
            .operations
            .iter()
            .any(|it| it.permission == permission)
    };
    let of = |list: &[String]| list.first().cloned().unwrap_or_default();
    let is_file = FILES.contains(&group.class.as_str());
    let device = of(&group.devices);
    let command = of(&group.commands);
    if group.class == "filesystem" && (has("relabelfrom") || has("relabelto")) {
        let why = format!("`{command}` mounts a file system with the option `context=`");
        return (Cause::MountOption, why);
    }
    if is_file && (has("relabelfrom") || has("relabelto")) {
        let program = group.executables.first().or(group.commands.first());
        let why = format!("`{}` sets a label", program.cloned().unwrap_or_default());
        return (Cause::LabelByProcess, why);
    }
    if is_file
        && device == "tmpfs"
        && (target.starts_with("network_fs") || target.starts_with("nfs"))
    {
        let why = format!(
            "the file on tmpfs has the label of a network file system, {target}: a program copied it"
        );
        return (Cause::LabelByProcess, why);
    }
    if is_file && target == "unlabeled_t" {
        if KERNEL_FILE_SYSTEMS.contains(&device.as_str()) {
            let why =
                format!("the policy has no label for the file system `{device}` (fsuse, genfscon)");
            return (Cause::MissingRule, why);
        }
        let path = group.paths.iter().find(|path| path.starts_with('/'));
        let is_system = path.is_some_and(|path| {
            ["/usr/", "/opt/", "/etc/", "/lib", "/bin", "/sbin"]
                .iter()
                .any(|it| path.starts_with(it))
        });
        if is_system || device.starts_with("loop") {
            let file = path.or(group.paths.first()).cloned().unwrap_or_default();
            return (
                Cause::ExtensionFile,
                format!("`{file}` of the system has no label"),
            );
        }
        let device = if device.is_empty() {
            "the file system".to_owned()
        } else {
            format!("`{device}`")
        };
        return (Cause::UnlabeledVolume, format!("{device} has no labels"));
    }
    let is_mounter = matches!(source, "init_t" | "initramfs_t" | "kernel_t");
    let is_own = ["init", "machined"].contains(&command.as_str()) || command.starts_with("kworker");
    if is_mounter && is_file && (device == "overlay" || (!command.is_empty() && !is_own)) {
        let why =
            format!("the source is {source}, which mounted the overlay, while `{command}` ran");
        return (Cause::OverlayMounter, why);
    }
    let in_memory = group.paths.iter().find(|path| path.contains("memfd:"));
    if let Some(path) = in_memory {
        let why = format!("no rule allows it; `{path}` is a file in memory (memfd_create)");
        return (Cause::MissingRule, why);
    }
    if is_file && GENERIC.contains(&target) && source != "init_t" {
        let path = of(&group.paths);
        return (
            Cause::GenericType,
            format!("`{path}` has {target}, the type of a whole folder"),
        );
    }
    (
        Cause::MissingRule,
        "no rule allows it, and nothing in the records points to another cause".to_owned(),
    )
}
