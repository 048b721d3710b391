//! Files that flags of a test binary name, such as `-test.cpuprofile`. The test
//! writes them to a folder of the helper. At the end the helper sends them, open
//! for reading, to the client, which writes them to the requested paths with the
//! user's rights. Root never opens a path that such a flag names.
//!
//! Flags that name folders are different: tests also read there, and new files
//! are given to the user as in the package's folder (`ownership.rs`). Such a
//! folder must belong to the user.

use std::fs::OpenOptions;
use std::io::{Error, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};

use crate::failure::{Because, Failure, Result};
use crate::files;

/// Go puts these below `-test.outputdir`.
const PROFILES: &[&str] = &[
    "blockprofile",
    "coverprofile",
    "cpuprofile",
    "memprofile",
    "mutexprofile",
    "trace",
];
/// The one flag of this form that Go does not put there.
const LOG: &str = "testlogfile";
/// Below it are the names of [`PROFILES`], and with `-test.artifacts` a folder.
const OUTPUT_FOLDER: &str = "outputdir";
const ARTIFACTS: &str = "artifacts";
/// In the output folder, by Go's package `testing`.
pub(super) const ARTIFACT_FOLDER: &str = "_artifacts";
const FUZZ_FOLDER: &str = "fuzzcachedir";
const COVERAGE_FOLDER: &str = "gocoverdir";

/// What a test writes there is discarded.
const NOWHERE: &str = "/dev/null";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    flag: String,
    /// The requested path.
    target: Utf8PathBuf,
    /// Which argument holds it.
    argument: usize,
}

/// A folder of the user in which the test works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) flag: &'static str,
    pub(super) path: Utf8PathBuf,
    /// Only files below this name belong to the test.
    pub(super) only: Option<&'static str>,
    argument: usize,
}

/// A flag with a value, as Go's package `flag` reads it. It stops at the first
/// word that is not a flag; we do not, as we do not know which of a test's own
/// flags take a value.
struct Flag<'a> {
    name: &'a str,
    value: &'a str,
    /// Which argument holds the value.
    argument: usize,
}

fn flags(arguments: &[String]) -> Vec<Flag<'_>> {
    let mut flags = Vec::new();
    let mut words = arguments.iter().enumerate();
    while let Some((argument, word)) = words.next() {
        if word == "--" {
            break;
        }
        let bare = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        let Some(name) = bare.and_then(|word| word.strip_prefix("test.")) else {
            continue;
        };
        if let Some((name, value)) = name.split_once('=') {
            flags.push(Flag {
                name,
                value,
                argument,
            });
        } else if name == ARTIFACTS {
            flags.push(Flag {
                name,
                value: "true",
                argument,
            });
        } else if takes_path(name)
            && let Some((argument, value)) = words.next()
        {
            flags.push(Flag {
                name,
                value,
                argument,
            });
        }
    }
    flags
}

fn takes_path(name: &str) -> bool {
    PROFILES.contains(&name) || [LOG, OUTPUT_FOLDER, FUZZ_FOLDER, COVERAGE_FOLDER].contains(&name)
}

/// The files that `arguments` ask for, of a test that runs in `folder`.
pub(super) fn files(arguments: &[String], folder: &Utf8Path) -> Vec<Output> {
    let flags = flags(arguments);
    let output_folder = output_folder(&flags, folder);
    let wanted = flags
        .iter()
        .filter(|flag| !flag.value.is_empty() && flag.value != NOWHERE);
    wanted
        .filter_map(|flag| {
            let base = match flag.name {
                LOG => folder,
                name if PROFILES.contains(&name) => &output_folder,
                _ => return None,
            };
            Some(Output {
                flag: format!("-test.{}", flag.name),
                target: base.join(flag.value),
                argument: flag.argument,
            })
        })
        .collect()
}

fn output_folder(flags: &[Flag<'_>], folder: &Utf8Path) -> Utf8PathBuf {
    let mut given = flags.iter().rev();
    let given = given.find(|flag| flag.name == OUTPUT_FOLDER);
    given.map_or_else(|| folder.to_owned(), |flag| folder.join(flag.value))
}

/// The folders that `arguments` name and that the test works in.
pub(super) fn folders(arguments: &[String], folder: &Utf8Path) -> Vec<Folder> {
    let flags = flags(arguments);
    let has_artifacts = flags.iter().any(|flag| flag.name == ARTIFACTS);
    let wanted = flags.iter().filter(|flag| !flag.value.is_empty());
    wanted
        .filter_map(|flag| {
            let (name, only) = match flag.name {
                FUZZ_FOLDER => ("-test.fuzzcachedir", None),
                COVERAGE_FOLDER => ("-test.gocoverdir", None),
                OUTPUT_FOLDER if has_artifacts => ("-test.outputdir", Some(ARTIFACT_FOLDER)),
                _ => return None,
            };
            Some(Folder {
                flag: name,
                path: folder.join(flag.value),
                only,
                argument: flag.argument,
            })
        })
        .collect()
}

/// `arguments` with folders whose paths do not lead through links. A fuzz test
/// would make the folder of its cache as root: it is made here.
pub(super) fn resolved(arguments: &[String], folder: &Utf8Path) -> Vec<String> {
    let mut resolved = arguments.to_vec();
    for named in folders(arguments, folder) {
        if named.flag == "-test.fuzzcachedir" {
            // The test reports an error about it.
            #[expect(clippy::disallowed_methods, reason = "`run` makes a test's folder")]
            let _ = std::fs::create_dir_all(&named.path);
        }
        if let Ok(path) = named.path.canonicalize_utf8() {
            replace(&mut resolved[named.argument], &path);
        }
    }
    resolved
}

/// `arguments` with each of `outputs` below `room`, under its index.
pub(super) fn redirected(arguments: &[String], outputs: &[Output], room: &Utf8Path) -> Vec<String> {
    let mut redirected = arguments.to_vec();
    for (index, output) in outputs.iter().enumerate() {
        replace(&mut redirected[output.argument], &room.join(name(index)));
    }
    redirected
}

/// In the helper's folder.
pub(super) fn name(index: usize) -> String {
    index.to_string()
}

/// The value in `-test.flag=VALUE`, or the whole word.
fn replace(word: &mut String, value: &Utf8Path) {
    match word.split_once('=') {
        Some((flag, _)) if flag.starts_with('-') => *word = format!("{flag}={value}"),
        _ => *word = value.to_string(),
    }
}

impl Output {
    /// Writes it to the requested path, as the current user.
    ///
    /// # Errors
    /// I/O errors; also when the path exists but is not a regular file of the
    /// current user.
    pub(super) fn deliver(&self, from: OwnedFd) -> Result<()> {
        let mut from = std::fs::File::from(from);
        self.copy(&mut from).because(|| {
            format!(
                "cannot write `{}`, where `{}` is to go",
                self.target, self.flag
            )
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "`run` writes what a test has made"
    )]
    fn copy(&self, from: &mut std::fs::File) -> std::io::Result<()> {
        match self.target.as_str() {
            "/dev/stdout" => return send(from, std::io::stdout().lock()),
            "/dev/stderr" => return send(from, std::io::stderr().lock()),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let to = files::open_own(&self.target, options.write(true).create(true))?;
        let owner = to.metadata()?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            let text = format!("it exists and belongs to another user ({owner})");
            return Err(Error::other(text));
        }
        to.set_len(0)?;
        send(from, to)
    }

    pub(super) fn lost(&self) -> Failure {
        Failure::step(format!("the file of `{}` was not received", self.flag))
    }
}

fn send(from: &mut std::fs::File, mut to: impl Write) -> std::io::Result<()> {
    std::io::copy(from, &mut to)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let arguments = words(&[
            "-test.coverprofile=/home/u/c.out",
            "--test.trace=t",
            "-test.run=^TestA$",
            "-test.testlogfile",
            "log=1",
            "-test.outputdir=../out",
            "-own",
            "-test.cpuprofile=",
            "-test.memprofile=/dev/null",
            "--",
            "-test.blockprofile=b",
        ]);
        let outputs = files(&arguments, "/src/p".into());
        let targets: Vec<&str> = outputs
            .iter()
            .map(|output| output.target.as_str())
            .collect();
        assert_eq!(
            targets,
            ["/home/u/c.out", "/src/p/../out/t", "/src/p/log=1"]
        );
        assert_eq!(
            redirected(&arguments, &outputs, "/tmp/x".into())[..6],
            words(&[
                "-test.coverprofile=/tmp/x/0",
                "--test.trace=/tmp/x/1",
                "-test.run=^TestA$",
                "-test.testlogfile",
                "/tmp/x/2",
                "-test.outputdir=../out",
            ])
        );
    }

    #[test]
    fn folders_are_those_that_a_test_works_in() {
        let of = |arguments: &[&str]| {
            let folders = folders(&words(arguments), "/src/p".into());
            let named = folders
                .into_iter()
                .map(|it| (it.path.into_string(), it.only));
            named.collect::<Vec<_>>()
        };
        assert_eq!(of(&["-test.outputdir=/tmp"]), []);
        let artifacts = Some(ARTIFACT_FOLDER);
        assert_eq!(
            of(&["-test.outputdir", "/o", "-test.artifacts"]),
            [("/o".to_owned(), artifacts)]
        );
        assert_eq!(
            of(&["-test.gocoverdir=c", "--test.fuzzcachedir=/f"]),
            [("/src/p/c".to_owned(), None), ("/f".to_owned(), None)]
        );
    }
}
