//! Policies from their sources: by the checkout's Makefile, which runs the compiler of
//! Talos' tools in docker, or by this host's compiler with the same options.

use camino::{Utf8Path, Utf8PathBuf};

use super::policies::{BINARY, FOLDER, SOURCES, cil_files};
use crate::app::App;
use crate::commands::build::{self, BuildArgs};
use foundation::ctx::checkout::Checkout;
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::plan::{Action, Effect, Plan, Step};

/// In the folder that a build writes to, and in [`FOLDER`].
pub(super) const CONTEXTS: &str = "file_contexts";
/// The stage's folder below its destination.
const BUILT: &str = "policy";

/// The guide's line.
pub(super) fn build(app: &App<'_>) -> Result<u8> {
    make(app, "./internal/pkg/selinux")
}

fn make(app: &App<'_>, destination: &str) -> Result<u8> {
    let words = [
        "local-selinux-generate".to_owned(),
        format!("DEST={destination}"),
        "PLATFORM=linux/amd64".to_owned(),
        "PROGRESS=plain".to_owned(),
    ];
    let args = BuildArgs {
        words: words.into(),
        ..BuildArgs::default()
    };
    build::run(app, &args)
}

/// Compiles into a folder of `_out`; returns it, or none if the plan was only shown.
pub(super) fn compile(
    app: &App<'_>,
    checkout: &Checkout,
    secilc: bool,
) -> Result<Option<Utf8PathBuf>> {
    let folder = checkout.out().join("selinux").join(BUILT);
    // What an earlier run left must not be taken for the result of this one.
    let mut plan = Plan::new("compile the SELinux policy".to_owned());
    for name in [BINARY, CONTEXTS] {
        let path = folder.join(name);
        if path.exists() {
            let why = "remove the result of an earlier check";
            plan.push(Step::new(why, Action::Remove { path }).effect(Effect::Destroys));
        }
    }
    if secilc {
        let path = folder.clone();
        let why = "create the folder for the results";
        plan.push(Step::new(why, Action::CreateDir { path }).effect(Effect::Creates));
        let why = "compile the policy with the options of the Dockerfile";
        plan.push(Step::run(why, secilc_argv(checkout, &folder)?).effect(Effect::Creates));
    }
    let is_run = if plan.steps.is_empty() {
        !app.is_dry()
    } else {
        app.carry_out(&plan)?
    };
    if !secilc {
        make(app, "_out/selinux")?;
    }
    Ok(is_run.then_some(folder))
}

/// The compiler's command line of the Dockerfile, with paths of this host.
fn secilc_argv(checkout: &Checkout, folder: &Utf8Path) -> Result<Vec<String>> {
    let path = checkout.dir.join("Dockerfile");
    let failed = || Failure::host(format!("cannot find how `{path}` compiles the policy"));
    let text = files::text(&path, files::MEDIUM)?.unwrap_or_default();
    let words = command_in(&text).ok_or_else(|| failed().cause("no line runs `secilc -o …`"))?;
    let mut argv = Vec::new();
    for word in words {
        if let Some(name) = word.strip_prefix("/policy/") {
            argv.push(folder.join(name).into_string());
        } else if word.starts_with("/selinux/") {
            let sources = cil_files(&checkout.dir.join(FOLDER).join(SOURCES))?;
            argv.extend(sources.into_iter().map(Utf8PathBuf::into_string));
        // Its messages are not needed.
        } else if !word.starts_with("-v") {
            argv.push(word.to_owned());
        }
    }
    Ok(argv)
}

fn command_in(dockerfile: &str) -> Option<Vec<&str>> {
    let line = dockerfile
        .lines()
        .find(|line| line.contains("secilc -o "))?;
    let command = &line[line.find("secilc -o ")?..];
    let end = command.find([';', '&', '|']).unwrap_or(command.len());
    Some(command[..end].split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_a_dockerfile() {
        let text = "FROM tools AS selinux\nRUN mkdir /policy; secilc -o /policy/policy.33 -c 33 /selinux/**/*.cil -O\n";
        let words = [
            "secilc",
            "-o",
            "/policy/policy.33",
            "-c",
            "33",
            "/selinux/**/*.cil",
            "-O",
        ];
        assert_eq!(command_in(text).unwrap(), words);
        assert_eq!(command_in("FROM scratch\n"), None);
    }
}
