//! The flags of `go test` after `--`: which exist, and what `test unit` does with each.
//! `docs/go-test-flags.md` is this table.

use camino::Utf8Path;
use foundation::failure::{Failure, Result};
use foundation::typed;

/// A flag of `go test`, from `go help testflag` or `go help build`.
#[derive(Debug)]
struct Flag {
    name: &'static str,
    has_value: bool,
    way: Way,
    /// For the documentation: what differs from `go test`.
    note: &'static str,
}

/// What happens to a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is passed to `go test -c`.
    Build,
    /// It is passed to each test binary.
    Test,
    /// This command does it.
    Here,
    /// It names a file that one process writes.
    Profile,
    Refused,
}

const fn switch(name: &'static str, way: Way, note: &'static str) -> Flag {
    Flag {
        name,
        has_value: false,
        way,
        note,
    }
}

const fn value(name: &'static str, way: Way, note: &'static str) -> Flag {
    Flag {
        name,
        has_value: true,
        way,
        note,
    }
}

const ONE_PROCESS: &str =
    "written to the working directory, or below `-outputdir`; one package, as in go";

/// All flags, in the order of `go help testflag`, then of `go help build`.
const FLAGS: &[Flag] = &[
    switch(
        "artifacts",
        Way::Test,
        "below `-outputdir`, or the working directory",
    ),
    value(
        "bench",
        Way::Here,
        "packages run one after the other, when all are built; results are in the text and in JSON (`benchmarks`)",
    ),
    value("benchtime", Way::Test, ""),
    value("count", Way::Test, ""),
    switch(
        "cover",
        Way::Here,
        "the total of all packages is printed; packages without tests do not count",
    ),
    value("covermode", Way::Here, "implies `-cover`"),
    value("coverpkg", Way::Here, "implies `-cover`"),
    value("cpu", Way::Test, ""),
    switch(
        "failfast",
        Way::Test,
        "not with `--retries` or `--allow-flaky`",
    ),
    switch("fullpath", Way::Test, ""),
    value("list", Way::Refused, ""),
    value("parallel", Way::Test, ""),
    value("run", Way::Here, "the same as `-run` before `--`"),
    switch("short", Way::Test, ""),
    value("skip", Way::Here, ""),
    value("timeout", Way::Here, "the same as `--timeout`"),
    switch(
        "v",
        Way::Here,
        "each test is printed when it ends, not while it runs",
    ),
    value("vet", Way::Build, ""),
    switch("benchmem", Way::Test, ""),
    value("blockprofile", Way::Profile, ONE_PROCESS),
    value("blockprofilerate", Way::Test, ""),
    value(
        "coverprofile",
        Way::Here,
        "merged over all packages and over tests as user and as root",
    ),
    value("cpuprofile", Way::Profile, ONE_PROCESS),
    value("memprofile", Way::Profile, ONE_PROCESS),
    value("memprofilerate", Way::Test, ""),
    value("mutexprofile", Way::Profile, ONE_PROCESS),
    value("mutexprofilefraction", Way::Test, ""),
    value("outputdir", Way::Here, "relative to the working directory"),
    value(
        "shuffle",
        Way::Test,
        "the seed is printed when the package fails, and is in JSON and JUnit",
    ),
    value("trace", Way::Profile, ONE_PROCESS),
    value("fuzz", Way::Refused, ""),
    value("fuzztime", Way::Refused, ""),
    value("fuzzminimizetime", Way::Refused, ""),
    switch("json", Way::Refused, ""),
    value("exec", Way::Refused, ""),
    switch("c", Way::Refused, ""),
    value("o", Way::Refused, ""),
    switch("a", Way::Build, ""),
    switch("n", Way::Refused, ""),
    value("p", Way::Refused, ""),
    switch("race", Way::Build, "the same as `--race`"),
    switch("msan", Way::Build, ""),
    switch("asan", Way::Build, ""),
    switch("work", Way::Build, ""),
    switch(
        "x",
        Way::Build,
        "the commands are printed when a package cannot be built",
    ),
    value("asmflags", Way::Build, ""),
    value("buildmode", Way::Build, ""),
    switch("buildvcs", Way::Build, ""),
    value("compiler", Way::Build, ""),
    value("gccgoflags", Way::Build, ""),
    value("gcflags", Way::Build, ""),
    value("installsuffix", Way::Build, ""),
    value("ldflags", Way::Build, ""),
    switch("linkshared", Way::Build, ""),
    value("mod", Way::Build, ""),
    switch("modcacherw", Way::Build, ""),
    value("modfile", Way::Build, ""),
    value("overlay", Way::Build, ""),
    value("pgo", Way::Build, ""),
    value("pkgdir", Way::Build, ""),
    value("tags", Way::Here, "also chooses packages, as `--tags` does"),
    switch("trimpath", Way::Build, ""),
    value("toolexec", Way::Build, ""),
    value("C", Way::Refused, ""),
];

/// The user's flags, sorted.
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags that do not depend on each other"
)]
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
    /// The pattern of `-bench`.
    pub(super) bench: Option<String>,
    pub(super) is_covered: bool,
    /// Where the merged coverage is written.
    pub(super) coverprofile: Option<String>,
    pub(super) outputdir: Option<String>,
    /// The first flag that names a file of one process.
    pub(super) profile: Option<String>,
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
        let Some(known) = FLAGS.iter().find(|flag| flag.name == name) else {
            return Err(Failure::usage(format!("unknown `go test` flag `{word}`"))
                .hint("options of `test unit` come before `--`; `go help testflag` and `go help build` name go's"));
        };
        if known.way == Way::Refused {
            return Err(
                Failure::usage(format!("`-{name}` cannot be given to `test unit`"))
                    .hint(instead(name)),
            );
        }
        let value = match given {
            Some(value) => Some(value),
            None if known.has_value => Some(words.next().cloned().ok_or_else(|| {
                Failure::usage(format!("`-{name}` needs a value")).hint("go help testflag")
            })?),
            None => None,
        };
        flags.add(known, word, value)?;
    }
    Ok(flags)
}

impl Flags {
    fn add(&mut self, flag: &Flag, word: &str, value: Option<String>) -> Result<()> {
        let name = flag.name;
        let is_on = value.as_deref() != Some("false");
        let text = || value.clone().unwrap_or_default();
        let whole = match &value {
            Some(value) => format!("-{name}={value}"),
            None => word.to_owned(),
        };
        match (name, flag.way) {
            ("v", _) => self.verbose = is_on,
            ("run", _) => {
                let run = text();
                if self.run.as_ref().is_some_and(|before| *before != run) {
                    return Err(twice("-run"));
                }
                self.run = Some(run);
            }
            ("skip", _) => self.skip = Some(text()),
            ("timeout", _) => self.timeout = Some(text()),
            ("tags", _) => self.tags = Some(text()),
            ("bench", _) => self.bench = Some(text()),
            ("outputdir", _) => self.outputdir = Some(text()),
            ("coverprofile", _) => {
                self.is_covered = true;
                self.coverprofile = Some(text());
            }
            ("cover", _) => self.is_covered = is_on,
            ("covermode" | "coverpkg", _) => {
                self.is_covered = true;
                self.build.push(whole);
            }
            (_, Way::Build) => {
                self.race |= name == "race" && is_on;
                self.build.push(whole);
            }
            (_, Way::Test | Way::Profile | Way::Here | Way::Refused) => {
                self.failfast |= name == "failfast" && is_on;
                if flag.way == Way::Profile {
                    self.profile.get_or_insert_with(|| format!("-{name}"));
                }
                let value = value.map_or_else(String::new, |value| format!("={value}"));
                self.test.push(format!("-test.{name}{value}"));
            }
        }
        Ok(())
    }

    /// Returns the flags that go itself derives from others.
    ///
    /// # Arguments
    /// `cwd`: where the user is, to which paths are relative.
    pub(super) fn complete(&mut self, cwd: &Utf8Path) {
        if self.is_covered && !self.build.iter().any(|flag| flag == "-cover") {
            self.build.push("-cover".to_owned());
        }
        let folder = self.outputdir.as_deref().unwrap_or_default();
        let writes = |flag: &String| flag == "-test.artifacts" || flag == "-test.artifacts=true";
        if self.outputdir.is_some() || self.profile.is_some() || self.test.iter().any(writes) {
            let folder = cwd.join(folder);
            self.test.push(format!("-test.outputdir={folder}"));
        }
    }
}

/// What to use instead of a flag that is refused, with the reason.
fn instead(name: &str) -> String {
    match name {
        "list" => format!("`{}` lists without compiling", typed!("test list")),
        "fuzz" | "fuzztime" | "fuzzminimizetime" => {
            "fuzzing needs an instrumented build of one package: `go test -fuzz REGEXP PACKAGE`"
                .to_owned()
        }
        "json" => format!(
            "`{}`, or go's events with `--jsonfile FILE`",
            typed!("test unit --json")
        ),
        "exec" => format!(
            "`{}`; or `go test -exec \"$({})\"`",
            typed!("test unit --sudo always"),
            typed!("exec-root --print")
        ),
        "n" => format!("`{}`", typed!("test unit --dry-run")),
        "p" => format!("`{}`", typed!("test unit --jobs N")),
        "C" => "`-C DIR` before `test`".to_owned(),
        other => format!("`go test -{other}`"),
    }
}

/// The failure for a flag with two different values, of which one would be dropped.
pub(super) fn twice(flag: &str) -> Failure {
    Failure::usage(format!("`{flag}` is given twice with different values"))
        .hint("join patterns with `|`, such as -run 'TestA|TestB'")
}

/// A word before `--` that is a flag of `go test`, and what to type instead.
pub(crate) fn misplaced(word: &str) -> Option<String> {
    let flag = word.strip_prefix('-')?;
    let flag = flag.strip_prefix('-').unwrap_or(flag);
    let name = flag.split('=').next()?;
    let known = FLAGS.iter().find(|known| known.name == name)?;
    Some(match (known.way, name) {
        (_, "race" | "timeout" | "tags") => format!("`--{flag}`"),
        (_, "p") => "`--jobs N`".to_owned(),
        (Way::Refused, _) => instead(name),
        _ if known.note.is_empty() => {
            format!("`-- -{flag}`: flags of `go test` come after `--`")
        }
        _ => format!(
            "`-- -{flag}`: flags of `go test` come after `--` ({})",
            known.note
        ),
    })
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests ask go, and write the documentation"
)]
mod tests {
    use super::*;
    use std::fmt::Write;
    use std::process::Command;

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
            "./pkg",
            "-count",
            "-short --shard",
            "--shard 1/2",
            "-typo=1",
            "-run A -run B",
        ] {
            assert_eq!(sorted(line).unwrap_err().exit.code(), 2, "{line}");
        }
    }

    /// One row: a flag that is refused has its reason, each other one arrives where its row
    /// says.
    #[test]
    fn each_row_does_what_it_says() {
        for flag in FLAGS {
            let name = flag.name;
            let line = if flag.has_value {
                format!("-{name}=7")
            } else {
                format!("-{name}")
            };
            let sorted = sorted(&line);
            if flag.way == Way::Refused {
                let failure = sorted.unwrap_err();
                assert_eq!(failure.exit.code(), 2, "{name}");
                assert!(!failure.hint.unwrap().is_empty(), "{name}");
                continue;
            }
            let mut flags = sorted.unwrap();
            flags.complete("/cwd".into());
            let is_built = flags.build.contains(&line);
            let is_tested = flags.test.contains(&format!("-test.{}", &line[1..]));
            let is_here = flags.verbose
                || flags.is_covered
                || [
                    &flags.run,
                    &flags.skip,
                    &flags.timeout,
                    &flags.tags,
                    &flags.bench,
                    &flags.outputdir,
                ]
                .iter()
                .any(|value| value.as_deref() == Some("7"));
            let wanted = match flag.way {
                Way::Build => (true, false, false),
                Way::Test | Way::Profile => (false, true, false),
                _ => (is_built, false, true),
            };
            assert_eq!((is_built, is_tested, is_here), wanted, "{name}");
            let has_folder = flags
                .test
                .iter()
                .any(|it| it.starts_with("-test.outputdir=/cwd"));
            let writes = flag.way == Way::Profile || matches!(name, "artifacts" | "outputdir");
            assert_eq!(has_folder, writes, "{name}");
            if flag.has_value {
                assert!(super::sort(&[format!("-{name}")]).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn go_has_no_flag_that_the_table_has_not() {
        let mut missing = Vec::new();
        for topic in ["testflag", "build"] {
            let Ok(help) = Command::new("go").args(["help", topic]).output() else {
                eprintln!("SKIPPED go_has_no_flag_that_the_table_has_not: no go");
                return;
            };
            let help = String::from_utf8(help.stdout).unwrap();
            let flags = help.lines().filter_map(|line| {
                let flag = line.strip_prefix('\t')?.strip_prefix('-')?;
                flag.split([' ', ',', '=']).next().map(str::to_owned)
            });
            missing.extend(flags.filter(|flag| !FLAGS.iter().any(|known| known.name == flag)));
        }
        // Only of `go build`: this Go prints them in the same list.
        missing.retain(|flag| !matches!(flag.as_str(), "json" | ""));
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_documentation_is_this_table() {
        let mut text = String::from(
            "# Flags of `go test`\n\nFlags of `go test` come after `--`: \
             `cargo xtask test unit ./pkg/... -- -short -count=1`. Each flag of \
             `go help testflag` and `go help build` works as with `go test`, or is refused with the \
             command to use instead.\n\n| flag | | |\n|---|---|---|\n",
        );
        for flag in FLAGS {
            let value = if flag.has_value { " VALUE" } else { "" };
            let way = if flag.way == Way::Refused {
                "refused"
            } else {
                "works"
            };
            let note = if flag.way == Way::Refused {
                instead(flag.name)
            } else {
                flag.note.to_owned()
            };
            let _ = writeln!(text, "| `-{}{value}` | {way} | {note} |", flag.name);
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/go-test-flags.md");
        if std::env::var_os("XTASK_UPDATE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            written, text,
            "XTASK_UPDATE=1 cargo test -p xtask --lib writes it"
        );
    }

    #[test]
    fn a_flag_before_the_two_dashes_has_a_hint() {
        assert_eq!(
            misplaced("--count=1").unwrap(),
            "`-- -count=1`: flags of `go test` come after `--`"
        );
        assert_eq!(misplaced("-race").unwrap(), "`--race`");
        assert_eq!(
            misplaced("-short").unwrap(),
            "`-- -short`: flags of `go test` come after `--`"
        );
        assert_eq!(misplaced("--typo"), None);
    }
}
