//! `selinux label`: which label a path should have, and what sets it.

use std::fmt::Write;

use clap::Args;
use selinux::file_contexts::{Labeled, labels};
use serde_json::json;

use super::policies::FOLDER;
use crate::app::App;
use foundation::failure::{Exit, Failure, Result};
use foundation::files;
use foundation::ui;
use foundation::ui::text::one_line;

#[derive(Debug, Clone, Args)]
pub struct LabelArgs {
    /// Absolute path on a node
    #[arg(value_name = "PATH")]
    pub path: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Where Talos sets labels of its own at run time, by the start of the path.
const RUNTIME: &[(&str, &str)] = &[
    ("/dev", "udev, by the rules in 90-selinux.rules"),
    ("/etc/cni", "the mount, by its option context="),
    ("/etc/kubernetes", "the mount, by its option context="),
    (
        "/run",
        "the process that creates it, by a transition or by machined",
    ),
    (
        "/system",
        "machined, when it creates it (constants in pkg/machinery/constants)",
    ),
    (
        "/var",
        "machined, when it mounts or creates it (constants in pkg/machinery/constants)",
    ),
    ("/proc", "the policy, by genfscon"),
    ("/sys", "the policy, by genfscon"),
    ("/tmp", "the process that creates it, by a transition"),
];
const SQUASHFS: &str = "the build of the squashfs, by file_contexts";

pub(super) fn run(app: &App<'_>, args: &LabelArgs) -> Result<u8> {
    if !args.path.starts_with('/') {
        return Err(Failure::usage(format!(
            "`{}` is not an absolute path",
            args.path
        )));
    }
    let checkout = app.ctx.checkout()?;
    let path = checkout.dir.join(FOLDER).join("file_contexts");
    let text = files::text(&path, files::MEDIUM)?.ok_or_else(|| {
        Failure::host(format!("`{path}` does not exist")).cause("Talos has labels from 1.9 on")
    })?;
    let found = labels(&text, &args.path);
    let set_by = set_by(&args.path);
    if args.json {
        let labels = found.iter().map(|it| {
            json!({"context": it.context, "kind": it.kind, "pattern": it.pattern, "line": it.line})
        });
        ui::print_report(json!({
            "path": args.path,
            "file_contexts": path,
            "labels": labels.collect::<Vec<_>>(),
            "set_by": set_by,
        }));
    } else {
        ui::print(&to_text(&args.path, &found, set_by));
    }
    Ok(if found.is_empty() && set_by == SQUASHFS {
        Exit::Checks.code()
    } else {
        0
    })
}

fn set_by(path: &str) -> &'static str {
    let is_below = |start: &str| {
        let rest = path.strip_prefix(start);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let runtime = RUNTIME.iter().find(|(start, _)| is_below(start));
    runtime.map_or(SQUASHFS, |(_, by)| by)
}

fn to_text(path: &str, found: &[Labeled<'_>], set_by: &str) -> String {
    let mut out = String::new();
    for it in found {
        let kind = match it.kind {
            None => "anything",
            Some("--") => "a file",
            Some("-d") => "a folder",
            Some("-l") => "a link",
            Some("-s") => "a socket",
            Some("-p") => "a FIFO",
            Some(_) => "a device",
        };
        let _ = writeln!(
            out,
            "{}  if it is {kind}  (file_contexts:{} {})",
            one_line(it.context),
            it.line,
            one_line(it.pattern)
        );
    }
    if found.is_empty() {
        let _ = writeln!(out, "file_contexts has no label for {}", one_line(path));
    }
    let _ = writeln!(out, "set by {set_by}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_decides_what_sets_a_label() {
        assert_eq!(set_by("/usr/bin/init"), SQUASHFS);
        assert_eq!(set_by("/device"), SQUASHFS);
        assert!(set_by("/dev/tpm0").starts_with("udev"));
        assert!(set_by("/etc/cni/net.d").starts_with("the mount"));
        assert_eq!(set_by("/etc/hosts"), SQUASHFS);
    }
}
