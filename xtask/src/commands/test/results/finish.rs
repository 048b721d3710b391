//! The end of a run: writes the reports, stores the history and computes the
//! exit code.

use camino::Utf8Path;
use gotest::events::{Package, Verdict};

use super::report::Report;
use crate::app::App;
use crate::commands::test::args::ResultArgs;
use foundation::ctx::probe::Probe;
use foundation::failure::{Because, Exit, Result};
use foundation::record::files;
use foundation::record::results::{Failed, remember};
use foundation::run::gotest::Stop;
use foundation::typed;
use foundation::ui;

/// Writes reports and history; an error here does not change the result of the
/// tests.
pub(in crate::commands::test) fn write(
    app: &App<'_>,
    args: &ResultArgs,
    report: &Report<'_>,
    before: Option<Failed>,
    record: &Utf8Path,
    checkout: &Utf8Path,
) -> Result<()> {
    write_reports(app, args, report, record)?;
    let is_unbuilt = |run: &Package| run.verdict == Some(Verdict::BuildFailed);
    if report.runs().any(is_unbuilt)
        && let Some(note) = of_another_go(checkout)
    {
        app.ui.note(&note);
    }
    let state = &app.ctx.dirs.state;
    // Only estimates are lost.
    if let Err(failure) = remember(state, &report.remembered()) {
        app.ui.note(&failure.to_string());
    }
    report.next_failed(before).save(state, checkout)
}

/// Older Talos has dependencies that a later Go does not build.
fn of_another_go(checkout: &Utf8Path) -> Option<String> {
    let text = foundation::files::read_text(&checkout.join("go.mod"), foundation::files::SMALL);
    let text = text.ok()??;
    let required = text
        .lines()
        .find_map(|line| line.strip_prefix("go "))?
        .trim();
    let here = Probe::new(["go", "env", "GOVERSION"]).current_dir(checkout);
    let here = here.stdout().ok()?;
    let line =
        |version: &str| -> Vec<String> { version.split('.').take(2).map(str::to_owned).collect() };
    if line(here.trim_start_matches("go")) == line(required) {
        return None;
    }
    let release = match required.matches('.').count() {
        1 => format!("{required}.0"),
        _ => required.to_owned(),
    };
    Some(format!(
        "the checkout is for Go {required}, and this is {here}; GOTOOLCHAIN=go{release} builds with that"
    ))
}

/// Prints the summary, and writes the requested reports.
pub(in crate::commands::test) fn write_reports(
    app: &App<'_>,
    args: &ResultArgs,
    report: &Report<'_>,
    record: &Utf8Path,
) -> Result<()> {
    let json = report.json();
    let text = format!("{json:#}\n");
    let write = |path: &Utf8Path, text: &str| {
        files::write_output(path, text.as_bytes()).because(|| format!("cannot write `{path}`"))
    };
    let _ = files::replace(&record.join("report.json"), text.as_bytes(), 0o600);
    if let Some(path) = &args.report {
        write(path, &text)?;
    }
    if let Some(path) = &args.junit {
        let go = Probe::new(["go", "env", "GOVERSION"]).stdout();
        let command: Vec<String> = std::env::args().skip(1).collect();
        let properties = [
            ("go.version", go.unwrap_or_default().trim().to_owned()),
            (
                "command",
                shlex::try_join(command.iter().map(String::as_str)).unwrap_or_default(),
            ),
        ];
        write(path, &report.junit(&properties))?;
    }
    if args.json {
        ui::print_json(&json);
        app.ui.report(&report.people(app.ui));
    } else {
        ui::print(&report.people(app.ui));
    }
    Ok(())
}

/// The rules by which a run is judged.
pub(in crate::commands::test) struct Terms<'a> {
    pub(in crate::commands::test) results: &'a ResultArgs,
    /// Tests that cannot run here are a failure.
    pub(in crate::commands::test) strict: bool,
    /// The command that lists all tests, if only some were requested.
    pub(in crate::commands::test) list: Option<&'a str>,
}

pub(in crate::commands::test) fn exit_code(
    app: &App<'_>,
    terms: &Terms<'_>,
    report: &Report<'_>,
    stop: Stop,
) -> u8 {
    if stop == Stop::Interrupted {
        return Exit::Interrupted.code();
    }
    let broken = report.outcomes.values().find_map(|it| it.broken.as_ref());
    let failed = !report.failed().is_empty()
        || report
            .outcomes
            .values()
            .any(|outcome| outcome.failed_by_itself().is_some());
    if let Some(failure) = broken {
        app.ui
            .note("not a failure of tests: something they run on has failed");
        return failure.exit.code();
    }
    let flaky = !report.flaky().is_empty() && !terms.results.allow_flaky;
    let left_out = !report.left_out().is_empty() && terms.strict;
    if flaky && !failed {
        app.ui
            .note("flaky tests are failures unless `--allow-flaky` is given");
    }
    if left_out && !failed {
        app.ui.note("`--strict`: tests were left out");
    }
    if failed {
        app.ui.note("`--rerun-failed` runs what failed again");
        if let Some((package, pattern)) = report.failed_subtest() {
            let one = typed!("test unit {} --run {}", package, pattern);
            app.ui
                .note(&format!("`{one}` runs one failed subtest alone"));
        }
    }
    // A test that never began is not forgiven with the flaky test that ended the run.
    let not_run = !report.not_run().is_empty();
    if failed || flaky || left_out || not_run {
        return Exit::Checks.code();
    }
    if terms.list.is_some() && report.is_empty() && !report.left_out().is_empty() {
        app.ui
            .note("all tests that match were left out on this host, for the reasons above");
        return Exit::HostNotReady.code();
    }
    if let Some(list) = terms.list.filter(|_| report.is_empty()) {
        app.ui.note(&format!("no test matches: `{list}` shows all"));
        return Exit::Usage.code();
    }
    0
}
