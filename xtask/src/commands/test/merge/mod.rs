//! `test report --merge`: merges the reports of `test unit --shard`, after
//! proving that no test is missing or reported twice.

mod joined;
mod proof;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use serde_json::Value;

use super::leg::Leg;
use crate::app::App;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::plan::{Action, Plan, Step};
use foundation::record::files;
use foundation::typed;
use foundation::ui;

#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::doc_markdown, reason = "doc comments are the help")]
pub struct ReportArgs {
    /// Folders with the *.json reports of `test unit --report`
    #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
    pub merge: Vec<Utf8PathBuf>,
    /// Print JSON in the format of `test unit`
    #[arg(long)]
    pub json: bool,
    /// Write JUnit XML to a file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<Utf8PathBuf>,
}

/// The report of one machine.
#[derive(Debug, Clone)]
pub(super) struct LegReport {
    pub(super) file: Utf8PathBuf,
    pub(super) leg: Leg,
    /// The whole report, as `test unit --report` wrote it.
    pub(super) report: Value,
}

pub(super) fn run(app: &App<'_>, args: &ReportArgs) -> Result<u8> {
    let mut parts = Vec::new();
    for dir in &args.merge {
        parts.extend(read(&app.ctx.cwd.join(dir))?);
    }
    parts.sort_by_key(|part| part.leg.number);
    proof::whole(&parts)?;
    if let Some(part) = parts.first() {
        for note in proof::unproven(&part.leg) {
            app.ui.note(note);
        }
    }
    let merged = joined::json(&parts);
    if let Some(file) = &args.junit {
        let path = app.ctx.cwd.join(file);
        let contents = joined::junit(&merged);
        if app.is_dry() {
            let mut plan = Plan::new("One report of all legs");
            let action = Action::WriteFile {
                path,
                contents,
                mode: 0o644,
            };
            plan.push(Step::new("for programs that read JUnit's XML", action));
            app.show(&plan)?;
            return Ok(0);
        }
        files::replace(&path, contents.as_bytes(), 0o644)
            .because(|| format!("cannot write `{path}`"))?;
    }
    if args.json {
        ui::print_json(&merged);
        app.ui.report(&joined::people(app.ui, &merged));
    } else {
        ui::print(&joined::people(app.ui, &merged));
    }
    let options = parts.first().map(|part| part.leg.options.clone());
    Ok(if joined::is_good(&merged, &options.unwrap_or_default()) {
        0
    } else {
        Exit::Checks.code()
    })
}

/// Maximum bytes of all reports together; parsed they take several times as
/// much.
const MOST_TEXT: u64 = 128 << 20;

/// Reads every report in a folder. An unreadable file is an error, like a
/// missing one.
fn read(dir: &Utf8Path) -> Result<Vec<LegReport>> {
    let unreadable =
        |error: std::io::Error| Failure::usage(format!("cannot read `{dir}`")).cause(error);
    let mut files = Vec::new();
    for entry in dir.read_dir_utf8().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.into_path();
        if path.extension() == Some("json") {
            files.push(path);
        }
    }
    files.sort();
    let mut parts = Vec::new();
    let mut left = MOST_TEXT;
    for file in files {
        let bad = |error: String| {
            Failure::host(format!("`{file}` is not a complete report"))
                .cause(error)
                .hint("run that leg again")
        };
        let text =
            foundation::files::read_text(&file, left).map_err(|error| bad(error.to_string()))?;
        let text = text.ok_or_else(|| bad("it is gone".to_owned()))?;
        left -= text.len() as u64;
        let report: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if !report["packages"].is_array() {
            // The file of times that the shards were split by may be in the
            // same folder.
            continue;
        }
        let leg = serde_json::from_value(report["shard"].clone())
            .map_err(|_| bad("it does not say which leg of `--shard` it is".to_owned()))?;
        parts.push(LegReport { file, leg, report });
    }
    if parts.is_empty() {
        return Err(
            Failure::usage(format!("no report lies in `{dir}`")).hint(typed!(
                "test unit --shard 1/2 --report {}",
                dir.join("1.json")
            )),
        );
    }
    Ok(parts)
}
