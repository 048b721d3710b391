//! Results of packages whose tests passed, for as long as nothing has changed that they
//! depend on, by the rules of `go test` (cmd/go/internal/test, `computeTestInputsID`): the
//! binary, its arguments, the variables that it read, and the files and folders that it
//! opened or looked at, all of which the testing package logs.
//!
//! It is stricter than go in one point: go ignores files outside of the module. Here they
//! count, also settings of the kernel such as `/proc/sys`, and a test that reads other state of
//! the host (`/proc`, `/sys`, `/dev`) is not kept.

use std::fs::Metadata;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::own;
use crate::ctx::go_binary::{self, build_id};
use crate::ctx::own_files;
use crate::files;
use crate::hash::Name;

/// A file that has just been written may be written again within the clock's precision.
const YOUNGEST: Duration = Duration::from_secs(2);
/// Variables that Go's runtime and the C library read, which no log has.
const UNLOGGED: [&str; 9] = [
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "GORACE",
    "GOTRACEBACK",
    "LANG",
    "LD_LIBRARY_PATH",
    "TZ",
];

/// One start of a test binary.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    pub binary: &'a Utf8Path,
    pub arguments: &'a [String],
    /// Added to the current environment.
    pub environment: &'a [(String, String)],
    /// The package's folder.
    pub folder: &'a Utf8Path,
}

/// The result of one test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub name: String,
    pub seconds: f64,
    pub is_skipped: bool,
    pub reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// What the tests read, as the testing package logged it.
    log: String,
    /// The hash of all that.
    inputs: String,
    tests: Vec<Saved>,
}

/// The folder of kept results.
#[derive(Debug)]
pub struct TestCache {
    pub folder: Utf8PathBuf,
}

impl TestCache {
    /// Returns the tests of the same start, all of which passed or skipped themselves.
    pub fn find(&self, start: Start<'_>) -> Option<Vec<Saved>> {
        let path = self.path(start)?;
        let text = own_files::read(&path, files::MEDIUM).ok()??;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (inputs(&entry.log, start)? == entry.inputs).then_some(entry.tests)
    }

    /// Keeps the results of a start that has just ended, if its inputs are all known.
    ///
    /// # Arguments
    /// `log`: the file of `-test.testlogfile`.
    pub fn keep(&self, start: Start<'_>, log: &Utf8Path, tests: Vec<Saved>) {
        let log = files::read_text(log, files::MEDIUM).ok().flatten();
        let entry = log.and_then(|log| {
            let inputs = inputs(&log, start)?;
            Some(Entry { log, inputs, tests })
        });
        let path = self.path(start);
        // Only time is lost without it.
        if let (Some(path), Some(entry)) = (path, entry)
            && let Ok(text) = serde_json::to_vec(&entry)
        {
            let _ = own::make_folder(&self.folder);
            let _ = own::replace(&path, &text, 0o600);
        }
    }

    fn path(&self, start: Start<'_>) -> Option<Utf8PathBuf> {
        let mut name = Name::default()
            .part(start.binary.as_str())
            .part(build_id(&start_of(start.binary)?)?)
            .part(start.folder.as_str());
        for argument in start.arguments {
            name = name.part(argument);
        }
        for (key, value) in start.environment {
            name = name.part(key).part(value);
        }
        for key in UNLOGGED {
            name = name.part(std::env::var(key).unwrap_or_default());
        }
        Some(self.folder.join(name.digits(40)))
    }
}

fn start_of(binary: &Utf8Path) -> Option<Vec<u8>> {
    let mut start = vec![0; go_binary::START];
    let file = std::fs::File::open(binary).ok()?;
    let length = file.read_at(&mut start, 0).ok()?;
    start.truncate(length);
    Some(start)
}

/// What changes when a file is written or replaced.
pub(crate) fn identity(file: &Metadata) -> String {
    let parts = [
        i128::from(file.dev()),
        i128::from(file.ino()),
        i128::from(file.size()),
        i128::from(file.mtime()),
        i128::from(file.mtime_nsec()),
        i128::from(file.ctime()),
        i128::from(file.ctime_nsec()),
    ];
    format!("{parts:?}")
}

/// Hashes what a log names, as it is now; `None` when that cannot be relied on.
fn inputs(log: &str, start: Start<'_>) -> Option<String> {
    let lines = log.strip_prefix("# test log\n")?;
    if !lines.is_empty() && !lines.ends_with('\n') {
        return None;
    }
    let mut folder = start.folder.to_owned();
    let mut name = Name::default();
    let temporary = temporary_folders(start);
    for line in lines.lines() {
        let (word, argument) = line.split_once(' ')?;
        name = name.part(line);
        match word {
            "getenv" => name = name.part(variable(start, argument)),
            "chdir" => folder = folder.join(argument),
            "stat" => name = name.part(state_of(&folder.join(argument))?),
            "open" => {
                let path = folder.join(argument);
                // `T.TempDir` opens it to remove what it has made there.
                if temporary.contains(&path) {
                    continue;
                }
                name = name.part(state_of(&path)?);
                if path.is_dir() {
                    let mut names: Vec<Utf8PathBuf> = path
                        .read_dir_utf8()
                        .ok()?
                        .map(|entry| Some(entry.ok()?.into_path()))
                        .collect::<Option<_>>()?;
                    names.sort();
                    for entry in names {
                        name = name.part(entry.as_str()).part(state_of(&entry)?);
                    }
                }
            }
            _ => return None,
        }
    }
    Some(name.digits(64))
}

fn temporary_folders(start: Start<'_>) -> [Utf8PathBuf; 2] {
    ["GOTMPDIR", "TMPDIR"].map(|name| {
        let value = variable(start, name);
        match value.trim_start_matches('=') {
            "" => "/tmp".into(),
            set => set.trim_end_matches('/').into(),
        }
    })
}

fn variable(start: Start<'_>, name: &str) -> String {
    if name == "PWD" {
        return start.folder.to_string();
    }
    let mut set = start.environment.iter().rev();
    match set.find(|(key, _)| key == name) {
        Some((_, value)) => format!("={value}"),
        None => std::env::var(name).map_or_else(|_| String::new(), |value| format!("={value}")),
    }
}

/// Settings of the kernel, which are read to be known: every listener of Go reads the length of
/// its queue.
const SETTINGS: [&str; 4] = [
    "/proc/cmdline",
    "/proc/sys",
    "/proc/version",
    "/sys/devices/system/cpu/online",
];

/// What changes when the kernel's file does: the content of a setting, or whether it exists.
/// `None` for everything that may change at any time.
fn state_of_host(path: &Utf8Path) -> Option<String> {
    let harmless = ["/dev/null", "/dev/urandom", "/dev/random", "/dev/zero"];
    if harmless.contains(&path.as_str()) {
        return Some(String::new());
    }
    match std::fs::symlink_metadata(path) {
        Err(error) => Some(format!("{:?}", error.kind())),
        Ok(found) if found.is_dir() => Some(format!("{:o}", found.mode())),
        Ok(_) if SETTINGS.iter().any(|setting| path.starts_with(setting)) => {
            let content = files::read(path, files::SMALL).ok()??;
            Some(Name::default().part(content).digits(32))
        }
        Ok(_) => None,
    }
}

/// What changes when a file does; `None` for what is younger than the clock is precise.
fn state_of(path: &Utf8Path) -> Option<String> {
    let mut tops = ["/proc", "/sys", "/dev"].iter();
    if tops.any(|top| path.starts_with(top)) {
        return state_of_host(path);
    }
    let of = |found: std::io::Result<Metadata>| match found {
        Err(error) => Some(format!("{:?}", error.kind())),
        Ok(file) => {
            let modified = file.modified().ok()?;
            let age = SystemTime::now().duration_since(modified).ok()?;
            (age > YOUNGEST).then(|| format!("{:o} {}", file.mode(), identity(&file)))
        }
    };
    let (itself, target) = (
        of(std::fs::symlink_metadata(path))?,
        of(std::fs::metadata(path))?,
    );
    Some(format!("{itself} {target}"))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests write their own files, and ask go"
)]
mod tests {
    use super::*;

    /// The start of a binary: its header, one program header and a note.
    fn with_build_id(id: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (file[32], file[54], file[56]) = (64, 56, 1);
        file[64] = 4;
        file[64 + 8] = 120;
        file[64 + 32] = 12 + 4 + u8::try_from(id.len()).unwrap();
        for number in [4, u32::try_from(id.len()).unwrap(), 4] {
            file.extend(number.to_le_bytes());
        }
        file.extend(b"Go\0\0");
        file.extend(id);
        file
    }

    #[test]
    fn the_build_id_is_that_of_go() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::write(dir.join("go.mod"), "module x\n").unwrap();
        std::fs::write(dir.join("x.go"), "package main\n\nfunc main() {}\n").unwrap();
        let go = |words: &[&str]| {
            let go = std::process::Command::new("go")
                .args(words)
                .current_dir(dir)
                .env("GOFLAGS", "-buildvcs=false")
                .output();
            go.map(|it| it.stdout)
        };
        go(&["build", "-o", "x"]).unwrap();
        let printed = go(&["tool", "buildid", "x"]).unwrap();
        let read = build_id(&start_of(&dir.join("x")).unwrap()).unwrap();
        assert_eq!(read, printed.trim_ascii_end());
    }

    #[test]
    fn results_are_kept_until_an_input_changes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let old = SystemTime::now() - Duration::from_secs(100);
        let write = |name: &str, age: u64| {
            let path = dir.join(name);
            std::fs::write(&path, "x").unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(old + Duration::from_secs(age)).unwrap();
            path
        };
        let binary = dir.join("x.test");
        std::fs::write(&binary, with_build_id(b"action/content")).unwrap();
        write("input", 0);
        let environment = [("SET".to_owned(), "1".to_owned())];
        let start = Start {
            binary: &binary,
            arguments: &[],
            environment: &environment,
            folder: dir,
        };
        let cache = TestCache {
            folder: dir.join("cache"),
        };
        std::fs::create_dir(&cache.folder).unwrap();
        let tests = vec![Saved {
            name: "TestA".to_owned(),
            seconds: 0.5,
            is_skipped: false,
            reason: None,
        }];
        let log = dir.join("log");
        std::fs::write(
            &log,
            "# test log\ngetenv SET\nopen input\nstat absent\nopen /tmp\n",
        )
        .unwrap();
        assert_eq!(cache.find(start), None);
        cache.keep(start, &log, tests.clone());
        assert_eq!(cache.find(start), Some(tests.clone()));
        let changed = [("SET".to_owned(), "2".to_owned())];
        let other = Start {
            environment: &changed,
            ..start
        };
        assert_eq!(cache.find(other), None);
        write("absent", 0);
        assert_eq!(cache.find(start), None, "a file that was not there");
        std::fs::remove_file(dir.join("absent")).unwrap();
        assert_eq!(cache.find(start), Some(tests.clone()));
        write("input", 1);
        assert_eq!(cache.find(start), None, "a file that has changed");
        write("input", 0);
        cache.keep(start, &log, tests.clone());
        std::fs::write(&binary, with_build_id(b"action/another")).unwrap();
        assert_eq!(cache.find(start), None, "a binary that has changed");

        // Not kept: a file that is too young, the host's state, half a log.
        for log_text in [
            "# test log\nopen young\n",
            "# test log\nopen /proc/mounts\n",
            "# test log\ngetenv S",
            "",
        ] {
            std::fs::write(&log, log_text).unwrap();
            std::fs::write(dir.join("young"), "x").unwrap();
            cache.keep(start, &log, tests.clone());
            assert_eq!(cache.find(start), None, "{log_text}");
        }
    }
}
