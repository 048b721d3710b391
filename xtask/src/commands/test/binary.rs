//! The binaries of integration and upgrade tests: built when their sources have
//! changed; their suites are read from the sources.

use std::fmt::Write;

use camino::Utf8Path;
use gotest::{NamedSuite, Target, Workspace, named_suites, newest_source};
use serde_json::{Value, json};

use super::discovered::unread;
use super::invalid_duration;
use crate::app::App;
use crate::commands::build;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::probe::Probe;
use foundation::ctx::sources::Sources;
use foundation::failure::Result;
use foundation::plan::Plan;
use foundation::run::Options;
use foundation::ui;
use foundation::units::parse_duration;

/// The folder of the sources.
const FOLDER: &str = "internal/integration";

/// Builds the binary when it is missing or older than its sources.
pub(super) fn rebuilt(
    app: &App<'_>,
    checkout: &Checkout,
    target: &str,
    binary: &str,
    tags: &[&str],
) -> Result<()> {
    let path = checkout.dir.join(binary);
    let Some(why) = stale(checkout, &path, tags)? else {
        app.ui.progress(&format!("{binary} is of these sources"));
        return Ok(());
    };
    let repository = build::repository::Repository::open(&checkout.dir)?;
    let mut plan = build::plan_anew(app, &repository, target, binary)?;
    plan.title = format!("{binary}: {why}");
    plan.note(why);
    if !app.is_dry() {
        build::preflight::check(app, &plan)?;
    }
    prepare(app, &plan)
}

/// Shows or runs a plan on which the tests depend. Standard output is left to
/// their results.
///
/// # Errors
/// The failing step's.
pub(super) fn prepare(app: &App<'_>, plan: &Plan) -> Result<()> {
    let options = Options {
        keep_stdout: true,
        ..Options::default()
    };
    app.carry_out_with(plan, options).map(drop)
}

/// Returns why a binary has to be built again; `None` when it is newer than all
/// of its sources.
fn stale(checkout: &Checkout, binary: &Utf8Path, tags: &[&str]) -> Result<Option<String>> {
    let Some(built) = modified(binary) else {
        return Ok(Some("it is not built yet".to_owned()));
    };
    let source = Sources {
        root: checkout.dir.clone(),
    };
    let workspace = Workspace::open(&source).map_err(|it| unread(&checkout.dir, &it))?;
    let newest = newest_source(&source, &workspace, &target(tags), FOLDER)
        .map_err(|it| unread(&checkout.dir, &it))?;
    if let Some((file, changed)) = newest.filter(|(_, changed)| *changed > built) {
        let seconds = (changed - built) / 1_000_000_000;
        return Ok(Some(format!(
            "{file} changed {seconds} s after it was built"
        )));
    }
    // Modules outside the checkout change with these files.
    Ok(["go.mod", "go.sum", "pkg/machinery/go.mod"]
        .into_iter()
        .find(|file| modified(&checkout.dir.join(file)).is_some_and(|at| at > built))
        .map(|file| format!("{file} changed after it was built")))
}

/// When a file changed, in nanoseconds since 1970.
fn modified(path: &Utf8Path) -> Option<i128> {
    let at = std::fs::metadata(path).ok()?.modified().ok()?;
    i128::try_from(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos()).ok()
}

fn target(tags: &[&str]) -> Target {
    Target {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Target::default()
    }
}

/// The suites of a binary with these tags, read from the sources.
///
/// # Errors
/// A source that cannot be read.
pub(super) fn suites(checkout: &Checkout, tags: &[&str]) -> Result<Vec<NamedSuite>> {
    let source = Sources {
        root: checkout.dir.clone(),
    };
    Workspace::open(&source)
        .and_then(|workspace| named_suites(&source, &workspace, &target(tags), FOLDER))
        .map_err(|it| unread(&checkout.dir, &it))
}

pub(super) fn list(suites: &[NamedSuite], as_json: bool) {
    if as_json {
        let suites: Vec<Value> = suites
            .iter()
            .map(|it| json!({"name": it.name, "tests": it.methods, "file": it.file, "line": it.line}))
            .collect();
        return ui::print_report(json!({"suites": suites}));
    }
    let mut out = String::new();
    for suite in suites {
        let _ = writeln!(out, "{}  {}:{}", suite.name, suite.file, suite.line);
        for method in &suite.methods {
            let _ = writeln!(out, "  {method}");
        }
    }
    ui::print(&out);
}

/// Returns the suites that a binary has, with complete names: testify leaves a
/// suite before its `SetupSuite` when no method of it matches. `None` if the
/// binary does not print them.
pub(super) fn real_suites(checkout: &Checkout, binary: &str) -> Option<Vec<String>> {
    let path = checkout.dir.join(binary);
    let words = [
        path.as_str(),
        "-test.v",
        "-test.run=^TestIntegration$",
        "-testify.m=^NONE$",
    ];
    let said = Probe::new(words).current_dir(&checkout.dir).stdout().ok()?;
    let name = |line: &str| {
        let name = line.strip_prefix("=== RUN   TestIntegration/")?;
        Some(name.to_owned())
    };
    Some(said.lines().filter_map(name).collect())
}

/// Returns the limit of a run in seconds.
///
/// # Errors
/// If `text` is not a duration.
pub(super) fn limit(text: Option<&str>, usual: u64) -> Result<u64> {
    let Some(text) = text else { return Ok(usual) };
    let span = parse_duration(text).map(|limit| limit.as_secs());
    span.ok()
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| invalid_duration(text))
}
