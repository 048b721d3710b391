//! `--diff A B`: two profiles, or two fetches, function by function.

use ::pprof::{Profile, Source, report};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::present::Presentation;
use super::{budget, load, show, store};
use crate::app::App;
use foundation::failure::{Failure, Result};
use foundation::typed;
use foundation::ui;

/// Prints what has changed from the first to the second; budgets are those of the second.
pub(super) fn run(app: &App<'_>, files: &[Utf8PathBuf], present: &Presentation) -> Result<u8> {
    let [before, after] = files else {
        return Err(Failure::usage(format!(
            "`--diff` compares two profiles, not {}",
            files.len()
        ))
        .hint(typed!("pprof open --diff BEFORE AFTER")));
    };
    let names = [before.as_str(), after.as_str()];
    let sides = [side(app, before)?, side(app, after)?];
    let code = show_change(app, &sides, names, present)?;
    let whose = names[1].to_owned();
    budget::check(
        &present.fail_if,
        &present.query,
        &[(None, whose, &sides[1])],
    )?;
    Ok(code)
}

fn show_change(
    app: &App<'_>,
    sides: &[Profile; 2],
    names: [&str; 2],
    present: &Presentation,
) -> Result<u8> {
    let query = &present.query;
    if !present.json {
        let text = report::compare_text(&sides[0], &sides[1], query, names);
        let text = text.map_err(|error| load::engine(&error))?;
        show::warn(app, &text.warnings);
        return show::output(present, show::Content::Text(&text.text));
    }
    let of = report::compare(&sides[0], &sides[1], query).map_err(|error| load::engine(&error))?;
    show::warn(app, &of.warnings);
    let row = |row: &report::Compared| {
        json!({
            "name": row.name, "before": row.before, "after": row.after,
            "change": row.change(), "noise": row.noise,
        })
    };
    let rows: Vec<_> = of
        .rows
        .iter()
        .take(present.rows.unwrap_or(usize::MAX))
        .map(row)
        .collect();
    let value = ui::with_schema(json!({
        "sample_type": of.sample_type, "unit": of.unit, "scale": of.scale,
        "durations": of.durations, "total": row(&of.total), "rows": rows,
    }));
    show::output(present, show::Content::Json(&value))
}

/// One side: a file, or all nodes of a fetch.
fn side(app: &App<'_>, name: &Utf8Path) -> Result<Profile> {
    let root = store::root(&app.ctx.dirs.state);
    if !name.exists()
        && let Some(found) = store::find(&root, name.as_str())
    {
        let sources: Result<Vec<Source>> = found?
            .iter()
            .map(|(_, file)| Ok(Source::new(load::read(file)?)))
            .collect();
        return ::pprof::merge(sources?).map_err(|error| load::engine(&error));
    }
    load::read(name)
}
