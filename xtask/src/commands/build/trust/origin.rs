//! The origin of a program: a program inside of the checkout, or in a folder
//! that others may write to, is not trusted by its name.

use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};

/// Whether the shell would find the program in a folder of the system or the
/// user. Nothing is started, so a missing program is harmless.
pub(super) fn is_own(program: &str, path: &str, dir: &Utf8Path) -> bool {
    for entry in path.split(':') {
        let folder = Utf8Path::new(entry);
        let found = dir.join(folder).join(program);
        if !is_program(&found) {
            continue;
        }
        // An empty entry is the current folder.
        return folder.is_absolute() && is_kept(&found, &tree_of(dir));
    }
    true
}

fn is_program(path: &Utf8Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}

/// Returns the repository that contains `dir`.
fn tree_of(dir: &Utf8Path) -> Utf8PathBuf {
    let dir = dir.canonicalize_utf8().unwrap_or_else(|_| dir.to_owned());
    let tree = dir.ancestors().find(|it| it.join(".git").exists());
    tree.unwrap_or(&dir).to_owned()
}

fn is_kept(program: &Utf8Path, tree: &Utf8Path) -> bool {
    let (Some(folder), Ok(target)) = (program.parent(), program.canonicalize_utf8()) else {
        return false;
    };
    let Ok(folder) = folder.canonicalize_utf8() else {
        return false;
    };
    let Some(last) = target.parent() else {
        return false;
    };
    [&folder, &target]
        .iter()
        .all(|path| !path.starts_with(tree))
        && is_closed(&target, false)
        && [&folder, last].iter().all(|folder| {
            let mut above = folder.ancestors();
            // In a sticky folder others may add files, but not replace them.
            above.next().is_some_and(|it| is_closed(it, false))
                && above.all(|it| is_closed(it, true))
        })
}

/// Whether only root and this user can change it.
fn is_closed(path: &Utf8Path, may_be_sticky: bool) -> bool {
    let Ok(metadata) = path.metadata() else {
        return false;
    };
    let own = rustix::process::geteuid().as_raw();
    let is_sticky = metadata.mode() & 0o1000 != 0;
    (metadata.uid() == 0 || metadata.uid() == own)
        && (metadata.mode() & 0o002 == 0 || (may_be_sticky && is_sticky))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare files")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn program(path: &Utf8Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        mode(path, 0o755);
    }

    fn mode(path: &Utf8Path, bits: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
    }

    #[test]
    fn programs_of_the_checkout_and_of_others_are_not_own() {
        let root = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(root.path()).unwrap();
        let dir = root.join("checkout/sub");
        for place in ["checkout/bin", "checkout/sub", "bin", "open"] {
            program(&root.join(place).join("tool"));
        }
        std::fs::create_dir(root.join("checkout/.git")).unwrap();
        std::fs::create_dir(root.join("links")).unwrap();
        symlink(root.join("checkout/bin/tool"), root.join("links/tool")).unwrap();
        symlink(root.join("checkout/bin"), root.join("link")).unwrap();
        mode(&root.join("open"), 0o777);
        let own = |path: &str| is_own("tool", &path.replace("ROOT", root.as_str()), &dir);
        assert!(own("ROOT/nowhere:ROOT/bin") && own("ROOT/bin:ROOT/checkout/bin"));
        assert!(own("ROOT/nowhere"), "there is none to start");
        for path in [
            "ROOT/checkout/bin",
            "ROOT/links",
            "ROOT/link",
            "ROOT/open",
            ":ROOT/bin",
            ".:ROOT/bin",
            "../bin",
            "ROOT/bin/../open",
        ] {
            assert!(!own(path), "{path}");
        }
        mode(&root.join("bin/tool"), 0o757);
        assert!(!own("ROOT/bin"));
    }
}
