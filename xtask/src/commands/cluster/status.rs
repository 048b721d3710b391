//! `cluster status`: the state of a cluster, and the next commands to type.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::Which;
use super::relay;
use crate::app::App;
use foundation::ctx::cluster::{ClusterState, ClusterView, Fault, Lineage, NodeState, NodeView};
use foundation::ctx::inside_lab::has_stand_in_nodes;
use foundation::ctx::relay::RelayView;
use foundation::failure::{Exit, Result};
use foundation::ui::text::{column_width, one_line};
use foundation::ui::{self, Style};
use foundation::{program, typed};

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub which: Which,
    /// Also show what each node has booted, whether a newer build exists, and what was not checked
    #[arg(short, long)]
    pub verbose: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &StatusArgs) -> Result<u8> {
    let view = look(app, &args.which)?;
    let lineage = args.verbose.then(|| view.lineage());
    let code = show(app, &view, lineage.as_deref(), args.json);
    if args.verbose && !args.json {
        for left_out in &view.not_checked {
            ui::print(&format!("  not checked: {left_out}\n"));
        }
    }
    Ok(code)
}

/// The current state of the chosen cluster.
pub(super) fn look(app: &App<'_>, which: &Which) -> Result<ClusterView> {
    let name = super::existing_name(app, which)?;
    Ok(ClusterView::examine(&app.ctx, name.as_str()))
}

/// Shows the status. The exit code is 1 unless the cluster is running.
pub(super) fn report(app: &App<'_>, view: &ClusterView, json: bool) -> u8 {
    show(app, view, None, json)
}

fn show(app: &App<'_>, view: &ClusterView, lineage: Option<&[Lineage]>, json: bool) -> u8 {
    let relay = RelayView::of_cluster(&app.ctx, view);
    if json {
        let mut report = to_json(view, &relay);
        if let Some(lineage) = lineage {
            report["lineage"] = json!(lineage);
        }
        ui::print_report(report);
    } else {
        ui::print(&to_text(app, view, &relay, lineage.unwrap_or_default()));
    }
    match view.state {
        ClusterState::Running => 0,
        _ => Exit::Checks.code(),
    }
}

pub(super) fn cluster_json(view: &ClusterView) -> Value {
    json!({
        "name": view.name,
        "state": view.state.as_str(),
        "cidr": view.cidr.map(|cidr| cidr.to_string()),
        "bridge": view.bridge,
        "talos": view.talos,
        "stand_in": has_stand_in_nodes(),
    })
}

/// Stable: fields are added, never changed.
pub(super) fn to_json(view: &ClusterView, relay: &RelayView) -> Value {
    let nodes: Vec<Value> = view
        .nodes
        .iter()
        .map(|node| {
            json!({
                "name": node.name,
                "role": node.role.map(talos::names::Role::as_str),
                "ip": node.ip.map(|ip| ip.to_string()),
                "pid": node.qemu.as_ref().map(|process| process.pid),
                "state": node.state.as_str(),
                "cause": node.cause,
                "boot_seconds": node.boot_seconds,
                "console": node.console,
            })
        })
        .collect();
    json!({
        "cluster": cluster_json(view), "nodes": nodes,
        "faults": view.faults, "problems": view.problems, "unread": view.unread,
        "not_checked": view.not_checked,
        "relay": relay::to_json(relay),
    })
}

/// Pads before painting, because colours have no width.
pub(super) fn state(app: &App<'_>, state: ClusterState, width: usize) -> String {
    let style = match state {
        ClusterState::Running => Style::Good,
        ClusterState::Creating | ClusterState::Degraded | ClusterState::Partial => Style::Warn,
        ClusterState::Stale | ClusterState::Foreign => Style::Bad,
        ClusterState::Absent | ClusterState::Stopped => Style::Dim,
    };
    app.ui.paint(style, &format!("{:<width$}", state.as_str()))
}

fn to_text(app: &App<'_>, view: &ClusterView, relay: &RelayView, lineage: &[Lineage]) -> String {
    let mut out = format!(
        "cluster {} is {}",
        app.ui.paint(Style::Bold, &one_line(&view.name)),
        state(app, view.state, 0)
    );
    if let Some(cidr) = view.cidr {
        let _ = write!(out, "  {cidr}");
    }
    if let Some(talos) = &view.talos {
        let _ = write!(out, "  Talos {}", one_line(talos));
    }
    if let Some(creator) = &view.creator {
        let _ = write!(out, "  by {creator}");
    }
    out.push('\n');
    let width = column_width(view.nodes.iter().map(|node| &node.name));
    for node in &view.nodes {
        out.push_str(&node_line(app, node, width));
        let lineage = lineage.iter().find(|lineage| lineage.node == node.name);
        out.push_str(&lineage.map_or_else(String::new, lineage_lines));
    }
    if has_stand_in_nodes() && !view.nodes.is_empty() {
        out.push_str("  the nodes run the lab's stand-in, not Talos\n");
    }
    if let Some(relaying) = relay.served() {
        let _ = writeln!(out, "  registries for its nodes at {}", relaying.describe());
    }
    let mark = app.ui.paint(Style::Warn, "!");
    for fault in view.faults.iter().filter(|fault| fault.node.is_none()) {
        let _ = writeln!(out, "  {mark} {}", fault_line(fault));
    }
    let mut problems: Vec<&String> = view.problems.iter().collect();
    problems.retain(|problem| {
        view.faults
            .iter()
            .all(|fault| fault.evidence.as_ref() != Some(problem))
    });
    for problem in problems.into_iter().chain(&view.doubts) {
        let _ = writeln!(out, "  {mark} {}", one_line(problem));
    }
    // Without a name: the cluster of the settings, else the default one.
    let settings = app.ctx.config.cluster.name.as_deref();
    let named =
        view.name != settings.unwrap_or(super::DEFAULT_NAME) || view.name != super::DEFAULT_NAME;
    for next in next_commands(view, named) {
        let _ = writeln!(out, "  {} {next}", app.ui.paint(Style::Dim, "next:"));
    }
    out
}

/// What a node has booted, as text.
fn lineage_lines(lineage: &Lineage) -> String {
    let mut out = String::new();
    let files = [
        ("kernel", &lineage.kernel),
        ("initramfs", &lineage.initramfs),
    ];
    for (what, file) in files {
        let Some(file) = file else { continue };
        let state = match &file.sha256 {
            _ if file.is_newer => {
                let reboot = typed!("cluster reboot {}", lineage.node);
                format!("replaced since this boot; `{reboot}` loads the new one")
            }
            Some(digest) => format!("sha256:{digest}"),
            None => "cannot be read".to_owned(),
        };
        let _ = writeln!(out, "    {what:<9}  {}  {state}", file.path);
    }
    if let Some(installer) = &lineage.installer {
        let reference = one_line(&installer.reference);
        let _ = writeln!(out, "    {:<9}  {reference}", "installer");
        if let Some(now) = &installer.tag_is_now {
            let _ = writeln!(
                out,
                "    {:<9}  its tag was pushed again and is {}",
                "",
                one_line(now)
            );
        }
    }
    out
}

/// A fault and its evidence, as text.
fn fault_line(fault: &Fault) -> String {
    match &fault.evidence {
        Some(evidence) => format!("{} ({})", one_line(&fault.what), one_line(evidence)),
        None => one_line(&fault.what).into_owned(),
    }
}

fn node_line(app: &App<'_>, node: &NodeView, width: usize) -> String {
    let ip = node.ip.map(|ip| ip.to_string()).unwrap_or_default();
    let style = match node.state {
        NodeState::Ready => Style::Good,
        NodeState::Booted | NodeState::Starting => Style::Warn,
        NodeState::Unreachable | NodeState::Paused | NodeState::Failed | NodeState::Down => {
            Style::Bad
        }
    };
    // Padded before painting: escape codes have no width on the terminal.
    let word = app.ui.paint(style, &format!("{:<11}", node.state.as_str()));
    let booted = node
        .boot_seconds
        .map(|seconds| format!("booted in {seconds:.1} s"))
        .unwrap_or_default();
    let pid = node
        .qemu
        .as_ref()
        .map(|process| format!("pid {}", process.pid))
        .unwrap_or_default();
    let line = format!(
        "  {:<width$}  {ip:<15} {word} {booted:<17} {pid}",
        one_line(&node.name)
    );
    let mut lines = format!("{}\n", line.trim_end());
    if let Some(cause) = &node.cause {
        let _ = writeln!(lines, "    {}", one_line(cause));
    }
    lines
}

/// Returns the next commands for each state; `named`: the cluster's name must
/// be given.
fn next_commands(view: &ClusterView, named: bool) -> Vec<String> {
    let name = &view.name;
    let of = |plain: String, with_name: String| if named { with_name } else { plain };
    let up = || of(typed!("cluster up"), typed!("cluster up --name {}", name));
    let logs = || {
        of(
            typed!("cluster logs"),
            typed!("cluster logs --name {}", name),
        )
    };
    let follow = || {
        of(
            typed!("cluster logs -f"),
            typed!("cluster logs --name {} -f", name),
        )
    };
    let start = || {
        of(
            typed!("cluster start"),
            typed!("cluster start --name {}", name),
        )
    };
    let reboot = || {
        of(
            typed!("cluster reboot --all"),
            typed!("cluster reboot --name {} --all", name),
        )
    };
    let destroy = || {
        of(
            typed!("cluster destroy"),
            typed!("cluster destroy --name {}", name),
        )
    };
    let explain = || {
        of(
            typed!("cluster explain"),
            typed!("cluster explain --name {}", name),
        )
    };
    let first_hint = view.faults.first().and_then(|fault| fault.hint.clone());
    match view.state {
        ClusterState::Absent => vec![up()],
        ClusterState::Creating => vec![follow(), explain()],
        ClusterState::Stopped | ClusterState::Stale => vec![start(), destroy()],
        ClusterState::Partial => vec![destroy()],
        ClusterState::Foreign => vec![program!("talosctl cluster destroy --name {}", name)],
        ClusterState::Degraded => {
            let mut commands = vec![explain()];
            commands.extend(first_hint);
            commands.extend([logs(), destroy()]);
            commands.dedup();
            commands
        }
        ClusterState::Running => {
            let version = of(
                typed!("talosctl -- version"),
                typed!("talosctl --name {} -- version", name),
            );
            vec![version, follow(), reboot(), destroy()]
        }
    }
}
