//! The steps that build the parts of a lab.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Cmd, Shell, cmd};

use super::carried::{GUEST, TOOLS};
use super::packages::{self, CNI_PLUGINS};
use super::parts::{LabParts, Part, Parts};
use super::real_parts;
use foundation::failure::{Because, Result};
use foundation::plan::{Action, Effect, Plan, Step};

/// Go's environment besides the user's own settings: no workspace above the
/// cache folder, no unexpected flags.
const GO_ENV: [(&str, &str); 3] = [
    ("GOWORK", "off"),
    ("GOFLAGS", "-mod=mod -buildvcs=false"),
    ("CGO_ENABLED", "0"),
];
const TALOSCTL: &str = "github.com/siderolabs/talos/cmd/talosctl";
/// Number of superseded builds of one part that are kept: other checkouts may
/// use them.
const KEEP_SUPERSEDED: usize = 2;
const BUILD_DEADLINE: u64 = 3600;
const DEADLINE: u64 = 600;

/// The steps for what is not there yet. `exe` is this program.
///
/// # Errors
/// When the current folder is gone.
pub(super) fn plan(plan: &mut Plan, parts: &LabParts, exe: &Utf8Path) -> Result<()> {
    let sh = &shell()?;
    if !parts.tools().is_built {
        tools(sh, plan, parts.tools(), exe);
    }
    match parts {
        LabParts::StandIn(parts) => stand_in(sh, plan, parts, exe),
        LabParts::Real(parts) => real_parts::plan(plan, parts, exe)?,
    }
    Ok(())
}

fn stand_in(sh: &Shell, plan: &mut Plan, parts: &Parts, exe: &Utf8Path) {
    if !parts.kernel.is_built {
        kernel(sh, plan, &parts.kernel);
    }
    if !parts.guest.is_built {
        guest(sh, plan, &parts.guest, exe);
    }
    if !parts.initramfs.is_built {
        initramfs(sh, plan, parts);
    }
    if !parts.talosctl.is_built {
        talosctl(sh, plan, &parts.talosctl);
    }
    for part in [&parts.guest, &parts.initramfs] {
        if !part.is_built {
            prune(plan, part);
        }
    }
}

/// What `cmd!` takes; it runs nothing here.
pub(super) fn shell() -> Result<Shell> {
    Shell::new().because(|| "cannot tell the current folder".to_owned())
}

/// Returns where the part begins, for [`finish`].
pub(super) fn begin(plan: &mut Plan, part: &Part) -> usize {
    let from = plan.steps.len();
    let path = part.staging();
    if fs::symlink_metadata(&path).is_ok() {
        let why = format!("remove what an interrupted build of `{}` left", part.name);
        let action = Action::Remove { path: path.clone() };
        plan.push(Step::new(why, action).effect(Effect::Destroys));
    }
    let why = format!("a folder to make `{}` in", part.name);
    plan.push(Step::new(why, Action::CreateDir { path }).effect(Effect::Creates));
    from
}

/// Makes all steps since `from` one part of the plan.
pub(super) fn finish(plan: &mut Plan, part: &Part, from: usize) {
    let why = format!("`{}` is complete: give it its name", part.name);
    let (staging, to) = (part.staging(), &part.dir);
    let words = ["mv", "-T", "--", staging.as_str(), to.as_str()];
    plan.push(Step::run(why, words).effect(Effect::Creates));
    plan.join(from, &format!("build {} {}", part.name, part.version));
}

/// The words of a command line: `cmd!` is how they are written, a step of a plan
/// is how they are run.
pub(super) fn argv(cmd: Cmd<'_>) -> Vec<String> {
    let command = std::process::Command::from(cmd);
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// A part that is nothing but folders carried in this program.
pub(super) fn carried_part(
    sh: &Shell,
    plan: &mut Plan,
    part: &Part,
    exe: &Utf8Path,
    why: &str,
    folders: &[&str],
) {
    let from = begin(plan, part);
    let to = part.staging();
    let unpack = cmd!(sh, "{exe} lab unpack {to} {folders...}");
    plan.push(Step::run(why, argv(unpack)));
    finish(plan, part, from);
    prune(plan, part);
}

fn tools(sh: &Shell, plan: &mut Plan, part: &Part, exe: &Utf8Path) {
    let from = begin(plan, part);
    let to = part.staging();
    plan.push(Step::run(
        "write the lab's own tools, carried in this program",
        argv(cmd!(sh, "{exe} lab unpack {to} {TOOLS...}")),
    ));
    let folder = packages::cni_folder().unwrap_or_else(|| "<CNI folder>".into());
    let (plugins, to) = (CNI_PLUGINS.map(|name| folder.join(name)), to.join("cni"));
    plan.push(Step::run(
        "put the distribution's CNI plugins beside the tap plugin",
        argv(cmd!(sh, "ln -s -t {to} {plugins...}")),
    ));
    finish(plan, part, from);
}

/// Nothing is installed on the host: the package is only unpacked.
fn kernel(sh: &Shell, plan: &mut Plan, part: &Part) {
    let from = begin(plan, part);
    let at = part.staging();
    let package = format!("linux-image-{}", part.version);
    let mut step = |why: &str, cmd: Cmd<'_>| {
        plan.push(Step::run(why, argv(cmd)).cwd(at.clone()).deadline(DEADLINE));
    };
    step(
        "download the kernel's package; it is not installed",
        cmd!(sh, "apt-get download {package}"),
    );
    step(
        "unpack the kernel",
        cmd!(sh, "sh -c 'dpkg-deb -x ./*.deb root && rm -- ./*.deb'"),
    );
    finish(plan, part, from);
}

fn guest(sh: &Shell, plan: &mut Plan, part: &Part, exe: &Utf8Path) {
    let from = begin(plan, part);
    let to = part.staging();
    plan.push(Step::run(
        "write the stand-in guest's sources, carried in this program",
        argv(cmd!(sh, "{exe} lab unpack {to} {GUEST}")),
    ));
    for (program, why) in [
        (
            "init",
            "build the guest: what runs in the lab's nodes in place of Talos",
        ),
        ("pack", "build the program that packs its initramfs"),
    ] {
        let (out, source) = (to.join(program), format!("./cmd/{program}"));
        let build = cmd!(
            sh,
            "go build -v -trimpath -ldflags '-s -w' -o {out} {source}"
        );
        plan.push(quietly(go(why, build, &to.join(GUEST))));
    }
    finish(plan, part, from);
}

fn initramfs(sh: &Shell, plan: &mut Plan, parts: &Parts) {
    let part = &parts.initramfs;
    let from = begin(plan, part);
    let (kernel, guest) = (&parts.kernel, &parts.guest.dir);
    let tag = format!("v{}", parts.talosctl.version);
    let (pack, init) = (guest.join("pack"), guest.join("init"));
    let (root, out) = (kernel.dir.join("root"), part.staging().join("initramfs"));
    let version = &kernel.version;
    let line = cmd!(
        sh,
        "{pack} -kernel-root {root} -kver {version} -init {init} -version {tag} -o {out}"
    );
    let why = "pack the guest and the modules it needs into an initramfs";
    plan.push(Step::run(why, argv(line)).deadline(DEADLINE));
    finish(plan, part, from);
}

/// A module of its own: talosctl's has replace directives, which `go install
/// PACKAGE@VERSION` refuses.
fn talosctl(sh: &Shell, plan: &mut Plan, part: &Part) {
    let from = begin(plan, part);
    let at = part.staging();
    let mut step = |why: &str, cmd: Cmd<'_>| plan.push(quietly(go(why, cmd, &at)));
    step(
        "a Go module to build talosctl from",
        cmd!(sh, "go mod init lab.invalid/talosctl"),
    );
    if part.version.starts_with("1.11.") {
        // Replace directives count only in the main module: this is Talos' own
        // (go.mod of release-1.11).
        let yaml = "gopkg.in/yaml.v3=github.com/unix4ever/yaml@v0.0.0-20220527175918-f17b0f05cf2c";
        step(
            "the YAML library that this Talos line replaces",
            cmd!(sh, "go mod edit -replace {yaml}"),
        );
    }
    let module = format!("{TALOSCTL}@v{}", part.version);
    step(
        "fetch talosctl's sources",
        cmd!(sh, "go get -tool {module}"),
    );
    step(
        "build talosctl: the first time takes some minutes",
        cmd!(
            sh,
            "go build -v -tags grpcnotrace -ldflags '-s -w' -o talosctl {TALOSCTL}"
        ),
    );
    finish(plan, part, from);
}

pub(super) fn go(why: &str, cmd: Cmd<'_>, at: &Utf8Path) -> Step {
    let step = Step::run(why, argv(cmd)).cwd(at).deadline(BUILD_DEADLINE);
    GO_ENV
        .iter()
        .fold(step, |step, (name, value)| step.env(*name, *value))
}

/// Go names each package that it compiles, apt each that it fetches: thousands
/// of lines that belong into the log.
pub(super) fn quietly(mut step: Step) -> Step {
    if let Action::Run(run) = &mut step.action {
        run.quiet = true;
    }
    step
}

/// Otherwise builds of the guest under development would fill the disk.
pub(super) fn prune(plan: &mut Plan, part: &Part) {
    let mut old: Vec<(std::time::SystemTime, Utf8PathBuf)> = part
        .siblings()
        .into_iter()
        .filter_map(|dir| Some((fs::metadata(&dir).ok()?.modified().ok()?, dir)))
        .collect();
    old.sort();
    let from = plan.steps.len();
    for (_, path) in old.into_iter().rev().skip(KEEP_SUPERSEDED) {
        let why = format!("remove a superseded `{}`", part.name);
        plan.push(Step::new(why, Action::Remove { path }).effect(Effect::Destroys));
    }
    plan.join(from, &format!("remove superseded builds of {}", part.name));
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare folders")]
mod tests {
    use super::*;
    use crate::commands::lab::folder::LabFolder;

    fn parts(root: &tempfile::TempDir, tag: &str) -> Parts {
        let root = Utf8Path::from_path(root.path()).unwrap();
        let lab_folder = LabFolder {
            dir: root.join("lab"),
            parts: root.join("parts"),
            shared_parent: false,
        };
        Parts::wanted(&lab_folder, tag, "amd64")
    }

    fn planned(parts: &Parts) -> String {
        let mut made = Plan::new("t");
        let parts = LabParts::StandIn(Box::new(parts.clone()));
        plan(&mut made, &parts, Utf8Path::new("/x/xtask")).unwrap();
        let steps = made
            .steps
            .iter()
            .map(|step| format!("{} {:?}", step.why, step.action));
        steps.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_built_is_not_built_again_and_half_parts_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("parts/kernel-6.1.0-1-cloud-amd64")).unwrap();
        let cold = parts(&root, "v1.12.0");
        assert!(cold.needs_go() && cold.kernel.is_built);
        fs::create_dir_all(cold.talosctl.staging()).unwrap();
        assert!(!parts(&root, "v1.12.0").talosctl.is_built);
        let steps = planned(&cold);
        assert!(steps.contains("interrupted build of `talosctl`"), "{steps}");
        assert!(!steps.contains("apt-get"), "{steps}");
        for part in cold.all() {
            fs::create_dir_all(&part.dir).unwrap();
        }
        let warm = parts(&root, "v1.12.0");
        assert_eq!(planned(&warm), "");
        assert!(!warm.needs_go());
    }

    #[test]
    fn another_talosctl_is_another_part_and_only_1_11_replaces_yaml() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (parts(&root, "v1.11.0"), parts(&root, "v1.12.0"));
        let (old_steps, new_steps) = (planned(&old), planned(&new));
        assert!(old_steps.contains("unix4ever") && !new_steps.contains("unix4ever"));
        assert!(new_steps.contains("talosctl@v1.12.0"));
        assert_ne!(old.initramfs.dir, new.initramfs.dir);
        assert_eq!(old.guest, new.guest);
    }

    #[test]
    fn former_guests_are_removed_but_not_the_last_ones() {
        let root = tempfile::tempdir().unwrap();
        for name in ["guest-1", "guest-2", "guest-3", "initramfs-1", "talosctl-1"] {
            fs::create_dir_all(root.path().join("parts").join(name)).unwrap();
        }
        let parts = parts(&root, "v1.12.0");
        let mut made = Plan::new("t");
        prune(&mut made, &parts.guest);
        prune(&mut made, &parts.initramfs);
        let whys: Vec<&str> = made.steps.iter().map(|step| step.why.as_str()).collect();
        assert_eq!(whys, ["remove a superseded `guest`"]);
    }

    #[test]
    fn a_blank_in_a_path_stays_in_its_word() {
        let (sh, from) = (shell().unwrap(), "/a b");
        assert_eq!(argv(cmd!(sh, "mv {from} x")), ["mv", "/a b", "x"]);
    }
}
