//! The plan that starts a lab from its parts: the folder, the small checkout
//! in it that commands inside work on, and init.

use camino::{Utf8Path, Utf8PathBuf};
use foundation::ctx::host::SBIN;
use serde_json::json;

use super::folder::{LabFolder, MARKER};
use super::parts::LabParts;
use super::state::Made;
use foundation::plan::{Action, Plan, Resource, Step};

/// Time limit for the start of init; measured: 30 ms.
const START_DEADLINE: u64 = 30;
/// A script in the lab's folder that init runs, where there is one.
const AT_START: &str = "at-start";
/// Talos' kernel has the first two as defaults; Debian's prefers `AppArmor`. The
/// others take back what costs an emulated processor a large part of its time: of
/// several the kernel obeys the last, and the lab does not show the dashboard.
const KERNEL_ARGS: &str = "lsm=lockdown,yama,integrity,selinux,bpf enforcing=0 \
    pti=off init_on_alloc=0 mitigations=off talos.dashboard.disabled=1";

/// `exe` is this program, which must stay reachable inside.
pub(super) fn plan(lab_folder: &LabFolder, parts: &LabParts, arch: &str, exe: &Utf8Path) -> Plan {
    let mut plan = Plan::new("start the lab");
    let mut steps = Vec::new();
    if lab_folder.shared_parent {
        let why = "a private folder: the cache folder's path is too long for unix sockets";
        let argv = ["mkdir", "-m", "0700", "--", lab_folder.dir.as_str()];
        steps.push(Step::run(why, argv));
    }
    for (why, path, contents) in files(lab_folder, parts) {
        steps.push(Step::new(
            why,
            Action::WriteFile {
                path,
                contents,
                mode: 0o644,
            },
        ));
    }
    let out = lab_folder.checkout().join("_out");
    steps.push(Step::new(
        "where builds write to",
        Action::CreateDir { path: out.clone() },
    ));
    steps.extend(artifacts(&out, parts, arch));
    let start = parts.tools().dir.join("init/start");
    let argv = [
        "sh",
        start.as_str(),
        lab_folder.dir.as_str(),
        lab_folder.parts.as_str(),
        exe.as_str(),
    ];
    let why = "start the lab's namespaces and wait until they are ready";
    steps.push(Step::run(why, argv).as_root().deadline(START_DEADLINE));
    // Every step says what it makes, so that whichever is stopped is undone.
    let made = Resource::Lab {
        dir: lab_folder.dir.clone(),
    };
    plan.steps = steps
        .into_iter()
        .map(|step| step.makes(made.clone()))
        .collect();
    plan.join(0, "start the lab");
    plan
}

/// Why, where, what; the marker first, because it makes the folder ours.
fn files(lab_folder: &LabFolder, parts: &LabParts) -> Vec<(&'static str, Utf8PathBuf, String)> {
    let checkout = lab_folder.checkout();
    let mut path = vec![parts.tools().dir.join("path")];
    path.extend(parts.path());
    let made = Made {
        schema: 1,
        talosctl: parts.talosctl(),
        nodes: parts.nodes(),
        kernel: parts.kernel(),
        guest: parts.node().version.clone(),
        path,
    };
    let mut files = vec![
        (
            "what this lab is made of; marks the folder as ours",
            lab_folder.dir.join(MARKER),
            format!("{:#}\n", json!(made)),
        ),
        (
            "a small checkout, so that commands find what they always look for",
            checkout.join("go.mod"),
            "module github.com/siderolabs/talos\n".to_owned(),
        ),
        (
            "the Talos version of this lab",
            checkout.join("pkg/machinery/gendata/data/tag"),
            made.talosctl,
        ),
        (
            "cluster settings that suit the lab",
            checkout.join(".cargo/xtask.toml"),
            settings(parts, &lab_folder.cgroup()),
        ),
        (
            "a shell in the lab says where it is",
            lab_folder.dir.join(".bashrc"),
            "# Written by `cargo xtask lab up`.\nPS1='(lab) \\w \\$ '\n".to_owned(),
        ),
    ];
    if let LabParts::Real(parts) = parts {
        let words = parts.registries(&lab_folder.dir);
        let words = words.iter().map(|word| word.as_str());
        let line = shlex::try_join(words).unwrap_or_default();
        files.push((
            "what the lab's init runs before the lab is ready: the registries of its nodes",
            lab_folder.dir.join(AT_START),
            format!("exec sh {line}\n"),
        ));
    }
    files
}

/// Copies, so that a build of the user's own may take their place.
fn artifacts(out: &Utf8Path, parts: &LabParts, arch: &str) -> [Step; 3] {
    let boot = parts.boot_files();
    let step = |why: &str, with: [&str; 2], from: Utf8PathBuf, name: String| {
        let to = out.join(name);
        Step::run(why, [with[0], with[1], "--", from.as_str(), to.as_str()])
    };
    [
        step(
            "the kernel",
            ["cp", "-L"],
            boot.vmlinuz,
            format!("vmlinuz-{arch}"),
        ),
        step(
            "the nodes' initramfs",
            ["cp", "-L"],
            boot.initramfs,
            format!("initramfs-{arch}.xz"),
        ),
        step(
            "talosctl",
            ["ln", "-s"],
            boot.talosctl,
            format!("talosctl-linux-{arch}"),
        ),
    ]
}

/// A node of the lab is small and has no UEFI firmware. The stand-in never writes
/// its disk, which must only look large enough to talosctl; Talos does, and an
/// emulated one has the time of no more than one node. Buildx would put its
/// container into a cgroup that `lab down` does not know.
fn settings(parts: &LabParts, cgroup: &str) -> String {
    let cni = parts.tools().dir.join("cni");
    let (size, patches, args) = match parts {
        LabParts::StandIn(_) => (
            "workers = 1\nmemory = \"2GiB\"\nmemory-workers = \"1GiB\"\n",
            String::new(),
            String::new(),
        ),
        LabParts::Real(parts) => (
            "workers = 0\nmemory = \"3GiB\"\nmemory-workers = \"2GiB\"\ndisk = \"8GiB\"\n",
            format!("config-patches = [\"@{}\"]\n", parts.machine_patch()),
            format!(
                "  \"--disk-image-path={}\",\n  \
                   \"--with-cluster-discovery=false\",\n  \
                   \"--extra-boot-kernel-args={KERNEL_ARGS}\",\n",
                parts.disk()
            ),
        ),
    };
    format!(
        "# Written by `cargo xtask lab up`.\n\
         [cluster]\n\
         controlplanes = 1\n\
         {size}\
         {patches}\
         talosctl-args = [\n  \
           \"--cni-bin-path={cni}\",\n  \
           \"--with-uefi=false\",\n  \
           \"--disk-preallocate=false\",\n\
         {args}\
         ]\n\n\
         [builder]\n\
         driver-opts = [\"cgroup-parent={cgroup}\"]\n\n\
         [proxies]\n{}",
        proxies()
    )
}

/// A registry of the lab's own stands in for the internet; containers reach it
/// at Docker's bridge (`lab/docker/start`).
fn proxies() -> String {
    let hosts = [
        "docker.io",
        "registry.k8s.io",
        "quay.io",
        "gcr.io",
        "ghcr.io",
        "factory.talos.dev",
    ];
    let line = |host: &str| format!("\"{host}\" = \"http://172.17.0.1:5010\"\n");
    hosts.map(line).concat()
}

/// The PATH inside: our wrapper before the QEMU that it wraps.
pub(super) fn path_inside(ours: &[Utf8PathBuf], outside: &str) -> String {
    let mut dirs: Vec<&str> = ours.iter().map(|dir| dir.as_str()).collect();
    for dir in outside.split(':').chain(SBIN).chain(["/usr/bin", "/bin"]) {
        if !dir.is_empty() && !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::LabNodes;
    use foundation::plan::Privilege;
    use talos::TalosVersion;

    fn wanted(lab_folder: &LabFolder, nodes: LabNodes) -> LabParts {
        LabParts::wanted(lab_folder, nodes, &TalosVersion::release(1, 13, 0), "amd64")
    }

    fn planned(shared_parent: bool) -> Plan {
        let lab_folder = LabFolder {
            dir: "/d".into(),
            parts: "/p".into(),
            shared_parent,
        };
        let parts = wanted(&lab_folder, LabNodes::StandIn);
        plan(&lab_folder, &parts, "amd64", Utf8Path::new("/x/xtask"))
    }

    #[test]
    fn every_step_is_undone_and_only_the_last_needs_root() {
        let plan = planned(false);
        assert!(plan.steps.iter().all(|step| step.makes.is_some()));
        let (last, before) = plan.steps.split_last().unwrap();
        assert_eq!(last.privilege, Privilege::Root);
        assert!(before.iter().all(|step| step.privilege == Privilege::User));
        assert!(
            matches!(&before[0].action, Action::WriteFile { path, .. } if path == "/d/lab.json")
        );
        assert!(planned(true).steps[0].why.contains("private folder"));
    }

    #[test]
    fn the_checkout_is_what_commands_outside_of_the_lab_understand() {
        let lab_folder = LabFolder {
            dir: "/d".into(),
            parts: "/p".into(),
            shared_parent: false,
        };
        let parts = wanted(&lab_folder, LabNodes::StandIn);
        let files = files(&lab_folder, &parts);
        let of = |end: &str| {
            &files
                .iter()
                .find(|(_, path, _)| path.as_str().ends_with(end))
                .unwrap()
                .2
        };
        assert_eq!(of("data/tag"), "v1.13.0");
        let settings: foundation::ctx::config::Config = toml::from_str(of("xtask.toml")).unwrap();
        assert_eq!(
            (settings.cluster.controlplanes, settings.cluster.workers),
            (Some(1), Some(1))
        );
        assert!(settings.cluster.talosctl_args[0].starts_with("--cni-bin-path=/p/tools-"));
        assert!(
            settings
                .proxies
                .values()
                .all(|url| url.starts_with("http://172.17.0.1:"))
        );
    }

    #[test]
    fn the_wrapper_comes_first_and_sbin_is_there_once() {
        let ours = ["/p/path".into(), "/p/talosctl".into()];
        let expected = "/p/path:/p/talosctl:/usr/bin:/usr/sbin:/usr/local/sbin:/sbin:/bin";
        assert_eq!(path_inside(&ours, "/usr/bin::/usr/sbin"), expected);
    }
}
