//! `selinux policy`: what two policies allow.

use std::fmt::Write;

use clap::{Args, Subcommand};
use selinux::judgement::{Judgement, judge};
use selinux::log::Group;
use selinux::policy::{Change, Difference, Names};
use serde_json::{Value, json};

use super::inputs::{self, LogArgs};
use super::text;
use super::{check, compile, policies};
use crate::app::App;
use foundation::failure::{Exit, Result};
use foundation::ui;
use foundation::ui::text::one_line;

#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Build the checkout's policy and file contexts from their sources, by a target of its Makefile
    Build,
    /// Check that the committed policy and file contexts equal what their sources compile to
    #[command(
        after_help = "The checkout's own target compiles them into _out/selinux, and the results are compared \
        byte by byte. With --secilc this host's compiler does it, with the options that the Dockerfile has; another \
        version may write other bytes, so what the policies allow is compared then. Exit code 1 if they differ."
    )]
    Check(CheckArgs),
    /// Compare what two policies allow, type by type
    #[command(after_help = "Examples:\n  \
        cargo xtask selinux policy diff release-1.13 release-1.14\n  \
        cargo xtask selinux policy diff origin/main --denials audit.log\n\n\
        Rules are not compared: the compiler drops those that others cover. Exit code 1 if they differ.")]
    Diff(DiffArgs),
}

#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Compile with this host's secilc in place of the checkout's Makefile
    #[arg(long)]
    pub secilc: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Binary policy, or revision of the checkout
    #[arg(value_name = "OLD")]
    pub old: String,
    /// Binary policy, or revision of the checkout [default: the checkout's policy]
    #[arg(value_name = "NEW")]
    pub new: Option<String>,
    /// Log whose denials are asked of both; repeatable
    #[arg(long, value_name = "LOG")]
    pub denials: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Types that are listed of a group.
const SHOWN: usize = 6;

pub(super) fn run(app: &App<'_>, command: &PolicyCommand) -> Result<u8> {
    match command {
        PolicyCommand::Build => compile::build(app),
        PolicyCommand::Check(args) => check::run(app, args),
        PolicyCommand::Diff(args) => diff(app, args),
    }
}

fn diff(app: &App<'_>, args: &DiffArgs) -> Result<u8> {
    let old = policies::load(app, &args.old)?;
    let new = policies::required(app, args.new.as_deref())?;
    let found = old.difference(&new)?;
    let logs = LogArgs::files(&args.denials);
    let (denials, _) = inputs::read(app, &logs)?;
    let is_allowed = |policy, group| judge(policy, group).iter().all(Judgement::is_allowed);
    let changed: Vec<(&Group, bool)> = denials
        .groups
        .iter()
        .filter_map(|group| {
            let (before, after) = (
                is_allowed(&old.policy, group),
                is_allowed(&new.policy, group),
            );
            (before != after).then_some((group, after))
        })
        .collect();
    if args.json {
        let mut report = to_json(&found);
        report["old"] = json!(old.from);
        report["new"] = json!(new.from);
        let changed = changed.iter().map(
            |(group, is_allowed)| json!({"denial": text::group_json(group), "allowed": is_allowed}),
        );
        report["denials"] = changed.collect();
        ui::print_report(report);
    } else {
        let mut out = to_text(&found);
        for (group, is_allowed) in changed {
            let state = if is_allowed {
                "now allowed"
            } else {
                "now denied"
            };
            let _ = writeln!(out, "{state}: {}", text::title(group));
        }
        ui::print(&out);
    }
    Ok(if found.is_empty() {
        0
    } else {
        Exit::Checks.code()
    })
}

pub(super) fn size(changes: &[Change]) -> usize {
    changes.iter().map(Change::size).sum()
}

fn names_text(names: &Names) -> String {
    if let Some(attribute) = &names.attribute {
        return format!("{attribute} ({} types)", names.types.len());
    }
    let shown = names
        .types
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    match names.types.len() {
        1 => shown,
        n if n <= SHOWN => format!("({shown})"),
        n => format!("({shown} and {} more)", n - SHOWN),
    }
}

fn to_text(found: &Difference) -> String {
    let mut out = String::new();
    for (sign, changes) in [('+', &found.added), ('-', &found.removed)] {
        for change in changes {
            let line = format!(
                "{sign} {} → {} {} {{ {} }}  {}",
                names_text(&change.sources),
                names_text(&change.targets),
                change.class,
                change.permissions.join(" "),
                change.size()
            );
            let _ = writeln!(out, "{}", one_line(&line));
        }
    }
    for (sign, what, list) in [
        ('+', "type", &found.added_types),
        ('-', "type", &found.removed_types),
        ('+', "permission", &found.added_permissions),
        ('-', "permission", &found.removed_permissions),
        ('+', "transition", &found.added_transitions),
        ('-', "transition", &found.removed_transitions),
    ] {
        for name in list {
            let _ = writeln!(out, "{sign} {what} {}", one_line(name));
        }
    }
    let (before, after) = found.level_constraints;
    if before != after {
        let _ = writeln!(out, "constraints on levels: {before} before, {after} now");
    }
    let _ = writeln!(
        out,
        "allowed permissions, type by type: {} before, {} now (+{} -{})",
        found.old_size,
        found.new_size,
        size(&found.added),
        size(&found.removed)
    );
    out
}

fn to_json(found: &Difference) -> Value {
    let names = |names: &Names| json!({"attribute": names.attribute, "types": names.types});
    let changes = |list: &[Change]| -> Value {
        let changes = list.iter().map(|change| {
            json!({
                "sources": names(&change.sources),
                "targets": names(&change.targets),
                "class": change.class,
                "permissions": change.permissions,
                "size": change.size(),
            })
        });
        changes.collect()
    };
    json!({
        "old_size": found.old_size,
        "new_size": found.new_size,
        "added": changes(&found.added),
        "removed": changes(&found.removed),
        "added_types": found.added_types,
        "removed_types": found.removed_types,
        "added_permissions": found.added_permissions,
        "removed_permissions": found.removed_permissions,
        "added_transitions": found.added_transitions,
        "removed_transitions": found.removed_transitions,
        "old_level_constraints": found.level_constraints.0,
        "new_level_constraints": found.level_constraints.1,
    })
}
