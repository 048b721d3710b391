//! What `proxies check` prints.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Checked;
use super::verdict::Verdict;
use crate::app::App;
use foundation::typed;
use foundation::ui::text::column_width;
use foundation::ui::{self, Style, Ui};

pub(super) fn report(app: &App<'_>, all: &[Checked], as_json: bool) {
    if as_json {
        ui::print_report(json(all));
    } else {
        ui::print(&text(app.ui, all));
    }
}

/// Stable: fields are added, never changed.
fn json(all: &[Checked]) -> Value {
    let checks: Vec<Value> = all
        .iter()
        .map(|checked| {
            json!({
                "host": checked.host,
                "endpoint": format!("http://{}", checked.address),
                "image": checked.image.as_ref().map(|(repository, reference)| name(repository, reference)),
                "verdict": checked.verdict.id(),
                "why": checked.verdict.why(),
            })
        })
        .collect();
    json!({"checks": checks})
}

/// Returns the report as text.
fn text(ui: &Ui, all: &[Checked]) -> String {
    let width = column_width(all.iter().map(|checked| &checked.host));
    let mut out = String::new();
    for checked in all {
        let style = if checked.verdict.why().is_some() {
            Style::Bad
        } else {
            Style::Good
        };
        let word = ui.paint(style, &format!("{:<13}", checked.verdict.word()));
        let image = checked
            .image
            .as_ref()
            .map_or_else(String::new, |(repository, reference)| {
                name(repository, reference)
            });
        let line = format!(
            "{:<width$}  http://{}  {word}  {image}",
            checked.host, checked.address
        );
        let _ = writeln!(out, "{}", line.trim_end());
        if let Some(why) = checked.verdict.why() {
            let _ = writeln!(out, "  {why}");
        }
        if matches!(checked.verdict, Verdict::Expired(_)) {
            let _ = writeln!(
                out,
                "  {} {} && {}    it forgets what it has lost; else with `down --purge`",
                ui.paint(Style::Dim, "next:"),
                typed!("proxies down"),
                typed!("proxies up")
            );
        }
    }
    out
}

fn name(repository: &str, reference: &str) -> String {
    let separator = if reference.contains(':') { '@' } else { ':' };
    format!("{repository}{separator}{reference}")
}
