//! `embed`: copies this workspace into a Talos checkout: only Cargo.toml,
//! Cargo.lock, .cargo/config.toml and xtask, which contains the lab, the test
//! data and its own .gitignore. Talos' README, LICENSE and .gitignore stay
//! unchanged.
//!
//! git does not show the copy, unless it is to be committed: `make
//! check-dirty`, `git describe --dirty`, `git stash -u` and `git clean -fd`
//! behave as without it. A list of digests tells later what was edited.
//!
//! git is queried through [`Probe`] and not with xshell: a probe has a time
//! limit and switches off what the repository's settings would start, and an
//! unlisted ignored file must be an error here.

mod ours;
mod sources;
mod written;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use glob::{Pattern, glob};

use crate::app::App;
use foundation::ctx::probe::Probe;
use foundation::ctx::{checkout, git_exclude, owned_path};
use foundation::failure::{Because, Failure, Result};
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::program;
use foundation::record::tree;
use foundation::typed;
use foundation::ui;
use foundation::ui::text::one_line;
use ours::{check_in_the_way, check_links, is_our_file, is_our_folder};
use written::{Written, check_edits, compare, named};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(
    after_help = "Examples:\n  cargo xtask embed ../talos             git does not show the copy\n  \
    cargo xtask embed ../talos --check     exit code 1 when it was edited or is another version\n  \
    cargo xtask embed ../talos --remove"
)]
pub struct EmbedArgs {
    /// Talos checkout to copy into
    pub dir: Utf8PathBuf,
    /// Let git show the copy, to commit it
    #[arg(long)]
    pub shared: bool,
    /// Compare the copy with this version and with what was written; change nothing
    #[arg(long, conflicts_with_all = ["shared", "remove", "force"])]
    pub check: bool,
    /// Remove the copy
    #[arg(long, conflicts_with = "shared")]
    pub remove: bool,
    /// Overwrite or remove edited files and files of others, too
    #[arg(long)]
    pub force: bool,
}

/// Files besides the folder `xtask`, in the order in which they are written:
/// cargo only sees a workspace with the last one.
const FILES: [&str; 3] = ["Cargo.lock", ".cargo/config.toml", "Cargo.toml"];
const FOLDER: &str = "xtask";
/// Digests of what was written, as sha256sum prints them.
const LIST: &str = "xtask/.embedded.sha256";
/// The folder that cargo builds into, on either side.
const TARGET: &str = "target";
/// The user's own settings, which only this program reads.
const SETTINGS: &str = ".cargo/xtask.toml";
/// The name of the block in git's private ignore rules.
const BLOCK: &str = "xtask embed";
/// Time limit of git.
const LIMIT: Duration = Duration::from_secs(20);

type Digests = BTreeMap<Utf8PathBuf, String>;

pub(crate) fn run(app: &App<'_>, args: &EmbedArgs) -> Result<u8> {
    let to = talos(&app.ctx.cwd.join(&args.dir))?;
    if args.check {
        return check(&to);
    }
    if args.remove {
        return remove(app, &to, args.force);
    }
    let from = sources::workspace()?;
    check_apart(&from, &to)?;
    check_links(&to)?;
    let except = sources::left_out(&from)?;
    let files = sources::files(&from, &except)?;
    if !args.force {
        check_in_the_way(&to)?;
        let hint = format!(
            "move them away, or overwrite them: {}",
            typed!("embed {} --force", args.dir)
        );
        check_edits(&to, &compare(&to, Some(&files))?, hint)?;
    }
    // Rules for what is committed would hide its new files.
    let is_shared = args.shared || is_committed(&to)?;
    let plan = plan_embed(&from, &to, &except, &files, is_shared)?;
    if app.carry_out(&plan)? {
        ui::print(&next(&to, &files, is_shared)?);
    }
    Ok(0)
}

/// Prints how the copy differs; exit code 1 if it does.
fn check(to: &Utf8Path) -> Result<u8> {
    let sources = sources_beside(to)?;
    let Written { edited, outdated } = compare(to, sources.as_ref())?;
    let is_there = is_our_folder(&to.join(FOLDER));
    let place = one_line(to.as_str()).into_owned();
    let mut text = String::new();
    if !is_there {
        text = format!("nothing is embedded in {place}\n");
    } else if edited.is_empty() && outdated.is_empty() {
        text = format!("{place} has this version, and nothing in it was edited\n");
    }
    for (what, paths) in [
        ("edited, or not written by `embed`", &edited),
        ("not as in this version", &outdated),
    ] {
        if is_there && !paths.is_empty() {
            let _ = writeln!(text, "{what}: {}", named(paths).join(", "));
        }
    }
    ui::print(&text);
    Ok(u8::from(
        !is_there || !edited.is_empty() || !outdated.is_empty(),
    ))
}

/// The digests of the sources, unless they are the copy itself or are gone.
fn sources_beside(to: &Utf8Path) -> Result<Option<Digests>> {
    let Ok(from) = sources::workspace() else {
        return Ok(None);
    };
    if from.canonicalize_utf8().is_ok_and(|from| from == to) {
        return Ok(None);
    }
    sources::files(&from, &sources::left_out(&from)?).map(Some)
}

fn remove(app: &App<'_>, to: &Utf8Path, force: bool) -> Result<u8> {
    check_links(to)?;
    let written = compare(to, sources_beside(to)?.as_ref())?;
    if is_our_folder(&to.join(FOLDER)) && !force {
        let hint = format!(
            "move them away, or remove them: {}",
            typed!("embed {} --remove --force", to)
        );
        check_edits(to, &written, hint)?;
    }
    let plan = plan_remove(to)?;
    if plan.steps.is_empty() {
        return Err(
            Failure::usage(format!("nothing is embedded in `{to}`")).hint(typed!("embed {}", to))
        );
    }
    if app.carry_out(&plan)? {
        ui::print(&format!("removed from {}\n", one_line(to.as_str())));
    }
    Ok(0)
}

fn talos(dir: &Utf8Path) -> Result<Utf8PathBuf> {
    if !checkout::is_talos(dir)? {
        return Err(Failure::usage(format!("`{dir}` is not a Talos checkout"))
            .cause("it has no go.mod of the module github.com/siderolabs/talos")
            .hint("name a clone of github.com/siderolabs/talos"));
    }
    dir.canonicalize_utf8()
        .because(|| format!("cannot follow `{dir}`"))
}

fn check_apart(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    let from = from
        .canonicalize_utf8()
        .because(|| format!("cannot follow `{from}`"))?;
    if from == to {
        return Err(
            Failure::usage(format!("`{to}` is where this program's own sources are"))
                .hint("run it from another clone to replace them"),
        );
    }
    if to.starts_with(from.join(FOLDER)) {
        return Err(Failure::usage(format!(
            "`{to}` is in the folder that would be copied"
        )));
    }
    Ok(())
}

/// Whether git tracks the copy in `to`.
fn is_committed(to: &Utf8Path) -> Result<bool> {
    if !to.ancestors().any(|dir| dir.join(".git").exists()) {
        return Ok(false);
    }
    let tracked = Probe::new(["git", "ls-files", "--", "Cargo.toml", "xtask/Cargo.toml"])
        .current_dir(to)
        .timeout(LIMIT)
        .exact_stdout();
    let tracked = tracked.map_err(|error| {
        Failure::host(format!("cannot list what git tracks in `{to}`"))
            .cause(error)
            .hint(program!("git -C {} status", to))
    })?;
    Ok(!tracked.is_empty())
}

/// Returns those of the files that `git add` would skip: Talos ignores `*.lock`
/// and folders named `bin`, and users have their own rules.
fn hidden(to: &Utf8Path, files: &Digests) -> Vec<String> {
    let mut argv = vec!["git", "check-ignore", "--"];
    argv.extend(files.keys().map(|file| file.as_str()));
    // The exit code is not 0 if nothing is ignored, and without a repository.
    let paths = Probe::new(argv).current_dir(to).timeout(LIMIT).stdout();
    let paths = paths.unwrap_or_default();
    paths.lines().map(str::to_owned).collect()
}

/// The private ignore rules.
fn rules() -> Vec<String> {
    let files = FILES.iter().chain([&SETTINGS]);
    let files = files.map(|file| format!("/{file}"));
    files.chain([format!("/{FOLDER}/")]).collect()
}

fn plan_embed(
    from: &Utf8Path,
    to: &Utf8Path,
    except: &[Utf8PathBuf],
    files: &Digests,
    is_shared: bool,
) -> Result<Plan> {
    let verb = if is_our_folder(&to.join(FOLDER)) {
        "replace the workspace in"
    } else {
        "copy this workspace into"
    };
    let mut plan = Plan::new(format!("{verb} {to}"));
    if is_shared {
        show_again(to, &mut plan)?;
    } else {
        plan.steps.extend(git_exclude::step(to, BLOCK, &rules())?);
    }
    remove_half_copies(to, &mut plan);
    plan.push(Step::new(
        "the sources, swapped in whole; what was built stays",
        Action::CopyTree {
            from: from.join(FOLDER),
            to: to.join(FOLDER),
            except: except.to_vec(),
        },
    ));
    let mut copies = Vec::new();
    if let Some(readme) = sources::readme(from) {
        let path = Utf8Path::new(FOLDER).join(sources::README);
        copies.push((readme, path, "how it is used"));
    }
    for name in FILES {
        let why = match name {
            "Cargo.lock" => "the exact versions that this was tested with",
            "Cargo.toml" => "the workspace",
            _ => "the alias `cargo xtask`",
        };
        copies.push((from.join(name), name.into(), why));
    }
    for (source, path, why) in copies {
        let missing = || Failure::host(format!("there is no `{source}`"));
        let sha256 = files.get(&path).ok_or_else(missing)?.clone();
        let bytes = std::fs::metadata(&source)
            .because(|| format!("cannot read `{source}`"))?
            .len();
        let to = to.join(path);
        let action = Action::CopyFile {
            from: source,
            to,
            sha256,
            bytes,
        };
        plan.push(Step::new(why, action));
    }
    let paths = FILES.into_iter().chain([FOLDER]);
    plan.push(Step::new(
        "the digests, by which later edits are known",
        Action::RecordDigests {
            root: to.to_owned(),
            paths: paths.map(Into::into).collect(),
            except: sources::below(except),
            list: to.join(LIST),
        },
    ));
    Ok(plan)
}

/// Removes what is recognised as written by `embed`.
fn plan_remove(to: &Utf8Path) -> Result<Plan> {
    let mut plan = Plan::new(format!("remove the workspace from {to}"));
    for name in FILES.into_iter().rev() {
        let path = to.join(name);
        if !is_our_file(to, name) {
            continue;
        }
        let sha256 = owned_path::digest(&path).because(|| format!("cannot read `{path}`"))?;
        let why = "it is as written";
        let action = sha256.map(|sha256| Action::RemoveFile { path, sha256 });
        plan.steps
            .extend(action.map(|action| Step::new(why, action).effect(Effect::Destroys)));
    }
    if is_our_file(to, FILES[1]) {
        let path = to.join(".cargo");
        let action = Action::RemoveEmptyDir { path };
        plan.push(Step::new("it may have other settings", action).effect(Effect::Destroys));
    }
    if to.join(SETTINGS).exists() {
        plan.note(format!("{SETTINGS} stays: these are your settings"));
    }
    if is_our_folder(&to.join(FOLDER)) {
        let path = to.join(FOLDER);
        let why = "the sources, and what was built from them";
        plan.push(Step::new(why, Action::Remove { path }).effect(Effect::Destroys));
    }
    remove_half_copies(to, &mut plan);
    show_again(to, &mut plan)?;
    Ok(plan)
}

/// Removes the private rules, unless another worktree needs them.
fn show_again(to: &Utf8Path, plan: &mut Plan) -> Result<()> {
    let step = git_exclude::step(to, BLOCK, &[])?;
    let others = git_exclude::other_worktrees(to)?;
    let mut others = others.iter().filter(|other| other.join(LIST).exists());
    match others.next() {
        Some(other) if step.is_some() => plan.note(format!(
            "git's private rules stay: the copy in {other} is hidden by them"
        )),
        _ => plan.steps.extend(step),
    }
    Ok(())
}

fn remove_half_copies(to: &Utf8Path, plan: &mut Plan) {
    for path in half_copies(to) {
        let why = "remove what a run that was killed has left";
        plan.push(Step::new(why, Action::Remove { path }).effect(Effect::Destroys));
    }
}

fn half_copies(to: &Utf8Path) -> Vec<Utf8PathBuf> {
    let pattern = format!("{}/{}*", Pattern::escape(to.as_str()), tree::TEMPORARY);
    let paths = glob(&pattern).into_iter().flatten().flatten();
    let paths = paths.filter_map(|path| Utf8PathBuf::from_path_buf(path).ok());
    paths.collect()
}

/// The index belongs to the user: it is only mentioned.
fn next(to: &Utf8Path, files: &Digests, is_shared: bool) -> Result<String> {
    let mut text = format!("embedded in {}\n", one_line(to.as_str()));
    let mut steps = Vec::new();
    if is_shared {
        steps.push(program!(
            "git -C {} add Cargo.toml .cargo/config.toml {}",
            to,
            FOLDER
        ));
        let hidden = hidden(to, files);
        if !hidden.is_empty() {
            let hidden: typed::Words = hidden.iter().map(String::as_str).collect();
            let add = program!("git -C {} add --force {}", to, hidden);
            steps.push(format!("{add}   # a .gitignore there hides it"));
        }
    } else if !git_exclude::lines(to, BLOCK)?.is_empty() {
        text += "  git does not show it: its private rules (info/exclude) hide it in this clone\n";
    }
    // The alias works in that folder, however this program was started.
    let doctor = program!("cd {} && cargo xtask doctor", to);
    steps.push(format!("{doctor}   # compiles once, a minute or two"));
    for step in steps {
        let _ = writeln!(text, "  next: {step}");
    }
    Ok(text)
}
