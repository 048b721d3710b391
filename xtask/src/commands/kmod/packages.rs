//! Finds packages in a checkout by the name that bldr knows them by: folders may
//! have other names.

use camino::{Utf8Path, Utf8PathBuf};

use foundation::failure::{Because, Result};
use foundation::files;

/// Deepest folder of a package: `nvidia-gpu/nvidia-modules/production/x`.
const DEPTH: usize = 6;

/// The `pkg.yaml` of the package.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn find(root: &Utf8Path, name: &str) -> Result<Option<Utf8PathBuf>> {
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((dir, depth)) = folders.pop() {
        let path = dir.join("pkg.yaml");
        let text = files::text(&path, files::SMALL)?;
        if text.is_some_and(|text| name_in(&text) == Some(name)) {
            return Ok(Some(path));
        }
        if depth == DEPTH {
            continue;
        }
        let unreadable = || format!("cannot read `{dir}`");
        for entry in dir.read_dir_utf8().because(unreadable)? {
            let entry = entry.because(unreadable)?;
            let is_dir = entry.file_type().because(unreadable)?.is_dir();
            if is_dir && !entry.file_name().starts_with(['.', '_']) {
                folders.push((entry.into_path(), depth + 1));
            }
        }
    }
    Ok(None)
}

fn name_in(pkg_yaml: &str) -> Option<&str> {
    let line = pkg_yaml
        .lines()
        .find_map(|line| line.strip_prefix("name:"))?;
    Some(line.split(" #").next()?.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_a_comment() {
        assert_eq!(name_in("# x\nname: a-pkg # c\nvariant: y\n"), Some("a-pkg"));
        assert_eq!(name_in("variant: y\n"), None);
    }
}
