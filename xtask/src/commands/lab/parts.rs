//! What a lab is made of, built once and kept: each part in a folder whose
//! name says which it is, made in a temporary folder and renamed, so that
//! there is never half a part.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::carried::{self, GUEST, TOOLS};
use super::packages::{self, CNI_PLUGINS};
use super::place::Place;
use crate::ctx::probe;
use crate::plan::{Action, Effect, Plan, Step};

/// What the guest's and the talosctl's builds are given besides the user's own
/// Go settings: no workspace above the cache folder, no surprise flags.
const GO_ENV: [(&str, &str); 3] = [
    ("GOWORK", "off"),
    ("GOFLAGS", "-mod=mod -buildvcs=false"),
    ("CGO_ENABLED", "0"),
];
/// A slot: only the package lists know, and they may have to be fetched first.
const UNKNOWN_KERNEL: &str = "<kernel version>";
/// Superseded builds of one part that stay: other checkouts of ours may be in use.
const KEEP_SUPERSEDED: usize = 2;
const BUILD_DEADLINE: u64 = 3600;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) dir: Utf8PathBuf,
    pub(super) is_built: bool,
}

/// All parts that a lab is started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) talosctl: Part,
    pub(super) kernel: Part,
    pub(super) guest: Part,
    pub(super) initramfs: Part,
    pub(super) tools: Part,
    root: Utf8PathBuf,
}

impl Part {
    fn at(root: &Utf8Path, name: &'static str, version: impl Into<String>) -> Self {
        let version = version.into();
        let dir = root.join(format!("{name}-{version}"));
        Self {
            name,
            is_built: dir.is_dir(),
            version,
            dir,
        }
    }

    /// Where it is made; one maker at a time, who holds the lock.
    fn staging(&self) -> Utf8PathBuf {
        self.dir.with_file_name(format!(".new-{}", self.name))
    }

    fn begin(&self, plan: &mut Plan) {
        let path = self.staging();
        if fs::symlink_metadata(&path).is_ok() {
            let action = Action::Remove { path: path.clone() };
            let why = format!("remove what an interrupted build of the {} left", self.name);
            plan.push(Step::new(why, action).effect(Effect::Destroys));
        }
        let why = format!("a folder to make the {} in", self.name);
        plan.push(Step::new(why, Action::CreateDir { path }).effect(Effect::Creates));
    }

    fn finish(&self, plan: &mut Plan) {
        let why = format!("the {} is complete: give it its name", self.name);
        let argv =
            ["mv", "-T", "--", self.staging().as_str(), self.dir.as_str()].map(str::to_owned);
        plan.push(Step::run(why, argv).effect(Effect::Creates));
    }
}

impl Parts {
    /// What a lab with this talosctl (a tag, `v1.12.0`) is made of.
    pub(super) fn wanted(place: &Place, talosctl: &str, arch: &str) -> Self {
        let root = place.parts.clone();
        let kernel = kernel_version(&root, arch);
        let guest = carried::hash(&[GUEST], &[arch]);
        let initramfs = carried::hash(&[GUEST], &[&kernel, talosctl, arch]);
        let cni = packages::cni_folder().unwrap_or_default();
        let tools = carried::hash(&TOOLS, &[cni.as_str()]);
        Self {
            talosctl: Part::at(&root, "talosctl", talosctl.trim_start_matches('v')),
            kernel: Part::at(&root, "kernel", kernel),
            guest: Part::at(&root, "guest", guest),
            initramfs: Part::at(&root, "initramfs", initramfs),
            tools: Part::at(&root, "tools", tools),
            root,
        }
    }

    pub(super) fn all(&self) -> [&Part; 5] {
        [
            &self.tools,
            &self.kernel,
            &self.guest,
            &self.initramfs,
            &self.talosctl,
        ]
    }

    /// Whether building needs a Go toolchain.
    pub(super) fn needs_go(&self) -> bool {
        !(self.talosctl.is_built && self.guest.is_built)
    }

    pub(super) fn vmlinuz(&self) -> Utf8PathBuf {
        self.kernel
            .dir
            .join(format!("root/boot/vmlinuz-{}", self.kernel.version))
    }

    /// The steps for what is not there yet. `exe` is this program.
    pub(super) fn plan_build(&self, plan: &mut Plan, exe: &Utf8Path) {
        if !self.tools.is_built {
            self.plan_tools(plan, exe);
        }
        if !self.kernel.is_built {
            plan_kernel(plan, &self.kernel);
        }
        if !self.guest.is_built {
            plan_guest(plan, &self.guest, exe);
        }
        if !self.initramfs.is_built {
            self.plan_initramfs(plan);
        }
        if !self.talosctl.is_built {
            plan_talosctl(plan, &self.talosctl);
        }
        for part in [&self.guest, &self.initramfs] {
            if !part.is_built {
                self.plan_prune(plan, part);
            }
        }
    }

    fn plan_tools(&self, plan: &mut Plan, exe: &Utf8Path) {
        let part = &self.tools;
        part.begin(plan);
        let to = part.staging();
        let mut argv = vec![exe.as_str(), "lab", "unpack", to.as_str()];
        argv.extend(TOOLS);
        plan.push(Step::run(
            "write the lab's own tools, carried in this program",
            argv,
        ));
        let cni = packages::cni_folder().unwrap_or_else(|| "<CNI folder>".into());
        let plugins: Vec<String> = CNI_PLUGINS
            .iter()
            .map(|name| cni.join(name).into_string())
            .collect();
        let mut argv = vec![
            "ln".to_owned(),
            "-s".to_owned(),
            "-t".to_owned(),
            to.join("cni").into_string(),
        ];
        argv.extend(plugins);
        plan.push(Step::run(
            "put the distribution's CNI plugins beside the tap plugin",
            argv,
        ));
        part.finish(plan);
    }

    fn plan_initramfs(&self, plan: &mut Plan) {
        let part = &self.initramfs;
        part.begin(plan);
        let tag = format!("v{}", self.talosctl.version);
        let argv = [
            self.guest.dir.join("pack").into_string(),
            "-kernel-root".to_owned(),
            self.kernel.dir.join("root").into_string(),
            "-kver".to_owned(),
            self.kernel.version.clone(),
            "-init".to_owned(),
            self.guest.dir.join("init").into_string(),
            "-version".to_owned(),
            tag,
            "-o".to_owned(),
            part.staging().join("initramfs").into_string(),
        ];
        plan.push(
            Step::run(
                "pack the guest and the modules it needs into an initramfs",
                argv,
            )
            .deadline(300),
        );
        part.finish(plan);
    }

    /// A developer of the guest would fill the disk with its former selves.
    fn plan_prune(&self, plan: &mut Plan, part: &Part) {
        let prefix = format!("{}-", part.name);
        let mut old: Vec<_> = entries(&self.root)
            .into_iter()
            .filter(|dir| {
                dir.file_name()
                    .is_some_and(|name| name.starts_with(&prefix))
            })
            .filter(|dir| *dir != part.dir)
            .filter_map(|dir| Some((fs::metadata(&dir).ok()?.modified().ok()?, dir)))
            .collect();
        old.sort();
        for (_, path) in old.into_iter().rev().skip(KEEP_SUPERSEDED) {
            let why = format!("remove a superseded {}", part.name);
            plan.push(Step::new(why, Action::Remove { path }).effect(Effect::Destroys));
        }
    }

    /// For `lab status --json`.
    pub(super) fn json(&self) -> Value {
        let part = |part: &Part| {
            json!({
                "name": part.name, "version": part.version, "dir": part.dir,
                "state": if part.is_built { "built" } else { "missing" },
            })
        };
        self.all().map(part).into()
    }
}

/// Debian's name for a small kernel with virtio.
pub(super) fn kernel_package(arch: &str) -> String {
    format!("linux-image-cloud-{arch}")
}

/// A kernel that is there stays good, so that a second start needs no apt; else
/// the one that the package lists name.
fn kernel_version(root: &Utf8Path, arch: &str) -> String {
    let mut built: Vec<String> = entries(root)
        .into_iter()
        .filter_map(|dir| dir.file_name()?.strip_prefix("kernel-").map(str::to_owned))
        .collect();
    built.sort();
    built
        .pop()
        .or_else(|| listed_kernel(arch))
        .unwrap_or_else(|| UNKNOWN_KERNEL.to_owned())
}

/// The version that the meta package points at.
fn listed_kernel(arch: &str) -> Option<String> {
    depended_kernel(&probe::stdout(
        &["apt-cache", "depends", &kernel_package(arch)],
        None,
    )?)
}

fn depended_kernel(depends: &str) -> Option<String> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: linux-image-"))
        .map(str::to_owned)
        .next()
}

fn entries(root: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Ok(entries) = root.read_dir_utf8() else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path().to_owned()))
        .collect()
}

/// Nothing is installed on the host: the package is only unpacked.
fn plan_kernel(plan: &mut Plan, part: &Part) {
    part.begin(plan);
    let package = format!("linux-image-{}", part.version);
    plan.push(
        Step::run(
            "download the kernel's package; it is not installed",
            ["apt-get", "download", &package],
        )
        .cwd(part.staging())
        .deadline(600),
    );
    let unpack = "dpkg-deb -x ./*.deb root && rm -- ./*.deb";
    plan.push(
        Step::run("unpack the kernel", ["sh", "-c", unpack])
            .cwd(part.staging())
            .deadline(300),
    );
    part.finish(plan);
}

fn plan_guest(plan: &mut Plan, part: &Part, exe: &Utf8Path) {
    part.begin(plan);
    let to = part.staging();
    let argv = [exe.as_str(), "lab", "unpack", to.as_str(), GUEST];
    plan.push(Step::run(
        "write the stand-in guest's sources, carried in this program",
        argv,
    ));
    for (program, why) in [
        (
            "init",
            "build the guest: what runs in the lab's nodes in place of Talos",
        ),
        ("pack", "build the program that packs its initramfs"),
    ] {
        let out = to.join(program);
        let source = format!("./cmd/{program}");
        let argv = [
            "go",
            "build",
            "-trimpath",
            "-tags",
            "grpcnotrace",
            "-ldflags",
            "-s -w",
            "-o",
            out.as_str(),
            &source,
        ];
        plan.push(go(why, argv).cwd(to.join(GUEST)));
    }
    part.finish(plan);
}

/// A module of its own: talosctl's has replace directives, which `go install
/// PACKAGE@VERSION` refuses.
fn plan_talosctl(plan: &mut Plan, part: &Part) {
    const PACKAGE: &str = "github.com/siderolabs/talos/cmd/talosctl";
    part.begin(plan);
    let at = part.staging();
    let mut step = |why: &str, argv: &[&str]| plan.push(go(why, argv.iter().copied()).cwd(&*at));
    step(
        "a Go module to build talosctl from",
        &["go", "mod", "init", "lab.invalid/talosctl"],
    );
    if part.version.starts_with("1.11.") {
        // Replace directives count only in the main module: this is Talos' own
        // (go.mod of release-1.11).
        let yaml = "gopkg.in/yaml.v3=github.com/unix4ever/yaml@v0.0.0-20220527175918-f17b0f05cf2c";
        step(
            "the YAML library that this Talos line replaces",
            &["go", "mod", "edit", "-replace", yaml],
        );
    }
    let wanted = format!("{PACKAGE}@v{}", part.version);
    step("fetch talosctl's sources", &["go", "get", "-tool", &wanted]);
    step(
        "build talosctl: the first time takes some minutes",
        &[
            "go",
            "build",
            "-v",
            "-trimpath",
            "-tags",
            "grpcnotrace",
            "-ldflags",
            "-s -w",
            "-o",
            "talosctl",
            PACKAGE,
        ],
    );
    part.finish(plan);
}

fn go<S: Into<String>>(why: &str, argv: impl IntoIterator<Item = S>) -> Step {
    let step = Step::run(why, argv).deadline(BUILD_DEADLINE);
    GO_ENV
        .iter()
        .fold(step, |step, (name, value)| step.env(*name, *value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(root: &Utf8Path) -> Place {
        Place {
            dir: root.join("lab"),
            parts: root.join("parts"),
            shared_parent: false,
        }
    }

    fn titles(plan: &Plan) -> Vec<&str> {
        plan.steps.iter().map(|step| step.why.as_str()).collect()
    }

    #[test]
    fn the_kernel_is_the_one_that_the_meta_package_depends_on() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(
            depended_kernel(text).as_deref(),
            Some("6.1.0-56-cloud-amd64")
        );
        assert_eq!(depended_kernel("N: Unable to locate package"), None);
    }

    #[test]
    fn what_is_built_is_not_built_again_and_half_parts_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        let place = place(Utf8Path::from_path(root.path()).unwrap());
        fs::create_dir_all(place.parts.join("kernel-6.1.0-1-cloud-amd64")).unwrap();
        let cold = Parts::wanted(&place, "v1.12.0", "amd64");
        assert!(cold.needs_go() && cold.kernel.is_built);
        fs::create_dir_all(cold.talosctl.staging()).unwrap();
        let cold = Parts::wanted(&place, "v1.12.0", "amd64");
        assert!(!cold.talosctl.is_built);
        let mut plan = Plan::new("t");
        cold.plan_build(&mut plan, Utf8Path::new("/x/xtask"));
        assert!(
            titles(&plan)
                .iter()
                .any(|why| why.contains("interrupted build of the talosctl"))
        );
        for part in cold.all() {
            fs::create_dir_all(&part.dir).unwrap();
        }
        let warm = Parts::wanted(&place, "v1.12.0", "amd64");
        let mut plan = Plan::new("t");
        warm.plan_build(&mut plan, Utf8Path::new("/x/xtask"));
        assert_eq!(titles(&plan), [""; 0]);
        assert!(!warm.needs_go());
    }

    #[test]
    fn another_talosctl_is_another_part_and_only_1_11_replaces_yaml() {
        let root = tempfile::tempdir().unwrap();
        let place = place(Utf8Path::from_path(root.path()).unwrap());
        let build = |tag| {
            let mut plan = Plan::new("t");
            let parts = Parts::wanted(&place, tag, "amd64");
            plan_talosctl(&mut plan, &parts.talosctl);
            (parts, format!("{plan:?}"))
        };
        let ((one, old), (two, new)) = (build("v1.11.0"), build("v1.12.0"));
        assert!(old.contains("unix4ever") && !new.contains("unix4ever"));
        assert!(new.contains("talosctl@v1.12.0"));
        assert_ne!(one.initramfs.dir, two.initramfs.dir);
        assert_eq!(one.guest, two.guest);
    }

    #[test]
    fn former_guests_are_removed_but_not_the_last_ones() {
        let root = tempfile::tempdir().unwrap();
        let place = place(Utf8Path::from_path(root.path()).unwrap());
        for name in ["guest-1", "guest-2", "guest-3", "initramfs-1", "talosctl-1"] {
            fs::create_dir_all(place.parts.join(name)).unwrap();
        }
        let parts = Parts::wanted(&place, "v1.12.0", "amd64");
        let mut plan = Plan::new("t");
        parts.plan_prune(&mut plan, &parts.guest);
        parts.plan_prune(&mut plan, &parts.initramfs);
        assert_eq!(titles(&plan), ["remove a superseded guest"]);
    }
}
