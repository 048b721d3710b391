//! Shows a profile in the requested form.

use ::pprof::report::{self, TimeStyle};
use ::pprof::{Difference, Profile, Top};
use jiff::tz::TimeZone;
use serde_json::json;

use super::load::engine;
use super::present::{Form, Presentation};
use super::sources::Sources;
use crate::app::App;
use foundation::failure::{Because, Result};
use foundation::record::files;
use foundation::ui;

/// Prints the report, or writes it to the file.
pub(super) fn show(app: &App<'_>, profile: &Profile, present: &Presentation) -> Result<u8> {
    let query = &present.query;
    let text = match &present.form {
        Form::Proto => {
            let kept = ::pprof::compress_kept(profile, query);
            let (bytes, warnings) = kept.map_err(|error| engine(&error))?;
            warn(app, &warnings);
            return output(present, Content::Bytes(&bytes));
        }
        Form::Goroutines => return goroutines(app, profile, present),
        _ if present.json => {
            let top = report::top(profile, query).map_err(|error| engine(&error))?;
            return rows(app, present, &top);
        }
        Form::List(expression) => return list(app, profile, present, expression),
        Form::Comments => return output(present, Content::Text(&report::comments(profile))),
        Form::Peek(expression) => report::peek(profile, query, expression, &time),
        Form::Tree => report::tree(profile, query, &time),
        Form::Traces => report::traces(profile, query, &time),
        Form::Tags => report::tags(profile, query),
        Form::Raw => report::raw(profile, query, &time),
        Form::Dot => report::dot(profile, query, &time),
        Form::Callgrind => report::callgrind(profile, query),
        _ => report::top_text(profile, query, &time),
    };
    let text = text.map_err(|error| engine(&error))?;
    warn(app, &text.warnings);
    output(present, Content::Text(&text.text))
}

/// The top of a difference, if it can be computed without merging the two;
/// `None` if this query or form needs the merged profile.
pub(super) fn difference(
    app: &App<'_>,
    of: &Difference,
    present: &Presentation,
) -> Result<Option<u8>> {
    if present.form.sums_nodes() && present.form != Form::Top {
        return Ok(None);
    }
    let query = &present.query;
    if present.json {
        let top = report::difference_top(of, query).map_err(|error| engine(&error))?;
        return top.map(|top| rows(app, present, &top)).transpose();
    }
    let text = report::difference_text(of, query, &time).map_err(|error| engine(&error))?;
    text.map(|text| {
        warn(app, &text.warnings);
        output(present, Content::Text(&text.text))
    })
    .transpose()
}

fn list(app: &App<'_>, profile: &Profile, present: &Presentation, expression: &str) -> Result<u8> {
    let sources = Sources::new(app, &present.source);
    let read = |file: &str| sources.read(file);
    let text = report::list_text(profile, &present.query, expression, &read);
    let text = text.map_err(|error| engine(&error))?;
    warn(app, &text.warnings);
    for (theirs, ours) in sources.moved() {
        app.ui.note(&if theirs.is_empty() {
            format!("sources are read from {ours}")
        } else {
            format!("{theirs} is read from {ours}")
        });
    }
    if let Some(mismatch) = sources.mismatch(profile)? {
        app.ui.note(&mismatch);
    }
    output(present, Content::Text(&text.text))
}

fn goroutines(app: &App<'_>, profile: &Profile, present: &Presentation) -> Result<u8> {
    let found =
        report::goroutines(profile, &present.query, "node").map_err(|error| engine(&error))?;
    warn(app, &found.warnings);
    if present.json {
        return output(present, Content::Json(&goroutines_json(&found)));
    }
    let most = present.rows.unwrap_or(30);
    output(
        present,
        Content::Text(&found.text(most, present.query.trim)),
    )
}

/// Stable: fields are added, never changed.
pub(super) fn goroutines_json(found: &report::Goroutines) -> serde_json::Value {
    let groups: Vec<_> = found
        .groups
        .iter()
        .map(|group| {
            let nodes = found.nodes.iter().zip(&group.counts);
            let nodes: std::collections::BTreeMap<_, _> = nodes.collect();
            json!({
                "count": group.count, "state": group.state, "wait_minutes": group.wait,
                "created_by": group.created_by, "nodes": nodes, "stack": group.stack,
                "places": group.places,
            })
        })
        .collect();
    ui::with_schema(json!({"total": found.total, "groups": groups}))
}

fn rows(app: &App<'_>, present: &Presentation, top: &Top) -> Result<u8> {
    warn(app, &top.warnings);
    let rows: Vec<_> = top
        .rows
        .iter()
        .map(|row| json!({"name": row.name, "flat": row.flat, "cum": row.cum}))
        .collect();
    let value = ui::with_schema(json!({
        "sample_type": top.sample_type, "unit": top.unit,
        "total": top.total, "rows": rows,
    }));
    output(present, Content::Json(&value))
}

pub(super) fn warn(app: &App<'_>, warnings: &[String]) {
    for warning in warnings {
        app.ui.note(warning);
    }
}

/// The content that is printed or written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// Text for a terminal: control characters are escaped.
    Text(&'a str),
    Json(&'a serde_json::Value),
    /// JSON that was already serialized.
    JsonText(&'a str),
    Bytes(&'a [u8]),
}

pub(super) fn output(present: &Presentation, content: Content<'_>) -> Result<u8> {
    if let Some(path) = &present.output {
        let written = match content {
            Content::Text(text) | Content::JsonText(text) => {
                files::write_output(path, text.as_bytes())
            }
            Content::Json(value) => files::write_output(path, format!("{value:#}\n").as_bytes()),
            Content::Bytes(bytes) => files::write_output(path, bytes),
        };
        written.because(|| format!("cannot write `{path}`"))?;
        return Ok(0);
    }
    match content {
        Content::Text(text) => ui::print(text),
        Content::Json(value) => ui::print_json(value),
        Content::JsonText(text) => ui::print(&ui::text::json(text)),
        Content::Bytes(bytes) => ui::print_bytes(bytes),
    }
    Ok(0)
}

/// Formats a time in the user's time zone, as Go prints it.
pub(super) fn time(nanos: i64, style: TimeStyle) -> String {
    let Ok(stamp) = jiff::Timestamp::from_nanosecond(i128::from(nanos)) else {
        return nanos.to_string();
    };
    let zoned = stamp.to_zoned(TimeZone::system());
    match style {
        TimeStyle::Short => zoned.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        TimeStyle::Full => zoned.strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string(),
    }
}
