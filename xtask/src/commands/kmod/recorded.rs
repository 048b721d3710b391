//! What earlier builds pushed, by digest, and whether it still is what a build would
//! make.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::Utf8Path;

use super::build::{Built, ImageArgs};
use super::chain::Pushed;
use super::checkouts::Checkouts;
use crate::app::App;
use foundation::ctx::image_reference;
use foundation::ctx::probe::{Probe, commit};
use foundation::failure::Result;
use foundation::record::pushed_images::{Image, list_of, read};

/// The last build of an extension.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) built: Built,
    kernel: Image,
    modules: Vec<Image>,
    extension: Image,
}

/// Finds the last build of the extension, with the kernel that was pushed before it
/// under the same name.
///
/// # Errors
/// If the list of pushed images cannot be read.
pub(super) fn find(
    app: &App<'_>,
    args: &ImageArgs,
    checkouts: &Checkouts,
    images: &[String],
) -> Result<Option<Recorded>> {
    let pushed = read(&list_of(&app.ctx.dirs.state))?;
    let prefix = format!("{}/", args.registry());
    let is_named = |image: &&Image, tree: &Utf8Path, short: &str| {
        let (path, name) = image.name().rsplit_once('/').unwrap_or_default();
        let user = path.strip_prefix(&prefix);
        image.tree == tree
            && name == short
            && user.is_some_and(|user| args.username.as_deref().is_none_or(|it| it == user))
    };
    let last = |tree: &Utf8Path, short: &str, before: u64| {
        let mut pushed = pushed.iter().rev();
        pushed
            .find(|image| is_named(image, tree, short) && image.at <= before)
            .cloned()
    };
    let Some(extension) = last(&checkouts.extensions, &args.name, u64::MAX) else {
        return Ok(None);
    };
    let Some(kernel) = last(&checkouts.pkgs, "kernel", extension.at) else {
        return Ok(None);
    };
    let names = images.iter().filter(|name| *name != "kernel");
    let modules: Option<Vec<Image>> = names
        .map(|name| last(&checkouts.pkgs, name, extension.at))
        .collect();
    let Some(modules) = modules else {
        return Ok(None);
    };
    Ok(Some(Recorded {
        built: Built {
            kernel: to_pushed(&kernel),
            extension: to_pushed(&extension),
        },
        kernel,
        modules,
        extension,
    }))
}

fn to_pushed(image: &Image) -> Pushed {
    Pushed {
        name: image.name().to_owned(),
        tag: image.tag().to_owned(),
        digest: image.digest.clone(),
    }
}

impl Recorded {
    /// Why it cannot be used again, if it cannot.
    pub(super) fn outdated(&self, checkouts: &Checkouts) -> Option<String> {
        let modules = self.modules.iter();
        // Packages of another kernel build have another key.
        if let Some(older) = modules.clone().find(|it| it.at < self.kernel.at) {
            return Some(format!(
                "{} was pushed before the kernel {}",
                older.reference, self.kernel.reference
            ));
        }
        // The extension's build began when the last package was pushed.
        let began = modules.map(|it| it.at).max().unwrap_or(self.kernel.at);
        let trees = [
            (&checkouts.pkgs, &self.kernel, self.kernel.at),
            (&checkouts.extensions, &self.extension, began),
        ];
        let changed = trees
            .into_iter()
            .find_map(|(tree, image, at)| changed_since(tree, image.state.as_deref(), at));
        let images = [&self.kernel, &self.extension].into_iter();
        changed.or_else(|| images.chain(&self.modules).find_map(missing))
    }
}

/// Whether the registry still has it, by digest.
fn missing(image: &Image) -> Option<String> {
    let reference = format!("{}@{}", image.name(), image.digest);
    image_reference::digest(&reference).err()
}

/// What differs from the tree of that time: another commit, or a changed file.
fn changed_since(tree: &Utf8Path, state: Option<&str>, at: u64) -> Option<String> {
    let now = commit(tree);
    if now.is_none() || now.as_deref() != state {
        return Some(format!("{tree} is at another commit"));
    }
    newer_file(tree, at)
}

/// Untracked files are a part of a build as well.
fn newer_file(tree: &Utf8Path, at: u64) -> Option<String> {
    let argv = [
        "git",
        "status",
        "--porcelain",
        "-z",
        "--untracked-files=all",
    ];
    let status = match Probe::new(argv).current_dir(tree).exact_stdout() {
        Ok(status) => status,
        Err(error) => return Some(format!("{tree}: {error}")),
    };
    let at = UNIX_EPOCH + Duration::from_millis(at);
    let paths = status.split('\0').filter_map(|entry| entry.get(3..));
    let mut changed = paths.filter(|path| {
        let modified = std::fs::metadata(tree.join(path)).and_then(|it| it.modified());
        // A removed file has no time.
        modified.map_or(true, |modified: SystemTime| modified > at)
    });
    changed
        .next()
        .map(|path| format!("{} changed", tree.join(path)))
}
