//! A profile in the form that is asked for.

use ::pprof::report::{self, TimeStyle};
use ::pprof::{Difference, Profile, Query, Top};
use jiff::tz::TimeZone;
use serde_json::json;

use super::args::ShowArgs;
use super::load::engine;
use super::sources::Sources;
use crate::app::App;
use foundation::failure::{Because, Result};
use foundation::record::files;
use foundation::ui;

/// Print or write it.
pub(super) fn show(app: &App<'_>, profile: &Profile, args: &ShowArgs) -> Result<u8> {
    let query = args.query();
    if args.proto {
        let bytes = ::pprof::compress(profile).map_err(|error| engine(&error))?;
        return output(args, Form::Bytes(&bytes));
    }
    if args.goroutines {
        return goroutines(app, profile, args, &query);
    }
    if args.json {
        return json(app, profile, args, &query);
    }
    if let Some(expression) = &args.list {
        return list(app, profile, args, expression);
    }
    let text = if let Some(expression) = &args.peek {
        report::peek(profile, &query, expression, &time)
    } else if args.tree {
        report::tree(profile, &query, &time)
    } else if args.traces {
        report::traces(profile, &query, &time)
    } else if args.tags {
        report::tags(profile, &query)
    } else if args.raw {
        report::raw(profile, &query, &time)
    } else if args.comments {
        return output(args, Form::Text(&report::comments(profile)));
    } else {
        report::top_text(profile, &query, &time)
    };
    let text = text.map_err(|error| engine(&error))?;
    warn(app, &text.warnings);
    output(args, Form::Text(&text.text))
}

/// The top of a difference, if it can be told without merging the two; none
/// if that, or another form, needs the whole.
pub(super) fn difference(app: &App<'_>, of: &Difference, args: &ShowArgs) -> Result<Option<u8>> {
    if args.has_form() && !args.top || args.goroutines {
        return Ok(None);
    }
    let query = args.query();
    if args.json {
        let top = report::difference_top(of, &query).map_err(|error| engine(&error))?;
        return top.map(|top| rows(app, args, &top)).transpose();
    }
    let text = report::difference_text(of, &query, &time).map_err(|error| engine(&error))?;
    text.map(|text| {
        warn(app, &text.warnings);
        output(args, Form::Text(&text.text))
    })
    .transpose()
}

fn list(app: &App<'_>, profile: &Profile, args: &ShowArgs, expression: &str) -> Result<u8> {
    let sources = Sources::new(app, &args.source);
    let read = |file: &str| sources.read(file);
    let text = report::list_text(profile, &args.query(), expression, &read);
    let text = text.map_err(|error| engine(&error))?;
    warn(app, &text.warnings);
    for (theirs, ours) in sources.moved() {
        let theirs = if theirs.is_empty() {
            "sources"
        } else {
            &theirs
        };
        app.ui.note(&format!("{theirs} is read from {ours}"));
    }
    if let Some(mismatch) = sources.mismatch(profile)? {
        app.ui.note(&mismatch);
    }
    output(args, Form::Text(&text.text))
}

fn goroutines(app: &App<'_>, profile: &Profile, args: &ShowArgs, query: &Query) -> Result<u8> {
    let found = report::goroutines(profile, query, "node").map_err(|error| engine(&error))?;
    warn(app, &found.warnings);
    if args.json {
        return output(args, Form::Json(&goroutines_json(&found)));
    }
    let most = args.value.nodecount.unwrap_or(30);
    output(args, Form::Text(&found.text(most, !args.value.no_trim)))
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
    json!({"schema": 1, "total": found.total, "groups": groups})
}

fn json(app: &App<'_>, profile: &Profile, args: &ShowArgs, query: &Query) -> Result<u8> {
    let top = report::top(profile, query).map_err(|error| engine(&error))?;
    rows(app, args, &top)
}

fn rows(app: &App<'_>, args: &ShowArgs, top: &Top) -> Result<u8> {
    warn(app, &top.warnings);
    let rows: Vec<_> = top
        .rows
        .iter()
        .map(|row| json!({"name": row.name, "flat": row.flat, "cum": row.cum}))
        .collect();
    let value = json!({
        "schema": 1, "sample_type": top.sample_type, "unit": top.unit,
        "total": top.total, "rows": rows,
    });
    output(args, Form::Json(&value))
}

pub(super) fn warn(app: &App<'_>, warnings: &[String]) {
    for warning in warnings {
        app.ui.note(warning);
    }
}

/// What is printed or written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'a> {
    /// For people: a terminal must not obey it.
    Text(&'a str),
    Json(&'a serde_json::Value),
    /// JSON that a program wrote already.
    JsonText(&'a str),
    Bytes(&'a [u8]),
}

pub(super) fn output(args: &ShowArgs, form: Form<'_>) -> Result<u8> {
    if let Some(path) = &args.output {
        let written = match form {
            Form::Text(text) | Form::JsonText(text) => files::replace(path, text.as_bytes(), 0o644),
            Form::Json(value) => files::replace(path, format!("{value:#}\n").as_bytes(), 0o644),
            Form::Bytes(bytes) => files::replace(path, bytes, 0o644),
        };
        written.because(|| format!("cannot write `{path}`"))?;
        return Ok(0);
    }
    match form {
        Form::Text(text) => ui::print(text),
        Form::Json(value) => ui::print_json(value),
        Form::JsonText(text) => ui::print(&ui::text::json(text)),
        Form::Bytes(bytes) => ui::print_bytes(bytes),
    }
    Ok(0)
}

/// In the user's time zone, as Go prints it.
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
