//! Docker in the lab: brought up when a command first needs it, in the
//! namespaces of the lab that runs already. A plain lab never waits for it.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::docker_parts::{self, DockerParts};
use super::folder::LabFolder;
use super::inside;
use super::locks::LockRequest;
use super::packages;
use super::state::{self, Lab};
use super::up;
use crate::app::App;
use foundation::ctx::own_executable::own_executable;
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::plan::{Action, Plan, Step};
use foundation::run::Options;
use foundation::typed;

/// What the layer was started from; written beside the lab's own marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DockerMade {
    pub(super) schema: u32,
    /// Of the client and crane, for the PATH inside.
    pub(super) path: Vec<Utf8PathBuf>,
}

/// Below the lab's folder.
const FOLDER: &str = "docker";
const MARKER: &str = "docker/made.json";
const SETTINGS: &str = "docker/daemon.json";
const READY: &str = "docker/ready";
/// Measured: 3 s with two idle cores.
const START_DEADLINE: u64 = 120;

/// Docker in the lab that runs; started first where it is not.
///
/// # Errors
/// When programs are missing on the host, or a step fails; what was built
/// stays, and the next call goes on from there.
pub(super) fn ensure(app: &App<'_>, lab_folder: &LabFolder, lab: Lab) -> Result<Lab> {
    if is_up(lab_folder) {
        return Ok(lab);
    }
    let _starting = LockRequest::lab(app, lab_folder, "lab up --docker").wait(app)?;
    if is_up(lab_folder) {
        return Ok(Lab::probe(lab_folder));
    }
    {
        let _building = LockRequest::docker_parts(lab_folder).wait(app)?;
        build(app, lab_folder)?;
    }
    let parts = DockerParts::wanted(lab_folder);
    let plan = plan_start(app, lab_folder, &lab, &parts)?;
    app.runner().run(&plan, Options::default())?;
    Ok(Lab::probe(lab_folder))
}

/// Written at the end of the start; the engine's process is checked as well,
/// because the folder outlives a killed engine.
pub(super) fn is_up(lab_folder: &LabFolder) -> bool {
    lab_folder.dir.join(READY).exists() && state::runs_with(&lab_folder.dir.join(SETTINGS))
}

/// What the layer in `dir` was started from.
pub(super) fn made(dir: &Utf8Path) -> Option<DockerMade> {
    let text = files::read_text(&dir.join(MARKER), files::SMALL).ok()??;
    serde_json::from_str(&text).ok()
}

fn build(app: &App<'_>, lab_folder: &LabFolder) -> Result<()> {
    let before = DockerParts::wanted(lab_folder);
    let lacking = packages::missing_for_docker();
    up::check_can_build(
        before.needs_go(),
        !before.docker.is_built,
        "buildx and BuildKit are built with Go 1.25.3 or newer",
        &lacking,
    )?;
    let listed = (!before.docker.is_built).then_some("docker.io");
    up::install(app, &lacking, listed, packages::missing_for_docker)?;
    let parts = DockerParts::wanted(lab_folder);
    if !parts.is_docker_known() {
        return Err(Failure::host("apt knows no package `docker.io`")
            .cause("the lab's Docker comes from Debian's archive")
            .hint("apt-cache policy docker.io"));
    }
    let mut plan = Plan::new("build the parts of Docker in the lab");
    docker_parts::plan(&mut plan, &parts, &own_executable()?)?;
    if plan.steps.is_empty() {
        return Ok(());
    }
    app.runner().run(&plan, Options::default())
}

/// For a dry run of the whole.
pub(super) fn show(plan: &mut Plan, lab_folder: &LabFolder) -> Result<()> {
    let parts = DockerParts::wanted(lab_folder);
    let lacking = packages::missing_for_docker();
    let listed = (!parts.docker.is_built).then_some("docker.io");
    plan.steps
        .extend(packages::plan_install(&lacking, listed).steps);
    docker_parts::plan(plan, &parts, &own_executable()?)?;
    plan.steps.extend(files(lab_folder, &parts));
    Ok(())
}

fn plan_start(
    app: &App<'_>,
    lab_folder: &LabFolder,
    lab: &Lab,
    parts: &DockerParts,
) -> Result<Plan> {
    let mut plan = Plan::new("start Docker in the lab");
    let mut steps = files(lab_folder, parts);
    steps.push(checkout(app, lab_folder, lab, parts)?);
    plan.steps.extend(steps);
    let start = parts.script("start");
    let argv = [
        &start,
        &lab_folder.dir,
        &parts.root(),
        &parts.images.dir,
        &parts.crane.dir,
    ]
    .map(ToString::to_string);
    let words = inside::as_root_inside(lab_folder, lab, &argv)?;
    let why = "start Docker in the lab's namespaces, and give it its images";
    plan.push(Step::run(why, words).as_root().deadline(START_DEADLINE));
    Ok(plan)
}

/// What is compiled elsewhere is copied from this lab's parts.
fn checkout(app: &App<'_>, lab_folder: &LabFolder, lab: &Lab, parts: &DockerParts) -> Result<Step> {
    let Some((_, made)) = lab.running() else {
        return Err(Failure::step("the lab is not running").hint(typed!("lab up")));
    };
    let boot = made.parts(lab_folder, app.ctx.host.arch).boot_files();
    let argv = [
        parts.script("checkout"),
        parts.talos_mini(),
        lab_folder.checkout(),
        Utf8PathBuf::from(&made.talosctl),
        parts.root().join("bin/busybox"),
        boot.vmlinuz,
        boot.initramfs,
        boot.talosctl,
    ];
    let why = "make the lab's small checkout one that can be built: Makefile, Dockerfile, git";
    Ok(Step::run(why, argv.map(Utf8PathBuf::into_string)))
}

/// Written by the user, in the user's folder.
fn files(lab_folder: &LabFolder, parts: &DockerParts) -> Vec<Step> {
    let write = |why: &str, name: &str, contents: String| {
        let (path, mode) = (lab_folder.dir.join(name), 0o644);
        Step::new(
            why,
            Action::WriteFile {
                path,
                contents,
                mode,
            },
        )
    };
    let made = DockerMade {
        schema: 1,
        path: parts.path(),
    };
    let plugin = parts.buildx.dir.join("docker-buildx");
    let plugins = lab_folder.dir.join(".docker/cli-plugins");
    let link = ["ln", "-sf", "-t", plugins.as_str(), "--", plugin.as_str()];
    vec![
        write(
            "what Docker in this lab is made of",
            MARKER,
            format!("{:#}\n", json!(made)),
        ),
        write(
            "Let git trust the lab's checkout, whatever its owner",
            ".gitconfig",
            format!("[safe]\n\tdirectory = {}\n", lab_folder.checkout()),
        ),
        write(
            "Docker's settings: everything of it in the lab's folder and cgroup",
            SETTINGS,
            format!("{:#}\n", settings(lab_folder, parts)),
        ),
        Step::new(
            "where the docker client looks for plugins",
            Action::CreateDir {
                path: plugins.clone(),
            },
        ),
        Step::run("buildx, as a plugin of the docker client", link),
    ]
}

/// The socket is where every client looks: `/run` is the lab's own. Other
/// settings on this host, such as those of /etc/docker, are not read.
fn settings(lab_folder: &LabFolder, parts: &DockerParts) -> serde_json::Value {
    let dir = lab_folder.dir.join(FOLDER);
    json!({
        "hosts": ["unix:///run/docker.sock"],
        "data-root": dir.join("data"),
        "exec-root": dir.join("exec"),
        // Where containers find the registry that stands in for the internet.
        "bip": "172.17.0.1/16",
        "pidfile": dir.join("pid"),
        "init-path": parts.root().join("usr/bin/tini-static"),
        "cgroup-parent": lab_folder.cgroup(),
        // systemd's would be asked over a socket that is not in the lab.
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "runtimes": {"lab": {"path": parts.script("runc")}},
        "default-runtime": "lab",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> LabFolder {
        LabFolder {
            dir: "/d/lab".into(),
            parts: "/p".into(),
            shared_parent: false,
        }
    }

    #[test]
    fn everything_of_docker_is_in_the_labs_folder_and_cgroup() {
        let lab_folder = place();
        let parts = DockerParts::wanted(&lab_folder);
        let settings = settings(&lab_folder, &parts);
        for key in ["data-root", "exec-root", "pidfile"] {
            assert!(
                settings[key]
                    .as_str()
                    .unwrap()
                    .starts_with("/d/lab/docker/"),
                "{key}"
            );
        }
        assert_eq!(settings["cgroup-parent"], lab_folder.cgroup());
    }

    #[test]
    fn a_build_names_every_part_once_and_nothing_is_installed() {
        let parts = DockerParts::wanted(&place());
        let mut plan = Plan::new("t");
        docker_parts::plan(&mut plan, &parts, Utf8Path::new("/x")).unwrap();
        let steps = serde_json::to_string(&plan.steps).unwrap();
        for part in parts.all() {
            let made = format!("mv\",\"-T\",\"--\",\"{}", part.staging());
            assert_eq!(steps.matches(&made).count(), 1, "{}", part.name);
        }
        assert!(steps.contains("dfrunsecurity") && !steps.contains("apt-get\",\"install"));
    }
}
