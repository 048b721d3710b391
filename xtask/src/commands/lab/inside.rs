//! Entering the lab: which namespaces, which environment, which arguments.

use camino::{Utf8Path, Utf8PathBuf};

use super::docker;
use super::folder::LabFolder;
use super::start;
use super::state::{Lab, Made};
use super::up::{self, LabUpArgs};
use crate::app::{App, LabNodes};
use foundation::ctx::inside_lab::{IN_SHELL, INSIDE_LAB, REAL_NODES};
use foundation::ctx::own_executable::own_executable;
use foundation::failure::{Failure, Result};
use foundation::{run, typed};

/// What is handed on from outside; all else is left behind, above all
/// `TALOS_HOME`, `TALOSCONFIG`, `KUBECONFIG` and `XDG_*`, which lead out of the lab.
const HANDED_ON: [&str; 14] = [
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "LINES",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "CI",
    "RUST_BACKTRACE",
    "USER",
];

/// Where this process runs, for commands that are printed to be typed. Once
/// `--lab` is given, what goes wrong before the lab is entered is about it too.
pub(crate) fn of_this_process(asked: bool) -> typed::Lab {
    match std::env::var_os(INSIDE_LAB) {
        Some(value) if value == IN_SHELL => typed::Lab::Shell,
        Some(_) => typed::Lab::ByOption,
        None if asked => typed::Lab::ByOption,
        None => typed::Lab::Outside,
    }
}

/// Run this very command line inside, without its `--lab`.
pub(super) fn ourselves(app: &App<'_>, lab_folder: &LabFolder, lab: &Lab) -> Result<u8> {
    let exe = own_executable()?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut inner = vec![exe.into_string()];
    inner.extend(inner_args(&args, &app.ctx.cwd));
    let how = [
        format!("{INSIDE_LAB}=1"),
        format!("{}={}", typed::TOOL, typed::tool()),
    ];
    run_inside(app, lab_folder, lab, &how, &inner)
}

/// `lab shell [-- COMMAND]`.
pub(super) fn shell(app: &App<'_>, lab_folder: &LabFolder, command: &[String]) -> Result<u8> {
    let Some(lab) = up::ensure(app, lab_folder, &LabUpArgs::default())? else {
        return Ok(0);
    };
    let how = [format!("{INSIDE_LAB}={IN_SHELL}")];
    if !command.is_empty() {
        return run_inside(app, lab_folder, &lab, &how, command);
    }
    if app.ui.is_interactive() {
        app.ui.note(match lab.nodes() {
            LabNodes::StandIn => {
                "a shell in the lab: its nodes are a stand-in, not Talos; `exit` leaves"
            }
            LabNodes::Real => "a shell in the lab; `exit` leaves",
        });
    }
    let shell = std::env::var("SHELL")
        .ok()
        .filter(|shell| Utf8Path::new(shell).is_file());
    run_inside(
        app,
        lab_folder,
        &lab,
        &how,
        &[shell.unwrap_or_else(|| "sh".to_owned())],
    )
}

/// Replaces this process: who kills it kills what runs inside.
fn run_inside(
    app: &App<'_>,
    lab_folder: &LabFolder,
    lab: &Lab,
    how: &[String],
    argv: &[String],
) -> Result<u8> {
    let Some((init, made)) = lab.running() else {
        return Err(Failure::step("the lab is not running").hint(typed!("lab up")));
    };
    let outside = std::env::var("PATH").unwrap_or_default();
    let mut env = vec![
        format!("HOME={}", lab_folder.dir),
        format!(
            "PATH={}",
            start::path_inside(&paths(lab_folder, made), &outside)
        ),
    ];
    env.extend_from_slice(how);
    if made.nodes == LabNodes::Real {
        env.push(format!("{REAL_NODES}=1"));
    }
    env.extend(
        HANDED_ON
            .iter()
            .filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?))),
    );
    if !app.ctx.host.is_root() {
        run::become_root(app.ui)?;
    }
    let exe = own_executable()?;
    let words = entering(
        app.ctx.host.is_root(),
        init.pid,
        &lab_folder.checkout(),
        &env,
        &exe,
        argv,
    );
    Err(run::replace_process(&words))
}

/// The words of a step that root does inside.
///
/// # Errors
/// When the lab has gone away.
pub(super) fn as_root_inside(
    lab_folder: &LabFolder,
    lab: &Lab,
    argv: &[String],
) -> Result<Vec<String>> {
    let Some((init, made)) = lab.running() else {
        return Err(Failure::step("the lab is not running").hint(typed!("lab up")));
    };
    let outside = std::env::var("PATH").unwrap_or_default();
    let path = start::path_inside(&paths(lab_folder, made), &outside);
    let mut words = nsenter(init.pid, &lab_folder.dir);
    words.remove(1);
    words.push(format!("HOME={}", lab_folder.dir));
    words.push(format!("PATH={path}"));
    words.extend_from_slice(argv);
    Ok(words)
}

/// Folders for the PATH inside; Docker's only once it was started.
fn paths(lab_folder: &LabFolder, made: &Made) -> Vec<Utf8PathBuf> {
    let mut paths = made.path.clone();
    paths.extend(
        docker::made(&lab_folder.dir)
            .into_iter()
            .flat_map(|docker| docker.path),
    );
    paths
}

/// The command line that enters. `--no-fork`, because nsenter dies of a Ctrl-C
/// while it waits for its child: the relay, which is ours, is outside of the
/// PID namespace and its child inside. The working folder is set by `env`:
/// nsenter keeps the one of the mount namespace that it came from. `-r` matters
/// where all of this is in a chroot.
fn entering(
    root: bool,
    init: i32,
    cwd: &Utf8Path,
    env: &[String],
    exe: &Utf8Path,
    argv: &[String],
) -> Vec<String> {
    // Without a terminal, what sudo started outlives a kill -9 of sudo.
    let sudo: &[&str] = if root {
        &[]
    } else {
        &["sudo", "-n", "--", "setpriv", "--pdeathsig", "KILL", "--"]
    };
    let mut words: Vec<String> = sudo.iter().map(|word| (*word).to_owned()).collect();
    words.extend(nsenter(init, cwd));
    words.extend_from_slice(env);
    words.extend([exe.as_str(), "lab", "relay", "--"].map(str::to_owned));
    words.extend_from_slice(argv);
    words
}

fn nsenter(init: i32, cwd: &Utf8Path) -> Vec<String> {
    let init = init.to_string();
    let words = [
        "nsenter",
        "--no-fork",
        "-t",
        &init,
        "-m",
        "-n",
        "-p",
        "-r",
        "--",
        "env",
        "-i",
        "-C",
        cwd.as_str(),
    ];
    words.map(str::to_owned).to_vec()
}

/// Our arguments without `--lab`; relative paths are made absolute, because
/// inside the working folder is another.
fn inner_args(args: &[String], cwd: &Utf8Path) -> Vec<String> {
    let mut inner = Vec::new();
    let (mut is_ours, mut is_path) = (true, false);
    for arg in args {
        if is_ours && (arg == "--lab" || arg.starts_with("--lab=")) {
            continue;
        }
        let absolute = |path: &str| cwd.join(path).into_string();
        inner.push(if is_path {
            absolute(arg)
        } else if let Some(dir) = arg.strip_prefix("--talos-dir=").filter(|_| is_ours) {
            format!("--talos-dir={}", absolute(dir))
        } else {
            existing_file(arg, cwd).unwrap_or_else(|| arg.clone())
        });
        is_path = is_ours && matches!(arg.as_str(), "-C" | "--talos-dir" | "-o" | "--output");
        is_ours &= arg != "--";
    }
    inner
}

/// `@patch.yaml` and `--config-patch=@patch.yaml`, where there is such a file.
fn existing_file(arg: &str, cwd: &Utf8Path) -> Option<String> {
    let (before, path) = arg.split_once('@')?;
    let file: Utf8PathBuf = cwd.join(path);
    let is_reference = before.is_empty() || (before.starts_with("--") && before.ends_with('='));
    (is_reference && file.is_file()).then(|| format!("{before}@{file}"))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare files")]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn inner(line: &str) -> String {
        inner_args(&words(line), Utf8Path::new("/here")).join(" ")
    }

    #[test]
    fn lab_is_taken_out_and_what_follows_two_dashes_is_not_ours() {
        assert_eq!(inner("--lab cluster up"), "cluster up");
        assert_eq!(inner("cluster --lab -y"), "cluster -y");
        assert_eq!(inner("--lab=real cluster"), "cluster");
        assert_eq!(
            inner("cluster up --lab -- --lab -C x"),
            "cluster up -- --lab -C x"
        );
    }

    #[test]
    fn relative_paths_mean_the_folder_outside() {
        assert_eq!(inner("-C t --lab cluster"), "-C /here/t cluster");
        assert_eq!(
            inner("--lab --talos-dir=../t cluster"),
            "--talos-dir=/here/../t cluster"
        );
        assert_eq!(inner("--lab -C /t cluster"), "-C /t cluster");
        let root = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(root.path()).unwrap();
        std::fs::write(dir.join("p.yaml"), "").unwrap();
        let args =
            words("--config-patch @p.yaml --config-patch=@p.yaml --config-patch @q.yaml a@p.yaml");
        let expected = format!(
            "--config-patch @{dir}/p.yaml --config-patch=@{dir}/p.yaml --config-patch @q.yaml a@p.yaml"
        );
        assert_eq!(inner_args(&args, dir).join(" "), expected);
    }

    #[test]
    fn sudo_stands_before_a_parent_death_signal() {
        let line = |root| {
            let env = ["HOME=/d".to_owned()];
            entering(
                root,
                7,
                Utf8Path::new("/d/talos"),
                &env,
                Utf8Path::new("/x"),
                &words("/x cluster"),
            )
            .join(" ")
        };
        let inside = "nsenter --no-fork -t 7 -m -n -p -r -- env -i -C /d/talos HOME=/d /x lab relay -- /x cluster";
        assert_eq!(line(true), inside);
        assert_eq!(
            line(false),
            format!("sudo -n -- setpriv --pdeathsig KILL -- {inside}")
        );
    }
}
