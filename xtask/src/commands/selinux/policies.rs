//! Policies that are asked: a file, the checkout's, or that of another revision, which
//! git reads without a checkout.

use camino::{Utf8Path, Utf8PathBuf};
use selinux::cil::Sources;
use selinux::policy::{Difference, Policy};
use talos::version::Line;

use crate::app::App;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::probe::Probe;
use foundation::failure::{Failure, Result};
use foundation::files;

/// In a checkout.
pub(super) const FOLDER: &str = "internal/pkg/selinux/policy";
/// The only version that any line of Talos has.
pub(super) const BINARY: &str = "policy.33";
pub(super) const SOURCES: &str = "selinux";
/// Talos' have 60 KB, Fedora's 4 MB.
const LARGEST: u64 = 64 << 20;

/// A policy, and its sources if they are known.
pub(super) struct Loaded {
    pub(super) policy: Policy,
    /// For reports.
    pub(super) from: String,
    pub(super) sources: Option<Sources>,
}

impl Loaded {
    /// What `new` allows more and less.
    ///
    /// # Errors
    /// If one of the policies allows too much to be compared.
    pub(super) fn difference(&self, new: &Self) -> Result<Difference> {
        self.policy.difference(&new.policy).map_err(|error| {
            Failure::host(format!("cannot compare {} with {}", self.from, new.from)).cause(error)
        })
    }
}

/// The named policy, else that of the checkout; `None` without a checkout.
///
/// # Errors
/// If the policy cannot be read.
pub(super) fn find(app: &App<'_>, named: Option<&str>) -> Result<Option<Loaded>> {
    if let Some(named) = named {
        return load(app, named).map(Some);
    }
    let checkout = match app.ctx.checkout() {
        Ok(checkout) => checkout,
        // A checkout that was named has to be one.
        Err(failure) if app.global.talos_dir.is_some() => return Err(failure),
        Err(_) => return Ok(None),
    };
    let path = checkout.dir.join(FOLDER).join(BINARY);
    if !path.exists() {
        return Ok(None);
    }
    read_file(app, &path).map(Some)
}

/// Like [`find`]; there has to be one.
pub(super) fn required(app: &App<'_>, named: Option<&str>) -> Result<Loaded> {
    find(app, named)?.ok_or_else(|| {
        Failure::host("no SELinux policy found")
            .cause("there is no Talos checkout with a policy")
            .hint("name it: `--policy FILE`, or a checkout: `-C DIR`")
    })
}

/// A file, or a revision of the checkout.
pub(super) fn load(app: &App<'_>, named: &str) -> Result<Loaded> {
    let path = app.ctx.cwd.join(named);
    if path.is_file() {
        return read_file(app, &path);
    }
    let checkout = app.ctx.checkout().map_err(|failure| {
        Failure::usage(format!("the policy `{named}` does not exist"))
            .cause(format!("as a revision: {}", failure.in_one_line()))
    })?;
    let commit = commit_of(&checkout, named).ok_or_else(|| {
        Failure::usage(format!("the policy `{named}` does not exist")).cause(format!(
            "it is neither a file nor a revision of {}",
            checkout.dir
        ))
    })?;
    let policy = at_commit(&checkout, &commit, named)?;
    Ok(Loaded {
        policy,
        from: format!("{named} of {}", checkout.dir),
        sources: sources_at(&checkout, &commit, named)?,
    })
}

pub(super) fn read_file(app: &App<'_>, path: &Utf8Path) -> Result<Loaded> {
    let failed = || Failure::host(format!("cannot read the policy `{path}`"));
    let bytes = files::read(path, LARGEST).map_err(|error| failed().cause(error))?;
    let bytes = bytes.ok_or_else(|| failed().cause("it does not exist"))?;
    let policy = Policy::read(&bytes).map_err(|error| failed().cause(error))?;
    let sources = path.parent().map(|folder| folder.join(SOURCES));
    let sources = sources.filter(|folder| folder.is_dir());
    Ok(Loaded {
        policy,
        from: path.to_string(),
        sources: sources
            .map(|folder| read_sources(app, &folder))
            .transpose()?,
    })
}

/// CIL files of the folder and of the folders in it, by the path to show.
pub(super) fn cil_files(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    for pattern in ["*.cil", "*/*.cil"] {
        let pattern = format!("{}/{pattern}", glob::Pattern::escape(folder.as_str()));
        let paths = glob::glob(&pattern)
            .map_err(|error| Failure::host(format!("cannot list `{folder}`")).cause(error))?;
        for path in paths {
            let path = path
                .map_err(|error| Failure::host(format!("cannot list `{folder}`")).cause(error))?;
            let path = Utf8PathBuf::from_path_buf(path);
            found.extend(path.ok());
        }
    }
    found.sort();
    Ok(found)
}

/// Paths below the checkout are shown as they are in its git.
fn read_sources(app: &App<'_>, folder: &Utf8Path) -> Result<Sources> {
    let checkout = app.ctx.checkout().ok();
    let base = checkout.map_or_else(|| app.ctx.cwd.clone(), |checkout| checkout.dir);
    let mut texts = Vec::new();
    for path in cil_files(folder)? {
        let text = files::text(&path, files::MEDIUM)?.unwrap_or_default();
        let shown = path.strip_prefix(&base).unwrap_or(&path);
        texts.push((shown.to_string(), text));
    }
    parsed(&texts)
}

/// By path and text.
fn parsed(texts: &[(String, String)]) -> Result<Sources> {
    let texts = texts
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()));
    Sources::read(texts).map_err(|(path, error)| {
        Failure::host(format!("cannot read the policy source `{path}`")).cause(error)
    })
}

/// Policies of the lines after the checkout's in its git, oldest first, with their names.
pub(super) fn lines(app: &App<'_>) -> Vec<(String, Policy)> {
    let Ok(checkout) = app.ctx.checkout() else {
        return Vec::new();
    };
    let list = Probe::new([
        "git",
        "for-each-ref",
        "--format=%(refname) %(objectname)",
        "refs/heads",
        "refs/remotes",
    ]);
    let list = list.current_dir(&checkout.dir).stdout().unwrap_or_default();
    let mut lines: Vec<(Line, String, String)> = Vec::new();
    for (name, commit) in list.lines().filter_map(|line| line.split_once(' ')) {
        let branch = name.rsplit('/').next().unwrap_or(name);
        let number = match branch
            .strip_prefix("release-")
            .and_then(|it| it.split_once('.'))
        {
            Some((major, minor)) => {
                let number = major.parse().ok().zip(minor.parse().ok());
                number.map(|(major, minor)| Line::new(major, minor))
            }
            None => (branch == "main").then_some(Line::new(u64::MAX, 0)),
        };
        if let Some(number) = number
            && number > checkout.version.line()
        {
            let name = branch.trim_start_matches("release-").to_owned();
            lines.push((number, name, commit.to_owned()));
        }
    }
    lines.sort();
    lines.dedup_by(|a, b| a.0 == b.0);
    let policies = lines.into_iter().filter_map(|(_, name, commit)| {
        let policy = at_commit(&checkout, &commit, &name).ok()?;
        Some((name, policy))
    });
    policies.collect()
}

fn commit_of(checkout: &Checkout, revision: &str) -> Option<String> {
    let revision = format!("{revision}^{{commit}}");
    let words = [
        "git",
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &revision,
    ];
    Probe::new(words).current_dir(&checkout.dir).stdout().ok()
}

fn at_commit(checkout: &Checkout, commit: &str, name: &str) -> Result<Policy> {
    let failed = || Failure::host(format!("cannot read the policy of `{name}`"));
    let object = format!("{commit}:{FOLDER}/{BINARY}");
    let blob = Probe::new(["git", "cat-file", "blob", &object]).current_dir(&checkout.dir);
    let bytes = blob.bytes().map_err(|error| failed().cause(error))?;
    Policy::read(&bytes).map_err(|error| failed().cause(error))
}

/// The sources of a commit; `None` if it has none.
fn sources_at(checkout: &Checkout, commit: &str, name: &str) -> Result<Option<Sources>> {
    let failed = || Failure::host(format!("cannot read the policy sources of `{name}`"));
    let git = |words: &[&str]| {
        let words = ["git"].iter().chain(words);
        let output = Probe::new(words).current_dir(&checkout.dir).exact_stdout();
        output.map_err(|error| failed().cause(error))
    };
    let folder = format!("{FOLDER}/{SOURCES}");
    let list = git(&[
        "ls-tree",
        "-r",
        "-z",
        "--name-only",
        "--full-tree",
        commit,
        "--",
        &folder,
    ])?;
    let mut texts = Vec::new();
    let is_source = |path: &&str| Utf8Path::new(path).extension() == Some("cil");
    for path in list.split('\0').filter(is_source) {
        let text = git(&["cat-file", "blob", &format!("{commit}:{path}")])?;
        texts.push((path.to_owned(), text));
    }
    if texts.is_empty() {
        return Ok(None);
    }
    parsed(&texts).map(Some)
}
