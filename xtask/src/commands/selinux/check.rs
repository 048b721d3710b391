//! `selinux policy check`: whether what is committed equals its sources.

use std::fmt::Write;

use camino::Utf8Path;
use serde_json::json;

use super::compile::{CONTEXTS, compile};
use super::policies::{self, BINARY, FOLDER};
use super::policy::{CheckArgs, size};
use crate::app::App;
use foundation::failure::{Exit, Failure, Result};
use foundation::files;
use foundation::ui;
use foundation::ui::text::one_line;

/// File contexts have some hundred lines, a policy some 60 KB.
const LARGEST: u64 = 64 << 20;

pub(super) fn run(app: &App<'_>, args: &CheckArgs) -> Result<u8> {
    let checkout = app.ctx.checkout()?;
    let committed = checkout.dir.join(FOLDER);
    let Some(built) = compile(app, &checkout, args.secilc)? else {
        return Ok(0);
    };
    let policy = policy(
        app,
        &committed.join(BINARY),
        &built.join(BINARY),
        args.secilc,
    )?;
    let contexts = contexts(&committed.join(CONTEXTS), &built.join(CONTEXTS))?;
    let differences = [(BINARY, policy), (CONTEXTS, contexts)];
    if args.json {
        let files = differences.iter().map(|(name, difference)| {
            json!({"file": committed.join(name), "equal": difference.is_none(), "difference": difference})
        });
        ui::print_report(json!({
            "sources": committed.join(policies::SOURCES),
            "compiled": built,
            "files": files.collect::<Vec<_>>(),
        }));
    } else {
        let mut out = String::new();
        for (name, difference) in &differences {
            let verdict = match difference {
                None => "equals its source".to_owned(),
                Some(difference) => format!("differs from its source: {difference}"),
            };
            let _ = writeln!(out, "{FOLDER}/{name} {}", one_line(&verdict));
        }
        ui::print(&out);
    }
    Ok(if differences.iter().all(|(_, it)| it.is_none()) {
        0
    } else {
        Exit::Checks.code()
    })
}

/// The bytes, or `None` if it is not committed.
fn bytes(path: &Utf8Path) -> Result<Option<Vec<u8>>> {
    files::read(path, LARGEST)
        .map_err(|error| Failure::host(format!("cannot read `{path}`")).cause(error))
}

fn compiled(path: &Utf8Path) -> Result<Vec<u8>> {
    bytes(path)?.ok_or_else(|| Failure::step(format!("the compiler did not write `{path}`")))
}

/// What differs between the committed and the compiled policy.
fn policy(
    app: &App<'_>,
    committed: &Utf8Path,
    built: &Utf8Path,
    is_by_host: bool,
) -> Result<Option<String>> {
    let new = compiled(built)?;
    let Some(old) = bytes(committed)? else {
        return Ok(Some("it does not exist".to_owned()));
    };
    if old == new {
        return Ok(None);
    }
    let (old, new) = (
        policies::read_file(app, committed)?,
        policies::read_file(app, built)?,
    );
    let found = old.difference(&new)?;
    if found.is_empty() {
        return Ok((!is_by_host).then(|| "other bytes, which allow the same".to_owned()));
    }
    let lists = [
        &found.added_types,
        &found.removed_types,
        &found.added_transitions,
        &found.removed_transitions,
    ];
    let others: usize = lists.iter().map(|list| list.len()).sum();
    Ok(Some(format!(
        "the sources allow {} more and {} less, type by type, and change {others} types or transitions",
        size(&found.added),
        size(&found.removed)
    )))
}

fn contexts(committed: &Utf8Path, built: &Utf8Path) -> Result<Option<String>> {
    let new = compiled(built)?;
    let Some(old) = bytes(committed)? else {
        return Ok(Some("it does not exist".to_owned()));
    };
    if old == new {
        return Ok(None);
    }
    let (old, new) = (String::from_utf8_lossy(&old), String::from_utf8_lossy(&new));
    let (mut old, mut new) = (old.lines(), new.lines());
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                let text = |line: Option<&str>| line.unwrap_or("the end").to_owned();
                return Ok(Some(format!(
                    "line {number} is `{}`, compiled `{}`",
                    text(a),
                    text(b)
                )));
            }
        }
    }
    Ok(Some("the ends of lines".to_owned()))
}
