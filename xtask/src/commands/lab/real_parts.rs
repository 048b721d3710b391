//! What a lab with real nodes is made of: Talos, built from its Go module with
//! the replacements that `adapt` reports, on a kernel and programs of Debian;
//! Kubernetes and etcd, as images in the folder of a registry.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use talos::TalosVersion;
use xshell::{Shell, cmd};

use super::build::{argv, begin, carried_part, finish, go, prune, quietly, shell};
use super::carried::{self, GUEST, REAL};
use super::parts::{BootFiles, Part};
use foundation::failure::Result;
use foundation::files;
use foundation::plan::{Plan, Step};

/// Programs of ours that make the parts, carried as Go sources.
const BUILDERS: [&str; 8] = [
    "adapt",
    "container",
    "images",
    "pack",
    "pause",
    "preinit",
    "rootfs",
    "staging",
];
const TALOS: &str = "github.com/siderolabs/talos";
const CONTAINERD: &str = "github.com/containerd/containerd/v2/cmd";
const ETCD: &str = "go.etcd.io/etcd/server/v3";
/// As in Talos' Makefile; `sidero.debug` opens the profile ports.
const TALOS_TAGS: &str = "tcell_minimal,grpcnotrace,sidero.debug";
const INTEGRATION_TAGS: &str =
    "tcell_minimal,grpcnotrace,integration,integration_api,integration_cli,integration_k8s";
/// The name of the binary in its part.
pub(super) const INTEGRATION_TEST: &str = "integration-test";
/// What Talos' containerd has no plugin for.
const CONTAINERD_TAGS: &str = "no_btrfs,no_zfs,no_devmapper,no_aufs";
const KUBERNETES: [&str; 5] = [
    "kubelet",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
];
/// A slot: talosctl names the versions, and has to be built first.
const UNKNOWN: &str = "<as talosctl names it>";
const DEADLINE: u64 = 900;

/// What the lab's own recipe replaces, beside what `adapt` reports of Talos' sources.
const RECIPE: [(&str, &str); 9] = [
    (
        "Talos' kernel",
        "Debian's of the same line; a program before init loads its modules",
    ),
    (
        "udevd, runc, lvm, xfsprogs, e2fsprogs, dosfstools, kmod, CNI plugins",
        "those of Debian 13",
    ),
    (
        "the installer",
        "a partition table, laid over each disk before the first boot",
    ),
    (
        "images of etcd, the kubelet and the control plane",
        "built from their Go modules, in a registry of the lab",
    ),
    ("CoreDNS, kube-proxy and flannel", "disabled"),
    (
        "the discovery service",
        "disabled; workers find their control plane once Kubernetes answers",
    ),
    (
        "pti=on, init_on_alloc=1 and the dashboard",
        "off, for the speed of an emulated node",
    ),
    (
        "the API server's audit log",
        "off, for the speed of an emulated node",
    ),
    (
        "the pod network",
        "a bridge in each node: pods of different nodes do not reach each other",
    ),
];

/// One difference from Talos as it is released; as `adapt` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replacement {
    pub(super) what: String,
    pub(super) with: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RealParts {
    release: TalosVersion,
    tools: Part,
    /// Scripts, carried in this program.
    scripts: Part,
    builders: Part,
    /// Debian's packages and kernel, unpacked.
    debian: Part,
    /// machined, init, talosctl, containerd, and the adapted sources.
    talos: Part,
    kubernetes: Part,
    etcd: Part,
    /// What nodes boot.
    node: Part,
    /// The folder of a registry.
    images: Part,
    /// Talos' own tests of a cluster; built when they are first run.
    integration_test: Part,
}

impl RealParts {
    /// What a lab with this Talos is made of.
    pub(super) fn wanted(root: &Utf8Path, tools: Part, version: &TalosVersion) -> Self {
        let (tag, kernel_line) = (version.tag(), version.kernel_line());
        let scripts = carried::hash(&[REAL], &[]);
        let builders = carried::hash(&[GUEST], &[]);
        let debian = carried::hash_of_file("real/debian", &[kernel_line]);
        let adapted = carried::hash(&["real/shims", "guest/cmd/adapt"], &[]);
        let talos = Part::at(
            root,
            "talos",
            format!("{}-{adapted}", tag.trim_start_matches('v')),
        );
        let named = NamedImages::read(&talos.dir);
        let (kubernetes, etcd) = named.as_ref().map_or((UNKNOWN, UNKNOWN), |images| {
            (images.kubernetes.as_str(), images.etcd.as_str())
        });
        let node = carried::hash(
            &[
                "guest/cmd/rootfs",
                "guest/cmd/pack",
                "guest/cmd/preinit",
                "guest/cmd/container",
                "guest/internal/fetch",
                "guest/internal/kernel",
                "guest/internal/kmod",
                "guest/internal/netup",
            ],
            &[&scripts, &debian, &talos.version],
        );
        let images = carried::hash(
            &["guest/cmd/images", "guest/cmd/pause"],
            &[&debian, kubernetes, etcd],
        );
        Self {
            release: version.clone(),
            tools,
            scripts: Part::at(root, "real-scripts", scripts),
            builders: Part::at(root, "builders", builders),
            debian: Part::at(root, "debian", debian),
            kubernetes: Part::at(root, "kubernetes", kubernetes),
            etcd: Part::at(root, "etcd", etcd),
            node: Part::at(root, "node", node),
            images: Part::at(root, "pulled-images", images),
            integration_test: Part::at(root, "integration-test", talos.version.clone()),
            talos,
        }
    }

    pub(super) fn all(&self) -> Vec<&Part> {
        let mut all = vec![
            &self.tools,
            &self.scripts,
            &self.builders,
            &self.debian,
            &self.talos,
            &self.kubernetes,
            &self.etcd,
            &self.node,
            &self.images,
        ];
        // No lab needs it to start.
        all.extend(Some(&self.integration_test).filter(|part| part.is_built));
        all
    }

    pub(super) fn tools(&self) -> &Part {
        &self.tools
    }

    pub(super) fn node(&self) -> &Part {
        &self.node
    }

    pub(super) fn integration_test(&self) -> &Part {
        &self.integration_test
    }

    pub(super) fn release(&self) -> &TalosVersion {
        &self.release
    }

    /// The folder of Talos' sources from which everything of Talos is built.
    pub(super) fn sources(&self) -> Utf8PathBuf {
        self.talos.dir.join("sources")
    }

    /// Whether everything is built that names what else is to be built.
    pub(super) fn are_images_known(&self) -> bool {
        self.kubernetes.version != UNKNOWN
    }

    pub(super) fn needs_go(&self) -> bool {
        ![&self.builders, &self.talos, &self.kubernetes, &self.etcd]
            .iter()
            .all(|part| part.is_built)
    }

    pub(super) fn needs_apt(&self) -> bool {
        !self.debian.is_built
    }

    /// The kernel's version, once Debian's package is there.
    pub(super) fn kernel(&self) -> Option<String> {
        let file = self.debian.dir.join("kernel/version");
        let version = files::read_text(&file, files::SMALL).ok()??;
        Some(version.trim().to_owned())
    }

    pub(super) fn boot_files(&self) -> BootFiles {
        let kernel = self
            .kernel()
            .unwrap_or_else(|| self.release.kernel_line().to_owned());
        BootFiles {
            vmlinuz: self
                .debian
                .dir
                .join(format!("kernel/boot/vmlinuz-{kernel}")),
            initramfs: self.node.dir.join("initramfs"),
            talosctl: self.talos.dir.join("talosctl"),
        }
    }

    /// Folders for the PATH inside: kubectl is there for users.
    pub(super) fn path(&self) -> Vec<Utf8PathBuf> {
        vec![self.talos.dir.clone(), self.kubernetes.dir.clone()]
    }

    /// What is laid over the start of each node's disk.
    pub(super) fn disk(&self) -> Utf8PathBuf {
        self.node.dir.join("disk")
    }

    /// The patch that every machine configuration of the lab gets.
    pub(super) fn machine_patch(&self) -> Utf8PathBuf {
        self.script("machine.yaml")
    }

    /// The command line that starts the registries in the lab.
    pub(super) fn registries(&self, lab: &Utf8Path) -> [Utf8PathBuf; 4] {
        let start = self.script("start");
        [
            start,
            lab.to_owned(),
            self.debian.dir.clone(),
            self.images.dir.clone(),
        ]
    }

    /// What differs from Talos as it is released. None before it is built.
    pub(super) fn replacements(&self) -> Option<Vec<Replacement>> {
        let file = self.talos.dir.join("replacements.json");
        let text = files::read_text(&file, files::SMALL).ok()??;
        let mut replacements: Vec<Replacement> = serde_json::from_str(&text).ok()?;
        replacements.extend(RECIPE.map(|(what, with)| Replacement {
            what: what.to_owned(),
            with: with.to_owned(),
        }));
        Some(replacements)
    }

    fn script(&self, name: &str) -> Utf8PathBuf {
        self.scripts.dir.join(REAL).join(name)
    }
}

/// Versions of the images that this talosctl names.
#[derive(Debug, PartialEq, Eq)]
struct NamedImages {
    kubernetes: String,
    etcd: String,
}

impl NamedImages {
    /// From the list that was written when talosctl was built.
    fn read(talos: &Utf8Path) -> Option<Self> {
        Self::parse(&files::read_text(&talos.join("images"), files::SMALL).ok()??)
    }

    fn parse(list: &str) -> Option<Self> {
        let tag = |name: &str| {
            let mut tags = list
                .lines()
                .filter_map(|line| line.trim().rsplit_once(':'))
                .filter(|(image, _)| image.rsplit('/').next() == Some(name))
                .map(|(_, tag)| tag.trim_start_matches('v').to_owned());
            tags.next()
        };
        Some(Self {
            kubernetes: tag("kubelet")?,
            etcd: tag("etcd")?,
        })
    }
}

/// The steps for what is not there yet. As long as talosctl is not built, what
/// its images are made of is a slot.
///
/// # Errors
/// When the current folder is gone.
pub(super) fn plan(plan: &mut Plan, parts: &RealParts, exe: &Utf8Path) -> Result<()> {
    plan_talos(plan, parts, exe)?;
    let sh = &shell()?;
    if !parts.kubernetes.is_built {
        kubernetes(sh, plan, parts);
    }
    if !parts.etcd.is_built {
        etcd(sh, plan, parts);
    }
    if !parts.node.is_built {
        node(plan, parts);
    }
    if !parts.images.is_built {
        images(plan, parts);
    }
    Ok(())
}

/// The steps up to talosctl, which names what else is needed.
///
/// # Errors
/// When the current folder is gone.
pub(super) fn plan_talos(plan: &mut Plan, parts: &RealParts, exe: &Utf8Path) -> Result<()> {
    let sh = &shell()?;
    if !parts.scripts.is_built {
        let why = "write how real nodes are made, carried in this program";
        carried_part(sh, plan, &parts.scripts, exe, why, &[REAL]);
    }
    if !parts.builders.is_built {
        builders(sh, plan, parts, exe);
    }
    if !parts.debian.is_built {
        debian(plan, parts);
    }
    if !parts.talos.is_built {
        talos(sh, plan, parts);
    }
    Ok(())
}

fn builders(sh: &Shell, plan: &mut Plan, parts: &RealParts, exe: &Utf8Path) {
    let part = &parts.builders;
    let from = begin(plan, part);
    let to = part.staging();
    plan.push(Step::run(
        "write the sources of the programs that make the parts, carried in this program",
        argv(cmd!(sh, "{exe} lab unpack {to} {GUEST}")),
    ));
    let sources = BUILDERS.map(|name| format!("./cmd/{name}"));
    let build = cmd!(
        sh,
        "go build -v -trimpath -ldflags '-s -w' -o {to}/ {sources...}"
    );
    let why = "build the programs that make the parts";
    plan.push(quietly(go(why, build, &to.join(GUEST))));
    finish(plan, part, from);
    prune(plan, part);
}

/// Nothing is installed on the host: packages are only unpacked.
fn debian(plan: &mut Plan, parts: &RealParts) {
    let why = "fetch and unpack Debian's packages and kernel; nothing is installed";
    scripted(
        plan,
        parts,
        &parts.debian,
        "debian",
        why,
        &[parts.release.kernel_line()],
    );
}

/// A part that a carried script makes: the script's first word is its folder.
fn scripted(
    plan: &mut Plan,
    parts: &RealParts,
    part: &Part,
    script: &str,
    why: &str,
    inputs: &[&str],
) {
    let from = begin(plan, part);
    let (script, out) = (parts.script(script), part.staging());
    let words = [&[script.as_str(), out.as_str()], inputs].concat();
    plan.push(quietly(Step::run(why, words).deadline(DEADLINE)));
    finish(plan, part, from);
    prune(plan, part);
}

fn talos(sh: &Shell, plan: &mut Plan, parts: &RealParts) {
    let part = &parts.talos;
    let from = begin(plan, part);
    let (at, tag) = (part.staging(), parts.release.tag());
    let adapt = parts.builders.dir.join("adapt");
    let (sources, shims) = (at.join("sources"), parts.script("shims"));
    let report = at.join("replacements.json");
    let containerd_module = at.join("go.mod");
    plan.push(quietly(go(
        "fetch Talos' sources, and make a copy that compiles from public modules",
        cmd!(
            sh,
            "{adapt} {tag} {sources} {shims} {report} {containerd_module}"
        ),
        &at,
    )));
    let flags = talos_flags(&tag);
    for (program, source) in [
        ("machined", "./internal/app/machined"),
        ("init", "./internal/app/init"),
        ("talosctl", "./cmd/talosctl"),
    ] {
        let (tags, out) = if program == "talosctl" {
            ("grpcnotrace", at.join(program))
        } else {
            (TALOS_TAGS, at.join(program))
        };
        plan.push(quietly(go(
            &format!("build Talos' {program}: the first time takes some minutes"),
            cmd!(
                sh,
                "go build -v -trimpath -tags {tags} -ldflags {flags} -o {out} {source}"
            ),
            &sources,
        )));
    }
    let containerd =
        ["containerd", "containerd-shim-runc-v2"].map(|name| format!("{CONTAINERD}/{name}"));
    plan.push(quietly(go(
        "build containerd and its shim",
        cmd!(
            sh,
            "go build -v -trimpath -tags {CONTAINERD_TAGS} -ldflags '-s -w' -o {at}/ {containerd...}"
        ),
        &at,
    )));
    plan.push(
        Step::run(
            "write down which images this Talos wants",
            ["sh", "-c", "./talosctl image default >images"],
        )
        .cwd(at),
    );
    finish(plan, part, from);
    prune(plan, part);
}

fn kubernetes(sh: &Shell, plan: &mut Plan, parts: &RealParts) {
    let part = &parts.kubernetes;
    let from = begin(plan, part);
    let at = part.staging();
    let tag = format!("v{}", part.version);
    let staging = parts.builders.dir.join("staging");
    plan.push(quietly(go(
        "a Go module to build Kubernetes from",
        cmd!(sh, "{staging} {tag}"),
        &at,
    )));
    let sources = KUBERNETES.map(|name| format!("k8s.io/kubernetes/cmd/{name}"));
    let flags = version_flags(&part.version);
    plan.push(quietly(go(
        "build Kubernetes: the first time takes some minutes",
        cmd!(
            sh,
            "go build -v -trimpath -ldflags {flags} -o {at}/ {sources...}"
        ),
        &at,
    )));
    finish(plan, part, from);
    prune(plan, part);
}

/// As in Talos' Makefile.
fn talos_flags(tag: &str) -> String {
    let version = format!("{TALOS}/pkg/machinery/version");
    format!(
        "-s -w -X golang.zx2c4.com/wireguard/ipc.socketDirectory=/system/wireguard-sock \
         -X {version}.Tag={tag} -X {version}.SHA=lab -X {version}.Name=Talos"
    )
}

/// The steps that build Talos' own tests, from the sources of the nodes.
pub(super) fn integration_test(sh: &Shell, plan: &mut Plan, parts: &RealParts) {
    let part = &parts.integration_test;
    let from = begin(plan, part);
    let out = part.staging().join(INTEGRATION_TEST);
    let flags = talos_flags(&parts.release.tag());
    plan.push(quietly(go(
        "build Talos' integration tests: the first time takes some minutes",
        cmd!(
            sh,
            "go test -c -trimpath -tags {INTEGRATION_TAGS} -ldflags {flags} -o {out} ./internal/integration"
        ),
        &parts.sources(),
    )));
    finish(plan, part, from);
    prune(plan, part);
}

/// Without these a kubelet calls itself v0.0.0, and kubeadm-style checks fail.
fn version_flags(version: &str) -> String {
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    let (server, client) = (
        "k8s.io/component-base/version",
        "k8s.io/client-go/pkg/version",
    );
    format!(
        "-s -w -X {server}.gitVersion=v{version} -X {server}.gitMajor={major} -X {server}.gitMinor={minor} \
         -X {server}.gitTreeState=clean -X {server}.gitCommit=lab -X {client}.gitVersion=v{version} \
         -X {client}.gitMajor={major} -X {client}.gitMinor={minor}"
    )
}

fn etcd(sh: &Shell, plan: &mut Plan, parts: &RealParts) {
    let part = &parts.etcd;
    let from = begin(plan, part);
    let at = part.staging();
    let module = format!("{ETCD}@v{}", part.version);
    for (why, cmd) in [
        (
            "a Go module to build etcd from",
            cmd!(sh, "go mod init lab.invalid/etcd"),
        ),
        ("fetch etcd's sources", cmd!(sh, "go get -tool {module}")),
        (
            "build etcd",
            cmd!(sh, "go build -v -trimpath -ldflags '-s -w' -o etcd {ETCD}"),
        ),
    ] {
        plan.push(quietly(go(why, cmd, &at)));
    }
    finish(plan, part, from);
    prune(plan, part);
}

fn node(plan: &mut Plan, parts: &RealParts) {
    let inputs = [&parts.builders, &parts.debian, &parts.talos].map(|part| part.dir.as_str());
    let why = "pack the root file system and initramfs of a node, in Talos' own layout";
    scripted(plan, parts, &parts.node, "node", why, &inputs);
}

fn images(plan: &mut Plan, parts: &RealParts) {
    let inputs = [
        &parts.builders,
        &parts.debian,
        &parts.talos,
        &parts.kubernetes,
        &parts.etcd,
    ];
    let inputs = inputs.map(|part| part.dir.as_str());
    let why = "the images that nodes pull, in the folder of a registry";
    scripted(plan, parts, &parts.images, "images", why, &inputs);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "ghcr.io/siderolabs/flannel:v0.28.4\nregistry.k8s.io/etcd:v3.6.9\n\
        registry.k8s.io/kube-apiserver:v1.36.0\nghcr.io/siderolabs/kubelet:v1.36.0\n";

    fn parts(root: &Utf8Path) -> RealParts {
        let tools = Part::at(root, "tools", "1");
        RealParts::wanted(root, tools, &TalosVersion::parse("v1.13.0").unwrap())
    }

    fn planned(parts: &RealParts) -> String {
        let mut made = Plan::new("t");
        plan(&mut made, parts, Utf8Path::new("/x/xtask")).unwrap();
        serde_json::to_string(&made.steps).unwrap()
    }

    #[test]
    fn talosctl_names_what_is_built_for_its_images() {
        assert_eq!(
            NamedImages::parse(LIST),
            Some(NamedImages {
                kubernetes: "1.36.0".to_owned(),
                etcd: "3.6.9".to_owned(),
            })
        );
        assert_eq!(NamedImages::parse("registry.k8s.io/etcd:v3.6.9"), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests prepare folders")]
    fn before_talosctl_is_built_the_versions_are_slots() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let cold = parts(root);
        assert!(!cold.are_images_known() && cold.needs_go() && cold.needs_apt());
        assert!(planned(&cold).contains("<as talosctl names it>"));
        std::fs::create_dir_all(&cold.talos.dir).unwrap();
        std::fs::write(cold.talos.dir.join("images"), LIST).unwrap();
        let warm = parts(root);
        assert_eq!(
            (&*warm.kubernetes.version, &*warm.etcd.version),
            ("1.36.0", "3.6.9")
        );
        let steps = planned(&warm);
        assert!(steps.contains("gitVersion=v1.36.0") && !steps.contains("internal/app/machined"));
        assert_eq!(warm.talos.version.split('-').next(), Some("1.13.0"));
    }

    /// Superseded versions of a part are found by its name and a dash.
    #[test]
    fn no_parts_name_begins_with_that_of_another() {
        let parts = parts(Utf8Path::new("/p"));
        let names = parts.all().into_iter().map(|part| part.name);
        let others = [
            "talosctl",
            "kernel",
            "guest",
            "initramfs",
            "images",
            "docker",
            "scripts",
            "integration-test",
        ];
        let names: Vec<&str> = names.chain(others).collect();
        for name in &names {
            let dashed = format!("{name}-");
            assert!(
                !names.iter().any(|other| other.starts_with(&dashed)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_build_names_every_part_once_and_installs_nothing() {
        let parts = parts(Utf8Path::new("/p"));
        let steps = planned(&parts);
        for part in parts.all().into_iter().filter(|part| part.name != "tools") {
            let made = format!("mv\",\"-T\",\"--\",\"{}", part.staging());
            assert_eq!(steps.matches(&made).count(), 1, "{}", part.name);
        }
        assert!(!steps.contains("apt-get\",\"install") && !steps.contains("sudo"));
    }
}
