//! `build`: any target of a checkout's own Makefile, evaluated without make.

pub(super) mod advice;
mod convert;
mod explain;
mod hidden;
mod list;
pub(super) mod mixes;
pub(super) mod preflight;
pub(super) mod reason;
pub(super) mod repository;
pub(super) mod shells;
mod trust;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use makefile::{Item, Planned};

use crate::app::{App, PlanFormat};
use foundation::ctx::Ctx;
use foundation::ctx::own_executable::own_executable;
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::run::Options;
use hidden::Hidden;
use repository::{Repository, refused};
use shells::{For, Shells};

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask build initramfs kernel WITH_DEBUG=1\n  \
        cargo xtask build --list\n  cargo xtask build --explain installer\n  \
        cargo xtask build imager --registry 127.0.0.1:5005 --push\n  \
        cargo xtask -C ../extensions build hailort PLATFORM=linux/amd64\n\n\
        Use it in Talos, pkgs, extensions and every other repository whose Makefile kres generates."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[expect(clippy::doc_markdown, reason = "doc comments are the help")]
pub struct BuildArgs {
    /// Targets and NAME=VALUE, as in make
    #[arg(value_name = "TARGET|NAME=VALUE")]
    pub words: Vec<String>,
    /// List documented targets and the stages of the Dockerfile
    #[arg(long)]
    pub list: bool,
    /// Print JSON: the list, the explanation, or with --dry-run the plan
    #[arg(long)]
    pub json: bool,
    /// Show the chain of targets and the origin of each variable; run nothing
    #[arg(long, conflicts_with = "list")]
    pub explain: bool,
    /// Skip the host checks
    #[arg(long)]
    pub no_preflight: bool,
    /// Build as much as possible after a failure: what does not need the failed target
    #[arg(short, long)]
    pub keep_going: bool,
    /// Accepted as in make; lines run one after the other, and buildx builds in parallel
    #[arg(short, long, value_name = "N", num_args = 0..=1)]
    pub jobs: Option<Option<u16>>,
    /// Build with the race detector: WITH_RACE=true
    #[arg(long, help_heading = "Variables")]
    pub race: bool,
    /// Build with debug symbols and tags: WITH_DEBUG=true
    #[arg(long, help_heading = "Variables")]
    pub debug: bool,
    /// Build with a shell on the node: WITH_DEBUG_SHELL=true, up to Talos 1.13
    #[arg(long, help_heading = "Variables")]
    pub debug_shell: bool,
    /// Push images: PUSH=true
    #[arg(long, help_heading = "Variables")]
    pub push: bool,
    /// Tag of the images: TAG=…
    #[arg(long, value_name = "TAG", help_heading = "Variables")]
    pub tag: Option<String>,
    /// Registry of the images: IMAGE_REGISTRY=…, or REGISTRY=… in other repositories
    #[arg(long, value_name = "HOST:PORT", help_heading = "Variables")]
    pub registry: Option<String>,
    /// Platforms, such as linux/amd64,linux/arm64: PLATFORM=…
    #[arg(long, value_name = "LIST", help_heading = "Variables")]
    pub platform: Option<String>,
    /// Progress output of buildx (auto, plain, tty): PROGRESS=…
    #[arg(long, value_name = "KIND", help_heading = "Variables")]
    pub progress: Option<String>,
}

pub(crate) fn run(app: &App<'_>, args: &BuildArgs) -> Result<u8> {
    if args.json && !(args.list || args.explain || app.is_dry()) {
        return Err(
            Failure::usage("a build prints what its commands print, not JSON")
                .hint("`--json` goes with --list, --explain or --dry-run"),
        );
    }
    let repository = Repository::find(app)?;
    let words = words(args, &repository);
    if args.list {
        return list::run(app, &repository, &words, args.json);
    }
    let planned = evaluate(app, &repository, &words, args.explain)?;
    advice::check_goals(&repository, &words, &planned)?;
    if !planned.jobs.is_empty() && app.global.format == Some(PlanFormat::Sh) {
        let failure = Failure::usage("`--keep-going` cannot be used with `--format sh`");
        return Err(failure.cause("a script ends with its first failure"));
    }
    for warning in advice::warnings(&repository, &words) {
        app.ui.note(&warning);
    }
    for note in advice::notes(&words, &planned) {
        app.ui.note(&note);
    }
    if args.explain {
        let hidden = Hidden::find(&repository, &words, &planned);
        return explain::run(app, &planned, &hidden, args.json);
    }
    let plan = plan_of(app, &repository, &words, &planned);
    if !args.no_preflight && !app.is_dry() {
        preflight::check(app, &plan)?;
    }
    app.carry_out(&plan)
        .map_err(|failure| reason::explain(app, failure))?;
    Ok(0)
}

/// Targets and variables for a shell's completion, with what the Makefile says about them.
/// Nothing is evaluated: that may take long.
pub(crate) fn completions(ctx: &Ctx, current: &str) -> Vec<(String, String)> {
    let Ok(repository) = Repository::find_from(ctx) else {
        return Vec::new();
    };
    let makefile = &repository.makefile;
    let documented = makefile.documented().iter();
    let mut found: Vec<(String, String)> = documented
        .filter(|it| !it.target.contains(['%', '$']))
        .map(|it| (it.target.clone(), it.text.clone()))
        .collect();
    let stages = stages(&repository.dir).unwrap_or_default();
    for family in ["target-", "local-", "docker-", "registry-"] {
        if current.starts_with(family) {
            let all = stages
                .iter()
                .map(|stage| (format!("{family}{stage}"), String::new()));
            found.extend(all);
        }
    }
    let names = makefile.sets().into_iter().map(str::to_owned);
    let names: BTreeSet<String> = names.chain(makefile.reads()).collect();
    let is_variable = |name: &String| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let variables = names.into_iter().filter(is_variable);
    found.extend(variables.map(|name| (format!("{name}="), String::new())));
    found
}

/// `$(MAKE)` inside of a shell line: the environment has the flags of the make
/// that this process replaces, and its output is the line's.
pub(crate) fn nested(app: &App<'_>, words: &[String]) -> Result<u8> {
    let (dir, words) = directory(words)?;
    let repository = Repository::open_from(&app.ctx.cwd, &app.ctx.cwd.join(dir))?;
    let planned = evaluate(app, &repository, &words, false)?;
    let plan = plan_of(app, &repository, &words, &planned);
    let options = Options {
        is_part: true,
        ..Options::default()
    };
    app.runner().run(&plan, options)?;
    Ok(0)
}

/// Takes the folders of `-C` out of the arguments of make; each is relative to the one
/// before.
fn directory(words: &[String]) -> Result<(Utf8PathBuf, Vec<String>)> {
    let mut dir = Utf8PathBuf::new();
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let named = match word.split_once('=') {
            Some((flag, folder)) if is_directory(flag) => Some(folder),
            _ if word == "-C" || is_directory(word) => {
                let folder = words.next();
                let folder =
                    folder.ok_or_else(|| Failure::usage(format!("`{word}` without a folder")))?;
                Some(folder.as_str())
            }
            _ => word.strip_prefix("-C"),
        };
        match named {
            Some(folder) => dir.push(folder),
            None => rest.push(word.clone()),
        }
    }
    Ok((dir, rest))
}

/// Whether it is `--directory`, which may be shortened.
fn is_directory(flag: &str) -> bool {
    flag.len() > 2 && "--directory".starts_with(flag)
}

/// Returns targets and variables, with the variables that flags set.
fn words(args: &BuildArgs, repository: &Repository) -> Vec<String> {
    let reads = repository.makefile.reads();
    let registry = if reads.contains("IMAGE_REGISTRY") {
        "IMAGE_REGISTRY"
    } else {
        "REGISTRY"
    };
    let switches = [
        (args.keep_going, "--keep-going"),
        (args.race, "WITH_RACE=true"),
        (args.debug, "WITH_DEBUG=true"),
        (args.debug_shell, "WITH_DEBUG_SHELL=true"),
        (args.push, "PUSH=true"),
    ];
    let values = [
        ("TAG", &args.tag),
        (registry, &args.registry),
        ("PLATFORM", &args.platform),
        ("PROGRESS", &args.progress),
    ];
    let mut words = args.words.clone();
    words.extend(
        switches
            .into_iter()
            .filter(|(given, _)| *given)
            .map(|(_, word)| word.to_owned()),
    );
    words.extend(
        values
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?))),
    );
    words
}

/// Returns what make would do to rebuild a file, after its removal: make would
/// not touch an existing file whose rule has no prerequisites.
pub(super) fn plan_anew(
    app: &App<'_>,
    repository: &Repository,
    target: &str,
    file: &str,
) -> Result<Plan> {
    let words = [target.to_owned()];
    let planned = evaluate_without(app, repository, &words, false, Some(file))?;
    let mut plan = plan_of(app, repository, &words, &planned);
    let path = repository.dir.join(file);
    if path.exists() {
        let remove = Step::new(
            "remove the existing file, which make would keep",
            Action::Remove { path },
        );
        plan.steps.insert(0, remove.effect(Effect::Destroys));
    }
    Ok(plan)
}

/// Returns what make would do.
pub(super) fn evaluate(
    app: &App<'_>,
    repository: &Repository,
    words: &[String],
    only_look: bool,
) -> Result<Planned> {
    evaluate_without(app, repository, words, only_look, None)
}

fn evaluate_without(
    app: &App<'_>,
    repository: &Repository,
    words: &[String],
    only_look: bool,
    gone: Option<&str>,
) -> Result<Planned> {
    let invocation = repository.invocation(words, &make_command(app));
    let purpose = match app.global.format {
        _ if only_look => For::Look,
        Some(PlanFormat::Sh | PlanFormat::Json) => For::Later,
        _ if app.is_dry() => For::Look,
        _ => For::Run,
    };
    let shells = Shells::new(&repository.dir, &repository.environment, purpose).without(gone);
    let planned = shells.settle(
        &repository.makefile,
        &invocation,
        |makefile, invocation, world| makefile::plan(makefile, invocation, world),
    );
    let errors = shells.errors();
    for error in &errors {
        app.ui.note(error);
    }
    let planned = planned.map_err(|error| refused(&error))?;
    if !only_look {
        advice::check_tag(repository, &planned, &errors)?;
    }
    Ok(planned)
}

/// Returns the command of `$(MAKE)`: this program, or make if the plan is only
/// shown and may be pasted anywhere.
fn make_command(app: &App<'_>) -> String {
    match own_executable() {
        Ok(own) if !app.is_dry() => {
            let own = own.as_str().replace('\'', r"'\''");
            format!("'{own}' --quiet internal make --")
        }
        _ => "make".to_owned(),
    }
}

pub(super) fn plan_of(
    app: &App<'_>,
    repository: &Repository,
    words: &[String],
    planned: &Planned,
) -> Plan {
    let name = repository.dir.file_name().unwrap_or_default();
    let title = format!(
        "{name}: {}",
        if words.is_empty() {
            "the default target".to_owned()
        } else {
            words.join(" ")
        }
    );
    let hidden = Hidden::find(repository, words, planned);
    let places = convert::Places {
        repository: &repository.dir,
        pwd: repository.environment.get("PWD").map(String::as_str),
        state: &app.ctx.dirs.state,
        builder: &app.ctx.config.builder,
        hidden: &hidden,
    };
    convert::plan(title, planned, places)
}

/// The first `most` characters.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the first file of a plan that cannot be made.
fn missing(planned: &Planned) -> Option<&makefile::Error> {
    planned.items.iter().find_map(|item| match item {
        Item::Require {
            error,
            condition: None,
            ..
        } => Some(error),
        _ => None,
    })
}

/// Returns the stages of the Dockerfile, or of the Pkgfile's folder, that
/// `target-%` builds.
fn stages(dir: &Utf8Path) -> Result<Vec<String>> {
    let path = dir.join("Dockerfile");
    let text = files::text(&path, files::MEDIUM)?;
    Ok(list::parse_stages(&text.unwrap_or_default()))
}
