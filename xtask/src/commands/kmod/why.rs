//! `kmod why`: from the messages of a node or of the imager to their cause.

use std::fmt::Write;
use std::io::Read;

use clap::Args;
use serde_json::{Value, json};
use talos::module_failure::{Found, find};

use crate::app::App;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::files;
use foundation::typed;
use foundation::ui;
use foundation::ui::text::one_line;

/// Largest log.
const LARGEST: u64 = 64 << 20;

#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// Log of a node or of the imager; `-` reads stdin
    #[arg(value_name = "FILE")]
    pub file: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Exit code 1 if a failure is found, so that a script can wait for a log without.
pub(super) fn run(app: &App<'_>, args: &WhyArgs) -> Result<u8> {
    let bytes = read(app, &args.file)?;
    let text = String::from_utf8_lossy(&bytes);
    let found = find(text.lines());
    if args.json {
        let found: Vec<Value> = found.iter().map(to_json).collect();
        ui::print_report(json!({"log": args.file, "failures": found}));
    } else {
        ui::print(&to_text(&found));
    }
    Ok(if found.is_empty() {
        0
    } else {
        Exit::Checks.code()
    })
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

fn to_json(found: &Found) -> Value {
    let failure = found.failure;
    let rules: Vec<String> = failure.rules.iter().map(|it| format!("L{it}")).collect();
    json!({
        "id": failure.id,
        "line": found.line,
        "text": found.text,
        "cause": failure.cause,
        "fix": failure.fix,
        "lint_rules": rules,
    })
}

fn to_text(found: &[Found]) -> String {
    if found.is_empty() {
        return "no known failure of an extension or a kernel module\n".to_owned();
    }
    let mut out = String::new();
    for it in found {
        let failure = it.failure;
        let _ = writeln!(out, "line {}: {}", it.line, one_line(&it.text));
        let _ = writeln!(out, "  cause: {}", failure.cause);
        let _ = writeln!(out, "  fix: {}", failure.fix);
        if !failure.rules.is_empty() {
            let rules: Vec<String> = failure.rules.iter().map(|it| format!("L{it}")).collect();
            let rules = rules.join(", ");
            let lint = typed!("kmod lint --explain");
            let _ = writeln!(out, "  found before an upgrade by {rules}: {lint}");
        }
    }
    out
}
