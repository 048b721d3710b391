//! The packages of the checkout that a program is built from, as `go list` finds them. Third-party
//! modules do not matter, so nothing is downloaded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use foundation::ctx::probe::Probe;
use foundation::failure::{Failure, Result};
use foundation::files;
use serde::Deserialize;

use super::dockerfile::Program;

/// Measured: 0.8 s for machined, talosctl and installer.
const LIMIT: Duration = Duration::from_mins(2);
/// Measured: 1.6 MB.
const LARGEST: usize = 64 << 20;

/// Folders and embedded files, relative to the checkout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Closure {
    pub(super) folders: BTreeSet<Utf8PathBuf>,
    pub(super) embedded: BTreeSet<Utf8PathBuf>,
    /// The folder whose tests are part of it.
    pub(super) tests: Option<Utf8PathBuf>,
}

/// One object of `go list -json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    import_path: String,
    #[serde(default)]
    dir: Utf8PathBuf,
    #[serde(default)]
    imports: Vec<String>,
    #[serde(default)]
    embed_files: Vec<String>,
    #[serde(default)]
    standard: bool,
}

/// The closures of programs that are built with the same tags, in their order.
///
/// # Errors
/// When go is missing or cannot read the checkout.
pub(super) fn closures(root: &Utf8Path, programs: &[&Program]) -> Result<Vec<Closure>> {
    let Some(first) = programs.first() else {
        return Ok(Vec::new());
    };
    let mut argv = vec![
        "go",
        "list",
        "-e",
        "-deps",
        // A look does not complete go.mod.
        "-mod=readonly",
        "-json=ImportPath,Dir,Imports,EmbedFiles,Standard",
    ];
    if first.is_test {
        argv.push("-test");
    }
    if !first.tags.is_empty() {
        argv.extend(["-tags", &first.tags]);
    }
    argv.extend(programs.iter().map(|program| program.package.as_str()));
    let environment = [
        ("GOPROXY", "off"),
        ("GOTOOLCHAIN", "local"),
        ("GOOS", "linux"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let probe = Probe::new(argv)
        .current_dir(root)
        .envs(&environment)
        .timeout(LIMIT)
        .largest(LARGEST);
    let text = probe
        .exact_stdout()
        .map_err(|error| Failure::host("cannot list the packages of the checkout").cause(error))?;
    let listed = serde_json::Deserializer::from_str(&text).into_iter::<Listed>();
    let listed: Vec<Listed> = listed
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::host("cannot read what `go list` prints").cause(error))?;
    Ok(of_listed(root, programs, &listed))
}

fn of_listed(root: &Utf8Path, programs: &[&Program], listed: &[Listed]) -> Vec<Closure> {
    let ours = listed.iter().filter(|it| !it.standard);
    let ours: BTreeMap<&str, (&Utf8Path, &Listed)> = ours
        .filter_map(|it| {
            Some((
                it.import_path.as_str(),
                (it.dir.strip_prefix(root).ok()?, it),
            ))
        })
        .collect();
    let of = |program: &&Program| {
        let wanted = program.package.trim_start_matches("./");
        let is_start = |(name, (dir, _)): &(&&str, &(&Utf8Path, &Listed))| {
            // The binary of the tests has the package's folder, too.
            let is_it = dir.as_str() == wanted || **name == program.package;
            is_it && (!program.is_test || name.strip_suffix(".test").is_some())
        };
        let mut open: Vec<&str> = ours
            .iter()
            .filter(is_start)
            .map(|(name, _)| *name)
            .collect();
        let mut seen: BTreeSet<&str> = open.iter().copied().collect();
        let mut closure = Closure {
            tests: program.is_test.then(|| wanted.into()),
            ..Closure::default()
        };
        while let Some(name) = open.pop() {
            let Some((dir, package)) = ours.get(name) else {
                continue;
            };
            closure.folders.insert((*dir).to_owned());
            let embedded = package.embed_files.iter();
            closure.embedded.extend(embedded.map(|file| dir.join(file)));
            let imports = package.imports.iter().map(String::as_str);
            open.extend(imports.filter(|import| seen.insert(import)));
        }
        closure
    };
    programs.iter().map(of).collect()
}

/// What of a Go file decides what it is built with: constraints, imports and embedded files.
pub(super) fn header(text: &str) -> String {
    let mut out = String::new();
    let (mut in_imports, mut is_over) = (false, false);
    for line in text.lines() {
        let trimmed = line.trim();
        let declares = [
            "func ", "type ", "var ", "const ", "func(", "var(", "const(",
        ];
        is_over |= declares.iter().any(|word| line.starts_with(word));
        let is_import = !is_over && (in_imports || trimmed.starts_with("import"));
        let is_directive = ["//go:build", "// +build", "//go:embed", "package "];
        let is_kept = is_import || is_directive.iter().any(|word| trimmed.starts_with(word));
        if is_import {
            in_imports = (in_imports || trimmed.contains('(')) && !trimmed.starts_with(')');
        }
        if is_kept && !trimmed.is_empty() {
            out.push_str(trimmed);
            out.push('\n');
        }
    }
    out
}

/// The headers of the Go files in these folders.
pub(super) fn headers<'a>(
    root: &Utf8Path,
    folders: impl Iterator<Item = &'a Utf8PathBuf>,
) -> BTreeMap<Utf8PathBuf, String> {
    let mut found = BTreeMap::new();
    for folder in folders {
        let Ok(entries) = root.join(folder).read_dir_utf8() else {
            continue;
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            if path.extension() == Some("go")
                && let Ok(Some(text)) = files::read_text(entry.path(), files::MEDIUM)
            {
                found.insert(path, header(&text));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_made_of_what_it_imports() {
        let text = r#"
            {"Dir": "/go/src/fmt", "ImportPath": "fmt", "Standard": true}
            {"Dir": "/mod/x", "ImportPath": "other.org/x"}
            {"Dir": "/t/pkg/a", "ImportPath": "t/pkg/a", "EmbedFiles": ["data/x.txt"]}
            {"Dir": "/t/pkg/b", "ImportPath": "t/pkg/b"}
            {"Dir": "/t/cmd/one", "ImportPath": "t/cmd/one", "Imports": ["fmt", "other.org/x", "t/pkg/a"]}
            {"Dir": "/t/cmd/two", "ImportPath": "t/cmd/two", "Imports": ["t/pkg/b"]}
        "#;
        let listed: Vec<Listed> = serde_json::Deserializer::from_str(text)
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let program = |package: &str| Program {
            package: package.to_owned(),
            ..Program::default()
        };
        let (one, two) = (program("./cmd/one"), program("t/cmd/two"));
        let found = of_listed("/t".into(), &[&one, &two], &listed);
        let folders = |at: usize| found[at].folders.iter().map(|it| it.as_str());
        assert_eq!(folders(0).collect::<Vec<_>>(), ["cmd/one", "pkg/a"]);
        assert_eq!(folders(1).collect::<Vec<_>>(), ["cmd/two", "pkg/b"]);
        assert!(
            found[0]
                .embedded
                .contains(Utf8Path::new("pkg/a/data/x.txt"))
        );
    }

    #[test]
    fn only_the_header_decides_what_is_imported() {
        let text = "//go:build linux\n\npackage a\n\nimport (\n\t\"fmt\"\n\n\tb \"t/b\"\n)\n\n\
                    //go:embed x\nvar x []byte\n\nfunc f() { fmt.Println(\"import\") }\n";
        let expected =
            "//go:build linux\npackage a\nimport (\n\"fmt\"\nb \"t/b\"\n)\n//go:embed x\n";
        assert_eq!(header(text), expected);
        assert_eq!(header(&text.replace("Println", "Print")), expected);
        assert_ne!(header(&text.replace("t/b", "t/c")), expected);
        assert_eq!(
            header("package a\nimport \"x\"\nvar import_ = 1\n"),
            "package a\nimport \"x\"\n"
        );
    }
}
