//! What is looked at on a node that runs Talos itself, whatever its mode.

use std::time::{Duration, Instant};

use super::Lab;

/// Services of a control plane in every mode, by their names.
pub(crate) const SERVICES: &[&str] = &["apid", "containerd", "cri", "machined", "trustd"];

/// Of a node whose emulated processors are all busy: health checks fail for a while, and its API
/// answers late.
const PATIENCE: Duration = Duration::from_mins(6);

/// `--lab=real cluster`, in a lab that runs or is started by it. A second time where the kernel crashed, which two emulated
/// processors bring about once in some dozens of boots.
pub(crate) fn create_cluster(lab: &Lab) {
    for is_last in [false, true] {
        let Err(said) = lab.said_outside(&["--lab=real", "cluster"]) else {
            return;
        };
        let panics = lab.panics();
        assert!(!is_last && !panics.is_empty(), "{said}");
        eprintln!("the kernel crashed:\n{panics}\nonce more:");
        lab.ok(&["cluster", "destroy", "--yes"]);
    }
}

/// Looks until what is seen is right.
pub(crate) fn until_right(look: impl Fn() -> Result<(), String>) {
    let end = Instant::now() + PATIENCE;
    while let Err(seen) = look() {
        assert!(Instant::now() < end, "{seen}");
        // Each look takes processor time from the node.
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Each of these runs and is healthy, by talosctl.
pub(crate) fn services_are_well(lab: &Lab, address: &str, all: &[&str]) {
    until_right(|| {
        let services = lab.said(&["talosctl", "--", "-n", address, "services"])?;
        let is_well = |service: &str| {
            services.lines().any(|line| {
                line.split_whitespace().nth(1) == Some(service)
                    && line.contains("Running")
                    && line.contains("OK")
            })
        };
        match all.iter().find(|service| !is_well(service)) {
            Some(service) => Err(format!("{service}:\n{services}")),
            None => Ok(()),
        }
    });
}

/// The binary that is profiled names itself, and its own functions are in it.
pub(crate) fn profiles_are_of_its_processes(lab: &Lab) {
    for (process, function) in [
        (
            "machined",
            "github.com/siderolabs/talos/internal/app/machined",
        ),
        ("apid", "google.golang.org/grpc"),
        ("trustd", "google.golang.org/grpc"),
    ] {
        until_right(|| {
            let top = lab.said(&["pprof", process, "goroutine", "--all-nodes", "--top"])?;
            let is_there = top.contains(function).then_some(());
            is_there.ok_or_else(|| format!("{process}: {top}"))
        });
    }
}
