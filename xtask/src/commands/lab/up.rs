//! `lab up`: install what the host lacks, build what is not built yet, start.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use talos::TalosVersion;

use super::build;
use super::down::{self, LabUndo};
use super::locks;
use super::packages::{self, SBIN};
use super::parts::{self, Parts};
use super::place::{MARKER, Place};
use super::state::{Lab, Made, State};
use crate::cli::LabUpArgs;
use crate::commands::App;
use crate::ctx::host::Host;
use crate::failure::{Because, Failure, Result};
use crate::plan::{Action, Plan, Resource, Step};

/// Built when nobody asks for another.
pub(super) const TALOSCTL: &str = "v1.12.0";
/// Wait for init at most so long; measured: 30 ms.
const START_DEADLINE: u64 = 30;

/// The running lab; started first where it is not. None for a dry run that has
/// shown the plan instead.
///
/// # Errors
/// When the host cannot run a lab, or a step fails; then nothing half made
/// stays.
pub(super) fn ensure(app: &App<'_>, place: &Place, args: &LabUpArgs) -> Result<Option<Lab>> {
    let wanted = wanted_talosctl(args)?;
    let lab = Lab::probe(place);
    if lab.running().is_some() {
        check_talosctl(&lab, wanted.as_deref())?;
        return Ok(Some(lab));
    }
    check_host(app)?;
    place.check_ours()?;
    let talosctl = wanted.unwrap_or_else(|| TALOSCTL.to_owned());
    if app.is_dry() {
        show(app, place, &talosctl)?;
        return Ok(None);
    }
    let _starting = locks::wait(app, place, &locks::of_lab(place), "lab up")?;
    // Whoever held the lock may have done it all.
    let lab = Lab::probe(place);
    if lab.running().is_some() {
        check_talosctl(&lab, Some(&talosctl))?;
        return Ok(Some(lab));
    }
    if lab.state != State::Absent {
        app.ui.note("removing what is left of an earlier lab");
        down::take_down(app, place)?;
    }
    {
        let _building = locks::wait(app, place, locks::PARTS, "lab up")?;
        build_parts(app, place, &talosctl)?;
    }
    let parts = Parts::wanted(place, &talosctl, app.ctx.host.arch);
    app.runner()
        .execute(&plan_start(app, place, &parts), &LabUndo)?;
    let lab = Lab::probe(place);
    if lab.running().is_some() {
        return Ok(Some(lab));
    }
    Err(Failure::step("the lab has started and is gone again").hint("cargo xtask lab down"))
}

fn build_parts(app: &App<'_>, place: &Place, talosctl: &str) -> Result<()> {
    let arch = app.ctx.host.arch;
    let lacking = packages::lacking();
    let before = Parts::wanted(place, talosctl, arch);
    packages::needs_apt(&lacking)?;
    check_tools(&before)?;
    let install = plan_install(&lacking, &before, arch);
    if !install.steps.is_empty() {
        may_install(app, &lacking)?;
        app.runner().execute(&install, &LabUndo)?;
    }
    let parts = Parts::wanted(place, talosctl, arch);
    let mut plan = Plan::new("build the parts of the lab");
    build::plan(&mut plan, &parts, &own_executable()?);
    if plan.steps.is_empty() {
        return Ok(());
    }
    app.runner().execute(&plan, &LabUndo)
}

/// Before a long job everything that lacks is told at once; what we install
/// ourselves is asked for, not told here.
fn check_tools(parts: &Parts) -> Result<()> {
    let mut failure = Failure::host("the lab cannot be built on this host");
    if parts.needs_go() && Host::which("go").is_none() {
        failure.causes.push(
            "`go` not found: talosctl and the lab's guest are built with Go 1.25 or newer".into(),
        );
        failure.hint =
            Some("install Go from https://go.dev/dl and put its bin folder on PATH".into());
    }
    if !parts.kernel.is_built && Host::which("apt-get").is_none() {
        failure
            .causes
            .push("`apt-get` not found: the lab's kernel comes from Debian's archive".into());
    }
    if failure.causes.is_empty() {
        Ok(())
    } else {
        Err(failure)
    }
}

fn plan_install(lacking: &[packages::Lacking], parts: &Parts, arch: &str) -> Plan {
    let kernel = parts::kernel_package(arch);
    packages::plan_install(lacking, (!parts.kernel.is_built).then_some(kernel.as_str()))
}

/// Say what is going to be installed and have it allowed.
fn may_install(app: &App<'_>, lacking: &[packages::Lacking]) -> Result<()> {
    // Fetching package lists alone installs nothing.
    if lacking.is_empty() {
        return Ok(());
    }
    for lack in lacking {
        app.ui.note(&format!(
            "missing: {} (package {})",
            lack.what, lack.package
        ));
    }
    let by_hand = packages::by_hand(lacking, app.ctx.host.is_root());
    let question = format!("The lab needs these packages. Run `{by_hand}` now?");
    match app.ui.confirm(&question) {
        Some(true) => Ok(()),
        Some(false) | None => {
            Err(packages::failure(lacking)
                .hint(format!("answer yes with `--yes`, or type: {by_hand}")))
        }
    }
}

/// All that would be done, with slots where only a step can tell.
fn show(app: &App<'_>, place: &Place, talosctl: &str) -> Result<()> {
    let arch = app.ctx.host.arch;
    let lacking = packages::lacking();
    packages::needs_apt(&lacking)?;
    let parts = Parts::wanted(place, talosctl, arch);
    check_tools(&parts)?;
    let mut plan = Plan::new("bring the lab up");
    for part in [down::plan(app, place), plan_install(&lacking, &parts, arch)] {
        plan.notes.extend(part.notes);
        plan.steps.extend(part.steps);
    }
    build::plan(&mut plan, &parts, &own_executable()?);
    plan.steps.extend(plan_start(app, place, &parts).steps);
    app.show(&plan)
}

/// The lab's folder, the small checkout in it, and init.
pub(super) fn plan_start(app: &App<'_>, place: &Place, parts: &Parts) -> Plan {
    let mut plan = Plan::new("start the lab");
    let made = made(parts);
    // Every step says what it makes, so that whichever is stopped is undone.
    let resource = Resource::Lab {
        dir: place.dir.clone(),
    };
    let mut push = |step: Step| plan.push(step.makes(resource.clone()));
    if place.shared_parent {
        let why = "a private folder: the cache folder's path is too long for unix sockets";
        push(Step::run(
            why,
            ["mkdir", "-m", "0700", "--", place.dir.as_str()],
        ));
    }
    let mut write = |why: &str, path: Utf8PathBuf, contents: String| {
        push(Step::new(
            why,
            Action::WriteFile {
                path,
                contents,
                mode: 0o644,
            },
        ));
    };
    write(
        "what this lab is made of; marks the folder as ours",
        place.dir.join(MARKER),
        marker(&made),
    );
    let checkout = place.checkout();
    let module = "module github.com/siderolabs/talos\n";
    write(
        "a small checkout, so that commands find what they always look for",
        checkout.join("go.mod"),
        module.into(),
    );
    let tag = checkout.join("pkg/machinery/gendata/data/tag");
    write(
        "the Talos version that this lab stands in for",
        tag,
        made.talosctl.clone(),
    );
    write(
        "cluster settings that suit the lab",
        checkout.join(".cargo/xtask.toml"),
        settings(parts),
    );
    write(
        "a shell in the lab says where it is",
        place.dir.join(".bashrc"),
        bashrc(),
    );
    push(Step::new(
        "where builds write to",
        Action::CreateDir {
            path: checkout.join("_out"),
        },
    ));
    for (why, argv) in artifacts(&checkout, parts, app.ctx.host.arch) {
        push(Step::run(why, argv));
    }
    let mut argv = vec![
        "sh".to_owned(),
        parts.tools.dir.join("init/start").into_string(),
        place.dir.clone().into_string(),
        place.parts.clone().into_string(),
    ];
    // What must stay mounted besides: this program.
    argv.extend(own_executable().map(Utf8PathBuf::into_string));
    push(
        Step::run(
            "start the lab's namespaces and wait until they are ready",
            argv,
        )
        .as_root()
        .deadline(START_DEADLINE),
    );
    plan
}

/// Copies where a build of the user's own may take their place.
fn artifacts(checkout: &Utf8Path, parts: &Parts, arch: &str) -> [(&'static str, Vec<String>); 3] {
    let out = checkout.join("_out");
    let words = |words: [&str; 5]| words.map(str::to_owned).to_vec();
    let vmlinuz = out.join(format!("vmlinuz-{arch}"));
    let initramfs = out.join(format!("initramfs-{arch}.xz"));
    let talosctl = out.join(format!("talosctl-linux-{arch}"));
    let (kernel, packed) = (parts.vmlinuz(), parts.initramfs.dir.join("initramfs"));
    let built = parts.talosctl.dir.join("talosctl");
    [
        (
            "the kernel",
            words(["cp", "-L", "--", kernel.as_str(), vmlinuz.as_str()]),
        ),
        (
            "the guest's initramfs",
            words(["cp", "-L", "--", packed.as_str(), initramfs.as_str()]),
        ),
        (
            "talosctl",
            words(["ln", "-s", "--", built.as_str(), talosctl.as_str()]),
        ),
    ]
}

fn made(parts: &Parts) -> Made {
    Made {
        schema: 1,
        talosctl: format!("v{}", parts.talosctl.version),
        kernel: parts.kernel.version.clone(),
        guest: parts.guest.version.clone(),
        path: vec![parts.tools.dir.join("path"), parts.talosctl.dir.clone()],
    }
}

fn marker(made: &Made) -> String {
    format!("{:#}\n", json!(made))
}

/// The machine of a lab is small and has no UEFI firmware; nothing is
/// installed to disk, and the guest needs the memory of its role, not more.
fn settings(parts: &Parts) -> String {
    let cni = parts.tools.dir.join("cni");
    format!(
        "# Written by `cargo xtask lab up`.\n[cluster]\ncontrolplanes = 1\nworkers = 1\nmemory = \"2GiB\"\n\
         memory-workers = \"1GiB\"\ntalosctl-args = [\n  \"--cni-bin-path={cni}\",\n  \"--with-uefi=false\",\n  \
         \"--disk-preallocate=false\",\n]\n"
    )
}

fn bashrc() -> String {
    "# Written by `cargo xtask lab up`.\nPS1='(lab) \\w \\$ '\n".to_owned()
}

/// The PATH inside: our wrapper before the QEMU that it wraps.
pub(super) fn path_inside(made: &Made, outside: &str) -> String {
    let mut dirs: Vec<&str> = made.path.iter().map(|dir| dir.as_str()).collect();
    for dir in outside.split(':').chain(SBIN).chain(["/usr/bin", "/bin"]) {
        if !dir.is_empty() && !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs.join(":")
}

/// The tag that the user asked for.
fn wanted_talosctl(args: &LabUpArgs) -> Result<Option<String>> {
    let Some(text) = &args.talosctl else {
        return Ok(None);
    };
    match TalosVersion::parse(text) {
        Ok(version) if version.is_tagged() => Ok(Some(version.tag())),
        Ok(_) => Err(
            Failure::usage(format!("`{text}` is not a released talosctl"))
                .hint("--talosctl v1.12.0"),
        ),
        Err(error) => Err(Failure::usage(format!("`{text}` is not a version"))
            .cause(error)
            .hint("--talosctl v1.12.0")),
    }
}

fn check_talosctl(lab: &Lab, wanted: Option<&str>) -> Result<()> {
    match (&lab.made, wanted) {
        (Some(made), Some(wanted)) if made.talosctl != wanted => Err(Failure::host(format!(
            "the lab runs with talosctl {}, not {wanted}",
            made.talosctl
        ))
        .hint("cargo xtask lab down")),
        _ => Ok(()),
    }
}

fn check_host(app: &App<'_>) -> Result<()> {
    app.ctx.needs_linux("lab up")?;
    if app.ctx.host.arch == "amd64" {
        return Ok(());
    }
    Err(Failure::host(format!(
        "the lab runs on amd64; this is {}",
        app.ctx.host.arch
    )))
}

pub(super) fn own_executable() -> Result<Utf8PathBuf> {
    std::env::current_exe()
        .because(|| "cannot find our own executable".to_owned())
        .and_then(|path| {
            Utf8PathBuf::from_path_buf(path).map_err(|path| {
                Failure::host(format!(
                    "the path of this program, {}, is not UTF-8",
                    path.display()
                ))
            })
        })
}
