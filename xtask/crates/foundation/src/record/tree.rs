//! Replaces a folder by a copy of another: built beside it and swapped in, so
//! that no partial copy is ever visible.
#![expect(
    clippy::disallowed_methods,
    reason = "only `record` and `run` write files"
)]

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, lchown, symlink};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The name of the copy until it is complete. A killed run leaves it.
pub const TEMPORARY: &str = ".xtask-tmp-";

/// Makes `to` a copy of `from`. The paths `except`, relative to both, are not
/// copied and stay unchanged in `to`. Parent folders are created.
///
/// # Errors
/// I/O errors. Until the copy is complete `to` is unchanged; a later error
/// names what could not be moved or removed.
pub fn replace(from: &Utf8Path, to: &Utf8Path, except: &[Utf8PathBuf]) -> std::io::Result<()> {
    let parent = to.parent().unwrap_or(Utf8Path::new("."));
    super::files::create_dir(parent)?;
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempdir_in(parent)?;
    let beside = Utf8Path::from_path(temporary.path())
        .ok_or_else(|| std::io::Error::other("the folder's path is not UTF-8"))?;
    let new = beside.join("new");
    copy(from, &new, Utf8Path::new(""), except)?;
    if rustix::process::geteuid().is_root() {
        give(&new, &std::fs::metadata(parent)?)?;
    }
    let old = swap(&new, to, beside)?;
    if let Some(old) = old {
        // From here on the kept paths only exist in the old folder.
        let beside = Utf8PathBuf::from_path_buf(temporary.keep())
            .map_err(|_| std::io::Error::other("the folder's path is not UTF-8"))?;
        carry_over(&old, to, except)?;
        std::fs::remove_dir_all(&beside)?;
    }
    Ok(())
}

fn copy(
    from: &Utf8Path,
    to: &Utf8Path,
    below: &Utf8Path,
    except: &[Utf8PathBuf],
) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let relative = below.join(name);
        if except.contains(&relative) {
            continue;
        }
        let target = to.join(name);
        if kind.is_symlink() {
            symlink(std::fs::read_link(entry.path())?, &target)?;
        } else if kind.is_dir() {
            copy(entry.path(), &target, &relative, except)?;
        } else if kind.is_file() {
            // With its mode: some files are executable.
            std::fs::copy(entry.path(), &target)?;
        } else {
            // Reading it may never end.
            let path = entry.path();
            return Err(std::io::Error::other(format!("`{path}` is not a file")));
        }
    }
    Ok(())
}

/// What root creates in a user's folder belongs to the user.
fn give(path: &Utf8Path, owner: &std::fs::Metadata) -> std::io::Result<()> {
    lchown(path, Some(owner.uid()), Some(owner.gid()))?;
    if std::fs::symlink_metadata(path)?.is_dir() {
        for entry in path.read_dir_utf8()? {
            give(entry?.path(), owner)?;
        }
    }
    Ok(())
}

/// Swaps in one system call if the file system supports it. Returns the new
/// path of the old folder, if there was one.
fn swap(new: &Utf8Path, to: &Utf8Path, beside: &Utf8Path) -> std::io::Result<Option<Utf8PathBuf>> {
    if std::fs::symlink_metadata(to).is_err() {
        std::fs::rename(new, to)?;
        return Ok(None);
    }
    let (from, into) = (new.as_std_path(), to.as_std_path());
    if renameat_with(CWD, from, CWD, into, RenameFlags::EXCHANGE).is_ok() {
        return Ok(Some(new.to_owned()));
    }
    let old = beside.join("old");
    std::fs::rename(to, &old)?;
    if let Err(error) = std::fs::rename(new, to) {
        std::fs::rename(&old, to)?;
        return Err(error);
    }
    Ok(Some(old))
}

fn carry_over(old: &Utf8Path, to: &Utf8Path, except: &[Utf8PathBuf]) -> std::io::Result<()> {
    for relative in except {
        let kept = to.join(relative);
        if let Some(parent) = kept.parent() {
            super::files::create_dir(parent)?;
        }
        match std::fs::rename(old.join(relative), kept) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn put(path: &Utf8Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn names(dir: &Utf8Path) -> Vec<String> {
        let entries = dir.read_dir_utf8().unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_goes_and_the_excepted_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let (from, to) = (root.join("from"), root.join("deep/to"));
        put(&from.join("src/run"), "new");
        std::fs::set_permissions(from.join("src/run"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        symlink("src/run", from.join("link")).unwrap();
        put(&from.join("target/theirs"), "");
        put(&from.join("src/x.tmp"), "");
        let except = ["target".into(), "src/x.tmp".into()];
        replace(&from, &to, &except).unwrap();
        assert_eq!(names(&to), ["link", "src"]);

        put(&to.join("target/ours"), "cache");
        put(&to.join("gone_upstream"), "");
        put(&from.join("src/run"), "newer");
        replace(&from, &to, &except).unwrap();
        assert_eq!(names(&to), ["link", "src", "target"]);
        assert_eq!(names(&to.join("target")), ["ours"]);
        assert_eq!(std::fs::read_to_string(to.join("link")).unwrap(), "newer");
        let mode = std::fs::metadata(to.join("src/run")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(names(&root.join("deep")), ["to"], "nothing is left beside");
    }

    #[test]
    fn a_copy_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let to = root.join("to");
        put(&to.join("file"), "as it was");
        replace(&root.join("nowhere"), &to, &[]).unwrap_err();
        assert_eq!(names(root), ["to"]);
        assert_eq!(names(&to), ["file"]);
    }
}
