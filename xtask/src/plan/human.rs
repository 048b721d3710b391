//! A plan for reading: what, why, and whether root is taken.

use std::fmt::Write;

use super::{Action, Plan, Privilege, Step, sh};

/// Render for a person; commands are as they would be typed.
pub fn render(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", plan.title);
    for note in &plan.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    if plan.steps.is_empty() {
        out.push_str("  nothing to do\n");
    }
    for (index, step) in plan.steps.iter().enumerate() {
        let root = if step.privilege == Privilege::Root { " [root]" } else { "" };
        let _ = writeln!(out, "{:>3}. {}{root}", index + 1, step.why);
        for line in in_words(step).lines() {
            let _ = writeln!(out, "       {line}");
        }
    }
    out
}

/// What a step does, without the plumbing that a script needs.
pub fn in_words(step: &Step) -> String {
    match &step.action {
        Action::Run(run) => {
            let mut plain = step.clone();
            let mut bare = run.clone();
            bare.also_ok.clear();
            plain.action = Action::Run(bare);
            sh::command(&plain, false)
        }
        Action::Stop { process, grace_seconds } => format!(
            "SIGTERM to pid {} if it still is {}, SIGKILL after {grace_seconds} s",
            process.pid, process.what
        ),
        Action::WriteFile { path, contents, .. } => format!("write {path} ({} bytes)", contents.len()),
        Action::CopyTree { from, to, except } => {
            let except: Vec<&str> = except.iter().map(|path| path.as_str()).collect();
            format!("copy {from} to {to}, but for {}", except.join(", "))
        }
        _ => sh::command(step, false),
    }
}
