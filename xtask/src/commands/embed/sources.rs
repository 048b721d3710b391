//! The sources to copy: where they are, and which files.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::ours::is_ours;
use super::{FILES, FOLDER, LIST, TARGET};
use foundation::ctx::digests;
use foundation::ctx::own_executable::built_at;
use foundation::ctx::probe::Probe;
use foundation::failure::{Because, Failure, Result};
use foundation::{program, typed};

/// Talos has a README of its own: it is carried in [`FOLDER`].
pub(super) const README: &str = "README.md";

/// Returns the folder of the sources: those that cargo was started in, else
/// those above the binary, else those that it was built from. Several checkouts
/// may share a target folder, so that the binary is another one's.
pub(super) fn workspace() -> Result<Utf8PathBuf> {
    let variable = |name: &str| std::env::var(name).ok();
    let by_cargo = variable("CARGO_PKG_NAME").is_some_and(|name| name == FOLDER);
    let started = variable("CARGO_MANIFEST_DIR").filter(|_| by_cargo);
    let started = started.as_deref().map(Utf8Path::new);
    let built = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let exe = built_at();
    let above = exe
        .as_deref()
        .and_then(|exe| exe.ancestors().find(|dir| is_ours(dir)));
    let manifests = started.into_iter().filter_map(Utf8Path::parent);
    let found = manifests.chain(above).chain(built.parent());
    let mut found = found.filter(|dir| is_ours(dir));
    found.next().map(Utf8Path::to_owned).ok_or_else(|| {
        Failure::host("cannot find the sources of this program")
            .cause("they are neither above the program nor where it was built")
            .hint(format!("run it in a clone: {}", typed!("embed DIR")))
    })
}

/// Paths below [`FOLDER`] that are not sources: cargo's target folder, the list
/// of an embedded copy, and what git ignores where the sources are a git
/// checkout.
///
/// # Errors
/// When git does not list what it ignores: build products would be copied.
pub(super) fn left_out(from: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let mut argv = vec![
        "git",
        "ls-files",
        "--others",
        "--ignored",
        "--directory",
        // In a checkout that it was embedded into, git's private rules hide all.
        "--exclude-per-directory=.gitignore",
    ];
    if !from.join(LIST).exists() {
        argv.push("--exclude-standard");
    }
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
    let list = Utf8Path::new(LIST).strip_prefix(FOLDER);
    except.extend(list.map(Utf8Path::to_owned));
    Ok(except.into_iter().collect())
}

/// Returns the digests of all files to copy, by their paths in the checkout.
pub(super) fn files(
    from: &Utf8Path,
    except: &[Utf8PathBuf],
) -> Result<BTreeMap<Utf8PathBuf, String>> {
    let paths: Vec<Utf8PathBuf> = FILES.into_iter().chain([FOLDER]).map(Into::into).collect();
    let mut found = digests::of(from, &paths, &below(except))
        .because(|| format!("cannot read the sources in `{from}`"))?;
    if let Some(readme) = readme(from) {
        let digest = foundation::ctx::owned_path::digest(&readme);
        let digest = digest.because(|| format!("cannot read `{readme}`"))?;
        let carried = Utf8Path::new(FOLDER).join(README);
        found.extend(digest.map(|digest| (carried, digest)));
    }
    Ok(found)
}

/// The README of a clone; in an embedded copy it is among the sources.
pub(super) fn readme(from: &Utf8Path) -> Option<Utf8PathBuf> {
    let is_carried = from.join(FOLDER).join(README).exists();
    (!is_carried).then(|| from.join(README))
}

/// Paths below [`FOLDER`] as paths in the checkout.
pub(super) fn below(except: &[Utf8PathBuf]) -> Vec<Utf8PathBuf> {
    except
        .iter()
        .map(|path| Utf8Path::new(FOLDER).join(path))
        .collect()
}
