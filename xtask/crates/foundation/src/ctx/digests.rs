//! Digests of the files of a tree, in the form that `sha256sum` prints and
//! checks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{Error, ErrorKind, Result};

use camino::{Utf8Path, Utf8PathBuf};

use super::owned_path::digest;

/// Returns the SHA-256 of every file by its path relative to `root`. `paths`
/// are files, and folders with all files in them, without `except`; a link or a
/// special file counts as a file with the digest "". A missing path is left out.
///
/// # Errors
/// I/O errors.
pub fn of(
    root: &Utf8Path,
    paths: &[Utf8PathBuf],
    except: &[Utf8PathBuf],
) -> Result<BTreeMap<Utf8PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut left = paths.to_vec();
    while let Some(path) = left.pop() {
        if except.contains(&path) {
            continue;
        }
        let whole = root.join(&path);
        let kind = match std::fs::symlink_metadata(&whole) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(named(&whole, &error)),
        };
        if kind.is_dir() {
            let entries = whole
                .read_dir_utf8()
                .map_err(|error| named(&whole, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| named(&whole, &error))?;
                left.push(path.join(entry.file_name()));
            }
        } else if kind.is_file() {
            let digest = digest(&whole).map_err(|error| named(&whole, &error))?;
            found.insert(path, digest.unwrap_or_default());
        } else {
            found.insert(path, String::new());
        }
    }
    Ok(found)
}

fn named(path: &Utf8Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("`{path}`: {error}"))
}

/// Like [`of`], as the text of a list.
///
/// # Errors
/// Those of [`of`]; also for a name that the form would have to escape.
pub fn list(root: &Utf8Path, paths: &[Utf8PathBuf], except: &[Utf8PathBuf]) -> Result<String> {
    let mut found: Vec<_> = of(root, paths, except)?.into_iter().collect();
    // By bytes, as `sort` does.
    found.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
    let mut text = String::new();
    for (path, digest) in found {
        if path.as_str().contains(['\n', '\r', '\\']) {
            return Err(Error::other(format!("`{path}` has an unusual name")));
        }
        if !digest.is_empty() {
            let _ = writeln!(text, "{digest}  {path}");
        }
    }
    Ok(text)
}

/// Reads a list; `None` if a line is not a digest and a path.
pub fn parse(text: &str) -> Option<BTreeMap<Utf8PathBuf, String>> {
    text.lines()
        .map(|line| {
            let (digest, path) = line.split_once("  ")?;
            let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
            (is_digest && !path.is_empty()).then(|| (path.into(), digest.to_owned()))
        })
        .collect()
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests write files and ask sha256sum"
)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_list_is_what_sha256sum_checks() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        for name in ["top", "x/a", "x/a b/c", "x/target/built", "x/list"] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), name).unwrap();
        }
        let paths = ["x".into(), "top".into(), "missing".into()];
        let text = list(root, &paths, &["x/target".into(), "x/list".into()]).unwrap();
        let parsed = parse(&text).unwrap();
        assert!(parsed.keys().eq(["top", "x/a", "x/a b/c"]));
        std::fs::write(root.join("x/list"), &text).unwrap();
        let check = |code| {
            let sums = Command::new("sha256sum")
                .args(["--check", "--strict", "--quiet", "x/list"])
                .current_dir(root)
                .output()
                .unwrap();
            assert_eq!(sums.status.code(), Some(code), "{sums:?}");
        };
        check(0);
        std::fs::write(root.join("x/a b/c"), "edited").unwrap();
        check(1);
        assert_eq!(parse("nonsense"), None);
    }
}
