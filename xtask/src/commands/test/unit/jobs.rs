//! Turns selected packages into links and jobs.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::flags::Flags;
use super::recipe::Recipe;
use super::select::Wanted;
use crate::commands::test::results::selected::SelectedPackage;
use crate::commands::test::results::suites;
use foundation::hash::Name;
use foundation::record::results::History;
use foundation::run::exec_root::listed_environment;
use foundation::run::gotest::{Attempt, Job, Link, Pool};

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
}

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
        if slots.is_empty() && !untested.is_empty() {
            slots.insert(0, Vec::new());
        }
        let temporary = self.build_folder().join("tmp");
        let mut untested = untested.to_vec();
        slots
            .into_iter()
            .map(|(slot, packages)| {
                let folder = self.build_folder().join(format!("{slot:016x}"));
                let mut argv = ["go", "test", "-c", "-json"].map(str::to_owned).to_vec();
                argv.extend(self.build_flags());
                argv.extend(["-o".to_owned(), format!("{folder}/")]);
                let mut environment = self.recipe.environment.clone();
                // On the same file system, so that a binary appears complete or
                // not at all.
                environment.push(("GOTMPDIR".to_owned(), temporary.to_string()));
                Link {
                    argv,
                    environment,
                    folder: self.checkout.to_owned(),
                    packages,
                    untested: std::mem::take(&mut untested),
                }
            })
            .collect()
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
        if mine.is_empty() && (is_all_known || !others.is_empty()) {
            return None;
        }
        let mut skip: Vec<String> = self.flags.skip.iter().cloned().collect();
        for (part, _) in package.in_pool(pool).flat_map(|root| &root.parts_left_out) {
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
        Job {
            attempt: Attempt {
                package: package.name.clone(),
                as_root: pool.is_some(),
                expected: expected.sum(),
                again: None,
            },
            binary: binary.to_owned(),
            folder: package.folder.clone(),
            arguments: self.arguments(filter),
            environment: self.environment(pool.is_some()),
            pool: pool.unwrap_or(Pool::Plain),
            deadline: self.deadline(),
            log: self.logs.join(log),
        }
    }

    fn arguments(&self, filter: Vec<String>) -> Vec<String> {
        let timeout = format!("-test.timeout={}s", self.timeout.as_secs_f64());
        let mut arguments = vec![
            "-test.paniconexit0".to_owned(),
            timeout,
            "-test.v=test2json".to_owned(),
        ];
        arguments.extend(filter);
        arguments.extend(self.flags.test.iter().cloned());
        arguments.extend(self.flags.own.iter().cloned());
        arguments
    }

    fn environment(&self, as_root: bool) -> Vec<(String, String)> {
        let mut environment = if as_root {
            listed_environment(&[])
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
        Job {
            attempt,
            arguments: self.arguments(filter),
            log: self.logs.join(format!("{stem}-{root}-{time}.log")),
            ..job.clone()
        }
    }
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
