//! The flags of `go test` after `--`, sorted into those of the compiler and
//! those of the test binary.

use foundation::failure::{Failure, Result};
use foundation::typed;

/// Flags of `go test` that a test binary takes as `-test.NAME`; those that
/// need no value (`go help testflag`).
const SWITCHES: &[&str] = &["benchmem", "failfast", "fullpath", "short", "artifacts"];
/// The flags that need a value.
const VALUES: &[&str] = &[
    "bench",
    "benchtime",
    "blockprofile",
    "blockprofilerate",
    "count",
    "cpu",
    "cpuprofile",
    "fuzz",
    "fuzzminimizetime",
    "fuzztime",
    "list",
    "memprofile",
    "memprofilerate",
    "mutexprofile",
    "mutexprofilefraction",
    "outputdir",
    "parallel",
    "run",
    "shuffle",
    "skip",
    "timeout",
    "trace",
];
/// Flags of the compiler that need no value (`go help build`).
const BUILD_SWITCHES: &[&str] = &[
    "a",
    "race",
    "msan",
    "asan",
    "cover",
    "work",
    "x",
    "linkshared",
    "modcacherw",
    "trimpath",
    "buildvcs",
];

/// The flags of the compiler that need a value.
const BUILD_VALUES: &[&str] = &[
    "asmflags",
    "buildmode",
    "compiler",
    "covermode",
    "coverpkg",
    "gccgoflags",
    "gcflags",
    "installsuffix",
    "ldflags",
    "mod",
    "modfile",
    "overlay",
    "pgo",
    "pkgdir",
    "tags",
    "toolexec",
    "vet",
];

/// The user's flags, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// Flags for `go test -c`.
    pub(super) build: Vec<String>,
    /// Flags for the binary, in its own form.
    pub(super) test: Vec<String>,
    pub(super) run: Option<String>,
    pub(super) skip: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) verbose: bool,
    pub(super) race: bool,
    /// Whether a test binary stops at its first failure.
    pub(super) failfast: bool,
    /// The value of `-tags`.
    pub(super) tags: Option<String>,
    /// Arguments after `-args`, for the tests themselves.
    pub(super) own: Vec<String>,
}

/// Sorts the words.
///
/// # Errors
/// Exit code 2 for flags that this command sets itself, or that a run of
/// binaries cannot support.
pub(super) fn sort(words: &[String]) -> Result<Flags> {
    let mut flags = Flags::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix('-') else {
            return Err(Failure::usage(format!("unknown `go test` flag `{word}`"))
                .hint("packages come before `--`"));
        };
        let flag = flag.trim_start_matches('-');
        if flag == "args" {
            flags.own = words.cloned().collect();
            break;
        }
        let (name, given) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let name = name.strip_prefix("test.").unwrap_or(name);
        refuse(name)?;
        let mut value = || {
            given
                .clone()
                .or_else(|| words.next().cloned())
                .ok_or_else(|| {
                    Failure::usage(format!("`-{name}` needs a value")).hint("go help testflag")
                })
        };
        match name {
            "v" => flags.verbose = true,
            "run" => {
                let run = value()?;
                if flags.run.as_ref().is_some_and(|before| *before != run) {
                    return Err(twice("-run"));
                }
                flags.run = Some(run);
            }
            "skip" => flags.skip = Some(value()?),
            "timeout" => flags.timeout = Some(value()?),
            _ if SWITCHES.contains(&name) => {
                flags.failfast |= name == "failfast" && given.as_deref() != Some("false");
                let given = given.map_or_else(String::new, |given| format!("={given}"));
                flags.test.push(format!("-test.{name}{given}"));
            }
            _ if VALUES.contains(&name) => {
                let value = value()?;
                flags.test.push(format!("-test.{name}={value}"));
            }
            _ if BUILD_SWITCHES.contains(&name) => {
                flags.race |= name == "race" && given.as_deref() != Some("false");
                flags.build.push(word.clone());
            }
            _ if BUILD_VALUES.contains(&name) => {
                let value = value()?;
                if name == "tags" {
                    flags.tags = Some(value);
                    continue;
                }
                flags.build.push(format!("-{name}={value}"));
            }
            _ => {
                return Err(Failure::usage(format!("unknown `go test` flag `{word}`"))
                    .hint("options of `test unit` come before `--`; `go help testflag` and `go help build` name go's"));
            }
        }
    }
    Ok(flags)
}

/// The failure for a flag with two different values, of which one would be dropped.
pub(super) fn twice(flag: &str) -> Failure {
    Failure::usage(format!("`{flag}` is given twice with different values"))
        .hint("join patterns with `|`, such as -run 'TestA|TestB'")
}

fn refuse(name: &str) -> Result<()> {
    let hint = match name {
        "json" => format!("{}, or --report FILE", typed!("test unit --json")),
        "exec" => format!(
            "{}; or go test -exec \"$({})\"",
            typed!("test unit --sudo always"),
            typed!("exec-root --print")
        ),
        "c" | "o" | "n" | "i" => "go test".to_owned(),
        "coverprofile" => format!(
            "{} writes _out/coverage.txt; profiles of several binaries cannot be merged",
            typed!("test unit --in buildx")
        ),
        "p" => typed!("test unit --jobs N"),
        _ => return Ok(()),
    };
    Err(Failure::usage(format!("`-{name}` cannot be given to `test unit`")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(line: &str) -> Result<Flags> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        sort(&words)
    }

    #[test]
    fn flags_go_to_whom_they_are_for() {
        let flags = sorted("-race -short -count 3 -tags=a,b -ldflags -s -v -timeout=5m -args -x y")
            .unwrap();
        assert_eq!(flags.build, ["-race", "-ldflags=-s"]);
        assert_eq!(flags.tags.as_deref(), Some("a,b"));
        assert_eq!(flags.test, ["-test.short", "-test.count=3"]);
        assert_eq!(flags.own, ["-x", "y"]);
        assert_eq!(flags.timeout.as_deref(), Some("5m"));
        assert!(flags.race && flags.verbose);
    }

    #[test]
    fn what_cannot_be_is_said() {
        for line in [
            "-json",
            "./pkg",
            "-count",
            "-exec sudo",
            "-coverprofile=c",
            "-short --shard",
            "--shard 1/2",
            "-typo=1",
            "-run A -run B",
        ] {
            assert_eq!(sorted(line).unwrap_err().exit.code(), 2, "{line}");
        }
    }
}
