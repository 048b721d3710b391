//! The lab's sources, carried in the binary so that it works where neither
//! cargo nor this repository is: the guest, the CNI plugin, the QEMU wrapper,
//! the lab's init.

use camino::{Utf8Path, Utf8PathBuf};
use include_dir::{Dir, include_dir};

use foundation::failure::{Because, Failure, Result};
use foundation::hash::Name;
use foundation::record::files;

static CARRIED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/lab");

/// Go sources of the stand-in guest.
pub(super) const GUEST: &str = "guest";
/// How real nodes are made, and what is added to Talos' sources.
pub(super) const REAL: &str = "real";
/// How Docker is started in the lab.
pub(super) const DOCKER: &str = "docker";
/// The small checkout that builds in the lab work on.
pub(super) const TALOS_MINI: &str = "talos-mini";
/// What a lab runs with, each in a folder of its own.
pub(super) const TOOLS: [&str; 3] = ["cni", "init", "path"];

/// Twelve hexadecimal digits for the contents of `folders`, and for `more`.
pub(super) fn hash(folders: &[&str], more: &[&str]) -> String {
    let files = folders.iter().flat_map(|folder| files_in(folder));
    let name = files.fold(Name::default(), |name, (path, contents)| {
        name.part(path.as_str()).part(contents)
    });
    let name = more.iter().fold(name, Name::part);
    name.digits(12)
}

/// The same for one file.
pub(super) fn hash_of_file(path: &str, more: &[&str]) -> String {
    let contents = CARRIED.get_file(path).map(include_dir::File::contents);
    let name = Name::default().part(contents.unwrap_or_default());
    more.iter().fold(name, Name::part).digits(12)
}

/// Write a carried folder to `to/FOLDER`.
///
/// # Errors
/// When there is no such folder, or `to` cannot be written.
pub(super) fn unpack(folder: &str, to: &Utf8Path) -> Result<()> {
    let all = files_in(folder);
    if all.is_empty() {
        return Err(Failure::usage(format!(
            "nothing is carried under `{folder}`"
        )));
    }
    for (path, contents) in all {
        let mode = if contents.starts_with(b"#!") {
            0o755
        } else {
            0o644
        };
        files::replace(&to.join(&path), contents, mode)
            .because(|| format!("cannot write `{}`", to.join(&path)))?;
    }
    Ok(())
}

/// All files below a carried folder, by path. Tests change no build.
fn files_in(folder: &str) -> Vec<(Utf8PathBuf, &'static [u8])> {
    let mut found = Vec::new();
    if let Some(dir) = CARRIED.get_dir(folder) {
        collect(dir, &mut found);
    }
    found.sort();
    found
}

fn collect(dir: &'static Dir<'static>, found: &mut Vec<(Utf8PathBuf, &'static [u8])>) {
    for file in dir.files() {
        if let Some(path) = Utf8Path::from_path(file.path())
            && !path.as_str().ends_with("_test.go")
        {
            found.push((path.to_owned(), file.contents()));
        }
    }
    dir.dirs().for_each(|dir| collect(dir, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lab_needs_is_carried_and_scripts_stay_executable() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let to = Utf8Path::from_path(root.path()).unwrap();
        for folder in TOOLS {
            unpack(folder, to).unwrap();
        }
        for script in [
            "cni/tc-redirect-tap",
            "init/init",
            "init/start",
            "path/qemu-system-x86_64",
        ] {
            let mode = std::fs::metadata(to.join(script))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o755, "{script}");
        }
        unpack(GUEST, to).unwrap();
        assert!(to.join("guest/go.mod").is_file() && to.join("guest/cmd/init").is_dir());
        unpack("nothing", to).unwrap_err();
    }

    #[test]
    fn the_hash_speaks_of_content_and_circumstances() {
        assert_eq!(hash(&[GUEST], &["a"]), hash(&[GUEST], &["a"]));
        assert_ne!(hash(&[GUEST], &["a"]), hash(&[GUEST], &["b"]));
        assert_ne!(hash(&[GUEST], &[]), hash(&TOOLS, &[]));
        assert_eq!(hash(&[GUEST], &[]).len(), 12);
    }
}
