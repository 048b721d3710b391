//! A plan as a shell script that does the same as the run, so that users can
//! work without this program.

mod conditions;
mod functions;

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};

use super::secrets;
use super::{Action, Guest, Launch, OwnedEntry, Plan, Privilege, ProcessIdentity, Run, Step};
use crate::shell;
use crate::ui::text::one_line;

/// Returns a script for `sh`, which uses `sudo` if the caller is not root. The
/// whole script is one command, so that pasting it does not end the user's
/// shell, and no step reads the rest of the script as its input.
pub fn render(plan: &Plan) -> String {
    let plan = &plan.referenced();
    let mut out = format!("#!/bin/sh\n# {}\n", one_line(&plan.title));
    for note in &plan.notes {
        let _ = writeln!(out, "# note: {}", one_line(note));
    }
    out.push_str("(\nset -eu\nunset CDPATH\n");
    for name in secrets::references(plan) {
        let _ = writeln!(
            out,
            ": \"${{{name}:?must be set: this script does not contain its value}}\""
        );
    }
    out.push_str(&functions::needed(plan));
    let mut decided = conditions::Decided::default();
    for step in &plan.steps {
        let _ = write!(
            out,
            "\n# {}\n{}{}\n",
            one_line(&step.why),
            decided.before(plan, step),
            decided.around(step, &command(step, true))
        );
    }
    out.push_str(") </dev/null\n");
    out
}

/// Then steps as root run without sudo.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Quotes one word for `sh`.
pub(super) fn quote(word: &str) -> String {
    if let Some(pieces) = secrets::pieces(word) {
        let quoted = |piece: secrets::Piece<'_>| match piece {
            secrets::Piece::Text(text) => quote(text),
            secrets::Piece::Reference(name) => format!("\"${{{name}}}\""),
        };
        return pieces.into_iter().map(quoted).collect();
    }
    if makefile::contains_slot(word) {
        let quoted = |segment: makefile::Segment<'_>| match segment {
            makefile::Segment::Text(text) => quote(text),
            makefile::Segment::Slot(slot) => format!("\"${{value_{slot}}}\""),
        };
        return makefile::segments(word).into_iter().map(quoted).collect();
    }
    shell::quote(word).into_owned()
}

/// Returns one step as it would be typed. In a `script`, `root` is a function.
pub(super) fn command(step: &Step, script: bool) -> String {
    let sudo = match (step.privilege, script) {
        (Privilege::User, _) => "",
        (Privilege::Root, true) => "root ",
        (Privilege::Root, false) if is_root() => "",
        (Privilege::Root, false) => "sudo ",
    };
    match &step.action {
        Action::Run(run) => run_command(run, sudo),
        Action::WriteFile {
            path,
            contents,
            mode,
        } => write_file(path, contents, *mode, sudo),
        Action::Require { path, message } => format!(
            "[ -e {} ] || {{ echo {} >&2; exit 1; }}",
            quote(path.as_str()),
            quote(message)
        ),
        Action::RecordImages { references, .. } => {
            format!(": record the digest of {}", quote(&references.join(" ")))
        }
        Action::WaitRegistries { registries } => registries
            .iter()
            .map(|registry| wait_for_registry(registry.port))
            .collect::<Vec<_>>()
            .join("\n"),
        Action::DeleteManifests { address, manifests } => manifests
            .iter()
            .map(|(repository, digest)| {
                let url = format!("http://{address}/v2/{repository}/manifests/{digest}");
                format!("curl -fsS -X DELETE {}", quote(&url))
            })
            .collect::<Vec<_>>()
            .join("\n"),
        Action::CreateDir { path } if script && !sudo.is_empty() => {
            format!("make_dirs {}", quote(path.as_str()))
        }
        Action::CreateDir { path } => format!("{sudo}mkdir -p -- {}", quote(path.as_str())),
        Action::Remove { path } => format!("{sudo}rm -rf -- {}", quote(path.as_str())),
        Action::RemoveEmptyDir { path } => {
            format!("{sudo}rmdir -- {} 2>/dev/null || :", quote(path.as_str()))
        }
        Action::RemoveOwned { path, .. } => {
            format!(
                "remove_owned '{}' {}",
                sudo.trim_end(),
                quote(path.as_str())
            )
        }
        Action::RemoveAllOwned { paths } => {
            let by = sudo.trim_end();
            let remove =
                |entry: &OwnedEntry| format!("remove_owned '{by}' {}", quote(entry.path.as_str()));
            paths.iter().map(remove).collect::<Vec<_>>().join("\n")
        }
        Action::RequireFile { path, sha256 } => {
            format!("require_file {} {sha256}", quote(path.as_str()))
        }
        Action::RemoveFile { path, sha256 } => {
            let path = quote(path.as_str());
            format!(
                "[ ! -e {path} ] || {{ require_file {path} {sha256} && [ ! -L {path} ] || exit 1; {sudo}rm -f -- {path}; }}"
            )
        }
        Action::RemoveBridge { bridge } => {
            format!("remove_bridge '{}' {}", sudo.trim_end(), quote(bridge))
        }
        Action::CopyTree { from, to, except } => copy_tree_command(from, to, except, sudo),
        Action::CopyFile {
            from, to, sha256, ..
        } => copy_file_command(from, to, sha256, sudo),
        Action::RecordDigests {
            root,
            paths,
            except,
            list,
        } => record_digests_command(root, paths, except, list, sudo),
        Action::Stop {
            process,
            grace_seconds,
        } => stop_command(process, *grace_seconds, sudo),
        Action::Launch(launch) => launch_command(launch, sudo),
        Action::ShutDown {
            guests,
            grace_seconds,
        } => shut_down_command(guests, *grace_seconds, sudo),
        Action::HardReboot {
            control, monitor, ..
        } => {
            let address = quote(&format!("unix-connect:{monitor}"));
            let by_monitor = format!("echo q | {sudo}socat - {address}");
            match control {
                Some(url) => format!("curl -fsS -m 5 -X POST {} || {by_monitor}", quote(url)),
                None => by_monitor,
            }
        }
    }
}

/// For 30 seconds.
fn wait_for_registry(port: u16) -> String {
    format!(
        "n=0; until curl -fsS -o /dev/null http://127.0.0.1:{port}/v2/; do \
         n=$((n + 1)); [ $n -lt 150 ] || exit 1; sleep 0.2; done"
    )
}

/// Writes a temporary file and renames it, as the run does.
fn write_file(path: &Utf8Path, contents: &str, mode: u32, sudo: &str) -> String {
    let parent = match path.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        _ => Utf8Path::new("."),
    };
    let temporary = quote(parent.join(".tmp-XXXXXX").as_str());
    let (path, folder) = (quote(path.as_str()), quote(parent.as_str()));
    let mut out = match sudo {
        "" => format!("mkdir -p -- {folder}\n"),
        _ => format!("make_dirs {folder}\n"),
    };
    let _ = write!(
        out,
        "[ ! -d {path} ] || {{ echo \"this is a folder:\" {path} >&2; exit 1; }}\n\
         new=$({sudo}mktemp -- {temporary})\n\
         printf {} | {sudo}tee -- \"$new\" >/dev/null\n",
        printf_words(contents)
    );
    if !sudo.is_empty() {
        let _ = write!(
            out,
            "owner={path}; [ -e \"$owner\" ] || owner={folder}\n{sudo}chown --reference=\"$owner\" -- \"$new\"\n"
        );
    }
    let _ = write!(
        out,
        "{sudo}chmod {mode:o} -- \"$new\"\n{sudo}mv -- \"$new\" {path}"
    );
    out
}

/// Returns the arguments with which `printf` prints exactly `text`.
fn printf_words(text: &str) -> String {
    if text.contains('\0') {
        // A word cannot contain that byte.
        let text = text.replace('\\', r"\\").replace('\0', r"\0000");
        format!("%b {}", quote(&text))
    } else {
        format!("%s {}", quote(text))
    }
}

/// Commands that are built into shells with a different behaviour: the run
/// starts the programs of these names.
const BUILTINS: [&str; 9] = [
    "[", "echo", "kill", "printf", "pwd", "test", "time", "type", "umask",
];

/// Returns a command with its environment in one line.
fn words_of(run: &Run, sudo: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let is_builtin = run
        .argv
        .first()
        .is_some_and(|program| BUILTINS.contains(&program.as_str()));
    if !run.env.is_empty() || (is_builtin && sudo.is_empty()) {
        words.push("env".to_owned());
        words.extend(
            run.env
                .iter()
                .map(|(name, value)| quote(&format!("{name}={value}"))),
        );
    }
    words.extend(run.argv.iter().map(|word| quote(word)));
    format!("{sudo}{}", words.join(" "))
}

/// sudo resets the environment: a step as root gets HOME, PATH and what it lists.
const AS_ROOT: &str = r#"sudo env -i HOME="$HOME" PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin""#;

/// As a person would type it: without accepted exit codes and without a
/// subshell.
pub(super) fn as_typed(run: &Run, privilege: Privilege) -> String {
    let line = if privilege == Privilege::Root && !is_root() {
        let env = run
            .env
            .iter()
            .map(|(name, value)| quote(&format!("{name}={value}")));
        let words = env.chain(run.argv.iter().map(|word| quote(word)));
        format!("{AS_ROOT} {}", words.collect::<Vec<_>>().join(" "))
    } else {
        words_of(run, "")
    };
    match &run.cwd {
        Some(cwd) => format!("cd {} && {line}", quote(cwd.as_str())),
        None => line,
    }
}

fn run_command(run: &Run, sudo: &str) -> String {
    let mut line = words_of(run, sudo);
    if run.may_fail {
        line.push_str(" || :");
    }
    if !run.also_ok.is_empty() {
        let is_code = |code: &i32| format!("[ $rc = {code} ]");
        let codes: Vec<String> = run.also_ok.iter().map(is_code).collect();
        line = format!(
            "rc=0; {line} || rc=$?; [ $rc = 0 ] || {} || exit $rc",
            codes.join(" || ")
        );
    }
    match &run.cwd {
        // Not `cd … &&`: `set -e` does not stop at a `cd` that fails there.
        Some(cwd) => format!("( cd -- {} || exit 1; {line} )", quote(cwd.as_str())),
        None => line,
    }
}

/// Through an archive, because `cp` cannot exclude paths. One command per line,
/// because `set -e` only checks the last command of an `&&` list.
fn copy_tree_command(from: &Utf8Path, to: &Utf8Path, except: &[Utf8PathBuf], sudo: &str) -> String {
    let new = quote(&format!("{to}.new"));
    let archive = quote(&format!("{to}.tar"));
    let (from, quoted) = (quote(from.as_str()), quote(to.as_str()));
    let mut out = format!("{sudo}rm -rf -- {new}\n{sudo}mkdir -p -- {new}\n{sudo}tar -C {from}");
    for path in except {
        let _ = write!(out, " {}", quote(&format!("--exclude=./{path}")));
    }
    let _ = write!(
        out,
        " -cf {archive} .\n{sudo}tar -C {new} -xf {archive}\n{sudo}rm -f -- {archive}\n"
    );
    for path in except {
        let (old, kept) = (
            quote(to.join(path).as_str()),
            quote(&format!("{to}.new/{path}")),
        );
        let _ = writeln!(out, "[ ! -e {old} ] || {sudo}mv -- {old} {kept}");
    }
    let _ = write!(out, "{sudo}rm -rf -- {quoted}\n{sudo}mv -- {new} {quoted}");
    out
}

fn copy_file_command(from: &Utf8Path, to: &Utf8Path, sha256: &str, sudo: &str) -> String {
    let folder = quote(to.parent().unwrap_or(Utf8Path::new(".")).as_str());
    let (from, new) = (quote(from.as_str()), quote(&format!("{to}.new")));
    format!(
        "require_file {from} {sha256}\n{sudo}mkdir -p -- {folder}\n{sudo}cp -- {from} {new}\n\
         {sudo}chmod 644 -- {new}\n{sudo}mv -- {new} {}",
        quote(to.as_str())
    )
}

fn record_digests_command(
    root: &Utf8Path,
    paths: &[Utf8PathBuf],
    except: &[Utf8PathBuf],
    list: &Utf8Path,
    sudo: &str,
) -> String {
    let paths: Vec<_> = paths.iter().map(|path| quote(path.as_str())).collect();
    let except: Vec<_> = except
        .iter()
        .map(|path| format!("-path {}", quote(path.as_str())))
        .collect();
    // First all digests: the list may be in a folder that is looked through.
    let (list, new) = (quote(list.as_str()), quote(&format!("{list}.new")));
    format!(
        "digests=$(cd -- {} || exit 1; find {} \\( {} \\) -prune -o -type f -print0 | LC_ALL=C sort -z | \
         xargs -0 sha256sum)\n\
         printf '%s\\n' \"$digests\" | {sudo}tee -- {new} >/dev/null\n{sudo}mv -- {new} {list}",
        quote(root.as_str()),
        paths.join(" "),
        except.join(" -o ")
    )
}

/// The function `launch` gets the folder, the log, the pid file and the input
/// before the command.
fn launch_command(launch: &Launch, sudo: &str) -> String {
    let [log, pid] = launch.files();
    let input = launch.input_path();
    let files = [&launch.cwd, &log, &pid, &input].map(|path| quote(path.as_str()));
    let words: Vec<String> = launch.argv.iter().map(|word| quote(word)).collect();
    format!(
        "launch '{}' {} \\\n  {}",
        sudo.trim_end(),
        files.join(" "),
        words.join(" ")
    )
}

/// In one line, with the redirections as the same user.
pub(super) fn launch_as_typed(launch: &Launch, privilege: Privilege) -> String {
    let [log, pid] = launch.files();
    let input = launch.input_path();
    let words: Vec<String> = launch.argv.iter().map(|word| quote(word)).collect();
    let [cwd, log, pid, input] = [&launch.cwd, &log, &pid, &input].map(|path| quote(path.as_str()));
    let line = format!(
        "cd {cwd}; setsid {} <{input} >>{log} 2>&1 & echo $! >{pid}",
        words.join(" ")
    );
    let command = format!("sh -c {}", quote(&line));
    if privilege == Privilege::Root && !is_root() {
        format!("{AS_ROOT} {command}")
    } else {
        command
    }
}

/// First all power buttons, then the waiting.
fn shut_down_command(guests: &[Guest], grace: u64, sudo: &str) -> String {
    let press = |guest: &Guest| {
        let address = quote(&format!("unix-connect:{}", guest.monitor));
        format!("echo system_powerdown | {sudo}socat - {address} >/dev/null || :")
    };
    let mut lines: Vec<String> = guests.iter().map(press).collect();
    let consoles: Vec<String> = guests
        .iter()
        .map(|guest| quote(guest.console.as_str()))
        .collect();
    lines.push(format!("until_halted {grace} {}", consoles.join(" ")));
    lines.join("\n")
}

/// Each signal is sent only while the pid is that process.
fn stop_command(process: &ProcessIdentity, grace: u64, sudo: &str) -> String {
    let ProcessIdentity {
        pid,
        start_ticks,
        boot_id,
        what,
        ..
    } = process;
    format!(
        "# {}\nstop_process {pid} {start_ticks} {} {grace} '{}'",
        one_line(what),
        quote(boot_id),
        sudo.trim_end()
    )
}

#[cfg(test)]
mod tests;
