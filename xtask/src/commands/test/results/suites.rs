//! The suites of one binary that a step of a plan runs, with results like those
//! of unit tests: `test integration`, `test upgrade`. The command line and the
//! infrastructure of the tests come from these commands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use gotest::events::{Exit as Ended, Framer, Package, Verdict};

use super::finish::{self, Terms};
use super::report::Report;
use super::selected::{Function, SelectedPackage};
use super::session::Session;
use crate::app::App;
use crate::commands::test::args::ResultArgs;
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::Plan;
use foundation::record::results::Failed;
use foundation::run::gotest::{Attempt, Finished, Stop, told};
use foundation::run::{Options, Reader, to_test_exit};
use foundation::ui;

/// How far below the test function a suite's tests are.
const DEPTH: usize = 2;

/// The suites to run, and their environment.
pub(in crate::commands::test) struct Suites<'a> {
    /// The import path that results are recorded under.
    pub(in crate::commands::test) package: &'a str,
    pub(in crate::commands::test) checkout: &'a Utf8Path,
    /// The command that lists all suites.
    pub(in crate::commands::test) list: &'a str,
    /// The value of `-test.run`; `None` for all.
    pub(in crate::commands::test) pattern: Option<String>,
    /// The selected tests: `TestIntegration/api.ResetSuite/TestReset`, without
    /// those whose names are known only at run time.
    pub(in crate::commands::test) tests: Vec<String>,
    /// Returns the plan for a value of `-test.run`.
    pub(in crate::commands::test) plan: &'a dyn Fn(Option<&str>) -> Plan,
    /// Checks the infrastructure when tests failed: a loss of it is not their
    /// failure.
    pub(in crate::commands::test) lost: &'a dyn Fn() -> Option<Failure>,
}

/// Returns the names that failed last time: empty if everything did, `None` if
/// nothing did.
pub(in crate::commands::test) fn failed_before(
    app: &App<'_>,
    checkout: &Utf8Path,
    package: &str,
) -> Result<Option<Vec<String>>> {
    let failed = Failed::load(&app.ctx.dirs.state, checkout)?;
    Ok(failed.and_then(|mut failed| failed.packages.remove(package)))
}

/// Returns a pattern for tests of any suites. Each test is one alternative,
/// because Go would run every pair of joined parts. `None` for an empty list.
pub(in crate::commands::test) fn any_of(names: &[String]) -> Option<String> {
    let one = |name: &String| {
        let parts: Vec<String> = name.split('/').map(exactly).collect();
        parts.join("/")
    };
    let all: Vec<String> = names.iter().map(one).collect();
    (!all.is_empty()).then(|| all.join("|"))
}

/// Runs the suites; returns the exit code.
///
/// # Errors
/// A report that cannot be written; failed tests are not an error.
pub(in crate::commands::test) fn run(
    app: &App<'_>,
    args: &ResultArgs,
    suites: &Suites<'_>,
) -> Result<u8> {
    let plan = (suites.plan)(suites.pattern.as_deref());
    if app.is_dry() {
        app.show(&plan)?;
        return Ok(0);
    }
    let before = crate::commands::test::failed_before(app, suites.checkout);
    let history = crate::commands::test::history(app);
    let chosen = BTreeMap::from([(suites.package.to_owned(), chosen(suites))]);
    let mut session = Session::new(args, app.ui, &history, 0, 1);
    let began = Instant::now();
    let seconds = |name: &String| Some(history.of(suites.package, name)?.seconds);
    let mut waiting = VecDeque::from([Attempt {
        package: suites.package.to_owned(),
        as_root: plan.needs_root(),
        expected: suites.tests.iter().filter_map(seconds).sum(),
        again: None,
    }]);
    let (mut number, mut stop, mut record) = (0, Stop::Done, Utf8PathBuf::new());
    while let Some(attempt) = waiting.pop_front() {
        number += 1;
        let ended = one(app, suites, &mut session, (attempt, number));
        if number == 1 {
            record = ended.record;
        }
        waiting.extend(session.finished(number, ended.finished));
        if ended.interrupted {
            stop = Stop::Interrupted;
            waiting.clear();
        }
    }
    session.end_line();
    let report = Report {
        outcomes: &session.outcomes,
        chosen: &chosen,
        seconds: began.elapsed().as_secs_f64(),
        interrupted: stop == Stop::Interrupted,
        built: &BTreeSet::new(),
        leg: None,
        slowest: args.slowest,
        coverage: None,
        is_short: false,
    };
    finish::write(app, args, &report, before, &record, suites.checkout)?;
    let terms = Terms {
        results: args,
        strict: false,
        list: Some(suites.list),
    };
    Ok(finish::exit_code(app, &terms, &report, stop))
}

/// Reports that `--rerun-failed` found nothing to run.
pub(in crate::commands::test) fn nothing_failed(args: &ResultArgs) -> u8 {
    if args.json {
        let nothing = Report {
            outcomes: &BTreeMap::new(),
            chosen: &BTreeMap::new(),
            seconds: 0.0,
            interrupted: false,
            built: &BTreeSet::new(),
            leg: None,
            slowest: None,
            coverage: None,
            is_short: false,
        };
        ui::print_json(&nothing.json());
    } else {
        ui::print("nothing failed the last time\n");
    }
    0
}

fn chosen(suites: &Suites<'_>) -> SelectedPackage {
    let function = |name: &String| Function {
        name: name.clone(),
        pool: None,
        why: None,
        left_out: None,
        has_needs: true,
        parts_left_out: Vec::new(),
        unwanted: Vec::new(),
    };
    SelectedPackage {
        name: suites.package.to_owned(),
        folder: suites.checkout.to_owned(),
        roots: suites.tests.iter().map(function).collect(),
        only: Some(suites.tests.clone()),
    }
}

/// The result of one start of the binary.
struct End {
    finished: Finished,
    interrupted: bool,
    record: Utf8PathBuf,
}

fn one(
    app: &App<'_>,
    suites: &Suites<'_>,
    session: &mut Session<'_>,
    (attempt, number): (Attempt, usize),
) -> End {
    let again = attempt.again.as_ref();
    let pattern = match again.map(|(root, _)| any_of(std::slice::from_ref(root))) {
        Some(of_one) => of_one,
        None => suites.pattern.clone(),
    };
    let plan = (suites.plan)(pattern.as_deref());
    session.started(&attempt, number);
    let mut results = Package::new(suites.package);
    results.depth = DEPTH;
    let mut follower = Follower {
        session,
        number,
        framer: Framer::default(),
        results,
    };
    let began = Instant::now();
    let mut record = Utf8PathBuf::new();
    let options = Options {
        reader: Some(&mut follower),
        recorded: Some(&mut |run| run.dir.clone_into(&mut record)),
        ..Options::default()
    };
    let outcome = app.runner().run(&plan, options);
    let (mut results, last) = follower.end();
    results.seconds = began.elapsed().as_secs_f64();
    let (mut broken, mut interrupted) = (None, false);
    match outcome {
        Ok(()) => results.end(Ended::Code(0), last),
        Err(failure) => match failure.exit {
            Exit::Child(code) => {
                results.end(to_test_exit(code), last);
                broken = (suites.lost)();
            }
            Exit::Deadline => results.close(Verdict::TimedOut),
            Exit::Interrupted => {
                interrupted = true;
                results.end(Ended::Unknown, last);
            }
            _ => {
                results.end(Ended::Unknown, last);
                // The observer of nodes does not know which tests it watches.
                let told = (suites.lost)().filter(|lost| lost.exit == failure.exit);
                let what = told.map_or_else(|| failure.what.clone(), |lost| lost.what);
                broken = Some(Failure { what, ..failure });
            }
        },
    }
    End {
        finished: Finished {
            attempt,
            results,
            broken,
            left: Vec::new(),
        },
        interrupted,
        record,
    }
}

/// Turns output into results.
struct Follower<'a, 'b> {
    session: &'a mut Session<'b>,
    number: usize,
    framer: Framer,
    results: Package,
}

impl Follower<'_, '_> {
    fn end(self) -> (Package, Option<gotest::events::End>) {
        let Self {
            session,
            number,
            framer,
            mut results,
        } = self;
        let last = framer.finish(&mut |event| {
            told(&mut results, event, &mut |seen| session.seen(number, seen));
        });
        (results, last)
    }
}

impl Reader for Follower<'_, '_> {
    fn read(&mut self, bytes: &[u8]) {
        let (results, session, number) = (&mut self.results, &mut *self.session, self.number);
        self.framer.feed(bytes, &mut |event| {
            told(results, event, &mut |seen| session.seen(number, seen));
        });
    }

    fn tick(&mut self) {
        self.session.tick(0.0);
    }
}

/// Returns a regular expression for exactly one name.
pub(in crate::commands::test) fn exactly(name: &str) -> String {
    let mut out = String::from("^");
    for character in name.chars() {
        if "\\.+*?()|[]{}^$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('$');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_many_suites_are_no_pairs() {
        let names = ["TestIntegration/api.A/TestX", "TestIntegration/api.B"];
        assert_eq!(
            any_of(&names.map(str::to_owned)).unwrap(),
            r"^TestIntegration$/^api\.A$/^TestX$|^TestIntegration$/^api\.B$"
        );
        assert_eq!(any_of(&[]), None);
    }
}
