//! `editor`: writes tasks, debug configurations, keys and gopls' build tags for
//! an editor. Files of the user are merged: entries of this program are known by
//! their labels, and everything else keeps its bytes.
#![expect(clippy::doc_markdown, reason = "doc comments here are the help")]

mod helix;
mod jetbrains;
mod jsonc;
mod vscode;
mod zed;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::tasks::Start;
use crate::app::App;
use foundation::ctx::marked_block::with_block;
use foundation::ctx::probe::Probe;
use foundation::ctx::{git_exclude, owned_path};
use foundation::failure::{Because, Failure, Result};
use foundation::files;
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::program;
use foundation::ui;
use foundation::ui::text::one_line;
use jsonc::{Entries, Setting};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask editor vscode -n\n  cargo xtask editor zed\n  \
    cargo xtask editor helix --remove\n\n\
    What is not ignored by the checkout's .gitignore is hidden from git in this clone."
)]
pub struct EditorArgs {
    /// Editor to write files for
    pub editor: Editor,
    /// Exit with 1 if the files are not as they would be written; change nothing
    #[arg(long)]
    pub check: bool,
    /// Remove what was written; the rest of the files stays
    #[arg(long, conflicts_with = "check")]
    pub remove: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Editor {
    /// VS Code: tasks, debugging, build tags
    Vscode,
    /// Zed: tasks, also for the run buttons beside tests, debugging, build tags
    Zed,
    /// GoLand and IntelliJ IDEA: run configurations
    Jetbrains,
    /// Helix: keys below `space x`, build tags
    Helix,
    /// Neovim: the files of VS Code, which overseer.nvim reads
    Neovim,
}

/// What the files depend on.
struct Setup {
    start: Start,
    /// Build tags of the checkout's linter, for gopls; `None` without any.
    tags: Option<Vec<String>>,
}

/// A file, relative to the checkout.
struct File {
    path: Utf8PathBuf,
    content: Content,
}

impl File {
    fn new(path: impl Into<Utf8PathBuf>, content: Content) -> Self {
        Self {
            path: path.into(),
            content,
        }
    }
}

enum Content {
    Entries(Entries),
    Setting(Setting),
    /// Lines at the end of a TOML file.
    Block(Vec<String>),
    /// The whole file is this program's.
    Whole(String),
}

/// The block in git's private rules, and in TOML files.
const BLOCK: &str = "xtask editor";

pub(crate) fn run(app: &App<'_>, args: &EditorArgs) -> Result<u8> {
    let checkout = app.ctx.checkout()?.dir.clone();
    let setup = Setup {
        start: Start::of(&checkout)?,
        tags: build_tags(&checkout)?,
    };
    let files = match args.editor {
        Editor::Vscode | Editor::Neovim => vscode::files(&setup),
        Editor::Zed => zed::files(&setup),
        Editor::Jetbrains => jetbrains::files(&setup),
        Editor::Helix => helix::files(&setup),
    };
    let plan = plan(&checkout, &files, args.remove)?;
    if args.check {
        let is_same = plan.steps.is_empty();
        let verdict = if is_same {
            "as written"
        } else {
            "not as they would be written"
        };
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        ui::print(&format!("{}: {verdict}\n", names.join(", ")));
        return Ok(u8::from(!is_same));
    }
    if plan.steps.is_empty() && !app.is_dry() {
        ui::print("nothing to do: the files are as they should be\n");
        return Ok(0);
    }
    if app.carry_out(&plan)? && !args.remove {
        ui::print(&next(args.editor, &setup));
    }
    Ok(0)
}

/// Reads the build tags that the checkout's linter uses: with them gopls sees
/// the integration tests.
fn build_tags(checkout: &Utf8Path) -> Result<Option<Vec<String>>> {
    #[derive(Deserialize)]
    struct Linter {
        #[serde(default)]
        run: Run,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "kebab-case")]
    struct Run {
        #[serde(default)]
        build_tags: Vec<String>,
    }
    let path = checkout.join(".golangci.yml");
    let Some(text) = files::text(&path, files::SMALL)? else {
        return Ok(None);
    };
    let linter: Linter =
        talos::yaml::from_str(&text).because(|| format!("cannot read `{path}`"))?;
    Ok(Some(linter.run.build_tags).filter(|tags| !tags.is_empty()))
}

fn plan(checkout: &Utf8Path, files: &[File], removes: bool) -> Result<Plan> {
    let verb = if removes { "remove" } else { "write" };
    let mut plan = Plan::new(format!("{verb} files of an editor in {checkout}"));
    if !removes {
        hide(checkout, files, &mut plan)?;
    }
    for file in files {
        // A link to the user's own collection stays a link.
        let path = checkout.join(&file.path);
        let path = path.canonicalize_utf8().unwrap_or(path);
        let before = files::text(&path, files::MEDIUM)?;
        let edited = if removes {
            before
                .as_deref()
                .map_or(Ok(None), |text| removed(file, text))
        } else {
            let text = before.as_deref().unwrap_or_default();
            added(file, text, &mut plan).map(Some)
        };
        let after = edited.map_err(|why| {
            Failure::host(format!("cannot edit `{path}`; nothing was changed"))
                .cause(why)
                .hint(format!(
                    "repair the file, or move it away: {}",
                    program!("mv {} {}", path, format!("{path}.bak"))
                ))
        })?;
        change(&mut plan, path, before, after);
    }
    if removes {
        remove_empty_folders(checkout, files, &mut plan);
        show_again(checkout, files, &mut plan)?;
    }
    Ok(plan)
}

/// Adds the step that makes `after` of `before`, if they differ.
fn change(plan: &mut Plan, path: Utf8PathBuf, before: Option<String>, after: Option<String>) {
    match (before, after) {
        (before, after) if before == after => {}
        (before, Some(contents)) => {
            let mode = mode_of(&path);
            if let Some(before) = before {
                // It may be edited between the plan and the run.
                let sha256 = owned_path::digest_of(before.as_bytes());
                let path = path.clone();
                let action = Action::RequireFile { path, sha256 };
                plan.push(Step::new("nothing else has changed it", action).effect(Effect::Reads));
            }
            let action = Action::WriteFile {
                path,
                contents,
                mode,
            };
            plan.push(Step::new(
                "only the entries of xtask change, the rest keeps its bytes",
                action,
            ));
        }
        (Some(before), None) => {
            let sha256 = owned_path::digest_of(before.as_bytes());
            let action = Action::RemoveFile { path, sha256 };
            plan.push(Step::new("nothing else is in it", action).effect(Effect::Destroys));
        }
        (None, None) => {}
    }
}

/// The folders of removed files, from the inside.
fn remove_empty_folders(checkout: &Utf8Path, files: &[File], plan: &mut Plan) {
    let folders = files.iter().flat_map(|file| file.path.ancestors().skip(1));
    let folders: BTreeSet<&Utf8Path> = folders.filter(|path| *path != "").collect();
    if !plan
        .steps
        .iter()
        .any(|step| matches!(step.action, Action::RemoveFile { .. }))
    {
        return;
    }
    for folder in folders.into_iter().rev() {
        let path = checkout.join(folder);
        let action = Action::RemoveEmptyDir { path };
        plan.push(Step::new("its files are gone", action).effect(Effect::Destroys));
    }
}

fn mode_of(path: &Utf8Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map(|file| file.permissions().mode());
    mode.map_or(0o644, |mode| mode & 0o777)
}

/// Returns the text with what belongs in it; an error is the cause.
fn added(file: &File, text: &str, plan: &mut Plan) -> std::result::Result<String, String> {
    match &file.content {
        Content::Entries(entries) => entries.added_to(text),
        Content::Setting(setting) => {
            let (text, is_set) = setting.added_to(text)?;
            if !is_set {
                let name = setting.path.join(".");
                plan.note(format!("{} has its own `{name}`, which stays", file.path));
            }
            Ok(text)
        }
        Content::Block(lines) => {
            let text = with_block(text, BLOCK, lines);
            toml::from_str::<toml::Table>(&text)
                .map(|_| text)
                .map_err(|error| error.message().to_owned())
        }
        Content::Whole(text) => Ok(text.clone()),
    }
}

/// Returns the text without it, or `None` if nothing else is in it.
fn removed(file: &File, text: &str) -> std::result::Result<Option<String>, String> {
    match &file.content {
        Content::Entries(entries) => entries.removed_from(text),
        Content::Setting(setting) => setting.removed_from(text),
        Content::Block(_) => {
            let left = with_block(text, BLOCK, &[]);
            Ok((!left.trim().is_empty()).then_some(left))
        }
        Content::Whole(_) => Ok(None),
    }
}

/// Hides the files that the checkout's own rules do not ignore: `.zed`, for
/// instance, makes `git describe --dirty` say so. What git tracks stays visible.
fn hide(checkout: &Utf8Path, files: &[File], plan: &mut Plan) -> Result<()> {
    let mut rules = git_exclude::lines(checkout, BLOCK)?;
    for file in files {
        let rule = format!("/{}", file.path);
        if !rules.contains(&rule) && is_visible(checkout, &file.path) {
            rules.push(rule);
        }
    }
    plan.steps
        .extend(git_exclude::step(checkout, BLOCK, &rules)?);
    Ok(())
}

/// Whether git would show the file as a new one.
fn is_visible(checkout: &Utf8Path, path: &Utf8Path) -> bool {
    // Both exit with 1 for `no`.
    let asks = |argv: &[&str]| {
        let argv = argv.iter().copied().chain([path.as_str()]);
        Probe::new(argv).current_dir(checkout).stdout().is_ok()
    };
    !asks(&["git", "check-ignore", "--quiet", "--"])
        && !asks(&["git", "ls-files", "--error-unmatch", "--"])
}

/// Removes the rules, unless another worktree has such a file.
fn show_again(checkout: &Utf8Path, files: &[File], plan: &mut Plan) -> Result<()> {
    let others = git_exclude::other_worktrees(checkout)?;
    let mut rules = git_exclude::lines(checkout, BLOCK)?;
    // A file with entries of the user stays, and so does its rule.
    let stays = |path: &Utf8Path| {
        let is_removed = plan.steps.iter().any(|step| {
            matches!(&step.action, Action::RemoveFile { path: removed, .. } if *removed == checkout.join(path))
        });
        !is_removed && checkout.join(path).exists()
    };
    let needed: Vec<String> = files
        .iter()
        .filter(|file| {
            stays(&file.path) || others.iter().any(|other| other.join(&file.path).exists())
        })
        .map(|file| format!("/{}", file.path))
        .collect();
    let written: Vec<String> = files.iter().map(|file| format!("/{}", file.path)).collect();
    rules.retain(|rule| needed.contains(rule) || !written.contains(rule));
    plan.steps
        .extend(git_exclude::step(checkout, BLOCK, &rules)?);
    Ok(())
}

/// What the editor still needs from the user.
fn next(editor: Editor, setup: &Setup) -> String {
    let line = shlex::try_join(setup.start.words.iter().map(String::as_str)).unwrap_or_default();
    let hint = match editor {
        Editor::Vscode => {
            "Tasks: Run Task, then `xtask: …`. A key for the test at the cursor, in keybindings.json:\n  \
             {\"key\": \"ctrl+alt+t\", \"command\": \"workbench.action.tasks.runTask\", \"args\": \"xtask: test at cursor\"}"
                .to_owned()
        }
        Editor::Zed => {
            "task: spawn, then `xtask: …`; the buttons beside tests run `test at` now".to_owned()
        }
        Editor::Jetbrains => {
            let cwd = setup.start.cwd.as_deref();
            let cwd = cwd.map_or("$ProjectFileDir$", Utf8Path::as_str);
            let (program, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let arguments = format!("{rest} test at $FilePath$:$LineNumber$");
            format!(
                "run configurations `xtask: …`. For the test at the cursor: Settings, Tools, External Tools, Add:\n  \
                 program `{program}`, arguments `{}`, working directory `{cwd}`",
                arguments.trim_start()
            )
        }
        Editor::Helix => {
            "`space x t` runs the test at the cursor; `:workspace-trust` first, where Helix asks for it".to_owned()
        }
        Editor::Neovim => {
            "overseer.nvim reads .vscode/tasks.json: `:OverseerRun`, then `xtask: …`".to_owned()
        }
    };
    // Names of paths may be in it.
    let hint: Vec<_> = hint.lines().map(one_line).collect();
    format!("{}\n", hint.join("\n"))
}
