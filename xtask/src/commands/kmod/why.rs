//! `kmod why`: from the messages of a node or of the imager, and from what a node is
//! like, to their cause.

use std::fmt::Write;
use std::io::Read;
use std::net::IpAddr;

use camino::Utf8Path;
use clap::Args;
use serde_json::{Value, json};
use talos::module_failure::{Found, find};

use super::why_node;
use crate::app::App;
use crate::commands::cluster::Which;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::files;
use foundation::typed;
use foundation::ui;
use foundation::ui::text::one_line;

/// Largest log.
const LARGEST: u64 = 64 << 20;

#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// Node of the cluster, address of a machine, or a log as a file; `-` reads stdin
    #[arg(value_name = "NODE|FILE")]
    pub subject: String,
    #[command(flatten)]
    pub which: Which,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A failure, wherever it shows.
pub(super) struct Reason {
    pub(super) id: &'static str,
    /// From 1; `None` if not a line of the log shows it.
    pub(super) line: Option<usize>,
    pub(super) text: String,
    pub(super) cause: String,
    pub(super) fix: String,
    /// Rules of `kmod lint` that find it before.
    pub(super) rules: &'static [u8],
}

impl Reason {
    pub(super) fn of_log(text: &str) -> Vec<Self> {
        let reason = |found: Found| Self {
            id: found.failure.id,
            line: Some(found.line),
            text: found.text,
            cause: found.failure.cause.to_owned(),
            fix: found.failure.fix.to_owned(),
            rules: found.failure.rules,
        };
        find(text.lines()).into_iter().map(reason).collect()
    }
}

/// Exit code 1 if a failure is found, so that a script can wait for a log without.
pub(super) fn run(app: &App<'_>, args: &WhyArgs) -> Result<u8> {
    let (log, reasons) = if is_log(app, &args.subject) {
        let bytes = read(app, &args.subject)?;
        let text = String::from_utf8_lossy(&bytes);
        (args.subject.clone(), Reason::of_log(&text))
    } else {
        why_node::reasons(app, &args.which, &args.subject)?
    };
    if args.json {
        let failures: Vec<Value> = reasons.iter().map(to_json).collect();
        ui::print_report(json!({"log": log, "failures": failures}));
    } else {
        ui::print(&to_text(&reasons));
    }
    Ok(if reasons.is_empty() {
        0
    } else {
        Exit::Checks.code()
    })
}

/// A word with a slash or a suffix stands for a file, even for one that does not exist.
fn is_log(app: &App<'_>, word: &str) -> bool {
    let path = Utf8Path::new(word);
    let is_address = word.parse::<IpAddr>().is_ok();
    let looks_so = word.contains('/') || (path.extension().is_some() && !is_address);
    word == "-" || looks_so || app.ctx.cwd.join(path).is_file()
}

fn read(app: &App<'_>, file: &str) -> Result<Vec<u8>> {
    if file == "-" {
        let mut bytes = Vec::new();
        let mut stdin = std::io::stdin().lock().take(LARGEST + 1);
        stdin
            .read_to_end(&mut bytes)
            .because(|| "cannot read stdin".to_owned())?;
        if bytes.len() as u64 > LARGEST {
            return Err(Failure::usage("the log on stdin is larger than 64 MiB"));
        }
        return Ok(bytes);
    }
    let read = files::read(&app.ctx.cwd.join(file), LARGEST);
    let read = read.map_err(|error| Failure::host(format!("cannot read `{file}`")).cause(error))?;
    read.ok_or_else(|| {
        Failure::usage(format!("the log `{file}` does not exist"))
            .hint(format!("talosctl dmesg | {}", typed!("kmod why -")))
    })
}

fn to_json(reason: &Reason) -> Value {
    let rules: Vec<String> = reason.rules.iter().map(|it| format!("L{it}")).collect();
    json!({
        "id": reason.id,
        "line": reason.line,
        "text": reason.text,
        "cause": reason.cause,
        "fix": reason.fix,
        "lint_rules": rules,
    })
}

fn to_text(reasons: &[Reason]) -> String {
    if reasons.is_empty() {
        return "no known failure of an extension or a kernel module\n".to_owned();
    }
    let mut out = String::new();
    for reason in reasons {
        let text = one_line(&reason.text);
        let _ = match reason.line {
            Some(line) => writeln!(out, "line {line}: {text}"),
            None => writeln!(out, "node: {text}"),
        };
        let _ = writeln!(out, "  cause: {}", one_line(&reason.cause));
        let _ = writeln!(out, "  fix: {}", one_line(&reason.fix));
        if !reason.rules.is_empty() {
            let rules: Vec<String> = reason.rules.iter().map(|it| format!("L{it}")).collect();
            let rules = rules.join(", ");
            let lint = typed!("kmod lint --explain");
            let _ = writeln!(out, "  found before an upgrade by {rules}: {lint}");
        }
    }
    out
}
