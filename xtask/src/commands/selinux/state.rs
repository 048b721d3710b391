//! `selinux state`: whether nodes enforce, and `selinux cmdline`: arguments of the kernel.

use std::fmt::Write;

use clap::Args;
use serde_json::json;
use talos::selinux::AUDIT_TO_CONSOLE;

use crate::app::App;
use crate::commands::cluster::{self, Which, reach, security};
use foundation::failure::{Exit, Failure, Result};
use foundation::ui;
use foundation::ui::text::{column_width, one_line};

#[derive(Debug, Clone, Args)]
pub struct StateArgs {
    #[command(flatten)]
    pub which: Which,
    /// Node names, name suffixes (worker-1), addresses or patterns ('worker-*') [default: all]
    pub nodes: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints kernel arguments for denials on the console.
pub(super) fn print_cmdline() {
    ui::print(&format!("{}\n", AUDIT_TO_CONSOLE.join(" ")));
}

/// Exit code 1 if a node's state is unknown or SELinux is off.
pub(super) fn run(app: &App<'_>, args: &StateArgs) -> Result<u8> {
    let name = cluster::existing_name(app, &args.which)?;
    let view = cluster::look_up(app, &args.which)?;
    let mut states = Vec::new();
    for node in cluster::choose(&view, &args.nodes)? {
        let state = match node.ip {
            Some(ip) => security::selinux_state(&reach::api_of(&app.ctx, &name, ip)?),
            None => Err(Failure::host("its address is unknown")),
        };
        states.push((node.name.clone(), state));
    }
    let is_on = |state: &Result<Option<String>>| matches!(state, Ok(Some(state)) if state.starts_with("enabled"));
    if args.json {
        let nodes = states.iter().map(|(node, state)| {
            let (state, error) = match state {
                Ok(state) => (state.clone(), None),
                Err(failure) => (None, Some(failure.in_one_line())),
            };
            json!({"node": node, "selinux": state, "error": error})
        });
        ui::print_report(json!({"cluster": name.as_str(), "nodes": nodes.collect::<Vec<_>>()}));
    } else {
        let width = column_width(states.iter().map(|(node, _)| node));
        let mut out = String::new();
        for (node, state) in &states {
            let text = match state {
                Ok(Some(state)) => state.clone(),
                Ok(None) => "unknown: the node does not report it".to_owned(),
                Err(failure) => format!("unknown: {}", failure.in_one_line()),
            };
            let _ = writeln!(out, "{:<width$}  {}", one_line(node), one_line(&text));
        }
        ui::print(&out);
    }
    Ok(if states.iter().all(|(_, state)| is_on(state)) {
        0
    } else {
        Exit::Checks.code()
    })
}
