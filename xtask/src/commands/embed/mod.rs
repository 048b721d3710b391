//! `embed`: copies this workspace into a Talos checkout: only Cargo.toml,
//! Cargo.lock, .cargo/config.toml and xtask, which contains the lab and its own
//! .gitignore. Talos' README, LICENSE and .gitignore stay unchanged.
//!
//! git is queried through [`Probe`] and not with xshell: a probe has a time
//! limit and switches off what the repository's settings would start, and an
//! unlisted ignored file or an unseen change must be an error here.

mod ours;

use std::collections::BTreeSet;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use glob::{Pattern, glob};

use crate::app::App;
use foundation::ctx::checkout;
use foundation::ctx::own_executable::built_at;
use foundation::ctx::probe::Probe;
use foundation::failure::{Because, Failure, Result};
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::program;
use foundation::record::tree;
use foundation::typed;
use foundation::ui;
use foundation::ui::text::one_line;
use ours::{check_changes, check_in_the_way, check_links, is_our_folder, is_ours};

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// Talos checkout to copy into
    pub dir: Utf8PathBuf,
    /// Overwrite existing files, including uncommitted changes
    #[arg(long)]
    pub force: bool,
}

/// Files besides the folder `xtask`, in the order in which they are written:
/// cargo only sees a workspace with the last one.
const FILES: [&str; 3] = ["Cargo.lock", ".cargo/config.toml", "Cargo.toml"];
const FOLDER: &str = "xtask";
/// The folder that cargo builds into, on either side.
const TARGET: &str = "target";
/// Time limit of git.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn run(app: &App<'_>, args: &EmbedArgs) -> Result<u8> {
    let from = workspace()?;
    let to = talos(&app.ctx.cwd.join(&args.dir))?;
    check_apart(&from, &to)?;
    check_links(&to)?;
    if !args.force {
        check_in_the_way(&to)?;
        check_changes(&to)?;
    }
    let except = left_out(&from)?;
    let files = files(&from, &except)?;
    let plan = plan_embed(&from, &to, except)?;
    if app.carry_out(&plan)? {
        ui::print(&next(&to, &hidden(&to, &files)));
    }
    Ok(0)
}

/// Returns the folder of the sources: above the binary that cargo built, else
/// the folder in which it was built.
fn workspace() -> Result<Utf8PathBuf> {
    let exe = built_at();
    let above = exe
        .as_deref()
        .and_then(|exe| exe.ancestors().find(|dir| is_ours(dir)));
    let built = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    above
        .or(built.filter(|dir| is_ours(dir)))
        .map(Utf8Path::to_owned)
        .ok_or_else(|| {
            Failure::host("cannot find the sources of this program")
                .cause("they are neither above the program nor where it was built")
                .hint(format!("run it in a clone: {}", typed!("embed DIR")))
        })
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

/// Paths below [`FOLDER`] that are not sources: cargo's target folder, and what
/// git ignores where the sources are a git checkout.
///
/// # Errors
/// When git does not list what it ignores: build products would be copied.
fn left_out(from: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let argv = [
        "git",
        "ls-files",
        "--others",
        "--ignored",
        "--exclude-standard",
        "--directory",
    ];
    let is_git = from.ancestors().any(|dir| dir.join(".git").exists());
    let ignored = match Probe::new(argv).current_dir(&from.join(FOLDER)).stdout() {
        Ok(ignored) => ignored,
        Err(_) if !is_git => String::new(),
        Err(error) => {
            return Err(Failure::host(format!(
                "cannot list the files that git ignores in `{from}`"
            ))
            .cause(error)
            .hint(program!("git -C {} status", from)));
        }
    };
    let mut except: BTreeSet<Utf8PathBuf> = ignored
        .lines()
        .map(|line| Utf8PathBuf::from(line.trim_end_matches('/')))
        .collect();
    except.insert(TARGET.into());
    Ok(except.into_iter().collect())
}

/// Returns all files to copy, relative to the checkout.
fn files(from: &Utf8Path, except: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>> {
    let mut found: Vec<Utf8PathBuf> = FILES.map(Utf8PathBuf::from).to_vec();
    let mut folders = vec![Utf8PathBuf::new()];
    while let Some(below) = folders.pop() {
        let dir = from.join(FOLDER).join(&below);
        let entries = dir
            .read_dir_utf8()
            .because(|| format!("cannot read `{dir}`"))?;
        for entry in entries {
            let entry = entry.because(|| format!("cannot read `{dir}`"))?;
            let relative = below.join(entry.file_name());
            if except.contains(&relative) {
                continue;
            }
            let kind = entry
                .file_type()
                .because(|| format!("cannot read `{}`", entry.path()))?;
            if kind.is_dir() {
                folders.push(relative);
            } else {
                found.push(Utf8Path::new(FOLDER).join(relative));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Returns those of the files that `git add` would skip: Talos ignores `*.lock`
/// and folders named `bin`, and users have their own rules.
fn hidden(to: &Utf8Path, files: &[Utf8PathBuf]) -> Vec<String> {
    let mut argv = vec!["git", "check-ignore", "--"];
    argv.extend(files.iter().map(|file| file.as_str()));
    // The exit code is not 0 if nothing is ignored, and without a repository.
    let paths = Probe::new(argv).current_dir(to).timeout(LIMIT).stdout();
    let paths = paths.unwrap_or_default();
    paths.lines().map(str::to_owned).collect()
}

fn plan_embed(from: &Utf8Path, to: &Utf8Path, except: Vec<Utf8PathBuf>) -> Result<Plan> {
    let verb = if is_our_folder(&to.join(FOLDER)) {
        "replace the workspace in"
    } else {
        "copy this workspace into"
    };
    let mut plan = Plan::new(format!("{verb} {to}"));
    for path in half_copies(to) {
        let why = "remove what a run that was killed has left";
        plan.push(Step::new(why, Action::Remove { path }).effect(Effect::Destroys));
    }
    plan.push(Step::new(
        "the sources, swapped in whole; what was built stays",
        Action::CopyTree {
            from: from.join(FOLDER),
            to: to.join(FOLDER),
            except,
        },
    ));
    for name in FILES {
        let path = from.join(name);
        let contents = foundation::files::text(&path, foundation::files::MEDIUM)?
            .ok_or_else(|| Failure::host(format!("there is no `{path}`")))?;
        let why = match name {
            "Cargo.lock" => "the exact versions that this was tested with",
            "Cargo.toml" => "the workspace",
            _ => "the alias `cargo xtask`",
        };
        plan.push(Step::new(
            why,
            Action::WriteFile {
                path: to.join(name),
                contents,
                mode: 0o644,
            },
        ));
    }
    Ok(plan)
}

fn half_copies(to: &Utf8Path) -> Vec<Utf8PathBuf> {
    let pattern = format!("{}/{}*", Pattern::escape(to.as_str()), tree::TEMPORARY);
    let paths = glob(&pattern).into_iter().flatten().flatten();
    let paths = paths.filter_map(|path| Utf8PathBuf::from_path_buf(path).ok());
    paths.collect()
}

/// The index belongs to the user: it is only mentioned.
fn next(to: &Utf8Path, hidden: &[String]) -> String {
    let mut steps = vec![program!(
        "git -C {} add Cargo.toml .cargo/config.toml {}",
        to,
        FOLDER
    )];
    if !hidden.is_empty() {
        let hidden: typed::Words = hidden.iter().map(String::as_str).collect();
        let add = program!("git -C {} add --force {}", to, hidden);
        steps.push(format!("{add}   (a .gitignore there hides it)"));
    }
    // The alias works in that folder, however this program was started.
    steps.push(program!("cd {} && cargo xtask doctor", to));
    format!(
        "embedded in {}\n  next: {}\n",
        one_line(to.as_str()),
        steps.join("\n  next: ")
    )
}
