//! Turns selected packages into links and jobs.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::flags::Flags;
use super::recipe::Recipe;
use super::select::Wanted;
use crate::commands::test::results::selected::SelectedPackage;
use crate::commands::test::results::suites;
use foundation::files;
use foundation::hash::Name;
use foundation::record::results::History;
use foundation::record::test_cache::{Saved, Start, TestCache};
use foundation::run::exec_root::listed_environment;
use foundation::run::gotest::{Attempt, Job, Link, Pool};
use gotest::Coverage;
use gotest::events::{Output, Package, State, Test, Verdict};

/// What all jobs of a run have in common.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) checkout: &'a Utf8Path,
    /// The store of binaries: `…/talos-xtask/tests`.
    pub(super) store: Utf8PathBuf,
    /// The folder of logs.
    pub(super) logs: Utf8PathBuf,
    pub(super) flags: &'a Flags,
    pub(super) wanted: &'a Wanted,
    pub(super) recipe: &'a Recipe,
    pub(super) timeout: Duration,
    pub(super) history: &'a History,
    /// Names of variables that tests as root get too.
    pub(super) env: &'a [String],
    /// Whether each job writes its events to a file.
    pub(super) writes_events: bool,
    /// Results of unchanged packages; `None` if all tests are to run.
    pub(super) cache: Option<TestCache>,
}

/// Flags with which `go test` keeps results, too.
const CACHEABLE: [&str; 8] = [
    "-test.benchtime",
    "-test.cpu",
    "-test.failfast",
    "-test.fullpath",
    "-test.parallel",
    "-test.paniconexit0",
    "-test.short",
    "-test.v",
];
/// The extension of the logs that the testing package writes about what tests read.
const TEST_LOG: &str = "testlog";

/// The extension of profiles of coverage, beside the logs.
pub(super) const COVERAGE: &str = "cover";

/// Added to the binary's own timeout, after which it hangs.
const MORE: Duration = Duration::from_secs(15);
/// With `-timeout 0`.
const NO_TIMEOUT: Duration = Duration::from_hours(24);

impl Shared<'_> {
    /// Flags of the compiler.
    fn build_flags(&self) -> Vec<String> {
        let mut flags = self.recipe.flags.clone();
        // Of repeated flags the last one counts, so the user's come last.
        flags.extend(self.flags.build.iter().cloned());
        flags
    }

    /// The folder of all binaries that are built with these flags.
    pub(super) fn build_folder(&self) -> Utf8PathBuf {
        let flags = self.build_flags().join("\0");
        let environment = format!("{:?}", self.recipe.environment);
        let words = [self.checkout.as_str(), &flags, &environment];
        self.store
            .join(words.iter().fold(Name::default(), Name::part).digits(16))
    }

    /// Groups packages into as few go commands as there are packages of one
    /// name: each command writes into a folder in which it finds the binaries
    /// again.
    ///
    /// # Arguments
    /// `all`: import paths of the whole checkout, which decide the folder.
    /// `untested`: import paths that are only built and vetted.
    pub(super) fn links(
        &self,
        packages: &[SelectedPackage],
        all: &[&str],
        untested: &[String],
    ) -> Vec<Link> {
        let mut slots: BTreeMap<usize, Vec<(String, Utf8PathBuf)>> = BTreeMap::new();
        for package in packages {
            let base = base(&package.name);
            let slot = all
                .iter()
                .filter(|other| **other < package.name.as_str() && self::base(other) == base)
                .count();
            let binary = self.build_folder().join(format!("{slot:016x}/{base}.test"));
            slots
                .entry(slot)
                .or_default()
                .push((package.name.clone(), binary));
        }
        let temporary = self.build_folder().join("tmp");
        let mut environment = self.recipe.environment.clone();
        // On the same file system, so that a binary appears complete or not at all.
        environment.push(("GOTMPDIR".to_owned(), temporary.to_string()));
        let link = |words: &[&str], output: Option<String>| {
            let mut argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            argv.extend(self.build_flags());
            argv.extend(
                output
                    .into_iter()
                    .flat_map(|folder| ["-o".to_owned(), folder]),
            );
            Link {
                argv,
                environment: environment.clone(),
                folder: self.checkout.to_owned(),
                packages: Vec::new(),
                untested: Vec::new(),
                records: self.build_folder().join("built"),
            }
        };
        let mut links: Vec<Link> = slots
            .into_iter()
            .map(|(slot, packages)| {
                let folder = self.build_folder().join(format!("{slot:016x}/"));
                Link {
                    packages,
                    ..link(&["go", "test", "-c", "-json"], Some(folder.into_string()))
                }
            })
            .collect();
        if !untested.is_empty() {
            // With `-c`, go refuses two packages of one name, even without tests.
            links.push(Link {
                untested: untested.to_vec(),
                ..link(&["go", "test", "-json"], None)
            });
        }
        links
    }

    /// Returns `-test.run` and `-test.skip`; `None` if nothing runs. Tests that
    /// were not discovered run as the user.
    fn filter(&self, package: &SelectedPackage, pool: Option<Pool>) -> Option<Vec<String>> {
        let mine: Vec<&str> = package
            .in_pool(pool)
            .map(|root| root.name.as_str())
            .collect();
        let known: HashSet<&str> = mine.iter().copied().collect();
        let is_all_known = package.only.is_some() || pool.is_some();
        let others = package
            .roots
            .iter()
            .filter(|root| !known.contains(root.name.as_str()));
        let others: Vec<&str> = others.map(|root| root.name.as_str()).collect();
        let has_more = !is_all_known && (others.is_empty() || self.flags.bench.is_some());
        if mine.is_empty() && !has_more {
            return None;
        }
        let mut skip: Vec<String> = self.flags.skip.iter().cloned().collect();
        let skipped = package.in_pool(pool).flat_map(|root| {
            let left_out = root.parts_left_out.iter().map(|(part, _)| part);
            left_out.chain(&root.unwanted)
        });
        for part in skipped {
            let parts: Vec<String> = part.split('/').map(suites::exactly).collect();
            skip.push(parts.join("/"));
        }
        let mut filter = Vec::new();
        match &self.flags.run {
            Some(run) => {
                filter.push(format!("-test.run={run}"));
                skip.extend(one_of(&others));
            }
            None if is_all_known => {
                filter.push(format!("-test.run={}", one_of(&mine).unwrap_or_default()));
            }
            None => skip.extend(one_of(&others)),
        }
        if !skip.is_empty() {
            filter.push(format!("-test.skip={}", skip.join("|")));
        }
        Some(filter)
    }

    fn job(
        &self,
        package: &SelectedPackage,
        binary: &Utf8Path,
        pool: Option<Pool>,
        filter: Vec<String>,
    ) -> Job {
        let name = match pool {
            None => "",
            Some(Pool::Host) => "-host",
            Some(_) => "-root",
        };
        let expected = package.in_pool(pool).filter_map(|root| {
            let past = self.history.of(&package.name, &root.name)?;
            Some(past.seconds)
        });
        let log = format!("{}{name}.log", package.name.replace('/', "_"));
        let log = self.logs.join(log);
        let mut arguments = self.arguments(filter, &log);
        if let Some(pattern) = self.flags.bench.as_ref().filter(|_| pool.is_none()) {
            arguments.insert(0, format!("-test.bench={pattern}"));
        }
        Job {
            attempt: Attempt {
                package: package.name.clone(),
                as_root: pool.is_some(),
                expected: expected.sum(),
                again: None,
            },
            binary: binary.to_owned(),
            folder: package.folder.clone(),
            arguments,
            environment: self.environment(pool.is_some()),
            pool: pool.unwrap_or(Pool::Plain),
            deadline: self.deadline(),
            events: self.writes_events.then(|| log.with_extension("json")),
            keeps_all: self.flags.verbose,
            log,
        }
    }

    fn arguments(&self, filter: Vec<String>, log: &Utf8Path) -> Vec<String> {
        let timeout = format!("-test.timeout={}s", self.timeout.as_secs_f64());
        let mut arguments = vec![
            "-test.paniconexit0".to_owned(),
            timeout,
            "-test.v=test2json".to_owned(),
        ];
        arguments.extend(filter);
        if self.flags.is_covered {
            let profile = log.with_extension(COVERAGE);
            arguments.push(format!("-test.coverprofile={profile}"));
        }
        arguments.extend(self.flags.test.iter().cloned());
        arguments.extend(self.flags.own.iter().cloned());
        arguments
    }

    fn environment(&self, as_root: bool) -> Vec<(String, String)> {
        let mut environment = if as_root {
            listed_environment(self.env)
        } else {
            Vec::new()
        };
        for (name, value) in &self.recipe.environment {
            // The compiler's variables are not passed to tests.
            if !name.starts_with("CGO_") {
                environment.retain(|(set, _)| set != name);
                environment.push((name.clone(), value.clone()));
            }
        }
        environment
    }

    fn deadline(&self) -> Duration {
        if self.timeout.is_zero() {
            NO_TIMEOUT
        } else {
            self.timeout + MORE
        }
    }

    /// Returns the starts of one package's binary: as the user, as root in a
    /// separate network, as root on the host.
    pub(super) fn jobs(&self, package: &SelectedPackage, binary: &Utf8Path) -> Vec<Job> {
        let mut jobs = Vec::new();
        for pool in [None, Some(Pool::Isolated), Some(Pool::Host)] {
            if let Some(filter) = self.filter(package, pool) {
                jobs.push(self.job(package, binary, pool, filter));
            }
        }
        jobs
    }

    /// Whether results of jobs may be kept at all: go does so with these flags.
    pub(super) fn is_cacheable(flags: &Flags) -> bool {
        let is_known = |flag: &String| CACHEABLE.contains(&flag.split('=').next().unwrap_or(flag));
        flags.test.iter().all(is_known)
            && flags.own.is_empty()
            && flags.bench.is_none()
            && !flags.is_covered
            && !flags.verbose
    }

    /// Returns the jobs that need not run with their results, and the jobs that must. Those
    /// whose results can be kept log what they read.
    pub(super) fn split_cached(
        &self,
        package: &SelectedPackage,
        jobs: Vec<Job>,
    ) -> (Vec<(Job, Package)>, Vec<Job>) {
        let (mut cached, mut rest) = (Vec::new(), Vec::new());
        for mut job in jobs {
            let depends_on_host = package.roots.iter().any(|root| root.has_needs);
            let Some(cache) = self
                .cache
                .as_ref()
                .filter(|_| job.pool == Pool::Plain && !depends_on_host)
            else {
                rest.push(job);
                continue;
            };
            if let Some(tests) = cache.find(start(&job, &job.arguments)) {
                let results = package_of(&job, tests);
                cached.push((job, results));
                continue;
            }
            let log = job.log.with_extension(TEST_LOG);
            job.arguments.push(format!("-test.testlogfile={log}"));
            rest.push(job);
        }
        (cached, rest)
    }

    /// Keeps the results of a job that has passed.
    pub(super) fn keep(&self, job: &Job, results: &Package) {
        let log = job.log.with_extension(TEST_LOG);
        let argument = format!("-test.testlogfile={log}");
        let Some((cache, arguments)) = self
            .cache
            .as_ref()
            .zip(job.arguments.strip_suffix(std::slice::from_ref(&argument)))
        else {
            return;
        };
        let tests = results.tests.iter().map(|test| Saved {
            name: test.name.clone(),
            seconds: test.seconds,
            is_skipped: test.state == State::Skipped,
            reason: test.reason.clone(),
        });
        cache.keep(start(job, arguments), &log, tests.collect());
    }

    /// Returns what all jobs have covered.
    pub(super) fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        let entries = self.logs.read_dir_utf8().into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().extension() == Some(COVERAGE)) {
            if let Ok(Some(text)) = files::read_text(entry.path(), files::LARGE) {
                coverage.add(&text);
            }
        }
        coverage
    }

    /// Returns the job that runs the binary of `job` again for one of its
    /// tests.
    pub(super) fn again(&self, job: &Job, attempt: Attempt) -> Job {
        let (root, time) = attempt.again.clone().unwrap_or_default();
        let stem = job.log.file_stem().unwrap_or("test");
        let exactly = suites::exactly(&root);
        let run = match &self.wanted.run {
            Some(run) => run.within(&root, &exactly),
            None => exactly,
        };
        let mut filter = vec![format!("-test.run={run}")];
        let first = job.arguments.iter();
        let skip = first
            .filter(|argument| argument.starts_with("-test.skip="))
            .take(1);
        filter.extend(skip.cloned());
        let log = self.logs.join(format!("{stem}-{root}-{time}.log"));
        Job {
            attempt,
            arguments: self.arguments(filter, &log),
            events: job.events.as_ref().map(|_| log.with_extension("json")),
            log,
            ..job.clone()
        }
    }
}

fn start<'a>(job: &'a Job, arguments: &'a [String]) -> Start<'a> {
    Start {
        binary: &job.binary,
        arguments,
        environment: &job.environment,
        folder: &job.folder,
    }
}

fn package_of(job: &Job, tests: Vec<Saved>) -> Package {
    let mut package = Package::new(job.attempt.package.clone());
    package.cached = true;
    let tests = tests.into_iter().map(|saved| Test {
        name: saved.name,
        state: if saved.is_skipped {
            State::Skipped
        } else {
            State::Passed
        },
        seconds: saved.seconds,
        output: Output::default(),
        reason: saved.reason,
        raced: false,
        attributes: Vec::new(),
    });
    package.tests = tests.collect();
    package.close(Verdict::Passed);
    package
}

fn base(import_path: &str) -> &str {
    let last = import_path.rsplit('/').next().unwrap_or(import_path);
    let is_version = |word: &str| {
        word.strip_prefix('v').is_some_and(|digits| {
            !digits.is_empty()
                && !digits.starts_with('0')
                && digits != "1"
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    // As load.DefaultExecName of the go command has it.
    match import_path.rsplit_once('/') {
        Some((parent, version)) if is_version(version) => {
            parent.rsplit('/').next().unwrap_or(parent)
        }
        _ => last,
    }
}

fn one_of(names: &[&str]) -> Option<String> {
    // Names of Go functions have no characters with a meaning in a pattern.
    (!names.is_empty()).then(|| format!("^({})$", names.join("|")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_named_as_go_does() {
        assert_eq!(base("github.com/siderolabs/talos/pkg/xfs"), "xfs");
        assert_eq!(
            base("github.com/siderolabs/talos/internal/pkg/mount/v3"),
            "mount"
        );
        assert_eq!(base("x/v1alpha1"), "v1alpha1");
        assert_eq!(base("x/v1"), "v1");
        assert_eq!(base("single"), "single");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(suites::exactly("TestA"), "^TestA$");
        assert_eq!(suites::exactly("a.b+(c)"), r"^a\.b\+\(c\)$");
        assert_eq!(one_of(&["A", "B"]).unwrap(), "^(A|B)$");
        assert_eq!(one_of(&[]), None);
    }
}
