//! `runs export`: a run for others, as one file without secrets.

mod page;
mod trace;

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::show::about;
use crate::app::App;
use crate::archive::Archive;
use crate::redact::Redactor;
use foundation::ctx::own_files;
use foundation::failure::{Because, Failure, Result};
use foundation::files;
use foundation::record::files as record_files;
use foundation::record::run_summary::{self, RunSummary};
use foundation::record::runs::{self, Line, step_log};
use foundation::ui;
use foundation::ui::text::{counted, without_styles};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask runs export                       the last run, as an archive\n  \
    cargo xtask runs export 01997 -o run.html     a page with a timeline\n  \
    cargo xtask runs export latest --as trace     for https://ui.perfetto.dev\n\n\
    Keys, tokens, passwords and the values of secret variables are removed from all of it, and what your \
    talosconfig and kubeconfig have. Look through the file before you send it."
)]
pub struct ExportArgs {
    /// `latest` or the beginning of an id
    #[arg(default_value = "latest")]
    pub run: String,
    /// Form of the file [default: by the end of its name, else archive]
    #[arg(long = "as", value_enum, value_name = "FORM")]
    pub form: Option<Form>,
    /// File to write [default: run-ID in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<Utf8PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Archive (tar.gz) with the plan, the events and all logs
    Archive,
    /// Page with a timeline, in one file
    Html,
    /// Events in Chrome's format, for Perfetto
    Trace,
}

impl Form {
    fn end(self) -> &'static str {
        match self {
            Self::Archive => "tar.gz",
            Self::Html => "html",
            Self::Trace => "json",
        }
    }

    fn of(path: &Utf8Path) -> Option<Self> {
        match path.extension()? {
            "gz" | "tgz" => Some(Self::Archive),
            "html" | "htm" => Some(Self::Html),
            "json" => Some(Self::Trace),
            _ => None,
        }
    }
}

/// Larger files are left out of the archive.
const LARGEST: u64 = 32 << 20;

/// A run without secrets.
struct Clean {
    summary: RunSummary,
    /// When, where and how it ran.
    about: Vec<(&'static str, String)>,
    plan: Value,
    events: Vec<Line>,
}

pub(super) fn run(app: &App<'_>, args: &ExportArgs) -> Result<u8> {
    let dir = runs::find(&app.ctx.dirs.state, &args.run)?;
    let mut redactor = redactor(app);
    let clean = clean(&dir, &mut redactor)?;
    let named = args.output.as_deref().and_then(Form::of);
    let form = args.form.or(named).unwrap_or(Form::Archive);
    let path = args.output.clone().unwrap_or_else(|| {
        let id = dir.file_name().unwrap_or("run");
        format!("run-{id}.{}", form.end()).into()
    });
    let path = app.ctx.cwd.join(path);
    let bytes = match form {
        Form::Archive => archive(&dir, &clean, &mut redactor)?,
        Form::Html => page::render(&clean, |step| log(&dir, step, &mut redactor)).into_bytes(),
        Form::Trace => trace::render(&clean).into_bytes(),
    };
    let removed = counted(redactor.removed as u64, "secret");
    if app.is_dry() {
        ui::print(&format!("would write {path} ({} bytes)\n", bytes.len()));
        return Ok(0);
    }
    record_files::write_output(&path, &bytes).because(|| format!("cannot write `{path}`"))?;
    ui::print(&format!(
        "{path}: {} bytes; {removed} removed\n",
        bytes.len()
    ));
    Ok(0)
}

/// Knows the secrets of this user: of the environment and of client configurations.
fn redactor(app: &App<'_>) -> Redactor {
    let mut redactor = Redactor::default();
    let variables = std::env::vars_os();
    redactor.learn_variables(
        variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    );
    let mut configs = app.ctx.talosconfig_paths();
    configs.extend(app.ctx.kubeconfig_paths());
    for path in configs {
        if let Ok(Some(text)) = files::read_text(&path, files::MEDIUM) {
            redactor.learn(&text);
        }
    }
    redactor
}

fn clean(dir: &Utf8Path, redactor: &mut Redactor) -> Result<Clean> {
    let (mut meta, events) = run_summary::read(dir)?;
    let mut summary = RunSummary::of_record(dir, &meta, &events)?;
    redactor.redact_json(&mut meta["command"]);
    let words = meta["command"].as_array();
    let words = words.map_or(&[][..], Vec::as_slice).iter().skip(1);
    let words: Vec<&str> = words.filter_map(Value::as_str).collect();
    summary.command = redactor.redact(&words.join(" "));
    let mut plan = meta["plan"].take();
    redactor.redact_json(&mut plan);
    let events = events.into_iter().map(|line| redacted(line, redactor));
    let about = about(&summary).into_iter();
    Ok(Clean {
        events: events.collect::<Result<_>>()?,
        about: about
            .map(|(what, text)| (what, redactor.redact(&text)))
            .collect(),
        plan,
        summary,
    })
}

fn redacted(line: Line, redactor: &mut Redactor) -> Result<Line> {
    let again = |error: serde_json::Error| Failure::step("cannot read an event").cause(error);
    let mut value = serde_json::to_value(line).map_err(again)?;
    redactor.redact_json(&mut value);
    serde_json::from_value(value).map_err(again)
}

/// What a step printed.
fn log(dir: &Utf8Path, step: usize, redactor: &mut Redactor) -> String {
    match own_files::read(&dir.join(step_log(step)), LARGEST) {
        Ok(bytes) => redact_log(&bytes.unwrap_or_default(), redactor),
        Err(error) => format!("[the log is left out: {error}]"),
    }
}

/// Colours may stand within a secret: they are removed first.
fn redact_log(bytes: &[u8], redactor: &mut Redactor) -> String {
    redactor.redact(&without_styles(&String::from_utf8_lossy(bytes)))
}

fn archive(dir: &Utf8Path, clean: &Clean, redactor: &mut Redactor) -> Result<Vec<u8>> {
    let root = format!("run-{}", dir.file_name().unwrap_or("run"));
    let mut archive = Archive::new(clean.summary.started / 1000);
    let mut manifest = "included:\n".to_owned();
    let mut withheld = "withheld:\n".to_owned();
    let mut add = |name: &str, text: &str, manifest: &mut String| {
        let added = archive.add(&format!("{root}/{name}"), text.as_bytes());
        added.because(|| format!("cannot add `{name}` to the archive"))?;
        let _ = writeln!(manifest, "  {name}");
        Ok::<(), Failure>(())
    };
    let (mut meta, _) = run_summary::read(dir)?;
    redactor.redact_json(&mut meta);
    add("run.json", &format!("{meta:#}\n"), &mut manifest)?;
    let mut events = String::new();
    for line in &clean.events {
        let line = serde_json::to_string(line).because(|| "cannot write an event".to_owned())?;
        events.push_str(&line);
        events.push('\n');
    }
    add("events.jsonl", &events, &mut manifest)?;
    let mut names = own_files::names_in(dir).unwrap_or_default();
    names.sort();
    for name in names {
        if ["run.json", "events.jsonl"].contains(&name.as_str()) {
            continue;
        }
        let path = dir.join(&name);
        let text = own_files::read(&path, LARGEST);
        let reason = match text {
            Ok(Some(bytes))
                if std::str::from_utf8(&bytes).is_ok() || path.extension() == Some("log") =>
            {
                match serde_json::from_slice::<Value>(&bytes) {
                    Ok(mut value) => {
                        redactor.redact_json(&mut value);
                        add(&name, &format!("{value:#}\n"), &mut manifest)?;
                    }
                    Err(_) => add(&name, &redact_log(&bytes, redactor), &mut manifest)?,
                }
                continue;
            }
            Ok(_) => "not a text".to_owned(),
            Err(error) => error.to_string(),
        };
        let _ = writeln!(withheld, "  {name}: {reason}");
    }
    let text = manifest.clone() + &withheld;
    add("MANIFEST", &text, &mut manifest)?;
    archive
        .finish()
        .because(|| "cannot compress the archive".to_owned())
}
