//! `cluster list`: all clusters of this user, including those that talosctl
//! created by itself.

use std::fmt::Write;

use serde_json::{Value, json};

use super::status::{cluster_json, state};
use crate::app::App;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::ledger::Ledger;
use foundation::failure::Result;
use foundation::plan::Resource;
use foundation::typed;
use foundation::ui;
use foundation::ui::text::{column_width, one_line};
use foundation::units::human_span;

/// A row of the list.
struct Row {
    view: ClusterView,
    /// `xtask` or `talosctl`
    made_by: &'static str,
}

pub(super) fn run(app: &App<'_>, json: bool) -> Result<u8> {
    let rows = rows(app)?;
    if json {
        ui::print_report(json!({"clusters": rows.iter().map(to_json).collect::<Vec<_>>()}));
        return Ok(0);
    }
    if rows.is_empty() {
        ui::print(&format!("no clusters\n  next: {}\n", typed!("cluster")));
        return Ok(0);
    }
    let width = column_width(rows.iter().map(|row| &row.view.name));
    let mut out = String::new();
    for row in &rows {
        let view = &row.view;
        let cidr = view.cidr.map(|cidr| cidr.to_string()).unwrap_or_default();
        let nodes = format!("{} node(s)", view.nodes.len());
        let age = view
            .age()
            .map_or_else(String::new, |age| human_span(age.as_secs()));
        let talos = view.talos.as_deref().unwrap_or_default();
        let line = format!(
            "{:<width$}  {} {cidr:<18} {nodes:<10} {age:<8} by {:<8}  {}",
            one_line(&view.name),
            state(app, view.state, 10),
            row.made_by,
            one_line(talos),
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    ui::print(&out);
    Ok(0)
}

fn rows(app: &App<'_>) -> Result<Vec<Row>> {
    let entries = Ledger::in_dir(&app.ctx.dirs.state).live()?;
    let is_ours = |view: &ClusterView| {
        let mut resources = entries.iter().map(|entry| &entry.resource);
        resources.any(|resource| match resource {
            Resource::Cluster { state_dir, .. } => *state_dir == view.state_dir,
            _ => false,
        })
    };
    let names = ClusterView::try_names(&app.ctx)?;
    let row = |name: &String| {
        let view = ClusterView::examine(&app.ctx, name);
        Row {
            made_by: if is_ours(&view) { "xtask" } else { "talosctl" },
            view,
        }
    };
    Ok(names.iter().map(row).collect())
}

fn to_json(row: &Row) -> Value {
    let mut value = cluster_json(&row.view);
    value["nodes"] = row.view.nodes.len().into();
    value["age_seconds"] = json!(row.view.age().map(|age| age.as_secs()));
    value["made_by"] = row.made_by.into();
    value
}
