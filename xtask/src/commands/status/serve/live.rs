//! The data of the page: the bench, the end of one console, the steps of runs, the results
//! of tests, and which profiles there are. Read when it is asked for, so that nothing wakes up
//! while no page is shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::super::bench::Bench;
use crate::commands::pprof::recorded;
use foundation::ctx::Ctx;
use foundation::ctx::cluster::console_tail;
use foundation::ctx::own_files;
use foundation::failure::Result;
use foundation::files;
use foundation::record::run_summary::{self, RunSummary};
use foundation::record::runs::{self, Event, Line};
use foundation::ui::text::{escape, without_styles};

/// How old the bench may be: a look starts git and docker.
const BENCH_FOR: Duration = Duration::from_secs(5);
/// Lines of a console.
const LINES: usize = 500;
/// Number of runs, profiles, failed tests and packages.
const RUNS: usize = 12;
const PROFILES: usize = 40;
const FAILED: usize = 100;
const TESTED: usize = 10;
const PACKAGES: usize = 300;
/// Lines of a failed test's output.
const OUTPUT: usize = 40;

/// What a page asks for: names, which are looked up in lists, never paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    cluster: String,
    node: String,
    set: String,
    index: usize,
}

impl Asked {
    /// Reads the part of the address after `?`; what is not known is left out.
    pub(super) fn parse(query: &str) -> Self {
        let mut asked = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "cluster" => asked.cluster = value,
                "node" => asked.node = value,
                "set" => asked.set = value,
                // A number that is none names no profile.
                "index" => asked.index = value.parse().unwrap_or(usize::MAX),
                _ => {}
            }
        }
        asked
    }
}

#[derive(Debug)]
pub(super) struct Live {
    ctx: Ctx,
    /// The last look. Requests that wait for the lock get what it found.
    bench: Mutex<Option<(Instant, Value, Arc<Bench>)>>,
    /// Runs that have ended, which do not change.
    ended: Mutex<HashMap<String, Value>>,
    /// The results of the last run that tested something, with its id.
    tested: Mutex<Option<(String, Value)>>,
    /// One flame graph at a time: a large profile takes memory.
    drawing: Mutex<()>,
}

impl Live {
    pub(super) fn new(ctx: Ctx) -> Self {
        Self {
            ctx,
            bench: Mutex::default(),
            ended: Mutex::default(),
            tested: Mutex::default(),
            drawing: Mutex::default(),
        }
    }

    /// The data as JSON. Times that pass are not in it, so that it only differs when something
    /// has changed.
    pub(super) fn data(&self, asked: &Asked) -> String {
        let state = &self.ctx.dirs.state;
        let (bench, console) = match self.bench() {
            Ok((value, bench)) => (value, console(&bench, asked)),
            Err(failure) => (json!({"error": failure.in_one_line()}), Value::Null),
        };
        let (profiles, unread) = match recorded::list(state, PROFILES) {
            Ok(profiles) => (profiles, None),
            Err(failure) => (Vec::new(), Some(failure.in_one_line())),
        };
        let ids = runs::list(state);
        let data = json!({
            "schema": 1,
            "bench": bench,
            "console": console,
            "runs": self.runs(&ids),
            "tests": self.tests(&ids),
            "profiles": profiles,
            "profiles_unread": unread,
        });
        spelled(data).to_string()
    }

    /// The flame graph of the profile; `None` if there is none.
    ///
    /// # Errors
    /// When the profile cannot be read.
    pub(super) fn flame_graph(&self, asked: &Asked) -> Result<Option<String>> {
        let _one = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        recorded::flame_graph(&self.ctx.dirs.state, &asked.set, asked.index)
    }

    fn bench(&self) -> Result<(Value, Arc<Bench>)> {
        let mut last = self.bench.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, value, bench)) = &*last
            && at.elapsed() < BENCH_FOR
        {
            return Ok((value.clone(), Arc::clone(bench)));
        }
        let bench = Arc::new(Bench::look(&self.ctx)?);
        let mut value = bench.to_json();
        // They are below, with their steps; how long one takes changes all the time.
        if let Some(fields) = value.as_object_mut() {
            fields.remove("runs");
        }
        *last = Some((Instant::now(), value.clone(), Arc::clone(&bench)));
        Ok((value, bench))
    }

    fn runs(&self, ids: &[String]) -> Vec<Value> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|id, _| ids.iter().take(RUNS).any(|known| known == id));
        let mut found = Vec::new();
        for id in ids.iter().take(RUNS) {
            if let Some(run) = ended.get(id) {
                found.push(run.clone());
                continue;
            }
            let dir = self.ctx.dirs.state.join("runs").join(id);
            let Ok((meta, events)) = run_summary::read(&dir) else {
                continue;
            };
            let Ok(summary) = RunSummary::of_record(&dir, &meta, &events) else {
                continue;
            };
            let run = run(&summary, &meta, &events);
            if !summary.running {
                ended.insert(id.clone(), run.clone());
            }
            found.push(run);
        }
        found
    }

    fn tests(&self, ids: &[String]) -> Option<Value> {
        let mut last = self.tested.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids.iter().filter(|id| is_test(id)).take(TESTED) {
            if let Some((known, results)) = &*last
                && known == id
            {
                return Some(results.clone());
            }
            if let Some(results) = tests(&self.ctx.dirs.state, id) {
                *last = Some((id.clone(), results.clone()));
                return Some(results);
            }
        }
        None
    }
}

/// The end of the console of a node that is asked for, else of the first.
fn console(bench: &Bench, asked: &Asked) -> Value {
    let nodes = bench
        .clusters
        .iter()
        .flat_map(|cluster| cluster.nodes.iter().map(move |node| (cluster, node)));
    let is_asked = |cluster: &str, node: &str| cluster == asked.cluster && node == asked.node;
    let found = nodes
        .clone()
        .find(|(cluster, node)| is_asked(&cluster.name, &node.name))
        .or_else(|| nodes.clone().next());
    let Some((cluster, node)) = found else {
        return Value::Null;
    };
    json!({
        "cluster": cluster.name,
        "node": node.name,
        "lines": console_tail(&node.console, LINES),
    })
}

fn run(summary: &RunSummary, meta: &Value, events: &[Line]) -> Value {
    let steps = meta["plan"]["steps"].as_array();
    let steps = steps.map_or(&[][..], Vec::as_slice).iter().enumerate();
    let steps: Vec<Value> = steps
        .map(|(index, step)| step_of(&step["why"], index + 1, events))
        .collect();
    json!({
        "id": summary.id,
        "command": summary.command,
        "checkout": summary.origin.checkout,
        "started": summary.started,
        "ended": summary.ended,
        "code": summary.code,
        "running": summary.running,
        "steps": steps,
    })
}

fn step_of(why: &Value, number: usize, events: &[Line]) -> Value {
    let mut found = json!({"why": why, "state": "waits"});
    for line in events {
        match &line.event {
            Event::Skip { step } if *step == number => found["state"] = "skipped".into(),
            Event::Start { step } if *step == number => {
                found["state"] = "runs".into();
                found["started"] = line.at.into();
            }
            Event::Finish { step, ms, failure } if *step == number => {
                found["state"] = if failure.is_some() { "failed" } else { "ok" }.into();
                found["milliseconds"] = (*ms).into();
                found["failure"] = json!(failure);
            }
            _ => {}
        }
    }
    found
}

/// Whether the run with this id was started as `test …`.
fn is_test(id: &str) -> bool {
    id.split_once('-')
        .is_some_and(|(_, verb)| verb.starts_with("test"))
}

/// The results of a run that tested something, from its report.
fn tests(state: &Utf8Path, id: &str) -> Option<Value> {
    let path = state.join("runs").join(id).join("report.json");
    let text = own_files::read(&path, 4 * files::MEDIUM).ok()??;
    let report: Value = serde_json::from_slice(&text).ok()?;
    let packages = report["packages"].as_array()?;
    let bad = packages.iter().flat_map(failed_in).take(FAILED);
    let shown = packages.iter().take(PACKAGES).map(|package| {
        json!({
            "package": package["package"],
            "verdict": package["verdict"],
            "seconds": package["seconds"],
            "tests": package["tests"].as_array().map(Vec::len),
        })
    });
    Some(json!({
        "run": id,
        "seconds": report["seconds"],
        "interrupted": report["interrupted"],
        "counts": report["counts"],
        "packages": shown.collect::<Vec<_>>(),
        "failed": bad.collect::<Vec<_>>(),
    }))
}

/// The tests of a package that failed, or the package if it failed as a whole: those with
/// output in a report.
fn failed_in(package: &Value) -> Vec<Value> {
    let name = &package["package"];
    let tests = package["tests"].as_array();
    let tests = tests.map_or(&[][..], Vec::as_slice).iter();
    let failed: Vec<Value> = tests
        .filter(|test| test["output"].is_string() && test["state"] != "flaky")
        .map(|test| json!({"package": name, "test": test["name"], "output": end_of(&test["output"])}))
        .collect();
    if failed.is_empty() && package["output"].is_string() {
        return vec![json!({"package": name, "test": null, "output": end_of(&package["output"])})];
    }
    failed
}

/// The last lines of a test's output, which say why it failed.
fn end_of(output: &Value) -> String {
    let lines: Vec<&str> = output.as_str().unwrap_or_default().lines().collect();
    lines[lines.len().saturating_sub(OUTPUT)..].join("\n")
}

/// Spells out control characters in every string, and removes styles, as on a terminal.
fn spelled(value: Value) -> Value {
    match value {
        Value::String(text) => escape(&without_styles(&text)).into_owned().into(),
        Value::Array(items) => items.into_iter().map(spelled).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            fields.map(|(name, value)| (name, spelled(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_the_rest_is_left_out() {
        let asked = Asked::parse("cluster=a%20b&node=n-1&x&index=7&set=%2e%2e%2fetc");
        assert_eq!(
            (asked.cluster.as_str(), asked.node.as_str()),
            ("a b", "n-1")
        );
        assert_eq!((asked.set.as_str(), asked.index), ("../etc", 7));
        assert_eq!(Asked::parse("index=-1").index, usize::MAX);
        assert_eq!(Asked::parse("%&=&%ff"), Asked::default());
    }

    #[test]
    fn control_characters_are_spelled_out_wherever_they_are() {
        let value =
            json!({"a": ["\u{1b}[31mred\u{1b}[0m\u{1b}]0;t\u{7}", {"b": "\u{202e}x\ny"}], "n": 1});
        let spelled = spelled(value);
        let text = spelled.to_string();
        assert!(
            !text.contains("\\u001b") && !text.contains('\u{202e}'),
            "{text}"
        );
        assert!(
            text.contains("red") && text.contains("u{202e}x\\ny"),
            "{text}"
        );
        assert_eq!(spelled["n"], 1);
    }

    #[test]
    fn steps_have_states_and_times() {
        let events = [
            Event::Start { step: 1 },
            Event::Finish {
                step: 1,
                ms: 12,
                failure: None,
            },
            Event::Skip { step: 2 },
            Event::Start { step: 3 },
            Event::Finish {
                step: 3,
                ms: 5,
                failure: Some("no".to_owned()),
            },
            Event::Start { step: 4 },
        ];
        let events: Vec<Line> = events
            .into_iter()
            .map(|event| Line { event, at: 9 })
            .collect();
        let states: Vec<Value> = (1..=5)
            .map(|number| step_of(&json!("w"), number, &events))
            .collect();
        let words: Vec<&str> = states
            .iter()
            .filter_map(|step| step["state"].as_str())
            .collect();
        assert_eq!(words, ["ok", "skipped", "failed", "runs", "waits"]);
        assert_eq!(
            (&states[0]["milliseconds"], &states[3]["started"]),
            (&json!(12), &json!(9))
        );
        assert_eq!(states[2]["failure"], "no");
    }

    #[test]
    fn failures_are_those_with_output() {
        let package = json!({"package": "p", "output": "FAIL", "tests": [
            {"name": "TestA", "state": "passed"},
            {"name": "TestB", "state": "failed", "output": "why"},
            {"name": "TestC", "state": "flaky", "output": "once"},
        ]});
        let failed = failed_in(&package);
        assert_eq!(
            failed,
            [json!({"package": "p", "test": "TestB", "output": "why"})]
        );
        let broken = json!({"package": "p", "output": "does not compile", "tests": []});
        assert_eq!(failed_in(&broken)[0]["output"], "does not compile");
    }
}
