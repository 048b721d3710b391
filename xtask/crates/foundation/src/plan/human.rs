//! A plan as text for reading: each step's reason, command, and whether it runs
//! as root.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Action, Guest, Owned, Plan, Privilege, Step, sh};
use crate::ui::text::hanging;

/// Renders a plan for reading; commands are shown as they would be typed.
pub fn render(plan: &Plan) -> String {
    let plan = &plan.masked();
    let mut out = String::new();
    let _ = writeln!(out, "{}", hanging(&plan.title, 2));
    for note in &plan.notes {
        let _ = writeln!(out, "  note: {}", hanging(note, 8));
    }
    if plan.steps.is_empty() {
        out.push_str("  nothing to do\n");
    }
    let named = names(plan);
    for (index, step) in plan.steps.iter().enumerate() {
        let root = if step.privilege == Privilege::Root {
            " [root]"
        } else {
            ""
        };
        let why = hanging(&step.why, 7);
        let _ = writeln!(out, "{:>3}. {why}{root}", index + 1);
        if let Some(when) = condition_in_words(plan, step) {
            let _ = writeln!(out, "       ({when})");
        }
        for line in in_words(step).lines() {
            let line = makefile::fill(line, &named);
            let _ = writeln!(out, "       {line}");
        }
    }
    out
}

/// Slots are displayed by name.
fn names(plan: &Plan) -> impl Fn(usize) -> String {
    let learns = plan.steps.iter().filter_map(|step| step.learns.as_ref());
    let names: BTreeMap<usize, String> = learns
        .map(|learns| (learns.slot, format!("<{}>", learns.name)))
        .collect();
    move |slot| {
        let name = names.get(&slot);
        name.map_or_else(|| "<value>".to_owned(), String::clone)
    }
}

/// The condition of a step that depends on files.
fn condition_in_words(plan: &Plan, step: &Step) -> Option<String> {
    let condition = plan.conditions.get(step.only_if?)?;
    let target = condition.target.as_ref()?;
    if !condition.is_file {
        return None;
    }
    let needs: Vec<&str> = condition
        .prerequisites
        .iter()
        .map(|needed| needed.path.as_str())
        .collect();
    Some(
        if condition.prerequisites.iter().any(|needed| needed.phony) {
            return None;
        } else if needs.is_empty() {
            format!("unless {target} exists")
        } else {
            format!(
                "unless {target} exists and is newer than {}",
                needs.join(", ")
            )
        },
    )
}

/// The action of a step, without the details that a script needs.
pub fn in_words(step: &Step) -> String {
    let step = step.masked();
    match &step.action {
        Action::Run(run) if run.recipe => match &run.argv[..] {
            [_, _, line] => line.clone(),
            other => other.join(" "),
        },
        Action::RecordImages { references, .. } => {
            format!("record the digest of {}", references.join(", "))
        }
        Action::WaitRegistries { registries } => {
            let ports: Vec<String> = registries
                .iter()
                .map(|registry| format!("127.0.0.1:{}", registry.port))
                .collect();
            format!("wait until {} responds", ports.join(", "))
        }
        Action::DeleteManifests { address, manifests } => {
            let each = |(repository, digest): &(String, String)| {
                format!("delete {address}/{repository}@{digest}")
            };
            manifests.iter().map(each).collect::<Vec<_>>().join("\n")
        }
        Action::Require { path, .. } => format!("require {path} to exist"),
        Action::Run(run) => sh::as_typed(run, step.privilege),
        Action::Stop {
            process,
            grace_seconds,
        } => format!(
            "send SIGTERM to pid {} if it still is {}, and SIGKILL after {grace_seconds} s",
            process.pid, process.what
        ),
        Action::Launch(launch) => sh::launch_as_typed(launch, step.privilege),
        Action::ShutDown {
            guests,
            grace_seconds,
        } => {
            let press = |guest: &Guest| format!("system_powerdown to {}", guest.monitor);
            let presses: Vec<String> = guests.iter().map(press).collect();
            format!(
                "{}\nwait at most {grace_seconds} s until they have halted",
                presses.join("\n")
            )
        }
        Action::RemoveOwned { path, owned } => {
            let what = match owned {
                Owned::Cluster => "if it is the folder of your cluster",
                Owned::Lab => "if it is the folder of a lab",
                Owned::SharedMemory => "if no process uses it",
                Owned::PidFile | Owned::CniCache => "if it is a file of your cluster",
            };
            format!("remove {path}, {what}")
        }
        Action::RemoveAllOwned { paths } => {
            let paths: Vec<&str> = paths.iter().map(|entry| entry.path.as_str()).collect();
            format!(
                "remove these, if they are of your clusters:\n{}",
                paths.join("\n")
            )
        }
        Action::RemoveFile { path, .. } => format!("remove {path}, if it is unchanged"),
        Action::RequireFile { path, .. } => format!("require {path} to be unchanged"),
        Action::RemoveBridge { bridge } => {
            format!("ip link delete {bridge} type bridge, unless something else is on it")
        }
        Action::WriteFile { path, contents, .. } => {
            format!("write {path} ({} bytes)", contents.len())
        }
        Action::CopyTree { from, to, except } => {
            let except: Vec<&str> = except.iter().map(|path| path.as_str()).collect();
            format!("copy {from} to {to}, except {}", except.join(", "))
        }
        Action::RemoveEmptyDir { path } => format!("remove {path}, if it is empty"),
        Action::CopyFile {
            from, to, bytes, ..
        } => format!("copy {from} to {to} ({bytes} bytes)"),
        Action::RecordDigests { list, .. } => format!("write {list}, in the form of sha256sum"),
        _ => sh::command(&step, false),
    }
}
