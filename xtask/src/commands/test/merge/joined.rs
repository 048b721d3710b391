//! Merges the reports of all shards: JSON and XML as `test unit` writes them,
//! and a summary.

use std::collections::BTreeSet;
use std::fmt::Write;

use gotest::events::{Package, State, Test, Verdict};
use serde_json::{Map, Value, json};

use super::LegReport;
use crate::commands::test::leg::Options;
use foundation::ui::text::{counted, one_line};
use foundation::ui::{self, Style, Ui};

/// Returns the JSON as of one machine, with the common commit; the time is that
/// of the longest shard.
pub(super) fn json(parts: &[LegReport]) -> Value {
    let mut counts = Map::new();
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    let mut longest = 0.0_f64;
    for part in parts {
        for (name, count) in part.report["counts"].as_object().into_iter().flatten() {
            let before = counts.get(name).and_then(Value::as_u64).unwrap_or_default();
            let sum = before.saturating_add(count.as_u64().unwrap_or_default());
            counts.insert(name.clone(), json!(sum));
        }
        for (list, name) in lists.iter_mut().zip(["packages", "left_out", "not_run"]) {
            list.extend(each(&part.report, name).cloned());
        }
        longest = longest.max(part.report["seconds"].as_f64().unwrap_or_default());
    }
    for list in &mut lists {
        list.sort_by(|a, b| word(a, "package").cmp(word(b, "package")));
    }
    let [packages, left_out, not_run] = lists;
    ui::with_schema(json!({
        "seconds": longest,
        "interrupted": false,
        "merged": {
            "legs": parts.len(),
            "commit": parts.first().and_then(|part| part.leg.commit.clone()),
        },
        "counts": counts,
        "packages": packages,
        "left_out": left_out,
        "not_run": not_run,
    }))
}

pub(super) fn junit(merged: &Value) -> String {
    let packages: Vec<Package> = each(merged, "packages").map(package).collect();
    let flaky: BTreeSet<(&str, &str)> = each(merged, "packages")
        .flat_map(|it| {
            let roots = each(it, "flaky").filter_map(Value::as_str);
            roots.map(|root| (word(it, "package"), root))
        })
        .collect();
    gotest::events::junit(packages.iter(), &[], |path, root| {
        flaky.contains(&(path, root))
    })
}

fn package(value: &Value) -> Package {
    let mut package = Package::new(word(value, "package"));
    package.seconds = value["seconds"].as_f64().unwrap_or_default();
    package.started = value["started"].as_str().map(str::to_owned);
    package.verdict = Verdict::parse(word(value, "verdict"), word(value, "detail"));
    package.output.push(word(value, "output").as_bytes());
    package.tests = each(value, "tests").map(test).collect();
    package
}

fn test(value: &Value) -> Test {
    let attributes = value["attributes"].as_object().into_iter().flatten();
    let attributes =
        attributes.map(|(key, text)| (key.clone(), text.as_str().unwrap_or_default().to_owned()));
    let mut test = Test {
        name: word(value, "name").to_owned(),
        state: match word(value, "state") {
            "passed" => State::Passed,
            "skipped" => State::Skipped,
            "failed" | "flaky" => State::Failed,
            "paused" => State::Paused,
            _ => State::Aborted,
        },
        seconds: value["seconds"].as_f64().unwrap_or_default(),
        output: gotest::events::Output::default(),
        reason: value["reason"].as_str().map(str::to_owned),
        raced: value["raced"] == true,
        attributes: attributes.collect(),
    };
    test.output.push(word(value, "output").as_bytes());
    test
}

pub(super) fn people(ui: &Ui, merged: &Value) -> String {
    let mut out = String::new();
    for (title, style, name) in [
        ("Flaky: failed, then passed", Style::Warn, "flaky"),
        ("Failed", Style::Bad, "failed"),
    ] {
        let mut lines = String::new();
        for package in each(merged, "packages") {
            for test in each(package, name).filter_map(Value::as_str) {
                let package = one_line(word(package, "package"));
                let _ = writeln!(lines, "  {package} {}", one_line(test));
            }
        }
        if !lines.is_empty() {
            let _ = write!(out, "{}\n{lines}", ui.paint(style, title));
        }
    }
    for package in each(merged, "packages").filter(|it| failed_by_itself(it)) {
        let why = package["broken"].as_str();
        let why = why.unwrap_or_else(|| word(package, "detail"));
        let line = format!("{}: {why}", one_line(word(package, "package")));
        let _ = writeln!(out, "{}", ui.paint(Style::Bad, &line));
    }
    let count = |name: &str| merged["counts"][name].as_u64().unwrap_or_default();
    let _ = write!(
        out,
        "{} in {} of {}: {} passed, {} failed, {} skipped",
        counted(count("total"), "test"),
        counted(each(merged, "packages").count() as u64, "package"),
        counted(merged["merged"]["legs"].as_u64().unwrap_or_default(), "leg"),
        count("passed"),
        count("failed"),
        count("skipped"),
    );
    for (name, words) in [
        ("flaky", "flaky"),
        ("left_out", "left out"),
        ("not_run", "not run"),
    ] {
        if count(name) > 0 {
            let _ = write!(out, ", {} {words}", count(name));
        }
    }
    out.push('\n');
    out
}

/// Whether the run succeeded, by the rules of `test unit` with the same
/// options.
pub(super) fn is_good(merged: &Value, options: &Options) -> bool {
    let count = |name: &str| merged["counts"][name].as_u64().unwrap_or_default();
    let failed = each(merged, "packages")
        .any(|package| failed_by_itself(package) || each(package, "failed").next().is_some());
    let flaky = count("flaky") > 0 && !options.allow_flaky;
    let left_out = count("left_out") > 0 && options.strict;
    !failed && count("failed") == 0 && !flaky && !left_out
}

/// A package's own output is kept only if no test of it explains the failure.
fn failed_by_itself(package: &Value) -> bool {
    package["output"].is_string() || package["broken"].is_string()
}

fn each<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
