//! A checkout and a talosctl that are good for plans only: nothing in them is
//! Talos. The talosctl writes down how it was called.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::Home;

/// A network that no host has, so that plans do not depend on this one.
pub(crate) const CIDR: &str = "172.29.213.0/24";

/// Go's name of this machine, in the names of artifacts.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A HOME with a checkout of that line at `talos`.
pub(crate) fn checkout(version: &str) -> Home {
    let home = Home::new();
    open_to_all(&home);
    home.write(
        "talos/go.mod",
        "module github.com/siderolabs/talos\n\ngo 1.25\n",
    );
    home.write("talos/pkg/machinery/gendata/data/tag", version);
    let arch = arch();
    home.write(&format!("talos/_out/vmlinuz-{arch}"), "kernel");
    home.write(&format!("talos/_out/initramfs-{arch}.xz"), "initramfs");
    home.write(
        "talos/_out/installer_image",
        "127.0.0.1:5005/you/installer:dev\n",
    );
    let help = home.path("help");
    let talosctl = format!(
        "#!/bin/sh\ncase $1 in version) echo 'Talos {version}'; exit;; esac\n\
         case \"$*\" in *--help) cat '{help}' 2>/dev/null; exit;; esac\n\
         {{ pwd; env | grep ^TALOS_HOME; printf '%s\\n' \"$@\"; }} >>'{}'\n",
        home.path("calls")
    );
    home.program(
        &format!("talos/_out/talosctl-linux-{arch}"),
        talosctl.as_bytes(),
    );
    home
}

fn open_to_all(home: &Home) {
    std::fs::set_permissions(&home.root, PermissionsExt::from_mode(0o777)).unwrap();
}

/// `cluster WORDS` about that checkout.
pub(crate) fn cluster(home: &Home, words: &[&str]) -> Command {
    home.xtask(&[&["-C", home.path("talos").as_str(), "cluster"], words].concat())
}

/// The same as a user who is not root: plans differ by who makes them. Root
/// becomes user nobody for it.
pub(crate) fn cluster_as_user(home: &Home, words: &[&str]) -> Command {
    if !crate::common::is_root() {
        return cluster(home, words);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "env",
            "-i",
        ])
        .args([
            format!("HOME={}", home.root),
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        ])
        .arg(home.binary())
        .args(["-C", home.path("talos").as_str(), "cluster"])
        .args(words)
        .current_dir(&home.root);
    command
}

/// The least that a plan needs to be the same on every machine.
pub(crate) const UP: [&str; 7] = [
    "up",
    "--cidr",
    CIDR,
    "--controlplanes",
    "1",
    "--workers",
    "1",
];

/// As a `create` leaves it that was killed: no `state.yaml`, a pid file of
/// another user.
pub(crate) fn half_made() -> Home {
    let home = checkout("v1.12.1");
    let folder = ".talos/clusters/talos-default";
    home.write(&format!("{folder}/talos-default-controlplane-1.log"), "");
    home.write(
        &format!("{folder}/talos-default-controlplane-1.pid"),
        &std::process::id().to_string(),
    );
    home
}

/// A cluster `lab` as talosctl 1.12 leaves it when the host restarts.
pub(crate) fn stale() -> Home {
    let home = checkout("v1.12.1");
    let folder = ".talos/clusters/lab";
    let text = |recorded: &str| {
        recorded
            .replace("/home/dev", home.root.as_str())
            .replace("172.20.0.", "172.29.213.")
            .replace("-amd64", &format!("-{}", arch()))
    };
    let recorded = [
        (
            "state.yaml",
            include_str!("../../testdata/state/1.12.0/state.yaml"),
        ),
        (
            "lab-controlplane-1.config",
            include_str!("../../testdata/state/1.12.0/lab-controlplane-1.config"),
        ),
        (
            "lab-worker-1.config",
            include_str!("../../testdata/state/1.12.0/lab-worker-1.config"),
        ),
    ];
    for (name, recorded) in recorded {
        home.write(&format!("{folder}/{name}"), &text(recorded));
    }
    for name in [
        "lab-controlplane-1-0.disk",
        "lab-worker-1-0.disk",
        "dhcpd.pid",
        "dnsd.pid",
        "lb.pid",
        "json-logs.pid",
    ] {
        home.write(&format!("{folder}/{name}"), "4194304");
    }
    home
}
