//! Which test binaries the go command would leave as they are. It reads and hashes every source
//! to find that out, seconds for a whole checkout; here the size, times and inode of every file
//! are compared with those of the last time, as git does with its index. What the go command
//! itself takes for unchangeable counts as unchanged: the module cache and releases of Go.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use ignore::WalkBuilder;
use serde::{Deserialize, Serialize};

use super::link::Link;
use crate::ctx::file_system::without_events;
use crate::ctx::host::Host;
use crate::ctx::own_files;
use crate::ctx::probe::Probe;
use crate::files;
use crate::hash::Name;
use crate::record::own;
use crate::record::test_cache::identity;

/// Flags that name no file outside of the checkout, unlike `-overlay` or `-modfile`.
const FLAGS: [&str; 15] = [
    "-asmflags",
    "-buildvcs",
    "-c",
    "-cover",
    "-covermode",
    "-coverpkg",
    "-gcflags",
    "-json",
    "-ldflags",
    "-mod",
    "-o",
    "-race",
    "-tags",
    "-trimpath",
    "-vet",
];
/// What C compilers and linkers read. Which libraries are behind it is not known to go either.
const OF_C: [&str; 8] = [
    "CPATH",
    "C_INCLUDE_PATH",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "PATH",
    "PKG_CONFIG",
    "PKG_CONFIG_LIBDIR",
    "PKG_CONFIG_PATH",
];
/// A folder with more files is not a checkout.
const MOST_FILES: usize = 200_000;

/// All that a build depends on, at one time.
#[derive(Debug, Clone)]
pub(super) struct Inputs(String);

/// What is kept of a package that was built.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    inputs: String,
    /// The identity of its binary; `None` without test files.
    binary: Option<String>,
}

impl Inputs {
    /// Of a link, whatever its packages. `None` if not everything is known: then go decides.
    pub(super) fn of(link: &Link) -> Option<Self> {
        let checkout = link.folder.canonicalize_utf8().ok()?;
        if without_events(&checkout).is_some() {
            // Times of files on servers have whole seconds, or come late.
            return None;
        }
        let mut name = Name::default().part(checkout.as_str());
        let mut words = link.argv.iter().skip(2).map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                // Where binaries are is in the records.
                "-o" => drop(words.next()),
                "-c" => {}
                _ => name = name.part(known(word)?),
            }
        }
        for (key, value) in &link.environment {
            name = name.part(key).part(value);
        }
        name = settings(name, link, &checkout)?;
        files_of(name, &checkout).map(|name| Self(name.digits(64)))
    }
}

/// A word of a command line, unless it is a flag that is not in [`FLAGS`].
fn known(word: &str) -> Option<&str> {
    let flag = word.split('=').next().unwrap_or(word);
    let flag = flag
        .strip_prefix('-')
        .map(|rest| rest.trim_start_matches('-'));
    let is_known = |flag: &str| FLAGS.iter().any(|it| it[1..] == *flag);
    flag.is_none_or(is_known).then_some(word)
}

/// Adds the settings and the tools of the go command.
fn settings(mut name: Name, link: &Link, checkout: &Utf8Path) -> Option<Name> {
    let text = Probe::new(["go", "env", "-json"])
        .envs(&link.environment)
        .current_dir(&link.folder)
        .stdout()
        .ok()?;
    let mut settings: BTreeMap<String, String> = serde_json::from_str(&text).ok()?;
    // Has the name of a temporary folder.
    settings.remove("GOGCCFLAGS");
    let of = |name: &str| settings.get(name).map(String::as_str);
    // Its standard library may be edited.
    let is_release = of("GOVERSION")?.starts_with("go1.");
    let are_known = of("GOFLAGS")?
        .split_whitespace()
        .all(|it| known(it).is_some());
    let is_inside = |file: &str| {
        let file = Utf8Path::new(file).canonicalize_utf8();
        file.is_ok_and(|file| file.starts_with(checkout))
    };
    let work = of("GOWORK").filter(|file| !["", "off"].contains(file));
    if !is_release || !are_known || !is_inside(of("GOMOD")?) || !work.is_none_or(is_inside) {
        return None;
    }
    if of("CGO_ENABLED") != Some("0") {
        for key in OF_C {
            name = name.part(std::env::var(key).unwrap_or_default());
        }
        for compiler in ["CC", "CXX"] {
            let program = of(compiler)?.split_whitespace().next()?;
            // go asks it for its version.
            let file = Host::which(program).and_then(|path| std::fs::metadata(path).ok());
            name = name.part(file.map_or_else(String::new, |file| identity(&file)));
        }
    }
    let tools = Utf8Path::new(of("GOTOOLDIR")?);
    for tool in files::names_in(tools)
        .ok()?
        .into_iter()
        .collect::<BTreeSet<_>>()
    {
        let file = std::fs::metadata(tools.join(&tool)).ok()?;
        name = name.part(tool).part(identity(&file));
    }
    for (key, value) in &settings {
        name = name.part(key).part(value);
    }
    Some(name)
}

/// Adds every file of the checkout: what is embedded may have any name.
fn files_of(mut name: Name, checkout: &Utf8Path) -> Option<Name> {
    let mut walk = WalkBuilder::new(checkout);
    walk.standard_filters(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(|entry| entry.file_name() != ".git");
    let mut count = 0;
    for entry in walk.build() {
        let entry = entry.ok()?;
        let path = Utf8Path::from_path(entry.path())?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            continue;
        }
        count += 1;
        if count > MOST_FILES {
            return None;
        }
        let of_file = entry.metadata().ok()?;
        name = name.part(path.as_str()).part(identity(&of_file));
        if kind.is_symlink() {
            let target = std::fs::metadata(path);
            name = name.part(target.map_or_else(|it| it.to_string(), |it| identity(&it)));
        }
        let lists_modules = matches!(path.file_name(), Some("go.mod" | "go.work"));
        if lists_modules && !stays_inside(path, checkout)? {
            return None;
        }
    }
    Some(name)
}

/// Whether no folder that a go.mod or go.work may name is outside of the checkout.
fn stays_inside(file: &Utf8Path, checkout: &Utf8Path) -> Option<bool> {
    let text = files::read_text(file, files::MEDIUM).ok()??;
    let folder = file.parent()?;
    let mut words = text.split(|c: char| c.is_whitespace() || "\"`()".contains(c));
    Some(words.all(|word| {
        let is_folder = ["/", "./", "../"].iter().any(|it| word.starts_with(it)) || word == "..";
        !is_folder || word.starts_with("//") || normal(&folder.join(word)).starts_with(checkout)
    }))
}

/// The path without `.` and `..`.
fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut normal = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

impl Record {
    /// `None` if the binary does not exist.
    fn now(binary: Option<&Utf8Path>, inputs: &Inputs) -> Option<Self> {
        let binary = binary.map(std::fs::metadata).transpose().ok()?;
        Some(Self {
            inputs: inputs.0.clone(),
            binary: binary.as_ref().map(identity),
        })
    }
}

/// Whether the package was built from these inputs, and its binary is the one that was linked.
pub(super) fn is_built(
    link: &Link,
    package: &str,
    binary: Option<&Utf8Path>,
    inputs: &Inputs,
) -> bool {
    let record = own_files::read(&path(link, package), files::SMALL);
    let record = record.ok().flatten();
    let record = record.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
    record.is_some() && record == Record::now(binary, inputs)
}

/// Records a package that was built from these inputs.
pub(super) fn keep(link: &Link, package: &str, binary: Option<&Utf8Path>, inputs: &Inputs) {
    let record = Record::now(binary, inputs).and_then(|record| serde_json::to_vec(&record).ok());
    // Only time is lost without it.
    if let Some(record) = record
        && own::make_folder(&link.records).is_ok()
    {
        let _ = own::replace(&path(link, package), &record, 0o600);
    }
}

fn path(link: &Link, package: &str) -> Utf8PathBuf {
    link.records.join(Name::default().part(package).digits(40))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own files")]
mod tests {
    use super::*;

    #[test]
    fn flags_that_name_files_elsewhere_are_left_to_go() {
        for word in ["-tags", "--tags=a,b", "a,b", "-race", "-ldflags=-s -w"] {
            assert!(known(word).is_some(), "{word}");
        }
        for word in ["-a", "-overlay=x.json", "--modfile", "-toolexec=x", "-pgo"] {
            assert!(known(word).is_none(), "{word}");
        }
    }

    #[test]
    fn modules_elsewhere_are_left_to_go() {
        let dir = tempfile::tempdir().unwrap();
        let checkout = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::create_dir(checkout.join("tools")).unwrap();
        let file = checkout.join("tools/go.mod");
        let inside = |line: &str| {
            std::fs::write(&file, format!("module x // https://x/y\n\n{line}\n")).unwrap();
            stays_inside(&file, checkout).unwrap()
        };
        assert!(inside("replace a => ../pkg/machinery"));
        assert!(inside("replace a => ./b"));
        assert!(inside("replace (\n\ta v1.0.0 => b v1.0.1\n)"));
        assert!(!inside("replace a => ../../other"));
        assert!(!inside("replace a => \"/opt/other\""));
        assert!(!inside("use (\n\t.\n\t../..\n)"));
    }
}
