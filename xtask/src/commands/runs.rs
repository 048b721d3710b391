//! `runs`: past runs, from their records.

use std::fmt::Write;

use camino::Utf8Path;
use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use foundation::ctx::own_files;
use foundation::failure::{Because, Failure, Result};
use foundation::files;
use foundation::record::runs::{self, Event, Line};
use foundation::ui::text::one_line;
use foundation::ui::{self, Style};

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Show one run: `latest` or the beginning of an id
    pub run: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(crate) fn run(app: &App<'_>, args: &RunsArgs) -> Result<u8> {
    match &args.run {
        Some(run) => show(app, run, args.json),
        None => Ok(list(app, args.json)),
    }
}

fn list(app: &App<'_>, json: bool) -> u8 {
    let state = &app.ctx.dirs.state;
    let mut records: Vec<Value> = Vec::new();
    for id in runs::list(state) {
        let dir = state.join("runs").join(&id);
        match read(&dir) {
            Ok((meta, events)) => records.push(summary(&dir, &meta, &events)),
            Err(failure) => app.ui.note(&failure.in_one_line()),
        }
    }
    if json {
        ui::print_report(json!({"runs": records}));
        return 0;
    }
    if records.is_empty() {
        ui::print("no runs recorded yet\n");
    }
    let mut out = String::new();
    for record in &records {
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(
            out,
            "{:<24} {} {}",
            text("id"),
            ended(app, record),
            one_line(&text("command"))
        );
    }
    ui::print(&out);
    0
}

/// Padded before painting, because escape codes have no width.
fn ended(app: &App<'_>, record: &Value) -> String {
    let (style, word) = match record["code"].as_u64() {
        Some(0) => (Style::Good, "ok".to_owned()),
        Some(code) => (Style::Bad, format!("exit {code}")),
        None if record["running"] == true => (Style::Dim, "running".to_owned()),
        None => (Style::Warn, "killed".to_owned()),
    };
    app.ui.paint(style, &format!("{word:<12}"))
}

fn show(app: &App<'_>, run: &str, json: bool) -> Result<u8> {
    let dir = runs::find(&app.ctx.dirs.state, run)?;
    let (meta, events) = read(&dir)?;
    if json {
        ui::print_report(json!({"run": meta, "events": events, "dir": dir}));
        return Ok(0);
    }
    let summary = summary(&dir, &meta, &events);
    let mut out = format!(
        "{}\n  {}\n",
        one_line(summary["command"].as_str().unwrap_or_default()),
        dir
    );
    let steps = meta["plan"]["steps"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    for (index, step) in steps.iter().enumerate() {
        let finish = events.iter().find_map(|line| match &line.event {
            Event::Finish { step, ms, failure } if *step == index + 1 => Some((ms, failure)),
            _ => None,
        });
        let how = match finish {
            Some((_, None)) => app.ui.paint(Style::Good, "ok      "),
            Some(_) => app.ui.paint(Style::Bad, "failed  "),
            None => app.ui.paint(Style::Dim, "not run "),
        };
        let took = finish.map_or_else(String::new, |(ms, _)| format!("{ms} ms"));
        let _ = writeln!(
            out,
            "  {:>2}. {how} {took:>9}  {}",
            index + 1,
            one_line(step["why"].as_str().unwrap_or_default())
        );
        if let Some((_, Some(failure))) = finish {
            let _ = writeln!(out, "      {}", failure.replace('\n', "\n      "));
        }
    }
    ui::print(&out);
    Ok(0)
}

fn read(dir: &Utf8Path) -> Result<(Value, Vec<Line>)> {
    let path = dir.join("run.json");
    let meta = text(&path)?
        .ok_or_else(|| Failure::step(format!("there is no `{path}`")))
        .and_then(|text| {
            serde_json::from_slice(&text)
                .map_err(|error| Failure::step(format!("`{path}` does not parse")).cause(error))
        })?;
    Ok((meta, runs::events(dir)?))
}

fn text(path: &Utf8Path) -> Result<Option<Vec<u8>>> {
    own_files::read(path, 4 * files::MEDIUM).because(|| format!("cannot read `{path}`"))
}

fn summary(dir: &Utf8Path, meta: &Value, events: &[Line]) -> Value {
    let code = events.iter().find_map(|line| match line.event {
        Event::End { code } => Some(code),
        _ => None,
    });
    let words = meta["command"].as_array().map_or(&[][..], Vec::as_slice);
    let words: Vec<&str> = words.iter().skip(1).filter_map(Value::as_str).collect();
    json!({
        "id": meta["id"], "command": words.join(" "), "started": meta["started"],
        "code": code, "running": code.is_none() && runs::is_live(dir),
    })
}
