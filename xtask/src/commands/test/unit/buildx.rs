//! `test unit --in buildx`: the Makefile's own target, through `build`; its
//! output is read as results.

use std::collections::{BTreeMap, BTreeSet};

use gotest::Test;
use gotest::events::{Package, plain};

use super::super::args::Selection;
use super::super::discovered;
use super::flags::Flags;
use super::{Show, Sudo, UnitArgs};
use camino::Utf8PathBuf;

use crate::app::App;
use crate::commands::build;
use crate::commands::test::results::finish;
use crate::commands::test::results::report::Report;
use crate::commands::test::results::session::Outcome;
use foundation::ctx::own_files;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::files;
use foundation::record::runs::Record;
use foundation::run::Options;
use foundation::run::gotest::Stop;

/// Refuses options that the Makefile's target does not have.
///
/// # Errors
/// Exit code 2.
pub(super) fn check(args: &UnitArgs, flags: &Flags) -> Result<()> {
    // `--race` has its own target.
    let builds = flags.build.iter().filter(|flag| *flag != "-race");
    let here_only = [
        (flags.run.is_some(), "-run"),
        (args.filter.is_some(), "--filter"),
        (args.chosen.shard.is_some(), "--shard"),
        (
            args.chosen.packages.len() > 1,
            "more than one pattern of packages",
        ),
        (!args.chosen.tags.is_empty(), "--tags"),
        (args.results.rerun_failed, "--rerun-failed"),
        (args.results.retries > 0, "--retries"),
        (args.timeout.is_some(), "--timeout"),
        (args.jobs.is_some(), "--jobs"),
        (args.fail_fast, "--fail-fast"),
        (args.sudo != Sudo::Auto, "--sudo"),
        (args.until_fail.is_some(), "--until-fail"),
        (args.watch, "--watch"),
        (!args.env.is_empty(), "--env"),
        (args.show != Show::Packages, "--show"),
        (args.jsonfile.is_some(), "--jsonfile"),
        (
            builds.count() + flags.test.len() + flags.own.len() > 0
                || flags.skip.is_some()
                || flags.bench.is_some()
                || flags.is_covered
                || flags.outputdir.is_some()
                || flags.timeout.is_some(),
            "flags of `go test`",
        ),
    ];
    match here_only.iter().find(|(given, _)| *given) {
        Some((_, name)) => Err(Failure::usage(format!(
            "the Makefile's unit-tests cannot be given {name}"
        ))
        .hint("leave it out, or leave `--in buildx` out")),
        None => Ok(()),
    }
}

pub(super) fn run(app: &App<'_>, args: &UnitArgs, flags: &Flags) -> Result<u8> {
    check(args, flags)?;
    let words = words(args, flags);
    let checkout = &app.ctx.go_checkout()?;
    let known = known(&discovered::in_checkout(
        app,
        checkout,
        &Selection::default(),
    )?);
    let repository = build::repository::Repository::open(checkout)?;
    let planned = build::evaluate(app, &repository, &words, false)?;
    let plan = build::plan_of(app, &repository, &words, &planned);
    if app.is_dry() {
        app.show(&plan)?;
        return Ok(0);
    }
    build::preflight::check(app, &plan)?;
    let began = std::time::Instant::now();
    let (mut dir, mut logs) = (Utf8PathBuf::new(), Vec::new());
    let mut recorded = |record: &Record| {
        dir.clone_from(&record.dir);
        logs.extend((0..plan.steps.len()).map(|step| record.step_log(step)));
    };
    let options = Options {
        recorded: Some(&mut recorded),
        ..Options::default()
    };
    let ended = app.runner().run(&plan, options);
    let (outcomes, cached) = read(&logs, &known)?;
    let failed = outcomes.values().flat_map(|outcome| &outcome.runs);
    let failed = failed
        .filter_map(|run| run.verdict.as_ref())
        .any(|verdict| !verdict.is_ok());
    // Without a failed package, the build failed.
    if let Err(failure) = ended
        && (!failed || failure.exit == Exit::Interrupted)
    {
        return Err(failure);
    }
    if outcomes.is_empty() && cached {
        app.ui
            .note("BuildKit ran nothing: nothing changed since these tests passed");
    }
    let report = Report {
        outcomes: &outcomes,
        chosen: &BTreeMap::new(),
        seconds: began.elapsed().as_secs_f64(),
        interrupted: false,
        built: &BTreeSet::new(),
        leg: None,
        slowest: args.results.slowest,
        coverage: None,
        is_short: false,
    };
    finish::write_reports(app, &args.results, &report, &dir)?;
    app.ui.note(
        "the Makefile's `go test` names tests that failed only; the others are known by package",
    );
    let terms = finish::Terms {
        results: &args.results,
        strict: args.strict,
        list: None,
    };
    Ok(finish::exit_code(app, &terms, &report, Stop::Done))
}

/// Returns the arguments of make.
fn words(args: &UnitArgs, flags: &Flags) -> Vec<String> {
    let target = if flags.race {
        "unit-tests-race"
    } else {
        "unit-tests"
    };
    // On a terminal BuildKit would redraw the lines that are read here.
    let mut words = vec![target.to_owned(), "PROGRESS=plain".to_owned()];
    let packages = args.chosen.packages.iter();
    words.extend(packages.map(|it| format!("TESTPKGS={it}")));
    words
}

/// Results by package from the logs of the steps, and whether BuildKit
/// took any of it from its cache.
fn read(logs: &[Utf8PathBuf], known: &Known) -> Result<(BTreeMap<String, Outcome>, bool)> {
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut cached = false;
    for path in logs {
        let log =
            own_files::read(path, files::LARGE).because(|| format!("cannot read `{path}`"))?;
        // The step did not run.
        let Some(log) = log else { continue };
        let log = String::from_utf8_lossy(&log);
        cached |= log.lines().any(is_cached);
        for package in packages(&log, known) {
            let outcome = outcomes.entry(package.name.clone()).or_default();
            outcome.runs.push(package);
        }
    }
    Ok((outcomes, cached))
}

/// Test functions by their packages' import paths.
type Known = BTreeMap<String, BTreeSet<String>>;

fn known(tests: &[Test]) -> Known {
    let mut known = Known::new();
    for test in tests.iter().filter(|test| !test.name.contains('/')) {
        let package = known.entry(test.package.clone()).or_default();
        package.insert(test.name.clone());
    }
    known
}

/// Returns the packages of the step that runs `go test`.
fn packages(log: &str, known: &Known) -> Vec<Package> {
    plain(log.lines().filter_map(said), |package, test| {
        // Packages that the build generates are unknown here.
        known.get(package).is_none_or(|tests| tests.contains(test))
    })
}

/// Returns the output of a program in BuildKit's plain progress: `#12 3.456
/// text`.
fn said(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('#')?;
    let (step, rest) = rest.split_once(' ')?;
    step.parse::<u32>().ok()?;
    let (time, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_time = time.contains('.') && time.parse::<f64>().is_ok();
    is_time.then_some(text)
}

/// `#12 CACHED`
fn is_cached(line: &str) -> bool {
    line.starts_with('#') && line.ends_with(" CACHED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_program_said_is_read() {
        let log = "#11 [unit-tests-runner 3/3] RUN go test ./...\n\
            #11 0.512 --- FAIL: TestA (0.00s)\n\
            #11 0.512     a_test.go:3: no\n\
            #11 0.513 FAIL\n\
            #11 0.514 FAIL\texample.org/a\t0.002s\n\
            #11 ERROR: process \"go test\" did not complete successfully: exit code: 1\n";
        let packages = packages(log, &Known::new());
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].failed_roots(), ["TestA"]);
        assert!(packages[0].output_of("TestA").contains("a_test.go:3: no"));
        assert!(is_cached("#11 CACHED"));
    }
}
