//! A run in the trace event format of Chrome, which Perfetto reads.

use serde_json::{Value, json};

use super::Clean;
use foundation::record::runs::Event;

/// Steps are in one row, what undid them in another. Times are in microseconds.
pub(super) fn render(clean: &Clean) -> String {
    let origin = clean.summary.started;
    let since = |at: u64| at.saturating_sub(origin).saturating_mul(1000);
    let mut events: Vec<Value> = vec![
        json!({"name": "process_name", "ph": "M", "pid": 1, "tid": 1,
            "args": {"name": clean.summary.command}}),
        json!({"name": "thread_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "steps"}}),
        json!({"name": "thread_name", "ph": "M", "pid": 1, "tid": 2, "args": {"name": "undo"}}),
    ];
    for line in &clean.events {
        let at = since(line.at);
        events.push(match &line.event {
            Event::Finish { step, ms, failure } => {
                let described = &clean.plan["steps"][step.saturating_sub(1)];
                json!({"name": described["why"], "cat": "step", "ph": "X", "pid": 1, "tid": 1,
                    "ts": at.saturating_sub(ms.saturating_mul(1000)), "dur": ms.saturating_mul(1000),
                    "args": {"step": step, "failure": failure, "privilege": described["privilege"]}})
            }
            Event::Undo { why } => {
                json!({"name": why, "cat": "undo", "ph": "i", "s": "t", "pid": 1, "tid": 2, "ts": at})
            }
            Event::UndoFailed { why, failure } => json!({"name": why, "cat": "undo", "ph": "i",
                "s": "t", "pid": 1, "tid": 2, "ts": at, "args": {"failure": failure}}),
            Event::Skip { step } => json!({"name": clean.plan["steps"][step.saturating_sub(1)]["why"],
                "cat": "skipped", "ph": "i", "s": "t", "pid": 1, "tid": 1, "ts": at}),
            Event::End { code } => json!({"name": format!("exit {code}"), "cat": "end", "ph": "i",
                "s": "p", "pid": 1, "tid": 1, "ts": at}),
            Event::Start { .. } => continue,
        });
    }
    let about: serde_json::Map<String, Value> = clean
        .about
        .iter()
        .map(|(what, text)| ((*what).to_owned(), text.as_str().into()))
        .collect();
    let trace = json!({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about});
    format!("{trace}\n")
}
