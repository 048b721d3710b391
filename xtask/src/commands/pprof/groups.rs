//! Fetched profiles in the requested form: nodes side by side, all nodes
//! summed, or a series as a picture.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ::pprof::{Query, Source, report};
use camino::Utf8PathBuf;
use serde_json::json;

use super::kept::{self, Kept, Memory, Readable};
use super::kind::Kind;
use super::present::{Form, Presentation};
use super::show::Content;
use super::store::Entry;
use super::summary::{Shown, Side, summarize};
use super::{budget, flame, load, series, show, web};
use crate::app::App;
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;
use foundation::ui;

/// A service's profile over the nodes.
pub(super) type Groups = BTreeMap<(String, String), Vec<Side>>;

/// The number of sides that fit into a flame graph.
const SIDES: usize = 60;
/// Groups of goroutines beside a summary.
const GOROUTINES: usize = 10;

/// The goroutines of all nodes, grouped.
fn all_goroutines(sides: &[Side], query: &Query) -> Result<report::Goroutines> {
    let merged = kept::merged(sides.iter().map(|side| Cow::Borrowed(&side.profile)))?;
    let groups = report::goroutines(&merged, query, "node");
    groups.map_err(|error| load::engine(&error))
}

/// Nodes side by side, or all of them in the form that is asked for.
pub(super) fn shown(app: &App<'_>, groups: Groups, present: &Presentation) -> Result<u8> {
    let sides = groups.iter().flat_map(|((service, _), sides)| {
        let sides = sides.iter();
        sides.map(move |side| {
            let whose = format!("{} {service}", side.node);
            (
                Some(service.as_str()),
                whose,
                &side.profile as &dyn Readable,
            )
        })
    });
    // Reported last, after the requested output was shown.
    let budgets = budget::check(&present.fail_if, &present.query, &sides.collect::<Vec<_>>());
    if present.form.sums_nodes() {
        if matches!(present.form, Form::Export(_)) && groups.len() > 1 {
            return Err(
                Failure::usage("an export is of one service and one profile").hint(format!(
                    "name both, as in `{}`",
                    typed!("pprof machined heap --svg")
                )),
            );
        }
        return summed(app, groups, present).and(budgets).map(|()| 0);
    }
    let query = &present.query;
    let (mut summaries, mut text) = (Vec::new(), String::new());
    for ((service, profile), sides) in &groups {
        let summary = summarize(sides, query)?;
        let counts = Kind::new(profile) == Kind::Goroutine && present.form != Form::Controllers;
        let goroutines = counts.then(|| all_goroutines(sides, query)).transpose()?;
        if present.json {
            let groups = goroutines.as_ref().map(show::goroutines_json);
            summaries.push(json!({
                "service": service, "profile": profile, "summary": summary.json(),
                "goroutines": groups,
            }));
        } else {
            let title = format!("{service} {profile}");
            let shown = Shown {
                rows: present.rows,
                only_controllers: present.form == Form::Controllers,
            };
            text.push_str(&summary.text(app, &title, shown));
            if let Some(goroutines) = goroutines {
                let rows = present.rows.unwrap_or(GOROUTINES);
                text.push('\n');
                text.push_str(&goroutines.text(rows, true));
            }
        }
    }
    if present.json {
        let report = ui::with_schema(json!({"summaries": summaries}));
        show::output(present, Content::Json(&report))?;
    } else {
        show::output(present, Content::Text(&text))?;
    }
    budgets.map(|()| 0)
}

/// Shows a form that sums all nodes. A filter that matches nothing in one
/// profile may match in another.
fn summed(app: &App<'_>, groups: Groups, present: &Presentation) -> Result<()> {
    let several = groups.len() > 1;
    let (mut refused, mut shown) = (None, 0);
    for ((service, profile), sides) in groups {
        let title = format!("{service} {profile}");
        if several && !present.json {
            app.ui.progress(&title);
        }
        let merged = kept::merged(sides.into_iter().map(|side| Cow::Owned(side.profile)))?;
        let done = if present.form.is_picture() {
            let sides = load::Sides::of_profile(merged, "now", &present.compare)?;
            super::draw(app, &sides, &title, present)
        } else {
            show::show(app, &load::compared(merged, &present.compare)?, present)
        };
        match done {
            Ok(_) => shown += 1,
            Err(failure) if several && failure.exit == Exit::Usage => {
                app.ui.progress(&format!("  {}", failure.what));
                refused = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    match refused {
        Some(failure) if shown == 0 => Err(failure),
        _ => Ok(()),
    }
}

/// Compares files of a fetch, or of any origin, side by side by the node's
/// label.
pub(super) fn compare(app: &App<'_>, files: &[Utf8PathBuf], present: &Presentation) -> Result<u8> {
    let mut by_node: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    for file in files {
        let moment = series::read(file, None, &mut Memory::default())?;
        let sources = by_node.entry(moment.node).or_default();
        sources.push(Source::new(moment.profile.read()?.into_owned()));
    }
    let mut sides = Vec::new();
    for (node, sources) in by_node {
        sides.push(Side {
            node,
            profile: Kept::Held(Box::new(
                ::pprof::merge(sources).map_err(|error| load::engine(&error))?,
            )),
            before: None,
        });
    }
    let name = files[0].file_name().unwrap_or("profile").to_owned();
    shown(app, Groups::from([((name, String::new()), sides)]), present)
}

/// A series as a picture: each node at each time is a side.
pub(super) fn timeline(
    app: &App<'_>,
    found: &[(Entry, Utf8PathBuf)],
    present: &Presentation,
) -> Result<u8> {
    let mut groups: BTreeMap<(&str, &str), Vec<&(Entry, Utf8PathBuf)>> = BTreeMap::new();
    for one in found {
        let group = groups.entry((&one.0.service, &one.0.profile));
        group.or_default().push(one);
    }
    for ((service, profile), mut entries) in groups {
        let nodes: BTreeSet<&str> = entries
            .iter()
            .map(|(entry, _)| entry.node.as_str())
            .collect();
        let times: BTreeSet<_> = entries.iter().map(|(entry, _)| &entry.time).collect();
        let step = (nodes.len() * times.len()).div_ceil(SIDES).max(1);
        if step > 1 {
            app.ui
                .note(&format!("of {} rounds each {step}. is drawn", times.len()));
        }
        let drawn: BTreeSet<_> = times.into_iter().step_by(step).collect();
        entries.retain(|(entry, _)| drawn.contains(&entry.time));
        let (mut moments, mut room) = (Vec::new(), Memory::default());
        for (entry, file) in entries {
            moments.push(series::read(file, Some(entry), &mut room)?);
        }
        let title = format!("{service} {profile}");
        if present.form == Form::Flame {
            flame::series(app, &moments, &title, present)?;
        } else {
            web::series(app, &moments, &title, present)?;
        }
    }
    Ok(0)
}
