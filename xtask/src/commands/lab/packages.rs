//! What the host must have: looked for by the program or file that is needed,
//! so that it does not matter who installed it.

use camino::Utf8PathBuf;

use crate::app::LabNodes;
use foundation::ctx::host::Host;
use foundation::ctx::probe::Probe;
use foundation::failure::{Failure, Result};
use foundation::plan::{Plan, Step};

/// A program and the Debian package that has it.
const PROGRAMS: [(&str, &str); 10] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("iptables", "iptables"),
    ("jq", "jq"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("losetup", "mount"),
];
const CNI_PACKAGE: &str = "containernetworking-plugins";
/// The CNI plugins that talosctl asks for besides the tap plugin of our own.
pub(super) const CNI_PLUGINS: [&str; 3] = ["bridge", "firewall", "static"];
/// Where distributions put CNI plugins.
const CNI_FOLDERS: [&str; 4] = [
    "/usr/lib/cni",
    "/opt/cni/bin",
    "/usr/libexec/cni",
    "/usr/lib/cni/bin",
];

/// For Docker in the lab: its small checkout is a git repository, as Talos' is,
/// and images are made of what `ldd` names.
const PROGRAMS_FOR_DOCKER: [(&str, &str); 3] =
    [("git", "git"), ("ldd", "libc-bin"), ("tar", "tar")];

/// Something that is missing on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) what: String,
    pub(super) package: &'static str,
}

/// Real nodes are packed from Debian's packages, whose kernel modules are
/// compressed and whose archive is signed.
const PROGRAMS_FOR_REAL: [(&str, &str); 3] =
    [("xz", "xz-utils"), ("dpkg-deb", "dpkg"), ("gpgv", "gpgv")];

/// What a lab with such nodes needs and this host has not.
pub(super) fn missing(nodes: LabNodes) -> Vec<Missing> {
    let has = |name: &str| Host::which_as_root(name).is_some();
    let mut missing = missing_by(has, cni_folder().is_some());
    if nodes == LabNodes::Real {
        missing.extend(missing_of(&PROGRAMS_FOR_REAL, has));
    }
    missing
}

/// What Docker in the lab needs besides.
pub(super) fn missing_for_docker() -> Vec<Missing> {
    missing_of(&PROGRAMS_FOR_DOCKER, |name| {
        Host::which_as_root(name).is_some()
    })
}

fn missing_of(programs: &[(&str, &'static str)], has: impl Fn(&str) -> bool) -> Vec<Missing> {
    let missing = programs.iter().filter(|(name, _)| !has(name));
    missing
        .map(|(name, package)| Missing {
            what: (*name).to_owned(),
            package,
        })
        .collect()
}

fn missing_by(has: impl Fn(&str) -> bool, has_cni: bool) -> Vec<Missing> {
    let mut missing = missing_of(&PROGRAMS, has);
    if !has_cni {
        let what = format!("CNI plugins {}", CNI_PLUGINS.join(", "));
        missing.push(Missing {
            what,
            package: CNI_PACKAGE,
        });
    }
    missing
}

/// The folder that has all of them.
pub(super) fn cni_folder() -> Option<Utf8PathBuf> {
    CNI_FOLDERS
        .iter()
        .map(Utf8PathBuf::from)
        .find(|dir| CNI_PLUGINS.iter().all(|plugin| dir.join(plugin).is_file()))
}

/// Each package once, in the order in which they are met.
fn packages(missing: &[Missing]) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for one in missing {
        if !packages.contains(&one.package) {
            packages.push(one.package);
        }
    }
    packages
}

/// The lists name a version of `package` that could be installed.
pub(super) fn is_listed(package: &str) -> bool {
    candidate(package).is_some()
}

/// The version that would be installed.
pub(super) fn candidate(package: &str) -> Option<String> {
    let policy = Probe::new(["apt-cache", "policy", package]).stdout();
    candidate_in(&policy.ok()?)
}

fn candidate_in(policy: &str) -> Option<String> {
    let mut candidates = policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate:"));
    let version = candidates.next()?.trim();
    (version != "(none)").then(|| version.to_owned())
}

/// The plan that installs what is missing; the kernel's lists are wanted as well
/// when `kernel` is to be downloaded.
pub(super) fn plan_install(missing: &[Missing], kernel: Option<&str>) -> Plan {
    let packages = packages(missing);
    let mut plan = Plan::new("install what the lab needs on this host");
    for one in missing {
        plan.note(format!("missing: {} (package {})", one.what, one.package));
    }
    let unlisted = packages
        .iter()
        .copied()
        .chain(kernel)
        .any(|package| !is_listed(package));
    if unlisted {
        plan.push(
            Step::run(
                "fetch the package lists of apt, which do not list what is needed",
                ["apt-get", "update"],
            )
            .env("DEBIAN_FRONTEND", "noninteractive")
            .as_root()
            .deadline(600),
        );
        plan.join(0, "fetch the package lists of apt");
    }
    if !packages.is_empty() {
        let mut argv = vec!["apt-get", "install", "-y", "--no-install-recommends"];
        argv.extend(&packages);
        plan.push(
            Step::run("install the packages that the lab needs", argv)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .as_root()
                .deadline(1800),
        );
        plan.join(0, &format!("install {}", packages.join(", ")));
    }
    plan
}

/// What to type instead.
pub(super) fn by_hand(missing: &[Missing], root: bool) -> String {
    let sudo = if root { "" } else { "sudo " };
    format!(
        "{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {}",
        packages(missing).join(" ")
    )
}

/// Everything that is missing, in one error.
pub(super) fn failure(missing: &[Missing]) -> Failure {
    let mut failure = Failure::host("the lab needs programs that are missing on this host");
    failure.causes = missing
        .iter()
        .map(|one| format!("{}: not found (Debian: {})", one.what, one.package))
        .collect();
    failure
}

/// # Errors
/// Where packages cannot be installed by apt-get.
pub(super) fn needs_apt(missing: &[Missing]) -> Result<()> {
    if missing.is_empty() || Host::which("apt-get").is_some() {
        return Ok(());
    }
    Err(failure(missing)
        .hint("there is no apt-get here: install these with your package manager, then try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_once_and_everything_missing_at_once() {
        let missing = missing_by(|name| name == "jq" || name == "iptables", false);
        assert_eq!(
            packages(&missing),
            [
                "qemu-system-x86",
                "iproute2",
                "util-linux",
                "mount",
                CNI_PACKAGE
            ]
        );
        let text = failure(&missing).to_string();
        assert!(
            text.contains("nsenter") && text.contains("bridge, firewall, static"),
            "{text}"
        );
        assert!(!text.contains("jq"), "{text}");
    }

    #[test]
    fn nothing_is_installed_where_nothing_is_missing() {
        assert!(missing_by(|_| true, true).is_empty());
        assert!(plan_install(&[], None).steps.is_empty());
    }

    #[test]
    fn a_package_without_candidate_asks_for_new_lists() {
        let listed = "jq:\n  Installed: (none)\n  Candidate: 1.6-2.1+deb12u1\n";
        assert_eq!(candidate_in(listed).as_deref(), Some("1.6-2.1+deb12u1"));
        let none = "jq:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(candidate_in(none), None);
        assert_eq!(candidate_in(""), None);
    }
}
